/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_ANSWER_H
#define XDPLB_BPF_ANSWER_H

/*
 * Packets that are answered instead of forwarded: TCP resets (RFC 9293,
 * 3.10.7.1) and ICMP port unreachable (RFC 792; RFC 4443, 3.1), written into
 * the frame of the packet that is answered and sent back where it came from.
 */
#include "flow.h"

#define ANSWERS_PER_TICK 5 /* about 5000 a second and CPU */
#define ANSWERS_BURST 1000
#define ANSWER_TTL 64
#define QUOTE_MAX 68 /* the longest IPv4 header and 8 bytes; IPv6: 48 */

/* Takes a token of this CPU's bucket @kind, if there is one; @burst: of them it holds. */
static __always_inline bool token_take(enum xdplb_allowed kind, __u32 now, __u32 per_tick,
				       __u32 burst)
{
	__u32 row = kind, ticks;
	struct xdplb_allowance *left = bpf_map_lookup_elem(&allowance, &row);

	if (!left)
		return false;
	ticks = now - left->refill_tick;
	if (ticks) {
		if (ticks > burst / per_tick)
			ticks = burst / per_tick;
		left->tokens += ticks * per_tick;
		if (left->tokens > burst)
			left->tokens = burst;
		left->refill_tick = now;
	}
	if (!left->tokens)
		return false;
	left->tokens--;
	return true;
}

static __always_inline bool answer_allowed(__u32 now)
{
	return token_take(XDPLB_ALLOWED_ANSWERS, now, ANSWERS_PER_TICK, ANSWERS_BURST);
}

enum { /* RFC 792 and RFC 4443: "port unreachable" */
	ICMP4_UNREACHABLE = 3,
	ICMP4_CODE_PORT = 3,
	ICMP6_UNREACHABLE = 1,
	ICMP6_CODE_PORT = 4
};

/* One's complement sum of @size bytes on the stack (a multiple of 4). */
static __always_inline __u64 sum_of(void *bytes, __u32 size, __u64 sum)
{
	return (__u32)bpf_csum_diff(NULL, 0, bytes, size, 0) + sum;
}

static __always_inline __sum16 sum_close(__u64 sum)
{
	return (XDPLB_FORCE __sum16)(__u16)~xdplb_csum_fold(sum);
}

static __always_inline __u64 ip4_answer(const struct packet *p, struct iphdr *ip, __u8 proto,
					__u16 len)
{
	*ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tot_len = to_be16(sizeof(*ip) + len),
		.frag_off = to_be16(0x4000),
		.ttl = ANSWER_TTL,
		.protocol = proto,
		.saddr = p->pkt.tuple.dst,
		.daddr = p->pkt.tuple.src,
	};
	ip->check = sum_close(sum_of(ip, sizeof(*ip), 0));
	return (XDPLB_FORCE __u64)ip->saddr + (XDPLB_FORCE __u64)ip->daddr +
	       (XDPLB_FORCE __u16)to_be16(proto) + (XDPLB_FORCE __u16)to_be16(len);
}

static __always_inline __u64 ip6_answer(const struct packet *p, struct ipv6hdr *ip, __u8 proto,
					__u16 len)
{
	*ip = (struct ipv6hdr){
		.version = 6,
		.payload_len = to_be16(len),
		.nexthdr = proto,
		.hop_limit = ANSWER_TTL,
	};
	for (int i = 0; i < 3; i++) {
		ip->saddr.in6_u.u6_addr32[i] = p->pkt.tuple.dst_hi[i];
		ip->daddr.in6_u.u6_addr32[i] = p->pkt.tuple.src_hi[i];
	}
	ip->saddr.in6_u.u6_addr32[3] = p->pkt.tuple.dst;
	ip->daddr.in6_u.u6_addr32[3] = p->pkt.tuple.src;
	return sum_of(&ip->saddr, sizeof(ip->saddr) + sizeof(ip->daddr),
		      (XDPLB_FORCE __u16)to_be16(proto) + (XDPLB_FORCE __u16)to_be16(len));
}

static __always_inline bool frame_resize(struct xdp_md *ctx, int head, __u32 size)
{
	if (head && bpf_xdp_adjust_head(ctx, head))
		return false;
	return !bpf_xdp_adjust_tail(ctx, (int)size - (int)bpf_xdp_get_buff_len(ctx));
}

/* A reset that the sender of @p's segment must believe. */
static __always_inline bool tcp_reset_fill(const struct packet *p, struct tcphdr *tcp)
{
	const struct tcphdr *from = xdplb_pkt_tcp(&p->pkt);

	if (!from)
		return false;
	*tcp = (struct tcphdr){
		.source = from->dest,
		.dest = from->source,
		.doff = sizeof(*tcp) / 4,
		.rst = 1,
	};
	if (from->ack) {
		tcp->seq = from->ack_seq;
	} else {
		tcp->ack = 1;
		tcp->ack_seq = to_be32(p->pkt.seq_end);
	}
	return true;
}

union ip_header {
	struct iphdr v4;
	struct ipv6hdr v6;
};

/* IP header of the answer to @p with @len bytes of @proto behind it; sum of its pseudo header. */
static __always_inline __u64 ip_answer(const struct packet *p, union ip_header *ip, __u8 proto,
				       __u32 len)
{
	return p->pkt.tuple.v6 ? ip6_answer(p, &ip->v6, proto, (__u16)len) :
				 ip4_answer(p, &ip->v4, proto, (__u16)len);
}

/* Replaces the frame, grown by @head bytes in front, by the answer. */
static __always_inline bool answer_store(struct xdp_md *ctx, const struct packet *p, __u32 head,
					 union ip_header *ip, void *l4, __u32 l4_size)
{
	__u32 ip_size = p->pkt.tuple.v6 ? sizeof(ip->v6) : sizeof(ip->v4);
	struct ethhdr eth = { .h_proto = p->pkt.eth->h_proto };

	__builtin_memcpy(eth.h_dest, p->pkt.eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth.h_source, p->pkt.eth->h_dest, ETH_ALEN);
	return frame_resize(ctx, -(int)head, ETH_HLEN + ip_size + l4_size) &&
	       !bpf_xdp_store_bytes(ctx, 0, &eth, sizeof(eth)) &&
	       !bpf_xdp_store_bytes(ctx, ETH_HLEN, ip, ip_size) &&
	       !bpf_xdp_store_bytes(ctx, ETH_HLEN + ip_size, l4, l4_size);
}

static __noinline bool reset_write(struct xdp_md *ctx, const struct packet *p)
{
	union ip_header ip;
	struct tcphdr tcp;
	__u64 sum;

	if (!tcp_reset_fill(p, &tcp))
		return false;
	sum = ip_answer(p, &ip, IPPROTO_TCP, sizeof(tcp));
	tcp.check = sum_close(sum_of(&tcp, sizeof(tcp), sum));
	return answer_store(ctx, p, 0, &ip, &tcp, sizeof(tcp));
}

/* Both ICMP headers are type, code, checksum and four bytes of zero. */
struct icmp_unreachable {
	__u8 type, code;
	__sum16 check;
	__u32 unused;
	__u8 quote[QUOTE_MAX];
};

static __noinline bool unreachable_write(struct xdp_md *ctx, const struct packet *p)
{
	bool v6 = p->pkt.tuple.v6;
	struct icmp_unreachable icmp = {
		.type = v6 ? ICMP6_UNREACHABLE : ICMP4_UNREACHABLE,
		.code = v6 ? ICMP6_CODE_PORT : ICMP4_CODE_PORT,
	};
	__u32 quoted = p->pkt.l4_offset + 8U;
	__u32 head = (v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + 8;
	__u32 len = quoted + (__u32) __builtin_offsetof(struct icmp_unreachable, quote);
	union ip_header ip;
	__u64 sum;

	if (quoted > QUOTE_MAX || quoted < 28 ||
	    bpf_xdp_load_bytes(ctx, ETH_HLEN, icmp.quote, quoted))
		return false;
	sum = ip_answer(p, &ip, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, len);
	if (!v6)
		sum = 0; /* RFC 792: no pseudo header */
	icmp.check = sum_close(sum_of(&icmp, sizeof(icmp), sum));
	return answer_store(ctx, p, head, &ip, &icmp, len);
}

/* Carries out an outcome that answers; any other stands as it is. */
static __always_inline enum xdplb_outcome answer(struct xdp_md *ctx, const struct packet *p,
						 enum xdplb_outcome out)
{
	bool written;

	switch (out) {
	case XDPLB_RESET_NO_FLOW:
	case XDPLB_RESET_NO_BACKEND:
	case XDPLB_RESET_TABLE_FULL:
	case XDPLB_RESET_BAD_COOKIE:
	case XDPLB_RESET_SNIFFS_FULL:
		if (!answer_allowed(p->now))
			return XDPLB_DROP_ANSWER_LIMITED;
		written = reset_write(ctx, p);
		break;
	case XDPLB_UNREACHABLE_NO_BACKEND:
		if (!answer_allowed(p->now))
			return XDPLB_DROP_ANSWER_LIMITED;
		written = unreachable_write(ctx, p);
		break;
	default:
		return out;
	}
	return written ? out : XDPLB_DROP_ANSWER_FAILED;
}

#endif /* XDPLB_BPF_ANSWER_H */
