/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The contract's calls (send, peek, recv, discard, bursts) over a port, for
 * Python: adds and strips virtio-net headers, does in software what was not
 * agreed on, keeps a frame that did not fit.
 *
 * One nb_io drives one port.  The caller has receiving calls exclude each
 * other, and has nb_io_set_cap and nb_io_hand_over exclude both directions.
 * Sending calls exclude each other by themselves.
 *
 * Lengths are bytes and include the agreed header.  Below zero is -errno as
 * the port's; -EMSGSIZE: longer than max_frame, or more than there is room
 * for; -EINVAL: shorter than min_frame; -EBADMSG: the header does not fit the
 * frame.
 */
#ifndef NETBE_IO_H
#define NETBE_IO_H

#include "netbe.h"

struct nb_io;

struct nb_io *nb_io_new(struct netbe_port *port); /* NULL: no memory */
void nb_io_free(struct nb_io *io);

/* features and hdr_len (0, 10, 12) at the contract; -EINVAL for another length. */
int nb_io_set_cap(struct nb_io *io, uint64_t features, uint32_t hdr_len);

/*
 * From nb_io_hold, which waits for a sending call to end, until nb_io_let,
 * nb_io_send and nb_io_send_burst are NB_IO_HELD and have done nothing; so
 * they are while another sends, and for an io of NULL.  The other sending
 * calls wait for another to end, and must not be made while it is held.
 * To hold what is held, and to let go of what is not, does nothing.
 */
#define NB_IO_HELD (-1000000)
void nb_io_hold(struct nb_io *io);
void nb_io_let(struct nb_io *io);

int64_t nb_io_send(struct nb_io *io, const void *base, size_t len);

/* 0: none now, and a wake-up is asked for. */
int64_t nb_io_peek(struct nb_io *io);
/* -EMSGSIZE when cap is too small: the frame is kept and nb_io_peek says its length. */
int64_t nb_io_recv(struct nb_io *io, void *base, size_t cap);
int64_t nb_io_recvv(struct nb_io *io, const struct iovec *iov, int iovcnt);
int64_t nb_io_discard(struct nb_io *io);
/* How many frames are in user space already, at least; one that is being cut is one. */
int nb_io_pending(struct nb_io *io);

/*
 * Bursts over one buffer: frame i is len[i] bytes at base + off[i].
 * Sending returns how many went, or -errno when the first did not.
 * Receiving packs frames from the buffer's begin, 16-aligned, at most n,
 * while the next one fits; -EMSGSIZE when not even the first does.
 */
int64_t nb_io_send_burst(struct nb_io *io, const void *base, size_t cap, const uint32_t *off, const uint32_t *len,
                         uint32_t n);
int64_t nb_io_recv_burst(struct nb_io *io, void *base, size_t cap, uint32_t *off, uint32_t *len, uint32_t n);

/* Asks the port for a wake-up when it has room. */
int nb_io_arm_send(struct nb_io *io);

/*
 * Where frames lie, instead of copies of them.  off[] is told from base, the
 * begin of the memory that all of the port's frames lie in; -EFAULT: they do
 * not.  While slots are out all other sending is -EBUSY, while frames are out
 * all other receiving is.  n is at most 64; more is taken for 64.
 *
 * Slots have len bytes for a plain frame each, without header; how many, as
 * tx_reserve.  nb_io_commit sends the first n, of the lengths in len where it
 * is not NULL, and ends it; when it returns -errno nothing has changed.
 * -EOPNOTSUPP: the port has no such operations.
 */
#define NB_IO_SCATTERED UINT64_MAX
int nb_io_reserve(struct nb_io *io, const void *base, size_t size, uint32_t len, uint32_t n, uint64_t *off);
int nb_io_commit(struct nb_io *io, const uint32_t *len, uint32_t n);
void nb_io_give_up(struct nb_io *io);

/*
 * How many frames, without header, are shown; 0 none now, and a wake-up is
 * asked for.  One in several segments has off NB_IO_SCATTERED: nb_io_lent
 * tells of it.  -EREMOTE: the next one is made in software and has no place;
 * nb_io_recv copies it.
 */
int nb_io_lend(struct nb_io *io, const void *base, size_t size, uint32_t n, uint64_t *off, uint32_t *len);
/* Number i of those that are out. */
const struct netbe_frame *nb_io_lent(const struct nb_io *io, uint32_t i);
/* Takes back the n oldest; -EINVAL when not so many are out. */
int nb_io_give_back(struct nb_io *io, uint32_t n);
/* Whether what nb_io_recv gives next is part of a frame that is cut. */
int nb_io_cutting(const struct nb_io *io);

/*
 * Before somebody else drives the port: forgets what was lent, which the
 * port lends again.  Of a frame that was given out in part the rest has no
 * other place: each call copies one piece to base, without header, and
 * returns its length; 0 is the end.
 */
int64_t nb_io_hand_over(struct nb_io *io, void *base, size_t cap);

#endif
