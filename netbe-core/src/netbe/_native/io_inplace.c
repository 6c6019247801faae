/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames where they lie: slots to be written, lent frames to be looked at. */
#include <errno.h>
#include <string.h>

#include "io_int.h"

/* Where a segment is in the memory that the caller knows; NB_IO_SCATTERED: not there. */
static uint64_t
place(const struct iovec *seg, const void *base, size_t size)
{
	uintptr_t begin = (uintptr_t)seg->iov_base - (uintptr_t)base;

	return begin <= size && seg->iov_len <= size - begin ? begin : NB_IO_SCATTERED;
}

/* --- sending */

static int
reserve(struct nb_io *io, const void *base, size_t size, uint32_t len, uint32_t n, uint64_t *off)
{
	struct netbe_port *port = io->port;
	int got;

	if (io->nslot != 0)
		return -EBUSY;
	if (!NETBE_PORT_HAS(port, tx_reserve) || !NETBE_PORT_HAS(port, tx_commit))
		return -EOPNOTSUPP;
	if (len < port->min_frame)
		return -EINVAL;
	if (len > port->max_frame)
		return -EMSGSIZE;
	got = port->tx_reserve(port, len, io->slot, n < NB_IO_BURST ? n : NB_IO_BURST);
	if (got == 0)
		return -EAGAIN;
	for (int i = 0; i < got; i++) {
		off[i] = place(io->slot[i].seg, base, size);
		if (off[i] == NB_IO_SCATTERED)
			return -EFAULT;
	}
	if (got > 0)
		io->nslot = (uint32_t)got;
	return got;
}

int
nb_io_reserve(struct nb_io *io, const void *base, size_t size, uint32_t len, uint32_t n, uint64_t *off)
{
	int got;

	nb_io_enter_at_last(io);
	got = reserve(io, base, size, len, n, off);
	nb_io_leave(io);
	return got;
}

static int
commit(struct nb_io *io, const uint32_t *len, uint32_t n)
{
	int sent = 0;

	if (n > io->nslot)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		memset(&io->slot[i].hdr, 0, sizeof(io->slot[i].hdr));
		if (len != NULL)
			io->slot[i].len = len[i];
		else
			io->slot[i].len = (uint32_t)io->slot[i].seg->iov_len;
	}
	if (n != 0)
		sent = io->port->tx_commit(io->port, io->slot, n);
	if (sent >= 0)
		io->nslot = 0;
	return sent;
}

int
nb_io_commit(struct nb_io *io, const uint32_t *len, uint32_t n)
{
	int sent;

	nb_io_enter_at_last(io);
	sent = commit(io, len, n);
	nb_io_leave(io);
	return sent;
}

void
nb_io_give_up(struct nb_io *io)
{
	nb_io_enter_at_last(io);
	io->nslot = 0;
	nb_io_leave(io);
}

/* --- receiving */

/* Looks for more behind what the port has lent already, which it lends again first. */
static void
lend_more(struct nb_io *io)
{
	int n = io->port->rx_burst(io->port, io->lent, NB_IO_BURST);

	io->at = 0;
	io->nlent = n > 0 ? (uint32_t)n : 0;
}

int
nb_io_lend(struct nb_io *io, const void *base, size_t size, uint32_t n, uint64_t *off, uint32_t *len)
{
	uint32_t left = io->nlent - io->at, got = 0;
	int result = 0;

	if (io->inplace != 0)
		return -EBUSY;
	if (n > NB_IO_BURST)
		n = NB_IO_BURST;
	if (!io->cutting && left != 0 && left < n)
		lend_more(io);
	if (nb_io_head(io, &result) == NULL)
		return result;
	if (io->cutting)
		return -EREMOTE;
	/* Frames are released in order, so one that is to be dropped or cut ends the row. */
	for (; got < n && io->at + got < io->nlent; got++) {
		struct netbe_frame *f = &io->lent[io->at + got];
		enum netbe_drop why;

		if (got != 0 && nb_io_judge(io, f, &why) <= 0)
			break;
		for (uint32_t k = 0; k < f->nseg; k++)
			if ((off[got] = place(&f->seg[k], base, size)) == NB_IO_SCATTERED)
				return -EFAULT;
		if (f->nseg != 1)
			off[got] = NB_IO_SCATTERED;
		len[got] = f->len;
	}
	io->inplace = got;
	return (int)got;
}

const struct netbe_frame *
nb_io_lent(const struct nb_io *io, uint32_t i)
{
	return &io->lent[io->at + i];
}

int
nb_io_give_back(struct nb_io *io, uint32_t n)
{
	int result;

	if (n > io->inplace)
		return -EINVAL;
	result = io->port->release(io->port, n);
	if (result < 0)
		return result;
	io->at += n;
	io->inplace -= n;
	return 0;
}

int
nb_io_cutting(const struct nb_io *io)
{
	return io->cutting;
}
