/* SPDX-License-Identifier: BSD-2-Clause */
/* The forwarding table of a learning switch (IEEE 802.1Q-2018, 8.8). */
#ifndef NETBE_FDB_H
#define NETBE_FDB_H

#include <stddef.h>
#include <stdint.h>

struct nb_fdb;

struct nb_fdb_entry {
	uint8_t mac[6];
	uint16_t vid;
	uint32_t port;
	uint64_t age_ns;
};

/* size: how many addresses it must hold.  May be used by several threads: readers never wait. */
struct nb_fdb *nb_fdb_new(uint32_t size, uint64_t ageing_ns);
/* The same in memory of nb_fdb_bytes(size), 64-aligned, zeroed before its first use, perhaps shared by processes. */
size_t nb_fdb_bytes(uint32_t size);
struct nb_fdb *nb_fdb_at(void *memory, uint32_t size, uint64_t ageing_ns);
void nb_fdb_free(struct nb_fdb *fdb);
/* 0, or -ENOSPC when the table is full (the frame is still forwarded; counted). */
int nb_fdb_learn(struct nb_fdb *fdb, const uint8_t mac[6], uint16_t vid, uint32_t port, uint64_t now_ns);
/* The port, or -1 when unknown or aged out. */
int32_t nb_fdb_lookup(struct nb_fdb *fdb, const uint8_t mac[6], uint16_t vid, uint64_t now_ns);
void nb_fdb_flush_port(struct nb_fdb *fdb, uint32_t port);
/* Copies up to n live entries from *cursor (0 to begin) on; returns how many, 0 at the end. */
uint32_t nb_fdb_dump(struct nb_fdb *fdb, uint64_t *cursor, struct nb_fdb_entry *out, uint32_t n, uint64_t now_ns);

#endif
