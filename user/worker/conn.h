/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_WORKER_CONN_H
#define XDPLB_WORKER_CONN_H

/*
 * The connections of an engine: what is remembered of each, found by the
 * client's addresses or by handle, and the two queues they stand in: undecided
 * ones by age, and those that are spliced and wait for late packets.
 * struct conn is what an idle client costs; struct peer comes with a verdict.
 */
#include "worker/collect.h"
#include "worker/env.h"
#include "worker/timers.h"
#include "xdplb/flow_hash.h"

enum conn_state {
	CONN_COLLECT, /* undecided */
	CONN_OPENING, /* decided, but OPEN could not be done: it is tried again */
	CONN_CONNECT, /* a SYN is on its way to a backend */
	CONN_FEED, /* the backend took it; what we acknowledged must get there first */
	CONN_LINGER /* spliced: late packets are translated */
};

/* A decided connection's way to its backend. */
struct peer {
	struct xdplb_half half[XDPLB_DIRS];
	struct xdplb_splice splice;
	struct xdplb_nexthop nexthop;
	uint64_t slot; /* of the flow tables, as OPEN said */
	uint32_t life;
	uint32_t backend; /* 0: none at the moment */
	uint32_t avoid[XDPLB_COMMAND_AVOID];
	uint32_t pool, idle_ticks, event, flags, name_len;
	uint32_t isn; /* the backend's */
	uint32_t client_next, backend_next; /* next sequence numbers, each in its side's own */
	uint32_t packets[XDPLB_DIRS],
		bytes[XDPLB_DIRS]; /* forwarded, not yet reported: modulo 2^32 */
	uint32_t window; /* the backend's, bytes */
	uint32_t expects; /* last acknowledgement of the backend */
	uint16_t sent; /* offset behind what was sent of what is held */
	uint16_t mss;
	uint8_t wscale;
	bool sack;
	bool client_fin, backend_fin; /* passed: the next sequence number is behind it */
	bool told; /* the client: its segments are too big for the backend */
	bool opened; /* a backend was found at least once, so event is counted */
	uint8_t failed; /* backends in avoid */
	uint8_t tries; /* of OPEN, SYN or segment, since the last success */
	uint8_t resets; /* sent to a TIME_WAIT of the backend */
	uint8_t repeated; /* acknowledgements that said nothing new, RFC 5681 */
};

struct conn {
	struct timer timer; /* first: timers give it back */
	struct conn *chain; /* of the bucket */
	struct conn *older, *newer; /* in its queue */
	struct peer *peer; /* NULL in CONN_COLLECT */
	struct collect in;
	uint64_t silent_at_ns; /* sniff_timeout is over */
	uint64_t own_at_ns; /* what is held gets acknowledged */
	struct xdplb_tuple tuple; /* as the client's packets arrive */
	uint32_t handle;
	uint32_t service;
	uint32_t ifindex; /* by which the client's packets come */
	uint32_t isn, client_isn;
	uint32_t client_ack; /* last acknowledgement of the client: what it expects from us */
	uint16_t window; /* of the client, as in its last header */
	uint16_t mss; /* the client's */
	uint16_t longest; /* of its segments, payload */
	uint16_t owned; /* bytes that we acknowledged, so they are ours to deliver */
	uint8_t macs[2 * 6]; /* destination and source of the client's last frame */
	uint8_t wscale, sack, our_wscale; /* as in xdplb_meta */
	uint8_t ttl; /* of the client's packets */
	uint8_t state; /* enum conn_state */
	uint8_t segments; /* with bytes, while undecided */
	uint8_t swallowed; /* retransmissions that we neither answered nor sent on */
	uint8_t waits; /* times that sniff_timeout began again */
	uint8_t challenges; /* sent, RFC 5961 */
};

_Static_assert(sizeof(struct conn) <= 300, "100,000 idle connections are to fit into 100 MB");

struct conn_queue {
	struct conn *oldest, *newest;
	uint32_t count;
};

struct conn_row {
	struct conn *conn; /* NULL: free */
	uint32_t generation;
	uint32_t next_free;
};

struct tcp {
	struct engine_env env;
	struct timers timers;
	struct conn_queue undecided, lingering;
	struct conn **bucket; /* a power of two */
	uint32_t bucket_mask;
	uint32_t count; /* of conns */
	struct conn_row *row;
	uint32_t rows, rows_room, free_row; /* free_row: index + 1, 0: none */
	__u64 key[4];
};

bool conn_tables_new(struct tcp *tcp);
void conn_tables_free(struct tcp *tcp); /* and all connections */

/* An undecided connection, the newest; its timer is set to @due_ns. NULL: no memory. */
struct conn *conn_new(struct tcp *tcp, const struct xdplb_tuple *tuple, uint64_t due_ns);
void conn_free(struct tcp *tcp, struct conn *conn);

struct conn *conn_find(const struct tcp *tcp, const struct xdplb_tuple *tuple);
struct conn *conn_by_handle(const struct tcp *tcp, uint32_t handle);

/* It is decided: gives it a peer. False: no memory. */
bool conn_decided(struct tcp *tcp, struct conn *conn);

/* It is spliced: lets go of what it held, and counts no longer as a connection. */
void conn_spliced(struct tcp *tcp, struct conn *conn);

/* collect_add() with the engine's account kept. */
enum collect_result conn_collect(struct tcp *tcp, struct conn *conn, int32_t at,
				 const uint8_t *data, size_t len);

/* After this the timer is due at @at_ns; it has been set since conn_new(), so that can't fail. */
static inline void conn_wait(struct tcp *tcp, struct conn *conn, uint64_t at_ns)
{
	timers_set(&tcp->timers, &conn->timer, at_ns);
}

#endif /* XDPLB_WORKER_CONN_H */
