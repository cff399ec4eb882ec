// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clients that begin like TLS, and servers that answer them, so cheap that
 * what lies between them is what is measured.
 *
 *	hellos serve PORT...
 *	hellos load ADDRESS PORT SOURCE SOURCES AT-ONCE SECONDS [RATE]
 *	hellos hold ADDRESS PORT SOURCE SOURCES COUNT INTERVAL-MS
 *
 * serve: reads a hello, answers with 100 bytes, the first of which is `a` for
 * the first PORT, and closes; "PORT+" goes on and echoes. load: as many
 * connections as go in SECONDS (or RATE a second), from SOURCE and the addresses
 * that follow it, with hellos for a.example and b.example in turns; who answers
 * must be `a` or `b`, unless it is "PORT*". hold:
 * connections to a port that echoes, from ports 40000 on; one word each every
 * INTERVAL-MS (0: none), until its input ends. Reports are lines of JSON.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "bench/hello.h"

#define REPLY_BYTES 100
#define EVENTS 256
#define BACKLOG 8192
#define SECOND_NS 1000000000ULL
#define PATIENCE_NS (5 * SECOND_NS) /* a connection not over by then has failed */
#define FIRST_PORT 40000 /* of connections that are held: pktgen's too */
#define PORTS_A_HOST 16384
#define WORD_BYTES 16
#define PORTS_MAX 16

static void die(const char *what)
{
	fprintf(stderr, "hellos: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void watch(int epoll, int op, int fd, uint32_t events, void *who)
{
	struct epoll_event event = { .events = events, .data.ptr = who };

	if (epoll_ctl(epoll, op, fd, &event))
		die("epoll_ctl");
}

/* ---- serve */

struct guest {
	int fd; /* of a listener too */
	bool listens, stays, greeted;
	uint8_t letter;
	uint32_t have;
	uint8_t bytes[HELLO_BYTES];
};

static void guest_end(struct guest *guest)
{
	close(guest->fd);
	free(guest);
}

static void guests_accept(int epoll, const struct guest *door)
{
	struct guest *guest;
	int fd;

	while ((fd = accept4(door->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		guest = xcalloc(1, sizeof(*guest));
		guest->fd = fd;
		guest->letter = door->letter;
		guest->stays = door->stays;
		watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, guest);
	}
}

static bool guest_greet(struct guest *guest)
{
	uint8_t reply[REPLY_BYTES];

	memset(reply, guest->letter, sizeof(reply));
	guest->greeted = true;
	return send(guest->fd, reply, sizeof(reply), MSG_NOSIGNAL) == sizeof(reply);
}

/* False: it is over with this one. */
static bool guest_serve(struct guest *guest)
{
	ssize_t len =
		recv(guest->fd, guest->bytes + guest->have, sizeof(guest->bytes) - guest->have, 0);

	if (len < 0 && errno == EAGAIN)
		return true;
	if (len <= 0)
		return false;
	if (guest->greeted)
		return send(guest->fd, guest->bytes, (size_t)len, MSG_NOSIGNAL) == len;
	guest->have += (uint32_t)len;
	if (guest->have < sizeof(guest->bytes))
		return true;
	guest->have = 0;
	return guest_greet(guest) && guest->stays;
}

static struct guest *door_open(const char *word, uint8_t letter)
{
	struct guest *door = xcalloc(1, sizeof(*door));
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(word)) };
	const int one = 1;

	door->listens = true;
	door->letter = letter;
	door->stays = strchr(word, '+');
	door->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(door->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(door->fd, (struct sockaddr *)&any, sizeof(any)) || listen(door->fd, BACKLOG))
		die(word);
	return door;
}

__attribute__((noreturn)) static void serve(int argc, char **argv)
{
	struct epoll_event events[EVENTS];
	int epoll = epoll_create1(EPOLL_CLOEXEC), count;

	for (int i = 0; i < argc; i++) {
		struct guest *door = door_open(argv[i], (uint8_t)('a' + i));

		watch(epoll, EPOLL_CTL_ADD, door->fd, EPOLLIN, door);
	}
	puts("serving");
	fflush(stdout);
	for (;;) {
		count = epoll_wait(epoll, events, EVENTS, -1);
		for (int i = 0; i < count; i++) {
			struct guest *guest = events[i].data.ptr;

			if (guest->listens)
				guests_accept(epoll, guest);
			else if (!guest_serve(guest))
				guest_end(guest);
		}
	}
}

/* ---- clients */

struct target {
	struct sockaddr_in to;
	uint32_t source, sources;
	bool anyone; /* whoever answers is right */
};

static struct target target_parse(char **argv)
{
	struct target target = { .to.sin_family = AF_INET,
				 .to.sin_port = htons((uint16_t)atoi(argv[1])),
				 .sources = (uint32_t)atoi(argv[3]),
				 .anyone = strchr(argv[1], '*') };
	struct in_addr source;

	if (!inet_aton(argv[0], &target.to.sin_addr) || !inet_aton(argv[2], &source) ||
	    !target.sources) {
		errno = EINVAL;
		die(argv[0]);
	}
	target.source = ntohl(source.s_addr);
	return target;
}

/* A connection under way, from port @port or (0) any. -1: refused at once. */
static int client_connect(const struct target *target, uint32_t source, uint16_t port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in from = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(target->source + source),
				    .sin_port = htons(port) };
	const int one = 1;

	if (fd < 0)
		die("socket");
	if (!port)
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)))
		die("bind");
	if (connect(fd, (const struct sockaddr *)&target->to, sizeof(target->to)) &&
	    errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

static void hellos_write(uint8_t hello[2][HELLO_BYTES])
{
	hello_write(hello[0], "a.example");
	hello_write(hello[1], "b.example");
}

/* ---- load */

struct visit {
	int fd;
	uint32_t have;
	uint64_t begun_ns;
	bool asked;
	uint8_t letter;
	TAILQ_ENTRY(visit) entry;
};

TAILQ_HEAD(visits, visit);

struct load {
	struct target target;
	uint8_t hello[2][HELLO_BYTES];
	struct visits visits; /* the oldest first */
	uint32_t open, at_once;
	uint64_t begun, ok, failed, wrong, slow;
	int epoll;
};

static void visit_end(struct load *load, struct visit *visit, uint64_t *counter)
{
	(*counter)++;
	close(visit->fd);
	TAILQ_REMOVE(&load->visits, visit, entry);
	free(visit);
	load->open--;
}

static void visit_begin(struct load *load, uint64_t now_ns)
{
	uint32_t number = (uint32_t)load->begun++;
	struct visit *visit;
	int fd = client_connect(&load->target, number / 2 % load->target.sources, 0);

	if (fd < 0) {
		load->failed++;
		return;
	}
	visit = xcalloc(1, sizeof(*visit));
	visit->fd = fd;
	visit->begun_ns = now_ns;
	visit->letter = 'a' + number % 2;
	TAILQ_INSERT_TAIL(&load->visits, visit, entry);
	load->open++;
	watch(load->epoll, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT | EPOLLET, visit);
}

static void visit_ask(struct load *load, struct visit *visit)
{
	const uint8_t *hello = load->hello[visit->letter - 'a'];

	visit->asked = true;
	if (send(visit->fd, hello, HELLO_BYTES, MSG_NOSIGNAL) != HELLO_BYTES)
		visit_end(load, visit, &load->failed);
}

static void visit_listen(struct load *load, struct visit *visit)
{
	uint8_t bytes[2 * REPLY_BYTES];
	ssize_t len;

	while ((len = recv(visit->fd, bytes, sizeof(bytes), 0)) > 0) {
		if (bytes[0] != visit->letter && !load->target.anyone) {
			visit_end(load, visit, &load->wrong);
			return;
		}
		visit->have += (uint32_t)len;
	}
	if (len < 0 && errno == EAGAIN)
		return;
	load->slow += clock_now_ns() - visit->begun_ns > SECOND_NS;
	visit_end(load, visit, !len && visit->have == REPLY_BYTES ? &load->ok : &load->failed);
}

static void load_turn(struct load *load)
{
	struct epoll_event events[EVENTS];
	int count = epoll_wait(load->epoll, events, EVENTS, 1);

	for (int i = 0; i < count; i++) {
		struct visit *visit = events[i].data.ptr;

		if (!visit->asked && events[i].events & EPOLLOUT)
			visit_ask(load, visit);
		else if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))
			visit_listen(load, visit);
	}
}

static void load_overdue(struct load *load, uint64_t now_ns)
{
	struct visit *visit;

	while ((visit = TAILQ_FIRST(&load->visits)) && now_ns - visit->begun_ns > PATIENCE_NS)
		visit_end(load, visit, &load->failed);
}

static int load_run(int argc, char **argv)
{
	static struct load load;
	uint64_t start_ns = clock_now_ns(), now_ns = start_ns, rate, length_ns, end_ns = 0;

	load.target = target_parse(argv);
	load.at_once = (uint32_t)atoi(argv[4]);
	length_ns = (uint64_t)(atof(argv[5]) * 1e9);
	rate = argc == 7 ? strtoul(argv[6], NULL, 10) : 0;
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	TAILQ_INIT(&load.visits);
	hellos_write(load.hello);
	while (load.open || now_ns - start_ns < length_ns) {
		uint64_t due = rate ? 1 + (now_ns - start_ns) * rate / SECOND_NS : UINT64_MAX;

		while (now_ns - start_ns < length_ns && load.open < load.at_once &&
		       load.begun < due)
			visit_begin(&load, now_ns);
		load_turn(&load);
		now_ns = clock_now_ns();
		load_overdue(&load, now_ns);
		if (load.ok)
			end_ns = now_ns;
	}
	printf("{\"ok\": %lu, \"failed\": %lu, \"wrong\": %lu, \"slow\": %lu, \"seconds\": %.6f}\n",
	       load.ok, load.failed, load.wrong, load.slow, (double)(end_ns - start_ns) / 1e9);
	return 0;
}

/* ---- hold */

struct held {
	int fd;
	bool asked;
	uint32_t have; /* of the reply, later of the echo */
	uint64_t spoke_ns; /* 0: nothing is awaited */
};

struct hold {
	struct target target;
	uint8_t hello[2][HELLO_BYTES];
	struct held *held;
	uint32_t count, ready, lost;
	uint64_t words, late, slowest_ns;
	int epoll;
};

static void held_lose(struct hold *hold, struct held *held)
{
	close(held->fd);
	held->fd = -1;
	hold->lost++;
}

static void held_read(struct hold *hold, struct held *held, uint32_t wanted)
{
	uint8_t bytes[256];
	ssize_t len;

	while ((len = recv(held->fd, bytes, sizeof(bytes), 0)) > 0)
		held->have += (uint32_t)len;
	if (!len || errno != EAGAIN) {
		held_lose(hold, held);
		return;
	}
	if (held->have != wanted)
		return;
	if (wanted == REPLY_BYTES) {
		hold->ready++;
	} else if (held->spoke_ns) {
		uint64_t took_ns = clock_now_ns() - held->spoke_ns;

		hold->words++;
		hold->slowest_ns = took_ns > hold->slowest_ns ? took_ns : hold->slowest_ns;
	}
	held->have = 0;
	held->spoke_ns = 0;
}

static void hold_turn(struct hold *hold, bool opening, int wait_ms)
{
	struct epoll_event events[EVENTS];
	int count = epoll_wait(hold->epoll, events, EVENTS, wait_ms);

	for (int i = 0; i < count; i++) {
		struct held *held = events[i].data.ptr;

		if (held->fd < 0)
			continue;
		if (opening && !held->asked && events[i].events & EPOLLOUT) {
			held->asked = true;
			if (send(held->fd, hold->hello[0], HELLO_BYTES, MSG_NOSIGNAL) < 0)
				held_lose(hold, held);
		} else if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
			held_read(hold, held, opening ? REPLY_BYTES : WORD_BYTES);
		}
	}
}

static void hold_open(struct hold *hold)
{
	uint64_t end_ns = clock_now_ns() + 2 * PATIENCE_NS;
	uint32_t begun = 0;

	while (hold->ready + hold->lost < hold->count && clock_now_ns() < end_ns) {
		for (int i = 0; i < 64 && begun < hold->count; i++) {
			struct held *held = &hold->held[begun];

			held->fd = client_connect(&hold->target, begun / PORTS_A_HOST,
						  (uint16_t)(FIRST_PORT + begun % PORTS_A_HOST));
			begun++;
			if (held->fd < 0)
				hold->lost++;
			else
				watch(hold->epoll, EPOLL_CTL_ADD, held->fd,
				      EPOLLIN | EPOLLOUT | EPOLLET, held);
		}
		hold_turn(hold, true, 10);
	}
}

/* A word on each connection; those that still await the echo of the last are late. */
static void hold_speak(struct hold *hold)
{
	static const uint8_t word[WORD_BYTES] = "fifteen letters";

	for (uint32_t i = 0; i < hold->count; i++) {
		struct held *held = &hold->held[i];

		if (held->fd < 0)
			continue;
		if (held->spoke_ns) {
			hold->late++;
			continue;
		}
		held->spoke_ns = clock_now_ns();
		if (send(held->fd, word, sizeof(word), MSG_NOSIGNAL) < 0)
			held_lose(hold, held);
	}
}

static int hold_run(char **argv)
{
	static struct hold hold;
	uint64_t interval_ns = strtoul(argv[5], NULL, 10) * 1000000, next_ns = 0;
	struct held input = { .fd = -1 };
	struct epoll_event at_end;
	int end = epoll_create1(EPOLL_CLOEXEC);

	hold.target = target_parse(argv);
	hold.count = (uint32_t)atoi(argv[4]);
	hold.held = xcalloc(hold.count, sizeof(*hold.held));
	hold.epoll = epoll_create1(EPOLL_CLOEXEC);
	hellos_write(hold.hello);
	hold_open(&hold);
	printf("{\"open\": %u, \"lost\": %u}\n", hold.ready, hold.lost);
	fflush(stdout);
	watch(end, EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN | EPOLLHUP, &input);
	while (epoll_wait(end, &at_end, 1, 0) == 0) {
		uint64_t now_ns = clock_now_ns();

		if (interval_ns && now_ns >= next_ns) {
			hold_speak(&hold);
			next_ns = now_ns + interval_ns;
		}
		hold_turn(&hold, false, interval_ns ? 5 : 100);
	}
	printf("{\"words\": %lu, \"late\": %lu, \"lost\": %u, \"slowest_ms\": %.1f}\n", hold.words,
	       hold.late, hold.lost, (double)hold.slowest_ns / 1e6);
	return 0;
}

int main(int argc, char **argv)
{
	struct rlimit files;

	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (argc > 2 && argc < PORTS_MAX && !strcmp(argv[1], "serve"))
		serve(argc - 2, argv + 2);
	if ((argc == 8 || argc == 9) && !strcmp(argv[1], "load"))
		return load_run(argc - 2, argv + 2);
	if (argc == 8 && !strcmp(argv[1], "hold"))
		return hold_run(argv + 2);
	fputs("usage: hellos serve PORT...\n"
	      "       hellos load ADDRESS PORT SOURCE SOURCES AT-ONCE SECONDS [RATE]\n"
	      "       hellos hold ADDRESS PORT SOURCE SOURCES COUNT INTERVAL-MS\n",
	      stderr);
	return 2;
}
