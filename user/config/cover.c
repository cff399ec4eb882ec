// SPDX-License-Identifier: GPL-2.0-only
/*
 * Routes that never come into play, because earlier ones of their service take
 * all that they would: for warnings. Names are looked up, never compared pairwise.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "config/load.h"
#include "sniff/sniff.h"

#define ROUTES_OF_A_NAME 32 /* that differ in ALPN only; those behind are not looked at */

/* "Of this protocol and name, or of any name (""), route @route takes something." */
struct taken {
	uint32_t protocol;
	const char *name;
	size_t route;
};

struct cover {
	struct loader *loader;
	const struct cfg_service *service;
	struct taken *taken; /* sorted */
	size_t count;
};

static int key_compare(const struct taken *a, const struct taken *b)
{
	if (a->protocol != b->protocol)
		return a->protocol < b->protocol ? -1 : 1;
	return strcmp(a->name, b->name);
}

static int taken_compare(const void *left, const void *right)
{
	const struct taken *a = left, *b = right;
	int order = key_compare(a, b);

	return order ? order : (a->route > b->route) - (a->route < b->route);
}

/* What tells routes of one protocol apart: names, hosts or patterns. */
static const struct cfg_texts *route_names(const struct cfg_route *route)
{
	switch (route->match.protocol) {
	case XDPLB_PROTOCOL_HTTP:
		return &route->match.hosts;
	case XDPLB_PROTOCOL_REGEX:
		return &route->match.patterns;
	default:
		return &route->match.server_names; /* others have none */
	}
}

static void cover_gather(struct cover *cover)
{
	const struct cfg_service *service = cover->service;
	size_t room = 0;

	for (size_t i = 0; i < service->route_count; i++)
		room += 1 + route_names(&service->routes[i])->count;
	cover->taken = xcalloc(room, sizeof(*cover->taken));
	for (size_t i = 0; i < service->route_count; i++) {
		const struct cfg_texts *names = route_names(&service->routes[i]);
		uint32_t protocol = service->routes[i].match.protocol;

		if (!names->count)
			cover->taken[cover->count++] = (struct taken){ protocol, "", i };
		for (size_t j = 0; j < names->count; j++)
			cover->taken[cover->count++] =
				(struct taken){ protocol, names->texts[j].text, i };
	}
	qsort(cover->taken, cover->count, sizeof(*cover->taken), taken_compare);
}

static bool texts_have(const struct cfg_texts *texts, const char *text)
{
	for (size_t i = 0; i < texts->count; i++)
		if (!strcmp(texts->texts[i].text, text))
			return true;
	return false;
}

/* Does whatever has one of @inner have one of @outer? Longer lists are not looked at. */
static bool alpn_within(const struct cfg_texts *inner, const struct cfg_texts *outer)
{
	if (!outer->count)
		return true;
	if (!inner->count || inner->count > outer->count || outer->count > ROUTES_OF_A_NAME)
		return false;
	for (size_t i = 0; i < inner->count; i++)
		if (!texts_have(outer, inner->texts[i].text))
			return false;
	return true;
}

/* The first route before @route that takes all of @name as it stands there; @route: none. */
static size_t key_taker(const struct cover *cover, size_t route, const char *name)
{
	const struct cfg_route *routes = cover->service->routes;
	struct taken key = { routes[route].match.protocol, name, 0 };
	size_t low = 0, high = cover->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (taken_compare(&cover->taken[middle], &key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t tries = 0; low < cover->count && tries < ROUTES_OF_A_NAME; low++, tries++) {
		const struct taken *taken = &cover->taken[low];

		if (key_compare(taken, &key) != 0 || taken->route >= route)
			break;
		if (alpn_within(&routes[route].match.alpn, &routes[taken->route].match.alpn))
			return taken->route;
	}
	return route;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* The same, also where that route says "*.b.example" or nothing of names. */
static size_t name_taker(const struct cover *cover, size_t route, const char *name)
{
	size_t first = smaller(key_taker(cover, route, ""), key_taker(cover, route, name));
	const char *dot = strchr(name[0] == '*' ? name + 2 : name, '.');
	char wildcard[2 + SNIFF_NAME_MAX];

	if (!name[0] || cover->service->routes[route].match.protocol == XDPLB_PROTOCOL_REGEX)
		return first;
	for (; dot; dot = strchr(dot + 1, '.')) {
		snprintf(wildcard, sizeof(wildcard), "*%s", dot);
		first = smaller(first, key_taker(cover, route, wildcard));
	}
	return first;
}

static const char *names_key(const struct cfg_route *route)
{
	switch (route->match.protocol) {
	case XDPLB_PROTOCOL_HTTP:
		return "host";
	case XDPLB_PROTOCOL_REGEX:
		return "pattern";
	default:
		return "server_name";
	}
}

/* All of @route's names are taken: the last by @last, and if @alone all of them. */
static void route_tell(const struct cover *cover, size_t route, size_t last, bool alone)
{
	const struct cfg_route *routes = cover->service->routes;

	cfg_warn(cover->loader, routes[route].place,
		 "routes: route %zu of service '%s' is never reached: %s %zu, in line %u, take%s "
		 "what it would; put it in front or leave it out",
		 route + 1, cover->service->name, alone ? "route" : "those up to route", last + 1,
		 routes[last].place.line, alone ? "s" : "");
}

static void route_cover(const struct cover *cover, size_t route)
{
	const struct cfg_route *routes = cover->service->routes;
	const struct cfg_texts *names = route_names(&routes[route]);
	size_t count = names->count ? names->count : 1, taken = 0, last = 0;
	bool alone = true;
	auto_free size_t *takers = xcalloc(count, sizeof(*takers));

	for (size_t i = 0; i < count; i++) {
		takers[i] = name_taker(cover, route, names->count ? names->texts[i].text : "");
		taken += takers[i] < route;
		last = takers[i] > last ? takers[i] : last;
		alone = alone && takers[i] == takers[0];
	}
	if (taken == count) {
		route_tell(cover, route, last, alone);
		return;
	}
	for (size_t i = 0; taken && i < names->count; i++)
		if (takers[i] < route)
			cfg_warn(cover->loader, names->texts[i].place,
				 "%s: '%s' is never reached here: route %zu, in line %u, takes it",
				 names_key(&routes[route]), quote(names->texts[i].text).text,
				 takers[i] + 1, routes[takers[i]].place.line);
}

void routes_cover(struct loader *loader, const struct cfg_service *service)
{
	struct cover cover = { .loader = loader, .service = service };

	cover_gather(&cover);
	for (size_t i = 1; i < service->route_count; i++)
		route_cover(&cover, i);
	free(cover.taken);
}
