/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbered frames: a generator and a sink over ports, for measuring and for
 * finding loss.
 *
 *     destination 6, source 6, type 0x88B5 (IEEE 802, local experimental), then
 *     "netbe" and a version byte, stream u16, sequence u64, time u64 (nanoseconds
 *     since 1970), all big-endian
 *
 * A frame that is too short for this carries as much as has room, and is
 * counted without its number.
 *
 * The calls return after so many frames or nanoseconds at the latest.  One
 * thread drives a generator or a sink at a time, and has the ports for itself.
 */
#ifndef NETBE_TRAFFIC_H
#define NETBE_TRAFFIC_H

#include <stdbool.h>

#include "netbe.h"

#define NB_TRAFFIC_STAMPED 38u  /* bytes of the shortest frame that has a number */
#define NB_TRAFFIC_WINDOW 65536u /* a number that is missing longer than so many frames is lost for good */
#define NB_TRAFFIC_LATE 1024u   /* streams whose missing numbers are known at once */

/* How long a call may take: frames, nanoseconds in all, nanoseconds of looking at ports that have nothing to do. */
struct nb_traffic_limits {
	uint64_t frames, ns, spin_ns;
};

struct nb_gen;

/* macs: destination and source.  NULL: no memory. */
struct nb_gen *nb_gen_new(const uint8_t macs[12], uint32_t size, uint16_t stream);
void nb_gen_free(struct nb_gen *gen);

/*
 * Sends frames numbered from `sequence` on.  Returns how many went; 0 is that
 * the port is full, and a wake-up is asked for; -errno when the first cannot go.
 */
int64_t nb_gen_run(struct nb_gen *gen, struct netbe_port *port, uint64_t sequence,
                   const struct nb_traffic_limits *limits);

/* For a backend without a port: n frames (64 at most) one behind the other, each behind hdr_len zeros. */
void nb_gen_write(struct nb_gen *gen, uint64_t sequence, uint32_t n, uint32_t hdr_len, uint8_t *out);

/*
 * What came.  A number behind the next one due means that those between are
 * lost; when one of them comes after all it is reordered and not lost.  Any
 * other that is not due is a duplicate.  Times are of CLOCK_MONOTONIC.
 */
struct nb_sink_counts {
	uint64_t frames, bytes;
	uint64_t numbered, lost, duplicated, reordered;
	uint64_t first_ns, last_ns;
};

struct nb_sink;

/* NULL: no memory.  numbers: whether they are looked at. */
struct nb_sink *nb_sink_new(bool numbers);
void nb_sink_free(struct nb_sink *sink);

/* May be read at any time; a reader of several sees them as of different frames. */
const struct nb_sink_counts *nb_sink_counts(const struct nb_sink *sink);

/*
 * Takes frames out of the ports, in turn.  Returns how many; 0 is none now,
 * and a wake-up is asked for; -errno when a port is gone and the others have
 * nothing.
 */
int64_t nb_sink_run(struct nb_sink *sink, struct netbe_port *const *ports, uint32_t nports,
                    const struct nb_traffic_limits *limits);

/* For a backend without a port: n frames, as nb_io_recv_burst lays them out, each behind hdr_len bytes of header. */
void nb_sink_see(struct nb_sink *sink, const uint8_t *base, const uint32_t *off, const uint32_t *len, uint32_t n,
                 uint32_t hdr_len);

#endif
