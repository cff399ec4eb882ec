/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_DATAPLANE_NETLINK_H
#define XDPLB_DATAPLANE_NETLINK_H

/*
 * What the kernel knows of the way to each backend: watches links, addresses,
 * routes and neighbours on the caller's event loop, resolves every tracked
 * destination as the host itself would send, keeps the neighbours it needs
 * resolved, and tells what changed. Everything is told by callbacks from the
 * event loop, never from within the calls below, and those that track are not to
 * be called from within a callback. One thread owns it.
 */
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/dataplane.h"

struct event_base;
struct netlink;

enum netlink_link_state {
	NETLINK_LINK_GONE,
	NETLINK_LINK_DOWN,
	NETLINK_LINK_UP /* and running: it has a carrier */
};

struct netlink_events {
	void *arg;
	/*
	 * The way to destination @id, told once it is known and then whenever it
	 * changes. Not @resolved: there is no route or its neighbour does not answer;
	 * @nexthop and @nat_addr (the host's own address towards it) are zero then.
	 * A destination whose neighbour was just asked for the first time is not told of yet.
	 */
	void (*resolved)(void *arg, uint32_t id, bool resolved, const struct xdplb_nexthop *nexthop,
			 const struct xdplb_addr *nat_addr);
	/* A link came, went, was renamed or changed state; every link once at the start. */
	void (*link_changed)(void *arg, uint32_t ifindex, const char *name,
			     enum netlink_link_state state);
};

/* @events is copied. */
int netlink_open(struct event_base *base, const struct netlink_events *events, struct netlink **nl,
		 struct dp_error *err);
void netlink_close(struct netlink *nl); /* neighbours stay managed: the datapath goes on */

/* @id is the caller's (a backend's row); tracking it again with another address replaces it. */
void netlink_track(struct netlink *nl, uint32_t id, const struct xdplb_addr *addr);
void netlink_untrack(struct netlink *nl, uint32_t id);

/* Links as they are now; false from @visit ends it. */
void netlink_each_link(const struct netlink *nl,
		       bool (*visit)(void *arg, uint32_t ifindex, const char *name,
				     enum netlink_link_state state),
		       void *arg);

/* Would this host itself answer for @addr? Asks the kernel's routing tables. */
bool netlink_is_local(struct netlink *nl, const struct xdplb_addr *addr);

/* ---- without an event loop */

/* Lets go of all neighbours that any xdplb keeps resolved in this network namespace. */
void netlink_release_neighbours(void);

/* Lets bpf_fib_lookup work on behalf of lo, for the time without a daemon. Never fails, at worst logs. */
void netlink_enable_fib_on_lo(void);

#endif /* XDPLB_DATAPLANE_NETLINK_H */
