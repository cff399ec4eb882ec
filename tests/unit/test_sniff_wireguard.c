// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sniff/sniff.h"

/* A handshake initiation of wireguard-go, captured. */
#define INITIATION                                                         \
	"01000000eae6a8fd0b53502c91371db11d392d4b1f37dea5709132b3cabce5e3" \
	"877a23de77e2111b1ce2be2601ed50d483ab346548991da82855673928b60339" \
	"36031a9351a21eba829965c3353a374be9e8514ef6fc77278b15acd706b7e23a" \
	"64734f068f6c7af225c8b316366c8a010c32a2a2705016ff4a3e0c9d9cac470f" \
	"b7076c2b00000000000000000000000000000000"
#define INITIATION_LEN 148

static void initiation_fill(uint8_t bytes[INITIATION_LEN])
{
	for (size_t i = 0; i < INITIATION_LEN; i++) {
		unsigned byte;

		assert_int_equal(sscanf(&INITIATION[2 * i], "%2x", &byte), 1);
		bytes[i] = (uint8_t)byte;
	}
}

static enum sniff_verdict ask(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1); /* ASan sees one byte too far */
	struct sniff_piece piece = { copy, len };
	struct sniff_info info;
	enum sniff_verdict verdict;

	memcpy(copy, data, len);
	memset(&info, 0xa5, sizeof(info));
	verdict = sniff_wireguard(&piece, 1, &info);
	if (verdict == SNIFF_YES) {
		assert_string_equal(info.name, "");
		assert_int_equal(info.alpn_len, 0);
	}
	free(copy);
	return verdict;
}

static void a_captured_initiation_is_recognised(void **state)
{
	uint8_t bytes[INITIATION_LEN];

	(void)state;
	initiation_fill(bytes);
	assert_int_equal(ask(bytes, sizeof(bytes)), SNIFF_YES);
}

static void other_lengths_are_refused(void **state)
{
	uint8_t bytes[300] = { 0 };

	(void)state;
	initiation_fill(bytes);
	for (size_t len = 0; len < sizeof(bytes); len++)
		assert_int_equal(ask(bytes, len), len == INITIATION_LEN ? SNIFF_YES : SNIFF_NO);
}

/* Response, cookie and data belong to sessions that somebody knows. */
static void other_types_are_refused(void **state)
{
	uint8_t bytes[INITIATION_LEN];

	(void)state;
	for (size_t at = 0; at < 4; at++) {
		for (unsigned value = 0; value < 256; value++) {
			unsigned expected = at == 0;

			initiation_fill(bytes);
			bytes[at] = (uint8_t)value;
			assert_int_equal(ask(bytes, sizeof(bytes)),
					 value == expected ? SNIFF_YES : SNIFF_NO);
		}
	}
}

static void only_the_first_datagram_counts(void **state)
{
	uint8_t bytes[INITIATION_LEN];
	struct sniff_piece pieces[] = { { bytes, sizeof(bytes) }, { bytes, 1 } };
	struct sniff_piece swapped[] = { pieces[1], pieces[0] };
	struct sniff_info info;

	(void)state;
	initiation_fill(bytes);
	assert_int_equal(sniff_wireguard(pieces, 0, &info), SNIFF_MORE);
	assert_int_equal(sniff_wireguard(pieces, 2, &info), SNIFF_YES);
	assert_int_equal(sniff_wireguard(swapped, 2, &info), SNIFF_NO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_captured_initiation_is_recognised),
		cmocka_unit_test(other_lengths_are_refused),
		cmocka_unit_test(other_types_are_refused),
		cmocka_unit_test(only_the_first_datagram_counts),
	};

	return cmocka_run_group_tests_name("sniff_wireguard", tests, NULL, NULL);
}
