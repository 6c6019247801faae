/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the engine share.  engine.c makes it and counts;
 * worker.c makes and ends a thread's part; sleep.c is its loop: which queues
 * to look at, when to sleep; forward.c takes a burst in and decides where it
 * goes; output.c brings it to a port; inject.c is a port of frames handed
 * over by Python.
 *
 * A thread owns everything in its struct nb_worker.  Shared: the logical
 * ports (error, transmit locks), the forwarding table, a few flags.
 */
#ifndef NETBE_ENGINE_INT_H
#define NETBE_ENGINE_INT_H

#include <pthread.h>
#include <stdbool.h>

#include "engine.h"
#include "fdb.h"
#include "services.h"
#include "vlan.h"

#define NB_BURST 64u            /* most frames taken from a port at once */
#define NB_BURST_BYTES 131072u  /* and about how many bytes: they should still be cached when they go out */
#define NB_ARENA 2304u          /* segments of edited frames: more than two of the longest list */
#define NB_PRIVATE 512u         /* header bytes copied from memory that others can write */
#define NB_PRIVATE_PLAIN 64u    /* likewise, of a frame without offloads */
#define NB_DRAIN_NS 50000000ull /* how long a bridge that lost a port empties what it can */
#define NB_RETRY_NS 1000000ull  /* when a port has nothing to wait for */

/* One queue of a logical port. */
struct nb_queue {
	struct netbe_port *port;
	pthread_mutex_t lock; /* the transmit side, when several threads share it */
};

struct nb_lport {
	uint32_t nqueues;
	struct nb_queue *queue;
	struct netbe_port *inject; /* NULL: nothing was handed over */
	struct netbe_port_stats base; /* what the ports had counted before */
	int error;                 /* atomic; 0 or why it was given up */
	struct nb_vlan_port *vlan;
};

struct nb_engine {
	struct nb_engine_config config;
	struct nb_lport *lport;
	struct nb_fdb *fdb;
	int wake_fd;  /* eventfd: readable from stop or failure on */
	int stop;     /* atomic */
	int failure;  /* atomic; -errno with which every thread ends */
	uint32_t alive; /* atomic; logical ports not given up */
	uint64_t flooded, table_full; /* atomic */
	bool detached;
	struct netbe_port_stats *last; /* after detach */
};

/* Where a frame goes, decided once. */
#define NB_TO_NONE (-1)
#define NB_TO_ALL (-2)
struct nb_verdict {
	int32_t to; /* logical port, or the above */
	struct nb_vlan_tag tag;
};

/* Work left for one receiver of a burst: frames before `next` are done, and so many pieces of that one. */
struct nb_todo {
	uint32_t port;
	uint32_t next;
	uint32_t pieces;
};

/* A receive queue that this thread drives. */
struct nb_rxq {
	struct netbe_port *port;
	uint32_t index; /* logical port */
	int fd;         /* what is polled: the port's or a duplicate; -1 none */
	bool own_fd;
	bool hot;     /* look at it in this round */
	bool blocked; /* holds frames for a port that is full */
	bool muted;   /* not polled now */
	bool dead;
	bool armed;   /* was asked for a wake-up that has not come */
	bool after_inject; /* waits until frames handed over by Python have gone */
	uint32_t futile;   /* looks in a row that found nothing */
	uint64_t last_ns;  /* when it last had a frame */
	uint64_t retry_ns; /* when to look again whatever poll says; 0 never */

	/* How many to ask for; see next_burst(). */
	uint32_t burst, full, patience;
	uint32_t asked; /* in the last look */
	uint32_t mean; /* of the lengths, moving */

	uint32_t held; /* frames lent, decided and not yet gone everywhere */
	struct nb_verdict verdict[NB_BURST];
	struct nb_todo *todo;
	uint32_t ntodo, captodo;
};

/* The transmit side of a logical port, as this thread sees it. */
struct nb_out {
	struct netbe_port *port;
	pthread_mutex_t *lock; /* NULL: no other thread sends there */
	int fd;
	bool own_fd;
	bool watched;        /* is in the set of transmit descriptors */
	uint32_t futile;     /* wake-ups after which it was full all the same */
	uint64_t full_since; /* 0: it takes frames */
	uint64_t seen;       /* stamp of the burst that has it in its work list */
};

struct nb_worker {
	struct nb_engine *engine;
	uint32_t thread;
	int ep, ep_tx;
	struct nb_rxq *rxq;
	uint32_t nrxq;
	struct nb_rxq **hot;
	uint32_t nhot;
	uint32_t nblocked, ntimed;
	bool all_cheap;
	bool stopping; /* the last attempt: nothing is waited for */
	struct nb_out *out;
	uint64_t now;
	uint64_t last_ns; /* when any queue had a frame */
	uint64_t fail_ns; /* when this thread saw the engine fail; 0 not */
	uint64_t stamp;

	struct netbe_frame frame[NB_BURST]; /* as taken in */
	uint64_t needs[NB_BURST];           /* of a receiver; 0 plain */
	uint8_t (*private)[NB_PRIVATE];
	struct iovec *private_seg; /* NB_ARENA */
	struct nb_todo *work;

	struct netbe_frame batch[NB_BURST]; /* as handed out */
	uint32_t origin[NB_BURST];          /* index of the frame in the burst */
	uint8_t tag[NB_BURST][NB_VLAN_HLEN];
	struct iovec arena[NB_ARENA];
	uint32_t arena_used;
	uint8_t *flat; /* a frame of too many segments, in one */
	struct netbe_gso *gso;
	struct netbe_frame piece[NB_BURST];
};

static inline int
nb_lport_error(const struct nb_engine *e, uint32_t index)
{
	return __atomic_load_n(&e->lport[index].error, __ATOMIC_RELAXED);
}

/* One writer, many readers. */
static inline void
nb_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline void
nb_count_rx(struct nb_rxq *q, enum netbe_drop why, uint32_t n)
{
	nb_count(&q->port->stats->rx_dropped[why], n);
}

/* engine.c */
/* Gives a logical port up; a bridge ends with it, and a switch when it was the last. */
void nb_engine_give_up(struct nb_engine *e, uint32_t index, int error);

/* inject.c */
struct netbe_port *nb_inject_new(void);
int nb_inject_add(struct netbe_port *port, const struct netbe_vnet_hdr *hdr, const void *frame, uint32_t len);
void nb_inject_free(struct netbe_port *port);

/* forward.c */
/* One burst of the queue.  Returns frames taken in, 0 none, -errno gone. */
int nb_serve(struct nb_worker *w, struct nb_rxq *q);
/* At the end: gives back what was delivered in part; the rest stays lent. */
void nb_abandon(struct nb_worker *w, struct nb_rxq *q);
/* Whether frame i of the burst is to go to the logical port. */
bool nb_wanted(const struct nb_worker *w, const struct nb_rxq *q, uint32_t i, uint32_t port);

/* output.c */
enum nb_result { NB_SENT, NB_FULL, NB_GONE };
/* Brings what is left of the burst of k frames to one port; todo says how far it got. */
enum nb_result nb_output(struct nb_worker *w, struct nb_rxq *q, uint32_t k, struct nb_todo *todo);
void nb_count_tx(struct nb_out *o, enum netbe_drop why, uint32_t n);
/* Asks the port for a wake-up when it has room. */
void nb_out_arm(struct nb_out *o);

/* sleep.c */
uint64_t nb_clock_ns(void);
/* What the loop listens with; 0 or -errno. */
int nb_loop_begin(struct nb_worker *w);
int nb_loop_add(struct nb_worker *w, struct nb_rxq *q);
/* Until the engine is stopped or has failed. */
void nb_loop(struct nb_worker *w);
/* Wakes this thread when the port has room, once. */
void nb_watch_out(struct nb_worker *w, uint32_t port);

#endif
