// SPDX-License-Identifier: GPL-2.0-only
#include "sniff/rules.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool name_matches(const char *pattern, const char *name)
{
	size_t pattern_len = strlen(pattern), len = strlen(name);

	if (strncmp(pattern, "*.", 2) != 0)
		return len && strcasecmp(pattern, name) == 0;
	/* A label at least in front of the dot, which belongs to what must be the same. */
	return len > pattern_len - 1 &&
	       strcasecmp(pattern + 1, name + len - (pattern_len - 1)) == 0;
}

static bool names_fit(const struct rule *rule, const char *name)
{
	for (size_t i = 0; i < rule->name_count; i++)
		if (name_matches(rule->names[i], name))
			return true;
	return !rule->names;
}

static bool alpn_offered(const struct sniff_info *info, const char *alpn)
{
	size_t len = strlen(alpn);

	for (size_t at = 0; at < info->alpn_len; at += 1U + info->alpn[at])
		if (info->alpn[at] == len && memcmp(info->alpn + at + 1, alpn, len) == 0)
			return true;
	return false;
}

static bool alpn_fits(const struct rule *rule, const struct sniff_info *info)
{
	for (size_t i = 0; i < rule->alpn_count; i++)
		if (alpn_offered(info, rule->alpn[i]))
			return true;
	return !rule->alpn;
}

/* What the sniffers have said in this call: each is asked once, however many routes want it. */
struct answers {
	bool asked[XDPLB_PROTOCOL_MAX];
	enum sniff_verdict verdicts[XDPLB_PROTOCOL_MAX];
	struct sniff_info infos[XDPLB_PROTOCOL_MAX]; /* of a YES */
};

/* A datagram is all there is: what isn't found in the first, isn't there. */
static enum sniff_verdict patterns_ask(const struct rule *rule, unsigned transport,
				       const struct sniff_piece *pieces, size_t count)
{
	enum sniff_verdict verdict = SNIFF_NO;

	for (size_t i = 0; i < rule->pattern_count && verdict != SNIFF_YES; i++) {
		enum sniff_verdict found = regex_match(rule->compiled[i], pieces, count);

		if (found == SNIFF_YES || (found == SNIFF_MORE && verdict == SNIFF_NO))
			verdict = found;
	}
	if (verdict == SNIFF_MORE && transport == XDPLB_OVER_UDP && count)
		return SNIFF_NO;
	return verdict;
}

static enum sniff_verdict protocol_ask(struct answers *answers, const struct rule *rule,
				       unsigned transport, const struct sniff_piece *pieces,
				       size_t count)
{
	enum xdplb_protocol protocol = rule->protocol;

	if (protocol == XDPLB_PROTOCOL_REGEX) {
		answers->infos[protocol].name[0] = '\0';
		answers->infos[protocol].alpn_len = 0;
		return patterns_ask(rule, transport, pieces, count);
	}
	if (!answers->asked[protocol]) {
		answers->asked[protocol] = true;
		answers->verdicts[protocol] =
			sniff(protocol, transport, pieces, count, &answers->infos[protocol]);
	}
	return answers->verdicts[protocol];
}

enum sniff_verdict rules_match(const struct rule_set *set, unsigned transport,
			       const struct sniff_piece *pieces, size_t count,
			       struct rule_match *match)
{
	const struct rule *fits = NULL;
	struct answers answers;
	bool more = false;

	memset(answers.asked, 0, sizeof(answers.asked));
	match->rule = NULL;
	match->protocol = XDPLB_PROTOCOL_NONE;
	match->info.name[0] = '\0';
	match->info.alpn_len = 0;
	for (size_t i = 0; i < set->rule_count && !fits; i++) {
		const struct rule *rule = &set->rules[i];
		const struct sniff_info *info = &answers.infos[rule->protocol];
		enum sniff_verdict verdict = protocol_ask(&answers, rule, transport, pieces, count);

		more |= verdict == SNIFF_MORE;
		if (verdict != SNIFF_YES)
			continue;
		if (names_fit(rule, info->name) && alpn_fits(rule, info))
			fits = rule;
		if (fits || match->protocol == XDPLB_PROTOCOL_NONE) {
			match->protocol = rule->protocol;
			match->info = *info;
		}
	}
	if (more)
		return SNIFF_MORE;
	match->rule = fits;
	return fits ? SNIFF_YES : SNIFF_NO;
}

static int compare_service(const void *key, const void *element)
{
	uint32_t service = *(const uint32_t *)key,
		 other = ((const struct rule_set *)element)->service;

	return service < other ? -1 : service > other;
}

const struct rule_set *rules_find(const struct rules *rules, uint32_t service)
{
	if (!rules->count)
		return NULL;
	return bsearch(&service, rules->sets, rules->count, sizeof(*rules->sets), compare_service);
}

static void strings_free(char **strings, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(strings[i]);
	free(strings);
}

static void rule_free(struct rule *rule)
{
	for (size_t i = 0; rule->compiled && i < rule->pattern_count; i++)
		regex_free(rule->compiled[i]);
	free(rule->compiled);
	strings_free(rule->names, rule->name_count);
	strings_free(rule->alpn, rule->alpn_count);
	strings_free(rule->patterns, rule->pattern_count);
}

void rules_free(struct rules *rules)
{
	if (!rules)
		return;
	for (size_t i = 0; i < rules->count; i++) {
		for (size_t j = 0; j < rules->sets[i].rule_count; j++)
			rule_free(&rules->sets[i].rules[j]);
		free(rules->sets[i].rules);
	}
	free(rules->sets);
	free(rules);
}
