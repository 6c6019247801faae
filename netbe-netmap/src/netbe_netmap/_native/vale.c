/* SPDX-License-Identifier: BSD-2-Clause */
/* A member of the embedded switch: how it comes, and how it goes. */
#include "vale.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vale_int.h"
#include "vale_memory.h"

#define MAX_FRAME 65557u /* an IP packet of 65,535 bytes, an Ethernet header, two tags */
#define FEATURES                                                                                                     \
	(NETBE_F_CSUM | NETBE_F_GUEST_CSUM | NETBE_F_GUEST_TSO4 | NETBE_F_GUEST_TSO6 | NETBE_F_GUEST_ECN |           \
	 NETBE_F_GUEST_UFO | NETBE_F_HOST_TSO4 | NETBE_F_HOST_TSO6 | NETBE_F_HOST_ECN | NETBE_F_HOST_UFO |           \
	 NETBE_F_GUEST_USO4 | NETBE_F_GUEST_USO6 | NETBE_F_HOST_USO)

static const struct nm_ops ops = {
    .txsync = vale_txsync,
    .untaken = vale_untaken,
    .stuck = vale_stuck,
    .rxsync = vale_rxsync,
    .arm = vale_arm,
    .pending = vale_pending,
};

/* Under the lock: a free number, and that the name is not taken. */
static int
choose(struct vale *v, const struct vale_config *c, uint64_t living)
{
	struct vale_control *control = v->files.control;
	uint32_t first = __atomic_load_n(&control->next, __ATOMIC_RELAXED);

	if (c->pipe != 0) {
		if (living >> (c->pipe - 1) & 1)
			return -EBUSY;
		v->index = c->pipe - 1;
		if (control->member[v->index].gen & 1) /* it has left, and is not waited for */
			vale_remove(&v->files, v->index, control->member[v->index].gen);
		return 0;
	}
	for (uint32_t i = 0; i < VALE_PORTS; i++)
		if ((living >> i & 1) && strncmp(control->member[i].name, c->name, VALE_NAME) == 0)
			return -EBUSY;
	if (living == UINT64_MAX)
		return -EUSERS;
	for (uint32_t again = 0; again < 2; again++) {
		for (uint32_t i = 0; i < VALE_PORTS; i++) {
			v->index = (first + i) % VALE_PORTS;
			if ((__atomic_load_n(&control->member[v->index].gen, __ATOMIC_RELAXED) & 1) == 0) {
				__atomic_store_n(&control->next, (v->index + 1) % VALE_PORTS, __ATOMIC_RELAXED);
				return 0;
			}
		}
		vale_evict(&v->files);
	}
	return -EUSERS;
}

/* netmap's own structures, as one finds them after a registration. */
static void
write_layout(struct vale *v, uint8_t *region)
{
	struct netmap_if *nifp = (void *)(region + v->layout.nifp);

	snprintf(nifp->ni_name, sizeof(nifp->ni_name), "vale:%u", v->index);
	nifp->ni_version = NM_API_OLDEST;
	nifp->ni_tx_rings = nifp->ni_rx_rings = v->rings;
	for (uint32_t r = 0; r < 2 * v->rings; r++) {
		uint32_t tx = r < v->rings;
		size_t at = (tx ? v->layout.tx_ring : v->layout.rx_ring - v->rings * v->layout.ring_bytes) +
		            r * v->layout.ring_bytes;
		struct netmap_ring *ring = (void *)(region + at);

		nifp->ring_ofs[r] = (int64_t)at - (int64_t)v->layout.nifp;
		ring->buf_ofs = -(int64_t)((size_t)v->index * VALE_STRIDE + at);
		ring->num_slots = v->slots;
		ring->nr_buf_size = VALE_BUF;
		ring->ringid = (uint16_t)(tx ? r : r - v->rings);
		ring->dir = (uint16_t)tx;
	}
}

static int
begin_ring(struct vale *v, uint32_t number)
{
	struct vale_ring *q = &v->ring[number];
	size_t at = (size_t)v->index * VALE_STRIDE;
	char path[VALE_PATH + 32];
	uint8_t *region;
	int rc;

	q->v = v;
	q->number = number;
	q->window = vale_window_new(VALE_WINDOW, VALE_STRIDE);
	if (q->window == NULL)
		return -errno;
	region = q->window + at;
	vale_region_path(&v->files, path, v->index, v->gen);
	rc = vale_map_again(q->window, at, v->layout.bytes, path, v->files.region_fd);
	if (rc != 0)
		return rc;
	if (number == 0)
		write_layout(v, region);
	q->own = (void *)region;
	q->tx = (void *)(region + v->layout.tx_ring + number * v->layout.ring_bytes);
	q->rx = (void *)(region + v->layout.rx_ring + number * v->layout.ring_bytes);
	q->slot_from = calloc(v->slots, sizeof(*q->slot_from));
	q->look_everywhere = true;
	if (q->slot_from == NULL)
		return -ENOMEM;
	rc = vale_wake_begin(q);
	return rc != 0 ? rc : vale_tx_begin(q);
}

static int
make_port(struct vale *v, uint32_t number)
{
	struct vale_ring *q = &v->ring[number];
	struct nm_port_config config = {
	    .tx = q->tx,
	    .rx = q->rx,
	    .tx_slots = v->slots,
	    .rx_slots = v->slots,
	    .buf_size = VALE_BUF,
	    .buf_base = q->window,
	    .nbufs = VALE_PORTS * VALE_BUFS_PER_STRIDE,
	    .tx_first = q->first_buf,
	    .tx_nbufs = v->nbufs,
	    .hdr_len = 12,
	    .hdr_flag = VALE_HDR,
	    .stats = &q->own->stats[number],
	    .max_frame = MAX_FRAME,
	    .flags = NETBE_PORT_UNTRUSTED | NETBE_PORT_CHEAP_RX,
	    .features = {FEATURES, 0},
	    .rx_wait = {.fd = q->rx_set, .events = POLLIN},
	    .tx_wait = {.fd = q->tx_set, .events = POLLIN},
	};

	q->port = nm_port_new(&config, &ops, q);
	if (q->port == NULL)
		return -errno;
	q->port->services = v->files.services;
	return 0;
}

static void
end_ring(struct vale *v, uint32_t number)
{
	struct vale_ring *q = &v->ring[number];

	nm_port_free(q->port);
	vale_tx_end(q);
	vale_wake_end(q);
	free(q->slot_from);
	vale_window_free(q->window, VALE_WINDOW);
}

/*
 * Under the lock: files of nobody, left by who was killed while it came or
 * went.  From the last one out, all of them, and the folder.
 */
static void
clear_folder(const struct vale *v, bool all)
{
	DIR *folder = opendir(v->files.folder);
	struct dirent *entry;
	char path[VALE_PATH + 280];

	if (folder == NULL)
		return;
	while ((entry = readdir(folder)) != NULL) {
		uint32_t index, gen;
		char kind = entry->d_name[0];

		if (!all && (sscanf(entry->d_name, "%*1[rs]%u.%u", &index, &gen) != 2 ||
		             (index < VALE_PORTS && vale_member_at(&v->files, index).gen == gen && (gen & 1) != 0)))
			continue;
		if (all && strcmp(entry->d_name, "control") != 0 && kind != 'r' && kind != 's')
			continue;
		snprintf(path, sizeof(path), "%s/%s", v->files.folder, entry->d_name);
		unlink(path);
	}
	closedir(folder);
	if (all)
		rmdir(v->files.folder);
}

/* Under the lock. */
static int
join(struct vale *v, const struct vale_config *c)
{
	struct vale_region *region;
	struct vale_member *m;
	uint64_t living = vale_reap(&v->files);
	int rc = choose(v, c, living);

	if (rc != 0)
		return rc;
	clear_folder(v, false);
	m = &v->files.control->member[v->index];
	v->gen = __atomic_load_n(&m->gen, __ATOMIC_RELAXED) | 1;
	rc = vale_files_own(&v->files, v->index, v->gen) < 0 ? -errno : vale_allocate(v->files.region_fd, v->layout.bytes);
	for (uint32_t r = 0; r < v->rings && rc == 0; r++) {
		rc = begin_ring(v, r);
		if (rc == 0)
			rc = make_port(v, r);
	}
	if (rc != 0)
		return rc;
	region = v->ring[0].own;
	region->magic = VALE_MAGIC;
	region->version = VALE_VERSION;
	region->index = v->index;
	region->gen = v->gen;
	region->rings = v->rings;
	region->slots = v->slots;
	region->nbufs = v->nbufs;
	region->bytes = v->layout.bytes;
	strncpy(region->name, c->name, VALE_NAME - 1);
	/* Who never looks, but polls, is told of the first frame, too. */
	for (uint32_t r = 0; r < v->rings; r++)
		vale_arm(&v->ring[r], NETBE_ARM_RX);
	memset(m->name, 0, VALE_NAME);
	strncpy(m->name, c->name, VALE_NAME - 1);
	m->rings = v->rings;
	m->slots = v->slots;
	m->nbufs = v->nbufs;
	m->pid = (uint32_t)getpid();
	m->left = 0;
	__atomic_store_n(&m->gen, v->gen, __ATOMIC_RELEASE);
	__atomic_fetch_add(&v->files.control->epoch, 1, __ATOMIC_ACQ_REL);
	return 0;
}

/* With the lock, or without it where it was not to be had. */
static void
leave(struct vale *v, bool joined, bool locked)
{
	if (locked) {
		if (joined)
			vale_depart(&v->files, v->index, v->gen);
		else if (v->gen != 0)
			vale_unlink(&v->files, v->index, v->gen);
		if ((vale_reap(&v->files) & ~(joined ? 1ull << v->index : 0)) == 0)
			clear_folder(v, true);
	}
	/* Unlocked or not: who finds the lock on our region gone takes us out. */
	for (uint32_t r = 0; r < v->rings; r++)
		end_ring(v, r);
	if (v->files.fdb != NULL)
		v->files.services->fdb_free(v->files.fdb);
	vale_files_close(&v->files);
	free(v);
}

int
vale_attach(struct vale **result, const struct vale_config *c, const struct netbe_services *services)
{
	struct vale *v;
	size_t table = c->pipe != 0 ? 0 : services->fdb_bytes(VALE_ADDRESSES);
	int rc;

	if (!vale_sane(c->rings, c->slots, c->nbufs) || strlen(c->name) >= VALE_NAME || c->pipe > 2)
		return -EINVAL;
	v = calloc(1, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	rc = vale_files_open(&v->files, c->folder, c->mode, true, table, c->pipe);
	if (rc != 0) {
		vale_files_close(&v->files);
		free(v);
		return rc;
	}
	v->files.services = services;
	v->rings = c->rings;
	v->slots = c->slots;
	v->nbufs = c->nbufs;
	v->wait = c->wait != 0 || c->pipe != 0;
	v->pipe = c->pipe != 0;
	v->layout = vale_layout(v->rings, v->slots, v->nbufs);
	for (uint32_t r = 0; r < VALE_RINGS; r++) {
		struct vale_ring *q = &v->ring[r];

		q->wake_rx = q->wake_tx = q->wake_out = q->rx_timer = q->tx_timer = q->rx_set = q->tx_set = -1;
	}
	if (!v->pipe) {
		v->files.fdb = services->fdb_at((uint8_t *)v->files.control + VALE_TABLE, VALE_ADDRESSES, c->ageing_ns);
		rc = v->files.fdb == NULL ? -ENOMEM : 0;
	}
	if (rc == 0)
		rc = join(v, c);
	if (rc != 0) {
		/* Still locked: the number that we had is nobody else's yet. */
		leave(v, false, true);
		return rc;
	}
	vale_files_unlock(&v->files);
	*result = v;
	return 0;
}

void
vale_detach(struct vale *v)
{
	leave(v, true, vale_files_lock(&v->files) == 0);
}

void
vale_leave_to_parent(struct vale *v)
{
	for (uint32_t r = 0; r < v->rings; r++)
		end_ring(v, r);
	if (v->files.fdb != NULL)
		v->files.services->fdb_free(v->files.fdb);
	vale_files_close(&v->files);
	free(v);
}

struct netbe_port *
vale_port(struct vale *v, uint32_t ring)
{
	return ring < v->rings ? v->ring[ring].port : NULL;
}

void *
vale_hold_memory(struct vale *v, uint32_t ring, size_t *size)
{
	if (ring >= v->rings)
		return NULL;
	vale_window_hold(v->ring[ring].window);
	*size = VALE_WINDOW;
	return v->ring[ring].window;
}

void
vale_drop_memory(void *memory)
{
	vale_window_free(memory, VALE_WINDOW);
}
