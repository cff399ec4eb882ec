// SPDX-License-Identifier: GPL-2.0-only
/* The pure parts of health: what results make of a state, and what bytes make of a reply. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "health/fsm.h"
#include "health/http_reply.h"

/* Feeds '+' and '-' with rise 2 and fall 3 and checks the state after each: u, U(p) or D(own). */
static void results_make(struct health_fsm *fsm, const char *results, const char *states)
{
	for (size_t i = 0; results[i]; i++) {
		uint32_t before = fsm->state;
		bool changed = health_fsm_step(fsm, results[i] == '+', 2, 3, i + 1);

		assert_int_equal("uUD"[fsm->state], states[i]);
		assert_int_equal(changed, before != fsm->state);
		if (changed)
			assert_int_equal(fsm->since_ns, i + 1);
	}
}

static void the_first_result_decides_alone(void **state)
{
	struct health_fsm passed = { 0 }, failed = { 0 };

	(void)state;
	results_make(&passed, "+", "U");
	results_make(&failed, "-", "D");
}

static void one_lost_probe_with_fall_3_changes_nothing(void **state)
{
	struct health_fsm fsm = { 0 };

	(void)state;
	results_make(&fsm, "+-+--+", "UUUUUU");
}

static void failures_are_counted_in_a_row_and_not_over_a_lifetime(void **state)
{
	struct health_fsm fsm = { 0 };

	(void)state;
	results_make(&fsm, "+--+--+--+---", "UUUUUUUUUUUUD");
}

static void it_takes_rise_passes_in_a_row_to_come_back(void **state)
{
	struct health_fsm fsm = { 0 };

	(void)state;
	results_make(&fsm, "-+-+-++", "DDDDDDU");
}

static void the_state_stands_while_nothing_speaks_against_it(void **state)
{
	struct health_fsm up = { 0 }, down = { 0 };

	(void)state;
	results_make(&up, "++++", "UUUU");
	results_make(&down, "----", "DDDD");
	assert_int_equal(up.since_ns, 1);
}

static void after_a_restart_the_state_stays_until_the_next_result_decides_alone(void **state)
{
	struct health_fsm fsm = { 0 };

	(void)state;
	results_make(&fsm, "+--", "UUU");
	health_fsm_restart(&fsm);
	assert_int_equal(fsm.state, HEALTH_UP);
	results_make(&fsm, "-+-+", "DDDD");
	health_fsm_restart(&fsm);
	results_make(&fsm, "+--+", "UUUU");
}

static void states_have_names(void **state)
{
	(void)state;
	assert_string_equal(health_state_name(HEALTH_UNKNOWN), "unknown");
	assert_string_equal(health_state_name(HEALTH_UP), "up");
	assert_string_equal(health_state_name(HEALTH_DOWN), "down");
}

/* Feeds @bytes in pieces of @piece; each in memory of its own, so that ASan sees every border. */
static enum http_verdict reply_in_pieces(struct http_reply *reply, const char *text,
					 const char *bytes, size_t len, size_t piece)
{
	enum http_verdict verdict = HTTP_MORE;

	http_reply_init(reply, text);
	for (size_t at = 0; at < len; at += piece) {
		size_t part = len - at < piece ? len - at : piece;
		char *copy = malloc(part);

		assert_non_null(copy);
		memcpy(copy, bytes + at, part);
		verdict = http_reply_feed(reply, copy, part);
		free(copy);
	}
	http_reply_release(reply);
	return verdict;
}

/* The verdict on @bytes is @verdict, whatever the pieces they come in. */
static void reply_is(const char *text, const char *bytes, enum http_verdict verdict,
		     uint32_t status, const char *error)
{
	struct http_reply reply;
	size_t len = strlen(bytes);

	for (size_t piece = 1; piece <= len; piece++) {
		assert_int_equal(reply_in_pieces(&reply, text, bytes, len, piece), verdict);
		assert_int_equal(reply.status, status);
		if (error)
			assert_string_equal(reply.error, error);
	}
}

#define OK_HEADER "HTTP/1.1 200 OK\r\nServer: test\r\n"
#define CHUNKED OK_HEADER "Transfer-Encoding: chunked\r\n\r\n"

static void a_status_is_enough_where_no_text_is_looked_for(void **state)
{
	(void)state;
	reply_is(NULL, OK_HEADER "Content-Length: 500\r\n\r\n", HTTP_STATUS, 200, NULL);
	reply_is("", OK_HEADER "\r\n", HTTP_STATUS, 200, NULL);
	reply_is(NULL, "HTTP/1.0 404\n\n", HTTP_STATUS, 404, NULL);
	reply_is(NULL, OK_HEADER, HTTP_MORE, 200, NULL);
}

static void interim_replies_are_passed_over(void **state)
{
	(void)state;
	reply_is(NULL, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		 HTTP_STATUS, 204, NULL);
	reply_is("x", "HTTP/1.1 101 Switching Protocols\r\n\r\n", HTTP_LACKS, 101, NULL);
}

static void the_text_is_found_in_a_body_of_known_length(void **state)
{
	(void)state;
	reply_is("is ok", OK_HEADER "content-length: 9 \r\n\r\nall is ok", HTTP_FOUND, 200, NULL);
	reply_is("is ok", OK_HEADER "Content-Length:9\r\n\r\nall is no", HTTP_LACKS, 200, NULL);
	reply_is("is ok", OK_HEADER "Content-Length: 0\r\n\r\n", HTTP_LACKS, 200, NULL);
	reply_is("is ok", OK_HEADER "Content-Length: 5\r\n\r\nall is ok", HTTP_LACKS, 200, NULL);
	reply_is("aab", OK_HEADER "Content-Length: 4\r\n\r\naaab", HTTP_FOUND, 200, NULL);
	reply_is("ok", "HTTP/1.1 204 No Content\r\n\r\n", HTTP_LACKS, 204, NULL);
}

static void the_text_is_found_across_the_borders_of_chunks(void **state)
{
	(void)state;
	reply_is("is ok", CHUNKED "5;a=b\r\nall i\r\n04\r\ns ok\r\n0\r\n\r\n", HTTP_FOUND, 200,
		 NULL);
	reply_is("is ok", CHUNKED "5\r\nall i\r\n0\r\n\r\n", HTTP_LACKS, 200, NULL);
	reply_is("5", CHUNKED "5\r\nall i\r\n0\r\n", HTTP_LACKS, 200, NULL);
	reply_is("ok",
		 OK_HEADER "Content-Length: 1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n2\r\nok",
		 HTTP_FOUND, 200, NULL);
}

static void a_text_longer_than_a_piece_of_the_search_is_found(void **state)
{
	static char text[3001], bytes[9000];
	int len = snprintf(bytes, sizeof(bytes), OK_HEADER "\r\n%2999d", 0);
	struct http_reply reply;

	(void)state;
	memset(text, 'x', sizeof(text) - 2);
	text[sizeof(text) - 2] = 'y';
	len += snprintf(bytes + len, sizeof(bytes) - (size_t)len, "xx%s", text);
	for (size_t piece = 1; piece < 3000; piece += 89)
		assert_int_equal(reply_in_pieces(&reply, text, bytes, (size_t)len, piece),
				 HTTP_FOUND);
}

static void only_the_first_64_kib_of_a_body_are_searched(void **state)
{
	static char bytes[HTTP_BODY_BYTES + 100];
	size_t header = strlen(OK_HEADER "\r\n");
	struct http_reply reply;

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	memcpy(bytes, OK_HEADER "\r\n", header);
	memcpy(bytes + header + HTTP_BODY_BYTES - 2, "ok", 2);
	assert_int_equal(reply_in_pieces(&reply, "ok", bytes, sizeof(bytes), 4096), HTTP_FOUND);
	memcpy(bytes + header + HTTP_BODY_BYTES - 2, "xok", 3);
	assert_int_equal(reply_in_pieces(&reply, "ok", bytes, sizeof(bytes), 4096), HTTP_LACKS);
}

static void what_is_not_http_is_told_by_its_first_bytes(void **state)
{
	const char *error = "the answer is not HTTP";

	(void)state;
	reply_is(NULL, "SSH-2.0", HTTP_BROKEN, 0, error);
	reply_is(NULL, "HTTP/2", HTTP_BROKEN, 0, error);
	reply_is(NULL, "\r\n", HTTP_BROKEN, 0, error);
	reply_is(NULL, "HTTP/1.1 20 OK\r\n", HTTP_BROKEN, 0, error);
	reply_is(NULL, "HTTP/1.1 2000 OK\r\n", HTTP_BROKEN, 0, error);
	reply_is(NULL, "HTTP/1.1 -200 OK\r\n", HTTP_BROKEN, 0, error);
	reply_is(NULL, "HTTP/1.1\r\n", HTTP_BROKEN, 0, error);
	reply_is(NULL, "HTTP/1.\r\n", HTTP_BROKEN, 0, error);
}

static void malformed_lengths_and_chunks_are_refused(void **state)
{
	(void)state;
	reply_is("ok", OK_HEADER "Content-Length: -1\r\n", HTTP_BROKEN, 200,
		 "malformed Content-Length");
	reply_is("ok", OK_HEADER "Content-Length: 99999999999999999999\r\n", HTTP_BROKEN, 200,
		 "malformed Content-Length");
	reply_is("ok", OK_HEADER "Content-Length: 1\r\nContent-Length: 2\r\n", HTTP_BROKEN, 200,
		 "malformed Content-Length");
	reply_is("ok", CHUNKED "x\r\n", HTTP_BROKEN, 200, "malformed chunk");
	reply_is("ok", CHUNKED "\r\n", HTTP_BROKEN, 200, "malformed chunk");
	reply_is("ok", CHUNKED "fffffffffffffffff\r\n", HTTP_BROKEN, 200, "malformed chunk");
	reply_is("ok", CHUNKED "1\r\nabc\r\n", HTTP_BROKEN, 200, "malformed chunk");
}

static void a_header_without_end_is_refused(void **state)
{
	static char bytes[HTTP_HEADER_BYTES * 2];
	const char *const starts[] = { "HTTP/1.1 200 ", OK_HEADER "X: ", CHUNKED "1;" };
	struct http_reply reply;

	(void)state;
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		memset(bytes, 'x', sizeof(bytes));
		memcpy(bytes, starts[i], strlen(starts[i]));
		assert_int_equal(reply_in_pieces(&reply, "ok", bytes, sizeof(bytes), 1000),
				 HTTP_BROKEN);
		assert_string_equal(reply.error, "the header exceeds 16 KiB");
	}
}

static void many_chunks_are_no_long_header(void **state)
{
	enum {
		CHUNKS = 10000
	};
	static char bytes[CHUNKS * 6 + 200];
	size_t len = (size_t)snprintf(bytes, sizeof(bytes), CHUNKED);
	struct http_reply reply;

	(void)state;
	for (int i = 0; i < CHUNKS; i++)
		len += (size_t)snprintf(bytes + len, sizeof(bytes) - len, "1\r\nx\r\n");
	len += (size_t)snprintf(bytes + len, sizeof(bytes) - len, "2\r\nok\r\n");
	assert_int_equal(reply_in_pieces(&reply, "ok", bytes, len, 777), HTTP_FOUND);
}

static enum http_verdict end_after(struct http_reply *reply, const char *bytes)
{
	http_reply_init(reply, "ok");
	http_reply_feed(reply, bytes, strlen(bytes));
	http_reply_release(reply);
	return http_reply_end(reply);
}

static void the_end_of_the_connection_ends_a_body_without_length_and_breaks_all_else(void **state)
{
	struct http_reply reply;

	(void)state;
	assert_int_equal(end_after(&reply, OK_HEADER "\r\nno"), HTTP_LACKS);
	assert_int_equal(end_after(&reply, OK_HEADER "\r\nok"), HTTP_FOUND);
	assert_int_equal(end_after(&reply, ""), HTTP_BROKEN);
	assert_string_equal(reply.error, "connection closed without an answer");
	assert_int_equal(end_after(&reply, OK_HEADER), HTTP_BROKEN);
	assert_int_equal(end_after(&reply, OK_HEADER "Content-Length: 3\r\n\r\nno"), HTTP_BROKEN);
	assert_int_equal(end_after(&reply, CHUNKED "2\r\nno"), HTTP_BROKEN);
	assert_string_equal(reply.error, "connection closed within the answer");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_result_decides_alone),
		cmocka_unit_test(one_lost_probe_with_fall_3_changes_nothing),
		cmocka_unit_test(failures_are_counted_in_a_row_and_not_over_a_lifetime),
		cmocka_unit_test(it_takes_rise_passes_in_a_row_to_come_back),
		cmocka_unit_test(the_state_stands_while_nothing_speaks_against_it),
		cmocka_unit_test(
			after_a_restart_the_state_stays_until_the_next_result_decides_alone),
		cmocka_unit_test(states_have_names),
		cmocka_unit_test(a_status_is_enough_where_no_text_is_looked_for),
		cmocka_unit_test(interim_replies_are_passed_over),
		cmocka_unit_test(the_text_is_found_in_a_body_of_known_length),
		cmocka_unit_test(the_text_is_found_across_the_borders_of_chunks),
		cmocka_unit_test(a_text_longer_than_a_piece_of_the_search_is_found),
		cmocka_unit_test(only_the_first_64_kib_of_a_body_are_searched),
		cmocka_unit_test(what_is_not_http_is_told_by_its_first_bytes),
		cmocka_unit_test(malformed_lengths_and_chunks_are_refused),
		cmocka_unit_test(a_header_without_end_is_refused),
		cmocka_unit_test(many_chunks_are_no_long_header),
		cmocka_unit_test(
			the_end_of_the_connection_ends_a_body_without_length_and_breaks_all_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
