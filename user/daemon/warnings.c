// SPDX-License-Identifier: GPL-2.0-only
/* What is no error and yet will not work as hoped. Looked up when asked for: the host changes too. */
#include "daemon/state.h"

#include <errno.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/endpoint.h"
#include "xdplb/endian.h"

#define PORT_RANGE "/proc/sys/net/ipv4/ip_local_port_range"
#define MAX_VIP_WARNINGS 16

struct warnings {
	char **list;
	size_t count;
};

__attribute__((format(printf, 2, 3))) static void warn(struct warnings *warnings,
						       const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	*array_push(warnings->list, warnings->count) = xstrdup(text);
}

/* A port that this host opened itself and one that we reserve would meet at the same backend. */
static void ports_check(const struct config *config, struct warnings *warnings)
{
	auto_file FILE *file = fopen(PORT_RANGE, "re");
	char text[64], *end;
	unsigned long low, high;

	if (!file || !fgets(text, sizeof(text), file))
		return;
	low = strtoul(text, &end, 10);
	high = strtoul(end, NULL, 10);
	if (config->nat_port_min <= high && low <= config->nat_port_max)
		warn(warnings,
		     "nat.ports %u-%u overlaps the ports of the host's own connections, "
		     "net.ipv4.ip_local_port_range %lu-%lu: choose ranges apart",
		     config->nat_port_min, config->nat_port_max, low, high);
}

static int addr_order(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct xdplb_addr));
}

static struct xdplb_addr *vips_list(const struct config *config, size_t *count)
{
	struct xdplb_addr *vips;
	size_t found = 0, kept = 0;

	for (size_t i = 0; i < config->service_count; i++)
		found += config->services[i].listener_count;
	vips = xcalloc(found, sizeof(*vips));
	found = 0;
	for (size_t i = 0; i < config->service_count; i++) {
		for (size_t j = 0; j < config->services[i].listener_count; j++)
			vips[found++] = config->services[i].listeners[j].addr;
	}
	qsort(vips, found, sizeof(*vips), addr_order);
	for (size_t i = 0; i < found; i++) {
		if (!kept || addr_order(&vips[kept - 1], &vips[i]))
			vips[kept++] = vips[i];
	}
	*count = kept;
	return vips;
}

static bool is_covered(const struct xdplb_addr *addr, const struct ifaddrs *by)
{
	const struct in6_addr *net =
		&((const struct sockaddr_in6 *)(const void *)by->ifa_addr)->sin6_addr;
	const struct in6_addr *mask =
		&((const struct sockaddr_in6 *)(const void *)by->ifa_netmask)->sin6_addr;

	for (int i = 0; i < 4; i++) {
		if ((addr->w[i] ^ net->s6_addr32[i]) & mask->s6_addr32[i])
			return false;
	}
	return true;
}

/*
 * Neighbours of which interface would ask for @vip in vain? The kernel answers
 * solicitations only for the addresses of the interface they come in on, so not
 * for one on lo. ARP knows no such rule, and no interface covers a mapped IPv4 address.
 */
static bool vip_unanswered(const struct xdplb_addr *vip, const struct ifaddrs *row,
			   char name[IFNAMSIZ])
{
	bool on_link = false, answered = false;

	for (; row; row = row->ifa_next) {
		if (!row->ifa_addr || !row->ifa_netmask || row->ifa_addr->sa_family != AF_INET6 ||
		    row->ifa_flags & IFF_LOOPBACK || !is_covered(vip, row))
			continue;
		on_link = true;
		snprintf(name, IFNAMSIZ, "%s", row->ifa_name);
		answered |= !memcmp(
			vip, &((const struct sockaddr_in6 *)(const void *)row->ifa_addr)->sin6_addr,
			sizeof(*vip));
	}
	return on_link && !answered;
}

static void vips_check(struct daemon *d, const struct config *config, struct warnings *warnings)
{
	size_t count, said = 0;
	auto_free struct xdplb_addr *vips = vips_list(config, &count);
	struct ifaddrs *host = NULL;

	if (getifaddrs(&host))
		log_debug("getifaddrs: %s", strerror(errno));
	for (size_t i = 0; i < count && said < MAX_VIP_WARNINGS; i++) {
		char text[ENDPOINT_LEN], name[IFNAMSIZ];
		bool local = netlink_is_local(d->netlink, &vips[i]);

		if (local && !vip_unanswered(&vips[i], host, name))
			continue;
		address_format(&vips[i], text);
		if (local)
			warn(warnings,
			     "VIP %s is on the link of %s, whose neighbours get no answer for an "
			     "IPv6 address of another interface: ip addr add %s/128 dev %s",
			     text, name, text, name);
		else
			warn(warnings,
			     "VIP %s is not an address of this host: clients need a route to it, "
			     "nobody answers for it on the link",
			     text);
		said++;
	}
	freeifaddrs(host);
}

static bool attached_at(const struct daemon *d, uint32_t ifindex)
{
	for (size_t i = 0; i < d->interface_count; i++) {
		if (d->interfaces[i].attached && d->interfaces[i].ifindex == ifindex)
			return true;
	}
	return false;
}

/* Replies come in where packets go out; once an interface is enough. */
static void replies_check(const struct daemon *d, struct warnings *warnings)
{
	auto_free uint32_t *told = NULL;
	size_t count = 0, known;

	for (size_t i = 0; i < d->written.backend_count; i++) {
		const struct xdplb_backend *row = &d->written.backends[i].row;
		char text[ENDPOINT_LEN], name[IFNAMSIZ];

		if (!row->nexthop.ifindex || attached_at(d, row->nexthop.ifindex))
			continue;
		for (known = 0; known < count && told[known] != row->nexthop.ifindex;)
			known++;
		if (known < count || !if_indextoname(row->nexthop.ifindex, name))
			continue;
		*array_push(told, count) = row->nexthop.ifindex;
		endpoint_format(&row->addr, (uint16_t)from_be16(row->port), text);
		warn(warnings,
		     "backend %s is reached through %s, where xdplb is not attached and would not "
		     "see its replies: add it to interfaces",
		     text, name);
	}
}

static void flow_table_check(struct daemon *d, const struct config *config,
			     struct warnings *warnings)
{
	uint32_t rows = dataplane_flow_table(d->dp);

	if (rows != config->flow_table)
		warn(warnings, "flow_table: %u are in use, %u from the next start on", rows,
		     config->flow_table);
}

char **daemon_warnings(struct daemon *d, size_t *count)
{
	const struct config *config = model_config(d->model);
	struct warnings warnings = { 0 };

	for (size_t i = 0; i < config->warning_count; i++)
		warn(&warnings, "%s", config->warnings[i]);
	ports_check(config, &warnings);
	flow_table_check(d, config, &warnings);
	vips_check(d, config, &warnings);
	replies_check(d, &warnings);
	*count = warnings.count;
	return warnings.list;
}

void warnings_free(char **warnings, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(warnings[i]);
	free(warnings);
}

void daemon_log_warnings(struct daemon *d)
{
	size_t count;
	char **warnings = daemon_warnings(d, &count);

	for (size_t i = 0; i < count; i++)
		log_warn("%s", warnings[i]);
	warnings_free(warnings, count);
}
