/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port over descriptors with one frame a read.
 *
 * Frames are read into one arena, one behind the other, so that small ones
 * stay dense and a burst of long ones still fits a processor's cache.  What
 * was read and not released stays where it is and is lent again.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <poll.h>

#include "counter.h"
#include "fdport.h"
#include "memory.h"
#include "services.h"

#define LENT_MAX 64u
#define BURST_BYTES 131072u /* a burst ends behind so many bytes: they should still be cached when they go out */
#define READ_SIZE (NETBE_FRAME_MAX + 1u) /* one more than any frame: what fills it was cut */
#define ALIGN 16u
#define ARENA (BURST_BYTES + READ_SIZE + 2u * ALIGN)
#define HDR_MAX 12u
#define LONGEST (NETBE_FRAME_MAX - HDR_MAX) /* of the frame alone: with any header it is no more than NETBE_FRAME_MAX */

struct fd_port {
	struct netbe_port port; /* first */
	struct netbe_port_stats stats;
	int rx_fd, tx_fd;
	uint32_t flags, hdr_len;

	/* receiving */
	int rx_gone; /* 0, or -errno from now on; atomic: link_up() looks at it too */
	uint32_t first, count; /* of the lent ones, in the arrays below */
	size_t end;            /* bytes of the arena in use */
	struct netbe_frame frame[LENT_MAX];
	struct iovec seg[LENT_MAX];
	uint8_t *arena;

	/* sending */
	int tx_gone; /* likewise */
};

static struct fd_port *
self(struct netbe_port *port)
{
	return (struct fd_port *)port;
}

/* What an errno of read or write says of the other side, in netbe.h's words. */
static int
verdict(int error)
{
	switch (error) {
	case ENOBUFS:
	case ENOMEM:
	case EWOULDBLOCK:
		return -EAGAIN;
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTUNREACH:
	case EIO:
		return -EIO;
	case EBADFD: /* a tap whose interface was deleted */
	case ENXIO:
	case ENODEV:
		return -ENODEV;
	case ECONNRESET:
	case ECONNREFUSED:
	case ENOTCONN:
	case EPIPE:
		return -EPIPE;
	default:
		return -error;
	}
}

/* Whether no later call can succeed. */
static bool
final(int result)
{
	return result == -ENODEV || result == -EPIPE || result == -EBADF;
}

static void
drop_rx(struct fd_port *p, enum netbe_drop why)
{
	nb_counter_add(&p->stats.rx_dropped[why], 1);
}

/*
 * Reads one frame to the arena's end.  1: it is lent; 0: there was none;
 * -EAGAIN: it was dropped, look again; else gone.
 */
static int
read_one(struct fd_port *p)
{
	uint8_t *at = p->arena + p->end + ALIGN - p->hdr_len; /* the frame itself is aligned */
	struct netbe_frame *f = &p->frame[p->first + p->count];
	ssize_t got;
	uint32_t len;

	do
		got = read(p->rx_fd, at, READ_SIZE);
	while (got < 0 && errno == EINTR);
	if (got < 0) {
		/* EFAULT: a tap that is being taken down; our memory is good. */
		int result = errno == EFAULT && (p->flags & NB_FD_SOCKET) == 0 ? -ENODEV : verdict(errno);

		/* A down interface has no frames; it is not gone. */
		return result == -EAGAIN || result == -EIO ? 0 : result;
	}
	if (got == 0 && (p->flags & NB_FD_EOF_IS_HANGUP))
		return -EPIPE;
	if (got == 0 || (size_t)got < p->hdr_len + (size_t)p->port.min_frame) {
		drop_rx(p, NETBE_DROP_TOO_SHORT);
		return -EAGAIN;
	}
	len = (uint32_t)got - p->hdr_len;
	nb_hdr_load(&f->hdr, at, p->hdr_len);
	if (len > LONGEST || (len > p->port.max_frame && f->hdr.gso_type == NETBE_GSO_NONE)) {
		drop_rx(p, NETBE_DROP_TOO_LONG);
		return -EAGAIN;
	}
	p->seg[p->first + p->count] = (struct iovec){at + p->hdr_len, len};
	f->len = len;
	f->nseg = 1;
	f->reserved = 0;
	f->seg = &p->seg[p->first + p->count];
	p->end += ALIGN + (len + ALIGN - 1) / ALIGN * ALIGN;
	p->count++;
	return 1;
}

static int
fd_rx_burst(struct netbe_port *port, struct netbe_frame *frames, uint32_t n)
{
	struct fd_port *p = self(port);
	/* Dropped frames cost turns too: a flood of bad ones must not keep the caller here. */
	uint32_t turns = n > LENT_MAX ? LENT_MAX : n;

	if (p->count == 0)
		p->first = 0, p->end = 0;
	while (p->count < n && turns-- > 0 && p->rx_gone == 0 && p->first + p->count < LENT_MAX &&
	       p->end < BURST_BYTES) {
		int result = read_one(p);

		if (result == 0)
			break;
		if (result < 0 && result != -EAGAIN)
			__atomic_store_n(&p->rx_gone, result, __ATOMIC_RELAXED);
	}
	if (p->count == 0)
		return p->rx_gone;
	if (n > p->count)
		n = p->count;
	memcpy(frames, &p->frame[p->first], n * sizeof(*frames));
	return (int)n;
}

static int
fd_release(struct netbe_port *port, uint32_t n)
{
	struct fd_port *p = self(port);
	uint64_t bytes = 0;

	if (n > p->count)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++)
		bytes += p->frame[p->first + i].len;
	p->first += n;
	p->count -= n;
	nb_counter_add(&p->stats.rx_frames, n);
	nb_counter_add(&p->stats.rx_bytes, bytes);
	return 0;
}

static int
write_one(struct fd_port *p, const struct netbe_frame *f)
{
	struct iovec iov[1 + NETBE_SEG_MAX];
	uint8_t hdr[HDR_MAX];
	uint32_t n = 0;
	ssize_t done;

	if (f->len < p->port.min_frame)
		return -EINVAL;
	if ((f->len > p->port.max_frame && f->hdr.gso_type == NETBE_GSO_NONE) ||
	    f->len > LONGEST || f->nseg > NETBE_SEG_MAX)
		return -EMSGSIZE;
	if (p->hdr_len != 0) {
		nb_hdr_store(hdr, &f->hdr, p->hdr_len);
		iov[n++] = (struct iovec){hdr, p->hdr_len};
	}
	memcpy(&iov[n], f->seg, f->nseg * sizeof(*iov));
	n += f->nseg;
	do {
		if (p->flags & NB_FD_SOCKET) {
			struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n};

			done = sendmsg(p->tx_fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		} else if (n == 1) {
			done = write(p->tx_fd, iov[0].iov_base, iov[0].iov_len);
		} else {
			done = writev(p->tx_fd, iov, (int)n);
		}
	} while (done < 0 && errno == EINTR);
	/* EFAULT: this frame's memory is not there; it may be lent, and somebody else's who has cut it short. */
	return done < 0 ? verdict(errno) : 0;
}

static int
fd_tx_burst(struct netbe_port *port, const struct netbe_frame *frames, uint32_t n)
{
	struct fd_port *p = self(port);
	uint64_t bytes = 0;
	uint32_t sent = 0;
	int result = p->tx_gone;

	while (sent < n && result == 0) {
		result = write_one(p, &frames[sent]);
		if (result == 0)
			bytes += frames[sent++].len;
	}
	if (final(result))
		__atomic_store_n(&p->tx_gone, result, __ATOMIC_RELAXED);
	if (sent == 0)
		return result;
	nb_counter_add(&p->stats.tx_frames, sent);
	nb_counter_add(&p->stats.tx_bytes, bytes);
	return (int)sent;
}

static int
fd_pending(struct netbe_port *port)
{
	return (int)self(port)->count;
}

static int
fd_link_up(struct netbe_port *port)
{
	struct fd_port *p = self(port);
	struct pollfd look = {.fd = p->rx_fd};

	if (__atomic_load_n(&p->rx_gone, __ATOMIC_RELAXED) != 0 ||
	    __atomic_load_n(&p->tx_gone, __ATOMIC_RELAXED) != 0)
		return 0;
	/* A tap's POLLERR: its interface was deleted. */
	return poll(&look, 1, 0) <= 0 || (look.revents & (POLLERR | POLLNVAL | POLLHUP)) == 0;
}

struct netbe_port *
nb_fd_port_new(int rx_fd, int tx_fd, uint32_t flags, uint32_t dev_hdr_len, uint32_t min_frame,
               uint32_t max_frame, const uint64_t *features)
{
	struct fd_port *p;

	if ((dev_hdr_len != 0 && dev_hdr_len != 10 && dev_hdr_len != 12) || min_frame > max_frame ||
	    max_frame > LONGEST) {
		errno = EINVAL;
		return NULL;
	}
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	p->arena = nb_memory_new(ARENA);
	if (p->arena == NULL) {
		free(p);
		errno = ENOMEM;
		return NULL;
	}
	p->rx_fd = rx_fd;
	p->tx_fd = tx_fd;
	p->flags = flags;
	p->hdr_len = dev_hdr_len;
	p->port = (struct netbe_port){
	    .abi = NETBE_ABI,
	    .size = sizeof(struct netbe_port),
	    .min_frame = min_frame,
	    .max_frame = max_frame,
	    .rx_wait = {.fd = rx_fd, .events = POLLIN},
	    .tx_wait = {.fd = tx_fd, .events = POLLOUT},
	    .stats = &p->stats,
	    .services = &nb_services,
	    .rx_burst = fd_rx_burst,
	    .release = fd_release,
	    .tx_burst = fd_tx_burst,
	    .pending = fd_pending,
	    .link_up = fd_link_up,
	};
	for (int i = 0; features != NULL && i < NETBE_FEATURE_WORDS; i++)
		p->port.features[i] = features[i];
	return &p->port;
}

void
nb_fd_port_free(struct netbe_port *port)
{
	if (port != NULL) {
		nb_memory_drop(self(port)->arena);
		free(self(port));
	}
}

void *
nb_fd_memory(struct netbe_port *port, size_t *size)
{
	*size = ARENA;
	return nb_memory_hold(self(port)->arena);
}
