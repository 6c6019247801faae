/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bridge between fake ports: what it brings, what it keeps, what it drops and why.
 * Threads share the counters; run.py: tsan
 */
#include "engine_rig.h"

static void
a_bridge_brings_frames_both_ways_in_order(bool arms)
{
	struct rig rig;

	make(&rig, config_of(2, NB_ON_FULL_WAIT), arms);
	start(&rig);
	for (uint32_t round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < 200; i++) {
			put(&rig, 0, 2, 1, i);
			put(&rig, 1, 1, 2, i + 1000);
		}
		for (uint32_t i = 0; i < 200; i++) {
			CHECK(gets(&rig, 1, i));
			CHECK(gets(&rig, 0, i + 1000));
		}
	}
	stop(&rig);
	CHECK(stats(&rig, 0).rx_frames == 4000 && stats(&rig, 0).tx_frames == 4000);
	CHECK(stats(&rig, 0).rx_bytes == 4000 * 60);
	nb_engine_detach(rig.engine);
	CHECK(stats(&rig, 1).rx_frames == 4000);
	end(&rig);
}

static uint64_t
looks(struct rig *rig)
{
	return __atomic_load_n(&rig->port[0].rx_calls, __ATOMIC_RELAXED) +
	       __atomic_load_n(&rig->port[1].rx_calls, __ATOMIC_RELAXED);
}

static void
an_idle_pump_sleeps(bool arms)
{
	struct rig rig;
	uint64_t before;

	make(&rig, config_of(2, NB_ON_FULL_WAIT), arms);
	start(&rig);
	put(&rig, 0, 2, 1, 7);
	CHECK(gets(&rig, 1, 7));
	usleep(20000);
	before = looks(&rig);
	usleep(50000);
	CHECK(looks(&rig) == before);
	stop(&rig);
	end(&rig);
}

static void
a_full_port_is_waited_for_and_loses_nothing(bool arms)
{
	struct rig rig;

	make(&rig, config_of(2, NB_ON_FULL_WAIT), arms);
	fake_set_room(&rig.port[1], 3);
	start(&rig);
	for (uint32_t i = 0; i < 500; i++)
		put(&rig, 0, 2, 1, i);
	/* The other way is served meanwhile. */
	put(&rig, 1, 1, 2, 9);
	CHECK(gets(&rig, 0, 9));
	for (uint32_t i = 0; i < 500; i++)
		CHECK(gets(&rig, 1, i));
	stop(&rig);
	CHECK(stats(&rig, 1).tx_dropped[NETBE_DROP_FULL] == 0);
	end(&rig);
}

static void
a_stuck_port_is_waited_for_once(bool arms)
{
	struct rig rig;
	uint64_t begin;

	make(&rig, config_of(2, NB_ON_FULL_WAIT), arms);
	fake_set_room(&rig.port[1], 0);
	start(&rig);
	begin = fake_now();
	put(&rig, 0, 2, 1, 0);
	wait_until(&rig, 1, NETBE_DROP_FULL, 1);
	CHECK(fake_now() - begin >= 45 * MS);
	begin = fake_now();
	for (uint32_t i = 1; i < 100; i++)
		put(&rig, 0, 2, 1, i);
	wait_until(&rig, 1, NETBE_DROP_FULL, 100);
	CHECK(fake_now() - begin < 45 * MS);
	/* Once it takes frames, it is waited for again. */
	fake_set_room(&rig.port[1], 1);
	put(&rig, 0, 2, 1, 200);
	put(&rig, 0, 2, 1, 201);
	usleep(5000);
	CHECK(gets(&rig, 1, 200) && gets(&rig, 1, 201));
	stop(&rig);
	end(&rig);
}

static void
on_full_drop_does_not_wait(void)
{
	struct rig rig;

	make(&rig, config_of(2, NB_ON_FULL_DROP), false);
	fake_set_room(&rig.port[1], 2);
	for (uint32_t i = 0; i < 10; i++)
		put(&rig, 0, 2, 1, i);
	start(&rig);
	wait_until(&rig, 1, NETBE_DROP_FULL, 8);
	CHECK(gets(&rig, 1, 0) && gets(&rig, 1, 1));
	stop(&rig);
	end(&rig);
}

static void
what_is_held_at_stop_stays_with_its_port(void)
{
	struct rig rig;

	make(&rig, config_of(2, NB_ON_FULL_WAIT), true);
	fake_set_room(&rig.port[1], 4);
	for (uint32_t i = 0; i < 10; i++)
		put(&rig, 0, 2, 1, i);
	start(&rig);
	for (uint64_t until = fake_now() + 2000 * MS; fake_waiting(&rig.port[0]) > 6 && fake_now() < until;)
		usleep(100);
	stop(&rig);
	CHECK(fake_waiting(&rig.port[0]) == 6);
	CHECK(stats(&rig, 1).tx_frames == 4 && stats(&rig, 1).tx_dropped[NETBE_DROP_STOPPED] == 0);
	end(&rig);
}

static void
a_refused_frame_does_not_stop_the_next(void)
{
	uint8_t bytes[2000];
	struct rig rig;

	make(&rig, config_of(2, NB_ON_FULL_WAIT), false);
	start(&rig);
	fake_put(&rig.port[0], bytes, frame(bytes, 2, 1, 2000, 0));
	fake_put(&rig.port[0], bytes, 9);
	put(&rig, 0, 2, 1, 5);
	CHECK(gets(&rig, 1, 5));
	stop(&rig);
	CHECK(stats(&rig, 1).tx_dropped[NETBE_DROP_TOO_LONG] == 1);
	CHECK(stats(&rig, 1).tx_dropped[NETBE_DROP_TOO_SHORT] == 1);
	end(&rig);
}

static void
a_port_that_takes_nothing_for_now_drops_and_comes_back(int error, enum netbe_drop why)
{
	struct rig rig;

	make(&rig, config_of(2, NB_ON_FULL_WAIT), false);
	fake_break(&rig.port[1], 0, error);
	start(&rig);
	put(&rig, 0, 2, 1, 1);
	wait_until(&rig, 1, why, 1);
	fake_break(&rig.port[1], 0, 0);
	put(&rig, 0, 2, 1, 2);
	CHECK(gets(&rig, 1, 2));
	stop(&rig);
	end(&rig);
}

static void
a_bridge_ends_with_its_port_and_brings_what_was_there(bool arms)
{
	struct rig rig;

	make(&rig, config_of(2, NB_ON_FULL_WAIT), arms);
	for (uint32_t i = 0; i < 300; i++)
		put(&rig, 0, 2, 1, i);
	fake_break(&rig.port[0], -ENODEV, -ENODEV);
	put(&rig, 1, 1, 2, 0); /* found out by sending */
	start(&rig);
	join(&rig, -ENODEV);
	for (uint32_t i = 0; i < 300; i++)
		CHECK(gets(&rig, 1, i));
	CHECK(fake_waiting(&rig.port[1]) == 1);
	CHECK(nb_engine_port_error(rig.engine, 0) == -ENODEV && nb_engine_port_error(rig.engine, 1) == 0);
	end(&rig);
}

static void
what_was_handed_over_comes_first(bool arms)
{
	struct netbe_vnet_hdr hdr = {0};
	uint8_t bytes[60];
	struct rig rig;

	make(&rig, config_of(2, NB_ON_FULL_WAIT), arms);
	fake_set_room(&rig.port[1], 2);
	for (uint32_t i = 5; i < 10; i++)
		put(&rig, 0, 2, 1, i);
	for (uint32_t i = 0; i < 5; i++)
		CHECK(nb_engine_inject(rig.engine, 0, &hdr, bytes, frame(bytes, 2, 1, 60, i)) == 0);
	start(&rig);
	for (uint32_t i = 0; i < 10; i++)
		CHECK(gets(&rig, 1, i));
	stop(&rig);
	end(&rig);
}

#define LARGE (14u + 20u + 20u + 3000u) /* three segments of 1000 bytes */

static struct netbe_vnet_hdr
large(uint8_t bytes[LARGE])
{
	memset(bytes, 0, LARGE);
	frame(bytes, 2, 1, 14, 0);
	memcpy(bytes + 12, (uint8_t[]){8, 0, 0x45, 0, (LARGE - 14) >> 8, (LARGE - 14) & 0xff}, 6);
	bytes[14 + 8] = 64;
	bytes[14 + 9] = 6;
	bytes[14 + 20 + 12] = 0x50;
	for (uint32_t i = 54; i < LARGE; i++)
		bytes[i] = (uint8_t)(i / 1000);
	return (struct netbe_vnet_hdr){.flags = NETBE_HDR_NEEDS_CSUM,
	                               .gso_type = NETBE_GSO_TCPV4,
	                               .hdr_len = 54,
	                               .gso_size = 1000,
	                               .csum_start = 34,
	                               .csum_offset = 16};
}

static void
gets_piece(struct rig *rig, uint32_t i, const uint8_t bytes[LARGE])
{
	struct fake_frame *f = fake_take(&rig->port[1], 2000);
	uint32_t seq = htobe32(i * 1000);

	CHECK(f != NULL && f->len == 1054 && f->hdr.gso_type == 0);
	CHECK(memcmp(f->bytes + 38, &seq, 4) == 0);
	CHECK(memcmp(f->bytes + 54, bytes + 54 + i * 1000, 1000) == 0);
	fake_frame_free(f);
}

static void
a_large_frame_is_cut_for_who_can_not_take_it(uint32_t room)
{
	uint8_t bytes[LARGE];
	struct netbe_vnet_hdr hdr = large(bytes);
	struct rig rig;

	make(&rig, config_of(2, NB_ON_FULL_WAIT), true);
	rig.port[1].port.features[0] = NETBE_F_CSUM;
	fake_set_room(&rig.port[1], room);
	fake_put_hdr(&rig.port[0], &hdr, bytes, sizeof(bytes));
	put(&rig, 0, 2, 1, 5);
	start(&rig);
	for (uint32_t i = 0; i < 3; i++) {
		gets_piece(&rig, i, bytes);
		usleep(1000);
	}
	CHECK(gets(&rig, 1, 5));
	/* A port that takes it gets it whole. */
	rig.port[1].port.features[0] = NETBE_F_CSUM | NETBE_F_HOST_TSO4;
	fake_put_hdr(&rig.port[0], &hdr, bytes, sizeof(bytes));
	{
		struct fake_frame *f = fake_take(&rig.port[1], 2000);

		CHECK(f != NULL && f->len == sizeof(bytes) && f->hdr.gso_size == 1000);
		fake_frame_free(f);
	}
	hdr.csum_start = 60000;
	fake_put_hdr(&rig.port[0], &hdr, bytes, sizeof(bytes));
	put(&rig, 0, 2, 1, 6);
	CHECK(gets(&rig, 1, 6));
	stop(&rig);
	CHECK(stats(&rig, 0).rx_dropped[NETBE_DROP_BAD_HEADER] == 1);
	end(&rig);
}

/* Whoever shares the memory of a frame may spoil it while the rest of its pieces has to wait. */
static int
spoils_what_waits(struct netbe_port *port, const struct netbe_frame *frames, uint32_t n)
{
	struct fake_port *from = (struct fake_port *)port->ctx - 1;
	int sent = fake_tx_burst(port, frames, n);

	if (sent == -EAGAIN) {
		pthread_mutex_lock(&from->lock);
		from->in.first->hdr.csum_start = 60000;
		pthread_mutex_unlock(&from->lock);
	}
	return sent;
}

static bool
spoiled(struct fake_port *p)
{
	bool yes;

	pthread_mutex_lock(&p->lock);
	yes = p->in.first->hdr.csum_start == 60000;
	pthread_mutex_unlock(&p->lock);
	return yes;
}

static void
a_frame_that_turns_bad_half_way_takes_no_piece_of_the_next(void)
{
	struct nb_engine_config config = config_of(2, NB_ON_FULL_WAIT);
	uint8_t bytes[LARGE];
	struct netbe_vnet_hdr hdr = large(bytes);
	struct rig rig;

	config.wait_ns = 10000 * MS;
	make(&rig, config, false);
	rig.port[1].port.features[0] = NETBE_F_CSUM;
	rig.port[1].port.tx_burst = spoils_what_waits;
	fake_set_room(&rig.port[1], 1);
	for (uint32_t i = 0; i < 2; i++)
		fake_put_hdr(&rig.port[0], &hdr, bytes, sizeof(bytes));
	start(&rig);
	for (uint64_t until = fake_now() + 2000 * MS; !spoiled(&rig.port[0]) && fake_now() < until;)
		usleep(100);
	fake_set_room(&rig.port[1], UINT32_MAX);
	gets_piece(&rig, 0, bytes);
	for (uint32_t i = 0; i < 3; i++)
		gets_piece(&rig, i, bytes);
	stop(&rig);
	CHECK(stats(&rig, 0).rx_dropped[NETBE_DROP_BAD_HEADER] == 1);
	end(&rig);
}

static void
a_frame_is_padded_to_what_the_port_asks(void)
{
	uint8_t bytes[42] = {0};
	struct fake_frame *f;
	struct rig rig;

	make(&rig, config_of(2, NB_ON_FULL_WAIT), false);
	rig.port[1].port.min_frame = 60;
	start(&rig);
	fake_put(&rig.port[0], bytes, frame(bytes, 2, 1, 42, 1));
	f = fake_take(&rig.port[1], 2000);
	CHECK(f != NULL && f->len == 60 && memcmp(f->bytes, bytes, 42) == 0 && f->bytes[59] == 0);
	fake_frame_free(f);
	stop(&rig);
	end(&rig);
}

int
main(void)
{
	for (int arms = 0; arms < 2; arms++) {
		a_bridge_brings_frames_both_ways_in_order(arms);
		an_idle_pump_sleeps(arms);
		a_full_port_is_waited_for_and_loses_nothing(arms);
		a_stuck_port_is_waited_for_once(arms);
		a_bridge_ends_with_its_port_and_brings_what_was_there(arms);
		what_was_handed_over_comes_first(arms);
	}
	on_full_drop_does_not_wait();
	what_is_held_at_stop_stays_with_its_port();
	a_refused_frame_does_not_stop_the_next();
	a_port_that_takes_nothing_for_now_drops_and_comes_back(-EIO, NETBE_DROP_LINK_DOWN);
	a_port_that_takes_nothing_for_now_drops_and_comes_back(-EFAULT, NETBE_DROP_ERROR);
	a_large_frame_is_cut_for_who_can_not_take_it(UINT32_MAX);
	a_large_frame_is_cut_for_who_can_not_take_it(1);
	a_frame_that_turns_bad_half_way_takes_no_piece_of_the_next();
	a_frame_is_padded_to_what_the_port_asks();
	return 0;
}
