/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receiving: what stands in senders' lanes is shown in our rx ring, buffers
 * and all; nothing is copied.  What the reader has given back is given back
 * to its sender, lane by lane, in order.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vale_int.h"
#include "vale_memory.h"

#define QUOTA 64u /* entries of one lane in a row: no sender has the ring for itself, nor more than a quarter of it */

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

/*
 * Maps the region of a member that has come; its lanes to us that this ring
 * reads begin at 0.  False: not now, for want of descriptors or memory.
 */
static bool
meet(struct vale_ring *q, uint32_t p, const struct vale_member *m)
{
	struct vale *v = q->v;
	struct vale_layout layout = vale_layout(m->rings, m->slots, m->nbufs);
	uint8_t *region = q->window + (size_t)p * VALE_STRIDE;
	char path[VALE_PATH + 32];
	struct stat st;
	bool met = false;
	int fd;

	vale_region_path(&v->files, path, p, m->gen);
	fd = vale_open(path);
	if (fd < 0)
		return errno == ENOENT;
	if (fstat(fd, &st) == 0 && (size_t)st.st_size >= layout.bytes) {
		met = vale_window_map(q->window, (size_t)p * VALE_STRIDE, layout.bytes, fd) == 0;
		if (met)
			q->from_gen[p] = m->gen;
		for (uint32_t r = q->number; met && r < m->rings; r += v->rings) {
			q->from[p * VALE_RINGS + r].lane = (void *)(region + vale_lane_at(&layout, r, v->index));
			/* It may have told us of frames before we knew it. */
			q->active[r] |= 1ull << p;
		}
	}
	close(fd);
	return met;
}

/* Who has sent something since the last look. */
static void
collect(struct vale_ring *q)
{
	struct vale_inbox *inbox = &q->own->inbox[q->number];
	bool news = false;

	for (uint32_t r = 0; r < VALE_RINGS; r++) {
		if (__atomic_load_n(&inbox->from[r], __ATOMIC_RELAXED) != 0) {
			q->active[r] |= __atomic_exchange_n(&inbox->from[r], 0, __ATOMIC_ACQ_REL);
			news = true;
		}
	}
	/* Who found its bit still set did not set it again: its tail is to be read behind our clearing. */
	if (news)
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* How many entries a lane has for us; what cannot be is none. */
static uint32_t
unread_in(const struct vale_ring *q, const struct vale_from *f)
{
	uint32_t n;

	if (f->lane == NULL || __atomic_load_n(&f->lane->gen, __ATOMIC_ACQUIRE) != q->v->gen)
		return 0;
	n = __atomic_load_n(&f->lane->tail, __ATOMIC_ACQUIRE) - f->taken;
	return n <= VALE_LANE ? n : 0;
}

static void
refresh(struct vale_ring *q)
{
	uint32_t epoch = __atomic_load_n(&q->v->files.control->epoch, __ATOMIC_ACQUIRE);
	bool later = false;

	if (epoch == q->rx_epoch)
		return;
	for (uint32_t p = 0; p < VALE_PORTS; p++) {
		struct vale_member m = vale_member_at(&q->v->files, p);

		q->leaving &= ~(1ull << p);
		if ((m.gen & 1) != 0 && m.left != 0)
			q->leaving |= 1ull << p;
		if (p == q->v->index || m.gen == q->from_gen[p] || ((m.gen & 1) == 0 && q->from_gen[p] == 0))
			continue;
		if (q->from_lent[p] != 0) {
			later = true; /* the reader still has frames that lie there */
			continue;
		}
		if (q->from_gen[p] != 0) {
			struct vale_from *f = &q->from[p * VALE_RINGS];
			bool unread = false;

			/* What a member sent before it left is not lost with it. */
			for (uint32_t r = 0; r < VALE_RINGS; r++) {
				if (unread_in(q, &f[r]) != 0) {
					q->active[r] |= 1ull << p;
					unread = true;
				}
			}
			if (unread) {
				later = true;
				continue;
			}
			vale_window_unmap(q->window, (size_t)p * VALE_STRIDE, VALE_STRIDE);
			for (uint32_t r = 0; r < VALE_RINGS; r++)
				f[r] = (struct vale_from){0};
			q->from_gen[p] = 0;
		}
		if ((m.gen & 1) != 0 && vale_sane(m.rings, m.slots, m.nbufs))
			later |= !meet(q, p, &m);
	}
	if (!later)
		q->rx_epoch = epoch;
}

/* Who reads the last of what a member sent before it left takes away what it left behind. */
static void
finish(struct vale_ring *q)
{
	for (uint64_t left = q->leaving; left != 0; left &= left - 1) {
		uint32_t p = (uint32_t)__builtin_ctzll(left), n = q->from_lent[p];

		for (uint32_t r = 0; r < VALE_RINGS; r++)
			n += unread_in(q, &q->from[p * VALE_RINGS + r]);
		if (n == 0 && vale_finish(&q->v->files))
			q->leaving &= ~(1ull << p);
	}
}

/* Slots that the reader has passed: their buffers are the senders' again. */
static void
give_back(struct vale_ring *q)
{
	uint32_t head = __atomic_load_n(&q->rx->head, __ATOMIC_ACQUIRE);
	uint64_t touched[VALE_RINGS] = {0};

	if (head >= q->v->slots || distance(q, q->rx_hwcur, head) > distance(q, q->rx_hwcur, q->rx_hwtail))
		return; /* somebody has written nonsense there: nothing is given back */
	while (q->rx_hwcur != head) {
		uint32_t lane = q->slot_from[q->rx_hwcur];
		uint32_t p = lane / VALE_RINGS;

		q->from[lane].done++;
		q->from_lent[p]--;
		touched[lane % VALE_RINGS] |= 1ull << p;
		q->rx_hwcur = next(q, q->rx_hwcur);
	}
	for (uint32_t r = 0; r < VALE_RINGS; r++) {
		for (uint64_t left = touched[r]; left != 0; left &= left - 1) {
			uint32_t p = (uint32_t)__builtin_ctzll(left);
			struct vale_from *f = &q->from[p * VALE_RINGS + r];

			__atomic_store_n(&f->lane->head, f->done, __ATOMIC_RELEASE);
		}
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint32_t r = 0; r < VALE_RINGS; r++) {
		for (uint64_t left = touched[r]; left != 0; left &= left - 1) {
			uint32_t p = (uint32_t)__builtin_ctzll(left);

			vale_wake(q, &q->from[p * VALE_RINGS + r].lane->want_room, p, q->from_gen[p], r, 't');
		}
	}
}

/*
 * Once in a while, when nothing comes: whoever scribbled over shared words, or
 * was killed between two of them, has not silenced anybody for ever.
 */
static void
look_everywhere(struct vale_ring *q)
{
	for (uint32_t i = 0; i < VALE_PORTS * VALE_RINGS; i++) {
		const struct vale_from *f = &q->from[i];

		if (f->lane != NULL && __atomic_load_n(&f->lane->gen, __ATOMIC_ACQUIRE) == q->v->gen)
			__atomic_store_n(&f->lane->head, f->done, __ATOMIC_RELEASE);
	}
	for (uint32_t r = 0; r < VALE_RINGS; r++)
		q->active[r] = UINT64_MAX;
	q->look_everywhere = false;
}

/*
 * Shows what one lane has, whole frames only, about QUOTA entries.  False:
 * our ring is full, and it is said whose turn is next.
 */
static bool
show(struct vale_ring *q, uint32_t r, uint32_t p)
{
	struct vale_from *f = &q->from[p * VALE_RINGS + r];
	uint32_t room = q->v->slots - 1 - distance(q, q->rx_hwcur, q->rx_hwtail);
	uint32_t quota = q->v->slots / 4 < QUOTA ? q->v->slots / 4 : QUOTA;
	uint32_t avail = unread_in(q, f), n;

	for (uint32_t shown = 0; shown < quota && avail != 0; shown += n, avail -= n, room -= n) {
		uint64_t entry[VALE_LANE];
		uint32_t slot = q->rx_hwtail;

		/* Where no end of a frame is, somebody has written nonsense: it ends there all the same, to be passed by. */
		n = 0;
		do {
			entry[n] = __atomic_load_n(&f->lane->entry[(f->taken + n) & (VALE_LANE - 1)], __ATOMIC_RELAXED);
		} while ((VALE_ENTRY_FLAGS(entry[n++]) & NM_SLOT_MOREFRAG) && n < avail && n < q->v->slots - 1);
		if (n > room) {
			/* The next time this lane is the first, if it is not its own frames that are in the way. */
			q->turn = shown == 0 ? p : (p + 1) % VALE_PORTS;
			q->turn_ring = r;
			return false;
		}
		entry[n - 1] &= ~VALE_ENTRY(0, 0, NM_SLOT_MOREFRAG);
		for (uint32_t i = 0; i < n; i++) {
			struct netmap_slot *s = &q->rx->slot[slot];

			/* Any number is good for the reader as long as it lies in the window, and nmport looks at that. */
			s->buf_idx = VALE_ENTRY_BUF(entry[i]);
			s->len = (uint16_t)VALE_ENTRY_LEN(entry[i]);
			s->flags = (uint16_t)((VALE_ENTRY_FLAGS(entry[i]) & (NM_SLOT_MOREFRAG | VALE_HDR)) | (n & 0xff) << 8);
			q->slot_from[slot] = (uint16_t)(p * VALE_RINGS + r);
			slot = next(q, slot);
		}
		f->taken += n;
		q->from_lent[p] += n;
		q->rx_hwtail = slot;
	}
	if (avail == 0)
		q->active[r] &= ~(1ull << p);
	return true;
}

/* Begins where there was no room the last time, else behind who was first. */
static void
fill(struct vale_ring *q)
{
	for (uint32_t i = 0; i < VALE_RINGS; i++) {
		uint32_t r = (q->turn_ring + i) % VALE_RINGS;
		uint32_t first = i == 0 ? q->turn : 0;
		uint64_t todo = q->active[r];
		uint64_t part[2] = {todo >> first << first, todo & ((1ull << first) - 1)};

		for (uint32_t half = 0; half < 2; half++) {
			for (; part[half] != 0; part[half] &= part[half] - 1) {
				uint32_t p = (uint32_t)__builtin_ctzll(part[half]);

				if (!show(q, r, p))
					return;
			}
		}
	}
	q->turn = (q->turn + 1) % VALE_PORTS;
	q->turn_ring = (q->turn_ring + (q->turn == 0)) % VALE_RINGS;
}

/* What a sync has left in the lanes: its senders have told us of it, and will not again. */
int
vale_pending(void *ctx)
{
	const struct vale_ring *q = ctx;

	for (uint32_t r = 0; r < VALE_RINGS; r++)
		for (uint64_t left = q->active[r]; left != 0; left &= left - 1)
			if (unread_in(q, &q->from[(uint32_t)__builtin_ctzll(left) * VALE_RINGS + r]) != 0)
				return 1;
	return 0;
}

int
vale_rxsync(void *ctx)
{
	struct vale_ring *q = ctx;

	give_back(q);
	if (q->look_everywhere)
		look_everywhere(q);
	collect(q);
	refresh(q);
	fill(q);
	if (q->leaving != 0)
		finish(q);
	/* Also what has not changed: somebody may have scribbled over it. */
	if (__atomic_load_n(&q->rx->tail, __ATOMIC_RELAXED) != q->rx_hwtail)
		__atomic_store_n(&q->rx->tail, q->rx_hwtail, __ATOMIC_RELEASE);
	return 0;
}
