/* SPDX-License-Identifier: BSD-2-Clause */
/* What the C tests share. */
#ifndef NETBE_CHECK_H
#define NETBE_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Like assert(), but always there. */
#define CHECK(truth)                                                                        \
	do {                                                                                \
		if (!(truth)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #truth); \
			abort();                                                            \
		}                                                                           \
	} while (0)

/* The same numbers in every run (xorshift64*, Vigna 2016). */
static inline uint64_t
check_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 2685821657736338717ull;
}

#endif
