// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rules as the daemon hands them to the worker. It is our own document, so
 * anything amiss in it is refused as a whole: a rule half understood would send
 * strangers to the wrong pool.
 */
#include <jansson.h>
#include <string.h>

#include "base/alloc.h"
#include "sniff/rules.h"

static const char *const protocol_words[] = {
#define X(name, word, transports, help) word,
	XDPLB_PROTOCOLS(X)
#undef X
};

static json_t *strings_format(char *const *strings, size_t count)
{
	json_t *array;

	if (!strings)
		return json_null();
	array = json_array();
	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(array, json_string(strings[i])) != 0) {
			json_decref(array);
			return NULL;
		}
	return array;
}

static json_t *rule_format(const struct rule *rule)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:I, s:I}", "protocol",
			 protocol_words[rule->protocol], "names",
			 strings_format(rule->names, rule->name_count), "alpn",
			 strings_format(rule->alpn, rule->alpn_count), "patterns",
			 strings_format(rule->patterns, rule->pattern_count), "pool",
			 (json_int_t)rule->pool, "idle_ticks", (json_int_t)rule->idle_ticks);
}

static json_t *set_format(const struct rule_set *set)
{
	json_t *list = json_array();

	for (size_t i = 0; i < set->rule_count; i++)
		if (json_array_append_new(list, rule_format(&set->rules[i])) != 0) {
			json_decref(list);
			return NULL;
		}
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:b, s:o}", "service", (json_int_t)set->service,
			 "pool", (json_int_t)set->pool, "sniff_timeout_ms",
			 (json_int_t)set->sniff_timeout_ms, "idle_ticks_tcp",
			 (json_int_t)set->idle_ticks_tcp, "idle_ticks_udp",
			 (json_int_t)set->idle_ticks_udp, "keep_address", set->keep_address,
			 "rules", list);
}

char *rules_format(const struct rules *rules)
{
	json_t *list = json_array();
	char *text = NULL;
	bool whole = true;

	for (size_t i = 0; i < rules->count && whole; i++)
		whole = json_array_append_new(list, set_format(&rules->sets[i])) == 0;
	if (whole)
		text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	return text;
}

static bool number_parse(json_int_t number, uint32_t *to)
{
	*to = (uint32_t)number;
	return number >= 0 && number <= UINT32_MAX;
}

/* @count stands for what is already allocated, so that rules_free() fits at any time. */
static bool strings_parse(const json_t *array, char ***strings, size_t *count)
{
	if (json_is_null(array))
		return true;
	if (!json_is_array(array))
		return false;
	*strings = xcalloc(json_array_size(array) + 1, sizeof(**strings));
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *text = json_string_value(json_array_get(array, i));

		if (!text)
			return false;
		(*strings)[(*count)++] = xstrdup(text);
	}
	return true;
}

static bool protocol_parse(const char *word, enum xdplb_protocol *protocol)
{
	for (int i = XDPLB_PROTOCOL_NONE + 1; i < XDPLB_PROTOCOL_MAX; i++)
		if (strcmp(protocol_words[i], word) == 0) {
			*protocol = (enum xdplb_protocol)i;
			return true;
		}
	return false;
}

static bool patterns_compile(struct rule *rule)
{
	char why[128];
	size_t at;

	rule->compiled = xcalloc(rule->pattern_count + 1, sizeof(struct sniff_regex *));
	for (size_t i = 0; i < rule->pattern_count; i++) {
		rule->compiled[i] = regex_compile(rule->patterns[i], why, sizeof(why), &at);
		if (!rule->compiled[i])
			return false;
	}
	return true;
}

static bool rule_parse(json_t *from, struct rule *rule)
{
	json_t *names, *alpn, *patterns;
	json_int_t pool, idle;
	const char *protocol;

	return json_unpack(from, "{s:s, s:o, s:o, s:o, s:I, s:I!}", "protocol", &protocol, "names",
			   &names, "alpn", &alpn, "patterns", &patterns, "pool", &pool,
			   "idle_ticks", &idle) == 0 &&
	       protocol_parse(protocol, &rule->protocol) && number_parse(pool, &rule->pool) &&
	       number_parse(idle, &rule->idle_ticks) &&
	       strings_parse(names, &rule->names, &rule->name_count) &&
	       strings_parse(alpn, &rule->alpn, &rule->alpn_count) &&
	       strings_parse(patterns, &rule->patterns, &rule->pattern_count) &&
	       patterns_compile(rule);
}

static bool set_parse(json_t *from, struct rule_set *set)
{
	json_int_t service, pool, timeout, tcp, udp;
	json_t *list;
	int keep;

	if (json_unpack(from, "{s:I, s:I, s:I, s:I, s:I, s:b, s:o!}", "service", &service, "pool",
			&pool, "sniff_timeout_ms", &timeout, "idle_ticks_tcp", &tcp,
			"idle_ticks_udp", &udp, "keep_address", &keep, "rules", &list) != 0 ||
	    !json_is_array(list) || !number_parse(service, &set->service) ||
	    !number_parse(pool, &set->pool) || !number_parse(timeout, &set->sniff_timeout_ms) ||
	    !number_parse(tcp, &set->idle_ticks_tcp) || !number_parse(udp, &set->idle_ticks_udp))
		return false;
	set->keep_address = keep;
	set->rules = xcalloc(json_array_size(list) + 1, sizeof(*set->rules));
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!rule_parse(json_array_get(list, i), &set->rules[set->rule_count++]))
			return false;
	return true;
}

static bool sets_parse(const json_t *list, struct rules *rules)
{
	if (!json_is_array(list))
		return false;
	rules->sets = xcalloc(json_array_size(list) + 1, sizeof(*rules->sets));
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct rule_set *set = &rules->sets[rules->count++];

		if (!set_parse(json_array_get(list, i), set))
			return false;
		if (i && set->service <= set[-1].service)
			return false; /* rules_find() would miss it */
	}
	return true;
}

struct rules *rules_parse(const char *text, size_t len)
{
	json_t *list = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	struct rules *rules = xcalloc(1, sizeof(*rules));

	if (!sets_parse(list, rules)) {
		rules_free(rules);
		rules = NULL;
	}
	json_decref(list);
	return rules;
}
