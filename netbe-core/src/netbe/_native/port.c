/* SPDX-License-Identifier: BSD-2-Clause */
/* What Python asks of any port. */
#include <errno.h>

#include "port.h"
#include "services.h"

int
nb_port_adopt(struct netbe_port *port)
{
	if (port->abi != NETBE_ABI || port->size < offsetof(struct netbe_port, arm) || port->stats == NULL ||
	    port->rx_burst == NULL || port->release == NULL || port->tx_burst == NULL)
		return -ENOTSUP;
	port->services = &nb_services;
	return 0;
}

int
nb_port_link_up(struct netbe_port *port)
{
	return !NETBE_PORT_HAS(port, link_up) || port->link_up(port) != 0;
}
