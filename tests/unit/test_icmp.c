// SPDX-License-Identifier: GPL-2.0-only
/* Errors and what they quote as pure functions, in memory that ends exactly where the frame does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../bpf/packet.h"
#include "xdplb/icmp.h"

#define ROUNDS 20000
#define ALIGN 2 /* bytes before an Ethernet header, so that words behind it lie straight */

static uint32_t any(uint32_t below)
{
	return (uint32_t)random() % below;
}

static struct shape any_quoted(bool v6)
{
	uint32_t number = (uint32_t)random();

	return (struct shape){
		.src = { v6 ? ip6(number) : ip4(number), (uint16_t)any(65536) },
		.dst = { v6 ? ip6(number + 1) : ip4(number + 1), (uint16_t)any(65536) },
		.seq = (uint32_t)random() << 1,
		.ack = (uint32_t)random() << 1,
		.len = (uint16_t)any(60),
		.proto = any(2) ? IPPROTO_TCP : IPPROTO_UDP,
		.flags = (uint8_t)any(256),
		.ttl = (uint8_t)any(256),
		.ip_options = (uint8_t)(v6 ? 0 : any(11) * 4),
		.no_check = !any(8),
	};
}

/* An error about @quoted that quotes @l4_len bytes of its layer 4, with options in its own header too. */
static struct frame any_error(const struct shape *quoted, uint32_t l4_len, uint32_t *l4_offset)
{
	bool v6 = end_is_v6(&quoted->src);
	struct frame about = frame_make(quoted), frame = { .len = ETH_HLEN };
	uint32_t head = (uint32_t)(frame_layer4(&about) - about.data) - ETH_HLEN, ip_size;
	struct shape outer = { .src = quoted->dst, .dst = quoted->src, .ttl = 64 };
	uint8_t *ip = frame.data + ETH_HLEN, *icmp;

	outer.proto = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	outer.ip_options = (uint8_t)(v6 ? 0 : any(11) * 4);
	put16(frame.data + 12, v6 ? ETH_P_IPV6 : ETH_P_IP);
	ip_size = ip_header_write(&outer, ip, 8 + head + l4_len);
	icmp = ip + ip_size;
	icmp[0] = v6 ? (uint8_t)(1 + any(4)) : 3;
	memcpy(icmp + 8, about.data + ETH_HLEN, head + l4_len);
	put16(icmp + 2, 0xffff & ~(v6 ? sum_layer4(ip, icmp, 8 + head + l4_len, IPPROTO_ICMPV6) :
					sum_bytes(icmp, 8 + head + l4_len, 0)));
	frame.len += ip_size + 8 + head + l4_len;
	*l4_offset = ETH_HLEN + ip_size + 8 + head;
	return frame;
}

static uint8_t *exact_copy(const struct frame *frame, uint32_t len)
{
	uint8_t *copy = malloc(ALIGN + len);

	assert_non_null(copy);
	memcpy(copy + ALIGN, frame->data, len);
	return copy + ALIGN;
}

static uint32_t any_l4_len(const struct shape *shape)
{
	uint32_t whole = (shape->proto == IPPROTO_TCP ? 20U : 8U) + shape->len;

	return 8 + any(whole - 7);
}

/* The flow's half that an error about @quoted takes, by which all of it becomes something else. */
static struct xdplb_half any_half(const struct xdplb_tuple *tuple)
{
	struct xdplb_half half = { .src = tuple->src,
				   .dst = tuple->dst,
				   .sport = tuple->sport,
				   .dport = tuple->dport,
				   .new_src = (__be32)random(),
				   .new_dst = (__be32)random(),
				   .new_sport = (__be16)random(),
				   .new_dport = (__be16)random() };

	for (int i = 0; i < 3; i++) {
		half.src_hi[i] = tuple->src_hi[i];
		half.dst_hi[i] = tuple->dst_hi[i];
		half.new_src_hi[i] = (__be32)random();
		half.new_dst_hi[i] = (__be32)random();
	}
	return half;
}

static void an_error_is_read_and_rewritten_with_every_sum_right(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct shape quoted = any_quoted(any(2));
		uint32_t l4_len = any_l4_len(&quoted), at;
		struct frame frame = any_error(&quoted, l4_len, &at);
		uint8_t *data = exact_copy(&frame, frame.len);
		struct xdplb_quote_shift shift = { (uint32_t)random(), (uint32_t)random() };
		struct xdplb_quote quote;
		struct xdplb_half half;
		struct xdplb_pkt pkt;
		uint8_t *ip, *icmp;
		bool v6;

		assert_int_equal(xdplb_icmp_parse(data, data + frame.len, &pkt, &quote),
				 XDPLB_CONTINUE);
		assert_ptr_equal(quote.l4, data + at);
		assert_int_equal(quote.len, l4_len);
		assert_int_equal(pkt.tuple.src, quoted.dst.ip.w[3]);
		assert_int_equal(from_be16(pkt.tuple.sport), quoted.dst.port);
		assert_int_equal(from_be16(pkt.tuple.dport), quoted.src.port);
		half = any_half(&pkt.tuple);
		xdplb_icmp_rewrite(&pkt, &quote, &half, shift);
		memcpy(frame.data, data, frame.len);
		v6 = frame_is_v6(&frame);
		ip = frame.data + ETH_HLEN;
		icmp = (uint8_t *)frame_layer4(&frame);
		assert_int_equal(v6 ? sum_layer4(ip, icmp,
						 frame.len - (uint32_t)(icmp - frame.data),
						 IPPROTO_ICMPV6) :
				      sum_bytes(icmp, frame.len - (uint32_t)(icmp - frame.data), 0),
				 0xffff);
		if (!v6) {
			assert_int_equal(sum_bytes(ip, (ip[0] & 15) * 4U, 0), 0xffff);
			assert_int_equal(sum_bytes(icmp + 8, (icmp[8] & 15) * 4U, 0), 0xffff);
		}
		if (l4_len == (quoted.proto == IPPROTO_TCP ? 20U : 8U) + quoted.len &&
		    !quoted.no_check)
			assert_int_equal(sum_layer4(icmp + 8, frame.data + at, l4_len,
						    quoted.proto),
					 0xffff);
		free(data - ALIGN);
	}
}

/* Any byte changed, any length: never a byte behind the end, and what is read lies within. */
static void whatever_comes_is_read_within_its_bounds(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct shape quoted = any_quoted(any(2));
		uint32_t at, len;
		struct frame frame = any_error(&quoted, any_l4_len(&quoted), &at);
		struct xdplb_quote quote;
		struct xdplb_half half;
		struct xdplb_pkt pkt;
		uint8_t *data;

		for (uint32_t i = any(4); i; i--)
			frame.data[any(at + 8)] = (uint8_t)any(256);
		len = any(2) ? frame.len : any(frame.len + 1);
		data = exact_copy(&frame, len);
		if (!xdplb_icmp_parse(data, data + len, &pkt, &quote)) {
			assert_in_range(quote.len, XDPLB_QUOTE_MIN, 0xffff);
			half = any_half(&pkt.tuple);
			xdplb_icmp_rewrite(&pkt, &quote, &half, (struct xdplb_quote_shift){ 1, 2 });
		}
		free(data - ALIGN);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_is_read_and_rewritten_with_every_sum_right),
		cmocka_unit_test(whatever_comes_is_read_within_its_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
