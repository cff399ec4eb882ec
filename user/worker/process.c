// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control thread: takes messages, one after the other, and says when each
 * is in force. Whatever goes wrong ends the process: the daemon starts another.
 */
#include "worker/process.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/crypto.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "sniff/quic_crypto.h"
#include "worker/message.h"
#include "worker/sandbox.h"

#define FRAME_MIN 2048
#define FRAME_MAX 4096 /* a page, on the smallest machines */
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
	if (process->shared || fds[0] < 0 || fds[1] < 0)
		return invalid("setup");
	process->shared =
		mmap(NULL, sizeof(*process->shared), PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0);
	if (process->shared == MAP_FAILED)
		return fail("memory for counters");
	process->splice = take_fd(&fds[0]);
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

static int messages_serve(struct process *process)
{
	for (;;) {
		struct worker_message message, done = { .type = WORKER_DONE };
		int fds[MESSAGE_FDS];
		bool taken;
		int ret = message_receive(WORKER_FD, &message, fds);

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
	process->splice = -1;
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
