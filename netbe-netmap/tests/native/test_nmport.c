/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames through netmap's rings: order, fragments, headers, room, what is lent and when there is a sync. */
#include "fake_rings.h"
#include "ring_frames.h"

#define SLOTS 16u
#define BUF 2048u
#define MOST 64u

static uint8_t flat[NETBE_FRAME_MAX];

/* The frame's bytes in one piece. */
static const uint8_t *
gathered(const struct netbe_frame *f)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < f->nseg; i++) {
		memcpy(flat + at, f->seg[i].iov_base, f->seg[i].iov_len);
		at += (uint32_t)f->seg[i].iov_len;
	}
	CHECK(at == f->len);
	return flat;
}

static bool
is(const struct netbe_frame *f, uint32_t number, uint32_t len)
{
	static uint8_t wanted[NETBE_FRAME_MAX];

	ring_fill(wanted, number, len);
	return f->len == len && memcmp(gathered(f), wanted, len) == 0;
}

/* The next frame is that one; it is given back. */
static void
takes(struct fake_rings *r, uint32_t number, uint32_t len)
{
	struct netbe_frame f;

	CHECK(r->port->rx_burst(r->port, &f, 1) == 1);
	CHECK(is(&f, number, len));
	CHECK(r->port->release(r->port, 1) == 0);
}

static void
has_none(struct fake_rings *r)
{
	struct netbe_frame f;

	CHECK(r->port->rx_burst(r->port, &f, 1) == 0);
}

static uint64_t
drops(const uint64_t *counters)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < NETBE_DROP_REASONS; i++)
		sum += counters[i];
	return sum;
}

static void
frames_of_every_length_arrive_in_order_around_the_ring(void)
{
	struct fake_rings r;
	uint64_t bytes = 0;

	fake_open(&r, SLOTS, BUF, 0);
	for (uint32_t i = 0; i < 300; i++) {
		uint32_t len = i < 200 ? 14 + i : 14 + i * 37 % 2035;

		CHECK(ring_send(r.port, i, len) == 1);
		takes(&r, i, len);
		bytes += len;
	}
	CHECK(r.port->stats->tx_frames == 300 && r.port->stats->rx_frames == 300);
	CHECK(r.port->stats->tx_bytes == bytes && r.port->stats->rx_bytes == bytes);
	has_none(&r);
	fake_close(&r);
}

static void
a_frame_longer_than_a_buffer_takes_several_slots_with_and_without_a_header(void)
{
	static const uint32_t hdr_lens[] = {0, 10, 12}, lengths[] = {2037, 2048, 2049, 4096, 9000, 26000};
	struct fake_rings r;
	uint32_t number = 0;

	for (uint32_t h = 0; h < 3; h++) {
		fake_open(&r, SLOTS, BUF, hdr_lens[h]);
		for (uint32_t round = 0; round < 7; round++) /* so that each wraps somewhere */
			for (uint32_t i = 0; i < 6; i++, number++) {
				CHECK(ring_send(r.port, number, lengths[i]) == 1);
				takes(&r, number, lengths[i]);
			}
		fake_close(&r);
	}
}

static void
eighty_fragments_pass(void)
{
	struct fake_rings r;
	struct netbe_frame f;

	fake_open(&r, 128, 64, 0);
	for (uint32_t i = 0; i < 5; i++) {
		CHECK(ring_send(r.port, i, 80 * 64) == 1);
		CHECK(r.port->rx_burst(r.port, &f, 1) == 1 && f.nseg == 80 && is(&f, i, 80 * 64));
		CHECK(r.port->release(r.port, 1) == 0);
	}
	fake_close(&r);
}

static void
a_device_that_bears_less_is_sent_less(void)
{
	static const uint32_t hdr_lens[] = {0, 12};
	struct fake_rings r;

	for (uint32_t h = 0; h < 2; h++) {
		uint32_t hdr_len = hdr_lens[h];

		fake_open(&r, SLOTS, BUF, hdr_len);
		nm_port_free(r.port);
		r.config.tx_spare = 64;
		r.config.tx_frags = 3;
		r.port = nm_port_new(&r.config, &fake_ops, &r);
		CHECK(r.port != NULL);
		CHECK(ring_send(r.port, 0, BUF - 64 - hdr_len) == 1);
		CHECK(r.config.tx->head == 1 && r.config.tx->slot[0].len == BUF - 64);
		CHECK(ring_send(r.port, 1, BUF - 64 - hdr_len + 1) == 1);
		CHECK(r.config.tx->head == 3 && r.config.tx->slot[1].len == BUF - 64 && r.config.tx->slot[2].len == 1);
		CHECK(ring_send(r.port, 2, 3 * BUF - 64 - hdr_len) == 1);
		CHECK(r.config.tx->head == 6 && r.config.tx->slot[5].len == BUF);
		CHECK(ring_send(r.port, 3, 3 * BUF - 64 - hdr_len + 1) == -EMSGSIZE);
		takes(&r, 0, BUF - 64 - hdr_len);
		takes(&r, 1, BUF - 64 - hdr_len + 1);
		takes(&r, 2, 3 * BUF - 64 - hdr_len);
		fake_close(&r);
	}
}

static void
a_header_goes_and_comes_with_its_frame(void)
{
	static const uint32_t hdr_lens[] = {10, 12};
	uint8_t bytes[100];
	struct iovec seg = {bytes, sizeof(bytes)};
	struct netbe_frame f = {.hdr = {1, NETBE_GSO_TCPV4, 54, 1448, 34, 16, 0}, .len = 100, .nseg = 1, .seg = &seg}, got;
	struct fake_rings r;

	ring_fill(bytes, 5, sizeof(bytes));
	for (uint32_t h = 0; h < 2; h++) {
		fake_open(&r, SLOTS, BUF, hdr_lens[h]);
		CHECK(r.port->tx_burst(r.port, &f, 1) == 1);
		CHECK(r.config.tx->slot[0].len == 100 + hdr_lens[h]);
		CHECK(r.port->rx_burst(r.port, &got, 1) == 1 && is(&got, 5, 100));
		CHECK(memcmp(&got.hdr, &f.hdr, 10) == 0 && got.hdr.num_buffers == (hdr_lens[h] == 12));
		fake_close(&r);
	}
}

static void
a_header_in_a_slot_of_its_own_is_taken_and_one_over_two_is_dropped(void)
{
	uint8_t hdr[12] = {1, NETBE_GSO_NONE, 0, 0, 0, 0, 34, 0, 16, 0, 1, 0}, bytes[60];
	struct netbe_frame f;
	struct fake_rings r;

	ring_fill(bytes, 9, sizeof(bytes));
	fake_open(&r, SLOTS, BUF, 12);
	fake_arrive(&r, hdr, 12, NM_SLOT_MOREFRAG);
	fake_arrive(&r, bytes, 60, 0);
	CHECK(r.port->rx_burst(r.port, &f, 1) == 1 && is(&f, 9, 60) && f.nseg == 1 && f.hdr.csum_start == 34);
	CHECK(r.port->release(r.port, 1) == 0);
	fake_arrive(&r, hdr, 7, NM_SLOT_MOREFRAG);
	fake_arrive(&r, bytes, 60, 0);
	has_none(&r);
	CHECK(r.port->stats->rx_dropped[NETBE_DROP_BAD_HEADER] == 1);
	fake_close(&r);
}

static void
frames_that_had_arrived_keep_the_header_length_that_they_came_with(void)
{
	struct fake_rings r;

	fake_open(&r, SLOTS, BUF, 0);
	for (uint32_t i = 0; i < 5; i++)
		CHECK(ring_send(r.port, i, 60) == 1);
	nm_port_set_hdr_len(r.port, 12);
	CHECK(ring_send(r.port, 5, 60) == 1);
	nm_port_set_hdr_len(r.port, 10);
	CHECK(ring_send(r.port, 6, 60) == 1);
	for (uint32_t i = 0; i < 7; i++)
		takes(&r, i, 60);
	CHECK(drops(r.port->stats->rx_dropped) == 0);
	fake_close(&r);
}

static void
a_burst_costs_one_sync_to_send_and_one_to_receive(void)
{
	static uint8_t bytes[40][9000];
	static struct iovec seg[40][2];
	struct netbe_frame f[40];
	struct fake_rings r;

	fake_open(&r, 256, BUF, 0);
	for (uint32_t i = 0; i < 40; i++)
		f[i] = ring_frame(bytes[i], seg[i], i, i % 3 == 0 ? 9000 : 60);
	CHECK(r.port->tx_burst(r.port, f, 40) == 40);
	CHECK(r.txsyncs == 1);
	for (uint32_t i = 0; i < 40; i++) /* what is visible needs no other */
		takes(&r, i, i % 3 == 0 ? 9000 : 60);
	CHECK(r.rxsyncs <= 2); /* the second: many slots waited to be given back */
	fake_close(&r);
}

static void
slots_go_back_before_the_ring_has_run_dry(void)
{
	struct netbe_frame f;
	struct fake_rings r;

	fake_open(&r, 64, BUF, 0);
	r.hostile = true; /* the test itself puts frames in */
	for (uint32_t i = 0; i < 60; i++) {
		uint8_t bytes[60];

		ring_fill(bytes, i, 60);
		fake_arrive(&r, bytes, 60, 0);
	}
	for (uint32_t i = 0; i < 40; i++) {
		CHECK(r.port->rx_burst(r.port, &f, 1) == 1 && is(&f, i, 60));
		CHECK(r.port->release(r.port, 1) == 0);
	}
	CHECK(r.given >= 17 && r.rxsyncs == 2);
	fake_close(&r);
}

/* Defect 4 of the seed: a full ring dropped frames and nobody could see it. */
static void
defect_4_a_full_ring_is_seen_by_the_caller(void)
{
	static uint8_t bytes[20][60];
	static struct iovec seg[20][2];
	struct netbe_frame f[20];
	struct fake_rings r;

	fake_open(&r, SLOTS, BUF, 0);
	r.stopped = true;
	for (uint32_t i = 0; i < 20; i++)
		f[i] = ring_frame(bytes[i], seg[i], i, 60);
	CHECK(r.port->tx_burst(r.port, f, 20) == SLOTS - 1);
	CHECK(r.port->tx_burst(r.port, f + 15, 5) == -EAGAIN);
	CHECK(r.port->stats->tx_frames == SLOTS - 1 && drops(r.port->stats->tx_dropped) == 0);
	r.stopped = false;
	CHECK(r.port->tx_burst(r.port, f + 15, 5) == 5);
	for (uint32_t i = 0; i < 20; i++)
		takes(&r, i, 60);
	fake_close(&r);
}

static void
a_frame_that_does_not_fit_now_leaves_no_part_of_it(void)
{
	struct fake_rings r;

	fake_open(&r, SLOTS, BUF, 0);
	r.stopped = true;
	for (uint32_t i = 0; i < 12; i++)
		CHECK(ring_send(r.port, i, 60) == 1);
	CHECK(ring_send(r.port, 12, 9000) == -EAGAIN);
	CHECK(r.config.tx->head == 12);
	CHECK(ring_send(r.port, 12, 4096) == 1);
	r.stopped = false;
	for (uint32_t i = 0; i < 12; i++)
		takes(&r, i, 60);
	takes(&r, 12, 4096);
	has_none(&r);
	fake_close(&r);
}

static void
what_can_never_be_sent_is_told_so_also_where_there_is_no_room(void)
{
	struct fake_rings r;

	fake_open(&r, SLOTS, BUF, 0);
	CHECK(ring_send(r.port, 0, 15 * BUF) == 1);
	r.stopped = true;
	CHECK(ring_send(r.port, 0, 15 * BUF + 1) == -EMSGSIZE);
	r.port->max_frame = 1514;
	CHECK(ring_send(r.port, 0, 1515) == -EMSGSIZE);
	CHECK(ring_send(r.port, 0, 13) == -EINVAL);
	fake_close(&r);
}

/* Defect 3 of the seed: of a frame that was not complete it gave the first part's length. */
static void
defect_3_an_incomplete_frame_at_the_tail_is_not_there_yet(void)
{
	static uint8_t bytes[5000];
	struct fake_rings r;

	ring_fill(bytes, 3, sizeof(bytes));
	fake_open(&r, SLOTS, BUF, 0);
	r.hostile = true;
	for (uint32_t round = 0; round < 8; round++) {
		fake_arrive(&r, bytes, BUF, NM_SLOT_MOREFRAG);
		has_none(&r);
		CHECK(r.port->pending(r.port) == 0); /* nothing to be had by looking again */
		fake_arrive(&r, bytes + BUF, BUF, NM_SLOT_MOREFRAG | 0x300);
		has_none(&r);
		fake_arrive(&r, bytes + 2 * BUF, 5000 - 2 * BUF, 0x300);
		CHECK(r.port->pending(r.port) == 1);
		takes(&r, 3, 5000);
	}
	CHECK(drops(r.port->stats->rx_dropped) == 0);
	fake_close(&r);
}

static void
what_is_lent_is_lent_again_first_and_unchanged(void)
{
	struct netbe_frame f[MOST], again[MOST];
	struct fake_rings r;

	fake_open(&r, SLOTS, BUF, 0);
	for (uint32_t i = 0; i < 10; i++)
		CHECK(ring_send(r.port, i, 60 + i) == 1);
	CHECK(r.port->rx_burst(r.port, f, 4) == 4);
	CHECK(r.port->rx_burst(r.port, again, 2) == 2 && memcmp(f, again, 2 * sizeof(f[0])) == 0);
	CHECK(r.port->rx_burst(r.port, again, MOST) == 10 && memcmp(f, again, 4 * sizeof(f[0])) == 0);
	CHECK(r.port->release(r.port, 11) == -EINVAL);
	CHECK(r.port->release(r.port, 3) == 0);
	/* The ring goes round while some are lent. */
	for (uint32_t i = 10; i < 60; i++) {
		CHECK(ring_send(r.port, i, 60 + i) == 1);
		CHECK(r.port->rx_burst(r.port, f, MOST) >= 7);
		CHECK(is(&f[0], i - 7, 60 + i - 7) && is(&f[1], i - 6, 60 + i - 6));
		CHECK(r.port->release(r.port, 1) == 0);
	}
	CHECK(r.port->release(r.port, 1000) == -EINVAL);
	fake_close(&r);
}

static void
frames_are_written_in_place(void)
{
	struct netbe_frame f[MOST];
	struct fake_rings r;

	fake_open(&r, SLOTS, BUF, 12);
	CHECK(r.port->tx_reserve(r.port, BUF - 11, f, 4) == -EMSGSIZE);
	CHECK(r.port->tx_reserve(r.port, 13, f, 4) == -EINVAL);
	for (uint32_t round = 0; round < 10; round++) {
		CHECK(r.port->tx_reserve(r.port, 1000, f, 4) == 4);
		for (uint32_t i = 0; i < 4; i++) {
			f[i].len = 60 + i;
			ring_fill(f[i].seg[0].iov_base, i, f[i].len);
		}
		CHECK(r.port->tx_commit(r.port, f, 5) == -EINVAL);
		CHECK(r.port->tx_commit(r.port, f, 3) == 3);
		CHECK(r.port->tx_commit(r.port, f, 1) == -EINVAL); /* the fourth was given up */
		for (uint32_t i = 0; i < 3; i++)
			takes(&r, i, 60 + i);
		has_none(&r);
	}
	CHECK(r.port->tx_reserve(r.port, 100, f, 1) == 1);
	f[0].len = 101;
	CHECK(r.port->tx_commit(r.port, f, 1) == -EMSGSIZE);
	CHECK(ring_send(r.port, 7, 60) == 1); /* gives up what was reserved */
	CHECK(r.port->tx_commit(r.port, f, 1) == -EINVAL);
	takes(&r, 7, 60);
	r.stopped = true;
	CHECK(r.port->tx_reserve(r.port, 60, f, MOST) == SLOTS - 1);
	for (uint32_t i = 0; i < SLOTS - 1; i++)
		ring_fill(f[i].seg[0].iov_base, i, 60);
	CHECK(r.port->tx_commit(r.port, f, SLOTS - 1) == SLOTS - 1);
	CHECK(r.port->tx_reserve(r.port, 60, f, 1) == -EAGAIN);
	fake_close(&r);
}

static void
a_device_that_is_gone_stays_gone_and_what_it_had_brought_can_be_had(void)
{
	struct netbe_frame f;
	struct fake_rings r;

	fake_open(&r, SLOTS, BUF, 0);
	CHECK(ring_send(r.port, 0, 60) == 1 && ring_send(r.port, 1, 60) == 1);
	CHECK(r.port->rx_burst(r.port, &f, 1) == 1 && r.port->link_up(r.port) == 1);
	r.rx_result = -ENODEV;
	CHECK(r.port->release(r.port, 1) == 0);
	takes(&r, 1, 60);
	CHECK(r.port->rx_burst(r.port, &f, 1) == -ENODEV && r.port->link_up(r.port) == 0);
	r.rx_result = 0;
	CHECK(r.port->rx_burst(r.port, &f, 1) == -ENODEV);
	r.tx_result = -ENODEV;
	CHECK(ring_send(r.port, 2, 60) == -ENODEV && r.port->stats->tx_frames == 2);
	r.tx_result = 0;
	CHECK(ring_send(r.port, 3, 60) == -ENODEV);
	fake_close(&r);
}

static void
a_link_that_is_down_is_told_at_once_and_forgotten_when_it_is_up(void)
{
	static uint8_t bytes[3][9000];
	static struct iovec seg[3][2];
	struct netbe_frame f[3];
	struct fake_rings r;

	fake_open(&r, SLOTS, BUF, 0);
	for (uint32_t i = 0; i < 3; i++)
		f[i] = ring_frame(bytes[i], seg[i], i, i == 1 ? 9000 : 60);
	CHECK(ring_send(r.port, 7, 60) == 1);
	takes(&r, 7, 60);
	r.tx_result = r.rx_result = -EIO;
	CHECK(r.port->tx_burst(r.port, f, 3) == -EIO);
	CHECK(r.port->tx_burst(r.port, f, 3) == -EIO);
	CHECK(r.config.tx->head == 1 && r.port->stats->tx_frames == 1 && r.port->stats->tx_bytes == 60);
	has_none(&r); /* down is not gone */
	r.tx_result = 0;
	CHECK(r.port->tx_reserve(r.port, 60, f, 1) == 1);
	r.tx_result = -EIO;
	CHECK(r.port->tx_commit(r.port, f, 1) == -EIO);
	r.tx_result = r.rx_result = 0;
	f[0] = ring_frame(bytes[0], seg[0], 0, 60);
	CHECK(r.port->tx_burst(r.port, f, 3) == 3);
	takes(&r, 0, 60);
	takes(&r, 1, 9000);
	takes(&r, 2, 60);
	has_none(&r);
	fake_close(&r);
}

static void
a_port_is_not_made_of_what_makes_no_sense(void)
{
	struct nm_port_config good, bad;
	struct fake_rings r;

	fake_open(&r, SLOTS, BUF, 0);
	good = r.config;
#define REFUSES(field, value)                                                          \
	bad = good;                                                                    \
	bad.field = (value);                                                           \
	CHECK(nm_port_new(&bad, &fake_ops, &r) == NULL && errno == EINVAL)
	REFUSES(tx, NULL);
	REFUSES(rx, NULL);
	REFUSES(tx_slots, 1);
	REFUSES(rx_slots, NM_SLOTS_MAX + 1);
	REFUSES(buf_size, 63);
	REFUSES(hdr_len, 11);
	REFUSES(max_frame, NETBE_FRAME_MAX);
#undef REFUSES
	fake_close(&r);
}

int
main(void)
{
	frames_of_every_length_arrive_in_order_around_the_ring();
	a_frame_longer_than_a_buffer_takes_several_slots_with_and_without_a_header();
	eighty_fragments_pass();
	a_device_that_bears_less_is_sent_less();
	a_header_goes_and_comes_with_its_frame();
	a_header_in_a_slot_of_its_own_is_taken_and_one_over_two_is_dropped();
	frames_that_had_arrived_keep_the_header_length_that_they_came_with();
	a_burst_costs_one_sync_to_send_and_one_to_receive();
	slots_go_back_before_the_ring_has_run_dry();
	defect_4_a_full_ring_is_seen_by_the_caller();
	a_frame_that_does_not_fit_now_leaves_no_part_of_it();
	what_can_never_be_sent_is_told_so_also_where_there_is_no_room();
	defect_3_an_incomplete_frame_at_the_tail_is_not_there_yet();
	what_is_lent_is_lent_again_first_and_unchanged();
	frames_are_written_in_place();
	a_device_that_is_gone_stays_gone_and_what_it_had_brought_can_be_had();
	a_link_that_is_down_is_told_at_once_and_forgotten_when_it_is_up();
	a_port_is_not_made_of_what_makes_no_sense();
	return 0;
}
