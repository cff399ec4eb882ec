// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sockets and the event loop around nexthop.c. Notifications only mark
 * what is in doubt; one pass per turn of the loop asks the kernel about all of it.
 */
#include "dataplane/netlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <event2/event.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "dataplane/internal.h"
#include "dataplane/nexthop.h"
#include "dataplane/rtnl.h"

#define NEIGHBOUR_RETRY_S 1 /* between attempts to reach one that does not answer */
#define NEIGHBOUR_RENEW 5 /* as many of these for one that the kernel does not keep resolved */
#define NOTIFICATIONS_BYTES (4 << 20)
#define ASK_SHARE 10 /* asking for routes takes at most one part in so many of the thread's time */
#define ASK_PAUSE_MAX_NS 2000000000U

struct netlink {
	struct netlink_events events;
	struct nexthops nh;
	struct mnl_socket *socket; /* notifications */
	struct event *readable, *pass, *timer;
	uint64_t ask_after_ns; /* no routes are asked for before */
	uint32_t seconds;
	bool resync; /* notifications were lost, or nothing was read yet */
	bool told_full; /* that the neighbour table is full */
	struct rtnl rtnl; /* requests */
	/* Who asked, by index of the batch. */
	struct nh_destination *destinations[RTNL_BATCH];
	struct nh_hop *hops[RTNL_BATCH];
	char buffer[65536];
};

static void pass_soon(struct netlink *nl)
{
	const struct timeval now = { 0 };

	if (!evtimer_pending(nl->pass, NULL))
		evtimer_add(nl->pass, &now);
}

/* ---- asking: routes */

static void route_answer(void *arg, uint32_t index, const struct nlmsghdr *message, int error)
{
	struct netlink *nl = arg;
	struct nh_destination *destination = nl->destinations[index];
	struct rtnl_route route;

	(void)error; /* there is no route, whatever the reason */
	nl->destinations[index] = NULL;
	if (!destination)
		return;
	if (message && rtnl_parse_route(message, &route))
		nexthops_route(&nl->nh, destination, &route);
	else
		nexthops_route(&nl->nh, destination, NULL);
}

/* Empties the queue; what gets no answer stays in it for the next time. False: some did not. */
static bool routes_ask(struct netlink *nl)
{
	struct nh_destination *destination;
	bool complete = true;

	while (complete && !TAILQ_EMPTY(&nl->nh.ask)) {
		uint32_t count = 0;

		while (count < RTNL_BATCH && (destination = TAILQ_FIRST(&nl->nh.ask))) {
			TAILQ_REMOVE(&nl->nh.ask, destination, ask);
			destination->unasked = false;
			nl->destinations[count++] = destination;
			rtnl_ask_route(&nl->rtnl, &destination->addr);
		}
		rtnl_run(&nl->rtnl, route_answer, nl);
		for (uint32_t i = 0; i < count; i++) {
			destination = nl->destinations[i];
			if (!destination)
				continue;
			complete = false;
			destination->unasked = true;
			TAILQ_INSERT_TAIL(&nl->nh.ask, destination, ask);
		}
	}
	return complete;
}

/* ---- asking: neighbours */

static void neighbour_answer(void *arg, uint32_t index, const struct nlmsghdr *message, int error)
{
	static const struct rtnl_neighbour none;
	struct netlink *nl = arg;
	struct rtnl_neighbour neighbour;

	(void)error; /* not known to the kernel yet */
	if (message && rtnl_parse_neighbour(message, &neighbour))
		nexthops_neighbour(&nl->nh, nl->hops[index], &neighbour);
	else
		nexthops_neighbour(&nl->nh, nl->hops[index], &none);
}

static void use_answer(void *arg, uint32_t index, const struct nlmsghdr *message, int error)
{
	struct netlink *nl = arg;

	(void)message;
	if (!error || LIST_EMPTY(&nl->hops[index]->destinations))
		return;
	nexthops_hop_failed(&nl->nh, nl->hops[index]);
	if (error == -ENOBUFS && !nl->told_full)
		log_warn("the kernel's neighbour table is full: backends stay unreachable; raise "
			 "net.ipv4.neigh.default.gc_thresh3 (and net.ipv6)");
	nl->told_full |= error == -ENOBUFS;
}

/* Entries that somebody made static are left alone: using them would undo that. */
static bool is_static(const struct nh_hop *hop)
{
	return hop->state & (NUD_PERMANENT | NUD_NOARP);
}

static bool link_is_up(const struct netlink *nl, uint32_t ifindex)
{
	const struct nh_link *link = nexthops_link(&nl->nh, ifindex);

	return link && link->state == NETLINK_LINK_UP && link->link.has_mac;
}

struct use {
	struct netlink *nl;
	uint32_t count;
	bool renew; /* also those that answer, but are not kept resolved */
};

static void use_flush(struct use *use)
{
	rtnl_run(&use->nl->rtnl, use_answer, use->nl);
	use->count = 0;
}

static void hop_use(struct use *use, struct nh_hop *hop, bool managed)
{
	use->nl->hops[use->count++] = hop;
	rtnl_use_neighbour(&use->nl->rtnl, hop->ifindex, &hop->addr, managed);
	if (use->count == RTNL_BATCH)
		use_flush(use);
}

/*
 * Hops that are new, changed or no longer used. The kernel's entry is read
 * first: one that is static or already kept is not touched.
 */
static void hops_ask(struct netlink *nl, struct nh_hop *const *hops, uint32_t count)
{
	struct use use = { .nl = nl };

	for (uint32_t i = 0; i < count; i++) {
		nl->hops[i] = hops[i];
		rtnl_ask_neighbour(&nl->rtnl, hops[i]->ifindex, &hops[i]->addr);
	}
	rtnl_run(&nl->rtnl, neighbour_answer, nl);
	for (uint32_t i = 0; i < count; i++) {
		struct nh_hop *hop = hops[i];
		bool used = !LIST_EMPTY(&hop->destinations);

		if (used && !hop->managed && !is_static(hop) && link_is_up(nl, hop->ifindex))
			hop_use(&use, hop, true);
		else if (!used && hop->managed && hop->ours)
			hop_use(&use, hop, false);
	}
	use_flush(&use);
	for (uint32_t i = 0; i < count; i++)
		if (LIST_EMPTY(&hops[i]->destinations))
			nexthops_hop_free(&nl->nh, hops[i]);
}

static void hops_settle(struct netlink *nl)
{
	while (!TAILQ_EMPTY(&nl->nh.queue)) {
		struct nh_hop *hops[RTNL_BATCH], *hop;
		uint32_t count = 0;

		while (count < RTNL_BATCH && (hop = TAILQ_FIRST(&nl->nh.queue))) {
			TAILQ_REMOVE(&nl->nh.queue, hop, queue);
			hop->queued = false;
			hops[count++] = hop;
		}
		hops_ask(nl, hops, count);
	}
}

/* Every second: neighbours that do not answer are tried again, those of old kernels kept in use. */
static void hop_renew(void *arg, struct nh_hop *hop)
{
	struct use *use = arg;
	bool lost = !hop->valid && !(hop->state & NUD_INCOMPLETE);

	if (LIST_EMPTY(&hop->destinations) || is_static(hop) || !link_is_up(use->nl, hop->ifindex))
		return;
	if (lost || (use->renew && !hop->managed))
		hop_use(use, hop, true);
}

/* ---- notifications */

static void link_visit(void *arg, const struct nlmsghdr *message)
{
	struct netlink *nl = arg;
	struct rtnl_link link;

	if (rtnl_parse_link(message, &link))
		nexthops_link_set(&nl->nh, &link, message->nlmsg_type == RTM_DELLINK);
}

static void neighbour_visit(struct netlink *nl, const struct nlmsghdr *message)
{
	struct rtnl_neighbour neighbour;
	struct nh_hop *hop;

	if (!rtnl_parse_neighbour(message, &neighbour))
		return;
	hop = nexthops_hop(&nl->nh, neighbour.ifindex, &neighbour.addr);
	if (!hop)
		return;
	if (message->nlmsg_type == RTM_NEWNEIGH)
		nexthops_neighbour(&nl->nh, hop, &neighbour);
	/* Deleted, or no longer kept: what was known is good until asking anew fails. */
	if (message->nlmsg_type == RTM_DELNEIGH || (hop->ours && !hop->managed))
		nexthops_hop_queue(&nl->nh, hop);
}

static void message_visit(struct netlink *nl, const struct nlmsghdr *message)
{
	struct rtnl_route route;

	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		link_visit(nl, message);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		neighbour_visit(nl, message);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (rtnl_parse_route(message, &route))
			nexthops_doubt(&nl->nh, &route);
		break;
	case RTM_NEWADDR: /* the choice of source addresses */
	case RTM_DELADDR:
	case RTM_NEWRULE:
	case RTM_DELRULE:
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		nexthops_doubt(&nl->nh, NULL);
		break;
	default:
		break;
	}
}

static void hop_queue_visit(void *arg, struct nh_hop *hop)
{
	nexthops_hop_queue(arg, hop);
}

/* Reads anew all that notifications told of. False: to be tried again. */
static bool resync(struct netlink *nl)
{
	for (size_t i = 0; i < nl->nh.link_count; i++)
		nl->nh.links[i].seen = false;
	if (rtnl_dump(&nl->rtnl, RTM_GETLINK, link_visit, nl))
		return false;
	for (size_t i = 0; i < nl->nh.link_count; i++) {
		const struct rtnl_link gone = nl->nh.links[i].link;

		if (!nl->nh.links[i].seen)
			nexthops_link_set(&nl->nh, &gone, true);
	}
	nexthops_each_hop(&nl->nh, hop_queue_visit, &nl->nh);
	nexthops_doubt(&nl->nh, NULL);
	return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct netlink *nl = arg;

	(void)fd;
	(void)what;
	for (int reads = 0; reads < 256; reads++) { /* then others of the loop have their turn */
		ssize_t len = mnl_socket_recvfrom(nl->socket, nl->buffer, sizeof(nl->buffer));
		const struct nlmsghdr *message = (const void *)nl->buffer;
		int left = (int)len;

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0 && errno == ENOBUFS) {
			log_info("netlink: notifications were lost, reading everything anew");
			nl->resync = true;
			continue;
		}
		if (len <= 0)
			break;
		for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
			message_visit(nl, message);
	}
	pass_soon(nl);
}

/* ---- passes */

static void on_pass(evutil_socket_t fd, short what, void *arg)
{
	struct netlink *nl = arg;
	uint64_t start_ns = clock_now_ns();

	(void)fd;
	(void)what;
	if (nl->resync)
		nl->resync = !resync(nl);
	if (start_ns >= nl->ask_after_ns && !TAILQ_EMPTY(&nl->nh.ask)) {
		uint64_t pause_ns;

		routes_ask(nl);
		pause_ns = (clock_now_ns() - start_ns) * ASK_SHARE;
		if (pause_ns > ASK_PAUSE_MAX_NS)
			pause_ns = ASK_PAUSE_MAX_NS;
		nl->ask_after_ns = start_ns + pause_ns;
	}
	hops_settle(nl);
	nexthops_tell(&nl->nh, &nl->events);
	if (nl->resync || !TAILQ_EMPTY(&nl->nh.ask)) {
		uint64_t now_ns = clock_now_ns();
		uint64_t wait_us = 10000;
		struct timeval wait = { 0 };

		if (nl->ask_after_ns > now_ns)
			wait_us = (nl->ask_after_ns - now_ns) / 1000 + 1;
		wait.tv_sec = (time_t)(wait_us / 1000000);
		wait.tv_usec = (suseconds_t)(wait_us % 1000000);
		evtimer_add(nl->pass, &wait);
	}
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct netlink *nl = arg;
	struct use use = { .nl = nl, .renew = nl->seconds++ % NEIGHBOUR_RENEW == 0 };

	(void)fd;
	(void)what;
	nexthops_each_hop(&nl->nh, hop_renew, &use);
	use_flush(&use);
	if (!TAILQ_EMPTY(&nl->nh.tell))
		pass_soon(nl);
}

/* ---- the outside */

static int socket_open(struct netlink *nl)
{
	static const int groups[] = { RTNLGRP_LINK,	   RTNLGRP_NEIGH,      RTNLGRP_IPV4_IFADDR,
				      RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
				      RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE };
	int nexthop_group = RTNLGRP_NEXTHOP;
	int size = NOTIFICATIONS_BYTES;
	int fd;

	nl->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!nl->socket)
		return -errno;
	fd = mnl_socket_get_fd(nl->socket);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)); /* losses are mended */
	if (mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID))
		return -errno;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		int group = groups[i];

		if (mnl_socket_setsockopt(nl->socket, NETLINK_ADD_MEMBERSHIP, &group,
					  sizeof(group)))
			return -errno;
	}
	/* Kernels before 5.3 have no nexthop objects. */
	mnl_socket_setsockopt(nl->socket, NETLINK_ADD_MEMBERSHIP, &nexthop_group,
			      sizeof(nexthop_group));
	return 0;
}

int netlink_open(struct event_base *base, const struct netlink_events *events, struct netlink **nl,
		 struct dp_error *err)
{
	const struct timeval second = { .tv_sec = NEIGHBOUR_RETRY_S };
	struct netlink *new = xcalloc(1, sizeof(*new));
	int ret;

	new->events = *events;
	new->resync = true;
	nexthops_init(&new->nh);
	ret = socket_open(new); /* first, so that nothing is missed between reading and listening */
	if (!ret)
		ret = rtnl_open(&new->rtnl);
	if (ret) {
		netlink_close(new);
		return dp_fail(err, ret, "opening a netlink socket: %s", strerror(-ret));
	}
	new->readable = event_new(base, mnl_socket_get_fd(new->socket), EV_READ | EV_PERSIST,
				  on_readable, new);
	new->pass = evtimer_new(base, on_pass, new);
	new->timer = event_new(base, -1, EV_PERSIST, on_timer, new);
	if (!new->readable || !new->pass || !new->timer || event_add(new->readable, NULL) ||
	    event_add(new->timer, &second)) {
		netlink_close(new);
		return dp_fail(err, -ENOMEM, "the event loop takes no netlink socket");
	}
	new->resync = !resync(new);
	pass_soon(new);
	*nl = new;
	return 0;
}

void netlink_close(struct netlink *nl)
{
	if (!nl)
		return;
	if (nl->readable)
		event_free(nl->readable);
	if (nl->pass)
		event_free(nl->pass);
	if (nl->timer)
		event_free(nl->timer);
	if (nl->socket)
		mnl_socket_close(nl->socket);
	rtnl_close(&nl->rtnl);
	nexthops_free(&nl->nh);
	free(nl);
}

void netlink_track(struct netlink *nl, uint32_t id, const struct xdplb_addr *addr)
{
	nexthops_track(&nl->nh, id, addr);
	pass_soon(nl);
}

void netlink_untrack(struct netlink *nl, uint32_t id)
{
	nexthops_untrack(&nl->nh, id);
	pass_soon(nl);
}

void netlink_each_link(const struct netlink *nl,
		       bool (*visit)(void *arg, uint32_t ifindex, const char *name,
				     enum netlink_link_state state),
		       void *arg)
{
	for (size_t i = 0; i < nl->nh.link_count; i++) {
		const struct nh_link *link = &nl->nh.links[i];

		if (link->state != NETLINK_LINK_GONE &&
		    !visit(arg, link->link.ifindex, link->link.name, link->state))
			return;
	}
}

static void local_answer(void *arg, uint32_t index, const struct nlmsghdr *message, int error)
{
	bool *local = arg;
	struct rtnl_route route;

	(void)index;
	(void)error;
	*local = message && rtnl_parse_route(message, &route) && route.type == RTN_LOCAL;
}

bool netlink_is_local(struct netlink *nl, const struct xdplb_addr *addr)
{
	bool local = false;

	rtnl_ask_route(&nl->rtnl, addr);
	rtnl_run(&nl->rtnl, local_answer, &local);
	return local;
}
