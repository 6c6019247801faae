/* SPDX-License-Identifier: BSD-2-Clause */
#include "memory.h"

#include <stdint.h>
#include <stdlib.h>

#define LINE 64u

/* The line before the memory itself. */
struct head {
	uint32_t holders;
};

static struct head *
head_of(void *memory)
{
	return (struct head *)(void *)((uint8_t *)memory - LINE);
}

void *
nb_memory_new(size_t size)
{
	struct head *h;

	if (size > SIZE_MAX - 2 * LINE)
		return NULL;
	h = aligned_alloc(LINE, LINE + (size + LINE - 1) / LINE * LINE);
	if (h == NULL)
		return NULL;
	h->holders = 1;
	return (uint8_t *)h + LINE;
}

void *
nb_memory_hold(void *memory)
{
	__atomic_add_fetch(&head_of(memory)->holders, 1, __ATOMIC_RELAXED);
	return memory;
}

void
nb_memory_drop(void *memory)
{
	if (memory != NULL && __atomic_sub_fetch(&head_of(memory)->holders, 1, __ATOMIC_ACQ_REL) == 0)
		free(head_of(memory));
}
