/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Somebody scribbles over both rings between the calls.  The input: one byte
 * that says how the port is made, then steps of four bytes: what is done, and
 * with which numbers.
 *
 * Nothing is read or written outside the buffers, no call takes longer than
 * the ring is, and what is lent stays as it was lent.
 */
#include "fake_rings.h"

#define MOST 64u

struct lent {
	struct netbe_frame frame[MOST];
	struct iovec first[MOST];
	uint32_t n;
};

static void
check_inside(struct fake_rings *r, const struct netbe_frame *f)
{
	const uint8_t *begin = r->config.buf_base, *end = begin + (size_t)r->config.nbufs * r->config.buf_size;
	uint64_t sum = 0;

	CHECK(f->nseg >= 1 && f->nseg <= NETBE_SEG_MAX);
	for (uint32_t i = 0; i < f->nseg; i++) {
		const uint8_t *at = f->seg[i].iov_base;

		CHECK(at >= begin && f->seg[i].iov_len <= r->config.buf_size && at + f->seg[i].iov_len <= end);
		sum += f->seg[i].iov_len;
	}
	CHECK(sum == f->len && sum >= 14 && sum <= NETBE_FRAME_MAX - 12);
}

static void
receive(struct fake_rings *r, struct lent *lent, uint32_t n)
{
	struct netbe_frame f[MOST];
	int got = r->port->rx_burst(r->port, f, n);

	CHECK(got >= 0 && got <= (int)n);
	for (int i = 0; i < got; i++) {
		check_inside(r, &f[i]);
		if ((uint32_t)i < lent->n)
			CHECK(memcmp(&f[i], &lent->frame[i], sizeof(f[i])) == 0 &&
			      memcmp(f[i].seg, &lent->first[i], sizeof(lent->first[i])) == 0);
	}
	CHECK((uint32_t)got >= (n < lent->n ? n : lent->n));
	for (uint32_t i = lent->n; i < (uint32_t)got; i++) {
		lent->frame[i] = f[i];
		lent->first[i] = f[i].seg[0];
	}
	if ((uint32_t)got > lent->n)
		lent->n = (uint32_t)got;
}

static void
release(struct fake_rings *r, struct lent *lent, uint32_t n)
{
	if (n > lent->n) {
		/* The port may have more lent than we were given, never less. */
		n = lent->n;
	}
	CHECK(r->port->release(r->port, n) == 0);
	memmove(lent->frame, lent->frame + n, (lent->n - n) * sizeof(lent->frame[0]));
	memmove(lent->first, lent->first + n, (lent->n - n) * sizeof(lent->first[0]));
	lent->n -= n;
}

static void
send_some(struct fake_rings *r, uint32_t n, uint32_t len)
{
	static uint8_t bytes[NETBE_FRAME_MAX];
	struct netbe_frame f[8];
	struct iovec seg[8][2];
	int sent;

	for (uint32_t i = 0; i < n; i++) {
		seg[i][0] = (struct iovec){bytes, len / 3};
		seg[i][1] = (struct iovec){bytes + len / 3, len - len / 3};
		f[i] = (struct netbe_frame){.len = len, .nseg = i % 2 + 1, .seg = seg[i]};
		if (f[i].nseg == 1)
			seg[i][0].iov_len = len;
	}
	sent = r->port->tx_burst(r->port, f, n);
	CHECK(sent <= (int)n);
}

static void
write_in_place(struct fake_rings *r, uint32_t n, uint32_t len)
{
	struct netbe_frame f[MOST];
	int got = r->port->tx_reserve(r->port, len, f, n);

	CHECK(got <= (int)n);
	for (int i = 0; i < got; i++) {
		check_inside(r, &f[i]);
		memset(f[i].seg[0].iov_base, i, f[i].len);
	}
	if (got > 0)
		CHECK(r->port->tx_commit(r->port, f, (uint32_t)got) == got);
}

static void
scribble(struct fake_rings *r, uint8_t which, uint16_t where, uint8_t what)
{
	struct netmap_ring *ring = which & 1 ? r->config.rx : r->config.tx;
	uint32_t size = (uint32_t)sizeof(*ring) + r->config.rx_slots * (uint32_t)sizeof(ring->slot[0]);
	uint8_t *memory = (uint8_t *)ring;

	/* The words that mean something are few: most of the time one of those. */
	if (which & 2)
		where = (uint16_t)(20 + where % 16);
	else if (which & 4)
		where = (uint16_t)(256 + where % (size - 256));
	memory[where % size] = what;
	if (which & 8) {
		struct netmap_slot *slot = &ring->slot[where % r->config.rx_slots];

		slot->buf_idx %= r->config.nbufs;
		slot->len = (uint16_t)(what * 8);
		slot->flags = what & 1 ? NM_SLOT_MOREFRAG : 0;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t hdr_lens[] = {0, 10, 12, 12};
	struct lent lent = {.n = 0};
	struct fake_rings r;

	if (size == 0)
		return 0;
	fake_open(&r, data[0] & 4 ? 8 : 32, data[0] & 8 ? 64 : 256, hdr_lens[data[0] & 3]);
	r.hostile = true;
	if (data[0] & 16)
		r.port->max_frame = 1514;
	for (data++, size--; size >= 4; data += 4, size -= 4) {
		uint32_t a = data[1], b = (uint32_t)(data[2] | data[3] << 8);

		switch (data[0] % 8) {
		case 0:
			send_some(&r, a % 8 + 1, b % 4000);
			break;
		case 1:
			receive(&r, &lent, a % MOST + 1);
			break;
		case 2:
			release(&r, &lent, a % 8);
			break;
		case 3:
			write_in_place(&r, a % 8 + 1, b % 300);
			break;
		case 4:
			if (data[1] == 0)
				nm_port_set_hdr_len(r.port, hdr_lens[b & 3]);
			r.stopped = data[1] & 1;
			break;
		default:
			scribble(&r, data[0] >> 3, (uint16_t)b, data[1]);
		}
		CHECK(r.port->pending(r.port) >= 0);
	}
	fake_close(&r);
	return 0;
}
