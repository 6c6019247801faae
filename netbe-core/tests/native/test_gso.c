/* SPDX-License-Identifier: BSD-2-Clause */
/* The bounds of a segmentation in C; what the bytes are is held against the kernel in Python. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "check.h"
#include "services.h"

#define ETH 14u
#define IP 20u
#define TCP 20u
#define HEADERS (ETH + IP + TCP)

static uint8_t bytes[NETBE_FRAME_MAX];

/* A TCP segment over IPv4 of len bytes, its headers included, in bytes. */
static struct netbe_frame
tcp_frame(struct iovec *seg, uint32_t len, uint16_t gso_size)
{
	struct netbe_frame frame = {.len = len, .nseg = 1, .seg = seg};

	memset(bytes, 0x5a, sizeof(bytes));
	bytes[12] = 0x08;
	bytes[13] = 0x00;
	bytes[ETH] = 0x45;
	bytes[ETH + 6] = bytes[ETH + 7] = 0;
	bytes[ETH + 9] = 6;
	bytes[ETH + IP + 12] = 0x50;
	*seg = (struct iovec){bytes, len};
	frame.hdr.flags = NETBE_HDR_NEEDS_CSUM;
	frame.hdr.gso_type = NETBE_GSO_TCPV4;
	frame.hdr.gso_size = htole16(gso_size);
	frame.hdr.csum_start = htole16(ETH + IP);
	frame.hdr.csum_offset = htole16(16);
	return frame;
}

/* Takes all frames and returns how many; *payload is their bytes behind the headers. */
static uint32_t
drain(struct netbe_gso *gso, uint32_t burst, uint32_t *payload)
{
	struct netbe_frame frames[64];
	uint32_t count = 0;
	int got;

	*payload = 0;
	while ((got = nb_gso_next(gso, frames, burst)) > 0) {
		CHECK((uint32_t)got <= burst);
		for (int i = 0; i < got; i++) {
			uint32_t sum = 0;

			for (uint32_t j = 0; j < frames[i].nseg; j++)
				sum += (uint32_t)frames[i].seg[j].iov_len;
			CHECK(frames[i].nseg <= NETBE_SEG_MAX && sum == frames[i].len);
			*payload += sum - HEADERS;
		}
		count += (uint32_t)got;
	}
	CHECK(got == 0);
	return count;
}

static void
the_smallest_pieces_come_in_bursts(struct netbe_gso *gso)
{
	struct iovec seg;
	struct netbe_frame frame = tcp_frame(&seg, ETH + 65535, 8);
	uint32_t payload, whole = frame.len - HEADERS;

	for (uint32_t burst = 1; burst <= 64; burst *= 4) {
		CHECK(nb_gso_begin(gso, &frame, 0) == 0);
		CHECK(drain(gso, burst, &payload) == (whole + 7) / 8 && payload == whole);
	}
}

static void
payload_is_not_copied(struct netbe_gso *gso)
{
	struct iovec seg;
	struct netbe_frame frame = tcp_frame(&seg, 5000, 1000), cut[8];

	CHECK(nb_gso_begin(gso, &frame, 0) == 0);
	CHECK(nb_gso_next(gso, cut, 8) == 5);
	for (uint32_t i = 0; i < 5; i++) {
		CHECK(cut[i].nseg == 2 && cut[i].seg[0].iov_len == HEADERS);
		CHECK(cut[i].seg[1].iov_base == bytes + HEADERS + 1000u * i);
	}
}

/* As many segments as a frame may have, and as unkind: most of it in one, and that in every place. */
static void
the_most_segments_fit(struct netbe_gso *gso)
{
	static struct iovec segs[NETBE_SEG_MAX + 1];
	uint32_t payload, len = 60000;

	for (uint32_t large = 0; large < NETBE_SEG_MAX; large += 73) {
		for (uint32_t nseg = NETBE_SEG_MAX - 3; nseg <= NETBE_SEG_MAX + 1; nseg++) {
			struct netbe_frame frame = tcp_frame(segs, len, 1000), one;
			uint32_t at = 0;

			for (uint32_t i = 0; i < nseg; i++) {
				segs[i] = (struct iovec){bytes + at, i == large % nseg ? len - nseg + 1 : 1};
				at += (uint32_t)segs[i].iov_len;
			}
			frame.nseg = nseg;
			if (nseg > NETBE_SEG_MAX) {
				CHECK(nb_gso_begin(gso, &frame, 0) == -EINVAL);
				continue;
			}
			CHECK(nb_gso_begin(gso, &frame, 0) == 0);
			CHECK(drain(gso, 64, &payload) == (len - HEADERS + 999) / 1000);
			CHECK(payload == len - HEADERS);
			/* Its checksum alone. */
			frame.hdr.gso_type = NETBE_GSO_NONE;
			CHECK(nb_gso_begin(gso, &frame, 0) == 0);
			CHECK(nb_gso_next(gso, &one, 1) == 1 && one.nseg <= NETBE_SEG_MAX && one.len == len);
			/* As it is. */
			frame.hdr.flags = 0;
			CHECK(nb_gso_begin(gso, &frame, 0) == 0);
			CHECK(nb_gso_next(gso, &one, 1) == 1 && one.nseg <= NETBE_SEG_MAX && one.len == len);
		}
	}
}

/* All at once, from a frame in as many segments as go uncopied. */
static void
a_burst_has_a_bound(struct netbe_gso *gso)
{
	static struct netbe_frame cut[4096];
	static struct iovec segs[NETBE_SEG_MAX];
	struct netbe_frame frame = tcp_frame(segs, 20000, 8);
	uint32_t at = 0, count = 0;
	int got;

	frame.nseg = NETBE_SEG_MAX - 2;
	for (uint32_t i = 0; i < frame.nseg; i++) {
		segs[i] = (struct iovec){bytes + at, i + 1 < frame.nseg ? 3 : frame.len - at};
		at += (uint32_t)segs[i].iov_len;
	}
	CHECK(nb_gso_begin(gso, &frame, 0) == 0);
	while ((got = nb_gso_next(gso, cut, 4096)) > 0)
		count += (uint32_t)got;
	CHECK(count == (20000 - HEADERS + 7) / 8);
}

static void
what_is_refused_gives_nothing(struct netbe_gso *gso)
{
	struct iovec seg;
	struct netbe_frame frame = tcp_frame(&seg, 5000, 1000), cut;

	CHECK(nb_gso_begin(gso, &frame, 0) == 0 && nb_gso_next(gso, &cut, 1) == 1);
	frame.hdr.gso_size = htole16(7);
	CHECK(nb_gso_begin(gso, &frame, 0) == -EINVAL);
	CHECK(nb_gso_next(gso, &cut, 1) == 0);
	CHECK(nb_gso_next(gso, &cut, 0) == -EINVAL);

	/* A length that its segments do not have. */
	frame = tcp_frame(&seg, 5000, 1000);
	seg.iov_len = 4999;
	CHECK(nb_gso_begin(gso, &frame, 0) == -EINVAL);
	seg.iov_len = 5001;
	CHECK(nb_gso_begin(gso, &frame, 0) == -EINVAL);
	seg.iov_len = (size_t)1 << 32 | 5000;
	CHECK(nb_gso_begin(gso, &frame, 0) == -EINVAL);
}

static void
the_longest_frame_can_be_cut(struct netbe_gso *gso)
{
	struct iovec seg;
	struct netbe_frame frame = tcp_frame(&seg, NETBE_FRAME_MAX, 1448);
	uint32_t payload;

	CHECK(nb_gso_begin(gso, &frame, 0) == 0);
	CHECK(drain(gso, 32, &payload) == (frame.len - HEADERS + 1447) / 1448);
	frame.len++;
	CHECK(nb_gso_begin(gso, &frame, 0) == -EINVAL);
}

int
main(void)
{
	struct netbe_gso *gso = nb_gso_new();

	CHECK(gso != NULL);
	the_smallest_pieces_come_in_bursts(gso);
	payload_is_not_copied(gso);
	the_most_segments_fit(gso);
	a_burst_has_a_bound(gso);
	what_is_refused_gives_nothing(gso);
	the_longest_frame_can_be_cut(gso);
	nb_gso_free(gso);
	nb_gso_free(NULL);
	return 0;
}
