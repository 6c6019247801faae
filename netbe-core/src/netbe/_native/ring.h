/* SPDX-License-Identifier: BSD-2-Clause */
/* An in-process cable: two ports joined by two single-producer rings of bytes. */
#ifndef NETBE_RING_H
#define NETBE_RING_H

#include "netbe.h"

/*
 * bytes: room in each direction, rounded up to a power of two that holds two
 * longest frames.  Returns 0 or -errno.  Each end is freed by itself; when
 * one is, the other reads what is left, then gets -EPIPE.
 */
int nb_ring_pair_new(size_t bytes, uint32_t max_frame, const uint64_t *features, struct netbe_port **a,
                     struct netbe_port **b);
void nb_ring_port_free(struct netbe_port *port);

/* Where its frames come to lie (rx), or its room is: size bytes, held for the caller (memory.h). */
void *nb_ring_memory(struct netbe_port *port, int rx, size_t *size);

#endif
