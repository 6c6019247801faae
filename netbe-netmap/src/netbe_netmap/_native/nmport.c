/* SPDX-License-Identifier: BSD-2-Clause */
/* A port over netmap's rings: made, changed, freed. */
#include <stdlib.h>

#include "nmport_int.h"

static int
nm_arm(struct netbe_port *port, uint32_t what)
{
	struct nm_port *p = nm_self(port);

	return p->ops->arm(p->ctx, what);
}

static int
nm_link_up(struct netbe_port *port)
{
	struct nm_port *p = nm_self(port);

	if (__atomic_load_n(&p->rx.gone, __ATOMIC_RELAXED) != 0 || __atomic_load_n(&p->tx.gone, __ATOMIC_RELAXED) != 0)
		return 0;
	return p->ops->link_up == NULL || p->ops->link_up(p->ctx) != 0;
}

static bool
sound(const struct nm_port_config *c)
{
	return c->tx != NULL && c->rx != NULL && c->tx_slots >= 2 && c->rx_slots >= 2 &&
	       c->tx_slots <= NM_SLOTS_MAX && c->rx_slots <= NM_SLOTS_MAX && c->buf_size >= 64 &&
	       c->buf_base != NULL && c->nbufs != 0 && c->tx_nbufs <= c->nbufs &&
	       c->tx_first <= c->nbufs - c->tx_nbufs && c->max_frame >= NM_MIN_FRAME && c->max_frame <= NM_LONGEST &&
	       (c->hdr_len == 0 || c->hdr_len == 10 || c->hdr_len == 12);
}

struct netbe_port *
nm_port_new(const struct nm_port_config *c, const struct nm_ops *ops, void *ctx)
{
	struct nm_port *p;

	if (!sound(c) || ops->txsync == NULL || ops->rxsync == NULL) {
		errno = EINVAL;
		return NULL;
	}
	p = aligned_alloc(NM_LINE, (sizeof(*p) + NM_LINE - 1) / NM_LINE * NM_LINE);
	if (p == NULL)
		return NULL;
	memset(p, 0, sizeof(*p));
	p->ops = ops;
	p->ctx = ctx;
	p->buf_base = c->buf_base;
	p->buf_size = c->buf_size;
	p->nbufs = c->nbufs;
	p->tx.first_buf = c->tx_nbufs != 0 ? c->tx_first : 0;
	p->tx.nbufs = c->tx_nbufs != 0 ? c->tx_nbufs : c->nbufs;
	p->hdr_flag = c->hdr_flag;
	p->tx.ring = c->tx;
	p->tx.slots = c->tx_slots;
	p->tx.chunk = c->buf_size < NM_CHUNK_MAX ? c->buf_size : NM_CHUNK_MAX;
	p->tx.first = p->tx.chunk >= 2 * c->tx_spare ? p->tx.chunk - c->tx_spare : p->tx.chunk;
	p->tx.frags = c->tx_slots - 1;
	if (c->tx_frags != 0 && c->tx_frags < p->tx.frags)
		p->tx.frags = c->tx_frags;
	p->tx.hdr_len = c->hdr_len;
	p->rx.ring = c->rx;
	p->rx.slots = c->rx_slots;
	p->rx.hdr_len = c->hdr_len;
	/* A port may be taken over with its rings in use; what is not a slot counts as the first. */
	p->tx.head = __atomic_load_n(&c->tx->head, __ATOMIC_RELAXED);
	p->rx.head = __atomic_load_n(&c->rx->head, __ATOMIC_RELAXED);
	if (p->tx.head >= p->tx.slots)
		p->tx.head = 0;
	if (p->rx.head >= p->rx.slots)
		p->rx.head = 0;
	p->rx.seen = p->rx.given = p->rx.scanned = p->rx.head;
	p->rx.frame = calloc(c->rx_slots, sizeof(*p->rx.frame));
	p->rx.end = calloc(c->rx_slots, sizeof(*p->rx.end));
	p->rx.seg = calloc(2 * (size_t)c->rx_slots, sizeof(*p->rx.seg));
	p->port = (struct netbe_port){
	    .abi = NETBE_ABI,
	    .size = sizeof(struct netbe_port),
	    .flags = c->flags,
	    .min_frame = NM_MIN_FRAME,
	    .max_frame = c->max_frame,
	    .rx_wait = c->rx_wait,
	    .tx_wait = c->tx_wait,
	    .stats = c->stats != NULL ? c->stats : &p->stats,
	    .ctx = p,
	    .rx_burst = nm_rx_burst,
	    .release = nm_release,
	    .tx_burst = nm_tx_burst,
	    .tx_reserve = nm_tx_reserve,
	    .tx_commit = nm_tx_commit,
	    .arm = ops->arm != NULL ? nm_arm : NULL,
	    .pending = nm_pending,
	    .link_up = nm_link_up,
	};
	memcpy(p->port.features, c->features, sizeof(p->port.features));
	if (p->rx.frame == NULL || p->rx.end == NULL || p->rx.seg == NULL) {
		nm_port_free(&p->port);
		errno = ENOMEM;
		return NULL;
	}
	return &p->port;
}

void
nm_port_set_hdr_len(struct netbe_port *port, uint32_t hdr_len)
{
	struct nm_port *p = nm_self(port);

	nm_rx_take_all(p);
	p->tx.reserved = 0;
	p->tx.hdr_len = p->rx.hdr_len = hdr_len;
}

void
nm_port_free(struct netbe_port *port)
{
	if (port != NULL) {
		struct nm_port *p = nm_self(port);

		free(p->rx.frame);
		free(p->rx.end);
		free(p->rx.seg);
		free(p);
	}
}
