/* SPDX-License-Identifier: BSD-2-Clause */
/* Making an engine, its ports, its counters; the work is in sleep.c, forward.c and output.c. */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine_int.h"

#define PORTS_MAX 4096u
#define THREADS_MAX 64u
#define QUEUES_MAX 1024u

struct nb_engine *
nb_engine_new(const struct nb_engine_config *config)
{
	struct nb_engine *e;

	if (config->nports < 2 || config->nports > PORTS_MAX || config->nthreads < 1 ||
	    config->nthreads > THREADS_MAX || config->on_full > NB_ON_FULL_DROP ||
	    (!config->learning && (config->nports != 2 || config->vlan_filtering))) {
		errno = EINVAL;
		return NULL;
	}
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return NULL;
	e->config = *config;
	e->alive = config->nports;
	e->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->wake_fd < 0)
		goto fail;
	e->lport = calloc(config->nports, sizeof(*e->lport));
	e->last = calloc(config->nports, sizeof(*e->last));
	if (e->lport == NULL || e->last == NULL)
		goto fail;
	if (config->learning) {
		e->fdb = nb_fdb_new(config->fdb_size, config->ageing_ns);
		if (e->fdb == NULL)
			goto fail;
	}
	for (uint32_t i = 0; config->vlan_filtering && i < config->nports; i++) {
		e->lport[i].vlan = calloc(1, sizeof(*e->lport[i].vlan));
		if (e->lport[i].vlan == NULL)
			goto fail;
		e->lport[i].vlan->pvid = 1; /* the default of 802.1Q-2018, table 9-2 */
	}
	return e;
fail:
	{
		int saved = errno;

		nb_engine_free(e);
		errno = saved;
	}
	return NULL;
}

void
nb_engine_free(struct nb_engine *e)
{
	if (e == NULL)
		return;
	for (uint32_t i = 0; e->lport != NULL && i < e->config.nports; i++) {
		struct nb_lport *lp = &e->lport[i];

		for (uint32_t j = 0; j < lp->nqueues; j++)
			pthread_mutex_destroy(&lp->queue[j].lock);
		free(lp->queue);
		free(lp->vlan);
		nb_inject_free(lp->inject);
	}
	free(e->lport);
	free(e->last);
	nb_fdb_free(e->fdb);
	if (e->wake_fd >= 0)
		close(e->wake_fd);
	free(e);
}

static void
add_stats(struct netbe_port_stats *sum, const struct netbe_port_stats *stats, uint64_t sign)
{
	/* The structure is counters only. */
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)stats;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] += sign * __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

int
nb_engine_add_queue(struct nb_engine *e, uint32_t index, struct netbe_port *port)
{
	struct nb_lport *lp;
	struct nb_queue *grown;

	if (index >= e->config.nports || port == NULL || port->abi != NETBE_ABI ||
	    !NETBE_PORT_HAS(port, rx_burst) || !NETBE_PORT_HAS(port, release) ||
	    !NETBE_PORT_HAS(port, tx_burst) || port->stats == NULL)
		return -EINVAL;
	lp = &e->lport[index];
	if (lp->nqueues == QUEUES_MAX)
		return -E2BIG;
	grown = calloc(lp->nqueues + 1, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	for (uint32_t j = 0; j <= lp->nqueues; j++) {
		grown[j].port = j < lp->nqueues ? lp->queue[j].port : port;
		pthread_mutex_init(&grown[j].lock, NULL);
		if (j < lp->nqueues)
			pthread_mutex_destroy(&lp->queue[j].lock);
	}
	free(lp->queue);
	lp->queue = grown;
	lp->nqueues++;
	port->services = &nb_services;
	add_stats(&lp->base, port->stats, 1);
	return 0;
}

int
nb_engine_inject(struct nb_engine *e, uint32_t index, const struct netbe_vnet_hdr *hdr, const void *frame,
                 uint32_t len)
{
	struct nb_lport *lp;

	if (index >= e->config.nports || e->lport[index].nqueues == 0)
		return -EINVAL;
	lp = &e->lport[index];
	if (lp->inject == NULL)
		lp->inject = nb_inject_new();
	if (lp->inject == NULL)
		return -ENOMEM;
	lp->inject->flags |= lp->queue[0].port->flags & NETBE_PORT_UNTRUSTED;
	return nb_inject_add(lp->inject, hdr, frame, len);
}

int
nb_engine_set_vlan(struct nb_engine *e, uint32_t index, uint16_t pvid, const uint64_t *allowed)
{
	struct nb_vlan_port *vlan;

	if (index >= e->config.nports || e->lport[index].vlan == NULL || pvid >= NB_VLAN_RESERVED)
		return -EINVAL;
	vlan = e->lport[index].vlan;
	vlan->pvid = pvid;
	memset(vlan->allowed, 0, sizeof(vlan->allowed));
	if (allowed != NULL)
		memcpy(vlan->allowed, allowed, sizeof(vlan->allowed));
	/* 0 and 4095 are no VLANs (table 9-2). */
	vlan->allowed[0] &= ~1ull;
	vlan->allowed[NB_VLAN_WORDS - 1] &= ~(1ull << 63);
	return 0;
}

static void
wake(struct nb_engine *e)
{
	uint64_t one = 1;
	ssize_t n;

	/* It can only fail by being full, and then it is readable all the same. */
	do
		n = write(e->wake_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
}

void
nb_engine_stop(struct nb_engine *e)
{
	__atomic_store_n(&e->stop, 1, __ATOMIC_RELEASE);
	wake(e);
}

void
nb_engine_give_up(struct nb_engine *e, uint32_t index, int error)
{
	int none = 0;
	uint32_t alive;

	if (!__atomic_compare_exchange_n(&e->lport[index].error, &none, error, false, __ATOMIC_ACQ_REL,
	                                 __ATOMIC_RELAXED))
		return;
	alive = __atomic_sub_fetch(&e->alive, 1, __ATOMIC_ACQ_REL);
	if (e->fdb != NULL)
		nb_fdb_flush_port(e->fdb, index);
	if (!e->config.learning || alive == 0) {
		none = 0;
		__atomic_compare_exchange_n(&e->failure, &none, error, false, __ATOMIC_ACQ_REL,
		                            __ATOMIC_RELAXED);
		wake(e);
	}
}

static void
read_stats(const struct nb_engine *e, uint32_t index, struct netbe_port_stats *out)
{
	const struct nb_lport *lp = &e->lport[index];

	memset(out, 0, sizeof(*out));
	for (uint32_t j = 0; j < lp->nqueues; j++)
		add_stats(out, lp->queue[j].port->stats, 1);
	if (lp->inject != NULL)
		add_stats(out, lp->inject->stats, 1);
	add_stats(out, &lp->base, (uint64_t)-1);
}

void
nb_engine_detach(struct nb_engine *e)
{
	if (e->detached)
		return;
	for (uint32_t i = 0; i < e->config.nports; i++) {
		struct nb_lport *lp = &e->lport[i];

		read_stats(e, i, &e->last[i]);
		for (uint32_t j = 0; j < lp->nqueues; j++)
			lp->queue[j].port = NULL;
	}
	e->detached = true;
}

int
nb_engine_stats(struct nb_engine *e, uint32_t index, struct netbe_port_stats *out)
{
	if (index >= e->config.nports)
		return -EINVAL;
	if (e->detached)
		*out = e->last[index];
	else
		read_stats(e, index, out);
	return 0;
}

int
nb_engine_port_error(struct nb_engine *e, uint32_t index)
{
	return index < e->config.nports ? nb_lport_error(e, index) : -EINVAL;
}

int
nb_engine_switch_stats(struct nb_engine *e, uint64_t *flooded, uint64_t *table_full)
{
	*flooded = __atomic_load_n(&e->flooded, __ATOMIC_RELAXED);
	*table_full = __atomic_load_n(&e->table_full, __ATOMIC_RELAXED);
	return 0;
}

struct nb_fdb *
nb_engine_fdb(struct nb_engine *e)
{
	return e->fdb;
}
