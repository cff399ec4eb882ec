/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_REWRITE_H
#define XDPLB_REWRITE_H

/*
 * Rewriting: addresses, ports and one hop less, checksums by the difference
 * that was computed once when the flow was made (RFC 1624, eqn. 3:
 * HC' = ~(~HC + ~m + m')). Pure, like pkt.h. Sums are of 16-bit words as they
 * lie in memory: one's complement sums don't mind the byte order (RFC 1071, 2B).
 */
#include "xdplb/pkt.h"

static __always_inline __u16 xdplb_csum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

/* The checksum @check after words changed by @diff. */
static __always_inline __sum16 xdplb_csum_apply(__sum16 check, __u16 diff)
{
	__u32 sum = (__u16) ~(XDPLB_FORCE __u16)check + (__u32)diff;

	sum = (sum & 0xffff) + (sum >> 16);
	return (XDPLB_FORCE __sum16)(__u16)~sum;
}

static __always_inline __u64 xdplb_word_diff(__be32 from, __be32 to)
{
	return (__u64)(__u32) ~(XDPLB_FORCE __u32)from + (XDPLB_FORCE __u32)to;
}

static __always_inline __u64 xdplb_addr_diff(__be32 from, const __be32 from_hi[3], __be32 to,
					     const __be32 to_hi[3])
{
	__u64 sum = xdplb_word_diff(from, to);

	for (int i = 0; i < 3; i++)
		sum += xdplb_word_diff(from_hi[i], to_hi[i]);
	return sum;
}

/* Sets l3_diff and l4_diff from the addresses and ports that stand in @half. */
static __always_inline void xdplb_half_diffs(struct xdplb_half *half)
{
	/* ttl is the high byte of its word: one less is + ~0x0100 */
	const __u64 hop = (XDPLB_FORCE __u16)to_be16(0xfeff);
	__u64 addrs = xdplb_addr_diff(half->src, half->src_hi, half->new_src, half->new_src_hi) +
		      xdplb_addr_diff(half->dst, half->dst_hi, half->new_dst, half->new_dst_hi);
	__u64 ports = (__u64)(__u16) ~(XDPLB_FORCE __u16)half->sport +
		      (XDPLB_FORCE __u16)half->new_sport + (__u16) ~(XDPLB_FORCE __u16)half->dport +
		      (XDPLB_FORCE __u16)half->new_dport;

	half->l3_diff = xdplb_csum_fold(addrs + hop);
	half->l4_diff = xdplb_csum_fold(addrs + ports);
}

static __always_inline void xdplb_ip4_rewrite(struct iphdr *ip, const struct xdplb_half *half)
{
	ip->check = xdplb_csum_apply(ip->check, half->l3_diff);
	ip->ttl--;
	ip->saddr = half->new_src;
	ip->daddr = half->new_dst;
}

static __always_inline void xdplb_ip6_rewrite(struct ipv6hdr *ip, const struct xdplb_half *half)
{
	ip->hop_limit--;
	for (int i = 0; i < 3; i++) {
		ip->saddr.in6_u.u6_addr32[i] = half->new_src_hi[i];
		ip->daddr.in6_u.u6_addr32[i] = half->new_dst_hi[i];
	}
	ip->saddr.in6_u.u6_addr32[3] = half->new_src;
	ip->daddr.in6_u.u6_addr32[3] = half->new_dst;
}

/* The packet as @half says it leaves, but for its MAC addresses. */
static __always_inline void xdplb_pkt_rewrite(struct xdplb_pkt *pkt, const struct xdplb_half *half)
{
	struct iphdr *ip4 = xdplb_pkt_ip4(pkt);
	struct ipv6hdr *ip6 = xdplb_pkt_ip6(pkt);
	struct tcphdr *tcp = xdplb_pkt_tcp(pkt);
	struct udphdr *udp = xdplb_pkt_udp(pkt);

	if (ip4)
		xdplb_ip4_rewrite(ip4, half);
	if (ip6)
		xdplb_ip6_rewrite(ip6, half);
	if (tcp) {
		tcp->check = xdplb_csum_apply(tcp->check, half->l4_diff);
		tcp->source = half->new_sport;
		tcp->dest = half->new_dport;
	}
	if (udp) {
		if (udp->check) { /* 0: the sender made none (RFC 768) */
			__sum16 check = xdplb_csum_apply(udp->check, half->l4_diff);

			udp->check = check ? check : (XDPLB_FORCE __sum16)0xffff;
		}
		udp->source = half->new_sport;
		udp->dest = half->new_dport;
	}
}

static __always_inline __u8 xdplb_pkt_ttl(const struct xdplb_pkt *pkt)
{
	const struct iphdr *ip4 = xdplb_pkt_ip4(pkt);
	const struct ipv6hdr *ip6 = xdplb_pkt_ip6(pkt);

	return ip4 ? ip4->ttl : ip6 ? ip6->hop_limit : 0;
}

#endif /* XDPLB_REWRITE_H */
