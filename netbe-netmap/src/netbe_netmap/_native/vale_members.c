/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who is on the switch: a table in the control file, changed only under its
 * lock.
 *
 * A member lives as long as somebody holds the lock of its region's file;
 * process numbers say nothing, they are used again.  What a dead one left is
 * taken away by whoever attaches next, or meets its full lane.  One that left
 * in order stays in the table until what it sent is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vale_int.h"
#include "vale_memory.h"

bool
vale_alive(const struct vale_files *f, uint32_t index, uint32_t gen)
{
	char path[VALE_PATH + 32];
	struct flock probe = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd;
	bool held;

	vale_region_path(f, path, index, gen);
	fd = vale_open(path);
	if (fd < 0)
		return errno != ENOENT;
	held = fcntl(fd, F_OFD_GETLK, &probe) != 0 || probe.l_type != F_UNLCK;
	close(fd);
	return held;
}

static void
unlink_sockets(const struct vale_files *f, uint32_t index, uint32_t gen)
{
	char path[VALE_PATH + 32];

	for (uint32_t ring = 0; ring < VALE_RINGS; ring++) {
		vale_socket_path(f, path, index, gen, ring, 'r');
		unlink(path);
		vale_socket_path(f, path, index, gen, ring, 't');
		unlink(path);
	}
}

void
vale_unlink(const struct vale_files *f, uint32_t index, uint32_t gen)
{
	char path[VALE_PATH + 32];

	vale_region_path(f, path, index, gen);
	unlink(path);
	unlink_sockets(f, index, gen);
}

/* The table is another one: everybody looks at it anew, and nobody sends there what was meant for who is gone. */
static void
tell(struct vale_files *f, uint32_t index)
{
	__atomic_fetch_add(&f->control->epoch, 2, __ATOMIC_ACQ_REL);
	if (f->fdb != NULL)
		f->services->fdb_flush_port(f->fdb, index);
}

void
vale_remove(struct vale_files *f, uint32_t index, uint32_t gen)
{
	uint32_t now = gen;

	/* The table first: who looks at it now finds no member, and later no files. */
	if (!__atomic_compare_exchange_n(&f->control->member[index].gen, &now, gen + 1, false, __ATOMIC_ACQ_REL,
	                                 __ATOMIC_RELAXED))
		return;
	tell(f, index);
	vale_unlink(f, index, gen);
}

void
vale_suspect(struct vale_files *f, uint32_t index, uint32_t gen)
{
	/* On a frame's way: who is attaching now will see to it himself. */
	if (vale_alive(f, index, gen) || !vale_files_trylock(f))
		return;
	if (__atomic_load_n(&f->control->member[index].gen, __ATOMIC_ACQUIRE) == gen &&
	    __atomic_load_n(&f->control->member[index].left, __ATOMIC_RELAXED) == 0)
		vale_remove(f, index, gen);
	else /* who changed the table may have been killed before he told us */
		tell(f, index);
	vale_files_unlock(f);
}

/* --- members that have left */

/*
 * Whether one of the living has not read all that a member sent it.  Where we
 * cannot look, for want of descriptors or memory, it is so; VALE_LEFT_MAX
 * bounds what is kept for that.
 */
static bool
unread(const struct vale_files *f, uint32_t index, uint64_t living)
{
	struct vale_member m = vale_member_at(f, index);
	struct vale_layout l;
	char path[VALE_PATH + 32];
	struct stat st;
	uint8_t *region;
	bool found = false;
	int fd;

	if (living == 0 || !vale_sane(m.rings, m.slots, m.nbufs))
		return false;
	l = vale_layout(m.rings, m.slots, m.nbufs);
	vale_region_path(f, path, index, m.gen);
	fd = vale_open(path);
	if (fd < 0)
		return errno != ENOENT;
	if (fstat(fd, &st) == 0 && (size_t)st.st_size < l.bytes) {
		close(fd);
		return false;
	}
	region = vale_window_new(l.bytes, l.bytes);
	if (region == NULL || vale_window_map(region, 0, l.bytes, fd) != 0) {
		found = true;
	} else {
		for (uint32_t i = 0; i < m.rings * VALE_PORTS; i++) {
			uint32_t to = i % VALE_PORTS;
			struct vale_lane *lane = (void *)(region + vale_lane_at(&l, i / VALE_PORTS, to));

			found |= (living >> to & 1) != 0 &&
			         __atomic_load_n(&lane->gen, __ATOMIC_ACQUIRE) == vale_member_at(f, to).gen &&
			         __atomic_load_n(&lane->head, __ATOMIC_ACQUIRE) !=
			             __atomic_load_n(&lane->tail, __ATOMIC_ACQUIRE);
		}
	}
	vale_window_free(region, l.bytes);
	close(fd);
	return found;
}

bool
vale_evict(struct vale_files *f)
{
	uint32_t first = VALE_PORTS;

	for (uint32_t i = 0; i < VALE_PORTS; i++) {
		struct vale_member m = vale_member_at(f, i);

		if ((m.gen & 1) != 0 && m.left != 0 && (first == VALE_PORTS || m.left < vale_member_at(f, first).left))
			first = i;
	}
	if (first < VALE_PORTS)
		vale_remove(f, first, vale_member_at(f, first).gen);
	return first < VALE_PORTS;
}

void
vale_depart(struct vale_files *f, uint32_t index, uint32_t gen)
{
	struct vale_member *m = &f->control->member[index];
	uint64_t living = vale_reap(f) & ~(1ull << index);
	uint32_t others = 0;

	if (__atomic_load_n(&m->gen, __ATOMIC_ACQUIRE) != gen)
		return;
	if (!unread(f, index, living)) {
		vale_remove(f, index, gen);
		return;
	}
	for (uint32_t i = 0; i < VALE_PORTS; i++)
		others += (vale_member_at(f, i).gen & 1) != 0 && vale_member_at(f, i).left != 0;
	if (others >= VALE_LEFT_MAX)
		vale_evict(f);
	__atomic_store_n(&m->left, __atomic_load_n(&f->control->epoch, __ATOMIC_RELAXED) | 1, __ATOMIC_RELEASE);
	tell(f, index);
	unlink_sockets(f, index, gen);
}

bool
vale_finish(struct vale_files *f)
{
	if (!vale_files_trylock(f))
		return false;
	vale_reap(f);
	vale_files_unlock(f);
	return true;
}

uint64_t
vale_reap(struct vale_files *f)
{
	uint64_t living = 0, left = 0;

	for (uint32_t i = 0; i < VALE_PORTS; i++) {
		struct vale_member m = vale_member_at(f, i);

		if ((m.gen & 1) == 0)
			continue;
		if (m.left != 0)
			left |= 1ull << i;
		else if (vale_alive(f, i, m.gen))
			living |= 1ull << i;
		else
			vale_remove(f, i, m.gen);
	}
	for (; left != 0; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(left);

		if (!unread(f, i, living))
			vale_remove(f, i, vale_member_at(f, i).gen);
	}
	return living;
}

int
vale_list(const char *folder, struct vale_info *out, uint32_t n)
{
	struct vale_files f;
	uint32_t found = 0;
	struct stat st;
	char path[VALE_PATH + 32];
	int rc;

	snprintf(path, sizeof(path), "%s/control", folder);
	if (stat(path, &st) != 0)
		return -errno;
	if ((size_t)st.st_size < VALE_TABLE)
		return -EPROTO;
	rc = vale_files_open(&f, folder, 0, false, (size_t)st.st_size - VALE_TABLE, 0);
	if (rc != 0) {
		vale_files_close(&f);
		return rc;
	}
	for (uint32_t i = 0; i < VALE_PORTS && found < n; i++) {
		struct vale_member m = vale_member_at(&f, i);
		struct vale_info *info = &out[found];
		struct vale_region *region;
		int fd;

		if ((m.gen & 1) == 0 || m.left != 0 || !vale_sane(m.rings, m.slots, m.nbufs))
			continue;
		memset(info, 0, sizeof(*info));
		memcpy(info->name, f.control->member[i].name, VALE_NAME);
		info->name[VALE_NAME - 1] = '\0';
		info->index = i;
		info->rings = m.rings;
		info->slots = m.slots;
		info->nbufs = m.nbufs;
		info->pid = m.pid;
		info->bytes = vale_layout(m.rings, m.slots, m.nbufs).bytes;
		info->alive = vale_alive(&f, i, m.gen);
		found++;
		vale_region_path(&f, path, i, m.gen);
		info->uid = lstat(path, &st) == 0 ? (uint32_t)st.st_uid : UINT32_MAX;
		fd = vale_open(path);
		if (fd < 0)
			continue;
		region = vale_window_new(VALE_HEAD, VALE_HEAD);
		if (region != NULL && vale_window_map(region, 0, VALE_HEAD, fd) == 0) {
			for (uint32_t r = 0; r < m.rings; r++) {
				uint64_t *sum = (uint64_t *)&info->stats;
				const uint64_t *one = (const uint64_t *)&region->stats[r];

				for (size_t k = 0; k < sizeof(info->stats) / sizeof(*sum); k++)
					sum[k] += __atomic_load_n(&one[k], __ATOMIC_RELAXED);
			}
		}
		vale_window_free(region, VALE_HEAD);
		close(fd);
	}
	vale_files_close(&f);
	return (int)found;
}
