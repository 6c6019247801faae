/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two-choice hashing into buckets of eight: an address is in one of two
 * buckets, so nothing is ever chained, moved or left as a tombstone, and a
 * lookup reads two cache lines when it finds, two when it does not.  With
 * twice the slots that are asked for, the chance that both buckets are full
 * before the table is can be neglected.
 *
 * A slot is two words, key and value.  Nobody takes a lock, so the table may
 * lie in memory that processes share, and one that is killed holds up nobody.
 * Readers read the key, the value, and the key again; the value also carries
 * bits of the hash, so that a value of another address is not taken for one's
 * own even when a slot is reused twice in between.  A refresh or a move is one
 * compare and exchange of the value.  Who inserts claims a free slot first,
 * with the time, so that a claim whose owner died can be claimed again.
 *
 * Nothing in the table is used as an index, but for the port: whoever can
 * scribble over it can lose frames, and no more.
 */
#include "fdb.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define SLOTS 8u
#define CACHE_LINE 64u
#define SWEEP_MS 1000u /* a full table is searched for aged entries at most this often */
#define CLAIM_MS 1000u /* a claim this old is a dead one's */

#define KEY_USED (1ull << 60)
#define KEY_CLAIMED (2ull << 60) /* with milliseconds below */
#define KEY_MS(key) ((key) & (KEY_USED - 1))

/* Value: 40 bits of milliseconds (34 years), 12 of hash, 12 of port. */
#define VALUE_PORT(v) ((uint32_t)((v) & 0xfff))
#define VALUE_TAG(v) ((uint32_t)((v) >> 12 & 0xfff))
#define VALUE_MS(v) ((v) >> 24)
#define PORT_MAX 4096u

struct bucket {
	uint64_t key[SLOTS]; /* 0: free.  KEY_USED | vid << 48 | address */
	uint64_t value[SLOTS];
} __attribute__((aligned(CACHE_LINE)));

/* In front of the buckets. */
struct shared {
	uint64_t seed;  /* 0: not chosen yet */
	uint32_t count; /* claims and aged ones included */
	uint64_t swept_ms;
} __attribute__((aligned(CACHE_LINE)));

struct nb_fdb {
	struct shared *shared;
	struct bucket *bucket;
	void *own; /* what shared lies in; NULL: somebody else's */
	uint32_t mask;
	uint32_t size;
	uint64_t seed;
	uint64_t ageing_ms; /* 0: never */
	uint64_t refresh_ms;
};

static uint64_t
make_key(const uint8_t mac[6], uint16_t vid)
{
	uint64_t address = 0;

	memcpy(&address, mac, 6);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	address >>= 16;
#endif
	return KEY_USED | (uint64_t)(vid & 0xfff) << 48 | address;
}

/* Seeded, because who sends frames chooses the addresses: no set of them may be known to collide. */
static uint64_t
hash(const struct nb_fdb *fdb, uint64_t key)
{
	key ^= fdb->seed;
	key *= 0x9e3779b97f4a7c15ull;
	key ^= key >> 32;
	key *= fdb->seed | 1;
	return key ^ key >> 29;
}

static struct bucket *
first_choice(const struct nb_fdb *fdb, uint64_t h)
{
	return &fdb->bucket[(uint32_t)h & fdb->mask];
}

/* Never the first one: the difference is odd. */
static struct bucket *
second_choice(const struct nb_fdb *fdb, uint64_t h)
{
	return &fdb->bucket[((uint32_t)h ^ ((uint32_t)(h >> 32) | 1)) & fdb->mask];
}

static uint64_t
make_value(uint64_t h, uint32_t port, uint64_t ms)
{
	return ms << 24 | (h >> 20 & 0xfff) << 12 | port;
}

static uint64_t
age_ms(uint64_t value, uint64_t now_ms)
{
	/* Another thread's clock may have been read a little later. */
	return now_ms > VALUE_MS(value) ? now_ms - VALUE_MS(value) : 0;
}

/* Whether two times are less than a span apart: coarse clocks of two threads may differ by a tick, either way. */
static bool
close_by(uint64_t then_ms, uint64_t now_ms, uint64_t span_ms)
{
	return now_ms - then_ms + span_ms < 2 * span_ms;
}

static bool
aged(const struct nb_fdb *fdb, uint64_t value, uint64_t now_ms)
{
	return fdb->ageing_ms != 0 && age_ms(value, now_ms) >= fdb->ageing_ms;
}

/*
 * The place of the value that belongs to the key, and that value as read.
 * All keys are compared before anything is decided: which slot it is, nobody
 * can predict, and a wrong guess costs more than seven comparisons.
 */
static uint64_t *
find_in(struct bucket *b, uint64_t key, uint64_t h, uint64_t *value)
{
	uint32_t match = 0;
	uint32_t i;

	for (i = 0; i < SLOTS; i++)
		match |= (uint32_t)(__atomic_load_n(&b->key[i], __ATOMIC_RELAXED) == key) << i;
	if (match == 0)
		return NULL;
	i = (uint32_t)__builtin_ctz(match);
	*value = __atomic_load_n(&b->value[i], __ATOMIC_ACQUIRE);
	if (__atomic_load_n(&b->key[i], __ATOMIC_RELAXED) != key || VALUE_TAG(*value) != (h >> 20 & 0xfff))
		return NULL;
	return &b->value[i];
}

static uint64_t *
find(const struct nb_fdb *fdb, uint64_t key, uint64_t h, uint64_t *value)
{
	uint64_t *place = find_in(first_choice(fdb, h), key, h, value);

	return place != NULL ? place : find_in(second_choice(fdb, h), key, h, value);
}

/* 0: no such table. */
static uint32_t
buckets_for(uint32_t size)
{
	uint32_t buckets = 2;

	if (size == 0 || size > 1u << 26)
		return 0;
	while (buckets < (size + SLOTS / 2 - 1) / (SLOTS / 2))
		buckets *= 2;
	return buckets;
}

size_t
nb_fdb_bytes(uint32_t size)
{
	uint32_t buckets = buckets_for(size);

	return buckets == 0 ? 0 : sizeof(struct shared) + buckets * sizeof(struct bucket);
}

static uint64_t
random_seed(const void *salt)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed)) {
		struct timespec ts;

		clock_gettime(CLOCK_REALTIME, &ts);
		seed = (uint64_t)ts.tv_nsec * 0x2545f4914f6cdd1dull ^ (uint64_t)(uintptr_t)salt;
	}
	return seed != 0 ? seed : 1;
}

struct nb_fdb *
nb_fdb_at(void *memory, uint32_t size, uint64_t ageing_ns)
{
	struct nb_fdb *fdb;
	uint32_t buckets = buckets_for(size);
	uint64_t none = 0;

	if (buckets == 0) {
		errno = EINVAL;
		return NULL;
	}
	fdb = calloc(1, sizeof(*fdb));
	if (fdb == NULL)
		return NULL;
	fdb->shared = memory;
	fdb->bucket = (struct bucket *)(fdb->shared + 1);
	fdb->mask = buckets - 1;
	fdb->size = size;
	/* Whoever comes first chooses for all. */
	__atomic_compare_exchange_n(&fdb->shared->seed, &none, random_seed(fdb), false, __ATOMIC_RELAXED,
	                            __ATOMIC_RELAXED);
	fdb->seed = __atomic_load_n(&fdb->shared->seed, __ATOMIC_RELAXED);
	if (ageing_ns != 0) {
		fdb->ageing_ms = ageing_ns / 1000000 != 0 ? ageing_ns / 1000000 : 1;
		fdb->refresh_ms = fdb->ageing_ms / 8 < 1000 ? fdb->ageing_ms / 8 : 1000;
	} else {
		fdb->refresh_ms = 1000;
	}
	return fdb;
}

struct nb_fdb *
nb_fdb_new(uint32_t size, uint64_t ageing_ns)
{
	size_t bytes = nb_fdb_bytes(size);
	struct nb_fdb *fdb = NULL;
	void *memory;

	if (bytes == 0) {
		errno = EINVAL;
		return NULL;
	}
	memory = aligned_alloc(CACHE_LINE, bytes);
	if (memory != NULL) {
		memset(memory, 0, bytes);
		fdb = nb_fdb_at(memory, size, ageing_ns);
	}
	if (fdb == NULL) {
		free(memory);
		errno = ENOMEM;
		return NULL;
	}
	fdb->own = memory;
	return fdb;
}

void
nb_fdb_free(struct nb_fdb *fdb)
{
	if (fdb == NULL)
		return;
	free(fdb->own);
	free(fdb);
}

/* Frees a slot, if it still holds that key. */
static void
clear(struct nb_fdb *fdb, struct bucket *b, uint32_t slot, uint64_t key)
{
	if (__atomic_compare_exchange_n(&b->key[slot], &key, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		__atomic_fetch_sub(&fdb->shared->count, 1, __ATOMIC_RELAXED);
}

static void
clear_aged_in(struct nb_fdb *fdb, struct bucket *b, uint64_t now_ms)
{
	for (uint32_t i = 0; i < SLOTS; i++) {
		uint64_t key = __atomic_load_n(&b->key[i], __ATOMIC_ACQUIRE);

		if (key & KEY_USED ? aged(fdb, __atomic_load_n(&b->value[i], __ATOMIC_RELAXED), now_ms)
		                   : key != 0 && !close_by(KEY_MS(key), now_ms, CLAIM_MS))
			clear(fdb, b, i, key);
	}
}

static uint32_t
used_slots(const struct bucket *b)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < SLOTS; i++)
		n += __atomic_load_n(&b->key[i], __ATOMIC_RELAXED) != 0;
	return n;
}

/* Takes a place in the count; false: the table is full. */
static bool
admit(struct nb_fdb *fdb)
{
	if (__atomic_fetch_add(&fdb->shared->count, 1, __ATOMIC_RELAXED) < fdb->size)
		return true;
	__atomic_fetch_sub(&fdb->shared->count, 1, __ATOMIC_RELAXED);
	return false;
}

static void
sweep(struct nb_fdb *fdb, uint64_t now_ms)
{
	uint64_t swept = __atomic_load_n(&fdb->shared->swept_ms, __ATOMIC_RELAXED);

	if (close_by(swept, now_ms, SWEEP_MS) ||
	    !__atomic_compare_exchange_n(&fdb->shared->swept_ms, &swept, now_ms, false, __ATOMIC_RELAXED,
	                                 __ATOMIC_RELAXED))
		return;
	for (uint32_t i = 0; i <= fdb->mask; i++)
		clear_aged_in(fdb, &fdb->bucket[i], now_ms);
}

/* Another thread may have inserted the same address meanwhile: of two in one bucket the first is kept. */
static void
clear_double(struct nb_fdb *fdb, struct bucket *b, uint32_t slot, uint64_t key)
{
	for (uint32_t i = 0; i < slot; i++) {
		if (__atomic_load_n(&b->key[i], __ATOMIC_SEQ_CST) == key) {
			clear(fdb, b, slot, key);
			return;
		}
	}
}

static int
insert(struct nb_fdb *fdb, uint64_t key, uint64_t h, uint32_t port, uint64_t now_ms)
{
	struct bucket *b = first_choice(fdb, h);
	struct bucket *other = second_choice(fdb, h);
	bool room = admit(fdb);

	if (!room || used_slots(b) == SLOTS) {
		clear_aged_in(fdb, b, now_ms);
		clear_aged_in(fdb, other, now_ms);
	}
	if (!room) {
		room = admit(fdb);
		if (!room) {
			sweep(fdb, now_ms);
			room = admit(fdb);
		}
		if (!room)
			return -ENOSPC;
	}
	if (used_slots(other) < used_slots(b))
		b = other;
	for (uint32_t i = 0; i < SLOTS; i++) {
		uint64_t free_key = 0;

		if (!__atomic_compare_exchange_n(&b->key[i], &free_key, KEY_CLAIMED | (now_ms & (KEY_USED - 1)), false,
		                                 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		/* Who reads this value sees the key claimed or new. */
		__atomic_store_n(&b->value[i], make_value(h, port, now_ms), __ATOMIC_RELEASE);
		__atomic_store_n(&b->key[i], key, __ATOMIC_SEQ_CST);
		clear_double(fdb, b, i, key);
		return 0;
	}
	__atomic_fetch_sub(&fdb->shared->count, 1, __ATOMIC_RELAXED);
	return -ENOSPC;
}

int
nb_fdb_learn(struct nb_fdb *fdb, const uint8_t mac[6], uint16_t vid, uint32_t port, uint64_t now_ns)
{
	uint64_t now_ms = now_ns / 1000000;
	uint64_t key = make_key(mac, vid);
	uint64_t h = hash(fdb, key);
	uint64_t value;
	uint64_t *place;

	if (port >= PORT_MAX)
		return -EINVAL;
	place = find(fdb, key, h, &value);
	if (place != NULL) {
		if (VALUE_PORT(value) == port && age_ms(value, now_ms) <= fdb->refresh_ms)
			return 0;
		/* Lost to another thread: it has just written what is as new. */
		__atomic_compare_exchange_n(place, &value, make_value(h, port, now_ms), false,
		                            __ATOMIC_RELEASE, __ATOMIC_RELAXED);
		return 0;
	}
	return insert(fdb, key, h, port, now_ms);
}

int32_t
nb_fdb_lookup(struct nb_fdb *fdb, const uint8_t mac[6], uint16_t vid, uint64_t now_ns)
{
	uint64_t key = make_key(mac, vid);
	uint64_t value;

	if (find(fdb, key, hash(fdb, key), &value) == NULL || aged(fdb, value, now_ns / 1000000))
		return -1;
	return (int32_t)VALUE_PORT(value);
}

void
nb_fdb_flush_port(struct nb_fdb *fdb, uint32_t port)
{
	for (uint32_t i = 0; i <= fdb->mask; i++) {
		struct bucket *b = &fdb->bucket[i];

		for (uint32_t j = 0; j < SLOTS; j++) {
			uint64_t key = __atomic_load_n(&b->key[j], __ATOMIC_ACQUIRE);

			if ((key & KEY_USED) && VALUE_PORT(__atomic_load_n(&b->value[j], __ATOMIC_RELAXED)) == port)
				clear(fdb, b, j, key);
		}
	}
}

uint32_t
nb_fdb_dump(struct nb_fdb *fdb, uint64_t *cursor, struct nb_fdb_entry *out, uint32_t n, uint64_t now_ns)
{
	uint64_t end = ((uint64_t)fdb->mask + 1) * SLOTS;
	uint32_t got = 0;

	for (; *cursor < end && got < n; ++*cursor) {
		struct bucket *b = &fdb->bucket[*cursor / SLOTS];
		uint32_t slot = (uint32_t)(*cursor % SLOTS);
		uint64_t key = __atomic_load_n(&b->key[slot], __ATOMIC_ACQUIRE);
		uint64_t value = __atomic_load_n(&b->value[slot], __ATOMIC_ACQUIRE);
		struct nb_fdb_entry *e = &out[got];

		if ((key & KEY_USED) == 0 || __atomic_load_n(&b->key[slot], __ATOMIC_RELAXED) != key ||
		    VALUE_TAG(value) != (hash(fdb, key) >> 20 & 0xfff) || aged(fdb, value, now_ns / 1000000))
			continue;
		e->vid = (uint16_t)(key >> 48 & 0xfff);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		key <<= 16;
#endif
		memcpy(e->mac, &key, 6);
		e->port = VALUE_PORT(value);
		e->age_ns = age_ms(value, now_ns / 1000000) * 1000000;
		got++;
	}
	return got;
}
