/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the contract's calls share: a fake port with a struct nb_io over it, and frames. */
#ifndef NETBE_IO_RIG_H
#define NETBE_IO_RIG_H

#include <endian.h>

#include "fake_port.h"
#include "io.h"

#define TCP_HEADERS 54u /* Ethernet, IPv4, TCP, without options */

struct rig {
	struct fake_port fake;
	struct nb_io *io;
};

/* features: what the port takes; the contract's are set by nb_io_set_cap(). */
static inline void
rig_make(struct rig *r, bool arms, uint64_t features)
{
	fake_init(&r->fake, arms, features);
	r->io = nb_io_new(&r->fake.port);
	CHECK(r->io != NULL);
}

static inline void
rig_end(struct rig *r)
{
	nb_io_free(r->io);
	fake_end(&r->fake);
}

static inline void
plain_bytes(uint8_t *bytes, uint32_t number, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(number * 31 + i * 7);
}

static inline void
put_plain(struct rig *r, uint32_t number, uint32_t len)
{
	uint8_t bytes[2048];

	plain_bytes(bytes, number, len);
	fake_put(&r->fake, bytes, len);
}

static inline bool
is_plain(const uint8_t *bytes, uint32_t number, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		if (bytes[i] != (uint8_t)(number * 31 + i * 7))
			return false;
	return true;
}

/* TCP over IPv4 with a payload that says where each byte belongs, to be cut every gso_size bytes. */
static inline struct netbe_vnet_hdr
tcp_bytes(uint8_t *bytes, uint32_t payload, uint16_t gso_size)
{
	uint16_t ip_sum;

	memset(bytes, 0, TCP_HEADERS);
	memcpy(bytes, (uint8_t[]){2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45}, 15);
	bytes[16] = (uint8_t)((payload + 40) >> 8);
	bytes[17] = (uint8_t)(payload + 40);
	bytes[22] = 64;
	bytes[23] = 6;
	ip_sum = (uint16_t)~nb_csum(&(struct iovec){bytes, 34}, 1, 14, 20, 0);
	memcpy(bytes + 24, &ip_sum, 2);
	bytes[46] = 0x50;
	/* The sum of the pseudo header, whose addresses are 0. */
	bytes[50] = (uint8_t)((6 + 20 + payload) >> 8);
	bytes[51] = (uint8_t)(6 + 20 + payload);
	for (uint32_t i = 0; i < payload; i++)
		bytes[TCP_HEADERS + i] = (uint8_t)(i / 7 + i);
	return (struct netbe_vnet_hdr){.flags = NETBE_HDR_NEEDS_CSUM,
	                               .gso_type = gso_size != 0 ? NETBE_GSO_TCPV4 : NETBE_GSO_NONE,
	                               .hdr_len = htole16(TCP_HEADERS),
	                               .gso_size = htole16(gso_size),
	                               .csum_start = htole16(34),
	                               .csum_offset = htole16(16)};
}

/* Whether the checksum of TCP is what it has to be. */
static inline bool
is_tcp_sum(const uint8_t *bytes, uint32_t payload)
{
	struct iovec seg = {(void *)(uintptr_t)bytes, TCP_HEADERS + payload};

	return nb_csum(&seg, 1, 34, 20 + payload, htobe16((uint16_t)(6 + 20 + payload))) == 0xffff;
}

/* Whether bytes are the piece of tcp_bytes() whose payload begins at `at` and has len bytes, checksum finished. */
static inline bool
is_tcp_piece(const uint8_t *bytes, uint32_t at, uint32_t len)
{
	struct iovec seg = {(void *)(uintptr_t)bytes, TCP_HEADERS + len};
	uint32_t seq = htobe32(at);

	if (memcmp(bytes + 38, &seq, 4) != 0 || nb_csum(&seg, 1, 14, 20, 0) != 0xffff || !is_tcp_sum(bytes, len))
		return false;
	for (uint32_t i = 0; i < len; i++)
		if (bytes[TCP_HEADERS + i] != (uint8_t)((at + i) / 7 + at + i))
			return false;
	return true;
}

static inline uint64_t
rx_dropped(const struct rig *r, enum netbe_drop why)
{
	return r->fake.stats.rx_dropped[why];
}

static inline uint64_t
tx_dropped(const struct rig *r, enum netbe_drop why)
{
	return r->fake.stats.tx_dropped[why];
}

#endif
