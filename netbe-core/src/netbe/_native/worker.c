/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread of the pump: what it has is made, the loop runs, and what could
 * not go out is given back.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine_int.h"

/* One more attempt at what a full port holds up; what it does not take is left to its own port. */
static void
give_back(struct nb_worker *w)
{
	w->now = nb_clock_ns();
	w->stopping = true;
	for (uint32_t i = 0; i < w->nrxq; i++) {
		struct nb_rxq *q = &w->rxq[i];
		int n;

		if (q->held != 0 && !q->dead)
			nb_serve(w, q);
		if (q->held != 0)
			nb_abandon(w, q);
		if (q->port != w->engine->lport[q->index].inject)
			continue;
		/* These can't be left to anybody. */
		while ((n = q->port->rx_burst(q->port, w->frame, NB_BURST)) > 0) {
			nb_count_rx(q, NETBE_DROP_STOPPED, (uint32_t)n);
			q->port->release(q->port, (uint32_t)n);
		}
	}
}

static int
add_rxq(struct nb_worker *w, uint32_t index, struct netbe_port *port, bool after_inject)
{
	struct nb_rxq *q = &w->rxq[w->nrxq++];

	q->port = port;
	q->index = index;
	q->burst = NB_BURST;
	q->patience = 1;
	q->after_inject = after_inject;
	if (!(port->flags & NETBE_PORT_CHEAP_RX))
		w->all_cheap = false;
	if ((port->flags & NETBE_PORT_UNTRUSTED) && w->private == NULL) {
		w->private = calloc(NB_BURST, sizeof(*w->private));
		w->private_seg = calloc(NB_ARENA, sizeof(*w->private_seg));
		if (w->private == NULL || w->private_seg == NULL)
			return -ENOMEM;
	}
	return nb_loop_add(w, q);
}

static int
add_ports(struct nb_worker *w)
{
	struct nb_engine *e = w->engine;
	uint32_t nports = e->config.nports;
	uint32_t nthreads = e->config.nthreads;
	uint32_t most = 0;
	int rc = 0;

	for (uint32_t p = 0; p < nports; p++)
		most += e->lport[p].nqueues / nthreads + 2;
	w->rxq = calloc(most, sizeof(*w->rxq));
	w->hot = calloc(most, sizeof(struct nb_rxq *));
	w->out = calloc(nports, sizeof(*w->out));
	w->work = calloc(nports, sizeof(*w->work));
	if (w->rxq == NULL || w->hot == NULL || w->out == NULL || w->work == NULL)
		return -ENOMEM;
	for (uint32_t p = 0; p < nports && rc == 0; p++) {
		struct nb_lport *lp = &e->lport[p];
		uint32_t j = w->thread % lp->nqueues;
		struct nb_out *o = &w->out[p];

		o->port = lp->queue[j].port;
		o->fd = o->port->tx_wait.fd;
		if (j + lp->nqueues < nthreads)
			o->lock = &lp->queue[j].lock;
		if (w->thread == 0 && lp->inject != NULL)
			rc = add_rxq(w, p, lp->inject, false);
		for (j = w->thread; j < lp->nqueues && rc == 0; j += nthreads)
			rc = add_rxq(w, p, lp->queue[j].port, j == 0 && lp->inject != NULL);
	}
	return rc;
}

static void
end(struct nb_worker *w)
{
	for (uint32_t i = 0; i < w->nrxq; i++) {
		if (w->rxq[i].own_fd)
			close(w->rxq[i].fd);
		free(w->rxq[i].todo);
	}
	for (uint32_t p = 0; w->out != NULL && p < w->engine->config.nports; p++)
		if (w->out[p].own_fd)
			close(w->out[p].fd);
	if (w->ep >= 0)
		close(w->ep);
	if (w->ep_tx >= 0)
		close(w->ep_tx);
	nb_gso_free(w->gso);
	free(w->flat);
	free(w->private);
	free(w->private_seg);
	free(w->rxq);
	free(w->hot);
	free(w->out);
	free(w->work);
	free(w);
}

int
nb_engine_run(struct nb_engine *e, uint32_t thread)
{
	struct nb_worker *w;
	int rc;

	if (thread >= e->config.nthreads || e->detached)
		return -EINVAL;
	for (uint32_t p = 0; p < e->config.nports; p++)
		if (e->lport[p].nqueues == 0)
			return -EINVAL;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return -ENOMEM;
	w->engine = e;
	w->thread = thread;
	w->ep = w->ep_tx = -1;
	rc = nb_loop_begin(w);
	if (rc == 0)
		rc = add_ports(w);
	if (rc == 0) {
		nb_loop(w);
		give_back(w);
		rc = __atomic_load_n(&e->failure, __ATOMIC_ACQUIRE);
	}
	end(w);
	return rc;
}
