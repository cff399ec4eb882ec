// SPDX-License-Identifier: GPL-2.0-only
/* The segment collector alone: order, repetition, overlap, bounds, the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/collect.h"

static uint8_t stream[COLLECT_MAX + 1000];

static void stream_fill(void)
{
	for (size_t i = 0; i < sizeof(stream); i++)
		stream[i] = (uint8_t)(i * 13 + (i >> 8));
}

static enum collect_result add(struct collect *in, int32_t at, size_t len)
{
	return collect_add(in, at, at < 0 ? stream : stream + at, len);
}

static void segments_in_order_grow(void **state)
{
	struct collect in = COLLECT_EMPTY;

	(void)state;
	assert_int_equal(add(&in, 0, 100), COLLECT_GREW);
	assert_int_equal(add(&in, 100, 1), COLLECT_GREW);
	assert_int_equal(in.len, 101);
	assert_memory_equal(in.data, stream, 101);
	collect_free(&in);
}

static void a_hole_is_filled_later(void **state)
{
	struct collect in = COLLECT_EMPTY;

	(void)state;
	assert_int_equal(add(&in, 200, 100), COLLECT_HELD);
	assert_int_equal(add(&in, 400, 100), COLLECT_HELD);
	assert_int_equal(in.spans, 2);
	assert_int_equal(collect_end(&in), 500);
	assert_int_equal(add(&in, 0, 200), COLLECT_GREW);
	assert_int_equal(in.len, 300);
	assert_int_equal(add(&in, 250, 200), COLLECT_GREW);
	assert_int_equal(in.len, 500);
	assert_int_equal(in.spans, 0);
	assert_memory_equal(in.data, stream, 500);
	collect_free(&in);
}

static void a_repeated_segment_is_old(void **state)
{
	struct collect in = COLLECT_EMPTY;

	(void)state;
	add(&in, 0, 100);
	add(&in, 200, 100);
	assert_int_equal(add(&in, 0, 100), COLLECT_OLD);
	assert_int_equal(add(&in, 220, 20), COLLECT_OLD);
	assert_int_equal(collect_add(&in, -50, stream, 50), COLLECT_OLD);
	assert_int_equal(collect_add(&in, INT32_MIN, stream, 50), COLLECT_OLD);
	collect_free(&in);
}

static void the_first_bytes_win(void **state)
{
	struct collect in = COLLECT_EMPTY;
	const uint8_t other[300] = { 0 };

	(void)state;
	add(&in, 100, 50);
	assert_int_equal(collect_add(&in, 0, other, 300), COLLECT_GREW);
	assert_int_equal(in.len, 300);
	assert_memory_equal(in.data, other, 100);
	assert_memory_equal(in.data + 100, stream + 100, 50);
	assert_memory_equal(in.data + 150, other, 150);
	collect_free(&in);
}

static void what_begins_before_the_stream_is_cut(void **state)
{
	struct collect in = COLLECT_EMPTY;
	uint8_t with_front[60];

	(void)state;
	memcpy(with_front + 10, stream, 50);
	assert_int_equal(collect_add(&in, -10, with_front, 60), COLLECT_GREW);
	assert_int_equal(in.len, 50);
	assert_memory_equal(in.data, stream, 50);
	collect_free(&in);
}

static void bytes_and_holes_are_bounded(void **state)
{
	struct collect in = COLLECT_EMPTY;

	(void)state;
	for (int i = 0; i < COLLECT_SPANS; i++)
		assert_int_equal(add(&in, 100 + i * 100, 10), COLLECT_HELD);
	assert_int_equal(add(&in, 5000, 10), COLLECT_REFUSED);
	assert_int_equal(add(&in, 110, 10), COLLECT_HELD); /* no further piece */
	assert_int_equal(add(&in, 0, 100), COLLECT_GREW);
	assert_int_equal(add(&in, COLLECT_MAX - 10, 30), COLLECT_HELD);
	assert_int_equal(add(&in, COLLECT_MAX, 10), COLLECT_REFUSED);
	assert_int_equal(add(&in, INT32_MAX, 10), COLLECT_REFUSED);
	assert_int_equal(collect_end(&in), COLLECT_MAX);
	assert_true(in.size >= COLLECT_MAX && in.size < COLLECT_MAX + 4096);
	collect_free(&in);
}

static void memory_grows_with_what_is_there(void **state)
{
	struct collect in = COLLECT_EMPTY;

	(void)state;
	assert_int_equal(collect_growth(&in, 0), 0);
	assert_int_equal(collect_growth(&in, 1), 256);
	add(&in, 0, 1);
	assert_int_equal(in.size, 256);
	assert_int_equal(collect_growth(&in, 256), 0);
	assert_int_equal(collect_growth(&in, 300), 256);
	assert_int_equal(collect_growth(&in, 1 << 30), COLLECT_MAX - 256);
	collect_free(&in);
	assert_int_equal(in.size, 0);
}

static void a_fin_ends_it_when_all_before_it_is_there(void **state)
{
	struct collect in = COLLECT_EMPTY;

	(void)state;
	add(&in, 0, 50);
	add(&in, 100, 50);
	collect_fin(&in, 120); /* bytes came behind it already: no */
	collect_fin(&in, -1);
	assert_int_equal(in.fin, COLLECT_NO_FIN);
	collect_fin(&in, 150);
	collect_fin(&in, 500);
	assert_int_equal(in.fin, 150);
	assert_false(collect_ended(&in));
	assert_int_equal(add(&in, 150, 10), COLLECT_REFUSED);
	assert_int_equal(add(&in, 50, 80), COLLECT_GREW);
	assert_true(collect_ended(&in));
	collect_free(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_in_order_grow),
		cmocka_unit_test(a_hole_is_filled_later),
		cmocka_unit_test(a_repeated_segment_is_old),
		cmocka_unit_test(the_first_bytes_win),
		cmocka_unit_test(what_begins_before_the_stream_is_cut),
		cmocka_unit_test(bytes_and_holes_are_bounded),
		cmocka_unit_test(memory_grows_with_what_is_there),
		cmocka_unit_test(a_fin_ends_it_when_all_before_it_is_there),
	};

	stream_fill();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
