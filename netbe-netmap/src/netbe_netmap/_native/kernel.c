/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <net/if.h>
#ifdef __linux__
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/epoll.h>
#endif
#ifdef __FreeBSD__
#include <net/if_media.h>
#endif

#include "kernel.h"
#include "nmport_int.h"

/*
 * What a VALE switch of the kernel must be spared.
 *
 * More than 255 slots to a frame: it counts them in 8 bits, and never ends.
 *
 * Behind a header that the receiver has and the sender has not (or a longer
 * one) it copies a slot's bytes, their number rounded up to a multiple of 64,
 * and looks at no buffer's end: a full first slot overwrites the begin of the
 * buffer behind, which may be anybody's.
 */
#define VALE_FRAGS 255u
#define VALE_SPARE 64u

/* Bytes of an Ethernet header with a tag: what a NIC's MTU does not count. */
#define TAGGED_HEADER 18u

/* What one polls for one direction. */
struct waiter {
	int fd;      /* an epoll, or netmap's descriptor itself */
	int changes; /* a netlink socket that tells when links change; -1 none */
	bool asleep; /* netmap's descriptor is taken out of it */
};

struct nm_kernel {
	int fd;
	nm_ioctl_fn ioctl_fn;

	bool is_nic;
	int sock; /* of the NIC's network namespace, which /sys need not show */
	int index;
	char nic[IF_NAMESIZE];
	struct waiter rx, tx;
};

/* --- requests and memory */

int
nm_kernel_control(int fd, uint32_t reqtype, const char *name, void *body)
{
	struct nmreq_header header = {
	    .nr_version = NM_API_OLDEST,
	    .nr_reqtype = (uint16_t)reqtype,
	    .nr_body = (uint64_t)(uintptr_t)body,
	};
	size_t len = strlen(name);

	if (len >= sizeof(header.nr_name))
		return -ENAMETOOLONG;
	memcpy(header.nr_name, name, len);
	while (ioctl(fd, NM_IOC_CTRL, &header) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

void *
nm_kernel_map(int fd, uint64_t size)
{
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return base == MAP_FAILED ? NULL : base;
}

int
nm_kernel_blank(void *base, uint64_t size)
{
	void *got = mmap(base, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON | MAP_FIXED, -1, 0);

	return got == MAP_FAILED ? -errno : 0;
}

int
nm_kernel_unmap(void *base, uint64_t size)
{
	return munmap(base, size) < 0 ? -errno : 0;
}

static const struct netmap_if *
interface_at(const void *base, uint64_t size, uint64_t offset, struct nm_kernel_info *info)
{
	const struct netmap_if *nifp;
	uint64_t entries;

	if (offset % sizeof(uint64_t) != 0 || offset > size || size - offset < sizeof(*nifp))
		return NULL;
	nifp = (const struct netmap_if *)(const void *)((const uint8_t *)base + offset);
	*info = (struct nm_kernel_info){
	    .tx_rings = nifp->ni_tx_rings,
	    .rx_rings = nifp->ni_rx_rings,
	    .host_tx_rings = nifp->ni_host_tx_rings,
	    .host_rx_rings = nifp->ni_host_rx_rings,
	};
	entries = (uint64_t)info->tx_rings + info->host_tx_rings + info->rx_rings + info->host_rx_rings;
	return entries <= (size - offset - sizeof(*nifp)) / sizeof(nifp->ring_ofs[0]) ? nifp : NULL;
}

int
nm_kernel_info(const void *base, uint64_t size, uint64_t offset, struct nm_kernel_info *info)
{
	return interface_at(base, size, offset, info) != NULL ? 0 : -EINVAL;
}

/* The ring of that entry, if all of it lies inside; *slots is the copy to go by. */
static struct netmap_ring *
ring_at(const struct nm_kernel_config *c, const struct netmap_if *nifp, uint32_t entry, uint32_t *slots)
{
	/* Relative to the netmap_if, which need not lie at 0. */
	uint64_t at = c->offset + (uint64_t)nifp->ring_ofs[entry];
	struct netmap_ring *ring;

	if (nifp->ring_ofs[entry] == 0) /* host rings of a switch's port */
		return NULL;
	if (at % sizeof(uint64_t) != 0 || at > c->size || c->size - at < sizeof(*ring))
		return NULL;
	ring = (struct netmap_ring *)(void *)((uint8_t *)c->base + at);
	*slots = ring->num_slots;
	return *slots <= (c->size - at - sizeof(*ring)) / sizeof(ring->slot[0]) ? ring : NULL;
}

static bool
find_rings(const struct nm_kernel_config *c, struct nm_port_config *out)
{
	struct nm_kernel_info info;
	const struct netmap_if *nifp = interface_at(c->base, c->size, c->offset, &info);
	uint64_t buffers;
	uint32_t tx, rx;

	if (nifp == NULL || c->tx_ring >= (c->host ? info.host_tx_rings : info.tx_rings) ||
	    c->rx_ring >= (c->host ? info.host_rx_rings : info.rx_rings))
		return false;
	tx = c->tx_ring + (c->host ? info.tx_rings : 0);
	rx = info.tx_rings + info.host_tx_rings + c->rx_ring + (c->host ? info.rx_rings : 0);
	out->tx = ring_at(c, nifp, tx, &out->tx_slots);
	out->rx = ring_at(c, nifp, rx, &out->rx_slots);
	if (out->tx == NULL || out->rx == NULL)
		return false;
	buffers = (uint64_t)((uint8_t *)out->tx - (uint8_t *)c->base) + (uint64_t)out->tx->buf_ofs;
	if (buffers != (uint64_t)((uint8_t *)out->rx - (uint8_t *)c->base) + (uint64_t)out->rx->buf_ofs)
		return false;
	out->buf_size = out->tx->nr_buf_size;
	if (out->buf_size == 0 || out->buf_size != out->rx->nr_buf_size || buffers >= c->size)
		return false;
	out->buf_base = (const uint8_t *)c->base + buffers;
	out->nbufs = (uint32_t)((c->size - buffers) / out->buf_size);
	return true;
}

/* max_frame is no more than the ring can take. */
static void
bound_frames(struct nm_port_config *config)
{
	uint32_t frags = config->tx_slots - 1;
	uint64_t room;

	if (config->tx_frags != 0 && config->tx_frags < frags)
		frags = config->tx_frags;
	room = (uint64_t)frags * config->buf_size;
	room = room > config->tx_spare + NM_HDR_MAX ? room - config->tx_spare - NM_HDR_MAX : 0;
	if (config->max_frame > room)
		config->max_frame = (uint32_t)room;
}

/* --- a NIC's link */

/* By the NIC's name, or by the one that it was given since: 0 or -1 with errno. */
static int
ask(const struct nm_kernel *k, unsigned long what, struct ifreq *request)
{
	memset(request, 0, sizeof(*request));
	memcpy(request->ifr_name, k->nic, sizeof(k->nic));
	if (ioctl(k->sock, what, request) == 0)
		return 0;
#ifdef SIOCGIFNAME
	if (errno == ENODEV && k->index != 0) {
		memset(request, 0, sizeof(*request));
		request->ifr_ifindex = k->index;
		if (ioctl(k->sock, SIOCGIFNAME, request) == 0)
			return ioctl(k->sock, what, request);
	}
#endif
	return -1;
}

/* 1 up, 0 down, -ENODEV the NIC is gone.  The kernel says "not running" before it has done the first thing. */
static int
carrier(const struct nm_kernel *k)
{
	struct ifreq request;
#ifdef __FreeBSD__
	struct ifmediareq media;
#endif

	if (ask(k, SIOCGIFFLAGS, &request) < 0)
		return errno == ENODEV || errno == ENXIO ? -ENODEV : 0;
#ifdef __FreeBSD__
	/* There IFF_RUNNING says nothing of the cable. */
	memset(&media, 0, sizeof(media));
	memcpy(media.ifm_name, k->nic, sizeof(k->nic));
	if (ioctl(k->sock, SIOCGIFMEDIA, &media) == 0 && (media.ifm_status & IFM_AVALID) &&
	    (media.ifm_status & IFM_ACTIVE) == 0)
		return 0;
#endif
	return (request.ifr_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
}

#ifdef __linux__
static int
watch(int epoll, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int
waiter_open(struct waiter *w)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};

	w->asleep = true; /* until the first sync has looked at the link: adding a descriptor polls it */
	w->fd = epoll_create1(EPOLL_CLOEXEC);
	w->changes = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (w->fd < 0 || w->changes < 0 || bind(w->changes, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return watch(w->fd, w->changes, EPOLLIN);
}

/* Netmap's descriptor into the epoll, or out of it. */
static void
waiter_follow(struct waiter *w, int fd, uint32_t events, bool up)
{
	if (up == !w->asleep)
		return;
	if (up)
		w->asleep = watch(w->fd, fd, events) < 0 && errno != EEXIST;
	else
		w->asleep = epoll_ctl(w->fd, EPOLL_CTL_DEL, fd, NULL) == 0 || errno == ENOENT;
}

static void
waiter_drain(const struct waiter *w)
{
	char bytes[4096];

	/* What they say does not matter; ENOBUFS is one of them as well. */
	while (recv(w->changes, bytes, sizeof(bytes), MSG_DONTWAIT) >= 0 || errno == EINTR || errno == ENOBUFS)
		continue;
}
#define WAIT_RX EPOLLIN
#define WAIT_TX EPOLLOUT
#else
static int
waiter_open(struct waiter *w)
{
	w->fd = w->changes = -1;
	return 0;
}

static void
waiter_follow(struct waiter *w, int fd, uint32_t events, bool up)
{
	(void)w, (void)fd, (void)events, (void)up;
}

static void
waiter_drain(const struct waiter *w)
{
	(void)w;
}
#define WAIT_RX 0
#define WAIT_TX 0
#endif

static void
waiter_close(struct waiter *w)
{
	if (w->changes >= 0) {
		close(w->changes);
		close(w->fd);
	} else if (w->fd >= 0) {
		close(w->fd);
	}
	w->fd = w->changes = -1;
}

/* --- the port's operations */

static int
sync_rings(struct nm_kernel *k, unsigned long request)
{
	for (;;) {
		int result = k->ioctl_fn != NULL ? k->ioctl_fn(k->fd, request, NULL) : ioctl(k->fd, request, NULL);

		if (result >= 0)
			return 0;
		switch (errno) {
		case EINTR:
			continue;
		case EIO: /* the interface is being deleted, and waits for us to close */
		case ENXIO:
		case ENODEV:
			return -ENODEV;
		case EBADF:
			return -EBADF;
		case EAGAIN: /* somebody else is at the same ring */
		case EBUSY:
			return 0;
		default:
			return -errno;
		}
	}
}

/* 0: the rings may be synced. */
static int
look_at_link(struct nm_kernel *k, struct waiter *w, uint32_t events)
{
	int up;

	if (!k->is_nic)
		return 0;
	if (w->changes >= 0)
		waiter_drain(w); /* first: what changes after the look wakes us */
	up = carrier(k);
	if (w->changes >= 0)
		waiter_follow(w, k->fd, events, up > 0);
	return up > 0 ? 0 : up == 0 ? -EIO : up;
}

static int
kernel_txsync(void *ctx)
{
	struct nm_kernel *k = ctx;
	int result = look_at_link(k, &k->tx, WAIT_TX);

	return result != 0 ? result : sync_rings(k, NM_IOC_TXSYNC);
}

static int
kernel_rxsync(void *ctx)
{
	struct nm_kernel *k = ctx;
	int result = look_at_link(k, &k->rx, WAIT_RX);

	return result != 0 ? result : sync_rings(k, NM_IOC_RXSYNC);
}

static int
kernel_link_up(void *ctx)
{
	struct nm_kernel *k = ctx;

	if (k->is_nic)
		return carrier(k) > 0;
	return 1; /* netmap tells nothing of a pipe's other end */
}

static const struct nm_ops kernel_ops = {
    .txsync = kernel_txsync,
    .rxsync = kernel_rxsync,
    .link_up = kernel_link_up,
};

static int
open_link(struct nm_kernel *k, const char *nic, uint32_t *max_frame)
{
	struct ifreq request;
	uint32_t mtu = 1500;

	if (strlen(nic) >= sizeof(k->nic)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	k->is_nic = true;
	strcpy(k->nic, nic);
	k->sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (k->sock < 0)
		return -1;
#ifdef SIOCGIFINDEX
	if (ask(k, SIOCGIFINDEX, &request) == 0)
		k->index = request.ifr_ifindex;
#endif
	if (ask(k, SIOCGIFMTU, &request) == 0 && request.ifr_mtu > 0)
		mtu = (uint32_t)request.ifr_mtu;
	if (*max_frame > mtu + TAGGED_HEADER)
		*max_frame = mtu + TAGGED_HEADER;
	return waiter_open(&k->rx) < 0 || waiter_open(&k->tx) < 0 ? -1 : 0;
}

static void
kernel_free(struct nm_kernel *k)
{
	int saved = errno;

	waiter_close(&k->rx);
	waiter_close(&k->tx);
	if (k->sock >= 0)
		close(k->sock);
	free(k);
	errno = saved;
}

struct netbe_port *
nm_kernel_port_new(const struct nm_kernel_config *c)
{
	struct nm_port_config config = {.hdr_len = c->hdr_len, .max_frame = c->max_frame};
	struct netbe_port *port = NULL;
	struct nm_kernel *k;

	if (!find_rings(c, &config)) {
		errno = EINVAL;
		return NULL;
	}
	if (c->vale) {
		config.tx_frags = VALE_FRAGS;
		config.tx_spare = VALE_SPARE;
	}
	k = malloc(sizeof(*k));
	if (k == NULL)
		return NULL;
	*k = (struct nm_kernel){
	    .fd = c->fd,
	    .ioctl_fn = c->ioctl_fn,
	    .sock = -1,
	    .rx = {.fd = -1, .changes = -1},
	    .tx = {.fd = -1, .changes = -1},
	};
	if (c->nic == NULL || open_link(k, c->nic, &config.max_frame) == 0) {
		bool own = k->rx.fd >= 0;

		config.rx_wait = (struct netbe_wait){.fd = own ? k->rx.fd : c->fd, .events = POLLIN};
		config.tx_wait = (struct netbe_wait){.fd = own ? k->tx.fd : c->fd, .events = own ? POLLIN : POLLOUT};
		/* Other descriptors on the port, and the members of its switch, share the region. */
		config.flags = NETBE_PORT_UNTRUSTED;
		bound_frames(&config);
		port = nm_port_new(&config, &kernel_ops, k);
	}
	if (port == NULL) {
		kernel_free(k);
		return NULL;
	}
	/* Now it is known whether netmap's descriptor may be polled. */
	if (look_at_link(k, &k->rx, WAIT_RX) == 0)
		look_at_link(k, &k->tx, WAIT_TX);
	return port;
}

void
nm_kernel_port_free(struct netbe_port *port)
{
	if (port != NULL) {
		struct nm_kernel *k = nm_self(port)->ctx;

		nm_port_free(port);
		kernel_free(k);
	}
}
