/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pump: joins ports, in C.  Two make a bridge, more a learning switch.
 * nb_engine_run() is one thread's work; an engine may be run by several
 * threads, thread i driving receive queue i of every port.
 */
#ifndef NETBE_ENGINE_H
#define NETBE_ENGINE_H

#include "netbe.h"

enum nb_on_full { NB_ON_FULL_WAIT, NB_ON_FULL_DROP };

struct nb_engine_config {
	uint32_t nports;     /* 2 to 4096 */
	uint32_t nthreads;   /* 1 to 64 */
	uint32_t learning;   /* 0: two ports joined back to back; 1: a learning switch */
	uint32_t on_full;    /* enum nb_on_full */
	uint64_t wait_ns;    /* longest wait for room before a frame is dropped */
	uint64_t spin_ns;    /* how long cheap ports are polled before sleeping */
	uint32_t fdb_size;
	uint32_t vlan_filtering;
	uint64_t ageing_ns;
};

struct nb_engine;

struct nb_engine *nb_engine_new(const struct nb_engine_config *config); /* NULL: errno */
void nb_engine_free(struct nb_engine *engine);                         /* no thread may be in run */

/* Gives port index its queue number `queue`; before run.  Returns 0 or -errno. */
int nb_engine_add_queue(struct nb_engine *engine, uint32_t index, struct netbe_port *port);
/* A frame (normal-form header, then bytes) to be forwarded first, as if received on the port; copied. */
int nb_engine_inject(struct nb_engine *engine, uint32_t index, const struct netbe_vnet_hdr *hdr, const void *frame,
                     uint32_t len);
/*
 * VLANs of a port: pvid 1..4094 is where untagged frames go (0: they are
 * dropped); allowed: 4096 bits of tagged VLANs (NULL: none but pvid).
 * Frames of pvid leave untagged, the others tagged.
 */
int nb_engine_set_vlan(struct nb_engine *engine, uint32_t index, uint16_t pvid, const uint64_t *allowed);

/*
 * Runs thread number `thread` until stopped.  0 stopped; -errno: a bridge's
 * port is gone, or every port of a switch.  Frames that could not go out are
 * left unreleased in the port they came from, whose rx_burst lends them again.
 */
int nb_engine_run(struct nb_engine *engine, uint32_t thread);
void nb_engine_stop(struct nb_engine *engine); /* from any thread; run returns within 100 ms */
/* After the last run has returned: keeps the counters and forgets the ports, which may then be freed. */
void nb_engine_detach(struct nb_engine *engine);

/* Readable while it runs. `rx` is from the port, `tx` is to it. Summed over queues. Includes what the engine dropped. */
int nb_engine_stats(struct nb_engine *engine, uint32_t index, struct netbe_port_stats *out);
/* 0 up; -errno why this port was given up. */
int nb_engine_port_error(struct nb_engine *engine, uint32_t index);
/* Frames flooded, and addresses not learned because the table was full. */
int nb_engine_switch_stats(struct nb_engine *engine, uint64_t *flooded, uint64_t *table_full);
struct nb_fdb *nb_engine_fdb(struct nb_engine *engine); /* NULL for a bridge */

#endif
