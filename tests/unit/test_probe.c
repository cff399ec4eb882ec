// SPDX-License-Identifier: GPL-2.0-only
/* What a probe finds: replies, byte by byte, and the probe types against sockets on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <sys/socket.h>
#include <unistd.h>

#include "health/checker.h"
#include "health/http_reply.h"

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
	static char bytes[HTTP_BODY_BYTES + 100] = OK_HEADER "\r\n";
	char *last = bytes + strlen(bytes) + HTTP_BODY_BYTES - 1;
	struct http_reply reply;

	(void)state;
	memset(bytes + strlen(bytes), 'x', sizeof(bytes) - strlen(bytes));
	last[-1] = 'o';
	last[0] = 'k';
	assert_int_equal(reply_in_pieces(&reply, "ok", bytes, sizeof(bytes), 4096), HTTP_FOUND);
	last[0] = 'o';
	last[1] = 'k';
	assert_int_equal(reply_in_pieces(&reply, "ok", bytes, sizeof(bytes), 4096), HTTP_LACKS);
}

static void what_is_not_http_is_told_by_its_first_bytes(void **state)
{
	static const char *const others[] = { "SSH-2.0",
					      "HTTP/2",
					      "\r\n",
					      "HTTP/1.1 20 OK\r\n",
					      "HTTP/1.1 2000 OK\r\n",
					      "HTTP/1.1 -200 OK\r\n",
					      "HTTP/1.1\r\n",
					      "HTTP/1.\r\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		reply_is(NULL, others[i], HTTP_BROKEN, 0, "the answer is not HTTP");
}

static void malformed_lengths_and_chunks_are_refused(void **state)
{
	static const char *const lengths[] = { "-1", "99999999999999999999", "1x", "",
					       "1\r\nContent-Length: 2" };
	static const char *const chunks[] = { "x", "", "fffffffffffffffff", "1\r\nabc" };
	char bytes[256];

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		snprintf(bytes, sizeof(bytes), OK_HEADER "Content-Length: %s\r\n", lengths[i]);
		reply_is("ok", bytes, HTTP_BROKEN, 200, "malformed Content-Length");
	}
	for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		snprintf(bytes, sizeof(bytes), CHUNKED "%s\r\n", chunks[i]);
		reply_is("ok", bytes, HTTP_BROKEN, 200, "malformed chunk");
	}
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

/* A server on loopback, in the loop of the probes; one connection at a time. */
struct server {
	struct event_base *base;
	struct evconnlistener *listener;
	const char *const *pieces; /* what it says to a request, then it closes; NULL: nothing */
	suseconds_t delay_ms; /* before each piece */
	struct bufferevent *bev; /* the connection, if there is one */
	struct event *timer; /* of the next piece */
	char request[512];
	uint16_t port;
	uint32_t accepted;
};

struct result {
	struct event_base *base;
	enum health_state state;
	char why[128];
};

static void server_wait(struct server *server)
{
	const struct timeval wait = { .tv_usec = 1000 * (server->delay_ms ? server->delay_ms : 1) };

	event_add(server->timer, &wait);
}

static void server_hang_up(struct server *server)
{
	event_del(server->timer);
	if (server->bev)
		bufferevent_free(server->bev);
	server->bev = NULL;
}

static void server_speak(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;

	(void)fd;
	(void)what;
	if (*server->pieces) {
		bufferevent_write(server->bev, *server->pieces, strlen(*server->pieces));
		server->pieces++;
		server_wait(server);
	} else if (evbuffer_get_length(bufferevent_get_output(server->bev))) {
		server_wait(server);
	} else {
		server_hang_up(server);
	}
}

static void server_read(struct bufferevent *bev, void *arg)
{
	struct server *server = arg;
	struct evbuffer *input = bufferevent_get_input(bev);

	if (evbuffer_search(input, "\r\n\r\n", 4, NULL).pos < 0)
		return;
	evbuffer_remove(input, server->request, sizeof(server->request) - 1);
	if (server->pieces)
		server_wait(server);
}

static void server_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)what;
	server_hang_up(arg);
}

static void server_accept(struct evconnlistener *listener, evutil_socket_t fd,
			  struct sockaddr *addr, int len, void *arg)
{
	struct server *server = arg;

	(void)listener;
	(void)addr;
	(void)len;
	server_hang_up(server);
	server->accepted++;
	server->bev = bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(server->bev, server_read, NULL, server_event, server);
	bufferevent_enable(server->bev, EV_READ | EV_WRITE);
}

/* Listens on loopback, on a port of its own. False: this host has no such address. */
static bool server_open(struct server *server, int family)
{
	struct sockaddr_in6 addr;
	socklen_t len = sizeof(addr);
	int size = sizeof(addr);

	evutil_parse_sockaddr_port(family == AF_INET ? "127.0.0.1" : "::1",
				   (struct sockaddr *)&addr, &size);
	server->listener = evconnlistener_new_bind(server->base, server_accept, server,
						   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
						   16, (struct sockaddr *)&addr, size);
	if (!server->listener)
		return false;
	server->timer = event_new(server->base, -1, 0, server_speak, server);
	getsockname(evconnlistener_get_fd(server->listener), (struct sockaddr *)&addr, &len);
	server->port = ntohs(addr.sin6_port); /* at the same place in both families */
	return true;
}

static void server_close(struct server *server)
{
	server_hang_up(server);
	event_free(server->timer);
	evconnlistener_free(server->listener);
}

static void result_take(void *arg, uint32_t id, enum health_state state, const char *why)
{
	struct result *result = arg;

	assert_int_equal(id, 1);
	result->state = state;
	snprintf(result->why, sizeof(result->why), "%s", why);
	event_base_loopbreak(result->base);
}

/* What the first probe of @port reports, on the loopback address of @family. */
static void port_is(const struct server *server, const struct cfg_health *health, int family,
		    enum health_state state, const char *why)
{
	const struct xdplb_addr v4 = { { 0, 0, htonl(0xffff), htonl(INADDR_LOOPBACK) } };
	const struct xdplb_addr v6 = { { 0, 0, 0, htonl(1) } };
	struct result result = { .base = server->base };
	struct health_checker *checker = health_checker_new(server->base, result_take, &result);

	health_target_set(checker, 1, health, family == AF_INET ? &v4 : &v6, server->port);
	event_base_dispatch(server->base);
	health_checker_free(checker);
	assert_string_equal(result.why, why);
	assert_int_equal(result.state, state);
}

/* What a server is found to be that says @pieces, NULL behind the last. */
static void server_is(struct server *server, const struct cfg_health *health,
		      const char *const *pieces, enum health_state state, const char *why)
{
	server->pieces = pieces;
	port_is(server, health, AF_INET, state, why);
	server_hang_up(server);
}

static int lab_open(void **state)
{
	struct server *server = calloc(1, sizeof(*server));

	assert_non_null(server);
	server->base = event_base_new();
	assert_true(server_open(server, AF_INET));
	*state = server;
	return 0;
}

static int lab_close(void **state)
{
	struct server *server = *state;

	server_close(server);
	event_base_free(server->base);
	free(server);
	return 0;
}

static struct cfg_health health_of(uint32_t type)
{
	static char path[] = "/";

	return (struct cfg_health){ .type = type,
				    .interval_ms = 3600000,
				    .timeout_ms = 20000, /* patience with a busy machine */
				    .rise = 2,
				    .fall = 3,
				    .path = path,
				    .expect = { 200 },
				    .expect_count = 1 };
}

static const char *const plain_ok[] = { OK_HEADER "Content-Length: 5\r\n\r\n", "hello", NULL };

static void a_port_that_refuses_is_down_at_once(void **state)
{
	const struct cfg_health tcp = health_of(CFG_HEALTH_TCP), http = health_of(CFG_HEALTH_HTTP);
	struct server *server = *state;

	server_close(server);
	port_is(server, &tcp, AF_INET, HEALTH_DOWN, "connection refused");
	port_is(server, &http, AF_INET, HEALTH_DOWN, "connection refused");
	assert_true(server_open(server, AF_INET));
}

/* When the loop is late, the kernel sends the ACK it holds back: not always, then. */
static void a_tcp_probe_does_not_wake_the_program_of_the_backend(void **state)
{
	const struct cfg_health health = health_of(CFG_HEALTH_TCP);
	const struct server *server = *state;

	for (int i = 0; i < 20; i++)
		port_is(server, &health, AF_INET, HEALTH_UP, "connected");
	event_base_loop(server->base, EVLOOP_NONBLOCK);
	assert_in_range(server->accepted, 0, 5);
}

static void no_answer_to_a_syn_or_a_request_fails_at_the_timeout(void **state)
{
	struct cfg_health tcp = health_of(CFG_HEALTH_TCP), http = health_of(CFG_HEALTH_HTTP);
	struct server *server = *state;
	const struct sockaddr_in addr = { .sin_family = AF_INET,
					  .sin_port = htons(server->port),
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fillers[8];

	tcp.timeout_ms = http.timeout_ms = 150;
	evconnlistener_disable(server->listener); /* the kernel connects, nobody accepts */
	port_is(server, &tcp, AF_INET, HEALTH_UP, "connected");
	port_is(server, &http, AF_INET, HEALTH_DOWN, "no answer within 150 ms");
	listen(evconnlistener_get_fd(server->listener), 0);
	for (int i = 0; i < 8; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(fillers[i], (const struct sockaddr *)&addr, sizeof(addr));
	}
	port_is(server, &tcp, AF_INET, HEALTH_DOWN, "no answer within 150 ms");
	port_is(server, &http, AF_INET, HEALTH_DOWN, "no answer within 150 ms");
	for (int i = 0; i < 8; i++)
		close(fillers[i]);
}

static void an_expected_status_is_up_and_another_down(void **state)
{
	static const char *const pieces[] = { "HTTP/1.1 503 Service Unavailable\r\n",
					      "Content-Length: 2\r\n\r\nok", NULL };
	static char ok[] = "ok";
	struct cfg_health health = health_of(CFG_HEALTH_HTTP);

	server_is(*state, &health, plain_ok, HEALTH_UP, "status 200");
	server_is(*state, &health, pieces, HEALTH_DOWN, "status 503, expected 200");
	health.expect[health.expect_count++] = 204;
	health.body = ok;
	server_is(*state, &health, pieces, HEALTH_DOWN, "status 503, expected 200, 204");
	health.expect[health.expect_count++] = 503;
	server_is(*state, &health, pieces, HEALTH_UP, "status 503");
}

static void the_body_must_contain_the_text(void **state)
{
	static const char *const segments[] = { OK_HEADER "Content-Length: 13\r\n\r\nall is", " o",
						"k now", NULL };
	static const char *const chunks[] = { CHUNKED, "8\r\nall is o\r\n1\r\nk\r\n0\r\n\r\n",
					      NULL };
	static const char *const until_close[] = { OK_HEADER "\r\nall is ", "bad", NULL };
	static char text[] = "is ok";
	struct cfg_health health = health_of(CFG_HEALTH_HTTP);

	health.body = text;
	server_is(*state, &health, segments, HEALTH_UP, "status 200");
	server_is(*state, &health, chunks, HEALTH_UP, "status 200");
	server_is(*state, &health, until_close, HEALTH_DOWN, "body lacks 'is ok'");
}

static void a_reply_that_trickles_fails_at_the_timeout_of_the_whole(void **state)
{
	static const char *pieces[200];
	struct cfg_health health = health_of(CFG_HEALTH_HTTP);
	struct server *server = *state;

	pieces[0] = OK_HEADER;
	for (size_t i = 1; i < 199; i++)
		pieces[i] = "X-Filler: x\r\n";
	server->delay_ms = 50;
	health.timeout_ms = 500;
	server_is(server, &health, pieces, HEALTH_DOWN, "no complete answer within 500 ms");
}

static void a_huge_header_fails_without_waiting_for_its_end(void **state)
{
	static char filler[20000] = OK_HEADER "Cookie: ";
	static const char *const pieces[] = { filler, NULL };
	const struct cfg_health health = health_of(CFG_HEALTH_HTTP);

	memset(filler + strlen(filler), 'x', sizeof(filler) - 1 - strlen(filler));
	server_is(*state, &health, pieces, HEALTH_DOWN, "the header exceeds 16 KiB");
}

static void what_is_no_reply_is_down_and_says_so(void **state)
{
	static const char *const ssh[] = { "SSH-2.0-x\r\n", NULL }, *const nothing[] = { NULL };
	static const char *const half[] = { OK_HEADER, NULL };
	const struct cfg_health health = health_of(CFG_HEALTH_HTTP);

	server_is(*state, &health, ssh, HEALTH_DOWN, "the answer is not HTTP");
	server_is(*state, &health, nothing, HEALTH_DOWN, "connection closed without an answer");
	server_is(*state, &health, half, HEALTH_DOWN, "connection closed within the answer");
}

static void the_request_carries_path_and_host(void **state)
{
	static char path[] = "/alive?x=1", host[] = "www.example";
	struct cfg_health health = health_of(CFG_HEALTH_HTTP);
	struct server *server = *state;
	char want[256];

	server_is(server, &health, plain_ok, HEALTH_UP, "status 200");
	snprintf(want, sizeof(want),
		 "GET / HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
		 "User-Agent: xdplb\r\nConnection: close\r\n\r\n",
		 server->port);
	assert_string_equal(server->request, want);
	memset(server->request, 0, sizeof(server->request));
	health.path = path;
	health.host = host;
	server_is(server, &health, plain_ok, HEALTH_UP, "status 200");
	assert_string_equal(server->request, "GET /alive?x=1 HTTP/1.1\r\nHost: www.example\r\n"
					     "User-Agent: xdplb\r\nConnection: close\r\n\r\n");
}

static void ipv6_is_probed_alike(void **state)
{
	const struct cfg_health tcp = health_of(CFG_HEALTH_TCP), http = health_of(CFG_HEALTH_HTTP);
	struct server server = { .base = ((const struct server *)*state)->base,
				 .pieces = plain_ok };
	char want[64];

	if (!server_open(&server, AF_INET6)) {
		print_message("SKIP: no ::1 on this host (%s)\n", strerror(errno));
		skip();
	}
	port_is(&server, &tcp, AF_INET6, HEALTH_UP, "connected");
	port_is(&server, &http, AF_INET6, HEALTH_UP, "status 200");
	snprintf(want, sizeof(want), "\r\nHost: [::1]:%u\r\n", server.port);
	assert_non_null(strstr(server.request, want));
	server_close(&server);
}

#define LAB_TEST(f) cmocka_unit_test_setup_teardown(f, lab_open, lab_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
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
		LAB_TEST(a_port_that_refuses_is_down_at_once),
		LAB_TEST(a_tcp_probe_does_not_wake_the_program_of_the_backend),
		LAB_TEST(no_answer_to_a_syn_or_a_request_fails_at_the_timeout),
		LAB_TEST(an_expected_status_is_up_and_another_down),
		LAB_TEST(the_body_must_contain_the_text),
		LAB_TEST(a_reply_that_trickles_fails_at_the_timeout_of_the_whole),
		LAB_TEST(a_huge_header_fails_without_waiting_for_its_end),
		LAB_TEST(what_is_no_reply_is_down_and_says_so),
		LAB_TEST(the_request_carries_path_and_host),
		LAB_TEST(ipv6_is_probed_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
