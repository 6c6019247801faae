/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbered frames: what a generator writes and how many, what a sink makes of numbers in any order. */
#include <endian.h>
#include <string.h>

#include "fake_port.h"
#include "ring.h"
#include "traffic.h"

static const uint8_t macs[12] = {255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1};
static const struct nb_traffic_limits at_once = {.frames = UINT64_MAX, .ns = 1000000000};

struct stamped {
	uint8_t macs[12], magic[8], stream[2], sequence[8], time[8], pad[22];
};
_Static_assert(sizeof(struct stamped) == 60, "the shortest frame");

static struct stamped
stamped(uint16_t stream, uint64_t sequence)
{
	struct stamped s = {.magic = {0x88, 0xb5, 'n', 'e', 't', 'b', 'e', 1}};
	uint64_t big = htobe64(sequence);

	s.stream[0] = (uint8_t)(stream >> 8);
	s.stream[1] = (uint8_t)stream;
	memcpy(s.sequence, &big, sizeof(big));
	return s;
}

static struct nb_traffic_limits
frames(uint64_t n)
{
	return (struct nb_traffic_limits){.frames = n, .ns = 1000000000};
}

/* The next frame that was sent is this one; it is freed. */
static void
sent_is(struct fake_port *p, uint32_t size, uint16_t stream, uint64_t sequence)
{
	struct stamped want = stamped(stream, sequence);
	struct fake_frame *f = fake_take(p, 0);
	static const uint8_t zeros[NETBE_FRAME_MAX];
	uint32_t told = size < 38 ? 14 : 30;

	CHECK(f != NULL && f->len == size);
	memcpy(want.macs, macs, sizeof(macs));
	CHECK(memcmp(f->bytes, &want, told) == 0);
	CHECK(memcmp(f->bytes + (size < 38 ? 14 : 38), zeros, size - (size < 38 ? 14 : 38)) == 0);
	fake_frame_free(f);
}

static void
a_generator_writes_numbered_frames_of_any_size(void)
{
	static const uint32_t sizes[] = {14, 37, 38, 60, 64, 65, 1514, NETBE_FRAME_MAX};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct nb_gen *gen = nb_gen_new(macs, sizes[i], 0x1234);
		struct nb_traffic_limits limits = frames(130);
		struct fake_port p;

		fake_init(&p, false, 0);
		p.port.max_frame = NETBE_FRAME_MAX;
		CHECK(nb_gen_run(gen, &p.port, 1000, &limits) == 130);
		CHECK(p.out.count == 130);
		for (uint64_t k = 0; k < 130; k++)
			sent_is(&p, sizes[i], 0x1234, 1000 + k);
		fake_end(&p);
		nb_gen_free(gen);
	}
	CHECK(nb_gen_new(macs, NETBE_FRAME_MAX + 1, 0) == NULL);
}

static void
frames_that_a_full_port_left_are_sent_with_the_same_numbers(void)
{
	struct nb_gen *gen = nb_gen_new(macs, 60, 0);
	struct fake_port p;

	fake_init(&p, true, 0);
	fake_set_room(&p, 100);
	CHECK(nb_gen_run(gen, &p.port, 0, &at_once) == 100);
	CHECK(!p.tx_armed);
	CHECK(nb_gen_run(gen, &p.port, 100, &at_once) == 0);
	CHECK(p.tx_armed);
	for (uint64_t k = 0; k < 100; k++)
		sent_is(&p, 60, 0, k);
	CHECK(nb_gen_run(gen, &p.port, 100, &at_once) == 100);
	for (uint64_t k = 0; k < 100; k++)
		sent_is(&p, 60, 0, 100 + k);
	fake_end(&p);
	nb_gen_free(gen);
}

static void
an_error_is_told_when_nothing_went_before_it(void)
{
	struct nb_gen *gen = nb_gen_new(macs, 60, 0);
	struct fake_port p;

	fake_init(&p, false, 0);
	fake_break(&p, 0, -ENODEV);
	CHECK(nb_gen_run(gen, &p.port, 0, &at_once) == -ENODEV);
	fake_end(&p);
	nb_gen_free(gen);
}

static void
calls_end_when_their_time_is_up(void)
{
	struct nb_traffic_limits limits = {.frames = UINT64_MAX, .ns = 2000000, .spin_ns = UINT64_MAX};
	struct nb_gen *gen = nb_gen_new(macs, 60, 0);
	struct nb_sink *sink = nb_sink_new(true);
	struct netbe_port *a, *b;
	uint64_t before, went = 0;

	CHECK(nb_ring_pair_new(0, 1518, NULL, &a, &b) == 0);
	before = fake_now();
	while (fake_now() - before < 10000000) {
		uint64_t begin = fake_now();
		int64_t n = nb_gen_run(gen, a, went, &limits);

		CHECK(n >= 0 && fake_now() - begin < 1000000000);
		went += (uint64_t)n;
		begin = fake_now();
		CHECK(nb_sink_run(sink, &b, 1, &limits) >= 0);
		CHECK(fake_now() - begin >= 2000000 && fake_now() - begin < 1000000000);
	}
	CHECK(went > 0 && nb_sink_counts(sink)->numbered == went && nb_sink_counts(sink)->lost == 0);
	nb_ring_port_free(a);
	nb_ring_port_free(b);
	nb_sink_free(sink);
	nb_gen_free(gen);
}

/* Gives a sink frames with these numbers, in one burst and one by one. */
static void
see(struct nb_sink *sink, uint16_t stream, uint64_t sequence)
{
	struct stamped s = stamped(stream, sequence);
	uint32_t off = 0, len = sizeof(s);

	nb_sink_see(sink, (const uint8_t *)&s, &off, &len, 1, 0);
}

/* The same in the obvious way, over few numbers: 0 has not come, 1 is missing, 2 came. */
struct model {
	uint8_t *state;
	bool known;
	uint64_t last, lost, duplicated, reordered;
};

static void
model_see(struct model *m, uint64_t sequence)
{
	if (!m->known || sequence > m->last) {
		if (m->known) {
			m->lost += sequence - m->last - 1;
			memset(m->state + m->last + 1, 1, sequence - m->last - 1);
		}
		m->known = true;
		m->last = sequence;
		m->state[sequence] = 2;
	} else if (m->state[sequence] == 1 && m->last - sequence <= NB_TRAFFIC_WINDOW) {
		m->state[sequence] = 2;
		m->lost--;
		m->reordered++;
	} else {
		m->duplicated++;
	}
}

static void
a_sink_counts_like_the_obvious_way_to_count(void)
{
	const uint64_t most = 4u << 20;
	uint64_t random = 7;

	for (uint32_t round = 0; round < 6; round++) {
		struct nb_sink *sink = nb_sink_new(true);
		struct model m = {.state = calloc(most, 1)};
		const struct nb_sink_counts *c = nb_sink_counts(sink);
		uint64_t at = check_random(&random) % 3;

		CHECK(m.state != NULL);
		for (uint32_t i = 0; i < 60000 && at + 300000 < most; i++) {
			uint64_t dice = check_random(&random) % 100, sequence = at;

			if (dice < 70)
				at++;
			else if (dice < 80)
				at += check_random(&random) % 200;
			else if (dice < 81 && round % 2 == 0)
				at += check_random(&random) % 150000;
			else if (dice < 96)
				sequence -= check_random(&random) % 300 % (at + 1);
			else
				sequence -= (check_random(&random) % 140000) % (at + 1);
			see(sink, 5, sequence);
			model_see(&m, sequence);
		}
		CHECK(c->lost == m.lost && c->duplicated == m.duplicated && c->reordered == m.reordered);
		CHECK(c->reordered > 100 && c->duplicated > 100);
		free(m.state);
		nb_sink_free(sink);
	}
}

static void
the_window_is_exact(void)
{
	struct nb_sink *sink = nb_sink_new(true);
	const struct nb_sink_counts *c = nb_sink_counts(sink);

	see(sink, 0, 0);
	see(sink, 0, NB_TRAFFIC_WINDOW + 2); /* 1 is too old already, 2 is the oldest that may come */
	CHECK(c->lost == NB_TRAFFIC_WINDOW + 1);
	see(sink, 0, 1);
	CHECK(c->reordered == 0 && c->duplicated == 1);
	see(sink, 0, 2);
	CHECK(c->reordered == 1 && c->duplicated == 1);
	see(sink, 0, NB_TRAFFIC_WINDOW + 3); /* now 3 is */
	see(sink, 0, 3);
	see(sink, 0, NB_TRAFFIC_WINDOW + 4);
	see(sink, 0, NB_TRAFFIC_WINDOW + 5);
	see(sink, 0, 4);
	CHECK(c->reordered == 2 && c->duplicated == 2);
	CHECK(c->lost == NB_TRAFFIC_WINDOW - 1);
	nb_sink_free(sink);
}

static void
numbers_of_any_size_do_no_harm(void)
{
	struct nb_sink *sink = nb_sink_new(true);
	const struct nb_sink_counts *c = nb_sink_counts(sink);

	see(sink, 0, UINT64_MAX);
	see(sink, 0, UINT64_MAX);
	see(sink, 0, UINT64_MAX - 1);
	see(sink, 0, 5);
	CHECK(c->numbered == 4 && c->duplicated == 3 && c->lost == 0);
	see(sink, 1, 0);
	see(sink, 1, UINT64_MAX);
	CHECK(c->lost == UINT64_MAX - 1);
	see(sink, 1, UINT64_MAX - 1);
	CHECK(c->lost == UINT64_MAX - 2 && c->reordered == 1);
	nb_sink_free(sink);
}

static void
streams_are_counted_apart_and_their_memory_is_bounded(void)
{
	struct nb_sink *sink = nb_sink_new(true);
	const struct nb_sink_counts *c = nb_sink_counts(sink);

	/* Five in order, in every stream at once; each begins with a number of its own. */
	for (uint64_t k = 0; k < 5; k++)
		for (uint32_t stream = 0; stream < 65536; stream += 13)
			see(sink, (uint16_t)stream, stream * 7 + k);
	CHECK(c->lost == 0 && c->duplicated == 0 && c->numbered == 5 * 5042);
	/* A gap in each: what is missing is known of the last so many. */
	for (uint32_t stream = 0; stream < 65536; stream += 13)
		see(sink, (uint16_t)stream, stream * 7 + 6);
	CHECK(c->lost == 5042);
	for (uint32_t stream = 0; stream < 65536; stream += 13)
		see(sink, (uint16_t)stream, stream * 7 + 5);
	CHECK(c->reordered == NB_TRAFFIC_LATE && c->duplicated == 5042 - NB_TRAFFIC_LATE);
	CHECK(c->lost == 5042 - NB_TRAFFIC_LATE);
	nb_sink_free(sink);
}

static void
a_stream_does_not_inherit_what_another_missed(void)
{
	struct nb_sink *sink = nb_sink_new(true);
	const struct nb_sink_counts *c = nb_sink_counts(sink);

	for (uint32_t stream = 0; stream <= NB_TRAFFIC_LATE; stream++) {
		for (uint64_t k = 0; k < 10; k++)
			if (k != (stream == NB_TRAFFIC_LATE ? 8 : 5))
				see(sink, (uint16_t)stream, k);
	}
	CHECK(c->lost == NB_TRAFFIC_LATE + 1 && c->duplicated == 0);
	see(sink, NB_TRAFFIC_LATE, 5);
	CHECK(c->duplicated == 1 && c->reordered == 0);
	see(sink, NB_TRAFFIC_LATE, 8);
	CHECK(c->duplicated == 1 && c->reordered == 1);
	nb_sink_free(sink);
}

static void
a_number_is_found_in_any_segments(void)
{
	for (uint32_t seg_len = 1; seg_len < 62; seg_len++) {
		struct nb_sink *sink = nb_sink_new(true);
		const struct nb_sink_counts *c = nb_sink_counts(sink);
		struct netbe_port *ports[1];
		struct fake_port p;

		fake_init(&p, false, 0);
		p.seg_len = seg_len;
		ports[0] = &p.port;
		for (uint64_t k = 0; k < 3; k++) {
			struct stamped s = stamped(9, k << 40);

			fake_put(&p, &s, k == 1 ? 37 : sizeof(s));
		}
		CHECK(nb_sink_run(sink, ports, 1, &at_once) == 3);
		CHECK(c->frames == 3 && c->bytes == 157 && c->numbered == 2 && c->lost == (2ull << 40) - 1);
		fake_end(&p);
		nb_sink_free(sink);
	}
}

static void
what_is_not_of_ours_is_counted_without_a_number(void)
{
	struct nb_sink *sink = nb_sink_new(true), *blind = nb_sink_new(false);
	uint32_t off = 0, len = sizeof(struct stamped);

	for (uint32_t at = 12; at < 20; at++) {
		struct stamped s = stamped(0, 0);

		((uint8_t *)&s)[at] ^= 1;
		nb_sink_see(sink, (const uint8_t *)&s, &off, &len, 1, 0);
	}
	CHECK(nb_sink_counts(sink)->frames == 8 && nb_sink_counts(sink)->numbered == 0);
	see(blind, 0, 0);
	see(blind, 0, 2);
	CHECK(nb_sink_counts(blind)->frames == 2 && nb_sink_counts(blind)->numbered == 0);
	CHECK(nb_sink_counts(blind)->lost == 0);
	nb_sink_free(sink);
	nb_sink_free(blind);
}

static void
all_ports_are_emptied_and_no_more_is_taken_than_asked(void)
{
	struct nb_sink *sink = nb_sink_new(true);
	const struct nb_sink_counts *c = nb_sink_counts(sink);
	struct nb_traffic_limits limits = frames(150);
	struct netbe_port *ports[2];
	struct fake_port p[2];

	for (int i = 0; i < 2; i++) {
		fake_init(&p[i], true, 0);
		ports[i] = &p[i].port;
		for (uint64_t k = 0; k < 100; k++) {
			struct stamped s = stamped((uint16_t)i, k);

			fake_put(&p[i], &s, sizeof(s));
		}
	}
	CHECK(nb_sink_run(sink, ports, 2, &limits) == 150);
	CHECK(fake_waiting(&p[0]) + fake_waiting(&p[1]) == 50 && p[0].lent == 0 && p[1].lent == 0);
	fake_break(&p[0], -ENODEV, 0);
	CHECK(nb_sink_run(sink, ports, 2, &at_once) == 50); /* what came goes before what is wrong */
	CHECK(c->numbered == 200 && c->lost == 0 && c->first_ns <= c->last_ns);
	CHECK(nb_sink_run(sink, ports, 2, &at_once) == -ENODEV);
	fake_break(&p[0], 0, 0);
	CHECK(nb_sink_run(sink, ports, 2, &at_once) == 0 && p[0].rx_armed && p[1].rx_armed);
	fake_end(&p[0]);
	fake_end(&p[1]);
	nb_sink_free(sink);
}

static void
frames_are_written_one_behind_the_other(void)
{
	struct nb_gen *gen = nb_gen_new(macs, 100, 3);
	struct nb_sink *sink = nb_sink_new(true);
	uint8_t *out = malloc(64 * 112);
	uint32_t off[64], len[64];

	CHECK(out != NULL);
	memset(out, 0xff, 64 * 112);
	nb_gen_write(gen, 40, 64, 12, out);
	for (uint32_t i = 0; i < 64 * 112; i++)
		CHECK(i % 112 >= 12 || out[i] == 0);
	for (uint32_t i = 0; i < 64; i++) {
		off[i] = i * 112;
		len[i] = 112;
	}
	nb_sink_see(sink, out, off, len, 64, 12);
	CHECK(nb_sink_counts(sink)->numbered == 64 && nb_sink_counts(sink)->lost == 0);
	CHECK(nb_sink_counts(sink)->bytes == 6400 && nb_sink_counts(sink)->duplicated == 0);
	len[0] = 5; /* shorter than a header */
	nb_sink_see(sink, out, off, len, 1, 12);
	CHECK(nb_sink_counts(sink)->bytes == 6400 && nb_sink_counts(sink)->frames == 65);
	free(out);
	nb_sink_free(sink);
	nb_gen_free(gen);
}

int
main(void)
{
	a_generator_writes_numbered_frames_of_any_size();
	frames_that_a_full_port_left_are_sent_with_the_same_numbers();
	an_error_is_told_when_nothing_went_before_it();
	calls_end_when_their_time_is_up();
	a_sink_counts_like_the_obvious_way_to_count();
	the_window_is_exact();
	numbers_of_any_size_do_no_harm();
	streams_are_counted_apart_and_their_memory_is_bounded();
	a_stream_does_not_inherit_what_another_missed();
	a_number_is_found_in_any_segments();
	what_is_not_of_ours_is_counted_without_a_number();
	all_ports_are_emptied_and_no_more_is_taken_than_asked();
	frames_are_written_one_behind_the_other();
	return 0;
}
