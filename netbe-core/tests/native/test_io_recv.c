/* SPDX-License-Identifier: BSD-2-Clause */
/* The contract's receiving calls over a port: what they give, keep, drop and count. */
#include "io_rig.h"

#define ALL_GUEST                                                                                   \
	(NETBE_F_GUEST_CSUM | NETBE_F_GUEST_TSO4 | NETBE_F_GUEST_TSO6 | NETBE_F_GUEST_ECN | NETBE_F_GUEST_UFO | \
	 NETBE_F_GUEST_USO4 | NETBE_F_GUEST_USO6)

static uint8_t room[NETBE_FRAME_MAX];

static void
peeking_again_gives_the_same_answer(bool arms)
{
	struct rig r;

	rig_make(&r, arms, 0);
	CHECK(nb_io_peek(r.io) == 0 && nb_io_recv(r.io, room, sizeof(room)) == 0 && nb_io_discard(r.io) == 0);
	CHECK(nb_io_pending(r.io) == 0);
	put_plain(&r, 1, 60);
	put_plain(&r, 2, 90);
	for (int i = 0; i < 5; i++)
		CHECK(nb_io_peek(r.io) == 60);
	CHECK(nb_io_pending(r.io) == 2 && r.fake.stats.rx_frames == 0);
	CHECK(nb_io_recv(r.io, room, sizeof(room)) == 60 && is_plain(room, 1, 60));
	CHECK(nb_io_peek(r.io) == 90 && nb_io_peek(r.io) == 90);
	CHECK(nb_io_recv(r.io, room, sizeof(room)) == 90 && is_plain(room, 2, 90));
	CHECK(nb_io_peek(r.io) == 0 && nb_io_pending(r.io) == 0);
	CHECK(r.fake.stats.rx_frames == 2 && r.fake.stats.rx_bytes == 150);
	rig_end(&r);
}

static void
too_little_room_keeps_the_frame(bool peeked)
{
	struct rig r;
	uint8_t small[59];
	struct iovec iov[] = {{small, 10}, {room, 0}, {small + 10, 49}, {room, 1}};
	uint32_t off[4], len[4];

	rig_make(&r, true, 0);
	put_plain(&r, 1, 60);
	if (peeked)
		CHECK(nb_io_peek(r.io) == 60);
	for (int i = 0; i < 3; i++) {
		CHECK(nb_io_recv(r.io, small, sizeof(small)) == -EMSGSIZE);
		CHECK(nb_io_recvv(r.io, iov, 3) == -EMSGSIZE && nb_io_recvv(r.io, NULL, 0) == -EMSGSIZE);
		CHECK(nb_io_recv_burst(r.io, small, sizeof(small), off, len, 4) == -EMSGSIZE);
		CHECK(nb_io_peek(r.io) == 60);
	}
	CHECK(nb_io_recvv(r.io, iov, 4) == 60);
	CHECK(is_plain(small, 1, 59) && room[0] == (uint8_t)(31 + 59 * 7));
	CHECK(nb_io_peek(r.io) == 0);
	rig_end(&r);
}

static void
a_discarded_frame_is_counted_and_the_next_comes(void)
{
	struct rig r;

	rig_make(&r, true, 0);
	CHECK(nb_io_set_cap(r.io, 0, 12) == 0);
	for (uint32_t i = 0; i < 3; i++)
		put_plain(&r, i, 60 + i);
	CHECK(nb_io_recv(r.io, room, 10) == -EMSGSIZE);
	CHECK(nb_io_discard(r.io) == 72 && nb_io_discard(r.io) == 73);
	CHECK(nb_io_recv(r.io, room, sizeof(room)) == 74 && is_plain(room + 12, 2, 62));
	CHECK(nb_io_discard(r.io) == 0);
	CHECK(rx_dropped(&r, NETBE_DROP_DISCARDED) == 2);
	CHECK(r.fake.stats.rx_frames == 1 && r.fake.stats.rx_bytes == 62);
	rig_end(&r);
}

static void
the_contracts_header_is_put_before_each_frame(uint32_t hdr_len, uint32_t seg_len)
{
	const struct netbe_vnet_hdr stray = {.hdr_len = 5, .gso_size = 6, .csum_start = 7, .num_buffers = 9};
	struct netbe_vnet_hdr hdr;
	uint8_t bytes[100];
	struct rig r;

	rig_make(&r, true, 0);
	r.fake.seg_len = seg_len;
	CHECK(nb_io_set_cap(r.io, ALL_GUEST, 11) == -EINVAL);
	CHECK(nb_io_set_cap(r.io, ALL_GUEST, hdr_len) == 0);
	put_plain(&r, 1, 100);
	memset(room, 0xee, sizeof(room));
	CHECK(nb_io_peek(r.io) == 100 + hdr_len);
	CHECK(nb_io_recv(r.io, room, 99 + hdr_len) == -EMSGSIZE && room[0] == 0xee);
	CHECK(nb_io_recv(r.io, room, 100 + hdr_len) == 100 + hdr_len);
	CHECK(is_plain(room + hdr_len, 1, 100) && room[100 + hdr_len] == 0xee);
	CHECK(nb_hdr_load(&hdr, room, hdr_len) == 0 && hdr.flags == 0 && hdr.gso_type == 0);
	CHECK(hdr.num_buffers == (hdr_len == 12 ? htole16(1) : 0));
	/* A frame that asks nothing comes with nothing, whatever a device left in its header. */
	plain_bytes(bytes, 2, 100);
	fake_put_hdr(&r.fake, &stray, bytes, 100);
	CHECK(nb_io_recv(r.io, room, sizeof(room)) == 100 + hdr_len && is_plain(room + hdr_len, 2, 100));
	for (uint32_t i = 0; i < (hdr_len < 10 ? hdr_len : 10); i++)
		CHECK(room[i] == 0);
	CHECK(r.fake.stats.rx_bytes == 200); /* headers are not counted */
	rig_end(&r);
}

static void
a_checksum_that_was_found_valid_is_told_only_who_asked(void)
{
	const struct netbe_vnet_hdr valid = {.flags = NETBE_HDR_DATA_VALID};
	uint8_t bytes[60] = {0};
	struct rig r;

	rig_make(&r, true, 0);
	CHECK(nb_io_set_cap(r.io, 0, 10) == 0);
	fake_put_hdr(&r.fake, &valid, bytes, 60);
	CHECK(nb_io_recv(r.io, room, sizeof(room)) == 70 && room[0] == 0);
	CHECK(nb_io_set_cap(r.io, NETBE_F_GUEST_CSUM, 10) == 0);
	fake_put_hdr(&r.fake, &valid, bytes, 60);
	CHECK(nb_io_recv(r.io, room, sizeof(room)) == 70 && room[0] == NETBE_HDR_DATA_VALID);
	rig_end(&r);
}

/* Whoever agreed to less than a frame asks gets pieces; needs are the frame's own, whatever was agreed. */
static void
a_frame_that_asks_for_more_than_agreed_comes_in_pieces(uint32_t hdr_len, uint64_t features, uint32_t seg_len)
{
	uint8_t bytes[TCP_HEADERS + 2500];
	struct netbe_vnet_hdr hdr = tcp_bytes(bytes, 2500, 1000);
	struct rig r;

	rig_make(&r, true, 0);
	r.fake.seg_len = seg_len;
	CHECK(nb_io_set_cap(r.io, features, hdr_len) == 0);
	fake_put_hdr(&r.fake, &hdr, bytes, sizeof(bytes));
	put_plain(&r, 4, 60);
	for (uint32_t at = 0; at < 2500; at += 1000) {
		uint32_t len = at < 2000 ? 1000 : 500;

		CHECK(nb_io_peek(r.io) == hdr_len + TCP_HEADERS + len && nb_io_pending(r.io) == 2);
		CHECK(nb_io_recv(r.io, room, hdr_len + TCP_HEADERS + len - 1) == -EMSGSIZE);
		CHECK(r.fake.stats.rx_frames == at / 1000);
		memset(room, 0xee, hdr_len);
		CHECK(nb_io_recv(r.io, room, sizeof(room)) == hdr_len + TCP_HEADERS + len);
		CHECK(is_tcp_piece(room + hdr_len, at, len));
		CHECK(hdr_len == 0 || (room[0] == 0 && room[1] == 0));
	}
	CHECK(nb_io_recv(r.io, room, sizeof(room)) == hdr_len + 60 && is_plain(room + hdr_len, 4, 60));
	/* Pieces are what was received, and the frame they were cut from is not. */
	CHECK(r.fake.stats.rx_frames == 4 && r.fake.stats.rx_bytes == 3 * TCP_HEADERS + 2500 + 60);
	rig_end(&r);
}

static void
a_frame_that_asks_for_what_was_agreed_comes_whole(void)
{
	uint8_t bytes[TCP_HEADERS + 2500];
	struct netbe_vnet_hdr hdr = tcp_bytes(bytes, 2500, 1000), got;
	struct rig r;

	rig_make(&r, true, 0);
	CHECK(nb_io_set_cap(r.io, ALL_GUEST, 12) == 0);
	fake_put_hdr(&r.fake, &hdr, bytes, sizeof(bytes));
	CHECK(nb_io_recv(r.io, room, sizeof(room)) == 12 + sizeof(bytes));
	CHECK(memcmp(room + 12, bytes, sizeof(bytes)) == 0 && nb_hdr_load(&got, room, 12) == 0);
	hdr.num_buffers = htole16(1);
	CHECK(memcmp(&got, &hdr, sizeof(got)) == 0);
	/* The same, when only a checksum was agreed on: finished or not. */
	hdr = tcp_bytes(bytes, 500, 0);
	CHECK(nb_io_set_cap(r.io, NETBE_F_GUEST_CSUM, 10) == 0);
	fake_put_hdr(&r.fake, &hdr, bytes, TCP_HEADERS + 500);
	CHECK(nb_io_recv(r.io, room, sizeof(room)) == 10 + TCP_HEADERS + 500 && room[0] == NETBE_HDR_NEEDS_CSUM);
	CHECK(nb_io_set_cap(r.io, 0, 10) == 0);
	fake_put_hdr(&r.fake, &hdr, bytes, TCP_HEADERS + 500);
	CHECK(nb_io_recv(r.io, room, sizeof(room)) == 10 + TCP_HEADERS + 500 && room[0] == 0);
	CHECK(is_tcp_sum(room + 10, 500));
	rig_end(&r);
}

static void
garbage_is_dropped_counted_and_passed_over(void)
{
	const struct netbe_vnet_hdr bad[] = {
	    {.flags = 0x80},
	    {.gso_type = 77, .gso_size = 1000},
	    {.flags = NETBE_HDR_NEEDS_CSUM, .csum_start = 0xffff, .csum_offset = 0xffff},
	    {.flags = NETBE_HDR_NEEDS_CSUM, .gso_type = NETBE_GSO_TCPV4, .gso_size = 0},
	};
	uint8_t bytes[100] = {0};
	struct rig r;

	rig_make(&r, true, 0);
	CHECK(nb_io_set_cap(r.io, ALL_GUEST, 12) == 0);
	for (uint32_t i = 0; i < 4; i++)
		fake_put_hdr(&r.fake, &bad[i], bytes, 100);
	fake_put(&r.fake, bytes, 0); /* no length would be "none" for ever */
	put_plain(&r, 7, 60);
	for (uint32_t i = 0; i < 4; i++)
		fake_put_hdr(&r.fake, &bad[i], bytes, 100);
	CHECK(nb_io_peek(r.io) == 72);
	CHECK(rx_dropped(&r, NETBE_DROP_BAD_HEADER) == 4 && rx_dropped(&r, NETBE_DROP_TOO_SHORT) == 1);
	CHECK(nb_io_recv(r.io, room, sizeof(room)) == 72 && is_plain(room + 12, 7, 60));
	CHECK(nb_io_recv(r.io, room, sizeof(room)) == 0 && rx_dropped(&r, NETBE_DROP_BAD_HEADER) == 8);
	CHECK(r.fake.stats.rx_frames == 1 && r.fake.stats.rx_bytes == 60);
	rig_end(&r);
}

static void
a_burst_packs_what_fits_and_keeps_the_rest(void)
{
	uint32_t off[100], len[100];
	uint8_t *tight = malloc(64 + 70);
	struct rig r;

	CHECK(tight != NULL);
	rig_make(&r, true, 0);
	CHECK(nb_io_set_cap(r.io, 0, 10) == 0);
	CHECK(nb_io_recv_burst(r.io, tight, 134, off, len, 100) == 0);
	for (uint32_t i = 0; i < 90; i++)
		put_plain(&r, i, 50 + i % 3);
	CHECK(nb_io_recv_burst(r.io, tight, 134, off, len, 0) == 0);
	/* 60 bytes at 0, 61 at 64; there would be 9 left. */
	CHECK(nb_io_recv_burst(r.io, tight, 134, off, len, 100) == 2);
	CHECK(off[0] == 0 && len[0] == 60 && off[1] == 64 && len[1] == 61);
	CHECK(is_plain(tight + 10, 0, 50) && is_plain(tight + 74, 1, 51));
	CHECK(nb_io_peek(r.io) == 62);
	CHECK(nb_io_recv_burst(r.io, room, sizeof(room), off, len, 5) == 5);
	CHECK(nb_io_recv_burst(r.io, room, sizeof(room), off, len, 100) == 83); /* over the end of what was lent */
	for (uint32_t i = 0; i < 83; i++) {
		CHECK(off[i] == i * 64 && len[i] == 60 + (i + 7) % 3);
		CHECK(is_plain(room + off[i] + 10, i + 7, len[i] - 10));
	}
	CHECK(r.fake.stats.rx_frames == 90);
	free(tight);
	rig_end(&r);
}

static void
a_port_that_is_gone_says_so_after_its_frames(void)
{
	uint32_t off[4], len[4];
	struct rig r;

	rig_make(&r, true, 0);
	put_plain(&r, 1, 60);
	fake_break(&r.fake, -ENODEV, -ENODEV);
	CHECK(nb_io_peek(r.io) == 60);
	CHECK(nb_io_recv_burst(r.io, room, sizeof(room), off, len, 4) == 1);
	for (int i = 0; i < 2; i++) {
		CHECK(nb_io_peek(r.io) == -ENODEV && nb_io_discard(r.io) == -ENODEV);
		CHECK(nb_io_recv(r.io, room, 1) == -ENODEV && nb_io_recvv(r.io, NULL, 0) == -ENODEV);
		CHECK(nb_io_recv_burst(r.io, room, 0, off, len, 4) == -ENODEV);
	}
	rig_end(&r);
}

static void
nothing_means_a_wake_up_was_asked_for(void)
{
	struct rig r;
	struct pollfd look;

	rig_make(&r, true, 0);
	look = (struct pollfd){.fd = r.fake.port.rx_wait.fd, .events = POLLIN};
	for (uint32_t i = 0; i < 3; i++) {
		CHECK(nb_io_peek(r.io) == 0 && r.fake.rx_armed && poll(&look, 1, 0) == 0);
		put_plain(&r, i, 60);
		CHECK(poll(&look, 1, 0) == 1 && nb_io_recv(r.io, room, sizeof(room)) == 60);
	}
	CHECK(!r.fake.tx_armed && nb_io_arm_send(r.io) == 0 && r.fake.tx_armed);
	rig_end(&r);
	rig_make(&r, false, 0);
	CHECK(nb_io_arm_send(r.io) == 0);
	rig_end(&r);
}

static struct rig *late;

/* Finds nothing the first time, and just then a frame arrives. */
static int
a_moment_too_early(struct netbe_port *port, struct netbe_frame *frames, uint32_t n)
{
	if (late == NULL)
		return fake_rx_burst(port, frames, n);
	put_plain(late, 1, 60);
	late = NULL;
	return 0;
}

static void
a_frame_that_comes_before_the_arming_is_not_slept_over(void)
{
	struct rig r;

	rig_make(&r, true, 0);
	late = &r;
	r.fake.port.rx_burst = a_moment_too_early;
	CHECK(nb_io_peek(r.io) == 60);
	rig_end(&r);
}

/* Who drives the port next finds what was lent; of a frame that was begun the rest has to be carried over. */
static void
what_was_not_taken_is_handed_over(uint32_t taken)
{
	uint8_t bytes[TCP_HEADERS + 2500];
	struct netbe_vnet_hdr hdr = tcp_bytes(bytes, 2500, 1000);
	struct netbe_frame f[4];
	struct rig r;

	rig_make(&r, true, 0);
	CHECK(nb_io_set_cap(r.io, 0, 12) == 0);
	fake_put_hdr(&r.fake, &hdr, bytes, sizeof(bytes));
	put_plain(&r, 1, 60);
	for (uint32_t i = 0; i < taken; i++)
		CHECK(nb_io_recv(r.io, room, sizeof(room)) > 0);
	CHECK(nb_io_hand_over(r.io, room, 10) == (taken == 0 ? 0 : taken < 3 ? -EMSGSIZE : 0));
	for (uint32_t i = taken; taken > 0 && i < 3; i++) {
		uint32_t len = i < 2 ? 1000 : 500;

		CHECK(nb_io_hand_over(r.io, room, sizeof(room)) == TCP_HEADERS + len);
		CHECK(is_tcp_piece(room, i * 1000, len));
	}
	CHECK(nb_io_hand_over(r.io, room, sizeof(room)) == 0 && nb_io_pending(r.io) == 0);
	CHECK(r.fake.port.rx_burst(&r.fake.port, f, 4) == (taken == 0 ? 2 : 1));
	CHECK(f[0].hdr.gso_type == (taken == 0 ? NETBE_GSO_TCPV4 : NETBE_GSO_NONE));
	/* And back: the contract goes on with what is there. */
	for (uint32_t i = 0; taken == 0 && i < 3; i++)
		CHECK(nb_io_recv(r.io, room, sizeof(room)) > (int64_t)TCP_HEADERS);
	CHECK(nb_io_recv(r.io, room, sizeof(room)) == 72 && is_plain(room + 12, 1, 60));
	rig_end(&r);
}

int
main(void)
{
	peeking_again_gives_the_same_answer(false);
	peeking_again_gives_the_same_answer(true);
	too_little_room_keeps_the_frame(false);
	too_little_room_keeps_the_frame(true);
	a_discarded_frame_is_counted_and_the_next_comes();
	for (uint32_t hdr_len = 0; hdr_len <= 12; hdr_len += hdr_len == 0 ? 10 : 2) {
		the_contracts_header_is_put_before_each_frame(hdr_len, 0);
		the_contracts_header_is_put_before_each_frame(hdr_len, 7);
		a_frame_that_asks_for_more_than_agreed_comes_in_pieces(hdr_len, 0, 0);
		a_frame_that_asks_for_more_than_agreed_comes_in_pieces(hdr_len, NETBE_F_GUEST_CSUM, 13);
	}
	a_frame_that_asks_for_more_than_agreed_comes_in_pieces(0, ALL_GUEST, 0); /* nowhere to say it */
	a_frame_that_asks_for_more_than_agreed_comes_in_pieces(12, ALL_GUEST & ~NETBE_F_GUEST_TSO4, 0);
	a_checksum_that_was_found_valid_is_told_only_who_asked();
	a_frame_that_asks_for_what_was_agreed_comes_whole();
	garbage_is_dropped_counted_and_passed_over();
	a_burst_packs_what_fits_and_keeps_the_rest();
	a_port_that_is_gone_says_so_after_its_frames();
	nothing_means_a_wake_up_was_asked_for();
	a_frame_that_comes_before_the_arming_is_not_slept_over();
	for (uint32_t taken = 0; taken <= 3; taken++)
		what_was_not_taken_is_handed_over(taken);
	return 0;
}
