/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port for tests: the test puts frames in and takes out what was sent.
 * Each frame has a malloc of its own, so that a sanitizer sees one byte too
 * far, and lent memory is compared with what it was when it is released.
 */
#ifndef NETBE_FAKE_PORT_H
#define NETBE_FAKE_PORT_H

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "services.h"

struct fake_frame {
	struct fake_frame *next;
	struct netbe_vnet_hdr hdr;
	uint32_t len;
	uint8_t *bytes, *was;
	struct iovec *seg;
	uint32_t nseg;
};

struct fake_queue {
	struct fake_frame *first, **last;
	uint32_t count;
};

struct fake_port {
	struct netbe_port port;
	struct netbe_port_stats stats;
	pthread_mutex_t lock;
	struct fake_queue in, out;
	uint32_t lent;
	uint32_t room;      /* frames that may be in out */
	uint32_t seg_len;   /* how frames are split; 0 not */
	int rx_error;       /* after the last frame */
	int tx_error;       /* instead of taking frames */
	bool rx_armed, tx_armed;
	uint64_t rx_calls;
};

static inline uint64_t
fake_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static inline void
fake_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline void
fake_signal(int fd)
{
	uint64_t one = 1;

	CHECK(write(fd, &one, sizeof(one)) == sizeof(one));
}

static inline void
fake_drain(int fd)
{
	uint64_t n;

	CHECK(read(fd, &n, sizeof(n)) == sizeof(n) || errno == EAGAIN);
}

static inline void
fake_push(struct fake_queue *q, struct fake_frame *f)
{
	f->next = NULL;
	*q->last = f;
	q->last = &f->next;
	q->count++;
}

static inline struct fake_frame *
fake_pop(struct fake_queue *q)
{
	struct fake_frame *f = q->first;

	if (f == NULL)
		return NULL;
	q->first = f->next;
	if (q->first == NULL)
		q->last = &q->first;
	q->count--;
	return f;
}

static inline void
fake_frame_free(struct fake_frame *f)
{
	if (f == NULL)
		return;
	free(f->bytes);
	free(f->was);
	free(f->seg);
	free(f);
}

static inline struct fake_frame *
fake_frame_new(const struct netbe_vnet_hdr *hdr, const void *bytes, uint32_t len, uint32_t seg_len)
{
	struct fake_frame *f = calloc(1, sizeof(*f));

	CHECK(f != NULL);
	if (hdr != NULL)
		f->hdr = *hdr;
	f->len = len;
	f->bytes = malloc(len != 0 ? len : 1);
	f->was = malloc(len != 0 ? len : 1);
	CHECK(f->bytes != NULL && f->was != NULL);
	memcpy(f->bytes, bytes, len);
	memcpy(f->was, bytes, len);
	if (seg_len == 0 || len / seg_len >= NETBE_SEG_MAX)
		seg_len = len != 0 ? len : 1;
	f->nseg = (len + seg_len - 1) / seg_len;
	f->seg = calloc(f->nseg + 1, sizeof(*f->seg));
	CHECK(f->seg != NULL);
	for (uint32_t i = 0; i < f->nseg; i++) {
		f->seg[i].iov_base = f->bytes + i * seg_len;
		f->seg[i].iov_len = len - i * seg_len < seg_len ? len - i * seg_len : seg_len;
	}
	return f;
}

static inline int
fake_rx_burst(struct netbe_port *port, struct netbe_frame *frames, uint32_t n)
{
	struct fake_port *p = port->ctx;
	struct fake_frame *f;
	uint32_t i = 0;
	int rc;

	pthread_mutex_lock(&p->lock);
	fake_count(&p->rx_calls, 1);
	for (f = p->in.first; f != NULL && i < n; f = f->next, i++) {
		frames[i].hdr = f->hdr;
		frames[i].len = f->len;
		frames[i].nseg = f->nseg;
		frames[i].reserved = 0;
		frames[i].seg = f->seg;
	}
	if (i > p->lent)
		p->lent = i;
	rc = i != 0 ? (int)i : p->rx_error;
	pthread_mutex_unlock(&p->lock);
	return rc;
}

static inline int
fake_release(struct netbe_port *port, uint32_t n)
{
	struct fake_port *p = port->ctx;

	pthread_mutex_lock(&p->lock);
	CHECK(n <= p->lent);
	p->lent -= n;
	while (n-- > 0) {
		struct fake_frame *f = fake_pop(&p->in);

		CHECK(f != NULL && memcmp(f->bytes, f->was, f->len) == 0);
		fake_count(&p->stats.rx_frames, 1);
		fake_count(&p->stats.rx_bytes, f->len);
		fake_frame_free(f);
	}
	if (p->in.count == 0 && p->rx_error == 0 && p->port.arm == NULL)
		fake_drain(p->port.rx_wait.fd);
	pthread_mutex_unlock(&p->lock);
	return 0;
}

static inline int
fake_tx_burst(struct netbe_port *port, const struct netbe_frame *frames, uint32_t n)
{
	struct fake_port *p = port->ctx;
	int rc = 0;
	uint32_t i;

	pthread_mutex_lock(&p->lock);
	for (i = 0; i < n; i++) {
		const struct netbe_frame *f = &frames[i];
		uint8_t *bytes;
		uint32_t sum = 0;

		if (p->tx_error != 0)
			rc = p->tx_error;
		else if (f->len < port->min_frame)
			rc = -EINVAL;
		else if (f->hdr.gso_type == 0 && f->len > port->max_frame)
			rc = -EMSGSIZE;
		else if (p->out.count >= p->room)
			rc = -EAGAIN;
		if (rc != 0)
			break;
		for (uint32_t j = 0; j < f->nseg; j++)
			sum += (uint32_t)f->seg[j].iov_len;
		CHECK(sum == f->len && f->nseg <= NETBE_SEG_MAX);
		CHECK((nb_hdr_needs(&f->hdr, f) & ~port->features[0]) == 0);
		bytes = malloc(f->len);
		CHECK(bytes != NULL && nb_seg_copy_out(bytes, f->seg, f->nseg, 0, f->len) == f->len);
		fake_push(&p->out, fake_frame_new(&f->hdr, bytes, f->len, 0));
		free(bytes);
		fake_count(&p->stats.tx_frames, 1);
		fake_count(&p->stats.tx_bytes, f->len);
	}
	if (p->out.count >= p->room && p->port.arm == NULL)
		fake_drain(p->port.tx_wait.fd);
	pthread_mutex_unlock(&p->lock);
	return i != 0 ? (int)i : rc;
}

static inline int
fake_arm(struct netbe_port *port, uint32_t what)
{
	struct fake_port *p = port->ctx;

	pthread_mutex_lock(&p->lock);
	if (what & NETBE_ARM_RX) {
		fake_drain(p->port.rx_wait.fd);
		p->rx_armed = true;
	}
	if (what & NETBE_ARM_TX) {
		fake_drain(p->port.tx_wait.fd);
		p->tx_armed = true;
	}
	pthread_mutex_unlock(&p->lock);
	return 0;
}

/* arms: wakes only who asked; else level-triggered, like a descriptor. */
static inline void
fake_init(struct fake_port *p, bool arms, uint64_t features)
{
	memset(p, 0, sizeof(*p));
	pthread_mutex_init(&p->lock, NULL);
	p->in.last = &p->in.first;
	p->out.last = &p->out.first;
	p->room = UINT32_MAX;
	p->port.abi = NETBE_ABI;
	p->port.size = sizeof(p->port);
	p->port.min_frame = 14;
	p->port.max_frame = 1518;
	p->port.features[0] = features;
	p->port.rx_wait = (struct netbe_wait){.fd = eventfd(0, EFD_NONBLOCK), .events = POLLIN};
	p->port.tx_wait = (struct netbe_wait){.fd = eventfd(arms ? 0 : 1, EFD_NONBLOCK), .events = POLLIN};
	p->port.stats = &p->stats;
	p->port.ctx = p;
	p->port.rx_burst = fake_rx_burst;
	p->port.release = fake_release;
	p->port.tx_burst = fake_tx_burst;
	p->port.arm = arms ? fake_arm : NULL;
}

static inline void
fake_end(struct fake_port *p)
{
	struct fake_frame *f;

	while ((f = fake_pop(&p->in)) != NULL)
		fake_frame_free(f);
	while ((f = fake_pop(&p->out)) != NULL)
		fake_frame_free(f);
	close(p->port.rx_wait.fd);
	close(p->port.tx_wait.fd);
	pthread_mutex_destroy(&p->lock);
}

/* From the test's thread: a frame arrives. */
static inline void
fake_put_hdr(struct fake_port *p, const struct netbe_vnet_hdr *hdr, const void *bytes, uint32_t len)
{
	pthread_mutex_lock(&p->lock);
	fake_push(&p->in, fake_frame_new(hdr, bytes, len, p->seg_len));
	if (p->port.arm == NULL || p->rx_armed)
		fake_signal(p->port.rx_wait.fd);
	p->rx_armed = false;
	pthread_mutex_unlock(&p->lock);
}

static inline void
fake_put(struct fake_port *p, const void *bytes, uint32_t len)
{
	fake_put_hdr(p, NULL, bytes, len);
}

/* The oldest frame sent, waiting for it up to that long; NULL none.  The caller frees it. */
static inline struct fake_frame *
fake_take(struct fake_port *p, uint32_t ms)
{
	uint64_t end = fake_now() + ms * 1000000ull;
	struct fake_frame *f;

	for (;;) {
		struct timespec nap = {.tv_nsec = 100000};

		pthread_mutex_lock(&p->lock);
		f = fake_pop(&p->out);
		if (f != NULL && p->out.count + 1 == p->room && (p->port.arm == NULL || p->tx_armed)) {
			fake_signal(p->port.tx_wait.fd);
			p->tx_armed = false;
		}
		pthread_mutex_unlock(&p->lock);
		if (f != NULL || fake_now() >= end)
			return f;
		nanosleep(&nap, NULL);
	}
}

/* From now on: errors of both ways; 0 none.  The descriptors wake. */
static inline void
fake_break(struct fake_port *p, int rx_error, int tx_error)
{
	pthread_mutex_lock(&p->lock);
	p->rx_error = rx_error;
	p->tx_error = tx_error;
	if (rx_error != 0)
		fake_signal(p->port.rx_wait.fd);
	pthread_mutex_unlock(&p->lock);
}

static inline void
fake_set_room(struct fake_port *p, uint32_t room)
{
	pthread_mutex_lock(&p->lock);
	p->room = room;
	if (p->port.arm == NULL) {
		if (p->out.count >= room)
			fake_drain(p->port.tx_wait.fd);
		else
			fake_signal(p->port.tx_wait.fd);
	} else if (p->tx_armed && p->out.count < room) {
		fake_signal(p->port.tx_wait.fd);
		p->tx_armed = false;
	}
	pthread_mutex_unlock(&p->lock);
}

static inline uint32_t
fake_waiting(struct fake_port *p)
{
	uint32_t n;

	pthread_mutex_lock(&p->lock);
	n = p->in.count;
	pthread_mutex_unlock(&p->lock);
	return n;
}

#endif
