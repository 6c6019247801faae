/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Others write to the rings' memory: each word there in turn says what it
 * must not.  A frame is dropped and counted; what comes after it arrives.
 */
#include "fake_rings.h"
#include "io.h"
#include "ring_frames.h"

#define SLOTS 16u
#define BUF 2048u

static uint8_t bytes[NETBE_FRAME_MAX];

static bool
is(const struct netbe_frame *f, uint32_t number, uint32_t len)
{
	static uint8_t wanted[NETBE_FRAME_MAX];

	ring_fill(wanted, number, len);
	return f->nseg == 1 && f->len == len && memcmp(f->seg[0].iov_base, wanted, len) == 0;
}

static void
arrives(struct fake_rings *r, uint32_t number)
{
	ring_fill(bytes, number, 60);
	fake_arrive(r, bytes, 60, 0);
}

static void
takes(struct fake_rings *r, uint32_t number)
{
	struct netbe_frame f;

	CHECK(r->port->rx_burst(r->port, &f, 1) == 1 && is(&f, number, 60));
	CHECK(r->port->release(r->port, 1) == 0);
}

static void
open_hostile(struct fake_rings *r, uint32_t hdr_len)
{
	fake_open(r, SLOTS, BUF, hdr_len);
	r->hostile = true;
}

struct lie {
	const char *what;
	uint32_t buf_idx; /* 0: as it was */
	uint16_t len, flags;
	enum netbe_drop why;
};

static const struct lie lies[] = {
    {"no such buffer", 2 * SLOTS, 60, 0, NETBE_DROP_ERROR},
    {"an index without end", UINT32_MAX, 60, 0, NETBE_DROP_ERROR},
    {"longer than a buffer", 0, BUF + 1, 0, NETBE_DROP_TOO_LONG},
    {"as long as can be said", 0, UINT16_MAX, 0, NETBE_DROP_TOO_LONG},
    {"no length", 0, 0, 0, NETBE_DROP_TOO_SHORT},
    {"no whole header", 0, 13, 0, NETBE_DROP_TOO_SHORT},
    {"an address to follow", 0, 60, NM_SLOT_INDIRECT, NETBE_DROP_ERROR},
};

static void
a_slot_that_lies_costs_its_frame_alone_wherever_it_stands(void)
{
	struct netbe_frame f[SLOTS];
	struct fake_rings r;

	for (uint32_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		const struct lie *lie = &lies[i];

		/* first of two, alone, last of three */
		for (uint32_t where = 0; where < 3; where++) {
			uint32_t begin;

			if (where != 1 && lie->why == NETBE_DROP_TOO_SHORT)
				continue; /* within a frame that is none */
			open_hostile(&r, 0);
			arrives(&r, 1);
			begin = r.filled;
			if (where == 2) {
				fake_arrive(&r, bytes, 5, NM_SLOT_MOREFRAG);
				fake_arrive(&r, bytes, 5, NM_SLOT_MOREFRAG);
				begin += 2;
			}
			fake_arrive(&r, bytes, 60, 0);
			r.config.rx->slot[begin].len = lie->len;
			r.config.rx->slot[begin].flags = lie->flags;
			r.config.rx->slot[begin].ptr = 0x10;
			if (lie->buf_idx != 0)
				r.config.rx->slot[begin].buf_idx = lie->buf_idx;
			if (where == 0) {
				r.config.rx->slot[begin].flags |= NM_SLOT_MOREFRAG;
				fake_arrive(&r, bytes, 60, 0);
			}
			arrives(&r, 2);
			CHECK(r.port->rx_burst(r.port, f, SLOTS) == 2 && is(&f[0], 1, 60) && is(&f[1], 2, 60));
			CHECK(r.port->stats->rx_dropped[lie->why] == 1);
			CHECK(r.port->release(r.port, 2) == 0);
			fake_close(&r);
		}
	}
}

static void
a_tail_that_is_no_slot_brings_nothing_and_is_forgotten_when_it_is_one_again(void)
{
	static const uint32_t tails[] = {SLOTS, SLOTS + 1, 0x80000000u, UINT32_MAX};
	struct netbe_frame f;
	struct fake_rings r;

	open_hostile(&r, 0);
	for (uint32_t i = 0; i < 4; i++) {
		r.rx_result = -EAGAIN; /* the provider does not set it right */
		arrives(&r, i);
		r.config.rx->tail = tails[i];
		CHECK(r.port->rx_burst(r.port, &f, 1) == 0);
		CHECK(r.port->rx_burst(r.port, &f, 1) == 0);
		CHECK(r.port->pending(r.port) == 0);
		CHECK(r.port->stats->rx_dropped[NETBE_DROP_ERROR] == i + 1); /* seen, once */
		r.rx_result = 0;
		takes(&r, i);
	}
	fake_close(&r);
}

static void
a_tail_that_steps_back_lends_nothing_twice(void)
{
	struct netbe_frame f[SLOTS];
	struct fake_rings r;

	open_hostile(&r, 0);
	r.rx_result = -EAGAIN;
	for (uint32_t i = 0; i < 8; i++)
		arrives(&r, i);
	CHECK(r.port->rx_burst(r.port, f, 6) == 6);
	for (uint32_t tail = 0; tail < 6; tail++) {
		r.config.rx->tail = tail;
		CHECK(r.port->rx_burst(r.port, f, SLOTS) == 6);
		for (uint32_t i = 0; i < 6; i++)
			CHECK(is(&f[i], i, 60));
	}
	r.config.rx->tail = 8;
	CHECK(r.port->rx_burst(r.port, f, SLOTS) == 8 && is(&f[7], 7, 60));
	fake_close(&r);
}

static void
head_cur_and_sizes_in_the_memory_are_not_believed(void)
{
	struct fake_rings r;

	open_hostile(&r, 0);
	for (uint32_t i = 0; i < 40; i++) {
		struct netmap_ring *rings[] = {r.config.tx, r.config.rx};

		CHECK(ring_send(r.port, i, 60) == 1);
		takes(&r, i);
		for (uint32_t k = 0; k < 2; k++) {
			rings[k]->head = i * 0x01234567u;
			rings[k]->cur = ~i;
			rings[k]->num_slots = i % 3 == 0 ? 0 : UINT32_MAX;
			rings[k]->nr_buf_size = UINT32_MAX;
			rings[k]->buf_ofs = -1;
			rings[k]->flags = UINT32_MAX;
		}
	}
	fake_close(&r);
}

static void
a_frame_without_an_end_is_dropped_when_it_fills_the_ring(void)
{
	struct netbe_frame f;
	struct fake_rings r;

	open_hostile(&r, 0);
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 3 * SLOTS; i++) {
			fake_arrive(&r, bytes, 60, NM_SLOT_MOREFRAG);
			CHECK(r.port->rx_burst(r.port, &f, 1) == 0);
		}
		fake_arrive(&r, bytes, 60, 0); /* its end, which is no frame */
		CHECK(r.port->rx_burst(r.port, &f, 1) == 0);
		CHECK(r.port->stats->rx_dropped[NETBE_DROP_TOO_LONG] == round + 1);
		arrives(&r, round);
		takes(&r, round);
	}
	fake_close(&r);
}

static void
a_frame_of_more_slots_than_segments_may_be_is_dropped(void)
{
	struct netbe_frame f;
	struct fake_rings r;

	fake_open(&r, 2048, 64, 0);
	r.hostile = true;
	for (uint32_t i = 0; i < 1024; i++)
		fake_arrive(&r, bytes, 1, NM_SLOT_MOREFRAG);
	fake_arrive(&r, bytes, 1, 0);
	CHECK(r.port->rx_burst(r.port, &f, 1) == 0 && r.port->stats->rx_dropped[NETBE_DROP_TOO_LONG] == 1);
	for (uint32_t i = 0; i < 1022; i++) /* empty ones are no segments */
		fake_arrive(&r, bytes, i % 2, NM_SLOT_MOREFRAG);
	fake_arrive(&r, bytes, 1, 0);
	CHECK(r.port->rx_burst(r.port, &f, 1) == 1 && f.len == 512 && f.nseg == 512);
	fake_close(&r);
}

static void
a_tx_slot_without_a_buffer_costs_one_frame_and_stops_nothing(void)
{
	struct netbe_frame f[4];
	struct fake_rings r;

	open_hostile(&r, 0);
	r.config.tx->slot[1].buf_idx = UINT32_MAX;
	r.config.tx->slot[4].buf_idx = 2 * SLOTS;
	CHECK(ring_send(r.port, 0, 60) == 1);
	CHECK(ring_send(r.port, 1, 60) == 1);   /* dropped, and counted */
	CHECK(ring_send(r.port, 2, 9000) == 1); /* likewise, with the slots 2 and 3 */
	CHECK(r.port->stats->tx_dropped[NETBE_DROP_ERROR] == 2 && r.port->stats->tx_frames == 1);
	CHECK(ring_send(r.port, 3, 60) == 1);
	takes(&r, 0);
	takes(&r, 3);
	/* In place: the slot is passed by. */
	r.config.tx->slot[6].buf_idx = UINT32_MAX;
	CHECK(r.port->tx_reserve(r.port, 60, f, 4) == 4);
	for (uint32_t i = 0; i < 4; i++)
		ring_fill(f[i].seg[0].iov_base, 10 + i, 60);
	CHECK(r.port->tx_commit(r.port, f, 4) == 4);
	for (uint32_t i = 0; i < 4; i++)
		takes(&r, 10 + i);
	fake_close(&r);
}

static void
a_tx_slot_with_the_buffer_of_another_is_not_written_to(void)
{
	static const uint8_t zeros[BUF];
	struct fake_rings r;

	open_hostile(&r, 0);
	nm_port_free(r.port);
	r.config.tx_nbufs = SLOTS; /* the rx ring's are not ours */
	r.port = nm_port_new(&r.config, &fake_ops, &r);
	CHECK(r.port != NULL);
	r.config.tx->slot[0].buf_idx = SLOTS;
	CHECK(ring_send(r.port, 0, 60) == 1);
	CHECK(r.port->stats->tx_dropped[NETBE_DROP_ERROR] == 1);
	CHECK(memcmp(fake_buffer(&r, SLOTS), zeros, BUF) == 0);
	CHECK(ring_send(r.port, 1, 60) == 1);
	CHECK(r.port->stats->tx_frames == 1);
	fake_close(&r);
}

static void
a_tx_tail_that_is_no_slot_is_no_room(void)
{
	struct fake_rings r;

	open_hostile(&r, 0);
	r.tx_result = -EAGAIN; /* the provider does not set it right */
	r.config.tx->tail = SLOTS;
	CHECK(ring_send(r.port, 0, 60) < 0);
	r.tx_result = 0;
	r.config.tx->tail = UINT32_MAX;
	CHECK(ring_send(r.port, 1, 60) == 1); /* the sync before it has set it right */
	takes(&r, 1);
	fake_close(&r);
}

static uint32_t
all_of_it(void *ctx)
{
	struct fake_rings *r = ctx;

	return (r->config.tx->head + SLOTS - r->taken) % SLOTS;
}

static void
what_is_taken_back_never_steps_over_the_begin_of_its_burst(void)
{
	struct nm_ops ops = fake_ops;
	struct fake_rings r;

	open_hostile(&r, 0);
	nm_port_free(r.port);
	ops.untaken = all_of_it;
	r.port = nm_port_new(&r.config, &ops, &r);
	CHECK(r.port != NULL && ring_send(r.port, 0, 60) == 1 && ring_send(r.port, 1, 60) == 1);
	r.stopped = true;
	CHECK(ring_send(r.port, 2, 60) == -EAGAIN);
	CHECK(r.config.tx->head == 2 && r.port->stats->tx_frames == 2);
	r.config.tx->slot[2].buf_idx = UINT32_MAX; /* one slot of the five is used */
	CHECK(ring_send(r.port, 2, 9000) == -EAGAIN);
	CHECK(r.config.tx->head == 2);
	r.config.tx->slot[2].buf_idx = 2;
	r.stopped = false;
	CHECK(ring_send(r.port, 2, 60) == 1);
	for (uint32_t i = 0; i < 3; i++)
		takes(&r, i);
	fake_close(&r);
}

/* Defect 2 of the seed: too little room, and the caller met the same frame for ever. */
static void
defect_2_a_frame_that_does_not_fit_is_kept_and_can_be_taken_out(void)
{
	static uint8_t room[9000];
	struct nb_io *io;
	struct fake_rings r;
	struct iovec iov = {room, 100};

	fake_open(&r, SLOTS, BUF, 0);
	io = nb_io_new(r.port);
	CHECK(io != NULL && ring_send(r.port, 0, 9000) == 1 && ring_send(r.port, 1, 9000) == 1);
	for (uint32_t i = 0; i < 3; i++) {
		CHECK(nb_io_recvv(io, &iov, 1) == -EMSGSIZE);
		CHECK(nb_io_peek(io) == 9000);
	}
	iov.iov_len = sizeof(room);
	CHECK(nb_io_recvv(io, &iov, 1) == 9000);
	iov.iov_len = 100;
	CHECK(nb_io_recvv(io, &iov, 1) == -EMSGSIZE);
	CHECK(nb_io_discard(io) == 9000);
	CHECK(nb_io_peek(io) == 0);
	nb_io_free(io);
	fake_close(&r);
}

int
main(void)
{
	a_slot_that_lies_costs_its_frame_alone_wherever_it_stands();
	a_tail_that_is_no_slot_brings_nothing_and_is_forgotten_when_it_is_one_again();
	a_tail_that_steps_back_lends_nothing_twice();
	head_cur_and_sizes_in_the_memory_are_not_believed();
	a_frame_without_an_end_is_dropped_when_it_fills_the_ring();
	a_frame_of_more_slots_than_segments_may_be_is_dropped();
	a_tx_slot_without_a_buffer_costs_one_frame_and_stops_nothing();
	a_tx_slot_with_the_buffer_of_another_is_not_written_to();
	a_tx_tail_that_is_no_slot_is_no_room();
	what_is_taken_back_never_steps_over_the_begin_of_its_burst();
	defect_2_a_frame_that_does_not_fit_is_kept_and_can_be_taken_out();
	return 0;
}
