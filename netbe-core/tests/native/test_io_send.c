/* SPDX-License-Identifier: BSD-2-Clause */
/* The contract's sending calls over a port: what goes, in what shape, and what is said when it does not. */
#include "io_rig.h"

#define TAKES_TCP (NETBE_F_CSUM | NETBE_F_HOST_TSO4)

static uint8_t bytes[2 * NETBE_FRAME_MAX];

static bool
asks_nothing(const struct netbe_vnet_hdr *hdr)
{
	static const struct netbe_vnet_hdr none;

	return memcmp(hdr, &none, sizeof(none)) == 0;
}

/* The next frame that the port was given. */
static void
gone(struct rig *r, uint32_t number, uint32_t len)
{
	struct fake_frame *f = fake_take(&r->fake, 0);

	CHECK(f != NULL && f->len == len && is_plain(f->bytes, number, len));
	CHECK(asks_nothing(&f->hdr));
	fake_frame_free(f);
}

static void
nothing_more(struct rig *r)
{
	CHECK(fake_take(&r->fake, 0) == NULL);
}

static void
gone_piece(struct rig *r, uint32_t at, uint32_t len)
{
	struct fake_frame *f = fake_take(&r->fake, 0);

	CHECK(f != NULL && f->len == TCP_HEADERS + len && is_tcp_piece(f->bytes, at, len));
	CHECK(asks_nothing(&f->hdr));
	fake_frame_free(f);
}

/* A frame with its header, in memory that ends with it. */
static int64_t
sends(struct rig *r, uint32_t hdr_len, const struct netbe_vnet_hdr *hdr, const uint8_t *frame, uint32_t len)
{
	uint8_t *exact = malloc(hdr_len + len + (hdr_len + len == 0));
	int64_t result;

	CHECK(exact != NULL && nb_hdr_store(exact, hdr, hdr_len) == 0);
	memcpy(exact + hdr_len, frame, len);
	result = nb_io_send(r->io, exact, hdr_len + len);
	free(exact);
	return result;
}

static int64_t
sends_plain(struct rig *r, uint32_t hdr_len, uint32_t number, uint32_t len)
{
	const struct netbe_vnet_hdr stray = {.hdr_len = 5, .gso_size = 6, .csum_start = 7, .csum_offset = 8};

	plain_bytes(bytes, number, len);
	return sends(r, hdr_len, &stray, bytes, len);
}

static void
the_contracts_header_is_taken_off(uint32_t hdr_len)
{
	struct rig r;

	rig_make(&r, true, 0);
	CHECK(nb_io_set_cap(r.io, 0, hdr_len) == 0);
	CHECK(sends_plain(&r, hdr_len, 1, 60) == hdr_len + 60);
	CHECK(sends_plain(&r, hdr_len, 2, 1518) == hdr_len + 1518);
	gone(&r, 1, 60);
	gone(&r, 2, 1518);
	nothing_more(&r);
	CHECK(r.fake.stats.tx_frames == 2 && r.fake.stats.tx_bytes == 1578); /* headers are not counted */
	rig_end(&r);
}

static void
a_frame_of_wrong_length_is_refused_and_nothing_goes(uint32_t hdr_len)
{
	const struct netbe_vnet_hdr none = {0};
	struct rig r;

	rig_make(&r, true, TAKES_TCP);
	CHECK(nb_io_set_cap(r.io, 0, hdr_len) == 0);
	CHECK(sends_plain(&r, hdr_len, 1, 13) == -EINVAL && sends_plain(&r, hdr_len, 1, 1519) == -EMSGSIZE);
	CHECK(sends_plain(&r, hdr_len, 1, 0) == -EINVAL);
	for (uint32_t len = 0; len < hdr_len; len++) {
		uint8_t *exact = calloc(1, len + 1);

		CHECK(exact != NULL && nb_io_send(r.io, exact, len) == -EINVAL);
		free(exact);
	}
	CHECK(nb_io_send(r.io, bytes, NETBE_FRAME_MAX + 1) == -EMSGSIZE);
	CHECK(sends(&r, hdr_len, &none, bytes, NETBE_FRAME_MAX - hdr_len) == -EMSGSIZE);
	nothing_more(&r);
	rig_end(&r);
}

static void
a_header_that_does_not_fit_is_refused_and_counted(void)
{
	const struct netbe_vnet_hdr bad[] = {
	    {.flags = 0x80},
	    {.gso_type = 77, .gso_size = 1000},
	    {.flags = NETBE_HDR_NEEDS_CSUM, .csum_start = 59, .csum_offset = 0},
	    {.flags = NETBE_HDR_NEEDS_CSUM, .gso_type = NETBE_GSO_TCPV4, .gso_size = 1000},
	};
	uint32_t off[] = {0, 70, 140}, len[] = {70, 70, 70};
	struct rig r;

	/* Whether the port takes such frames or not. */
	for (int i = 0; i < 2; i++) {
		rig_make(&r, true, i == 0 ? 0 : ~0ull);
		CHECK(nb_io_set_cap(r.io, 0, 10) == 0);
		memset(bytes, 0, 210);
		for (uint32_t j = 0; j < 4; j++)
			CHECK(sends(&r, 10, &bad[j], bytes, 60) == -EBADMSG);
		CHECK(tx_dropped(&r, NETBE_DROP_BAD_HEADER) == 4);
		bytes[70] = 0x80;
		CHECK(nb_io_send_burst(r.io, bytes, sizeof(bytes), off, len, 3) == 1);
		CHECK(nb_io_send_burst(r.io, bytes, sizeof(bytes), off + 1, len, 2) == -EBADMSG);
		CHECK(nb_io_send_burst(r.io, bytes, sizeof(bytes), off + 2, len, 1) == 1);
		CHECK(r.fake.stats.tx_frames == 2);
		rig_end(&r);
	}
}

static void
what_the_port_can_not_do_is_done_here(uint64_t features, uint32_t payload, uint32_t hdr_len)
{
	static uint8_t tcp[TCP_HEADERS + 65000];
	struct netbe_vnet_hdr hdr = tcp_bytes(tcp, payload, 1000);
	struct rig r;

	rig_make(&r, true, features);
	CHECK(nb_io_set_cap(r.io, 0, hdr_len) == 0);
	CHECK(sends(&r, hdr_len, &hdr, tcp, TCP_HEADERS + payload) == hdr_len + TCP_HEADERS + payload);
	for (uint32_t at = 0; at < payload; at += 1000)
		gone_piece(&r, at, payload - at < 1000 ? payload - at : 1000);
	nothing_more(&r);
	/* Only the checksum. */
	hdr = tcp_bytes(tcp, 300, 0);
	r.fake.port.features[0] = 0;
	CHECK(sends(&r, hdr_len, &hdr, tcp, TCP_HEADERS + 300) == hdr_len + TCP_HEADERS + 300);
	gone_piece(&r, 0, 300);
	rig_end(&r);
}

static void
what_the_port_can_do_is_left_to_it(void)
{
	uint8_t tcp[TCP_HEADERS + 2500];
	struct netbe_vnet_hdr hdr = tcp_bytes(tcp, 2500, 1000);
	struct fake_frame *f;
	struct rig r;

	rig_make(&r, true, TAKES_TCP);
	CHECK(nb_io_set_cap(r.io, 0, 12) == 0);
	CHECK(sends(&r, 12, &hdr, tcp, sizeof(tcp)) == 12 + sizeof(tcp));
	f = fake_take(&r.fake, 0);
	CHECK(f != NULL && f->len == sizeof(tcp) && memcmp(f->bytes, tcp, sizeof(tcp)) == 0);
	CHECK(f->hdr.gso_type == NETBE_GSO_TCPV4 && f->hdr.gso_size == htole16(1000));
	fake_frame_free(f);
	rig_end(&r);
}

static void
a_piece_that_came_out_too_short_is_padded(void)
{
	uint8_t tcp[TCP_HEADERS + 2001];
	struct netbe_vnet_hdr hdr = tcp_bytes(tcp, 2001, 1000);
	struct fake_frame *f;
	struct rig r;

	rig_make(&r, true, 0);
	r.fake.port.min_frame = 60;
	CHECK(nb_io_set_cap(r.io, 0, 12) == 0);
	CHECK(sends(&r, 12, &hdr, tcp, sizeof(tcp)) == 12 + sizeof(tcp));
	gone_piece(&r, 0, 1000);
	gone_piece(&r, 1000, 1000);
	f = fake_take(&r.fake, 0);
	CHECK(f != NULL && f->len == 60 && is_tcp_piece(f->bytes, 2000, 1));
	for (uint32_t i = TCP_HEADERS + 1; i < 60; i++)
		CHECK(f->bytes[i] == 0);
	fake_frame_free(f);
	nothing_more(&r);
	CHECK(tx_dropped(&r, NETBE_DROP_TOO_SHORT) == 0);
	/* What the caller made too short is his. */
	CHECK(sends_plain(&r, 12, 1, 59) == -EINVAL);
	rig_end(&r);
}

/* Takes no more than three frames a call, as a port may. */
static int
three_at_a_time(struct netbe_port *port, const struct netbe_frame *frames, uint32_t n)
{
	return fake_tx_burst(port, frames, n < 3 ? n : 3);
}

static void
a_port_that_takes_few_at_a_time_loses_nothing(void)
{
	static uint8_t tcp[TCP_HEADERS + 20000];
	struct netbe_vnet_hdr hdr = tcp_bytes(tcp, 20000, 1000);
	uint32_t off[10], len[10];
	struct rig r;

	rig_make(&r, true, 0);
	r.fake.port.tx_burst = three_at_a_time;
	CHECK(nb_io_set_cap(r.io, 0, 12) == 0);
	CHECK(sends(&r, 12, &hdr, tcp, sizeof(tcp)) == 12 + sizeof(tcp));
	for (uint32_t at = 0; at < 20000; at += 1000)
		gone_piece(&r, at, 1000);
	CHECK(nb_io_set_cap(r.io, 0, 0) == 0);
	for (uint32_t i = 0; i < 10; i++) {
		off[i] = i * 60;
		len[i] = 60;
		plain_bytes(bytes + off[i], i, 60);
	}
	CHECK(nb_io_send_burst(r.io, bytes, 600, off, len, 10) == 10);
	for (uint32_t i = 0; i < 10; i++)
		gone(&r, i, 60);
	CHECK(tx_dropped(&r, NETBE_DROP_FULL) == 0);
	rig_end(&r);
}

static void
a_full_port_is_told_unless_a_part_has_gone(void)
{
	uint8_t tcp[TCP_HEADERS + 2500];
	struct netbe_vnet_hdr hdr = tcp_bytes(tcp, 2500, 1000);
	struct rig r;

	rig_make(&r, true, 0);
	CHECK(nb_io_set_cap(r.io, 0, 12) == 0);
	fake_set_room(&r.fake, 0);
	CHECK(sends_plain(&r, 12, 1, 60) == -EAGAIN);
	CHECK(sends(&r, 12, &hdr, tcp, sizeof(tcp)) == -EAGAIN);
	CHECK(tx_dropped(&r, NETBE_DROP_FULL) == 0); /* it is still the caller's */
	fake_set_room(&r.fake, 1);
	CHECK(sends(&r, 12, &hdr, tcp, sizeof(tcp)) == 12 + sizeof(tcp));
	CHECK(tx_dropped(&r, NETBE_DROP_FULL) == 2);
	gone_piece(&r, 0, 1000);
	/* Again from the begin, as if nothing had been. */
	fake_set_room(&r.fake, 9);
	CHECK(sends(&r, 12, &hdr, tcp, sizeof(tcp)) == 12 + sizeof(tcp));
	for (uint32_t at = 0; at < 2500; at += 1000)
		gone_piece(&r, at, at < 2000 ? 1000 : 500);
	nothing_more(&r);
	CHECK(tx_dropped(&r, NETBE_DROP_FULL) == 2 && r.fake.stats.tx_frames == 4);
	fake_break(&r.fake, 0, -EPIPE);
	CHECK(sends(&r, 12, &hdr, tcp, sizeof(tcp)) == -EPIPE && sends_plain(&r, 12, 1, 60) == -EPIPE);
	rig_end(&r);
}

/* Says nothing and takes nothing. */
static int
takes_none(struct netbe_port *port, const struct netbe_frame *frames, uint32_t n)
{
	(void)port, (void)frames, (void)n;
	return 0;
}

static void
nothing_and_no_reason_is_a_full_port(void)
{
	uint8_t tcp[TCP_HEADERS + 2500];
	struct netbe_vnet_hdr hdr = tcp_bytes(tcp, 2500, 1000);
	uint32_t off = 0, len = 72;
	struct rig r;

	rig_make(&r, true, 0);
	r.fake.port.tx_burst = takes_none;
	CHECK(nb_io_set_cap(r.io, 0, 12) == 0);
	CHECK(sends_plain(&r, 12, 1, 60) == -EAGAIN && sends(&r, 12, &hdr, tcp, sizeof(tcp)) == -EAGAIN);
	memset(bytes, 0, 72);
	CHECK(nb_io_send_burst(r.io, bytes, 72, &off, &len, 1) == -EAGAIN);
	rig_end(&r);
}

static void
a_burst_goes_in_order_with_what_needs_care_between(void)
{
	static const uint32_t hdr_len = 10;
	uint32_t off[70], len[70], end = 0, pieces = 0;
	struct rig r;

	rig_make(&r, true, 0);
	CHECK(nb_io_set_cap(r.io, 0, hdr_len) == 0);
	for (uint32_t i = 0; i < 70; i++) {
		struct netbe_vnet_hdr hdr = {0};

		off[i] = end;
		len[i] = hdr_len + 60 + i;
		if (i % 20 == 5) {
			hdr = tcp_bytes(bytes + end + hdr_len, 1500, 1000);
			len[i] = hdr_len + TCP_HEADERS + 1500;
		} else {
			plain_bytes(bytes + end + hdr_len, i, 60 + i);
		}
		nb_hdr_store(bytes + end, &hdr, hdr_len);
		end += len[i];
	}
	CHECK(nb_io_send_burst(r.io, bytes, end, off, len, 70) == 70);
	for (uint32_t i = 0; i < 70; i++) {
		if (i % 20 == 5) {
			gone_piece(&r, 0, 1000);
			gone_piece(&r, 1000, 500);
			pieces += 2;
		} else {
			gone(&r, i, 60 + i);
		}
	}
	nothing_more(&r);
	CHECK(r.fake.stats.tx_frames == 66 + pieces);
	/* As far as there is room; the next call says why no further. */
	fake_set_room(&r.fake, 7);
	CHECK(nb_io_send_burst(r.io, bytes, end, off, len, 70) == 6);
	CHECK(nb_io_send_burst(r.io, bytes, end, off + 6, len + 6, 64) == -EAGAIN);
	rig_end(&r);
}

static void
a_burst_that_leaves_its_buffer_sends_nothing(void)
{
	static const struct {
		uint32_t off, len;
	} outside[] = {{0, 601}, {601, 0}, {541, 60}, {600, 1}, {UINT32_MAX, 60}, {60, UINT32_MAX}, {UINT32_MAX, UINT32_MAX}};
	uint8_t *exact = calloc(1, 600);
	struct rig r;

	CHECK(exact != NULL);
	rig_make(&r, true, 0);
	for (uint32_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		uint32_t off[] = {0, outside[i].off}, len[] = {60, outside[i].len};

		CHECK(nb_io_send_burst(r.io, exact, 600, off, len, 2) == -EFAULT);
	}
	nothing_more(&r);
	CHECK(nb_io_send_burst(r.io, exact, 600, (uint32_t[]){540, 0}, (uint32_t[]){60, 600}, 2) == 2);
	CHECK(nb_io_send_burst(r.io, exact, 600, (uint32_t[]){600}, (uint32_t[]){0}, 1) == -EINVAL);
	CHECK(nb_io_send_burst(r.io, exact, 600, NULL, NULL, 0) == 0);
	CHECK(nb_io_set_cap(r.io, 0, 12) == 0);
	CHECK(nb_io_send_burst(r.io, exact, 600, (uint32_t[]){595}, (uint32_t[]){5}, 1) == -EINVAL);
	free(exact);
	rig_end(&r);
}

int
main(void)
{
	for (uint32_t hdr_len = 0; hdr_len <= 12; hdr_len += hdr_len == 0 ? 10 : 2) {
		the_contracts_header_is_taken_off(hdr_len);
		a_frame_of_wrong_length_is_refused_and_nothing_goes(hdr_len);
	}
	a_header_that_does_not_fit_is_refused_and_counted();
	what_the_port_can_not_do_is_done_here(0, 2500, 10);
	what_the_port_can_not_do_is_done_here(NETBE_F_CSUM, 65000, 12); /* more pieces than a burst has */
	what_the_port_can_not_do_is_done_here(NETBE_F_HOST_TSO4, 3000, 12);
	what_the_port_can_do_is_left_to_it();
	a_piece_that_came_out_too_short_is_padded();
	a_port_that_takes_few_at_a_time_loses_nothing();
	a_full_port_is_told_unless_a_part_has_gone();
	nothing_and_no_reason_is_a_full_port();
	a_burst_goes_in_order_with_what_needs_care_between();
	a_burst_that_leaves_its_buffer_sends_nothing();
	return 0;
}
