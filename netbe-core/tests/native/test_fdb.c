/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The forwarding table: what is learned is found, ages, moves and is flushed;
 * readers and writers at the same time, run.py: tsan.
 * With an argument it measures instead: addresses, ns a lookup, ns a learn.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "fdb.h"

#define S 1000000000ull

static const uint8_t *
address(uint8_t mac[6], uint32_t n)
{
	memcpy(mac, (uint8_t[]){2, 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}, 6);
	return mac;
}

static void
what_is_learned_is_found_in_its_vlan(void)
{
	struct nb_fdb *fdb = nb_fdb_new(16, 300 * S);
	uint8_t mac[6];

	CHECK(fdb != NULL);
	CHECK(nb_fdb_lookup(fdb, address(mac, 1), 0, S) == -1);
	CHECK(nb_fdb_learn(fdb, mac, 0, 3, S) == 0);
	CHECK(nb_fdb_lookup(fdb, mac, 0, S) == 3);
	CHECK(nb_fdb_lookup(fdb, mac, 7, S) == -1);
	CHECK(nb_fdb_learn(fdb, mac, 7, 4095, S) == 0);
	CHECK(nb_fdb_lookup(fdb, mac, 7, S) == 4095 && nb_fdb_lookup(fdb, mac, 0, S) == 3);
	CHECK(nb_fdb_learn(fdb, mac, 0, 5, S) == 0); /* moved */
	CHECK(nb_fdb_lookup(fdb, mac, 0, S) == 5);
	CHECK(nb_fdb_learn(fdb, mac, 0, 4096, S) == -EINVAL);
	nb_fdb_free(fdb);
}

static void
an_address_ages_unless_it_is_heard(void)
{
	struct nb_fdb *fdb = nb_fdb_new(16, 10 * S);
	uint8_t mac[6];

	nb_fdb_learn(fdb, address(mac, 1), 0, 3, 100 * S);
	CHECK(nb_fdb_lookup(fdb, mac, 0, 109 * S) == 3);
	CHECK(nb_fdb_lookup(fdb, mac, 0, 110 * S) == -1);
	nb_fdb_learn(fdb, mac, 0, 3, 109 * S);
	CHECK(nb_fdb_lookup(fdb, mac, 0, 118 * S) == 3);
	CHECK(nb_fdb_lookup(fdb, mac, 0, 108 * S) == 3); /* a clock read earlier */
	nb_fdb_free(fdb);
	fdb = nb_fdb_new(16, 0);
	nb_fdb_learn(fdb, mac, 0, 3, S);
	CHECK(nb_fdb_lookup(fdb, mac, 0, 1000000 * S) == 3);
	nb_fdb_free(fdb);
}

static void
it_holds_as_many_as_were_asked_for(uint32_t size)
{
	struct nb_fdb *fdb = nb_fdb_new(size, 300 * S);
	uint8_t mac[6];
	struct nb_fdb_entry entry[100];
	uint64_t cursor = 0;
	uint32_t n, total = 0;

	for (uint32_t i = 0; i < size; i++)
		CHECK(nb_fdb_learn(fdb, address(mac, i), i % 4095, i % 4096, S) == 0);
	CHECK(nb_fdb_learn(fdb, address(mac, size), 0, 1, S) == -ENOSPC);
	for (uint32_t i = 0; i < size; i++)
		CHECK(nb_fdb_lookup(fdb, address(mac, i), i % 4095, 2 * S) == (int32_t)(i % 4096));
	while ((n = nb_fdb_dump(fdb, &cursor, entry, 100, 3 * S)) > 0) {
		for (uint32_t i = 0; i < n; i++) {
			uint32_t number = (uint32_t)entry[i].mac[2] << 24 | (uint32_t)entry[i].mac[3] << 16 |
			                  (uint32_t)entry[i].mac[4] << 8 | entry[i].mac[5];

			CHECK(number < size && entry[i].vid == number % 4095 && entry[i].port == number % 4096);
			CHECK(entry[i].age_ns == 2 * S);
		}
		total += n;
	}
	CHECK(total == size);
	/* A full table takes a new address once old ones have aged. */
	CHECK(nb_fdb_learn(fdb, address(mac, size), 0, 1, 302 * S) == 0);
	CHECK(nb_fdb_lookup(fdb, mac, 0, 302 * S) == 1);
	for (uint32_t i = 1; i < size; i++)
		CHECK(nb_fdb_learn(fdb, address(mac, size + i), 0, 1, 303 * S) == 0);
	nb_fdb_free(fdb);
}

static void
flushing_a_port_forgets_only_its_addresses(void)
{
	struct nb_fdb *fdb = nb_fdb_new(1000, 300 * S);
	uint8_t mac[6];

	for (uint32_t i = 0; i < 1000; i++)
		nb_fdb_learn(fdb, address(mac, i), 0, i % 2, S);
	nb_fdb_flush_port(fdb, 1);
	for (uint32_t i = 0; i < 1000; i++)
		CHECK(nb_fdb_lookup(fdb, address(mac, i), 0, S) == (i % 2 ? -1 : 0));
	for (uint32_t i = 0; i < 500; i++)
		CHECK(nb_fdb_learn(fdb, address(mac, 5000 + i), 0, 1, S) == 0);
	CHECK(nb_fdb_learn(fdb, address(mac, 9999), 0, 1, S) == -ENOSPC);
	nb_fdb_free(fdb);
}

/* A table as somebody else has left it, in words: the seed, the count, the last sweep; buckets of keys and values. */
#define SHARED_WORDS 8u
#define BUCKET_WORDS 16u

static struct nb_fdb *
left_by_another(uint64_t **word, uint32_t size)
{
	size_t bytes = nb_fdb_bytes(size);

	*word = aligned_alloc(64, bytes);
	CHECK(*word != NULL);
	memset(*word, 0, bytes);
	(*word)[0] = 1;
	return nb_fdb_at(*word, size, 10 * S);
}

static void
a_claim_by_a_clock_that_is_a_tick_ahead_is_kept(void)
{
	const uint64_t claimed = 2ull << 60, ms = S / 1000;
	uint8_t mac[6];
	uint64_t *word;
	struct nb_fdb *fdb = left_by_another(&word, 8);

	CHECK(fdb != NULL && nb_fdb_bytes(8) == 8 * (SHARED_WORDS + 2 * BUCKET_WORDS));
	for (uint32_t i = 0; i < 16; i++)
		word[SHARED_WORDS + i / 8 * BUCKET_WORDS + i % 8] = claimed | 50004;
	CHECK(nb_fdb_learn(fdb, address(mac, 1), 0, 1, 50000 * ms) == -ENOSPC);
	CHECK(nb_fdb_learn(fdb, mac, 0, 1, 50004 * ms) == -ENOSPC);
	CHECK(nb_fdb_learn(fdb, mac, 0, 1, 51003 * ms) == -ENOSPC);
	for (uint32_t i = 0; i < 16; i++)
		CHECK(word[SHARED_WORDS + i / 8 * BUCKET_WORDS + i % 8] == (claimed | 50004));
	((uint32_t *)word)[2] = 16;
	CHECK(nb_fdb_learn(fdb, mac, 0, 1, 51004 * ms) == 0);
	CHECK(nb_fdb_lookup(fdb, mac, 0, 51004 * ms) == 1);
	nb_fdb_free(fdb);
	free(word);
}

static void
a_sweep_by_a_clock_that_is_a_tick_ahead_was_just_now(void)
{
	const uint64_t ms = S / 1000;
	const uint32_t size = 1024;
	uint8_t mac[6];
	uint64_t *word;
	struct nb_fdb *fdb = left_by_another(&word, size);

	/* Old ones, that only a sweep finds: the new one's own buckets are others. */
	for (uint32_t i = 0; i < 4; i++)
		CHECK(nb_fdb_learn(fdb, address(mac, i), 0, 1, S) == 0);
	((uint32_t *)word)[2] = size;
	word[2] = 50004;
	CHECK(nb_fdb_learn(fdb, address(mac, 9), 0, 1, 50000 * ms) == -ENOSPC);
	CHECK(word[2] == 50004);
	CHECK(nb_fdb_learn(fdb, mac, 0, 1, 51003 * ms) == -ENOSPC);
	CHECK(nb_fdb_learn(fdb, mac, 0, 1, 51004 * ms) == 0);
	nb_fdb_free(fdb);
	free(word);
}

static void
odd_sizes(void)
{
	struct nb_fdb *fdb = nb_fdb_new(1, 0);
	uint8_t mac[6];

	CHECK(nb_fdb_new(0, 0) == NULL && errno == EINVAL);
	CHECK(nb_fdb_learn(fdb, address(mac, 1), 0, 1, S) == 0);
	CHECK(nb_fdb_learn(fdb, address(mac, 2), 0, 1, S) == -ENOSPC);
	nb_fdb_free(fdb);
	nb_fdb_free(NULL);
}

#define SHARED 2000

struct shared {
	struct nb_fdb *fdb;
	int done;
};

/* Address i is only ever on port i % 100 or i % 100 + 100. */
static void *
read_all(void *arg)
{
	struct shared *shared = arg;
	uint8_t mac[6];

	for (uint32_t i = 0; !__atomic_load_n(&shared->done, __ATOMIC_ACQUIRE); i = (i + 1) % (2 * SHARED)) {
		int32_t port = nb_fdb_lookup(shared->fdb, address(mac, i), 0, S);

		CHECK(port == -1 || (uint32_t)port % 100 == i % 100);
	}
	return NULL;
}

static void *
write_all(void *arg)
{
	struct shared *shared = arg;
	uint64_t random = (uint64_t)(uintptr_t)&random | 1;
	uint8_t mac[6];

	for (uint32_t n = 0; n < 200000; n++) {
		uint32_t i = (uint32_t)(check_random(&random) % (2 * SHARED));

		nb_fdb_learn(shared->fdb, address(mac, i), 0, i % 100 + (n % 2) * 100, S);
		if (n % 5000 == 0)
			nb_fdb_flush_port(shared->fdb, n / 5000 % 200);
	}
	return NULL;
}

static void
readers_never_see_another_addresss_port(void)
{
	struct shared shared = {.fdb = nb_fdb_new(SHARED, 300 * S)};
	pthread_t reader, writer[2];

	CHECK(pthread_create(&reader, NULL, read_all, &shared) == 0);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&writer[i], NULL, write_all, &shared) == 0);
	for (int i = 0; i < 2; i++)
		pthread_join(writer[i], NULL);
	__atomic_store_n(&shared.done, 1, __ATOMIC_RELEASE);
	pthread_join(reader, NULL);
	nb_fdb_free(shared.fdb);
}

static double
seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
measure(uint32_t size)
{
	const uint32_t rounds = 20;
	struct nb_fdb *fdb = nb_fdb_new(size, 300 * S);
	uint32_t *order = malloc(size * sizeof(*order));
	uint64_t random = 1;
	uint8_t mac[6];
	double begin, insert, hit, miss, refresh;
	uint32_t found = 0;

	CHECK(order != NULL);
	for (uint32_t i = 0; i < size; i++) {
		uint32_t j = (uint32_t)(check_random(&random) % (i + 1));

		order[i] = order[j];
		order[j] = i;
	}
	begin = seconds();
	for (uint32_t i = 0; i < size; i++)
		CHECK(nb_fdb_learn(fdb, address(mac, order[i]), 0, i % 8, S) == 0);
	insert = seconds() - begin;
	begin = seconds();
	for (uint32_t r = 0; r < rounds; r++)
		for (uint32_t i = 0; i < size; i++)
			found += nb_fdb_lookup(fdb, address(mac, order[i] * 7 % size), 0, S) >= 0;
	hit = seconds() - begin;
	begin = seconds();
	for (uint32_t r = 0; r < rounds; r++)
		for (uint32_t i = 0; i < size; i++)
			found += nb_fdb_lookup(fdb, address(mac, size + order[i]), 0, S) >= 0;
	miss = seconds() - begin;
	begin = seconds();
	for (uint32_t r = 0; r < rounds; r++)
		for (uint32_t i = 0; i < size; i++)
			nb_fdb_learn(fdb, address(mac, order[i]), 0, (uint32_t)r, S);
	refresh = seconds() - begin;
	CHECK(found == rounds * size);
	printf("{\"addresses\": %u, \"insert_ns\": %.1f, \"lookup_ns\": %.1f, \"unknown_ns\": %.1f, "
	       "\"move_ns\": %.1f}\n",
	       size, insert / size * 1e9, hit / size / rounds * 1e9, miss / size / rounds * 1e9,
	       refresh / size / rounds * 1e9);
	free(order);
	nb_fdb_free(fdb);
}

int
main(int argc, char **argv)
{
	if (argc > 1) {
		measure((uint32_t)strtoul(argv[1], NULL, 10));
		return 0;
	}
	what_is_learned_is_found_in_its_vlan();
	an_address_ages_unless_it_is_heard();
	it_holds_as_many_as_were_asked_for(65536);
	it_holds_as_many_as_were_asked_for(100);
	flushing_a_port_forgets_only_its_addresses();
	a_claim_by_a_clock_that_is_a_tick_ahead_is_kept();
	a_sweep_by_a_clock_that_is_a_tick_ahead_was_just_now();
	odd_sizes();
	readers_never_see_another_addresss_port();
	return 0;
}
