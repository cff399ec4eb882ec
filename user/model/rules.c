// SPDX-License-Identifier: GPL-2.0-only
/* The routes of the configuration as the workers match them. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "model/state.h"
#include "sniff/rules.h"

static char **texts_copy(const struct cfg_texts *texts, size_t *count)
{
	char **copies = texts->count ? xcalloc(texts->count, sizeof(*copies)) : NULL;

	for (size_t i = 0; i < texts->count; i++)
		copies[i] = xstrdup(texts->texts[i].text);
	*count = texts->count;
	return copies;
}

static struct rule rule_render(const struct model *model, const struct cfg_route *route)
{
	const struct cfg_match *match = &route->match;
	bool is_http = match->protocol == XDPLB_PROTOCOL_HTTP;
	struct rule rule = { .protocol = match->protocol, .pool = model->pool_rows[route->pool] };

	if (route->idle_timeout_ms)
		rule.idle_ticks = ticks_of_ms(route->idle_timeout_ms);
	rule.names = texts_copy(is_http ? &match->hosts : &match->server_names, &rule.name_count);
	rule.alpn = texts_copy(&match->alpn, &rule.alpn_count);
	rule.patterns = texts_copy(&match->patterns, &rule.pattern_count);
	return rule;
}

static struct rule_set set_render(const struct model *model, size_t index)
{
	const struct cfg_service *service = &model->config->services[index];
	struct rule_set set = {
		.service = model->service_rows[index],
		.pool = RULES_NO_POOL,
		.sniff_timeout_ms = service->sniff_timeout_ms,
		.idle_ticks_tcp = service_idle_ticks(service, IPPROTO_TCP),
		.idle_ticks_udp = service_idle_ticks(service, IPPROTO_UDP),
		.keep_address = service->source == CFG_SOURCE_CLIENT,
		.rules = xcalloc(service->route_count, sizeof(*set.rules)),
		.rule_count = service->route_count,
	};

	if (service->pool != CFG_NO_POOL)
		set.pool = model->pool_rows[service->pool];
	for (size_t i = 0; i < service->route_count; i++)
		set.rules[i] = rule_render(model, &service->routes[i]);
	return set;
}

static int set_compare(const void *left, const void *right)
{
	const struct rule_set *a = left, *b = right;

	return (a->service > b->service) - (a->service < b->service);
}

struct rules *render_rules(const struct model *model)
{
	const struct config *config = model->config;
	struct rules *rules = xcalloc(1, sizeof(*rules));

	for (size_t i = 0; config && i < config->service_count; i++)
		if (config->services[i].route_count)
			*array_push(rules->sets, rules->count) = set_render(model, i);
	if (rules->count)
		qsort(rules->sets, rules->count, sizeof(*rules->sets), set_compare);
	return rules;
}
