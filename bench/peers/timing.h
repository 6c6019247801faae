/* SPDX-License-Identifier: BSD-2-Clause */
/* A producer and a consumer on two processors for so many seconds. */
#ifndef TIMING_H
#define TIMING_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static atomic_bool over;

static void *produce(void *size);
static uint64_t consume(void); /* frames taken until it is over */

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void *
timer(void *seconds)
{
	struct timespec t = {(time_t) * (double *)seconds, 0};

	t.tv_nsec = (long)((*(double *)seconds - (double)t.tv_sec) * 1e9);
	nanosleep(&t, NULL);
	over = 1;
	return NULL;
}

static int
measure(int argc, char **argv)
{
	size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 60;
	double seconds = argc > 2 ? atof(argv[2]) : 1, began;
	pthread_t producer, clock;
	uint64_t frames;

	pthread_create(&producer, NULL, produce, &size);
	pin(1);
	began = now();
	pthread_create(&clock, NULL, timer, &seconds);
	frames = consume();
	printf("{\"mpps\": %.3f}\n", (double)frames / (now() - began) / 1e6);
	pthread_join(producer, NULL);
	return 0;
}

#endif
