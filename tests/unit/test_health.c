// SPDX-License-Identifier: GPL-2.0-only
/* What results make of a state, and when the checker probes whom: whatever a probe looks like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <event2/event.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "health/checker.h"

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
	results_make(&fsm, "-+-+-++++-", "DDDDDDUUUU");
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

#define MAX_IDS 512
#define MAX_PROBES 64
#define PATIENCE_MS 20000 /* with a busy machine: only what hangs takes as long */

struct report {
	uint32_t count;
	enum health_state state;
	char why[128];
};

/* A connection that the server of a lab has accepted. */
struct conn {
	struct lab *lab;
	int fd; /* -1: closed */
	uint64_t since_ms;
};

/* A port of 127.0.0.1, and the checker that probes it: targets differ by id and parameters. */
struct lab {
	struct event_base *base;
	struct health_checker *checker;
	int fd; /* listens */
	uint16_t port;
	struct event *acceptor; /* answers http requests "200" */
	bool mute; /* does not answer them */
	suseconds_t delay_ms; /* before the answer */
	uint32_t accepted, open, open_most;
	struct conn conns[MAX_PROBES];
	struct report reports[MAX_IDS];
	uint32_t reported; /* targets with a report */
	bool remove_on_report;
};

static void report_take(void *arg, uint32_t id, enum health_state state, const char *why)
{
	struct lab *lab = arg;
	struct report *report = &lab->reports[id];

	assert_int_equal(health_target_state(lab->checker, id), state);
	lab->reported += !report->count++;
	report->state = state;
	snprintf(report->why, sizeof(report->why), "%s", why);
	if (lab->remove_on_report)
		health_target_remove(lab->checker, id);
}

static void server_answer(evutil_socket_t fd, short what, void *arg)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\n\r\n";
	struct conn *conn = arg;

	(void)fd;
	(void)what;
	send(conn->fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
	close(conn->fd);
	conn->fd = -1;
	conn->lab->open--;
}

static void server_request(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;
	const struct timeval wait = { .tv_usec = conn->lab->delay_ms * 1000 };
	char request[512];

	(void)what;
	if (recv(fd, request, sizeof(request), 0) > 0 && !conn->lab->mute)
		event_base_once(conn->lab->base, -1, EV_TIMEOUT, server_answer, conn, &wait);
}

static void server_accept(evutil_socket_t listener, short what, void *arg)
{
	struct lab *lab = arg;
	struct conn *conn = &lab->conns[lab->accepted];
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (fd < 0)
		return;
	*conn = (struct conn){ .lab = lab, .fd = fd, .since_ms = clock_now_ns() / 1000000 };
	if (++lab->open > lab->open_most)
		lab->open_most = lab->open;
	event_base_once(lab->base, fd, EV_READ, server_request, conn, NULL);
	if (++lab->accepted == MAX_PROBES)
		event_del(lab->acceptor);
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

/* Opens a socket that listens on a port of its own; the caller closes it. */
static int listen_anywhere(int backlog, uint16_t *port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in addr = loopback(0);
	socklen_t len = sizeof(addr);

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	*port = ntohs(addr.sin_port);
	return fd;
}

static int lab_open(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	assert_non_null(lab);
	lab->base = event_base_new();
	lab->checker = health_checker_new(lab->base, report_take, lab);
	lab->fd = listen_anywhere(512, &lab->port);
	lab->acceptor = event_new(lab->base, lab->fd, EV_READ | EV_PERSIST, server_accept, lab);
	event_add(lab->acceptor, NULL);
	*state = lab;
	return 0;
}

static int lab_close(void **state)
{
	struct lab *lab = *state;

	health_checker_free(lab->checker);
	event_free(lab->acceptor);
	event_base_free(lab->base);
	for (uint32_t i = 0; i < lab->accepted; i++)
		if (lab->conns[i].fd >= 0)
			close(lab->conns[i].fd);
	close(lab->fd);
	free(lab);
	return 0;
}

/* A port whose listener's queue is full: a SYN to it gets no answer. */
struct hole {
	int fd, fillers[8];
	uint16_t port;
};

static void hole_open(struct hole *hole)
{
	struct sockaddr_in addr;

	hole->fd = listen_anywhere(0, &hole->port);
	addr = loopback(hole->port);
	for (int i = 0; i < 8; i++) {
		hole->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(hole->fillers[i], (struct sockaddr *)&addr, sizeof(addr));
	}
}

static void hole_close(const struct hole *hole)
{
	for (int i = 0; i < 8; i++)
		close(hole->fillers[i]);
	close(hole->fd);
}

static uint16_t port_refused(void)
{
	uint16_t port;

	close(listen_anywhere(1, &port));
	return port;
}

/* Interval and timeout are long: what a test is about it sets itself. */
static struct cfg_health health_of(uint32_t type)
{
	return (struct cfg_health){ .type = type,
				    .interval_ms = 3600000,
				    .timeout_ms = 10000,
				    .rise = 2,
				    .fall = 3,
				    .expect = { 200 },
				    .expect_count = 1 };
}

static void target_set(struct lab *lab, uint32_t id, const struct cfg_health *health, uint16_t port)
{
	const struct xdplb_addr addr = { { 0, 0, htonl(0xffff), htonl(INADDR_LOOPBACK) } };

	health_target_set(lab->checker, id, health, &addr, port);
}

static void tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

/* Runs the loop until *@counter reaches @least, or for @ms. */
static void run_for(struct lab *lab, const uint32_t *counter, uint32_t least, uint32_t ms)
{
	uint64_t end_ns = clock_now_ns() + ms * 1000000ULL;
	struct event *timer = event_new(lab->base, -1, EV_PERSIST, tick, NULL);
	const struct timeval step = { .tv_usec = 5000 };

	event_add(timer, &step);
	while (*counter < least && clock_now_ns() < end_ns)
		event_base_loop(lab->base, EVLOOP_ONCE);
	event_free(timer);
}

static void run_ms(struct lab *lab, uint32_t ms)
{
	run_for(lab, &(const uint32_t){ 0 }, 1, ms);
}

static void run_until(struct lab *lab, const uint32_t *counter, uint32_t least)
{
	run_for(lab, counter, least, PATIENCE_MS);
	assert_true(*counter >= least);
}

/* The next and only report of @id since the last such question. */
static void report_is(struct lab *lab, uint32_t id, enum health_state state, const char *why)
{
	struct report *report = &lab->reports[id];

	run_until(lab, &report->count, 1);
	assert_string_equal(report->why, why);
	assert_int_equal(report->state, state);
	assert_int_equal(report->count, 1);
	report->count = 0;
}

static void fifty_blackholed_backends_delay_nobody(void **state)
{
	struct cfg_health tcp = health_of(CFG_HEALTH_TCP), http = health_of(CFG_HEALTH_HTTP);
	struct lab *lab = *state;
	struct hole hole;

	hole_open(&hole);
	for (uint32_t id = 1; id <= 50; id++)
		target_set(lab, id, id % 2 ? &tcp : &http, hole.port);
	for (uint32_t id = 51; id <= 100; id++)
		target_set(lab, id, id % 2 ? &tcp : &http, lab->port);
	run_until(lab, &lab->reported, 50); /* long before one of the dead times out */
	for (uint32_t id = 1; id <= 100; id++)
		assert_int_equal(lab->reports[id].state, id <= 50 ? HEALTH_UNKNOWN : HEALTH_UP);
	hole_close(&hole);
}

static struct rlimit limit_files(rlim_t soft)
{
	struct rlimit before, limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur = soft;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return before;
}

static void more_targets_than_sockets_wait_in_line(void **state)
{
	struct cfg_health dead = health_of(CFG_HEALTH_TCP), tcp = dead;
	struct rlimit before;
	struct lab *lab = *state;
	struct hole hole;

	hole_open(&hole);
	before = limit_files(64); /* 32 at once */
	health_checker_free(lab->checker);
	lab->checker = health_checker_new(lab->base, report_take, lab);
	dead.timeout_ms = 150;
	for (uint32_t id = 1; id < MAX_IDS; id++)
		target_set(lab, id, id <= 40 ? &dead : &tcp, id <= 40 ? hole.port : lab->port);
	run_until(lab, &lab->reported, MAX_IDS - 1);
	for (uint32_t id = 1; id < MAX_IDS; id++)
		assert_int_equal(lab->reports[id].state, id <= 40 ? HEALTH_DOWN : HEALTH_UP);
	setrlimit(RLIMIT_NOFILE, &before);
	hole_close(&hole);
}

static void a_lack_of_descriptors_is_not_the_backends_failure_and_is_told_once(void **state)
{
	const struct cfg_health health = health_of(CFG_HEALTH_TCP);
	struct lab *lab = *state;
	struct rlimit before;
	char *text = NULL;
	size_t len;
	FILE *err = stderr;
	int first = dup(0);

	stderr = open_memstream(&text, &len);
	before = limit_files((rlim_t)first);
	close(first);
	assert_int_equal(dup(0), -1);
	for (uint32_t id = 1; id <= 20; id++)
		target_set(lab, id, &health, lab->port);
	run_ms(lab, 400);
	setrlimit(RLIMIT_NOFILE, &before);
	fclose(stderr);
	stderr = err;
	assert_int_equal(lab->reported, 0);
	assert_non_null(strstr(text, "cannot open a socket"));
	assert_ptr_equal(strchr(text, '\n'), strrchr(text, '\n'));
	free(text);
	for (uint32_t id = 1; id <= 20; id++)
		report_is(lab, id, HEALTH_UP, "connected");
}

static void the_interval_runs_from_start_to_start(void **state)
{
	struct cfg_health health = health_of(CFG_HEALTH_HTTP);
	struct lab *lab = *state;

	lab->delay_ms = 120;
	health.interval_ms = 200;
	target_set(lab, 1, &health, lab->port);
	run_until(lab, &lab->accepted, 7); /* the second comes when its moment in the interval is */
	assert_in_range(lab->conns[6].since_ms - lab->conns[1].since_ms, 900, 1500);
	assert_int_equal(lab->open_most, 1);
}

static void a_target_is_never_probed_twice_at_once(void **state)
{
	struct cfg_health health = health_of(CFG_HEALTH_HTTP);
	struct lab *lab = *state;

	lab->delay_ms = 200;
	health.interval_ms = 30;
	target_set(lab, 1, &health, lab->port);
	run_until(lab, &lab->accepted, 4);
	assert_int_equal(lab->open_most, 1);
}

static void a_late_answer_is_ignored(void **state)
{
	struct cfg_health health = health_of(CFG_HEALTH_HTTP);
	struct lab *lab = *state;

	lab->delay_ms = 400;
	health.timeout_ms = 100;
	target_set(lab, 1, &health, lab->port);
	report_is(lab, 1, HEALTH_DOWN, "no answer within 100 ms");
	run_ms(lab, 500);
	assert_int_equal(lab->open, 0);
	assert_int_equal(lab->reports[1].count, 0);
}

static void time_that_the_loop_was_busy_does_not_count_against_a_backend(void **state)
{
	struct cfg_health health = health_of(CFG_HEALTH_HTTP);
	struct lab *lab = *state;

	health.timeout_ms = 300;
	target_set(lab, 1, &health, lab->port);
	while (!lab->accepted)
		event_base_loop(lab->base, EVLOOP_ONCE);
	usleep(400000);
	report_is(lab, 1, HEALTH_UP, "status 200");
}

static void targets_set_together_do_not_stay_together(void **state)
{
	struct cfg_health health = health_of(CFG_HEALTH_HTTP);
	struct lab *lab = *state;

	health.interval_ms = 2000;
	for (uint32_t id = 1; id <= 4; id++)
		target_set(lab, id, &health, lab->port);
	run_until(lab, &lab->accepted, 8);
	for (int i = 5; i < 8; i++) /* 292 ms and more apart, were it not for the machine */
		assert_in_range(lab->conns[i].since_ms - lab->conns[i - 1].since_ms, 50, 2000);
}

static void setting_the_same_again_keeps_state_and_schedule(void **state)
{
	const struct cfg_health health = health_of(CFG_HEALTH_HTTP);
	struct lab *lab = *state;

	target_set(lab, 1, &health, lab->port);
	report_is(lab, 1, HEALTH_UP, "status 200");
	for (int i = 0; i < 10; i++) {
		target_set(lab, 1, &health, lab->port);
		run_ms(lab, 10);
	}
	assert_int_equal(lab->accepted, 1);
	assert_int_equal(lab->reports[1].count, 0);
	assert_int_equal(health_target_state(lab->checker, 1), HEALTH_UP);
}

static void another_question_keeps_the_state_until_its_first_answer_decides(void **state)
{
	struct cfg_health health = health_of(CFG_HEALTH_HTTP);
	struct lab *lab = *state;

	target_set(lab, 1, &health, lab->port);
	report_is(lab, 1, HEALTH_UP, "status 200");
	health.expect[0] = 204;
	target_set(lab, 1, &health, lab->port);
	assert_int_equal(health_target_state(lab->checker, 1), HEALTH_UP);
	report_is(lab, 1, HEALTH_DOWN, "status 200, expected 204"); /* at once, though fall is 3 */
	health.type = CFG_HEALTH_TCP;
	target_set(lab, 1, &health, lab->port);
	target_set(lab, 1, &health, lab->port);
	assert_int_equal(health_target_state(lab->checker, 1), HEALTH_DOWN);
	report_is(lab, 1, HEALTH_UP, "connected");
}

static void another_interval_and_timeout_hold_from_now_on(void **state)
{
	struct cfg_health health = health_of(CFG_HEALTH_HTTP);
	struct lab *lab = *state;

	target_set(lab, 1, &health, lab->port);
	report_is(lab, 1, HEALTH_UP, "status 200");
	health.interval_ms = 50;
	target_set(lab, 1, &health, lab->port);
	run_until(lab, &lab->accepted, 5);
	lab->mute = true;
	run_ms(lab, 100); /* by now one is under way, with its 10 s */
	health.timeout_ms = 50;
	target_set(lab, 1, &health, lab->port);
	report_is(lab, 1, HEALTH_DOWN, "no answer within 50 ms");
	assert_in_range(lab->accepted, 7, 10); /* fall 3; the fifth may have been answered or not */
}

static void another_address_is_a_new_target(void **state)
{
	const struct cfg_health health = health_of(CFG_HEALTH_TCP);
	struct lab *lab = *state;

	target_set(lab, 1, &health, lab->port);
	report_is(lab, 1, HEALTH_UP, "connected");
	target_set(lab, 1, &health, port_refused());
	assert_int_equal(health_target_state(lab->checker, 1), HEALTH_UNKNOWN);
	report_is(lab, 1, HEALTH_DOWN, "connection refused");
}

static void type_none_is_no_target(void **state)
{
	struct cfg_health health = health_of(CFG_HEALTH_TCP);
	struct lab *lab = *state;

	target_set(lab, 1, &health, lab->port);
	report_is(lab, 1, HEALTH_UP, "connected");
	health.type = CFG_HEALTH_NONE;
	target_set(lab, 1, &health, lab->port);
	target_set(lab, 2, &health, lab->port);
	run_ms(lab, 50);
	assert_int_equal(health_target_state(lab->checker, 1), HEALTH_UNKNOWN);
	assert_int_equal(lab->reports[1].count + lab->reports[2].count, 0);
}

static void a_removed_target_is_silent_whatever_it_was_doing(void **state)
{
	struct cfg_health health = health_of(CFG_HEALTH_HTTP);
	struct lab *lab = *state;

	lab->mute = true;
	health.timeout_ms = 200;
	target_set(lab, 1, &health, lab->port); /* in line */
	health_target_remove(lab->checker, 1);
	health_target_remove(lab->checker, 1);
	target_set(lab, 2, &health, lab->port);
	run_until(lab, &lab->accepted, 1); /* under way */
	health_target_remove(lab->checker, 2);
	run_ms(lab, 300);
	assert_int_equal(lab->reported, 0);
	assert_int_equal(lab->accepted, 1);
	target_set(lab, 3, &health, lab->port);
	run_until(lab, &lab->accepted, 2); /* left to health_checker_free() */
}

static void a_report_may_remove_its_own_target(void **state)
{
	struct cfg_health tcp = health_of(CFG_HEALTH_TCP), late = health_of(CFG_HEALTH_HTTP);
	struct lab *lab = *state;

	lab->remove_on_report = lab->mute = true;
	late.timeout_ms = 100;
	target_set(lab, 1, &tcp, lab->port);
	target_set(lab, 2, &tcp, port_refused());
	target_set(lab, 3, &late, lab->port);
	run_until(lab, &lab->reported, 3);
	for (uint32_t id = 1; id <= 3; id++)
		assert_int_equal(health_target_state(lab->checker, id), HEALTH_UNKNOWN);
}

#define LAB_TEST(f) cmocka_unit_test_setup_teardown(f, lab_open, lab_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_result_decides_alone),
		cmocka_unit_test(one_lost_probe_with_fall_3_changes_nothing),
		cmocka_unit_test(failures_are_counted_in_a_row_and_not_over_a_lifetime),
		cmocka_unit_test(it_takes_rise_passes_in_a_row_to_come_back),
		cmocka_unit_test(
			after_a_restart_the_state_stays_until_the_next_result_decides_alone),
		LAB_TEST(fifty_blackholed_backends_delay_nobody),
		LAB_TEST(more_targets_than_sockets_wait_in_line),
		LAB_TEST(a_lack_of_descriptors_is_not_the_backends_failure_and_is_told_once),
		LAB_TEST(the_interval_runs_from_start_to_start),
		LAB_TEST(a_target_is_never_probed_twice_at_once),
		LAB_TEST(a_late_answer_is_ignored),
		LAB_TEST(time_that_the_loop_was_busy_does_not_count_against_a_backend),
		LAB_TEST(targets_set_together_do_not_stay_together),
		LAB_TEST(setting_the_same_again_keeps_state_and_schedule),
		LAB_TEST(another_question_keeps_the_state_until_its_first_answer_decides),
		LAB_TEST(another_interval_and_timeout_hold_from_now_on),
		LAB_TEST(another_address_is_a_new_target),
		LAB_TEST(type_none_is_no_target),
		LAB_TEST(a_removed_target_is_silent_whatever_it_was_doing),
		LAB_TEST(a_report_may_remove_its_own_target),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
