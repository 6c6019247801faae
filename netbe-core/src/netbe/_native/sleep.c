/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread's loop: look at the queues that may have frames, then ask epoll
 * which others do, sleeping when none may.
 *
 * A queue is hot (looked at in each round) until a look finds nothing.  Then
 * it is armed, looked at once more, and left to its descriptor.  A queue that
 * holds frames for a full port is blocked: its own descriptor is not listened
 * to, the full port's is.  Transmit descriptors are in a set of their own,
 * inside the other one, because one descriptor may serve both ways.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "engine_int.h"

#define EVENTS 64
#define FUTILE_MAX 16u          /* wake-ups for nothing before a descriptor is taken for mad */
#define SILENT_NS 5000000ull    /* how long it is not listened to then */
#define UNPOLLED_NS 10000000ull /* how often a port is looked at that has no descriptor */
#define CHEAP_ROUNDS 64u        /* rounds of polling memory between two looks at descriptors */

/* What an event belongs to, beside the receive queues. */
static char is_wake, is_tx;

uint64_t
nb_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void
relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Two ports may share a descriptor, which one set takes only once: the second one gets a duplicate. */
static int
watch(int ep, int *fd, bool *own, uint32_t events, void *data)
{
	struct epoll_event ev = {.events = events, .data.ptr = data};

	if (epoll_ctl(ep, EPOLL_CTL_ADD, *fd, &ev) == 0)
		return 0;
	if (errno == EEXIST && !*own) {
		int copy = fcntl(*fd, F_DUPFD_CLOEXEC, 0);

		if (copy < 0)
			return -errno;
		*fd = copy;
		*own = true;
		if (epoll_ctl(ep, EPOLL_CTL_ADD, copy, &ev) == 0)
			return 0;
	}
	return -errno;
}

static void
mute(struct nb_worker *w, struct nb_rxq *q)
{
	if (q->muted || q->fd < 0)
		return;
	epoll_ctl(w->ep, EPOLL_CTL_DEL, q->fd, NULL);
	q->muted = true;
}

static void
unmute(struct nb_worker *w, struct nb_rxq *q)
{
	struct epoll_event ev = {.events = (uint32_t)(uint16_t)q->port->rx_wait.events, .data.ptr = q};

	if (!q->muted)
		return;
	epoll_ctl(w->ep, EPOLL_CTL_ADD, q->fd, &ev);
	q->muted = false;
}

static void
set_timer(struct nb_worker *w, struct nb_rxq *q, uint64_t at)
{
	if (q->retry_ns == 0 && at != 0)
		w->ntimed++;
	else if (q->retry_ns != 0 && at == 0)
		w->ntimed--;
	q->retry_ns = at;
}

static void
heat(struct nb_worker *w, struct nb_rxq *q)
{
	if (q->hot || q->dead)
		return;
	set_timer(w, q, 0);
	q->armed = false; /* it has been woken, or is to be: what it was asked for is used up */
	q->hot = true;
	w->hot[w->nhot++] = q;
}

static void
kill_queue(struct nb_worker *w, struct nb_rxq *q)
{
	mute(w, q);
	set_timer(w, q, 0);
	q->dead = true;
}

void
nb_watch_out(struct nb_worker *w, uint32_t port)
{
	struct nb_out *o = &w->out[port];
	uint32_t events = (uint32_t)(uint16_t)o->port->tx_wait.events | EPOLLONESHOT;
	struct epoll_event ev = {.events = events, .data.ptr = o};

	/* One that says "room" when there is none is tried again by the clock instead. */
	if (o->fd < 0 || o->futile > FUTILE_MAX)
		return;
	if (o->watched)
		epoll_ctl(w->ep_tx, EPOLL_CTL_MOD, o->fd, &ev);
	else if (watch(w->ep_tx, &o->fd, &o->own_fd, events, o) == 0)
		o->watched = true;
	else
		o->fd = -1;
}

/* When a blocked queue goes on although its port has not said anything. */
static uint64_t
blocked_until(const struct nb_worker *w, const struct nb_rxq *q)
{
	uint64_t when = 0;

	for (uint32_t i = 0; i < q->ntodo; i++) {
		const struct nb_out *o = &w->out[q->todo[i].port];
		uint64_t at = o->full_since + w->engine->config.wait_ns;

		if (nb_lport_error(w->engine, q->todo[i].port) != 0)
			continue; /* a bridge that is ending: kept where it is */
		if ((o->fd < 0 || o->futile > FUTILE_MAX) && w->now + NB_RETRY_NS < at)
			at = w->now + NB_RETRY_NS;
		if (when == 0 || at < when)
			when = at;
	}
	return when;
}

/* After a look that found nothing: how this queue will be woken.  False: it has to be looked at again. */
static bool
cool(struct nb_worker *w, struct nb_rxq *q)
{
	bool arms = NETBE_PORT_HAS(q->port, arm);

	if (w->all_cheap && w->now - w->last_ns < w->engine->config.spin_ns)
		return false;
	if (arms && !q->armed) {
		q->armed = true;
		q->port->arm(q->port, NETBE_ARM_RX);
		return false;
	}
	if (q->fd < 0) {
		set_timer(w, q, w->now + UNPOLLED_NS);
	} else if (!arms && q->futile > FUTILE_MAX) {
		mute(w, q);
		set_timer(w, q, w->now + SILENT_NS);
	} else {
		unmute(w, q);
	}
	return true;
}

/* What was handed over with a port has gone: now what the port has itself. */
static void
end_inject(struct nb_worker *w, struct nb_rxq *q)
{
	kill_queue(w, q);
	for (uint32_t i = 0; i < w->nrxq; i++) {
		struct nb_rxq *main = &w->rxq[i];

		if (main->after_inject && main->index == q->index) {
			main->after_inject = false;
			unmute(w, main);
			heat(w, main);
		}
	}
}

/* One look at a hot queue; false when it is hot no more. */
static bool
look(struct nb_worker *w, struct nb_rxq *q)
{
	struct nb_engine *e = w->engine;
	int r = nb_serve(w, q);

	if (r < 0) {
		nb_engine_give_up(e, q->index, r);
		kill_queue(w, q);
		return false;
	}
	if (q->blocked) {
		set_timer(w, q, blocked_until(w, q));
		return false;
	}
	if (r == 0) {
		if (q->port == e->lport[q->index].inject) {
			end_inject(w, q);
			return false;
		}
		if (nb_lport_error(e, q->index) != 0) {
			kill_queue(w, q); /* it could not send any more, and now it has nothing left to say */
			return false;
		}
		q->futile++;
		return !cool(w, q);
	}
	q->armed = false;
	q->futile = 0;
	if (q->muted)
		unmute(w, q);
	if (q->port->flags & NETBE_PORT_CHEAP_RX)
		return true;
	if (NETBE_PORT_HAS(q->port, pending) && q->port->pending(q->port) > 0)
		return true;
	if ((uint32_t)r == q->asked && r > 1)
		return true;
	/* Without a descriptor, or with one that must be armed, only an empty look is the end. */
	return q->fd < 0 || NETBE_PORT_HAS(q->port, arm);
}

static bool
stopped(const struct nb_worker *w)
{
	return __atomic_load_n(&w->engine->stop, __ATOMIC_ACQUIRE) != 0;
}

static void
look_at_hot(struct nb_worker *w)
{
	uint32_t n = w->nhot;
	uint32_t kept;

	for (uint32_t i = 0; i < n && !stopped(w); i++)
		if (!look(w, w->hot[i]))
			w->hot[i]->hot = false;
	/* Meanwhile others may have been added at the end. */
	kept = 0;
	for (uint32_t i = 0; i < w->nhot; i++)
		if (w->hot[i]->hot)
			w->hot[kept++] = w->hot[i];
	w->nhot = kept;
}

/* Makes hot what is due; returns when the next one is. */
static uint64_t
timers(struct nb_worker *w)
{
	uint64_t next = w->fail_ns != 0 ? w->fail_ns + NB_DRAIN_NS : UINT64_MAX;

	for (uint32_t i = 0, left = w->ntimed; i < w->nrxq && left != 0; i++) {
		struct nb_rxq *q = &w->rxq[i];

		if (q->retry_ns == 0)
			continue;
		left--;
		if (q->retry_ns <= w->now)
			heat(w, q);
		else if (q->retry_ns < next)
			next = q->retry_ns;
	}
	return next;
}

static void
room(struct nb_worker *w, struct nb_out *o)
{
	uint32_t port = (uint32_t)(o - w->out);

	o->futile++; /* until it takes a frame */
	for (uint32_t i = 0; i < w->nrxq; i++) {
		struct nb_rxq *q = &w->rxq[i];

		for (uint32_t j = 0; q->blocked && j < q->ntodo; j++)
			if (q->todo[j].port == port)
				heat(w, q);
	}
}

static void
take_events(struct nb_worker *w, int timeout)
{
	struct epoll_event ev[EVENTS];
	struct epoll_event tx[EVENTS];
	int n = epoll_wait(w->ep, ev, EVENTS, timeout);

	for (int i = 0; i < n; i++) {
		struct nb_rxq *q = ev[i].data.ptr;

		if (ev[i].data.ptr == &is_wake) {
			/* The flags say why; it stays readable for the other threads. */
			epoll_ctl(w->ep, EPOLL_CTL_DEL, w->engine->wake_fd, NULL);
		} else if (ev[i].data.ptr == &is_tx) {
			int m = epoll_wait(w->ep_tx, tx, EVENTS, 0);

			for (int j = 0; j < m; j++)
				room(w, tx[j].data.ptr);
		} else if (q->blocked) {
			mute(w, q);
		} else {
			heat(w, q);
		}
	}
}

/* A bridge has lost a port: whether this thread has brought over what there was. */
static bool
finished(struct nb_worker *w)
{
	if (w->fail_ns == 0) {
		w->fail_ns = w->now;
		for (uint32_t i = 0; i < w->nrxq; i++)
			if (nb_lport_error(w->engine, w->rxq[i].index) != 0 && !w->rxq[i].blocked)
				heat(w, &w->rxq[i]);
	}
	if (w->now - w->fail_ns >= NB_DRAIN_NS)
		return true;
	for (uint32_t i = 0; i < w->nrxq; i++) {
		struct nb_rxq *q = &w->rxq[i];

		if (nb_lport_error(w->engine, q->index) != 0 && (q->hot || q->retry_ns != 0))
			return false;
	}
	return true;
}

void
nb_loop(struct nb_worker *w)
{
	uint32_t rounds = 0;

	while (!stopped(w)) {
		uint64_t next;
		int timeout = -1;

		w->now = nb_clock_ns();
		look_at_hot(w);
		if (__atomic_load_n(&w->engine->failure, __ATOMIC_ACQUIRE) != 0 && finished(w))
			break;
		next = timers(w);
		if (w->nhot != 0) {
			if (w->last_ns != w->now && w->all_cheap)
				relax();
			if (w->all_cheap && w->nblocked == 0 && ++rounds % CHEAP_ROUNDS != 0)
				continue;
			timeout = 0;
		} else if (next != UINT64_MAX) {
			uint64_t ms = next > w->now ? (next - w->now + 999999) / 1000000 : 0;

			timeout = ms < 60000 ? (int)ms : 60000;
		}
		take_events(w, timeout);
	}
}

/* Listens to a queue, or leaves it until what was handed over with its port has gone. */
int
nb_loop_add(struct nb_worker *w, struct nb_rxq *q)
{
	q->fd = q->port->rx_wait.fd;
	q->muted = true;
	if (q->fd >= 0) {
		int rc = watch(w->ep, &q->fd, &q->own_fd, (uint32_t)(uint16_t)q->port->rx_wait.events, q);

		if (rc == 0)
			q->muted = false;
		else if (rc == -EPERM)
			q->fd = -1; /* a file: nothing to poll */
		else
			return rc;
	}
	if (q->after_inject)
		mute(w, q);
	else
		heat(w, q);
	return 0;
}

int
nb_loop_begin(struct nb_worker *w)
{
	struct epoll_event ev = {.events = EPOLLIN};

	w->ep = epoll_create1(EPOLL_CLOEXEC);
	w->ep_tx = epoll_create1(EPOLL_CLOEXEC);
	if (w->ep < 0 || w->ep_tx < 0)
		return -errno;
	ev.data.ptr = &is_wake;
	if (epoll_ctl(w->ep, EPOLL_CTL_ADD, w->engine->wake_fd, &ev) != 0)
		return -errno;
	ev.data.ptr = &is_tx;
	if (epoll_ctl(w->ep, EPOLL_CTL_ADD, w->ep_tx, &ev) != 0)
		return -errno;
	w->all_cheap = true;
	w->last_ns = w->now = nb_clock_ns();
	return 0;
}
