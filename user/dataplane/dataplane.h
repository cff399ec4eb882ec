/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_DATAPLANE_H
#define XDPLB_DATAPLANE_H

/*
 * The kernel side as an object: maps and links pinned in one bpffs directory.
 * Opening loads or adopts; closing leaves everything pinned and forwarding.
 * Errors: -errno with a sentence in @err, ready to print.
 */
#include <stdbool.h>
#include <stdint.h>

#include "model/model.h"
#include "xdplb/abi.h"
#include "xdplb/outcome.h"
#include "xdplb/protocol.h"

struct dp_error {
	char text[512];
};

struct dp_options {
	const char *bpffs; /* directory of the pins; mounted as bpffs where it is none */
	uint32_t flow_table; /* rows of flows; adopted pins keep theirs */
	uint8_t hash_seed[16];
};

struct dataplane;

/* Loads the program and creates what is not pinned yet. *adopted: pins were there. */
int dataplane_open(const struct dp_options *options, struct dataplane **dp, bool *adopted,
		   struct dp_error *err);
void dataplane_close(struct dataplane *dp);

/*
 * Looks at what is pinned, loading and changing nothing: for dataplane_read()
 * and dataplane_each_flow(), with or without a daemon. Also ends by dataplane_close().
 */
int dataplane_view(const char *bpffs, struct dataplane **dp, struct dp_error *err);
uint32_t dataplane_flow_table(const struct dataplane *dp); /* as created */

/*
 * Attaches to @ifname (an attached one: replaces the program in place). *native:
 * which mode it became. -EBUSY: a foreign program is there, @err names it.
 */
int dataplane_attach(struct dataplane *dp, const char *ifname, enum cfg_attach mode, bool *native,
		     struct dp_error *err);

/* These work without an open dataplane, on pins alone. */
int dataplane_detach(const char *bpffs, const char *ifname, struct dp_error *err);
int dataplane_detach_all(const char *bpffs, struct dp_error *err); /* removes every pin */

struct dp_link {
	char ifname[16];
	uint32_t ifindex; /* 0: the device is gone, the pin is stale */
	bool native;
};
/* Interfaces with a pinned link; caller frees *links. */
int dataplane_links(const char *bpffs, struct dp_link **links, size_t *count);

/* Makes XDP redirect to @ifindex possible (all links that are up), or no longer. */
int dataplane_egress_set(struct dataplane *dp, uint32_t ifindex);
int dataplane_egress_delete(struct dataplane *dp, uint32_t ifindex);

/* What the pinned maps hold; caller frees with entries_free(). */
int dataplane_read(struct dataplane *dp, struct entries *entries, struct dp_error *err);

/* Carries a plan out; on failure undoes in reverse what was done and says what failed. */
int dataplane_apply(struct dataplane *dp, const struct model *model, const struct plan *plan,
		    struct dp_error *err);

void dataplane_zero_service(struct dataplane *dp, uint32_t id);
void dataplane_zero_backend(struct dataplane *dp,
			    uint32_t id); /* counters and state; seeds the port cursor */

/* Timeouts of embryos and closed flows. */
void dataplane_set_timeouts(struct dataplane *dp, uint32_t syn_ms, uint32_t closing_ms);
void dataplane_heartbeat(struct dataplane *dp, uint32_t now_tick); /* at least every 250 ms */
void dataplane_sweep(struct dataplane *dp,
		     uint32_t rows); /* forgets expired flows among the next @rows */
/* Forgets undecided connections of which no worker can know any more. */
void dataplane_sweep_sniffs(struct dataplane *dp, uint64_t older_than_ms);

/* Counters, summed over CPUs when asked. */
void dataplane_service_stats(struct dataplane *dp, uint32_t id, struct xdplb_stats *stats);
void dataplane_backend_stats(struct dataplane *dp, uint32_t id, struct xdplb_stats *stats);
void dataplane_backend_state(struct dataplane *dp, uint32_t id, struct xdplb_backend_state *state);
void dataplane_outcomes(struct dataplane *dp, uint64_t outcomes[XDPLB_OUTCOME_MAX]);
void dataplane_events(struct dataplane *dp, uint64_t events[XDPLB_EVENT_MAX]);
/* Flows of a service by what their first bytes showed. */
void dataplane_sniffed(struct dataplane *dp, uint32_t service, uint64_t counts[XDPLB_PROTOCOL_MAX]);
void dataplane_gauges(struct dataplane *dp, struct xdplb_gauges *gauges);
uint32_t dataplane_embryo_table(const struct dataplane *dp);

/*
 * ---- xsk.c: what the worker of sniffed services is given. An AF_XDP socket
 * is made and bound here, and used by another process. @memory holds its
 * frames; it is the worker's that fills the rings.
 */
struct dp_xsk_wish {
	const char *ifname;
	uint32_t ifindex, queue;
	bool native; /* how the program is attached there */
	uint32_t rx_frames, tx_frames; /* powers of two, the lengths of the rings too */
};

struct dp_xsk {
	int fd, memory;
	uint32_t frame; /* bytes of one */
	bool zero_copy;
};

/* -EBUSY: somebody has the queue, perhaps a socket that is just going away. */
int dataplane_xsk_open(const struct dp_xsk_wish *wish, struct dp_xsk *xsk, struct dp_error *err);
/* Receive queues of an interface that a worker can be behind, at most XDPLB_QUEUES. */
uint32_t dataplane_queues(const char *ifname);

/* XDP hands packets to the socket in @row from here on, or no longer. */
int dataplane_xsk_insert(struct dataplane *dp, uint32_t row, int fd);
void dataplane_xsk_remove(struct dataplane *dp, uint32_t row);
int dataplane_slot_set(struct dataplane *dp, uint32_t ifindex, uint32_t slot);
void dataplane_slot_delete(struct dataplane *dp, uint32_t ifindex);
void dataplane_slots_clear(struct dataplane *dp); /* of a predecessor, and its sockets */
void dataplane_sniffs_clear(struct dataplane *dp); /* nobody knows these connections any more */
void dataplane_secrets_rotate(struct dataplane *dp); /* the one in use stays valid as the former */
/* Descriptors of programs for the worker, to be lent. */
int dataplane_splice_program(const struct dataplane *dp);
int dataplane_handshakes_program(const struct dataplane *dp);

/* Visits every flow (a consistent copy of each), established ones first; false from @visit ends it. */
void dataplane_each_flow(struct dataplane *dp,
			 bool (*visit)(void *arg, const struct xdplb_flow *flow), void *arg);

#endif /* XDPLB_DATAPLANE_H */
