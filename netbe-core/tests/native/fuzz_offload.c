/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Garbage for nb_hdr_check() and the segmentation: 10 bytes of virtio-net
 * header, one byte of how the frame is split, one of what the receiver can,
 * one of how many frames are taken at a time, one of which byte somebody
 * changes meanwhile; then the frame.
 */
#include <endian.h>
#include <string.h>

#include "check.h"
#include "services.h"

#define OPTIONS 14u
#define SEGS 64u
#define BURST 32u

static const uint64_t capabilities[] = {
	0,
	NETBE_F_CSUM,
	NETBE_F_HOST_TSO4 | NETBE_F_HOST_TSO6 | NETBE_F_HOST_UFO | NETBE_F_HOST_USO,
	NETBE_F_CSUM | NETBE_F_HOST_TSO4 | NETBE_F_HOST_ECN,
	~0ull,
};

/* Every segment in memory of its own, so that the sanitizer sees a step over its edge. */
static uint32_t
split(struct iovec *seg, const uint8_t *data, uint32_t len, uint32_t piece)
{
	uint32_t nseg = 0, take;

	while (len > 0 || nseg == 0) {
		take = nseg == SEGS - 1 || piece == 0 || piece > len ? len : piece;
		seg[nseg].iov_base = malloc(take > 0 ? take : 1);
		seg[nseg].iov_len = take;
		CHECK(seg[nseg].iov_base != NULL);
		memcpy(seg[nseg++].iov_base, data, take);
		data += take;
		len -= take;
	}
	return nseg;
}

static void
somebody_writes(const struct netbe_frame *frame, uint32_t where, uint8_t what)
{
	for (uint32_t i = 0; i < frame->nseg; i++) {
		if (where < frame->seg[i].iov_len) {
			((uint8_t *)frame->seg[i].iov_base)[where] ^= what;
			return;
		}
		where -= (uint32_t)frame->seg[i].iov_len;
	}
}

static void
walk(const struct netbe_frame *cut, const struct netbe_frame *whole, int as_it_is)
{
	static uint8_t bytes[NETBE_FRAME_MAX];
	uint32_t sum = 0;

	CHECK(cut->nseg <= NETBE_SEG_MAX && cut->len <= whole->len + 8);
	CHECK(cut->len > 0 || whole->len == 0);
	for (uint32_t i = 0; i < cut->nseg; i++)
		sum += (uint32_t)cut->seg[i].iov_len;
	CHECK(sum == cut->len);
	CHECK(nb_seg_copy_out(bytes, cut->seg, cut->nseg, 0, cut->len) == cut->len);
	if (!as_it_is)
		CHECK(cut->hdr.flags == 0 && cut->hdr.gso_type == 0 && nb_hdr_check(cut) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct netbe_frame frame = {0}, cut[BURST];
	struct iovec seg[SEGS];
	struct netbe_gso *gso;
	uint64_t features;
	uint32_t total = 0, limit, burst;
	int checked, begun, got;

	if (size < OPTIONS || size > NETBE_FRAME_MAX)
		return 0;
	CHECK(nb_hdr_load(&frame.hdr, data, 10) == 0);
	features = capabilities[data[11] % (sizeof(capabilities) / sizeof(capabilities[0]))];
	burst = data[12] % BURST + 1u;
	frame.len = (uint32_t)size - OPTIONS;
	frame.nseg = split(seg, data + OPTIONS, frame.len, data[10]);
	frame.seg = seg;
	limit = frame.len + 1;

	checked = nb_hdr_check(&frame);
	if (data[13] & 1)
		somebody_writes(&frame, data[13] >> 1, data[10]);
	gso = nb_gso_new();
	CHECK(gso != NULL);
	begun = nb_gso_begin(gso, &frame, features);
	/* Without anybody who writes, what was checked is what is taken, but for lengths no IP packet can have. */
	if (!(data[13] & 1) && checked != 0)
		CHECK(begun != 0);
	while ((got = nb_gso_next(gso, cut, burst)) > 0) {
		CHECK(begun == 0 && (uint32_t)got <= burst);
		for (int i = 0; i < got; i++)
			walk(&cut[i], &frame, (nb_hdr_needs(&frame.hdr, &frame) & ~features) == 0);
		total += (uint32_t)got;
		CHECK(total <= limit);
		if (data[13] & 2)
			somebody_writes(&frame, data[13] >> 2, data[12]);
	}
	CHECK(got == 0 && nb_gso_next(gso, cut, 1) == 0);
	CHECK(begun != 0 || total > 0);
	nb_gso_free(gso);
	for (uint32_t i = 0; i < frame.nseg; i++)
		free(seg[i].iov_base);
	return 0;
}
