/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds the headers of a segmentation frame, and holds them against its virtio-net header. */
#include <endian.h>
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <string.h>

#include "layout.h"
#include "services.h"

#define VLAN_DEPTH 8u   /* VLAN_MAX_DEPTH, linux/if_vlan.h */
#define ETHERTYPE_QINQ 0x88a8u
#define GSO_SIZE_MIN 8u /* TCP_MIN_GSO_SIZE, net/tcp.h; and the unit of IP fragments */
#define USO_FRAMES_MAX 128u /* UDP_MAX_SEGMENTS, linux/udp.h */
#define CSUM_START_MIN 20u  /* an IPv4 header; virtio_net_hdr_to_skb() wants so much before it */
#define TCP_CSUM 16u
#define UDP_CSUM 6u

static uint16_t
be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

int
nb_layout_csum(const struct netbe_vnet_hdr *hdr, uint32_t len)
{
	uint32_t start = le16toh(hdr->csum_start);

	if (start < CSUM_START_MIN || start + le16toh(hdr->csum_offset) + 2u > len)
		return -EINVAL;
	return 0;
}

/* Returns the offset of the transport header, or 0. */
static uint32_t
read_ipv4(struct nb_layout *layout, const uint8_t *head, uint32_t len, uint8_t proto)
{
	const uint8_t *ip = head + layout->l3;
	uint32_t ihl;

	if (len - layout->l3 < 20)
		return 0;
	ihl = (ip[0] & 15u) * 4;
	/* A fragment (MF or an offset) cannot be cut again by what its transport header says. */
	if (ip[0] >> 4 != 4 || ihl < 20 || ip[9] != proto || (be16(ip + 6) & 0x3fff) != 0)
		return 0;
	layout->version = 4;
	layout->frag = layout->l3 + ihl;
	return layout->frag;
}

static uint32_t
read_ipv6(struct nb_layout *layout, const uint8_t *head, uint32_t len, uint8_t proto)
{
	uint32_t at = layout->l3 + 40, nh = layout->l3 + 6;
	int routed = 0;

	if (at > len || head[layout->l3] >> 4 != 6)
		return 0;
	layout->version = 6;
	layout->frag = 0;
	while (head[nh] != proto) {
		/* RFC 8200, 4.5: per-fragment headers end with the routing header. */
		if (head[nh] == IPPROTO_ROUTING)
			routed = 1;
		else if (head[nh] == IPPROTO_DSTOPTS && routed && layout->frag == 0) {
			layout->frag = at;
			layout->frag_nh = nh;
		} else if (head[nh] != IPPROTO_HOPOPTS && head[nh] != IPPROTO_DSTOPTS)
			return 0;
		if (len - at < 8)
			return 0;
		nh = at;
		at += (head[at + 1] + 1u) * 8;
		if (at > len)
			return 0;
	}
	if (layout->frag == 0) {
		layout->frag = at;
		layout->frag_nh = nh;
	}
	return at;
}

int
nb_layout_read(struct nb_layout *layout, uint8_t *head, const struct netbe_frame *frame)
{
	const struct netbe_vnet_hdr *hdr = &frame->hdr;
	uint32_t start = le16toh(hdr->csum_start), size = le16toh(hdr->gso_size);
	uint32_t type = hdr->gso_type & ~NETBE_GSO_ECN, len, at;
	int tcp = type == NETBE_GSO_TCPV4 || type == NETBE_GSO_TCPV6;
	uint8_t proto = tcp ? IPPROTO_TCP : IPPROTO_UDP;
	uint16_t ethertype;

	if (!tcp && hdr->gso_type != NETBE_GSO_UDP && hdr->gso_type != NETBE_GSO_UDP_L4)
		return -EINVAL;
	/* virtio 1.2, 5.1.6.2.1: who wants segmentation wants the checksum too. */
	if (!(hdr->flags & NETBE_HDR_NEEDS_CSUM) || nb_layout_csum(hdr, frame->len) != 0)
		return -EINVAL;
	if (le16toh(hdr->csum_offset) != (tcp ? TCP_CSUM : UDP_CSUM))
		return -EINVAL;
	/* 0xffff has another meaning inside Linux (GSO_BY_FRAGS), which refuses it. */
	if (size == 0 || size == 0xffff || (size < GSO_SIZE_MIN && hdr->gso_type != NETBE_GSO_UDP_L4))
		return -EINVAL;

	/* csum_start has to be where the transport header is: 60 is the longest of TCP. */
	len = start + 60 < frame->len ? start + 60 : frame->len;
	if (len > NB_LAYOUT_MAX || len < ETHER_HDR_LEN ||
	    nb_seg_copy_out(head, frame->seg, frame->nseg, 0, len) != len)
		return -EINVAL;

	layout->l3 = ETHER_HDR_LEN;
	for (uint32_t depth = 0;; depth++) {
		ethertype = be16(head + layout->l3 - 2);
		if (ethertype != ETHERTYPE_VLAN && ethertype != ETHERTYPE_QINQ)
			break;
		layout->l3 += 4;
		if (depth == VLAN_DEPTH || layout->l3 > len)
			return -EINVAL;
	}
	if (ethertype == ETHERTYPE_IP && type != NETBE_GSO_TCPV6)
		at = read_ipv4(layout, head, len, proto);
	else if (ethertype == ETHERTYPE_IPV6 && type != NETBE_GSO_TCPV4)
		at = read_ipv6(layout, head, len, proto);
	else
		return -EINVAL;
	if (at == 0 || at != start)
		return -EINVAL;

	layout->l4 = start;
	if (tcp) {
		if (len - start < 20)
			return -EINVAL;
		layout->payload = start + (head[start + 12] >> 4) * 4u;
		if (layout->payload < start + 20)
			return -EINVAL;
	} else
		layout->payload = start + 8;
	if (layout->payload > len)
		return -EINVAL;
	if (hdr->gso_type == NETBE_GSO_UDP_L4 && frame->len - layout->payload > size * USO_FRAMES_MAX)
		return -EINVAL;
	return 0;
}
