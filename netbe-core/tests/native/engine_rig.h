/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the pump share: an engine between fake ports, its threads, numbered frames. */
#ifndef NETBE_ENGINE_RIG_H
#define NETBE_ENGINE_RIG_H

#include "engine.h"
#include "fake_port.h"

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

static inline void *
run(void *arg)
{
	struct job *job = arg;

	job->rig->result[job->thread] = nb_engine_run(job->rig->engine, job->thread);
	free(job);
	return NULL;
}

static inline struct nb_engine_config
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

static inline void
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

static inline void
start(struct rig *rig)
{
	for (uint32_t i = 0; i < rig->nthreads; i++) {
		struct job *job = malloc(sizeof(*job));

		CHECK(job != NULL);
		*job = (struct job){rig, i};
		CHECK(pthread_create(&rig->thread[i], NULL, run, job) == 0);
	}
}

static inline void
join(struct rig *rig, int expected)
{
	for (uint32_t i = 0; i < rig->nthreads; i++) {
		pthread_join(rig->thread[i], NULL);
		CHECK(rig->result[i] == expected);
	}
}

static inline void
stop(struct rig *rig)
{
	uint64_t begin = fake_now();

	nb_engine_stop(rig->engine);
	join(rig, 0);
	CHECK(fake_now() - begin < 100 * MS);
}

static inline void
end(struct rig *rig)
{
	nb_engine_detach(rig->engine);
	for (uint32_t i = 0; i < rig->nports; i++)
		fake_end(&rig->port[i]);
	nb_engine_free(rig->engine);
}

static inline struct netbe_port_stats
stats(struct rig *rig, uint32_t index)
{
	struct netbe_port_stats s;

	CHECK(nb_engine_stats(rig->engine, index, &s) == 0);
	return s;
}

/* A frame of len bytes from station src to dst, numbered. */
static inline uint32_t
frame(uint8_t *bytes, uint8_t dst, uint8_t src, uint32_t len, uint32_t number)
{
	memset(bytes, 0xa5, len);
	memcpy(bytes, (uint8_t[]){2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src, 0x88, 0xb5}, 14);
	if (dst == 0xff)
		memset(bytes, 0xff, 6);
	memcpy(bytes + 14, &number, sizeof(number));
	return len;
}

static inline void
put(struct rig *rig, uint32_t port, uint8_t dst, uint8_t src, uint32_t number)
{
	uint8_t bytes[60];

	fake_put(&rig->port[port], bytes, frame(bytes, dst, src, sizeof(bytes), number));
}

static inline bool
gets(struct rig *rig, uint32_t port, uint32_t number)
{
	struct fake_frame *f = fake_take(&rig->port[port], 2000);
	bool yes = f != NULL && f->len >= 18 && memcmp(f->bytes + 14, &number, sizeof(number)) == 0;

	fake_frame_free(f);
	return yes;
}

static inline bool
silent(struct rig *rig, uint32_t port)
{
	struct fake_frame *f = fake_take(&rig->port[port], 20);
	bool yes = f == NULL;

	fake_frame_free(f);
	return yes;
}

static inline void
wait_until(struct rig *rig, uint32_t port, enum netbe_drop why, uint64_t n)
{
	uint64_t until = fake_now() + 2000 * MS;

	while (stats(rig, port).tx_dropped[why] < n && fake_now() < until)
		usleep(100);
	CHECK(stats(rig, port).tx_dropped[why] == n);
}

#endif
