/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_DATAPLANE_RTNL_H
#define XDPLB_DATAPLANE_RTNL_H

/*
 * Rtnetlink in two halves. Messages into structs and structs into messages:
 * pure. And a socket for requests that the kernel answers at once: many travel
 * in one datagram, and the answers lie ready when sending returns.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/rtnetlink.h>

#include "xdplb/abi.h"

struct mnl_socket;

/* Stands in NDA_PROTOCOL of neighbours that xdplb keeps resolved, so that the next daemon knows them. */
#define RTNL_OUR_PROTOCOL 88 /* nobody else's in /etc/iproute2/rt_protos */

/* ---- messages */

struct rtnl_link {
	uint32_t ifindex;
	char name[16];
	bool up; /* and has a carrier */
	bool has_mac; /* an Ethernet address: others cannot be redirected to */
	uint8_t mac[6];
};

struct rtnl_neighbour {
	uint32_t ifindex;
	struct xdplb_addr addr;
	uint16_t state; /* NUD_* */
	bool has_mac;
	uint8_t mac[6];
	bool managed; /* the kernel keeps it resolved */
	bool ours; /* it bears our protocol number */
};

struct rtnl_route {
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t type; /* RTN_* */
	uint8_t prefix_len; /* of dst: 0 .. 32 or 0 .. 128 */
	bool encap; /* into a tunnel that XDP does not know */
	uint32_t ifindex;
	struct xdplb_addr dst;
	bool has_gateway;
	struct xdplb_addr gateway; /* may be IPv6 where dst is IPv4 */
	struct xdplb_addr source; /* all zero: none */
};

/* False: not such a message, malformed, or of no concern (a bridge's view of its ports). */
bool rtnl_parse_link(const struct nlmsghdr *message, struct rtnl_link *link);
bool rtnl_parse_neighbour(const struct nlmsghdr *message, struct rtnl_neighbour *neighbour);
bool rtnl_parse_route(const struct nlmsghdr *message, struct rtnl_route *route);

/* Does @addr lie in the prefix of @route? */
bool rtnl_route_covers(const struct rtnl_route *route, const struct xdplb_addr *addr);

/* ---- requests */

#define RTNL_BATCH 64

struct rtnl {
	struct mnl_socket *socket;
	uint32_t seq; /* of the first request of the batch */
	uint32_t count;
	size_t used;
	char out[RTNL_BATCH * 128]; /* a request is smaller than that */
	char in[32768];
};

int rtnl_open(struct rtnl *rtnl);
void rtnl_close(struct rtnl *rtnl);

/* Each adds a request to the batch, of at most RTNL_BATCH. */
void rtnl_ask_route(struct rtnl *rtnl, const struct xdplb_addr *dst);
void rtnl_ask_neighbour(struct rtnl *rtnl, uint32_t ifindex, const struct xdplb_addr *addr);
/* Has it resolved now, and from now on if @managed (kernels from 5.16 on); false takes that back. */
void rtnl_use_neighbour(struct rtnl *rtnl, uint32_t ifindex, const struct xdplb_addr *addr,
			bool managed);

/*
 * Sends the batch and calls @answer for the request with each @index in turn:
 * @message, or NULL and an error (0: done, no message was due). An answer may
 * be missing when this returns: the socket's buffer was full.
 */
typedef void rtnl_answer_fn(void *arg, uint32_t index, const struct nlmsghdr *message, int error);
int rtnl_run(struct rtnl *rtnl, rtnl_answer_fn *answer, void *arg);

/* All objects of a kind (RTM_GETLINK, RTM_GETNEIGH). -EINTR: they changed meanwhile, ask again. */
int rtnl_dump(struct rtnl *rtnl, uint16_t type,
	      void (*visit)(void *arg, const struct nlmsghdr *message), void *arg);

#endif /* XDPLB_DATAPLANE_RTNL_H */
