/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the members of an embedded switch share: one control file a switch,
 * one region a port.
 *
 * A member maps the regions of all ports into one window of addresses, port
 * p at p * VALE_STRIDE, so that a buffer has one number for everybody:
 * buffer i is at window + i * VALE_BUF, as in netmap's own memory.
 *
 * Only the owner of a port writes its region, except for what another
 * member has to tell him: how far it has read his lanes, that it has sent
 * him something, who wants to be woken.  Everything here may be scribbled
 * over by any member at any time: it is read once, then checked.
 */
#ifndef NETBE_VALE_LAYOUT_H
#define NETBE_VALE_LAYOUT_H

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

#include "netbe.h"
#include "netmap_abi.h"

#define VALE_MAGIC 0x6e76616cu
#define VALE_VERSION 1u
#define VALE_PORTS 64u /* of a switch; bits of one word */
#define VALE_RINGS 4u  /* of a port */
#define VALE_NAME 64u
/*
 * Bytes of a buffer: an odd number of cache lines. With a power of two the
 * first lines of all buffers, which is all that small frames use, would
 * share a few sets of each cache.
 */
#define VALE_BUF (33u * 64u)
#define VALE_LANE 512u /* entries of a lane; a power of two */
#define VALE_BUFS_PER_STRIDE 16384u
#define VALE_STRIDE (VALE_BUFS_PER_STRIDE * VALE_BUF) /* a multiple of both, and of pages */
#define VALE_LEFT_MAX 8u /* members that have left whose memory is kept */
#define VALE_WINDOW ((size_t)VALE_PORTS * VALE_STRIDE)
#define VALE_ADDRESSES 8192u /* of the forwarding table */
#define VALE_PAGE 4096u

/*
 * One buffer on its way, in one word: number, bytes, flags.  A frame is a
 * run of entries of which all but the last have MOREFRAG; it is published
 * as a whole.
 */
#define VALE_ENTRY(buf, len, flags) ((uint64_t)(buf) | (uint64_t)(len) << 32 | (uint64_t)(flags) << 48)
#define VALE_ENTRY_BUF(e) ((uint32_t)(e))
#define VALE_ENTRY_LEN(e) ((uint32_t)((e) >> 32) & 0xffff)
#define VALE_ENTRY_FLAGS(e) ((uint32_t)((e) >> 48))

/* From one tx ring to one port.  Lies in the sender's region. */
struct vale_lane {
	alignas(64) uint32_t gen; /* of the receiver that it is for; 0: nobody */
	uint32_t tail;            /* the sender's; positions count for ever */
	alignas(64) uint32_t head; /* the receiver's: buffers before it have been given back */
	uint32_t want_room;        /* the sender sleeps until head moves */
	alignas(64) uint64_t entry[VALE_LANE];
};

/* Where an rx ring is told who has sent to it. */
struct vale_inbox {
	alignas(64) uint64_t from[VALE_RINGS]; /* bit p of word r: tx ring r of port p may have frames */
	alignas(64) uint32_t armed;            /* the reader sleeps */
};

/* The first pages of a region. */
struct vale_region {
	uint32_t magic, version;
	uint32_t index, gen;
	uint32_t rings, slots, nbufs, reserved;
	uint64_t bytes;
	char name[VALE_NAME];
	struct netbe_port_stats stats[VALE_RINGS];
	struct vale_inbox inbox[VALE_RINGS];
};

/* A port of the switch, as its members find it; gen is odd while it is in use. */
struct vale_member {
	uint32_t gen;
	uint32_t rings, slots, nbufs;
	uint32_t pid; /* for people; liveness is the lock on the region's file */
	/* Not 0: it has left, and what it sent is still to be read; those that left later have more. */
	uint32_t left;
	char name[VALE_NAME];
};

struct vale_control {
	uint32_t magic, version;
	uint32_t epoch; /* another one whenever a member comes or goes */
	uint32_t next;  /* where to look first for a free port, so that numbers are used again late */
	uint32_t pipe;  /* two ends, no switch */
	uint32_t reserved;
	struct vale_member member[VALE_PORTS];
	/* the forwarding table follows at VALE_TABLE */
};

#define VALE_ROUND(n, to) (((n) + (to)-1) / (to) * (to))
#define VALE_HEAD VALE_ROUND(sizeof(struct vale_region), VALE_PAGE)
#define VALE_HEAD_STEP VALE_ROUND(VALE_HEAD, 65536u) /* in a window of heads; no machine has larger pages */
#define VALE_TABLE VALE_ROUND(sizeof(struct vale_control), VALE_PAGE)

/* Where things lie in a region; all of it follows from three numbers. */
struct vale_layout {
	size_t nifp, tx_ring, rx_ring, ring_bytes, lanes, bufs, bytes;
};

static inline struct vale_layout
vale_layout(uint32_t rings, uint32_t slots, uint32_t nbufs)
{
	struct vale_layout l;

	l.ring_bytes = VALE_ROUND(sizeof(struct netmap_ring) + (size_t)slots * sizeof(struct netmap_slot), 64u);
	l.nifp = VALE_HEAD;
	l.tx_ring = l.nifp + VALE_PAGE;
	l.rx_ring = l.tx_ring + rings * l.ring_bytes;
	l.lanes = VALE_ROUND(l.rx_ring + rings * l.ring_bytes, VALE_PAGE);
	l.bufs = VALE_ROUND(l.lanes + (size_t)rings * VALE_PORTS * sizeof(struct vale_lane), VALE_BUF);
	l.bytes = VALE_ROUND(l.bufs + (size_t)rings * nbufs * VALE_BUF, VALE_PAGE);
	return l;
}

static inline size_t
vale_lane_at(const struct vale_layout *l, uint32_t ring, uint32_t to)
{
	return l->lanes + ((size_t)ring * VALE_PORTS + to) * sizeof(struct vale_lane);
}

#endif
