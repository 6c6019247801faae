/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Garbage through a switch with VLANs, ports of different abilities and too
 * little room.  The input: one byte that says how the switch is set, then
 * frames: port, how it is split, a virtio-net header, two bytes of length, bytes.
 * What comes in is either sent or counted.
 */
#include "engine.h"
#include "fake_port.h"

#define PORTS 3

static uint64_t
sum(const uint64_t *counters)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < NETBE_DROP_REASONS; i++)
		total += counters[i];
	return total;
}

static void *
run(void *engine)
{
	CHECK(nb_engine_run(engine, 0) == 0);
	return NULL;
}

static void
feed(struct fake_port *ports, const uint8_t *data, size_t size)
{
	const size_t head = 2 + 10 + 2;

	while (size >= head) {
		struct fake_port *p = &ports[data[0] % PORTS];
		struct netbe_vnet_hdr hdr;
		uint32_t len = ((uint32_t)data[12] << 8 | data[13]) % 9000;
		uint8_t *bytes = calloc(1, len + 1);

		CHECK(bytes != NULL);
		p->seg_len = data[1] % 64;
		nb_hdr_load(&hdr, data + 2, 10);
		data += head;
		size -= head;
		/* What is not there is zero: long frames from short inputs. */
		memcpy(bytes, data, size < len ? size : len);
		fake_put_hdr(p, &hdr, bytes, len);
		free(bytes);
		data += size < len ? size : len;
		size -= size < len ? size : len;
	}
}

static bool
idle(struct fake_port *ports)
{
	for (uint32_t i = 0; i < PORTS; i++)
		if (fake_waiting(&ports[i]) != 0)
			return false;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nb_engine_config config = {.nports = PORTS, .nthreads = 1, .learning = 1, .fdb_size = 4, .wait_ns = 1000};
	uint64_t trunk[64] = {0};
	struct fake_port ports[PORTS];
	struct nb_engine *engine;
	pthread_t thread;
	uint64_t received = 0, handled = 0;
	uint8_t how;

	if (size == 0)
		return 0;
	how = *data++;
	size--;
	config.vlan_filtering = how & 1;
	config.on_full = how & 2 ? NB_ON_FULL_DROP : NB_ON_FULL_WAIT;
	engine = nb_engine_new(&config);
	CHECK(engine != NULL);
	for (uint32_t i = 0; i < PORTS; i++) {
		fake_init(&ports[i], i != 1, i == 0 ? 0 : ~0ull);
		ports[i].port.max_frame = i == 0 ? 1518 : NETBE_FRAME_MAX;
		ports[i].port.min_frame = i == 2 ? 60 : 14;
		if (how & 4)
			ports[i].port.flags |= NETBE_PORT_UNTRUSTED;
		if ((how & 8) && i == 0)
			ports[i].room = 5;
		CHECK(nb_engine_add_queue(engine, i, &ports[i].port) == 0);
	}
	trunk[0] = how | 2;
	if (config.vlan_filtering) {
		CHECK(nb_engine_set_vlan(engine, 1, how >> 4, trunk) == 0);
		CHECK(nb_engine_set_vlan(engine, 2, 0, trunk) == 0);
	}
	feed(ports, data, size);
	CHECK(pthread_create(&thread, NULL, run, engine) == 0);
	while (!idle(ports))
		sched_yield();
	nb_engine_stop(engine);
	pthread_join(thread, NULL);
	for (uint32_t i = 0; i < PORTS; i++) {
		struct netbe_port_stats s;

		CHECK(nb_engine_stats(engine, i, &s) == 0);
		received += s.rx_frames;
		handled += s.tx_frames + sum(s.tx_dropped) + sum(s.rx_dropped);
	}
	CHECK(handled >= received); /* more, when frames are flooded or cut */
	nb_engine_detach(engine);
	for (uint32_t i = 0; i < PORTS; i++)
		fake_end(&ports[i]);
	nb_engine_free(engine);
	return 0;
}
