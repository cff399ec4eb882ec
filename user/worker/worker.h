/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_WORKER_WORKER_H
#define XDPLB_WORKER_WORKER_H

/*
 * The process that reads strangers' bytes: started by the daemon as `xdplb
 * worker` (not for users) with one end of a SOCK_SEQPACKET pair as descriptor
 * WORKER_FD. It drops every capability, takes another user id and a seccomp
 * filter, and is handed what it works with: AF_XDP sockets that the daemon
 * bound, with the memory behind them, the programs `splice` and
 * `handshakes_due`, a page for its counters, and the rules. It dies with the daemon. Each socket has a thread
 * and an engine of its own; a packet of another thread's connection is taken
 * to that engine under its lock. Messages are carried out in the order sent.
 */
#include <stdint.h>

#include "worker/engine.h"

#define WORKER_FD 3
#define WORKER_RX_FRAMES 2048 /* per socket: frames 0 .. for receiving, the rest for sending */
#define WORKER_TX_FRAMES 1024
#define WORKER_THREADS 256 /* sockets at most */

enum worker_message_type {
	WORKER_SETUP, /* fds: programs splice and handshakes_due, memory of struct worker_shared */
	WORKER_SOCKET, /* fds: AF_XDP socket (bound, rings sized), its UMEM (a memfd) */
	WORKER_SOCKET_GONE,
	WORKER_RULES, /* fds: a memfd with rules_format()'s text */
	WORKER_DONE /* worker -> daemon: the message with this serial is in force */
};

struct worker_message {
	uint32_t type; /* enum worker_message_type */
	uint32_t serial; /* from 1, one more each message */
	uint32_t row; /* SOCKET, SOCKET_GONE: of xsks */
	uint32_t place; /* SOCKET: its struct worker_thread */
	uint32_t ifindex; /* SOCKET */
	uint32_t frame; /* SOCKET: bytes of a UMEM frame */
	uint32_t sockets; /* SOCKET: among how many the memory for held bytes is shared */
	uint32_t size; /* RULES: bytes */
};

/* Shared memory: each thread writes its own, the daemon reads. */
struct worker_thread {
	uint64_t turns; /* of its loop: does not stand still while packets wait */
	uint64_t rx, tx; /* packets */
	uint64_t tx_full; /* not sent: no room in the ring, or no socket at that interface */
	uint64_t rx_invalid; /* handed over by XDP, and no engine could be found to take it */
	struct engine_stats engine;
};

struct worker_shared {
	struct worker_thread thread[WORKER_THREADS];
};

/* Exit status of the process. */
int worker_main(void);

#endif /* XDPLB_WORKER_WORKER_H */
