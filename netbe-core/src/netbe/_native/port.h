/* SPDX-License-Identifier: BSD-2-Clause */
/* What Python asks of any port. */
#ifndef NETBE_PORT_H
#define NETBE_PORT_H

#include "netbe.h"

/*
 * Takes a port of whatever origin in: checks that it has what every port has
 * and gives it core's services.  -ENOTSUP: another ABI, or an operation is
 * missing.
 */
int nb_port_adopt(struct netbe_port *port);
/* 1 up, 0 down. */
int nb_port_link_up(struct netbe_port *port);

#endif
