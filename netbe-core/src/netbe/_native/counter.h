/* SPDX-License-Identifier: BSD-2-Clause */
/* Counters with one writer and any number of readers. */
#ifndef NETBE_COUNTER_H
#define NETBE_COUNTER_H

#include <stdint.h>

static inline void
nb_counter_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

#endif
