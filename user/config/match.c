// SPDX-License-Identifier: GPL-2.0-only
/* What a route asks of a client's first bytes: names, ALPN, patterns, and which go together. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "config/load.h"
#include "sniff/bytes.h"
#include "sniff/rules.h"

#define ALPN_BYTES 255

static unsigned transports_of(uint32_t protocol)
{
	static const uint8_t transports[] = {
#define X(name, word, over, help) [XDPLB_PROTOCOL_##name] = (over),
		XDPLB_PROTOCOLS(X)
#undef X
	};

	return protocol < XDPLB_PROTOCOL_MAX ? transports[protocol] : 0;
}

const char *protocol_word(uint32_t protocol)
{
	static const char *const words[] = {
#define X(name, word, over, help) [XDPLB_PROTOCOL_##name] = (word),
		XDPLB_PROTOCOLS(X)
#undef X
	};

	return protocol < XDPLB_PROTOCOL_MAX ? words[protocol] : words[0];
}

bool route_runs_over(const struct cfg_route *route, uint8_t proto)
{
	return transports_of(route->match.protocol) &
	       (proto == IPPROTO_TCP ? XDPLB_OVER_TCP : XDPLB_OVER_UDP);
}

bool listener_is_sniffed(const struct cfg_service *service, const struct cfg_listener *listener)
{
	for (size_t i = 0; i < service->route_count; i++)
		if (route_runs_over(&service->routes[i], listener->proto))
			return true;
	return false;
}

/* ---- values */
static bool text_add(struct loader *loader, const struct value *value, const struct field *field,
		     void *base, const char *text)
{
	struct cfg_texts *texts = (struct cfg_texts *)(void *)((char *)base + field->offset);

	if (texts->count == field->max)
		return cfg_fail(loader, value->place, "%s: there can be %u in a list at most",
				field->key, field->max);
	*array_push(texts->texts, texts->count) =
		(struct cfg_text){ .text = xstrdup(text), .place = value->place };
	return true;
}

/* "[2001:DB8::1]" as clients write it; false: it is none. */
static bool literal_parse(const char *text, char name[SNIFF_NAME_MAX])
{
	char inner[INET6_ADDRSTRLEN];
	size_t len = strlen(text);
	struct in6_addr addr;

	if (len < 4 || len - 2 >= sizeof(inner) || text[0] != '[' || text[len - 1] != ']')
		return false;
	memcpy(inner, text + 1, len - 2);
	inner[len - 2] = '\0';
	if (inet_pton(AF_INET6, inner, &addr) != 1)
		return false;
	inet_ntop(AF_INET6, &addr, inner, sizeof(inner));
	snprintf(name, SNIFF_NAME_MAX, "[%s]", inner);
	return true;
}

/* Why @text is not a name to compare with, or NULL, and *@name is how it is compared. */
static const char *name_trouble(const char *text, char name[SNIFF_NAME_MAX])
{
	const char *host = strncmp(text, "*.", 2) != 0 ? text : text + 2;

	if (!strcmp(text, "*"))
		return "would take any name: leave the key out for that";
	if (strchr(host, '*'))
		return "has a '*' where none can be: only in front, as in '*.b.example'";
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c >= 0x80)
			return "is not ASCII: write it as DNS has it (xn--...)";
	if (strstr(text, "://") || strchr(text, '/'))
		return "is a URL: the name alone belongs here";
	if (host[0] != '[' && strchr(host, ':'))
		return "has a port: names are compared without";
	if (!host_name((const uint8_t *)host, strlen(host), name))
		return "is not a host name";
	return NULL;
}

static bool name_add(struct loader *loader, const struct value *value, const struct field *field,
		     void *base)
{
	char name[SNIFF_NAME_MAX], whole[2 + SNIFF_NAME_MAX];
	const char *wrong = name_trouble(value->text, name);

	if (wrong)
		return cfg_fail(loader, value->place, "%s: '%s' %s", field->key,
				quote(value->text).text, wrong);
	snprintf(whole, sizeof(whole), "%s%s", value->text[0] == '*' ? "*." : "", name);
	return text_add(loader, value, field, base, whole);
}

bool parse_server_name(struct loader *loader, const struct value *value, const struct field *field,
		       void *base)
{
	char name[SNIFF_NAME_MAX];

	if (literal_parse(value->text, name) ||
	    (!name_trouble(value->text, name) && name_is_number(name)))
		return cfg_fail(loader, value->place,
				"%s: '%s' is an address: clients send names only (RFC 6066, 3)",
				field->key, quote(value->text).text);
	return name_add(loader, value, field, base);
}

bool parse_host(struct loader *loader, const struct value *value, const struct field *field,
		void *base)
{
	char name[SNIFF_NAME_MAX];

	if (literal_parse(value->text, name))
		return text_add(loader, value, field, base, name);
	return name_add(loader, value, field, base);
}

/* What HTTP is called by its users, but not on the wire (IANA, TLS ALPN protocol IDs). */
static const char *alpn_meant(const char *text)
{
	static const char *const pairs[][2] = {
		{ "http/2", "h2" },	{ "http2", "h2" },	   { "http/3", "h3" },
		{ "http3", "h3" },	{ "http/2.0", "h2" },	   { "h1", "http/1.1" },
		{ "http", "http/1.1" }, { "http1.1", "http/1.1" },
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (!strcasecmp(text, pairs[i][0]) || !strcasecmp(text, pairs[i][1]))
			return strcmp(text, pairs[i][1]) != 0 ? pairs[i][1] : NULL;
	return NULL;
}

bool parse_alpn(struct loader *loader, const struct value *value, const struct field *field,
		void *base)
{
	const char *meant = alpn_meant(value->text);
	size_t len = strlen(value->text);

	if (!len || len > ALPN_BYTES)
		return cfg_fail(loader, value->place, "%s: must have 1 to %d bytes, not %zu",
				field->key, ALPN_BYTES, len);
	if (meant)
		cfg_warn(loader, value->place, "%s: no client says '%s' (did you mean '%s'?)",
			 field->key, value->text, meant);
	return text_add(loader, value, field, base, value->text);
}

/* Where byte @at of @value is; its start, where that can't be told. */
static struct cfg_place value_place(const struct value *value, size_t at)
{
	struct cfg_place place = value->place;

	for (size_t i = 0; value->plain && i < at && value->text[i]; i++)
		place.column += ((unsigned char)value->text[i] & 0xc0) != 0x80;
	return place;
}

#define PATTERN_BYTES 1024

bool parse_pattern(struct loader *loader, const struct value *value, const struct field *field,
		   void *base)
{
	size_t len = strlen(value->text), at = 0;
	struct sniff_regex *regex;
	char why[128];

	if (!len || len > PATTERN_BYTES)
		return cfg_fail(loader, value->place, "%s: must have 1 to %d bytes, not %zu",
				field->key, PATTERN_BYTES, len);
	regex = regex_compile(value->text, why, sizeof(why), &at);
	if (!regex)
		return cfg_fail(loader, value_place(value, at), "%s: '%s': %s, at byte %zu",
				field->key, quote(value->text).text, why, at + 1);
	regex_free(regex);
	return text_add(loader, value, field, base, value->text);
}

/* ---- which keys go together */
static int text_compare(const void *left, const void *right)
{
	const struct cfg_text *const *a = left, *const *b = right;
	int order = strcmp((*a)->text, (*b)->text);

	return order ? order : (*a > *b) - (*a < *b);
}

static bool texts_check(struct loader *loader, const char *key, const struct cfg_texts *texts)
{
	auto_free const struct cfg_text **sorted = xcalloc(texts->count, sizeof(*sorted));
	const struct cfg_text *twice = NULL;

	for (size_t i = 0; i < texts->count; i++)
		sorted[i] = &texts->texts[i];
	if (texts->count)
		qsort(sorted, texts->count, sizeof(*sorted), text_compare);
	for (size_t i = 1; i < texts->count; i++)
		if (!strcmp(sorted[i]->text, sorted[i - 1]->text) && (!twice || sorted[i] < twice))
			twice = sorted[i];
	return !twice || cfg_fail(loader, twice->place, "%s: '%s' is given twice", key,
				  quote(twice->text).text);
}

bool match_check(struct loader *loader, const struct cfg_place *at, void *base)
{
	const struct field *fields = match_mapping.fields;
	struct cfg_match *match = base;

	match->place = at[row_of(&match_mapping, "protocol")];
	if (!only_check(loader, &match_mapping, at, protocol_word(match->protocol)))
		return false;
	if (match->protocol == XDPLB_PROTOCOL_REGEX && !match->patterns.count)
		return cfg_fail(
			loader, match->place,
			"key 'pattern' is missing: it says what 'protocol: regex' looks for");
	for (; fields->type != FIELD_END; fields++)
		if (fields->type != FIELD_WORD &&
		    !texts_check(loader, fields->key,
				 (const struct cfg_texts *)(const void *)((char *)base +
									  fields->offset)))
			return false;
	return true;
}

bool service_check(struct loader *loader, const struct cfg_place *at, void *base)
{
	const struct cfg_place *timeout = &at[row_of(&service_mapping, "sniff_timeout")];
	const struct cfg_place *routes = &at[row_of(&service_mapping, "routes")];
	const struct cfg_place *pool = &at[row_of(&service_mapping, "pool")];
	struct cfg_service *service = base;

	if (!pool->line)
		service->pool = CFG_NO_POOL;
	if (routes->line && !service->route_count)
		return cfg_fail(loader, *routes, "routes: the list is empty");
	if (!routes->line && timeout->line)
		return cfg_fail(loader, *timeout,
				"sniff_timeout: nothing is sniffed without 'routes': leave it out");
	if (!routes->line && !pool->line)
		return cfg_fail(loader, loader->mapping, "key 'pool' is missing");
	return true;
}
