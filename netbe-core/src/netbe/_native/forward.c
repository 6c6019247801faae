/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A burst on its way: taken in, its headers checked, each frame's receivers
 * decided once (IEEE 802.1Q-2018, 8.6), handed to output, given back.  A
 * burst that a full port holds up stays lent, with the decisions kept.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine_int.h"

#define PATIENCE_MAX 64u

/*
 * How many frames to ask for.  Where a look costs a system call, asking for
 * one more than there are costs a read that fails: sparse traffic is read one
 * frame a wake-up, like a plain loop would, and only full bursts make the next
 * one longer; a try that was in vain makes the next try later.
 */
static uint32_t
next_burst(const struct nb_rxq *q)
{
	uint32_t fit = q->mean > NB_BURST_BYTES / NB_BURST ? NB_BURST_BYTES / q->mean : NB_BURST;

	if (fit == 0)
		fit = 1;
	return q->burst < fit ? q->burst : fit;
}

static void
adapt(struct nb_rxq *q, uint32_t asked, uint32_t got)
{
	if (q->port->flags & NETBE_PORT_CHEAP_RX)
		return;
	if (got < asked) {
		if (got <= 1 && q->patience < PATIENCE_MAX)
			q->patience *= 2;
		q->burst = got != 0 ? got : 1;
		q->full = 0;
		return;
	}
	if (asked > 1)
		q->patience = 1;
	if (++q->full >= q->patience) {
		q->burst = q->burst * 2 < NB_BURST ? q->burst * 2 : NB_BURST;
		q->full = 0;
	}
}

/* Replaces the begin of frame i by a copy that nobody else can write. */
static bool
make_private(struct nb_worker *w, uint32_t i, uint32_t *used)
{
	struct netbe_frame *f = &w->frame[i];
	bool plain = f->hdr.flags == 0 && f->hdr.gso_type == NETBE_GSO_NONE;
	uint32_t want = plain ? NB_PRIVATE_PLAIN : NB_PRIVATE;
	struct iovec *seg = w->private_seg + *used;
	int rest;

	if (*used == NB_ARENA)
		return false;
	if (want > f->len)
		want = f->len;
	want = nb_seg_copy_out(w->private[i], f->seg, f->nseg, 0, want);
	seg[0].iov_base = w->private[i];
	seg[0].iov_len = want;
	rest = nb_seg_slice(f->seg, f->nseg, want, seg + 1, NB_ARENA - *used - 1);
	if (rest < 0)
		return false;
	f->seg = seg;
	f->nseg = (uint32_t)rest + 1;
	*used += f->nseg;
	return true;
}

/* Where a switch sends frame i.  Counts what it does not. */
static int32_t
decide(struct nb_worker *w, struct nb_rxq *q, uint32_t i)
{
	static const uint8_t reserved[5] = {0x01, 0x80, 0xc2, 0x00, 0x00};
	struct nb_engine *e = w->engine;
	const struct netbe_frame *f = &w->frame[i];
	const struct nb_vlan_port *vlan = e->lport[q->index].vlan;
	struct nb_vlan_tag *tag = &q->verdict[i].tag;
	uint8_t h[NB_ETH_HLEN + NB_VLAN_HLEN];
	uint16_t vid = 0;
	int32_t to;

	if (f->len < NB_ETH_HLEN) {
		nb_count_rx(q, NETBE_DROP_TOO_SHORT, 1);
		return NB_TO_NONE;
	}
	if (f->seg[0].iov_len >= sizeof(h))
		memcpy(h, f->seg[0].iov_base, sizeof(h));
	else
		nb_seg_copy_out(h, f->seg, f->nseg, 0, f->len < sizeof(h) ? f->len : sizeof(h));
	if (vlan != NULL) {
		int rc = nb_vlan_ingress(vlan, h, f->len < sizeof(h) ? f->len : sizeof(h), tag);

		if (rc != 0) {
			nb_count_rx(q, rc == -EMSGSIZE ? NETBE_DROP_TOO_SHORT : NETBE_DROP_FILTERED, 1);
			return NB_TO_NONE;
		}
		vid = tag->tci & NB_VLAN_VID;
	}
	/* Table 8-1: for the bridge itself or its neighbour, never for the other side. */
	if (memcmp(h, reserved, sizeof(reserved)) == 0 && (h[5] & 0xf0) == 0) {
		nb_count_rx(q, NETBE_DROP_FILTERED, 1);
		return NB_TO_NONE;
	}
	if ((h[6] & 1) == 0 && nb_lport_error(e, q->index) == 0 &&
	    nb_fdb_learn(e->fdb, h + 6, vid, q->index, w->now) == -ENOSPC)
		__atomic_fetch_add(&e->table_full, 1, __ATOMIC_RELAXED);
	if (h[0] & 1)
		return NB_TO_ALL;
	to = nb_fdb_lookup(e->fdb, h, vid, w->now);
	if (to < 0)
		return NB_TO_ALL;
	/* The table may be older than what the port is in. */
	if ((uint32_t)to == q->index ||
	    (vlan != NULL && !nb_vlan_member(e->lport[to].vlan, vid))) {
		nb_count_rx(q, NETBE_DROP_FILTERED, 1);
		return NB_TO_NONE;
	}
	return to;
}

/*
 * Checks each frame; decides where it goes unless that was done before.
 * Returns how many there was room for; the others stay lent.
 */
static uint32_t
take_in(struct nb_worker *w, struct nb_rxq *q, uint32_t k, bool again)
{
	bool untrusted = (q->port->flags & NETBE_PORT_UNTRUSTED) != 0;
	bool learning = w->engine->config.learning != 0;
	uint32_t used = 0;

	for (uint32_t i = 0; i < k; i++) {
		struct netbe_frame *f = &w->frame[i];
		struct nb_verdict *v = &q->verdict[i];

		w->needs[i] = 0;
		if (again && v->to == NB_TO_NONE)
			continue;
		if (f->len == 0 || f->nseg == 0 || f->len > NETBE_FRAME_MAX || f->nseg > NETBE_SEG_MAX) {
			nb_count_rx(q, f->len > NETBE_FRAME_MAX ? NETBE_DROP_TOO_LONG : NETBE_DROP_ERROR, 1);
			v->to = NB_TO_NONE;
			continue;
		}
		q->mean += (f->len - q->mean) / 8; /* modulo 2^32, as are all of these */
		if (untrusted && !make_private(w, i, &used)) {
			if (i != 0)
				return i;
			nb_count_rx(q, NETBE_DROP_ERROR, 1);
			v->to = NB_TO_NONE;
			continue;
		}
		if (f->hdr.flags == 0 && f->hdr.gso_type == NETBE_GSO_NONE) {
			memset(&f->hdr, 0, sizeof(f->hdr));
		} else if (nb_hdr_check(f) != 0) {
			nb_count_rx(q, NETBE_DROP_BAD_HEADER, 1);
			v->to = NB_TO_NONE;
			continue;
		} else {
			w->needs[i] = nb_hdr_needs(&f->hdr, f);
		}
		f->hdr.num_buffers = htole16(1);
		if (!again)
			v->to = learning ? decide(w, q, i) : (int32_t)(1 - q->index);
	}
	return k;
}

bool
nb_wanted(const struct nb_worker *w, const struct nb_rxq *q, uint32_t i, uint32_t port)
{
	const struct nb_verdict *v = &q->verdict[i];
	const struct nb_vlan_port *vlan = w->engine->lport[port].vlan;

	if (v->to != NB_TO_ALL)
		return v->to == (int32_t)port;
	return vlan == NULL || nb_vlan_member(vlan, v->tag.tci & NB_VLAN_VID);
}

static void
add_work(struct nb_worker *w, uint32_t port, uint32_t *n)
{
	if (w->out[port].seen == w->stamp || w->out[port].port == NULL)
		return;
	w->out[port].seen = w->stamp;
	w->work[(*n)++] = (struct nb_todo){.port = port};
}

/* A frame for everybody in its VLAN, where nobody else is. */
static bool
lonely(const struct nb_worker *w, const struct nb_rxq *q, uint32_t i)
{
	for (uint32_t p = 0; p < w->engine->config.nports; p++)
		if (p != q->index && w->out[p].port != NULL && nb_lport_error(w->engine, p) == 0 &&
		    nb_wanted(w, q, i, p))
			return false;
	return true;
}

/* The receivers of a burst, each once. */
static uint32_t
list_work(struct nb_worker *w, struct nb_rxq *q, uint32_t k)
{
	struct nb_engine *e = w->engine;
	uint32_t flooded = 0;
	uint32_t n = 0;

	if (!e->config.learning) {
		w->work[0] = (struct nb_todo){.port = 1 - q->index};
		return 1;
	}
	w->stamp++;
	w->out[q->index].seen = w->stamp; /* never back */
	for (uint32_t i = 0; i < k; i++) {
		if (q->verdict[i].to >= 0) {
			add_work(w, (uint32_t)q->verdict[i].to, &n);
		} else if (q->verdict[i].to == NB_TO_ALL && lonely(w, q, i)) {
			nb_count_rx(q, NETBE_DROP_DISCARDED, 1);
			q->verdict[i].to = NB_TO_NONE;
		} else if (q->verdict[i].to == NB_TO_ALL) {
			flooded++;
		}
	}
	if (flooded != 0) {
		__atomic_fetch_add(&e->flooded, flooded, __ATOMIC_RELAXED);
		for (uint32_t p = 0; p < e->config.nports; p++)
			if (nb_lport_error(e, p) == 0)
				add_work(w, p, &n);
	}
	return n;
}

/* Works through the list; returns how much of it is left, at its begin. */
static uint32_t
do_work(struct nb_worker *w, struct nb_rxq *q, uint32_t k, uint32_t n)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < n; i++)
		if (nb_output(w, q, k, &w->work[i]) != NB_SENT)
			w->work[left++] = w->work[i];
	return left;
}

/* Asks for wake-ups; true when a port may have got room before it knew that it was asked. */
static bool
arm_all(struct nb_worker *w, uint32_t n)
{
	bool again = false;

	for (uint32_t i = 0; i < n; i++) {
		struct nb_out *o = &w->out[w->work[i].port];

		if (NETBE_PORT_HAS(o->port, arm) && nb_lport_error(w->engine, w->work[i].port) == 0) {
			nb_out_arm(o);
			again = true;
		}
	}
	return again;
}

static bool
keep_work(struct nb_rxq *q, const struct nb_todo *work, uint32_t n)
{
	if (n > q->captodo) {
		struct nb_todo *grown = realloc(q->todo, n * sizeof(*grown));

		if (grown == NULL)
			return false;
		q->todo = grown;
		q->captodo = n;
	}
	memcpy(q->todo, work, n * sizeof(*work));
	q->ntodo = n;
	return true;
}

/* Keeps the burst lent from the first frame on that has not gone everywhere. */
static void
hold(struct nb_worker *w, struct nb_rxq *q, uint32_t k, uint32_t left)
{
	uint32_t gone = k;

	for (uint32_t i = 0; i < left; i++)
		if (w->work[i].next < gone)
			gone = w->work[i].next;
	if (gone != 0) {
		q->port->release(q->port, gone);
		memmove(q->verdict, q->verdict + gone, (k - gone) * sizeof(q->verdict[0]));
		for (uint32_t i = 0; i < left; i++)
			w->work[i].next -= gone;
	}
	q->held = k - gone;
	if (!keep_work(q, w->work, left)) {
		for (uint32_t i = 0; i < left; i++)
			for (uint32_t j = w->work[i].next; j < q->held; j++)
				if (nb_wanted(w, q, j, w->work[i].port))
					nb_count_tx(&w->out[w->work[i].port], NETBE_DROP_FULL, 1);
		q->port->release(q->port, q->held);
		q->held = 0;
		q->ntodo = 0;
		return;
	}
	if (!q->blocked) {
		q->blocked = true;
		w->nblocked++;
	}
	for (uint32_t i = 0; i < left && !w->stopping; i++)
		nb_watch_out(w, w->work[i].port);
}

static void
unblock(struct nb_worker *w, struct nb_rxq *q)
{
	q->held = 0;
	q->ntodo = 0;
	if (q->blocked) {
		q->blocked = false;
		w->nblocked--;
	}
}

int
nb_serve(struct nb_worker *w, struct nb_rxq *q)
{
	bool again = q->held != 0;
	uint32_t asked = again ? q->held : next_burst(q);
	uint32_t k;
	uint32_t left;
	int r;

	q->asked = asked;
	r = q->port->rx_burst(q->port, w->frame, asked);
	if (r == -EAGAIN || r == -EINTR || r == -EIO || r == -ENETDOWN)
		r = 0; /* nothing for now; whoever is gone says so in another way */
	if (!again)
		adapt(q, asked, r > 0 ? (uint32_t)r : 0);
	if (r <= 0) {
		unblock(w, q);
		return r;
	}
	q->last_ns = w->last_ns = w->now;
	k = take_in(w, q, (uint32_t)r < asked ? (uint32_t)r : asked, again);
	if (again) {
		left = q->ntodo;
		memcpy(w->work, q->todo, left * sizeof(*w->work));
		for (uint32_t i = 0; i < left; i++)
			if (w->work[i].next > k)
				w->work[i].next = k;
	} else {
		left = list_work(w, q, k);
	}
	left = do_work(w, q, k, left);
	if (left != 0 && !w->stopping && arm_all(w, left))
		left = do_work(w, q, k, left);
	if (left != 0) {
		hold(w, q, k, left);
	} else {
		unblock(w, q);
		q->port->release(q->port, k);
	}
	return r;
}

/* Whether any receiver has got frame i of the held ones, or some of its pieces. */
static bool
touched(const struct nb_rxq *q, uint32_t i)
{
	if (q->verdict[i].to == NB_TO_NONE || q->verdict[i].to == NB_TO_ALL)
		return true;
	for (uint32_t j = 0; j < q->ntodo; j++) {
		const struct nb_todo *t = &q->todo[j];

		if ((int32_t)t->port == q->verdict[i].to)
			return t->next > i || (t->next == i && t->pieces != 0);
	}
	return true;
}

void
nb_abandon(struct nb_worker *w, struct nb_rxq *q)
{
	uint32_t n = q->held;

	while (n > 0 && !touched(q, n - 1))
		n--;
	for (uint32_t j = 0; j < q->ntodo; j++)
		for (uint32_t i = q->todo[j].next; i < n; i++)
			if (nb_wanted(w, q, i, q->todo[j].port))
				nb_count_tx(&w->out[q->todo[j].port], NETBE_DROP_STOPPED, 1);
	if (n != 0)
		q->port->release(q->port, n);
	unblock(w, q);
}
