/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_PKT_H
#define XDPLB_PKT_H

/*
 * Packet parsing as pure functions over [data, end). Compiled into the XDP
 * program and into unit tests and fuzzers (there under ASan). No maps, no
 * helpers, no clock: what they need is passed in.
 */
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "xdplb/addr.h"
#include "xdplb/flow_hash.h"
#include "xdplb/outcome.h"

#define XDPLB_IP_FRAGMENT_MASK 0x3fff /* MF flag and fragment offset */

enum { /* xdplb_pkt.tcp_flags: byte 13 of the TCP header, RFC 9293, 3.1 */
	XDPLB_TCP_FIN = 0x01,
	XDPLB_TCP_SYN = 0x02,
	XDPLB_TCP_RST = 0x04,
	XDPLB_TCP_ACK = 0x10
};

struct xdplb_pkt {
	struct ethhdr *eth;
	void *l3; /* struct iphdr or struct ipv6hdr, by tuple.v6 */
	void *l4; /* struct tcphdr or struct udphdr, by tuple.proto */
	void *end;
	struct xdplb_tuple tuple;
	__u32 ip_len; /* IP header and all behind it, bytes */
	__u32 seq_end; /* TCP: sequence number behind this segment */
	__u16 l4_offset; /* from l3, bytes */
	__u8 tcp_flags; /* 0 for UDP */
	__u8 has_data; /* TCP segment with payload */
};

/* Takes the next @size bytes, or NULL where the packet ends before them. */
static __always_inline void *xdplb_pull(void **pos, void *end, __u32 size)
{
	void *start = *pos;

	if (start + size > end)
		return NULL;
	*pos = start + size;
	return start;
}

/* RFC 791. Options are stepped over. */
static __always_inline enum xdplb_outcome xdplb_ip4_parse(void **pos, void *end,
							  struct xdplb_pkt *pkt)
{
	struct iphdr *ip = xdplb_pull(pos, end, sizeof(*ip));
	__u32 options;

	if (!ip)
		return XDPLB_PASS_TRUNCATED;
	pkt->l3 = ip;
	pkt->ip_len = from_be16(ip->tot_len);
	pkt->l4_offset = ip->ihl * 4;
	if (ip->version != 4 || ip->ihl < 5 || pkt->ip_len < pkt->l4_offset)
		return XDPLB_PASS_MALFORMED;
	options = pkt->l4_offset - (__u32)sizeof(*ip);
	__asm__("" : "+r"(options)); /* or the compiler drops the bound that the verifier needs */
	options &= 0x3c;
	if (options && !xdplb_pull(pos, end, options))
		return XDPLB_PASS_TRUNCATED;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return XDPLB_PASS_NOT_L4;
	if (ip->frag_off & to_be16(XDPLB_IP_FRAGMENT_MASK))
		return XDPLB_PASS_FRAGMENT;
	pkt->tuple.proto = ip->protocol;
	pkt->tuple.v6 = 0;
	pkt->tuple.src = ip->saddr;
	pkt->tuple.dst = ip->daddr;
	for (int i = 0; i < 3; i++) {
		pkt->tuple.src_hi[i] = 0;
		pkt->tuple.dst_hi[i] = 0;
	}
	return XDPLB_CONTINUE;
}

/* RFC 8200. A packet with extension headers is named, not walked. */
static __always_inline enum xdplb_outcome xdplb_ip6_parse(void **pos, void *end,
							  struct xdplb_pkt *pkt)
{
	struct ipv6hdr *ip = xdplb_pull(pos, end, sizeof(*ip));

	if (!ip)
		return XDPLB_PASS_TRUNCATED;
	pkt->l3 = ip;
	pkt->l4_offset = sizeof(*ip);
	pkt->ip_len = from_be16(ip->payload_len) + (__u32)sizeof(*ip);
	if (ip->version != 6)
		return XDPLB_PASS_MALFORMED;
	switch (ip->nexthdr) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		break;
	case IPPROTO_FRAGMENT:
		return XDPLB_PASS_FRAGMENT;
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
		return XDPLB_PASS_IPV6_EXTENSION;
	default:
		return XDPLB_PASS_NOT_L4;
	}
	pkt->tuple.proto = ip->nexthdr;
	pkt->tuple.v6 = 1;
	pkt->tuple.src = ip->saddr.in6_u.u6_addr32[3];
	pkt->tuple.dst = ip->daddr.in6_u.u6_addr32[3];
	for (int i = 0; i < 3; i++) {
		pkt->tuple.src_hi[i] = ip->saddr.in6_u.u6_addr32[i];
		pkt->tuple.dst_hi[i] = ip->daddr.in6_u.u6_addr32[i];
	}
	return XDPLB_CONTINUE;
}

static __always_inline enum xdplb_outcome xdplb_tcp_parse(void *l4, void *end,
							  struct xdplb_pkt *pkt)
{
	struct tcphdr *tcp = l4;
	__u32 headers, len;

	if ((void *)(tcp + 1) > end)
		return XDPLB_PASS_TRUNCATED;
	headers = pkt->l4_offset + tcp->doff * 4U;
	if (tcp->doff < 5 || headers > pkt->ip_len)
		return XDPLB_PASS_MALFORMED;
	len = pkt->ip_len - headers;
	pkt->tcp_flags = ((__u8 *)tcp)[13];
	pkt->has_data = len > 0;
	pkt->seq_end = from_be32(tcp->seq) + len + tcp->syn + tcp->fin;
	return XDPLB_CONTINUE;
}

/* Fills @pkt; XDPLB_CONTINUE when all of it is valid, else why not. */
static __always_inline enum xdplb_outcome xdplb_pkt_parse(void *data, void *end,
							  struct xdplb_pkt *pkt)
{
	void *pos = data;
	enum xdplb_outcome out;
	struct udphdr *ports; /* TCP starts with the same two ports */

	pkt->end = end;
	pkt->eth = xdplb_pull(&pos, end, sizeof(*pkt->eth));
	if (!pkt->eth)
		return XDPLB_PASS_TRUNCATED;
	if (pkt->eth->h_proto == to_be16(ETH_P_IP))
		out = xdplb_ip4_parse(&pos, end, pkt);
	else if (pkt->eth->h_proto == to_be16(ETH_P_IPV6))
		out = xdplb_ip6_parse(&pos, end, pkt);
	else if (pkt->eth->h_proto == to_be16(ETH_P_8021Q) ||
		 pkt->eth->h_proto == to_be16(ETH_P_8021AD))
		out = XDPLB_PASS_VLAN;
	else
		out = XDPLB_PASS_NOT_IP;
	if (out)
		return out;
	if (pkt->eth->h_dest[0] & 1)
		return XDPLB_PASS_MULTICAST;

	ports = xdplb_pull(&pos, end, sizeof(*ports));
	if (!ports)
		return XDPLB_PASS_TRUNCATED;
	pkt->l4 = ports;
	pkt->tuple.sport = ports->source;
	pkt->tuple.dport = ports->dest;
	pkt->tuple.pad = 0;
	pkt->tcp_flags = 0;
	pkt->has_data = 0;
	pkt->seq_end = 0;
	if (pkt->tuple.proto == IPPROTO_TCP)
		return xdplb_tcp_parse(ports, end, pkt);
	if (pkt->ip_len < pkt->l4_offset + sizeof(*ports))
		return XDPLB_PASS_MALFORMED;
	return XDPLB_CONTINUE;
}

/* The headers of a parsed packet once more: NULL only if it isn't of that kind. */
static __always_inline struct iphdr *xdplb_pkt_ip4(const struct xdplb_pkt *pkt)
{
	void *pos = pkt->l3;

	return pkt->tuple.v6 ? NULL : xdplb_pull(&pos, pkt->end, sizeof(struct iphdr));
}

static __always_inline struct ipv6hdr *xdplb_pkt_ip6(const struct xdplb_pkt *pkt)
{
	void *pos = pkt->l3;

	return pkt->tuple.v6 ? xdplb_pull(&pos, pkt->end, sizeof(struct ipv6hdr)) : NULL;
}

static __always_inline struct tcphdr *xdplb_pkt_tcp(const struct xdplb_pkt *pkt)
{
	void *pos = pkt->l4;

	if (pkt->tuple.proto != IPPROTO_TCP)
		return NULL;
	return xdplb_pull(&pos, pkt->end, sizeof(struct tcphdr));
}

static __always_inline struct udphdr *xdplb_pkt_udp(const struct xdplb_pkt *pkt)
{
	void *pos = pkt->l4;

	if (pkt->tuple.proto != IPPROTO_UDP)
		return NULL;
	return xdplb_pull(&pos, pkt->end, sizeof(struct udphdr));
}

#endif /* XDPLB_PKT_H */
