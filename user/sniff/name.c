// SPDX-License-Identifier: GPL-2.0-only
#include "sniff/bytes.h"

#define NAME_CHARACTERS 253
#define LABEL_CHARACTERS 63

/* The locale has no say in what a letter is. */
static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char lower(uint8_t c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static bool in_label(char c)
{
	return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_';
}

bool host_name(const uint8_t *text, size_t len, char name[SNIFF_NAME_MAX])
{
	size_t label = 0, at;

	name[0] = '\0';
	if (len && text[len - 1] == '.')
		len--;
	if (!len || len > NAME_CHARACTERS)
		return false;
	for (at = 0; at < len; at++) {
		char c = lower(text[at]);

		if (c == '.' ? !label : (!in_label(c) || label == LABEL_CHARACTERS))
			break;
		label = c == '.' ? 0 : label + 1;
		name[at] = c;
	}
	name[at == len && label ? at : 0] = '\0';
	return name[0];
}

bool name_is_number(const char *name)
{
	const char *last = strrchr(name, '.');

	last = last ? last + 1 : name;
	while (is_digit(*last))
		last++;
	return name[0] && !*last;
}
