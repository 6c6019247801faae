/* SPDX-License-Identifier: BSD-2-Clause */
/* The Internet checksum (RFC 1071) over segments. */
#include <stdbool.h>
#include <string.h>

#include "services.h"

#define BLOCK 64u

/*
 * Adds up the 32 bit halves of 64 bit lanes: lanes never carry into each
 * other, so the compiler's vectors do as many at once as the machine has.
 * len is a multiple of BLOCK, below 2^32.
 */
#define SUM_BLOCKS(name, vector_bytes)                                                     \
	name(const uint8_t *p, size_t len)                                                 \
	{                                                                                  \
		typedef uint64_t lanes __attribute__((vector_size(vector_bytes)));         \
		lanes low = {0}, high = {0}, low2 = {0}, high2 = {0}, v, v2;               \
		uint64_t sum = 0;                                                          \
                                                                                           \
		for (; len > 0; p += 2 * (vector_bytes), len -= 2 * (vector_bytes)) {      \
			memcpy(&v, p, sizeof(v));                                          \
			memcpy(&v2, p + sizeof(v), sizeof(v2));                            \
			low += v & 0xffffffff;                                             \
			high += v >> 32;                                                   \
			low2 += v2 & 0xffffffff;                                           \
			high2 += v2 >> 32;                                                 \
		}                                                                          \
		low += high + low2 + high2;                                                \
		for (size_t i = 0; i < sizeof(low) / sizeof(uint64_t); i++)                \
			sum += low[i];                                                     \
		return sum;                                                                \
	}

static uint64_t SUM_BLOCKS(sum_blocks_16, 16)

#ifdef __x86_64__
__attribute__((target("avx2"))) static uint64_t SUM_BLOCKS(sum_blocks_32, 32)
#endif

static uint64_t
sum_blocks(const uint8_t *p, size_t len)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		return sum_blocks_32(p, len);
#endif
	return sum_blocks_16(p, len);
}

static uint16_t
fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* The sum of 16 bit words in the byte order of memory; an odd last byte is the first of a word. */
static uint16_t
sum_bytes(const uint8_t *p, size_t len)
{
	size_t blocks = len & ~(size_t)(BLOCK - 1);
	uint64_t sum = 0;
	uint32_t word;
	uint16_t half;

	if (blocks > 0) {
		sum = sum_blocks(p, blocks);
		p += blocks;
		len -= blocks;
	}
	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		sum += word;
	}
	if (len & 2) {
		memcpy(&half, p, sizeof(half));
		sum += half;
		p += sizeof(half);
	}
	if (len & 1) {
		half = 0;
		memcpy(&half, p, 1);
		sum += half;
	}
	return fold(sum);
}

uint16_t
nb_csum(const struct iovec *seg, uint32_t nseg, uint32_t off, uint32_t len, uint32_t seed)
{
	uint64_t sum = seed;
	bool odd = false;

	for (uint32_t i = 0; i < nseg && len > 0; i++) {
		size_t have = seg[i].iov_len;
		uint16_t part;

		if (off >= have) {
			off -= (uint32_t)have;
			continue;
		}
		have -= off;
		if (have > len)
			have = len;
		part = sum_bytes((const uint8_t *)seg[i].iov_base + off, have);
		/* A segment that begins at an odd byte has its words turned (RFC 1071, 2.B). */
		sum += odd ? __builtin_bswap16(part) : part;
		odd ^= have & 1;
		len -= (uint32_t)have;
		off = 0;
	}
	return fold(sum);
}
