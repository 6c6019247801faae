/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The least that a ring between two threads can do: slots of 2048 bytes and a
 * length, one copy in, one copy out, indices published once a burst.
 * ring_plain SIZE SECONDS
 */
#include <string.h>

#include "timing.h"

#define SLOTS 1024
#define BURST 64

static struct {
	_Alignas(64) _Atomic uint64_t head;
	_Alignas(64) _Atomic uint64_t tail;
	uint32_t length[SLOTS];
	uint8_t slot[SLOTS][2048];
} ring;
static volatile uint64_t sum;

static void *
produce(void *size)
{
	static uint8_t data[2048];
	size_t length = *(size_t *)size;
	uint64_t tail = 0, head = 0;

	pin(0);
	while (!over) {
		if (tail + BURST - head > SLOTS) {
			head = atomic_load_explicit(&ring.head, memory_order_acquire);
			if (tail + BURST - head > SLOTS) {
				sched_yield();
				continue;
			}
		}
		for (int i = 0; i < BURST; i++, tail++) {
			memcpy(ring.slot[tail % SLOTS], data, length);
			ring.length[tail % SLOTS] = (uint32_t)length;
		}
		atomic_store_explicit(&ring.tail, tail, memory_order_release);
	}
	return NULL;
}

static uint64_t
consume(void)
{
	static uint8_t out[2048];
	uint64_t head = 0;

	while (!over) {
		uint64_t tail = atomic_load_explicit(&ring.tail, memory_order_acquire);

		for (; head != tail; head++) {
			memcpy(out, ring.slot[head % SLOTS], ring.length[head % SLOTS]);
			sum += out[0];
		}
		atomic_store_explicit(&ring.head, head, memory_order_release);
	}
	return head;
}

int
main(int argc, char **argv)
{
	return measure(argc, argv);
}
