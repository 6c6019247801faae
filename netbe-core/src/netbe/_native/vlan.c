/* SPDX-License-Identifier: BSD-2-Clause */
#include "vlan.h"

#include <endian.h>
#include <errno.h>

int
nb_seg_slice(const struct iovec *in, uint32_t nseg, uint32_t off, struct iovec *seg, uint32_t cap)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < nseg; i++) {
		size_t len = in[i].iov_len;

		if (off >= len) {
			off -= (uint32_t)len;
			continue;
		}
		if (n == cap)
			return -ENOSPC;
		seg[n].iov_base = (char *)in[i].iov_base + off;
		seg[n].iov_len = len - off;
		n++;
		off = 0;
	}
	return (int)n;
}

int
nb_vlan_ingress(const struct nb_vlan_port *port, const uint8_t *hdr, uint32_t have, struct nb_vlan_tag *tag)
{
	uint16_t vid;

	if (((uint32_t)hdr[12] << 8 | hdr[13]) == NB_VLAN_TPID) {
		if (have < NB_ETH_HLEN + NB_VLAN_HLEN)
			return -EMSGSIZE;
		tag->tci = (uint16_t)((uint32_t)hdr[14] << 8 | hdr[15]);
		tag->tagged = 1;
	} else {
		tag->tci = 0;
		tag->tagged = 0;
	}
	vid = tag->tci & NB_VLAN_VID;
	/* A tag with vid 0 carries a priority only: the frame counts as untagged (6.9.1). */
	tag->rewrite = tag->tagged && vid == 0;
	if (vid == 0) {
		vid = port->pvid;
		tag->tci = (uint16_t)((tag->tci & NB_VLAN_PRIO) | vid);
	}
	if (vid == 0 || vid == NB_VLAN_RESERVED || !nb_vlan_member(port, vid))
		return -EPERM;
	return 0;
}

int
nb_vlan_edit(const struct netbe_frame *in, const struct nb_vlan_tag *tag, bool tagged, uint8_t *bytes,
             struct iovec *seg, uint32_t cap, struct netbe_frame *out)
{
	const uint32_t addresses = 12;
	uint32_t from = addresses + (tag->tagged ? NB_VLAN_HLEN : 0);
	int32_t delta = (tagged ? 4 : 0) - (tag->tagged ? 4 : 0);
	uint32_t left = addresses;
	uint32_t n = 0;
	int32_t hdr_len;
	int rest;

	if (in->len < from)
		return -EINVAL;
	for (uint32_t i = 0; left != 0; i++) {
		size_t len = in->seg[i].iov_len;

		if (n == cap)
			return -ENOSPC;
		seg[n].iov_base = in->seg[i].iov_base;
		seg[n].iov_len = len < left ? len : left;
		left -= (uint32_t)seg[n++].iov_len;
	}
	if (tagged) {
		if (n == cap)
			return -ENOSPC;
		bytes[0] = NB_VLAN_TPID >> 8;
		bytes[1] = NB_VLAN_TPID & 0xff;
		bytes[2] = (uint8_t)(tag->tci >> 8);
		bytes[3] = (uint8_t)tag->tci;
		seg[n].iov_base = bytes;
		seg[n++].iov_len = NB_VLAN_HLEN;
	}
	rest = nb_seg_slice(in->seg, in->nseg, from, seg + n, cap - n);
	if (rest < 0)
		return rest;

	out->hdr = in->hdr;
	/* What was said about the checksum was said about another frame. */
	out->hdr.flags &= (uint8_t)~NETBE_HDR_DATA_VALID;
	if (out->hdr.flags & NETBE_HDR_NEEDS_CSUM) {
		int32_t start = le16toh(in->hdr.csum_start);

		if (start < (int32_t)from + 2 || start + delta > UINT16_MAX)
			return -EINVAL;
		out->hdr.csum_start = htole16((uint16_t)(start + delta));
	}
	/* hdr_len is a hint: below the tag it says nothing that could be moved. */
	hdr_len = le16toh(in->hdr.hdr_len);
	if (hdr_len >= (int32_t)from && hdr_len + delta <= UINT16_MAX)
		out->hdr.hdr_len = htole16((uint16_t)(hdr_len + delta));
	out->len = (uint32_t)((int32_t)in->len + delta);
	out->nseg = n + (uint32_t)rest;
	out->reserved = 0;
	out->seg = seg;
	return (int)out->nseg;
}
