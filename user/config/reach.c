// SPDX-License-Identifier: GPL-2.0-only
/*
 * What listeners reach: pools with backends of their family, by routes that run
 * over their transport and that no earlier route makes idle.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "config/load.h"

#include "xdplb/addr.h"

struct own { /* a backend */
	size_t pool;
	struct xdplb_addr addr;
	uint32_t port;
};

struct reach {
	struct loader *loader;
	const struct config *config;
	uint8_t *families; /* by pool: 1 << family where it has backends of it */
	struct own *owns; /* sorted */
	size_t own_count;
};

static int own_compare(const void *left, const void *right)
{
	const struct own *a = left, *b = right;

	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	return memcmp(&a->addr, &b->addr, sizeof(a->addr));
}

static int own_order(const void *left, const void *right)
{
	const struct own *a = left, *b = right;
	int order = own_compare(a, b);

	return order ? order : (a->pool > b->pool) - (a->pool < b->pool);
}

static enum xdplb_family family_of(const struct xdplb_addr *addr)
{
	return xdplb_addr_is_ip4(addr) ? XDPLB_V4 : XDPLB_V6;
}

static const char *family_name(enum xdplb_family family)
{
	return family == XDPLB_V4 ? "IPv4" : "IPv6";
}

static void reach_gather(struct reach *reach)
{
	const struct config *config = reach->config;

	reach->families = xcalloc(config->pool_count, sizeof(*reach->families));
	reach->owns = xcalloc(reach->loader->counts[COUNT_BACKENDS], sizeof(*reach->owns));
	for (size_t i = 0; i < config->pool_count; i++) {
		const struct cfg_pool *pool = &config->pools[i];

		for (size_t j = 0; j < pool->backend_count; j++) {
			const struct cfg_backend *backend = &pool->backends[j];

			reach->families[i] |= (uint8_t)(1U << family_of(&backend->addr));
			reach->owns[reach->own_count++] =
				(struct own){ i, backend->addr, backend->port };
		}
	}
	if (reach->own_count)
		qsort(reach->owns, reach->own_count, sizeof(*reach->owns), own_order);
}

/* ---- one listener of a service */

/* None may be a backend of a pool that it leads to: few are one of any pool. */
static bool own_find(const struct reach *reach, const struct cfg_listener *listener, size_t pool,
		     int (*compare)(const void *left, const void *right))
{
	struct own self = { pool, listener->addr, listener->port };

	return bsearch(&self, reach->owns, reach->own_count, sizeof(*reach->owns), compare);
}

static bool circle_check(const struct reach *reach, const struct cfg_listener *listener,
			 size_t pool)
{
	if (pool == CFG_NO_POOL || !own_find(reach, listener, pool, own_order))
		return true;
	return cfg_fail(reach->loader, listener->place,
			"listen: '%s' is also a backend of pool '%s': connections would go round "
			"in circles",
			listener->text, reach->config->pools[pool].name);
}

static bool circles_check(const struct reach *reach, const struct cfg_service *service,
			  const struct cfg_listener *listener)
{
	if (!own_find(reach, listener, 0, own_compare))
		return true;
	for (size_t i = 0; i < service->route_count; i++)
		if (route_runs_over(&service->routes[i], listener->proto) &&
		    !circle_check(reach, listener, service->routes[i].pool))
			return false;
	return circle_check(reach, listener, service->pool);
}

/* A listener of a service without routes, or of one none of whose routes runs over it. */
static bool plain_check(const struct reach *reach, const struct cfg_service *service,
			const struct cfg_listener *listener)
{
	enum xdplb_family family = family_of(&listener->addr);

	if (service->pool == CFG_NO_POOL)
		return cfg_fail(reach->loader, listener->place,
				"listen: '%s' leads nowhere: no route runs over %s, and there is "
				"no 'pool'; add one or leave it out",
				quote(listener->text).text,
				listener->proto == IPPROTO_TCP ? "TCP" : "UDP");
	if (!(reach->families[service->pool] >> family & 1))
		return cfg_fail(reach->loader, listener->place,
				"listen: '%s' is %s, but pool '%s' has no such backend: "
				"add one or leave it out",
				quote(listener->text).text, family_name(family),
				reach->config->pools[service->pool].name);
	return circles_check(reach, service, listener);
}

static bool sniffed_check(const struct reach *reach, const struct cfg_service *service,
			  const struct cfg_listener *listener, uint8_t families)
{
	enum xdplb_family family = family_of(&listener->addr);

	if (!(families >> family & 1))
		return cfg_fail(reach->loader, listener->place,
				"listen: '%s' is %s, but no pool that it leads to has such a "
				"backend: add one or leave it out",
				quote(listener->text).text, family_name(family));
	return circles_check(reach, service, listener);
}

/* ---- a service: its listeners and routes by transport, so that none meets all others */
static const uint8_t transports[] = { IPPROTO_TCP, IPPROTO_UDP };

#define TRANSPORTS (sizeof(transports) / sizeof(transports[0]))

struct ways {
	const struct cfg_listener *listeners[TRANSPORTS][XDPLB_FAMILIES]; /* the first of each */
	uint8_t families[TRANSPORTS]; /* of all pools that can be reached */
	bool sniffed[TRANSPORTS];
};

static void ways_gather(const struct reach *reach, const struct cfg_service *service,
			struct ways *ways)
{
	for (size_t t = 0; t < TRANSPORTS; t++) {
		if (service->pool != CFG_NO_POOL)
			ways->families[t] = reach->families[service->pool];
		for (size_t i = 0; i < service->route_count; i++) {
			if (!route_runs_over(&service->routes[i], transports[t]))
				continue;
			ways->families[t] |= reach->families[service->routes[i].pool];
			ways->sniffed[t] = true;
		}
	}
	for (size_t i = service->listener_count; i-- > 0;) {
		const struct cfg_listener *listener = &service->listeners[i];

		ways->listeners[listener->proto != transports[0]][family_of(&listener->addr)] =
			listener;
	}
}

/* Clients of @listener's family come to a pool without: told once a family and route. */
static void route_warn(const struct reach *reach, const struct cfg_route *route,
		       const struct cfg_listener *listener, uint8_t *told)
{
	enum xdplb_family family = family_of(&listener->addr);

	if ((reach->families[route->pool] | *told) >> family & 1)
		return;
	*told |= (uint8_t)(1U << family);
	cfg_warn(reach->loader, route->place,
		 "routes: pool '%s' has no %s backend for clients of '%s': they are refused",
		 reach->config->pools[route->pool].name, family_name(family),
		 quote(listener->text).text);
}

static bool route_check(const struct reach *reach, const struct cfg_service *service,
			const struct ways *ways, const struct cfg_route *route)
{
	bool tcp = route_runs_over(route, IPPROTO_TCP), runs = false;
	uint8_t told = 0;

	for (size_t t = 0; t < TRANSPORTS; t++) {
		for (size_t f = 0; f < XDPLB_FAMILIES; f++) {
			const struct cfg_listener *listener = ways->listeners[t][f];

			if (!listener || !route_runs_over(route, transports[t]))
				continue;
			runs = true;
			route_warn(reach, route, listener, &told);
		}
	}
	return runs || cfg_fail(reach->loader, route->match.place,
				"protocol: '%s' runs over %s, but service '%s' has no %s:// "
				"listener: add one or leave the route out",
				protocol_word(route->match.protocol), tcp ? "TCP" : "UDP",
				service->name, tcp ? "tcp" : "udp");
}

/* What no route matches, in a family that its pool does not have. */
static void default_warn(const struct reach *reach, const struct cfg_service *service)
{
	uint8_t told = service->pool == CFG_NO_POOL ? UINT8_MAX : reach->families[service->pool];

	for (size_t i = 0; i < service->listener_count; i++) {
		const struct cfg_listener *listener = &service->listeners[i];
		enum xdplb_family family = family_of(&listener->addr);

		if (told >> family & 1)
			continue;
		told |= (uint8_t)(1U << family);
		cfg_warn(reach->loader, listener->place,
			 "listen: '%s' is %s, but pool '%s' has no such backend: clients that no "
			 "route matches are refused",
			 quote(listener->text).text, family_name(family),
			 reach->config->pools[service->pool].name);
	}
}

static bool service_reaches(const struct reach *reach, const struct cfg_service *service)
{
	struct ways ways = { 0 };

	ways_gather(reach, service, &ways);
	for (size_t i = 0; i < service->route_count; i++)
		if (!route_check(reach, service, &ways, &service->routes[i]))
			return false;
	for (size_t i = 0; i < service->listener_count; i++) {
		const struct cfg_listener *listener = &service->listeners[i];
		size_t t = listener->proto != transports[0];

		if (!(ways.sniffed[t] ? sniffed_check(reach, service, listener, ways.families[t]) :
					plain_check(reach, service, listener)))
			return false;
	}
	if (service->route_count) {
		default_warn(reach, service);
		routes_cover(reach->loader, service);
	}
	return true;
}

bool services_reach(struct loader *loader)
{
	struct reach reach = { .loader = loader, .config = loader->config };
	bool ok = true;

	reach_gather(&reach);
	for (size_t i = 0; ok && i < loader->config->service_count; i++)
		ok = service_reaches(&reach, &loader->config->services[i]);
	free(reach.families);
	free(reach.owns);
	return ok;
}
