/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port over one tx and one rx ring of netmap's layout.  Who moves frames
 * between rings (the kernel, or a switch in shared memory) comes in as
 * callbacks.
 *
 * Others may write to the rings' memory at any time: every word there is read
 * once and then checked.  A frame that does not pass is dropped and counted.
 */
#ifndef NETBE_NMPORT_H
#define NETBE_NMPORT_H

#include "netbe.h"
#include "netmap_abi.h"

/*
 * A sync is called behind whole frames only, by the thread that drives the
 * direction.  -ENODEV, -EPIPE and -EBADF are for good; any other error is
 * for now (-EIO from txsync: the link is down, and it has taken nothing).
 */
struct nm_ops {
	int (*txsync)(void *ctx); /* slots before head are taken; then tail is current; 0 or -errno */
	/*
	 * NULL, or: how many slots before head the last txsync has left, which
	 * are then taken back from it; the sender is told that they did not go.
	 */
	uint32_t (*untaken)(void *ctx);
	/*
	 * NULL, or asked after that before anything is written: whether another
	 * attempt that begins with this frame would be in vain.
	 */
	int (*stuck)(void *ctx, const struct netbe_frame *first);
	int (*rxsync)(void *ctx); /* slots before head are given back, new ones counted in tail; 0 or -errno */
	int (*arm)(void *ctx, uint32_t what); /* NULL: the descriptor is level-triggered by itself */
	int (*pending)(void *ctx);            /* NULL, or as in netbe_port: what rxsync would bring */
	int (*link_up)(void *ctx);            /* NULL: up */
};

struct nm_port_config {
	struct netmap_ring *tx, *rx;
	uint32_t tx_slots, rx_slots; /* private copies: what the rings say is never trusted again */
	uint32_t buf_size;
	/* Buffer i is at buf_base + i * buf_size; all of [0, nbufs) can be read and written without a fault. */
	const uint8_t *buf_base;
	uint32_t nbufs;
	uint32_t tx_first, tx_nbufs; /* of those, the ones that are written to; tx_nbufs 0: all */
	uint32_t hdr_len; /* 0, 10 or 12: the virtio-net header that the device has before each frame */
	/*
	 * A slot flag, or 0.  Given, only a frame whose first slot has it begins
	 * with a header, and only one that asks for something is sent so.
	 */
	uint16_t hdr_flag;
	/* What the device bears of a frame that is sent; 0 is no bound. */
	uint32_t tx_frags; /* slots */
	uint32_t tx_spare; /* bytes of the first slot's buffer that stay free, where there is more than that */
	struct netbe_port_stats *stats; /* where to count; NULL: in the port itself */
	uint32_t max_frame;
	uint32_t flags; /* of netbe_port */
	uint64_t features[NETBE_FEATURE_WORDS];
	struct netbe_wait rx_wait, tx_wait;
};

/* NULL with errno: EINVAL or ENOMEM.  The config is copied; ops is not, and lives as long as the port. */
struct netbe_port *nm_port_new(const struct nm_port_config *config, const struct nm_ops *ops, void *ctx);

/*
 * While nobody drives the port, behind the device's own change.  Frames that
 * had arrived by then keep the length that they came with.
 */
void nm_port_set_hdr_len(struct netbe_port *port, uint32_t hdr_len);

/* The rings stay the caller's.  What is lent is given back. */
void nm_port_free(struct netbe_port *port);

#endif
