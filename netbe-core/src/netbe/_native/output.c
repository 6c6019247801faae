/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bringing frames to a port: as they were lent where it can take them, else
 * with another VLAN tag, padded, or cut by software, always as slices of what
 * was lent.  And what to do when the port does not take them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine_int.h"

#define PAD_MAX 64u /* no port asks for more than Ethernet's 60 bytes and a tag */

static const uint8_t zeros[PAD_MAX];

static void
lock(struct nb_out *o)
{
	if (o->lock != NULL)
		pthread_mutex_lock(o->lock);
}

static void
unlock(struct nb_out *o)
{
	if (o->lock != NULL)
		pthread_mutex_unlock(o->lock);
}

void
nb_count_tx(struct nb_out *o, enum netbe_drop why, uint32_t n)
{
	lock(o);
	nb_count(&o->port->stats->tx_dropped[why], n);
	unlock(o);
}

void
nb_out_arm(struct nb_out *o)
{
	lock(o);
	o->port->arm(o->port, NETBE_ARM_TX);
	unlock(o);
}

/* Why a port refused this very frame. */
static enum netbe_drop
refusal(const struct nb_out *o, const struct netbe_frame *f, int error)
{
	if (f->len < o->port->min_frame)
		return NETBE_DROP_TOO_SHORT;
	if (error == EMSGSIZE)
		return NETBE_DROP_TOO_LONG;
	return f->hdr.flags != 0 || f->hdr.gso_type != 0 ? NETBE_DROP_BAD_HEADER : NETBE_DROP_ERROR;
}

/* A full port is waited for once; from then on its frames are dropped until it takes one again. */
static bool
may_wait(struct nb_worker *w, struct nb_out *o)
{
	if (w->engine->config.on_full != NB_ON_FULL_WAIT)
		return false;
	if (o->full_since == 0)
		o->full_since = w->now;
	return w->stopping || w->now - o->full_since < w->engine->config.wait_ns;
}

/* Sends or drops frames; returns how many were dealt with, and in *result why not all. */
static uint32_t
flush(struct nb_worker *w, struct nb_out *o, uint32_t index, const struct netbe_frame *frames, uint32_t n,
      enum nb_result *result)
{
	uint64_t *dropped = o->port->stats->tx_dropped;
	uint32_t done = 0;
	int r = 0;

	*result = NB_SENT;
	lock(o);
	while (done < n && *result == NB_SENT) {
		r = o->port->tx_burst(o->port, frames + done, n - done);
		switch (r > 0 ? 0 : -r) {
		case 0:
			/* Nothing and no reason is a full port too. */
			if (r > 0) {
				done += (uint32_t)r < n - done ? (uint32_t)r : n - done;
				o->full_since = 0;
				o->futile = 0;
				break;
			}
			/* fall through */
		case EAGAIN:
		case EINTR:
		case ENOBUFS:
			if (may_wait(w, o)) {
				*result = NB_FULL;
				break;
			}
			nb_count(&dropped[NETBE_DROP_FULL], n - done);
			done = n;
			break;
		case EINVAL:
		case EMSGSIZE:
			nb_count(&dropped[refusal(o, &frames[done], -r)], 1);
			done++;
			break;
		case EIO:
		case ENETDOWN:
			nb_count(&dropped[NETBE_DROP_LINK_DOWN], 1);
			done++;
			break;
		case ENODEV:
		case ENXIO:
		case EPIPE:
		case EBADF:
			*result = NB_GONE;
			break;
		default:
			nb_count(&dropped[NETBE_DROP_ERROR], 1);
			done++;
			break;
		}
	}
	unlock(o);
	if (*result == NB_GONE)
		nb_engine_give_up(w->engine, index, r);
	return done;
}

/* Less than a header is no frame, and stays too short. */
static bool
too_short(const struct netbe_port *port, uint32_t len)
{
	return len < port->min_frame && len >= NB_ETH_HLEN && port->min_frame - len <= PAD_MAX;
}

/* A run of zeros behind a frame that the port finds too short. */
static bool
pad(struct nb_worker *w, uint32_t min_frame, struct netbe_frame *f)
{
	struct iovec *seg = w->arena + w->arena_used;

	if (NB_ARENA - w->arena_used < f->nseg + 1)
		return false;
	memcpy(seg, f->seg, f->nseg * sizeof(*seg));
	seg[f->nseg].iov_base = (void *)(uintptr_t)zeros;
	seg[f->nseg].iov_len = min_frame - f->len;
	f->seg = seg;
	f->len = min_frame;
	f->nseg++;
	w->arena_used += f->nseg;
	return true;
}

static bool
flatten(struct nb_worker *w, struct netbe_frame *f)
{
	struct iovec *seg = w->arena + w->arena_used;

	if (w->flat == NULL)
		w->flat = malloc(NETBE_FRAME_MAX + PAD_MAX);
	if (w->flat == NULL)
		return false;
	nb_seg_copy_out(w->flat, f->seg, f->nseg, 0, f->len);
	seg->iov_base = w->flat;
	seg->iov_len = f->len;
	f->seg = seg;
	f->nseg = 1;
	w->arena_used++;
	return true;
}

enum prepared { READY, SOFTWARE, LATER, BAD };

/*
 * Frame i as the port is to get it, in place n of the batch.  LATER: once the
 * batch has gone, there is room to edit it.
 */
static enum prepared
prepare(struct nb_worker *w, struct nb_rxq *q, uint32_t i, uint32_t index, uint32_t n)
{
	const struct netbe_port *port = w->out[index].port;
	const struct nb_vlan_port *vlan = w->engine->lport[index].vlan;
	struct netbe_frame *f = &w->batch[n];

	*f = w->frame[i];
	if (vlan != NULL) {
		const struct nb_vlan_tag *tag = &q->verdict[i].tag;
		bool tagged = (tag->tci & NB_VLAN_VID) != vlan->pvid;

		if (nb_vlan_edits(tag, tagged)) {
			int used = nb_vlan_edit(&w->frame[i], tag, tagged, w->tag[n], w->arena + w->arena_used,
			                        NB_ARENA - w->arena_used, f);

			if (used == -ENOSPC)
				return LATER;
			if (used < 0)
				return BAD;
			w->arena_used += (uint32_t)used;
		}
	}
	if (w->needs[i] & ~port->features[0])
		return SOFTWARE;
	if (too_short(port, f->len) && !pad(w, port->min_frame, f))
		return LATER;
	if (f->nseg > NETBE_SEG_MAX) {
		if (n != 0)
			return LATER;
		return flatten(w, f) ? READY : BAD;
	}
	return READY;
}

/* The next frame to go is another one: none of its pieces have gone. */
static void
move_on(struct nb_todo *todo, uint32_t next)
{
	if (todo->next != next)
		todo->pieces = 0;
	todo->next = next;
}

/* The frame in batch[0], which the port can't take as it is. */
static enum nb_result
soften(struct nb_worker *w, struct nb_out *o, struct nb_todo *todo)
{
	const struct netbe_port *port = o->port;
	enum nb_result result = NB_SENT;
	uint32_t before = 0; /* pieces of earlier rounds */
	uint32_t used = w->arena_used;
	int n;

	if (w->gso == NULL)
		w->gso = nb_gso_new();
	if (w->gso == NULL) {
		nb_count_tx(o, NETBE_DROP_ERROR, 1);
		return NB_SENT;
	}
	if (nb_gso_begin(w->gso, &w->batch[0], port->features[0]) < 0) {
		nb_count_tx(o, NETBE_DROP_BAD_HEADER, 1);
		return NB_SENT;
	}
	while ((n = nb_gso_next(w->gso, w->piece, NB_BURST)) > 0) {
		uint32_t skip = todo->pieces > before ? todo->pieces - before : 0;
		uint32_t done;

		w->arena_used = used;
		/* These went before the port was full; cutting again gives the same ones. */
		if (skip >= (uint32_t)n) {
			before += (uint32_t)n;
			continue;
		}
		for (uint32_t j = skip; j < (uint32_t)n; j++)
			if (too_short(port, w->piece[j].len))
				pad(w, port->min_frame, &w->piece[j]);
		done = flush(w, o, todo->port, w->piece + skip, (uint32_t)n - skip, &result);
		before += skip + done;
		if (result != NB_SENT) {
			todo->pieces = before;
			return result;
		}
	}
	if (n < 0)
		nb_count_tx(o, NETBE_DROP_BAD_HEADER, 1);
	return NB_SENT;
}

/* A switch that has lost the port drops what was for it; a bridge keeps it where it came from. */
static enum nb_result
lost(struct nb_worker *w, struct nb_rxq *q, uint32_t k, struct nb_todo *todo)
{
	uint32_t n = 0;

	if (!w->engine->config.learning)
		return NB_GONE;
	for (uint32_t i = todo->next; i < k; i++)
		n += nb_wanted(w, q, i, todo->port);
	nb_count_tx(&w->out[todo->port], NETBE_DROP_LINK_DOWN, n);
	todo->next = k;
	return NB_SENT;
}

enum nb_result
nb_output(struct nb_worker *w, struct nb_rxq *q, uint32_t k, struct nb_todo *todo)
{
	struct nb_out *o = &w->out[todo->port];
	uint32_t i = todo->next;

	if (nb_lport_error(w->engine, todo->port) != 0)
		return lost(w, q, k, todo);
	while (i < k) {
		enum prepared prepared = READY;
		enum nb_result result = NB_SENT;
		uint32_t n = 0;

		w->arena_used = 0;
		for (; i < k; i++) {
			if (!nb_wanted(w, q, i, todo->port))
				continue;
			prepared = prepare(w, q, i, todo->port, n);
			if (prepared == BAD) {
				nb_count_tx(o, NETBE_DROP_BAD_HEADER, 1);
				continue;
			}
			if (prepared != READY)
				break;
			w->origin[n++] = i;
		}
		if (n != 0) {
			uint32_t done = flush(w, o, todo->port, w->batch, n, &result);

			move_on(todo, done < n ? w->origin[done] : i);
		} else if (i < k) {
			/* An empty batch has room for any frame: only software is left. */
			move_on(todo, i);
			result = soften(w, o, todo);
			if (result == NB_SENT)
				move_on(todo, ++i);
		}
		if (result == NB_FULL)
			return NB_FULL;
		if (result == NB_GONE)
			return lost(w, q, k, todo);
	}
	todo->next = k;
	return NB_SENT;
}
