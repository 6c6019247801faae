/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of nmport share. */
#ifndef NETBE_NMPORT_INT_H
#define NETBE_NMPORT_INT_H

#include <errno.h>
#include <stdalign.h>
#include <stdbool.h>
#include <string.h>

#include "nmport.h"

#define NM_LINE 64u
#define NM_HDR_MAX 12u
#define NM_MIN_FRAME 14u /* an Ethernet header; VALE drops what is shorter */
#define NM_LONGEST (NETBE_FRAME_MAX - NM_HDR_MAX)
#define NM_CHUNK_MAX 0xffc0u /* a slot's length has 16 bits */
#define NM_RESERVE_MAX 64u

/* The thread that sends. */
struct nm_tx {
	struct netmap_ring *ring;
	uint32_t slots, chunk; /* chunk: bytes that a slot takes */
	uint32_t first_buf, nbufs; /* what may be written to */
	uint32_t first;        /* bytes that a frame's first slot takes, header and all */
	uint32_t frags;        /* slots that a frame may have */
	uint32_t head;         /* as published */
	uint32_t hdr_len;
	int gone; /* 0, or -errno from now on; atomic: link_up() looks at it too */
	int down; /* what the last sync said, when not for good */
	bool refused; /* the last burst's end was taken back */

	uint32_t reserved; /* frames given out by tx_reserve(), from slot reserved_at on */
	uint32_t reserved_at, reserved_len;
	struct iovec room[NM_RESERVE_MAX];
};

/*
 * The thread that receives.  Slots in ring order:
 *   head .. seen    lent, and dropped ones between them
 *   seen .. tail    not looked at, or an incomplete frame
 */
struct nm_rx {
	struct netmap_ring *ring;
	uint32_t slots;
	uint32_t hdr_len;
	uint32_t head, seen;
	uint32_t given;   /* head when last synced */
	uint32_t scanned; /* the tail up to which nothing more is to be had */
	bool skipping;    /* inside a frame that was dropped before its end was there */
	bool bad_tail;
	int gone; /* as in nm_tx */

	uint32_t first, count;     /* of the lent ones, in the two arrays below, which are rings of `slots` */
	struct netbe_frame *frame;
	uint32_t *end;             /* slot behind each */
	struct iovec *seg;         /* by slot; twice as many, so that no frame's wrap */
};

struct nm_port {
	struct netbe_port port; /* first */
	struct netbe_port_stats stats; /* unless the config has a place for them */
	const struct nm_ops *ops;
	void *ctx;
	const uint8_t *buf_base;
	uint32_t buf_size, nbufs;
	uint16_t hdr_flag;
	alignas(NM_LINE) struct nm_tx tx;
	alignas(NM_LINE) struct nm_rx rx;
};

static inline struct nm_port *
nm_self(struct netbe_port *port)
{
	return (struct nm_port *)port;
}

/* Counters have one writer a direction and any number of readers. */
static inline void
nm_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline uint32_t
nm_next(uint32_t at, uint32_t slots)
{
	return at + 1 == slots ? 0 : at + 1;
}

/* How many steps it is from a to b; both are below slots. */
static inline uint32_t
nm_distance(uint32_t a, uint32_t b, uint32_t slots)
{
	return b >= a ? b - a : b + slots - a;
}

static inline uint8_t *
nm_buffer(const struct nm_port *p, uint32_t index)
{
	return (uint8_t *)(uintptr_t)(p->buf_base + (size_t)index * p->buf_size);
}

/* Whether a header says no more than that there is a frame. */
static inline bool
nm_plain(const struct netbe_vnet_hdr *hdr)
{
	return hdr->flags == 0 && hdr->gso_type == NETBE_GSO_NONE;
}

/* Whether no later call can succeed. */
static inline bool
nm_final(int result)
{
	return result == -ENODEV || result == -EPIPE || result == -EBADF;
}

/* nmport_tx.c */
int nm_tx_burst(struct netbe_port *port, const struct netbe_frame *frames, uint32_t n);
int nm_tx_reserve(struct netbe_port *port, uint32_t len, struct netbe_frame *frames, uint32_t n);
int nm_tx_commit(struct netbe_port *port, const struct netbe_frame *frames, uint32_t n);

/* nmport_rx.c */
int nm_rx_burst(struct netbe_port *port, struct netbe_frame *frames, uint32_t n);
int nm_release(struct netbe_port *port, uint32_t n);
int nm_pending(struct netbe_port *port);
/* Takes in all that has arrived, by the header length as it is. */
void nm_rx_take_all(struct nm_port *p);

#endif
