/* SPDX-License-Identifier: BSD-2-Clause */
/* A port that only gives: frames which were taken out of a port before a pump got it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine_int.h"

struct kept {
	struct kept *next;
	struct netbe_vnet_hdr hdr;
	struct iovec seg;
	uint8_t bytes[];
};

struct inject {
	struct netbe_port port;
	struct netbe_port_stats stats;
	struct kept *first, **last;
};

static int
rx_burst(struct netbe_port *port, struct netbe_frame *frames, uint32_t n)
{
	struct inject *in = port->ctx;
	struct kept *k = in->first;
	uint32_t i;

	for (i = 0; i < n && k != NULL; i++, k = k->next) {
		frames[i].hdr = k->hdr;
		frames[i].len = (uint32_t)k->seg.iov_len;
		frames[i].nseg = 1;
		frames[i].reserved = 0;
		frames[i].seg = &k->seg;
	}
	return (int)i;
}

/* They were counted as received when they were. */
static int
release(struct netbe_port *port, uint32_t n)
{
	struct inject *in = port->ctx;

	while (n-- > 0) {
		struct kept *k = in->first;

		if (k == NULL)
			return -EINVAL;
		in->first = k->next;
		if (in->first == NULL)
			in->last = &in->first;
		free(k);
	}
	return 0;
}

struct netbe_port *
nb_inject_new(void)
{
	struct inject *in = calloc(1, sizeof(*in));

	if (in == NULL)
		return NULL;
	in->last = &in->first;
	in->port.abi = NETBE_ABI;
	in->port.size = sizeof(in->port);
	in->port.flags = NETBE_PORT_CHEAP_RX;
	in->port.max_frame = NETBE_FRAME_MAX;
	in->port.rx_wait.fd = -1;
	in->port.tx_wait.fd = -1;
	in->port.stats = &in->stats;
	in->port.services = &nb_services;
	in->port.ctx = in;
	in->port.rx_burst = rx_burst;
	in->port.release = release;
	return &in->port;
}

int
nb_inject_add(struct netbe_port *port, const struct netbe_vnet_hdr *hdr, const void *frame, uint32_t len)
{
	struct inject *in = port->ctx;
	struct kept *k;

	if (len == 0 || len > NETBE_FRAME_MAX)
		return -EMSGSIZE;
	k = malloc(sizeof(*k) + len);
	if (k == NULL)
		return -ENOMEM;
	k->next = NULL;
	k->hdr = *hdr;
	memcpy(k->bytes, frame, len);
	k->seg.iov_base = k->bytes;
	k->seg.iov_len = len;
	*in->last = k;
	in->last = &k->next;
	return 0;
}

void
nb_inject_free(struct netbe_port *port)
{
	struct inject *in;

	if (port == NULL)
		return;
	in = port->ctx;
	while (in->first != NULL)
		release(port, 1);
	free(in);
}
