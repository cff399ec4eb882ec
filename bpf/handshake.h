/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_HANDSHAKE_H
#define XDPLB_BPF_HANDSHAKE_H

/*
 * Cookies remember nobody, so nobody repeats a SYN-ACK whose ACK is lost (RFC
 * 9293, 3.8.1 wants it repeated; RFC 4987, 3.6 says what that costs): a client
 * that waits for its server to speak would wait for ever. So, where a default
 * pool lets the server speak first, the handshake is noted, and a worker sends
 * the same SYN-ACK twice more. Only while SYNs are few: a flood is answered
 * from the packets alone, and all but an allowance of it touches no table.
 */
#include "answer.h"
#include "open.h"

#define HANDSHAKES_PER_TICK 1 /* noted: about 1000 a second and CPU */
#define HANDSHAKES_BURST 1000
#define HANDSHAKE_REPEATS 2
#define HANDSHAKE_FIRST_TICKS 954 /* RFC 6298, 2.1 and 5.5: after a second, and after two more */
#define HANDSHAKE_SECOND_TICKS 2861
#define HANDSHAKE_LIFE_TICKS 4768 /* 5 s: then a cookie may die on the way */

static __always_inline void sniff_key(struct xdplb_sniff_key *key, const struct xdplb_tuple *tuple)
{
	for (int i = 0; i < 3; i++) {
		key->src.w[i] = tuple->src_hi[i];
		key->dst.w[i] = tuple->dst_hi[i];
	}
	if (!tuple->v6)
		key->src.w[2] = key->dst.w[2] = to_be32(0xffff);
	key->src.w[3] = tuple->src;
	key->dst.w[3] = tuple->dst;
	key->sport = tuple->sport;
	key->dport = tuple->dport;
}

/* Not in place: what it needs of the stack would be missing further down. */
static __noinline const struct xdplb_service *service_find(const struct packet *p)
{
	return service_lookup(&p->pkt.tuple);
}

/* The SYN @p is being answered with @isn. */
static __noinline int handshake_note(const struct packet *p, __u32 client_isn, __u32 isn, __u32 mss)
{
	struct xdplb_handshake row = { .isn = isn,
				       .client_isn = client_isn,
				       .born_tick = p->now,
				       .ifindex = p->ifindex,
				       .mss = (__u16)mss };
	const struct xdplb_service *service;
	struct xdplb_sniff_key key;

	if (!token_take(XDPLB_ALLOWED_HANDSHAKES, p->now, HANDSHAKES_PER_TICK, HANDSHAKES_BURST))
		return 0;
	service = service_find(p);
	if (!service || service->pool == XDPLB_NO_POOL)
		return 0; /* the client must speak first, and what it says is repeated by itself */
	__builtin_memcpy(row.macs, p->pkt.eth, sizeof(row.macs));
	sniff_key(&key, &p->pkt.tuple);
	bpf_map_update_elem(&handshakes, &key, &row, BPF_ANY);
	return 0;
}

/* The handshake that began with @client_isn is over; one begun later is not. */
static __always_inline void handshake_forget(const struct xdplb_sniff_key *key, __u32 client_isn)
{
	const struct xdplb_handshake *row = bpf_map_lookup_elem(&handshakes, key);

	if (row && row->client_isn == client_isn)
		bpf_map_delete_elem(&handshakes, key);
}

struct handshakes_walk {
	struct xdp_md *ctx; /* its data is struct xdplb_handshakes_due */
	__u32 now;
	__u32 count; /* of rows written there */
};

/*
 * 1: there is no room for more. A row that is another's in the middle of it
 * makes a SYN-ACK that fits nobody's numbers: RFC 9293, 3.10.7 has it ignored.
 */
static long handshakes_step(void *map, const struct xdplb_sniff_key *key,
			    struct xdplb_handshake *row, struct handshakes_walk *walk)
{
	const __u32 size = sizeof(((struct xdplb_handshakes_due *)0)->row[0]);
	__u32 at =
		(__u32) __builtin_offsetof(struct xdplb_handshakes_due, row) + walk->count * size;
	__s32 age = (__s32)(walk->now - row->born_tick); /* may have been noted just now */
	struct xdplb_handshake copy;
	struct xdplb_sniff_key whose;

	if (walk->count >= XDPLB_HANDSHAKES_DUE)
		return 1;
	if (age >= HANDSHAKE_LIFE_TICKS) { /* nobody asked for a while */
		bpf_map_delete_elem(map, key);
		return 0;
	}
	if (age < (row->repeats ? HANDSHAKE_SECOND_TICKS : HANDSHAKE_FIRST_TICKS))
		return 0;
	whose = *key;
	copy = *row;
	if (++row->repeats >= HANDSHAKE_REPEATS)
		bpf_map_delete_elem(map, &whose);
	if (bpf_xdp_store_bytes(walk->ctx, at, &whose, sizeof(whose)) ||
	    bpf_xdp_store_bytes(walk->ctx, at + sizeof(whose), &copy, sizeof(copy)))
		return 1;
	walk->count++;
	event_count(XDPLB_EVENT_SYNACK_REPEATED);
	return 0;
}

/* False: the data is too short. */
static __always_inline bool handshakes_give(struct xdp_md *ctx)
{
	struct handshakes_walk walk = { .ctx = ctx, .now = tick_now() };
	struct xdplb_handshakes_due *due = (void *)(long)ctx->data;

	if ((void *)(due + 1) > (void *)(long)ctx->data_end)
		return false;
	bpf_for_each_map_elem(&handshakes, handshakes_step, &walk, 0);
	due = (void *)(long)ctx->data;
	if ((void *)(due + 1) > (void *)(long)ctx->data_end)
		return false;
	due->count = walk.count;
	return true;
}

#endif /* XDPLB_BPF_HANDSHAKE_H */
