/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receiving from an rx ring.
 *
 * Frames are lent where they lie.  head moves behind what was released, and
 * is published with the next sync; that comes when nothing new is visible, or
 * when many slots wait to be given back.
 */
#include "nmport_int.h"

#define LIKELY(truth) __builtin_expect(!!(truth), 1)

/* As many slots as this part of the ring wait to be given back: sync, though there are frames. */
#define GIVE_BACK 4u

/* The part of a slot that says something, in one read. */
struct word {
	uint32_t buf_idx;
	uint16_t len, flags;
};

static inline struct word
slot_word(const struct netmap_slot *slot)
{
	uint64_t raw = __atomic_load_n((const uint64_t *)(const void *)slot, __ATOMIC_RELAXED);
	struct word w;

	memcpy(&w, &raw, sizeof(w));
	return w;
}

static inline void
get_header(struct netbe_vnet_hdr *hdr, const uint8_t *from, uint32_t hdr_len)
{
	hdr->num_buffers = 0;
	memcpy(hdr, from, hdr_len);
}

static void
drop(struct nm_port *p, enum netbe_drop why)
{
	nm_count(&p->port.stats->rx_dropped[why], 1);
}

/* The ring's tail; what we have seen, when that is none. */
static uint32_t
tail_now(struct nm_port *p)
{
	struct nm_rx *r = &p->rx;
	uint32_t tail = __atomic_load_n(&r->ring->tail, __ATOMIC_ACQUIRE);

	/* Never back over what is lent: it would be lent twice. */
	if (LIKELY(tail < r->slots &&
	           nm_distance(r->head, tail, r->slots) >= nm_distance(r->head, r->seen, r->slots))) {
		r->bad_tail = false;
		return tail;
	}
	if (!r->bad_tail)
		drop(p, NETBE_DROP_ERROR);
	r->bad_tail = true;
	return r->seen;
}

/* Publishes head and syncs. */
static void
sync_rx(struct nm_port *p)
{
	struct nm_rx *r = &p->rx;
	int result;

	if (r->gone != 0)
		return; /* what came before is still to be had */
	__atomic_store_n(&r->ring->cur, r->head, __ATOMIC_RELAXED);
	__atomic_store_n(&r->ring->head, r->head, __ATOMIC_RELEASE);
	result = p->ops->rxsync(p->ctx);
	r->given = r->head;
	if (nm_final(result))
		__atomic_store_n(&r->gone, result, __ATOMIC_RELAXED);
}

/* What is wrong with a slot; NETBE_DROP_REASONS nothing. */
static enum netbe_drop
slot_fault(const struct nm_port *p, struct word w)
{
	if (w.buf_idx >= p->nbufs || (w.flags & NM_SLOT_INDIRECT))
		return NETBE_DROP_ERROR; /* an address is never followed */
	return w.len <= p->buf_size ? NETBE_DROP_REASONS : NETBE_DROP_TOO_LONG;
}

/* The whole frame's length and header, against what may be; NETBE_DROP_REASONS is fine. */
static enum netbe_drop
frame_fault(const struct nm_port *p, const struct netbe_frame *f, uint64_t len)
{
	if (len < NM_MIN_FRAME)
		return NETBE_DROP_TOO_SHORT;
	if (len > NM_LONGEST || f->nseg > NETBE_SEG_MAX ||
	    (len > p->port.max_frame && f->hdr.gso_type == NETBE_GSO_NONE))
		return NETBE_DROP_TOO_LONG;
	return NETBE_DROP_REASONS;
}

/*
 * Reads the frame that begins at slot `at`, `avail` slots being there.
 * Returns how many slots it has, 0 when its end is not there; *why is
 * NETBE_DROP_REASONS when it is good.
 */
static uint32_t
read_frame(struct nm_port *p, struct netbe_frame *f, uint32_t at, uint32_t avail, enum netbe_drop *why)
{
	struct nm_rx *r = &p->rx;
	struct iovec *seg = &r->seg[at];
	uint64_t len = 0;
	uint32_t n = 0, hdr_len = r->hdr_len;
	struct word w;

	*why = NETBE_DROP_REASONS;
	f->nseg = 0;
	f->reserved = 0;
	f->hdr = (struct netbe_vnet_hdr){0};
	f->seg = seg;
	do {
		uint8_t *from;
		uint32_t part;

		if (n == avail)
			return 0;
		w = slot_word(&r->ring->slot[at]);
		at = nm_next(at, r->slots);
		n++;
		if (*why == NETBE_DROP_REASONS)
			*why = slot_fault(p, w);
		if (*why != NETBE_DROP_REASONS)
			continue; /* to the frame's end */
		from = nm_buffer(p, w.buf_idx);
		part = w.len;
		if (n == 1 && p->hdr_flag != 0 && (w.flags & p->hdr_flag) == 0)
			hdr_len = 0;
		if (n == 1 && hdr_len != 0) {
			if (part < hdr_len) { /* split over two: VALE drops it too */
				*why = NETBE_DROP_BAD_HEADER;
				continue;
			}
			get_header(&f->hdr, from, hdr_len);
			from += hdr_len;
			part -= hdr_len;
		}
		if (part != 0)
			seg[f->nseg++] = (struct iovec){from, part};
		len += part;
	} while (w.flags & NM_SLOT_MOREFRAG);
	if (*why == NETBE_DROP_REASONS)
		*why = frame_fault(p, f, len);
	f->len = (uint32_t)len;
	return n;
}

/* Frames that are visible become lent, until n are. */
static void
take_in(struct nm_port *p, uint32_t n)
{
	struct nm_rx *r = &p->rx;
	uint32_t tail = tail_now(p), at = r->seen, slots = r->slots;
	uint32_t hdr_len = r->hdr_len, nbufs = p->nbufs;
	uint16_t hdr_flag = p->hdr_flag;
	uint32_t next = r->first + r->count, longest;

	if (next >= slots)
		next -= slots;
	longest = p->port.max_frame < p->buf_size - hdr_len ? p->port.max_frame : p->buf_size - hdr_len;
	r->scanned = tail;
	while (r->skipping && at != tail) {
		r->skipping = (slot_word(&r->ring->slot[at]).flags & NM_SLOT_MOREFRAG) != 0;
		at = nm_next(at, slots);
	}
	while (r->count < n && at != tail) {
		struct netbe_frame *f = &r->frame[next];
		struct word w = slot_word(&r->ring->slot[at]);
		uint32_t skip = hdr_flag == 0 || (w.flags & hdr_flag) != 0 ? hdr_len : 0;
		uint32_t len = (uint32_t)w.len - skip;

		if (LIKELY((w.flags & (NM_SLOT_MOREFRAG | NM_SLOT_INDIRECT)) == 0 && w.buf_idx < nbufs &&
		           len - NM_MIN_FRAME <= longest - NM_MIN_FRAME)) {
			uint8_t *from = nm_buffer(p, w.buf_idx);

			if (skip == 0)
				f->hdr = (struct netbe_vnet_hdr){0};
			else
				get_header(&f->hdr, from, skip);
			r->seg[at] = (struct iovec){from + skip, len};
			f->len = len;
			f->nseg = 1;
			f->reserved = 0;
			f->seg = &r->seg[at];
			at = nm_next(at, slots);
		} else {
			uint32_t avail = nm_distance(at, tail, slots);
			enum netbe_drop why;
			uint32_t used = read_frame(p, f, at, avail, &why);

			if (used == 0) {
				if (r->count != 0 || avail < slots - 1)
					break;
				/* All the ring holds is one frame without an end: it will never have room for it. */
				why = NETBE_DROP_TOO_LONG;
				used = avail;
				r->skipping = true;
			}
			at = at + used < slots ? at + used : at + used - slots;
			if (why != NETBE_DROP_REASONS) {
				drop(p, why);
				continue;
			}
		}
		r->end[next] = at;
		next = nm_next(next, slots);
		r->count++;
	}
	if (r->count >= n)
		r->scanned = at;
	r->seen = at;
	if (r->count == 0)
		r->head = at; /* what was dropped goes back at once */
}

int
nm_rx_burst(struct netbe_port *port, struct netbe_frame *frames, uint32_t n)
{
	struct nm_port *p = nm_self(port);
	struct nm_rx *r = &p->rx;
	uint32_t straight;

	if (r->count < n) {
		bool full = nm_distance(r->given, r->head, r->slots) > r->slots / GIVE_BACK;
		uint32_t before = r->count;

		if (full)
			sync_rx(p);
		take_in(p, n);
		if (r->count == before && (!full || r->given != r->head)) {
			sync_rx(p);
			take_in(p, n);
		}
	}
	if (r->count == 0)
		return n != 0 ? r->gone : 0;
	if (n > r->count)
		n = r->count;
	straight = n < r->slots - r->first ? n : r->slots - r->first;
	memcpy(frames, &r->frame[r->first], straight * sizeof(*frames));
	memcpy(frames + straight, r->frame, (n - straight) * sizeof(*frames));
	return (int)n;
}

int
nm_release(struct netbe_port *port, uint32_t n)
{
	struct nm_port *p = nm_self(port);
	struct nm_rx *r = &p->rx;
	uint32_t at = r->first;
	uint64_t bytes = 0;

	if (n > r->count)
		return -EINVAL;
	if (n == 0)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		bytes += r->frame[at].len;
		r->head = r->end[at];
		at = nm_next(at, r->slots);
	}
	r->first = at;
	r->count -= n;
	if (r->count == 0)
		r->first = 0; /* few are in use, and those are in the cache */
	nm_count(&p->port.stats->rx_frames, n);
	nm_count(&p->port.stats->rx_bytes, bytes);
	return 0;
}

int
nm_pending(struct netbe_port *port)
{
	struct nm_port *p = nm_self(port);
	struct nm_rx *r = &p->rx;

	if (r->count != 0)
		return 1;
	if (__atomic_load_n(&r->ring->tail, __ATOMIC_RELAXED) != r->scanned && !r->bad_tail)
		return 1;
	return r->gone == 0 && p->ops->pending != NULL && p->ops->pending(p->ctx) > 0;
}

void
nm_rx_take_all(struct nm_port *p)
{
	sync_rx(p);
	take_in(p, UINT32_MAX);
}
