/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory of others in this process: windows whose reading and writing never faults. */
#ifndef NETBE_VALE_MEMORY_H
#define NETBE_VALE_MEMORY_H

#include <stddef.h>

/*
 * Reserves so many bytes of addresses, and so many of them for each file;
 * before something is mapped there they read as zeros.  Where a file behind
 * them is cut short, what is touched behind its end becomes zeros too, up to
 * where the next file begins, instead of SIGBUS.  NULL with errno.
 */
void *vale_window_new(size_t bytes, size_t part);
/* Once more to be freed before it goes. */
void vale_window_hold(void *window);
void vale_window_free(void *window, size_t bytes);

/* Maps bytes of a file over the window at `at`.  0 or -errno. */
int vale_window_map(void *window, size_t at, size_t bytes, int fd);
/* Zeros again. */
int vale_window_unmap(void *window, size_t at, size_t bytes);

#endif
