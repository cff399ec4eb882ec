// SPDX-License-Identifier: GPL-2.0-only
#include "dataplane/nexthop.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <linux/neighbour.h>

#include "base/alloc.h"

#define NUD_USABLE (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)

void nexthops_init(struct nexthops *nh)
{
	memset(nh, 0, sizeof(*nh));
	TAILQ_INIT(&nh->ask);
	TAILQ_INIT(&nh->tell);
	TAILQ_INIT(&nh->queue);
}

static void forget(void *node)
{
	free(node);
}

void nexthops_free(struct nexthops *nh)
{
	for (uint32_t id = 0; id < nh->id_room; id++)
		free(nh->ids[id]);
	free(nh->ids);
	free(nh->links);
	tdestroy(nh->destinations, forget);
	tdestroy(nh->hops, forget);
}

/* ---- queues */

static void tell_later(struct nexthops *nh, struct nh_destination *destination)
{
	if (destination->untold)
		return;
	destination->untold = true;
	TAILQ_INSERT_TAIL(&nh->tell, destination, tell);
}

static void ask_later(struct nexthops *nh, struct nh_destination *destination)
{
	if (destination->unasked)
		return;
	destination->unasked = true;
	TAILQ_INSERT_TAIL(&nh->ask, destination, ask);
}

static void tell_all(struct nexthops *nh, const struct nh_hop *hop)
{
	struct nh_destination *destination;

	for (destination = LIST_FIRST(&hop->destinations); destination;
	     destination = LIST_NEXT(destination, siblings))
		tell_later(nh, destination);
}

void nexthops_hop_queue(struct nexthops *nh, struct nh_hop *hop)
{
	if (hop->queued)
		return;
	hop->queued = true;
	TAILQ_INSERT_TAIL(&nh->queue, hop, queue);
}

/* ---- hops */

static int hop_compare(const void *left, const void *right)
{
	const struct nh_hop *a = left, *b = right;

	if (a->ifindex != b->ifindex)
		return a->ifindex < b->ifindex ? -1 : 1;
	return memcmp(&a->addr, &b->addr, sizeof(a->addr));
}

struct nh_hop *nexthops_hop(const struct nexthops *nh, uint32_t ifindex,
			    const struct xdplb_addr *addr)
{
	const struct nh_hop key = { .ifindex = ifindex, .addr = *addr };
	struct nh_hop *const *found = tfind(&key, &nh->hops, hop_compare);

	return found ? *found : NULL;
}

static struct nh_hop *hop_get(struct nexthops *nh, uint32_t ifindex, const struct xdplb_addr *addr)
{
	struct nh_hop *hop = nexthops_hop(nh, ifindex, addr);

	if (hop)
		return hop;
	hop = xcalloc(1, sizeof(*hop));
	hop->ifindex = ifindex;
	hop->addr = *addr;
	LIST_INIT(&hop->destinations);
	if (!tsearch(hop, &nh->hops, hop_compare))
		abort(); /* out of memory */
	nexthops_hop_queue(nh, hop);
	return hop;
}

void nexthops_hop_free(struct nexthops *nh, struct nh_hop *hop)
{
	if (hop->queued)
		TAILQ_REMOVE(&nh->queue, hop, queue);
	tdelete(hop, &nh->hops, hop_compare);
	free(hop);
}

struct hop_walk {
	void (*visit)(void *arg, struct nh_hop *hop);
	void *arg;
};

static void hop_visit(const void *node, VISIT order, void *arg)
{
	const struct hop_walk *walk = arg;

	if (order == postorder || order == leaf)
		walk->visit(walk->arg, *(struct nh_hop *const *)node);
}

void nexthops_each_hop(const struct nexthops *nh, void (*visit)(void *arg, struct nh_hop *hop),
		       void *arg)
{
	struct hop_walk walk = { .visit = visit, .arg = arg };

	twalk_r(nh->hops, hop_visit, &walk);
}

void nexthops_neighbour(struct nexthops *nh, struct nh_hop *hop,
			const struct rtnl_neighbour *neighbour)
{
	bool valid = hop->valid, failed = hop->failed;

	hop->state = neighbour->state;
	hop->managed = neighbour->managed;
	hop->ours = neighbour->ours;
	if (neighbour->state & NUD_USABLE && neighbour->has_mac) {
		if (!valid || memcmp(hop->mac, neighbour->mac, sizeof(hop->mac)) != 0)
			tell_all(nh, hop);
		memcpy(hop->mac, neighbour->mac, sizeof(hop->mac));
		hop->valid = true;
		hop->failed = false;
	} else if (neighbour->state & NUD_FAILED) {
		hop->valid = false;
		hop->failed = true;
	} /* else it is being asked for: what was known is good until that fails */
	if (valid != hop->valid || failed != hop->failed)
		tell_all(nh, hop);
}

void nexthops_hop_failed(struct nexthops *nh, struct nh_hop *hop)
{
	const struct rtnl_neighbour failed = { .state = NUD_FAILED };

	nexthops_neighbour(nh, hop, &failed);
}

/* ---- destinations */

static int destination_compare(const void *left, const void *right)
{
	const struct nh_destination *a = left, *b = right;

	return memcmp(&a->addr, &b->addr, sizeof(a->addr));
}

static struct nh_destination *destination_get(struct nexthops *nh, const struct xdplb_addr *addr)
{
	const struct nh_destination key = { .addr = *addr };
	struct nh_destination *const *found = tfind(&key, &nh->destinations, destination_compare);
	struct nh_destination *destination;

	if (found)
		return *found;
	destination = xcalloc(1, sizeof(*destination));
	destination->addr = *addr;
	LIST_INIT(&destination->ids);
	if (!tsearch(destination, &nh->destinations, destination_compare))
		abort(); /* out of memory */
	ask_later(nh, destination);
	return destination;
}

static void destination_leave_hop(struct nexthops *nh, struct nh_destination *destination)
{
	struct nh_hop *hop = destination->hop;

	if (!hop)
		return;
	LIST_REMOVE(destination, siblings);
	destination->hop = NULL;
	if (LIST_EMPTY(&hop->destinations))
		nexthops_hop_queue(nh, hop);
}

static void destination_free(struct nexthops *nh, struct nh_destination *destination)
{
	destination_leave_hop(nh, destination);
	if (destination->unasked)
		TAILQ_REMOVE(&nh->ask, destination, ask);
	if (destination->untold)
		TAILQ_REMOVE(&nh->tell, destination, tell);
	tdelete(destination, &nh->destinations, destination_compare);
	free(destination);
}

void nexthops_route(struct nexthops *nh, struct nh_destination *destination,
		    const struct rtnl_route *route)
{
	struct nh_hop *hop = NULL;

	tell_later(nh, destination);
	destination->routed = route && route->type == RTN_UNICAST && route->ifindex &&
			      !route->encap;
	if (destination->routed) {
		destination->ifindex = route->ifindex;
		destination->source = route->source;
		hop = hop_get(nh, route->ifindex,
			      route->has_gateway ? &route->gateway : &destination->addr);
	}
	if (hop == destination->hop)
		return;
	destination_leave_hop(nh, destination);
	destination->hop = hop;
	if (hop)
		LIST_INSERT_HEAD(&hop->destinations, destination, siblings);
}

struct doubt {
	struct nexthops *nh;
	const struct rtnl_route *route;
};

static void doubt_visit(const void *node, VISIT order, void *arg)
{
	const struct doubt *doubt = arg;
	struct nh_destination *destination;

	if (order != postorder && order != leaf)
		return;
	destination = *(struct nh_destination *const *)node;
	if (!doubt->route || rtnl_route_covers(doubt->route, &destination->addr))
		ask_later(doubt->nh, destination);
}

void nexthops_doubt(struct nexthops *nh, const struct rtnl_route *route)
{
	struct doubt doubt = { .nh = nh, .route = route };

	twalk_r(nh->destinations, doubt_visit, &doubt);
}

/* ---- ids */

void nexthops_untrack(struct nexthops *nh, uint32_t id)
{
	struct nh_destination *destination;

	if (id >= nh->id_room || !nh->ids[id])
		return;
	destination = nh->ids[id]->destination;
	LIST_REMOVE(nh->ids[id], siblings);
	free(nh->ids[id]);
	nh->ids[id] = NULL;
	if (LIST_EMPTY(&destination->ids))
		destination_free(nh, destination);
}

void nexthops_track(struct nexthops *nh, uint32_t id, const struct xdplb_addr *addr)
{
	struct nh_id *new;

	if (id < nh->id_room && nh->ids[id] &&
	    !memcmp(&nh->ids[id]->destination->addr, addr, sizeof(*addr)))
		return;
	nexthops_untrack(nh, id);
	if (id >= nh->id_room) {
		uint32_t room = id < 64 ? 128 : id * 2;

		nh->ids = xrealloc(nh->ids, room, sizeof(struct nh_id *));
		memset(nh->ids + nh->id_room, 0, (room - nh->id_room) * sizeof(struct nh_id *));
		nh->id_room = room;
	}
	new = xcalloc(1, sizeof(*new));
	new->id = id;
	new->destination = destination_get(nh, addr);
	LIST_INSERT_HEAD(&new->destination->ids, new, siblings);
	nh->ids[id] = new;
	tell_later(nh, new->destination);
}

/* ---- links: few, and those that are gone stay until that is told */

struct nh_link *nexthops_link(const struct nexthops *nh, uint32_t ifindex)
{
	for (size_t i = 0; i < nh->link_count; i++)
		if (nh->links[i].link.ifindex == ifindex && nh->links[i].state != NETLINK_LINK_GONE)
			return &nh->links[i];
	return NULL;
}

struct link_change {
	struct nexthops *nh;
	const struct nh_link *link;
};

static void link_hop_changed(void *arg, struct nh_hop *hop)
{
	const struct link_change *change = arg;
	struct nh_destination *destination;

	if (hop->ifindex != change->link->link.ifindex)
		return;
	if (change->link->state == NETLINK_LINK_GONE)
		hop->valid = hop->managed = false;
	tell_all(change->nh, hop);
	nexthops_hop_queue(change->nh, hop);
	/* The kernel drops IPv4 routes of a link that goes down without a word. */
	for (destination = LIST_FIRST(&hop->destinations); destination;
	     destination = LIST_NEXT(destination, siblings))
		ask_later(change->nh, destination);
}

void nexthops_link_set(struct nexthops *nh, const struct rtnl_link *link, bool gone)
{
	struct nh_link *known = nexthops_link(nh, link->ifindex);
	enum netlink_link_state state = link->up ? NETLINK_LINK_UP : NETLINK_LINK_DOWN;
	struct link_change change = { .nh = nh };
	struct rtnl_link before = { 0 };

	if (!known && gone)
		return;
	if (!known)
		known = array_push(nh->links, nh->link_count);
	else
		before = known->link;
	known->seen = true;
	known->state = gone ? NETLINK_LINK_GONE : state;
	known->link = *link;
	change.link = known;
	if (!gone && before.up == link->up && before.has_mac == link->has_mac &&
	    !memcmp(before.mac, link->mac, sizeof(link->mac)))
		return;
	nexthops_each_hop(nh, link_hop_changed, &change);
	if (before.ifindex && !before.up && link->up)
		nexthops_doubt(nh, NULL); /* and revives its nexthops likewise */
}

/* ---- telling */

/* Not known either way yet: the owner goes by what it was told before. */
static bool is_pending(const struct nh_destination *destination, const struct nh_link *link)
{
	const struct nh_hop *hop = destination->hop;

	if (destination->unasked)
		return true;
	return destination->routed && link && link->state == NETLINK_LINK_UP &&
	       link->link.has_mac && !hop->valid && !hop->failed;
}

static void id_tell(struct nh_id *id, const struct nh_id *now, const struct netlink_events *events)
{
	if (id->told && id->resolved == now->resolved &&
	    !memcmp(&id->nexthop, &now->nexthop, sizeof(id->nexthop)) &&
	    !memcmp(&id->nat_addr, &now->nat_addr, sizeof(id->nat_addr)))
		return;
	id->told = true;
	id->resolved = now->resolved;
	id->nexthop = now->nexthop;
	id->nat_addr = now->nat_addr;
	events->resolved(events->arg, id->id, now->resolved, &now->nexthop, &now->nat_addr);
}

static void destination_tell(const struct nexthops *nh, const struct nh_destination *destination,
			     const struct netlink_events *events)
{
	const struct nh_link *link = NULL;
	const struct nh_hop *hop = destination->hop;
	struct nh_id now = { 0 };
	struct nh_id *id;

	if (destination->routed)
		link = nexthops_link(nh, destination->ifindex);
	if (is_pending(destination, link))
		return;
	if (link && link->state == NETLINK_LINK_UP && link->link.has_mac && hop->valid) {
		now.resolved = true;
		now.nat_addr = destination->source;
		now.nexthop.ifindex = destination->ifindex;
		memcpy(now.nexthop.dst_mac, hop->mac, sizeof(hop->mac));
		memcpy(now.nexthop.src_mac, link->link.mac, sizeof(link->link.mac));
	}
	for (id = LIST_FIRST(&destination->ids); id; id = LIST_NEXT(id, siblings))
		id_tell(id, &now, events);
}

static void link_tell(const struct nh_link *link, const struct netlink_events *events)
{
	if (events->link_changed)
		events->link_changed(events->arg, link->link.ifindex, link->link.name, link->state);
}

static void links_tell(struct nexthops *nh, const struct netlink_events *events)
{
	size_t kept = 0;

	for (size_t i = 0; i < nh->link_count; i++) {
		if (nh->links[i].state != NETLINK_LINK_GONE)
			nh->links[kept++] = nh->links[i];
		else if (nh->links[i].told_name[0])
			link_tell(&nh->links[i], events);
	}
	nh->link_count = kept;
	for (size_t i = 0; i < nh->link_count; i++) {
		struct nh_link *link = &nh->links[i];

		if (link->state == link->told_state && !strcmp(link->link.name, link->told_name))
			continue;
		link->told_state = link->state;
		memcpy(link->told_name, link->link.name, sizeof(link->told_name));
		link_tell(link, events);
	}
}

void nexthops_tell(struct nexthops *nh, const struct netlink_events *events)
{
	struct nh_destination *destination;

	links_tell(nh, events);
	while ((destination = TAILQ_FIRST(&nh->tell))) {
		TAILQ_REMOVE(&nh->tell, destination, tell);
		destination->untold = false;
		destination_tell(nh, destination, events);
	}
}
