/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sending into a tx ring.
 *
 * All of a burst's slots are written, then head moves behind the last whole
 * frame, then there is one sync: it frees the slots that the next burst will
 * use.  Only a burst whose first frame finds no room syncs before it, too.
 */
#include "nmport_int.h"

#define LIKELY(truth) __builtin_expect(!!(truth), 1)

/* Room is not known: the ring's tail is none. */
#define BAD_TAIL UINT32_MAX

/* Both ends at once, in the sizes that registers have: a call of memcpy costs more than a small frame. */
static inline void
copy(uint8_t *to, const uint8_t *from, uint32_t len)
{
	if (len > 128) {
		memcpy(to, from, len);
	} else if (len >= 64) {
		memcpy(to, from, 64);
		memcpy(to + len - 64, from + len - 64, 64);
	} else if (len >= 32) {
		memcpy(to, from, 32);
		memcpy(to + len - 32, from + len - 32, 32);
	} else if (len >= 16) {
		memcpy(to, from, 16);
		memcpy(to + len - 16, from + len - 16, 16);
	} else if (len >= 8) {
		memcpy(to, from, 8);
		memcpy(to + len - 8, from + len - 8, 8);
	} else {
		for (uint32_t i = 0; i < len; i++)
			to[i] = from[i];
	}
}

static inline void
put_header(uint8_t *to, const struct netbe_vnet_hdr *hdr, uint32_t hdr_len)
{
	static const uint8_t one[2] = {1, 0}; /* num_buffers, little-endian */

	memcpy(to, hdr, 10);
	if (hdr_len == 12)
		memcpy(to + 10, one, 2);
}

/* Read once: others may write to it. */
static inline uint32_t
buf_idx(const struct netmap_slot *slot)
{
	return __atomic_load_n(&slot->buf_idx, __ATOMIC_RELAXED);
}

/* Whether a slot's buffer is one of those that we may write to. */
static inline bool
ours(const struct nm_tx *t, uint32_t index)
{
	return index - t->first_buf < t->nbufs;
}

static uint32_t
room_now(const struct nm_tx *t)
{
	uint32_t tail = __atomic_load_n(&t->ring->tail, __ATOMIC_ACQUIRE);

	return tail < t->slots ? nm_distance(t->head, tail, t->slots) : BAD_TAIL;
}

/* Publishes head and syncs. */
static int
sync_at(struct nm_port *p, uint32_t head)
{
	struct nm_tx *t = &p->tx;
	int result;

	t->head = head;
	__atomic_store_n(&t->ring->cur, head, __ATOMIC_RELAXED);
	__atomic_store_n(&t->ring->head, head, __ATOMIC_RELEASE);
	result = p->ops->txsync(p->ctx);
	t->down = result;
	if (nm_final(result))
		__atomic_store_n(&t->gone, result, __ATOMIC_RELAXED);
	return result;
}

/* Bytes of header that go before a frame. */
static inline uint32_t
hdr_len_of(const struct nm_port *p, const struct netbe_vnet_hdr *hdr)
{
	return p->hdr_flag != 0 && nm_plain(hdr) ? 0 : p->tx.hdr_len;
}

/* Slots that a frame takes. */
static inline uint32_t
slots_of(const struct nm_port *p, const struct netbe_frame *f)
{
	const struct nm_tx *t = &p->tx;
	uint32_t len = hdr_len_of(p, &f->hdr) + f->len;

	return len <= t->first ? 1 : 1 + (len - t->first + t->chunk - 1) / t->chunk;
}

/* Whether the frame can ever be sent. */
static int
check(const struct nm_port *p, const struct netbe_frame *f, uint32_t *need)
{
	if (f->len < NM_MIN_FRAME)
		return -EINVAL;
	if ((f->len > p->port.max_frame && f->hdr.gso_type == NETBE_GSO_NONE) || f->len > NM_LONGEST)
		return -EMSGSIZE;
	*need = slots_of(p, f);
	return *need <= p->tx.frags ? 0 : -EMSGSIZE;
}

/* Slots from `at` on, n of them, that say nothing. */
static void
blank(struct nm_tx *t, uint32_t at, uint32_t n)
{
	for (; n > 0; n--, at = nm_next(at, t->slots)) {
		t->ring->slot[at].len = 0;
		t->ring->slot[at].flags = 0;
	}
}

/*
 * Any frame, into the slots from `at` on.  Returns how many it took; when one
 * of them had no buffer the frame is dropped, and they are blank.
 */
static uint32_t
put(struct nm_port *p, const struct netbe_frame *f, uint32_t at, uint32_t need)
{
	struct nm_tx *t = &p->tx;
	uint32_t begin = at, seg = 0, off = 0;
	uint32_t hdr_len = hdr_len_of(p, &f->hdr);
	uint16_t flag = hdr_len != 0 ? p->hdr_flag : 0;

	for (uint32_t k = 0; k < need; k++, at = nm_next(at, t->slots)) {
		struct netmap_slot *slot = &t->ring->slot[at];
		uint32_t index = buf_idx(slot), fill = 0, full = k == 0 ? t->first : t->chunk;
		uint8_t *to;

		if (!ours(t, index)) {
			blank(t, begin, k + 1);
			nm_count(&p->port.stats->tx_dropped[NETBE_DROP_ERROR], 1);
			return k + 1;
		}
		to = nm_buffer(p, index);
		if (k == 0 && hdr_len != 0) {
			put_header(to, &f->hdr, hdr_len);
			fill = hdr_len;
		}
		while (fill < full && seg < f->nseg) {
			const struct iovec *s = &f->seg[seg];
			size_t left = s->iov_len - off;
			uint32_t part = left < full - fill ? (uint32_t)left : full - fill;

			copy(to + fill, (const uint8_t *)s->iov_base + off, part);
			fill += part;
			off += part;
			if (off == s->iov_len)
				seg++, off = 0;
		}
		slot->len = (uint16_t)fill;
		slot->flags = flag | (k + 1 < need ? NM_SLOT_MOREFRAG : 0);
		flag = 0;
	}
	nm_count(&p->port.stats->tx_frames, 1);
	nm_count(&p->port.stats->tx_bytes, f->len);
	return need;
}

/*
 * Writes the frames that fit.  Returns how many, or why the first did not;
 * *head moves behind them.
 */
static int
fill(struct nm_port *p, const struct netbe_frame *frames, uint32_t n, uint32_t *head, uint32_t room)
{
	struct nm_tx *t = &p->tx;
	struct netmap_slot *slots = t->ring->slot;
	uint32_t at = *head, sent, plain = 0;
	uint32_t hdr_len = t->hdr_len;
	uint16_t hdr_flag = p->hdr_flag;
	/* One comparison for both ends; what it refuses is looked at with more care. */
	uint32_t simple = p->port.max_frame < t->first - hdr_len ? p->port.max_frame : t->first - hdr_len;
	uint64_t bytes = 0;
	int result = 0;

	for (sent = 0; sent < n; sent++) {
		const struct netbe_frame *f = &frames[sent];
		uint32_t len = f->len, index, need;

		if (LIKELY(len - NM_MIN_FRAME <= simple - NM_MIN_FRAME && f->nseg == 1 && room != 0 &&
		           ours(t, index = buf_idx(&slots[at])))) {
			uint8_t *to = nm_buffer(p, index);
			bool bare = hdr_len == 0 || (hdr_flag != 0 && nm_plain(&f->hdr));

			if (!bare) {
				put_header(to, &f->hdr, hdr_len);
				to += hdr_len;
			}
			copy(to, f->seg[0].iov_base, len);
			slots[at].len = (uint16_t)(bare ? len : hdr_len + len);
			slots[at].flags = bare ? 0 : hdr_flag;
			at = nm_next(at, t->slots);
			room--;
			bytes += len;
			plain++;
			continue;
		}
		result = check(p, f, &need);
		if (result == 0 && need > room)
			result = -EAGAIN;
		if (result != 0)
			break;
		need = put(p, f, at, need);
		at = at + need < t->slots ? at + need : at + need - t->slots;
		room -= need;
	}
	*head = at;
	nm_count(&p->port.stats->tx_frames, plain);
	nm_count(&p->port.stats->tx_bytes, bytes);
	return sent != 0 ? (int)sent : result;
}

/* Room for a frame, or for what comes first; syncs when there is none. */
static int
some_room(struct nm_port *p, uint32_t *room)
{
	struct nm_tx *t = &p->tx;

	if (t->gone != 0)
		return t->gone;
	*room = room_now(t);
	if (t->down != 0 || *room == 0 || *room == BAD_TAIL) {
		int result = sync_at(p, t->head);

		if (result != 0)
			return result;
		*room = room_now(t);
	}
	if (*room == BAD_TAIL)
		return -EIO;
	return *room != 0 ? 0 : -EAGAIN;
}

/* Head goes back to a slot behind which nothing was taken. */
static void
step_back(struct nm_tx *t, uint32_t head)
{
	t->head = head;
	__atomic_store_n(&t->ring->cur, head, __ATOMIC_RELAXED);
	__atomic_store_n(&t->ring->head, head, __ATOMIC_RELEASE);
}

/*
 * Frames at the end of a burst that began at slot `begin`, of which the sync
 * has left so many slots, are the caller's again.  How many went, or why none.
 */
static int
take_back(struct nm_port *p, const struct netbe_frame *frames, int sent, uint32_t begin, uint32_t left, int why)
{
	struct nm_tx *t = &p->tx;
	uint32_t used = nm_distance(begin, t->head, t->slots), back = 0;
	uint64_t n = 0, bytes = 0;

	while (sent > 0 && back < left) {
		const struct netbe_frame *f = &frames[--sent];

		back += slots_of(p, f);
		n++;
		bytes += f->len;
	}
	if (n == 0)
		return sent;
	/* One that was dropped took fewer slots than it needs: never back over the burst's begin. */
	if (back > used || sent == 0)
		back = used;
	step_back(t, t->head >= back ? t->head - back : t->head + t->slots - back);
	nm_count(&p->port.stats->tx_frames, -n);
	nm_count(&p->port.stats->tx_bytes, -bytes);
	return sent != 0 ? sent : why;
}

/* So many frames that are written up to head are published and synced.  How many went, or why none. */
static int
bring(struct nm_port *p, const struct netbe_frame *frames, int sent, uint32_t head)
{
	struct nm_tx *t = &p->tx;
	uint32_t begin = t->head, left;
	int result = sync_at(p, head);

	if (result == -EIO || nm_final(result))
		return take_back(p, frames, sent, begin, UINT32_MAX, result);
	if (p->ops->untaken == NULL)
		return sent;
	left = p->ops->untaken(p->ctx);
	t->refused = left != 0;
	return take_back(p, frames, sent, begin, left, -EAGAIN);
}

int
nm_tx_burst(struct netbe_port *port, const struct netbe_frame *frames, uint32_t n)
{
	struct nm_port *p = nm_self(port);
	struct nm_tx *t = &p->tx;
	uint32_t head = t->head, room, need;
	int result;

	t->reserved = 0;
	if (n == 0)
		return 0;
	/* What can never be sent is told so, also where there is no room. */
	if (frames[0].len - NM_MIN_FRAME > p->port.max_frame - NM_MIN_FRAME || frames[0].len > t->first) {
		result = check(p, &frames[0], &need);
		if (result != 0)
			return t->gone != 0 ? t->gone : result;
	}
	if (t->refused && p->ops->stuck != NULL && p->ops->stuck(p->ctx, &frames[0]))
		return -EAGAIN;
	result = some_room(p, &room);
	if (result != 0)
		return result;
	result = fill(p, frames, n, &head, room);
	if (result == -EAGAIN) { /* some room, too little for a frame of many slots */
		result = sync_at(p, t->head);
		if (result != 0)
			return result;
		room = room_now(t);
		if (room == BAD_TAIL)
			return -EIO;
		result = fill(p, frames, n, &head, room);
	}
	/* Another error than those that bring() says is said by the next call: these frames are in the ring. */
	return result > 0 ? bring(p, frames, result, head) : result;
}

int
nm_tx_reserve(struct netbe_port *port, uint32_t len, struct netbe_frame *frames, uint32_t n)
{
	struct nm_port *p = nm_self(port);
	struct nm_tx *t = &p->tx;
	uint32_t at, room, got = 0;
	int result;

	t->reserved = 0;
	if (len < NM_MIN_FRAME)
		return -EINVAL;
	if (len > t->first - t->hdr_len)
		return -EMSGSIZE;
	if (n == 0)
		return 0;
	result = some_room(p, &room);
	if (result != 0)
		return result;
	/* A slot without a buffer is passed by. */
	for (at = t->head; room > 0 && !ours(t, buf_idx(&t->ring->slot[at])); room--) {
		blank(t, at, 1);
		at = nm_next(at, t->slots);
	}
	if (at != t->head) {
		result = sync_at(p, at);
		if (result != 0)
			return result;
	}
	if (n > room)
		n = room;
	if (n > NM_RESERVE_MAX)
		n = NM_RESERVE_MAX;
	for (; got < n; got++, at = nm_next(at, t->slots)) {
		uint32_t index = buf_idx(&t->ring->slot[at]);

		if (!ours(t, index))
			break;
		t->room[got] = (struct iovec){nm_buffer(p, index) + t->hdr_len, len};
		frames[got] = (struct netbe_frame){.len = len, .nseg = 1, .seg = &t->room[got]};
	}
	t->reserved = got;
	t->reserved_at = t->head;
	t->reserved_len = len;
	return got != 0 ? (int)got : -EAGAIN;
}

int
nm_tx_commit(struct netbe_port *port, const struct netbe_frame *frames, uint32_t n)
{
	struct nm_port *p = nm_self(port);
	struct nm_tx *t = &p->tx;
	uint32_t at = t->reserved_at;
	uint64_t bytes = 0;
	int result;

	if (n > t->reserved)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		if (frames[i].len < NM_MIN_FRAME)
			return -EINVAL;
		if (frames[i].len > t->reserved_len ||
		    (frames[i].len > port->max_frame && frames[i].hdr.gso_type == NETBE_GSO_NONE))
			return -EMSGSIZE;
	}
	if (n == 0) {
		t->reserved = 0;
		return 0;
	}
	for (uint32_t i = 0; i < n; i++, at = nm_next(at, t->slots)) {
		struct netmap_slot *slot = &t->ring->slot[at];

		if (t->hdr_len != 0)
			put_header((uint8_t *)t->room[i].iov_base - t->hdr_len, &frames[i].hdr, t->hdr_len);
		slot->len = (uint16_t)(t->hdr_len + frames[i].len);
		slot->flags = p->hdr_flag;
		bytes += frames[i].len;
	}
	nm_count(&p->port.stats->tx_frames, n);
	nm_count(&p->port.stats->tx_bytes, bytes);
	result = bring(p, frames, (int)n, at);
	/* Whose first was not taken has its slots as they were, buffers and all. */
	if (result > 0)
		t->reserved = 0;
	return result;
}
