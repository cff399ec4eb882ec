// SPDX-License-Identifier: GPL-2.0-only
/* What one value alone can't tell. Everything that may be many is sorted, never compared pairwise. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "config/load.h"

#include "xdplb/addr.h"

static int place_compare(struct cfg_place a, struct cfg_place b)
{
	if (a.line != b.line)
		return a.line < b.line ? -1 : 1;
	return (a.column > b.column) - (a.column < b.column);
}

/* ---- names of interfaces, pools, services */
struct named {
	const char *name;
	size_t index;
	struct cfg_place place;
};

static int named_compare(const void *left, const void *right)
{
	const struct named *a = left, *b = right;
	int by_name = strcmp(a->name, b->name);

	return by_name ? by_name : place_compare(a->place, b->place);
}

/* Sorts; false: @kind of one name is there twice. */
static bool names_check(struct loader *loader, const char *kind, struct named *names, size_t count)
{
	const struct named *twice = NULL;

	if (count)
		qsort(names, count, sizeof(*names), named_compare);
	for (size_t i = 1; i < count; i++)
		if (!strcmp(names[i].name, names[i - 1].name) &&
		    (!twice || place_compare(names[i].place, twice->place) < 0))
			twice = &names[i];
	return !twice || cfg_fail(loader, twice->place, "%s '%s' is given twice, first in line %u",
				  kind, twice->name, twice[-1].place.line);
}

static bool interfaces_check(struct loader *loader)
{
	const struct config *config = loader->config;
	auto_free struct named *names = xcalloc(config->interface_count, sizeof(*names));

	for (size_t i = 0; i < config->interface_count; i++)
		names[i] = (struct named){ config->interfaces[i].name, i,
					   config->interfaces[i].place };
	return names_check(loader, "interface", names, config->interface_count);
}

static bool services_check(struct loader *loader)
{
	const struct config *config = loader->config;
	auto_free struct named *names = xcalloc(config->service_count, sizeof(*names));

	for (size_t i = 0; i < config->service_count; i++)
		names[i] = (struct named){ config->services[i].name, i, config->services[i].place };
	return names_check(loader, "service", names, config->service_count);
}

static bool pool_missing(struct loader *loader, const struct pool_ref *ref)
{
	const struct config *config = loader->config;
	struct suggestion near = { .word = ref->name };

	for (size_t i = 0; i < config->pool_count; i++)
		suggest_offer(&near, config->pools[i].name);
	return cfg_fail(loader, ref->place, "pool: there is no pool '%s'%s", ref->name,
			suggest_text(&near).text);
}

static int named_find(const void *name, const void *named)
{
	return strcmp(name, ((const struct named *)named)->name);
}

static bool pools_check(struct loader *loader)
{
	const struct config *config = loader->config;
	auto_free struct named *names = xcalloc(config->pool_count, sizeof(*names));

	for (size_t i = 0; i < config->pool_count; i++)
		names[i] = (struct named){ config->pools[i].name, i, config->pools[i].place };
	if (!names_check(loader, "pool", names, config->pool_count))
		return false;
	for (size_t i = 0; i < loader->ref_count; i++) {
		const struct pool_ref *ref = &loader->refs[i];
		const struct named *found =
			bsearch(ref->name, names, config->pool_count, sizeof(*names), named_find);

		if (!found)
			return pool_missing(loader, ref);
		ref->service->pool = found->index;
	}
	return true;
}

/* ---- addresses and ports of backends and listeners */
struct endpoint {
	uint32_t group; /* backends: their pool; listeners: their protocol */
	uint32_t port;
	struct xdplb_addr addr;
	struct cfg_place place;
	const char *text; /* as configured */
	const char *owner; /* the pool or service */
};

static int endpoint_compare(const struct endpoint *a, const struct endpoint *b)
{
	if (a->group != b->group)
		return a->group < b->group ? -1 : 1;
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	return memcmp(&a->addr, &b->addr, sizeof(a->addr));
}

static int endpoint_order(const void *left, const void *right)
{
	const struct endpoint *a = left, *b = right;
	int by_value = endpoint_compare(a, b);

	return by_value ? by_value : place_compare(a->place, b->place);
}

static int endpoint_find(const void *left, const void *right)
{
	return endpoint_compare(left, right);
}

/* Sorts; the first endpoint of the file that is there twice, behind its twin, or NULL. */
static const struct endpoint *endpoints_twice(struct endpoint *endpoints, size_t count)
{
	const struct endpoint *twice = NULL;

	if (count)
		qsort(endpoints, count, sizeof(*endpoints), endpoint_order);
	for (size_t i = 1; i < count; i++)
		if (!endpoint_compare(&endpoints[i], &endpoints[i - 1]) &&
		    (!twice || place_compare(endpoints[i].place, twice->place) < 0))
			twice = &endpoints[i];
	return twice;
}

static bool listeners_check(struct loader *loader)
{
	const struct config *config = loader->config;
	size_t count = loader->counts[COUNT_LISTENERS], n = 0;
	auto_free struct endpoint *endpoints = xcalloc(count, sizeof(*endpoints));
	const struct endpoint *twice;

	for (size_t i = 0; i < config->service_count; i++) {
		const struct cfg_service *service = &config->services[i];

		for (size_t j = 0; j < service->listener_count; j++) {
			const struct cfg_listener *listener = &service->listeners[j];

			endpoints[n++] = (struct endpoint){ listener->proto, listener->port,
							    listener->addr,  listener->place,
							    listener->text,  service->name };
		}
	}
	twice = endpoints_twice(endpoints, n);
	return !twice || cfg_fail(loader, twice->place,
				  "listen: '%s' is given twice, first in line %u by service '%s'",
				  twice->text, twice[-1].place.line, twice[-1].owner);
}

/* A listener needs a backend of its family, and none may be the listener itself. */
static bool service_reaches(struct loader *loader, const struct cfg_service *service,
			    const struct endpoint *backends, size_t count)
{
	const struct cfg_pool *pool = &loader->config->pools[service->pool];
	bool has[XDPLB_FAMILIES] = { false, false };

	for (size_t i = 0; i < pool->backend_count && !(has[XDPLB_V4] && has[XDPLB_V6]); i++)
		has[xdplb_addr_is_ip4(&pool->backends[i].addr) ? XDPLB_V4 : XDPLB_V6] = true;
	for (size_t i = 0; i < service->listener_count; i++) {
		const struct cfg_listener *listener = &service->listeners[i];
		bool v4 = xdplb_addr_is_ip4(&listener->addr);
		struct endpoint self = { .group = (uint32_t)service->pool,
					 .port = listener->port,
					 .addr = listener->addr };

		if (!has[v4 ? XDPLB_V4 : XDPLB_V6])
			return cfg_fail(loader, listener->place,
					"listen: '%s' is %s, but pool '%s' has no such backend: "
					"add one or leave it out",
					quote(listener->text).text, v4 ? "IPv4" : "IPv6",
					pool->name);
		if (bsearch(&self, backends, count, sizeof(*backends), endpoint_find))
			return cfg_fail(loader, listener->place,
					"listen: '%s' is also a backend of pool '%s': connections "
					"would go round in circles",
					listener->text, pool->name);
	}
	return true;
}

static bool backends_check(struct loader *loader)
{
	const struct config *config = loader->config;
	size_t count = loader->counts[COUNT_BACKENDS], n = 0;
	auto_free struct endpoint *endpoints = xcalloc(count, sizeof(*endpoints));
	const struct endpoint *twice;

	for (size_t i = 0; i < config->pool_count; i++) {
		const struct cfg_pool *pool = &config->pools[i];

		for (size_t j = 0; j < pool->backend_count; j++) {
			const struct cfg_backend *backend = &pool->backends[j];

			endpoints[n++] = (struct endpoint){ (uint32_t)i,      backend->port,
							    backend->addr,    backend->place,
							    backend->address, pool->name };
		}
	}
	twice = endpoints_twice(endpoints, n);
	if (twice)
		return cfg_fail(loader, twice->place,
				"backend '%s' is given twice in pool '%s', first in line %u",
				twice->text, twice->owner, twice[-1].place.line);
	for (size_t i = 0; i < config->service_count; i++)
		if (!service_reaches(loader, &config->services[i], endpoints, n))
			return false;
	return true;
}

bool config_check(struct loader *loader)
{
	return interfaces_check(loader) && pools_check(loader) && services_check(loader) &&
	       listeners_check(loader) && backends_check(loader);
}

/* ---- checks of one mapping, as soon as it is read */
static size_t row_of(const struct mapping *mapping, const char *key)
{
	return (size_t)(field_find(mapping->fields, key) - mapping->fields);
}

bool top_check(struct loader *loader, const struct cfg_place *at, void *base)
{
	const struct config *config = base;

	if (!config->interface_count)
		cfg_warn(loader, at[row_of(&top_mapping, "interfaces")],
			 "interfaces: the list is empty: nothing is served before 'xdplb attach'");
	return true;
}

bool health_check(struct loader *loader, const struct cfg_place *at, void *base)
{
	const struct field *fields = health_mapping.fields;
	const struct cfg_health *health = base;

	if (health->type != CFG_HEALTH_TCP)
		return true;
	for (size_t i = 0; fields[i].type != FIELD_END; i++)
		if (at[i].line && fields[i].only)
			return cfg_fail(loader, at[i],
					"%s: belongs to 'type: %s', not to 'type: tcp'",
					fields[i].key, fields[i].only);
	return true;
}

static bool balance_has_table(uint32_t balance)
{
	return balance == XDPLB_MAGLEV || balance == XDPLB_SOURCE_IP ||
	       balance == XDPLB_SOURCE_SOCKET;
}

#define SLOTS_A_BACKEND 100 /* fewer, and shares are off by percents */

bool pool_check(struct loader *loader, const struct cfg_place *at, void *base)
{
	const struct cfg_place *table = &at[row_of(&pool_mapping, "table")];
	size_t count[XDPLB_FAMILIES] = { 0, 0 };
	const struct cfg_pool *pool = base;
	size_t most;

	for (size_t i = 0; i < pool->backend_count; i++)
		count[xdplb_addr_is_ip4(&pool->backends[i].addr) ? XDPLB_V4 : XDPLB_V6]++;
	most = count[XDPLB_V4] > count[XDPLB_V6] ? count[XDPLB_V4] : count[XDPLB_V6];
	if (balance_has_table(pool->balance) && most * SLOTS_A_BACKEND > pool->table)
		cfg_warn(loader, table->line ? *table : pool->place,
			 "pool '%s': a table of %u slots has under %d for each of %zu backends: "
			 "shares will be uneven%s",
			 pool->name, pool->table, SLOTS_A_BACKEND, most,
			 pool->table < XDPLB_MAX_SLOTS ? ", choose a larger one" : "");
	return true;
}
