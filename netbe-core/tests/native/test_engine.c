/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pump between fake ports: what it brings, what it keeps, what it drops and why.
 * Threads share the table and the counters; run.py: tsan
 */
#include "engine.h"
#include "fake_port.h"
#include "fdb.h"

#define MS 1000000ull
#define PORTS 4

struct rig {
	struct nb_engine *engine;
	struct fake_port port[PORTS];
	uint32_t nports;
	uint32_t nthreads;
	pthread_t thread[4];
	int result[4];
};

struct job {
	struct rig *rig;
	uint32_t thread;
};

static void *
run(void *arg)
{
	struct job *job = arg;

	job->rig->result[job->thread] = nb_engine_run(job->rig->engine, job->thread);
	free(job);
	return NULL;
}

static struct nb_engine_config
config_of(uint32_t nports, uint32_t on_full)
{
	return (struct nb_engine_config){.nports = nports,
	                                 .nthreads = 1,
	                                 .learning = nports > 2,
	                                 .on_full = on_full,
	                                 .wait_ns = 50 * MS,
	                                 .spin_ns = 0,
	                                 .fdb_size = 1024,
	                                 .ageing_ns = 300000 * MS};
}

static void
make(struct rig *rig, struct nb_engine_config config, bool arms)
{
	memset(rig, 0, sizeof(*rig));
	rig->nports = config.nports;
	rig->nthreads = config.nthreads;
	rig->engine = nb_engine_new(&config);
	CHECK(rig->engine != NULL);
	for (uint32_t i = 0; i < rig->nports; i++) {
		fake_init(&rig->port[i], arms, 0);
		CHECK(nb_engine_add_queue(rig->engine, i, &rig->port[i].port) == 0);
	}
}

static void
start(struct rig *rig)
{
	for (uint32_t i = 0; i < rig->nthreads; i++) {
		struct job *job = malloc(sizeof(*job));

		CHECK(job != NULL);
		*job = (struct job){rig, i};
		CHECK(pthread_create(&rig->thread[i], NULL, run, job) == 0);
	}
}

static void
join(struct rig *rig, int expected)
{
	for (uint32_t i = 0; i < rig->nthreads; i++) {
		pthread_join(rig->thread[i], NULL);
		CHECK(rig->result[i] == expected);
	}
}

static void
stop(struct rig *rig)
{
	uint64_t begin = fake_now();

	nb_engine_stop(rig->engine);
	join(rig, 0);
	CHECK(fake_now() - begin < 100 * MS);
}

static void
end(struct rig *rig)
{
	nb_engine_detach(rig->engine);
	for (uint32_t i = 0; i < rig->nports; i++)
		fake_end(&rig->port[i]);
	nb_engine_free(rig->engine);
}

static struct netbe_port_stats
stats(struct rig *rig, uint32_t index)
{
	struct netbe_port_stats s;

	CHECK(nb_engine_stats(rig->engine, index, &s) == 0);
	return s;
}

/* A frame of len bytes from station src to dst, numbered. */
static uint32_t
frame(uint8_t *bytes, uint8_t dst, uint8_t src, uint32_t len, uint32_t number)
{
	memset(bytes, 0xa5, len);
	memcpy(bytes, (uint8_t[]){2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src, 0x88, 0xb5}, 14);
	if (dst == 0xff)
		memset(bytes, 0xff, 6);
	memcpy(bytes + 14, &number, sizeof(number));
	return len;
}

static void
put(struct rig *rig, uint32_t port, uint8_t dst, uint8_t src, uint32_t number)
{
	uint8_t bytes[60];

	fake_put(&rig->port[port], bytes, frame(bytes, dst, src, sizeof(bytes), number));
}

static bool
gets(struct rig *rig, uint32_t port, uint32_t number)
{
	struct fake_frame *f = fake_take(&rig->port[port], 2000);
	bool yes = f != NULL && f->len >= 18 && memcmp(f->bytes + 14, &number, sizeof(number)) == 0;

	fake_frame_free(f);
	return yes;
}

static bool
silent(struct rig *rig, uint32_t port)
{
	struct fake_frame *f = fake_take(&rig->port[port], 20);
	bool yes = f == NULL;

	fake_frame_free(f);
	return yes;
}

static void
wait_until(struct rig *rig, uint32_t port, enum netbe_drop why, uint64_t n)
{
	uint64_t until = fake_now() + 2000 * MS;

	while (stats(rig, port).tx_dropped[why] < n && fake_now() < until)
		usleep(100);
	CHECK(stats(rig, port).tx_dropped[why] == n);
}

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
	CHECK(stats(&rig, 0).rx_frames == 4000 && stats(&rig, 0).tx_frames == 4000);
	CHECK(stats(&rig, 0).rx_bytes == 4000 * 60);
	stop(&rig);
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
	CHECK(stats(&rig, 1).tx_dropped[NETBE_DROP_FULL] == 0);
	stop(&rig);
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
	CHECK(stats(&rig, 1).tx_dropped[NETBE_DROP_TOO_LONG] == 1);
	CHECK(stats(&rig, 1).tx_dropped[NETBE_DROP_TOO_SHORT] == 1);
	stop(&rig);
	end(&rig);
}

static void
a_link_that_is_down_drops_and_comes_back(void)
{
	struct rig rig;

	make(&rig, config_of(2, NB_ON_FULL_WAIT), false);
	fake_break(&rig.port[1], 0, -EIO);
	start(&rig);
	put(&rig, 0, 2, 1, 1);
	wait_until(&rig, 1, NETBE_DROP_LINK_DOWN, 1);
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

static void
a_large_frame_is_cut_for_who_can_not_take_it(uint32_t room)
{
	uint8_t bytes[14 + 20 + 20 + 3000] = {0};
	struct netbe_vnet_hdr hdr = {.flags = NETBE_HDR_NEEDS_CSUM,
	                             .gso_type = NETBE_GSO_TCPV4,
	                             .hdr_len = 54,
	                             .gso_size = 1000,
	                             .csum_start = 34,
	                             .csum_offset = 16};
	struct rig rig;

	frame(bytes, 2, 1, 14, 0);
	memcpy(bytes + 12, (uint8_t[]){8, 0, 0x45, 0, (sizeof(bytes) - 14) >> 8, (sizeof(bytes) - 14) & 0xff}, 6);
	bytes[14 + 8] = 64;
	bytes[14 + 9] = 6;
	bytes[14 + 20 + 12] = 0x50;
	for (uint32_t i = 54; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i / 1000);
	make(&rig, config_of(2, NB_ON_FULL_WAIT), true);
	rig.port[1].port.features[0] = NETBE_F_CSUM;
	fake_set_room(&rig.port[1], room);
	fake_put_hdr(&rig.port[0], &hdr, bytes, sizeof(bytes));
	put(&rig, 0, 2, 1, 5);
	start(&rig);
	for (uint32_t i = 0; i < 3; i++) {
		struct fake_frame *f = fake_take(&rig.port[1], 2000);
		uint32_t seq = htobe32(i * 1000);

		usleep(1000);
		CHECK(f != NULL && f->len == 1054 && f->hdr.gso_type == 0);
		CHECK(memcmp(f->bytes + 38, &seq, 4) == 0);
		CHECK(memcmp(f->bytes + 54, bytes + 54 + i * 1000, 1000) == 0);
		fake_frame_free(f);
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
	CHECK(stats(&rig, 0).rx_dropped[NETBE_DROP_BAD_HEADER] == 1);
	stop(&rig);
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

static void
a_switch_learns_floods_and_relearns(bool arms)
{
	struct rig rig;
	uint64_t flooded, full;

	make(&rig, config_of(4, NB_ON_FULL_DROP), arms);
	start(&rig);
	put(&rig, 0, 2, 1, 1); /* unknown: to all but its own */
	CHECK(gets(&rig, 1, 1) && gets(&rig, 2, 1) && gets(&rig, 3, 1) && silent(&rig, 0));
	put(&rig, 1, 1, 2, 2);
	CHECK(gets(&rig, 0, 2) && silent(&rig, 2) && silent(&rig, 3));
	put(&rig, 0, 2, 1, 3);
	CHECK(gets(&rig, 1, 3) && silent(&rig, 2));
	put(&rig, 2, 1, 2, 4); /* station 2 has moved to port 2 */
	CHECK(gets(&rig, 0, 4));
	put(&rig, 0, 2, 1, 5);
	CHECK(gets(&rig, 2, 5) && silent(&rig, 1));
	put(&rig, 0, 0xff, 1, 6);
	CHECK(gets(&rig, 1, 6) && gets(&rig, 2, 6) && gets(&rig, 3, 6) && silent(&rig, 0));
	put(&rig, 3, 1, 1, 7); /* to itself */
	put(&rig, 3, 0xff, 3, 8);
	CHECK(gets(&rig, 0, 8) && gets(&rig, 1, 8) && gets(&rig, 2, 8));
	CHECK(stats(&rig, 3).rx_dropped[NETBE_DROP_FILTERED] == 1);
	nb_engine_switch_stats(rig.engine, &flooded, &full);
	CHECK(flooded == 3 && full == 0);
	stop(&rig);
	end(&rig);
}

static void
reserved_groups_are_not_forwarded_and_groups_not_learned(void)
{
	uint8_t bytes[60];
	struct nb_fdb_entry entries[8];
	uint64_t cursor = 0;
	struct rig rig;

	make(&rig, config_of(3, NB_ON_FULL_DROP), false);
	start(&rig);
	for (uint8_t last = 0; last <= 0x10; last++) {
		frame(bytes, 2, 1, 60, last);
		memcpy(bytes, (uint8_t[]){1, 0x80, 0xc2, 0, 0, last}, 6);
		fake_put(&rig.port[0], bytes, 60);
	}
	CHECK(gets(&rig, 1, 0x10) && gets(&rig, 2, 0x10));
	CHECK(stats(&rig, 0).rx_dropped[NETBE_DROP_FILTERED] == 16);
	frame(bytes, 2, 9, 60, 99);
	bytes[6] = 3;
	fake_put(&rig.port[0], bytes, 60);
	CHECK(gets(&rig, 1, 99));
	CHECK(nb_fdb_dump(nb_engine_fdb(rig.engine), &cursor, entries, 8, fake_now()) == 1);
	CHECK(entries[0].mac[5] == 1 && entries[0].port == 0);
	fake_put(&rig.port[0], bytes, 13);
	put(&rig, 0, 0xff, 1, 100);
	CHECK(gets(&rig, 1, 100));
	CHECK(stats(&rig, 0).rx_dropped[NETBE_DROP_TOO_SHORT] == 1);
	stop(&rig);
	end(&rig);
}

static void
a_slow_port_does_not_stop_the_others(uint32_t on_full)
{
	struct rig rig;
	uint64_t begin;

	make(&rig, config_of(3, on_full), true);
	fake_set_room(&rig.port[2], 1);
	start(&rig);
	begin = fake_now();
	for (uint32_t i = 0; i < 1000; i++)
		put(&rig, 0, 0xff, 1, i);
	for (uint32_t i = 0; i < 1000; i++)
		CHECK(gets(&rig, 1, i));
	CHECK(fake_now() - begin < 1000 * MS);
	wait_until(&rig, 2, NETBE_DROP_FULL, 999);
	CHECK(gets(&rig, 2, 0));
	stop(&rig);
	end(&rig);
}

static void
a_switch_gives_up_a_port_that_is_gone(void)
{
	struct rig rig;

	make(&rig, config_of(3, NB_ON_FULL_DROP), true);
	start(&rig);
	put(&rig, 1, 1, 2, 1);
	CHECK(gets(&rig, 0, 1) && gets(&rig, 2, 1));
	fake_break(&rig.port[1], -ENODEV, -ENODEV);
	put(&rig, 0, 2, 1, 2);
	while (nb_engine_port_error(rig.engine, 1) == 0)
		usleep(100);
	put(&rig, 0, 2, 1, 3); /* its address is forgotten: flooded */
	for (;;) {
		struct fake_frame *f = fake_take(&rig.port[2], 2000);
		uint32_t number;

		CHECK(f != NULL);
		memcpy(&number, f->bytes + 14, 4);
		fake_frame_free(f);
		if (number == 3)
			break;
	}
	fake_break(&rig.port[0], -ENODEV, -ENODEV);
	fake_break(&rig.port[2], -EPIPE, -EPIPE);
	for (uint32_t i = 0; i < 3; i++)
		if (rig.port[i].port.arm != NULL)
			fake_signal(rig.port[i].port.rx_wait.fd);
	pthread_join(rig.thread[0], NULL);
	CHECK(rig.result[0] == -EPIPE || rig.result[0] == -ENODEV);
	end(&rig);
}

static struct fake_frame *
vlan_frame(struct rig *rig, uint32_t port)
{
	struct fake_frame *f = fake_take(&rig->port[port], 2000);

	CHECK(f != NULL);
	return f;
}

static void
vlans_stay_in_their_ports(uint32_t seg_len)
{
	struct nb_engine_config config = config_of(4, NB_ON_FULL_DROP);
	uint64_t trunk[64] = {0};
	uint8_t bytes[64], tagged[64];
	struct fake_frame *f;
	struct rig rig;

	config.vlan_filtering = 1;
	make(&rig, config, true);
	for (uint32_t i = 0; i < 4; i++)
		rig.port[i].seg_len = seg_len;
	trunk[0] = 1ull << 10 | 1ull << 20;
	/* 0 and 1: access ports of VLAN 10; 2: of VLAN 20; 3: a trunk of both, untagged frames refused. */
	CHECK(nb_engine_set_vlan(rig.engine, 0, 10, NULL) == 0 && nb_engine_set_vlan(rig.engine, 1, 10, NULL) == 0);
	CHECK(nb_engine_set_vlan(rig.engine, 2, 20, NULL) == 0 && nb_engine_set_vlan(rig.engine, 3, 0, trunk) == 0);
	CHECK(nb_engine_set_vlan(rig.engine, 0, 4095, NULL) == -EINVAL);
	start(&rig);

	fake_put(&rig.port[0], bytes, frame(bytes, 0xff, 1, 60, 1));
	CHECK(gets(&rig, 1, 1));
	f = vlan_frame(&rig, 3);
	CHECK(f->len == 64 && memcmp(f->bytes, bytes, 12) == 0);
	CHECK(memcmp(f->bytes + 12, (uint8_t[]){0x81, 0, 0, 10}, 4) == 0 && memcmp(f->bytes + 16, bytes + 12, 48) == 0);
	CHECK(silent(&rig, 2));

	/* Back, tagged 20 with priority 5: only port 2, without the tag. */
	memcpy(tagged, f->bytes, 64);
	fake_frame_free(f);
	tagged[11] = 9;
	tagged[14] = 0xa0;
	tagged[15] = 20;
	fake_put(&rig.port[3], tagged, 64);
	f = vlan_frame(&rig, 2);
	CHECK(f->len == 60 && memcmp(f->bytes, tagged, 12) == 0 && memcmp(f->bytes + 12, bytes + 12, 48) == 0);
	fake_frame_free(f);
	CHECK(silent(&rig, 0) && silent(&rig, 1));

	/* A priority tag counts as none, and keeps its priority where there are tags. */
	tagged[11] = 1;
	tagged[15] = 0;
	fake_put(&rig.port[0], tagged, 64);
	f = vlan_frame(&rig, 3);
	CHECK(f->len == 64 && memcmp(f->bytes + 12, (uint8_t[]){0x81, 0, 0xa0, 10}, 4) == 0);
	fake_frame_free(f);
	f = vlan_frame(&rig, 1);
	CHECK(f->len == 60);
	fake_frame_free(f);

	/* Not in the port: dropped and counted. */
	tagged[15] = 20;
	fake_put(&rig.port[0], tagged, 64);
	tagged[14] = 0x0f;
	tagged[15] = 0xff;
	fake_put(&rig.port[3], tagged, 64);
	fake_put(&rig.port[3], bytes, 60);
	fake_put(&rig.port[3], tagged, 15);
	CHECK(silent(&rig, 0) && silent(&rig, 1) && silent(&rig, 2));
	CHECK(stats(&rig, 0).rx_dropped[NETBE_DROP_FILTERED] == 1);
	CHECK(stats(&rig, 3).rx_dropped[NETBE_DROP_FILTERED] == 2);
	CHECK(stats(&rig, 3).rx_dropped[NETBE_DROP_TOO_SHORT] == 1);
	stop(&rig);
	end(&rig);
}

static void
nobody_else_in_the_vlan_is_counted(void)
{
	struct nb_engine_config config = config_of(3, NB_ON_FULL_DROP);
	struct rig rig;

	config.vlan_filtering = 1;
	make(&rig, config, false);
	CHECK(nb_engine_set_vlan(rig.engine, 0, 30, NULL) == 0);
	start(&rig);
	put(&rig, 0, 0xff, 1, 1);
	CHECK(silent(&rig, 1) && silent(&rig, 2));
	CHECK(stats(&rig, 0).rx_dropped[NETBE_DROP_DISCARDED] == 1);
	stop(&rig);
	end(&rig);
}

static void
untrusted_frames_are_forwarded_the_same(uint32_t seg_len)
{
	uint8_t bytes[1500];
	struct fake_frame *f;
	struct rig rig;

	make(&rig, config_of(3, NB_ON_FULL_DROP), true);
	rig.port[0].port.flags |= NETBE_PORT_UNTRUSTED;
	rig.port[0].seg_len = seg_len;
	start(&rig);
	for (uint32_t i = 0; i < 200; i++) {
		fake_put(&rig.port[0], bytes, frame(bytes, 0xff, 1, 1500, i));
		f = vlan_frame(&rig, 1);
		CHECK(f->len == 1500 && memcmp(f->bytes, bytes, 1500) == 0);
		fake_frame_free(f);
	}
	for (uint32_t i = 0; i < 200; i++)
		fake_put(&rig.port[0], bytes, frame(bytes, 0xff, 1, 1500, i));
	for (uint32_t i = 0; i < 200; i++)
		CHECK(gets(&rig, 1, i));
	stop(&rig);
	end(&rig);
}

static void
several_threads_keep_each_queue_in_order(uint32_t nqueues)
{
	struct nb_engine_config config = config_of(3, NB_ON_FULL_WAIT);
	struct fake_port extra[3][3];
	struct rig rig;

	config.nthreads = 4;
	make(&rig, config, true);
	for (uint32_t p = 0; p < 3; p++) {
		for (uint32_t j = 1; j < nqueues; j++) {
			fake_init(&extra[p][j - 1], true, 0);
			CHECK(nb_engine_add_queue(rig.engine, p, &extra[p][j - 1].port) == 0);
		}
	}
	start(&rig);
	/* Queue j of each port: station j + 1 behind port 0 sends to all. */
	for (uint32_t i = 0; i < 500; i++) {
		uint8_t bytes[60];

		for (uint32_t j = 0; j < nqueues; j++)
			fake_put(j == 0 ? &rig.port[0] : &extra[0][j - 1], bytes,
			         frame(bytes, 0xff, (uint8_t)(j + 1), 60, i));
	}
	for (uint32_t p = 1; p < 3; p++) {
		for (uint32_t j = 0; j < nqueues; j++) {
			for (uint32_t i = 0; i < 500; i++) {
				struct fake_frame *f =
				    fake_take(j == 0 ? &rig.port[p] : &extra[p][j - 1], 2000);

				CHECK(f != NULL && f->bytes[11] == j + 1);
				CHECK(memcmp(f->bytes + 14, &i, 4) == 0);
				fake_frame_free(f);
			}
		}
	}
	CHECK(stats(&rig, 0).rx_frames == 500 * nqueues);
	stop(&rig);
	nb_engine_detach(rig.engine);
	for (uint32_t p = 0; p < 3; p++)
		for (uint32_t j = 1; j < nqueues; j++)
			fake_end(&extra[p][j - 1]);
	end(&rig);
}

static void
a_bad_configuration_is_refused(void)
{
	struct nb_engine_config config = config_of(3, NB_ON_FULL_WAIT);

	config.learning = 0;
	CHECK(nb_engine_new(&config) == NULL && errno == EINVAL);
	config = config_of(1, 0);
	CHECK(nb_engine_new(&config) == NULL && errno == EINVAL);
	config = config_of(3, 2);
	CHECK(nb_engine_new(&config) == NULL && errno == EINVAL);
}

int
main(void)
{
	a_bad_configuration_is_refused();
	for (int arms = 0; arms < 2; arms++) {
		a_bridge_brings_frames_both_ways_in_order(arms);
		an_idle_pump_sleeps(arms);
		a_full_port_is_waited_for_and_loses_nothing(arms);
		a_stuck_port_is_waited_for_once(arms);
		a_bridge_ends_with_its_port_and_brings_what_was_there(arms);
		what_was_handed_over_comes_first(arms);
		a_switch_learns_floods_and_relearns(arms);
	}
	on_full_drop_does_not_wait();
	what_is_held_at_stop_stays_with_its_port();
	a_refused_frame_does_not_stop_the_next();
	a_link_that_is_down_drops_and_comes_back();
	a_large_frame_is_cut_for_who_can_not_take_it(UINT32_MAX);
	a_large_frame_is_cut_for_who_can_not_take_it(1);
	a_frame_is_padded_to_what_the_port_asks();
	reserved_groups_are_not_forwarded_and_groups_not_learned();
	a_slow_port_does_not_stop_the_others(NB_ON_FULL_DROP);
	a_slow_port_does_not_stop_the_others(NB_ON_FULL_WAIT);
	a_switch_gives_up_a_port_that_is_gone();
	vlans_stay_in_their_ports(0);
	vlans_stay_in_their_ports(1);
	vlans_stay_in_their_ports(13);
	nobody_else_in_the_vlan_is_counted();
	untrusted_frames_are_forwarded_the_same(0);
	untrusted_frames_are_forwarded_the_same(7);
	several_threads_keep_each_queue_in_order(1 + 1);
	several_threads_keep_each_queue_in_order(4);
	return 0;
}
