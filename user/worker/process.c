// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control thread: takes messages, one after the other, and says when each
 * is in force; between them it repeats SYN-ACKs. Whatever goes wrong ends the
 * process: the daemon starts another.
 */
#include "worker/process.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <jansson.h>
#include <openssl/crypto.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "sniff/quic_crypto.h"
#include "worker/message.h"
#include "worker/sandbox.h"
#include "worker/synack.h"

#define FRAME_MIN 2048
#define FRAME_MAX 4096 /* a page, on the smallest machines */
#define REPEAT_NS 1000000000 /* between looks at handshakes */
#define REPEAT_RUNS 128 /* of a look: more than handshakes there can be */
#define ARENAS 8 /* of malloc(): else it would open a file to count the processors */

static bool fail(const char *what)
{
	log_error("worker: %s: %s", what, strerror(errno));
	return false;
}

static bool invalid(const char *what)
{
	errno = EPROTO;
	return fail(what);
}

/* ---- messages, each in force when its function returns */

static bool setup_take(struct process *process, int fds[MESSAGE_FDS])
{
	if (process->shared || fds[0] < 0 || fds[1] < 0 || fds[2] < 0)
		return invalid("setup");
	process->shared =
		mmap(NULL, sizeof(*process->shared), PROT_READ | PROT_WRITE, MAP_SHARED, fds[2], 0);
	if (process->shared == MAP_FAILED)
		return fail("memory for counters");
	process->splice = take_fd(&fds[0]);
	process->handshakes = take_fd(&fds[1]);
	return true;
}

static bool socket_take(struct process *process, const struct worker_message *message,
			int fds[MESSAGE_FDS])
{
	struct worker_thread_state *thread;
	uint32_t slot = message->row / XDPLB_QUEUES;

	if (!process->shared || message->row >= WORKER_ROWS || message->place >= WORKER_THREADS ||
	    process->by_row[message->row] || process->by_place[message->place] ||
	    message->frame < FRAME_MIN || message->frame > FRAME_MAX || fds[0] < 0 || fds[1] < 0)
		return invalid("socket");
	thread = thread_new(process, message, fds[0], fds[1]);
	if (!thread)
		return fail("taking a socket");
	take_fd(&fds[0]);
	pthread_rwlock_wrlock(&process->table_lock);
	process->by_row[message->row] = process->by_place[message->place] = thread;
	process->slots[slot].ifindex = message->ifindex;
	process->slots[slot].sockets++;
	pthread_rwlock_unlock(&process->table_lock);
	return thread_start(thread) || fail("starting a thread");
}

static bool socket_gone(struct process *process, const struct worker_message *message)
{
	struct worker_thread_state *thread =
		message->row < WORKER_ROWS ? process->by_row[message->row] : NULL;
	uint32_t slot = message->row / XDPLB_QUEUES;

	if (!thread)
		return invalid("socket that goes");
	pthread_rwlock_wrlock(&process->table_lock);
	process->by_row[message->row] = process->by_place[thread->place] = NULL;
	if (!--process->slots[slot].sockets)
		process->slots[slot].ifindex = 0;
	pthread_rwlock_unlock(&process->table_lock);
	thread_end(thread);
	return true;
}

/* Where there is a default pool, a silent client may wait for its server to speak. */
static bool server_may_speak_first(const struct rules *rules)
{
	for (size_t i = 0; i < rules->count; i++)
		if (rules->sets[i].pool != RULES_NO_POOL)
			return true;
	return false;
}

static bool rules_take(struct process *process, const struct worker_message *message, int memory)
{
	struct rules *rules, *former = process->rules;
	char *text;

	if (memory < 0 || !message->size)
		return invalid("rules");
	text = mmap(NULL, message->size, PROT_READ, MAP_PRIVATE, memory, 0);
	if (text == MAP_FAILED)
		return fail("rules");
	rules = rules_parse(text, message->size);
	munmap(text, message->size);
	if (!rules)
		return invalid("rules");
	/* None but this thread changes the table, and by now nobody else knows the new ones. */
	process->rules = rules;
	if (!server_may_speak_first(rules))
		process->repeat_ns = UINT64_MAX;
	else if (process->repeat_ns == UINT64_MAX)
		process->repeat_ns = clock_now_ns() + REPEAT_NS;
	for (uint32_t place = 0; place < WORKER_THREADS; place++)
		if (process->by_place[place])
			thread_rules(process->by_place[place], rules);
	rules_free(former);
	return true;
}

static bool message_take(struct process *process, const struct worker_message *message,
			 int fds[MESSAGE_FDS])
{
	switch ((enum worker_message_type)message->type) {
	case WORKER_SETUP:
		return setup_take(process, fds);
	case WORKER_SOCKET:
		return socket_take(process, message, fds);
	case WORKER_SOCKET_GONE:
		return socket_gone(process, message);
	case WORKER_RULES:
		return rules_take(process, message, fds[0]);
	case WORKER_DONE:
		break;
	}
	return invalid("unknown message");
}

/* ---- handshakes that are not completed: their SYN-ACKs are sent again */

static void due_send(struct process *process, struct turn *turn,
		     const struct xdplb_handshakes_due *due)
{
	for (uint32_t i = 0; i < due->count; i++) {
		const struct xdplb_handshake *handshake = &due->row[i].handshake;
		struct worker_thread_state *way = socket_at(process, 0, handshake->ifindex);
		struct segment_frame frame;
		size_t len = synack_build(&due->row[i].key, handshake, &frame);

		if (way && turn_send(turn, way, frame.data, len))
			__atomic_fetch_add(&way->shared->tx, 1, __ATOMIC_RELAXED);
		else if (way)
			__atomic_fetch_add(&way->shared->tx_full, 1, __ATOMIC_RELAXED);
	}
}

/* The table is this thread's to read without its lock: nobody else changes it. */
static void handshakes_repeat(struct process *process)
{
	struct xdplb_handshakes_due due = { .count = XDPLB_HANDSHAKES_DUE };
	struct turn turn = { .now_ns = clock_now_ns() };

	for (int i = 0; i < REPEAT_RUNS && due.count == XDPLB_HANDSHAKES_DUE; i++) {
		struct bpf_test_run_opts run = { .sz = sizeof(run),
						 .data_in = &due,
						 .data_size_in = sizeof(due),
						 .data_out = &due,
						 .data_size_out = sizeof(due) };

		if (bpf_prog_test_run_opts(process->handshakes, &run) || run.retval != XDP_PASS ||
		    due.count > XDPLB_HANDSHAKES_DUE)
			break;
		due_send(process, &turn, &due);
	}
	turn_kick(process, &turn); /* what stays behind leaves with the socket's next packet */
}

/* Until there is a message. */
static void message_await(struct process *process)
{
	struct pollfd fd = { .fd = WORKER_FD, .events = POLLIN };

	while (process->repeat_ns != UINT64_MAX) {
		uint64_t now_ns = clock_now_ns();

		if (now_ns >= process->repeat_ns) {
			handshakes_repeat(process);
			process->repeat_ns = now_ns + REPEAT_NS;
		}
		if (poll(&fd, 1, (int)((process->repeat_ns - now_ns) / 1000000) + 1) > 0)
			return;
	}
}

static int messages_serve(struct process *process)
{
	for (;;) {
		struct worker_message message, done = { .type = WORKER_DONE };
		int fds[MESSAGE_FDS];
		bool taken;
		int ret;

		message_await(process);
		ret = message_receive(WORKER_FD, &message, fds);
		if (!ret)
			return 0; /* the daemon has ended, or wants no worker any more */
		if (ret < 0) {
			errno = -ret;
			fail("message");
			return 1;
		}
		taken = message_take(process, &message, fds);
		for (size_t i = 0; i < MESSAGE_FDS; i++)
			cleanup_fd(&fds[i]);
		if (!taken)
			return 1;
		done.serial = message.serial;
		ret = message_send(WORKER_FD, &done, NULL, 0);
		if (ret == -EPIPE)
			return 0;
		if (ret) {
			errno = -ret;
			fail("answer");
			return 1;
		}
	}
}

/* ---- the process */

/* What libraries open files for, the first time they are used. */
static bool libraries_warm_up(void)
{
	struct quic_crypto *crypto;
	size_t seed = 0;
	bool there;

	mallopt(M_ARENA_MAX, ARENAS);
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return false;
	json_object_seed(seed | 1);
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	crypto = quic_crypto_new();
	there = crypto != NULL;
	quic_crypto_free(crypto);
	errno = ENOMEM;
	return there;
}

static struct process *process_new(void)
{
	struct process *process = calloc(1, sizeof(*process));
	pthread_rwlockattr_t attributes;

	if (!process)
		return NULL;
	process->splice = process->handshakes = -1;
	process->repeat_ns = UINT64_MAX;
	/* Packets without end must not keep the control thread out. */
	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&process->table_lock, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	process->rules = calloc(1, sizeof(*process->rules)); /* none, until they are told */
	return process->rules ? process : NULL;
}

int worker_main(void)
{
	struct process *process;
	struct ucred daemon;
	socklen_t size = sizeof(daemon);

	if (getsockopt(WORKER_FD, SOL_SOCKET, SO_PEERCRED, &daemon, &size)) {
		log_error("worker: is for the daemon to start, not by hand");
		return 2;
	}
	prctl(PR_SET_NAME, "xdplb-worker");
	process = process_new();
	if (!process || !libraries_warm_up()) {
		fail("start");
		return 1;
	}
	if (!sandbox_enter(daemon.pid)) {
		fail("sandbox");
		return 1;
	}
	/* exit() would run what threads still use out from under them. */
	_exit(messages_serve(process));
}
