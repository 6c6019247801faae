/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ports of an embedded switch, whose files somebody scribbles over, cuts short
 * and takes away between the calls.  The input: one byte that says what there
 * is, then steps of four bytes: what is done, and with which numbers.
 *
 * Nothing lent lies outside the window, no buffer is lost or given out twice,
 * and what is private stays consistent whatever is written to what is shared.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "services.h"
#include "vale_int.h"

#define MOST 3u
#define BURST 48u
#define LONGEST 65557u
#define LANE_MIN 16u /* as in vale_tx.c */

struct bench {
	char folder[64];
	struct vale *v[MOST];
	uint32_t n, serial;
	struct vale_config config;
	uint8_t *file[MOST + 1]; /* the last is the control file */
	size_t bytes[MOST + 1];
};

static uint8_t payload[LONGEST];

static void
map(struct bench *b, uint32_t i, const char *path)
{
	struct stat st;
	int fd = open(path, O_RDWR);

	if (b->file[i] != NULL)
		munmap(b->file[i], b->bytes[i]);
	b->file[i] = NULL;
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_size >= 8) {
		b->bytes[i] = (size_t)st.st_size;
		b->file[i] = mmap(NULL, b->bytes[i], PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		CHECK(b->file[i] != MAP_FAILED);
	}
	close(fd);
}

static void
attach(struct bench *b, uint32_t i)
{
	char path[VALE_PATH + 32], name[16];
	struct vale_config c = b->config;

	mkdir(b->folder, 0700);
	snprintf(name, sizeof(name), "p%u", b->serial++);
	c.folder = b->folder;
	c.name = name;
	if (c.pipe != 0)
		c.pipe = i + 1;
	if (vale_attach(&b->v[i], &c, &nb_services) != 0) {
		b->v[i] = NULL;
		return;
	}
	vale_region_path(&b->v[i]->files, path, b->v[i]->index, b->v[i]->gen);
	map(b, i, path);
	snprintf(path, sizeof(path), "%s/control", b->folder);
	map(b, MOST, path);
}

static void
check_sending(const struct vale_ring *q)
{
	const struct vale *v = q->v;
	uint32_t shown = 0, held = 0, above = 0;

	for (uint32_t slot = q->hwcur; slot != q->tail; slot = slot + 1 == v->slots ? 0 : slot + 1) {
		uint32_t buf = q->slot_buf[slot];

		CHECK(buf >= q->first_buf && buf - q->first_buf < v->nbufs && q->refs[buf - q->first_buf] == 0);
		shown++;
	}
	for (uint32_t i = 0; i < v->nbufs; i++) {
		held += q->refs[i] != 0;
		above += (q->refs[i] & 0x80) != 0;
	}
	CHECK(shown + held + q->nfree == v->nbufs);
	CHECK(shown == VALE_SHOWN || shown == v->slots - 1); /* however full the others are */
	CHECK(q->above + above == v->nbufs - VALE_SHOWN - (VALE_PORTS - 1) * LANE_MIN);
	CHECK(q->dirty == 0);
}

static void
check_receiving(const struct vale_ring *q)
{
	uint32_t lent = 0;

	for (uint32_t p = 0; p < VALE_PORTS; p++) {
		uint32_t mine = 0;

		for (uint32_t r = 0; r < VALE_RINGS; r++)
			mine += q->from[p * VALE_RINGS + r].taken - q->from[p * VALE_RINGS + r].done;
		CHECK(mine == q->from_lent[p]);
		lent += mine;
	}
	CHECK(lent == (q->rx_hwtail >= q->rx_hwcur ? q->rx_hwtail - q->rx_hwcur
	                                           : q->rx_hwtail + q->v->slots - q->rx_hwcur));
}

static void
receive(struct vale_ring *q, uint32_t n, uint32_t give)
{
	volatile uint8_t sink;
	struct netbe_frame f[BURST];
	int got = q->port->rx_burst(q->port, f, n % BURST + 1);

	CHECK(got >= 0 && got <= (int)BURST);
	for (int i = 0; i < got; i++) {
		uint64_t sum = 0;

		for (uint32_t k = 0; k < f[i].nseg; k++) {
			const uint8_t *at = f[i].seg[k].iov_base;
			size_t len = f[i].seg[k].iov_len;

			CHECK(at >= q->window && len <= VALE_BUF && at + len <= q->window + VALE_WINDOW);
			sink = at[0];
			(void)sink;
			sink = at[len - 1];
			(void)sink;
			sum += len;
		}
		CHECK(sum == f[i].len);
	}
	CHECK(q->port->release(q->port, give > (uint32_t)got ? (uint32_t)got : give) == 0);
}

static void
transmit(struct vale_ring *q, uint32_t len, uint32_t n, uint8_t to)
{
	struct iovec seg = {payload, len};
	struct netbe_frame f[BURST];
	int sent;

	payload[0] = to & 1 ? 0xff : 2;
	payload[5] = to & 3;
	payload[6] = 2;
	payload[11] = to >> 2 & 3;
	for (uint32_t i = 0; i < n; i++)
		f[i] = (struct netbe_frame){.len = len, .nseg = 1, .seg = &seg};
	if (to & 0x80)
		f[0].hdr = (struct netbe_vnet_hdr){.flags = NETBE_HDR_NEEDS_CSUM, .csum_start = 14, .csum_offset = 2};
	sent = q->port->tx_burst(q->port, f, n);
	CHECK(sent != 0 && sent <= (int)n);
	if (sent < 0)
		CHECK(sent == -EAGAIN || sent == -EIO || sent == -EMSGSIZE);
}

static void
reserve(struct vale_ring *q, uint32_t n, uint32_t commit)
{
	struct netbe_frame f[BURST];
	int got = q->port->tx_reserve(q->port, 60, f, n % BURST + 1);

	for (int i = 0; i < got; i++)
		memcpy(f[i].seg[0].iov_base, payload, 60);
	if (got > 0)
		q->port->tx_commit(q->port, f, commit % (uint32_t)(got + 1));
}

/* Where it is likely to hurt, and what is likely to. */
static size_t
place(const struct bench *b, uint8_t which, uint8_t a)
{
	static const size_t in_lane[] = {offsetof(struct vale_lane, gen), offsetof(struct vale_lane, tail),
	                                 offsetof(struct vale_lane, head), offsetof(struct vale_lane, want_room)};
	static const size_t in_ring[] = {offsetof(struct netmap_ring, head), offsetof(struct netmap_ring, cur),
	                                 offsetof(struct netmap_ring, tail), offsetof(struct netmap_ring, num_slots)};
	struct vale_layout l = vale_layout(b->config.rings, b->config.slots, b->config.nbufs);
	size_t ring = (which & 0x80 ? l.tx_ring : l.rx_ring) + (which >> 6 & 1) % b->config.rings * l.ring_bytes;
	size_t lane = l.lanes + ((size_t)(which >> 7) % b->config.rings * VALE_PORTS + (which >> 5 & 3)) *
	                            sizeof(struct vale_lane);

	switch (which >> 2 & 7) {
	case 0:
	case 1:
		return lane + in_lane[a % 4];
	case 2:
		return lane + offsetof(struct vale_lane, entry) + a * 4u;
	case 3:
	case 4:
		return ring + in_ring[a % 4];
	case 5:
		return ring + offsetof(struct netmap_ring, slot) + a * 4u;
	case 6:
		return offsetof(struct vale_region, inbox) + a % 64u * 4u;
	default:
		return a * 4u;
	}
}

static void
scribble(struct bench *b, uint8_t which, uint8_t a, uint8_t value)
{
	uint32_t i = which % (MOST + 1);
	size_t at = i < MOST ? place(b, which, a) : (which & 0x80 ? b->bytes[i] / 256 / 4 * 4 * a : a * 4u);
	uint32_t *word;

	if (b->file[i] == NULL || at + 4 > b->bytes[i])
		return;
	word = (uint32_t *)(void *)(b->file[i] + at);
	if (value < 96)
		*word += (uint32_t)value - 48;
	else if (value < 104)
		*word = 0;
	else if (value < 112)
		*word = UINT32_MAX;
	else if (value < 128)
		memset(word, value * 37, at + 256 <= b->bytes[i] ? 256 : 4);
	else
		*word = (uint32_t)value << (value & 3) * 8 | value;
}

static void
cut(struct bench *b, uint32_t i, uint32_t pages)
{
	char path[VALE_PATH + 32];

	if (i < MOST && b->v[i] != NULL)
		vale_region_path(&b->v[i]->files, path, b->v[i]->index, b->v[i]->gen);
	else
		snprintf(path, sizeof(path), "%s/control", b->folder);
	if (b->file[i] != NULL)
		munmap(b->file[i], b->bytes[i]);
	b->file[i] = NULL;
	(void)!truncate(path, (off_t)pages * 4096);
}

static void
step(struct bench *b, const uint8_t *s)
{
	uint32_t i = s[1] % b->n;
	struct vale *v = b->v[i];
	struct vale_ring *q;

	if (s[0] % 16 >= 10 && s[0] % 16 <= 13) {
		scribble(b, s[1], s[2], s[3]);
		return;
	}
	if (v == NULL) {
		attach(b, i);
		return;
	}
	q = &v->ring[s[1] / 4 % v->rings];
	switch (s[0] % 16) {
	case 0:
		transmit(q, 14 + (s[2] * 257u) % (LONGEST - 13), 1, s[3]);
		break;
	case 1:
	case 2:
		transmit(q, 60, s[2] % BURST + 1, s[3]);
		break;
	case 3:
	case 4:
	case 5:
		receive(q, s[2], s[3]);
		break;
	case 6:
		q->port->arm(q->port, s[2]);
		break;
	case 7:
		reserve(q, s[2], s[3]);
		break;
	case 8:
		vale_detach(v);
		b->v[i] = NULL;
		return;
	case 9: {
		struct vale_info info[4];

		vale_list(b->folder, info, 4);
		break;
	}
	case 14:
		if (s[2] == 7)
			cut(b, i, s[3] % 4);
		break;
	default:
		if (s[2] == 7) /* as if time had gone by */
			q->look_everywhere = true;
		for (uint32_t p = 0; p < VALE_PORTS; p++)
			q->to[p].checked_ns = 0;
		break;
	}
	check_sending(q);
	check_receiving(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bench b = {0};
	char command[128];

	if (size == 0)
		return 0;
	snprintf(b.folder, sizeof(b.folder), "/dev/shm/netbe-fuzz-%d", (int)getpid());
	b.n = 2 + (data[0] & 1);
	b.config = (struct vale_config){
	    .mode = 0600,
	    .rings = 1 + (data[0] >> 1 & 1),
	    .slots = data[0] & 4 ? 64 : 512,
	    .nbufs = VALE_NBUFS_MIN,
	    .wait = data[0] >> 3 & 1,
	    .pipe = (data[0] & 0x11) == 0x10, /* of two ports */
	};
	for (uint32_t i = 0; i < b.n; i++)
		attach(&b, i);
	for (data++, size--; size >= 4; data += 4, size -= 4)
		step(&b, data);
	for (uint32_t i = 0; i < b.n; i++)
		if (b.v[i] != NULL)
			vale_detach(b.v[i]);
	for (uint32_t i = 0; i <= MOST; i++)
		if (b.file[i] != NULL)
			munmap(b.file[i], b.bytes[i]);
	if (access(b.folder, F_OK) == 0) {
		snprintf(command, sizeof(command), "rm -rf %s", b.folder);
		CHECK(system(command) == 0);
	}
	return 0;
}
