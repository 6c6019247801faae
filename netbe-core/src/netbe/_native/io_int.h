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

	/* sending */
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

#endif
