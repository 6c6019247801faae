/* SPDX-License-Identifier: BSD-2-Clause */
/* Members of an embedded switch in one process, and what a hostile one, or an unlucky moment, does to the others. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "services.h"
#include "vale_int.h"

#define PAGES_APART 4u /* buffers: so that there is a whole page between the pages that are touched */

static char folder[64];

static struct vale *
attach(const char *name)
{
	struct vale_config c = {
	    .folder = folder, .name = name, .mode = 0600, .rings = 1, .slots = 512, .nbufs = VALE_NBUFS_MIN};
	struct vale *v;

	mkdir(folder, 0700);
	CHECK(vale_attach(&v, &c, &nb_services) == 0);
	return v;
}

static void
sends(struct vale *v, uint8_t text)
{
	uint8_t bytes[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, (uint8_t)v->index, 0x88, 0xb5, text};
	struct iovec seg = {bytes, sizeof(bytes)};
	struct netbe_frame f = {.len = sizeof(bytes), .nseg = 1, .seg = &seg};

	CHECK(v->ring[0].port->tx_burst(v->ring[0].port, &f, 1) == 1);
}

/* The text of the next frame, or -1. */
static int
takes(struct vale *v)
{
	struct netbe_port *port = v->ring[0].port;
	struct netbe_frame f;
	int got = port->rx_burst(port, &f, 1), text = -1;

	CHECK(got >= 0);
	if (got == 1) {
		text = ((const uint8_t *)f.seg[0].iov_base)[14];
		CHECK(port->release(port, 1) == 0);
	}
	return text;
}

/* More than its turn has room for, told of before it asked to be told: no wake-up comes for what stays in the lane. */
static void
a_sleeper_is_told_of_what_its_last_look_left(void)
{
	struct vale *v = attach("receiver"), *sender = attach("sender");
	struct netbe_port *port = v->ring[0].port;
	struct pollfd wait = {.fd = port->rx_wait.fd, .events = POLLIN};
	const uint8_t n = 100; /* there are buffers for so many */

	CHECK(takes(v) == -1);
	for (uint8_t i = 0; i < n; i++)
		sends(sender, i);
	CHECK(port->arm(port, NETBE_ARM_RX) == 0);
	for (uint8_t i = 0; i < n; i++) {
		CHECK(takes(v) == i);
		CHECK((port->pending(port) > 0) == (i < n - 1));
	}
	CHECK(poll(&wait, 1, 0) == 0);
	CHECK(takes(v) == -1 && port->pending(port) == 0);
	vale_detach(sender);
	vale_detach(v);
}

static uint32_t
mappings_in(const uint8_t *begin, size_t bytes)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	uint32_t n = 0;

	CHECK(maps != NULL);
	while (fgets(line, sizeof(line), maps) != NULL) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx", &from, &to) == 2)
			n += from < (uintptr_t)begin + bytes && to > (uintptr_t)begin;
	}
	fclose(maps);
	return n;
}

/* A frame that is said to lie in some buffer, and the receiver looks into it. */
static void
shows(struct vale *hostile, struct vale *victim, uint32_t buf)
{
	struct vale_lane *lane =
	    (void *)((uint8_t *)hostile->ring[0].own + vale_lane_at(&hostile->layout, 0, victim->index));
	uint32_t tail = lane->tail;

	lane->entry[tail & (VALE_LANE - 1)] = VALE_ENTRY(hostile->index * VALE_BUFS_PER_STRIDE + buf, 72, VALE_HDR);
	__atomic_store_n(&lane->tail, tail + 1, __ATOMIC_RELEASE);
	victim->ring[0].look_everywhere = true;
	CHECK(takes(victim) == 0);
}

static void
pages_of_a_file_cut_short_cost_no_mapping_each(bool upwards)
{
	struct vale *victim = attach("victim"), *hostile = attach("hostile"), *next;
	size_t first = hostile->layout.bufs / VALE_PAGE * VALE_PAGE;
	const uint8_t *region = victim->ring[0].window + (size_t)hostile->index * VALE_STRIDE;
	uint32_t from = (uint32_t)(first / VALE_BUF) + 2, n = (VALE_NBUFS_MIN - 2 * PAGES_APART) / PAGES_APART;
	uint32_t before, gone = hostile->index;

	sends(hostile, 7);
	CHECK(takes(victim) == 7);
	before = mappings_in(region, VALE_STRIDE);
	CHECK(ftruncate(hostile->files.region_fd, (off_t)first) == 0);
	for (uint32_t i = 0; i < n; i++)
		shows(hostile, victim, from + (upwards ? i : n - 1 - i) * PAGES_APART);
	CHECK(mappings_in(region, VALE_STRIDE) <= before + 2);

	/* Who comes there later is mapped anew. */
	vale_detach(hostile);
	__atomic_store_n(&victim->files.control->next, gone, __ATOMIC_RELAXED);
	next = attach("next");
	CHECK(next->index == gone);
	sends(next, 9);
	CHECK(takes(victim) == 9);
	sends(victim, 11);
	CHECK(takes(next) == 11);
	vale_detach(next);
	vale_detach(victim);
}

/* The kernel's lock is one for all of them: who has it and lets go would let go for the others, too. */
static void
threads_of_a_member_do_not_have_the_lock_together(void)
{
	struct vale *a = attach("a"), *b = attach("b");

	CHECK(vale_files_lock(&a->files) == 0);
	CHECK(!vale_finish(&a->files) && !vale_finish(&b->files));
	vale_suspect(&a->files, 63, 1); /* there is no such member */
	CHECK(!vale_files_trylock(&b->files));
	vale_files_unlock(&a->files);
	CHECK(vale_finish(&a->files) && vale_finish(&b->files));
	vale_detach(b);
	vale_detach(a);
}

int
main(void)
{
	snprintf(folder, sizeof(folder), "/dev/shm/netbe-test-%d", (int)getpid());
	a_sleeper_is_told_of_what_its_last_look_left();
	pages_of_a_file_cut_short_cost_no_mapping_each(true);
	pages_of_a_file_cut_short_cost_no_mapping_each(false);
	threads_of_a_member_do_not_have_the_lock_together();
	CHECK(access(folder, F_OK) != 0);
	return 0;
}
