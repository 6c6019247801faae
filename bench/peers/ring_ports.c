/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames through netbe's in-process ring port: ring_ports SIZE SECONDS */
#include "timing.h"

#include "netbe.h"
#include "ring.h"

#define BURST 64

static struct netbe_port *near_end, *far_end;
static volatile uint64_t sum; /* so that the frames are read */

static void *
produce(void *size)
{
	static uint8_t data[2048];
	struct iovec seg = {data, *(size_t *)size};
	struct netbe_frame frames[BURST];

	pin(0);
	for (int i = 0; i < BURST; i++)
		frames[i] = (struct netbe_frame){.len = (uint32_t)seg.iov_len, .nseg = 1, .seg = &seg};
	while (!over)
		if (near_end->tx_burst(near_end, frames, BURST) <= 0)
			sched_yield();
	return NULL;
}

static uint64_t
consume(void)
{
	static uint8_t out[2048];
	struct netbe_frame frames[BURST];
	uint64_t taken = 0;

	while (!over) {
		int n = far_end->rx_burst(far_end, frames, BURST);

		for (int i = 0; i < n; i++) {
			__builtin_memcpy(out, frames[i].seg->iov_base, frames[i].len);
			sum += out[0];
		}
		if (n > 0)
			far_end->release(far_end, (uint32_t)n);
		taken += n > 0 ? (uint64_t)n : 0;
	}
	return taken;
}

int
main(int argc, char **argv)
{
	if (nb_ring_pair_new(1 << 18, 1514, NULL, &near_end, &far_end) != 0)
		return 1;
	return measure(argc, argv);
}
