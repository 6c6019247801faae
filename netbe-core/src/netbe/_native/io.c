/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The contract's receiving calls over a port.
 *
 * They keep a burst of lent frames and walk along it; a frame that asks for
 * more than was agreed is cut, and the walk goes along its pieces before the
 * frame itself is released.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "counter.h"
#include "io_int.h"

#define ALIGN 16u

struct nb_io *
nb_io_new(struct netbe_port *port)
{
	struct nb_io *io = calloc(1, sizeof(*io));

	if (io == NULL)
		return NULL;
	io->port = port;
	io->rx_gso = nb_gso_new();
	io->tx_gso = nb_gso_new();
	if (io->rx_gso == NULL || io->tx_gso == NULL) {
		nb_io_free(io);
		return NULL;
	}
	return io;
}

void
nb_io_free(struct nb_io *io)
{
	if (io == NULL)
		return;
	nb_gso_free(io->rx_gso);
	nb_gso_free(io->tx_gso);
	free(io);
}

/* What a frame may ask of us (GUEST_*), in the bits of what it asks of a receiver (CSUM, HOST_*). */
static uint64_t
mirrored(uint64_t features)
{
	static const uint64_t pair[][2] = {
	    {NETBE_F_GUEST_CSUM, NETBE_F_CSUM},      {NETBE_F_GUEST_TSO4, NETBE_F_HOST_TSO4},
	    {NETBE_F_GUEST_TSO6, NETBE_F_HOST_TSO6}, {NETBE_F_GUEST_ECN, NETBE_F_HOST_ECN},
	    {NETBE_F_GUEST_UFO, NETBE_F_HOST_UFO},
	};
	uint64_t result = 0;

	for (size_t i = 0; i < sizeof(pair) / sizeof(pair[0]); i++)
		if (features & pair[i][0])
			result |= pair[i][1];
	/* One bit towards the host, two towards the guest: only who takes both takes any. */
	if ((features & NETBE_F_GUEST_USO4) && (features & NETBE_F_GUEST_USO6))
		result |= NETBE_F_HOST_USO;
	return result;
}

int
nb_io_set_cap(struct nb_io *io, uint64_t features, uint32_t hdr_len)
{
	if (hdr_len != 0 && hdr_len != 10 && hdr_len != 12)
		return -EINVAL;
	io->accepts = hdr_len == 0 ? 0 : mirrored(features);
	io->hdr_len = hdr_len;
	return 0;
}

/* --- receiving */

static void
drop_lent(struct nb_io *io, enum netbe_drop why)
{
	struct netbe_port_stats *stats = io->port->stats;

	io->port->release(io->port, 1);
	/* The port has counted it as received; it was not. */
	nb_counter_add(&stats->rx_frames, (uint64_t)-1);
	nb_counter_add(&stats->rx_bytes, -(uint64_t)io->lent[io->at].len);
	nb_counter_add(&stats->rx_dropped[why], 1);
	io->at++;
}

/*
 * Gets the next pieces of the frame that is being cut.  After the last one the
 * frame is released; pieces were counted one by one, so the frame itself is not.
 */
static void
next_pieces(struct nb_io *io)
{
	struct netbe_port_stats *stats = io->port->stats;
	int n = nb_gso_next(io->rx_gso, io->piece, NB_IO_BURST);

	io->at_piece = 0;
	io->npiece = n > 0 ? (uint32_t)n : 0;
	io->cutting = n > 0;
	if (io->cutting)
		return;
	io->port->release(io->port, 1);
	nb_counter_add(&stats->rx_frames, (uint64_t)-1);
	nb_counter_add(&stats->rx_bytes, -(uint64_t)io->lent[io->at].len);
	io->at++;
}

int
nb_io_judge(struct nb_io *io, struct netbe_frame *f, enum netbe_drop *why)
{
	*why = NETBE_DROP_TOO_SHORT;
	if (f->len == 0)
		return -1; /* a length of 0 would say "none", for ever */
	if (nb_io_plain(&f->hdr)) {
		memset(&f->hdr, 0, sizeof(f->hdr));
		return 1;
	}
	*why = NETBE_DROP_BAD_HEADER;
	if (nb_hdr_check(f) != 0)
		return -1;
	/* virtio 1.2, 5.1.6.4.1: without GUEST_CSUM there are no flags. */
	if ((io->accepts & NETBE_F_CSUM) == 0)
		f->hdr.flags &= (uint8_t)~NETBE_HDR_DATA_VALID;
	return (nb_hdr_needs(&f->hdr, f) & ~io->accepts) == 0;
}

const struct netbe_frame *
nb_io_head(struct nb_io *io, int *result)
{
	bool armed = false;

	if (io->inplace != 0) {
		*result = -EBUSY;
		return NULL;
	}
	for (;;) {
		enum netbe_drop why;
		int verdict;

		if (io->cutting)
			return &io->piece[io->at_piece];
		if (io->at == io->nlent) {
			int n = io->port->rx_burst(io->port, io->lent, NB_IO_BURST);

			if (n == 0 && !armed && NETBE_PORT_HAS(io->port, arm)) {
				/* Ask for a wake-up, then look again. */
				io->port->arm(io->port, NETBE_ARM_RX);
				armed = true;
				continue;
			}
			io->at = 0;
			io->nlent = n > 0 ? (uint32_t)n : 0;
			if (n <= 0) {
				*result = n;
				return NULL;
			}
		}
		verdict = nb_io_judge(io, &io->lent[io->at], &why);
		if (verdict > 0)
			return &io->lent[io->at];
		if (verdict < 0 || nb_gso_begin(io->rx_gso, &io->lent[io->at], io->accepts) != 0)
			drop_lent(io, why);
		else
			next_pieces(io);
	}
}

static void
take_piece(struct nb_io *io)
{
	if (++io->at_piece == io->npiece)
		next_pieces(io);
}

static void
take(struct nb_io *io)
{
	if (io->cutting) {
		nb_counter_add(&io->port->stats->rx_frames, 1);
		nb_counter_add(&io->port->stats->rx_bytes, io->piece[io->at_piece].len);
		take_piece(io);
	} else {
		io->port->release(io->port, 1);
		io->at++;
	}
}

static void
copy_out(const struct nb_io *io, const struct netbe_frame *f, uint8_t *to)
{
	nb_hdr_store(to, &f->hdr, io->hdr_len);
	to += io->hdr_len;
	for (uint32_t i = 0; i < f->nseg; i++) {
		memcpy(to, f->seg[i].iov_base, f->seg[i].iov_len);
		to += f->seg[i].iov_len;
	}
}

int64_t
nb_io_peek(struct nb_io *io)
{
	int result = 0;
	const struct netbe_frame *f = nb_io_head(io, &result);

	return f == NULL ? result : (int64_t)f->len + io->hdr_len;
}

int64_t
nb_io_recv(struct nb_io *io, void *base, size_t cap)
{
	int result = 0;
	const struct netbe_frame *f = nb_io_head(io, &result);
	size_t len;

	if (f == NULL)
		return result;
	len = (size_t)f->len + io->hdr_len;
	if (len > cap)
		return -EMSGSIZE;
	copy_out(io, f, base);
	take(io);
	return (int64_t)len;
}

/* Writes len bytes at position *at of the segments (an offset inside *iov) and moves on. */
static void
scatter(const struct iovec **iov, size_t *at, const void *from, size_t len)
{
	while (len > 0) {
		size_t run = (*iov)->iov_len - *at;

		if (run == 0) {
			(*iov)++;
			*at = 0;
			continue;
		}
		if (run > len)
			run = len;
		memcpy((uint8_t *)(*iov)->iov_base + *at, from, run);
		from = (const uint8_t *)from + run;
		*at += run;
		len -= run;
	}
}

int64_t
nb_io_recvv(struct nb_io *io, const struct iovec *iov, int iovcnt)
{
	int result = 0;
	const struct netbe_frame *f = nb_io_head(io, &result);
	uint8_t hdr[NB_IO_HDR_MAX];
	size_t room = 0, at = 0, len;

	if (f == NULL)
		return result;
	len = (size_t)f->len + io->hdr_len;
	for (int i = 0; i < iovcnt && room < len; i++)
		room += iov[i].iov_len;
	if (room < len)
		return -EMSGSIZE;
	nb_hdr_store(hdr, &f->hdr, io->hdr_len);
	scatter(&iov, &at, hdr, io->hdr_len);
	for (uint32_t i = 0; i < f->nseg; i++)
		scatter(&iov, &at, f->seg[i].iov_base, f->seg[i].iov_len);
	take(io);
	return (int64_t)len;
}

int64_t
nb_io_discard(struct nb_io *io)
{
	int result = 0;
	const struct netbe_frame *f = nb_io_head(io, &result);
	int64_t len;

	if (f == NULL)
		return result;
	len = (int64_t)f->len + io->hdr_len;
	if (io->cutting) {
		nb_counter_add(&io->port->stats->rx_dropped[NETBE_DROP_DISCARDED], 1);
		take_piece(io);
	} else {
		drop_lent(io, NETBE_DROP_DISCARDED);
	}
	return len;
}

int
nb_io_pending(struct nb_io *io)
{
	if (io->at < io->nlent)
		return (int)(io->nlent - io->at);
	return NETBE_PORT_HAS(io->port, pending) ? io->port->pending(io->port) : 0;
}

int64_t
nb_io_recv_burst(struct nb_io *io, void *base, size_t cap, uint32_t *off, uint32_t *len, uint32_t n)
{
	size_t end = 0;
	uint32_t got = 0;

	while (got < n) {
		int result = 0;
		const struct netbe_frame *f = nb_io_head(io, &result);
		size_t size;

		if (f == NULL) {
			if (got == 0)
				return result;
			break; /* what is wrong is said by the next call */
		}
		size = (size_t)f->len + io->hdr_len;
		if (end > cap || size > cap - end || end > UINT32_MAX) {
			if (got == 0)
				return -EMSGSIZE;
			break;
		}
		copy_out(io, f, (uint8_t *)base + end);
		off[got] = (uint32_t)end;
		len[got++] = (uint32_t)size;
		end += (size + ALIGN - 1) / ALIGN * ALIGN;
		take(io);
	}
	return got;
}

/* --- the end */

int64_t
nb_io_hand_over(struct nb_io *io, void *base, size_t cap)
{
	if (io->cutting) {
		uint32_t hdr_len = io->hdr_len;
		int64_t len;

		io->hdr_len = 0;
		len = nb_io_recv(io, base, cap);
		io->hdr_len = hdr_len;
		return len;
	}
	io->at = io->nlent = 0;
	return 0;
}
