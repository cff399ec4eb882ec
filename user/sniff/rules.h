/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_SNIFF_RULES_H
#define XDPLB_SNIFF_RULES_H

/*
 * The routes of the sniffed services, as the worker matches them: made once
 * from the daemon's document, never changed, freed when the last connection
 * that was judged by them is. First match wins: a route that may still match
 * holds up those behind it, and no others.
 */
#include <stdbool.h>

#include "sniff/sniff.h"

#define RULES_NO_POOL (~0U)

struct rule {
	enum xdplb_protocol protocol;
	char **names; /* server_name, or host; lower case, "*.b.example" matches below it. NULL: any */
	size_t name_count;
	char **alpn; /* one of them must be offered. NULL: any */
	size_t alpn_count;
	char **patterns; /* protocol regex: one of them must match */
	size_t pattern_count;
	struct sniff_regex **compiled; /* one a pattern */
	uint32_t pool; /* row of pools */
	uint32_t idle_ticks; /* 0: the service's */
};

struct rule_set { /* of one service */
	uint32_t service; /* id */
	uint32_t pool; /* where nothing matches; RULES_NO_POOL: nowhere */
	uint32_t sniff_timeout_ms;
	uint32_t idle_ticks_tcp, idle_ticks_udp;
	bool keep_address; /* source: client */
	struct rule *rules; /* in the order of the file */
	size_t rule_count;
};

struct rules {
	struct rule_set *sets; /* sorted by service id */
	size_t count;
};

struct rule_match {
	const struct rule *rule; /* NULL: none, so the set's pool */
	enum xdplb_protocol protocol; /* what it is, also where no name fits; NONE: nobody knows */
	struct sniff_info info; /* of protocol */
};

/*
 * YES: match->rule. NO: no route fits, whatever follows. MORE: not clear yet;
 * @match is then what it would be if nothing followed (rule NULL).
 */
enum sniff_verdict rules_match(const struct rule_set *set, unsigned transport,
			       const struct sniff_piece *pieces, size_t count,
			       struct rule_match *match);

const struct rule_set *rules_find(const struct rules *rules, uint32_t service); /* or NULL */

/* JSON to rules and back; rules_parse(): NULL if @text is not rules_format()'s. */
struct rules *rules_parse(const char *text, size_t len);
char *rules_format(const struct rules *rules); /* caller frees */
void rules_free(struct rules *rules);

/* Does host @name (lower case) fit @pattern of a route? */
bool name_matches(const char *pattern, const char *name);

/*
 * ---- regular expressions (PCRE2), in the first SNIFF_REGEX_BYTES of a stream or
 * of the first datagram: of bytes, unanchored unless written with "^". What later
 * bytes could undo is refused: looking around, \b, $, \z, atomic groups and
 * possessive quantifiers, verbs; so is what matches nothing at all. A pattern that
 * tries too many ways on what a client sent is a NO.
 */
#define SNIFF_REGEX_BYTES 1024

struct sniff_regex;

/* NULL: @why says what is wrong with @pattern (at most @size bytes), *at where (offset). */
struct sniff_regex *regex_compile(const char *pattern, char *why, size_t size, size_t *at);

/* Over UDP too MORE is possible; rules_match() makes a NO of it, as the datagram is whole. */
enum sniff_verdict regex_match(const struct sniff_regex *regex, const struct sniff_piece *pieces,
			       size_t count);
void regex_free(struct sniff_regex *regex);

#endif /* XDPLB_SNIFF_RULES_H */
