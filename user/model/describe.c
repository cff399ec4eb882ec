// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a reload changed, for its reader. Plain values are compared by the rows
 * of the schema, so that a new key speaks for itself; lists by the key of their
 * elements. Nothing is decided by these lines: what is written follows from the plan.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "config/load.h"
#include "config/schema.h"
#include "model/model.h"

#include "xdplb/addr.h"

struct lines {
	char **text;
	size_t count;
};

/* xasprintf() into a new line. */
#define line_add(lines, ...) (*array_push((lines)->text, (lines)->count) = xasprintf(__VA_ARGS__))

static int line_compare(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Sorted, each with its end; frees @lines. */
static char *lines_join(struct lines *lines)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return xstrdup("");
	if (lines->count)
		qsort(lines->text, lines->count, sizeof(*lines->text), line_compare);
	for (size_t i = 0; i < lines->count; i++) {
		fprintf(out, "%s\n", lines->text[i]);
		free(lines->text[i]);
	}
	free(lines->text);
	fclose(out);
	return text ? text : xstrdup("");
}

/* ---- plain values, by the rows of the schema */

static const char *addr_text(const struct xdplb_addr *addr, char text[INET6_ADDRSTRLEN])
{
	if (xdplb_addr_is_ip4(addr))
		return inet_ntop(AF_INET, &addr->w[3], text, INET6_ADDRSTRLEN);
	return inet_ntop(AF_INET6, addr, text, INET6_ADDRSTRLEN);
}

static void numbers_text(FILE *out, const uint32_t *numbers, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		fprintf(out, "%s%u", i ? ", " : "", numbers[i]);
}

static void addrs_text(FILE *out, const struct xdplb_addr *addrs, size_t count)
{
	char text[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < count; i++)
		fprintf(out, "%s%s", i ? ", " : "", addr_text(&addrs[i], text));
}

static void word_text(FILE *out, const struct word *words, uint32_t value)
{
	for (; words->word; words++)
		if (!words->later && words->value == value)
			break;
	if (words->word)
		fputs(words->word, out);
	else
		fprintf(out, "%u", value);
}

static void pool_text(FILE *out, size_t pool, const struct config *config)
{
	fputs(pool == CFG_NO_POOL ? "none" : config->pools[pool].name, out);
}

static void texts_text(FILE *out, const struct cfg_texts *texts)
{
	for (size_t i = 0; i < texts->count; i++)
		fprintf(out, "%s%s", i ? ", " : "", quote(texts->texts[i].text).text);
}

/* The value of @field in the struct at @base, as a user would write it; @config holds it all. */
static void value_text(FILE *out, const struct field *field, const void *base,
		       const struct config *config)
{
	const void *member = (const char *)base + field->offset;
	const struct cfg_health *health = base;

	switch (field->type) {
	case FIELD_NUMBER:
		fprintf(out, "%u", *(const uint32_t *)member);
		break;
	case FIELD_DURATION:
		if (*(const uint32_t *)member || !field->left_out)
			fputs(duration_text(*(const uint32_t *)member).text, out);
		break;
	case FIELD_BOOL:
		fputs(*(const bool *)member ? "true" : "false", out);
		break;
	case FIELD_WORD:
		word_text(out, field->words, *(const uint32_t *)member);
		break;
	case FIELD_HTTP:
	case FIELD_URL_PATH:
	case FIELD_HTTP_HOST:
	case FIELD_TEXT:
		if (*(char *const *)member)
			fputs(quote(*(char *const *)member).text, out);
		break;
	case FIELD_NAT_ADDRESS:
		addrs_text(out, config->nat_addrs, config->nat_addr_count);
		break;
	case FIELD_NAT_PORTS:
		fprintf(out, "%u-%u", config->nat_port_min, config->nat_port_max);
		break;
	case FIELD_HTTP_STATUS:
		numbers_text(out, health->expect, health->expect_count);
		break;
	case FIELD_POOL:
		pool_text(out, *(const size_t *)member, config);
		break;
	case FIELD_SERVER_NAME:
	case FIELD_HOST:
	case FIELD_ALPN:
	case FIELD_PATTERN:
		texts_text(out, member);
		break;
	default: /* structure: compared by whoever knows its keys */
		break;
	}
}

static char *value_of(const struct field *field, const void *base, const struct config *config)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return xstrdup("");
	value_text(out, field, base, config);
	fclose(out);
	return text;
}

struct sides {
	const struct config *from, *to;
	struct lines lines;
};

static void plain_compare(struct sides *sides, const char *what, const struct field *field,
			  const void *from, const void *to)
{
	auto_free char *before = value_of(field, from, sides->from);
	auto_free char *after = value_of(field, to, sides->to);
	const char *none = field->left_out ? field->left_out : "none";
	const char *later = "";

	if (!strcmp(before, after))
		return;
	if (!strcmp(field->key, "flow_table"))
		later = " (changes at the next start)";
	line_add(&sides->lines, "%s%s %s -> %s%s", what, field->key, *before ? before : none,
		 *after ? after : none, later);
}

/* Every plain value in @mapping; @what leads its lines. */
static void mapping_compare(struct sides *sides, const char *what, const struct mapping *mapping,
			    const void *from, const void *to)
{
	for (const struct field *field = mapping->fields; field->type != FIELD_END; field++) {
		auto_free char *inner = NULL;

		if (field->type != FIELD_MAPPING) {
			plain_compare(sides, what, field, from, to);
			continue;
		}
		inner = xasprintf("%s%s ", what, field->key);
		mapping_compare(sides, inner, field->mapping, (const char *)from + field->offset,
				(const char *)to + field->offset);
	}
}

static const struct mapping *mapping_of(const struct mapping *mapping, const char *key)
{
	return field_find(mapping->fields, key)->mapping;
}

/* ---- lists: a merge walk over elements sorted by key */

typedef int compare_fn(const void *left, const void *right);

enum where {
	IN_FROM,
	IN_BOTH,
	IN_TO
};

/* Told of @element of one list or of both; @to: the same element as it is there. */
typedef void pair_fn(struct sides *sides, const void *outer, enum where where, const void *element,
		     const void *to);

struct list {
	const void *elements;
	size_t count, size;
};

static const void **list_sorted(const struct list *list, compare_fn *compare)
{
	const void **sorted = xcalloc(list->count, sizeof(*sorted));

	for (size_t i = 0; i < list->count; i++)
		sorted[i] = (const char *)list->elements + i * list->size;
	qsort(sorted, list->count, sizeof(*sorted), compare);
	return sorted;
}

static void lists_compare(struct sides *sides, const void *outer, const struct list *from,
			  const struct list *to, compare_fn *compare, pair_fn *pair)
{
	auto_free const void **left = list_sorted(from, compare);
	auto_free const void **right = list_sorted(to, compare);
	size_t l = 0, r = 0;

	while (l < from->count || r < to->count) {
		int order;

		if (l == from->count)
			order = 1;
		else
			order = r == to->count ? -1 : compare(&left[l], &right[r]);
		if (order < 0)
			pair(sides, outer, IN_FROM, left[l], NULL);
		else if (order > 0)
			pair(sides, outer, IN_TO, right[r], right[r]);
		else
			pair(sides, outer, IN_BOTH, left[l], right[r]);
		l += order <= 0;
		r += order >= 0;
	}
}

static int name_compare(const void *left, const void *right)
{
	return strcmp(**(char *const *const *)left, **(char *const *const *)right);
}

static int backend_compare(const void *left, const void *right)
{
	const struct cfg_backend *a = *(const void *const *)left, *b = *(const void *const *)right;
	int order = memcmp(&a->addr, &b->addr, sizeof(a->addr));

	return order ? order : (int)a->port - (int)b->port;
}

static int listener_compare(const void *left, const void *right)
{
	const struct cfg_listener *a = *(const void *const *)left, *b = *(const void *const *)right;
	int order = memcmp(&a->addr, &b->addr, sizeof(a->addr));

	if (order)
		return order;
	return a->port != b->port ? (int)a->port - (int)b->port : (int)a->proto - (int)b->proto;
}

/* A name stands first in whatever is listed under one. */
_Static_assert(offsetof(struct cfg_interface, name) == 0, "name_compare() reads the first member");
_Static_assert(offsetof(struct cfg_pool, name) == 0, "name_compare() reads the first member");
_Static_assert(offsetof(struct cfg_service, name) == 0, "name_compare() reads the first member");

static void interface_pair(struct sides *sides, const void *outer, enum where where,
			   const void *element, const void *to)
{
	const struct cfg_interface *interface = element;
	auto_free char *what = xasprintf("interface %s: ", interface->name);

	(void)outer;
	if (where != IN_BOTH)
		line_add(&sides->lines, "%s%s", what, where == IN_TO ? "added" : "removed");
	else
		mapping_compare(sides, what, mapping_of(&top_mapping, "interfaces"), element, to);
}

static void backend_pair(struct sides *sides, const void *outer, enum where where,
			 const void *element, const void *to)
{
	const struct cfg_pool *pool = outer;
	const struct cfg_backend *before = element, *after = to;

	if (where == IN_TO)
		line_add(&sides->lines, "pool %s: %s added, weight %u", pool->name, before->address,
			 before->weight);
	else if (where == IN_FROM)
		line_add(&sides->lines, "pool %s: %s removed, its flows go on", pool->name,
			 before->address);
	else if (before->weight != after->weight)
		line_add(&sides->lines, "pool %s: weight of %s %u -> %u", pool->name,
			 after->address, before->weight, after->weight);
}

static void backends_compare(struct sides *sides, const struct cfg_pool *from,
			     const struct cfg_pool *to)
{
	const struct list before = { from->backends, from->backend_count, sizeof(*from->backends) };
	const struct list after = { to->backends, to->backend_count, sizeof(*to->backends) };
	size_t lines = sides->lines.count;

	lists_compare(sides, to, &before, &after, backend_compare, backend_pair);
	if (to->balance != XDPLB_FIRST || lines != sides->lines.count)
		return;
	for (size_t i = 0; i < to->backend_count; i++) {
		const struct cfg_backend *a = &from->backends[i], *b = &to->backends[i];

		if (backend_compare(&a, &b) == 0)
			continue;
		line_add(&sides->lines, "pool %s: order of backends changed", to->name);
		return;
	}
}

static void pool_pair(struct sides *sides, const void *outer, enum where where, const void *element,
		      const void *to)
{
	const struct cfg_pool *pool = element;
	auto_free char *what = xasprintf("pool %s: ", pool->name);

	(void)outer;
	if (where != IN_BOTH) {
		line_add(&sides->lines, "%s%s (%zu backend%s)", what,
			 where == IN_TO ? "added" : "removed", pool->backend_count,
			 pool->backend_count == 1 ? "" : "s");
		return;
	}
	mapping_compare(sides, what, mapping_of(&top_mapping, "pools"), pool, to);
	backends_compare(sides, pool, to);
}

static void listener_pair(struct sides *sides, const void *outer, enum where where,
			  const void *element, const void *to)
{
	const struct cfg_service *service = outer;
	const struct cfg_listener *listener = element;

	(void)to;
	if (where != IN_BOTH)
		line_add(&sides->lines, "service %s: listener %s %s", service->name, listener->text,
			 where == IN_TO ? "added" : "removed");
}

/* ---- routes: an order that counts, so what is alike at both ends, and the rest in between */

/* What @route matches and where it leads, on one line. */
static char *route_text(const struct cfg_route *route, const struct config *config)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return xstrdup("");
	fputs(protocol_word(route->match.protocol), out);
	for (const struct field *field = match_mapping.fields; field->type != FIELD_END; field++) {
		auto_free char *value = value_of(field, &route->match, config);

		if (field->type != FIELD_WORD && *value)
			fprintf(out, " %s %s", field->key, value);
	}
	fprintf(out, " to pool %s", config->pools[route->pool].name);
	fclose(out);
	return text;
}

static void route_compare(struct sides *sides, const char *what, size_t number,
			  const struct cfg_route *from, const struct cfg_route *to)
{
	auto_free char *inner = xasprintf("%sroute %zu ", what, number);

	mapping_compare(sides, inner, mapping_of(&service_mapping, "routes"), from, to);
}

static bool routes_alike(const struct sides *sides, const struct cfg_route *from,
			 const struct cfg_route *to)
{
	struct sides probe = { .from = sides->from, .to = sides->to };
	auto_free char *lines = NULL;

	route_compare(&probe, "", 1, from, to);
	lines = lines_join(&probe.lines);
	return !*lines;
}

static void routes_compare(struct sides *sides, const char *what, const struct cfg_service *from,
			   const struct cfg_service *to)
{
	size_t first = 0, from_end = from->route_count, to_end = to->route_count;

	while (first < from_end && first < to_end &&
	       routes_alike(sides, &from->routes[first], &to->routes[first]))
		first++;
	while (first < from_end && first < to_end &&
	       routes_alike(sides, &from->routes[from_end - 1], &to->routes[to_end - 1])) {
		from_end--;
		to_end--;
	}
	for (; first < from_end && first < to_end; first++)
		route_compare(sides, what, first + 1, &from->routes[first], &to->routes[first]);
	for (size_t i = first; i < from_end; i++) {
		auto_free char *text = route_text(&from->routes[i], sides->from);

		line_add(&sides->lines, "%sroute %zu removed: %s", what, i + 1, text);
	}
	for (size_t i = first; i < to_end; i++) {
		auto_free char *text = route_text(&to->routes[i], sides->to);

		line_add(&sides->lines, "%sroute %zu added: %s", what, i + 1, text);
	}
}

static void service_pair(struct sides *sides, const void *outer, enum where where,
			 const void *element, const void *to)
{
	const struct cfg_service *service = element, *after = to;
	auto_free char *what = xasprintf("service %s: ", service->name);
	struct list old, new;

	(void)outer;
	if (where != IN_BOTH) {
		line_add(&sides->lines, "%s%s (%zu listener%s)", what,
			 where == IN_TO ? "added" : "removed, its flows go on",
			 service->listener_count, service->listener_count == 1 ? "" : "s");
		return;
	}
	mapping_compare(sides, what, &service_mapping, service, to);
	routes_compare(sides, what, service, after);
	old = (struct list){ service->listeners, service->listener_count,
			     sizeof(*service->listeners) };
	new = (struct list){ after->listeners, after->listener_count, sizeof(*after->listeners) };
	lists_compare(sides, service, &old, &new, listener_compare, listener_pair);
}

static void configs_compare(struct sides *sides)
{
	const struct config *from = sides->from, *to = sides->to;
	const struct list old[] = {
		{ from->interfaces, from->interface_count, sizeof(*from->interfaces) },
		{ from->pools, from->pool_count, sizeof(*from->pools) },
		{ from->services, from->service_count, sizeof(*from->services) },
	};
	const struct list new[] = {
		{ to->interfaces, to->interface_count, sizeof(*to->interfaces) },
		{ to->pools, to->pool_count, sizeof(*to->pools) },
		{ to->services, to->service_count, sizeof(*to->services) },
	};
	pair_fn *const pairs[] = { interface_pair, pool_pair, service_pair };

	mapping_compare(sides, "", &top_mapping, from, to);
	if (from->has_hash_seed != to->has_hash_seed ||
	    (to->has_hash_seed &&
	     memcmp(from->hash_seed, to->hash_seed, sizeof(to->hash_seed)) != 0))
		line_add(&sides->lines, "hash_seed changed (changes at the next start)");
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		lists_compare(sides, NULL, &old[i], &new[i], name_compare, pairs[i]);
}

/* Without an earlier configuration to compare with: how far the maps were from this one. */
static void plan_count(const struct plan *plan, struct lines *lines)
{
	size_t set = 0, tables = 0, deleted = 0;

	for (size_t i = 0; i < plan->count; i++) {
		switch (plan->steps[i].kind) {
		case PLAN_TABLE_SWAP:
			tables++;
			break;
		case PLAN_SERVICE_DELETE:
		case PLAN_POOL_DELETE:
		case PLAN_BACKEND_DELETE:
			deleted++;
			break;
		default:
			set++;
		}
	}
	if (plan->count)
		line_add(lines, "maps: %zu rows set, %zu tables swapped, %zu rows deleted", set,
			 tables, deleted);
}

char *plan_describe(const struct plan *plan, const struct config *from, const struct config *to)
{
	struct sides sides = { .from = from, .to = to };

	if (from && to)
		configs_compare(&sides);
	else
		plan_count(plan, &sides.lines);
	return lines_join(&sides.lines);
}
