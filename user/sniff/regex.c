// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regular expressions by PCRE2, in the first SNIFF_REGEX_BYTES. What was found
 * must stay found when more bytes come, so patterns that look beyond what they
 * match, or that do not go back, are refused. With these gone a match of what is
 * there is one of whatever it grows to: only the limits may then say otherwise,
 * for patterns that try that many ways.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdio.h>

#include "base/alloc.h"
#include "sniff/bytes.h"
#include "sniff/rules.h"

enum {
	PATTERN_BYTES = 1024,
	LIMIT_MATCH = 20000, /* steps back; about half a millisecond */
	LIMIT_DEPTH = 2000,
	LIMIT_HEAP_KIB = 1024
};

struct sniff_regex {
	pcre2_code *code;
	pcre2_match_context *limits;
	bool anchored; /* matches at the beginning or not at all */
	size_t shortest; /* no match has fewer bytes */
};

/* Why @escape, the letter behind a backslash, cannot be taken; NULL: it can. */
static const char *escape_refused(char escape)
{
	if (escape == 'b' || escape == 'B' || escape == 'Z' || escape == 'z')
		return "looks beyond the bytes that are there (\\b, \\B, \\z and \\Z do)";
	if (escape == 'C')
		return "\\C is not taken, write [\\x00-\\xff] for any byte";
	if (escape == 'G' || escape == 'K')
		return "\\G and \\K mean nothing here";
	return NULL;
}

/*
 * The same of what stands behind an opening parenthesis. (?s) because PCRE2,
 * at the end of what is there, calls (?s).{3} no match instead of a partial one.
 */
static const char *group_refused(const char *group)
{
	if (group[0] == '*')
		return "verbs and options in (*...) are not taken";
	if (group[0] != '?')
		return NULL;
	if (strchr("=!*", group[1]) || (group[1] == '<' && strchr("=!*", group[2])))
		return "looks around (lookahead and lookbehind could be undone by later bytes)";
	if (group[1] == '>')
		return "never goes back (an atomic group could be undone by later bytes)";
	if (group[1] == 'C')
		return "callouts are not taken";
	group += 1 + strspn(group + 1, "^imnJU-");
	if (*group == 'x')
		return "extended syntax is not taken";
	if (*group == 's')
		return "(?s) is not taken, write [\\x00-\\xff] for any byte";
	return NULL;
}

/* The bytes of the quantifier at @text, without "?" or "+" behind it; 0: there is none. */
static size_t quantifier_len(const char *text)
{
	size_t at = 1, digits;

	if (*text && strchr("*+?", *text))
		return 1;
	if (*text != '{')
		return 0;
	digits = strspn(text + at, "0123456789");
	at += digits;
	if (digits && text[at] == ',')
		at += 1 + strspn(text + at + 1, "0123456789");
	return digits && text[at] == '}' ? at + 1 : 0;
}

/* Behind the escape at @text: with \x{41} what is in braces, a quotation whole. */
static const char *escape_end(const char *text)
{
	bool quotation = text[1] == 'Q', braces = text[1] && strchr("xopPNgk", text[1]);
	const char *end;

	if (!text[1])
		return text + 1;
	if (!quotation && !(braces && text[2] == '{'))
		return text[1] == 'c' && text[2] ? text + 3 : text + 2;
	end = quotation ? strstr(text + 2, "\\E") : strchr(text + 2, '}');
	if (!end)
		return text + strlen(text);
	return quotation ? end + 2 : end + 1;
}

/* The bytes of "[:alpha:]" at @text, inside of a class; 0: it is none. */
static size_t named_class_len(const char *text)
{
	size_t at = 2;

	if (text[0] != '[' || text[1] != ':')
		return 0;
	at += text[at] == '^';
	at += strspn(text + at, "abcdefghijklmnopqrstuvwxyz");
	return text[at] == ':' && text[at + 1] == ']' ? at + 2 : 0;
}

/* Behind the character class that begins at @text. */
static const char *class_end(const char *text)
{
	text++;
	if (*text == '^')
		text++;
	if (*text == ']')
		text++;
	while (*text && *text != ']') {
		size_t named = named_class_len(text);

		text = *text == '\\' ? escape_end(text) : text + (named ? named : 1);
	}
	return *text ? text + 1 : text;
}

/* What in @pattern, which PCRE2 has compiled, cannot be kept a promise about; *at: where. */
static const char *pattern_refused(const char *pattern, size_t *at)
{
	const char *text = pattern, *why = NULL;

	while (*text && !why) {
		size_t quantifier = quantifier_len(text);

		*at = (size_t)(text - pattern);
		if (quantifier) {
			text += quantifier;
			if (*text == '+')
				why = "never goes back (a possessive quantifier could be undone "
				      "by later bytes)";
			else if (*text == '?')
				text++;
		} else if (*text == '\\') {
			why = escape_refused(text[1]);
			text = escape_end(text);
		} else if (*text == '[') {
			text = class_end(text);
		} else {
			if (*text == '(')
				why = group_refused(text + 1);
			else if (*text == '$')
				why = "'$' is never known: more bytes may follow";
			text += text[0] == '(' && text[1] == '?' ? 2 : 1;
		}
	}
	return why;
}

static pcre2_code *pattern_compile(const char *pattern, char *why, size_t size, size_t *at)
{
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	pcre2_code *code;
	int error = 0;

	*at = 0;
	if (!context)
		return NULL;
	pcre2_set_newline(context, PCRE2_NEWLINE_LF);
	pcre2_set_max_pattern_length(context, PATTERN_BYTES);
	code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
			     PCRE2_NEVER_UTF | PCRE2_NEVER_UCP, &error, at, context);
	if (!code)
		pcre2_get_error_message(error, (PCRE2_UCHAR *)why, size);
	pcre2_compile_context_free(context);
	return code;
}

/* As pcre2_match(); *start: where a partial match begins, or the end of @data. */
static int run(const struct sniff_regex *regex, const uint8_t *data, size_t len, size_t *start)
{
	pcre2_match_data *found = pcre2_match_data_create(1, NULL);
	int result = PCRE2_ERROR_NOMEMORY;

	if (found)
		result = pcre2_match(regex->code, data, len, 0, PCRE2_PARTIAL_SOFT, found,
				     regex->limits);
	*start = result == PCRE2_ERROR_PARTIAL ? pcre2_get_ovector_pointer(found)[0] : len;
	pcre2_match_data_free(found);
	return result;
}

static void limits_set(struct sniff_regex *regex)
{
	uint32_t options = 0, shortest = 0;

	regex->limits = pcre2_match_context_create(NULL);
	if (regex->limits) {
		pcre2_set_match_limit(regex->limits, LIMIT_MATCH);
		pcre2_set_depth_limit(regex->limits, LIMIT_DEPTH);
		pcre2_set_heap_limit(regex->limits, LIMIT_HEAP_KIB);
	}
	pcre2_pattern_info(regex->code, PCRE2_INFO_ALLOPTIONS, &options);
	pcre2_pattern_info(regex->code, PCRE2_INFO_MINLENGTH, &shortest);
	regex->anchored = options & PCRE2_ANCHORED;
	regex->shortest = shortest;
}

static const char *regex_refused(const struct sniff_regex *regex, const char *pattern, size_t *at)
{
	const char *why = pattern_refused(pattern, at);
	size_t start;

	if (why || run(regex, (const uint8_t *)"", 0, &start) < 0)
		return why;
	*at = 0;
	return "matches everything, even nothing";
}

struct sniff_regex *regex_compile(const char *pattern, char *why, size_t size, size_t *at)
{
	struct sniff_regex *regex = xcalloc(1, sizeof(*regex));

	snprintf(why, size, "no memory");
	regex->code = pattern_compile(pattern, why, size, at);
	if (regex->code) {
		const char *refused;

		limits_set(regex);
		refused = regex_refused(regex, pattern, at);
		if (refused)
			snprintf(why, size, "%s", refused);
		else if (regex->limits)
			return regex;
	}
	regex_free(regex);
	return NULL;
}

/*
 * What isn't found may still come: the rest of what has begun, or, without an
 * anchor, all of it, as long as the shortest match finds room.
 */
enum sniff_verdict regex_match(const struct sniff_regex *regex, const struct sniff_piece *pieces,
			       size_t count)
{
	struct sniff_piece bytes = sniff_stream(pieces, count);
	size_t start = 0;
	int result;

	if (!bytes.len)
		return SNIFF_MORE;
	if (bytes.len > SNIFF_REGEX_BYTES)
		bytes.len = SNIFF_REGEX_BYTES;
	result = run(regex, bytes.data, bytes.len, &start);
	if (result >= 0)
		return SNIFF_YES;
	if (result != PCRE2_ERROR_PARTIAL && (result != PCRE2_ERROR_NOMATCH || regex->anchored))
		return SNIFF_NO;
	if (bytes.len == SNIFF_REGEX_BYTES || start + regex->shortest > SNIFF_REGEX_BYTES)
		return SNIFF_NO;
	return SNIFF_MORE;
}

void regex_free(struct sniff_regex *regex)
{
	if (!regex)
		return;
	pcre2_match_context_free(regex->limits);
	pcre2_code_free(regex->code);
	free(regex);
}
