/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the headers of a segmentation frame are. */
#ifndef NETBE_LAYOUT_H
#define NETBE_LAYOUT_H

#include "netbe.h"

/*
 * The longest headers, Ethernet to TCP, that can be cut: all that IPv4 can
 * have, and two kilobytes where IPv6 extension headers would go on for ever.
 */
#define NB_LAYOUT_MAX 2048u

struct nb_layout {
	uint32_t l3;      /* offset of the IP header */
	uint32_t l4;      /* of the TCP or UDP header */
	uint32_t payload; /* of what follows it */
	uint32_t frag;    /* of the part that IP fragments: l4, or before it IPv6 options for the end node */
	uint32_t frag_nh; /* IPv6: of the "next header" byte that tells what is at frag */
	uint8_t version;  /* 4 or 6 */
};

/*
 * Copies the headers of a frame whose gso_type is not NONE into head
 * (NB_LAYOUT_MAX bytes) and reads the copy, so that what was checked stays
 * so when others can write the frame's memory.  0, or -EINVAL when the
 * virtio-net header does not fit the frame.
 */
int nb_layout_read(struct nb_layout *layout, uint8_t *head, const struct netbe_frame *frame);

/* 0 when a header with NEEDS_CSUM has its offsets inside a frame of len bytes, else -EINVAL. */
int nb_layout_csum(const struct netbe_vnet_hdr *hdr, uint32_t len);

#endif
