// SPDX-License-Identifier: GPL-2.0-only
/* Who sends what: addresses and ports of clients, headers of their packets. */
#include <string.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "instance.h"
#include "xdplb/endian.h"
#include "xdplb/outcome.h"
#include "xdplb/pkt.h"

#define FRAME_BYTES 96
#define TTL 64
#define CLIENT_ISN 1000U
#define BACKEND_ISN 500000U

static const uint8_t client_mac[ETH_ALEN] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t our_mac[ETH_ALEN] = { 2, 0, 0, 0, 0, 2 };

static bool kind_is_v6(enum kind kind)
{
	return kind == KIND_TCP6;
}

static uint8_t kind_proto(enum kind kind)
{
	return kind == KIND_UDP4 ? IPPROTO_UDP : IPPROTO_TCP;
}

/* A different client for every flow, all over 10.0.0.0/8 and 256 ports outside of NAT's range. */
struct wrap_record client_record(enum kind kind, uint32_t flow)
{
	uint32_t who = (flow + ((uint32_t)kind << 28)) * 0x9e3779b1U;

	return (struct wrap_record){
		.src = to_be32(10U << 24 | (who & 0xffffff)),
		.sport = to_be16((uint16_t)(32768 + (who >> 24))),
		.dst = kind == KIND_FOREIGN4 ? INSTANCE_FOREIGN : INSTANCE_VIP,
		.dport = to_be16(INSTANCE_PORT),
	};
}

static void ip4_fill(struct iphdr *ip, uint8_t proto)
{
	*ip = (struct iphdr){
		.version = 4,
		.ihl = sizeof(*ip) / 4,
		.tot_len = to_be16(FRAME_BYTES - ETH_HLEN),
		.ttl = TTL,
		.protocol = proto,
		.check = 0x1234,
	};
}

static void ip6_fill(struct ipv6hdr *ip, uint8_t proto)
{
	const __be32 prefix[3] = INSTANCE_PREFIX6;

	*ip = (struct ipv6hdr){
		.version = 6,
		.payload_len = to_be16(FRAME_BYTES - ETH_HLEN - sizeof(*ip)),
		.nexthdr = proto,
		.hop_limit = TTL,
	};
	memcpy(&ip->saddr, prefix, sizeof(prefix));
	memcpy(&ip->daddr, prefix, sizeof(prefix));
}

static void tcp_fill(struct tcphdr *tcp, const struct burst *burst)
{
	*tcp = (struct tcphdr){
		.seq = to_be32(burst->reply ? BACKEND_ISN : CLIENT_ISN),
		.ack_seq = to_be32((burst->reply ? CLIENT_ISN : BACKEND_ISN) + 1),
		.doff = sizeof(*tcp) / 4,
		.window = 0xffff,
		.check = 0x4321,
	};
	((uint8_t *)tcp)[13] = burst->tcp_flags ? burst->tcp_flags : XDPLB_TCP_ACK;
}

/* @options of a TCP header, in words of the packet; RFC 9293, 3.1, RFC 2018, RFC 7323. */
static void options_fill(struct tcphdr *tcp, enum options options)
{
	static const uint32_t syn[] = { 0x020405b4, 0x0402080a, 0x01020304, 0, 0x01030307 };
	static const uint32_t sack[] = { 0x0101050a, BACKEND_ISN + 1461, BACKEND_ISN + 2921 };
	const uint32_t *from = options == OPTIONS_SYN ? syn : sack;
	size_t words = options == OPTIONS_SYN ? sizeof(syn) / 4 : sizeof(sack) / 4;
	__be32 *to = (__be32 *)(tcp + 1);

	if (options == OPTIONS_NONE)
		return;
	for (size_t i = 0; i < words; i++)
		to[i] = to_be32(from[i]);
	tcp->doff += words & 15;
}

static void udp_fill(struct udphdr *udp, uint16_t len)
{
	*udp = (struct udphdr){ .len = to_be16(len), .check = 0x4321 };
}

/* Everything of the packets of @burst that is the same in all of them. */
void client_plan(const struct burst *burst, struct wrap_plan *plan)
{
	struct ethhdr *eth = (struct ethhdr *)plan->header;
	uint8_t proto = kind_proto(burst->kind);
	bool v6 = kind_is_v6(burst->kind);
	struct iphdr *ip4 = (struct iphdr *)(eth + 1);
	struct ipv6hdr *ip6 = (struct ipv6hdr *)(eth + 1);
	void *l4 = v6 ? (void *)(ip6 + 1) : (void *)(ip4 + 1);

	memset(plan, 0, sizeof(*plan));
	memcpy(eth->h_source, client_mac, ETH_ALEN);
	memcpy(eth->h_dest, our_mac, ETH_ALEN);
	eth->h_proto = v6 ? to_be16(ETH_P_IPV6) : to_be16(ETH_P_IP);
	if (v6)
		ip6_fill(ip6, proto);
	else
		ip4_fill(ip4, proto);
	if (proto == IPPROTO_TCP) {
		tcp_fill(l4, burst);
		options_fill(l4, burst->options);
	} else {
		udp_fill(l4, (uint16_t)(FRAME_BYTES - ((char *)l4 - (char *)eth)));
	}
	if (burst->tcp_flags && v6)
		ip6->payload_len = to_be16(sizeof(struct tcphdr));
	else if (burst->tcp_flags)
		ip4->tot_len = to_be16((uint16_t)(sizeof(*ip4) + ((struct tcphdr *)l4)->doff * 4U));
	plan->length = FRAME_BYTES;
	plan->v6 = v6;
	plan->first = burst->first;
	plan->mask = burst->count - 1;
	plan->seq_step = proto == IPPROTO_TCP && !burst->tcp_flags;
}

uint32_t client_expected(const struct burst *burst)
{
	if (burst->kind == KIND_FOREIGN4)
		return XDPLB_PASS_NOT_OURS;
	if (burst->kind == KIND_OPENER4)
		return burst->tcp_flags & XDPLB_TCP_SYN ? XDPLB_ANSWER_COOKIE :
							  XDPLB_DROP_ANSWER_LIMITED;
	return burst->reply ? XDPLB_REPLY_TX : XDPLB_FORWARD_TX;
}
