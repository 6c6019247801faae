/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The contract's sending calls over a port: they hand the caller's bytes to
 * it by reference, and do in software what it can't.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "counter.h"
#include "io_int.h"

/* No port asks for more than Ethernet's 60 bytes and a tag. */
static const uint8_t zeros[64];

/* What tx_burst said, as 0 or -errno: nothing and no reason is a full port too. */
static int
verdict(int sent)
{
	return sent > 0 ? 0 : sent < 0 ? sent : -EAGAIN;
}

static int
bad_header(struct netbe_port *port)
{
	nb_counter_add(&port->stats->tx_dropped[NETBE_DROP_BAD_HEADER], 1);
	return -EBADMSG;
}

/* Why the port did not take what we made of a frame. */
static enum netbe_drop
refusal(int error)
{
	switch (-error) {
	case EAGAIN:
		return NETBE_DROP_FULL;
	case EMSGSIZE:
		return NETBE_DROP_TOO_LONG;
	case EINVAL:
		return NETBE_DROP_TOO_SHORT;
	case EIO:
	case ENODEV:
	case EPIPE:
		return NETBE_DROP_LINK_DOWN;
	default:
		return NETBE_DROP_ERROR;
	}
}

/* Pieces from the first on; one that came out shorter than the port takes goes alone, with zeros behind it. */
static int
send_some_pieces(struct nb_io *io, const struct netbe_frame *piece, uint32_t n)
{
	struct netbe_port *port = io->port;
	struct netbe_frame f = *piece;
	uint32_t good = 0;

	while (good < n && piece[good].len >= port->min_frame)
		good++;
	if (good > 0 || port->min_frame > sizeof(zeros) || f.nseg > NETBE_SEG_MAX - 1)
		return port->tx_burst(port, piece, good > 0 ? good : 1);
	memcpy(io->padded, f.seg, f.nseg * sizeof(*f.seg));
	io->padded[f.nseg++] = (struct iovec){(void *)(uintptr_t)zeros, port->min_frame - f.len};
	f.len = port->min_frame;
	f.seg = io->padded;
	return port->tx_burst(port, &f, 1);
}

/* Cuts or finishes the frame, which the port does not take as it is. */
static int
send_pieces(struct nb_io *io, const struct netbe_frame *f)
{
	struct netbe_port *port = io->port;
	bool any = false;
	int n = nb_gso_begin(io->tx_gso, f, port->features[0]);

	if (n == -EINVAL)
		return bad_header(port);
	if (n < 0)
		return n;
	while ((n = nb_gso_next(io->tx_gso, io->out, NB_IO_BURST)) > 0) {
		for (int done = 0; done < n;) {
			int sent = send_some_pieces(io, io->out + done, (uint32_t)(n - done));

			if (sent > 0) {
				any = true;
				done += sent;
				continue;
			}
			if (!any)
				return verdict(sent);
			/* The frame went in part; the rest of its pieces is lost, as on a full wire. */
			uint64_t lost = (uint64_t)(n - done);
			while ((n = nb_gso_next(io->tx_gso, io->out, NB_IO_BURST)) > 0)
				lost += (uint64_t)n;
			nb_counter_add(&port->stats->tx_dropped[refusal(verdict(sent))], lost);
			return 0;
		}
	}
	return 0;
}

static int
send_frame(struct nb_io *io, struct netbe_frame *f)
{
	struct netbe_port *port = io->port;

	if (f->len < port->min_frame)
		return -EINVAL;
	if (f->len > NETBE_FRAME_MAX - NB_IO_HDR_MAX ||
	    (f->len > port->max_frame && f->hdr.gso_type == NETBE_GSO_NONE))
		return -EMSGSIZE;
	if (nb_io_plain(&f->hdr)) {
		memset(&f->hdr, 0, sizeof(f->hdr));
	} else {
		if (nb_hdr_check(f) != 0)
			return bad_header(port);
		if (nb_hdr_needs(&f->hdr, f) & ~port->features[0])
			return send_pieces(io, f);
	}
	return verdict(port->tx_burst(port, f, 1));
}

void
nb_io_enter_at_last(struct nb_io *io)
{
	while (!nb_io_enter(io))
		sched_yield();
}

void
nb_io_hold(struct nb_io *io)
{
	int gate = NB_IO_OPEN;

	while (io != NULL && gate != NB_IO_SHUT &&
	       !__atomic_compare_exchange_n(&io->gate, &gate, NB_IO_SHUT, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		if (gate == NB_IO_SENDING) {
			sched_yield(); /* for as long as one call that never waits */
			gate = NB_IO_OPEN;
		}
}

void
nb_io_let(struct nb_io *io)
{
	int gate = NB_IO_SHUT;

	if (io != NULL)
		__atomic_compare_exchange_n(&io->gate, &gate, NB_IO_OPEN, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

static int64_t
send_one(struct nb_io *io, const void *base, size_t len)
{
	struct iovec seg;
	struct netbe_frame f = {.nseg = 1, .seg = &seg};
	int result;

	if (io->nslot != 0)
		return -EBUSY;
	if (len < io->hdr_len)
		return -EINVAL;
	if (len > NETBE_FRAME_MAX)
		return -EMSGSIZE;
	nb_hdr_load(&f.hdr, base, io->hdr_len);
	f.len = (uint32_t)len - io->hdr_len;
	seg = (struct iovec){(uint8_t *)(uintptr_t)base + io->hdr_len, f.len};
	result = send_frame(io, &f);
	return result < 0 ? result : (int64_t)len;
}

int64_t
nb_io_send(struct nb_io *io, const void *base, size_t len)
{
	int64_t result;

	if (io == NULL || !nb_io_enter(io))
		return NB_IO_HELD;
	result = send_one(io, base, len);
	nb_io_leave(io);
	return result;
}

/* Frames that need nothing, from number `from` on, as one burst; 0 when that one needs care. */
static int
send_plain(struct nb_io *io, const uint8_t *base, const uint32_t *off, const uint32_t *len, uint32_t n)
{
	uint32_t k;

	for (k = 0; k < n && k < NB_IO_BURST; k++) {
		struct netbe_frame *f = &io->out[k];

		if (len[k] < io->hdr_len)
			break;
		nb_hdr_load(&f->hdr, base + off[k], io->hdr_len);
		if (!nb_io_plain(&f->hdr))
			break;
		memset(&f->hdr, 0, sizeof(f->hdr));
		f->len = len[k] - io->hdr_len;
		io->out_seg[k] = (struct iovec){(uint8_t *)(uintptr_t)base + off[k] + io->hdr_len, f->len};
		f->nseg = 1;
		f->seg = &io->out_seg[k];
	}
	return k == 0 ? 0 : io->port->tx_burst(io->port, io->out, k);
}

static int64_t
send_many(struct nb_io *io, const void *base, size_t cap, const uint32_t *off, const uint32_t *len, uint32_t n)
{
	uint32_t sent = 0;

	if (io->nslot != 0)
		return -EBUSY;
	for (uint32_t i = 0; i < n; i++)
		if (off[i] > cap || len[i] > cap - off[i])
			return -EFAULT;
	while (sent < n) {
		int result = send_plain(io, base, off + sent, len + sent, n - sent);

		if (result > 0) {
			sent += (uint32_t)result;
			continue;
		}
		if (result == 0) {
			int64_t one = send_one(io, (const uint8_t *)base + off[sent], len[sent]);

			if (one >= 0) {
				sent++;
				continue;
			}
			result = (int)one;
		}
		return sent > 0 ? (int64_t)sent : result;
	}
	return sent;
}

int64_t
nb_io_send_burst(struct nb_io *io, const void *base, size_t cap, const uint32_t *off, const uint32_t *len,
                 uint32_t n)
{
	int64_t result;

	if (io == NULL || !nb_io_enter(io))
		return NB_IO_HELD;
	result = send_many(io, base, cap, off, len, n);
	nb_io_leave(io);
	return result;
}

int
nb_io_arm_send(struct nb_io *io)
{
	int result = 0;

	nb_io_enter_at_last(io);
	if (NETBE_PORT_HAS(io->port, arm))
		result = io->port->arm(io->port, NETBE_ARM_TX);
	nb_io_leave(io);
	return result;
}
