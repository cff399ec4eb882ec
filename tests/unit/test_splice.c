// SPDX-License-Identifier: GPL-2.0-only
/* The translation of spliced connections, in memory that ends exactly where the packet does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../bpf/translate.h"
#include "xdplb/splice.h"

#define ROUNDS 20000
#define ALIGN 2 /* bytes before an Ethernet header, so that words behind it lie straight */

static uint32_t any(uint32_t below)
{
	return (uint32_t)random() % below;
}

static uint32_t any32(void)
{
	return (uint32_t)random() << 1 ^ (uint32_t)random();
}

static struct shape any_shape(uint8_t options)
{
	bool v6 = any(2);

	return (struct shape){
		.src = { v6 ? ip6(any32()) : ip4(any32()), (uint16_t)any(65536) },
		.dst = { v6 ? ip6(any32()) : ip4(any32()), (uint16_t)any(65536) },
		.seq = any32(),
		.ack = any32(),
		.len = (uint16_t)any(100),
		.salt = (uint16_t)any(65536),
		.proto = IPPROTO_TCP,
		.flags = (uint8_t)any(256),
		.ttl = 64,
		.ip_options = (uint8_t)(v6 ? 0 : any(11) * 4),
		.tcp_options = options,
		.dst_mac = { 2 },
	};
}

/* Translates a copy of @frame's first @len bytes, of which ASan sees each that is too far. */
static void translated(struct frame *frame, uint32_t len, bool to_client,
		       const struct xdplb_splice *splice)
{
	uint8_t *copy = malloc(ALIGN + len);
	struct xdplb_pkt pkt;

	assert_non_null(copy);
	memcpy(copy + ALIGN, frame->data, len);
	assert_int_equal(xdplb_pkt_parse(copy + ALIGN, copy + ALIGN + len, &pkt), 0);
	if (to_client)
		xdplb_splice_to_client(&pkt, splice);
	else
		xdplb_splice_to_backend(&pkt, splice);
	memcpy(frame->data, copy + ALIGN, len);
	free(copy);
}

/* What the backend must see of a client's packet. */
static struct frame backend_sees(const struct shape *shape, const uint8_t *options, uint32_t delta)
{
	struct shape wanted = *shape;
	uint8_t shifted[40];

	memcpy(shifted, options, sizeof(shifted));
	if (shape->flags & ACK) {
		wanted.ack += delta;
		sacks_shift(shifted, shape->tcp_options, delta);
	}
	return frame_with(&wanted, 0x1234, shifted);
}

static void options_check(uint8_t size, const uint8_t *options)
{
	const struct xdplb_splice splice = { .delta = any32(), .shift = 3 };
	struct shape shape = any_shape(size);
	struct frame frame, wanted;

	shape.flags |= any(8) ? ACK : 0;
	frame = frame_with(&shape, 0x1234, options);
	wanted = backend_sees(&shape, options, splice.delta);
	translated(&frame, frame.len, false, &splice);
	assert_memory_equal(frame.data, wanted.data, wanted.len);
	assert_true(frame_sums_right(&frame));
}

/* ---- towards the backend */

static void a_packet_without_options_has_its_acknowledgement_translated(void **state)
{
	const uint8_t none[40] = { 0 };

	(void)state;
	for (int i = 0; i < ROUNDS; i++)
		options_check(0, none);
}

static void blocks_in_the_usual_form_are_translated(void **state)
{
	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		uint8_t blocks = (uint8_t)any(5), options[40] = { 1, 1, 5 };

		options[3] = (uint8_t)(2 + 8 * blocks);
		for (int at = 4; at < 40; at++)
			options[at] = (uint8_t)any(256);
		options_check((uint8_t)(4 + 8 * blocks + (any(4) ? 0 : any(2) * 4)), options);
	}
}

/* NOPs, then a SACK option of 0 to 4 blocks, then whatever: at even and odd offsets. */
static void blocks_at_any_offset_are_translated(void **state)
{
	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		uint32_t before = any(9), blocks = any(5), len = 2 + 8 * blocks;
		uint8_t options[40];

		for (int at = 0; at < 40; at++)
			options[at] = (uint8_t)any(256);
		while (before + len > 40)
			before--;
		memset(options, 1, before);
		options[before] = 5;
		options[before + 1] = (uint8_t)len;
		if (any(2) && before + len < 40)
			options[before + len] = 0;
		options_check((uint8_t)((before + len + 3) / 4 * 4), options);
	}
}

/* Among others: timestamps before, two SACK options, lengths that lead too far or nowhere. */
static void any_options_are_read_as_the_receiver_reads_them(void **state)
{
	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		uint8_t options[40];
		uint32_t at = 0;

		for (int j = 0; j < 40; j++)
			options[j] = (uint8_t)any(256);
		while (at < 38 && any(20)) {
			static const uint8_t lens[] = { 0, 1, 2, 3, 8, 10, 10, 10, 18, 26, 34, 40 };

			options[at] = (uint8_t)(any(2) ? 5 : any(9));
			if (options[at] == 1) {
				at++;
				continue;
			}
			options[at + 1] = lens[any(sizeof(lens))];
			at += options[at + 1] < 2 ? 2 : options[at + 1];
		}
		options_check((uint8_t)(any(11) * 4), options);
	}
}

/* Headers in memory that ends before their options do: what is there stays whole. */
static void options_beyond_the_end_are_not_looked_at(void **state)
{
	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		const struct xdplb_splice splice = { .delta = any32() };
		struct shape shape = any_shape(36);
		uint8_t options[40] = { 1, 1, 5, 34 };
		struct frame frame, before;
		uint32_t len;

		shape.flags |= ACK;
		shape.len = 0;
		if (any(2))
			options[any(4)] = 1;
		frame = before = frame_with(&shape, 0x1234, options);
		len = frame.len - any(37);
		translated(&frame, len, false, &splice);
		assert_memory_equal(frame.data + len, before.data + len, frame.len - len);
	}
}

/* ---- towards the client */

static void numbers_and_windows_of_the_backend_are_translated(void **state)
{
	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		uint8_t theirs = (uint8_t)any(15), ours = (uint8_t)any(15), options[40];
		const struct xdplb_splice splice = { .delta = any32(),
						     .shift = (int8_t)(theirs - ours) };
		struct shape shape = any_shape((uint8_t)(any(11) * 4)), wanted = shape;
		uint16_t window = (uint16_t)(any(4) ? any(65536) : any(3));
		struct frame frame, all;

		for (int j = 0; j < 40; j++)
			options[j] = (uint8_t)any(256);
		frame = frame_with(&shape, window, options);
		wanted.seq -= splice.delta;
		all = frame_with(&wanted,
				 shape.flags & SYN ? window : window_seen(window, theirs, ours),
				 options);
		frame_id_set(&all, (uint16_t)shape.seq);
		translated(&frame, frame.len, true, &splice);
		assert_memory_equal(frame.data, all.data, all.len);
		assert_true(frame_sums_right(&frame));
	}
}

static void a_window_is_never_closed_nor_opened_by_its_scale(void **state)
{
	(void)state;
	for (int shift = -14; shift <= 14; shift++) {
		assert_int_equal(xdplb_window_shift(0, (int8_t)shift), 0);
		for (uint32_t window = 1; window < 65536; window++) {
			uint16_t seen = xdplb_window_shift((uint16_t)window, (int8_t)shift);
			uint64_t bytes = (uint64_t)window << 14;
			uint64_t told = (uint64_t)seen << (14 - shift);

			assert_int_not_equal(seen, 0);
			if (seen < 65535)
				assert_true(told >= bytes && told - bytes < 1ULL << (14 - shift));
		}
	}
}

static void what_is_not_tcp_stays_as_it_is(void **state)
{
	const struct xdplb_splice splice = { .delta = 1, .shift = 1 };
	struct shape shape = any_shape(0);
	struct frame frame, before;

	(void)state;
	shape.proto = IPPROTO_UDP;
	frame = before = frame_make(&shape);
	translated(&frame, frame.len, true, &splice);
	translated(&frame, frame.len, false, &splice);
	assert_memory_equal(frame.data, before.data, frame.len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_packet_without_options_has_its_acknowledgement_translated),
		cmocka_unit_test(blocks_in_the_usual_form_are_translated),
		cmocka_unit_test(blocks_at_any_offset_are_translated),
		cmocka_unit_test(any_options_are_read_as_the_receiver_reads_them),
		cmocka_unit_test(options_beyond_the_end_are_not_looked_at),
		cmocka_unit_test(numbers_and_windows_of_the_backend_are_translated),
		cmocka_unit_test(a_window_is_never_closed_nor_opened_by_its_scale),
		cmocka_unit_test(what_is_not_tcp_stays_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
