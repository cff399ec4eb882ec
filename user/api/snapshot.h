/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_API_SNAPSHOT_H
#define XDPLB_API_SNAPSHOT_H

/*
 * What the daemon knows at one moment, as plain data: the daemon gathers it,
 * status and metrics are made from it. Numbers that are metrics are uint64_t
 * throughout: the table of metrics names them by their place. Strings are borrowed from the daemon and
 * valid until its event loop goes on; arrays belong to the snapshot.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xdplb/abi.h"
#include "xdplb/outcome.h"

struct snap_traffic {
	uint64_t connections;
	uint64_t active_flows;
	uint64_t packets[XDPLB_DIRS];
	uint64_t bytes[XDPLB_DIRS];
};

struct snap_interface {
	const char *name;
	const char *mode; /* native, generic, or gone while there is no such device */
};

/* Flows by what their first bytes showed. */
struct snap_sniffed {
	const char *protocol; /* constant */
	uint64_t count;
};

struct snap_service {
	const char *name;
	const char *mode;
	const char *pool;
	const char **listeners; /* as configured */
	size_t listener_count;
	struct snap_sniffed *sniffed; /* NULL: not sniffed */
	size_t sniffed_count;
	struct snap_traffic traffic;
};

struct snap_backend {
	const char *address; /* as configured */
	const char *state; /* up, down, draining, disabled, unknown */
	const char *why; /* of the last change of health, "" where there was none */
	bool resolved; /* its next hop is known */
	bool removed; /* no longer configured, its flows go on */
	uint64_t up; /* 1: by its health it may have new flows */
	uint64_t weight;
	uint64_t ports_used, ports_max; /* source ports towards it */
	struct snap_traffic traffic;
};

struct snap_pool {
	const char *name;
	const char *balance;
	struct snap_backend *backends;
	size_t backend_count;
};

struct snap_table {
	const char *name;
	uint64_t used, max;
};

/* What the workers that look into first bytes are at; all 0 where nothing is sniffed. */
struct snap_sniffing {
	uint64_t threads; /* queues that are looked after */
	uint64_t connections, datagram_flows; /* undecided, or about to be joined */
	uint64_t bytes; /* held */
	uint64_t packets[XDPLB_DIRS]; /* that passed through: received, sent */
	uint64_t dropped;
	uint64_t restarts; /* of the process, since the daemon started */
};

#define SNAP_TABLES 2 /* flows, embryos */

struct snapshot {
	const char *version;
	const char *file; /* of the configuration */
	uint32_t pid;
	bool reload_ok; /* the last one, or the start */
	double reload_time; /* of the last successful one, seconds since 1970 */
	const char **warnings;
	size_t warning_count;
	struct snap_interface *interfaces;
	size_t interface_count;
	struct snap_service *services; /* in file order */
	size_t service_count;
	struct snap_pool *pools; /* in file order */
	size_t pool_count;
	struct snap_table tables[SNAP_TABLES];
	struct snap_sniffing sniffing;
	uint64_t outcomes[XDPLB_OUTCOME_MAX];
	uint64_t events[XDPLB_EVENT_MAX];
	char **kept; /* strings that are nobody else's */
	size_t kept_count;
};

/* A copy of @text that lives as long as @snapshot. */
const char *snapshot_keep(struct snapshot *snapshot, const char *text);

/* Frees the arrays; @snapshot itself is the caller's. */
void snapshot_free(struct snapshot *snapshot);

#endif /* XDPLB_API_SNAPSHOT_H */
