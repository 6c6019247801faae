/* SPDX-License-Identifier: BSD-2-Clause */
/* nb_csum() against the definition, for every begin, length and split that could matter. */
#include <string.h>

#include "check.h"

/* The file itself: on a machine with wide vectors nobody would call the function for narrow ones. */
#include "checksum.c"

#define SIZE 4096u

static uint8_t bytes[SIZE];

/* RFC 1071 as it is written, a word at a time, in the byte order of memory. */
static uint16_t
plain(const uint8_t *p, uint32_t len, uint32_t seed)
{
	uint64_t sum = seed;

	for (; len > 0; p += 2, len -= len == 1 ? 1 : 2) {
		uint8_t pair[2] = {p[0], len > 1 ? p[1] : 0};
		uint16_t word;

		memcpy(&word, pair, sizeof(word));
		sum += word;
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void
every_begin_and_length(void)
{
	for (uint32_t off = 0; off < 72; off++)
		for (uint32_t len = 0; len < 400; len++) {
			/* Of exactly this length, so that a read behind the end is seen. */
			uint8_t *copy = malloc(off + len + 1);
			struct iovec seg = {copy, off + len};

			memcpy(copy, bytes, off + len);
			CHECK(nb_csum(&seg, 1, off, len, 0) == plain(bytes + off, len, 0));
			free(copy);
		}
}

static void
any_split_gives_the_same(void)
{
	uint64_t state = 1;

	for (int round = 0; round < 3000; round++) {
		struct iovec seg[64];
		uint32_t nseg = 0, at = 0, off, len, seed = (uint32_t)check_random(&state);

		while (nseg < 64 && at < SIZE) {
			uint32_t piece = (uint32_t)(check_random(&state) % (round % 2 ? 5 : 200));

			if (piece > SIZE - at)
				piece = SIZE - at;
			/* An empty segment may have no address. */
			seg[nseg].iov_base = piece > 0 ? bytes + at : NULL;
			seg[nseg++].iov_len = piece;
			at += piece;
		}
		off = (uint32_t)(check_random(&state) % (at + 1));
		len = (uint32_t)(check_random(&state) % (at - off + 1));
		CHECK(nb_csum(seg, nseg, off, len, seed) == plain(bytes + off, len, seed));
	}
}

static void
carries_are_not_lost(void)
{
	static uint8_t ones[NETBE_FRAME_MAX];
	struct iovec seg = {ones, sizeof(ones)};

	memset(ones, 0xff, sizeof(ones));
	for (uint32_t len = 0; len <= sizeof(ones); len += 977) {
		CHECK(nb_csum(&seg, 1, 0, len, 0xffffffffu) == plain(ones, len, 0xffffffffu));
		CHECK(nb_csum(&seg, 1, 0, len, 0) == plain(ones, len, 0));
	}
	memset(ones, 0, sizeof(ones));
	CHECK(nb_csum(&seg, 1, 0, sizeof(ones), 0) == 0);
}

static void
narrow_vectors_do_as_wide_ones(void)
{
	for (uint32_t off = 0; off < 33; off++)
		for (uint32_t len = BLOCK; len <= SIZE - off; len += BLOCK) {
			CHECK(fold(sum_blocks_16(bytes + off, len)) == plain(bytes + off, len, 0));
			CHECK(fold(sum_blocks(bytes + off, len)) == plain(bytes + off, len, 0));
		}
}

int
main(void)
{
	uint64_t state = 42;

	for (uint32_t i = 0; i < SIZE; i++)
		bytes[i] = (uint8_t)check_random(&state);
	every_begin_and_length();
	any_split_gives_the_same();
	carries_are_not_lost();
	narrow_vectors_do_as_wide_ones();
	return 0;
}
