/* SPDX-License-Identifier: BSD-2-Clause */
/* The table through which a port's C reaches core's services, and two helpers over segments. */
#include "services.h"

#include <errno.h>
#include <string.h>

#include "fdb.h"

const struct netbe_services nb_services = {
	.abi = NETBE_ABI,
	.size = sizeof(struct netbe_services),
	.csum = nb_csum,
	.hdr_load = nb_hdr_load,
	.hdr_store = nb_hdr_store,
	.hdr_check = nb_hdr_check,
	.hdr_needs = nb_hdr_needs,
	.gso_new = nb_gso_new,
	.gso_free = nb_gso_free,
	.gso_begin = nb_gso_begin,
	.gso_next = nb_gso_next,
	.fdb_bytes = nb_fdb_bytes,
	.fdb_at = nb_fdb_at,
	.fdb_free = nb_fdb_free,
	.fdb_learn = nb_fdb_learn,
	.fdb_lookup = nb_fdb_lookup,
	.fdb_flush_port = nb_fdb_flush_port,
};

uintptr_t
nb_services_address(void)
{
	return (uintptr_t)&nb_services;
}

uint32_t
nb_seg_copy_out(void *dst, const struct iovec *seg, uint32_t nseg, uint32_t off, uint32_t len)
{
	uint32_t done = 0;

	for (uint32_t i = 0; i < nseg && done < len; i++) {
		size_t have = seg[i].iov_len;

		if (off >= have) {
			off -= (uint32_t)have;
			continue;
		}
		have -= off;
		if (have > len - done)
			have = len - done;
		memcpy((uint8_t *)dst + done, (const uint8_t *)seg[i].iov_base + off, have);
		done += (uint32_t)have;
		off = 0;
	}
	return done;
}

int64_t
nb_segment(const struct netbe_frame *frame, uint64_t features, uint32_t burst, void *out, size_t cap,
           uint32_t *len, uint32_t n)
{
	struct netbe_frame frames[64];
	struct netbe_gso *gso;
	int64_t count = 0;
	size_t used = 0;
	int got;

	if (burst == 0 || burst > sizeof(frames) / sizeof(frames[0]))
		return -EINVAL;
	gso = nb_gso_new();
	if (gso == NULL)
		return -ENOMEM;
	got = nb_gso_begin(gso, frame, features);
	if (got < 0)
		count = got;
	while (count >= 0 && (got = nb_gso_next(gso, frames, burst)) > 0) {
		for (int i = 0; i < got && count >= 0; i++) {
			if (count == n || frames[i].len > cap - used) {
				count = -EMSGSIZE;
				break;
			}
			len[count++] = frames[i].len;
			used += nb_seg_copy_out((uint8_t *)out + used, frames[i].seg, frames[i].nseg, 0, frames[i].len);
		}
	}
	nb_gso_free(gso);
	return count;
}
