// SPDX-License-Identifier: GPL-2.0-only
/* SSH, SOCKS5, XMPP, syslog, ADB, RDP, tinc: told apart by their first bytes, at every prefix. */
#include "sniff_fixture.h"

static const unsigned runs_over[] = {
#define X(name, word, transports, help) (transports),
	XDPLB_PROTOCOLS(X)
#undef X
};

static void yes(enum xdplb_protocol protocol, const char *known, const char *rest)
{
	char text[1024];
	struct sniff_info info;

	snprintf(text, sizeof(text), "%s%s", known, rest);
	info = decided(protocol, (const uint8_t *)text, strlen(text), strlen(known), SNIFF_YES);
	assert_string_equal(info.name, "");
	assert_int_equal(info.alpn_len, 0);
}

/* Refused with the last byte of @text. */
static void no(enum xdplb_protocol protocol, const char *text)
{
	decided(protocol, (const uint8_t *)text, strlen(text), strlen(text), SNIFF_NO);
}

static void no_bytes(enum xdplb_protocol protocol, const uint8_t *data, size_t len)
{
	decided(protocol, data, len, len, SNIFF_NO);
}

static void ssh_is_known_by_its_version(void **state)
{
	(void)state;
	sample_is(XDPLB_PROTOCOL_SSH, "ssh-openssh", 8, "");
	yes(XDPLB_PROTOCOL_SSH, "SSH-1.", "99-old");
	no(XDPLB_PROTOCOL_SSH, "SSH-3");
	no(XDPLB_PROTOCOL_SSH, "SSH-2.1");
	no(XDPLB_PROTOCOL_SSH, "SSH_");
	no(XDPLB_PROTOCOL_SSH, "s");
}

static void socks5_is_known_when_its_methods_are_there(void **state)
{
	(void)state;
	sample_is(XDPLB_PROTOCOL_SOCKS5, "socks5-curl", DECIDED_AT_END, "");
	sample_is(XDPLB_PROTOCOL_SOCKS5, "socks5-curl-user", DECIDED_AT_END, "");
	decided(XDPLB_PROTOCOL_SOCKS5, LITERAL("\5\1\0\5\1\0\3"), 3, SNIFF_YES); /* impatient */
	decided(XDPLB_PROTOCOL_SOCKS5, LITERAL("\5\2\0\x80"), 4, SNIFF_YES); /* private */
	no_bytes(XDPLB_PROTOCOL_SOCKS5, LITERAL("\4"));
	no_bytes(XDPLB_PROTOCOL_SOCKS5, LITERAL("\5\0"));
	no_bytes(XDPLB_PROTOCOL_SOCKS5, LITERAL("\5\3\0\x0a"));
	no_bytes(XDPLB_PROTOCOL_SOCKS5, LITERAL("\5\3\0\x7f"));
	no_bytes(XDPLB_PROTOCOL_SOCKS5, LITERAL("\5\1\xff"));
}

static void adb_is_known_by_its_first_message(void **state)
{
	uint8_t bytes[64];
	size_t len;
	uint8_t *good = sample("adb-cnxn", &len);
	/* Which byte is wrong, and where that is known. */
	static const size_t wrong[][2] = { { 0, 1 },   { 3, 4 },   { 13, 14 }, { 15, 16 },
					   { 20, 21 }, { 23, 24 }, { 24, 25 }, { 28, 29 } };

	(void)state;
	sample_is(XDPLB_PROTOCOL_ADB, "adb-cnxn", 29, "");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memcpy(bytes, good, 29);
		bytes[wrong[i][0]] ^= 0x55;
		no_bytes(XDPLB_PROTOCOL_ADB, bytes, wrong[i][1]);
	}
	memcpy(bytes, good, 29);
	bytes[12] = 4; /* no room for "host:" */
	no_bytes(XDPLB_PROTOCOL_ADB, bytes, 16);
	no(XDPLB_PROTOCOL_ADB, "S"); /* STLS is an answer */
	free(good);
}

static void rdp_is_known_by_its_connection_request(void **state)
{
	(void)state;
	sample_is(XDPLB_PROTOCOL_RDP, "rdp-bare", DECIDED_AT_END, "");
	sample_is(XDPLB_PROTOCOL_RDP, "rdp-negotiation", 15, "");
	sample_is(XDPLB_PROTOCOL_RDP, "rdp-cookie", 12, "");
	no_bytes(XDPLB_PROTOCOL_RDP, LITERAL("\2"));
	no_bytes(XDPLB_PROTOCOL_RDP, LITERAL("\3\1"));
	no_bytes(XDPLB_PROTOCOL_RDP, LITERAL("\3\0\0\12"));
	no_bytes(XDPLB_PROTOCOL_RDP, LITERAL("\3\0\2"));
	no_bytes(XDPLB_PROTOCOL_RDP, LITERAL("\3\0\0\13\7")); /* two lengths, not the same */
	no_bytes(XDPLB_PROTOCOL_RDP, LITERAL("\3\0\0\13\6\xf0"));
	no_bytes(XDPLB_PROTOCOL_RDP, LITERAL("\3\0\0\13\6\xe0\0\1"));
	no_bytes(XDPLB_PROTOCOL_RDP, LITERAL("\3\0\0\13\6\xe0\0\0\0\0\2"));
	no_bytes(XDPLB_PROTOCOL_RDP,
		 LITERAL("\3\0\0\14\7\xe0\0\0\0\0\0")); /* one byte is nothing */
	/* Siemens S7 says what it wants in X.224's parameters. */
	no_bytes(XDPLB_PROTOCOL_RDP, LITERAL("\3\0\0\26\21\xe0\0\0\0\1\0\xc1"));
	no_bytes(XDPLB_PROTOCOL_RDP, LITERAL("\3\0\0\22\15\xe0\0\0\0\0\0\1"));
	no_bytes(XDPLB_PROTOCOL_RDP, LITERAL("\3\0\0\23\16\xe0\0\0\0\0\0\1\0\7"));
}

static void xmpp_is_known_by_its_stream_header(void **state)
{
	char text[400];

	(void)state;
	sample_is(XDPLB_PROTOCOL_XMPP, "xmpp-declared", 22 + 14 + 1, "");
	sample_is(XDPLB_PROTOCOL_XMPP, "xmpp-bare", 15, "");
	yes(XDPLB_PROTOCOL_XMPP, "<?xml version='1.0' encoding='UTF-8' ?><stream:stream\n",
	    "to='x'");
	yes(XDPLB_PROTOCOL_XMPP, " \r\n<stream:stream ", "");
	no(XDPLB_PROTOCOL_XMPP, "<stream:streams");
	no(XDPLB_PROTOCOL_XMPP, "<stream>");
	no(XDPLB_PROTOCOL_XMPP, "<?xmlx");
	no(XDPLB_PROTOCOL_XMPP, "<?xml version='1.0'?x");
	no(XDPLB_PROTOCOL_XMPP, "<?xml version='1.0'>");
	no(XDPLB_PROTOCOL_XMPP, "<?xml version='1.0'?><h");
	no(XDPLB_PROTOCOL_XMPP, "<1");
	memset(text, ' ', sizeof(text));
	memcpy(text, "<?xml", 5);
	decided(XDPLB_PROTOCOL_XMPP, (uint8_t *)text, sizeof(text), 255, SNIFF_NO);
}

static void syslog_is_known_by_its_priority_with_or_without_a_length(void **state)
{
	(void)state;
	sample_is(XDPLB_PROTOCOL_SYSLOG, "syslog-logger", 4, "");
	sample_is(XDPLB_PROTOCOL_SYSLOG, "syslog-logger-octet", 3 + 4, "");
	yes(XDPLB_PROTOCOL_SYSLOG, "<0>", "x");
	yes(XDPLB_PROTOCOL_SYSLOG, "<191>", "x");
	yes(XDPLB_PROTOCOL_SYSLOG, "5 <191>", "");
	yes(XDPLB_PROTOCOL_SYSLOG, "1234567 <9>", "1 -");
	no(XDPLB_PROTOCOL_SYSLOG, "<192");
	no(XDPLB_PROTOCOL_SYSLOG, "<200");
	no(XDPLB_PROTOCOL_SYSLOG, "<00");
	no(XDPLB_PROTOCOL_SYSLOG, "<01");
	no(XDPLB_PROTOCOL_SYSLOG, "<>");
	no(XDPLB_PROTOCOL_SYSLOG, "<1a");
	no(XDPLB_PROTOCOL_SYSLOG, "<s");
	no(XDPLB_PROTOCOL_SYSLOG, "0");
	no(XDPLB_PROTOCOL_SYSLOG, "12345678");
	no(XDPLB_PROTOCOL_SYSLOG, "12a");
	no(XDPLB_PROTOCOL_SYSLOG, "12 a");
	no(XDPLB_PROTOCOL_SYSLOG, "2 "); /* too short for any priority */
	no(XDPLB_PROTOCOL_SYSLOG, "4 <191");
}

static void syslog_over_udp_is_decided_by_its_first_datagram(void **state)
{
	static const char *const wrong[] = { "", "<", "<13", "<192>x", "13 <13>x" };
	struct sniff_info info;

	(void)state;
	assert_int_equal(verdict_of(XDPLB_PROTOCOL_SYSLOG, XDPLB_OVER_UDP, LITERAL("<13>x"), &info),
			 SNIFF_YES);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(verdict_of(XDPLB_PROTOCOL_SYSLOG, XDPLB_OVER_UDP,
					    (const uint8_t *)wrong[i], strlen(wrong[i]), &info),
				 SNIFF_NO);
	assert_int_equal(sniff(XDPLB_PROTOCOL_SYSLOG, XDPLB_OVER_UDP, NULL, 0, &info), SNIFF_MORE);
}

static void tinc_is_known_by_its_first_request(void **state)
{
	char text[300];

	(void)state;
	sample_is(XDPLB_PROTOCOL_TINC, "tinc-1.0", 11, "");
	sample_is(XDPLB_PROTOCOL_TINC, "tinc-1.1", 11, "");
	sample_is(XDPLB_PROTOCOL_TINC, "tinc-invited", 17, "");
	no(XDPLB_PROTOCOL_TINC, "1");
	no(XDPLB_PROTOCOL_TINC, "0x");
	no(XDPLB_PROTOCOL_TINC, "0  ");
	no(XDPLB_PROTOCOL_TINC, "0 a-");
	no(XDPLB_PROTOCOL_TINC, "0 alice 2");
	no(XDPLB_PROTOCOL_TINC, "0 alice 170");
	memset(text, 'a', sizeof(text));
	memcpy(text, "0 ", 2);
	decided(XDPLB_PROTOCOL_TINC, (uint8_t *)text, sizeof(text), 2 + 256, SNIFF_NO);
}

static void none_takes_what_is_anothers(void **state)
{
	static const struct {
		enum xdplb_protocol protocol;
		const char *file;
	} samples[] = {
		{ XDPLB_PROTOCOL_SSH, "ssh-openssh" },
		{ XDPLB_PROTOCOL_SOCKS5, "socks5-curl" },
		{ XDPLB_PROTOCOL_XMPP, "xmpp-declared" },
		{ XDPLB_PROTOCOL_SYSLOG, "syslog-logger" },
		{ XDPLB_PROTOCOL_SYSLOG, "syslog-logger-octet" },
		{ XDPLB_PROTOCOL_ADB, "adb-cnxn" },
		{ XDPLB_PROTOCOL_RDP, "rdp-cookie" },
		{ XDPLB_PROTOCOL_RDP, "rdp-bare" },
		{ XDPLB_PROTOCOL_TINC, "tinc-1.0" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		only_one_takes(samples[i].protocol, samples[i].file);
}

static void nothing_said_is_nothing_decided(void **state)
{
	struct sniff_piece empty = { NULL, 0 };
	struct sniff_info info;

	(void)state;
	for (int i = XDPLB_PROTOCOL_TLS; i < XDPLB_PROTOCOL_REGEX; i++) {
		enum xdplb_protocol protocol = (enum xdplb_protocol)i;

		if (!(runs_over[i] & XDPLB_OVER_TCP))
			continue;
		assert_int_equal(sniff(protocol, XDPLB_OVER_TCP, NULL, 0, &info), SNIFF_MORE);
		assert_int_equal(sniff(protocol, XDPLB_OVER_TCP, &empty, 1, &info), SNIFF_MORE);
	}
}

static void what_does_not_run_over_a_transport_is_never_found_there(void **state)
{
	struct sniff_info info;

	(void)state;
	for (int i = 0; i <= XDPLB_PROTOCOL_MAX; i++)
		for (unsigned transport = 1; transport <= 2; transport++)
			if (i == XDPLB_PROTOCOL_MAX || !(runs_over[i] & transport))
				assert_int_equal(sniff((enum xdplb_protocol)i, transport, NULL, 0,
						       &info),
						 SNIFF_NO);
}

/* A linear congruential generator: the same junk each time. */
static void junk_is_decided_and_stays_so(void **state)
{
	static uint8_t junk[SNIFF_STREAM_MAX];
	struct sniff_info info;
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 64; round++) {
		for (size_t i = 0; i < sizeof(junk); i++) {
			seed = seed * 1664525 + 1013904223;
			junk[i] = (uint8_t)(seed >> 24);
		}
		for (int i = XDPLB_PROTOCOL_TLS; i < XDPLB_PROTOCOL_REGEX; i++)
			assert_int_equal(verdict_of((enum xdplb_protocol)i, XDPLB_OVER_TCP, junk,
						    sizeof(junk), &info),
					 SNIFF_NO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ssh_is_known_by_its_version),
		cmocka_unit_test(socks5_is_known_when_its_methods_are_there),
		cmocka_unit_test(adb_is_known_by_its_first_message),
		cmocka_unit_test(rdp_is_known_by_its_connection_request),
		cmocka_unit_test(xmpp_is_known_by_its_stream_header),
		cmocka_unit_test(syslog_is_known_by_its_priority_with_or_without_a_length),
		cmocka_unit_test(syslog_over_udp_is_decided_by_its_first_datagram),
		cmocka_unit_test(tinc_is_known_by_its_first_request),
		cmocka_unit_test(none_takes_what_is_anothers),
		cmocka_unit_test(nothing_said_is_nothing_decided),
		cmocka_unit_test(what_does_not_run_over_a_transport_is_never_found_there),
		cmocka_unit_test(junk_is_decided_and_stays_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
