/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_CONFIG_LOAD_H
#define XDPLB_CONFIG_LOAD_H

/*
 * What the parts of user/config share while a file is read: the loader's state,
 * values with their place, and how an error or a warning is written. Lives as
 * long as one call of config_parse().
 */
#include "config/schema.h"

struct pool_ref {
	size_t *pool; /* becomes its index */
	char *name;
	struct cfg_place place;
};

struct loader {
	const char *file;
	struct config *config; /* being built */
	struct cfg_error *err;
	struct cfg_place mapping; /* where what is being checked starts */
	uint32_t counts[COUNTERS];
	struct pool_ref *refs; /* pools named by services and routes, before they are resolved */
	size_t ref_count;
};

/* A plain value: valid UTF-8 without a NUL inside. */
struct value {
	const char *text;
	struct cfg_place place;
	bool plain; /* byte N of it stands N columns behind its place */
};

/* Writes "FILE:LINE:COLUMN: ..." into loader->err; evaluates to false. */
#define cfg_fail(...) (cfg_error_set(__VA_ARGS__), false)
__attribute__((format(printf, 3, 4))) void
cfg_error_set(struct loader *loader, struct cfg_place place, const char *format, ...);

__attribute__((format(printf, 3, 4))) void cfg_warn(struct loader *loader, struct cfg_place place,
						    const char *format, ...);

/* Counts one more of what @field holds; fails at @place beyond its capacity. */
bool cfg_count(struct loader *loader, const struct field *field, struct cfg_place place);

/* @text for a message of one line: cut where long, control characters escaped. */
struct quoted {
	char text[96];
};
struct quoted quote(const char *text);

/* "did you mean": offer candidates, then print suggest_text(), which may be empty. */
struct suggestion {
	const char *word;
	const char *best; /* NULL: nothing near */
	size_t distance;
};
void suggest_offer(struct suggestion *suggestion, const char *candidate);
struct quoted suggest_text(const struct suggestion *suggestion);

/* value.c, address.c and match.c: @value into the member of @field in @base. */
typedef bool value_parser(struct loader *loader, const struct value *value,
			  const struct field *field, void *base);
value_parser value_parse;
value_parser parse_http, parse_nat_address, parse_nat_ports, parse_backend, parse_listener;
value_parser parse_server_name, parse_host, parse_alpn, parse_pattern;

/* A decimal number without sign, leading zero or anything behind it. */
bool u32_parse(const char *text, uint32_t *number);

/* A duration as a user would write it: 90000 is "90s". */
struct quoted duration_text(uint32_t ms);

bool name_check(struct loader *loader, const char *kind, const struct value *value);

/* check.c: what one value alone can't tell: names, duplicates, references, families. */
bool config_check(struct loader *loader);
bool top_check(struct loader *loader, const struct cfg_place *at, void *base);
bool health_check(struct loader *loader, const struct cfg_place *at, void *base);
bool pool_check(struct loader *loader, const struct cfg_place *at, void *base);

/* match.c: the same of what a route asks for. */
bool match_check(struct loader *loader, const struct cfg_place *at, void *base);
bool service_check(struct loader *loader, const struct cfg_place *at, void *base);

/* Of @mapping's rows, where @key stands. */
size_t row_of(const struct mapping *mapping, const char *key);

/* Fails where a key is given that does not belong to @word of @mapping's kind. */
bool only_check(struct loader *loader, const struct mapping *mapping, const struct cfg_place *at,
		const char *word);

/* Writes the words of @field->only, each as FORMAT of kind and word, "or" between them. */
struct quoted only_text(const struct mapping *mapping, const struct field *field,
			const char *quote_mark);

/* reach.c: what listeners reach: pools of their family and transport, routes that come into play. */
bool services_reach(struct loader *loader);

/* cover.c: warns of routes that earlier ones make idle. */
void routes_cover(struct loader *loader, const struct cfg_service *service);

#endif /* XDPLB_CONFIG_LOAD_H */
