/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_PKTGEN_H
#define XDPLB_PKTGEN_H

/* What pktgen.bpf.c and pktgen.c share. */
#include <linux/types.h>

#define PKTGEN_CPUS 64
#define PKTGEN_HEADER 56 /* bytes; Ethernet, IPv4 and TCP are 54 */
#define PKTGEN_WORDS (PKTGEN_HEADER / 8)

struct pktgen_plan { /* one a CPU, written by user space */
	__u64 header[PKTGEN_WORDS];
	__u32 src; /* host order: address of flow 0 */
	__u32 sum; /* of the IP header without the source address */
	__u32 l4_sum; /* TCP: of pseudo header and segment, without source address and port */
	__u32 tcp;
	__u32 flows, first; /* flows of this CPU: first .. first + flows - 1 */
	__u32 cursor;
	__u32 pad[11]; /* neighbours are another CPU's */
};

struct pktgen_seen { /* by the sink; per CPU */
	__u64 wanted, other;
};

_Static_assert(sizeof(struct pktgen_plan) == 128, "a plan is two cache lines");

#endif /* XDPLB_PKTGEN_H */
