/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_MODEL_H
#define XDPLB_MODEL_H

/*
 * The desired state: the configuration plus what is known of each backend at
 * run time. File, health checks and netlink change it and ask for a
 * reconcile; nobody else keeps state about services. Pure: no I/O.
 *
 * Rows ("ids") of services, pools and backends are stable: a name (for a
 * backend: pool, address and port) keeps its row as long as anything uses it,
 * over reloads and, through model_adopt(), over restarts. A removed backend's
 * row stays, flagged XDPLB_BACKEND_REMOVED, until model_release() is told that
 * no flow uses it; its pool's row stays as long.
 */
#include <stdbool.h>

#include "config/config.h"
#include "model/entries.h"

enum backend_health {
	BACKEND_UNKNOWN, /* not probed yet */
	BACKEND_UP,
	BACKEND_DOWN
};

enum backend_admin {
	BACKEND_ENABLED,
	BACKEND_DISABLED
};

struct model_backend {
	uint32_t id; /* row of backends */
	const struct cfg_backend *config; /* NULL: removed, its flows go on */
	uint32_t pool_id;
	enum backend_health health;
	enum backend_admin admin;
	bool adopted_up; /* stands in while health is unknown: the pinned row said UP, or no probes until now */
	bool resolved;
	struct xdplb_nexthop nexthop;
	struct xdplb_addr nat_addr; /* the host's own address towards it */
	struct xdplb_addr
		addr; /* stays when config is gone; with port, fixed for the life of the row */
	uint16_t port; /* host order */
};

struct model;

struct model *model_new(void);
void model_free(struct model *model);

/* Takes over ids (and up flags, next hops) from what pinned maps hold; before the first set_config. */
void model_adopt(struct model *model, const struct entries *pinned);

/*
 * Replaces the configuration, which the model owns from then on (*config is
 * moved out of: freeing it does nothing); states of backends that stay are
 * kept. False when ids run out: nothing changed then, @config stays the
 * caller's, @err says what.
 */
bool model_set_config(struct model *model, struct config *config, struct cfg_error *err);
const struct config *model_config(const struct model *model); /* NULL: none yet */

/* The one before, for plan_describe(); valid until the next set_config or revert. NULL: none. */
const struct config *model_previous(const struct model *model);

/*
 * Back to the one before, when the new one could not be applied; what the new
 * one had brought stays as removed rows. False: there is none, or @err.
 */
bool model_revert(struct model *model, struct cfg_error *err);

/* By index of config.services / config.pools / .backends. */
uint32_t model_service_id(const struct model *model, size_t service);
uint32_t model_pool_id(const struct model *model, size_t pool);
struct model_backend *model_backend(const struct model *model, size_t pool, size_t backend);

const struct cfg_pool *model_pool_by_id(const struct model *model, uint32_t id); /* NULL: removed */

/* All rows in use, removed ones too; by row number. NULL: not in use. */
struct model_backend *model_backend_by_id(const struct model *model, uint32_t id);
void model_each_backend(const struct model *model,
			void (*visit)(void *arg, struct model_backend *backend), void *arg);

/*
 * Rows that were given to something new since the last call and whose counters
 * must start at zero: fills up to @max ids, returns how many.
 */
size_t model_fresh_services(struct model *model, uint32_t *ids, size_t max);
size_t model_fresh_backends(struct model *model, uint32_t *ids, size_t max);

/* A removed backend's row (or a removed service's) has no flow left: its row is free. */
void model_release_backend(struct model *model, uint32_t id);
void model_release_service(struct model *model, uint32_t id);
size_t model_removed_services(const struct model *model, uint32_t *ids, size_t max);

/* State as `status` shows it: up, down, draining (weight 0 or removed), disabled, unknown. */
const char *model_backend_state(const struct model_backend *backend, const struct cfg_pool *pool);

/* Gets new flows, if its weight allows: up, or taken for up; not disabled, not removed. */
bool model_backend_usable(const struct model_backend *backend, const struct cfg_pool *pool);

/* ---- render: the model as sorted map entries; caller frees with entries_free() */
void render(const struct model *model, struct entries *entries);

/*
 * The routes of all sniffed services, for rules_format(): patterns are not compiled, which is
 * for who matches by them. Never NULL; caller frees with rules_free().
 */
struct rules;
struct rules *render_rules(const struct model *model);

/*
 * ---- tables. Renders what row (pool @id, @family) shall hold: *count slots,
 * to be freed by the caller; NULL where that is 0. Deterministic: the same backends and weights
 * choose alike on every node.
 */
struct xdplb_slot *render_table(const struct model *model, uint32_t pool_id,
				enum xdplb_family family, uint32_t *count);

/* ---- plan: what leads from one state of the maps to another, in the order that loses nothing */
enum plan_kind {
	PLAN_BACKEND_SET,
	PLAN_TABLE_SWAP, /* id = pool * XDPLB_FAMILIES + family; contents by render_table() */
	PLAN_POOL_SET,
	PLAN_NAT_SET, /* both families in one step; before, after: entries.nat, id 0 */
	PLAN_SERVICE_SET,
	PLAN_SERVICE_DELETE,
	PLAN_POOL_DELETE, /* and its tables */
	PLAN_BACKEND_DELETE
};

struct plan_step {
	enum plan_kind kind;
	uint32_t id;
	const void *before,
		*after; /* entry_* of the two states (of its pool: TABLE_SWAP), or NULL */
};

struct plan {
	struct plan_step *steps;
	size_t count;
};

/* Points into @from and @to, which must outlive it. */
void plan_make(const struct entries *from, const struct entries *to, struct plan *plan);
void plan_free(struct plan *plan);

/*
 * Lines for `xdplb reload`, each ended: "pool web: weight of 10.1.0.11:8080 3 -> 1"; "" when
 * nothing changed. Without a @from (at the start) one line that counts @plan. Caller frees.
 */
char *plan_describe(const struct plan *plan, const struct config *from, const struct config *to);

#endif /* XDPLB_MODEL_H */
