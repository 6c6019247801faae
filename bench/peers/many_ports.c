/* SPDX-License-Identifier: BSD-2-Clause */
/* Many ports in turn on one thread that never sleeps, as a library; ports and frames are the caller's. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "netbe.h"

#define BURST 64

static uint64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/*
 * Port i sends the frame of `size` bytes at data + i * size, a burst at a time, until so many nanoseconds are
 * over; who has no room waits for the next turn. 0, or -errno.
 */
int
send_in_turn(struct netbe_port **ports, uint32_t count, const uint8_t *data, uint32_t size, uint64_t ns)
{
	uint64_t end = now() + ns;
	struct netbe_frame frames[BURST];

	while (now() < end) {
		for (uint32_t p = 0; p < count; p++) {
			struct iovec seg = {(void *)(data + (size_t)p * size), size};
			int n;

			for (int i = 0; i < BURST; i++)
				frames[i] = (struct netbe_frame){.len = size, .nseg = 1, .seg = &seg};
			n = ports[p]->tx_burst(ports[p], frames, BURST);
			if (n < 0 && n != -EAGAIN)
				return n;
		}
	}
	return 0;
}

/*
 * Takes what comes at all the ports and copies it out, until there was nothing for `idle` nanoseconds, or no
 * first frame for ten times as long. The frames, or -errno; spent: nanoseconds from the first to the last.
 */
int64_t
receive_in_turn(struct netbe_port **ports, uint32_t count, uint64_t idle, uint64_t *spent)
{
	static uint8_t out[65536];
	struct netbe_frame frames[BURST];
	uint64_t first = 0, at = now(), last = at;
	int64_t taken = 0;

	while (at - last < (taken > 0 ? idle : 10 * idle)) {
		int64_t before = taken;

		for (uint32_t p = 0; p < count; p++) {
			int n = ports[p]->rx_burst(ports[p], frames, BURST);

			if (n < 0)
				return n;
			for (int i = 0; i < n; i++) {
				const struct iovec *seg = frames[i].seg;

				memcpy(out, seg->iov_base, seg->iov_len < sizeof(out) ? seg->iov_len : sizeof(out));
				__asm__ volatile("" : : "r"(out) : "memory"); /* so that the copy is made */
			}
			if (n > 0)
				ports[p]->release(ports[p], (uint32_t)n);
			taken += n;
		}
		at = now();
		if (taken == before)
			continue;
		last = at;
		if (first == 0)
			first = at;
	}
	*spent = last - first;
	return taken;
}
