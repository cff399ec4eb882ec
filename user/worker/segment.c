// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "worker/segment.h"
#include "xdplb/pkt.h"

enum { /* kinds of options, RFC 9293, 3.2; RFC 7323, 2.2; RFC 2018, 2 and 3 */
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_MSS = 2,
	OPTION_WSCALE = 3,
	OPTION_SACK_PERMITTED = 4,
	OPTION_SACK = 5
};

#define MSS_LEAST 64 /* nobody means less; a sender of single bytes would be made of us */
#define WSCALE_MOST 14

/* RFC 1071: words as they lie in memory, the byte order does not matter to the sum. */
static uint64_t sum_add(uint64_t sum, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	uint32_t word;
	uint16_t last = 0;

	for (; len >= sizeof(word); len -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		sum += word;
	}
	if (len >= sizeof(last)) {
		memcpy(&last, at, sizeof(last));
		sum += last;
		at += sizeof(last);
		len -= sizeof(last);
	}
	last = 0;
	memcpy(&last, at, len);
	return sum + last;
}

static __sum16 sum_finish(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (XDPLB_FORCE __sum16)(uint16_t)~sum;
}

static void addr6_write(struct in6_addr *to, const __be32 hi[3], __be32 last)
{
	memcpy(to, hi, 12);
	memcpy((uint8_t *)to + 12, &last, sizeof(last));
}

/* Writes the IP header; the sum of the pseudo header (RFC 9293, 3.1; RFC 8200, 8.1) to @sum. */
static size_t ip_write(const struct segment *segment, uint8_t *at, size_t l4_len, uint64_t *sum)
{
	const struct xdplb_tuple *t = segment->tuple;
	bool back = segment->to_client;
	__be32 protocol = to_be32(IPPROTO_TCP), length = to_be32((uint32_t)l4_len);

	*sum = sum_add(sum_add(0, &protocol, sizeof(protocol)), &length, sizeof(length));
	if (t->v6) {
		struct ipv6hdr ip = { .version = 6,
				      .payload_len = to_be16((uint16_t)l4_len),
				      .nexthdr = IPPROTO_TCP,
				      .hop_limit = segment->ttl };

		addr6_write(back ? &ip.daddr : &ip.saddr, t->src_hi, t->src);
		addr6_write(back ? &ip.saddr : &ip.daddr, t->dst_hi, t->dst);
		*sum = sum_add(*sum, &ip.saddr, 32);
		memcpy(at, &ip, sizeof(ip));
		return sizeof(ip);
	}
	struct iphdr ip = { .version = 4,
			    .ihl = 5,
			    .tot_len = to_be16((uint16_t)(sizeof(ip) + l4_len)),
			    .frag_off = to_be16(0x4000), /* DF: its id may be 0, RFC 6864, 4.1 */
			    .ttl = segment->ttl,
			    .protocol = IPPROTO_TCP,
			    .saddr = back ? t->dst : t->src,
			    .daddr = back ? t->src : t->dst };

	ip.check = sum_finish(sum_add(0, &ip, sizeof(ip)));
	*sum = sum_add(*sum, &ip.saddr, 8);
	memcpy(at, &ip, sizeof(ip));
	return sizeof(ip);
}

static void macs_write(const struct segment *segment, uint8_t *at)
{
	if (segment->to_client) {
		memcpy(at, segment->macs + ETH_ALEN, ETH_ALEN);
		memcpy(at + ETH_ALEN, segment->macs, ETH_ALEN);
	} else {
		memcpy(at, segment->macs, 2 * (size_t)ETH_ALEN);
	}
	at[12] = segment->tuple->v6 ? ETH_P_IPV6 >> 8 : ETH_P_IP >> 8;
	at[13] = segment->tuple->v6 ? ETH_P_IPV6 & 0xff : ETH_P_IP & 0xff;
}

size_t segment_build(const struct segment *segment, struct segment_frame *frame)
{
	const struct xdplb_tuple *t = segment->tuple;
	size_t headers = sizeof(struct tcphdr) + segment->options_len;
	size_t l4_len = headers + segment->len, ip_len;
	struct tcphdr tcp = { .source = segment->to_client ? t->dport : t->sport,
			      .dest = segment->to_client ? t->sport : t->dport,
			      .seq = to_be32(segment->seq),
			      .ack_seq = to_be32(segment->ack),
			      .window = to_be16(segment->window) };
	uint8_t *l4;
	uint64_t sum;

	((uint8_t *)&tcp)[12] = (uint8_t)(headers / 4 << 4);
	((uint8_t *)&tcp)[13] = segment->flags;
	macs_write(segment, frame->data);
	ip_len = ip_write(segment, frame->data + ETH_HLEN, l4_len, &sum);
	l4 = frame->data + ETH_HLEN + ip_len;
	memcpy(l4 + sizeof(tcp), segment->options, segment->options_len);
	if (segment->len)
		memcpy(l4 + headers, segment->data, segment->len);
	memcpy(l4, &tcp, sizeof(tcp));
	tcp.check = sum_finish(sum_add(sum, l4, l4_len));
	memcpy(l4, &tcp, sizeof(tcp));
	return ETH_HLEN + ip_len + l4_len;
}

static uint8_t *option_new(struct segment *segment, uint8_t nops, uint8_t kind, uint8_t len)
{
	uint8_t *at = segment->options + segment->options_len;

	memset(at, OPTION_NOP, nops);
	at[nops] = kind;
	at[nops + 1] = len;
	segment->options_len = (uint8_t)(segment->options_len + nops + len);
	return at + nops + 2;
}

void segment_add_mss(struct segment *segment, uint16_t mss)
{
	__be16 value = to_be16(mss);

	memcpy(option_new(segment, 0, OPTION_MSS, 4), &value, sizeof(value));
}

void segment_add_wscale(struct segment *segment, uint8_t wscale)
{
	*option_new(segment, 1, OPTION_WSCALE, 3) = wscale;
}

void segment_add_sack_permitted(struct segment *segment)
{
	option_new(segment, 2, OPTION_SACK_PERMITTED, 2);
}

void segment_add_sack(struct segment *segment, uint32_t from, uint32_t to)
{
	__be32 edges[2] = { to_be32(from), to_be32(to) };

	memcpy(option_new(segment, 2, OPTION_SACK, 10), edges, sizeof(edges));
}

static void option_take(struct segment_offer *offer, uint8_t kind, const uint8_t *value, size_t len)
{
	if (kind == OPTION_MSS && len == 2)
		offer->mss = (uint16_t)(value[0] << 8 | value[1]);
	else if (kind == OPTION_WSCALE && len == 1)
		offer->wscale = value[0] > WSCALE_MOST ? WSCALE_MOST : value[0];
	else if (kind == OPTION_SACK_PERMITTED && len == 0)
		offer->sack = true;
}

struct segment_offer segment_offer_read(const uint8_t *options, size_t len, bool v6)
{
	struct segment_offer offer = { .mss = v6 ? 1220 : 536, .wscale = SEGMENT_NO_SCALE };
	size_t at = 0;

	while (at < len && options[at] != OPTION_END) {
		if (options[at] == OPTION_NOP) {
			at++;
			continue;
		}
		if (at + 2 > len || options[at + 1] < 2 || at + options[at + 1] > len)
			break;
		option_take(&offer, options[at], options + at + 2, options[at + 1] - 2U);
		at += options[at + 1];
	}
	if (offer.mss < MSS_LEAST)
		offer.mss = MSS_LEAST;
	return offer;
}
