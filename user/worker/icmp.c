// SPDX-License-Identifier: GPL-2.0-only
#include "worker/icmp.h"

#include <string.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>

#include "xdplb/pkt.h"
#include "xdplb/rewrite.h"

#define ANSWER_TTL 64
#define QUOTE4_MAX 548 /* RFC 1812, 4.3.2.3: the answer has at most 576 bytes */
#define QUOTE6_MAX (1280 - 48)

/* One's complement sum of @len bytes, RFC 1071. */
static uint64_t sum_of(const void *bytes, size_t len, uint64_t sum)
{
	const uint8_t *at = bytes;
	uint16_t word;

	for (; len > 1; len -= 2, at += 2) {
		memcpy(&word, at, 2);
		sum += word;
	}
	if (len) {
		word = 0;
		memcpy(&word, at, 1);
		sum += word;
	}
	return sum;
}

static __sum16 sum_close(uint64_t sum)
{
	return (XDPLB_FORCE __sum16)(uint16_t)~xdplb_csum_fold(sum);
}

/* What both families call it: type, code, and the last four bytes of the ICMP header. */
struct error {
	uint8_t type4, code4, type6, code6;
	uint32_t rest;
};

static size_t ip4_write(uint8_t *ip_at, const struct iphdr *about, const struct error *error,
			size_t quoted)
{
	struct icmphdr icmp = { .type = error->type4, .code = error->code4 };
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tot_len = to_be16((uint16_t)(sizeof(ip) + sizeof(icmp) + quoted)),
		.ttl = ANSWER_TTL,
		.protocol = IPPROTO_ICMP,
		.saddr = about->daddr,
		.daddr = about->saddr,
	};

	icmp.un.gateway = to_be32(error->rest);
	icmp.checksum = sum_close(sum_of(about, quoted, sum_of(&icmp, sizeof(icmp), 0)));
	ip.check = sum_close(sum_of(&ip, sizeof(ip), 0));
	memcpy(ip_at, &ip, sizeof(ip));
	memcpy(ip_at + sizeof(ip), &icmp, sizeof(icmp));
	memcpy(ip_at + sizeof(ip) + sizeof(icmp), about, quoted);
	return sizeof(ip) + sizeof(icmp) + quoted;
}

static size_t ip6_write(uint8_t *ip_at, const struct ipv6hdr *about, const struct error *error,
			size_t quoted)
{
	struct icmp6hdr icmp = { .icmp6_type = error->type6, .icmp6_code = error->code6 };
	uint16_t len = (uint16_t)(sizeof(icmp) + quoted);
	struct ipv6hdr ip = {
		.version = 6,
		.payload_len = to_be16(len),
		.nexthdr = IPPROTO_ICMPV6,
		.hop_limit = ANSWER_TTL,
		.saddr = about->daddr,
		.daddr = about->saddr,
	};
	uint64_t sum = (XDPLB_FORCE uint16_t)to_be16(len) +
		       (uint64_t)(XDPLB_FORCE uint16_t)to_be16(IPPROTO_ICMPV6);

	icmp.icmp6_dataun.un_data32[0] = to_be32(error->rest);
	sum = sum_of(&ip.saddr, 2 * sizeof(ip.saddr), sum);
	sum = sum_of(&icmp, sizeof(icmp), sum);
	icmp.icmp6_cksum = sum_close(sum_of(about, quoted, sum));
	memcpy(ip_at, &ip, sizeof(ip));
	memcpy(ip_at + sizeof(ip), &icmp, sizeof(icmp));
	memcpy(ip_at + sizeof(ip) + sizeof(icmp), about, quoted);
	return sizeof(ip) + sizeof(icmp) + quoted;
}

static size_t answer_write(uint8_t *answer, const uint8_t *frame, size_t len,
			   const struct error *error)
{
	struct ethhdr eth;
	struct xdplb_pkt pkt;
	size_t quoted, max;

	if (xdplb_pkt_parse((void *)frame, (void *)(frame + len), &pkt) ||
	    pkt.ip_len + ETH_HLEN > len)
		return 0;
	max = pkt.tuple.v6 ? QUOTE6_MAX : QUOTE4_MAX;
	quoted = pkt.ip_len < max ? pkt.ip_len : max;
	eth = *pkt.eth;
	memcpy(eth.h_dest, pkt.eth->h_source, ETH_ALEN);
	memcpy(eth.h_source, pkt.eth->h_dest, ETH_ALEN);
	memcpy(answer, &eth, sizeof(eth));
	return ETH_HLEN + (pkt.tuple.v6 ? ip6_write(answer + ETH_HLEN, pkt.l3, error, quoted) :
					  ip4_write(answer + ETH_HLEN, pkt.l3, error, quoted));
}

size_t icmp_unreachable_port(uint8_t answer[ICMP_FRAME_MAX], const uint8_t *frame, size_t len)
{
	static const struct error port = {
		.type4 = ICMP_DEST_UNREACH,
		.code4 = ICMP_PORT_UNREACH,
		.type6 = ICMPV6_DEST_UNREACH,
		.code6 = ICMPV6_PORT_UNREACH,
	};

	return answer_write(answer, frame, len, &port);
}

size_t icmp_too_big(uint8_t answer[ICMP_FRAME_MAX], const uint8_t *frame, size_t len, uint32_t mtu)
{
	const struct error big = {
		.type4 = ICMP_DEST_UNREACH,
		.code4 = ICMP_FRAG_NEEDED,
		.type6 = ICMPV6_PKT_TOOBIG,
		.rest = mtu, /* IPv4: the upper half of these four bytes is unused, and 0 */
	};

	return answer_write(answer, frame, len, &big);
}
