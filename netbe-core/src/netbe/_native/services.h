/* SPDX-License-Identifier: BSD-2-Clause */
/* The functions behind struct netbe_services; their contract is in netbe.h. */
#ifndef NETBE_SERVICES_H
#define NETBE_SERVICES_H

#include "netbe.h"

uint16_t nb_csum(const struct iovec *seg, uint32_t nseg, uint32_t off, uint32_t len, uint32_t seed);

int nb_hdr_load(struct netbe_vnet_hdr *hdr, const void *src, uint32_t hdr_len);
int nb_hdr_store(void *dst, const struct netbe_vnet_hdr *hdr, uint32_t hdr_len);
int nb_hdr_check(const struct netbe_frame *frame);
uint64_t nb_hdr_needs(const struct netbe_vnet_hdr *hdr, const struct netbe_frame *frame);

/*
 * The result is Linux's, byte for byte, except where Linux's is wrong:
 * fragments of IPv6 with extension headers, whose offsets it counts from the
 * wrong place.  nb_gso_begin checks the frame again, for somebody may have
 * written to it, and returns 0, -EINVAL (nothing can be made of it) or
 * -ENOMEM; a frame that the receiver can take is given as it is.  Cut and
 * finished frames have a zeroed header.  nb_gso_next: n is not 0.
 */
struct netbe_gso *nb_gso_new(void);
void nb_gso_free(struct netbe_gso *gso);
int nb_gso_begin(struct netbe_gso *gso, const struct netbe_frame *frame, uint64_t features);
int nb_gso_next(struct netbe_gso *gso, struct netbe_frame *frames, uint32_t n);

extern const struct netbe_services nb_services;
uintptr_t nb_services_address(void); /* for who passes it on through Python */

/* Copies len bytes that begin at byte off of the segments; returns how many there were. */
uint32_t nb_seg_copy_out(void *dst, const struct iovec *seg, uint32_t nseg, uint32_t off, uint32_t len);

/*
 * The whole of a software offload at once, for who has no bursts to save:
 * the frames follow each other at out, frame i has len[i] bytes.  burst (1
 * to 64) is how many are made at a time.  Returns how many there are, or
 * -EINVAL as nb_gso_begin, -EMSGSIZE when out (cap bytes) or len (n) is too
 * small, -ENOMEM.
 */
int64_t nb_segment(const struct netbe_frame *frame, uint64_t features, uint32_t burst, void *out, size_t cap,
                   uint32_t *len, uint32_t n);

#endif
