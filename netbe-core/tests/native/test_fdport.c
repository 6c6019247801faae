/* SPDX-License-Identifier: BSD-2-Clause */
/* A port over descriptors: what a read brings, what a write says, and when the other side is gone. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "fdport.h"
#include "services.h"

#define MOST 64u /* frames that are lent at once */
#define LONGEST (NETBE_FRAME_MAX - 12u)

static uint8_t big[NETBE_FRAME_MAX + 100];

/* A port, and the other end of its socket in our hands. */
struct rig {
	struct netbe_port *port;
	int ours, theirs;
	uint32_t hdr_len;
};

static struct rig
rig_of(int type, uint32_t hdr_len, uint32_t max_frame)
{
	uint32_t flags = NB_FD_SOCKET | (type == SOCK_SEQPACKET ? NB_FD_EOF_IS_HANGUP : 0);
	int fd[2], room = 1 << 20;
	struct rig r;

	CHECK(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0);
	for (int i = 0; i < 2; i++)
		CHECK(setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) == 0);
	r = (struct rig){.ours = fd[0], .theirs = fd[1], .hdr_len = hdr_len};
	r.port = nb_fd_port_new(fd[1], fd[1], flags, hdr_len, 14, max_frame, NULL);
	CHECK(r.port != NULL && r.port->rx_wait.fd == fd[1] && r.port->tx_wait.fd == fd[1]);
	return r;
}

static void
end(struct rig *r)
{
	nb_fd_port_free(r->port);
	if (r->ours >= 0)
		close(r->ours);
	close(r->theirs);
}

static uint8_t
byte(uint32_t number, uint32_t at)
{
	return (uint8_t)(number * 41 + at * 7 + at / 253);
}

static void
fill(uint8_t *to, uint32_t number, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		to[i] = byte(number, i);
}

static bool
is(const struct netbe_frame *f, uint32_t number, uint32_t len)
{
	const uint8_t *bytes = f->seg[0].iov_base;

	if (f->len != len || f->nseg != 1 || f->seg[0].iov_len != len)
		return false;
	for (uint32_t i = 0; i < len; i++)
		if (bytes[i] != byte(number, i))
			return false;
	return true;
}

/* From the other end: a header that says the number, then len bytes. */
static void
arrives(const struct rig *r, uint32_t number, uint32_t len, const struct netbe_vnet_hdr *how)
{
	struct netbe_vnet_hdr hdr = how != NULL ? *how : (struct netbe_vnet_hdr){.hdr_len = (uint16_t)number};

	CHECK(nb_hdr_store(big, &hdr, r->hdr_len) == 0);
	fill(big + r->hdr_len, number, len);
	CHECK(send(r->ours, big, r->hdr_len + len, 0) == (ssize_t)(r->hdr_len + len));
}

static int
sends(const struct rig *r, uint32_t number, uint32_t len, uint8_t gso_type)
{
	static uint8_t bytes[NETBE_FRAME_MAX];
	struct iovec seg[3] = {{bytes, len / 2}, {bytes + len / 2, 0}, {bytes + len / 2, len - len / 2}};
	struct netbe_frame f = {.hdr = {.gso_type = gso_type, .hdr_len = 7, .num_buffers = 9},
	                        .len = len,
	                        .nseg = 3,
	                        .seg = seg};

	fill(bytes, number, len);
	return r->port->tx_burst(r->port, &f, 1);
}

/* What the port has sent is there, with the device's header before it. */
static void
got_out(const struct rig *r, uint32_t number, uint32_t len)
{
	struct netbe_vnet_hdr hdr;
	ssize_t n = recv(r->ours, big, sizeof(big), 0);

	CHECK(n == (ssize_t)(r->hdr_len + len));
	for (uint32_t i = 0; i < len; i++)
		CHECK(big[r->hdr_len + i] == byte(number, i));
	CHECK(nb_hdr_load(&hdr, big, r->hdr_len) == 0);
	CHECK(r->hdr_len == 0 || hdr.hdr_len == 7);
	CHECK(r->hdr_len != 12 || (big[10] == 1 && big[11] == 0)); /* num_buffers of a frame in one buffer */
}

static void
the_devices_header_is_taken_off_and_put_on(int type, uint32_t hdr_len)
{
	struct rig r = rig_of(type, hdr_len, 1518);
	struct netbe_frame f[MOST];

	for (uint32_t i = 0; i < 20; i++)
		arrives(&r, i, 14 + i * 79, NULL);
	CHECK(r.port->rx_burst(r.port, f, MOST) == 20);
	for (uint32_t i = 0; i < 20; i++) {
		CHECK(is(&f[i], i, 14 + i * 79));
		CHECK(f[i].hdr.hdr_len == (hdr_len != 0 ? i : 0) && f[i].hdr.gso_type == 0);
	}
	CHECK(r.port->release(r.port, 20) == 0 && r.port->rx_burst(r.port, f, MOST) == 0);
	for (uint32_t i = 0; i < 20; i++)
		CHECK(sends(&r, i, 14 + i * 79, 0) == 1);
	for (uint32_t i = 0; i < 20; i++)
		got_out(&r, i, 14 + i * 79);
	CHECK(r.port->stats->rx_frames == 20 && r.port->stats->tx_frames == 20);
	CHECK(r.port->stats->rx_bytes == r.port->stats->tx_bytes);
	CHECK(r.port->stats->rx_bytes == 20 * 14 + 79 * 190);
	end(&r);
}

static void
what_was_not_released_is_lent_again_first_and_unchanged(void)
{
	struct rig r = rig_of(SOCK_SEQPACKET, 0, 1518);
	struct netbe_frame f[MOST], again[MOST];

	CHECK(r.port->release(r.port, 0) == 0 && r.port->release(r.port, 1) == -EINVAL);
	for (uint32_t i = 0; i < 10; i++)
		arrives(&r, i, 100 + i, NULL);
	CHECK(r.port->rx_burst(r.port, f, 4) == 4 && r.port->pending(r.port) == 4);
	CHECK(r.port->release(r.port, 5) == -EINVAL);
	CHECK(r.port->rx_burst(r.port, again, 8) == 8);
	for (uint32_t i = 0; i < 4; i++)
		CHECK(again[i].seg[0].iov_base == f[i].seg[0].iov_base);
	CHECK(r.port->release(r.port, 3) == 0);
	for (uint32_t i = 3; i < 8; i++)
		CHECK(is(&again[i], i, 100 + i));
	/* One never gives all of them back, and the frames still come. */
	for (uint32_t i = 10; i < 500; i++) {
		int n = r.port->rx_burst(r.port, f, MOST);

		CHECK(n >= 1 && is(&f[0], i - 7, 93 + i));
		CHECK(r.port->release(r.port, 1) == 0);
		arrives(&r, i, 100 + i, NULL);
	}
	CHECK(r.port->stats->rx_frames == 493);
	end(&r);
}

static void
a_burst_of_long_frames_loses_none(uint32_t hdr_len)
{
	const struct netbe_vnet_hdr tso = {.gso_type = NETBE_GSO_TCPV4, .gso_size = 1400};
	struct rig r = rig_of(SOCK_SEQPACKET, hdr_len, 1518);
	struct netbe_frame f[MOST];
	uint32_t got = 0;

	for (uint32_t i = 0; i < 6; i++)
		arrives(&r, i, i % 2 ? LONGEST : 60, i % 2 ? &tso : NULL);
	for (int n; (n = r.port->rx_burst(r.port, f, MOST)) > 0;) {
		for (int i = 0; i < n; i++, got++)
			CHECK(is(&f[i], got, got % 2 ? LONGEST : 60));
		CHECK(r.port->release(r.port, (uint32_t)n) == 0);
	}
	CHECK(got == 6 && sends(&r, 9, LONGEST, NETBE_GSO_TCPV4) == 1);
	got_out(&r, 9, LONGEST);
	CHECK(sends(&r, 9, LONGEST + 1, NETBE_GSO_TCPV4) == -EMSGSIZE);
	end(&r);
}

static void
frames_of_wrong_length_are_counted_and_the_next_comes(uint32_t hdr_len)
{
	const struct netbe_vnet_hdr tso = {.gso_type = NETBE_GSO_TCPV4, .gso_size = 1400};
	struct rig r = rig_of(SOCK_DGRAM, hdr_len, 1518);
	struct netbe_frame f[MOST];
	uint64_t *dropped = r.port->stats->rx_dropped;

	arrives(&r, 0, 13, NULL);
	arrives(&r, 1, 1519, NULL);
	arrives(&r, 2, 60, NULL);
	CHECK(send(r.ours, big, 1, 0) == 1);
	CHECK(send(r.ours, big, 0, 0) == 0);
	arrives(&r, 3, 60, NULL);
	memset(big, 0, sizeof(big));
	CHECK(send(r.ours, big, NETBE_FRAME_MAX + 5, 0) == NETBE_FRAME_MAX + 5);
	if (hdr_len != 0)
		arrives(&r, 4, LONGEST + 1, &tso); /* more than anybody here could send on */
	arrives(&r, 5, 1518, NULL);
	CHECK(r.port->rx_burst(r.port, f, MOST) == 3);
	CHECK(is(&f[0], 2, 60) && is(&f[1], 3, 60) && is(&f[2], 5, 1518));
	CHECK(dropped[NETBE_DROP_TOO_SHORT] == 3);
	CHECK(dropped[NETBE_DROP_TOO_LONG] == (hdr_len != 0 ? 3 : 2));
	CHECK(sends(&r, 0, 13, 0) == -EINVAL && sends(&r, 0, 1519, 0) == -EMSGSIZE);
	CHECK(r.port->stats->tx_frames == 0);
	end(&r);
}

static void
a_flood_of_bad_frames_does_not_keep_the_caller(void)
{
	struct rig r = rig_of(SOCK_DGRAM, 0, 1518);
	struct netbe_frame f[MOST];
	uint32_t sent = 0, looks = 0;

	while (send(r.ours, big, 5, 0) == 5)
		sent++;
	CHECK(sent > 2);
	CHECK(r.port->rx_burst(r.port, f, 2) == 0);
	CHECK(r.port->stats->rx_dropped[NETBE_DROP_TOO_SHORT] == 2);
	while (r.port->stats->rx_dropped[NETBE_DROP_TOO_SHORT] < sent && looks++ < sent)
		CHECK(r.port->rx_burst(r.port, f, MOST) == 0);
	CHECK(r.port->stats->rx_dropped[NETBE_DROP_TOO_SHORT] == sent);
	end(&r);
}

static void
a_full_socket_is_no_room_and_says_when_there_is_some(int type)
{
	struct rig r = rig_of(type, 0, 1518);
	struct netbe_frame f[MOST];
	struct iovec seg = {big, 1500};
	struct pollfd wait = {.fd = r.port->tx_wait.fd, .events = r.port->tx_wait.events};
	uint32_t sent = 0, got = 0;
	int n;

	for (uint32_t i = 0; i < MOST; i++)
		f[i] = (struct netbe_frame){.len = 1500, .nseg = 1, .seg = &seg};
	CHECK(poll(&wait, 1, 0) == 1);
	while ((n = r.port->tx_burst(r.port, f, MOST)) > 0)
		sent += (uint32_t)n;
	CHECK(n == -EAGAIN && sent > 0 && r.port->tx_burst(r.port, f, 1) == -EAGAIN);
	CHECK(poll(&wait, 1, 0) == 0 && r.port->link_up(r.port) == 1);
	CHECK(r.port->stats->tx_frames == sent && r.port->stats->tx_bytes == sent * 1500ull);
	while (recv(r.ours, big, sizeof(big), 0) == 1500)
		got++;
	CHECK(got == sent && poll(&wait, 1, 0) == 1 && r.port->tx_burst(r.port, f, 1) == 1);
	end(&r);
}

static void
a_burst_stops_at_the_frame_that_can_not_go(void)
{
	struct rig r = rig_of(SOCK_SEQPACKET, 0, 1518);
	struct iovec good = {big, 60}, bad = {big, 2000};
	struct netbe_frame f[3] = {{.len = 60, .nseg = 1, .seg = &good},
	                           {.len = 2000, .nseg = 1, .seg = &bad},
	                           {.len = 60, .nseg = 1, .seg = &good}};

	CHECK(r.port->tx_burst(r.port, f, 3) == 1);
	CHECK(r.port->tx_burst(r.port, f + 1, 2) == -EMSGSIZE);
	CHECK(r.port->tx_burst(r.port, f + 2, 1) == 1);
	CHECK(r.port->stats->tx_frames == 2 && r.port->stats->tx_bytes == 120);
	end(&r);
}

/* A frame in more pieces than a system call takes beside a header. */
static void
a_frame_of_many_segments_goes_in_one(uint32_t hdr_len)
{
	struct rig r = rig_of(SOCK_SEQPACKET, hdr_len, 9000);
	static struct iovec seg[NETBE_SEG_MAX + 1];
	struct netbe_frame f = {
	    .hdr.hdr_len = 7, .len = 4 * NETBE_SEG_MAX, .nseg = NETBE_SEG_MAX, .seg = seg};
	uint8_t bytes[4 * (NETBE_SEG_MAX + 1)];

	fill(bytes, 3, sizeof(bytes));
	for (uint32_t i = 0; i <= NETBE_SEG_MAX; i++)
		seg[i] = (struct iovec){bytes + 4 * i, 4};
	CHECK(r.port->tx_burst(r.port, &f, 1) == 1);
	got_out(&r, 3, f.len);
	f.nseg++;
	f.len += 4;
	CHECK(r.port->tx_burst(r.port, &f, 1) == -EMSGSIZE);
	end(&r);
}

static void
a_peer_that_hangs_up_is_told_after_its_last_frame(void)
{
	struct rig r = rig_of(SOCK_SEQPACKET, 0, 1518);
	struct netbe_frame f[MOST];
	struct pollfd wait = {.fd = r.port->rx_wait.fd, .events = r.port->rx_wait.events};

	CHECK(poll(&wait, 1, 0) == 0 && r.port->link_up(r.port) == 1);
	arrives(&r, 1, 60, NULL);
	arrives(&r, 2, 60, NULL);
	close(r.ours);
	r.ours = -1;
	CHECK(poll(&wait, 1, 0) == 1);
	CHECK(r.port->rx_burst(r.port, f, MOST) == 2 && is(&f[1], 2, 60));
	CHECK(r.port->rx_burst(r.port, f, 1) == 1 && is(&f[0], 1, 60));
	CHECK(r.port->release(r.port, 2) == 0);
	for (int i = 0; i < 3; i++)
		CHECK(r.port->rx_burst(r.port, f, MOST) == -EPIPE);
	CHECK(r.port->link_up(r.port) == 0);
	for (int i = 0; i < 3; i++)
		CHECK(sends(&r, 0, 60, 0) == -EPIPE);
	CHECK(r.port->stats->rx_frames == 2 && r.port->stats->tx_frames == 0);
	end(&r);
}

static void
sending_finds_out_that_the_peer_is_gone(int type)
{
	struct rig r = rig_of(type, 10, 1518);

	CHECK(sends(&r, 0, 60, 0) == 1);
	close(r.ours);
	r.ours = -1;
	CHECK(sends(&r, 0, 60, 0) == -EPIPE && sends(&r, 0, 60, 0) == -EPIPE);
	CHECK(r.port->link_up(r.port) == 0 && r.port->stats->tx_frames == 1);
	end(&r);
}

static void
a_descriptor_that_was_closed_is_an_error_and_not_silence(void)
{
	struct rig r = rig_of(SOCK_SEQPACKET, 0, 1518);
	struct netbe_frame f[1];

	close(r.theirs);
	CHECK(r.port->rx_burst(r.port, f, 1) == -EBADF && sends(&r, 0, 60, 0) == -EBADF);
	CHECK(r.port->link_up(r.port) == 0);
	r.theirs = open("/dev/null", O_RDONLY | O_CLOEXEC); /* the number means another thing now */
	CHECK(r.port->rx_burst(r.port, f, 1) == -EBADF && r.port->link_up(r.port) == 0);
	end(&r);
}

/* Pipes in packet mode: write(2) and read(2), and one descriptor for each way. */
static void
descriptors_that_are_no_sockets_do(uint32_t hdr_len)
{
	int in[2], out[2];
	struct netbe_port *port;
	struct netbe_frame f[4];
	struct iovec seg[2] = {{big, 20}, {big + 20, 40}};
	struct netbe_frame one = {.len = 60, .nseg = hdr_len != 0 ? 2 : 1, .seg = seg};

	if (one.nseg == 1)
		seg[0].iov_len = 60;
	CHECK(pipe2(in, O_DIRECT | O_NONBLOCK | O_CLOEXEC) == 0);
	CHECK(pipe2(out, O_DIRECT | O_NONBLOCK | O_CLOEXEC) == 0);
	port = nb_fd_port_new(in[0], out[1], NB_FD_EOF_IS_HANGUP, hdr_len, 14, 1518, NULL);
	CHECK(port != NULL && port->rx_wait.fd == in[0] && port->tx_wait.fd == out[1]);
	CHECK(port->rx_burst(port, f, 4) == 0);
	memset(big, 0, hdr_len);
	fill(big + hdr_len, 1, 60);
	CHECK(write(in[1], big, hdr_len + 60) == hdr_len + 60 && write(in[1], big, hdr_len + 30) == hdr_len + 30);
	CHECK(port->rx_burst(port, f, 4) == 2 && is(&f[0], 1, 60) && is(&f[1], 1, 30));
	CHECK(port->release(port, 2) == 0);
	CHECK(port->tx_burst(port, &one, 1) == 1 && read(out[0], big, sizeof(big)) == hdr_len + 60);
	close(in[1]);
	CHECK(port->rx_burst(port, f, 4) == -EPIPE && port->link_up(port) == 0);
	nb_fd_port_free(port);
	close(in[0]);
	close(out[0]);
	close(out[1]);
}

/* A frame may be lent from a file that others share: when one cuts it short, a system call finds nothing there. */
static void
a_frame_whose_memory_is_gone_is_refused_and_the_next_goes(uint32_t hdr_len)
{
	int file = memfd_create("shared", MFD_CLOEXEC), out[2];
	void *cut = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
	struct iovec good = {big, 60}, bad = {cut, 60};
	struct netbe_frame f[3] = {{.len = 60, .nseg = 1, .seg = &good},
	                           {.len = 60, .nseg = 1, .seg = &bad},
	                           {.len = 60, .nseg = 1, .seg = &good}};
	struct netbe_port *port;

	CHECK(file >= 0 && cut != MAP_FAILED);
	CHECK(pipe2(out, O_DIRECT | O_NONBLOCK | O_CLOEXEC) == 0);
	port = nb_fd_port_new(out[0], out[1], 0, hdr_len, 14, 1518, NULL);
	CHECK(port != NULL);
	CHECK(port->tx_burst(port, f, 3) == 1);
	CHECK(port->tx_burst(port, f + 1, 2) == -EFAULT);
	CHECK(port->tx_burst(port, f + 2, 1) == 1 && port->link_up(port) == 1);
	CHECK(port->stats->tx_frames == 2 && port->stats->tx_bytes == 120);
	nb_fd_port_free(port);
	munmap(cut, 4096);
	close(file);
	close(out[0]);
	close(out[1]);
}

static void
only_sensible_ports_are_made(void)
{
	uint64_t features[] = {NETBE_F_CSUM, 3};
	struct netbe_port *port;

	CHECK(nb_fd_port_new(0, 0, 0, 11, 14, 1518, NULL) == NULL && errno == EINVAL);
	CHECK(nb_fd_port_new(0, 0, 0, 0, 1519, 1518, NULL) == NULL && errno == EINVAL);
	CHECK(nb_fd_port_new(0, 0, 0, 0, 14, LONGEST + 1, NULL) == NULL && errno == EINVAL);
	port = nb_fd_port_new(0, 0, 0, 0, 60, LONGEST, features);
	CHECK(port != NULL && port->min_frame == 60 && port->max_frame == LONGEST);
	CHECK(port->features[0] == NETBE_F_CSUM && port->features[1] == 3);
	nb_fd_port_free(port);
	nb_fd_port_free(NULL);
}

int
main(void)
{
	for (uint32_t hdr_len = 0; hdr_len <= 12; hdr_len += hdr_len == 0 ? 10 : 2) {
		the_devices_header_is_taken_off_and_put_on(SOCK_SEQPACKET, hdr_len);
		the_devices_header_is_taken_off_and_put_on(SOCK_DGRAM, hdr_len);
		frames_of_wrong_length_are_counted_and_the_next_comes(hdr_len);
		a_frame_of_many_segments_goes_in_one(hdr_len);
		descriptors_that_are_no_sockets_do(hdr_len);
		a_frame_whose_memory_is_gone_is_refused_and_the_next_goes(hdr_len);
	}
	a_burst_of_long_frames_loses_none(10);
	a_burst_of_long_frames_loses_none(12);
	what_was_not_released_is_lent_again_first_and_unchanged();
	a_flood_of_bad_frames_does_not_keep_the_caller();
	a_full_socket_is_no_room_and_says_when_there_is_some(SOCK_SEQPACKET);
	a_full_socket_is_no_room_and_says_when_there_is_some(SOCK_DGRAM);
	a_burst_stops_at_the_frame_that_can_not_go();
	a_peer_that_hangs_up_is_told_after_its_last_frame();
	sending_finds_out_that_the_peer_is_gone(SOCK_SEQPACKET);
	sending_finds_out_that_the_peer_is_gone(SOCK_DGRAM);
	a_descriptor_that_was_closed_is_an_error_and_not_silence();
	only_sensible_ports_are_made();
	return 0;
}
