/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_DAEMON_STATE_H
#define XDPLB_DAEMON_STATE_H

/*
 * The daemon from inside: one struct in daemon_run()'s frame, owned by the one
 * thread that runs the event loop. The loop, HTTP and timers come from
 * libevent: epoll with libmicrohttpd would be two dependencies and a second
 * idea of time.
 */
#include <stdbool.h>
#include <stdint.h>

#include "api/control.h"
#include "api/http.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "daemon/rundir.h"
#include "daemon/watch.h"
#include "dataplane/dataplane.h"
#include "dataplane/netlink.h"
#include "health/checker.h"
#include "model/model.h"
#include "worker/worker.h"

struct event;
struct event_base;

struct interface {
	char name[IFNAMSIZ];
	enum cfg_attach mode; /* as asked for */
	bool in_file; /* named by the configuration */
	bool by_command; /* attached by `xdplb attach`, or found attached at start */
	bool off; /* taken off by `xdplb detach`: stays so until attached, or the next start */
	bool attached, native;
	bool said; /* the log knows how it is attached */
	uint32_t ifindex; /* it was last attached to */
	/* while a configuration is taken up */
	bool wanted, fresh, changed;
	enum cfg_attach mode_before;
};

struct reload;
struct supervisor;

struct timers {
	struct event *reconcile; /* not a timer: runs once in the loop's next turn */
	struct event *heartbeat, *sweep, *sniffs, *reap, *ready, *reload;
	struct event *sigterm, *sigint, *sighup;
};

struct daemon {
	const struct daemon_options *options; /* main's */
	struct daemon_error *err; /* main's: why exit_status is not 0 */
	struct event_base *base;
	int lock_fd;
	uint8_t hash_seed[SEED_BYTES]; /* in use until the end */
	struct dataplane *dp;
	bool adopted;
	struct model *model;
	struct entries written; /* what the maps hold, as far as we wrote it */
	struct health_checker *health;
	struct netlink *netlink;
	struct supervisor *supervisor; /* of the worker, which there is only while routes want it */
	struct control *control;
	struct http *http;
	char *http_address; /* served now, NULL: none */
	int http_fd; /* opened at the start, until it is served */
	struct watch *watch;
	struct interface *interfaces;
	size_t interface_count;
	char **why; /* by backend id: last words of its health, or NULL */
	bool *hop_told; /* by backend id: netlink has spoken, be it that there is no way */
	struct timers timers;
	uint64_t started_ns, taken_ns; /* when the configuration was last taken up */
	bool reload_wanted; /* while not serving yet */
	struct reload *reload; /* under way: taken into the model, not yet into the maps; or NULL */
	bool reload_ok;
	double reload_time;
	bool serving; /* ready has been said */
	bool let_go; /* detach --all: nothing is to be left in the kernel */
	int exit_status;
};

/* ---- reconcile.c: the funnel */
void daemon_reconcile_soon(struct daemon *d); /* once in the loop's next turn */
bool daemon_reconcile(struct daemon *d, struct dp_error *err);
/* Same, and tells what changed since model_previous(); caller frees *changes. */
bool daemon_reconcile_told(struct daemon *d, char **changes, struct dp_error *err);
void daemon_zero_fresh(struct daemon *d); /* after model_set_config(), before a reconcile */

/* ---- reload.c */
void daemon_reload(struct daemon *d, uint64_t ticket); /* the answer goes by control_answer() */
void daemon_reload_tick(struct daemon *d); /* is the one under way ready to be applied? */
void daemon_reload_settle(struct daemon *d); /* the one under way, if any, is over afterwards */
void daemon_config_taken(struct daemon *d);

/* ---- interfaces.c */
struct interface *interface_find(struct daemon *d, const char *name);
struct interface *interface_add(struct daemon *d, const char *name, enum cfg_attach mode);
void interface_remove(struct daemon *d, struct interface *interface);
bool interface_attach(struct daemon *d, struct interface *interface, struct dp_error *err);
/* @interface may be gone from the list afterwards. */
bool interface_detach(struct daemon *d, struct interface *interface, struct dp_error *err);
bool interfaces_there(const struct config *config, struct dp_error *err);
bool interfaces_start(struct daemon *d, struct dp_error *err);
/* Attaches what @config brings, sets other modes; false: interfaces_undo() is due. */
bool interfaces_prepare(struct daemon *d, const struct config *config, struct dp_error *err);
void interfaces_undo(struct daemon *d);
void interfaces_commit(struct daemon *d); /* takes off what @config named no more */
void interface_link_changed(void *arg, uint32_t ifindex, const char *name,
			    enum netlink_link_state state);

/* ---- backends.c: what is known of backends at run time */
void backends_track(struct daemon *d); /* probes and next hops follow the configuration */
void backends_stand_in(struct daemon *d);
bool backends_probed(const struct daemon *d); /* each at least once */
bool backends_resolved(const struct daemon *d); /* each, or known to have no way */
void daemon_on_health(void *arg, uint32_t id, enum health_state state, const char *why);
void daemon_on_nexthop(void *arg, uint32_t id, bool resolved, const struct xdplb_nexthop *nexthop,
		       const struct xdplb_addr *nat_addr);

/* ---- gather.c */
void daemon_gather(void *arg, struct snapshot *snapshot);
void daemon_gather_status(void *arg, struct snapshot *snapshot); /* with warnings */

/* ---- commands.c: requests of the control socket */
json_t *daemon_handle(void *arg, const struct request *request, uint64_t ticket);

/* ---- housekeeping.c: timers and signals */
void signals_start(struct daemon *d); /* first of all */
void housekeeping_start(struct daemon *d);
void housekeeping_serve(struct daemon *d); /* what must wait until serving begins */
void daemon_reload_unasked(struct daemon *d); /* by signal or file watch */
void housekeeping_stop(struct daemon *d);

/* ---- supervise.c: the worker of sniffed services */
struct worker_totals {
	struct worker_thread thread; /* sums; connections, datagram_flows and bytes as they are now */
	uint64_t threads; /* in force */
	uint64_t restarts, stalls; /* since the daemon started */
};

void supervise_start(struct daemon *d);
void supervise_stop(struct daemon *d);
/* Around what puts a changed model into the maps; only supervise_before() may be called in vain. */
void supervise_before(struct daemon *d);
void supervise_after(struct daemon *d);
void supervise_interfaces(struct daemon *d); /* they have changed */
bool supervise_in_force(const struct daemon *d, char *why, size_t size);
void worker_stats_sum(const struct daemon *d, struct worker_totals *totals);

/* ---- warnings.c: what will not work though it is no error */
char **daemon_warnings(struct daemon *d, size_t *count); /* free with warnings_free() */
void warnings_free(char **warnings, size_t count);
void daemon_log_warnings(struct daemon *d);

/* ---- start.c */
void daemon_stop(struct daemon *d);
char *daemon_http_trouble(const char *address, int error); /* caller frees */

#endif /* XDPLB_DAEMON_STATE_H */
