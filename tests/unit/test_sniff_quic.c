// SPDX-License-Identifier: GPL-2.0-only
/* QUIC as clients speak it: the RFCs' vectors, hellos in pieces, connection ids, tokens, early data. */
#include "quic_fixture.h"

#include <pthread.h>

static void assert_hex(const uint8_t *bytes, size_t len, const char *hex)
{
	uint8_t want[2048];

	assert_int_equal(unhex(hex, want), len);
	assert_memory_equal(bytes, want, len);
}

/* ---- vectors */

/* RFC 9001, A.1; RFC 9369, A.1. */
static void the_keys_are_those_of_the_rfcs(void **state)
{
	static const struct {
		uint32_t version;
		const char *key, *iv, *hp;
	} rows[] = { { MAKER_V1, VECTOR_V1_KEY, VECTOR_V1_IV, VECTOR_V1_HP },
		     { MAKER_V2, VECTOR_V2_KEY, VECTOR_V2_IV, VECTOR_V2_HP } };
	struct quic_crypto *crypto = quic_crypto_new();
	struct quic_keys keys;
	uint8_t cid[20];

	(void)state;
	assert_true(quic_crypto_start());
	for (size_t i = 0; i < 2; i++) {
		assert_true(quic_keys_derive(crypto, quic_version_find(rows[i].version), cid,
					     unhex(VECTOR_DCID, cid), &keys));
		assert_hex(keys.key, sizeof(keys.key), rows[i].key);
		assert_hex(keys.iv, sizeof(keys.iv), rows[i].iv);
		assert_hex(keys.hp, sizeof(keys.hp), rows[i].hp);
	}
	quic_crypto_free(crypto);
}

static struct made vector_frames(void)
{
	struct made frames = { .len = 0 };

	frames.len = unhex(VECTOR_FRAME, frames.data);
	put_byte(&frames, 0, VECTOR_PAYLOAD - frames.len);
	return frames;
}

/* RFC 9001, A.2; RFC 9369, A.2: byte for byte, there and back. */
static void check_vector(uint32_t version, const char *hex)
{
	struct made frames = vector_frames(), datagram = { .len = 0 };
	struct recipe recipe = recipe_make(version);
	struct sniff_info info = { .alpn_len = 0 };
	struct sniff_piece piece;

	recipe.number = VECTOR_NUMBER;
	recipe.number_len = 4;
	packet_make(&datagram, &recipe, &frames);
	assert_hex(datagram.data, datagram.len, hex);
	piece = (struct sniff_piece){ datagram.data, datagram.len };
	assert_int_equal(sniff_quic(&piece, 1, &info), SNIFF_YES);
	assert_string_equal(info.name, "example.com");
	assert_int_equal(info.alpn_len, 5);
	assert_memory_equal(info.alpn, "\4alpn", 5);
}

static void the_client_initials_of_the_rfcs_are_made_and_read(void **state)
{
	(void)state;
	check_vector(MAKER_V1, vector_v1);
	check_vector(MAKER_V2, vector_v2);
}

/* The frames come out of the vector as they went in. */
static void the_protection_comes_off_byte_for_byte(void **state)
{
	const char *vectors[] = { vector_v1, vector_v2 };
	struct made frames = vector_frames();
	struct quic_crypto *crypto = quic_crypto_new();

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		uint8_t packet[1200], plain[1200], *tiny = calloc(1, 37);
		struct quic_protected protected = { packet, unhex(vectors[i], packet), 18 };
		struct quic_protected too_short = { tiny, 37, 18 }; /* a byte short of a sample */
		int64_t largest = -1;
		struct quic_keys keys;
		size_t len;

		assert_true(quic_keys_derive(crypto, quic_version_find(i ? MAKER_V2 : MAKER_V1),
					     client_cid.data, client_cid.len, &keys));
		assert_true(quic_unprotect(crypto, &keys, &protected, &largest, plain, &len));
		assert_int_equal(largest, VECTOR_NUMBER);
		assert_int_equal(len, VECTOR_PAYLOAD);
		assert_memory_equal(plain, frames.data, len);
		assert_false(quic_unprotect(crypto, &keys, &too_short, &largest, plain, &len));
		free(tiny);
		packet[700] ^= 1;
		assert_false(quic_unprotect(crypto, &keys, &protected, &largest, plain, &len));
		assert_int_equal(largest, VECTOR_NUMBER);
	}
	quic_crypto_free(crypto);
}

/* RFC 9000, A.3, with its example. */
static void packet_numbers_are_those_next_to_the_expected(void **state)
{
	(void)state;
	assert_int_equal(quic_number_decode(0xa82f30ea, 0x9b32, 16), 0xa82f9b32);
	assert_int_equal(quic_number_decode(-1, 0, 8), 0);
	assert_int_equal(quic_number_decode(-1, 255, 8), 255);
	assert_int_equal(quic_number_decode(254, 0, 8), 256);
	assert_int_equal(quic_number_decode(256, 255, 8), 255);
	assert_int_equal(quic_number_decode(455, 72, 8), 584); /* half a window below and above */
	assert_int_equal(quic_number_decode(455, 73, 8), 329);
	assert_int_equal(quic_number_decode(-1, 0xffffffff, 32), 0xffffffff);
}

/* ---- hellos in pieces */

static void a_hello_in_one_initial_is_found(void **state)
{
	(void)state;
	for (unsigned number_len = 1; number_len <= 4; number_len++) {
		struct recipe recipe = recipe_make(number_len & 1 ? MAKER_V1 : MAKER_V2);
		struct flow *flow = flow_new(300);

		recipe.number_len = (uint8_t)number_len;
		recipe.number = 7;
		recipe.scid = server_cid;
		send_part(flow, &recipe, 0, 300);
		assert_int_equal(judge_free(flow), SNIFF_YES);
	}
}

static void a_hello_in_three_initials_is_found_in_any_order(void **state)
{
	static const size_t orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
					    { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	struct flow *flow = flow_new(HELLO_SIZE);
	struct recipe recipe = recipe_make(MAKER_V1);

	(void)state;
	for (recipe.number = 0; recipe.number < 3; recipe.number++)
		send_part(flow, &recipe, recipe.number * 700,
			  recipe.number < 2 ? (recipe.number + 1) * 700 : HELLO_SIZE);
	for (size_t i = 0; i < 6; i++) {
		memset(&flow->info, 0, sizeof(flow->info));
		assert_int_equal(judge_order(flow, orders[i]), SNIFF_YES);
		assert_string_equal(flow->info.name, NAME);
		flow->count = 2;
		assert_int_equal(judge_order(flow, orders[i]), SNIFF_MORE);
		flow->count = 3;
	}
	free(flow);
}

/* Two datagrams, in either order, by the hello's length with 1, 2, 5 and 31 bytes a piece. */
static void a_shuffled_hello_is_found(void **state)
{
	static const size_t steps[] = { 1, 2, 5, 31 };

	(void)state;
	for (size_t s = 0; s < 4; s++) {
		struct recipe recipe = recipe_make(s & 1 ? MAKER_V2 : MAKER_V1);
		static struct made frames[2];
		static const size_t swapped[] = { 1, 0 };
		size_t pieces = (220 + steps[s] - 1) / steps[s];
		struct flow *flow = flow_new(220);

		frames[0].len = frames[1].len = 0;
		for (size_t i = 0; i < pieces; i++) {
			size_t at = (i * 97 + 13) % pieces * steps[s]; /* 97: prime to them all */
			struct made *to = &frames[i & 1];

			put_byte(to, i % 3 == 0, i % 4); /* PADDING and PING */
			put_crypto(to, at, flow->hello.data,
				   at + steps[s] < 220 ? steps[s] : 220 - at);
		}
		for (recipe.number = 0; recipe.number < 2; recipe.number++)
			send_frames(flow, &recipe, &frames[recipe.number]);
		assert_int_equal(judge_order(flow, swapped), SNIFF_YES);
		assert_int_equal(judge_free(flow), SNIFF_YES);
	}
}

static void bytes_that_come_again_must_be_the_same(void **state)
{
	struct flow *flow = flow_new(HELLO_SIZE);
	struct recipe recipe = recipe_make(MAKER_V1);

	(void)state;
	send_part(flow, &recipe, 0, 900);
	recipe.number = 1;
	send_part(flow, &recipe, 0, 900); /* sent again */
	recipe.number = 2;
	send_part(flow, &recipe, 850, 1000);
	assert_int_equal(judge(flow), SNIFF_MORE);
	recipe.number = 3;
	send_part(flow, &recipe, 980, HELLO_SIZE);
	assert_int_equal(judge(flow), SNIFF_YES);

	flow->count--; /* the last one again, with another byte where it overlaps */
	flow->datagrams[flow->count].len = 0;
	flow->hello.data[990] ^= 1;
	send_part(flow, &recipe, 980, HELLO_SIZE);
	assert_int_equal(judge_free(flow), SNIFF_NO);
}

static void initials_in_one_datagram_are_all_read(void **state)
{
	struct flow *flow = flow_new(900);
	struct recipe recipe = recipe_make(MAKER_V1);
	static struct made frames;
	struct made *datagram = &flow->datagrams[0];

	(void)state;
	recipe.pad_to = 0;
	frames.len = 0;
	put_crypto(&frames, 500, flow->hello.data, 400);
	packet_make(datagram, &recipe, &frames);
	recipe.number = 1;
	recipe.pad_to = 1200;
	frames.len = 0;
	put_ack(&frames);
	put_crypto(&frames, 0, flow->hello.data, 500);
	packet_make(datagram, &recipe, &frames);
	flow->count = 1;
	assert_int_equal(judge_free(flow), SNIFF_YES);
}

/* RFC 9000, 12.2: what goes to another connection id in the same datagram is ignored. */
static void a_coalesced_packet_to_somebody_else_is_passed_over(void **state)
{
	struct flow *flow = flow_new(900);
	struct recipe recipe = recipe_make(MAKER_V1);
	static struct made frames;

	(void)state;
	recipe.pad_to = 0;
	frames.len = 0;
	put_crypto(&frames, 500, flow->hello.data, 400);
	packet_make(&flow->datagrams[0], &recipe, &frames);
	recipe.dcid = server_cid; /* readable with the keys, were it looked at */
	recipe.pad_to = 1200;
	frames.len = 0;
	put_crypto(&frames, 0, flow->hello.data, 500);
	packet_make(&flow->datagrams[0], &recipe, &frames);
	flow->count = 1;
	assert_int_equal(judge_free(flow), SNIFF_MORE);
}

/* ---- connection ids, tokens, 0-RTT */

static void a_token_is_stepped_over(void **state)
{
	static const size_t sizes[] = { 1, 63, 64, 300 };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct flow *flow = flow_new(300);
		struct recipe recipe = recipe_make(MAKER_V1);

		recipe.token_len = sizes[i];
		send_part(flow, &recipe, 0, 300);
		assert_int_equal(judge_free(flow), SNIFF_YES);
	}
}

/* RFC 9001, 5.2: the keys stay when the client speaks to the id that the server chose. */
static void later_initials_go_to_the_servers_connection_id(void **state)
{
	struct flow *flow = flow_new(HELLO_SIZE);
	struct recipe recipe = recipe_make(MAKER_V1);

	(void)state;
	send_part(flow, &recipe, 0, 1000);
	recipe.dcid = server_cid;
	recipe.number = 1;
	send_part(flow, &recipe, 1000, HELLO_SIZE);
	assert_int_equal(judge_free(flow), SNIFF_YES);
}

/* RFC 9369, 4.1: with compatible negotiation later ones are of the other version, same id. */
static void later_initials_may_be_of_the_other_version(void **state)
{
	struct flow *flow = flow_new(HELLO_SIZE);
	struct recipe recipe = recipe_make(MAKER_V1);

	(void)state;
	send_part(flow, &recipe, 0, 1000);
	recipe.version = MAKER_V2;
	recipe.dcid = server_cid;
	recipe.number = 1;
	send_part(flow, &recipe, 1000, HELLO_SIZE);
	assert_int_equal(judge_free(flow), SNIFF_YES);
}

/* RFC 9001, 5.2: after a Retry the keys are of the id in it; the hello starts over. */
static void a_retry_changes_the_keys(void **state)
{
	struct flow *flow = flow_new(HELLO_SIZE);
	struct recipe recipe = recipe_make(MAKER_V2);

	(void)state;
	send_part(flow, &recipe, 0, 1000);
	recipe.dcid = recipe.keys = server_cid;
	recipe.token_len = 40;
	recipe.number = 1;
	send_part(flow, &recipe, 0, 1000);
	assert_int_equal(judge(flow), SNIFF_MORE);
	recipe.number = 2;
	send_part(flow, &recipe, 1000, HELLO_SIZE);
	assert_int_equal(judge(flow), SNIFF_YES);

	/* Nor does it matter if that is the first that we see of it. */
	flow->datagrams[0] = flow->datagrams[1];
	flow->datagrams[1] = flow->datagrams[2];
	flow->count = 2;
	assert_int_equal(judge_free(flow), SNIFF_YES);
}

/* RFC 9000, 7.2: a client chooses at least 8 bytes; a server may choose none. */
static void a_first_connection_id_is_eight_bytes_at_least(void **state)
{
	(void)state;
	for (uint8_t len = 0; len <= 20; len++) {
		struct flow *flow = flow_new(300);
		struct recipe recipe = recipe_make(MAKER_V1);

		recipe.keys.len = recipe.dcid.len = len;
		send_part(flow, &recipe, 0, 300);
		assert_int_equal(judge_free(flow), len < 8 ? SNIFF_NO : SNIFF_YES);
	}
}

static void early_data_is_tolerated_anywhere(void **state)
{
	static const size_t early_first[] = { 1, 0 };
	struct flow *flow = flow_new(300);
	struct recipe recipe = recipe_make(MAKER_V1), early = recipe;
	static struct made frames;

	(void)state;
	early.type = QUIC_ZERO_RTT;
	early.pad_to = 0;
	frames.len = 0;
	put_byte(&frames, 0x5a, 500);
	put_crypto(&flow->datagrams[2], 0, flow->hello.data, 300);
	recipe.pad_to = 700;
	packet_make(&flow->datagrams[0], &recipe, &flow->datagrams[2]);
	packet_make(&flow->datagrams[0], &early, &frames); /* coalesced */
	early.number = 1;
	packet_make(&flow->datagrams[1], &early, &frames);
	assert_in_range(flow->datagrams[0].len, 1200, 1300);
	flow->count = 2;
	assert_int_equal(judge_order(flow, early_first), SNIFF_YES);
	assert_int_equal(judge_free(flow), SNIFF_YES);
}

static void early_data_alone_is_waited_out(void **state)
{
	struct flow *flow = flow_new(300);
	struct recipe recipe = recipe_make(MAKER_V2);

	(void)state;
	recipe.type = QUIC_ZERO_RTT;
	for (size_t i = 0; i < SNIFF_DATAGRAMS_MAX - 1; i++)
		send_part(flow, &recipe, 0, 300);
	assert_int_equal(judge(flow), SNIFF_MORE);
	send_part(flow, &recipe, 0, 300);
	assert_int_equal(judge(flow), SNIFF_NO);
	recipe.type = QUIC_INITIAL;
	send_part(flow, &recipe, 0, 300);
	assert_int_equal(judge_free(flow), SNIFF_NO);
}

/* ---- real clients */

/* A file of the fuzzer's corpus: a zero, and datagrams with two bytes of length in front. */
static struct flow *flow_read(const char *name)
{
	struct flow *flow = calloc(1, sizeof(*flow));
	char path[128];
	uint8_t size[2];
	FILE *file;

	snprintf(path, sizeof(path), "tests/fuzz/corpus/fuzz_quic/%s", name);
	file = fopen(path, "rb");
	assert_non_null(file);
	assert_int_equal(fgetc(file), 0);
	while (fread(size, 1, 2, file) == 2) {
		struct made *datagram = &flow->datagrams[flow->count++];

		datagram->len = (size_t)size[0] << 8 | size[1];
		assert_int_equal(fread(datagram->data, 1, datagram->len, file), datagram->len);
	}
	fclose(file);
	return flow;
}

/* Captured: ngtcp2's gtlsclient 0.12.1, Chromium 156. */
static void captured_clients_are_recognised(void **state)
{
	static const char *const rows[][2] = { { "gtlsclient-v1", "localhost" },
					       { "gtlsclient-v2-draft", "localhost" },
					       { "chromium", "www.a.example" },
					       { "chromium-swapped", "www.a.example" } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct flow *flow = flow_read(rows[i][0]);

		assert_int_equal(judge_order(flow, NULL), SNIFF_YES);
		assert_string_equal(flow->info.name, rows[i][1]);
		assert_int_equal(flow->info.alpn_len, 3);
		assert_memory_equal(flow->info.alpn, "\2h3", 3);
		free(flow);
	}
}

static void *judge_often(void *arg)
{
	const struct flow *flow = arg;
	size_t wrong = 0;

	for (unsigned i = 0; i < 100; i++) {
		struct sniff_piece piece = { flow->datagrams[0].data, flow->datagrams[0].len };
		struct sniff_info info;

		wrong += sniff_quic(&piece, 1, &info) != SNIFF_YES;
	}
	return (void *)wrong;
}

static void threads_do_not_mind_each_other(void **state)
{
	struct flow *flow = flow_new(300);
	struct recipe recipe = recipe_make(MAKER_V1);
	pthread_t threads[4];
	void *wrong;

	(void)state;
	send_part(flow, &recipe, 0, 300);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, judge_often, flow), 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
	free(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_keys_are_those_of_the_rfcs),
		cmocka_unit_test(the_client_initials_of_the_rfcs_are_made_and_read),
		cmocka_unit_test(the_protection_comes_off_byte_for_byte),
		cmocka_unit_test(packet_numbers_are_those_next_to_the_expected),
		cmocka_unit_test(a_hello_in_one_initial_is_found),
		cmocka_unit_test(a_hello_in_three_initials_is_found_in_any_order),
		cmocka_unit_test(a_shuffled_hello_is_found),
		cmocka_unit_test(bytes_that_come_again_must_be_the_same),
		cmocka_unit_test(initials_in_one_datagram_are_all_read),
		cmocka_unit_test(a_coalesced_packet_to_somebody_else_is_passed_over),
		cmocka_unit_test(a_token_is_stepped_over),
		cmocka_unit_test(later_initials_go_to_the_servers_connection_id),
		cmocka_unit_test(later_initials_may_be_of_the_other_version),
		cmocka_unit_test(a_retry_changes_the_keys),
		cmocka_unit_test(a_first_connection_id_is_eight_bytes_at_least),
		cmocka_unit_test(early_data_is_tolerated_anywhere),
		cmocka_unit_test(early_data_alone_is_waited_out),
		cmocka_unit_test(captured_clients_are_recognised),
		cmocka_unit_test(threads_do_not_mind_each_other),
	};

	return cmocka_run_group_tests_name("sniff_quic", tests, NULL, NULL);
}
