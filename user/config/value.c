// SPDX-License-Identifier: GPL-2.0-only
/* Plain values: numbers, durations, words, texts. Addresses are in address.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "config/load.h"

static void member_set(const struct field *field, void *base, const void *value, size_t size)
{
	memcpy((char *)base + field->offset, value, size);
}

static bool text_set(const struct value *value, const struct field *field, void *base)
{
	char *text = xstrdup(value->text);

	member_set(field, base, &text, sizeof(text));
	return true;
}

bool u32_parse(const char *text, uint32_t *number)
{
	size_t len = strspn(text, "0123456789");
	unsigned long long parsed;

	if (!len || text[len] || len > 10 || (text[0] == '0' && len > 1))
		return false;
	parsed = strtoull(text, NULL, 10);
	if (parsed > UINT32_MAX)
		return false;
	*number = (uint32_t)parsed;
	return true;
}

static bool parse_number(struct loader *loader, const struct value *value,
			 const struct field *field, void *base)
{
	uint32_t number;

	if (!u32_parse(value->text, &number) || number < field->min || number > field->max)
		return cfg_fail(loader, value->place, "%s: '%s' is not a number from %u to %u",
				field->key, quote(value->text).text, field->min, field->max);
	member_set(field, base, &number, sizeof(number));
	return true;
}

static const struct {
	const char *suffix;
	uint32_t ms;
} units[] = {
	{ "h", 3600000 },
	{ "m", 60000 },
	{ "s", 1000 },
	{ "ms", 1 },
};

struct quoted duration_text(uint32_t ms)
{
	struct quoted out = { "" };

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (ms % units[i].ms)
			continue;
		snprintf(out.text, sizeof(out.text), "%u%s", ms / units[i].ms, units[i].suffix);
		break;
	}
	return out;
}

static bool duration_parse(const char *text, uint32_t *ms)
{
	size_t len = strspn(text, "0123456789");
	char digits[11];
	uint32_t number;

	if (len >= sizeof(digits))
		return false;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (!u32_parse(digits, &number))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(text + len, units[i].suffix))
			return !__builtin_mul_overflow(number, units[i].ms, ms);
	return false;
}

static bool parse_duration(struct loader *loader, const struct value *value,
			   const struct field *field, void *base)
{
	uint32_t ms;

	if (!duration_parse(value->text, &ms) || ms < field->min || ms > field->max)
		return cfg_fail(
			loader, value->place,
			"%s: '%s' is not a duration from %s to %s (write 250ms, 2s, 5m, 1h)",
			field->key, quote(value->text).text, duration_text(field->min).text,
			duration_text(field->max).text);
	member_set(field, base, &ms, sizeof(ms));
	return true;
}

static bool parse_bool(struct loader *loader, const struct value *value, const struct field *field,
		       void *base)
{
	static const char *const words[] = { "false", "true", "no", "yes", "off", "on" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		bool on = i % 2;

		if (strcasecmp(value->text, words[i]) != 0)
			continue;
		member_set(field, base, &on, sizeof(on));
		return true;
	}
	return cfg_fail(loader, value->place, "%s: '%s' is neither true nor false", field->key,
			quote(value->text).text);
}

/* "a, b, c" of the words that are built. */
static struct quoted words_text(const struct word *words)
{
	struct quoted out = { "" };
	size_t len = 0;

	for (; words->word; words++)
		if (!words->later && len < sizeof(out.text))
			len += (size_t)snprintf(out.text + len, sizeof(out.text) - len, "%s%s",
						len ? ", " : "", words->word);
	return out;
}

static bool parse_word(struct loader *loader, const struct value *value, const struct field *field,
		       void *base)
{
	struct suggestion near = { .word = value->text };

	for (const struct word *word = field->words; word->word; word++) {
		if (strcmp(word->word, value->text) != 0) {
			suggest_offer(&near, word->word);
			continue;
		}
		if (word->later)
			return cfg_fail(loader, value->place,
					"%s: '%s' is not built yet; there is: %s", field->key,
					word->word, words_text(field->words).text);
		member_set(field, base, &word->value, sizeof(word->value));
		return true;
	}
	return cfg_fail(loader, value->place, "%s: '%s' is not one of: %s%s", field->key,
			quote(value->text).text, words_text(field->words).text,
			suggest_text(&near).text);
}

static bool parse_interface_name(struct loader *loader, const struct value *value,
				 const struct field *field, void *base)
{
	const char *name = value->text;
	size_t len = strlen(name);

	for (const char *c = name; *c; c++)
		if (*c <= ' ' || *c == '/' || *c == ':' || *c > '~')
			len = 0;
	if (!len || len > 15 || !strcmp(name, ".") || !strcmp(name, ".."))
		return cfg_fail(loader, value->place,
				"%s: '%s' is not the name of an interface: 1 to 15 characters "
				"without blanks, '/' and ':'",
				field->key, quote(name).text);
	return text_set(value, field, base);
}

bool name_check(struct loader *loader, const char *kind, const struct value *value)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._-";
	size_t len = strlen(value->text);

	if (len && len < XDPLB_NAME_LEN && strspn(value->text, allowed) == len)
		return true;
	return cfg_fail(loader, value->place,
			"%s: '%s' is not a name: 1 to %d characters of A-Z a-z 0-9 . _ -", kind,
			quote(value->text).text, XDPLB_NAME_LEN - 1);
}

static bool parse_pool(struct loader *loader, const struct value *value, const struct field *field,
		       void *base)
{
	struct pool_ref *ref;

	if (!name_check(loader, field->key, value))
		return false;
	ref = array_push(loader->refs, loader->ref_count);
	ref->pool = (size_t *)(void *)((char *)base + field->offset);
	ref->name = xstrdup(value->text);
	ref->place = value->place;
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_seed(struct loader *loader, const struct value *value, const struct field *field,
		       void *base)
{
	struct config *config = base;
	size_t len = strlen(value->text);

	for (const char *c = value->text; *c; c++)
		if (hex_digit(*c) < 0)
			len = 0;
	if (len != 2 * sizeof(config->hash_seed))
		return cfg_fail(loader, value->place,
				"%s: '%s' is not 32 hexadecimal digits (write one: openssl rand "
				"-hex 16)",
				field->key, quote(value->text).text);
	for (size_t i = 0; i < sizeof(config->hash_seed); i++)
		config->hash_seed[i] = (uint8_t)((unsigned int)hex_digit(value->text[2 * i]) << 4 |
						 (unsigned int)hex_digit(value->text[2 * i + 1]));
	config->has_hash_seed = true;
	return true;
}

/* Fails unless @value has 1 to field->max bytes, none of them a control character or a blank. */
static bool header_check(struct loader *loader, const struct value *value,
			 const struct field *field, const char *remedy)
{
	size_t len = strlen(value->text);

	for (const char *c = value->text; *c; c++)
		if (*c <= ' ' || *c > '~')
			return cfg_fail(loader, value->place,
					"%s: '%s' has a blank, control or non-ASCII character: %s",
					field->key, quote(value->text).text, remedy);
	if (!len || len > field->max)
		return cfg_fail(loader, value->place, "%s: must have 1 to %u characters",
				field->key, field->max);
	return true;
}

static bool parse_url_path(struct loader *loader, const struct value *value,
			   const struct field *field, void *base)
{
	if (value->text[0] != '/')
		return cfg_fail(loader, value->place, "%s: '%s' does not start with '/'",
				field->key, quote(value->text).text);
	return header_check(loader, value, field, "percent-encode it") &&
	       text_set(value, field, base);
}

static bool parse_http_host(struct loader *loader, const struct value *value,
			    const struct field *field, void *base)
{
	return header_check(loader, value, field, "write it as DNS has it") &&
	       text_set(value, field, base);
}

static bool parse_text(struct loader *loader, const struct value *value, const struct field *field,
		       void *base)
{
	size_t len = strlen(value->text);

	if (!len || len > field->max)
		return cfg_fail(loader, value->place, "%s: must have 1 to %u bytes, not %zu",
				field->key, field->max, len);
	return text_set(value, field, base);
}

static bool parse_http_status(struct loader *loader, const struct value *value,
			      const struct field *field, void *base)
{
	struct cfg_health *health = base;
	uint32_t code;

	if (!u32_parse(value->text, &code) || code < field->min || code > field->max)
		return cfg_fail(loader, value->place, "%s: '%s' is not a status code from %u to %u",
				field->key, quote(value->text).text, field->min, field->max);
	if (health->expect_count == CFG_MAX_EXPECT)
		return cfg_fail(loader, value->place, "%s: there can be %d codes at most",
				field->key, CFG_MAX_EXPECT);
	health->expect[health->expect_count++] = code;
	return true;
}

static const struct {
	const char *name;
	value_parser *parse;
} types[] = {
	[FIELD_NUMBER] = { "number", parse_number },
	[FIELD_DURATION] = { "duration", parse_duration },
	[FIELD_BOOL] = { "true or false", parse_bool },
	[FIELD_WORD] = { "word", parse_word },
	[FIELD_INTERFACE_NAME] = { "interface", parse_interface_name },
	[FIELD_SEED] = { "32 hex digits", parse_seed },
	[FIELD_HTTP] = { "address:port", parse_http },
	[FIELD_NAT_ADDRESS] = { "address", parse_nat_address },
	[FIELD_NAT_PORTS] = { "low-high", parse_nat_ports },
	[FIELD_URL_PATH] = { "path", parse_url_path },
	[FIELD_HTTP_HOST] = { "host", parse_http_host },
	[FIELD_TEXT] = { "text", parse_text },
	[FIELD_HTTP_STATUS] = { "status code", parse_http_status },
	[FIELD_BACKEND] = { "address:port", parse_backend },
	[FIELD_LISTENER] = { "listener", parse_listener },
	[FIELD_POOL] = { "name of a pool", parse_pool },
	[FIELD_SERVER_NAME] = { "name", parse_server_name },
	[FIELD_HOST] = { "name", parse_host },
	[FIELD_ALPN] = { "name of a protocol", parse_alpn },
	[FIELD_PATTERN] = { "regular expression", parse_pattern },
	[FIELD_MAPPING] = { "keys", NULL },
	[FIELD_LIST] = { "list", NULL },
	[FIELD_NAMED] = { "names", NULL },
};

bool value_parse(struct loader *loader, const struct value *value, const struct field *field,
		 void *base)
{
	return types[field->type].parse(loader, value, field, base);
}

const char *field_type_name(enum field_type type)
{
	return types[type].name;
}
