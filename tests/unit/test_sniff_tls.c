// SPDX-License-Identifier: GPL-2.0-only
/* TLS: hellos of real clients, made ones, and ones that lie, at every prefix. */
#include "sniff_fixture.h"

#define HELLO_MAX 30000

/* A ClientHello in the making: the tests add extensions and break what they like. */
struct hello {
	uint8_t bytes[HELLO_MAX];
	size_t len;
	size_t extensions; /* where their length stands */
};

static void put(struct hello *hello, const void *data, size_t len)
{
	assert_true(hello->len + len <= sizeof(hello->bytes));
	memcpy(hello->bytes + hello->len, data, len);
	hello->len += len;
}

static void put_number(struct hello *hello, size_t number, unsigned width)
{
	for (unsigned shift = 8 * width; shift; shift -= 8)
		put(hello, &(uint8_t){ (uint8_t)(number >> (shift - 8)) }, 1);
}

/* Sets the lengths of the message and of its extensions to what is there. */
static void hello_close(struct hello *hello)
{
	size_t body = hello->len - 4, extensions = hello->len - hello->extensions - 2;

	hello->bytes[1] = (uint8_t)(body >> 16);
	hello->bytes[2] = (uint8_t)(body >> 8);
	hello->bytes[3] = (uint8_t)body;
	hello->bytes[hello->extensions] = (uint8_t)(extensions >> 8);
	hello->bytes[hello->extensions + 1] = (uint8_t)extensions;
}

static struct hello *hello_begin(void)
{
	struct hello *hello = calloc(1, sizeof(*hello));

	assert_non_null(hello);
	put(hello, "\1\0\0\0\3\3", 6);
	for (int i = 0; i < 32; i++)
		put_number(hello, 7U * (unsigned)i, 1);
	put_number(hello, 0, 1); /* session id */
	put(hello, "\0\4\x13\1\x13\2", 6); /* cipher suites */
	put(hello, "\1\0", 2); /* compression */
	hello->extensions = hello->len;
	put_number(hello, 0, 2);
	return hello;
}

static void put_extension(struct hello *hello, unsigned type, const void *data, size_t len)
{
	put_number(hello, type, 2);
	put_number(hello, len, 2);
	put(hello, data, len);
	hello_close(hello);
}

static void put_server_name(struct hello *hello, const char *name)
{
	size_t len = strlen(name);

	put_number(hello, 0, 2);
	put_number(hello, len + 5, 2);
	put_number(hello, len + 3, 2);
	put_number(hello, 0, 1);
	put_number(hello, len, 2);
	put(hello, name, len);
	hello_close(hello);
}

/* In records of @step bytes; returns the length of the stream. */
static size_t records_of(const struct hello *hello, size_t step, uint8_t *stream)
{
	size_t len = 0;

	for (size_t at = 0; at < hello->len; at += step) {
		size_t part = hello->len - at < step ? hello->len - at : step;
		uint8_t header[] = { 22, 3, 1, (uint8_t)(part >> 8), (uint8_t)part };

		memcpy(stream + len, header, sizeof(header));
		memcpy(stream + len + sizeof(header), hello->bytes + at, part);
		len += sizeof(header) + part;
	}
	return len;
}

/* @hello, in one record, is @verdict from byte @at of the stream on; frees it. */
static struct sniff_info hello_is(struct hello *hello, size_t at, enum sniff_verdict verdict)
{
	static uint8_t stream[2 * HELLO_MAX];
	struct sniff_info info = decided(XDPLB_PROTOCOL_TLS, stream,
					 records_of(hello, 1 << 14, stream), at, verdict);

	free(hello);
	return info;
}

static void named(const char *name, const char *found)
{
	struct hello *hello = hello_begin();
	struct sniff_info info;

	put_server_name(hello, name);
	info = hello_is(hello, DECIDED_AT_END, SNIFF_YES);
	assert_string_equal(info.name, found);
}

static void hellos_of_real_clients_have_their_names_and_lists(void **state)
{
	struct sniff_info info;

	(void)state;
	info = sample_is(XDPLB_PROTOCOL_TLS, "tls-openssl-1.3", DECIDED_AT_END, "a.example");
	assert_int_equal(info.alpn_len, 12);
	assert_memory_equal(info.alpn, "\2h2\10http/1.1", 12);
	info = sample_is(XDPLB_PROTOCOL_TLS, "tls-openssl-1.2", DECIDED_AT_END, "a.b.example");
	assert_int_equal(info.alpn_len, 0);
	sample_is(XDPLB_PROTOCOL_TLS, "tls-openssl-noname", DECIDED_AT_END, "");
	sample_is(XDPLB_PROTOCOL_TLS, "tls-openssl-split", DECIDED_AT_END, "split.example");
	info = sample_is(XDPLB_PROTOCOL_TLS, "tls-curl", DECIDED_AT_END, "c.example");
	assert_memory_equal(info.alpn, "\2h2\10http/1.1", 12);
}

static void a_hello_of_two_segments_with_grease_and_ech_has_its_outer_name(void **state)
{
	struct sniff_info info = sample_is(XDPLB_PROTOCOL_TLS, "tls-made-post-quantum",
					   DECIDED_AT_END, "pq.b.example");

	(void)state;
	assert_int_equal(info.alpn_len, 12); /* without the grease */
	assert_memory_equal(info.alpn, "\2h2\10http/1.1", 12);
}

static void the_post_quantum_hello_of_chromium_has_its_name(void **state)
{
	struct sniff_info info =
		sample_is(XDPLB_PROTOCOL_TLS, "tls-chromium", DECIDED_AT_END, "a.example");

	(void)state;
	assert_int_equal(info.alpn_len, 12);
	assert_memory_equal(info.alpn, "\2h2\10http/1.1", 12);
}

static void names_of_a_list_too_long_are_left_out_whole(void **state)
{
	struct sniff_info info =
		sample_is(XDPLB_PROTOCOL_TLS, "tls-openssl-big", DECIDED_AT_END, "big.b.example");
	size_t at = 0;

	(void)state;
	assert_in_range(info.alpn_len, 400, SNIFF_ALPN_MAX);
	while (at < info.alpn_len)
		at += 1U + info.alpn[at];
	assert_int_equal(at, info.alpn_len);
}

static void a_hello_may_come_in_records_of_any_size(void **state)
{
	static uint8_t stream[2 * HELLO_MAX];

	(void)state;
	for (size_t step = 1; step < 120; step += step < 8 ? 1 : 13) {
		struct hello *hello = hello_begin();
		struct sniff_info info;

		put_server_name(hello, "a.example");
		info = decided(XDPLB_PROTOCOL_TLS, stream, records_of(hello, step, stream),
			       DECIDED_AT_END, SNIFF_YES);
		assert_string_equal(info.name, "a.example");
		free(hello);
	}
	/* Empty ones between them, all versions, early data behind it that is not waited for. */
	sample_is(XDPLB_PROTOCOL_TLS, "tls-made-records", 1725, "pq.b.example");
}

static void empty_records_are_borne_with_for_a_while(void **state)
{
	uint8_t stream[5 * 33];

	(void)state;
	for (size_t at = 0; at < sizeof(stream); at += 5)
		memcpy(stream + at, "\26\3\1\0\0", 5);
	decided(XDPLB_PROTOCOL_TLS, stream, 5 * 32, SIZE_MAX - 1, SNIFF_MORE);
	decided(XDPLB_PROTOCOL_TLS, stream, sizeof(stream), sizeof(stream), SNIFF_NO);
}

static void a_hello_of_sixteen_kilobytes_is_waited_for_and_no_larger_one(void **state)
{
	static uint8_t stream[2 * HELLO_MAX], padding[26000];
	struct sniff_info info;
	struct hello *hello;
	size_t len;

	(void)state;
	for (size_t size = 16000; size <= 26000; size += 10000) {
		bool small = size == 16000;

		hello = hello_begin();
		put_extension(hello, 21, padding, size);
		put_server_name(hello, "a.example");
		len = records_of(hello, 512, stream);
		free(hello);
		assert_int_equal(verdict_of(XDPLB_PROTOCOL_TLS, XDPLB_OVER_TCP, stream,
					    small ? len - 1 : 7, &info),
				 SNIFF_MORE);
		assert_int_equal(verdict_of(XDPLB_PROTOCOL_TLS, XDPLB_OVER_TCP, stream,
					    small ? len : 8, &info),
				 small ? SNIFF_YES : SNIFF_NO);
	}
}

static void a_hello_that_cannot_come_in_time_is_not_waited_for(void **state)
{
	static uint8_t stream[7 * HELLO_MAX], padding[16000];
	struct hello *hello = hello_begin();
	enum sniff_verdict verdict, last = SNIFF_MORE;
	struct sniff_info info;
	size_t decided_at = 0;

	(void)state;
	put_extension(hello, 21, padding, sizeof(padding));
	records_of(hello, 1, stream); /* six bytes for one: four fifths of it never come */
	for (size_t n = 0; n < SNIFF_STREAM_MAX + 100; n += 1) {
		verdict = verdict_of(XDPLB_PROTOCOL_TLS, XDPLB_OVER_TCP, stream, n, &info);
		if (last == SNIFF_MORE && verdict == SNIFF_NO)
			decided_at = n;
		assert_true(verdict == last || n == decided_at);
		last = verdict;
	}
	assert_in_range(decided_at, 1000, SNIFF_STREAM_MAX - 1);
	free(hello);
}

static void names_are_lower_case_and_valid_or_none(void **state)
{
	char longest[300];

	(void)state;
	named("WWW.A.Example", "www.a.example");
	named("a.example.", "a.example");
	named("_sip.under_score.example", "_sip.under_score.example");
	named("a..example", "");
	named(".a.example", "");
	named(".", "");
	named("a example", "");
	named("a/example", "");
	named("\xc3\xa4.example", "");
	named("192.0.2.10", "");
	named("2001:db8::1", "");
	named("1.example", "1.example");
	memset(longest, 'a', sizeof(longest));
	for (int i = 63; i < 256; i += 64)
		longest[i] = '.';
	longest[253] = '\0';
	named(longest, longest);
	longest[253] = 'a';
	longest[254] = '\0';
	named(longest, "");
	longest[63] = 'a';
	longest[200] = '\0';
	named(longest, "");
}

static void a_name_with_a_nul_in_it_is_none(void **state)
{
	struct hello *hello = hello_begin();
	struct sniff_info info;

	(void)state;
	put_extension(hello, 0, "\0\14\0\0\11a.ex\0mple", 14);
	info = hello_is(hello, DECIDED_AT_END, SNIFF_YES);
	assert_string_equal(info.name, "");
}

static void other_types_of_names_are_passed_over(void **state)
{
	struct hello *hello = hello_begin();
	struct sniff_info info;

	(void)state;
	put_extension(hello, 0, "\0\20\7\0\1x\0\0\11a.example", 18);
	info = hello_is(hello, DECIDED_AT_END, SNIFF_YES);
	assert_string_equal(info.name, "a.example");
}

static void extensions_may_be_missing(void **state)
{
	(void)state;
	sample_is(XDPLB_PROTOCOL_TLS, "tls-made-no-extensions", DECIDED_AT_END, "");
}

static void what_is_no_hello_is_refused_at_the_byte_that_says_so(void **state)
{
	(void)state;
	decided(XDPLB_PROTOCOL_TLS, LITERAL("GET / HTTP/1.1"), 1, SNIFF_NO);
	decided(XDPLB_PROTOCOL_TLS, LITERAL("\25\3\3\0\2\2\50"), 1, SNIFF_NO); /* an alert */
	decided(XDPLB_PROTOCOL_TLS, LITERAL("\26\2\0"), 2, SNIFF_NO);
	decided(XDPLB_PROTOCOL_TLS, LITERAL("\26\3\5\0"), 3, SNIFF_NO);
	decided(XDPLB_PROTOCOL_TLS, LITERAL("\26\3\1\x41\0"), 4, SNIFF_NO); /* a record too large */
	decided(XDPLB_PROTOCOL_TLS, LITERAL("\26\3\1\x40\1"), 5, SNIFF_NO);
	decided(XDPLB_PROTOCOL_TLS, LITERAL("\26\3\1\1\0\2\0"), 6, SNIFF_NO); /* a ServerHello */
	decided(XDPLB_PROTOCOL_TLS, LITERAL("\26\3\1\1\0\1\1"), 7, SNIFF_NO); /* 64 kB at least */
	decided(XDPLB_PROTOCOL_TLS, LITERAL("\26\3\1\1\0\1\0\x51\0"), 8, SNIFF_NO); /* 20 kB */
	decided(XDPLB_PROTOCOL_TLS, LITERAL("\26\3\1\1\0\1\0\0\x28\3"), 9, SNIFF_NO); /* 40 bytes */
	decided(XDPLB_PROTOCOL_TLS, LITERAL("\26\3\1\1\0\1\0\1\0\2"), 10, SNIFF_NO);
}

/* Sets byte @at of a hello with a name to @byte: decided, where @from is counted in the hello. */
static void lie(size_t at, uint8_t byte, size_t from)
{
	struct hello *hello = hello_begin();

	put_server_name(hello, "a.example");
	hello->bytes[at] = byte;
	hello_is(hello, from + 5, SNIFF_NO);
}

static void lengths_that_lie_are_refused_as_soon_as_they_are_read(void **state)
{
	(void)state;
	lie(38, 33, 39); /* session id: 32 at most */
	lie(39, 1, 40); /* cipher suites, high byte: more than there is */
	lie(40, 5, 41); /* odd */
	lie(40, 0, 41); /* none */
	lie(45, 0, 46); /* no compression, and */
	lie(45, 200, 46); /* too much of it */
	lie(47, 1, 48); /* extensions: not just what is left */
	lie(48, 17, 49);
	lie(48, 19, 49);
	lie(52, 15, 53); /* the extension */
	lie(52, 13, 55); /* its list does not fill it */
	lie(52, 5, 53); /* too short for a name */
	lie(54, 13, 55); /* the list */
	lie(57, 10, 58); /* the name */
	lie(57, 0, 58);
}

static void names_and_lists_given_twice_are_refused(void **state)
{
	struct hello *hello = hello_begin();
	size_t before;

	(void)state;
	put_server_name(hello, "a.example");
	before = hello->len;
	put_server_name(hello, "b.example");
	hello_is(hello, 5 + before + 2, SNIFF_NO);

	hello = hello_begin();
	put_extension(hello, 16, "\0\3\2h2", 5);
	before = hello->len;
	put_extension(hello, 16, "\0\3\2h2", 5);
	hello_is(hello, 5 + before + 2, SNIFF_NO);

	hello = hello_begin();
	before = hello->len;
	put_extension(hello, 0, "\0\30\0\0\11a.example\0\0\11b.example", 26);
	hello_is(hello, 5 + before + 4 + 2 + 12 + 1, SNIFF_NO);
}

static void protocol_lists_that_do_not_add_up_are_refused(void **state)
{
	struct hello *hello = hello_begin();
	size_t before = hello->len;

	(void)state;
	put_extension(hello, 16, "\0\4\2h2\1", 6);
	hello_is(hello, 5 + before + 4 + 3, SNIFF_NO); /* one byte will be left: no name */
	hello = hello_begin();
	put_extension(hello, 16, "\0\3\0h2", 5);
	hello_is(hello, 5 + before + 4 + 3, SNIFF_NO);
	hello = hello_begin();
	put_extension(hello, 16, "\0\3\3h2", 5);
	hello_is(hello, 5 + before + 4 + 3, SNIFF_NO);
}

static void nobody_else_takes_a_hello(void **state)
{
	(void)state;
	only_one_takes(XDPLB_PROTOCOL_TLS, "tls-openssl-1.3");
	only_one_takes(XDPLB_PROTOCOL_TLS, "tls-made-post-quantum");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hellos_of_real_clients_have_their_names_and_lists),
		cmocka_unit_test(a_hello_of_two_segments_with_grease_and_ech_has_its_outer_name),
		cmocka_unit_test(the_post_quantum_hello_of_chromium_has_its_name),
		cmocka_unit_test(names_of_a_list_too_long_are_left_out_whole),
		cmocka_unit_test(a_hello_may_come_in_records_of_any_size),
		cmocka_unit_test(empty_records_are_borne_with_for_a_while),
		cmocka_unit_test(a_hello_of_sixteen_kilobytes_is_waited_for_and_no_larger_one),
		cmocka_unit_test(a_hello_that_cannot_come_in_time_is_not_waited_for),
		cmocka_unit_test(names_are_lower_case_and_valid_or_none),
		cmocka_unit_test(a_name_with_a_nul_in_it_is_none),
		cmocka_unit_test(other_types_of_names_are_passed_over),
		cmocka_unit_test(extensions_may_be_missing),
		cmocka_unit_test(what_is_no_hello_is_refused_at_the_byte_that_says_so),
		cmocka_unit_test(lengths_that_lie_are_refused_as_soon_as_they_are_read),
		cmocka_unit_test(names_and_lists_given_twice_are_refused),
		cmocka_unit_test(protocol_lists_that_do_not_add_up_are_refused),
		cmocka_unit_test(nobody_else_takes_a_hello),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
