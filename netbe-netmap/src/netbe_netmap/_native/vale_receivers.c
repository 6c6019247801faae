/* SPDX-License-Identifier: BSD-2-Clause */
/* Whom a tx ring sends to: members as they come and go. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vale_int.h"
#include "vale_memory.h"

static void
forget(struct vale_ring *q, uint32_t p)
{
	struct vale_to *t = &q->to[p];

	while (t->reclaimed != t->tail)
		vale_pop(q, t);
	__atomic_store_n(&t->lane->gen, 0, __ATOMIC_RELEASE);
	vale_window_unmap(q->heads, (size_t)p * VALE_HEAD_STEP, VALE_HEAD);
	q->receivers &= ~(1ull << p);
	q->dirty &= ~(1ull << p);
	t->gen = 0;
}

/* False: not now, for want of descriptors or memory. */
static bool
meet(struct vale_ring *q, uint32_t p, const struct vale_member *m)
{
	struct vale *v = q->v;
	struct vale_to *t = &q->to[p];
	char path[VALE_PATH + 32];
	struct stat st;
	bool met = true;
	int fd;

	if (t->buf == NULL)
		t->buf = calloc(VALE_LANE, sizeof(*t->buf));
	vale_region_path(&v->files, path, p, m->gen);
	fd = vale_open(path);
	if (fd < 0)
		return errno == ENOENT;
	if (fstat(fd, &st) == 0 && (size_t)st.st_size >= VALE_HEAD) {
		met = t->buf != NULL && vale_window_map(q->heads, (size_t)p * VALE_HEAD_STEP, VALE_HEAD, fd) == 0;
		if (met) {
			t->gen = m->gen;
			t->rings = m->rings;
			t->slots = m->slots;
			t->head = (void *)(q->heads + (size_t)p * VALE_HEAD_STEP);
			t->tail = t->published = t->reclaimed = 0;
			t->checked_ns = q->now_ns;
			t->lane = (void *)((uint8_t *)q->own + vale_lane_at(&v->layout, q->number, p));
			__atomic_store_n(&t->lane->tail, 0, __ATOMIC_RELAXED);
			__atomic_store_n(&t->lane->head, 0, __ATOMIC_RELAXED);
			__atomic_store_n(&t->lane->gen, m->gen, __ATOMIC_RELEASE);
			q->receivers |= 1ull << p;
		}
	}
	close(fd);
	return met;
}

void
vale_tx_refresh(struct vale_ring *q)
{
	uint32_t epoch = __atomic_load_n(&q->v->files.control->epoch, __ATOMIC_ACQUIRE);

	bool all = true;

	if (epoch == q->tx_epoch)
		return;
	q->last_known = false;
	for (uint32_t p = 0; p < VALE_PORTS; p++) {
		struct vale_member m = vale_member_at(&q->v->files, p);

		if (m.left != 0)
			m.gen = 0;
		if (p == q->v->index || m.gen == q->to[p].gen)
			continue;
		if (q->to[p].gen != 0)
			forget(q, p);
		if ((m.gen & 1) != 0 && vale_sane(m.rings, m.slots, m.nbufs))
			all &= meet(q, p, &m);
	}
	if (all)
		q->tx_epoch = epoch;
}
