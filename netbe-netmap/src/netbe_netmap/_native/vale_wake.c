/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sleeping and waking: a datagram socket for each direction of a ring, which
 * epoll and asyncio take, and which vanishes with its owner.
 *
 * A sleeper sets its flag, fences and looks again; who publishes fences and
 * looks at the flag: no wake-up is lost between honest members.  One that is
 * killed in between, or that clears the flags of others, costs a sleeper at
 * most the time of a timer.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "vale_int.h"

#define LOOK_AGAIN_NS 250000000
#define DRAIN_MAX 16 /* datagrams read at once: a flood of them must not keep us */

static int
bound_socket(const struct vale_ring *q, char way)
{
	const struct vale *v = q->v;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[VALE_PATH + 32];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	vale_socket_path(&v->files, path, v->index, v->gen, q->number, way);
	if (strlen(path) >= sizeof(address.sun_path)) {
		close(fd);
		return -ENAMETOOLONG;
	}
	strcpy(address.sun_path, path);
	unlink(path); /* of somebody who died while he attached */
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	/* Whatever the umask: who may map our region may wake us. Else he costs us the time of a timer. */
	(void)!fchmodat(AT_FDCWD, path, v->files.mode, AT_SYMLINK_NOFOLLOW);
	return fd;
}

/* An epoll set in an epoll set is readable when anything in it is. */
static int
set_of(int fd, int timer)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int set = epoll_create1(EPOLL_CLOEXEC);

	if (set >= 0 && (epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev) != 0 || epoll_ctl(set, EPOLL_CTL_ADD, timer, &ev) != 0)) {
		close(set);
		set = -1;
	}
	return set < 0 ? -errno : set;
}

int
vale_wake_begin(struct vale_ring *q)
{
	q->wake_rx = q->wake_tx = q->wake_out = q->rx_timer = q->tx_timer = q->rx_set = q->tx_set = -1;
	if ((q->wake_rx = bound_socket(q, 'r')) < 0)
		return q->wake_rx;
	if ((q->wake_tx = bound_socket(q, 't')) < 0)
		return q->wake_tx;
	q->wake_out = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (q->wake_out < 0)
		return -errno;
	q->rx_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	q->tx_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (q->rx_timer < 0 || q->tx_timer < 0)
		return -errno;
	if ((q->rx_set = set_of(q->wake_rx, q->rx_timer)) < 0)
		return q->rx_set;
	if ((q->tx_set = set_of(q->wake_tx, q->tx_timer)) < 0)
		return q->tx_set;
	return 0;
}

void
vale_wake_end(struct vale_ring *q)
{
	const int fds[] = {q->rx_set, q->tx_set, q->wake_rx, q->wake_tx, q->wake_out, q->rx_timer, q->tx_timer};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	q->wake_rx = q->wake_tx = q->wake_out = q->rx_timer = q->tx_timer = q->rx_set = q->tx_set = -1;
}

static void
drain(int fd)
{
	char byte;

	for (int i = 0; i < DRAIN_MAX && recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) >= 0; i++)
		continue;
}

int
vale_arm(void *ctx, uint32_t what)
{
	/* Set anew, a timer also forgets that it has expired. */
	static const struct itimerspec soon = {.it_value.tv_nsec = LOOK_AGAIN_NS};
	struct vale_ring *q = ctx;
	uint64_t expired;

	if (what & NETBE_ARM_RX) {
		if (read(q->rx_timer, &expired, sizeof(expired)) == (ssize_t)sizeof(expired))
			q->look_everywhere = true;
		timerfd_settime(q->rx_timer, 0, &soon, NULL);
		drain(q->wake_rx);
		__atomic_store_n(&q->own->inbox[q->number].armed, 1, __ATOMIC_RELAXED);
	}
	if (what & NETBE_ARM_TX) {
		timerfd_settime(q->tx_timer, 0, &soon, NULL);
		drain(q->wake_tx);
		for (uint64_t left = vale_awaited(q); left != 0; left &= left - 1)
			__atomic_store_n(&q->to[__builtin_ctzll(left)].lane->want_room, 1, __ATOMIC_RELAXED);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return 0;
}

void
vale_wake(struct vale_ring *q, uint32_t *armed, uint32_t index, uint32_t gen, uint32_t ring, char way)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[VALE_PATH + 32];

	/* seq_cst, as an inbox's bit is set: else a processor may read this before that is seen. A fence costs more. */
	if (__atomic_load_n(armed, __ATOMIC_SEQ_CST) == 0 || __atomic_exchange_n(armed, 0, __ATOMIC_ACQ_REL) == 0)
		return;
	vale_socket_path(&q->v->files, path, index, gen, ring, way);
	if (strlen(path) >= sizeof(address.sun_path))
		return;
	strcpy(address.sun_path, path);
	/* A full queue is a wake-up that waits already; a dead member needs none. */
	(void)!sendto(q->wake_out, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof(address));
}
