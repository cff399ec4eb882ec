// SPDX-License-Identifier: GPL-2.0-only
/*
 * A socket's thread: receives, takes each packet to the engine that owns its
 * connection, lets its own engine do what is due, and sleeps until something
 * comes, something is due, or somebody wakes it.
 */
#include "worker/process.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/clock.h"

#define BATCH 64
#define PACKET_MAX 65536 /* of one in pieces */
#define COMMAND_FRAME 3072 /* a command's frame: what fits into a page with it */
#define AGAIN_NS 1000000 /* until what the kernel could not send is tried again */

/* ---- what an engine asks for; its lock is held */

bool turn_send(struct turn *turn, struct worker_thread_state *way, const void *frame, size_t len)
{
	/* where there is no room too: what takes it may not have been kicked */
	turn->to_kick[way->place / 64] |= 1ULL << (way->place % 64);
	return xsk_send(&way->xsk, frame, len);
}

struct worker_thread_state *socket_at(const struct process *process, uint32_t queue,
				      uint32_t ifindex)
{
	for (size_t slot = 0; slot < XDPLB_WORKER_SLOTS; slot++) {
		struct worker_thread_state *const *rows = &process->by_row[slot * XDPLB_QUEUES];

		if (process->slots[slot].ifindex != ifindex)
			continue;
		if (rows[queue % process->slots[slot].sockets])
			return rows[queue % process->slots[slot].sockets];
		for (uint32_t i = 0; i < XDPLB_QUEUES; i++)
			if (rows[i])
				return rows[i];
	}
	return NULL;
}

static void engine_sends(void *ctx, uint32_t ifindex, const void *frame, size_t len)
{
	struct worker_thread_state *owner = ctx;
	struct worker_thread_state *runner = owner->turn->runner ? owner->turn->runner : owner;
	struct worker_thread_state *way =
		runner->ifindex == ifindex ?
			runner :
			socket_at(owner->process, runner->row % XDPLB_QUEUES, ifindex);
	bool sent = way && turn_send(owner->turn, way, frame, len);

	/* Atomic: the control thread may run an engine on behalf of its thread. */
	__atomic_fetch_add(sent ? &runner->shared->tx : &runner->shared->tx_full, 1,
			   __ATOMIC_RELAXED);
}

static bool engine_commands(void *ctx, struct xdplb_command *command, const void *frame, size_t len)
{
	const struct worker_thread_state *owner = ctx;
	struct {
		struct xdplb_command command;
		uint8_t frame[COMMAND_FRAME];
	} data;
	struct bpf_test_run_opts run = { .sz = sizeof(run), .data_in = &data, .data_out = &data };

	if (len > sizeof(data.frame))
		len = sizeof(data.frame);
	data.command = *command;
	memcpy(data.frame, frame, len);
	run.data_size_in = run.data_size_out = (uint32_t)(sizeof(data.command) + len);
	if (bpf_prog_test_run_opts(owner->process->splice, &run) ||
	    run.data_size_out < sizeof(data.command))
		return false;
	*command = data.command;
	return true;
}

static const struct rules *engine_rules(void *ctx)
{
	const struct worker_thread_state *owner = ctx;

	return owner->rules;
}

static const struct engine_ops ops = {
	.send = engine_sends,
	.command = engine_commands,
	.rules = engine_rules,
};

/* ---- an engine at work */

static void engine_enter(struct worker_thread_state *owner, struct turn *turn)
{
	pthread_mutex_lock(&owner->lock);
	owner->turn = turn;
}

static void engine_leave(struct worker_thread_state *owner)
{
	owner->turn = NULL;
	pthread_mutex_unlock(&owner->lock);
}

static void thread_wake(const struct worker_thread_state *thread)
{
	const uint64_t one = 1;

	if (write(thread->wake, &one, sizeof(one)) != (ssize_t)sizeof(one))
		return; /* it is awake already: the counter is full */
}

/* After a stranger's work on it: its own thread may have to wait less long than it thinks. */
static void engine_settle(struct worker_thread_state *owner, uint64_t now_ns)
{
	uint64_t next_ns = engine_run(owner->engine, now_ns);

	if (next_ns < owner->next_ns)
		thread_wake(owner);
	owner->next_ns = next_ns;
}

static void packet_take(struct worker_thread_state *thread, struct turn *turn,
			const struct xdplb_meta *meta, uint8_t *frame, size_t len)
{
	struct worker_thread_state *owner =
		meta->worker < WORKER_ROWS ? thread->process->by_row[meta->worker] : NULL;

	thread->shared->rx++;
	if (!owner) {
		thread->shared->rx_invalid++;
		return;
	}
	engine_enter(owner, turn);
	engine_packet(owner->engine, meta, frame, len, turn->now_ns);
	if (owner != thread)
		engine_settle(owner, turn->now_ns);
	engine_leave(owner);
}

/* ---- receiving */

static bool meta_read(const struct xsk_packet *packet, struct xdplb_meta *meta)
{
	if (packet->headroom < sizeof(*meta))
		return false;
	memcpy(meta, packet->data - sizeof(*meta), sizeof(*meta)); /* it may lie at any address */
	return true;
}

/* Longer than a frame: put together, and taken when the last piece is there. */
static void piece_take(struct worker_thread_state *thread, struct turn *turn,
		       const struct xsk_packet *piece)
{
	if (!thread->in_pieces) {
		thread->in_pieces = true;
		thread->pieces_len = 0;
		if (!thread->pieces)
			thread->pieces = malloc(PACKET_MAX);
		thread->pieces_bad = !thread->pieces || !meta_read(piece, &thread->pieces_meta);
	}
	if (piece->len > PACKET_MAX - thread->pieces_len)
		thread->pieces_bad = true;
	if (!thread->pieces_bad) {
		memcpy(thread->pieces + thread->pieces_len, piece->data, piece->len);
		thread->pieces_len += piece->len;
	}
	if (piece->more)
		return;
	thread->in_pieces = false;
	if (!thread->pieces_bad)
		packet_take(thread, turn, &thread->pieces_meta, thread->pieces, thread->pieces_len);
	else
		thread->shared->rx_invalid++;
}

static void received_take(struct worker_thread_state *thread, struct turn *turn,
			  const struct xsk_packet *packet)
{
	struct xdplb_meta meta;

	if (packet->more || thread->in_pieces)
		piece_take(thread, turn, packet);
	else if (meta_read(packet, &meta))
		packet_take(thread, turn, &meta, packet->data, packet->len);
	else
		thread->shared->rx_invalid++;
}

/* ---- the loop */

bool turn_kick(const struct process *process, const struct turn *turn)
{
	bool done = true;

	for (uint32_t word = 0; word < WORKER_THREADS / 64; word++) {
		for (uint64_t bits = turn->to_kick[word]; bits; bits &= bits - 1) {
			uint32_t place = word * 64 + (uint32_t)__builtin_ctzll(bits);

			if (!xsk_kick(&process->by_place[place]->xsk))
				done = false;
		}
	}
	return done;
}

/* When it must be called again at the latest. */
static uint64_t turn_take(struct worker_thread_state *thread)
{
	struct turn turn = { .runner = thread, .now_ns = clock_now_ns() };
	struct xsk_packet packet;
	uint64_t next_ns;

	pthread_rwlock_rdlock(&thread->process->table_lock);
	for (int i = 0; i < BATCH && xsk_receive(&thread->xsk, &packet); i++)
		received_take(thread, &turn, &packet);
	xsk_give_back(&thread->xsk);
	engine_enter(thread, &turn);
	next_ns = thread->next_ns = engine_run(thread->engine, turn.now_ns);
	engine_leave(thread);
	if (!turn_kick(thread->process, &turn) && turn.now_ns + AGAIN_NS < next_ns)
		next_ns = turn.now_ns + AGAIN_NS;
	pthread_rwlock_unlock(&thread->process->table_lock);
	__atomic_fetch_add(&thread->shared->turns, 1, __ATOMIC_RELAXED);
	return next_ns;
}

static void turn_await(const struct worker_thread_state *thread, struct pollfd fds[2],
		       uint64_t next_ns)
{
	uint64_t now_ns = clock_now_ns(), wait_ns = next_ns > now_ns ? next_ns - now_ns : 0;
	const struct timespec wait = { .tv_sec = (time_t)(wait_ns / 1000000000),
				       .tv_nsec = (long)(wait_ns % 1000000000) };
	uint64_t count;

	if (ppoll(fds, 2, next_ns == UINT64_MAX ? NULL : &wait, NULL) <= 0)
		return;
	if (fds[0].revents & ~POLLIN)
		fds[0].fd = -1; /* nothing comes from a dead socket; the daemon takes it away */
	if ((fds[1].revents & POLLIN) && read(thread->wake, &count, sizeof(count)) < 0)
		return; /* somebody else cannot have read it: its counter stays, and is read next time */
}

static void *thread_main(void *arg)
{
	struct worker_thread_state *thread = arg;
	struct pollfd fds[2] = { { .fd = thread->xsk.fd, .events = POLLIN },
				 { .fd = thread->wake, .events = POLLIN } };

	while (!__atomic_load_n(&thread->stop, __ATOMIC_ACQUIRE))
		turn_await(thread, fds, turn_take(thread));
	return NULL;
}

/* ---- from outside: the control thread */

/* Held bytes are bounded for the process; connections by the map `sniffs`, which all share. */
static struct engine_limits limits_of(const struct worker_message *message)
{
	struct engine_limits limits = ENGINE_LIMITS_DEFAULT;

	if (message->sockets > 1)
		limits.bytes /= message->sockets;
	return limits;
}

static void thread_free(struct worker_thread_state *thread)
{
	struct turn turn = { .now_ns = clock_now_ns() };

	engine_enter(thread, &turn); /* an engine may have last words */
	if (thread->engine)
		engine_free(thread->engine);
	engine_leave(thread);
	if (thread->xsk.memory)
		xsk_unmap(&thread->xsk);
	pthread_mutex_destroy(&thread->lock);
	if (thread->wake >= 0)
		close(thread->wake);
	free(thread->pieces);
	free(thread);
}

struct worker_thread_state *thread_new(struct process *process,
				       const struct worker_message *message, int fd, int memory)
{
	struct worker_thread_state *thread = calloc(1, sizeof(*thread));
	const struct engine_limits limits = limits_of(message);

	if (!thread)
		return NULL;
	thread->process = process;
	thread->row = message->row;
	thread->place = message->place;
	thread->ifindex = message->ifindex;
	thread->shared = &process->shared->thread[message->place];
	memset(thread->shared, 0, sizeof(*thread->shared));
	thread->rules = process->rules;
	thread->next_ns = UINT64_MAX;
	pthread_mutex_init(&thread->lock, NULL);
	thread->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (thread->wake >= 0)
		thread->engine =
			engine_new(&ops, thread, thread->row, &limits, &thread->shared->engine);
	if (!thread->engine || !xsk_map(&thread->xsk, fd, memory, message->frame)) {
		thread_free(thread);
		return NULL;
	}
	return thread;
}

bool thread_start(struct worker_thread_state *thread)
{
	int ret = pthread_create(&thread->id, NULL, thread_main, thread);

	errno = ret;
	return !ret;
}

void thread_end(struct worker_thread_state *thread)
{
	__atomic_store_n(&thread->stop, true, __ATOMIC_RELEASE);
	thread_wake(thread);
	pthread_join(thread->id, NULL);
	thread_free(thread);
}

void thread_rules(struct worker_thread_state *thread, const struct rules *rules)
{
	struct turn turn = { .now_ns = clock_now_ns() };

	engine_enter(thread, &turn);
	thread->rules = rules;
	engine_rules_changed(thread->engine, turn.now_ns);
	engine_settle(thread, turn.now_ns);
	engine_leave(thread);
	turn_kick(thread->process, &turn);
}
