/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_TEST_PACKET_H
#define XDPLB_TEST_PACKET_H

/*
 * Frames for tests: built from a shape, every checksum computed in full, byte
 * by byte. Shares no code with the packet core but its address type, so that
 * the core can be held against it. What the core should make of a frame is
 * itself written as a shape, built, and compared as bytes.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "xdplb/abi.h"
#include "xdplb/endian.h"

#define FRAME_MAX 9216

enum {
	FIN = 0x01,
	SYN = 0x02,
	RST = 0x04,
	PSH = 0x08,
	ACK = 0x10
};

struct end {
	struct xdplb_addr ip;
	uint16_t port;
};

struct shape {
	struct end src, dst;
	uint32_t seq, ack;
	uint16_t len; /* bytes of payload */
	uint16_t salt; /* first word of the payload */
	uint8_t proto, flags, ttl;
	uint8_t ip_options, tcp_options; /* bytes, multiples of 4 */
	uint8_t padding; /* bytes behind the IP packet */
	bool no_check; /* UDP without a checksum */
	uint8_t src_mac[ETH_ALEN], dst_mac[ETH_ALEN];
};

struct frame {
	uint8_t data[FRAME_MAX];
	uint32_t len;
};

/* a.b.c.d as one number, and the address with that last word under fd00::/64. */
static inline struct xdplb_addr ip4(uint32_t number)
{
	return (struct xdplb_addr){ .w = { 0, 0, to_be32(0xffff), to_be32(number) } };
}

static inline struct xdplb_addr ip6(uint32_t number)
{
	return (struct xdplb_addr){ .w = { to_be32(0xfd000000), to_be32(number ^ 0x5a5a),
					   to_be32(number * 3), to_be32(number) } };
}

static inline bool end_is_v6(const struct end *end)
{
	return end->ip.w[0] || end->ip.w[1] || end->ip.w[2] != to_be32(0xffff);
}

static inline bool end_equal(const struct end *a, const struct end *b)
{
	return a->port == b->port && !memcmp(&a->ip, &b->ip, sizeof(a->ip));
}

/* ---- checksums, RFC 1071, the long way */

static inline uint32_t sum_bytes(const uint8_t *bytes, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i++)
		sum += i & 1 ? bytes[i] : bytes[i] * 256U;
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Of @len bytes of layer 4 behind the IP header @ip: 0xffff if its checksum is right. */
static inline uint32_t sum_layer4(const uint8_t *ip, const uint8_t *l4, uint32_t len, uint8_t proto)
{
	uint32_t sum = sum_bytes(l4, len, proto + len);

	return ip[0] >> 4 == 4 ? sum_bytes(ip + 12, 8, sum) : sum_bytes(ip + 8, 32, sum);
}

static inline void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

static inline uint32_t get16(const uint8_t *at)
{
	return at[0] * 256U + at[1];
}

static inline uint32_t get32(const uint8_t *at)
{
	return get16(at) << 16 | get16(at + 2);
}

/* ---- building */

static inline uint32_t ip_header_write(const struct shape *shape, uint8_t *at, uint32_t l4_len)
{
	uint32_t size = 20U + shape->ip_options;

	if (end_is_v6(&shape->src)) {
		at[0] = 0x60;
		put16(at + 4, l4_len);
		at[6] = shape->proto;
		at[7] = shape->ttl;
		memcpy(at + 8, &shape->src.ip, 16);
		memcpy(at + 24, &shape->dst.ip, 16);
		return 40;
	}
	at[0] = (uint8_t)(0x40 | size / 4);
	put16(at + 2, size + l4_len);
	put16(at + 4, shape->seq);
	put16(at + 6, 0x4000);
	at[8] = shape->ttl;
	at[9] = shape->proto;
	memcpy(at + 12, &shape->src.ip.w[3], 4);
	memcpy(at + 16, &shape->dst.ip.w[3], 4);
	memset(at + 20, 1, shape->ip_options); /* NOP */
	put16(at + 10, ~sum_bytes(at, size, 0));
	return size;
}

static inline uint32_t layer4_write(const struct shape *shape, uint8_t *at)
{
	uint32_t size = shape->proto == IPPROTO_TCP ? 20U + shape->tcp_options : 8;

	put16(at, shape->src.port);
	put16(at + 2, shape->dst.port);
	if (shape->proto == IPPROTO_TCP) {
		put32(at + 4, shape->seq);
		put32(at + 8, shape->ack);
		at[12] = (uint8_t)(size * 4);
		at[13] = shape->flags;
		put16(at + 14, 0xfaf0);
		memset(at + 20, 1, shape->tcp_options);
	} else {
		put16(at + 4, size + shape->len);
	}
	for (uint32_t i = 0; i < shape->len; i++)
		at[size + i] = (uint8_t)(i * 7 + 1);
	if (shape->len >= 2)
		put16(at + size, shape->salt);
	return size + shape->len;
}

static inline void layer4_check(const struct shape *shape, const uint8_t *ip, uint8_t *l4,
				uint32_t len)
{
	uint8_t *check = l4 + (shape->proto == IPPROTO_TCP ? 16 : 6);
	uint32_t value = 0xffff & ~sum_layer4(ip, l4, len, shape->proto);

	if (shape->proto == IPPROTO_UDP)
		value = shape->no_check ? 0 : value ? value : 0xffff;
	put16(check, value);
}

static inline struct frame frame_make(const struct shape *shape)
{
	struct frame frame = { .len = 0 };
	uint8_t l4[FRAME_MAX] = { 0 }, *ip = frame.data + ETH_HLEN;
	uint32_t l4_len = layer4_write(shape, l4), ip_size = ip_header_write(shape, ip, l4_len);

	memcpy(frame.data, shape->dst_mac, ETH_ALEN);
	memcpy(frame.data + ETH_ALEN, shape->src_mac, ETH_ALEN);
	put16(frame.data + 12, end_is_v6(&shape->src) ? ETH_P_IPV6 : ETH_P_IP);
	memcpy(ip + ip_size, l4, l4_len);
	layer4_check(shape, ip, ip + ip_size, l4_len);
	frame.len = ETH_HLEN + ip_size + l4_len;
	memset(frame.data + frame.len, 0xa5, shape->padding);
	frame.len += shape->padding;
	return frame;
}

/* ---- looking */

static inline bool frame_is_v6(const struct frame *frame)
{
	return get16(frame->data + 12) == ETH_P_IPV6;
}

static inline const uint8_t *frame_layer4(const struct frame *frame)
{
	const uint8_t *ip = frame->data + ETH_HLEN;

	return ip + (frame_is_v6(frame) ? 40 : (ip[0] & 15) * 4);
}

/* Length of the IP packet, by its header. */
static inline uint32_t frame_ip_len(const struct frame *frame)
{
	const uint8_t *ip = frame->data + ETH_HLEN;

	return frame_is_v6(frame) ? get16(ip + 4) + 40 : get16(ip + 2);
}

static inline struct end frame_end(const struct frame *frame, bool source)
{
	const uint8_t *ip = frame->data + ETH_HLEN, *l4 = frame_layer4(frame);
	struct end end = { .ip = ip4(0), .port = (uint16_t)get16(l4 + (source ? 0 : 2)) };

	if (frame_is_v6(frame))
		memcpy(&end.ip, ip + (source ? 8 : 24), 16);
	else
		memcpy(&end.ip.w[3], ip + (source ? 12 : 16), 4);
	return end;
}

/* Both checksums, computed in full; a UDP checksum of 0 is none. */
static inline bool frame_sums_right(const struct frame *frame)
{
	const uint8_t *ip = frame->data + ETH_HLEN, *l4 = frame_layer4(frame);
	bool v6 = frame_is_v6(frame);
	uint8_t proto = v6 ? ip[6] : ip[9];
	uint32_t len = frame_ip_len(frame) - (uint32_t)(l4 - ip);

	if (!v6 && sum_bytes(ip, (uint32_t)(l4 - ip), 0) != 0xffff)
		return false;
	if (proto == IPPROTO_UDP && !get16(l4 + 6))
		return true;
	return sum_layer4(ip, l4, len, proto) == 0xffff;
}

#endif /* XDPLB_TEST_PACKET_H */
