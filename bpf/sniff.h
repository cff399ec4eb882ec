/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_SNIFF_H
#define XDPLB_BPF_SNIFF_H

/*
 * Packets of sniffed services that have no backend yet, in a program of its
 * own. A SYN is answered with a cookie and forgotten; the handshake's ACK
 * brings the cookie back and opens a row of `sniffs`; from then on the
 * connection's packets go to the worker behind this queue, with what it must
 * know lying before the frame. So a flood of SYNs reaches neither a table nor
 * user space.
 */
#include <linux/errno.h>

#include "answer.h"
#include "flow_move.h"
#include "forward.h"
#include "open.h"
#include "xdplb/cookie.h"

#define SNIFF_WINDOW 16384 /* bytes that a worker keeps of a client; not scaled in a SYN */
#define SNIFF_SPAN (1U << 16) /* how far the numbers of a sniffed connection get */
#define OFFER_MSS_V4 1360
#define OFFER_MSS_V6 1340
#define OFFER_WSCALE 7

enum {
	TCP_HANDSHAKE = XDPLB_TCP_SYN | XDPLB_TCP_ACK | XDPLB_TCP_RST | XDPLB_TCP_FIN,
	TCP_OPT_END = 0, /* RFC 9293, 3.2 */
	TCP_OPT_NOP = 1,
	TCP_OPT_MSS = 2,
	TCP_OPT_WSCALE = 3, /* RFC 7323, 2.2 */
	TCP_OPT_SACK_PERMITTED = 4, /* RFC 2018, 2 */
	TCP_OPTIONS_MAX = 40
};

static __always_inline bool tcp_is_syn(const struct packet *p)
{
	return (p->pkt.tcp_flags & TCP_HANDSHAKE) == XDPLB_TCP_SYN;
}

/*
 * In `xdplb`: is a packet that has a flow one for `sniff`? A spliced flow's
 * client may begin anew from the same port; which it does, the ACK of our
 * cookie says, and the flow goes on until then.
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
		return true;
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

/* ---- SYN -> SYN-ACK */

struct option_walk {
	__u8 bytes[64]; /* as many as the verifier thinks that might be looked at */
	__u32 pos, size;
	struct xdplb_cookie_options said;
};

static __always_inline __u8 option_byte(const struct option_walk *walk, __u32 at)
{
	return walk->bytes[at & (sizeof(walk->bytes) - 1)];
}

/* One option, RFC 9293, 3.1; 1: there are no more that make sense. */
static long option_step(__u32 index, void *arg)
{
	struct option_walk *walk = arg;
	__u32 pos = walk->pos, len;
	__u8 kind;

	(void)index;
	if (pos >= walk->size)
		return 1;
	kind = option_byte(walk, pos);
	if (kind == TCP_OPT_END)
		return 1;
	if (kind == TCP_OPT_NOP) {
		walk->pos = pos + 1;
		return 0;
	}
	len = option_byte(walk, pos + 1);
	if (len < 2 || pos + len > walk->size)
		return 1;
	if (kind == TCP_OPT_MSS && len == 4)
		walk->said.mss = option_byte(walk, pos + 2) << 8 | option_byte(walk, pos + 3);
	if (kind == TCP_OPT_WSCALE && len == 3) {
		walk->said.wscale = option_byte(walk, pos + 2);
		if (walk->said.wscale > XDPLB_WSCALE_MAX)
			walk->said.wscale = XDPLB_WSCALE_MAX;
	}
	if (kind == TCP_OPT_SACK_PERMITTED && len == 2)
		walk->said.sack = 1;
	walk->pos = pos + len;
	return 0;
}

/* What the client's SYN says; where it says nothing, what RFC 9293, 3.7.1 takes for said. */
static __noinline int options_read(struct xdp_md *ctx, const struct packet *p,
				   struct xdplb_cookie_options *said)
{
	const struct tcphdr *tcp = xdplb_pkt_tcp(&p->pkt);
	struct option_walk walk = { .said = { .mss = p->pkt.tuple.v6 ? 1220 : 536,
					      .wscale = XDPLB_NO_WSCALE } };

	if (!tcp || !said)
		return 0;
	walk.size = tcp->doff * 4U - (__u32)sizeof(*tcp);
	if (walk.size && walk.size <= TCP_OPTIONS_MAX &&
	    !bpf_xdp_load_bytes(ctx, ETH_HLEN + p->pkt.l4_offset + (__u32)sizeof(*tcp), walk.bytes,
				walk.size))
		bpf_loop(TCP_OPTIONS_MAX, option_step, &walk, 0);
	*said = walk.said;
	return 0;
}

/* Limits what we promise by what the service's backends are known for; the MSS to offer. */
static __always_inline __u32 offer_make(const struct packet *p,
					struct xdplb_cookie_options *options)
{
	const struct xdplb_offer *offer = bpf_map_lookup_elem(&sniff_offers, &p->service);
	__u32 mss = p->pkt.tuple.v6 ? OFFER_MSS_V6 : OFFER_MSS_V4, of_backends;

	options->our_wscale = OFFER_WSCALE;
	if (!offer || !offer->known)
		return mss;
	options->our_wscale = offer->wscale;
	if (offer->wscale == XDPLB_NO_WSCALE)
		options->wscale = XDPLB_NO_WSCALE;
	if (!offer->sack)
		options->sack = 0;
	of_backends = p->pkt.tuple.v6 ? offer->mss[XDPLB_V6] : offer->mss[XDPLB_V4];
	return of_backends ? of_backends : mss;
}

struct syn_ack {
	struct tcphdr tcp;
	__be32 options[3];
};

/* Each option in a word of its own. Their length. */
static __always_inline __u32 syn_ack_options(struct syn_ack *answer, __u32 mss,
					     const struct xdplb_cookie_options *options)
{
	bool scaled = options->our_wscale != XDPLB_NO_WSCALE, sack = options->sack;
	__u32 wscale = scaled ? TCP_OPT_NOP << 24 | TCP_OPT_WSCALE << 16 | 3 << 8 |
					options->our_wscale :
				0;

	answer->options[0] = to_be32(TCP_OPT_MSS << 24 | 4 << 16 | mss);
	answer->options[1] = to_be32(wscale);
	if (sack) {
		answer->options[2] = answer->options[1];
		answer->options[1] = to_be32(TCP_OPT_NOP << 24 | TCP_OPT_NOP << 16 |
					     TCP_OPT_SACK_PERMITTED << 8 | 2);
	}
	return 4U + (sack ? 4 : 0) + (scaled ? 4 : 0);
}

static __noinline __u32 cookie_make(const struct packet *p, __u32 client_isn,
				    struct xdplb_cookie_options *options)
{
	__u32 zero = 0;
	const struct xdplb_cookie_secrets *secrets = bpf_map_lookup_elem(&cookie_secrets, &zero);

	if (!secrets || !options)
		return 0;
	return xdplb_cookie_make(secrets, &p->pkt.tuple, client_isn, bpf_ktime_get_coarse_ns(),
				 options);
}

/* RFC 9293, 3.5 and RFC 4987, 3.6: the SYN-ACK, from nothing but the SYN. Data of a SYN is left to be repeated. */
static __noinline bool cookie_write(struct xdp_md *ctx, const struct packet *p)
{
	const struct tcphdr *from = xdplb_pkt_tcp(&p->pkt);
	struct syn_ack answer = { .tcp = { .syn = 1, .ack = 1 } };
	struct xdplb_cookie_options options;
	__u32 client_isn, mss, size;
	union ip_header ip;
	__u64 sum;

	if (!from)
		return false;
	client_isn = from_be32(from->seq);
	answer.tcp.source = from->dest;
	answer.tcp.dest = from->source;
	options_read(ctx, p, &options);
	mss = offer_make(p, &options);
	answer.tcp.seq = to_be32(cookie_make(p, client_isn, &options));
	answer.tcp.ack_seq = to_be32(client_isn + 1);
	answer.tcp.window = to_be16(SNIFF_WINDOW);
	size = sizeof(answer.tcp) + syn_ack_options(&answer, mss, &options);
	answer.tcp.doff = size / 4;
	sum = ip_answer(p, &ip, IPPROTO_TCP, size);
	answer.tcp.check = sum_close(sum_of(&answer, sizeof(answer), sum));
	return answer_store(ctx, p, 0, &ip, &answer, size);
}

/* ---- what follows */

static __noinline bool cookie_right(const struct packet *p, __u32 client_isn, __u32 isn)
{
	__u32 zero = 0;
	const struct xdplb_cookie_secrets *secrets = bpf_map_lookup_elem(&cookie_secrets, &zero);

	return secrets && xdplb_cookie_check(secrets, &p->pkt.tuple, client_isn, isn,
					     bpf_ktime_get_coarse_ns());
}

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

/* A connection begins: its row says from now on what its numbers are. @anew: there is one before. */
static __always_inline enum xdplb_outcome sniff_begin(struct packet *p, struct xdplb_meta *meta,
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
	meta->kind = XDPLB_META_OPENING;
	meta->worker = queue;
	meta->conn = 0;
	return XDPLB_CONTINUE;
}

/*
 * A segment, not a SYN, of a client: whose is it? XDPLB_CONTINUE: the worker's
 * that @meta says. @has_flow: p->slot is one, pending or with its SYN seen.
 */
static __noinline enum xdplb_outcome client_segment(struct packet *p, struct xdplb_meta *meta,
						    __u32 queue, bool has_flow)
{
	const struct tcphdr *tcp = xdplb_pkt_tcp(&p->pkt);
	struct xdplb_sniff_key key;
	struct xdplb_sniff *row;
	__u32 seq, ack;

	if (!tcp || !meta)
		return XDPLB_DROP_BUSY;
	seq = from_be32(tcp->seq);
	ack = from_be32(tcp->ack_seq);
	sniff_key(&key, &p->pkt.tuple);
	row = bpf_map_lookup_elem(&sniffs, &key);
	if (row && !worker_is_there(row->worker)) {
		bpf_map_delete_elem(&sniffs, &key); /* its connection died with it */
		row = NULL;
	}
	if (row && (p->pkt.tcp_flags & XDPLB_TCP_RST || sniff_fits(row, seq, ack))) {
		if (!has_flow)
			meta->worker = row->worker;
		meta_numbers(meta, row->client_isn, row->isn);
		return XDPLB_CONTINUE;
	}
	if (p->pkt.tcp_flags & XDPLB_TCP_RST)
		return XDPLB_DROP_NO_FLOW;
	if ((p->pkt.tcp_flags & (XDPLB_TCP_SYN | XDPLB_TCP_ACK)) != XDPLB_TCP_ACK ||
	    !cookie_right(p, seq - 1, ack - 1))
		return XDPLB_RESET_BAD_COOKIE;
	meta_numbers(meta, seq - 1, ack - 1);
	return sniff_begin(p, meta, &key, queue, row || has_flow);
}

/* ---- the program */

static __always_inline enum xdplb_outcome sniff_tcp(struct xdp_md *ctx, struct packet *p,
						    __u32 queue)
{
	struct xdplb_meta meta = { .kind = XDPLB_META_CLIENT,
				   .service = p->service,
				   .ifindex = p->ifindex };
	enum xdplb_outcome out;

	if (tcp_is_syn(p))
		return cookie_write(ctx, p) ? XDPLB_ANSWER_COOKIE : XDPLB_DROP_ANSWER_FAILED;
	out = client_segment(p, &meta, queue, false);
	return out ? out : worker_give(ctx, &meta, queue);
}

static __always_inline enum xdplb_outcome sniff_udp(struct xdp_md *ctx, struct packet *p,
						    __u32 queue)
{
	struct xdplb_meta meta = { .kind = XDPLB_META_DATAGRAM,
				   .service = p->service,
				   .worker = queue,
				   .ifindex = p->ifindex };

	return worker_give(ctx, &meta, queue);
}

/* A packet without a flow. */
static __always_inline enum xdplb_outcome sniff_open(struct xdp_md *ctx, struct packet *p)
{
	const struct xdplb_service *service = service_lookup(&p->pkt.tuple);
	__u32 queue;

	if (!service)
		return XDPLB_PASS_NOT_OURS;
	p->service = service->id;
	if (source_is_martian(&p->pkt.tuple))
		return XDPLB_DROP_MARTIAN;
	if (xdplb_pkt_ttl(&p->pkt) <= 1)
		return XDPLB_DROP_TTL_EXPIRED;
	queue = queue_row(ctx);
	if (queue == NO_ROW)
		return XDPLB_DROP_NO_WORKER;
	if (p->pkt.tuple.proto == IPPROTO_TCP)
		return sniff_tcp(ctx, p, queue);
	return sniff_udp(ctx, p, queue);
}

static __always_inline enum xdplb_outcome sniff_process(struct xdp_md *ctx)
{
	const struct xdplb_settings *set = settings_get();
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
	out = sniff_open(ctx, &p);
	return answer(ctx, &p, out);
}

#endif /* XDPLB_BPF_SNIFF_H */
