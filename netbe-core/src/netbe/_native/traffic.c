/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbered frames.  The memory of received ones may be written by others
 * meanwhile: each byte is read once.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "counter.h"
#include "services.h"
#include "traffic.h"

#define LIKELY(truth) __builtin_expect(!!(truth), 1)

#define BURST 64u
#define CLOCK_BURSTS 16u /* bursts between two looks at the clock */
#define HEAD 64u         /* bytes that each frame has of its own; the rest is shared zeros */
#define STREAMS 65536u
#define NONE UINT16_MAX

/* Where things stand in a frame. */
#define MAGIC_AT 12u /* the type, "netbe" and the version */
#define STREAM_AT 20u
#define SEQUENCE_AT 22u /* the time behind it */

static const uint8_t magic[8] = {0x88, 0xb5, 'n', 'e', 't', 'b', 'e', 1};

static uint64_t
clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void
relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* --- generating */

struct nb_gen {
	uint32_t size;
	struct netbe_frame frame[BURST];
	struct iovec seg[BURST][2];
	_Alignas(HEAD) uint8_t head[BURST][HEAD];
	uint8_t rest[]; /* zeros */
};

struct nb_gen *
nb_gen_new(const uint8_t macs[12], uint32_t size, uint16_t stream)
{
	uint32_t own = size < HEAD ? size : HEAD;
	size_t bytes = sizeof(struct nb_gen) + (size - own);
	struct nb_gen *gen;

	if (size > NETBE_FRAME_MAX)
		return NULL;
	gen = aligned_alloc(HEAD, (bytes + HEAD - 1) / HEAD * HEAD);
	if (gen == NULL)
		return NULL;
	memset(gen, 0, bytes);
	gen->size = size;
	for (uint32_t i = 0; i < BURST; i++) {
		uint8_t *head = gen->head[i];

		memcpy(head, macs, 12);
		if (size >= NB_TRAFFIC_STAMPED) {
			memcpy(head + MAGIC_AT, magic, sizeof(magic));
			head[STREAM_AT] = (uint8_t)(stream >> 8);
			head[STREAM_AT + 1] = (uint8_t)stream;
		} else {
			memcpy(head + MAGIC_AT, magic, 2);
		}
		gen->seg[i][0] = (struct iovec){head, own};
		gen->seg[i][1] = (struct iovec){gen->rest, size - own};
		gen->frame[i] = (struct netbe_frame){.len = size, .nseg = size > own ? 2 : 1, .seg = gen->seg[i]};
	}
	return gen;
}

void
nb_gen_free(struct nb_gen *gen)
{
	free(gen);
}

static void
stamp(struct nb_gen *gen, uint64_t sequence, uint32_t n)
{
	uint64_t now = htobe64(clock_ns(CLOCK_REALTIME));

	if (gen->size < NB_TRAFFIC_STAMPED)
		return;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t words[2] = {htobe64(sequence + i), now};

		memcpy(gen->head[i] + SEQUENCE_AT, words, sizeof(words));
	}
}

int64_t
nb_gen_run(struct nb_gen *gen, struct netbe_port *port, uint64_t sequence, const struct nb_traffic_limits *limits)
{
	uint64_t begin = clock_ns(CLOCK_MONOTONIC), full_since = 0, sent = 0;
	uint64_t spin = port->flags & NETBE_PORT_CHEAP_RX ? limits->spin_ns : 0;
	bool armed = false;

	for (uint32_t bursts = 1; sent < limits->frames; bursts++) {
		uint64_t left = limits->frames - sent, now;
		uint32_t n = left < BURST ? (uint32_t)left : BURST;
		int went;

		stamp(gen, sequence + sent, n);
		went = port->tx_burst(port, gen->frame, n);
		if (LIKELY(went > 0)) {
			sent += (uint32_t)went;
			full_since = 0;
			if (bursts % CLOCK_BURSTS == 0 && clock_ns(CLOCK_MONOTONIC) - begin >= limits->ns)
				break;
			continue;
		}
		if (went != -EAGAIN && went != 0)
			return sent > 0 ? (int64_t)sent : went;
		if (sent > 0 && spin == 0)
			break;
		now = clock_ns(CLOCK_MONOTONIC);
		if (full_since == 0)
			full_since = now;
		if (now - begin < limits->ns && now - full_since < spin) {
			relax();
			continue;
		}
		if (sent > 0 || armed)
			break;
		armed = true; /* look once more, then the caller may sleep */
		if (NETBE_PORT_HAS(port, arm))
			port->arm(port, NETBE_ARM_TX);
	}
	return (int64_t)sent;
}

void
nb_gen_write(struct nb_gen *gen, uint64_t sequence, uint32_t n, uint32_t hdr_len, uint8_t *out)
{
	if (n > BURST)
		n = BURST;
	stamp(gen, sequence, n);
	for (uint32_t i = 0; i < n; i++) {
		memset(out, 0, hdr_len);
		out += hdr_len;
		for (uint32_t j = 0; j < gen->frame[i].nseg; j++) {
			memcpy(out, gen->seg[i][j].iov_base, gen->seg[i][j].iov_len);
			out += gen->seg[i][j].iov_len;
		}
	}
}

/* --- counting */

/*
 * Which of the WINDOW numbers before a stream's last one are missing; number
 * x has bit x % WINDOW.  A stream has one from its first gap on, until
 * another needs it more.
 */
struct late {
	uint32_t owner;
	uint64_t upto; /* the stream's last number when this was last looked at */
	uint64_t missing[NB_TRAFFIC_WINDOW / 64];
};

struct nb_sink {
	struct nb_sink_counts counts;
	bool numbers;
	struct netbe_frame frame[BURST];

	/* The stream of the last frame: what is due next of it lies here and not in the table. */
	uint16_t stream;
	uint64_t due;

	uint32_t turn; /* which of the late[] is taken next */
	struct late *late[NB_TRAFFIC_LATE];
	uint64_t known[STREAMS / 64];
	uint64_t next[STREAMS];
	uint16_t late_of[STREAMS]; /* NONE: no number is missing */
};

struct nb_sink *
nb_sink_new(bool numbers)
{
	struct nb_sink *sink = calloc(1, sizeof(*sink));

	if (sink == NULL)
		return NULL;
	sink->numbers = numbers;
	memset(sink->late_of, 0xff, sizeof(sink->late_of));
	return sink;
}

void
nb_sink_free(struct nb_sink *sink)
{
	if (sink == NULL)
		return;
	for (uint32_t i = 0; i < NB_TRAFFIC_LATE; i++)
		free(sink->late[i]);
	free(sink);
}

const struct nb_sink_counts *
nb_sink_counts(const struct nb_sink *sink)
{
	return &sink->counts;
}

/* Bits of the numbers from..from + n - 1, n at most WINDOW. */
static void
mark(struct late *l, uint64_t from, uint64_t n, bool missing)
{
	while (n > 0) {
		uint32_t at = (uint32_t)(from % NB_TRAFFIC_WINDOW);
		uint32_t run = 64 - at % 64;
		uint64_t bits;

		if (run > n)
			run = (uint32_t)n;
		bits = (run == 64 ? UINT64_MAX : (1ull << run) - 1) << at % 64;
		if (missing)
			l->missing[at / 64] |= bits;
		else
			l->missing[at / 64] &= ~bits;
		from += run;
		n -= run;
	}
}

/* The stream's missing numbers, as of the number before `due`; NULL: none, or no memory. */
static struct late *
late_of(struct nb_sink *sink, uint16_t stream, uint64_t due, bool make)
{
	uint32_t at = sink->late_of[stream];
	uint64_t last = due - 1;
	struct late *l;

	if (at == NONE && !make)
		return NULL;
	if (at == NONE) {
		at = sink->turn++ % NB_TRAFFIC_LATE;
		if (sink->late[at] == NULL)
			sink->late[at] = calloc(1, sizeof(struct late));
		else
			sink->late_of[sink->late[at]->owner] = NONE;
		l = sink->late[at];
		if (l == NULL)
			return NULL;
		memset(l->missing, 0, sizeof(l->missing));
		l->owner = stream;
		l->upto = last;
		sink->late_of[stream] = (uint16_t)at;
		return l;
	}
	/* Those since came in order; what had their places before is too old. */
	l = sink->late[at];
	mark(l, last - l->upto < NB_TRAFFIC_WINDOW ? l->upto : last - NB_TRAFFIC_WINDOW,
	     last - l->upto < NB_TRAFFIC_WINDOW ? last - l->upto : NB_TRAFFIC_WINDOW, false);
	l->upto = last;
	return l;
}

/* A number that is not due. */
static void
out_of_order(struct nb_sink *sink, uint64_t sequence)
{
	struct nb_sink_counts *c = &sink->counts;
	uint64_t last = sink->due - 1;
	struct late *l;

	if (sequence > last) {
		uint64_t gap = sequence - sink->due;

		nb_counter_add(&c->lost, gap);
		l = late_of(sink, sink->stream, sink->due, true);
		if (l != NULL) {
			mark(l, last, 1, false);
			if (gap > NB_TRAFFIC_WINDOW)
				gap = NB_TRAFFIC_WINDOW;
			mark(l, sequence - gap, gap, true);
			l->upto = sequence;
		}
		sink->due = sequence + 1;
		return;
	}
	if (sequence != last && last - sequence <= NB_TRAFFIC_WINDOW) {
		uint32_t at = (uint32_t)(sequence % NB_TRAFFIC_WINDOW);

		l = late_of(sink, sink->stream, sink->due, false);
		if (l != NULL && (l->missing[at / 64] >> at % 64 & 1) != 0) {
			l->missing[at / 64] &= ~(1ull << at % 64);
			nb_counter_add(&c->lost, (uint64_t)-1);
			nb_counter_add(&c->reordered, 1);
			return;
		}
	}
	nb_counter_add(&c->duplicated, 1);
}

/* A number that is not the next one of the stream of the frame before. */
static void
other(struct nb_sink *sink, uint16_t stream, uint64_t sequence)
{
	uint64_t *known = &sink->known[stream / 64];
	uint64_t bit = 1ull << stream % 64;

	if (stream != sink->stream) {
		sink->next[sink->stream] = sink->due;
		sink->stream = stream;
		sink->due = sink->next[stream];
	}
	if (sequence == sink->due || (*known & bit) == 0)
		sink->due = sequence + 1;
	else
		out_of_order(sink, sequence);
	*known |= bit;
}

/* Read once, wherever it lies. */
struct words {
	volatile uint64_t u64;
} __attribute__((packed, may_alias));
struct half {
	volatile uint16_t u16;
} __attribute__((packed, may_alias));

/* At least STAMPED bytes; returns 1 when they have a number. */
static inline uint32_t
look(struct nb_sink *sink, const uint8_t *bytes)
{
	uint64_t want, sequence;
	uint16_t stream;

	memcpy(&want, magic, sizeof(want));
	if (((const struct words *)(const void *)(bytes + MAGIC_AT))->u64 != want)
		return 0;
	stream = be16toh(((const struct half *)(const void *)(bytes + STREAM_AT))->u16);
	sequence = be64toh(((const struct words *)(const void *)(bytes + SEQUENCE_AT))->u64);
	if (LIKELY(stream == sink->stream && sequence == sink->due && sequence != 0))
		sink->due = sequence + 1;
	else
		other(sink, stream, sequence);
	return 1;
}

static uint32_t
look_at_frame(struct nb_sink *sink, const struct netbe_frame *f)
{
	uint8_t head[NB_TRAFFIC_STAMPED];

	if (f->len < sizeof(head))
		return 0;
	if (LIKELY(f->seg[0].iov_len >= sizeof(head)))
		return look(sink, f->seg[0].iov_base);
	return nb_seg_copy_out(head, f->seg, f->nseg, 0, sizeof(head)) == sizeof(head) ? look(sink, head) : 0;
}

/* n frames were looked at. */
static uint64_t
tally(struct nb_sink *sink, uint32_t n, uint64_t bytes, uint32_t numbered)
{
	struct nb_sink_counts *c = &sink->counts;
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	if (c->frames == 0)
		__atomic_store_n(&c->first_ns, now, __ATOMIC_RELAXED);
	__atomic_store_n(&c->last_ns, now, __ATOMIC_RELAXED);
	nb_counter_add(&c->frames, n);
	nb_counter_add(&c->bytes, bytes);
	nb_counter_add(&c->numbered, numbered);
	return now;
}

int64_t
nb_sink_run(struct nb_sink *sink, struct netbe_port *const *ports, uint32_t nports,
            const struct nb_traffic_limits *limits)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC), begin = now, idle_since = now, taken = 0;
	uint64_t spin = limits->spin_ns;
	bool armed = false;

	for (uint32_t i = 0; i < nports; i++)
		if (!(ports[i]->flags & NETBE_PORT_CHEAP_RX))
			spin = 0;
	while (taken < limits->frames && now - begin < limits->ns) {
		bool some = false;
		int gone = 0;

		for (uint32_t i = 0; i < nports && taken < limits->frames; i++) {
			struct netbe_port *port = ports[i];
			uint64_t left = limits->frames - taken, bytes = 0;
			uint32_t numbered = 0;
			int n = port->rx_burst(port, sink->frame, left < BURST ? (uint32_t)left : BURST);

			if (n < 0)
				gone = n;
			if (n <= 0)
				continue;
			for (int k = 0; k < n; k++) {
				bytes += sink->frame[k].len;
				if (sink->numbers)
					numbered += look_at_frame(sink, &sink->frame[k]);
			}
			port->release(port, (uint32_t)n);
			now = tally(sink, (uint32_t)n, bytes, numbered);
			taken += (uint32_t)n;
			some = true;
		}
		if (some) {
			idle_since = now;
			armed = false;
			continue;
		}
		if (gone != 0)
			return taken > 0 ? (int64_t)taken : gone;
		if (armed)
			break;
		now = clock_ns(CLOCK_MONOTONIC);
		if (now - idle_since < spin) {
			relax();
			continue;
		}
		armed = true; /* look once more, then the caller may sleep */
		for (uint32_t i = 0; i < nports; i++)
			if (NETBE_PORT_HAS(ports[i], arm))
				ports[i]->arm(ports[i], NETBE_ARM_RX);
	}
	return (int64_t)taken;
}

void
nb_sink_see(struct nb_sink *sink, const uint8_t *base, const uint32_t *off, const uint32_t *len, uint32_t n,
            uint32_t hdr_len)
{
	uint64_t bytes = 0;
	uint32_t numbered = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t size = len[i] > hdr_len ? len[i] - hdr_len : 0;

		bytes += size;
		if (sink->numbers && size >= NB_TRAFFIC_STAMPED)
			numbered += look(sink, base + off[i] + hdr_len);
	}
	if (n > 0)
		tally(sink, n, bytes, numbered);
}
