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
		*ref->pool = found->index;
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
	return !twice || cfg_fail(loader, twice->place,
				  "backend '%s' is given twice in pool '%s', first in line %u",
				  twice->text, twice->owner, twice[-1].place.line);
}

bool config_check(struct loader *loader)
{
	return interfaces_check(loader) && pools_check(loader) && services_check(loader) &&
	       listeners_check(loader) && backends_check(loader) && services_reach(loader);
}

/* ---- checks of one mapping, as soon as it is read */
size_t row_of(const struct mapping *mapping, const char *key)
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

static bool word_in(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = strstr(words, word); at; at = strstr(at + 1, word))
		if ((at == words || at[-1] == ' ') && (!at[len] || at[len] == ' '))
			return true;
	return false;
}

struct quoted only_text(const struct mapping *mapping, const struct field *field,
			const char *quote_mark)
{
	struct quoted out = { "" };
	const char *word = field->only;
	size_t len = 0;

	while (*word && len < sizeof(out.text)) {
		int word_len = (int)strcspn(word, " ");

		len += (size_t)snprintf(out.text + len, sizeof(out.text) - len, "%s%s%s: %.*s%s",
					len ? " or " : "", quote_mark, mapping->kind, word_len,
					word, quote_mark);
		word += word_len + (word[word_len] == ' ');
	}
	return out;
}

bool only_check(struct loader *loader, const struct mapping *mapping, const struct cfg_place *at,
		const char *word)
{
	const struct field *fields = mapping->fields;

	for (size_t i = 0; fields[i].type != FIELD_END; i++)
		if (at[i].line && fields[i].only && !word_in(fields[i].only, word))
			return cfg_fail(loader, at[i], "%s: belongs to %s, not to '%s: %s'",
					fields[i].key, only_text(mapping, &fields[i], "'").text,
					mapping->kind, word);
	return true;
}

bool health_check(struct loader *loader, const struct cfg_place *at, void *base)
{
	const struct cfg_health *health = base;

	return health->type != CFG_HEALTH_TCP || only_check(loader, &health_mapping, at, "tcp");
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
