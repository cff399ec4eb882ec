// SPDX-License-Identifier: GPL-2.0-only
/* Messages into structs: pure. */
#include "dataplane/rtnl.h"

#include "xdplb/addr.h"

#include <string.h>
#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <libmnl/libmnl.h>

/* 4 bytes or 16 of an attribute; false: neither. */
static bool addr_read(const void *bytes, size_t len, struct xdplb_addr *addr)
{
	struct xdplb_addr read = { { 0, 0, htonl(0xffff), 0 } };

	if (len == 4)
		memcpy(&read.w[3], bytes, 4);
	else if (len == 16)
		memcpy(read.w, bytes, 16);
	else
		return false;
	*addr = read;
	return true;
}

static bool attr_addr(const struct nlattr *attr, struct xdplb_addr *addr)
{
	return addr_read(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr), addr);
}

static bool attr_mac(const struct nlattr *attr, uint8_t mac[6])
{
	if (mnl_attr_get_payload_len(attr) != 6)
		return false;
	memcpy(mac, mnl_attr_get_payload(attr), 6);
	return true;
}

static bool attr_u32(const struct nlattr *attr, uint32_t *value)
{
	if (mnl_attr_get_payload_len(attr) < sizeof(*value))
		return false;
	*value = mnl_attr_get_u32(attr);
	return true;
}

/* The header behind that of netlink, if it is there. */
static const void *body_of(const struct nlmsghdr *message, size_t size)
{
	return mnl_nlmsg_get_payload_len(message) < size ? NULL : mnl_nlmsg_get_payload(message);
}

/* The attribute behind @attr, or the first one behind a body of @size; NULL: none. */
static const struct nlattr *attr_next(const struct nlmsghdr *message, size_t size,
				      const struct nlattr *attr)
{
	const struct nlattr *next = attr ? mnl_attr_next(attr) :
					   mnl_nlmsg_get_payload_offset(message, size);
	const char *end = (const char *)message + message->nlmsg_len;
	ptrdiff_t left = end - (const char *)next;

	return left > 0 && mnl_attr_ok(next, (int)left) ? next : NULL;
}

bool rtnl_parse_link(const struct nlmsghdr *message, struct rtnl_link *link)
{
	const struct ifinfomsg *info = body_of(message, sizeof(*info));
	struct rtnl_link read = { 0 };
	const struct nlattr *attr = NULL;

	if (message->nlmsg_type != RTM_NEWLINK && message->nlmsg_type != RTM_DELLINK)
		return false;
	if (!info || info->ifi_family != AF_UNSPEC || info->ifi_index <= 0)
		return false;
	read.ifindex = (uint32_t)info->ifi_index;
	read.up = info->ifi_flags & IFF_UP && info->ifi_flags & IFF_RUNNING;
	while ((attr = attr_next(message, sizeof(*info), attr))) {
		uint16_t len = mnl_attr_get_payload_len(attr);

		if (mnl_attr_get_type(attr) == IFLA_IFNAME)
			memcpy(read.name, mnl_attr_get_payload(attr), len < 15 ? len : 15);
		else if (mnl_attr_get_type(attr) == IFLA_ADDRESS && info->ifi_type == ARPHRD_ETHER)
			read.has_mac = attr_mac(attr, read.mac);
	}
	*link = read;
	return read.name[0];
}

bool rtnl_parse_neighbour(const struct nlmsghdr *message, struct rtnl_neighbour *neighbour)
{
	const struct ndmsg *info = body_of(message, sizeof(*info));
	struct rtnl_neighbour read = { 0 };
	const struct nlattr *attr = NULL;
	bool has_addr = false;
	uint32_t flags = 0;

	if (message->nlmsg_type != RTM_NEWNEIGH && message->nlmsg_type != RTM_DELNEIGH)
		return false;
	if (!info || (info->ndm_family != AF_INET && info->ndm_family != AF_INET6) ||
	    info->ndm_flags & NTF_PROXY)
		return false;
	read.ifindex = (uint32_t)info->ndm_ifindex;
	read.state = info->ndm_state;
	while ((attr = attr_next(message, sizeof(*info), attr))) {
		switch (mnl_attr_get_type(attr)) {
		case NDA_DST:
			has_addr = attr_addr(attr, &read.addr);
			break;
		case NDA_LLADDR:
			read.has_mac = attr_mac(attr, read.mac);
			break;
		case NDA_FLAGS_EXT:
			read.managed = attr_u32(attr, &flags) && flags & NTF_EXT_MANAGED;
			break;
		case NDA_PROTOCOL:
			read.ours = mnl_attr_get_payload_len(attr) == 1 &&
				    mnl_attr_get_u8(attr) == RTNL_OUR_PROTOCOL;
			break;
		default:
			break;
		}
	}
	if (has_addr)
		*neighbour = read;
	return has_addr;
}

/* A gateway of another family than the route's. */
static bool attr_via(const struct nlattr *attr, struct xdplb_addr *addr)
{
	const struct rtvia *via = mnl_attr_get_payload(attr);
	size_t len = mnl_attr_get_payload_len(attr);

	return len > sizeof(*via) && addr_read(via->rtvia_addr, len - sizeof(*via), addr);
}

static bool route_attr(const struct nlattr *attr, struct rtnl_route *route)
{
	switch (mnl_attr_get_type(attr)) {
	case RTA_DST:
		return attr_addr(attr, &route->dst);
	case RTA_GATEWAY:
		route->has_gateway = true;
		return attr_addr(attr, &route->gateway);
	case RTA_VIA:
		route->has_gateway = true;
		return attr_via(attr, &route->gateway);
	case RTA_PREFSRC:
		return attr_addr(attr, &route->source);
	case RTA_OIF:
		return attr_u32(attr, &route->ifindex);
	case RTA_ENCAP:
		route->encap = true;
		return true;
	default:
		return true;
	}
}

bool rtnl_parse_route(const struct nlmsghdr *message, struct rtnl_route *route)
{
	const struct rtmsg *info = body_of(message, sizeof(*info));
	struct rtnl_route read = { 0 };
	const struct nlattr *attr = NULL;

	if (message->nlmsg_type != RTM_NEWROUTE && message->nlmsg_type != RTM_DELROUTE)
		return false;
	if (!info || (info->rtm_family != AF_INET && info->rtm_family != AF_INET6))
		return false;
	read.family = info->rtm_family;
	read.type = info->rtm_type;
	read.prefix_len = info->rtm_dst_len;
	if (read.family == AF_INET)
		read.dst.w[2] = htonl(0xffff);
	while ((attr = attr_next(message, sizeof(*info), attr))) {
		if (!route_attr(attr, &read))
			return false;
	}
	*route = read;
	return true;
}

bool rtnl_route_covers(const struct rtnl_route *route, const struct xdplb_addr *addr)
{
	unsigned int bits = route->prefix_len + (route->family == AF_INET ? 96U : 0U);

	if (xdplb_addr_is_ip4(addr) != (route->family == AF_INET))
		return false;
	for (unsigned int i = 0; i < 4 && 32 * i < bits; i++) {
		unsigned int rest = bits - 32 * i;
		uint32_t mask = rest < 32 ? ~(0xffffffffU >> rest) : 0xffffffffU;

		if ((addr->w[i] ^ route->dst.w[i]) & htonl(mask))
			return false;
	}
	return true;
}
