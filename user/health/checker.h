/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_HEALTH_CHECKER_H
#define XDPLB_HEALTH_CHECKER_H

/*
 * Probes backends and says which are up. A target is one backend, known by the
 * id its caller gives it (the row of `backends`). The first probe of a target
 * starts at once, the second at a moment of the interval that is the target's
 * own (so that targets set together do not probe together), then one every
 * interval, start to start, never two at once. All targets probe in parallel;
 * beyond a bound on open sockets they wait in line, and their timeout runs from
 * when their own socket opens.
 *
 * Lives in the event loop of the base it is given; no threads. Raise
 * RLIMIT_NOFILE before health_checker_new(): the bound is half of the soft
 * limit, at most 4096.
 */
#include <stdint.h>

#include "config/config.h"
#include "health/fsm.h"
#include "xdplb/abi.h"

struct event_base;
struct health_checker;

/*
 * Called from the event loop, never from within health_target_set(), whenever a
 * target's state changes; the first result is such a change. @why is a phrase
 * for the log ("connection refused", "status 503, expected 200"), valid during
 * the call. May set and remove targets, this one too; must not free the checker.
 */
typedef void health_report_fn(void *arg, uint32_t id, enum health_state state, const char *why);

/* @base stays the caller's and outlives the checker. Never NULL. */
struct health_checker *health_checker_new(struct event_base *base, health_report_fn *report,
					  void *arg);

/*
 * Adds target @id (below XDPLB_MAX_BACKENDS) or brings it up to date; everything
 * is copied. @port is in host order. For a target that is there already:
 *   - nothing changed: state and schedule stay;
 *   - rise, fall, interval or timeout changed: the state stays, they hold from now on;
 *   - type, path, host, expect or body changed: it is probed at once and that
 *     result decides alone; until then the state stays;
 *   - address or port changed: it is a new target, unknown;
 *   - type none: it is removed. Such a backend is no target; the caller treats it as up.
 */
void health_target_set(struct health_checker *checker, uint32_t id, const struct cfg_health *health,
		       const struct xdplb_addr *addr, uint16_t port);

/* Ends the probing of @id; nothing more is reported of it. No such target: nothing happens. */
void health_target_remove(struct health_checker *checker, uint32_t id);

/* HEALTH_UNKNOWN before the first result and where there is no such target. */
enum health_state health_target_state(const struct health_checker *checker, uint32_t id);

/* Ends all probes without a report. NULL is allowed. */
void health_checker_free(struct health_checker *checker);

#endif /* XDPLB_HEALTH_CHECKER_H */
