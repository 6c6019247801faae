/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtio-net header (virtio 1.2, 5.1.6): in and out of its normal form, and what it asks. */
#include <errno.h>
#include <endian.h>
#include <string.h>

#include "layout.h"
#include "services.h"

#define HDR_LEN 10u     /* struct virtio_net_hdr: without num_buffers */
#define HDR_LEN_MRG 12u /* struct virtio_net_hdr_v1 */

int
nb_hdr_load(struct netbe_vnet_hdr *hdr, const void *src, uint32_t hdr_len)
{
	if (hdr_len != 0 && hdr_len != HDR_LEN && hdr_len != HDR_LEN_MRG)
		return -EINVAL;
	memset(hdr, 0, sizeof(*hdr));
	if (hdr_len != 0)
		memcpy(hdr, src, hdr_len);
	return 0;
}

int
nb_hdr_store(void *dst, const struct netbe_vnet_hdr *hdr, uint32_t hdr_len)
{
	struct netbe_vnet_hdr out = *hdr;

	if (hdr_len != 0 && hdr_len != HDR_LEN && hdr_len != HDR_LEN_MRG)
		return -EINVAL;
	out.num_buffers = htole16(1);
	if (hdr_len != 0)
		memcpy(dst, &out, hdr_len);
	return 0;
}

int
nb_hdr_check(const struct netbe_frame *frame)
{
	uint8_t head[NB_LAYOUT_MAX];
	struct nb_layout layout;

	if (frame->hdr.flags & ~(NETBE_HDR_NEEDS_CSUM | NETBE_HDR_DATA_VALID))
		return -EINVAL;
	if (frame->hdr.gso_type != NETBE_GSO_NONE)
		return nb_layout_read(&layout, head, frame);
	if (frame->hdr.flags & NETBE_HDR_NEEDS_CSUM)
		return nb_layout_csum(&frame->hdr, frame->len);
	return 0;
}

uint64_t
nb_hdr_needs(const struct netbe_vnet_hdr *hdr, const struct netbe_frame *frame)
{
	uint64_t needs = hdr->flags & NETBE_HDR_NEEDS_CSUM ? NETBE_F_CSUM : 0;

	/* USO has one bit for both IP versions, so nothing has to be looked up in the frame. */
	(void)frame;
	switch (hdr->gso_type & ~NETBE_GSO_ECN) {
	case NETBE_GSO_TCPV4:
		needs |= NETBE_F_HOST_TSO4;
		break;
	case NETBE_GSO_TCPV6:
		needs |= NETBE_F_HOST_TSO6;
		break;
	case NETBE_GSO_UDP:
		needs |= NETBE_F_HOST_UFO;
		break;
	case NETBE_GSO_UDP_L4:
		needs |= NETBE_F_HOST_USO;
		break;
	default:
		break;
	}
	if (hdr->gso_type & NETBE_GSO_ECN)
		needs |= NETBE_F_HOST_ECN;
	return needs;
}
