/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An in-process cable: two rings of bytes, each with one producer and one
 * consumer.
 *
 * A record is its length, its virtio-net header and the frame's bytes in one
 * run, 16-aligned; a record that does not fit before the ring's end is
 * preceded by a SKIP.  Positions count bytes for ever; masked they are
 * offsets.
 */
#include <errno.h>
#include <poll.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "counter.h"
#include "memory.h"
#include "ring.h"
#include "services.h"
#include "sleeper.h"

#define ALIGN 16u
#define LENT_MAX 64u
#define SKIP UINT32_MAX

struct record {
	uint32_t len; /* of the frame; SKIP: go on at the ring's begin */
	struct netbe_vnet_hdr hdr;
};
_Static_assert(sizeof(struct record) == ALIGN, "frames begin aligned");

struct ring {
	alignas(LINE) uint64_t tail; /* written by the producer */
	alignas(LINE) uint64_t head; /* written by the consumer */
	struct sleeper consumer, producer;
	uint32_t no_producer, no_consumer; /* that side was freed */
	uint32_t refs;
	size_t size;
	uint8_t *bytes;
};

struct ring_port {
	struct netbe_port port; /* first */
	struct netbe_port_stats stats;
	pid_t maker; /* a forked child has the memory for itself, and the descriptors with its parent */

	alignas(LINE) struct ring *tx;
	uint64_t tail;      /* as published */
	uint64_t seen_head; /* the consumer's, when last looked at */
	uint64_t reserved;  /* where tx_reserve() began; the frames follow */
	uint32_t reserved_n;
	uint32_t reserved_len;
	struct iovec room[LENT_MAX];

	alignas(LINE) struct ring *rx;
	uint64_t head;      /* as published: behind what was released */
	uint64_t seen_tail; /* the producer's, when last looked at */
	uint32_t lent;
	struct iovec seg[LENT_MAX];
	uint64_t after[LENT_MAX]; /* position behind each lent record */
};

static struct ring_port *
self(struct netbe_port *port)
{
	return (struct ring_port *)port;
}

static uint64_t
record_size(uint32_t len)
{
	return sizeof(struct record) + ((uint64_t)len + ALIGN - 1) / ALIGN * ALIGN;
}

/* --- sending */

/* Whether `need` contiguous bytes can be had; moves *pos over the ring's end where it must. */
static bool
make_room(struct ring_port *p, uint64_t *pos, uint64_t need)
{
	struct ring *r = p->tx;
	uint64_t before_end = r->size - (*pos & (r->size - 1));
	uint64_t skip = before_end < need ? before_end : 0;

	if (*pos + skip + need - p->seen_head > r->size) {
		p->seen_head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
		if (*pos + skip + need - p->seen_head > r->size)
			return false;
	}
	if (skip != 0) {
		((struct record *)(void *)(r->bytes + (*pos & (r->size - 1))))->len = SKIP;
		*pos += skip;
	}
	return true;
}

static void
publish(struct ring_port *p, uint64_t tail, uint32_t frames, uint64_t bytes)
{
	p->tail = tail;
	__atomic_store_n(&p->tx->tail, tail, __ATOMIC_RELEASE);
	wake_after_publish(&p->tx->consumer);
	nb_counter_add(&p->stats.tx_frames, frames);
	nb_counter_add(&p->stats.tx_bytes, bytes);
}

static int
check_frame(const struct ring_port *p, const struct netbe_frame *f)
{
	if (f->len < p->port.min_frame)
		return -EINVAL;
	if ((f->len > p->port.max_frame && f->hdr.gso_type == NETBE_GSO_NONE) || f->len > NETBE_FRAME_MAX - 12)
		return -EMSGSIZE;
	return 0;
}

static int
ring_tx_burst(struct netbe_port *port, const struct netbe_frame *frames, uint32_t n)
{
	struct ring_port *p = self(port);
	uint64_t pos = p->tail, bytes = 0;
	uint32_t sent;
	int result = 0;

	p->reserved_n = 0;
	if (__atomic_load_n(&p->tx->no_consumer, __ATOMIC_ACQUIRE) != 0)
		return -EPIPE;
	for (sent = 0; sent < n; sent++) {
		const struct netbe_frame *f = &frames[sent];
		struct record *record;
		uint8_t *to;

		result = check_frame(p, f);
		if (result == 0 && !make_room(p, &pos, record_size(f->len)))
			result = -EAGAIN;
		if (result != 0)
			break;
		record = (struct record *)(void *)(p->tx->bytes + (pos & (p->tx->size - 1)));
		record->len = f->len;
		record->hdr = f->hdr;
		to = (uint8_t *)(record + 1);
		for (uint32_t i = 0; i < f->nseg; i++) {
			memcpy(to, f->seg[i].iov_base, f->seg[i].iov_len);
			to += f->seg[i].iov_len;
		}
		pos += record_size(f->len);
		bytes += f->len;
	}
	if (sent == 0)
		return result;
	publish(p, pos, sent, bytes);
	return (int)sent;
}

static int
ring_tx_reserve(struct netbe_port *port, uint32_t len, struct netbe_frame *frames, uint32_t n)
{
	struct ring_port *p = self(port);
	uint64_t pos = p->tail, need = record_size(len);

	p->reserved_n = 0;
	if (len < port->min_frame)
		return -EINVAL;
	if (len > NETBE_FRAME_MAX - 12)
		return -EMSGSIZE;
	if (__atomic_load_n(&p->tx->no_consumer, __ATOMIC_ACQUIRE) != 0)
		return -EPIPE;
	if (n > LENT_MAX)
		n = LENT_MAX;
	/* In one run, so that committing needs to remember no more than where it began. */
	while (n > 0 && !make_room(p, &pos, need * n))
		n /= 2;
	if (n == 0)
		return -EAGAIN;
	p->reserved = pos;
	for (uint32_t got = 0; got < n; got++, pos += need) {
		uint8_t *at = p->tx->bytes + (pos & (p->tx->size - 1)) + sizeof(struct record);

		p->room[got] = (struct iovec){at, len};
		frames[got] = (struct netbe_frame){.len = len, .nseg = 1, .seg = &p->room[got]};
	}
	p->reserved_n = n;
	p->reserved_len = len;
	return (int)n;
}

static int
ring_tx_commit(struct netbe_port *port, const struct netbe_frame *frames, uint32_t n)
{
	struct ring_port *p = self(port);
	uint64_t pos = p->reserved, bytes = 0;

	if (n > p->reserved_n)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		int result = frames[i].len > p->reserved_len ? -EMSGSIZE : check_frame(p, &frames[i]);

		if (result != 0)
			return result;
	}
	/* Frames that were shortened move together: a record's length is all that says where the next begins. */
	for (uint32_t i = 0; i < n; i++) {
		struct record *record = (struct record *)(void *)(p->tx->bytes + (pos & (p->tx->size - 1)));

		if ((uint8_t *)(record + 1) != p->room[i].iov_base)
			memmove(record + 1, p->room[i].iov_base, frames[i].len);
		record->len = frames[i].len;
		record->hdr = frames[i].hdr;
		pos += record_size(frames[i].len);
		bytes += frames[i].len;
	}
	p->reserved_n = 0;
	if (n > 0)
		publish(p, pos, n, bytes);
	return (int)n;
}

/* --- receiving */

/*
 * The record at *pos, which moves over a SKIP; NULL: none that can be.  A
 * program may have kept a view of room that it filled in place, and written
 * there when it was another frame's: that must cost frames and nothing else.
 */
static const struct record *
record_at(const struct ring_port *p, uint64_t *pos, uint32_t *len)
{
	const struct ring *r = p->rx;

	for (int skipped = 0; *pos < p->seen_tail; skipped = 1) {
		uint64_t at = *pos & (r->size - 1);
		const struct record *record = (const struct record *)(const void *)(r->bytes + at);

		*len = __atomic_load_n(&record->len, __ATOMIC_RELAXED);
		if (*len == SKIP && !skipped) {
			*pos += r->size - at;
			continue;
		}
		return *len >= p->port.min_frame && *len <= NETBE_FRAME_MAX &&
		               record_size(*len) <= r->size - at && record_size(*len) <= p->seen_tail - *pos
		           ? record
		           : NULL;
	}
	return NULL;
}

/* Where one record ends is said by its length alone: with it, all behind it is lost. */
static void
lose_the_rest(struct ring_port *p)
{
	p->head = p->seen_tail;
	__atomic_store_n(&p->rx->head, p->head, __ATOMIC_RELEASE);
	wake_after_publish(&p->rx->producer);
	nb_counter_add(&p->stats.rx_dropped[NETBE_DROP_ERROR], 1);
}

static int
ring_rx_burst(struct netbe_port *port, struct netbe_frame *frames, uint32_t n)
{
	struct ring_port *p = self(port);
	struct ring *r = p->rx;
	uint64_t pos = p->head;
	uint32_t got = 0;

	if (n > LENT_MAX)
		n = LENT_MAX;
	p->lent = 0;
	while (got < n) {
		const struct record *record;
		uint32_t len;

		if (pos == p->seen_tail) {
			bool last = __atomic_load_n(&r->no_producer, __ATOMIC_ACQUIRE) != 0;

			p->seen_tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
			if (pos == p->seen_tail) {
				if (got == 0 && last)
					return -EPIPE;
				break;
			}
		}
		record = record_at(p, &pos, &len);
		if (record == NULL) {
			if (got == 0)
				lose_the_rest(p);
			break;
		}
		p->seg[got] = (struct iovec){(void *)(uintptr_t)(record + 1), len};
		pos += record_size(len);
		p->after[got] = pos;
		frames[got] = (struct netbe_frame){.hdr = record->hdr, .len = len, .nseg = 1, .seg = &p->seg[got]};
		got++;
	}
	p->lent = got;
	return (int)got;
}

static int
ring_release(struct netbe_port *port, uint32_t n)
{
	struct ring_port *p = self(port);
	uint64_t bytes = 0;
	uint32_t first = 0;

	if (n > p->lent)
		return -EINVAL;
	if (n == 0)
		return 0;
	/* The arrays stay where they are, since the caller may still look at the segments behind. */
	while (p->after[first] <= p->head)
		first++;
	for (uint32_t i = first; i < first + n; i++)
		bytes += p->seg[i].iov_len;
	p->head = p->after[first + n - 1];
	p->lent -= n;
	__atomic_store_n(&p->rx->head, p->head, __ATOMIC_RELEASE);
	wake_after_publish(&p->rx->producer);
	nb_counter_add(&p->stats.rx_frames, n);
	nb_counter_add(&p->stats.rx_bytes, bytes);
	return 0;
}

/* After a hang-up the descriptor stays readable: it is what tells of it. */
static void
arm_unless_gone(struct sleeper *s, const uint32_t *gone)
{
	if (__atomic_load_n(gone, __ATOMIC_ACQUIRE) != 0)
		return;
	arm(s);
	/* What was read may have been the hang-up's own. */
	if (__atomic_load_n(gone, __ATOMIC_ACQUIRE) != 0)
		signal_fd(s->fd);
}

static int
ring_arm(struct netbe_port *port, uint32_t what)
{
	struct ring_port *p = self(port);

	if (what & NETBE_ARM_RX)
		arm_unless_gone(&p->rx->consumer, &p->rx->no_producer);
	if (what & NETBE_ARM_TX)
		arm_unless_gone(&p->tx->producer, &p->tx->no_consumer);
	return 0;
}

static int
ring_link_up(struct netbe_port *port)
{
	return __atomic_load_n(&self(port)->rx->no_producer, __ATOMIC_ACQUIRE) == 0;
}

/* --- life and death */

static void
ring_drop(struct ring *r)
{
	if (__atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	close(r->consumer.fd);
	close(r->producer.fd);
	nb_memory_drop(r->bytes);
	free(r);
}

static struct ring *
ring_new(size_t size)
{
	struct ring *r = aligned_alloc(LINE, sizeof(*r));

	if (r == NULL)
		return NULL;
	memset(r, 0, sizeof(*r));
	r->size = size;
	r->refs = 1;
	r->bytes = nb_memory_new(size);
	r->consumer.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->producer.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	/* The receiver's descriptor must be silent until there is a frame, and tell of the first. */
	r->consumer.armed = 1;
	if (r->bytes != NULL && r->consumer.fd >= 0 && r->producer.fd >= 0)
		return r;
	int error = r->bytes == NULL ? ENOMEM : errno;
	if (r->consumer.fd >= 0)
		close(r->consumer.fd);
	if (r->producer.fd >= 0)
		close(r->producer.fd);
	nb_memory_drop(r->bytes);
	free(r);
	errno = error;
	return NULL;
}

static struct netbe_port *
port_new(struct ring *tx, struct ring *rx, uint32_t max_frame, const uint64_t *features)
{
	struct ring_port *p = aligned_alloc(LINE, sizeof(*p));

	if (p == NULL)
		return NULL;
	memset(p, 0, sizeof(*p));
	__atomic_add_fetch(&tx->refs, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&rx->refs, 1, __ATOMIC_RELAXED);
	p->tx = tx;
	p->rx = rx;
	p->port = (struct netbe_port){
	    .abi = NETBE_ABI,
	    .size = sizeof(struct netbe_port),
	    .flags = NETBE_PORT_CHEAP_RX,
	    .min_frame = 14,
	    .max_frame = max_frame,
	    .rx_wait = {.fd = rx->consumer.fd, .events = POLLIN},
	    .tx_wait = {.fd = tx->producer.fd, .events = POLLIN},
	    .stats = &p->stats,
	    .services = &nb_services,
	    .rx_burst = ring_rx_burst,
	    .release = ring_release,
	    .tx_burst = ring_tx_burst,
	    .tx_reserve = ring_tx_reserve,
	    .tx_commit = ring_tx_commit,
	    .arm = ring_arm,
	    .link_up = ring_link_up,
	};
	p->maker = getpid();
	for (int i = 0; features != NULL && i < NETBE_FEATURE_WORDS; i++)
		p->port.features[i] = features[i];
	return &p->port;
}

int
nb_ring_pair_new(size_t bytes, uint32_t max_frame, const uint64_t *features, struct netbe_port **a,
                 struct netbe_port **b)
{
	size_t size = 4096;
	struct ring *one, *other;
	int error = -ENOMEM;

	if (max_frame < 14 || max_frame > NETBE_FRAME_MAX - 12 || bytes > (size_t)1 << 40)
		return -EINVAL;
	while (size < bytes || size < 2 * record_size(NETBE_FRAME_MAX))
		size *= 2;
	*a = *b = NULL;
	one = ring_new(size);
	if (one == NULL)
		return -errno;
	other = ring_new(size);
	if (other == NULL) {
		error = -errno;
		ring_drop(one);
		return error;
	}
	*a = port_new(one, other, max_frame, features);
	if (*a != NULL)
		*b = port_new(other, one, max_frame, features);
	/* From here on only the ports hold the rings. */
	ring_drop(one);
	ring_drop(other);
	if (*b != NULL)
		return 0;
	nb_ring_port_free(*a);
	*a = NULL;
	return error;
}

void
nb_ring_port_free(struct netbe_port *port)
{
	struct ring_port *p = self(port);

	if (p == NULL)
		return;
	__atomic_store_n(&p->tx->no_producer, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&p->rx->no_consumer, 1, __ATOMIC_RELEASE);
	/* Written whether armed or not: a hang-up is told by a descriptor that stays readable. */
	if (p->maker == getpid()) {
		signal_fd(p->tx->consumer.fd);
		signal_fd(p->rx->producer.fd);
	}
	ring_drop(p->tx);
	ring_drop(p->rx);
	free(p);
}

void *
nb_ring_memory(struct netbe_port *port, int rx, size_t *size)
{
	struct ring *r = rx ? self(port)->rx : self(port)->tx;

	*size = r->size;
	return nb_memory_hold(r->bytes);
}
