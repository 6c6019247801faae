/* SPDX-License-Identifier: BSD-2-Clause */
/* A port over file descriptors with one frame a read: taps, datagram sockets. */
#ifndef NETBE_FDPORT_H
#define NETBE_FDPORT_H

#include "netbe.h"

/*
 * dev_hdr_len: the virtio-net header (0, 10, 12) that the descriptor itself
 * has before each frame.  flags: NB_FD_*.  The descriptors stay the caller's.
 * NULL with errno set on failure.
 */
#define NB_FD_EOF_IS_HANGUP 0x1u /* read of 0 bytes: the peer is gone (else: an empty frame, which is too short) */
#define NB_FD_SOCKET 0x2u        /* send(MSG_NOSIGNAL), so that a lost peer is EPIPE and no signal */

struct netbe_port *nb_fd_port_new(int rx_fd, int tx_fd, uint32_t flags, uint32_t dev_hdr_len,
                                  uint32_t min_frame, uint32_t max_frame, const uint64_t *features);
void nb_fd_port_free(struct netbe_port *port);

/* Where frames are read to: size bytes, held for the caller (memory.h). */
void *nb_fd_memory(struct netbe_port *port, size_t *size);

#endif
