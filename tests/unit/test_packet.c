// SPDX-License-Identifier: GPL-2.0-only
/* The packet core as pure functions, in memory that ends exactly where the packet does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../bpf/packet.h"
#include "xdplb/rewrite.h"

#define ROUNDS 20000

static uint32_t any(uint32_t below)
{
	return (uint32_t)random() % below;
}

static struct xdplb_addr any_addr(bool v6)
{
	uint32_t number = (uint32_t)random() << 1 ^ (uint32_t)random();

	return v6 ? ip6(number) : ip4(number);
}

static struct shape any_shape(void)
{
	bool v6 = any(2);

	return (struct shape){
		.src = { any_addr(v6), (uint16_t)any(65536) },
		.dst = { any_addr(v6), (uint16_t)any(65536) },
		.seq = (uint32_t)random() << 1,
		.ack = (uint32_t)random() << 1,
		.len = (uint16_t)any(100),
		.salt = (uint16_t)any(65536),
		.proto = any(2) ? IPPROTO_TCP : IPPROTO_UDP,
		.flags = (uint8_t)any(256),
		.ttl = (uint8_t)(2 + any(254)),
		.ip_options = (uint8_t)(v6 ? 0 : any(11) * 4),
		.tcp_options = (uint8_t)(any(11) * 4),
		.padding = (uint8_t)any(20),
		.no_check = !any(8),
		.dst_mac = { 2 },
	};
}

#define ALIGN 2 /* bytes before an Ethernet header, so that words behind it lie straight */

/* A copy of the first @len bytes that ends with them, so that ASan sees one byte too far. */
static uint8_t *exact_copy(const struct frame *frame, uint32_t len)
{
	uint8_t *copy = malloc(ALIGN + len);

	assert_non_null(copy);
	memcpy(copy + ALIGN, frame->data, len);
	return copy + ALIGN;
}

static void copy_free(uint8_t *copy)
{
	free(copy - ALIGN);
}

static enum xdplb_outcome parse(uint8_t *data, uint32_t len, struct xdplb_pkt *pkt)
{
	memset(pkt, 0xa5, sizeof(*pkt));
	return xdplb_pkt_parse(data, data + len, pkt);
}

static void parsed_check(const struct xdplb_pkt *pkt, const struct shape *shape,
			 const struct frame *frame)
{
	const struct xdplb_tuple *t = &pkt->tuple;

	assert_int_equal(t->v6, end_is_v6(&shape->src));
	assert_int_equal(t->proto, shape->proto);
	assert_int_equal(t->src, shape->src.ip.w[3]);
	assert_int_equal(t->dst, shape->dst.ip.w[3]);
	assert_int_equal(from_be16(t->sport), shape->src.port);
	assert_int_equal(from_be16(t->dport), shape->dst.port);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(t->src_hi[i], t->v6 ? shape->src.ip.w[i] : 0);
		assert_int_equal(t->dst_hi[i], t->v6 ? shape->dst.ip.w[i] : 0);
	}
	assert_int_equal(pkt->ip_len, frame_ip_len(frame));
	assert_int_equal(xdplb_pkt_ttl(pkt), shape->ttl);
	if (shape->proto != IPPROTO_TCP)
		return;
	assert_int_equal(pkt->tcp_flags, shape->flags);
	assert_int_equal(pkt->has_data, shape->len > 0);
	assert_int_equal(pkt->seq_end,
			 shape->seq + shape->len + !!(shape->flags & SYN) + !!(shape->flags & FIN));
}

static void a_valid_packet_is_read_as_it_was_written(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct shape shape = any_shape();
		struct frame frame = frame_make(&shape);
		uint8_t *data = exact_copy(&frame, frame.len);
		struct xdplb_pkt pkt;

		assert_int_equal(parse(data, frame.len, &pkt), XDPLB_CONTINUE);
		parsed_check(&pkt, &shape, &frame);
		copy_free(data);
	}
}

/* Every prefix: never a byte behind its end; whole only once all headers are there. */
static void a_prefix_of_a_packet_is_truncated_or_whole(void **state)
{
	(void)state;
	for (int round = 0; round < 300; round++) {
		struct shape shape = any_shape();
		struct frame frame = frame_make(&shape);
		uint32_t headers = (uint32_t)(frame_layer4(&frame) - frame.data) +
				   (shape.proto == IPPROTO_TCP ? 20 : 8);

		for (uint32_t len = 0; len <= frame.len; len++) {
			uint8_t *data = exact_copy(&frame, len);
			struct xdplb_pkt pkt;

			assert_int_equal(parse(data, len, &pkt),
					 len < headers ? XDPLB_PASS_TRUNCATED : XDPLB_CONTINUE);
			copy_free(data);
		}
	}
}

static void set_words(__be32 *last, __be32 high[3], const struct xdplb_addr *addr, bool v6)
{
	*last = addr->w[3];
	for (int i = 0; i < 3; i++)
		high[i] = v6 ? addr->w[i] : 0;
}

/* What makes of a packet of shape @from one of shape @to. */
static struct xdplb_half half_make(const struct shape *from, const struct shape *to)
{
	struct xdplb_half half = { .sport = to_be16(from->src.port),
				   .dport = to_be16(from->dst.port),
				   .new_sport = to_be16(to->src.port),
				   .new_dport = to_be16(to->dst.port) };
	bool v6 = end_is_v6(&from->src);

	set_words(&half.src, half.src_hi, &from->src.ip, v6);
	set_words(&half.dst, half.dst_hi, &from->dst.ip, v6);
	set_words(&half.new_src, half.new_src_hi, &to->src.ip, v6);
	set_words(&half.new_dst, half.new_dst_hi, &to->dst.ip, v6);
	xdplb_half_diffs(&half);
	return half;
}

static void a_rewritten_packet_equals_one_made_anew(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct shape from = any_shape(), to = from;
		bool v6 = end_is_v6(&from.src);
		struct frame before, after;
		struct xdplb_half half;
		struct xdplb_pkt pkt;
		uint8_t *data;

		to.src = (struct end){ any_addr(v6), (uint16_t)any(65536) };
		if (any(4))
			to.dst = (struct end){ any_addr(v6), (uint16_t)any(65536) };
		to.ttl--;
		before = frame_make(&from);
		after = frame_make(&to);
		half = half_make(&from, &to);
		data = exact_copy(&before, before.len);
		assert_int_equal(parse(data, before.len, &pkt), XDPLB_CONTINUE);
		xdplb_pkt_rewrite(&pkt, &half);
		assert_memory_equal(data, after.data, after.len);
		copy_free(data);
	}
}

/* Every value that a checksum can have before, with differences at the edges of the sum. */
static void a_checksum_is_right_whatever_it_was(void **state)
{
	static const uint16_t edges[] = { 1, 0xffff, 0xfffe, 0x8000, 0x7fff, 0x0100, 0xfeff };

	(void)state;
	for (uint32_t sum = 0; sum < 0xffff; sum++) { /* of all words, 0xffff but written as 0 */
		for (uint32_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
			uint32_t changed = sum + edges[i];
			__sum16 check = (__sum16)~sum, now = xdplb_csum_apply(check, edges[i]);

			changed = (changed & 0xffff) + (changed >> 16);
			assert_int_equal((uint16_t)now, (uint16_t)~changed);
		}
	}
}

static void folding_keeps_the_sum(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t sum = (uint64_t)random() << 33 ^ (uint64_t)random() << any(32) ^ any(1000);
		uint16_t folded = xdplb_csum_fold(sum);

		assert_int_equal(folded % 0xffff, sum % 0xffff);
		assert_int_equal(folded == 0, sum == 0);
	}
}

/* ---- hashes */

static void chi_square_check(const uint32_t *counts, uint32_t cells, uint32_t total)
{
	double expected = (double)total / cells, sum = 0;

	for (uint32_t i = 0; i < cells; i++)
		sum += (counts[i] - expected) * (counts[i] - expected) / expected;
	/* cells - 1 degrees of freedom: mean and six deviations */
	assert_true(sum < cells + 6 * 1.4143 * 16);
}

#define CELLS 256
#define HASHES (CELLS * 200)

/* Clients as they come: addresses and ports in a row. */
static void hashes_of_neighbours_are_spread_evenly(void **state)
{
	__u64 key[4];

	(void)state;
	for (int round = 0; round < 8; round++) {
		uint32_t low[CELLS] = { 0 }, middle[CELLS] = { 0 }, high[CELLS] = { 0 };
		struct xdplb_tuple tuple = { .dst = to_be32(0xc000020a), .dport = to_be16(80) };

		for (int i = 0; i < 4; i++)
			key[i] = (__u64)random() << 33 ^ (__u64)random() << 5 ^ any(99);
		tuple.proto = round & 1 ? IPPROTO_UDP : IPPROTO_TCP;
		tuple.v6 = round & 2 ? 1 : 0;
		for (uint32_t i = 0; i < HASHES; i++) {
			uint64_t hash;

			tuple.src = to_be32(0x0a000000 + i / 64);
			tuple.sport = to_be16((uint16_t)(40000 + i % 64));
			hash = xdplb_flow_hash(key, &tuple);
			low[hash % CELLS]++;
			middle[hash >> 26 & (CELLS - 1)]++;
			high[xdplb_scale(hash, CELLS)]++;
		}
		chi_square_check(low, CELLS, HASHES);
		chi_square_check(middle, CELLS, HASHES);
		chi_square_check(high, CELLS, HASHES);
	}
}

static void every_bit_of_a_tuple_matters(void **state)
{
	const __u64 key[4] = { 0x0123456789abcdef, 0xfedcba9876543210, 0x1122334455667788,
			       0x99aabbccddeeff01 };
	const struct xdplb_tuple tuple = { .src = 1, .dst = 2, .proto = 6, .v6 = 1 };
	const size_t fields[][2] = {
		{ offsetof(struct xdplb_tuple, src), 8 },
		{ offsetof(struct xdplb_tuple, sport), 4 },
		{ offsetof(struct xdplb_tuple, proto), 1 },
		{ offsetof(struct xdplb_tuple, src_hi), 24 },
	};
	uint64_t hash = xdplb_flow_hash(key, &tuple);

	(void)state;
	for (size_t f = 0; f < sizeof(fields) / sizeof(fields[0]); f++) {
		for (size_t bit = 0; bit < fields[f][1] * 8; bit++) {
			struct xdplb_tuple other = tuple;
			uint64_t changed;

			((uint8_t *)&other)[fields[f][0] + bit / 8] ^= (uint8_t)(1U << bit % 8);
			changed = hash ^ xdplb_flow_hash(key, &other);
			assert_in_range(__builtin_popcountll(changed), 8, 56);
		}
	}
}

static void the_source_hash_sees_the_source_alone(void **state)
{
	const __u64 key[4] = { 1, 2, 3, 4 };
	struct xdplb_tuple one = { .src = 7, .dst = 8, .sport = 9, .dport = 10, .proto = 6 };
	struct xdplb_tuple two = { .src = 7, .dst = 80, .sport = 90, .dport = 100, .proto = 17 };

	(void)state;
	assert_true(xdplb_source_hash(key, &one, 0) == xdplb_source_hash(key, &two, 0));
	assert_true(xdplb_source_hash(key, &one, 9) != xdplb_source_hash(key, &one, 0));
	two.src = 6;
	assert_true(xdplb_source_hash(key, &one, 0) != xdplb_source_hash(key, &two, 0));
}

static void scaling_stays_below_its_count_and_reaches_it(void **state)
{
	static const uint32_t counts[] = { 1, 2, 3, 7, 64, 2039, 65537, 1U << 31, ~0U };

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		assert_int_equal(xdplb_scale(0, counts[i]), 0);
		assert_int_equal(xdplb_scale(~0ULL, counts[i]), counts[i] - 1);
		for (int round = 0; round < 1000; round++)
			assert_true(xdplb_scale((uint64_t)random() << 33, counts[i]) < counts[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_valid_packet_is_read_as_it_was_written),
		cmocka_unit_test(a_prefix_of_a_packet_is_truncated_or_whole),
		cmocka_unit_test(a_rewritten_packet_equals_one_made_anew),
		cmocka_unit_test(a_checksum_is_right_whatever_it_was),
		cmocka_unit_test(folding_keeps_the_sum),
		cmocka_unit_test(hashes_of_neighbours_are_spread_evenly),
		cmocka_unit_test(every_bit_of_a_tuple_matters),
		cmocka_unit_test(the_source_hash_sees_the_source_alone),
		cmocka_unit_test(scaling_stays_below_its_count_and_reaches_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
