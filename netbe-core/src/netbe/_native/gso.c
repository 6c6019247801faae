/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Software offload: finishes a checksum; cuts TSO, USO and UFO frames into
 * what goes on a wire, byte for byte as Linux does.
 *
 * A cut frame is a header in this state's memory and slices of the original's
 * payload.  A frame whose checksum is to be finished is three slices: before
 * the field, the field, behind it.
 *
 * Checksums go on from the pseudo-header's sum that the sender has put into
 * the field: only the length in it changes.  So a routing header, where the
 * pseudo-header has another address than the packet, needs no care.
 */
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "layout.h"
#include "services.h"

#define BURST_MAX 128u    /* frames of one gso_next */
#define POOL_BYTES 16384u /* their headers: 7 of the longest fit, or 128 of any without long options */
/* Their segments: those of the original, and for each frame a header and a cut. */
#define POOL_SEGS (NETBE_SEG_MAX + 2 * BURST_MAX)
#define IP_BYTES_MAX 65535u
#define FRAG_HDR 8u /* IPv6 fragment header, RFC 8200, 4.5 */
#define IPV4_MF 0x2000u
#define IPV6_MF 0x0001u

#define TCP_FIN 0x01u
#define TCP_PSH 0x08u
#define TCP_CWR 0x80u

struct netbe_gso {
	enum gso_work { WORK_NONE, WORK_ASIS, WORK_FINISH, WORK_TCP, WORK_USO, WORK_UFO } work;

	const struct iovec *seg; /* the original */
	uint32_t nseg;
	uint32_t at_seg; /* where in it the next slice begins */
	size_t at_off;
	uint32_t left; /* bytes not yet given out */

	struct netbe_vnet_hdr hdr;
	struct nb_layout layout;
	uint32_t mss;
	uint32_t count;  /* frames given out */
	uint32_t done;   /* UFO: bytes of the fragmented part given out */
	uint32_t l4_len; /* of the whole, transport header included */
	uint16_t field;  /* the finished checksum */

	struct iovec flat_seg;
	uint8_t *flat; /* room for a frame with too many segments; made when there is one */

	uint8_t head[NB_LAYOUT_MAX + FRAG_HDR]; /* headers of the original */
	uint8_t pool[POOL_BYTES];
	struct iovec iov[POOL_SEGS];
};

static void
put16(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static void
put32(uint8_t *p, uint32_t value)
{
	put16(p, value >> 16);
	put16(p + 2, value);
}

static uint16_t
get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* What nb_csum() gives goes into memory as it is. */
static void
put_csum(uint8_t *p, uint16_t value)
{
	memcpy(p, &value, sizeof(value));
}

static uint16_t
get_csum(const uint8_t *p)
{
	uint16_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

/* A length, as a word of a checksum. */
static uint32_t
csum_word(uint32_t length)
{
	return htobe16((uint16_t)(length + (length >> 16)));
}

static uint32_t
csum_minus(uint32_t length)
{
	return (uint16_t)~csum_word(length);
}

/* 0 in the field would mean "none" for UDP; Linux writes -0 for all where it finishes one. */
static uint16_t
csum_nonzero(uint16_t value)
{
	return value == 0 ? 0xffff : value;
}

/*
 * Fragments of two datagrams between the same addresses must not have the
 * same number while both are under way (RFC 7739): one counter for all
 * threads, from a place that nobody can guess.
 */
static uint32_t
next_fragment_id(void)
{
	static uint32_t last;
	uint32_t seen = __atomic_load_n(&last, __ATOMIC_RELAXED), start;

	if (seen == 0) {
		if (getrandom(&start, sizeof(start), GRND_NONBLOCK) != (ssize_t)sizeof(start))
			start = (uint32_t)(uintptr_t)&start;
		__atomic_compare_exchange_n(&last, &seen, start | 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	}
	return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

struct netbe_gso *
nb_gso_new(void)
{
	struct netbe_gso *gso = malloc(sizeof(*gso));

	if (gso != NULL) {
		gso->work = WORK_NONE;
		gso->flat = NULL;
	}
	return gso;
}

void
nb_gso_free(struct netbe_gso *gso)
{
	if (gso == NULL)
		return;
	free(gso->flat);
	free(gso);
}

static void
seek(struct netbe_gso *gso, uint32_t off)
{
	gso->at_seg = 0;
	gso->at_off = off;
	while (gso->at_seg < gso->nseg && gso->at_off >= gso->seg[gso->at_seg].iov_len)
		gso->at_off -= gso->seg[gso->at_seg++].iov_len;
}

/* Slices of the next size bytes, which there are; returns how many.  POOL_SEGS has room for them. */
static uint32_t
slice(struct netbe_gso *gso, struct iovec *iov, uint32_t size)
{
	uint32_t used = 0;

	while (size > 0) {
		const struct iovec *seg = &gso->seg[gso->at_seg];
		size_t have = seg->iov_len - gso->at_off;

		if (have > size)
			have = size;
		if (have > 0)
			iov[used++] = (struct iovec){(uint8_t *)seg->iov_base + gso->at_off, have};
		size -= (uint32_t)have;
		gso->at_off += have;
		if (gso->at_off == seg->iov_len) {
			gso->at_off = 0;
			gso->at_seg++;
		}
	}
	return used;
}

/* Takes the frame's segments; they have to be what its length says. */
static int
take_segments(struct netbe_gso *gso, const struct netbe_frame *frame)
{
	uint64_t sum = 0;

	if (frame->len > NETBE_FRAME_MAX || frame->nseg > NETBE_SEG_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < frame->nseg && sum <= frame->len; i++) {
		if (frame->seg[i].iov_len > NETBE_FRAME_MAX)
			return -EINVAL;
		sum += frame->seg[i].iov_len;
	}
	if (sum != frame->len)
		return -EINVAL;
	gso->seg = frame->seg;
	gso->nseg = frame->nseg;
	/* Two more segments come in when a checksum is finished. */
	if (frame->nseg > NETBE_SEG_MAX - 2) {
		if (gso->flat == NULL && (gso->flat = malloc(NETBE_FRAME_MAX)) == NULL)
			return -ENOMEM;
		nb_seg_copy_out(gso->flat, frame->seg, frame->nseg, 0, frame->len);
		gso->flat_seg = (struct iovec){gso->flat, frame->len};
		gso->seg = &gso->flat_seg;
		gso->nseg = 1;
	}
	return 0;
}

static int
begin_finish(struct netbe_gso *gso, const struct netbe_frame *frame)
{
	uint32_t start = le16toh(frame->hdr.csum_start);
	uint16_t sum;

	if (nb_layout_csum(&frame->hdr, frame->len) != 0)
		return -EINVAL;
	sum = nb_csum(gso->seg, gso->nseg, start, frame->len - start, 0);
	gso->field = csum_nonzero((uint16_t)~sum);
	gso->work = WORK_FINISH;
	return 0;
}

static void
begin_ufo(struct netbe_gso *gso)
{
	struct nb_layout *layout = &gso->layout;
	uint8_t *udp = gso->head + layout->l4;
	uint16_t sum;

	/* The checksum covers the datagram, so it is finished before the datagram is cut. */
	sum = nb_csum(gso->seg, gso->nseg, layout->payload, gso->left, 0);
	sum = nb_csum(&(struct iovec){udp, 8}, 1, 0, 8, sum);
	put_csum(udp + 6, csum_nonzero((uint16_t)~sum));
	gso->done = 0;
	if (layout->version == 6) {
		uint8_t *frag = gso->head + layout->frag;

		memmove(frag + FRAG_HDR, frag, layout->payload - layout->frag);
		frag[0] = gso->head[layout->frag_nh];
		frag[1] = 0;
		put32(frag + 4, next_fragment_id());
		gso->head[layout->frag_nh] = IPPROTO_FRAGMENT;
		layout->frag += FRAG_HDR;
		layout->payload += FRAG_HDR;
	}
}

static int
begin_cut(struct netbe_gso *gso, const struct netbe_frame *frame)
{
	const struct nb_layout *layout = &gso->layout;
	bool ufo = frame->hdr.gso_type == NETBE_GSO_UDP;
	uint32_t from, around, whole;

	if (nb_layout_read(&gso->layout, gso->head, frame) != 0)
		return -EINVAL;
	from = ufo ? layout->frag : layout->payload;
	whole = frame->len - from;
	gso->mss = le16toh(frame->hdr.gso_size);
	/* Linux: "too small packets are not really GSO ones". */
	if (whole <= gso->mss)
		return begin_finish(gso, frame);

	/* What IP's length field counts besides the piece must leave room for it... */
	around = from - layout->l3 - (layout->version == 6 ? 40 : 0);
	if (around + (ufo && layout->version == 6 ? FRAG_HDR : 0) + gso->mss > IP_BYTES_MAX)
		return -EINVAL;
	if (ufo) {
		/* ...and for the whole, when fragments are put together again. */
		if (around + whole > IP_BYTES_MAX)
			return -EINVAL;
		/* RFC 7112: the first fragment has all headers. */
		gso->mss &= ~7u;
		if (gso->mss < layout->payload - layout->frag)
			return -EINVAL;
	}
	gso->left = frame->len - layout->payload;
	gso->l4_len = frame->len - layout->l4;
	seek(gso, layout->payload);
	if (ufo)
		begin_ufo(gso);
	gso->work = ufo ? WORK_UFO : frame->hdr.gso_type == NETBE_GSO_UDP_L4 ? WORK_USO : WORK_TCP;
	return 0;
}

int
nb_gso_begin(struct netbe_gso *gso, const struct netbe_frame *frame, uint64_t features)
{
	int rc;

	gso->work = WORK_NONE;
	if (nb_hdr_check(frame) != 0)
		return -EINVAL;
	rc = take_segments(gso, frame);
	if (rc != 0)
		return rc;
	gso->hdr = frame->hdr;
	gso->left = frame->len;
	gso->count = 0;
	seek(gso, 0);
	if ((nb_hdr_needs(&frame->hdr, frame) & ~features) == 0) {
		gso->work = WORK_ASIS;
		return 0;
	}
	if (frame->hdr.gso_type != NETBE_GSO_NONE)
		return begin_cut(gso, frame);
	return begin_finish(gso, frame);
}

/* The one frame of work that cuts nothing. */
static int
next_whole(struct netbe_gso *gso, struct netbe_frame *frame)
{
	uint32_t len = gso->left, used;

	memset(frame, 0, sizeof(*frame));
	if (gso->work == WORK_ASIS) {
		frame->hdr = gso->hdr;
		used = slice(gso, gso->iov, len);
	} else {
		uint32_t at = le16toh(gso->hdr.csum_start) + (uint32_t)le16toh(gso->hdr.csum_offset);

		used = slice(gso, gso->iov, at);
		gso->iov[used++] = (struct iovec){&gso->field, sizeof(gso->field)};
		seek(gso, at + sizeof(gso->field));
		used += slice(gso, gso->iov + used, len - at - sizeof(gso->field));
	}
	frame->len = len;
	frame->nseg = used;
	frame->seg = gso->iov;
	gso->work = WORK_NONE;
	return 1;
}

/* Writes what differs in the IP headers of cut frames; bytes are those from the IP header to the end. */
static void
patch_ip(const struct netbe_gso *gso, uint8_t *head, uint32_t bytes)
{
	const struct nb_layout *layout = &gso->layout;
	uint8_t *ip = head + layout->l3;
	uint32_t ihl;

	if (layout->version == 6) {
		put16(ip + 4, bytes - 40);
		return;
	}
	ihl = (ip[0] & 15u) * 4;
	put16(ip + 2, bytes);
	if (gso->work != WORK_UFO)
		put16(ip + 4, get16(ip + 4) + gso->count);
	put_csum(ip + 10, 0);
	put_csum(ip + 10, (uint16_t)~nb_csum(&(struct iovec){ip, ihl}, 1, 0, ihl, 0));
}

/*
 * The next piece of a TCP stream, or the next datagram: every header again,
 * and size bytes.  iov has the payload's slices from iov[1] on.
 */
static void
build_segment(struct netbe_gso *gso, uint8_t *head, struct iovec *iov, uint32_t nseg, uint32_t size)
{
	const struct nb_layout *layout = &gso->layout;
	uint32_t l4_len = layout->payload - layout->l4 + size, seed;
	uint8_t *l4 = head + layout->l4;

	memcpy(head, gso->head, layout->payload);
	iov[0] = (struct iovec){head, layout->payload};
	patch_ip(gso, head, layout->l4 - layout->l3 + l4_len);
	if (gso->work == WORK_USO) {
		/* Linux goes by the length that the UDP header has, not by the frame's. */
		seed = get_csum(l4 + 6) + csum_minus(get16(l4 + 4)) + csum_word(l4_len);
		put16(l4 + 4, l4_len);
		put_csum(l4 + 6, 0);
		put_csum(l4 + 6, csum_nonzero((uint16_t)~nb_csum(iov, nseg, layout->l4, l4_len, seed)));
		return;
	}
	seed = get_csum(l4 + 16) + csum_minus(gso->l4_len) + csum_word(l4_len);
	put32(l4 + 4, get32(l4 + 4) + gso->count * gso->mss);
	if (size != gso->left)
		l4[13] &= (uint8_t)~(TCP_FIN | TCP_PSH);
	if (gso->count > 0)
		l4[13] &= (uint8_t)~TCP_CWR;
	put_csum(l4 + 16, 0);
	put_csum(l4 + 16, (uint16_t)~nb_csum(iov, nseg, layout->l4, l4_len, seed));
}

/* The next IP fragment: the first has all that is before the payload, the others only IP's headers. */
static void
build_fragment(struct netbe_gso *gso, uint8_t *head, struct iovec *iov, uint32_t size)
{
	const struct nb_layout *layout = &gso->layout;
	uint32_t hlen = gso->count == 0 ? layout->payload : layout->frag;
	bool last = size == gso->left;

	memcpy(head, gso->head, hlen);
	iov[0] = (struct iovec){head, hlen};
	if (layout->version == 4)
		put16(head + layout->l3 + 6, gso->done >> 3 | (last ? 0 : IPV4_MF));
	else
		put16(head + layout->frag - FRAG_HDR + 2, gso->done | (last ? 0 : IPV6_MF));
	patch_ip(gso, head, hlen - layout->l3 + size);
	gso->done += hlen - layout->frag + size;
}

int
nb_gso_next(struct netbe_gso *gso, struct netbe_frame *frames, uint32_t n)
{
	uint32_t got = 0, pool = 0, segs = 0;

	if (n == 0)
		return -EINVAL;
	if (gso->work == WORK_NONE)
		return 0;
	if (gso->work == WORK_ASIS || gso->work == WORK_FINISH)
		return next_whole(gso, frames);
	if (n > BURST_MAX)
		n = BURST_MAX;

	while (got < n && gso->left > 0 && POOL_BYTES - pool >= gso->layout.payload) {
		struct iovec *iov = gso->iov + segs;
		uint32_t size = gso->mss, used;

		if (gso->work == WORK_UFO && gso->count == 0)
			size -= gso->layout.payload - gso->layout.frag;
		if (size > gso->left)
			size = gso->left;
		used = 1 + slice(gso, iov + 1, size);
		if (gso->work == WORK_UFO)
			build_fragment(gso, gso->pool + pool, iov, size);
		else
			build_segment(gso, gso->pool + pool, iov, used, size);
		frames[got++] = (struct netbe_frame){
			.len = (uint32_t)iov[0].iov_len + size,
			.nseg = used,
			.seg = iov,
		};
		gso->left -= size;
		gso->count++;
		pool += gso->layout.payload;
		segs += used;
	}
	if (gso->left == 0)
		gso->work = WORK_NONE;
	return (int)got;
}
