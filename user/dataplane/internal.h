/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_DATAPLANE_INTERNAL_H
#define XDPLB_DATAPLANE_INTERNAL_H

/*
 * What the files of user/dataplane share. Nobody else includes this. The
 * skeleton is known to load.c and move.c alone; everybody else sees descriptors.
 */
#include "dataplane/dataplane.h"
#include "dataplane/derive.h"

/* Every map that user space touches after loading; owned by the skeleton's object. */
#define DP_MAPS(X)        \
	X(services)       \
	X(pools)          \
	X(tables)         \
	X(backends)       \
	X(backend_state)  \
	X(backend_stats)  \
	X(service_stats)  \
	X(flows)          \
	X(embryos)        \
	X(gauges)         \
	X(nat_ranges)     \
	X(settings)       \
	X(egress)         \
	X(outcomes)       \
	X(sniffed)        \
	X(flow_events)    \
	X(xsks)           \
	X(worker_slots)   \
	X(cookie_secrets) \
	X(sniffs)

struct dp_fds {
#define X(map) int map;
	DP_MAPS(X)
#undef X
};

struct dataplane {
	void *skeleton; /* NULL: a view, whose descriptors are its own */
	char *dir;
	int program, sweep, sweep_sniffs, splice, handshakes_due; /* owned by the skeleton */
	struct dp_fds fd;
	struct dp_sizes sizes;
	int cpus;
	/* How a selection table is created. */
	uint32_t table_flags;
	struct btf *slot_btf; /* NULL: the kernel has none */
	uint32_t key_type, slot_type;
	/* Mapped maps. */
	struct xdplb_settings *settings;
	struct xdplb_cookie_secrets *secrets; /* NULL in a view */
	const struct xdplb_flow *flows, *embryos;
};

/* Writes the sentence to @err (which may be NULL) and returns @error, a negative errno. */
__attribute__((format(printf, 3, 4))) int dp_fail(struct dp_error *err, int error,
						  const char *format, ...);

/* ---- pins.c: the directory and what lies in it */
int pins_prepare(const char *dir, struct dp_error *err); /* there, and a bpffs */
bool pins_there(const char *dir); /* is a directory in a bpffs */
void pins_release(const char *dir); /* removes the directory if empty, unmounts what we mounted */
int pin_get(const char *dir, const char *name); /* a descriptor, or -errno */
int pin_put(const char *dir, const char *name, int fd);
int pin_remove(const char *dir, const char *name); /* none there: 0 */
/* A lock that ends with the descriptor: keeps two processes from creating the same pins. */
int pins_lock(const char *dir);

/* ---- links.c: pinned links */
int link_read(const char *dir, const char *ifname,
	      struct dp_link *link); /* a descriptor, or -errno */
bool link_is_native(uint32_t ifindex);
int links_update(const struct dataplane *dp,
		 struct dp_error *err); /* to our program, all of them */

/* ---- load.c */
int dp_each_map_name(int (*visit)(void *arg, const char *name), void *arg);

/* ---- move.c: another flow_table */
bool map_is_old(const char *name); /* of those that stand aside during a move */
/* Takes flows over where pinned tables are of another size than @flow_table; else does nothing. */
int flow_table_move(const char *dir, uint32_t flow_table, struct dp_error *err);

/* ---- view.c */
void view_close(const struct dataplane *dp);

/* ---- grow.c: lists of counters */
bool grow_is_list(const char *name);
int grow_replace(const struct dataplane *dp, const char *name, int from, int to);

/* ---- tables.c: selection tables */
#define TABLES_BATCH 256 /* descriptors held at a time */

/* @flags: of the prototype in the outer map, which all tables must have. */
void tables_init(struct dataplane *dp, uint32_t flags);
void tables_end(struct dataplane *dp);

struct table_swap {
	uint32_t row; /* of tables */
	uint32_t slots; /* of @content; 0: an empty table */
	const struct xdplb_slot *content; /* needed until tables_swap() returns */
	int old_fd; /* out: the table it held, for tables_restore(); -1: none */
	bool lost; /* out: it held one that we may not open */
};
bool table_exists(const struct dataplane *dp, uint32_t row);
/* All of at most TABLES_BATCH, or none (-errno). To be followed by tables_restore() or tables_forget(). */
int tables_swap(struct dataplane *dp, struct table_swap *swaps, size_t count);
/* Puts back what was there; returns how many could not be, being lost. */
size_t tables_restore(struct dataplane *dp, struct table_swap *swaps, size_t count);
void tables_forget(struct table_swap *swaps, size_t count);

#endif /* XDPLB_DATAPLANE_INTERNAL_H */
