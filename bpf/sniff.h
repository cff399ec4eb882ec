/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_SNIFF_H
#define XDPLB_BPF_SNIFF_H

/*
 * Packets of sniffed services that have no backend yet, in a program of its
 * own. A SYN is answered with a cookie and forgotten; the handshake's ACK
 * brings the cookie back and opens a row of `sniffs`; from then on the
 * connection's packets go to the worker behind this queue, with what it must
 * know lying before the frame. So a flood of SYNs reaches neither a table nor
 * user space, but for the few that handshake.h takes note of.
 */
#include <linux/errno.h>

#include "cids.h"
#include "flow_move.h"
#include "forward.h"
#include "synack.h"

#define SNIFF_SPAN (1U << 16) /* how far the numbers of a sniffed connection get */
#define TCP_HANDSHAKE (XDPLB_TCP_SYN | XDPLB_TCP_ACK | XDPLB_TCP_RST | XDPLB_TCP_FIN)

static __always_inline bool tcp_is_syn(const struct packet *p)
{
	return (p->pkt.tcp_flags & TCP_HANDSHAKE) == XDPLB_TCP_SYN;
}

static __always_inline bool service_sniffs(const struct packet *p)
{
	const struct xdplb_service *service = service_find(p);

	return service && service->flags & XDPLB_SERVICE_SNIFF;
}

/*
 * In `xdplb`: is a packet that has a flow one for `sniff`? The client of a
 * spliced flow may begin anew from the same port: its SYN is answered with a
 * cookie, and noted, and the flow goes on until that cookie's ACK comes. Where
 * the service has lost its routes meanwhile, it is as with any flow.
 */
static __always_inline bool sniff_wants(const struct packet *p, const struct xdplb_half *half)
{
	const struct tcphdr *tcp = xdplb_pkt_tcp(&p->pkt);
	const struct xdplb_flow *flow;

	if (half->flags & XDPLB_HALF_WORKER)
		return true;
	if (!(half->flags & XDPLB_HALF_SPLICED) || slot_dir(p->slot) != XDPLB_TO_BACKEND || !tcp)
		return false;
	if (tcp_is_syn(p))
		return service_sniffs(p);
	if (!(half->flags & XDPLB_HALF_SYN_SEEN))
		return false;
	flow = flow_at(p->slot);
	return flow && from_be32(tcp->seq) - 1 == READ_ONCE(flow->splice.conn);
}

/* ---- the worker */

/* Row of the socket behind the queue of this packet, NO_ROW: there is none. */
static __always_inline __u32 queue_row(const struct xdp_md *ctx)
{
	__u32 ifindex = ctx->ingress_ifindex, queue = ctx->rx_queue_index, row;
	const __u32 *slot = bpf_map_lookup_elem(&worker_slots, &ifindex);

	if (!slot || *slot >= XDPLB_WORKER_SLOTS || queue >= XDPLB_QUEUES)
		return NO_ROW;
	row = *slot * XDPLB_QUEUES + queue;
	return bpf_map_lookup_elem(&xsks, &row) ? row : NO_ROW;
}

static __always_inline bool worker_is_there(__u32 row)
{
	return bpf_map_lookup_elem(&xsks, &row) != NULL;
}

/* Hands the packet over; only this queue's socket can take it, whoever owns the connection. */
static __always_inline enum xdplb_outcome worker_give(struct xdp_md *ctx,
						      const struct xdplb_meta *meta, __u32 row)
{
	struct xdplb_meta *to;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*to)))
		return XDPLB_DROP_SNIFF_FAILED;
	to = (void *)(long)ctx->data_meta;
	if ((void *)(to + 1) > (void *)(long)ctx->data)
		return XDPLB_DROP_SNIFF_FAILED;
	*to = *meta;
	if (bpf_redirect_map(&xsks, row, XDP_DROP) != XDP_REDIRECT)
		return XDPLB_DROP_NO_WORKER;
	return XDPLB_SNIFF;
}

/* ---- what the client says after its SYN */

static __always_inline void meta_numbers(struct xdplb_meta *meta, __u32 client_isn, __u32 isn)
{
	struct xdplb_cookie_options options;

	xdplb_cookie_options(isn, &options);
	meta->isn = isn;
	meta->client_isn = client_isn;
	meta->mss = options.mss;
	meta->wscale = options.wscale;
	meta->sack = options.sack;
	meta->our_wscale = options.our_wscale;
}

/* Does @p belong to the connection that began with @row's numbers? */
static __always_inline bool sniff_fits(const struct xdplb_sniff *row, __u32 seq, __u32 ack)
{
	return ack - 1 - row->isn < SNIFF_SPAN && seq - row->client_isn <= SNIFF_SPAN;
}

/* A connection begins: its row says from now on what its numbers are. @anew: there was one before. */
static __always_inline enum xdplb_outcome sniff_begin(const struct packet *p,
						      struct xdplb_meta *meta,
						      const struct xdplb_sniff_key *key,
						      __u32 queue, bool anew)
{
	struct xdplb_sniff row = { .isn = meta->isn,
				   .client_isn = meta->client_isn,
				   .worker = queue,
				   .born_tick = p->now };
	long ret = bpf_map_update_elem(&sniffs, key, &row, anew ? BPF_ANY : BPF_NOEXIST);

	if (ret == -EEXIST || ret == -EBUSY)
		return XDPLB_DROP_BUSY;
	if (ret)
		return XDPLB_RESET_SNIFFS_FULL;
	if (anew)
		event_count(XDPLB_EVENT_SNIFF_REPLACED);
	handshake_forget(key, meta->client_isn);
	meta->kind = XDPLB_META_OPENING;
	meta->worker = queue;
	meta->conn = 0;
	return XDPLB_SNIFF;
}

/* The flow of p->slot, pending or old, makes room for a connection that its client has begun. */
static __always_inline bool flow_make_room(const struct packet *p)
{
	const struct xdplb_flow *flow = flow_at(p->slot);
	__u32 state = flow ? READ_ONCE(flow->half[XDPLB_TO_BACKEND].state) : XDPLB_FLOW_FREE;

	return state > XDPLB_FLOW_CLAIMED && flow_remove(p->slot, state, p->life);
}

/* The row of sniffs, unless the thread that knew the connection is gone, and all it knew. */
static __always_inline const struct xdplb_sniff *sniff_find(const struct xdplb_sniff_key *key)
{
	const struct xdplb_sniff *row = bpf_map_lookup_elem(&sniffs, key);

	if (!row || worker_is_there(row->worker))
		return row;
	bpf_map_delete_elem(&sniffs, key);
	return NULL;
}

enum before { /* what the client of a packet had, p->slot says where */
	NO_FLOW,
	PENDING_FLOW, /* it waits for its backend, the worker has it in hand */
	OLD_FLOW /* spliced, and its client sent another SYN */
};

/*
 * A segment, not a SYN, of a client: whose is it? XDPLB_SNIFF: the worker's
 * that @meta says. XDPLB_CONTINUE: the old flow's.
 */
static __noinline enum xdplb_outcome client_segment(const struct packet *p, struct xdplb_meta *meta,
						    __u32 queue, enum before before)
{
	const __u8 open = XDPLB_TCP_SYN | XDPLB_TCP_RST | XDPLB_TCP_ACK;
	const struct tcphdr *tcp = xdplb_pkt_tcp(&p->pkt);
	const struct xdplb_sniff *row;
	struct xdplb_sniff_key key;
	__u32 seq, ack;

	if (!tcp || !meta)
		return XDPLB_DROP_BUSY;
	seq = from_be32(tcp->seq);
	ack = from_be32(tcp->ack_seq);
	sniff_key(&key, &p->pkt.tuple);
	row = before == OLD_FLOW ? NULL : sniff_find(&key);
	if (row && (p->pkt.tcp_flags & XDPLB_TCP_RST || sniff_fits(row, seq, ack))) {
		if (before == NO_FLOW)
			meta->worker = row->worker;
		meta_numbers(meta, row->client_isn, row->isn);
		return XDPLB_SNIFF;
	}
	if (before == PENDING_FLOW && !row)
		return XDPLB_SNIFF;
	if ((p->pkt.tcp_flags & open) == XDPLB_TCP_ACK &&
	    cookie_right(&p->pkt.tuple, seq - 1, ack - 1)) {
		if (before != NO_FLOW && !flow_make_room(p))
			return XDPLB_DROP_BUSY;
		meta_numbers(meta, seq - 1, ack - 1);
		return sniff_begin(p, meta, &key, queue, row || before != NO_FLOW);
	}
	if (before == OLD_FLOW)
		return XDPLB_CONTINUE;
	if (p->pkt.tcp_flags & XDPLB_TCP_RST) {
		handshake_forget(&key, seq - 1); /* our SYN-ACK reached one who wants none */
		return XDPLB_DROP_NO_FLOW;
	}
	/* what went before may be lost or late: a reset would end an honest connection */
	if (!row && p->pkt.has_data && cookie_likely(&p->pkt.tuple, ack - 1))
		return XDPLB_DROP_SNIFF_EARLY;
	return XDPLB_RESET_BAD_COOKIE;
}

/* ---- the steps: XDPLB_SNIFF: to the worker; XDPLB_CONTINUE: forward by p->slot */

/* A packet without a flow, but for a client's TCP. */
static __always_inline enum xdplb_outcome sniff_open(struct xdp_md *ctx, struct packet *p)
{
	const struct xdplb_service *service = service_find(p);
	bool tcp = p->pkt.tuple.proto == IPPROTO_TCP;
	struct xdplb_cid cid;
	__u32 len, at;

	if (!service)
		return XDPLB_PASS_NOT_OURS;
	p->service = service->id;
	if (source_is_martian(&p->pkt.tuple))
		return XDPLB_DROP_MARTIAN;
	if (xdplb_pkt_ttl(&p->pkt) <= 1)
		return XDPLB_DROP_TTL_EXPIRED;
	if (!(service->flags & XDPLB_SERVICE_SNIFF)) /* its routes went away just now */
		return tcp && !tcp_is_syn(p) ? XDPLB_RESET_NO_FLOW : XDPLB_DROP_BUSY;
	if (tcp)
		return XDPLB_SNIFF;
	at = udp_payload(p, &len);
	if (cid_find(ctx, at, len, p->service, &cid) && cid_usable(p, &cid))
		return quic_follow(p, &cid, service->flags & XDPLB_SERVICE_SOURCE_CLIENT);
	return XDPLB_SNIFF;
}

/* A spliced flow's client has sent a SYN; is it about another connection than this one? */
static __always_inline void syn_note(const struct packet *p, struct xdplb_flow *flow)
{
	struct xdplb_half *half = &flow->half[XDPLB_TO_BACKEND];
	const struct tcphdr *tcp = xdplb_pkt_tcp(&p->pkt);
	__u32 isn = tcp ? from_be32(tcp->seq) : 0;
	bool ended = READ_ONCE(flow->half[XDPLB_TO_CLIENT].state) &
		     (XDPLB_END_FIN << XDPLB_TO_BACKEND * 2);

	if (!ended && isn + 1 == half->mark)
		return; /* a copy of its own, late */
	WRITE_ONCE(flow->splice.conn, isn);
	barrier();
	half->flags |= XDPLB_HALF_SYN_SEEN | XDPLB_HALF_TRACK;
}

/* A packet of the flow p->slot, which waits for its backend, or has met it by now. */
static __always_inline enum xdplb_outcome sniff_flow(struct packet *p, struct xdplb_half *half,
						     enum before *before)
{
	struct xdplb_flow *flow = flow_at(p->slot);

	if (!flow)
		return XDPLB_DROP_BUSY;
	p->service = XDPLB_IDS_SERVICE(half->ids);
	WRITE_ONCE(half->seen_tick, p->now);
	if (!(half->flags & XDPLB_HALF_WORKER)) {
		if (!sniff_wants(p, half))
			return XDPLB_CONTINUE;
		*before = OLD_FLOW;
		if (tcp_is_syn(p))
			syn_note(p, flow);
		return XDPLB_SNIFF;
	}
	if (worker_is_there(flow->splice.worker)) {
		*before = PENDING_FLOW;
		return XDPLB_SNIFF;
	}
	flow_make_room(p); /* its connection died with the thread that knew it */
	return slot_dir(p->slot) == XDPLB_TO_BACKEND ? XDPLB_SNIFF : XDPLB_DROP_NO_WORKER;
}

static __always_inline bool from_backend(const struct packet *p, enum before before)
{
	return before == PENDING_FLOW && slot_dir(p->slot) == XDPLB_TO_CLIENT;
}

/* Hands @p to the worker behind @queue, if it is one for it. */
static __noinline enum xdplb_outcome sniff_give(struct xdp_md *ctx, const struct packet *p,
						__u32 queue, enum before before)
{
	struct xdplb_meta meta = { .kind = XDPLB_META_CLIENT,
				   .service = p->service,
				   .worker = queue,
				   .ifindex = p->ifindex,
				   .wscale = XDPLB_NO_WSCALE,
				   .our_wscale = XDPLB_NO_WSCALE };
	const struct xdplb_flow *flow;
	enum xdplb_outcome out;

	if (before == PENDING_FLOW) {
		flow = flow_at(p->slot);
		if (!flow)
			return XDPLB_DROP_BUSY;
		meta.worker = flow->splice.worker;
		meta.conn = flow->splice.conn;
	}
	if (from_backend(p, before)) {
		meta.kind = XDPLB_META_BACKEND;
	} else if (p->pkt.tuple.proto == IPPROTO_UDP) {
		meta.kind = XDPLB_META_DATAGRAM;
	} else {
		out = client_segment(p, &meta, queue, before);
		if (out != XDPLB_SNIFF)
			return out;
	}
	return worker_give(ctx, &meta, queue);
}

/* What @p is: XDPLB_CONTINUE: a flow's, to be forwarded; XDPLB_SNIFF: the worker's, or answered for it. */
static __always_inline enum xdplb_outcome sniff_look(struct xdp_md *ctx, struct packet *p,
						     enum before *before)
{
	struct xdplb_half *half = flow_find(p);

	if (half)
		return sniff_flow(p, half, before);
	if (moving && flow_bring(p) != MOVE_NOTHING)
		return XDPLB_DROP_BUSY; /* `xdplb` will find it the next time */
	return sniff_open(ctx, p);
}

/* ---- the programs */

static __always_inline enum xdplb_outcome sniff_process(struct xdp_md *ctx)
{
	const struct xdplb_settings *set = settings_get();
	__u32 queue = queue_row(ctx);
	enum before before = NO_FLOW;
	enum xdplb_outcome out;
	struct packet p;

	out = xdplb_pkt_parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, &p.pkt);
	if (out)
		return out;
	if (!set)
		return XDPLB_PASS_NOT_OURS;
	p.now = tick_now();
	p.ifindex = ctx->ingress_ifindex;
	p.command = NULL;
	p.hash = xdplb_flow_hash(set->index_key, &p.pkt.tuple);
	out = sniff_look(ctx, &p, &before);
	if (out == XDPLB_SNIFF) {
		if (queue == NO_ROW)
			return XDPLB_DROP_NO_WORKER;
		if (tcp_is_syn(&p) && !from_backend(&p, before))
			return cookie_write(ctx, &p) ? XDPLB_ANSWER_COOKIE :
						       XDPLB_DROP_ANSWER_FAILED;
		out = sniff_give(ctx, &p, queue, before);
	}
	if (out == XDPLB_CONTINUE)
		return flow_forward(ctx, &p);
	return answer(ctx, &p, out);
}

struct sniffs_walk {
	__u32 max_age; /* ticks */
	__u32 now;
	__u32 left; /* out: rows that stay */
};

static long sniffs_walk_step(void *map, const void *key, const struct xdplb_sniff *row,
			     struct sniffs_walk *walk)
{
	if (tick_passed(walk->now, row->born_tick, walk->max_age))
		bpf_map_delete_elem(map, key);
	else
		walk->left++;
	return 0;
}

#endif /* XDPLB_BPF_SNIFF_H */
