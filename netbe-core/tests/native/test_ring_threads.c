/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The in-process cable between two threads that sleep on its descriptors: no
 * frame is lost or changed, and no wake-up; run.py: tsan
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <time.h>

#include "ring.h"
#include "ring_frames.h"

#define MOST 64u
#define LOST_MS 20000 /* a sleeper that nobody wakes so long was forgotten */
#define SECOND 1000000000ull
#define WHILE (SECOND / 2) /* how long each goes on */

/* One direction's work: how many frames at most, how long at most, and how. */
struct way {
	struct netbe_port *port;
	uint32_t frames, longest;
	uint64_t ns;
	uint32_t burst;
	bool reserves; /* write in place */
	bool naps;     /* stop now and then, so that the other end falls asleep */
	uint32_t sent;
};

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

static void
sleep_on(const struct netbe_wait *wait)
{
	struct pollfd look = {.fd = wait->fd, .events = wait->events};
	int n;

	do
		n = poll(&look, 1, LOST_MS);
	while (n < 0 && errno == EINTR);
	CHECK(n == 1);
}

static void
nap(uint64_t *random)
{
	struct timespec ts = {.tv_nsec = (long)(check_random(random) % 50000)};

	if (check_random(random) % 256 == 0)
		nanosleep(&ts, NULL);
}

/* Every length comes about; most frames are short, as on a wire. */
static uint32_t
some_length(uint64_t *random, uint32_t longest)
{
	uint32_t bound = check_random(random) % 64 != 0 && longest > 1600 ? 1600 : longest;

	return 14 + (uint32_t)(check_random(random) % (bound - 13));
}

static int
send_some(struct way *w, uint64_t *random, uint32_t n)
{
	static _Thread_local uint8_t bytes[8][NETBE_FRAME_MAX];
	struct netbe_frame f[8];
	struct iovec seg[8][2];

	n = 1 + (uint32_t)(check_random(random) % (n < 8 ? n : 8));
	if (w->reserves) {
		uint32_t len = some_length(random, w->longest);
		int got = w->port->tx_reserve(w->port, len, f, n);

		if (got <= 0)
			return got;
		for (uint32_t i = 0; i < (uint32_t)got; i++) {
			f[i].len = 14 + (uint32_t)(check_random(random) % (len - 13));
			f[i].hdr.hdr_len = (uint16_t)(w->sent + i);
			ring_fill(f[i].seg[0].iov_base, w->sent + i, f[i].len);
		}
		return w->port->tx_commit(w->port, f, (uint32_t)got);
	}
	for (uint32_t i = 0; i < n; i++)
		f[i] = ring_frame(bytes[i], seg[i], w->sent + i, some_length(random, w->longest));
	return w->port->tx_burst(w->port, f, n);
}

static void *
sender(void *arg)
{
	struct way *w = arg;
	uint64_t random = 88172645463325252ull, end = now_ns() + w->ns;

	while (w->sent < w->frames && now_ns() < end) {
		uint32_t left = w->frames - w->sent;
		uint64_t before = random;
		int n = send_some(w, &random, left < w->burst ? left : w->burst);

		if (n == -EAGAIN) {
			CHECK(w->port->arm(w->port, NETBE_ARM_TX) == 0);
			random = before;
			n = send_some(w, &random, left < w->burst ? left : w->burst);
			if (n == -EAGAIN) {
				sleep_on(&w->port->tx_wait);
				continue;
			}
		}
		CHECK(n > 0);
		w->sent += (uint32_t)n;
		if (w->naps)
			nap(&random);
	}
	return NULL;
}

/* Until the other end is gone; returns how many there were. */
static uint32_t
receive_all(struct netbe_port *port, bool naps)
{
	struct netbe_frame f[MOST];
	uint64_t random = 2463534242ull;
	uint32_t got = 0;

	for (;;) {
		uint32_t most = 1 + (uint32_t)(check_random(&random) % MOST), some;
		int n = port->rx_burst(port, f, most);

		if (n == 0) {
			CHECK(port->arm(port, NETBE_ARM_RX) == 0);
			n = port->rx_burst(port, f, most);
			if (n == 0) {
				sleep_on(&port->rx_wait);
				continue;
			}
		}
		if (n == -EPIPE)
			return got;
		CHECK(n > 0);
		for (int i = 0; i < n; i++)
			CHECK(ring_is(&f[i], got + (uint32_t)i));
		some = 1 + (uint32_t)(check_random(&random) % (uint32_t)n);
		CHECK(port->release(port, some) == 0);
		got += some;
		if (naps)
			nap(&random);
	}
}

static void *
sender_that_hangs_up(void *arg)
{
	struct way *w = arg;

	sender(w);
	nb_ring_port_free(w->port);
	return NULL;
}

static void
every_frame_arrives_as_it_was(struct way how, bool reader_naps, uint32_t least)
{
	struct netbe_port *reader;
	struct way way = how;
	pthread_t thread;
	uint32_t got;

	CHECK(nb_ring_pair_new(0, LONGEST, NULL, &way.port, &reader) == 0);
	CHECK(pthread_create(&thread, NULL, sender_that_hangs_up, &way) == 0);
	got = receive_all(reader, reader_naps);
	pthread_join(thread, NULL);
	CHECK(got == way.sent && got >= least);
	CHECK(reader->stats->rx_frames == got);
	nb_ring_port_free(reader);
}

static void *
echo(void *arg)
{
	struct netbe_port *port = arg;
	struct netbe_frame f;

	for (;;) {
		int n = port->rx_burst(port, &f, 1);

		if (n == 0) {
			CHECK(port->arm(port, NETBE_ARM_RX) == 0);
			n = port->rx_burst(port, &f, 1);
		}
		if (n == 0) {
			sleep_on(&port->rx_wait);
			continue;
		}
		if (n == -EPIPE)
			return NULL;
		CHECK(n == 1 && port->tx_burst(port, &f, 1) == 1);
		CHECK(port->release(port, 1) == 0);
	}
}

/* One frame at a time there and back: both ends are about to sleep each time, where a wake-up is easily lost. */
static void
both_ends_fall_asleep_and_none_is_forgotten(uint32_t frames, uint64_t ns)
{
	struct netbe_port *here, *there;
	uint64_t end = now_ns() + ns;
	struct netbe_frame f;
	pthread_t thread;

	CHECK(nb_ring_pair_new(0, 1518, NULL, &here, &there) == 0);
	CHECK(pthread_create(&thread, NULL, echo, there) == 0);
	for (uint32_t i = 0; i < frames && now_ns() < end; i++) {
		int n;

		CHECK(ring_send(here, i, 60) == 1);
		while ((n = here->rx_burst(here, &f, 1)) == 0) {
			CHECK(here->arm(here, NETBE_ARM_RX) == 0);
			if (here->rx_burst(here, &f, 1) == 0)
				sleep_on(&here->rx_wait);
		}
		CHECK(n == 1 && ring_is(&f, i) && here->release(here, 1) == 0);
	}
	nb_ring_port_free(here);
	pthread_join(thread, NULL);
	nb_ring_port_free(there);
}

struct dozer {
	struct netbe_port *port;
	uint32_t taken; /* atomic */
};

static void *
doze(void *arg)
{
	struct dozer *d = arg;
	struct netbe_frame f;
	int n;

	while ((n = d->port->rx_burst(d->port, &f, 1)) >= 0) {
		if (n == 0) {
			CHECK(d->port->arm(d->port, NETBE_ARM_RX) == 0);
			n = d->port->rx_burst(d->port, &f, 1);
		}
		if (n == 0)
			sleep_on(&d->port->rx_wait);
		if (n == 1) {
			CHECK(d->port->release(d->port, 1) == 0);
			__atomic_add_fetch(&d->taken, 1, __ATOMIC_RELEASE);
		}
	}
	CHECK(n == -EPIPE);
	return NULL;
}

/* The frame is published in any of the few nanoseconds between the reader's last look and its sleep. */
static void
a_frame_sent_while_the_other_end_dozes_off_wakes_it(uint64_t ns)
{
	uint64_t random = 521288629, end = now_ns() + ns;
	struct netbe_port *here;
	struct dozer dozer = {0};
	uint8_t bytes[14] = {0};
	struct iovec seg = {bytes, sizeof(bytes)};
	struct netbe_frame f = {.len = sizeof(bytes), .nseg = 1, .seg = &seg};
	pthread_t thread;

	CHECK(nb_ring_pair_new(0, 1518, NULL, &here, &dozer.port) == 0);
	CHECK(pthread_create(&thread, NULL, doze, &dozer) == 0);
	for (uint32_t i = 1; now_ns() < end; i++) {
		uint64_t give_up = now_ns() + LOST_MS * 1000000ull;

		for (uint64_t spin = check_random(&random) % 1500; spin > 0; spin--)
			__asm__ volatile("");
		CHECK(here->tx_burst(here, &f, 1) == 1);
		while (__atomic_load_n(&dozer.taken, __ATOMIC_ACQUIRE) != i)
			CHECK(now_ns() < give_up);
	}
	nb_ring_port_free(here);
	pthread_join(thread, NULL);
	nb_ring_port_free(dozer.port);
}

static void *
reader_that_hangs_up(void *arg)
{
	struct netbe_port *port = arg;
	struct netbe_frame f[MOST];
	uint32_t got = 0;

	while (got < 100) {
		int n = port->rx_burst(port, f, MOST);

		CHECK(n >= 0 && port->release(port, (uint32_t)n) == 0);
		got += (uint32_t)n;
	}
	nb_ring_port_free(port);
	return NULL;
}

static void
who_waits_for_room_is_told_that_nobody_reads(void)
{
	struct netbe_port *here, *there;
	pthread_t thread;
	int n;

	CHECK(nb_ring_pair_new(0, 1518, NULL, &here, &there) == 0);
	CHECK(pthread_create(&thread, NULL, reader_that_hangs_up, there) == 0);
	while ((n = ring_send(here, 0, 1500)) != -EPIPE) {
		CHECK(n == 1 || n == -EAGAIN);
		if (n == 1)
			continue;
		CHECK(here->arm(here, NETBE_ARM_TX) == 0);
		if (ring_send(here, 0, 1500) == -EAGAIN)
			sleep_on(&here->tx_wait);
	}
	pthread_join(thread, NULL);
	nb_ring_port_free(here);
}

static void *
hangs_up(void *arg)
{
	nb_ring_port_free(arg);
	return NULL;
}

/* Arming takes wake-ups back, but not that of a hang-up. */
static void
a_hang_up_wakes_who_arms_just_then(void)
{
	struct netbe_port *here, *there;
	struct pollfd look[2];
	pthread_t thread;

	CHECK(nb_ring_pair_new(0, 1518, NULL, &here, &there) == 0);
	look[0] = (struct pollfd){.fd = here->rx_wait.fd, .events = here->rx_wait.events};
	look[1] = (struct pollfd){.fd = here->tx_wait.fd, .events = here->tx_wait.events};
	CHECK(ring_send(there, 0, 60) == 1);
	CHECK(pthread_create(&thread, NULL, hangs_up, there) == 0);
	while (here->link_up(here))
		CHECK(here->arm(here, NETBE_ARM_RX | NETBE_ARM_TX) == 0);
	pthread_join(thread, NULL);
	CHECK(poll(look, 2, 0) == 2);
	nb_ring_port_free(here);
}

int
main(void)
{
	struct way small = {.frames = 1000000, .longest = 64, .ns = WHILE, .burst = 8};
	struct way any = {.frames = 1000000, .longest = LONGEST, .ns = WHILE, .burst = 8};

	every_frame_arrives_as_it_was(small, false, 1000);
	small.burst = 1;
	small.naps = true;
	every_frame_arrives_as_it_was(small, false, 1000);
	every_frame_arrives_as_it_was(any, false, 200);
	every_frame_arrives_as_it_was(any, true, 200);
	any.reserves = true;
	every_frame_arrives_as_it_was(any, true, 200);
	both_ends_fall_asleep_and_none_is_forgotten(1000000, WHILE);
	a_frame_sent_while_the_other_end_dozes_off_wakes_it(WHILE);
	for (int i = 0; i < 20; i++) {
		struct way few = {.frames = 50, .longest = 1518, .ns = WHILE, .burst = 8, .reserves = i % 2};

		every_frame_arrives_as_it_was(few, false, 50);
		who_waits_for_room_is_told_that_nobody_reads();
	}
	for (int i = 0; i < 2000; i++)
		a_hang_up_wakes_who_arms_just_then();
	return 0;
}
