/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two directions of the contract's calls share: io.c receives, io_send.c sends. */
#ifndef NETBE_IO_INT_H
#define NETBE_IO_INT_H

#include <stdbool.h>

#include "io.h"
#include "services.h"

#define NB_IO_BURST 64u
#define NB_IO_HDR_MAX 12u

enum nb_io_gate { NB_IO_OPEN, NB_IO_SENDING, NB_IO_SHUT };

struct nb_io {
	struct netbe_port *port;
	uint64_t accepts; /* what was agreed that frames may ask of us, in HOST_* bits */
	uint32_t hdr_len;

	/* receiving */
	struct netbe_frame lent[NB_IO_BURST];
	uint32_t nlent, at;
	bool cutting; /* lent[at] is given out in pieces */
	struct netbe_frame piece[NB_IO_BURST];
	uint32_t npiece, at_piece;
	struct netbe_gso *rx_gso;
	uint32_t inplace; /* frames from lent[at] on that are looked at in place; nothing else is received then */

	/* sending */
	int gate; /* enum nb_io_gate */
	uint32_t nslot; /* slots that are written in place; nothing else is sent then */
	struct netbe_frame slot[NB_IO_BURST];
	struct netbe_gso *tx_gso;
	struct netbe_frame out[NB_IO_BURST];
	struct iovec out_seg[NB_IO_BURST];
	struct iovec padded[NETBE_SEG_MAX + 1];
};

/* Sending calls exclude each other: whether this one may go on. */
static inline bool
nb_io_enter(struct nb_io *io)
{
	int open = NB_IO_OPEN;

	return __atomic_compare_exchange_n(&io->gate, &open, NB_IO_SENDING, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/* The same for one that the caller has exclude nb_io_hold: it waits for the end of a call that never waits. */
void nb_io_enter_at_last(struct nb_io *io);

static inline void
nb_io_leave(struct nb_io *io)
{
	__atomic_store_n(&io->gate, NB_IO_OPEN, __ATOMIC_RELEASE);
}

/* A frame that asks nothing. */
static inline bool
nb_io_plain(const struct netbe_vnet_hdr *hdr)
{
	return hdr->flags == 0 && hdr->gso_type == NETBE_GSO_NONE;
}

/* The next frame to give out; NULL with *result 0: none, or -errno. */
const struct netbe_frame *nb_io_head(struct nb_io *io, int *result);

/* Whether a frame can be given out as it is: 1; in pieces: 0; -1: not at all, for the reason in *why. */
int nb_io_judge(struct nb_io *io, struct netbe_frame *f, enum netbe_drop *why);

#endif
