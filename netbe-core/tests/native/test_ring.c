/* SPDX-License-Identifier: BSD-2-Clause */
/* The in-process cable in one thread: what is lent, kept, refused and counted; when a descriptor wakes. */
#include <errno.h>
#include <poll.h>

#include "ring.h"
#include "ring_frames.h"

#define MOST 64u /* frames that are lent at once */

struct cable {
	struct netbe_port *a, *b;
};

static struct cable
cable(uint32_t max_frame)
{
	struct cable c;

	CHECK(nb_ring_pair_new(0, max_frame, NULL, &c.a, &c.b) == 0);
	return c;
}

static void
cut(struct cable *c)
{
	nb_ring_port_free(c->a);
	nb_ring_port_free(c->b);
}

static bool
readable(const struct netbe_wait *wait)
{
	struct pollfd look = {.fd = wait->fd, .events = wait->events};

	return poll(&look, 1, 0) == 1;
}

/* Takes one frame out and gives it back. */
static void
takes(struct netbe_port *port, uint32_t number)
{
	struct netbe_frame f;

	CHECK(port->rx_burst(port, &f, 1) == 1);
	CHECK(ring_is(&f, number));
	CHECK(port->release(port, 1) == 0);
}

static void
frames_arrive_in_order_on_both_ways(void)
{
	struct cable c = cable(1518);
	struct netbe_frame f[MOST];

	for (uint32_t i = 0; i < 40; i++) {
		CHECK(ring_send(c.a, i, 14 + i) == 1);
		CHECK(ring_send(c.b, 1000 + i, 1518 - i) == 1);
	}
	CHECK(c.b->rx_burst(c.b, f, MOST) == 40);
	for (uint32_t i = 0; i < 40; i++)
		CHECK(f[i].len == 14 + i && ring_is(&f[i], i));
	CHECK(c.a->rx_burst(c.a, f, MOST) == 40);
	for (uint32_t i = 0; i < 40; i++)
		CHECK(f[i].len == 1518 - i && ring_is(&f[i], 1000 + i));
	cut(&c);
}

static void
what_was_not_released_is_lent_again_first_and_unchanged(void)
{
	struct cable c = cable(1518);
	struct netbe_frame f[MOST], again[MOST];

	CHECK(c.b->rx_burst(c.b, f, MOST) == 0);
	CHECK(c.b->release(c.b, 0) == 0 && c.b->release(c.b, 1) == -EINVAL);
	for (uint32_t i = 0; i < 10; i++)
		CHECK(ring_send(c.a, i, 60) == 1);
	CHECK(c.b->rx_burst(c.b, f, 4) == 4);
	CHECK(c.b->release(c.b, 5) == -EINVAL);
	CHECK(c.b->rx_burst(c.b, again, 8) == 8);
	for (uint32_t i = 0; i < 4; i++)
		CHECK(again[i].seg[0].iov_base == f[i].seg[0].iov_base && ring_is(&again[i], i));
	/* Some, more, then the rest; what is still lent stays as it is meanwhile. */
	CHECK(c.b->release(c.b, 3) == 0);
	CHECK(c.b->release(c.b, 1) == 0);
	for (uint32_t i = 4; i < 8; i++)
		CHECK(ring_is(&again[i], i));
	CHECK(c.b->release(c.b, 5) == -EINVAL);
	CHECK(c.b->rx_burst(c.b, f, 1) == 1 && ring_is(&f[0], 4));
	CHECK(c.b->release(c.b, 2) == -EINVAL); /* a shorter look lends less */
	CHECK(c.b->rx_burst(c.b, f, MOST) == 6 && ring_is(&f[0], 4) && ring_is(&f[5], 9));
	CHECK(c.b->release(c.b, 6) == 0);
	CHECK(c.b->rx_burst(c.b, f, MOST) == 0 && c.b->release(c.b, 1) == -EINVAL);
	cut(&c);
}

static void
no_more_than_64_are_lent_at_once(void)
{
	struct cable c = cable(1518);
	struct netbe_frame f[2 * MOST];

	for (uint32_t i = 0; i < 100; i++)
		CHECK(ring_send(c.a, i, 60) == 1);
	CHECK(c.b->rx_burst(c.b, f, 2 * MOST) == (int)MOST);
	CHECK(c.b->release(c.b, MOST) == 0);
	CHECK(c.b->rx_burst(c.b, f, 2 * MOST) == 100 - (int)MOST && ring_is(&f[0], MOST));
	cut(&c);
}

static void
a_full_cable_is_seen_by_who_sends_and_nothing_is_lost(void)
{
	struct cable c = cable(1518);
	struct netbe_frame f[MOST];
	uint32_t sent = 0, got = 0;

	while (ring_send(c.a, sent, 1500) == 1)
		sent++;
	CHECK(sent >= 100 && ring_send(c.a, sent, 1500) == -EAGAIN);
	/* Lent is not free. */
	CHECK(c.b->rx_burst(c.b, f, 2) == 2 && ring_send(c.a, sent, 1500) == -EAGAIN);
	CHECK(c.b->release(c.b, 1) == 0);
	CHECK(ring_send(c.a, sent, 1500) == 1);
	sent++;
	CHECK(ring_send(c.a, sent, 1500) == -EAGAIN);
	for (got = 1; got < sent; got++)
		takes(c.b, got);
	CHECK(c.b->rx_burst(c.b, f, 1) == 0);
	CHECK(c.a->stats->tx_frames == sent && c.b->stats->rx_frames == sent);
	CHECK(c.a->stats->tx_bytes == sent * 1500ull && c.b->stats->rx_bytes == sent * 1500ull);
	cut(&c);
}

static void
a_burst_goes_as_far_as_there_is_room(void)
{
	static uint8_t bytes[MOST][1500];
	struct cable c = cable(1518);
	struct netbe_frame f[MOST];
	struct iovec seg[MOST][2];
	uint32_t sent = 0;
	int n;

	do {
		for (uint32_t i = 0; i < MOST; i++)
			f[i] = ring_frame(bytes[i], seg[i], sent + i, 1500);
		n = c.a->tx_burst(c.a, f, MOST);
		CHECK(n == -EAGAIN || n > 0);
		sent += n > 0 ? (uint32_t)n : 0;
	} while (n == (int)MOST);
	CHECK(n != -EAGAIN && c.a->tx_burst(c.a, f, MOST) == -EAGAIN);
	for (uint32_t i = 0; i < sent; i++)
		takes(c.b, i);
	cut(&c);
}

/* Every length, over and over, so that records end everywhere before the ring's end. */
static void
frames_of_all_lengths_go_round_the_end(void)
{
	struct cable c = cable(LONGEST);
	uint32_t sent = 0, got = 0, len = 14;

	while (len <= LONGEST) {
		if (ring_send(c.a, sent, len) == 1) {
			sent++;
			len += len < 2100 ? 1 : 997;
		} else {
			takes(c.b, got++);
		}
	}
	while (got < sent)
		takes(c.b, got++);
	CHECK(c.b->stats->rx_frames == sent && c.a->stats->tx_bytes == c.b->stats->rx_bytes);
	cut(&c);
}

static void
the_longest_frame_fits_wherever_the_last_one_ended(void)
{
	struct cable c = cable(LONGEST);

	for (uint32_t i = 0; i < 300; i++) {
		CHECK(ring_send(c.a, 2 * i, 1000 + 16 * i) == 1);
		takes(c.b, 2 * i);
		CHECK(ring_send(c.a, 2 * i + 1, LONGEST) == 1);
		takes(c.b, 2 * i + 1);
	}
	cut(&c);
}

static void
frames_outside_the_limits_are_refused(void)
{
	static uint8_t bytes[NETBE_FRAME_MAX];
	struct cable c = cable(1518);
	struct iovec seg[2];
	struct netbe_frame f[2];

	CHECK(ring_send(c.a, 0, 13) == -EINVAL);
	CHECK(ring_send(c.a, 0, 1519) == -EMSGSIZE);
	f[0] = ring_frame(bytes, seg, 0, 1519);
	f[0].hdr.gso_type = NETBE_GSO_TCPV4;
	CHECK(c.a->tx_burst(c.a, f, 1) == 1); /* max_frame is for what asks no segmentation */
	f[0] = ring_frame(bytes, seg, 0, LONGEST + 1);
	f[0].hdr.gso_type = NETBE_GSO_TCPV4;
	CHECK(c.a->tx_burst(c.a, f, 1) == -EMSGSIZE);
	/* One that is refused does not take back what went before it. */
	f[1] = f[0];
	f[0] = (struct netbe_frame){.len = 60, .nseg = 1, .seg = &(struct iovec){bytes, 60}};
	CHECK(c.a->tx_burst(c.a, f, 2) == 1 && c.a->stats->tx_frames == 2);
	cut(&c);
}

static void
only_sensible_cables_are_made(void)
{
	struct netbe_port *a, *b;
	uint64_t features[] = {NETBE_F_CSUM, 7};

	CHECK(nb_ring_pair_new(0, 13, NULL, &a, &b) == -EINVAL);
	CHECK(nb_ring_pair_new(0, LONGEST + 1, NULL, &a, &b) == -EINVAL);
	CHECK(nb_ring_pair_new(SIZE_MAX, 1518, NULL, &a, &b) == -EINVAL);
	CHECK(nb_ring_pair_new(1, 1518, features, &a, &b) == 0);
	CHECK(a->features[0] == NETBE_F_CSUM && b->features[1] == 7 && a->max_frame == 1518 && b->min_frame == 14);
	nb_ring_port_free(a);
	nb_ring_port_free(b);
	nb_ring_port_free(NULL);
}

/* --- in place */

static void
fill_reserved(struct netbe_frame *f, uint32_t number, uint32_t len)
{
	ring_fill(f->seg[0].iov_base, number, len);
	f->len = len;
	f->hdr.hdr_len = (uint16_t)number;
}

static void
frames_written_in_place_arrive_shortened_or_not(void)
{
	struct cable c = cable(1518);
	struct netbe_frame f[MOST];
	uint32_t sent = 0, got = 0;

	for (uint32_t round = 0; round < 2000; round++) {
		int n = c.a->tx_reserve(c.a, 1500, f, 1 + round % 9);
		uint32_t some;

		CHECK(n > 0 && (uint32_t)n <= 1 + round % 9);
		some = (uint32_t)n - (round % 5 == 0 && n > 1);
		for (uint32_t i = 0; i < some; i++)
			fill_reserved(&f[i], sent + i, round % 3 == 0 ? 1500 : 14 + (round * 7 + i * 131) % 1486);
		CHECK(c.a->tx_commit(c.a, f, some) == (int)some);
		CHECK(c.a->tx_commit(c.a, f, 1) == -EINVAL); /* once */
		for (sent += some; got < sent; got++)
			takes(c.b, got);
	}
	CHECK(c.a->stats->tx_frames == sent && c.a->stats->tx_bytes == c.b->stats->rx_bytes);
	cut(&c);
}

static void
what_was_reserved_and_not_committed_is_given_up(void)
{
	struct cable c = cable(1518);
	struct netbe_frame f[MOST];

	CHECK(c.a->tx_reserve(c.a, 1500, f, 3) == 3);
	CHECK(c.b->rx_burst(c.b, f + 3, 1) == 0); /* not seen by the other side */
	fill_reserved(&f[0], 5, 1500);
	CHECK(ring_send(c.a, 0, 60) == 1);
	CHECK(c.a->tx_commit(c.a, f, 1) == -EINVAL);
	CHECK(c.a->tx_reserve(c.a, 100, f, 2) == 2);
	CHECK(c.a->tx_reserve(c.a, 200, f, 1) == 1);
	CHECK(c.a->tx_commit(c.a, f, 2) == -EINVAL);
	fill_reserved(&f[0], 1, 200);
	CHECK(c.a->tx_commit(c.a, f, 1) == 1);
	takes(c.b, 0);
	takes(c.b, 1);
	CHECK(c.b->rx_burst(c.b, f, 1) == 0);
	cut(&c);
}

static void
reservations_that_can_not_be_are_refused(void)
{
	struct cable c = cable(1518);
	struct netbe_frame f[2 * MOST];
	uint32_t i;

	CHECK(c.a->tx_reserve(c.a, 13, f, 1) == -EINVAL);
	CHECK(c.a->tx_reserve(c.a, LONGEST + 1, f, 1) == -EMSGSIZE);
	CHECK(c.a->tx_reserve(c.a, 60, f, 2 * MOST) == (int)MOST);
	CHECK(c.a->tx_reserve(c.a, LONGEST, f, MOST) >= 1); /* fewer than asked */
	CHECK(c.a->tx_reserve(c.a, 2000, f, 1) == 1);
	f[0].len = 2001;
	CHECK(c.a->tx_commit(c.a, f, 1) == -EMSGSIZE); /* longer than was reserved */
	f[0].len = 1519;
	CHECK(c.a->tx_commit(c.a, f, 1) == -EMSGSIZE); /* longer than a frame may be */
	fill_reserved(&f[0], 0, 1518);
	CHECK(c.a->tx_commit(c.a, f, 1) == 1);
	for (i = 1; ring_send(c.a, i, 1518) == 1; i++)
		continue;
	CHECK(c.a->tx_reserve(c.a, 1518, f, 1) == -EAGAIN);
	for (uint32_t got = 0; got < i; got++)
		takes(c.b, got);
	cut(&c);
}

/* --- waking */

static void
the_first_frame_wakes_and_an_armed_end_again(void)
{
	struct cable c = cable(1518);
	struct netbe_frame f;

	CHECK(!readable(&c.b->rx_wait));
	CHECK(ring_send(c.a, 0, 60) == 1);
	CHECK(readable(&c.b->rx_wait) && !readable(&c.a->rx_wait));
	takes(c.b, 0);
	CHECK(ring_send(c.a, 1, 60) == 1);
	takes(c.b, 1);
	CHECK(c.b->arm(c.b, NETBE_ARM_RX) == 0);
	CHECK(!readable(&c.b->rx_wait)); /* the stale one is taken back */
	CHECK(c.b->rx_burst(c.b, &f, 1) == 0);
	CHECK(ring_send(c.a, 2, 60) == 1);
	CHECK(readable(&c.b->rx_wait));
	takes(c.b, 2);
	/* Armed twice is armed; what is there already does not wake, so one looks again. */
	CHECK(ring_send(c.a, 3, 60) == 1);
	CHECK(c.b->arm(c.b, NETBE_ARM_RX) == 0 && c.b->arm(c.b, NETBE_ARM_RX) == 0);
	CHECK(!readable(&c.b->rx_wait));
	takes(c.b, 3);
	CHECK(ring_send(c.a, 4, 60) == 1 && readable(&c.b->rx_wait));
	cut(&c);
}

static void
room_wakes_who_armed_for_it(void)
{
	struct cable c = cable(1518);
	uint32_t sent = 0, got = 0;

	while (ring_send(c.a, sent, 1500) == 1)
		sent++;
	takes(c.b, got++);
	CHECK(!readable(&c.a->tx_wait)); /* nobody asked */
	while (ring_send(c.a, sent, 1500) == 1)
		sent++;
	for (uint32_t round = 0; round < 5; round++) {
		CHECK(c.a->arm(c.a, NETBE_ARM_TX) == 0);
		CHECK(ring_send(c.a, sent, 1500) == -EAGAIN && !readable(&c.a->tx_wait));
		takes(c.b, got++);
		CHECK(readable(&c.a->tx_wait));
		CHECK(ring_send(c.a, sent++, 1500) == 1);
	}
	CHECK(!readable(&c.a->rx_wait));
	cut(&c);
}

static void
an_end_that_is_gone_is_told_after_what_it_sent(bool arms)
{
	struct cable c = cable(1518);
	struct netbe_frame f[MOST];

	CHECK(c.b->link_up(c.b) == 1);
	for (uint32_t i = 0; i < 3; i++)
		CHECK(ring_send(c.a, i, 60) == 1);
	CHECK(c.b->arm(c.b, NETBE_ARM_RX | NETBE_ARM_TX) == 0);
	nb_ring_port_free(c.a);
	CHECK(c.b->link_up(c.b) == 0);
	for (uint32_t round = 0; round < 3; round++) {
		CHECK(readable(&c.b->rx_wait) && readable(&c.b->tx_wait));
		CHECK(ring_send(c.b, 0, 60) == -EPIPE);
		CHECK(c.b->tx_reserve(c.b, 60, f, 1) == -EPIPE);
		CHECK(c.b->rx_burst(c.b, f, MOST) == 3 && ring_is(&f[2], 2));
		if (arms)
			CHECK(c.b->arm(c.b, NETBE_ARM_RX | NETBE_ARM_TX) == 0);
	}
	CHECK(c.b->release(c.b, 3) == 0);
	for (uint32_t round = 0; round < 3; round++) {
		CHECK(c.b->rx_burst(c.b, f, MOST) == -EPIPE && c.b->release(c.b, 1) == -EINVAL);
		CHECK(readable(&c.b->rx_wait));
	}
	CHECK(c.b->stats->tx_frames == 0 && c.b->stats->rx_frames == 3);
	nb_ring_port_free(c.b);
}

int
main(void)
{
	frames_arrive_in_order_on_both_ways();
	what_was_not_released_is_lent_again_first_and_unchanged();
	no_more_than_64_are_lent_at_once();
	a_full_cable_is_seen_by_who_sends_and_nothing_is_lost();
	a_burst_goes_as_far_as_there_is_room();
	frames_of_all_lengths_go_round_the_end();
	the_longest_frame_fits_wherever_the_last_one_ended();
	frames_outside_the_limits_are_refused();
	only_sensible_cables_are_made();
	frames_written_in_place_arrive_shortened_or_not();
	what_was_reserved_and_not_committed_is_given_up();
	reservations_that_can_not_be_are_refused();
	the_first_frame_wakes_and_an_armed_end_again();
	room_wakes_who_armed_for_it();
	an_end_that_is_gone_is_told_after_what_it_sent(false);
	an_end_that_is_gone_is_told_after_what_it_sent(true);
	return 0;
}
