// SPDX-License-Identifier: GPL-2.0-only
/*
 * HTTP/1.x by its request line and Host. YES at the first Host field, not at the
 * end of the header section: a long cookie behind it need not come first, and
 * who sends two Hosts gets his 400 from the backend (RFC 9112, 3.2). Where the
 * request target has an authority, it counts and Host is not waited for.
 */
#include "sniff/http2.h"

#include <strings.h>

#define METHOD_BYTES 32

struct cursor {
	const uint8_t *data;
	size_t at, len;
};

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* tchar of RFC 9110, 5.6.2 */
static bool is_token(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* All methods that IANA lists are capitals and hyphens. */
static bool is_method(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || c == '-';
}

/* VCHAR, and what sloppy clients do not encode. */
static bool is_target(uint8_t c)
{
	return c > ' ' && c != 0x7f;
}

/* RFC 9110, 5.5: anything but NUL; CR and LF end it. */
static bool is_value(uint8_t c)
{
	return c && c != '\r' && c != '\n';
}

/* One to @max bytes that are @wanted, then something else, which is left there. */
static enum sniff_verdict take_while(struct cursor *cursor, bool (*wanted)(uint8_t), size_t max)
{
	size_t start = cursor->at;

	while (cursor->at < cursor->len && wanted(cursor->data[cursor->at])) {
		if (cursor->at - start == max)
			return SNIFF_NO;
		cursor->at++;
	}
	if (cursor->at == cursor->len)
		return SNIFF_MORE;
	return cursor->at > start ? SNIFF_YES : SNIFF_NO;
}

static enum sniff_verdict take_word(struct cursor *cursor, const char *word)
{
	size_t len = strlen(word);
	enum sniff_verdict verdict =
		match_bytes(cursor->data + cursor->at, cursor->len - cursor->at, word, len);

	if (verdict == SNIFF_YES)
		cursor->at += len;
	return verdict;
}

/* RFC 9112, 2.2: CRLF, or a LF alone; never a CR alone. */
static enum sniff_verdict take_line_end(struct cursor *cursor)
{
	enum sniff_verdict verdict = take_word(cursor, "\n");

	return verdict == SNIFF_NO ? take_word(cursor, "\r\n") : verdict;
}

/* The authority of @target (RFC 9112, 3.2.2 and 3.2.3); false: it has none. */
static bool target_authority(struct sniff_piece method, struct sniff_piece target,
			     struct sniff_piece *authority)
{
	const uint8_t *start = target.data, *end = target.data + target.len, *at;

	if (method.len != 7 || memcmp(method.data, "CONNECT", 7) != 0) {
		while (start < end && is_token(*start))
			start++;
		if (start == target.data || end - start < 3 || memcmp(start, "://", 3) != 0)
			return false;
		start += 3;
	}
	for (at = start; at < end && !strchr("/?#", *at); at++)
		;
	*authority = (struct sniff_piece){ start, (size_t)(at - start) };
	return true;
}

/* "[2001:db8::1]": it keeps its brackets, as in a URL. */
static bool address_literal(struct sniff_piece host, char name[SNIFF_NAME_MAX])
{
	if (host.len < 4 || host.len > 2 + 45 || host.data[0] != '[' ||
	    host.data[host.len - 1] != ']')
		return false;
	for (size_t i = 1; i < host.len - 1; i++)
		if (!host.data[i] || !strchr("0123456789abcdefABCDEF:.", host.data[i]))
			return false;
	for (size_t i = 0; i < host.len; i++)
		name[i] = (char)(host.data[i] >= 'A' && host.data[i] <= 'F' ? host.data[i] | 0x20 :
									      host.data[i]);
	name[host.len] = '\0';
	return true;
}

bool authority_name(struct sniff_piece authority, char name[SNIFF_NAME_MAX])
{
	size_t len = authority.len;

	name[0] = '\0';
	while (len && is_digit(authority.data[len - 1]))
		len--;
	if (len && authority.data[len - 1] == ':')
		authority.len = len - 1;
	return address_literal(authority, name) || host_name(authority.data, authority.len, name);
}

static enum sniff_verdict found_host(struct sniff_piece authority, struct sniff_info *info)
{
	found_nameless(info);
	authority_name(authority, info->name);
	return SNIFF_YES;
}

/* RFC 9112, 3. YES: read on; or @authority, where the target has one, tells all. */
static enum sniff_verdict take_request_line(struct cursor *cursor, struct sniff_piece *authority)
{
	struct sniff_piece method = { cursor->data, 0 }, target;
	enum sniff_verdict verdict;

	verdict = take_while(cursor, is_method, METHOD_BYTES);
	method.len = cursor->at;
	if (verdict == SNIFF_YES)
		verdict = take_word(cursor, " ");
	target.data = cursor->data + cursor->at;
	if (verdict == SNIFF_YES)
		verdict = take_while(cursor, is_target, SIZE_MAX);
	target.len = (size_t)(cursor->data + cursor->at - target.data);
	if (verdict == SNIFF_YES)
		verdict = take_word(cursor, " HTTP/1.");
	if (verdict == SNIFF_YES)
		verdict = take_while(cursor, is_digit, 1);
	if (verdict == SNIFF_YES)
		verdict = take_line_end(cursor);
	if (verdict == SNIFF_YES && !target_authority(method, target, authority))
		authority->data = NULL;
	return verdict;
}

/* A field line (RFC 9112, 5), with what is in front of and behind the value taken off. */
static enum sniff_verdict take_field(struct cursor *cursor, struct sniff_piece *name,
				     struct sniff_piece *value)
{
	enum sniff_verdict verdict;

	name->data = cursor->data + cursor->at;
	verdict = take_while(cursor, is_token, SIZE_MAX);
	name->len = (size_t)(cursor->data + cursor->at - name->data);
	if (verdict == SNIFF_YES)
		verdict = take_word(cursor, ":");
	if (verdict != SNIFF_YES)
		return verdict;
	while (cursor->at < cursor->len && is_value(cursor->data[cursor->at]) &&
	       strchr(" \t", cursor->data[cursor->at]))
		cursor->at++;
	value->data = cursor->data + cursor->at;
	while (cursor->at < cursor->len && is_value(cursor->data[cursor->at]))
		cursor->at++;
	value->len = (size_t)(cursor->data + cursor->at - value->data);
	while (value->len && strchr(" \t", value->data[value->len - 1]))
		value->len--;
	return take_line_end(cursor);
}

/* Folded lines (RFC 9112, 5.2) are refused: a Host could go on in one. */
static enum sniff_verdict find_host(struct cursor *cursor, struct sniff_info *info)
{
	struct sniff_piece name = { NULL, 0 }, value = { NULL, 0 };

	for (;;) {
		enum sniff_verdict verdict;

		if (cursor->at == cursor->len)
			return SNIFF_MORE;
		if (strchr(" \t", cursor->data[cursor->at]))
			return SNIFF_NO;
		if (name.len == 4 && strncasecmp((const char *)name.data, "host", 4) == 0)
			return found_host(value, info);
		verdict = take_line_end(cursor);
		if (verdict == SNIFF_YES)
			return found_nameless(info);
		if (verdict == SNIFF_NO)
			verdict = take_field(cursor, &name, &value);
		if (verdict != SNIFF_YES)
			return verdict;
	}
}

static enum sniff_verdict sniff_http1(struct sniff_piece stream, struct sniff_info *info)
{
	struct cursor cursor = { stream.data, 0, stream.len };
	struct sniff_piece authority = { NULL, 0 };
	enum sniff_verdict verdict = take_request_line(&cursor, &authority);

	if (verdict == SNIFF_YES)
		return authority.data ? found_host(authority, info) : find_host(&cursor, info);
	return verdict;
}

enum sniff_verdict sniff_http(const struct sniff_piece *pieces, size_t count,
			      struct sniff_info *info)
{
	struct sniff_piece stream = sniff_stream(pieces, count);
	enum sniff_verdict verdict =
		match_bytes(stream.data, stream.len, HTTP2_PREFACE, strlen(HTTP2_PREFACE));

	if (verdict == SNIFF_YES)
		verdict = sniff_http2(stream, info);
	else if (verdict == SNIFF_NO)
		verdict = sniff_http1(stream, info);
	if (verdict == SNIFF_MORE && stream.len == SNIFF_STREAM_MAX)
		return SNIFF_NO;
	return verdict;
}
