/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sending: a frame in our tx ring is shown in the lanes of its receivers,
 * buffers and all; nothing is copied, and a flooded frame is in several
 * lanes.  The tx ring's slot gets another buffer.  When all receivers have
 * given a buffer back it is free again.
 *
 * How many lanes hold a buffer, and which buffers stand in a lane, is known
 * from memory that nobody else can write.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vale_int.h"
#include "vale_memory.h"

#define MACS 12u
#define ETHER 14u
#define HDR 12u
#define LANE_MIN 16u /* entries that a lane may have however full the others are */
#define CHECK_NS 250000000ull

enum verdict { SENT, WAITS };

static void
count(struct vale_ring *q, enum netbe_drop why, uint32_t n)
{
	uint64_t *counter = &q->port->stats->tx_dropped[why];

	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static uint32_t
next(const struct vale_ring *q, uint32_t slot)
{
	return slot + 1 == q->v->slots ? 0 : slot + 1;
}

static uint32_t
distance(const struct vale_ring *q, uint32_t from, uint32_t to)
{
	return to >= from ? to - from : to + q->v->slots - from;
}

/* --- buffers */

/* Takes back what a receiver has read. */
static void
reclaim(struct vale_ring *q, struct vale_to *t)
{
	uint32_t head = __atomic_load_n(&t->lane->head, __ATOMIC_ACQUIRE);

	if (head - t->reclaimed > t->published - t->reclaimed)
		return; /* nonsense: as if it had read nothing */
	while (t->reclaimed != head)
		vale_pop(q, t);
}

static void
reclaim_all(struct vale_ring *q)
{
	for (uint64_t left = q->receivers; left != 0; left &= left - 1)
		reclaim(q, &q->to[__builtin_ctzll(left)]);
}

/*
 * Whether n more entries may go into a lane.  LANE_MIN are kept for every
 * port that there can be, so that however many receivers do not read, the
 * others go on and the tx ring finds buffers.  Of what is above that a lane
 * has no more than it leaves to others; only a long frame that is alone in
 * its lane may take it all.
 */
static bool
has_room(struct vale_ring *q, struct vale_to *t, uint32_t n)
{
	for (int again = 0; again < 2; again++) {
		uint32_t then = vale_held(t) + n;

		if (then <= LANE_MIN)
			return true;
		if (then <= VALE_LANE && n <= q->above && (vale_held(t) == 0 || then - LANE_MIN <= q->above))
			return true;
		if (again != 0)
			break;
		reclaim(q, t);
		if (vale_held(t) + n > LANE_MIN && vale_held(t) + n <= VALE_LANE && !q->reclaimed) {
			reclaim_all(q); /* it is not the lane that is full */
			q->reclaimed = true;
		}
	}
	return false;
}

/* --- where to */

static uint64_t
decide(struct vale_ring *q, const uint8_t macs[MACS])
{
	struct vale *v = q->v;
	const struct netbe_services *services = v->files.services;
	int32_t port = -1;

	if (q->last_known && memcmp(macs, q->last_macs, MACS) == 0)
		return q->last_mask;
	if (v->pipe) {
		q->last_mask = q->receivers;
	} else {
		if ((macs[6] & 1) == 0 && (!q->last_known || memcmp(macs + 6, q->last_macs + 6, 6) != 0))
			services->fdb_learn(v->files.fdb, macs + 6, 0, v->index, q->now_ns);
		if ((macs[0] & 1) == 0)
			port = services->fdb_lookup(v->files.fdb, macs, 0, q->now_ns);
		if (port >= 0 && (uint32_t)port == v->index)
			q->last_mask = 0; /* it has no business on the switch */
		else if (port >= 0 && port < (int32_t)VALE_PORTS && (q->receivers >> port & 1) != 0)
			q->last_mask = 1ull << port;
		else
			q->last_mask = q->receivers;
	}
	memcpy(q->last_macs, macs, MACS);
	q->last_known = true;
	return q->last_mask;
}

/* --- frames */

static void
push(struct vale_ring *q, struct vale_to *t, uint32_t buf, uint32_t len, uint32_t flags)
{
	uint32_t at = t->tail & (VALE_LANE - 1);
	uint8_t *refs = &q->refs[buf - q->first_buf];

	__atomic_store_n(&t->lane->entry[at], VALE_ENTRY(buf, len, flags), __ATOMIC_RELAXED);
	t->buf[at] = buf;
	if (vale_held(t) >= LANE_MIN && (*refs & VALE_ABOVE_MIN) == 0) {
		*refs |= VALE_ABOVE_MIN;
		q->above--;
	}
	++*refs;
	t->tail++;
}

/* The first bytes of a frame of n slots, wherever they lie; false: it has not so many. */
static bool
peek(const struct vale_ring *q, uint32_t slot, const uint16_t *len, uint32_t n, uint32_t skip, uint8_t macs[MACS])
{
	uint32_t got = 0;

	/* The usual case in one copy of fixed size: what is compared next must not wait for stores of other sizes. */
	if (len[0] >= skip + MACS) {
		memcpy(macs, q->window + (size_t)q->slot_buf[slot] * VALE_BUF + skip, MACS);
		return true;
	}
	for (uint32_t i = 0; i < n && got < MACS; i++, slot = next(q, slot)) {
		const uint8_t *data = q->window + (size_t)q->slot_buf[slot] * VALE_BUF;
		uint32_t from = skip < len[i] ? skip : len[i];
		uint32_t run = len[i] - from;

		skip -= from;
		if (run > MACS - got)
			run = MACS - got;
		memcpy(macs + got, data + from, run);
		got += run;
	}
	return got == MACS;
}

/* A frame of n slots from `slot` on. */
static enum verdict
forward(struct vale_ring *q, uint32_t slot, const uint16_t *len, const uint16_t *flags, uint32_t n)
{
	uint8_t macs[MACS];
	uint64_t mask, lack = 0;
	uint32_t total = 0;
	uint32_t skip = flags[0] & VALE_HDR ? HDR : 0;

	for (uint32_t i = 0; i < n; i++)
		total += len[i];
	if (total < skip + ETHER || !peek(q, slot, len, n, skip, macs)) {
		count(q, NETBE_DROP_TOO_SHORT, 1);
		return SENT;
	}
	mask = decide(q, macs);
	if (mask == 0) {
		if (q->v->pipe)
			return WAITS; /* until the other end comes */
		count(q, NETBE_DROP_DISCARDED, 1);
		return SENT;
	}
	for (uint64_t left = mask; left != 0; left &= left - 1) {
		uint32_t p = (uint32_t)__builtin_ctzll(left);
		struct vale_to *t = &q->to[p];

		if (n >= t->slots) {
			count(q, NETBE_DROP_TOO_LONG, 1);
			mask &= ~(1ull << p);
		} else if (!has_room(q, t, n)) {
			lack |= 1ull << p;
			if (q->now_ns - t->checked_ns > CHECK_NS) {
				t->checked_ns = q->now_ns;
				vale_suspect(&q->v->files, p, t->gen);
				/* Said again: somebody may have scribbled over what we said, and it waits for us. */
				__atomic_store_n(&t->lane->gen, t->gen, __ATOMIC_RELAXED);
				q->dirty |= 1ull << p;
			}
		}
	}
	if (lack != 0) {
		if (q->v->wait) {
			q->blocked = lack;
			memcpy(q->blocked_macs, macs, MACS);
			return WAITS;
		}
		count(q, NETBE_DROP_FULL, (uint32_t)__builtin_popcountll(lack));
		mask &= ~lack;
	}
	q->dirty |= mask;
	for (uint64_t left = mask; left != 0; left &= left - 1) {
		struct vale_to *t = &q->to[__builtin_ctzll(left)];
		uint32_t at = slot;

		for (uint32_t i = 0; i < n; i++, at = next(q, at))
			push(q, t, q->slot_buf[at], len[i], flags[i]);
	}
	return SENT;
}

static void
publish(struct vale_ring *q)
{
	for (uint64_t left = q->dirty; left != 0; left &= left - 1) {
		struct vale_to *t = &q->to[__builtin_ctzll(left)];

		__atomic_store_n(&t->lane->tail, t->tail, __ATOMIC_RELEASE);
		t->published = t->tail;
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint64_t left = q->dirty; left != 0; left &= left - 1) {
		uint32_t p = (uint32_t)__builtin_ctzll(left);
		struct vale_to *t = &q->to[p];
		uint32_t ring = q->number % t->rings;
		struct vale_inbox *inbox = &t->head->inbox[ring];
		uint64_t bit = 1ull << q->v->index;

		if ((__atomic_load_n(&inbox->from[q->number], __ATOMIC_RELAXED) & bit) == 0)
			__atomic_fetch_or(&inbox->from[q->number], bit, __ATOMIC_SEQ_CST); /* for vale_wake */
		vale_wake(q, &inbox->armed, p, t->gen, ring, 'r');
	}
	q->dirty = 0;
}

/* The receiver's processor has the line; it takes a while to get it back for writing. */
static void
fetch_for_writing(const uint8_t *at)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" : : "m"(*at)); /* the builtin means another one, unless told of the processor */
#else
	__builtin_prefetch(at, 1);
#endif
}

/* Slots become free again, with a buffer each. */
static void
show_room(struct vale_ring *q)
{
	while (distance(q, q->hwcur, q->tail) < VALE_SHOWN && next(q, q->tail) != q->hwcur) {
		if (q->nfree == 0)
			break;
		q->slot_buf[q->tail] = q->free_buf[--q->nfree];
		q->tx->slot[q->tail].buf_idx = q->slot_buf[q->tail];
		fetch_for_writing(q->window + (size_t)q->slot_buf[q->tail] * VALE_BUF);
		q->tail = next(q, q->tail);
	}
	/* Also what has not changed: somebody may have scribbled over it. */
	if (__atomic_load_n(&q->tx->tail, __ATOMIC_RELAXED) != q->tail)
		__atomic_store_n(&q->tx->tail, q->tail, __ATOMIC_RELEASE);
}

/* The slots of the frame at hwcur, as they are now and not as somebody may change them; 0: its end is not there. */
static uint32_t
gather(struct vale_ring *q, uint32_t head, uint16_t *len, uint16_t *flags)
{
	uint32_t slot = q->hwcur;

	for (uint32_t n = 0; slot != head && n < VALE_SHOWN; slot = next(q, slot)) {
		const struct netmap_slot *s = &q->tx->slot[slot];

		len[n] = __atomic_load_n(&s->len, __ATOMIC_RELAXED);
		flags[n] = __atomic_load_n(&s->flags, __ATOMIC_RELAXED) & (NM_SLOT_MOREFRAG | VALE_HDR);
		n++;
		if ((flags[n - 1] & NM_SLOT_MOREFRAG) == 0)
			return n;
	}
	return 0;
}

int
vale_txsync(void *ctx)
{
	struct vale_ring *q = ctx;
	uint32_t head = __atomic_load_n(&q->tx->head, __ATOMIC_ACQUIRE);
	uint16_t len[VALE_SHOWN], flags[VALE_SHOWN];
	uint64_t before = q->now_ns;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	q->now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	/* What the table said is good for a tick of the clock, and while the members are the same. */
	q->last_known &= q->now_ns == before;
	q->blocked = 0;
	vale_tx_refresh(q);
	q->reclaimed = q->nfree < VALE_SHOWN;
	if (q->reclaimed)
		reclaim_all(q);
	if (head >= q->v->slots || distance(q, q->hwcur, head) > distance(q, q->hwcur, q->tail))
		head = q->hwcur; /* nonsense: nothing is sent */
	while (q->hwcur != head) {
		uint32_t n = gather(q, head, len, flags);
		bool good = n != 0;

		if (n == 0)
			n = distance(q, q->hwcur, head); /* no frame ends here, and head is always behind one: nonsense */
		for (uint32_t i = 0; i < n && good; i++)
			good = len[i] <= VALE_BUF;
		if (!good)
			count(q, NETBE_DROP_TOO_LONG, 1);
		else if (forward(q, q->hwcur, len, flags, n) == WAITS)
			break;
		for (; n > 0; n--) {
			uint32_t buf = q->slot_buf[q->hwcur];

			/* A slot that is not shown has none, or they would all end there. */
			if (q->refs[buf - q->first_buf] == 0)
				q->free_buf[q->nfree++] = buf;
			q->slot_buf[q->hwcur] = VALE_NONE;
			q->hwcur = next(q, q->hwcur);
		}
	}
	if (q->dirty != 0)
		publish(q);
	q->left = distance(q, q->hwcur, head);
	show_room(q);
	return 0;
}

uint32_t
vale_untaken(void *ctx)
{
	const struct vale_ring *q = ctx;

	return q->left;
}

/*
 * While a receiver that had no room has given back little: to write frames
 * for it again and again would cost what it takes to read them.  A change of
 * members, or time to see whether it lives, is worth an attempt.
 */
int
vale_stuck(void *ctx, const struct netbe_frame *first)
{
	struct vale_ring *q = ctx;
	struct timespec now;

	/* Another frame may be for somebody else. */
	if (first->nseg == 0 || first->seg[0].iov_len < MACS ||
	    memcmp(first->seg[0].iov_base, q->blocked_macs, MACS) != 0)
		return 0;
	if (q->tx_epoch != __atomic_load_n(&q->v->files.control->epoch, __ATOMIC_ACQUIRE))
		return 0;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	for (uint64_t left = q->blocked; left != 0; left &= left - 1) {
		struct vale_to *t = &q->to[__builtin_ctzll(left)];

		reclaim(q, t);
		if ((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec - t->checked_ns > CHECK_NS)
			return 0;
		if (t->tail - t->reclaimed > VALE_LANE - VALE_LANE / 4)
			return 1;
	}
	return 0;
}

uint64_t
vale_awaited(const struct vale_ring *q)
{
	uint64_t all = 0;

	/* One of the blocked has nothing of ours, or there is no buffer: anybody's will do. */
	for (uint64_t left = q->receivers; left != 0; left &= left - 1)
		if (vale_held(&q->to[__builtin_ctzll(left)]) != 0)
			all |= left & -left;
	return q->blocked != 0 && (q->blocked & ~all) == 0 ? q->blocked : all;
}

int
vale_tx_begin(struct vale_ring *q)
{
	const struct vale *v = q->v;

	q->heads = vale_window_new((size_t)VALE_PORTS * VALE_HEAD_STEP, VALE_HEAD_STEP);
	q->slot_buf = calloc(v->slots, sizeof(*q->slot_buf));
	q->free_buf = calloc(v->nbufs, sizeof(*q->free_buf));
	q->refs = calloc(v->nbufs, 1);
	if (q->heads == NULL || q->slot_buf == NULL || q->free_buf == NULL || q->refs == NULL)
		return -ENOMEM;
	q->first_buf = v->index * VALE_BUFS_PER_STRIDE + (uint32_t)(v->layout.bufs / VALE_BUF) + q->number * v->nbufs;
	q->above = v->nbufs - VALE_SHOWN - (VALE_PORTS - 1) * LANE_MIN;
	for (uint32_t i = 0; i < v->slots; i++)
		q->slot_buf[i] = VALE_NONE;
	for (uint32_t i = 0; i < v->nbufs; i++)
		q->free_buf[q->nfree++] = q->first_buf + v->nbufs - 1 - i;
	show_room(q);
	return 0;
}

void
vale_tx_end(struct vale_ring *q)
{
	for (uint32_t p = 0; p < VALE_PORTS; p++)
		free(q->to[p].buf);
	free(q->slot_buf);
	free(q->free_buf);
	free(q->refs);
	vale_window_free(q->heads, (size_t)VALE_PORTS * VALE_HEAD_STEP);
}
