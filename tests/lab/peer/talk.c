/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Long conversations: --count streams and --datagrams UDP sockets ask and check
 * the answer, wait --interval and ask again, for --rounds or until stdin ends;
 * then each asks once more. At most --concurrency of them wait for an answer.
 * Prints "open" as soon as each of them was answered (or failed) once.
 */
#include "peer.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <unistd.h>

#define NS_PER_MS 1000000ULL
#define STREAM_DEADLINE_NS (30000 * NS_PER_MS)
#define DATAGRAM_DEADLINE_NS (1000 * NS_PER_MS) /* an echo later than this is lost */

struct talker {
	TAILQ_ENTRY(talker) entry; /* of one of the queues below */
	struct queue *queue;
	uint64_t index, round, since_ns;
	int fd, backend;
	bool udp, opened;
	size_t sent, have;
	char *answer;
};

TAILQ_HEAD(queue, talker);

struct run {
	const struct options *options;
	struct report report;
	struct queue resting, streams, datagrams; /* each in the order of since_ns */
	struct queue ended; /* kept until the program ends */
	uint64_t started, settled, over; /* sockets: begun, answered or failed, ended */
	uint64_t rests; /* how many are in `resting` */
	bool announced, stopping;
	int epoll;
};

static char message[PEER_MAX_LINE + 128];

static size_t message_make(const struct run *run, const struct talker *talker)
{
	size_t len = (size_t)snprintf(message, 96, "talk %d.%lu.%lu ", getpid(), talker->index,
				      talker->round);

	memset(message + len, 'x', run->options->size);
	len += run->options->size;
	message[len++] = '\n';
	return len;
}

static void talker_queue(struct run *run, struct talker *talker, struct queue *queue)
{
	run->rests += queue == &run->resting;
	run->rests -= talker->queue == &run->resting;
	if (talker->queue)
		TAILQ_REMOVE(talker->queue, talker, entry);
	talker->queue = queue;
	talker->since_ns = now_ns();
	TAILQ_INSERT_TAIL(queue, talker, entry);
}

static void talker_watch(const struct run *run, struct talker *talker, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = talker };

	epoll_ctl(run->epoll, EPOLL_CTL_MOD, talker->fd, &event);
}

static void talker_settle(struct run *run, struct talker *talker)
{
	run->settled += !talker->opened;
	talker->opened = true;
}

static void talker_end(struct run *run, struct talker *talker, int error)
{
	if (error && talker->opened)
		run->report.resets++;
	else if (error)
		report_failure(&run->report, error);
	talker_settle(run, talker);
	talker_queue(run, talker, &run->ended);
	close(talker->fd);
	run->over++;
}

/* Sends what is left of this round's message: 0 or errno. */
static int talker_ask(struct run *run, struct talker *talker)
{
	size_t len = message_make(run, talker);
	ssize_t sent = 0;

	if (talker->udp && send(talker->fd, message, len, MSG_NOSIGNAL) < 0)
		return errno == ECONNREFUSED ? 0 : errno; /* of an earlier one: that one is lost */
	if (talker->udp)
		return 0;
	while (talker->sent < len) {
		sent = send(talker->fd, message + talker->sent, len - talker->sent, MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN)
			break;
		if (sent < 0)
			return errno;
		talker->sent += (size_t)sent;
	}
	talker_watch(run, talker, talker->sent < len ? EPOLLIN | EPOLLOUT : EPOLLIN);
	return 0;
}

static void round_begin(struct run *run, struct talker *talker)
{
	int error;

	talker->sent = 0;
	talker->have = 0;
	talker->round++;
	talker_queue(run, talker, talker->udp ? &run->datagrams : &run->streams);
	error = talker_ask(run, talker);
	if (error)
		talker_end(run, talker, error);
}

static void round_end(struct run *run, struct talker *talker)
{
	if (run->stopping || (run->options->rounds && talker->round >= run->options->rounds))
		talker_end(run, talker, 0);
	else
		talker_queue(run, talker, &run->resting);
}

static void answer_take(struct run *run, struct talker *talker)
{
	uint64_t took_ms = (now_ns() - talker->since_ns) / NS_PER_MS;
	size_t len = message_make(run, talker);
	int backend =
		answer_check(&run->report.backends, talker->answer, talker->have, message, len);

	talker->have = 0;
	if (backend < 0) {
		run->report.mismatched += !talker->udp; /* UDP: an answer to a lost round */
		if (!talker->udp)
			talker_end(run, talker, EPROTO);
		return;
	}
	if (talker->backend >= 0 && talker->backend != backend)
		run->report.changed++;
	if (talker->backend < 0) {
		run->report.ok++;
		run->report.backends.counts[backend]++;
	}
	talker->backend = backend;
	run->report.rounds++;
	if (took_ms > run->report.slowest_ms)
		run->report.slowest_ms = took_ms;
	talker_settle(run, talker);
	round_end(run, talker);
}

static void talker_read(struct run *run, struct talker *talker)
{
	size_t room = run->options->size + 512;
	ssize_t len = read(talker->fd, talker->answer + talker->have, room - talker->have);

	if (len < 0 && (errno == EAGAIN || (talker->udp && errno == ECONNREFUSED)))
		return;
	if (len <= 0) {
		talker_end(run, talker, len ? errno : EPIPE);
		return;
	}
	talker->have += (size_t)len;
	if (talker->udp || talker->answer[talker->have - 1] == '\n' || talker->have == room)
		answer_take(run, talker);
}

static void talker_event(struct run *run, struct talker *talker, uint32_t events)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (events & EPOLLOUT) {
		getsockopt(talker->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (!error)
			error = talker_ask(run, talker);
		if (error) {
			talker_end(run, talker, error);
			return;
		}
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		talker_read(run, talker);
}

static void talker_start(struct run *run)
{
	struct talker *talker = allocate(sizeof(*talker));
	struct epoll_event event = { .data.ptr = talker };
	int one = 1;

	talker->answer = allocate(run->options->size + 512);
	talker->index = run->started++;
	talker->udp = talker->index >= run->options->count;
	talker->backend = -1;
	talker->fd =
		client_socket(run->options, talker->udp ? SOCK_DGRAM : SOCK_STREAM, talker->index);
	setsockopt(talker->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	event.events = talker->udp ? EPOLLIN : EPOLLOUT;
	if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, talker->fd, &event))
		die("epoll_ctl");
	if (connect(talker->fd, (const struct sockaddr *)&run->options->to.addr,
		    run->options->to.len) &&
	    errno != EINPROGRESS) {
		talker_end(run, talker, errno);
		return;
	}
	if (talker->udp) {
		round_begin(run, talker);
	} else {
		talker->round = 1;
		talker_queue(run, talker, &run->streams);
	}
}

static void clock_advance(struct run *run)
{
	uint64_t now = now_ns();
	struct talker *talker;

	while ((talker = TAILQ_FIRST(&run->resting)) &&
	       run->started - run->over - run->rests < run->options->concurrency &&
	       (run->stopping || now - talker->since_ns >= run->options->interval_ms * NS_PER_MS))
		round_begin(run, talker);
	while ((talker = TAILQ_FIRST(&run->datagrams)) && now > talker->since_ns &&
	       now - talker->since_ns > DATAGRAM_DEADLINE_NS) {
		run->report.lost++;
		talker_settle(run, talker);
		round_end(run, talker);
	}
	while ((talker = TAILQ_FIRST(&run->streams)) && now > talker->since_ns &&
	       now - talker->since_ns > STREAM_DEADLINE_NS)
		talker_end(run, talker, ETIMEDOUT);
}

static void stdin_watch(const struct run *run)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLHUP, .data.ptr = NULL };

	if (!run->options->rounds && epoll_ctl(run->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event))
		die("stdin is not a pipe");
}

static void run_stop(struct run *run)
{
	run->stopping = true;
	epoll_ctl(run->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
}

int talk(const struct options *options)
{
	uint64_t total = options->count + options->datagrams;
	struct epoll_event events[256];
	static struct run run;
	char byte;

	if (options->size > PEER_MAX_LINE - 128)
		die("--size is too large");
	run.options = options;
	TAILQ_INIT(&run.resting);
	TAILQ_INIT(&run.streams);
	TAILQ_INIT(&run.datagrams);
	TAILQ_INIT(&run.ended);
	run.epoll = epoll_create1(EPOLL_CLOEXEC);
	stdin_watch(&run);
	while (run.over < total) {
		int count;

		while (run.started < total && run.started - run.settled < options->concurrency)
			talker_start(&run);
		count = epoll_wait(run.epoll, events, 256, TAILQ_EMPTY(&run.resting) ? 20 : 1);
		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr)
				talker_event(&run, events[i].data.ptr, events[i].events);
			else if (read(STDIN_FILENO, &byte, 1) <= 0)
				run_stop(&run);
		}
		clock_advance(&run);
		if (run.settled == total && !run.announced) {
			run.announced = true;
			puts("open");
			fflush(stdout);
		}
	}
	report_print(&run.report);
	return 0;
}
