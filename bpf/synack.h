/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_SYNACK_H
#define XDPLB_BPF_SYNACK_H

/*
 * The answer to a SYN of a sniffed service: a SYN-ACK whose number is a cookie
 * (cookie.h), from nothing but the SYN. It needs no table, and nothing is
 * promised that the service's backends are not known to keep.
 */
#include "handshake.h"
#include "xdplb/cookie.h"

#define OFFER_MSS_V4 1360
#define OFFER_MSS_V6 1340
#define OFFER_WSCALE 7

enum {
	TCP_OPT_END = 0, /* RFC 9293, 3.2 */
	TCP_OPT_NOP = 1,
	TCP_OPT_MSS = 2,
	TCP_OPT_WSCALE = 3, /* RFC 7323, 2.2 */
	TCP_OPT_SACK_PERMITTED = 4, /* RFC 2018, 2 */
	TCP_OPTIONS_MAX = 40
};

__noinline bool cookie_right(const struct xdplb_tuple *tuple, __u32 client_isn, __u32 isn)
{
	__u32 zero = 0;
	const struct xdplb_cookie_secrets *secrets = bpf_map_lookup_elem(&cookie_secrets, &zero);

	return secrets && tuple &&
	       xdplb_cookie_check(secrets, tuple, client_isn, isn, bpf_ktime_get_coarse_ns());
}

__noinline bool cookie_likely(const struct xdplb_tuple *tuple, __u32 isn)
{
	__u32 zero = 0;
	const struct xdplb_cookie_secrets *secrets = bpf_map_lookup_elem(&cookie_secrets, &zero);

	return secrets && tuple &&
	       xdplb_cookie_likely(secrets, tuple, isn, bpf_ktime_get_coarse_ns());
}

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

/* What the @size bytes of options at @at of a SYN say; where it says nothing, what RFC 9293, 3.7.1 takes for said. */
__noinline int options_read(struct xdp_md *ctx, __u32 at, __u32 size, bool v6,
			    struct xdplb_cookie_options *said)
{
	struct option_walk walk = {
		.size = size,
		.said = { .mss = v6 ? 1220 : 536, .wscale = XDPLB_NO_WSCALE },
	};

	if (!said)
		return 0;
	if (size && size <= TCP_OPTIONS_MAX && !bpf_xdp_load_bytes(ctx, at, walk.bytes, size))
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

__noinline __u32 cookie_make(const struct xdplb_tuple *tuple, __u32 client_isn,
			     struct xdplb_cookie_options *options)
{
	__u32 zero = 0;
	const struct xdplb_cookie_secrets *secrets = bpf_map_lookup_elem(&cookie_secrets, &zero);

	if (!secrets || !tuple || !options)
		return 0;
	return xdplb_cookie_make(secrets, tuple, client_isn, bpf_ktime_get_coarse_ns(), options);
}

/* RFC 9293, 3.5 and RFC 4987, 3.6: the SYN-ACK, from nothing but the SYN. Data of a SYN is left to be repeated. */
static __noinline bool cookie_write(struct xdp_md *ctx, const struct packet *p)
{
	const struct tcphdr *from = xdplb_pkt_tcp(&p->pkt);
	struct syn_ack answer = { .tcp = { .syn = 1, .ack = 1 } };
	struct xdplb_cookie_options options;
	__u32 client_isn, isn, mss, size;
	union ip_header ip;
	__u64 sum;

	if (!from)
		return false;
	client_isn = from_be32(from->seq);
	answer.tcp.source = from->dest;
	answer.tcp.dest = from->source;
	options_read(ctx, ETH_HLEN + p->pkt.l4_offset + (__u32)sizeof(*from),
		     from->doff * 4U - (__u32)sizeof(*from), p->pkt.tuple.v6, &options);
	mss = offer_make(p, &options);
	isn = cookie_make(&p->pkt.tuple, client_isn, &options);
	handshake_note(p, client_isn, isn, mss);
	answer.tcp.seq = to_be32(isn);
	answer.tcp.ack_seq = to_be32(client_isn + 1);
	answer.tcp.window = to_be16(XDPLB_SNIFF_WINDOW);
	size = sizeof(answer.tcp) + syn_ack_options(&answer, mss, &options);
	answer.tcp.doff = size / 4;
	sum = ip_answer(p, &ip, IPPROTO_TCP, size);
	answer.tcp.check = sum_close(sum_of(&answer, sizeof(answer), sum));
	return answer_store(ctx, p, 0, &ip, &answer, size);
}

#endif /* XDPLB_BPF_SYNACK_H */
