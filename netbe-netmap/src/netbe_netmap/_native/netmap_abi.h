/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netmap's ABI, API 14 and 15, written down from what a running module was
 * seen to do.  Names are netmap's own, but for the prefix of constants.
 */
#ifndef NETBE_NETMAP_ABI_H
#define NETBE_NETMAP_ABI_H

#include <stddef.h>
#include <stdint.h>

#include <sys/ioctl.h>

#define NM_API_OLDEST 14u
#define NM_API_NEWEST 15u

#define NM_DEVICE "/dev/netmap"

/* --- requests */

#define NM_NAME_SIZE 64

struct nmreq_header {
	uint16_t nr_version;
	uint16_t nr_reqtype;
	uint32_t nr_reserved;
	char nr_name[NM_NAME_SIZE];
	uint64_t nr_options; /* address of the first nmreq_option */
	uint64_t nr_body;    /* address of the request's structure */
};

struct nmreq_register {
	uint64_t nr_offset; /* of the netmap_if, in the mapped region */
	uint64_t nr_memsize;
	uint32_t nr_tx_slots, nr_rx_slots;
	uint16_t nr_tx_rings, nr_rx_rings;
	uint16_t nr_host_tx_rings, nr_host_rx_rings;
	uint16_t nr_mem_id;
	uint16_t nr_ringid;
	uint32_t nr_mode;
	uint32_t nr_extra_bufs;
	uint64_t nr_flags;
};

struct nmreq_port_hdr {
	uint32_t nr_hdr_len;
	uint32_t nr_pad;
};

struct nmreq_option {
	uint64_t nro_next;
	uint32_t nro_reqtype;
	uint32_t nro_status;
	uint64_t nro_size;
};

enum {
	NM_REQ_REGISTER = 1,
	NM_REQ_PORT_INFO_GET = 2,
	NM_REQ_VALE_ATTACH = 3,
	NM_REQ_VALE_DETACH = 4,
	NM_REQ_VALE_LIST = 5,
	NM_REQ_PORT_HDR_SET = 6,
	NM_REQ_PORT_HDR_GET = 7,
	NM_REQ_VALE_NEWIF = 8,
	NM_REQ_VALE_DELIF = 9,
	NM_REQ_POOLS_INFO_GET = 12
};

/* nr_mode */
enum { NM_MODE_ALL_NIC = 1, NM_MODE_SW = 2, NM_MODE_NIC_SW = 3, NM_MODE_ONE_NIC = 4 };

/* nr_flags */
#define NM_FLAG_EXCLUSIVE 0x800u
#define NM_FLAG_ACCEPT_VNET_HDR 0x8000u
#define NM_FLAG_DO_RX_POLL 0x10000u
#define NM_FLAG_NO_TX_POLL 0x20000u

/* The legacy call, named here for its size alone: we make the modern one. */
struct nmreq {
	char nr_name[16];
	uint32_t nr_version, nr_offset, nr_memsize;
	uint32_t nr_tx_slots, nr_rx_slots;
	uint16_t nr_tx_rings, nr_rx_rings, nr_ringid, nr_cmd;
	uint16_t nr_arg1, nr_arg2;
	uint32_t nr_arg3, nr_flags, nr_spare2;
};

#define NM_IOC_CTRL _IOWR('i', 151, struct nmreq_header)
#define NM_IOC_TXSYNC _IO('i', 148)
#define NM_IOC_RXSYNC _IO('i', 149)
#define NM_IOC_LEGACY_INFO _IOWR('i', 145, struct nmreq)
#define NM_IOC_LEGACY_REGIF _IOWR('i', 146, struct nmreq)

/* --- what is mapped */

struct netmap_if {
	char ni_name[16]; /* garbage behind its NUL */
	uint32_t ni_version, ni_flags;
	uint32_t ni_tx_rings, ni_rx_rings;
	uint32_t ni_bufs_head;
	uint32_t ni_host_tx_rings, ni_host_rx_rings;
	uint32_t ni_spare[3];
	/* From this structure's address: tx, host tx, rx, host rx; host entries may be 0. */
	int64_t ring_ofs[];
};

struct netmap_slot {
	uint32_t buf_idx;
	uint16_t len;
	uint16_t flags;
	uint64_t ptr;
};

#define NM_SLOT_BUF_CHANGED 0x0001u
#define NM_SLOT_REPORT 0x0002u
#define NM_SLOT_INDIRECT 0x0010u
#define NM_SLOT_MOREFRAG 0x0020u
/* The high byte of an rx slot's flags: on VALE the frame's number of fragments, elsewhere 0. */

/* Times and sizes are those of 64-bit machines; netmap is used on no other here. */
struct netmap_ring {
	int64_t buf_ofs; /* buffer i is at the ring's address + buf_ofs + i * nr_buf_size */
	uint32_t num_slots, nr_buf_size;
	uint16_t ringid, dir;
	uint32_t head, cur; /* the user's */
	uint32_t tail;      /* the kernel's */
	uint32_t flags;
	int64_t ts[2];
	uint8_t opaque[256 - 56];
	struct netmap_slot slot[];
};

/* dir: the other way round from what netmap's own header says */
enum { NM_DIR_RX = 0, NM_DIR_TX = 1 };

#define NM_SLOTS_MIN 1u
#define NM_SLOTS_MAX 4096u
#define NM_SLOTS_DEFAULT 1024u
#define NM_RINGS_MAX 16u
#define NM_BUF_SIZE_DEFAULT 2048u
/* Buffers 0 and 1 belong to no slot: netmap keeps them. */
#define NM_BUF_FIRST 2u

/* --- every size and offset */

#define NM_SIZE(type, size) _Static_assert(sizeof(struct type) == (size), "size of " #type)
#define NM_AT(type, field, offset) \
	_Static_assert(offsetof(struct type, field) == (offset), "offset of " #type "." #field)

NM_SIZE(nmreq_header, 88);
NM_AT(nmreq_header, nr_version, 0);
NM_AT(nmreq_header, nr_reqtype, 2);
NM_AT(nmreq_header, nr_reserved, 4);
NM_AT(nmreq_header, nr_name, 8);
NM_AT(nmreq_header, nr_options, 72);
NM_AT(nmreq_header, nr_body, 80);

NM_SIZE(nmreq_register, 56);
NM_AT(nmreq_register, nr_offset, 0);
NM_AT(nmreq_register, nr_memsize, 8);
NM_AT(nmreq_register, nr_tx_slots, 16);
NM_AT(nmreq_register, nr_rx_slots, 20);
NM_AT(nmreq_register, nr_tx_rings, 24);
NM_AT(nmreq_register, nr_rx_rings, 26);
NM_AT(nmreq_register, nr_host_tx_rings, 28);
NM_AT(nmreq_register, nr_host_rx_rings, 30);
NM_AT(nmreq_register, nr_mem_id, 32);
NM_AT(nmreq_register, nr_ringid, 34);
NM_AT(nmreq_register, nr_mode, 36);
NM_AT(nmreq_register, nr_extra_bufs, 40);
NM_AT(nmreq_register, nr_flags, 48);

NM_SIZE(nmreq_port_hdr, 8);
NM_AT(nmreq_port_hdr, nr_hdr_len, 0);

NM_SIZE(nmreq_option, 24);
NM_AT(nmreq_option, nro_next, 0);
NM_AT(nmreq_option, nro_reqtype, 8);
NM_AT(nmreq_option, nro_status, 12);
NM_AT(nmreq_option, nro_size, 16);

NM_SIZE(nmreq, 60);

NM_SIZE(netmap_if, 56);
NM_AT(netmap_if, ni_name, 0);
NM_AT(netmap_if, ni_version, 16);
NM_AT(netmap_if, ni_flags, 20);
NM_AT(netmap_if, ni_tx_rings, 24);
NM_AT(netmap_if, ni_rx_rings, 28);
NM_AT(netmap_if, ni_bufs_head, 32);
NM_AT(netmap_if, ni_host_tx_rings, 36);
NM_AT(netmap_if, ni_host_rx_rings, 40);
NM_AT(netmap_if, ring_ofs, 56);

NM_SIZE(netmap_slot, 16);
NM_AT(netmap_slot, buf_idx, 0);
NM_AT(netmap_slot, len, 4);
NM_AT(netmap_slot, flags, 6);
NM_AT(netmap_slot, ptr, 8);

NM_SIZE(netmap_ring, 256);
NM_AT(netmap_ring, buf_ofs, 0);
NM_AT(netmap_ring, num_slots, 8);
NM_AT(netmap_ring, nr_buf_size, 12);
NM_AT(netmap_ring, ringid, 16);
NM_AT(netmap_ring, dir, 18);
NM_AT(netmap_ring, head, 20);
NM_AT(netmap_ring, cur, 24);
NM_AT(netmap_ring, tail, 28);
NM_AT(netmap_ring, flags, 32);
NM_AT(netmap_ring, ts, 40);
NM_AT(netmap_ring, slot, 256);

#undef NM_SIZE
#undef NM_AT

#ifdef __linux__
_Static_assert(NM_IOC_CTRL == 0xc0586997, "NIOCCTRL");
_Static_assert(NM_IOC_TXSYNC == 0x6994, "NIOCTXSYNC");
_Static_assert(NM_IOC_RXSYNC == 0x6995, "NIOCRXSYNC");
_Static_assert(NM_IOC_LEGACY_INFO == 0xc03c6991, "NIOCGINFO");
_Static_assert(NM_IOC_LEGACY_REGIF == 0xc03c6992, "NIOCREGIF");
#endif

#endif
