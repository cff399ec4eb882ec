// SPDX-License-Identifier: GPL-2.0-only
/* How errors and warnings are written: place, text, near misses. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "config/load.h"

#define NAME_SHOWN 200 /* of a file name: the message must fit, too */

static int place_print(char *text, size_t size, const char *file, struct cfg_place place)
{
	size_t len = strlen(file);

	return snprintf(text, size, "%s%s:%u:%u: ", len > NAME_SHOWN ? "..." : "",
			len > NAME_SHOWN ? file + len - NAME_SHOWN : file, place.line,
			place.column);
}

void cfg_error_set(struct loader *loader, struct cfg_place place, const char *format, ...)
{
	char *text = loader->err->text;
	size_t size = sizeof(loader->err->text);
	int len = place_print(text, size, loader->file, place);
	va_list args;

	va_start(args, format);
	if (len >= 0 && (size_t)len < size)
		vsnprintf(text + len, size - (size_t)len, format, args);
	va_end(args);
}

void cfg_warn(struct loader *loader, struct cfg_place place, const char *format, ...)
{
	struct config *config = loader->config;
	char text[sizeof(struct cfg_error)];
	int len = place_print(text, sizeof(text), loader->file, place);
	va_list args;

	va_start(args, format);
	if (len >= 0 && (size_t)len < sizeof(text))
		vsnprintf(text + len, sizeof(text) - (size_t)len, format, args);
	va_end(args);
	*array_push(config->warnings, config->warning_count) = xstrdup(text);
}

bool cfg_count(struct loader *loader, const struct field *field, struct cfg_place place)
{
	if (++loader->counts[field->counter] > field->max)
		return cfg_fail(loader, place, "%s: there can be %u at most", field->key,
				field->max);
	return true;
}

/* Bytes of the UTF-8 character at @text that can be shown as it is, 0: none can. */
static size_t shown_len(const unsigned char *text)
{
	size_t len = 1;

	if (text[0] < 0x80)
		return isprint(text[0]) ? 1 : 0;
	if (text[0] == 0xc2 && text[1] < 0xa0)
		return 0; /* control characters of ISO 8859 */
	while (len < 4 && (text[len] & 0xc0) == 0x80)
		len++;
	return len;
}

struct quoted quote(const char *text)
{
	const unsigned char *in = (const unsigned char *)text;
	struct quoted out;
	size_t len = 0;

	while (*in && len + sizeof("\\x00...") < sizeof(out.text)) {
		size_t shown = shown_len(in);

		if (shown)
			memcpy(out.text + len, in, shown);
		else
			snprintf(out.text + len, 5, "\\x%02x", *in);
		len += shown ? shown : 4;
		in += shown ? shown : 1;
	}
	snprintf(out.text + len, sizeof(out.text) - len, "%s", *in ? "..." : "");
	return out;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * Edits that make @b of @a: a character more, less or another, two swapped;
 * case does not count. Words too long for the rows are never near.
 */
static size_t edit_distance(const char *a, const char *b)
{
	size_t rows[3][XDPLB_NAME_LEN]; /* by position in @a, modulo 3 */
	size_t a_len = strlen(a), b_len = strlen(b);

	if (a_len >= XDPLB_NAME_LEN || b_len >= XDPLB_NAME_LEN)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *twice = rows[(i + 1) % 3];
		int ca = tolower((unsigned char)a[i - 1]);

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			int cb = tolower((unsigned char)b[j - 1]);

			row[j] = smaller(above[j - 1] + (ca != cb),
					 smaller(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
			    cb == tolower((unsigned char)a[i - 2]))
				row[j] = smaller(row[j], twice[j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

void suggest_offer(struct suggestion *suggestion, const char *candidate)
{
	size_t len = strlen(suggestion->word);
	size_t limit = suggestion->best ? suggestion->distance : (len > 3 ? 3 : 2);
	size_t distance = edit_distance(suggestion->word, candidate);

	if (distance >= limit || distance >= len)
		return;
	suggestion->best = candidate;
	suggestion->distance = distance;
}

struct quoted suggest_text(const struct suggestion *suggestion)
{
	struct quoted out = { "" };

	if (suggestion->best)
		snprintf(out.text, sizeof(out.text), " (did you mean '%s'?)", suggestion->best);
	return out;
}
