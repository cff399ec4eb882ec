/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_WORKER_PROCESS_H
#define XDPLB_WORKER_PROCESS_H

/*
 * The worker process from inside. The control thread (process.c) owns the
 * tables of who is there and changes them under table_lock; a socket's thread
 * (process_thread.c) holds it for reading during a turn. An engine and what
 * belongs to it are its lock's. Locks are taken in the order table_lock, one
 * engine's lock, one socket's tx_lock.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "worker/ring.h"
#include "worker/worker.h"

#define WORKER_ROWS (XDPLB_WORKER_SLOTS * XDPLB_QUEUES)

/* One piece of work, by whichever thread: what it is doing it for, and whom it must kick at the end. */
struct turn {
	struct worker_thread_state *runner; /* NULL: the control thread */
	uint64_t now_ns;
	uint64_t to_kick[WORKER_THREADS / 64]; /* bits, by place */
};

struct worker_thread_state {
	struct process *process;
	struct worker_thread *shared; /* its counters */
	uint32_t row, place, ifindex;
	struct xsk xsk;
	pthread_t id;
	int wake; /* eventfd: ends a wait */
	bool stop; /* atomic */
	/* A packet in pieces, of which the first ones have come. */
	uint8_t *pieces;
	size_t pieces_len;
	bool in_pieces, pieces_bad;
	struct xdplb_meta pieces_meta;
	/* Under lock. */
	pthread_mutex_t lock;
	struct engine *engine;
	const struct rules *rules;
	uint64_t next_ns; /* when engine_run() is due */
	struct turn *turn; /* on whose account the engine runs just now */
};

struct process {
	int splice, handshakes; /* descriptors of the programs, -1: none yet */
	struct worker_shared *shared;
	struct rules *rules; /* in force */
	uint64_t repeat_ns; /* when handshakes are looked at next; UINT64_MAX: no server may speak first */
	/* Under table_lock. */
	pthread_rwlock_t table_lock;
	struct worker_thread_state *by_place[WORKER_THREADS];
	struct worker_thread_state *by_row[WORKER_ROWS];
	struct {
		uint32_t ifindex; /* 0: nobody's */
		uint32_t sockets;
	} slots[XDPLB_WORKER_SLOTS];
};

/* ---- process_thread.c. Takes @fd; @message is the WORKER_SOCKET. NULL: errno. */
struct worker_thread_state *thread_new(struct process *process,
				       const struct worker_message *message, int fd, int memory);
bool thread_start(struct worker_thread_state *thread); /* once the tables know it */
void thread_end(struct worker_thread_state *thread); /* once they do not: stops and frees it */
void thread_rules(struct worker_thread_state *thread, const struct rules *rules);
/* A socket by which packets leave at @ifindex, that of @queue if it can be, or NULL. */
struct worker_thread_state *socket_at(const struct process *process, uint32_t queue,
				      uint32_t ifindex);
/* False: no room. It leaves with turn_kick(), false: not all could for now. */
bool turn_send(struct turn *turn, struct worker_thread_state *way, const void *frame, size_t len);
bool turn_kick(const struct process *process, const struct turn *turn);

#endif /* XDPLB_WORKER_PROCESS_H */
