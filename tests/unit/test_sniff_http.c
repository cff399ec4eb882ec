// SPDX-License-Identifier: GPL-2.0-only
/* HTTP/1.x and HTTP/2 with prior knowledge: whose host it is, and when that is known. */
#include "sniff_fixture.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define SETTINGS "\0\0\0\4\0\0\0\0\0"

/* @text is YES with @host once its first @known bytes are there. */
static void host_known(const char *known, const char *rest, const char *host)
{
	char text[2048];
	struct sniff_info info;

	snprintf(text, sizeof(text), "%s%s", known, rest);
	info = decided(XDPLB_PROTOCOL_HTTP, (const uint8_t *)text, strlen(text), strlen(known),
		       SNIFF_YES);
	assert_string_equal(info.name, host);
	assert_int_equal(info.alpn_len, 0);
}

static void host_is(const char *line, const char *host)
{
	char text[1024];

	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s\r\n\r", line);
	host_known(text, "\n", host); /* the CR tells that the line does not go on */
}

/* @text is refused with its last byte. */
static void refused(const char *text)
{
	decided(XDPLB_PROTOCOL_HTTP, (const uint8_t *)text, strlen(text), strlen(text), SNIFF_NO);
}

static void requests_of_real_clients_have_their_hosts(void **state)
{
	(void)state;
	sample_is(XDPLB_PROTOCOL_HTTP, "http1-curl", 24 + 23 + 1, "c.example");
	sample_is(XDPLB_PROTOCOL_HTTP, "http1-curl-proxy", 36, "d.example");
	sample_is(XDPLB_PROTOCOL_HTTP, "http1-curl-connect", 33, "d.example");
	sample_is(XDPLB_PROTOCOL_HTTP, "http1-curl-10", DECIDED_AT_END, "");
	sample_is(XDPLB_PROTOCOL_HTTP, "h2-curl", DECIDED_AT_END, "c.example");
}

static void hosts_lose_their_port_and_what_stands_around_them(void **state)
{
	(void)state;
	host_is("Host: a.example", "a.example");
	host_is("hOST:A.Example.:8080", "a.example");
	host_is("Host:\t a.example \t", "a.example");
	host_is("Host: 192.0.2.10:80", "192.0.2.10");
	host_is("Host: [2001:DB8::1]:80", "[2001:db8::1]");
	host_is("Host: [2001:db8::1]", "[2001:db8::1]");
	host_is("Host:", "");
	host_is("Host: a b", "");
	host_is("Host: user@a.example", "");
	host_is("Host: [a.example]", "");
	host_is("Host: 2001:db8::1", "");
	host_is("Xhost: b.example\r\nHost-x: c.example\r\nHost: a.example", "a.example");
}

static void lines_may_end_in_a_bare_lf(void **state)
{
	(void)state;
	host_known("GET / HTTP/1.1\nHost: a.example\n\n", "", "a.example");
	host_known("GET / HTTP/1.0\n\n", "", "");
}

static void the_target_wins_over_host(void **state)
{
	(void)state;
	sample_is(XDPLB_PROTOCOL_HTTP, "http1-absolute", 46, "[2001:db8::1]");
	host_known("GET http://b.example:80/?x HTTP/1.1\r\n", "Host: a.example\r\n\r\n",
		   "b.example");
	host_known("GET http://b.example?x HTTP/1.1\r\n", "Host: a.example\r\n\r\n", "b.example");
	host_known("CONNECT b.example:443 HTTP/1.1\r\n", "Host: a.example\r\n\r\n", "b.example");
	host_known("GET /http://b.example HTTP/1.1\r\nHost: a.example\r\n\r", "\n", "a.example");
	host_known("OPTIONS * HTTP/1.1\r\nHost: a.example\r\nX", ": y", "a.example");
}

static void the_first_host_decides_and_the_rest_is_the_backends(void **state)
{
	(void)state;
	host_known("GET / HTTP/1.1\r\nHost: a.example\r\nH", "ost: b.example\r\n\r\n", "a.example");
	sample_is(XDPLB_PROTOCOL_HTTP, "http1-late-host", 60, "f.example");
}

static void a_request_without_host_is_one_without_a_name(void **state)
{
	(void)state;
	host_known("GET / HTTP/1.0\r\nAccept: *\r\n\r\n", "body", "");
	host_known("GET / HTTP/1.1\r\n\r\n", "", "");
}

static void what_is_no_request_is_refused_at_the_byte_that_says_so(void **state)
{
	(void)state;
	refused("g");
	refused(" ");
	refused("\x16");
	refused("SSH-2");
	refused("GET  ");
	refused("GET /\r");
	refused("GET /a\x01");
	refused("GET / HTTP/2");
	refused("GET / HTTP/1.x");
	refused("GET / HTTP/1.10");
	refused("GET / HTTP/1.1\rX");
	refused("GET / HTTP/1.1\r\nHost: a.example\rX");
	refused("GET / HTTP/1.1\r\n:");
	refused("GET / HTTP/1.1\r\nHost ");
	refused("ABCDEFGHIJKLMNOPQRSTUVWXYZ-ABCDEF");
	refused("PRI * HTTP/2.0\r\n\r\nX");
}

static void folded_lines_are_refused(void **state)
{
	(void)state;
	refused("GET / HTTP/1.1\r\nHost: a.example\r\n ");
	refused("GET / HTTP/1.1\r\nX: y\r\n\t");
	refused("GET / HTTP/1.1\r\n ");
}

static void a_nul_in_a_line_is_refused(void **state)
{
	(void)state;
	decided(XDPLB_PROTOCOL_HTTP, LITERAL("GET / HTTP/1.1\r\nHost: a\0.example\r\n\r\n"), 24,
		SNIFF_NO);
	decided(XDPLB_PROTOCOL_HTTP, LITERAL("GET / HTTP/1.1\r\n\0"), 17, SNIFF_NO);
}

static void a_header_section_without_end_is_refused_in_the_end(void **state)
{
	static uint8_t text[SNIFF_STREAM_MAX + 10];
	struct sniff_info info;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "GET / HTTP/1.1\r\nX: ", 19);
	assert_int_equal(verdict_of(XDPLB_PROTOCOL_HTTP, XDPLB_OVER_TCP, text, SNIFF_STREAM_MAX - 1,
				    &info),
			 SNIFF_MORE);
	for (size_t n = SNIFF_STREAM_MAX; n <= sizeof(text); n++)
		assert_int_equal(verdict_of(XDPLB_PROTOCOL_HTTP, XDPLB_OVER_TCP, text, n, &info),
				 SNIFF_NO);
}

static void http2_has_its_authority_over_padding_priority_and_continuations(void **state)
{
	(void)state;
	sample_is(XDPLB_PROTOCOL_HTTP, "h2-made-continuation", DECIDED_AT_END, "d.example");
	sample_is(XDPLB_PROTOCOL_HTTP, "h2-made-host", DECIDED_AT_END, "e.example");
}

#define H2(frames) LITERAL(PREFACE frames)
/* HEADERS of stream 1, END_HEADERS, of @len bytes in octal */
#define HEADERS(len) "\0\0" len "\1\4\0\0\0\1"

static void authority_wins_over_host_in_http2(void **state)
{
	struct sniff_info info;
	const uint8_t text[] = PREFACE SETTINGS HEADERS("\46") "\0\4host\11a.example"
							       "\0\12:authority\11b.example";

	(void)state;
	info = decided(XDPLB_PROTOCOL_HTTP, text, sizeof(text) - 1, DECIDED_AT_END, SNIFF_YES);
	assert_string_equal(info.name, "b.example");
}

static void frames_out_of_place_are_refused(void **state)
{
	(void)state;
	decided(XDPLB_PROTOCOL_HTTP, H2("\0\0\0\1\4\0\0\0\1"), 24 + 4, SNIFF_NO); /* no SETTINGS */
	decided(XDPLB_PROTOCOL_HTTP, H2("\0\0\5\4\0\0\0\0\0"), 24 + 4, SNIFF_NO); /* of 5 bytes */
	decided(XDPLB_PROTOCOL_HTTP, H2("\0\0\6\4\0\0\0\0\1"), 24 + 9, SNIFF_NO); /* on a stream */
	decided(XDPLB_PROTOCOL_HTTP, H2("\1\0"), 24 + 1, SNIFF_NO); /* a large frame */
	decided(XDPLB_PROTOCOL_HTTP, H2(SETTINGS "\0\0\1\0"), 33 + 4, SNIFF_NO); /* DATA */
	decided(XDPLB_PROTOCOL_HTTP, H2(SETTINGS "\0\0\1\11"), 33 + 4, SNIFF_NO); /* CONTINUATION */
	decided(XDPLB_PROTOCOL_HTTP, H2(SETTINGS "\0\0\1\1\4\0\0\0\2"), 33 + 9,
		SNIFF_NO); /* even */
	decided(XDPLB_PROTOCOL_HTTP, H2(SETTINGS "\0\0\4\1\54"), 33 + 5, SNIFF_NO); /* no room */
	decided(XDPLB_PROTOCOL_HTTP, H2(SETTINGS "\0\0\4\1\14\0\0\0\1\4"), 33 + 10, SNIFF_NO);
	decided(XDPLB_PROTOCOL_HTTP, H2(SETTINGS "\0\0\1\1\0\0\0\0\1\x82\0\0\0\4"), 33 + 14,
		SNIFF_NO); /* a block that is not continued */
	decided(XDPLB_PROTOCOL_HTTP, H2(SETTINGS "\0\0\1\1\0\0\0\0\1\x82\0\0\0\11\4\0\0\0\3"),
		33 + 19, SNIFF_NO); /* or on another stream */
}

static void header_blocks_that_lie_are_refused(void **state)
{
	(void)state;
	decided(XDPLB_PROTOCOL_HTTP, H2(SETTINGS HEADERS("\2") "\x80"), 33 + 10, SNIFF_NO);
	decided(XDPLB_PROTOCOL_HTTP, H2(SETTINGS HEADERS("\2") "\x41\x09"), 33 + 11, SNIFF_NO);
	decided(XDPLB_PROTOCOL_HTTP, H2(SETTINGS HEADERS("\10") "\x41\2ab\x41\2cd"), 33 + 17,
		SNIFF_NO); /* two authorities */
}

static void nobody_else_takes_a_request(void **state)
{
	(void)state;
	only_one_takes(XDPLB_PROTOCOL_HTTP, "http1-curl");
	only_one_takes(XDPLB_PROTOCOL_HTTP, "h2-curl");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_of_real_clients_have_their_hosts),
		cmocka_unit_test(hosts_lose_their_port_and_what_stands_around_them),
		cmocka_unit_test(lines_may_end_in_a_bare_lf),
		cmocka_unit_test(the_target_wins_over_host),
		cmocka_unit_test(the_first_host_decides_and_the_rest_is_the_backends),
		cmocka_unit_test(a_request_without_host_is_one_without_a_name),
		cmocka_unit_test(what_is_no_request_is_refused_at_the_byte_that_says_so),
		cmocka_unit_test(folded_lines_are_refused),
		cmocka_unit_test(a_nul_in_a_line_is_refused),
		cmocka_unit_test(a_header_section_without_end_is_refused_in_the_end),
		cmocka_unit_test(http2_has_its_authority_over_padding_priority_and_continuations),
		cmocka_unit_test(authority_wins_over_host_in_http2),
		cmocka_unit_test(frames_out_of_place_are_refused),
		cmocka_unit_test(header_blocks_that_lie_are_refused),
		cmocka_unit_test(nobody_else_takes_a_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
