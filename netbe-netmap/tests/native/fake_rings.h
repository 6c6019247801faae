/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A provider for tests: two rings in plain memory, and a switch that loops
 * what is sent back to the receiver.  Like a kernel's pipe: what finds no
 * room waits in the tx ring.  It trusts nothing that it reads, either.
 * The buffers are an allocation of their own, so that a sanitizer sees one
 * byte too far.
 */
#ifndef NETBE_FAKE_RINGS_H
#define NETBE_FAKE_RINGS_H

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "check.h"
#include "nmport.h"

struct fake_rings {
	struct netbe_port *port;
	struct nm_port_config config;
	uint32_t taken;  /* tx slots before this one were taken */
	uint32_t filled; /* rx slots before this one are filled; tail says so with the next rxsync */
	uint32_t given;  /* rx slots before this one were given back */
	bool stopped;    /* nothing is taken from the tx ring */
	bool hostile;    /* others write to the memory: what is in it is no defect of the port */
	int tx_result, rx_result;
	uint32_t txsyncs, rxsyncs;
};

static inline uint32_t
fake_after(uint32_t at, uint32_t slots)
{
	return (at + 1) % slots;
}

static inline uint8_t *
fake_buffer(struct fake_rings *r, uint32_t index)
{
	CHECK(index < r->config.nbufs);
	return (uint8_t *)(uintptr_t)r->config.buf_base + (size_t)index * r->config.buf_size;
}

/* One slot from tx to rx; false when there is no room. */
static inline bool
fake_move(struct fake_rings *r)
{
	struct netmap_slot *from = &r->config.tx->slot[r->taken], *to = &r->config.rx->slot[r->filled];
	uint32_t len = from->len < r->config.buf_size ? from->len : r->config.buf_size;

	if (fake_after(r->filled, r->config.rx_slots) == r->given)
		return false;
	if (from->buf_idx < r->config.nbufs && to->buf_idx < r->config.nbufs)
		memmove(fake_buffer(r, to->buf_idx), fake_buffer(r, from->buf_idx), len);
	to->len = from->len;
	to->flags = from->flags;
	r->filled = fake_after(r->filled, r->config.rx_slots);
	return true;
}

static inline void
fake_move_all(struct fake_rings *r, uint32_t head)
{
	while (!r->stopped && r->taken != head && fake_move(r))
		r->taken = fake_after(r->taken, r->config.tx_slots);
	r->config.tx->tail = (r->taken + r->config.tx_slots - 1) % r->config.tx_slots;
}

static inline int
fake_txsync(void *ctx)
{
	struct fake_rings *r = ctx;
	struct netmap_ring *ring = r->config.tx;
	uint32_t head = ring->head;

	r->txsyncs++;
	if (r->tx_result != 0)
		return r->tx_result;
	if (!r->hostile) {
		uint32_t last = (head + r->config.tx_slots - 1) % r->config.tx_slots;

		CHECK(head == ring->cur && head < r->config.tx_slots);
		/* Never in the middle of a frame. */
		CHECK(head == r->taken || (ring->slot[last].flags & NM_SLOT_MOREFRAG) == 0);
	}
	if (head < r->config.tx_slots)
		fake_move_all(r, head);
	return 0;
}

static inline int
fake_rxsync(void *ctx)
{
	struct fake_rings *r = ctx;
	struct netmap_ring *ring = r->config.rx;

	r->rxsyncs++;
	if (r->rx_result != 0)
		return r->rx_result;
	CHECK(r->hostile || (ring->head == ring->cur && ring->head < r->config.rx_slots));
	if (ring->head < r->config.rx_slots)
		r->given = ring->head;
	if (r->config.tx->head < r->config.tx_slots)
		fake_move_all(r, r->config.tx->head);
	ring->tail = r->filled;
	return 0;
}

static inline struct netmap_ring *
fake_ring(uint32_t slots, uint32_t first_buffer)
{
	struct netmap_ring *ring = calloc(1, sizeof(*ring) + slots * sizeof(ring->slot[0]));

	CHECK(ring != NULL);
	ring->num_slots = slots;
	for (uint32_t i = 0; i < slots; i++)
		ring->slot[i].buf_idx = first_buffer + i;
	return ring;
}

static const struct nm_ops fake_ops = {.txsync = fake_txsync, .rxsync = fake_rxsync};

static inline void
fake_open(struct fake_rings *r, uint32_t slots, uint32_t buf_size, uint32_t hdr_len)
{
	memset(r, 0, sizeof(*r));
	r->config = (struct nm_port_config){
	    .tx = fake_ring(slots, 0),
	    .rx = fake_ring(slots, slots),
	    .tx_slots = slots,
	    .rx_slots = slots,
	    .buf_size = buf_size,
	    .nbufs = 2 * slots,
	    .hdr_len = hdr_len,
	    .max_frame = NETBE_FRAME_MAX - 12,
	    .rx_wait.fd = -1,
	    .tx_wait.fd = -1,
	};
	r->config.buf_base = calloc(r->config.nbufs, buf_size);
	r->config.tx->tail = slots - 1;
	CHECK(r->config.buf_base != NULL);
	r->port = nm_port_new(&r->config, &fake_ops, r);
	CHECK(r->port != NULL);
}

static inline void
fake_close(struct fake_rings *r)
{
	nm_port_free(r->port);
	free(r->config.tx);
	free(r->config.rx);
	free((void *)(uintptr_t)r->config.buf_base);
}

/* Somebody else puts a slot into the rx ring; it is visible at once. */
static inline void
fake_arrive(struct fake_rings *r, const void *bytes, uint32_t len, uint16_t flags)
{
	struct netmap_slot *slot = &r->config.rx->slot[r->filled];

	CHECK(fake_after(r->filled, r->config.rx_slots) != r->given);
	memcpy(fake_buffer(r, slot->buf_idx), bytes, len);
	slot->len = (uint16_t)len;
	slot->flags = flags;
	r->filled = fake_after(r->filled, r->config.rx_slots);
	r->config.rx->tail = r->filled;
}

#endif
