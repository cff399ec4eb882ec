/* SPDX-License-Identifier: GPL-2.0-only */
/* Short connections: connect, ask once, check the answer, close; --count of them. */
#include "peer.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <unistd.h>

#define DEADLINE_NS 20000000000ULL /* a connection without an answer for this long has failed */
#define SLOW_NS 1000000000ULL /* a repeated SYN costs at least this */

struct conn {
	int fd;
	uint64_t started_ns;
	bool asked, answered;
	char said[64], answer[192 + 1]; /* one byte to read a FIN with */
	size_t said_len, have;
	TAILQ_ENTRY(conn) entry;
};

TAILQ_HEAD(conns, conn);

struct run {
	const struct options *options;
	struct report report;
	struct conns conns; /* in the order of opening, to find the overdue */
	uint64_t opened, open;
	int epoll;
};

static void conn_end(struct run *run, struct conn *conn)
{
	struct linger linger = { .l_onoff = 1 };

	if (run->options->reset)
		setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(conn->fd);
	TAILQ_REMOVE(&run->conns, conn, entry);
	free(conn);
	run->open--;
}

static void conn_open(struct run *run)
{
	uint64_t index = run->opened++;
	struct conn *conn = allocate(sizeof(*conn));
	struct epoll_event event = { .events = EPOLLOUT, .data.ptr = conn };
	const char *verb = run->options->server_closes ? "bye" : "ask";
	int one = 1;

	conn->fd = client_socket(run->options, SOCK_STREAM, index);
	setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	conn->started_ns = now_ns();
	TAILQ_INSERT_TAIL(&run->conns, conn, entry);
	run->open++;
	conn->said_len = (size_t)snprintf(conn->said, sizeof(conn->said), "%s %d.%lu\n", verb,
					  getpid(), index);
	if (connect(conn->fd, (const struct sockaddr *)&run->options->to.addr,
		    run->options->to.len) &&
	    errno != EINPROGRESS) {
		report_failure(&run->report, errno);
		conn_end(run, conn);
		return;
	}
	if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, conn->fd, &event))
		die("epoll_ctl");
}

/* Connected, or refused: 0 or errno. */
static int conn_ask(struct run *run, struct conn *conn)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = conn };
	struct tcp_info info;
	socklen_t len = sizeof(int);
	int error = 0;

	getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error)
		return error;
	len = sizeof(info);
	if (!getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		run->report.retransmitted += info.tcpi_total_retrans > 0;
	run->report.slow += now_ns() - conn->started_ns >= SLOW_NS;
	if (send(conn->fd, conn->said, conn->said_len, MSG_NOSIGNAL) < 0)
		return errno;
	conn->asked = true;
	epoll_ctl(run->epoll, EPOLL_CTL_MOD, conn->fd, &event);
	return 0;
}

/* True: this connection is over. */
static bool conn_answered(struct run *run, struct conn *conn)
{
	ssize_t len = read(conn->fd, conn->answer + conn->have,
			   conn->answered ? 1 : sizeof(conn->answer) - 1 - conn->have);
	uint64_t took_ms = (now_ns() - conn->started_ns) / 1000000;
	int backend;

	if (len < 0 && errno == EAGAIN)
		return false;
	if (conn->answered) /* the server's FIN: it keeps the TIME_WAIT */
		return true;
	if (len <= 0) {
		report_failure(&run->report, len ? errno : EPIPE);
		return true;
	}
	conn->have += (size_t)len;
	if (conn->answer[conn->have - 1] != '\n' && conn->have < sizeof(conn->answer) - 1)
		return false;
	backend = answer_check(&run->report.backends, conn->answer, conn->have, conn->said,
			       conn->said_len);
	if (backend < 0) {
		run->report.mismatched++;
		return true;
	}
	run->report.backends.counts[backend]++;
	run->report.ok++;
	if (took_ms > run->report.slowest_ms)
		run->report.slowest_ms = took_ms;
	conn->answered = true;
	return !run->options->server_closes;
}

static void conn_event(struct run *run, struct conn *conn)
{
	if (!conn->asked) {
		int error = conn_ask(run, conn);

		if (!error)
			return;
		report_failure(&run->report, error);
		conn_end(run, conn);
	} else if (conn_answered(run, conn)) {
		conn_end(run, conn);
	}
}

static void overdue_end(struct run *run)
{
	uint64_t now = now_ns();

	struct conn *conn, *next;

	for (conn = TAILQ_FIRST(&run->conns); conn && now - conn->started_ns > DEADLINE_NS;
	     conn = next) {
		next = TAILQ_NEXT(conn, entry);
		report_failure(&run->report, ETIMEDOUT);
		conn_end(run, conn);
	}
}

int load(const struct options *options)
{
	static struct run run;
	struct epoll_event events[256];
	uint64_t started = now_ns();

	run.options = options;
	TAILQ_INIT(&run.conns);
	run.epoll = epoll_create1(EPOLL_CLOEXEC);
	while (run.opened < options->count || run.open) {
		uint64_t due = options->count;
		int count;

		if (options->rate)
			due = 1 + (now_ns() - started) * options->rate / 1000000000U;
		while (run.opened < options->count && run.opened < due &&
		       run.open < options->concurrency)
			conn_open(&run);
		count = epoll_wait(run.epoll, events, 256, options->rate ? 1 : 100);
		for (int i = 0; i < count; i++)
			conn_event(&run, events[i].data.ptr);
		overdue_end(&run);
	}
	report_print(&run.report);
	return 0;
}
