/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_ICMP_H
#define XDPLB_BPF_ICMP_H

/*
 * ICMP errors about packets that we sent on, in a program of their own. The
 * packet that one quotes tells the flow; the error then goes where the answers
 * to that packet go, translated back to what the quoted packet's sender knows.
 * So path MTU discovery works through us, and a refused datagram is reported.
 * Errors about nobody's packets, and all else that is neither TCP nor UDP, are
 * the host's. A flow's state no error changes: RFC 5927, 4 and RFC 1122,
 * 4.2.3.9 leave that to the ends.
 */
#include "open.h"
#include "send.h"
#include "xdplb/icmp.h"

/*
 * RFC 5927, 4.1: the quoted number must be of what is in flight. Where that
 * begins we don't note; so many bytes at most, more than windows are in use.
 */
#define ICMP_SEQ_BEHIND (1U << 26)

static __always_inline enum xdplb_outcome icmp_find(struct packet *p)
{
	for (int attempt = 0; attempt < FLOW_LOOKUPS; attempt++) {
		p->slot = flow_find_slowly(p->hash, &p->pkt.tuple);
		if (p->slot == FLOW_CHANGING)
			continue;
		if (!p->slot)
			break;
		if (slot_half(p->slot, &p->pkt.tuple, &p->life))
			return XDPLB_CONTINUE;
	}
	return XDPLB_PASS_NOT_OURS;
}

static __always_inline bool icmp_is_martian(const struct packet *p)
{
	const struct iphdr *ip4 = xdplb_pkt_ip4(&p->pkt);
	const struct ipv6hdr *ip6 = xdplb_pkt_ip6(&p->pkt);
	struct xdplb_tuple from = { .v6 = p->pkt.tuple.v6 };

	if (ip4)
		from.src = ip4->saddr;
	if (ip6) {
		from.src = ip6->saddr.in6_u.u6_addr32[3];
		for (int i = 0; i < 3; i++)
			from.src_hi[i] = ip6->saddr.in6_u.u6_addr32[i];
	}
	return source_is_martian(&from);
}

/* May the flow have sent what is quoted? It went against @dir; @seq is as its sender counts. */
static __always_inline bool icmp_makes_sense(const struct xdplb_flow *flow, __u32 dir, __u32 seq)
{
	const struct xdplb_half *quoted = &flow->half[!dir];

	if (quoted->proto != IPPROTO_TCP)
		return true;
	if (dir == XDPLB_TO_BACKEND &&
	    READ_ONCE(flow->half[XDPLB_TO_BACKEND].state) == XDPLB_FLOW_UNANSWERED)
		return false; /* nothing has gone to the client yet */
	return READ_ONCE(quoted->seq_end) - seq <= ICMP_SEQ_BEHIND;
}

static __always_inline enum xdplb_outcome icmp_send(struct xdp_md *ctx, struct packet *p,
						    const struct xdplb_half *half)
{
	const struct xdplb_backend *backend;

	if (slot_dir(p->slot) == XDPLB_TO_CLIENT)
		return frame_send(p, &half->client, XDPLB_REPLY_ICMP_TX, XDPLB_REPLY_ICMP_REDIRECT);
	nexthop_refresh(ctx, p);
	backend = bpf_map_lookup_elem(&backends, &p->backend);
	if (!backend || !(backend->flags & XDPLB_BACKEND_RESOLVED))
		return XDPLB_DROP_UNRESOLVED;
	return frame_send(p, &backend->nexthop, XDPLB_FORWARD_ICMP_TX, XDPLB_FORWARD_ICMP_REDIRECT);
}

/*
 * The error in the frame becomes one for the other side of the flow at @slot.
 * Not static, and so of numbers only: the verifier looks at it once.
 */
__noinline int icmp_translate(struct xdp_md *ctx, __u64 slot, __u32 shift_seq, __u32 shift_ack)
{
	const struct xdplb_quote_shift shift = { .seq = shift_seq, .ack = shift_ack };
	const struct xdplb_flow *flow = flow_at(slot);
	struct xdplb_quote quote;
	struct xdplb_pkt pkt;

	if (!flow ||
	    xdplb_icmp_parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, &pkt, &quote))
		return 0;
	xdplb_icmp_rewrite(&pkt, &quote, &flow->half[slot_dir(slot)], shift);
	return 0;
}

/* The error is about the flow at p->slot. */
static __always_inline enum xdplb_outcome icmp_forward(struct xdp_md *ctx, struct packet *p,
						       const struct xdplb_quote *quote)
{
	const struct xdplb_flow *flow = flow_at(p->slot);
	__u32 dir = slot_dir(p->slot), delta;
	struct xdplb_quote_shift shift = { 0 };
	const struct xdplb_half *half;
	enum xdplb_outcome out;

	if (!flow)
		return XDPLB_DROP_BUSY;
	half = &flow->half[dir];
	if (half->flags & XDPLB_HALF_WORKER)
		return XDPLB_DROP_ICMP_PENDING;
	delta = half->flags & XDPLB_HALF_SPLICED ? flow->splice.delta : 0;
	if (dir == XDPLB_TO_BACKEND)
		shift.seq = delta;
	else
		shift.ack = -delta;
	if (!icmp_makes_sense(flow, dir, quote->seq + shift.seq))
		return XDPLB_DROP_ICMP_NONSENSE;
	p->backend = XDPLB_IDS_BACKEND(half->ids);
	icmp_translate(ctx, p->slot, shift.seq, shift.ack);
	out = icmp_send(ctx, p, half);
	barrier();
	return READ_ONCE(half->life) == p->life ? out : XDPLB_DROP_BUSY;
}

static __always_inline enum xdplb_outcome icmp_process(struct xdp_md *ctx)
{
	const struct xdplb_settings *set = settings_get();
	struct xdplb_quote quote;
	enum xdplb_outcome out;
	struct packet p;

	out = xdplb_icmp_parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, &p.pkt,
			       &quote);
	if (out)
		return out;
	if (p.pkt.ip_len + ETH_HLEN > bpf_xdp_get_buff_len(ctx))
		return XDPLB_PASS_TRUNCATED;
	if (!set)
		return XDPLB_PASS_NOT_OURS;
	p.now = tick_now();
	p.ifindex = ctx->ingress_ifindex;
	p.command = NULL;
	p.hash = xdplb_flow_hash(set->index_key, &p.pkt.tuple);
	out = icmp_find(&p);
	if (out)
		return out;
	if (icmp_is_martian(&p))
		return XDPLB_DROP_MARTIAN;
	if (xdplb_pkt_ttl(&p.pkt) <= 1)
		return XDPLB_DROP_TTL_EXPIRED;
	return icmp_forward(ctx, &p, &quote);
}

#endif /* XDPLB_BPF_ICMP_H */
