// SPDX-License-Identifier: GPL-2.0-only
/* Requests of the control socket: what is one, and what becomes of the rest, over a real socket. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "api/control.h"

static void what_is_no_request_is_refused_with_a_reason(void **state)
{
	static const struct {
		const char *line, *why;
	} cases[] = {
		{ "", "a request is one JSON object in one line" },
		{ "reload", "a request is one JSON object in one line" },
		{ "[]", "a request is one JSON object in one line" },
		{ "{}", "a request needs \"verb\", a string" },
		{ "{\"verb\":7}", "a request needs \"verb\", a string" },
		{ "{\"verb\":\"explode\"}", "there is no verb 'explode'" },
		{ "{\"verb\":\"reload\",\"verb\":\"stop\"}",
		  "a request is one JSON object in one line" },
		{ "{\"verb\":\"reload\",\"now\":true}", "'reload' takes no \"now\"" },
		{ "{\"verb\":\"reload\"} x", "a request is one JSON object in one line" },
		{ "{\"verb\":\"attach\"}", "'attach' needs \"interfaces\"" },
		{ "{\"verb\":\"attach\",\"interfaces\":[]}", "'attach' needs \"interfaces\"" },
		{ "{\"verb\":\"attach\",\"interfaces\":\"eth0\"}",
		  "\"interfaces\" is no list of at most 64 names" },
		{ "{\"verb\":\"attach\",\"interfaces\":[\"a/b\"]}",
		  "'a/b' cannot be the name of an interface" },
		{ "{\"verb\":\"attach\",\"interfaces\":[\"sixteen-bytes-xx\"]}",
		  "'sixteen-bytes-xx' cannot be the name of an interface" },
		{ "{\"verb\":\"attach\",\"interfaces\":[7]}",
		  "'' cannot be the name of an interface" },
		{ "{\"verb\":\"attach\",\"interfaces\":[\"eth0\"],\"mode\":\"fast\"}",
		  "mode: 'fast' is not auto, native or generic" },
		{ "{\"verb\":\"detach\",\"all\":1}", "\"all\" is not true or false" },
		{ "{\"verb\":\"detach\",\"all\":false}", "'detach' needs \"interfaces\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct request request = { .verb = REQUEST_STOP };
		char why[128] = "";

		assert_false(request_parse(cases[i].line, strlen(cases[i].line), &request, why));
		assert_string_equal(why, cases[i].why);
		assert_int_equal(request.verb, REQUEST_STOP);
	}
}

static void a_request_is_read_with_its_arguments(void **state)
{
	static const char attach[] =
		"{\"verb\":\"attach\",\"interfaces\":[\"eth0\",\"a.10\"],\"mode\":\"native\"}";
	static const char detach[] = "{\"verb\":\"detach\",\"all\":true}";
	struct request request;
	char why[128];

	(void)state;
	assert_true(request_parse(attach, strlen(attach), &request, why));
	assert_int_equal(request.verb, REQUEST_ATTACH);
	assert_int_equal(request.interface_count, 2);
	assert_string_equal(request.interfaces[1], "a.10");
	assert_string_equal(request.mode, "native");
	assert_true(request_parse(detach, strlen(detach), &request, why));
	assert_int_equal(request.verb, REQUEST_DETACH);
	assert_true(request.all);
}

/* ---- the socket */

struct fixture {
	struct event_base *base;
	struct control *control;
	char path[64];
	int handled;
	uint64_t ticket; /* of a status, which is answered later */
	json_t *reply;
};

static json_t *handle(void *arg, const struct request *request, uint64_t ticket)
{
	struct fixture *fixture = arg;
	json_t *reply = control_reply_ok();

	fixture->handled++;
	json_object_set_new(reply, "verb", json_integer(request->verb));
	if (request->verb != REQUEST_STATUS)
		return reply;
	fixture->ticket = ticket;
	fixture->reply = reply;
	return NULL;
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	snprintf(fixture->path, sizeof(fixture->path), "/tmp/test_control.%d", getpid());
	fixture->base = event_base_new();
	fixture->control = control_new(fixture->base, fixture->path, handle, fixture);
	assert_non_null(fixture->control);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	control_free(fixture->control);
	event_base_free(fixture->base);
	assert_int_equal(access(fixture->path, F_OK), -1);
	free(fixture);
	return 0;
}

static int dial(const struct fixture *fixture)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = 2 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(addr.sun_path, fixture->path, strlen(fixture->path));
	assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static void turn(struct fixture *fixture)
{
	for (int i = 0; i < 20; i++)
		event_base_loop(fixture->base, EVLOOP_NONBLOCK);
}

static void say(struct fixture *fixture, int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t sent = send(fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		turn(fixture);
		if (sent < 0)
			return; /* the other side has had enough */
		text += sent;
		len -= (size_t)sent;
	}
}

static void assert_answer(int fd, const char *want)
{
	char text[4096] = "";
	ssize_t got = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	assert_true(got >= 0);
	assert_string_equal(text, want);
}

#define RELOAD "{\"verb\":\"reload\"}\n"
#define RELOADED "{\"ok\":true,\"verb\":1}\n"

static void the_socket_is_for_its_owner_alone(void **state)
{
	struct fixture *fixture = *state;
	struct stat st;

	assert_int_equal(stat(fixture->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_request_is_answered_also_in_pieces_and_two_at_once(void **state)
{
	struct fixture *fixture = *state;
	int fd = dial(fixture);

	say(fixture, fd, RELOAD, 5);
	assert_int_equal(fixture->handled, 0);
	say(fixture, fd, &RELOAD[5], strlen(RELOAD) - 5);
	assert_answer(fd, RELOADED);
	say(fixture, fd, RELOAD RELOAD, strlen(RELOAD RELOAD));
	assert_answer(fd, RELOADED RELOADED);
	assert_int_equal(fixture->handled, 3);
	close(fd);
}

static void a_client_that_hangs_up_half_way_still_hears_the_answer(void **state)
{
	struct fixture *fixture = *state;
	int fd = dial(fixture);

	say(fixture, fd, RELOAD RELOAD, strlen(RELOAD RELOAD));
	shutdown(fd, SHUT_WR);
	turn(fixture);
	assert_answer(fd, RELOADED RELOADED);
	assert_answer(fd, "");
	close(fd);
}

#define STATUS "{\"verb\":\"status\"}\n"

static void an_answer_may_come_later_and_in_order(void **state)
{
	struct fixture *fixture = *state;
	int fd = dial(fixture);

	say(fixture, fd, STATUS RELOAD, strlen(STATUS RELOAD));
	assert_int_equal(fixture->handled, 1);
	control_answer(fixture->control, fixture->ticket, fixture->reply);
	turn(fixture);
	assert_answer(fd, "{\"ok\":true,\"verb\":0}\n" RELOADED);
	close(fd);
}

static void an_answer_to_one_who_left_is_dropped(void **state)
{
	struct fixture *fixture = *state;
	int fd = dial(fixture);
	struct linger now = { .l_onoff = 1 };

	say(fixture, fd, STATUS, strlen(STATUS));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	turn(fixture);
	control_answer(fixture->control, fixture->ticket, fixture->reply);
	turn(fixture);
	fd = dial(fixture);
	say(fixture, fd, RELOAD, strlen(RELOAD));
	assert_answer(fd, RELOADED);
	close(fd);
}

static void junk_is_refused_and_the_next_request_is_heard(void **state)
{
	struct fixture *fixture = *state;
	int fd = dial(fixture);

	say(fixture, fd, "\0\xff{{{\n" RELOAD, 6 + strlen(RELOAD));
	assert_answer(fd, "{\"ok\":false,\"error\":\"a request is one JSON object in one line\","
			  "\"status\":1}\n" RELOADED);
	close(fd);
}

static void a_line_that_never_ends_is_cut_off(void **state)
{
	struct fixture *fixture = *state;
	char *flood = malloc(300000);
	int fd = dial(fixture);

	assert_non_null(flood);
	memset(flood, '{', 300000);
	say(fixture, fd, flood, 300000);
	turn(fixture);
	assert_answer(fd, "{\"ok\":false,\"error\":\"the request is longer than 64 KiB\","
			  "\"status\":1}\n");
	free(flood);
	close(fd);
	turn(fixture);
	assert_int_equal(fixture->handled, 0);
}

static void clients_beyond_the_bound_are_turned_away_and_the_others_served(void **state)
{
	struct fixture *fixture = *state;
	int first = dial(fixture), fds[80];

	turn(fixture);
	for (size_t i = 0; i < 80; i++) {
		fds[i] = dial(fixture);
		turn(fixture);
	}
	assert_int_equal(recv(fds[79], (char[1]){ 0 }, 1, 0), 0);
	say(fixture, first, RELOAD, strlen(RELOAD));
	assert_answer(first, RELOADED);
	for (size_t i = 0; i < 80; i++)
		close(fds[i]);
	close(first);
	turn(fixture);
	first = dial(fixture);
	say(fixture, first, RELOAD, strlen(RELOAD));
	assert_answer(first, RELOADED);
	close(first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_request_is_refused_with_a_reason),
		cmocka_unit_test(a_request_is_read_with_its_arguments),
		cmocka_unit_test_setup_teardown(the_socket_is_for_its_owner_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_request_is_answered_also_in_pieces_and_two_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_client_that_hangs_up_half_way_still_hears_the_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(an_answer_may_come_later_and_in_order, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_answer_to_one_who_left_is_dropped, setup,
						teardown),
		cmocka_unit_test_setup_teardown(junk_is_refused_and_the_next_request_is_heard,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_line_that_never_ends_is_cut_off, setup, teardown),
		cmocka_unit_test_setup_teardown(
			clients_beyond_the_bound_are_turned_away_and_the_others_served, setup,
			teardown),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
