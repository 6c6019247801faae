/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that frames lie in: it lives until the last who holds it lets go,
 * so that whoever was given a view of it never reads what is no longer there.
 * Any thread may hold and drop.
 */
#ifndef NETBE_MEMORY_H
#define NETBE_MEMORY_H

#include <stddef.h>

/* 64-aligned, held once, not cleared.  NULL: no memory. */
void *nb_memory_new(size_t size);
void *nb_memory_hold(void *memory);
void nb_memory_drop(void *memory); /* NULL is none */

#endif
