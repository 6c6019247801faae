/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two directions of the contract's calls share: io.c receives, io_send.c sends. */
#ifndef NETBE_IO_INT_H
#define NETBE_IO_INT_H

#include <stdbool.h>

#include "io.h"
#include "services.h"

#define NB_IO_BURST 64u
#define NB_IO_HDR_MAX 12u

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
	uint32_t nslot; /* slots that are written in place; nothing else is sent then */
	struct netbe_frame slot[NB_IO_BURST];
	struct netbe_gso *tx_gso;
	struct netbe_frame out[NB_IO_BURST];
	struct iovec out_seg[NB_IO_BURST];
	struct iovec padded[NETBE_SEG_MAX + 1];
};

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
