/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any sequence of the contract's calls over a port that lends hostile frames
 * and has too little room.  The input: one byte of features, one of how the
 * port is; then operations: a byte that says which, and what it takes.
 * Buffers are as long as they have to be, so that a sanitizer sees one byte
 * too far.  What comes out fits what was agreed; the counters say just what
 * was received and sent; what was not taken stays.
 */
#include "fake_port.h"
#include "io.h"

#define BATCH 16u
#define MOST_WAITING 100u

struct input {
	const uint8_t *data;
	size_t size;
};

struct state {
	struct fake_port fake;
	struct nb_io *io;
	uint32_t hdr_len;
	uint64_t features;
	uint64_t put; /* frames that the port had to lend */
	uint64_t received, received_bytes, discarded;
};

static uint8_t
byte(struct input *in)
{
	if (in->size == 0)
		return 0;
	in->size--;
	return *in->data++;
}

static uint32_t
word(struct input *in)
{
	uint32_t high = byte(in);

	return high << 8 | byte(in);
}

/* len bytes, of which those are zero that the input does not have: long frames from short inputs. */
static uint8_t *
bytes_of(struct input *in, uint32_t len)
{
	uint32_t have = len < in->size ? len : (uint32_t)in->size;
	uint8_t *bytes = malloc(len != 0 ? len : 1);

	CHECK(bytes != NULL);
	memset(bytes, 0, len);
	/* Not all of it: something has to be left for the operations behind. */
	have = have > 80 ? 80 : have;
	if (have != 0)
		memcpy(bytes, in->data, have);
	in->data += have;
	in->size -= have;
	return bytes;
}

static uint64_t
sum(const uint64_t *counters)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < NETBE_DROP_REASONS; i++)
		total += counters[i];
	return total;
}

static void
counters_add_up(struct state *s)
{
	const uint64_t *dropped = s->fake.stats.rx_dropped;

	CHECK(s->fake.stats.rx_frames == s->received && s->fake.stats.rx_bytes == s->received_bytes);
	CHECK(dropped[NETBE_DROP_DISCARDED] == s->discarded);
	CHECK(sum(dropped) == s->discarded + dropped[NETBE_DROP_BAD_HEADER] + dropped[NETBE_DROP_TOO_SHORT]);
	/* Cut ones are several. */
	CHECK(s->put <= fake_waiting(&s->fake) + s->received + sum(dropped));
}

static void
put(struct state *s, struct input *in)
{
	struct netbe_vnet_hdr hdr;
	uint8_t raw[12], *bytes;
	uint32_t len;

	for (uint32_t i = 0; i < sizeof(raw); i++)
		raw[i] = byte(in);
	s->fake.seg_len = raw[10] % 64;
	nb_hdr_load(&hdr, raw, 10);
	len = word(in) % (raw[11] & 1 ? NETBE_FRAME_MAX : 3000);
	bytes = bytes_of(in, len);
	if (fake_waiting(&s->fake) < MOST_WAITING) {
		fake_put_hdr(&s->fake, raw[11] & 2 ? NULL : &hdr, bytes, len);
		s->put++;
	}
	free(bytes);
}

/* What came out has a header that fits it and asks no more than was agreed. */
static void
came_out(struct state *s, const uint8_t *bytes, uint32_t len)
{
	struct iovec seg = {(void *)(uintptr_t)(bytes + s->hdr_len), len - s->hdr_len};
	struct netbe_frame f = {.len = len - s->hdr_len, .nseg = 1, .seg = &seg};
	uint64_t needs;

	s->received++;
	s->received_bytes += f.len;
	CHECK(len > s->hdr_len);
	CHECK(nb_hdr_load(&f.hdr, bytes, s->hdr_len) == 0);
	CHECK(nb_hdr_check(&f) == 0);
	needs = nb_hdr_needs(&f.hdr, &f);
	CHECK((needs & NETBE_F_CSUM) == 0 || (s->features & NETBE_F_GUEST_CSUM) != 0);
	CHECK((needs & NETBE_F_HOST_TSO4) == 0 || (s->features & NETBE_F_GUEST_TSO4) != 0);
	CHECK((needs & NETBE_F_HOST_UFO) == 0 || (s->features & NETBE_F_GUEST_UFO) != 0);
	CHECK(f.hdr.flags == 0 || (s->features & NETBE_F_GUEST_CSUM) != 0);
}

static void
receive(struct state *s, uint32_t cap, bool vectored)
{
	int64_t want = nb_io_peek(s->io), got;
	uint8_t *room = malloc(cap != 0 ? cap : 1);

	CHECK(room != NULL && want == nb_io_peek(s->io));
	if (vectored) {
		struct iovec iov[3] = {{room, cap / 3}, {room, 0}, {room + cap / 3, cap - cap / 3}};

		got = nb_io_recvv(s->io, iov, 3);
	} else {
		got = nb_io_recv(s->io, room, cap);
	}
	if (want <= 0)
		CHECK(got == want);
	else if (want > cap)
		CHECK(got == -EMSGSIZE && nb_io_peek(s->io) == want);
	else
		CHECK(got == want);
	if (got > 0)
		came_out(s, room, (uint32_t)got);
	free(room);
}

static void
receive_burst(struct state *s, uint32_t cap, uint32_t n)
{
	int64_t want = nb_io_peek(s->io), got;
	uint8_t *room = malloc(cap != 0 ? cap : 1);
	uint32_t *off = calloc(n + 1, sizeof(*off)), *len = calloc(n + 1, sizeof(*len));
	uint32_t end = 0;

	CHECK(room != NULL && off != NULL && len != NULL);
	off[n] = len[n] = 0xdeadbeef;
	got = nb_io_recv_burst(s->io, room, cap, off, len, n);
	CHECK(got <= (int64_t)n && off[n] == 0xdeadbeef && len[n] == 0xdeadbeef);
	if (n != 0 && want <= 0)
		CHECK(got == want);
	else if (n != 0 && want > cap)
		CHECK(got == -EMSGSIZE && nb_io_peek(s->io) == want);
	else
		CHECK(n == 0 ? got == 0 : got > 0 && len[0] == want);
	for (int64_t i = 0; i < got; i++) {
		CHECK(off[i] % 16 == 0 && off[i] >= end && off[i] <= cap && len[i] <= cap - off[i]);
		end = off[i] + len[i];
		came_out(s, room + off[i], len[i]);
	}
	free(room);
	free(off);
	free(len);
}

static void
discard(struct state *s)
{
	int64_t want = nb_io_peek(s->io);

	CHECK(nb_io_discard(s->io) == want);
	s->discarded += want > 0;
}

static uint64_t
went(const struct state *s)
{
	return s->fake.stats.tx_frames + sum(s->fake.stats.tx_dropped) -
	       s->fake.stats.tx_dropped[NETBE_DROP_BAD_HEADER];
}

static void
send_one(struct state *s, struct input *in)
{
	uint32_t len = word(in) % (byte(in) & 1 ? NETBE_FRAME_MAX + 20 : 3000);
	uint64_t before = went(s);
	uint8_t *bytes = bytes_of(in, len);
	int64_t result = nb_io_send(s->io, bytes, len);

	/* All of it and something went, or nothing did. */
	CHECK(result == (int64_t)len ? went(s) > before : result < 0 && went(s) == before);
	free(bytes);
}

static void
send_burst(struct state *s, struct input *in)
{
	uint32_t cap = word(in) % 9000, n = byte(in) % BATCH;
	uint32_t *off = calloc(n + 1, sizeof(*off)), *len = calloc(n + 1, sizeof(*len));
	uint64_t before = went(s);
	uint8_t *bytes;
	int64_t result;
	bool inside = true;

	CHECK(off != NULL && len != NULL);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t how = byte(in);

		off[i] = how & 1 ? word(in) << 16 | word(in) : cap * (how >> 4) / 16;
		len[i] = how & 2 ? word(in) << 16 | word(in) : how & 4 ? word(in) % 2000 : 60;
		inside = inside && (uint64_t)off[i] + len[i] <= cap;
	}
	bytes = bytes_of(in, cap);
	result = nb_io_send_burst(s->io, bytes, cap, off, len, n);
	if (!inside)
		CHECK(result == -EFAULT && went(s) == before);
	else
		CHECK(result <= (int64_t)n && (result < 0 ? went(s) == before : went(s) >= before + (uint64_t)result));
	free(bytes);
	free(off);
	free(len);
}

/* Somebody else drives the port for a while. */
static void
hand_over(struct state *s, uint32_t cap)
{
	static uint8_t room[NETBE_FRAME_MAX];
	struct netbe_frame f[4];
	int64_t got = nb_io_hand_over(s->io, room, cap);
	int n;

	CHECK(got == -EMSGSIZE || (got >= 0 && got <= cap));
	for (; got != 0; got = nb_io_hand_over(s->io, room, sizeof(room))) {
		s->received += got > 0;
		s->received_bytes += got > 0 ? (uint64_t)got : 0;
		CHECK(got > 0 || got == -EMSGSIZE);
	}
	n = s->fake.port.rx_burst(&s->fake.port, f, 4);
	CHECK(n >= 0);
	if (n > 1) {
		s->received++;
		s->received_bytes += f[0].len;
		CHECK(s->fake.port.release(&s->fake.port, 1) == 0);
	}
}

static void
drain_out(struct state *s, uint32_t n)
{
	while (n-- > 0)
		fake_frame_free(fake_take(&s->fake, 0));
}

static void
set_cap(struct state *s, uint8_t how)
{
	static const uint32_t lengths[] = {0, 10, 12, 11};
	uint32_t hdr_len = lengths[how % 4];
	uint64_t features = how & 4 ? ~0ull : how & 8 ? NETBE_F_GUEST_CSUM : how & 16 ? NETBE_F_GUEST_TSO4 : 0;

	/* What lies peeked and begun goes on as it was agreed; came_out() could not tell. */
	if (nb_io_pending(s->io))
		return;
	if (hdr_len == 11) {
		CHECK(nb_io_set_cap(s->io, features, hdr_len) == -EINVAL);
		return;
	}
	CHECK(nb_io_set_cap(s->io, features, hdr_len) == 0);
	s->hdr_len = hdr_len;
	s->features = features;
}

static void
operate(struct state *s, struct input *in)
{
	uint8_t what = byte(in);

	switch (what % 10) {
	case 0:
	case 1:
		put(s, in);
		break;
	case 2:
		receive(s, word(in) % 3000, what & 16);
		break;
	case 3:
		receive(s, NETBE_FRAME_MAX, what & 16);
		break;
	case 4:
		receive_burst(s, word(in) % 9000, byte(in) % BATCH);
		break;
	case 5:
		discard(s);
		break;
	case 6:
		send_one(s, in);
		break;
	case 7:
		send_burst(s, in);
		break;
	case 8:
		set_cap(s, byte(in));
		drain_out(s, byte(in) % 8u);
		break;
	default:
		hand_over(s, byte(in));
		break;
	}
	counters_add_up(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t takes[] = {0, NETBE_F_CSUM, NETBE_F_CSUM | NETBE_F_HOST_TSO4, NETBE_F_HOST_TSO4, ~0ull};
	struct input in = {data, size};
	struct state s = {0};
	uint8_t how;

	fake_init(&s.fake, byte(&in) & 1, takes[byte(&in) % 5]);
	how = byte(&in);
	s.fake.room = how & 1 ? how >> 4 : 1000;
	if (how & 2)
		s.fake.port.min_frame = 60;
	if (how & 4)
		s.fake.port.max_frame = 9000;
	s.io = nb_io_new(&s.fake.port);
	CHECK(s.io != NULL);
	while (in.size > 0)
		operate(&s, &in);
	/* All that is left can be had. */
	for (int64_t len; (len = nb_io_peek(s.io)) != 0;) {
		CHECK(len > 0);
		discard(&s);
	}
	counters_add_up(&s);
	CHECK(fake_waiting(&s.fake) == 0);
	nb_io_free(s.io);
	fake_end(&s.fake);
	return 0;
}
