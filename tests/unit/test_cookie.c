// SPDX-License-Identifier: GPL-2.0-only
/* SYN cookies: SipHash by its authors' vectors, and what a cookie remembers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "xdplb/cookie.h"

#define TICK (1ULL << XDPLB_COOKIE_TICK_SHIFT)

static const struct xdplb_cookie_secrets secrets = {
	.key = { { 0x0123456789abcdef, 0xfedcba9876543210 }, { 0x1111, 0x2222 } },
};

static const struct xdplb_tuple v4 = { .src = 0x0100000a,
				       .dst = 0x0a0200c0,
				       .sport = 0x1234,
				       .dport = 0xbb01,
				       .proto = IPPROTO_TCP };
static const struct xdplb_tuple v6 = { .src = 0x01000000,
				       .dst = 0x02000000,
				       .sport = 0x1234,
				       .dport = 0xbb01,
				       .proto = IPPROTO_TCP,
				       .v6 = 1,
				       .src_hi = { 0xfd, 1, 2 },
				       .dst_hi = { 0xfd, 3, 4 } };

/* Of the first @len bytes 00 01 02 ..., under the key 00 01 .. 0f. */
static uint64_t siphash(size_t len)
{
	const __u64 key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
	uint8_t bytes[64];
	struct xdplb_sip sip;
	uint64_t word;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	xdplb_sip_start(&sip, key);
	for (size_t i = 0; i < len / 8; i++) {
		memcpy(&word, bytes + i * 8, 8);
		xdplb_sip_word(&sip, word);
	}
	word = 0;
	memcpy(&word, bytes + len / 8 * 8, len % 8);
	return xdplb_sip_end(&sip, word, len);
}

/* The paper's own example (appendix A) and three of the vectors that come with its code. */
static void siphash_is_that_of_its_authors(void **state)
{
	(void)state;
	assert_int_equal(siphash(15), 0xa129ca6149be45e5);
	assert_int_equal(siphash(0), 0x726fdb47dd0e0e31);
	assert_int_equal(siphash(8), 0x93f5f5799a932462);
	assert_int_equal(siphash(63), 0x958a324ceb064572);
}

static void a_cookie_gives_back_what_was_put_in(void **state)
{
	static const uint16_t mss[][2] = { { 0, 536 },	   { 536, 536 },   { 1219, 536 },
					   { 1220, 1220 }, { 1299, 1220 }, { 1399, 1360 },
					   { 1400, 1400 }, { 1440, 1440 }, { 1452, 1440 },
					   { 1460, 1460 }, { 8939, 1460 }, { 8940, 8940 },
					   { 65535, 8940 } };
	static const uint8_t ours[][2] = { { 0, 0 }, { 3, 0 }, { 4, 4 }, { 6, 4 },
					   { 7, 7 }, { 8, 7 }, { 14, 9 } };

	(void)state;
	for (size_t i = 0; i < sizeof(mss) / sizeof(mss[0]); i++) {
		for (uint8_t all = 0; all < 15 * 2 * 7; all++) {
			struct xdplb_cookie_options in = { .mss = mss[i][0],
							   .wscale = all % 15,
							   .sack = all / 15 % 2,
							   .our_wscale = ours[all / 30][0] };
			struct xdplb_cookie_options out;
			uint32_t cookie = xdplb_cookie_make(&secrets, &v4, 7, 5 * TICK, &in);

			assert_int_equal(in.mss, mss[i][1]);
			assert_int_equal(in.our_wscale, ours[all / 30][1]);
			xdplb_cookie_options(cookie, &out);
			assert_int_equal(out.mss, in.mss);
			assert_int_equal(out.wscale, all % 15);
			assert_int_equal(out.sack, in.sack);
			assert_int_equal(out.our_wscale, in.our_wscale);
			assert_true(xdplb_cookie_check(&secrets, &v4, 7, cookie, 5 * TICK));
		}
	}
}

static void where_one_side_does_not_scale_neither_does(void **state)
{
	struct xdplb_cookie_options in = { .wscale = 15, .our_wscale = 7 }, out;

	(void)state;
	xdplb_cookie_options(xdplb_cookie_make(&secrets, &v6, 7, TICK, &in), &out);
	assert_int_equal(in.our_wscale, 15);
	assert_int_equal(out.our_wscale, 15);
	assert_int_equal(out.wscale, 15);
}

static uint32_t cookie_of(const struct xdplb_tuple *tuple, uint32_t isn, uint64_t now)
{
	struct xdplb_cookie_options options = { .mss = 1460, .wscale = 7, .our_wscale = 7 };

	return xdplb_cookie_make(&secrets, tuple, isn, now, &options);
}

static void a_cookie_is_one_connections_alone(void **state)
{
	const struct xdplb_tuple *tuples[] = { &v4, &v6 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		uint32_t cookie = cookie_of(tuples[i], 99, TICK);
		struct xdplb_tuple other = *tuples[i];

		assert_false(xdplb_cookie_check(&secrets, &other, 98, cookie, TICK));
		other.sport ^= 1;
		assert_false(xdplb_cookie_check(&secrets, &other, 99, cookie, TICK));
		other = *tuples[i];
		other.dst ^= 1;
		assert_false(xdplb_cookie_check(&secrets, &other, 99, cookie, TICK));
		other = v6;
		other.dst_hi[2] ^= 1;
		assert_false(xdplb_cookie_check(&secrets, &other, 99, cookie, TICK));
		for (uint32_t bit = 0; bit < 32; bit++)
			assert_false(xdplb_cookie_check(&secrets, tuples[i], 99, cookie ^ 1U << bit,
							TICK));
	}
}

static void an_expired_cookie_stays_dead_when_its_bit_comes_round(void **state)
{
	(void)state;
	for (uint64_t made = 0; made < 4; made++) {
		uint32_t cookie = cookie_of(&v4, 1, made * TICK);
		uint32_t good = 0;

		for (uint64_t now = 0; now < 5000; now++) {
			bool right = xdplb_cookie_check(&secrets, &v4, 1, cookie, now * TICK + 5);

			if (now == made || now == made + 1)
				assert_true(right);
			else
				good += right;
		}
		assert_in_range(good, 0, 1); /* one guess in 2^20 */
	}
}

static void the_previous_secret_is_good_and_a_third_is_not(void **state)
{
	struct xdplb_cookie_secrets now = secrets;
	uint32_t cookie = cookie_of(&v6, 1, TICK);

	(void)state;
	now.current = 1;
	now.key[1][0] = 5;
	assert_true(xdplb_cookie_check(&now, &v6, 1, cookie, TICK));
	now.key[0][1] = 5;
	assert_false(xdplb_cookie_check(&now, &v6, 1, cookie, TICK));
}

static void forgeries_succeed_as_seldom_as_guesses(void **state)
{
	uint32_t right = 0;

	(void)state;
	for (uint32_t i = 0; i < 1U << 22; i++)
		right += xdplb_cookie_check(&secrets, &v4, i, i * 2654435761U, TICK);
	assert_in_range(right, 0, 30); /* 4 are to be expected */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_is_that_of_its_authors),
		cmocka_unit_test(a_cookie_gives_back_what_was_put_in),
		cmocka_unit_test(where_one_side_does_not_scale_neither_does),
		cmocka_unit_test(a_cookie_is_one_connections_alone),
		cmocka_unit_test(an_expired_cookie_stays_dead_when_its_bit_comes_round),
		cmocka_unit_test(the_previous_secret_is_good_and_a_third_is_not),
		cmocka_unit_test(forgeries_succeed_as_seldom_as_guesses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
