/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_ICMP_H
#define XDPLB_ICMP_H

/*
 * ICMP and ICMPv6 errors: what packet one quotes, and the error as the other
 * side of a flow must see it. Pure, like pkt.h; checksums by difference, like
 * rewrite.h, of every word that changes: so a sum that was wrong stays wrong.
 * RFC 5508, 4 (REQ-3 to REQ-5) says what address translation owes to errors.
 */
#include "xdplb/splice.h"

enum { /* RFC 792, without redirects and source quench (RFC 6633); RFC 4443, 2.1 */
	XDPLB_ICMP4_UNREACHABLE = 3,
	XDPLB_ICMP4_TIME_EXCEEDED = 11,
	XDPLB_ICMP4_PARAMETER = 12,
	XDPLB_ICMP6_UNREACHABLE = 1,
	XDPLB_ICMP6_PARAMETER = 4
};

#define XDPLB_QUOTE_MIN 8 /* bytes of layer 4, RFC 792: ports, and what TCP's sequence number is */

enum { /* where things stand in a quoted TCP or UDP header */
	XDPLB_QUOTED_SEQ = 4,
	XDPLB_QUOTED_ACK = 8,
	XDPLB_QUOTED_FLAGS = 13,
	XDPLB_QUOTED_TCP_CHECK = 16,
	XDPLB_QUOTED_UDP_CHECK = 6
};

struct xdplb_icmp_header { /* the same in both families */
	__u8 type, code;
	__sum16 check;
	__be32 rest; /* by type: of a "too big" the MTU, which says the same on both sides */
};

/* The packet that an error is about, as far as it is quoted. */
struct xdplb_quote {
	void *l3, *l4;
	__u32 len; /* bytes of layer 4, as the headers have it; no less than XDPLB_QUOTE_MIN */
	__u32 seq; /* TCP */
};

static __always_inline _Bool xdplb_icmp_is_error(__u8 type, _Bool v6)
{
	if (v6)
		return type >= XDPLB_ICMP6_UNREACHABLE && type <= XDPLB_ICMP6_PARAMETER;
	return type == XDPLB_ICMP4_UNREACHABLE || type == XDPLB_ICMP4_TIME_EXCEEDED ||
	       type == XDPLB_ICMP4_PARAMETER;
}

/* The IP header at @pos: XDPLB_CONTINUE if ICMP of its family follows. */
static __always_inline enum xdplb_outcome xdplb_icmp_outer(void **pos, struct xdplb_pkt *pkt)
{
	_Bool v6 = pkt->eth->h_proto == to_be16(ETH_P_IPV6);
	const struct iphdr *ip4 = *pos;
	const struct ipv6hdr *ip6 = *pos;
	enum xdplb_outcome out = v6 ? xdplb_ip6_parse(pos, pkt->end, pkt) :
				      xdplb_ip4_parse(pos, pkt->end, pkt);

	if (out != XDPLB_PASS_NOT_L4)
		return out;
	pkt->tuple.v6 = v6;
	if (v6)
		return (void *)(ip6 + 1) <= pkt->end && ip6->nexthdr == IPPROTO_ICMPV6 ?
			       XDPLB_CONTINUE :
			       XDPLB_PASS_NOT_L4;
	if ((void *)(ip4 + 1) > pkt->end || ip4->protocol != IPPROTO_ICMP)
		return XDPLB_PASS_NOT_L4;
	return ip4->frag_off & to_be16(XDPLB_IP_FRAGMENT_MASK) ? XDPLB_PASS_FRAGMENT :
								 XDPLB_CONTINUE;
}

/* RFC 792 and RFC 4443, 2.2: an error goes to whom the quoted packet came from. */
static __always_inline _Bool xdplb_icmp_is_to(const struct xdplb_pkt *pkt,
					      const struct xdplb_tuple *quoted)
{
	const struct iphdr *ip4 = xdplb_pkt_ip4(pkt);
	const struct ipv6hdr *ip6 = xdplb_pkt_ip6(pkt);

	if (ip4)
		return ip4->daddr == quoted->src;
	if (!ip6 || ip6->daddr.in6_u.u6_addr32[3] != quoted->src)
		return 0;
	for (int i = 0; i < 3; i++)
		if (ip6->daddr.in6_u.u6_addr32[i] != quoted->src_hi[i])
			return 0;
	return 1;
}

static __always_inline void xdplb_tuple_reversed(const struct xdplb_tuple *from,
						 struct xdplb_tuple *to)
{
	to->src = from->dst;
	to->dst = from->src;
	to->sport = from->dport;
	to->dport = from->sport;
	to->proto = from->proto;
	to->v6 = from->v6;
	to->pad = 0;
	for (int i = 0; i < 3; i++) {
		to->src_hi[i] = from->dst_hi[i];
		to->dst_hi[i] = from->src_hi[i];
	}
}

/* The quoted layer 4 at @pos, whose IP header is @inner: lengths must fit each other and the frame. */
static __always_inline enum xdplb_outcome xdplb_quote_parse(void **pos, const struct xdplb_pkt *pkt,
							    struct xdplb_pkt *inner,
							    struct xdplb_quote *quote)
{
	__u32 before = pkt->l4_offset + (__u32)sizeof(struct xdplb_icmp_header) + inner->l4_offset;
	__u32 whole = inner->ip_len - inner->l4_offset;
	const struct udphdr *ports = xdplb_pull(pos, pkt->end, XDPLB_QUOTE_MIN);

	if (!ports || pkt->ip_len < before + XDPLB_QUOTE_MIN)
		return XDPLB_PASS_TRUNCATED;
	if (whole < XDPLB_QUOTE_MIN)
		return XDPLB_PASS_MALFORMED;
	quote->l3 = inner->l3;
	quote->l4 = (void *)ports;
	quote->len = pkt->ip_len - before;
	if (quote->len > whole) /* padding before an extension, RFC 4884, 4 */
		quote->len = whole;
	if (quote->len >= XDPLB_QUOTED_TCP_CHECK + sizeof(__sum16) &&
	    (void *)ports + XDPLB_QUOTED_TCP_CHECK + sizeof(__sum16) > pkt->end)
		return XDPLB_PASS_TRUNCATED;
	inner->tuple.sport = ports->source;
	inner->tuple.dport = ports->dest;
	quote->seq = from_be32(*(const __be32 *)((const void *)ports + XDPLB_QUOTED_SEQ));
	return XDPLB_CONTINUE;
}

/*
 * Fills @pkt, whose l4 is the ICMP header and whose tuple is that of an answer
 * to the quoted packet: by it the flow is found. XDPLB_CONTINUE when all of it
 * is valid, else why not.
 */
static __always_inline enum xdplb_outcome
xdplb_icmp_parse(void *data, void *end, struct xdplb_pkt *pkt, struct xdplb_quote *quote)
{
	struct xdplb_icmp_header *icmp;
	struct xdplb_pkt inner;
	enum xdplb_outcome out;
	void *pos = data;

	pkt->end = end;
	pkt->eth = xdplb_pull(&pos, end, sizeof(*pkt->eth));
	if (!pkt->eth)
		return XDPLB_PASS_TRUNCATED;
	if (pkt->eth->h_proto != to_be16(ETH_P_IP) && pkt->eth->h_proto != to_be16(ETH_P_IPV6))
		return XDPLB_PASS_NOT_IP;
	out = xdplb_icmp_outer(&pos, pkt);
	if (out)
		return out;
	icmp = xdplb_pull(&pos, end, sizeof(*icmp));
	if (!icmp)
		return XDPLB_PASS_TRUNCATED;
	if (!xdplb_icmp_is_error(icmp->type, pkt->tuple.v6))
		return XDPLB_PASS_NOT_L4;
	if (pkt->eth->h_dest[0] & 1)
		return XDPLB_PASS_MULTICAST;
	pkt->l4 = icmp;
	out = pkt->tuple.v6 ? xdplb_ip6_parse(&pos, end, &inner) :
			      xdplb_ip4_parse(&pos, end, &inner);
	if (!out)
		out = xdplb_quote_parse(&pos, pkt, &inner, quote);
	if (out)
		return out;
	if (!xdplb_icmp_is_to(pkt, &inner.tuple))
		return XDPLB_PASS_NOT_OURS;
	xdplb_tuple_reversed(&inner.tuple, &pkt->tuple);
	pkt->tcp_flags = 0;
	pkt->has_data = 0;
	pkt->seq_end = 0;
	return XDPLB_CONTINUE;
}

/* ---- writing: each returns what it did to sums over what it wrote in */

static __always_inline __u64 xdplb_word_put(__be32 *at, __be32 to)
{
	__be32 from = *at;

	*at = to;
	return xdplb_word_diff(from, to);
}

static __always_inline __u64 xdplb_port_put(__be16 *at, __be16 to)
{
	__be16 from = *at;

	*at = to;
	return (__u64)(__u16) ~(XDPLB_FORCE __u16)from + (XDPLB_FORCE __u16)to;
}

/* The checksum at @at, after what it covers changed by @diff. */
static __always_inline __u64 xdplb_check_put(__sum16 *at, __u64 diff, _Bool udp)
{
	__sum16 from = *at, to = xdplb_csum_apply(from, xdplb_csum_fold(diff));

	if (udp && !from)
		return 0; /* the sender made none, RFC 768 */
	if (udp && !to)
		to = (XDPLB_FORCE __sum16)0xffff;
	*at = to;
	return (__u64)(__u16) ~(XDPLB_FORCE __u16)from + (XDPLB_FORCE __u16)to;
}

/* An address into the IP header at @l3, as its source or destination; checksums are the caller's. */
static __always_inline __u64 xdplb_addr_put(void *l3, const struct xdplb_pkt *pkt, _Bool source,
					    __be32 last, const __be32 hi[3])
{
	struct ipv6hdr *ip6;
	struct iphdr *ip4;
	__be32 *words;
	__u64 diff;

	if (!pkt->tuple.v6) {
		ip4 = xdplb_pull(&l3, pkt->end, sizeof(*ip4));
		return ip4 ? xdplb_word_put(source ? &ip4->saddr : &ip4->daddr, last) : 0;
	}
	ip6 = xdplb_pull(&l3, pkt->end, sizeof(*ip6));
	if (!ip6)
		return 0;
	words = source ? ip6->saddr.in6_u.u6_addr32 : ip6->daddr.in6_u.u6_addr32;
	diff = xdplb_word_put(&words[3], last);
	for (int i = 0; i < 3; i++)
		diff += xdplb_word_put(&words[i], hi[i]);
	return diff;
}

/* @size quoted bytes of layer 4 at @offset; NULL: not so many are quoted. */
static __always_inline void *xdplb_quoted(const struct xdplb_quote *quote, void *end, __u32 offset,
					  __u32 size)
{
	void *pos = quote->l4 + offset;

	return quote->len < offset + size ? NULL : xdplb_pull(&pos, end, size);
}

/* What is added to a spliced flow's quoted numbers, so that they are those of who sent them. */
struct xdplb_quote_shift {
	__u32 seq, ack;
};

/*
 * Ports, numbers and checksum. The numbers in a quoted SACK option, and a
 * quoted window that had been rescaled, stay as they are: nobody reads them.
 */
static __always_inline __u64 xdplb_quote_layer4(const struct xdplb_quote *quote,
						const struct xdplb_pkt *pkt,
						const struct xdplb_half *half, __u64 addrs,
						struct xdplb_quote_shift shift)
{
	struct udphdr *ports = xdplb_quoted(quote, pkt->end, 0, XDPLB_QUOTE_MIN);
	const __u8 *flags;
	__sum16 *check;
	__be32 *number;
	__u64 diff;

	if (!ports)
		return 0;
	diff = xdplb_port_put(&ports->source, half->new_dport) +
	       xdplb_port_put(&ports->dest, half->new_sport);
	if (pkt->tuple.proto == IPPROTO_UDP)
		return diff + xdplb_check_put(&ports->check, addrs + diff, 1);
	number = xdplb_quoted(quote, pkt->end, XDPLB_QUOTED_SEQ, sizeof(*number));
	if (number)
		diff += xdplb_number_add(number, shift.seq);
	flags = xdplb_quoted(quote, pkt->end, XDPLB_QUOTED_FLAGS, sizeof(*flags));
	number = xdplb_quoted(quote, pkt->end, XDPLB_QUOTED_ACK, sizeof(*number));
	if (flags && number && *flags & XDPLB_TCP_ACK)
		diff += xdplb_number_add(number, shift.ack);
	check = xdplb_quoted(quote, pkt->end, XDPLB_QUOTED_TCP_CHECK, sizeof(*check));
	return check ? diff + xdplb_check_put(check, addrs + diff, 0) : diff;
}

/* The quoted packet as its sender sent it: from where @half's packets go, to whom they seem to be from. */
static __always_inline __u64 xdplb_quote_rewrite(const struct xdplb_quote *quote,
						 const struct xdplb_pkt *pkt,
						 const struct xdplb_half *half,
						 struct xdplb_quote_shift shift)
{
	__u64 addrs = xdplb_addr_put(quote->l3, pkt, 1, half->new_dst, half->new_dst_hi) +
		      xdplb_addr_put(quote->l3, pkt, 0, half->new_src, half->new_src_hi);
	void *pos = quote->l3;
	struct iphdr *ip4 = pkt->tuple.v6 ? NULL : xdplb_pull(&pos, pkt->end, sizeof(*ip4));
	__u64 diff = addrs + xdplb_quote_layer4(quote, pkt, half, addrs, shift);

	return ip4 ? diff + xdplb_check_put(&ip4->check, addrs, 0) : diff;
}

/* Does the flow show those behind @half's packets under another address? */
static __always_inline _Bool xdplb_half_hides(const struct xdplb_half *half)
{
	__be32 differs = half->src ^ half->new_src;

	for (int i = 0; i < 3; i++)
		differs |= half->src_hi[i] ^ half->new_src_hi[i];
	return differs != 0;
}

/*
 * The error as it goes on, but for its MAC addresses, to where the packets of
 * @half go. Who sent it, host or router, is hidden behind the address that
 * hides the flow's end (RFC 5508, REQ-5 d, and as Linux does it): a router's
 * own need not mean anything on the other side. With `source: client` nothing
 * is hidden and the sender's stays (REQ-4).
 */
static __always_inline void xdplb_icmp_rewrite(struct xdplb_pkt *pkt,
					       const struct xdplb_quote *quote,
					       const struct xdplb_half *half,
					       struct xdplb_quote_shift shift)
{
	const __u64 hop = (XDPLB_FORCE __u16)to_be16(0xfeff); /* as in xdplb_half_diffs() */
	struct xdplb_icmp_header *icmp;
	struct ipv6hdr *ip6 = xdplb_pkt_ip6(pkt);
	struct iphdr *ip4 = xdplb_pkt_ip4(pkt);
	void *pos = pkt->l4;
	__u64 diff = xdplb_quote_rewrite(quote, pkt, half, shift), addrs;

	addrs = xdplb_addr_put(pkt->l3, pkt, 0, half->new_dst, half->new_dst_hi);
	if (xdplb_half_hides(half))
		addrs += xdplb_addr_put(pkt->l3, pkt, 1, half->new_src, half->new_src_hi);
	if (ip4) {
		ip4->ttl--;
		xdplb_check_put(&ip4->check, addrs + hop, 0);
	}
	if (ip6) {
		ip6->hop_limit--;
		diff += addrs; /* RFC 4443, 2.3: its sum covers a pseudo header */
	}
	icmp = xdplb_pull(&pos, pkt->end, sizeof(*icmp));
	if (icmp)
		xdplb_check_put(&icmp->check, diff, 0);
}

#endif /* XDPLB_ICMP_H */
