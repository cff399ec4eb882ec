// SPDX-License-Identifier: GPL-2.0-only
/* What is not QUIC, or not of a client: refused, and when; and the header that all versions share. */
#include "quic_fixture.h"

#include "xdplb/quic.h"

/* One datagram with these frames behind the whole hello. */
static enum sniff_verdict judge_frames(const void *frames, size_t len)
{
	struct flow *flow = flow_new(300);
	struct recipe recipe = recipe_make(MAKER_V1);
	struct made made = { .len = 0 };

	put_crypto(&made, 0, flow->hello.data, flow->hello.len);
	put(&made, frames, len);
	send_frames(flow, &recipe, &made);
	return judge_free(flow);
}

static void an_initial_in_a_short_datagram_is_discarded(void **state)
{
	struct flow *flow = flow_new(300);
	struct recipe recipe = recipe_make(MAKER_V1);

	(void)state;
	recipe.pad_to = 1199; /* RFC 9000, 14.1 */
	send_part(flow, &recipe, 0, 300);
	assert_int_equal(judge_free(flow), SNIFF_NO);
}

static void a_datagram_that_does_not_decrypt_is_ignored_if_one_did(void **state)
{
	struct flow *flow = flow_new(HELLO_SIZE);
	struct recipe recipe = recipe_make(MAKER_V1);

	(void)state;
	send_part(flow, &recipe, 0, 1000);
	recipe.number = 1;
	send_part(flow, &recipe, 1000, HELLO_SIZE);
	flow->datagrams[1].data[flow->datagrams[1].len - 1] ^= 1; /* of the tag */
	send_bytes(flow, "junk", 4);
	send_bytes(flow, "", 0);
	recipe.type = QUIC_HANDSHAKE;
	send_part(flow, &recipe, 0, 100);
	assert_int_equal(judge(flow), SNIFF_MORE);
	recipe.type = QUIC_INITIAL;
	recipe.number = 2;
	send_part(flow, &recipe, 1000, HELLO_SIZE);
	assert_int_equal(judge_free(flow), SNIFF_YES);
}

/* It has keys of its own, and no token that would say why. */
static void another_connection_from_the_same_port_is_ignored(void **state)
{
	struct flow *flow = flow_new(HELLO_SIZE);
	struct recipe recipe = recipe_make(MAKER_V1);

	(void)state;
	send_part(flow, &recipe, 0, 1000);
	recipe.keys.data[0] = recipe.dcid.data[0] = 0x55;
	recipe.number = 1;
	send_part(flow, &recipe, 1000, HELLO_SIZE);
	assert_int_equal(judge_free(flow), SNIFF_MORE);
}

/* RFC 9000, 17.2: such packets are not valid and are discarded. */
static void an_initial_without_the_fixed_bit_is_refused(void **state)
{
	struct flow *flow = flow_new(300);
	struct recipe recipe = recipe_make(MAKER_V1);

	(void)state;
	recipe.clear = XDPLB_QUIC_FIXED;
	send_part(flow, &recipe, 0, 300);
	assert_int_equal(judge_free(flow), SNIFF_NO);
}

/* RFC 9000, 12.4: a packet without a frame is an error of the connection. */
static void an_initial_without_frames_is_refused(void **state)
{
	struct flow *flow = flow_new(300);
	struct recipe recipe = recipe_make(MAKER_V1);
	static struct made frames;

	(void)state;
	recipe.number_len = 4;
	recipe.pad_to = 0;
	frames.len = 0;
	packet_make(&flow->datagrams[0], &recipe, &frames);
	recipe.number = 1;
	recipe.pad_to = 1200;
	put_crypto(&frames, 0, flow->hello.data, 300);
	packet_make(&flow->datagrams[0], &recipe, &frames);
	flow->count = 1;
	assert_int_equal(judge_free(flow), SNIFF_NO);
}

static void a_first_datagram_that_does_not_decrypt_is_no_quic(void **state)
{
	struct flow *flow = flow_new(300);
	struct recipe recipe = recipe_make(MAKER_V1);

	(void)state;
	send_part(flow, &recipe, 0, 300);
	for (size_t i = 0; i < flow->datagrams[0].len; i += 7) {
		flow->datagrams[0].data[i] ^= 1;
		assert_int_equal(judge(flow), SNIFF_NO);
		flow->datagrams[0].data[i] ^= 1;
	}
	free(flow);
}

static void a_truncated_datagram_is_no_quic(void **state)
{
	struct flow *flow = flow_new(300);
	struct recipe recipe = recipe_make(MAKER_V1);
	static const uint8_t zeros[200];

	(void)state;
	send_part(flow, &recipe, 0, 300);
	put(&flow->datagrams[0], zeros, sizeof(zeros)); /* garbage behind it does no harm */
	assert_int_equal(judge(flow), SNIFF_YES);
	while (flow->datagrams[0].len--)
		assert_int_equal(judge(flow), flow->datagrams[0].len < 1200 ? SNIFF_NO : SNIFF_YES);
	free(flow);
}

static void other_versions_are_refused_at_once(void **state)
{
	static const uint32_t versions[] = { 0,		 2,	     0xff00001d, 0x0a0a0a0a,
					     0x1a2a3a4a, 0x51303433, 0xffffffff };

	(void)state;
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		struct flow *flow = flow_new(300);
		struct recipe recipe = recipe_make(MAKER_V1);

		send_part(flow, &recipe, 0, 300);
		for (unsigned b = 0; b < 4; b++)
			flow->datagrams[0].data[1 + b] = (uint8_t)(versions[i] >> (24 - 8 * b));
		assert_int_equal(judge_free(flow), SNIFF_NO);
	}
}

static void other_packets_are_refused_at_once(void **state)
{
	static const uint8_t first_bytes[] = { 0x00, 0x40, 0x43, 0x7f, 0x80, 0x83, 0xe0, 0xf0 };

	(void)state;
	for (size_t i = 0; i < sizeof(first_bytes);
	     i++) { /* short, no fixed bit, Handshake, Retry */
		struct flow *flow = flow_new(300);
		struct recipe recipe = recipe_make(MAKER_V1);

		send_part(flow, &recipe, 0, 300);
		flow->datagrams[0].data[0] = first_bytes[i];
		assert_int_equal(judge_free(flow), SNIFF_NO);
	}
}

/* Server's packets are sealed with other keys: RFC 9001, A.3. */
static void a_servers_initial_is_no_clients(void **state)
{
	struct flow *flow = flow_new(300);
	uint8_t bytes[1200] = { 0 };

	(void)state;
	unhex(VECTOR_V1_SERVER, bytes);
	send_bytes(flow, bytes, sizeof(bytes));
	assert_int_equal(judge_free(flow), SNIFF_NO);
}

static void frames_that_no_initial_has_are_refused(void **state)
{
	static const uint8_t ack[] = { 0x02, 0x05, 0x00, 0x00, 0x05 };
	static const uint8_t many_ranges[] = { 0x02, 0x05, 0x00, 0xbf, 0xff, 0xff, 0xff, 0x00 };
	static const uint8_t far[] = { 0x06, 0x80, 0x00, 0x50, 0x00, 0x01, 'x' }; /* 20480 */
	static const uint8_t near[] = { 0x06, 0x80, 0x00, 0x4f, 0xff, 0x01, 'x' };
	static const uint8_t farther[] = { 0x06, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0 };

	(void)state;
	assert_int_equal(judge_frames(ack, sizeof(ack)), SNIFF_YES);
	assert_int_equal(judge_frames(near, sizeof(near)), SNIFF_YES);
	assert_int_equal(judge_frames(far, sizeof(far)), SNIFF_NO);
	assert_int_equal(judge_frames(farther, sizeof(farther)), SNIFF_NO);
	assert_int_equal(judge_frames(many_ranges, sizeof(many_ranges)), SNIFF_NO);
	assert_int_equal(judge_frames("\x1c", 1), SNIFF_NO); /* CONNECTION_CLOSE */
	assert_int_equal(judge_frames("\x08", 1), SNIFF_NO); /* STREAM */
	assert_int_equal(judge_frames("\x40\x01", 2), SNIFF_NO); /* PING in two bytes */
}

static void what_is_not_a_hello_is_refused(void **state)
{
	struct flow *flow = flow_new(300);
	struct recipe recipe = recipe_make(MAKER_V1);

	(void)state;
	flow->hello.data[0] = 2; /* ServerHello */
	send_part(flow, &recipe, 0, 1);
	assert_int_equal(judge_free(flow), SNIFF_NO);
}

static void eight_datagrams_decide(void **state)
{
	struct flow *flow = flow_new(HELLO_SIZE);
	struct recipe recipe = recipe_make(MAKER_V1);

	(void)state;
	for (; recipe.number < SNIFF_DATAGRAMS_MAX - 1; recipe.number++)
		send_part(flow, &recipe, 10 * recipe.number, 10 * (recipe.number + 1));
	assert_int_equal(judge(flow), SNIFF_MORE);
	send_part(flow, &recipe, 100, HELLO_SIZE / 2);
	assert_int_equal(judge(flow), SNIFF_NO);
	send_part(flow, &recipe, HELLO_SIZE / 2, HELLO_SIZE);
	assert_int_equal(judge_free(flow), SNIFF_NO);
}

static void junk_is_no_quic(void **state)
{
	struct flow *flow = flow_new(300);
	uint32_t seed = 1;
	uint8_t junk[1500];

	(void)state;
	flow->count = 1;
	for (unsigned round = 0; round < 300; round++) {
		for (size_t i = 0; i < sizeof(junk); i++) {
			seed = seed * 1664525 + 1013904223;
			junk[i] = (uint8_t)(seed >> 24);
		}
		if (round & 1) /* as if it were an Initial */
			memcpy(junk, "\xc0\0\0\0\1\10", 6);
		junk[0] &= round & 1 ? 0xcf : 0xff;
		flow->datagrams[0].len = 0;
		put(&flow->datagrams[0], junk, round * 5);
		assert_int_equal(judge(flow), SNIFF_NO);
	}
	free(flow);
}

static void nothing_is_waited_for(void **state)
{
	struct sniff_info info;

	(void)state;
	assert_int_equal(sniff_quic(NULL, 0, &info), SNIFF_MORE);
}

/* ---- the header that all versions share */

static void a_long_header_gives_both_connection_ids(void **state)
{
	uint8_t bytes[64] = { 0xc0, 0x12, 0x34, 0x56, 0x78, 3, 1, 2, 3, 20 };
	struct xdplb_quic_long head;
	struct xdplb_quic_cid cid;
	const uint8_t *pos = bytes;

	(void)state;
	memset(bytes + 10, 0xee, 20);
	assert_true(xdplb_quic_long_parse(&pos, bytes + 30, &head));
	assert_int_equal(head.version, 0x12345678);
	assert_ptr_equal(pos, bytes + 30);
	assert_int_equal(head.dcid_len, 3);
	assert_int_equal(head.scid_len, 20);
	assert_true(xdplb_quic_cid_load(&cid, head.dcid, head.dcid_len, bytes + 26));
	assert_int_equal(cid.len, 3);
	assert_memory_equal(cid.bytes, "\1\2\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
	assert_true(xdplb_quic_cid_load(&cid, head.scid, head.scid_len, bytes + 30));
	assert_memory_equal(cid.bytes, bytes + 10, 20);
	assert_false(xdplb_quic_cid_load(&cid, head.scid, head.scid_len, bytes + 29));
	for (size_t len = 0; len < 30; len++) {
		uint8_t *cut = malloc(len ? len : 1);

		memcpy(cut, bytes, len);
		pos = cut;
		assert_false(xdplb_quic_long_parse(&pos, cut + len, &head));
		free(cut);
	}
	bytes[9] = 21; /* longer than versions 1 and 2 have them */
	pos = bytes;
	assert_false(xdplb_quic_long_parse(&pos, bytes + 64, &head));
	bytes[0] = 0x40;
	pos = bytes;
	assert_false(xdplb_quic_long_parse(&pos, bytes + 64, &head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_initial_in_a_short_datagram_is_discarded),
		cmocka_unit_test(a_datagram_that_does_not_decrypt_is_ignored_if_one_did),
		cmocka_unit_test(another_connection_from_the_same_port_is_ignored),
		cmocka_unit_test(an_initial_without_the_fixed_bit_is_refused),
		cmocka_unit_test(an_initial_without_frames_is_refused),
		cmocka_unit_test(a_first_datagram_that_does_not_decrypt_is_no_quic),
		cmocka_unit_test(a_truncated_datagram_is_no_quic),
		cmocka_unit_test(other_versions_are_refused_at_once),
		cmocka_unit_test(other_packets_are_refused_at_once),
		cmocka_unit_test(a_servers_initial_is_no_clients),
		cmocka_unit_test(frames_that_no_initial_has_are_refused),
		cmocka_unit_test(what_is_not_a_hello_is_refused),
		cmocka_unit_test(eight_datagrams_decide),
		cmocka_unit_test(junk_is_no_quic),
		cmocka_unit_test(nothing_is_waited_for),
		cmocka_unit_test(a_long_header_gives_both_connection_ids),
	};

	return cmocka_run_group_tests_name("sniff_quic_wrong", tests, NULL, NULL);
}
