/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the embedded switch share with each other. */
#ifndef NETBE_VALE_INT_H
#define NETBE_VALE_INT_H

#include <stdbool.h>

#include "nmport.h"
#include "vale.h"

#define VALE_PATH 96u
#define VALE_FOLDER 90u /* a socket's address has 108 bytes, and behind the folder stands /s63.4294967295.3r */
#define VALE_NONE UINT32_MAX
#define VALE_HDR 0x0080u /* slot flag of ours: the frame begins with a virtio-net header of 12 bytes */
#define VALE_ABOVE_MIN 0x80u /* in refs, of a buffer that came into a lane as more than LANE_MIN */
#define VALE_SHOWN 256u /* slots of a tx ring that are free at once: few, so that few buffers go round */

/* --- vale_control.c: the files; vale_members.c: who is there */

struct vale_files {
	char folder[VALE_PATH];
	int control_fd, region_fd; /* with locks of ours, so that forked children close them */
	bool busy; /* one thread of ours has the control file's lock, which the kernel would give to all of them */
	struct vale_files *next;   /* of all in this process */
	struct nb_fdb *fdb; /* in the control file; NULL: a pipe, or only looked at */
	const struct netbe_services *services;
	struct vale_control *control; /* mapped, VALE_TABLE + table bytes */
	size_t control_bytes;
	uint32_t mode;
};

/* Opens or makes the control file and leaves it locked.  f stays where it is until vale_files_close(). */
int vale_files_open(struct vale_files *f, const char *folder, uint32_t mode, bool make, size_t table_bytes,
                    uint32_t pipe);
int vale_files_lock(struct vale_files *f);
/* False: not now. */
bool vale_files_trylock(struct vale_files *f);
void vale_files_unlock(struct vale_files *f);
/* Also after vale_files_open() has failed. */
void vale_files_close(struct vale_files *f);
/* A region's file with a lock that dies with us; -1 and errno. */
int vale_files_own(struct vale_files *f, uint32_t index, uint32_t gen);

/* A file of the switch; EAGAIN: somebody keeps it from being opened now. */
int vale_open(const char *path);
/* Gives a file its memory now: an error here, and not a signal later. */
int vale_allocate(int fd, size_t bytes);
/*
 * Maps a file that we have locked, opened once more by its path: a mapping
 * keeps what it was made from open, in children of a fork too, and with it
 * the lock, whose owner may be dead.
 */
int vale_map_again(void *window, size_t at, size_t bytes, const char *path, int fd);

void vale_region_path(const struct vale_files *f, char path[VALE_PATH + 32], uint32_t index, uint32_t gen);
void vale_socket_path(const struct vale_files *f, char path[VALE_PATH + 32], uint32_t index, uint32_t gen, uint32_t ring,
                      char way);
/* Whether the owner of a region lives: it holds a lock that the kernel drops with it. */
bool vale_alive(const struct vale_files *f, uint32_t index, uint32_t gen);
void vale_unlink(const struct vale_files *f, uint32_t index, uint32_t gen);
/* Under the lock: takes out a member and its files. */
void vale_remove(struct vale_files *f, uint32_t index, uint32_t gen);
/* A member whose lane is full: takes it out if it is dead. */
void vale_suspect(struct vale_files *f, uint32_t index, uint32_t gen);
/* Under the lock: has a member of ours leave; what it sent is kept for those who have not read it. */
void vale_depart(struct vale_files *f, uint32_t index, uint32_t gen);
/* On a frame's way, when all was read that a member sent before it left; false: not now. */
bool vale_finish(struct vale_files *f);
/* Under the lock: takes out the one that left first; false: there is none. */
bool vale_evict(struct vale_files *f);
/* Under the lock: takes out the dead, and those that left and are not needed any more; a bit for each living one. */
uint64_t vale_reap(struct vale_files *f);

/* --- one ring of one port */

/* How a receiver is known to a sender. */
struct vale_to {
	uint32_t gen; /* 0: no such member */
	uint32_t rings;
	uint32_t slots;
	struct vale_region *head; /* in the window of heads */
	struct vale_lane *lane;   /* in our own region */
	uint32_t tail;            /* what we have written */
	uint32_t published;
	uint32_t reclaimed; /* buffers of entries before it are ours again */
	uint32_t *buf;      /* VALE_LANE: what we have written, where nobody else can */
	uint64_t checked_ns; /* when it was last found alive */
};

/* How a sender's ring is known to a receiver. */
struct vale_from {
	struct vale_lane *lane; /* in the window; NULL: nothing to read */
	uint32_t taken;         /* entries before it stand in our ring, or stood there */
	uint32_t done;          /* entries before it have been given back */
};

struct vale_ring {
	struct vale *v;
	uint32_t number;
	struct netbe_port *port;
	uint8_t *window; /* VALE_WINDOW bytes: everybody's regions */
	struct vale_region *own;
	int wake_rx, wake_tx; /* sockets that others write to */
	int rx_timer, tx_timer;
	int rx_set, tx_set; /* a socket and a timer each */
	int wake_out;         /* socket that we write from */

	/* sending */
	struct netmap_ring *tx;
	uint8_t *heads; /* first pages of everybody's regions */
	uint32_t tx_epoch;
	uint64_t receivers; /* bits of `to` that can be sent to */
	struct vale_to to[VALE_PORTS];
	uint32_t hwcur, tail;
	uint32_t left; /* slots before head that the last sync could not take */
	uint32_t *slot_buf; /* of each slot; VALE_NONE: it has none */
	uint32_t first_buf;
	uint32_t *free_buf;
	uint32_t nfree;
	uint8_t *refs; /* of each buffer of ours: how many lanes hold it */
	uint32_t above; /* buffers that lanes may still have above LANE_MIN each */
	bool reclaimed; /* all that receivers have given back was taken, in this sync */
	uint64_t blocked; /* bits of `to` that had no room when the sender was to wait */
	uint8_t blocked_macs[12]; /* of the frame that was for them */
	uint64_t now_ns;
	uint64_t dirty;         /* bits of `to`: written, not published */
	uint8_t last_macs[12];  /* of the frame before */
	uint64_t last_mask;     /* where it went */
	bool last_known;

	/* receiving */
	struct netmap_ring *rx;
	uint32_t rx_epoch;
	uint32_t from_gen[VALE_PORTS];
	uint32_t from_lent[VALE_PORTS]; /* slots of our ring that stand for its buffers */
	struct vale_from from[VALE_PORTS * VALE_RINGS];
	uint64_t active[VALE_RINGS]; /* as vale_inbox.from, but private */
	uint64_t leaving;            /* bits of members that have left, which we may still have to read */
	uint32_t turn, turn_ring; /* whose lane is looked at first */
	uint32_t rx_hwcur, rx_hwtail;
	uint16_t *slot_from; /* of each slot: index into `from` */
	bool look_everywhere;
};

struct vale {
	struct vale_files files;
	uint32_t index, gen, rings, slots, nbufs;
	bool wait, pipe;
	struct vale_layout layout;
	struct vale_ring ring[VALE_RINGS];
};

int vale_tx_begin(struct vale_ring *q);
void vale_tx_end(struct vale_ring *q);
int vale_txsync(void *ctx);
/* Members that came or went since the last look. */
void vale_tx_refresh(struct vale_ring *q);
uint32_t vale_untaken(void *ctx);
/* Who can give back what the next frame needs. */
uint64_t vale_awaited(const struct vale_ring *q);
int vale_stuck(void *ctx, const struct netbe_frame *first);
int vale_rx_begin(struct vale_ring *q);
void vale_rx_end(struct vale_ring *q);
int vale_rxsync(void *ctx);
int vale_pending(void *ctx);

/* --- vale_wake.c */

int vale_wake_begin(struct vale_ring *q);
void vale_wake_end(struct vale_ring *q);
int vale_arm(void *ctx, uint32_t what);
/*
 * Sends a wake-up to who set `armed`, a word of shared memory; way is 'r' or
 * 't'.  What he looks at behind his fence was written before a fence of ours,
 * or itself with seq_cst.
 */
void vale_wake(struct vale_ring *q, uint32_t *armed, uint32_t index, uint32_t gen, uint32_t ring, char way);

/* Entries of a lane that are not given back. */
static inline uint32_t
vale_held(const struct vale_to *t)
{
	return t->tail - t->reclaimed;
}

/* The oldest entry of a lane is not needed any more. */
static inline void
vale_pop(struct vale_ring *q, struct vale_to *t)
{
	uint32_t buf = t->buf[t->reclaimed++ & (VALE_LANE - 1)];
	uint8_t *refs = &q->refs[buf - q->first_buf];

	if ((--*refs & ~VALE_ABOVE_MIN) != 0)
		return;
	q->above += *refs != 0;
	*refs = 0;
	q->free_buf[q->nfree++] = buf;
}

static inline struct vale_member
vale_member_at(const struct vale_files *f, uint32_t index)
{
	const struct vale_member *m = &f->control->member[index];
	struct vale_member copy = {
	    .gen = __atomic_load_n(&m->gen, __ATOMIC_ACQUIRE),
	    .rings = __atomic_load_n(&m->rings, __ATOMIC_RELAXED),
	    .slots = __atomic_load_n(&m->slots, __ATOMIC_RELAXED),
	    .nbufs = __atomic_load_n(&m->nbufs, __ATOMIC_RELAXED),
	    .pid = __atomic_load_n(&m->pid, __ATOMIC_RELAXED),
	    .left = __atomic_load_n(&m->left, __ATOMIC_RELAXED),
	};

	return copy;
}

/* Whether the numbers are such as vale_attach takes. */
static inline bool
vale_sane(uint32_t rings, uint32_t slots, uint32_t nbufs)
{
	return rings >= 1 && rings <= VALE_RINGS && slots >= 64 && slots <= 4096 && nbufs >= VALE_NBUFS_MIN &&
	       nbufs <= VALE_BUFS_PER_STRIDE && vale_layout(rings, slots, nbufs).bytes <= VALE_STRIDE;
}

#endif
