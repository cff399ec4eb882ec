/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_OPEN_H
#define XDPLB_BPF_OPEN_H

/*
 * The first packet of a flow: service lookup, choice of the backend, a row
 * among the embryos, a reserved port, and the two keys in the index.
 */
#include "flow_age.h"
#include "nat.h"
#include "select.h"
#include "xdplb/protocol.h"

#define SWEEP_PER_FLOW 2

static __always_inline const struct xdplb_service *service_lookup(const struct xdplb_tuple *tuple)
{
	struct xdplb_service_key key = { .port = tuple->dport, .proto = tuple->proto };

	for (int i = 0; i < 3; i++)
		key.vip.w[i] = tuple->dst_hi[i];
	if (!tuple->v6)
		key.vip.w[2] = to_be32(0xffff);
	key.vip.w[3] = tuple->dst;
	if (tuple->v6 && xdplb_addr_is_ip4(&key.vip))
		return NULL; /* written out in IPv6 it belongs on no wire: RFC 4291, 2.5.5.2 */
	return bpf_map_lookup_elem(&services, &key);
}

/* RFC 1122, 3.2.1.3 and RFC 4291, 2.5 and 2.7: nobody can be answered at such an address. */
static __always_inline bool source_is_martian(const struct xdplb_tuple *t)
{
	__u32 top = from_be32(t->v6 ? t->src_hi[0] : t->src) >> 24;

	if (!t->v6)
		return top == 0 || top == 127 || top >= 224;
	return top == 0xff ||
	       (!t->src_hi[0] && !t->src_hi[1] && !t->src_hi[2] && from_be32(t->src) <= 1);
}

/* What a packet without a flow may not be. */
static __always_inline enum xdplb_outcome opening_check(const struct packet *p)
{
	if (source_is_martian(&p->pkt.tuple))
		return XDPLB_DROP_MARTIAN;
	if (xdplb_pkt_ttl(&p->pkt) <= 1)
		return XDPLB_DROP_TTL_EXPIRED;
	if (p->pkt.tuple.proto != IPPROTO_TCP)
		return XDPLB_CONTINUE;
	if (p->pkt.tcp_flags & XDPLB_TCP_RST)
		return XDPLB_DROP_NO_FLOW;
	if ((p->pkt.tcp_flags & (XDPLB_TCP_SYN | XDPLB_TCP_ACK | XDPLB_TCP_FIN)) != XDPLB_TCP_SYN)
		return XDPLB_RESET_NO_FLOW;
	if (flows_full(p->now))
		return XDPLB_RESET_TABLE_FULL;
	return XDPLB_CONTINUE;
}

static __always_inline enum xdplb_outcome no_backend(const struct packet *p)
{
	return p->pkt.tuple.proto == IPPROTO_TCP ? XDPLB_RESET_NO_BACKEND :
						   XDPLB_UNREACHABLE_NO_BACKEND;
}

/* A direction whose packets arrive as @from; those of the other arrive as @back. */
static __always_inline void half_fill(struct xdplb_half *half, const struct xdplb_tuple *from,
				      const struct xdplb_tuple *back, __u32 ids, __u32 now)
{
	half->src = from->src;
	half->dst = from->dst;
	half->sport = from->sport;
	half->dport = from->dport;
	half->new_src = back->dst;
	half->new_dst = back->src;
	half->new_sport = back->dport;
	half->new_dport = back->sport;
	for (int i = 0; i < 3; i++) {
		half->src_hi[i] = from->src_hi[i];
		half->dst_hi[i] = from->dst_hi[i];
		half->new_src_hi[i] = back->dst_hi[i];
		half->new_dst_hi[i] = back->src_hi[i];
	}
	half->ids = ids;
	half->proto = from->proto;
	half->flags = XDPLB_HALF_TRACK | (from->v6 ? XDPLB_HALF_V6 : 0);
	half->seen_tick = now;
	half->seq_end = 0;
	half->mark = 0;
	xdplb_half_diffs(half);
}

static __always_inline void tuple_reverse(const struct xdplb_tuple *from, struct xdplb_tuple *to)
{
	*to = (struct xdplb_tuple){
		.src = from->dst,
		.dst = from->src,
		.sport = from->dport,
		.dport = from->sport,
		.proto = from->proto,
		.v6 = from->v6,
	};
	for (int i = 0; i < 3; i++) {
		to->src_hi[i] = from->dst_hi[i];
		to->dst_hi[i] = from->src_hi[i];
	}
}

/* What a worker knows of the flow it opens; TCP is its own until client and backend are joined. */
static __always_inline void flow_stamp(struct xdplb_flow *flow, const struct xdplb_command *command)
{
	bool quic = command->protocol == XDPLB_PROTOCOL_QUIC;
	__u8 flags = flow->half[XDPLB_TO_BACKEND].proto == IPPROTO_TCP ? XDPLB_HALF_WORKER :
		     quic					       ? XDPLB_HALF_QUIC :
									 0;

	flow->splice = (struct xdplb_splice){
		.protocol = (__u8)command->protocol,
		.name_len = command->name_len > 255 ? 255 : (__u8)command->name_len,
		.worker = command->worker,
		.conn = command->conn,
	};
	__builtin_memcpy(flow->splice.name, command->name, sizeof(command->name));
	flow->half[XDPLB_TO_BACKEND].flags |= flags | XDPLB_HALF_SNIFFED;
	flow->half[XDPLB_TO_CLIENT].flags |= flags | XDPLB_HALF_SNIFFED;
}

/* Writes a claimed row for @p and the replies that arrive as @reply; readers may see it from here. */
static __noinline int flow_fill(struct packet *p, struct xdplb_flow *flow,
				const struct xdplb_tuple *reply, __u32 idle_ticks)
{
	const struct tcphdr *tcp = xdplb_pkt_tcp(&p->pkt);
	struct xdplb_half *in, *out;
	__u32 ids = XDPLB_IDS(p->service, p->backend);

	if (!flow || !reply)
		return -1;
	in = &flow->half[XDPLB_TO_BACKEND];
	out = &flow->half[XDPLB_TO_CLIENT];
	flow_life_end(flow);
	half_fill(in, &p->pkt.tuple, reply, ids, p->now);
	half_fill(out, reply, &p->pkt.tuple, ids, p->now);
	in->seq_end = 1;
	if (tcp) {
		in->seq_end = p->pkt.seq_end;
		in->mark = from_be32(tcp->seq) + 1; /* a SYN may carry data, RFC 7413 */
	}
	in->born_tick = p->now;
	in->idle_ticks = idle_ticks;
	out->state = 0;
	in->client.ifindex = p->ifindex;
	__builtin_memcpy(in->client.dst_mac, p->pkt.eth->h_source, ETH_ALEN);
	__builtin_memcpy(in->client.src_mac, p->pkt.eth->h_dest, ETH_ALEN);
	out->client = in->client;
	if (p->command)
		flow_stamp(flow, p->command);
	else
		flow->splice.protocol = XDPLB_PROTOCOL_NONE;
	flow_life_begin(flow);
	return 0;
}

/* Gives a claimed row back that never became a flow. */
static __always_inline void embryo_abandon(struct xdplb_flow *flow, __u64 reply_hash,
					   __u64 reply_slot, __u32 backend)
{
	if (reply_slot)
		index_replace(reply_hash, reply_slot, 0);
	flow_life_end(flow);
	port_release(backend);
	embryo_release(flow);
}

/*
 * Makes the flow of @p, whose service and backend are chosen; p->slot names it.
 * The reply key goes in first (it reserves the port), the client's last: only
 * then can anybody find the flow. Where another CPU was faster with a packet
 * of the same flow, that one's choice holds.
 */
static __noinline enum xdplb_outcome flow_create(struct packet *p, __u32 idle_ticks,
						 bool keep_address)
{
	struct xdplb_backend *backend = bpf_map_lookup_elem(&backends, &p->backend);
	struct xdplb_backend_state *state = bpf_map_lookup_elem(&backend_state, &p->backend);
	__u32 row = embryo_alloc();
	struct xdplb_flow *flow = bpf_map_lookup_elem(&embryos, &row);
	__u64 slot, there, reply_hash;
	struct xdplb_tuple reply;

	if (!flow)
		return XDPLB_DROP_BUSY;
	if (!backend || !state || !(backend->flags & XDPLB_BACKEND_USED)) {
		embryo_release(flow);
		return no_backend(p);
	}
	if (!(backend->flags & XDPLB_BACKEND_RESOLVED) && !backend->nat_addr.w[3]) {
		embryo_release(flow); /* not even our own address towards it is known */
		return XDPLB_DROP_UNRESOLVED;
	}
	flow_life_end(flow);
	tuple_reverse(&p->pkt.tuple, &reply);
	tuple_set_src(&reply, &backend->addr);
	reply.sport = backend->port;
	__sync_fetch_and_add(&state->ports_used, 1);
	reply_hash =
		port_find(&reply, XDPLB_SLOT_EMBRYO | row, p->backend,
			  from_be16(p->pkt.tuple.sport) | (keep_address ? PORT_KEEP_ADDRESS : 0U));
	if (!reply_hash) {
		embryo_abandon(flow, 0, 0, p->backend);
		return XDPLB_DROP_NO_PORT;
	}
	flow_fill(p, flow, &reply, idle_ticks);
	hint_bucket(flow, XDPLB_TO_BACKEND, p->hash);
	hint_bucket(flow, XDPLB_TO_CLIENT, reply_hash);
	slot = slot_make(p->hash, XDPLB_SLOT_EMBRYO, XDPLB_TO_BACKEND, row);
	there = index_insert(p->hash, slot);
	if (there) {
		embryo_abandon(flow, reply_hash,
			       slot_make(reply_hash, XDPLB_SLOT_EMBRYO, XDPLB_TO_CLIENT, row),
			       p->backend);
		p->slot = there;
		if (there == INDEX_FULL || !slot_half(there, &p->pkt.tuple, &p->life))
			return XDPLB_DROP_BUSY;
		return XDPLB_CONTINUE;
	}
	flow_account(XDPLB_IDS(p->service, p->backend), true);
	flow_set_state(flow, XDPLB_FLOW_UNANSWERED);
	packet_follow(p, flow, slot);
	return XDPLB_CONTINUE;
}

/* A packet without a flow: XDPLB_CONTINUE with p->slot set, or what became of it. */
static __noinline enum xdplb_outcome flow_open(struct packet *p)
{
	const struct xdplb_service *service = service_lookup(&p->pkt.tuple);
	enum xdplb_outcome out;

	if (!service)
		return XDPLB_PASS_NOT_OURS;
	p->service = service->id;
	if (service->flags & XDPLB_SERVICE_SNIFF)
		return XDPLB_SNIFF;
	out = opening_check(p);
	if (out)
		return out;
	p->backend = backend_select(service->pool, &p->pkt.tuple);
	if (!p->backend)
		return no_backend(p);
	if (daemon_is_silent(p->now)) {
		flows_sweep(SWEEP_PER_FLOW, p->now);
		embryos_sweep(SWEEP_PER_FLOW, p->now);
	}
	return flow_create(p, service->idle_ticks, service->flags & XDPLB_SERVICE_SOURCE_CLIENT);
}

#endif /* XDPLB_BPF_OPEN_H */
