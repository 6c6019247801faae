/* SPDX-License-Identifier: BSD-2-Clause */
/* IEEE 802.1Q-2018 tags: which VLAN a frame is in, and the same frame with another tag or none. */
#ifndef NETBE_VLAN_H
#define NETBE_VLAN_H

#include <stdbool.h>

#include "netbe.h"

#define NB_ETH_HLEN 14u
#define NB_VLAN_HLEN 4u
#define NB_VLAN_TPID 0x8100u /* IEEE 802.1Q-2018, table 9-1: customer VLAN tag */
#define NB_VLAN_VID 0x0fffu
#define NB_VLAN_PRIO 0xf000u     /* PCP and DEI */
#define NB_VLAN_RESERVED 0x0fffu /* vid 4095: table 9-2 */
#define NB_VLAN_WORDS (4096u / 64u)

/* What a port is in: pvid 0 takes no untagged frame. */
struct nb_vlan_port {
	uint16_t pvid;
	uint64_t allowed[NB_VLAN_WORDS];
};

/* How a frame arrived; tci already has the VLAN's number, in place of 0 or of no tag. */
struct nb_vlan_tag {
	uint16_t tci;
	uint8_t tagged;  /* has a tag on the wire */
	uint8_t rewrite; /* that tag's own TCI is another: it was a priority tag */
};

static inline bool
nb_vlan_member(const struct nb_vlan_port *port, uint16_t vid)
{
	return vid == port->pvid || (port->allowed[vid / 64] >> (vid % 64) & 1) != 0;
}

/*
 * hdr: the first have bytes of the frame, at least 14, and 18 where the
 * frame is that long.  0; -EPERM the port does not take this frame;
 * -EMSGSIZE it ends inside its tag.
 */
int nb_vlan_ingress(const struct nb_vlan_port *port, const uint8_t *hdr, uint32_t have, struct nb_vlan_tag *tag);

/* Whether the frame has to be edited to leave with (tagged) or without a tag. */
static inline bool
nb_vlan_edits(const struct nb_vlan_tag *tag, bool tagged)
{
	return tag->tagged != tagged || (tagged && tag->rewrite);
}

/*
 * The frame as it leaves, tagged or not: slices of in's segments and, at
 * bytes (4, kept by the caller as long as the frame), the tag.  seg has room
 * for cap segments; in->nseg + 2 is always enough.  Returns how many were
 * used, or -EINVAL (header points into the tag), -ENOSPC.
 */
int nb_vlan_edit(const struct netbe_frame *in, const struct nb_vlan_tag *tag, bool tagged, uint8_t *bytes,
                 struct iovec *seg, uint32_t cap, struct netbe_frame *out);

/* Appends to seg the bytes of in from off on; returns how many segments, -ENOSPC when cap is too few. */
int nb_seg_slice(const struct iovec *in, uint32_t nseg, uint32_t off, struct iovec *seg, uint32_t cap);

#endif
