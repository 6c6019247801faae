/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A switch between fake ports: learning, VLANs, slow ports and lost ones, several threads.
 * Threads share the table and the counters; run.py: tsan
 */
#include "engine_rig.h"
#include "fdb.h"

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
	stop(&rig);
	CHECK(stats(&rig, 0).rx_dropped[NETBE_DROP_TOO_SHORT] == 1);
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
	stop(&rig);
	CHECK(stats(&rig, 0).rx_dropped[NETBE_DROP_FILTERED] == 1);
	CHECK(stats(&rig, 3).rx_dropped[NETBE_DROP_FILTERED] == 2);
	CHECK(stats(&rig, 3).rx_dropped[NETBE_DROP_TOO_SHORT] == 1);
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
	stop(&rig);
	CHECK(stats(&rig, 0).rx_dropped[NETBE_DROP_DISCARDED] == 1);
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
	stop(&rig); /* until then a thread may have sent what it has not counted yet */
	CHECK(stats(&rig, 0).rx_frames == 500 * nqueues);
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
	a_switch_learns_floods_and_relearns(false);
	a_switch_learns_floods_and_relearns(true);
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
