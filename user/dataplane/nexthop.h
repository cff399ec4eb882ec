/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_DATAPLANE_NEXTHOP_H
#define XDPLB_DATAPLANE_NEXTHOP_H

/*
 * Which ids lead to which destinations, these over which hops, and what was
 * told of each. Bookkeeping without sockets: what is to be asked or told waits
 * in queues that netlink.c empties once per turn of the event loop.
 *
 *	id (a backend) n:1 destination (an address) n:1 hop (a neighbour on a link)
 */
#include <stdbool.h>
#include <sys/queue.h>

#include "dataplane/netlink.h"
#include "dataplane/rtnl.h"

struct nh_id {
	uint32_t id;
	struct nh_destination *destination;
	LIST_ENTRY(nh_id) siblings;
	/* What the owner knows. */
	bool told, resolved;
	struct xdplb_nexthop nexthop;
	struct xdplb_addr nat_addr;
};

struct nh_destination {
	struct xdplb_addr addr;
	LIST_HEAD(nh_ids, nh_id) ids;
	bool routed; /* the three below are valid */
	uint32_t ifindex;
	struct xdplb_addr source;
	struct nh_hop *hop;
	LIST_ENTRY(nh_destination) siblings; /* of the same hop */
	bool unasked; /* is in queue ask: its route is to be asked for */
	bool untold; /* is in queue tell */
	TAILQ_ENTRY(nh_destination) ask, tell;
};

struct nh_hop {
	uint32_t ifindex;
	struct xdplb_addr addr;
	LIST_HEAD(nh_siblings, nh_destination) destinations;
	uint16_t state; /* NUD_* as last heard */
	bool valid; /* mac is good to send to */
	bool failed; /* it does not answer, or the kernel would not have it */
	bool managed, ours; /* as last heard */
	uint8_t mac[6];
	bool queued; /* is in queue hops */
	TAILQ_ENTRY(nh_hop) queue;
};

struct nh_link {
	struct rtnl_link link;
	enum netlink_link_state state, told_state;
	char told_name[16]; /* "": not told of yet */
	bool seen; /* by the dump that is going on */
};

TAILQ_HEAD(nh_destinations, nh_destination);
TAILQ_HEAD(nh_hops, nh_hop);

struct nexthops {
	struct nh_id **ids; /* by id */
	uint32_t id_room;
	void *destinations, *hops; /* trees */
	struct nh_destinations ask, tell;
	struct nh_hops queue; /* new ones, to be asked for, and unused ones, to be let go */
	struct nh_link *links;
	size_t link_count;
};

void nexthops_init(struct nexthops *nh);
void nexthops_free(struct nexthops *nh);

void nexthops_track(struct nexthops *nh, uint32_t id, const struct xdplb_addr *addr);
void nexthops_untrack(struct nexthops *nh, uint32_t id);

/* The kernel's answer for a destination, NULL: no way there. */
void nexthops_route(struct nexthops *nh, struct nh_destination *destination,
		    const struct rtnl_route *route);
struct nh_hop *nexthops_hop(const struct nexthops *nh, uint32_t ifindex,
			    const struct xdplb_addr *addr);
void nexthops_neighbour(struct nexthops *nh, struct nh_hop *hop,
			const struct rtnl_neighbour *neighbour);
void nexthops_hop_failed(struct nexthops *nh, struct nh_hop *hop);
void nexthops_hop_queue(struct nexthops *nh, struct nh_hop *hop);
void nexthops_hop_free(struct nexthops *nh, struct nh_hop *hop); /* without destinations */
void nexthops_each_hop(const struct nexthops *nh, void (*visit)(void *arg, struct nh_hop *hop),
		       void *arg);

/* Destinations that @route may lead elsewhere than before (NULL: all) are to be asked for again. */
void nexthops_doubt(struct nexthops *nh, const struct rtnl_route *route);

struct nh_link *nexthops_link(const struct nexthops *nh, uint32_t ifindex);
void nexthops_link_set(struct nexthops *nh, const struct rtnl_link *link, bool gone);

/* Tells of links, then of destinations, what is not told yet. */
void nexthops_tell(struct nexthops *nh, const struct netlink_events *events);

#endif /* XDPLB_DATAPLANE_NEXTHOP_H */
