/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings of netmap's kernel module.
 *
 * A NIC whose link is down makes poll and both syncs block, past any timeout.
 * So a NIC's link is looked at before each sync, and its descriptor is not
 * what one polls: that is an epoll of ours, from which netmap's descriptor is
 * taken out while the link is down, and which a change of the link wakes.
 */
#ifndef NETBE_NM_KERNEL_H
#define NETBE_NM_KERNEL_H

#include "nmport.h"

/* ioctl(2) in its place, for tests. */
typedef int (*nm_ioctl_fn)(int fd, unsigned long request, void *argument);

/* One NIOCCTRL; body is read and written.  0 or -errno. */
int nm_kernel_control(int fd, uint32_t reqtype, const char *name, void *body);

/* mmap(2) of all of it, to be read and written; NULL with errno. */
void *nm_kernel_map(int fd, uint64_t size);
/* Puts plain memory in the region's place: the kernel is done with it, and who looks there finds zeros. */
int nm_kernel_blank(void *base, uint64_t size);
int nm_kernel_unmap(void *base, uint64_t size);

struct nm_kernel_info {
	uint32_t tx_rings, rx_rings, host_tx_rings, host_rx_rings;
};

/* What the netmap_if at that offset says.  0 or -EINVAL: it does not lie inside. */
int nm_kernel_info(const void *base, uint64_t size, uint64_t offset, struct nm_kernel_info *info);

struct nm_kernel_config {
	int fd;
	void *base;
	uint64_t size, offset;
	uint32_t tx_ring, rx_ring; /* as in ring_ofs: behind the NIC's come the host's */
	uint32_t host;             /* 1: numbers of host rings */
	uint32_t hdr_len;
	uint32_t max_frame; /* at most; a NIC's MTU and the ring's room bound it too */
	uint32_t vale; /* 1: a switch's port */
	const char *nic; /* whose link is looked at; NULL: there is no such thing */
	nm_ioctl_fn ioctl_fn; /* NULL: ioctl itself */
};

/* NULL with errno; EINVAL also when the rings do not lie inside.  The descriptor and the mapping stay the caller's. */
struct netbe_port *nm_kernel_port_new(const struct nm_kernel_config *config);
void nm_kernel_port_free(struct netbe_port *port);

#endif
