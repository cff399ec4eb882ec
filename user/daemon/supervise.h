/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_DAEMON_SUPERVISE_H
#define XDPLB_DAEMON_SUPERVISE_H

/*
 * What the files of supervision share: one struct, the daemon's, for the
 * worker process (supervise_process.c), the sockets it is given
 * (supervise_sockets.c), its rules and its health (supervise.c). The process
 * reads strangers' bytes, so nothing that it says is trusted: an answer that
 * makes no sense ends it, its counters are numbers to be shown.
 */
#include <sys/types.h>

#include "daemon/state.h"
#include "worker/worker.h"

enum worker_socket_state {
	SOCKET_WANTED, /* not made yet, or it could not be: tried again at retry_ns */
	SOCKET_MADE, /* not sent yet */
	SOCKET_SENT, /* the worker has not said that it serves it */
	SOCKET_IN_FORCE, /* XDP hands packets to it */
	SOCKET_GOING /* out of XDP's reach; the worker may still use it */
};

struct worker_socket {
	char ifname[IFNAMSIZ];
	uint32_t ifindex, queue, row, place;
	bool native;
	bool wanted; /* while what there is is compared with what is to be */
	enum worker_socket_state state;
	struct dp_xsk xsk; /* descriptors of ours, -1: none */
	uint32_t serial; /* of the message that brought it, or takes it away; 0: not sent */
	uint64_t retry_ns;
	int error; /* of the last attempt to make it, 0: none */
	uint32_t tries;
	uint64_t turns,
		stalled_ns; /* seen last; since when it stands still with packets waiting, 0: it does not */
};

struct supervisor {
	struct daemon *d;
	struct event *soon, *tick;
	uint64_t soon_ns; /* when soon is due, while it is pending */
	bool wanted; /* there are routes */
	bool follow_due; /* what is attached has changed */
	/* The process; pid 0: there is none. */
	pid_t pid;
	int control, pidfd;
	struct event *on_control, *on_end;
	struct worker_shared *shared;
	uint32_t sent, done; /* serials */
	bool setup_sent;
	uint64_t born_ns, waiting_ns; /* since when an answer is owed */
	uint64_t start_ns; /* not before */
	uint32_t failures; /* in a row */
	/* Rules. */
	struct rules *rules, *next; /* that hold; of the configuration that is being applied */
	char *text; /* what the worker is to know, NULL: nothing yet */
	uint32_t text_serial; /* 0: not sent */
	/* Sockets. */
	struct worker_socket *sockets;
	size_t socket_count;
	uint32_t slots[XDPLB_WORKER_SLOTS]; /* ifindex, 0: free */
	bool places[WORKER_THREADS];
	uint64_t rotated_ns;
	struct worker_thread retired; /* counters of threads that are no more */
	uint64_t restarts, stalls;
};

/* ---- supervise.c */
void supervise_soon(struct supervisor *s, uint32_t ms); /* its next step */
/* The process is no good, or ended by itself: another one takes its place. */
void supervise_replace(struct supervisor *s);

/* ---- supervise_process.c */
bool process_start(struct supervisor *s);
void process_end(struct supervisor *s); /* and all that it had */
void process_flush(struct supervisor *s); /* tells it what it does not know yet */
/* Until the message with this serial is in force, the process has ended, or time is up. */
bool process_await(struct supervisor *s, uint32_t serial, uint32_t ms);

/* ---- supervise_sockets.c */
void sockets_follow(struct supervisor *s); /* what is attached */
void sockets_make(struct supervisor *s);
void sockets_done(struct supervisor *s); /* some messages are in force */
void sockets_end(struct supervisor *s); /* the process is no more */
bool sockets_in_force(const struct supervisor *s, char *why, size_t size);
bool sockets_stalled(struct supervisor *s, uint64_t now_ns);
void counters_add(struct worker_thread *sum, const struct worker_thread *thread);

#endif /* XDPLB_DAEMON_SUPERVISE_H */
