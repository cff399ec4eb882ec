/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BENCH_WRAP_H
#define XDPLB_BENCH_WRAP_H

/*
 * What wrap.bpf.c and cost share. A plan says which packet a CPU makes of its
 * frame before each run: the header, and of which records addresses and ports
 * are taken, one after the other. User space writes it between runs.
 */
#include <linux/types.h>

#define WRAP_CPUS 8
#define WRAP_HEADER 80 /* bytes; Ethernet, IPv6 and TCP are 74 */
#define WRAP_WORDS (WRAP_HEADER / 8)

struct wrap_record { /* as they stand in the packet; of addresses the last words */
	__be32 src, dst;
	__be16 sport, dport;
	__u32 pad;
};

struct wrap_plan {
	__u64 header[WRAP_WORDS];
	__u32 length; /* of the frame, at least WRAP_HEADER */
	__u32 v6;
	__u32 first, mask; /* of records: first + 0 .. mask, mask is a power of two - 1 */
	__u32 cursor; /* packets made */
	__u32 seq, seq_step; /* TCP: of the next packet, and how it grows; no step: as in header */
	__u32 pad[5];
	__u32 other_line[16]; /* neighbours are another CPU's */
};

/* The floor: what a plain NAT would keep of an IPv4 flow. */
struct wrap_floor_key {
	__be32 src, dst;
	__be16 sport, dport;
	__u8 proto;
	__u8 pad[3];
};

struct wrap_floor_value {
	__be32 addr;
	__be16 port;
	__u8 dst_mac[6];
	__u32 pad;
};

enum wrap_slot { /* of programs */
	WRAP_XDPLB,
	WRAP_EMPTY,
	WRAP_FLOOR,
	WRAP_SLOTS
};

_Static_assert(sizeof(struct wrap_record) == 16, "map value has padding");
_Static_assert(sizeof(struct wrap_plan) == 192, "a plan is three cache lines");
_Static_assert(sizeof(struct wrap_floor_key) == 16, "map key has padding");
_Static_assert(sizeof(struct wrap_floor_value) == 16, "map value has padding");

#endif /* XDPLB_BENCH_WRAP_H */
