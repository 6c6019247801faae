/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file of shared memory may be truncated by any member, and reading behind
 * its end is SIGBUS.  The handler puts empty memory there and goes on: what
 * is read then is zeros, which every reader checks like anything else.  A
 * SIGBUS outside our windows is passed to who had it before.
 *
 * All that follows in the same file lies behind its end, too, and is replaced
 * with it.  Page by page, who says which pages we touch would have us use up
 * the mappings that a process may have.
 */
#include "vale_memory.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WINDOWS_MAX 4096u

struct range {
	uintptr_t begin, end; /* begin is written last, and cleared first */
	size_t part;
	uint32_t holders;
};

static struct range ranges[WINDOWS_MAX];
static uint32_t nranges; /* how many were ever used */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before;
static uintptr_t page; /* bytes of one */

/* Bytes from a page on that one file has in a window of ours; 0: it is none of ours. */
static size_t
ours(uintptr_t at)
{
	uint32_t n = __atomic_load_n(&nranges, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < n; i++) {
		uintptr_t begin = __atomic_load_n(&ranges[i].begin, __ATOMIC_ACQUIRE);
		uintptr_t end = __atomic_load_n(&ranges[i].end, __ATOMIC_RELAXED), stop;
		size_t part = __atomic_load_n(&ranges[i].part, __ATOMIC_RELAXED);

		if (begin == 0 || at < begin || at >= end)
			continue;
		stop = begin + ((at - begin) / part + 1) * part;
		return (stop < end ? stop : end) - at;
	}
	return 0;
}

static void
on_bus(int number, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr & ~(page - 1);
	/* One that was sent, and not caused, has no address. */
	size_t bytes = info->si_code > 0 ? ours(at) : 0;
	int saved = errno;

	if (bytes != 0 && mmap((void *)at, bytes, PROT_READ | PROT_WRITE,
	                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED) {
		errno = saved;
		return;
	}
	errno = saved;
	if (before.sa_flags & SA_SIGINFO) {
		before.sa_sigaction(number, info, context);
	} else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
		before.sa_handler(number);
	} else if (info->si_code > 0 || before.sa_handler == SIG_DFL) {
		/* The access is made again, or the signal sent again, and meets what there is by default. */
		signal(SIGBUS, SIG_DFL);
		if (info->si_code <= 0)
			raise(number);
	}
}

/*
 * Under the lock.  Python's faulthandler may be enabled after us, and then it
 * is first; when the next port comes, we are.  It has us for who was there
 * before it, so that we can't pass anything to it: it would come back.
 */
static int
install(void)
{
	struct sigaction now;
	struct sigaction action = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	if (sigaction(SIGBUS, NULL, &now) != 0)
		return -errno;
	if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_bus)
		return 0;
	if (page == 0)
		before = now;
	page = (uintptr_t)sysconf(_SC_PAGESIZE);
	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, NULL) == 0 ? 0 : -errno;
}

static void
before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void
after_fork(void)
{
	pthread_mutex_unlock(&lock);
}

/* A child must not find the lock held by a thread that it does not have. */
static void
register_fork(void)
{
	pthread_atfork(before_fork, after_fork, after_fork);
}

static int
enter(uintptr_t begin, size_t bytes, size_t part)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int rc = -ENOMEM;

	pthread_once(&once, register_fork);
	pthread_mutex_lock(&lock);
	for (uint32_t i = 0; i < WINDOWS_MAX; i++) {
		if (ranges[i].begin != 0)
			continue;
		rc = install();
		if (rc == 0) {
			ranges[i].holders = 1;
			__atomic_store_n(&ranges[i].end, begin + bytes, __ATOMIC_RELAXED);
			__atomic_store_n(&ranges[i].part, part, __ATOMIC_RELAXED);
			__atomic_store_n(&ranges[i].begin, begin, __ATOMIC_RELEASE);
			if (i >= nranges)
				__atomic_store_n(&nranges, i + 1, __ATOMIC_RELEASE);
		}
		break;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

void *
vale_window_new(size_t bytes, size_t part)
{
	void *window = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int rc;

	if (window == MAP_FAILED)
		return NULL;
	rc = enter((uintptr_t)window, bytes, part);
	if (rc != 0) {
		munmap(window, bytes);
		errno = -rc;
		return NULL;
	}
	return window;
}

void
vale_window_hold(void *window)
{
	pthread_mutex_lock(&lock);
	for (uint32_t i = 0; i < nranges; i++)
		if (ranges[i].begin == (uintptr_t)window)
			ranges[i].holders++;
	pthread_mutex_unlock(&lock);
}

void
vale_window_free(void *window, size_t bytes)
{
	uint32_t left = 0;

	if (window == NULL)
		return;
	pthread_mutex_lock(&lock);
	for (uint32_t i = 0; i < nranges; i++) {
		if (ranges[i].begin != (uintptr_t)window)
			continue;
		left = --ranges[i].holders;
		if (left == 0)
			__atomic_store_n(&ranges[i].begin, 0, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&lock);
	if (left == 0)
		munmap(window, bytes);
}

int
vale_window_map(void *window, size_t at, size_t bytes, int fd)
{
	void *got = mmap((uint8_t *)window + at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);

	return got == MAP_FAILED ? -errno : 0;
}

int
vale_window_unmap(void *window, size_t at, size_t bytes)
{
	void *got = mmap((uint8_t *)window + at, bytes, PROT_READ | PROT_WRITE,
	                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	return got == MAP_FAILED ? -errno : 0;
}
