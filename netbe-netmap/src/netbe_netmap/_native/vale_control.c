/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files of a switch in this process: opened, locked by a lock that the
 * kernel drops when its holder dies, and closed in forked children.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vale_int.h"
#include "vale_memory.h"

#define LOCK_PAUSE_NS 1000000

/* A file with a lease of somebody's is EAGAIN at once, and not after the 45 seconds that he has to give it up. */
#define OPEN_FLAGS (O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)

/*
 * All of this process.  A lock belongs to the file as it was opened, and so
 * to a forked child too: whose parent is killed would keep it.
 */
static struct vale_files *all;
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
before_fork(void)
{
	pthread_mutex_lock(&all_lock);
}

static void
after_fork(void)
{
	pthread_mutex_unlock(&all_lock);
}

static void
in_child(void)
{
	for (struct vale_files *f = all; f != NULL; f = f->next) {
		if (f->region_fd >= 0)
			close(f->region_fd);
		if (f->control_fd >= 0)
			close(f->control_fd);
		f->region_fd = f->control_fd = -1;
	}
	pthread_mutex_unlock(&all_lock);
}

static void
register_fork(void)
{
	pthread_atfork(before_fork, after_fork, in_child);
}

/* Opens, and no fork comes before it is known. */
static int
open_known(int *fd, const char *path, int flags, uint32_t mode)
{
	pthread_mutex_lock(&all_lock);
	*fd = open(path, flags | OPEN_FLAGS, mode);
	pthread_mutex_unlock(&all_lock);
	return *fd;
}

static void
close_known(int *fd)
{
	pthread_mutex_lock(&all_lock);
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	pthread_mutex_unlock(&all_lock);
}

static void
control_path(const char *folder, char path[VALE_PATH + 32])
{
	snprintf(path, VALE_PATH + 32, "%s/control", folder);
}

void
vale_region_path(const struct vale_files *f, char path[VALE_PATH + 32], uint32_t index, uint32_t gen)
{
	snprintf(path, VALE_PATH + 32, "%s/r%u.%u", f->folder, index, gen);
}

void
vale_socket_path(const struct vale_files *f, char path[VALE_PATH + 32], uint32_t index, uint32_t gen, uint32_t ring,
                 char way)
{
	snprintf(path, VALE_PATH + 32, "%s/s%u.%u.%u%c", f->folder, index, gen, ring, way);
}

int
vale_open(const char *path)
{
	return open(path, O_RDWR | OPEN_FLAGS);
}

/* Before another attempt; however many there are, they have VALE_LOCK_MS together. */
static int
pause_since(const struct timespec *begun)
{
	struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS}, now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if ((now.tv_sec - begun->tv_sec) * 1000 + (now.tv_nsec - begun->tv_nsec) / 1000000 >= VALE_LOCK_MS)
		return -ETIMEDOUT;
	nanosleep(&pause, NULL);
	return 0;
}

bool
vale_files_trylock(struct vale_files *f)
{
	if (__atomic_exchange_n(&f->busy, true, __ATOMIC_ACQUIRE)) {
		errno = EWOULDBLOCK;
		return false;
	}
	if (flock(f->control_fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	__atomic_store_n(&f->busy, false, __ATOMIC_RELEASE);
	return false;
}

void
vale_files_unlock(struct vale_files *f)
{
	flock(f->control_fd, LOCK_UN);
	__atomic_store_n(&f->busy, false, __ATOMIC_RELEASE);
}

/* One who holds it does so for a moment; one who never lets go costs an error, not a hang. */
static int
lock(struct vale_files *f, const struct timespec *begun)
{
	while (!vale_files_trylock(f)) {
		int rc = errno != EWOULDBLOCK && errno != EINTR ? -errno : pause_since(begun);

		if (rc != 0)
			return rc;
	}
	return 0;
}

int
vale_allocate(int fd, size_t bytes)
{
	int rc;

	do
		rc = posix_fallocate(fd, 0, (off_t)bytes);
	while (rc == EINTR);
	return -rc;
}

int
vale_map_again(void *window, size_t at, size_t bytes, const char *path, int fd)
{
	struct stat ours, there;
	int again = vale_open(path), rc;

	if (again < 0)
		return errno == EAGAIN ? -EPROTO : -errno; /* nobody has a lease of a file that we have open: it is another */
	if (fstat(fd, &ours) != 0 || fstat(again, &there) != 0 || ours.st_ino != there.st_ino ||
	    ours.st_dev != there.st_dev)
		rc = -EPROTO;
	else
		rc = vale_window_map(window, at, bytes, again);
	close(again);
	return rc;
}

int
vale_files_lock(struct vale_files *f)
{
	struct timespec begun;

	clock_gettime(CLOCK_MONOTONIC, &begun);
	return lock(f, &begun);
}

/* Whether the file that we have locked is still the one that others will find. */
static bool
current(int fd, const char *path)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino &&
	       ours.st_dev == there.st_dev;
}

/* Opens and locks the one that is there now: who locks it may be about to take it away. */
static int
open_control(struct vale_files *f, const char *path, int flags)
{
	struct timespec begun;
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &begun);
	do {
		if (open_known(&f->control_fd, path, flags, f->mode) >= 0) {
			rc = lock(f, &begun);
			if (rc != 0 || current(f->control_fd, path))
				return rc;
			vale_files_unlock(f);
			close_known(&f->control_fd);
		} else if (errno != EAGAIN) {
			return -errno;
		}
		rc = pause_since(&begun);
	} while (rc == 0);
	return rc;
}

static int
map_control(struct vale_files *f, const char *path, bool fresh, uint32_t pipe)
{
	struct stat st;
	int rc;

	if (fresh) {
		rc = vale_allocate(f->control_fd, f->control_bytes);
		if (rc != 0)
			return rc;
	}
	if (fstat(f->control_fd, &st) != 0)
		return -errno;
	if ((size_t)st.st_size != f->control_bytes)
		return -EPROTO;
	f->control = vale_window_new(f->control_bytes, f->control_bytes);
	if (f->control == NULL)
		return -errno;
	rc = vale_map_again(f->control, 0, f->control_bytes, path, f->control_fd);
	if (rc != 0)
		return rc;
	if (fresh) {
		f->control->version = VALE_VERSION;
		f->control->pipe = pipe;
		__atomic_store_n(&f->control->magic, VALE_MAGIC, __ATOMIC_RELEASE);
	}
	if (f->control->magic != VALE_MAGIC || f->control->version != VALE_VERSION)
		return -EPROTO;
	return 0;
}

int
vale_files_open(struct vale_files *f, const char *folder, uint32_t mode, bool make, size_t table_bytes, uint32_t pipe)
{
	char path[VALE_PATH + 32];
	struct stat st;
	int rc;

	memset(f, 0, sizeof(*f));
	f->control_fd = f->region_fd = -1;
	f->mode = mode;
	pthread_once(&once, register_fork);
	pthread_mutex_lock(&all_lock);
	f->next = all;
	all = f;
	pthread_mutex_unlock(&all_lock);
	if (strlen(folder) >= VALE_FOLDER)
		return -ENAMETOOLONG;
	strcpy(f->folder, folder);
	f->control_bytes = VALE_TABLE + table_bytes;
	control_path(folder, path);
	rc = open_control(f, path, O_RDWR | (make ? O_CREAT : 0));
	if (rc == 0 && fstat(f->control_fd, &st) != 0)
		rc = -errno;
	if (rc == 0) {
		/* Without its magic it was begun by somebody who died: nobody has ever been a member. */
		uint32_t magic = 0;
		bool begun = pread(f->control_fd, &magic, sizeof(magic), 0) != (ssize_t)sizeof(magic) || magic == 0;

		if (begun && make)
			(void)!fchmod(f->control_fd, mode); /* whatever the umask */
		rc = begun && !make ? -ENOENT : map_control(f, path, begun, pipe != 0);
		if (rc != 0 && begun && make) { /* nothing stays of what could not be made */
			unlink(path);
			rmdir(folder);
		}
	}
	if (rc == 0 && make && (f->control->pipe != 0) != (pipe != 0))
		rc = -EMLINK;
	return rc;
}

void
vale_files_close(struct vale_files *f)
{
	if (f->control != NULL)
		vale_window_free(f->control, f->control_bytes);
	f->control = NULL;
	/* Closing unlocks nothing while a child that is being started has it too. */
	if (f->control_fd >= 0)
		vale_files_unlock(f);
	close_known(&f->control_fd);
	close_known(&f->region_fd);
	pthread_mutex_lock(&all_lock);
	for (struct vale_files **at = &all; *at != NULL; at = &(*at)->next) {
		if (*at == f) {
			*at = f->next;
			break;
		}
	}
	pthread_mutex_unlock(&all_lock);
}

int
vale_files_own(struct vale_files *f, uint32_t index, uint32_t gen)
{
	char path[VALE_PATH + 32];
	struct flock mine = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	vale_region_path(f, path, index, gen);
	unlink(path); /* of somebody who died while he attached */
	if (open_known(&f->region_fd, path, O_RDWR | O_CREAT | O_EXCL, f->mode) < 0)
		return -1;
	(void)!fchmod(f->region_fd, f->mode); /* whatever the umask */
	return fcntl(f->region_fd, F_OFD_SETLK, &mine);
}
