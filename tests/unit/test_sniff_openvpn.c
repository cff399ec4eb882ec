// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sniff/sniff.h"

/* First datagrams of OpenVPN 2.6.14, captured. */

/* no wrapping */
#define PLAIN "38464a4b459ad3befa0000000000"

/* --tls-auth, HMAC-SHA1 */
#define AUTH_SHA1                                                          \
	"38ff68c3cfdc3f39019b0ad03072f5a60935f98972acac98776f07f31d000000" \
	"016b019f2e0000000000"

/* --tls-auth --auth SHA256 */
#define AUTH_SHA256                                                        \
	"38f59491d8997f4e35328543b781119f004cd87240c159ea9222af8629c2a6b5" \
	"c05ed40135c0ac7ca2000000016b019f320000000000"

/* --tls-auth --auth SHA512 */
#define AUTH_SHA512                                                        \
	"381b68b18cd5ac7c8c6e882f9a1b1453c42cbb8b7664f3fdc931cc99e2b2e3be" \
	"d90ad2826dd6700bbef7c2267bf980cecca66a7500e00486214b8042c9baa117" \
	"91897c063f1c2beead000000016b019f350000000000"

/* --tls-crypt */
#define CRYPT                                                              \
	"387fb68db527f92e0a000000016b019f38fc9e5248c88f1945abed835dc0742b" \
	"3c1e948eb0d752f251b5392646bde9e60acc9c4985cb"

/* --tls-crypt-v2 */
#define CRYPT_V2                                                           \
	"50da3a737d88cad5fd0f0000016b019f3be7c578d86753565b7b736d89e0a5be" \
	"4bb2783ff8b33785ee6561f69077f0e0f292bdf69859f4178d8c6673fd7ad836" \
	"59a757a7be9118f9480915db1bf416e6b80a29d41fd35b3b989c9fee9f37a64c" \
	"9e0f6e15fba95c1fbc4d88e7b251a00e15620ad8dc120244b2629b85fd4ee0b1" \
	"b4eee36a6d9edd79448990f6bc744438de46d8208e8b4636b8ff3a49ccc40a63" \
	"86ecb78a46b89d0e3b9153338d35fd422e763867448b8c94583960768e2db7d8" \
	"bc6aa1f45f85b99f9515ae6d53b5cb8c1085085d9654aa2a474989c491f1b764" \
	"9ef8855d7b41e68f7039070f1ac7722f04fc3defc9adab4f24caee9713aa1bca" \
	"75d9533c9ce0fdae83049c00a57221b6407e45ec98701f261cd689361bb8fd35" \
	"2dd63c265e29d34cea3cd8a25a248f71f60ad680ceac5974f73ac0e2702701b0" \
	"51352d6963a855bec21bf1c4d4186c9fad4aae6b7f4596c1842098e255660701" \
	"2b"

#define MESSAGE_MAX 2048

static const char *const captures[] = {
	PLAIN, AUTH_SHA1, AUTH_SHA256, AUTH_SHA512, CRYPT, CRYPT_V2
};
#define CAPTURES (sizeof(captures) / sizeof(captures[0]))

struct message {
	uint8_t data[2 + MESSAGE_MAX]; /* two bytes of room for the length */
	size_t len;
};

static struct message message_of(const char *hex)
{
	struct message message = { .len = strlen(hex) / 2 };

	for (size_t i = 0; i < message.len; i++) {
		unsigned byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		message.data[2 + i] = (uint8_t)byte;
	}
	message.data[0] = (uint8_t)(message.len >> 8);
	message.data[1] = (uint8_t)message.len;
	return message;
}

/* In memory of its own size, so that ASan sees one byte too far. */
static enum sniff_verdict ask(sniffer *sniff_it, const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct sniff_piece piece = { copy, len };
	struct sniff_info info;
	enum sniff_verdict verdict;

	memcpy(copy, data, len);
	memset(&info, 0xa5, sizeof(info));
	verdict = sniff_it(&piece, 1, &info);
	if (verdict == SNIFF_YES) {
		assert_string_equal(info.name, "");
		assert_int_equal(info.alpn_len, 0);
	}
	free(copy);
	return verdict;
}

static enum sniff_verdict ask_udp(const struct message *message)
{
	return ask(sniff_openvpn_udp, message->data + 2, message->len);
}

/* The verdict upon all of @len bytes; it must stand from the first byte that it is given at. */
static enum sniff_verdict ask_tcp(const uint8_t *data, size_t len)
{
	enum sniff_verdict verdict = SNIFF_MORE, next;

	for (size_t have = 0; have <= len; have++) {
		next = ask(sniff_openvpn_tcp, data, have);
		assert_true(verdict == SNIFF_MORE || verdict == next);
		verdict = next;
	}
	return verdict;
}

static void captured_resets_are_recognised(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAPTURES; i++) {
		struct message message = message_of(captures[i]);

		assert_int_equal(ask_udp(&message), SNIFF_YES);
		assert_int_equal(ask_tcp(message.data, 2 + message.len), SNIFF_YES);
		assert_int_equal(ask_tcp(message.data, 1 + message.len), SNIFF_MORE);
	}
}

static void a_reset_of_key_method_1_is_recognised(void **state)
{
	struct message message = message_of(PLAIN);

	(void)state;
	message.data[2] = 1 << 3;
	assert_int_equal(ask_udp(&message), SNIFF_YES);
	assert_int_equal(ask_tcp(message.data, 2 + message.len), SNIFF_YES);
}

static void a_reset_that_is_sent_again_is_recognised(void **state)
{
	struct message message = message_of(CRYPT);

	(void)state;
	message.data[2 + 9 + 3] = 4; /* the fifth packet */
	assert_int_equal(ask_udp(&message), SNIFF_YES);
	message.data[2 + 9 + 2] = 1;
	assert_int_equal(ask_udp(&message), SNIFF_NO);
}

static void other_opcodes_and_keys_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAPTURES; i++) {
		struct message message = message_of(captures[i]);

		for (unsigned first = 0; first < 256; first++) {
			bool same = first == message.data[2] ||
				    (message.data[2] == 7 << 3 && first == 1 << 3);
			struct message other = message;

			other.data[2] = (uint8_t)first;
			assert_int_equal(ask_udp(&other), same ? SNIFF_YES : SNIFF_NO);
			assert_int_equal(ask_tcp(other.data, 3), same ? SNIFF_MORE : SNIFF_NO);
		}
	}
}

static void other_lengths_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAPTURES; i++) {
		struct message message = message_of(captures[i]);

		for (size_t len = 0; len < MESSAGE_MAX; len++) {
			struct message other = message;

			other.len = len;
			assert_int_equal(ask_udp(&other),
					 len == message.len ? SNIFF_YES : SNIFF_NO);
		}
	}
}

static void a_length_that_no_reset_has_decides(void **state)
{
	(void)state;
	for (unsigned length = 0; length < 65536; length++) {
		uint8_t bytes[] = { (uint8_t)(length >> 8), (uint8_t)length };
		bool fits = length == 14 || length == 38 || length == 42 || length == 50 ||
			    length == 54 || length == 70 || length == 86 ||
			    (length >= 344 && length <= 1078);

		assert_int_equal(ask(sniff_openvpn_tcp, bytes, 2), fits ? SNIFF_MORE : SNIFF_NO);
		if (length % 256 == 0)
			assert_int_equal(ask(sniff_openvpn_tcp, bytes, 1),
					 length >> 8 > 4 ? SNIFF_NO : SNIFF_MORE);
	}
}

static void what_others_send_is_no_openvpn(void **state)
{
	static const uint8_t dns[] = { 0x38, 0x01, 1,	0,   0,	  1, 0, 0, 0, 0, 0,
				       0,    3,	   'w', 'w', 'w', 0, 0, 1, 0, 1 };
	static const char syslog[] = "<34>Oct 11 22:14:15 host su: no";
	static const uint8_t tls[] = { 22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3 };
	static const uint8_t rdp[] = {
		3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0
	};
	static const uint8_t dns_tcp[] = { 0, 42, 0x38, 0x01, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
	uint8_t quic[1200] = { 0xc0, 0, 0, 0, 1, 8 }, wireguard[148] = { 1 };

	(void)state;
	assert_int_equal(ask(sniff_openvpn_udp, dns, sizeof(dns)), SNIFF_NO);
	assert_int_equal(ask(sniff_openvpn_udp, (const uint8_t *)syslog, strlen(syslog)), SNIFF_NO);
	assert_int_equal(ask(sniff_openvpn_udp, quic, sizeof(quic)), SNIFF_NO);
	assert_int_equal(ask(sniff_openvpn_udp, wireguard, sizeof(wireguard)), SNIFF_NO);
	assert_int_equal(ask_tcp(tls, sizeof(tls)), SNIFF_NO);
	assert_int_equal(ask_tcp(rdp, sizeof(rdp)), SNIFF_NO);
	assert_int_equal(ask_tcp((const uint8_t *)"\5\1\0", 3), SNIFF_NO);
	assert_int_equal(ask_tcp((const uint8_t *)"SSH-2.0-x\r\n", 11), SNIFF_NO);
	assert_int_equal(ask_tcp(dns_tcp, sizeof(dns_tcp)), SNIFF_MORE);
	assert_int_equal(ask_tcp(quic, 20), SNIFF_NO);
}

static void only_the_first_datagram_counts(void **state)
{
	struct message message = message_of(PLAIN);
	struct sniff_piece pieces[] = { { (const uint8_t *)"x", 1 },
					{ message.data + 2, message.len } };
	struct sniff_info info;

	(void)state;
	assert_int_equal(sniff_openvpn_udp(pieces, 0, &info), SNIFF_MORE);
	assert_int_equal(sniff_openvpn_tcp(pieces, 0, &info), SNIFF_MORE);
	assert_int_equal(sniff_openvpn_udp(pieces, 2, &info), SNIFF_NO);
	assert_int_equal(sniff_openvpn_udp(pieces + 1, 1, &info), SNIFF_YES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(captured_resets_are_recognised),
		cmocka_unit_test(a_reset_of_key_method_1_is_recognised),
		cmocka_unit_test(a_reset_that_is_sent_again_is_recognised),
		cmocka_unit_test(other_opcodes_and_keys_are_refused),
		cmocka_unit_test(other_lengths_are_refused),
		cmocka_unit_test(a_length_that_no_reset_has_decides),
		cmocka_unit_test(what_others_send_is_no_openvpn),
		cmocka_unit_test(only_the_first_datagram_counts),
	};

	return cmocka_run_group_tests_name("sniff_openvpn", tests, NULL, NULL);
}
