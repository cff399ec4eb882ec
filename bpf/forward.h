/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_FORWARD_H
#define XDPLB_BPF_FORWARD_H

/* The last step of a packet whose flow is known, in every program: rewrite, send, count. */
#include "send.h"

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
	out = dir == XDPLB_TO_BACKEND ? send_to_backend(ctx, p) : send_to_client(p, &half->client);
	barrier();
	if (READ_ONCE(half->life) != p->life)
		return XDPLB_DROP_BUSY;
	if (out != XDPLB_DROP_UNRESOLVED && out != XDPLB_DROP_NO_EGRESS)
		traffic_count(p, dir);
	return out;
}

#endif /* XDPLB_BPF_FORWARD_H */
