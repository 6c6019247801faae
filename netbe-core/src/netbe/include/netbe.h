/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netbe.h: the C ABI between a program and an Ethernet port.
 *
 * A port is one queue pair, driven by one thread at a time: one thread may
 * receive while another sends, never two of the same.  A backend with
 * several queues has several ports.
 *
 * Rules that hold for every operation:
 *  - A result below zero is -errno.  Nothing here blocks; -EAGAIN is never
 *    returned for "no frame" (that is 0), only for "no room".
 *  - An operation that is NULL, or lies past `size`, is not supported.
 *  - Structures only grow at their end; test with NETBE_PORT_HAS().
 *
 * ABI level 0: may still change.  It becomes 1, and stable, when rings and
 * virtqueues both live on it.
 */
#ifndef NETBE_H
#define NETBE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NETBE_ABI 0u

/*
 * The longest frame with its header that any part of netbe handles: a 65535
 * byte IP packet, Ethernet header, tags and a 12 byte header fit, and it is
 * the bound of QEMU's NET_BUFSIZE (4096 + 65536).
 */
#define NETBE_FRAME_MAX 69632u

/* The most segments a frame may have (IOV_MAX less one for a header). */
#define NETBE_SEG_MAX 1023u

/*
 * The virtio-net header in its one normal form here: struct
 * virtio_net_hdr_v1 (virtio 1.2, 5.1.6), little-endian on every machine.
 * On the edges it may be shortened to 10 bytes (no num_buffers) or left out.
 */
struct netbe_vnet_hdr {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t num_buffers;
};

/* flags (linux/virtio_net.h) */
#define NETBE_HDR_NEEDS_CSUM 0x01u
#define NETBE_HDR_DATA_VALID 0x02u

/* gso_type (linux/virtio_net.h) */
#define NETBE_GSO_NONE 0u
#define NETBE_GSO_TCPV4 1u
#define NETBE_GSO_UDP 3u    /* UFO: IP fragments of one datagram */
#define NETBE_GSO_TCPV6 4u
#define NETBE_GSO_UDP_L4 5u /* USO: several datagrams */
#define NETBE_GSO_ECN 0x80u

/* Feature bits are numbered as in virtio 1.2, 5.1.3; two words hold them. */
#define NETBE_FEATURE_WORDS 2
#define NETBE_F_CSUM (1ull << 0)
#define NETBE_F_GUEST_CSUM (1ull << 1)
#define NETBE_F_GUEST_TSO4 (1ull << 7)
#define NETBE_F_GUEST_TSO6 (1ull << 8)
#define NETBE_F_GUEST_ECN (1ull << 9)
#define NETBE_F_GUEST_UFO (1ull << 10)
#define NETBE_F_HOST_TSO4 (1ull << 11)
#define NETBE_F_HOST_TSO6 (1ull << 12)
#define NETBE_F_HOST_ECN (1ull << 13)
#define NETBE_F_HOST_UFO (1ull << 14)
#define NETBE_F_MRG_RXBUF (1ull << 15)
#define NETBE_F_GUEST_USO4 (1ull << 54)
#define NETBE_F_GUEST_USO6 (1ull << 55)
#define NETBE_F_HOST_USO (1ull << 56)

/*
 * One Ethernet frame: from the destination address to the end of the
 * payload, without FCS.  `len` is the sum of the segments.
 */
struct netbe_frame {
	struct netbe_vnet_hdr hdr;
	uint32_t len;
	uint32_t nseg;
	uint32_t reserved;
	const struct iovec *seg;
};

/* Why a frame was dropped; index into struct netbe_port_stats. */
enum netbe_drop {
	NETBE_DROP_FULL,       /* no room at the receiver */
	NETBE_DROP_TOO_SHORT,  /* below min_frame */
	NETBE_DROP_TOO_LONG,   /* above max_frame, or cut by the device */
	NETBE_DROP_BAD_HEADER, /* virtio-net header does not fit the frame */
	NETBE_DROP_LINK_DOWN,  /* the port has no other side */
	NETBE_DROP_ERROR,      /* the device refused it for another reason */
	NETBE_DROP_DISCARDED,  /* on request: rx_discard, or no receiver */
	NETBE_DROP_FILTERED,   /* VLAN or forwarding rule */
	NETBE_DROP_STOPPED,    /* held when a pump was told to stop */
	NETBE_DROP_REASONS
};

/*
 * Written by the thread that drives that direction, with relaxed atomic
 * stores; may be read by anybody at any time.  Bytes are those of frames,
 * headers not counted.
 */
struct netbe_port_stats {
	uint64_t rx_frames, rx_bytes;
	uint64_t tx_frames, tx_bytes;
	uint64_t rx_dropped[NETBE_DROP_REASONS];
	uint64_t tx_dropped[NETBE_DROP_REASONS];
};

/* Port flags. */
#define NETBE_PORT_UNTRUSTED 0x1u /* others can write the memory of lent frames */
#define NETBE_PORT_CHEAP_RX 0x2u  /* rx_burst costs no system call: worth polling */

/* What arm() waits for. */
#define NETBE_ARM_RX 0x1u
#define NETBE_ARM_TX 0x2u

/* A descriptor to poll, and the poll(2) events that mean "look again". */
struct netbe_wait {
	int fd;
	short events;
	short reserved;
};

struct netbe_services;

struct netbe_port {
	uint32_t abi;  /* NETBE_ABI */
	uint32_t size; /* sizeof(struct netbe_port) of who made it */
	uint32_t flags;
	uint32_t min_frame; /* bytes, without virtio-net header and FCS */
	uint32_t max_frame; /* likewise; for frames that ask no segmentation */
	uint32_t reserved;

	/*
	 * CSUM and HOST_*: what tx_burst takes.  GUEST_*: what rx_burst may
	 * hand out.  Read by the driving thread before each burst; changed
	 * only while nobody drives the port.
	 */
	uint64_t features[NETBE_FEATURE_WORDS];

	struct netbe_wait rx_wait; /* fd -1: nothing to wait for */
	struct netbe_wait tx_wait;
	struct netbe_port_stats *stats; /* never NULL */

	/* Core's table, set by core before the first operation. */
	const struct netbe_services *services;

	void *ctx; /* the port's own */

	/*
	 * Lends up to n frames, from the oldest that was not released: frames
	 * lent before and not released are lent again, first and unchanged.
	 * What is lent lives until it is released, or close; the array and the
	 * segments are valid until the next rx_burst.  The header is as it
	 * came: hdr_check is the taker's business.  Returns
	 * how many; 0 is none now; -errno (ENODEV, EPIPE...) is that the other
	 * side is gone, and stays so.
	 */
	int (*rx_burst)(struct netbe_port *port, struct netbe_frame *frames, uint32_t n);

	/* Gives back the n oldest lent frames.  Returns 0 or -EINVAL. */
	int (*release)(struct netbe_port *port, uint32_t n);

	/*
	 * Has consumed the bytes when it returns.  Returns how many frames
	 * went, from the first; when the first did not, why: -EAGAIN no room,
	 * -EMSGSIZE or -EINVAL this frame will never go, -EIO link down for
	 * now, -ENODEV or -EPIPE gone for good.
	 */
	int (*tx_burst)(struct netbe_port *port, const struct netbe_frame *frames, uint32_t n);

	/*
	 * Optional: room for n frames of len bytes each, to be written in
	 * place; the caller fills hdr and may lower len, then commits the
	 * first n, once.  Not committed is given up by then, or by the next
	 * reserve or tx_burst.  tx_commit returns how many went, from the first;
	 * when the first did not, why, and then all are still reserved.
	 */
	int (*tx_reserve)(struct netbe_port *port, uint32_t len, struct netbe_frame *frames, uint32_t n);
	int (*tx_commit)(struct netbe_port *port, const struct netbe_frame *frames, uint32_t n);

	/*
	 * Optional, before sleeping on rx_wait or tx_wait: asks the other side
	 * for a wake-up, and takes back one that is stale.  Afterwards look
	 * again (rx_burst, tx_burst), then sleep.  NULL: the descriptor is
	 * level-triggered by itself.
	 */
	int (*arm)(struct netbe_port *port, uint32_t what);

	/* Optional: frames held in user space where poll(2) is silent. */
	int (*pending)(struct netbe_port *port);

	/* Optional: 1 up, 0 down. NULL: up until an operation says ENODEV. */
	int (*link_up)(struct netbe_port *port);
};

#define NETBE_PORT_HAS(port, op) \
	((port)->size >= offsetof(struct netbe_port, op) + sizeof((port)->op) && (port)->op != NULL)

/*
 * What core does for ports: one extension cannot link to another, so it
 * arrives as a table.  Pure functions unless said otherwise; all may be
 * called from any thread.
 */
struct netbe_gso; /* state of a segmentation in progress; opaque */
struct nb_fdb;    /* a forwarding table; opaque */

struct netbe_services {
	uint32_t abi;
	uint32_t size;

	/*
	 * RFC 1071 sum over len bytes that begin at byte off of the segments,
	 * added to seed, folded to 16 bits, not complemented; in the byte
	 * order of memory, so that *(uint16_t *)field = ~result.
	 */
	uint16_t (*csum)(const struct iovec *seg, uint32_t nseg, uint32_t off, uint32_t len, uint32_t seed);

	/*
	 * Reads a header of hdr_len 0, 10 or 12 bytes at src into normal form
	 * (0: a zeroed one), and the reverse; hdr_store sets num_buffers to 1.
	 * -EINVAL on another length.
	 */
	int (*hdr_load)(struct netbe_vnet_hdr *hdr, const void *src, uint32_t hdr_len);
	int (*hdr_store)(void *dst, const struct netbe_vnet_hdr *hdr, uint32_t hdr_len);

	/*
	 * 0 when the header makes sense for the frame: known flags and type,
	 * offsets inside the frame, gso_size not 0, protocol as the type says.
	 * -EINVAL otherwise.  Every frame from outside goes through it once.
	 */
	int (*hdr_check)(const struct netbe_frame *frame);

	/*
	 * Which of NETBE_F_CSUM and NETBE_F_HOST_* a receiver must have to be
	 * given this frame as it is; 0 for a plain one.
	 */
	uint64_t (*hdr_needs)(const struct netbe_vnet_hdr *hdr, const struct netbe_frame *frame);

	/*
	 * Software offload.  gso_begin takes a checked frame that the receiver
	 * (with these features) cannot take as it is; it stays lent until the
	 * last gso_next.  gso_next gives up to n frames, whose headers are in
	 * the state's own memory and whose payload are slices of the original;
	 * they live until the next gso_next; 0 is the end.  A frame that only
	 * wants its checksum finished gives one.  One state a thread; gso_new
	 * returns NULL when there is no memory.
	 */
	struct netbe_gso *(*gso_new)(void);
	void (*gso_free)(struct netbe_gso *gso);
	int (*gso_begin)(struct netbe_gso *gso, const struct netbe_frame *frame, uint64_t features);
	int (*gso_next)(struct netbe_gso *gso, struct netbe_frame *frames, uint32_t n);

	/*
	 * A switch's forwarding table for `size` addresses, in memory of the
	 * caller's: fdb_bytes(size) bytes, 64-aligned, zeroed before its first
	 * use; processes may share it.  No call takes a lock.  fdb_at gives a
	 * handle, NULL when there is no memory; ageing 0 is never.  fdb_learn:
	 * 0, or -ENOSPC when the table is full.  fdb_lookup: the port, which
	 * whoever shares the memory may have forged, or -1.
	 */
	size_t (*fdb_bytes)(uint32_t size);
	struct nb_fdb *(*fdb_at)(void *memory, uint32_t size, uint64_t ageing_ns);
	void (*fdb_free)(struct nb_fdb *fdb);
	int (*fdb_learn)(struct nb_fdb *fdb, const uint8_t mac[6], uint16_t vid, uint32_t port, uint64_t now_ns);
	int32_t (*fdb_lookup)(struct nb_fdb *fdb, const uint8_t mac[6], uint16_t vid, uint64_t now_ns);
	void (*fdb_flush_port)(struct nb_fdb *fdb, uint32_t port);
};

#ifdef __cplusplus
}
#endif
#endif /* NETBE_H */
