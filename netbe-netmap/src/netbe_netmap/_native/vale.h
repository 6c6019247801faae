/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The embedded switch, as the rest of the program sees it: attach a port to
 * the switch whose files are in a folder, drive its rings, detach it.
 *
 * Nothing here blocks, except vale_attach, vale_detach and vale_list, which
 * wait for other members' attaching at most VALE_LOCK_MS.
 */
#ifndef NETBE_VALE_H
#define NETBE_VALE_H

#include "netbe.h"
#include "vale_layout.h"

#define VALE_LOCK_MS 5000u
#define VALE_NBUFS_MIN 1536u

struct vale;

struct vale_config {
	const char *folder; /* of the switch: exists, and is nobody else's */
	const char *name;   /* of the port; shorter than VALE_NAME */
	uint32_t mode;      /* of the files, such as 0600 */
	uint32_t rings;     /* 1 to VALE_RINGS */
	uint32_t slots;     /* of each ring, 64 to 4096 */
	uint32_t nbufs;     /* of each ring; at least VALE_NBUFS_MIN */
	uint32_t wait;      /* a full receiver makes the sender wait, instead of the frame being dropped */
	uint32_t pipe;      /* 0: a switch; 1: the master's end of a pipe; 2: the slave's */
	uint64_t ageing_ns; /* 0: never */
};

/*
 * -EBUSY: a living member has that name; -EUSERS: all ports are in use;
 * -ETIMEDOUT: the switch's lock is not to be had; -EPROTO: the files are no
 * switch of this version; -EMLINK: the folder holds a pipe and not a switch,
 * or the reverse; -ENOSPC, -ENOMEM: no memory; else from a system call.
 * services are core's.
 */
int vale_attach(struct vale **result, const struct vale_config *config, const struct netbe_services *services);
/* The ports that it gave out are freed; the last member takes the files away. */
void vale_detach(struct vale *v);

/* A ring as a port of netbe.h; it belongs to v. */
struct netbe_port *vale_port(struct vale *v, uint32_t ring);

/*
 * The memory that all frames of a ring lie in; it stays after vale_detach
 * until vale_drop_memory is called with what this returned.
 */
void *vale_hold_memory(struct vale *v, uint32_t ring, size_t *size);
void vale_drop_memory(void *memory);

/* After a fork, in the child: lets go of what is the child's own; the parent's membership goes on. */
void vale_leave_to_parent(struct vale *v);

struct vale_info {
	char name[VALE_NAME];
	uint32_t index, rings, slots, nbufs, pid;
	uint32_t uid; /* whose file its memory is; all ones where that cannot be seen */
	uint32_t alive;
	uint64_t bytes;
	struct netbe_port_stats stats; /* of all its rings */
};

/* The members of the switch in a folder, at most n; how many, or -errno. */
int vale_list(const char *folder, struct vale_info *out, uint32_t n);

#endif
