/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbered frames with a pattern, for the tests of the cable: each byte tells which frame it belongs to, and where. */
#ifndef NETBE_RING_FRAMES_H
#define NETBE_RING_FRAMES_H

#include <stdbool.h>
#include <string.h>

#include "check.h"
#include "netbe.h"

#define LONGEST (NETBE_FRAME_MAX - 12u)

static inline uint8_t
ring_byte(uint32_t number, uint32_t at)
{
	return (uint8_t)(number * 37 + at * 11 + at / 251);
}

static inline void
ring_fill(uint8_t *bytes, uint32_t number, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = ring_byte(number, i);
	memcpy(bytes, &number, sizeof(number));
	memcpy(bytes + 4, &len, sizeof(len));
}

/* The frame of that number; a header that came with it says the number too. */
static inline bool
ring_is(const struct netbe_frame *f, uint32_t number)
{
	const uint8_t *bytes = f->seg[0].iov_base;
	uint32_t got, len;

	memcpy(&got, bytes, sizeof(got));
	memcpy(&len, bytes + 4, sizeof(len));
	if (f->nseg != 1 || f->seg[0].iov_len != f->len || got != number || len != f->len ||
	    f->hdr.hdr_len != (uint16_t)number)
		return false;
	for (uint32_t i = 8; i < f->len; i++)
		if (bytes[i] != ring_byte(number, i))
			return false;
	return true;
}

/* A frame over the caller's bytes and two segments. */
static inline struct netbe_frame
ring_frame(uint8_t *bytes, struct iovec seg[2], uint32_t number, uint32_t len)
{
	uint32_t first = len / 3;

	ring_fill(bytes, number, len);
	seg[0] = (struct iovec){bytes, first};
	seg[1] = (struct iovec){bytes + first, len - first};
	return (struct netbe_frame){.hdr.hdr_len = (uint16_t)number, .len = len, .nseg = 2, .seg = seg};
}

/* Sends one; what tx_burst says. */
static inline int
ring_send(struct netbe_port *port, uint32_t number, uint32_t len)
{
	static _Thread_local uint8_t bytes[NETBE_FRAME_MAX];
	struct iovec seg[2];
	struct netbe_frame f = ring_frame(bytes, seg, number, len);

	return port->tx_burst(port, &f, 1);
}

#endif
