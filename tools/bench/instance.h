/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BENCH_INSTANCE_H
#define XDPLB_BENCH_INSTANCE_H

/*
 * A data plane of its own for measuring: the real program, not attached, with
 * one service a kind of packet, backends behind the loopback device (so that
 * forwarding is XDP_TX), and flows that were opened by packets. Never pinned:
 * it ends with the process.
 */
#include <stdbool.h>
#include <stdint.h>

#include "wrap.h"
#include "xdplb/abi.h"
#include "xdplb/endian.h"

/* Of IPv6 addresses these are the last words, behind INSTANCE_PREFIX6. */
#define INSTANCE_VIP to_be32(0xc000020a) /* 192.0.2.10 */
#define INSTANCE_FOREIGN to_be32(0xc0000263) /* 192.0.2.99: no service's */
#define INSTANCE_NAT(n) to_be32(0xc6336401 + (n)) /* 198.51.100.1 .. */
#define INSTANCE_BACKEND(n) to_be32(0xc0a80000 + (n)) /* 192.168.0.0 .. */
#define INSTANCE_PREFIX6                  \
	{                                 \
		to_be32(0x20010db8), 0, 0 \
	}
#define INSTANCE_PORT 80

struct bpf_map;

enum kind { /* of packets */
	KIND_TCP4,
	KIND_TCP6,
	KIND_UDP4,
	KIND_SYN4, /* ever new clients */
	KIND_FOREIGN4, /* no service's, no flow's */
	KIND_OPENER4, /* a SYN as Linux sends it, or another first packet without a flow */
	KINDS
};
#define KINDS_SEEDED (KIND_UDP4 + 1) /* those that have flows of their own */

enum target {
	TARGET_STUB,
	TARGET_EMPTY,
	TARGET_FLOOR,
	TARGET_XDPLB,
	TARGETS
};

enum options { /* of TCP headers */
	OPTIONS_NONE,
	OPTIONS_SYN, /* MSS, SACK permitted, timestamps, window scale */
	OPTIONS_SACK /* one block, behind two NOPs */
};

struct seeding { /* cost of one batch, ns per packet, stub not subtracted */
	uint32_t stub, open, answer, promote;
};

struct instance {
	uint32_t flows; /* of each kind that is seeded */
	bool sniffed; /* the service of TCP over IPv4 is, and its flows are spliced */
	uint32_t records, records_max; /* given out */
	struct wrap_record *record;
	struct wrap_record *seen[KINDS_SEEDED]; /* what reaches the backend, by flow */
	struct wrap_plan *plans;
	struct wrap_bpf *wrap;
	struct xdplb_bpf *xdplb;
	const struct xdplb_flow *embryos;
	uint32_t embryo_rows;
	uint32_t table_flags; /* of selection tables */
	struct seeding *seeding;
	uint32_t seedings;
	uint32_t seq; /* TCP: of the next packet, ever growing */
	uint32_t syns; /* how far KIND_SYN4 has come in its records */
	int worker; /* sniffed: a socket, so that there is one */
};

/* A run of @count different packets of @kind; @first is what records_add() said. */
struct burst {
	enum kind kind;
	bool reply; /* the backends' answers instead */
	uint8_t tcp_flags; /* with these there is no payload; 0: ACK with data */
	uint32_t first, count; /* count: a power of two */
	enum options options;
};

/* Both end the process with a message where anything fails. */
struct instance *instance_open(uint32_t flow_table, uint32_t flows, bool sniffed);
void instance_close(struct instance *instance);

/* Gives out records for flows 0 .. @count - 1 of @burst, in another order than memory's; sets first. */
void instance_records(struct instance *instance, struct burst *burst);
/* Room for @count records that the caller fills. */
uint32_t instance_room(struct instance *instance, uint32_t count);

/* Runs @repeat packets on CPU @cpu (the caller's own); ns per packet. */
uint32_t instance_run(struct instance *instance, enum target target, const struct burst *burst,
		      uint32_t repeat, int cpu);

/* Where the next embryo goes, modulo embryo_rows. */
uint32_t instance_embryo_head(const struct instance *instance);

/* A row of a map, or the end of the process. */
void instance_row_write(const struct bpf_map *map, const void *key, const void *value);

/* seed.c: opens, answers and establishes all flows of a kind. */
void instance_seed(struct instance *instance, enum kind kind);

/* sniffed.c: cookies and a worker; and all flows of KIND_TCP4, made as a worker makes them. */
void instance_sniff(struct instance *instance);
void instance_splice(struct instance *instance);

/* client.c: who sends, and which packet. */
struct wrap_record client_record(enum kind kind, uint32_t flow);
void client_plan(const struct burst *burst, struct wrap_plan *plan);
uint32_t client_expected(const struct burst *burst); /* enum xdplb_outcome */

__attribute__((format(printf, 1, 2), noreturn)) void die(const char *format, ...);

#endif /* XDPLB_BENCH_INSTANCE_H */
