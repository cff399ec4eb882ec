// SPDX-License-Identifier: GPL-2.0-only
/* Protocols that begin with text: XMPP, syslog, tinc. None of them has a name. */
#include "sniff/bytes.h"

struct text {
	const char *at, *end;
};

static struct text text_of(struct sniff_piece piece)
{
	return (struct text){ (const char *)piece.data, (const char *)piece.data + piece.len };
}

static enum sniff_verdict take_word(struct text *text, const char *word)
{
	size_t len = strlen(word);
	enum sniff_verdict verdict =
		match_bytes((const uint8_t *)text->at, (size_t)(text->end - text->at), word, len);

	if (verdict == SNIFF_YES)
		text->at += len;
	return verdict;
}

/* @min to @max of @set, and whatever follows them. */
static enum sniff_verdict take_of(struct text *text, const char *set, size_t min, size_t max)
{
	const char *start = text->at;

	while (text->at < text->end && *text->at && strchr(set, *text->at)) {
		if ((size_t)(text->at - start) == max)
			return SNIFF_NO;
		text->at++;
	}
	if (text->at == text->end)
		return SNIFF_MORE;
	return (size_t)(text->at - start) < min ? SNIFF_NO : SNIFF_YES;
}

/* One of @set; it is left there. */
static enum sniff_verdict look_for(const struct text *text, const char *set)
{
	if (text->at == text->end)
		return SNIFF_MORE;
	return *text->at && strchr(set, *text->at) ? SNIFF_YES : SNIFF_NO;
}

#define DIGITS "0123456789"
#define SPACES " \t\r\n"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* The XML declaration, if there is one; nothing else ends in "?>". */
static enum sniff_verdict take_declaration(struct text *text)
{
	enum {
		DECLARATION_MAX = 256
	};
	const char *start = text->at;
	enum sniff_verdict verdict = take_word(text, "<?xml");

	if (verdict == SNIFF_NO)
		return SNIFF_YES;
	if (verdict == SNIFF_YES)
		verdict = look_for(text, SPACES);
	if (verdict != SNIFF_YES)
		return verdict;
	for (; text->at < text->end && text->at - start < DECLARATION_MAX; text->at++) {
		if (text->at[-1] == '?')
			return take_word(text, ">");
		if (!*text->at || strchr("<>", *text->at))
			return SNIFF_NO;
	}
	return text->at - start + (text->at[-1] != '?') < DECLARATION_MAX ? SNIFF_MORE : SNIFF_NO;
}

/* RFC 6120, 4.2 and 4.8.5: a stream header, in the prefix that everyone uses. */
enum sniff_verdict sniff_xmpp(const struct sniff_piece *pieces, size_t count,
			      struct sniff_info *info)
{
	enum {
		SPACE_MAX = 64
	};
	struct text text = text_of(sniff_stream(pieces, count));
	enum sniff_verdict verdict = take_declaration(&text);

	if (verdict == SNIFF_YES)
		verdict = take_of(&text, SPACES, 0, SPACE_MAX);
	if (verdict == SNIFF_YES)
		verdict = take_word(&text, "<stream:stream");
	if (verdict == SNIFF_YES)
		verdict = look_for(&text, SPACES);
	return verdict == SNIFF_YES ? found_nameless(info) : verdict;
}

/* Digits, not beginning with a zero that isn't all of them; only their value may still grow. */
static enum sniff_verdict take_number(struct text *text, size_t digits_max, unsigned max,
				      unsigned *number)
{
	const char *start = text->at;
	enum sniff_verdict verdict = take_of(text, DIGITS, 1, digits_max);

	*number = 0;
	for (const char *digit = start; digit < text->at; digit++)
		*number = *number * 10 + (unsigned)(*digit - '0');
	if (*number > max || (text->at - start > 1 && *start == '0'))
		return SNIFF_NO;
	return verdict;
}

/* RFC 5424, 6.2.1 and RFC 3164, 4.1.1: "<", facility * 8 + severity, ">". */
static enum sniff_verdict take_priority(struct text *text)
{
	unsigned priority;
	enum sniff_verdict verdict = take_word(text, "<");

	if (verdict == SNIFF_YES)
		verdict = take_number(text, 3, 191, &priority);
	return verdict == SNIFF_YES ? take_word(text, ">") : verdict;
}

/* A message of @length bytes: <PRI> must find room in it. */
static enum sniff_verdict take_message(struct text *text, unsigned length)
{
	const char *start = text->at;
	enum sniff_verdict verdict = take_priority(text);
	long needed = text->at - start + (verdict == SNIFF_MORE);

	if (needed < (long)strlen("<0>"))
		needed = (long)strlen("<0>");
	return needed > (long)length ? SNIFF_NO : verdict;
}

/* RFC 6587, 3.4: with its length in front, or without. */
enum sniff_verdict sniff_syslog_tcp(const struct sniff_piece *pieces, size_t count,
				    struct sniff_info *info)
{
	enum {
		LENGTH_DIGITS = 7,
		LENGTH_MAX = 9999999
	};
	struct text text = text_of(sniff_stream(pieces, count));
	enum sniff_verdict verdict = look_for(&text, "<");
	unsigned length = LENGTH_MAX;

	if (verdict == SNIFF_NO && *text.at != '0') {
		verdict = take_number(&text, LENGTH_DIGITS, LENGTH_MAX, &length);
		if (verdict == SNIFF_YES)
			verdict = take_word(&text, " ");
	}
	if (verdict == SNIFF_YES)
		verdict = take_message(&text, length);
	return verdict == SNIFF_YES ? found_nameless(info) : verdict;
}

/* RFC 5426, 3.1: a message is a datagram, so the first decides. */
enum sniff_verdict sniff_syslog_udp(const struct sniff_piece *pieces, size_t count,
				    struct sniff_info *info)
{
	struct text text = text_of(sniff_stream(pieces, count));

	if (!count)
		return SNIFF_MORE;
	return take_priority(&text) == SNIFF_YES ? found_nameless(info) : SNIFF_NO;
}

/*
 * tinc's meta protocol: request 0 (ID), the node's name, the version of the
 * protocol: 17, from 1.1 on with a minor one behind it. With "?" in front it is
 * a key in base64: someone takes up an invitation.
 */
enum sniff_verdict sniff_tinc(const struct sniff_piece *pieces, size_t count,
			      struct sniff_info *info)
{
	enum {
		NAME_MAX_BYTES = 255
	};
	struct text text = text_of(sniff_stream(pieces, count));
	const char *set = LETTERS DIGITS "_";
	enum sniff_verdict verdict = take_word(&text, "0 ");

	if (verdict == SNIFF_YES && look_for(&text, "?") == SNIFF_YES) {
		text.at++;
		set = LETTERS DIGITS "_-+/";
	}
	if (verdict == SNIFF_YES)
		verdict = take_of(&text, set, 1, NAME_MAX_BYTES);
	if (verdict == SNIFF_YES)
		verdict = take_word(&text, " 17");
	if (verdict == SNIFF_YES)
		verdict = look_for(&text, ".\n");
	return verdict == SNIFF_YES ? found_nameless(info) : verdict;
}
