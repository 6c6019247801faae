/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sleeping and waking across a ring.  A side that is about to sleep sets its
 * flag, fences and looks again; the other publishes, fences and looks at the
 * flag: one of them sees the other, so no wake-up is lost and none is sent to
 * who is awake.
 */
#ifndef NETBE_SLEEPER_H
#define NETBE_SLEEPER_H

#include <errno.h>
#include <stdalign.h>
#include <stdint.h>
#include <unistd.h>

#define LINE 64

/* Somebody who may sleep, and the descriptor that wakes him. */
struct sleeper {
	alignas(LINE) uint32_t armed; /* set by the sleeper, taken by who wakes him */
	int fd;
	alignas(LINE) uint32_t owed; /* the sleeper's: wake-ups sent or being sent that he has not read */
};

static inline void
signal_fd(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

static inline void
wake(struct sleeper *s)
{
	if (__atomic_load_n(&s->armed, __ATOMIC_RELAXED) != 0 &&
	    __atomic_exchange_n(&s->armed, 0, __ATOMIC_ACQ_REL) != 0)
		signal_fd(s->fd);
}

/* Publishing went before; see above. */
static inline void
wake_after_publish(struct sleeper *s)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	wake(s);
}

static inline void
arm(struct sleeper *s)
{
	if (__atomic_load_n(&s->armed, __ATOMIC_ACQUIRE) == 0)
		s->owed++;
	if (s->owed > 0) {
		uint64_t sent = 0;

		/* One that is still on its way is read by the next arm(). */
		if (read(s->fd, &sent, sizeof(sent)) == (ssize_t)sizeof(sent))
			s->owed = sent < s->owed ? s->owed - (uint32_t)sent : 0;
	}
	__atomic_store_n(&s->armed, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#endif
