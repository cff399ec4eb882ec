/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_SEND_H
#define XDPLB_BPF_SEND_H

/*
 * The next hop and the way out. Towards a backend it stands in the backend's
 * row, which the daemon keeps; while the daemon is silent the kernel is asked,
 * once in half a second a backend. Towards a client it is the way its last
 * packet came: what XDP takes the kernel never sees, so it can't know.
 */
#include "flow.h"

#define FIB_ASK_TICKS 477
#define LOOPBACK_IFINDEX 1 /* in every namespace */
#define FAMILY_INET 2 /* AF_INET */
#define FAMILY_INET6 10 /* AF_INET6 */

static __always_inline bool mac_equal(const __u8 *a, const __u8 *b)
{
	return *(const __u16 *)a == *(const __u16 *)b &&
	       *(const __u16 *)(a + 2) == *(const __u16 *)(b + 2) &&
	       *(const __u16 *)(a + 4) == *(const __u16 *)(b + 4);
}

/* The client's packets come another way now: replies follow. */
static __noinline int client_moved(const struct packet *p)
{
	struct xdplb_flow *flow = flow_at(p->slot);
	struct xdplb_nexthop way = { .ifindex = p->ifindex };

	if (!flow)
		return 0;
	__builtin_memcpy(way.dst_mac, p->pkt.eth->h_source, ETH_ALEN);
	__builtin_memcpy(way.src_mac, p->pkt.eth->h_dest, ETH_ALEN);
	flow->half[XDPLB_TO_BACKEND].client = way;
	flow->half[XDPLB_TO_CLIENT].client = way;
	return 0;
}

static __always_inline bool client_has_moved(const struct packet *p, const struct xdplb_half *half)
{
	return half->client.ifindex != p->ifindex ||
	       !mac_equal(half->client.dst_mac, p->pkt.eth->h_source) ||
	       !mac_equal(half->client.src_mac, p->pkt.eth->h_dest);
}

/*
 * Asks the kernel as a packet of the host's own would (input interface lo), so
 * that it needs no ip_forward on the real interfaces.
 */
static __noinline int nexthop_ask(struct xdp_md *ctx, const struct packet *p)
{
	struct xdplb_backend *backend = bpf_map_lookup_elem(&backends, &p->backend);
	struct bpf_fib_lookup fib = { .ifindex = LOOPBACK_IFINDEX };
	struct xdplb_nexthop way;

	if (!backend)
		return 0;
	fib.l4_protocol = p->pkt.tuple.proto;
	if (p->pkt.tuple.v6) {
		fib.family = FAMILY_INET6;
		for (int i = 0; i < 4; i++) {
			fib.ipv6_src[i] = (XDPLB_FORCE __u32)backend->nat_addr.w[i];
			fib.ipv6_dst[i] = (XDPLB_FORCE __u32)backend->addr.w[i];
		}
	} else {
		fib.family = FAMILY_INET;
		fib.ipv4_src = backend->nat_addr.w[3];
		fib.ipv4_dst = backend->addr.w[3];
	}
	if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return 0;
	way.ifindex = fib.ifindex;
	__builtin_memcpy(way.dst_mac, fib.dmac, ETH_ALEN);
	__builtin_memcpy(way.src_mac, fib.smac, ETH_ALEN);
	if (way.ifindex == backend->nexthop.ifindex &&
	    mac_equal(way.dst_mac, backend->nexthop.dst_mac) &&
	    mac_equal(way.src_mac, backend->nexthop.src_mac) &&
	    backend->flags & XDPLB_BACKEND_RESOLVED)
		return 0;
	backend->nexthop = way;
	backend->flags |= XDPLB_BACKEND_RESOLVED;
	event_count(XDPLB_EVENT_NEXTHOP_LEARNED);
	return 0;
}

/* Without a daemon somebody must notice that a gateway has changed. */
static __always_inline void nexthop_refresh(struct xdp_md *ctx, const struct packet *p)
{
	struct xdplb_backend_state *state;
	__u32 asked;

	if (!daemon_is_silent(p->now))
		return;
	state = bpf_map_lookup_elem(&backend_state, &p->backend);
	if (!state)
		return;
	asked = READ_ONCE(state->fib_tick);
	if (!tick_passed(p->now, asked, FIB_ASK_TICKS) && asked)
		return;
	if (__sync_val_compare_and_swap(&state->fib_tick, asked, p->now) == asked)
		nexthop_ask(ctx, p);
}

/* Writes the MAC addresses and picks the way out: @same or @other are counted. */
static __always_inline enum xdplb_outcome frame_send(struct packet *p,
						     const struct xdplb_nexthop *way,
						     enum xdplb_outcome same,
						     enum xdplb_outcome other)
{
	__builtin_memcpy(p->pkt.eth->h_dest, way->dst_mac, ETH_ALEN);
	__builtin_memcpy(p->pkt.eth->h_source, way->src_mac, ETH_ALEN);
	if (way->ifindex == p->ifindex)
		return same;
	if (bpf_redirect_map(&egress, way->ifindex, XDP_DROP) != XDP_REDIRECT)
		return XDPLB_DROP_NO_EGRESS;
	return other;
}

static __always_inline enum xdplb_outcome send_to_backend(struct xdp_md *ctx, struct packet *p)
{
	const struct xdplb_backend *backend;

	nexthop_refresh(ctx, p);
	backend = bpf_map_lookup_elem(&backends, &p->backend);
	if (!backend || !(backend->flags & XDPLB_BACKEND_RESOLVED))
		return XDPLB_DROP_UNRESOLVED;
	return frame_send(p, &backend->nexthop, XDPLB_FORWARD_TX, XDPLB_FORWARD_REDIRECT);
}

static __always_inline enum xdplb_outcome send_to_client(struct packet *p,
							 const struct xdplb_nexthop *way)
{
	return frame_send(p, way, XDPLB_REPLY_TX, XDPLB_REPLY_REDIRECT);
}

#endif /* XDPLB_BPF_SEND_H */
