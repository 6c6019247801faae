/* SPDX-License-Identifier: BSD-2-Clause */
/* Tags: which VLAN a frame is in, and the frame with another tag, however it is split. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "check.h"
#include "services.h"
#include "vlan.h"

static void
allow(struct nb_vlan_port *port, uint16_t vid)
{
	port->allowed[vid / 64] |= 1ull << (vid % 64);
}

static int
ingress(const struct nb_vlan_port *port, uint16_t type, uint16_t tci, uint32_t have, struct nb_vlan_tag *tag)
{
	uint8_t hdr[18] = {0};

	hdr[12] = (uint8_t)(type >> 8);
	hdr[13] = (uint8_t)type;
	hdr[14] = (uint8_t)(tci >> 8);
	hdr[15] = (uint8_t)tci;
	return nb_vlan_ingress(port, hdr, have, tag);
}

static void
a_port_takes_its_vlans_only(void)
{
	struct nb_vlan_port port = {.pvid = 5};
	struct nb_vlan_tag tag;

	allow(&port, 7);
	allow(&port, 4094);
	CHECK(ingress(&port, 0x0800, 0xffff, 18, &tag) == 0 && tag.tci == 5 && !tag.tagged);
	CHECK(ingress(&port, 0x8100, 0xe007, 18, &tag) == 0 && tag.tci == 0xe007 && tag.tagged && !tag.rewrite);
	CHECK(ingress(&port, 0x8100, 5, 18, &tag) == 0 && tag.tci == 5 && tag.tagged);
	CHECK(ingress(&port, 0x8100, 4094, 18, &tag) == 0);
	CHECK(ingress(&port, 0x8100, 0x6000, 18, &tag) == 0 && tag.tci == 0x6005 && tag.tagged && tag.rewrite);
	CHECK(ingress(&port, 0x8100, 6, 18, &tag) == -EPERM);
	CHECK(ingress(&port, 0x8100, 4095, 18, &tag) == -EPERM);
	CHECK(ingress(&port, 0x8100, 7, 17, &tag) == -EMSGSIZE);
	/* A service tag (802.1ad) is not ours: the frame counts as untagged. */
	CHECK(ingress(&port, 0x88a8, 7, 18, &tag) == 0 && tag.tci == 5 && !tag.tagged);
	port.pvid = 0;
	CHECK(ingress(&port, 0x0800, 0, 18, &tag) == -EPERM);
	CHECK(ingress(&port, 0x8100, 0x2000, 18, &tag) == -EPERM);
	CHECK(ingress(&port, 0x8100, 7, 18, &tag) == 0);
}

static void
edits_are_the_same_however_the_frame_is_split(void)
{
	uint8_t bytes[200], expected[204], got[204], tag_bytes[4];
	uint64_t random = 42;

	for (uint32_t round = 0; round < 20000; round++) {
		struct iovec seg[300], out_seg[302];
		struct nb_vlan_tag tag = {.tci = (uint16_t)check_random(&random), .tagged = check_random(&random) & 1,
		                          .rewrite = check_random(&random) & 1};
		bool tagged = check_random(&random) & 1;
		struct netbe_frame in = {.seg = seg}, out;
		uint32_t from = tag.tagged ? 16 : 12;
		uint32_t cut = tagged ? 16 : 12;
		int rc;

		in.len = 20 + (uint32_t)(check_random(&random) % 180);
		for (uint32_t i = 0; i < in.len; i++)
			bytes[i] = (uint8_t)check_random(&random);
		for (uint32_t at = 0; at < in.len && in.nseg < 300;) {
			uint32_t len = (uint32_t)(check_random(&random) % 9);

			if (len > in.len - at || in.nseg == 299)
				len = in.len - at;
			seg[in.nseg++] = (struct iovec){bytes + at, len};
			at += len;
		}
		if (check_random(&random) & 1)
			in.hdr = (struct netbe_vnet_hdr){.flags = NETBE_HDR_NEEDS_CSUM | NETBE_HDR_DATA_VALID,
			                                 .hdr_len = htole16(54), .csum_start = htole16(34),
			                                 .csum_offset = htole16(16)};
		memcpy(expected, bytes, 12);
		if (tagged)
			memcpy(expected + 12, (uint8_t[]){0x81, 0, (uint8_t)(tag.tci >> 8), (uint8_t)tag.tci}, 4);
		memcpy(expected + cut, bytes + from, in.len - from);
		rc = nb_vlan_edit(&in, &tag, tagged, tag_bytes, out_seg, in.nseg + 2, &out);
		CHECK(rc > 0 && (uint32_t)rc == out.nseg && out.nseg <= in.nseg + 2);
		CHECK(out.len == in.len + cut - from);
		CHECK(nb_seg_copy_out(got, out.seg, out.nseg, 0, sizeof(got)) == out.len);
		CHECK(memcmp(got, expected, out.len) == 0);
		CHECK((out.hdr.flags & NETBE_HDR_DATA_VALID) == 0);
		if (in.hdr.flags) {
			CHECK(le16toh(out.hdr.csum_start) == 34 + cut - from);
			CHECK(le16toh(out.hdr.hdr_len) == 54 + cut - from);
			CHECK(out.hdr.csum_offset == in.hdr.csum_offset);
		}
	}
}

static void
what_can_not_be_edited_is_refused(void)
{
	uint8_t bytes[60] = {0}, tag_bytes[4];
	struct iovec seg[2] = {{bytes, 6}, {bytes + 6, 54}}, out_seg[4];
	struct netbe_frame in = {.len = 60, .nseg = 2, .seg = seg}, out;
	struct nb_vlan_tag tag = {.tci = 1, .tagged = 1};

	for (uint32_t cap = 0; cap < 3; cap++)
		CHECK(nb_vlan_edit(&in, &tag, true, tag_bytes, out_seg, cap, &out) == -ENOSPC);
	in.hdr.flags = NETBE_HDR_NEEDS_CSUM;
	in.hdr.csum_start = htole16(17); /* inside the tag that goes */
	CHECK(nb_vlan_edit(&in, &tag, false, tag_bytes, out_seg, 4, &out) == -EINVAL);
	tag.tagged = 0;
	in.hdr.csum_start = htole16(65533);
	CHECK(nb_vlan_edit(&in, &tag, true, tag_bytes, out_seg, 4, &out) == -EINVAL);
	in.hdr.flags = 0;
	in.len = 11;
	CHECK(nb_vlan_edit(&in, &tag, true, tag_bytes, out_seg, 4, &out) == -EINVAL);
}

static void
only_what_differs_is_edited(void)
{
	struct nb_vlan_tag tag = {.tci = 1, .tagged = 1};

	CHECK(!nb_vlan_edits(&tag, true) && nb_vlan_edits(&tag, false));
	tag.rewrite = 1;
	CHECK(nb_vlan_edits(&tag, true));
	tag = (struct nb_vlan_tag){.tci = 1};
	CHECK(nb_vlan_edits(&tag, true) && !nb_vlan_edits(&tag, false));
}

int
main(void)
{
	a_port_takes_its_vlans_only();
	edits_are_the_same_however_the_frame_is_split();
	what_can_not_be_edited_is_refused();
	only_what_differs_is_edited();
	return 0;
}
