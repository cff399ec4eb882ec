/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_FORWARD_H
#define XDPLB_BPF_FORWARD_H

/* The last step of a packet whose flow is known, in every program: rewrite, send, count. */
#include "send.h"
#include "xdplb/splice.h"

static __always_inline void traffic_count(const struct packet *p, __u32 dir)
{
	struct xdplb_stats *of_backend = bpf_map_lookup_elem(&backend_stats, &p->backend);
	struct xdplb_stats *of_service = bpf_map_lookup_elem(&service_stats, &p->service);

	if (of_backend) {
		of_backend->packets[dir]++;
		of_backend->bytes[dir] += p->pkt.ip_len;
	}
	if (of_service) {
		of_service->packets[dir]++;
		of_service->bytes[dir] += p->pkt.ip_len;
	}
}

/*
 * The packet of a spliced flow, its TCP header @l4 bytes behind the frame's
 * start. Not static, and so of numbers only: the verifier looks at it once.
 */
__noinline int packet_translate(struct xdp_md *ctx, __u32 l4, __u64 slot)
{
	const struct xdplb_flow *flow = flow_at(slot);
	struct xdplb_pkt pkt = {
		.l4 = (void *)(long)ctx->data + (l4 & 127),
		.end = (void *)(long)ctx->data_end,
		.tuple.proto = IPPROTO_TCP,
	};
	const __u8 *tcp = (const __u8 *)xdplb_pkt_tcp(&pkt);

	if (!flow || !tcp)
		return 0;
	pkt.tcp_flags = tcp[13];
	if (slot_dir(slot) == XDPLB_TO_BACKEND)
		xdplb_splice_to_backend(&pkt, &flow->splice);
	else
		xdplb_splice_to_client(&pkt, &flow->splice);
	return 0;
}

/*
 * Rewrites @p by its flow and picks the way out. A row that got another flow
 * meanwhile has garbled the packet: it is dropped, and the sender repeats it.
 */
static __always_inline enum xdplb_outcome flow_forward(struct xdp_md *ctx, struct packet *p)
{
	const struct xdplb_flow *flow = flow_at(p->slot);
	const struct xdplb_half *half;
	enum xdplb_outcome out;
	__u32 dir = slot_dir(p->slot), ids;

	if (!flow)
		return XDPLB_DROP_BUSY;
	half = &flow->half[dir];
	ids = half->ids;
	p->backend = XDPLB_IDS_BACKEND(ids);
	p->service = XDPLB_IDS_SERVICE(ids);
	if (dir == XDPLB_TO_BACKEND && client_has_moved(p, half))
		client_moved(p);
	xdplb_pkt_rewrite(&p->pkt, half);
	if (half->flags & XDPLB_HALF_SPLICED)
		packet_translate(ctx, ETH_HLEN + p->pkt.l4_offset, p->slot);
	out = dir == XDPLB_TO_BACKEND ? send_to_backend(ctx, p) : send_to_client(p, &half->client);
	barrier();
	if (READ_ONCE(half->life) != p->life)
		return XDPLB_DROP_BUSY;
	if (out != XDPLB_DROP_UNRESOLVED && out != XDPLB_DROP_NO_EGRESS)
		traffic_count(p, dir);
	return out;
}

#endif /* XDPLB_BPF_FORWARD_H */
