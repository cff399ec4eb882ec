// SPDX-License-Identifier: GPL-2.0-only
/* The way from YAML to struct config: walks the document by the rows of schema.c. */
#include "config/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define MAX_FILE_BYTES (64U << 20)
#define MAX_OPEN_BRACKETS 1000 /* the time libyaml takes grows with their square */

struct walk {
	struct loader *loader;
	yaml_document_t *doc;
};

static struct cfg_place mark_place(yaml_mark_t mark)
{
	return (struct cfg_place){ (uint32_t)mark.line + 1, (uint32_t)mark.column + 1 };
}

static struct cfg_place node_place(const yaml_node_t *node)
{
	return mark_place(node->start_mark);
}

/* @node as a value of @key; @key is NULL where it is a key itself. */
static bool scalar_value(struct loader *loader, const yaml_node_t *node, const char *key,
			 struct value *value)
{
	const char *text, *separator = key ? ": " : "";
	struct cfg_place place = node_place(node);

	if (!key)
		key = "";
	if (node->type != YAML_SCALAR_NODE)
		return cfg_fail(loader, place, "%s%sexpected a plain value, not %s", key, separator,
				node->type == YAML_SEQUENCE_NODE ? "a list" : "'key: value' pairs");
	text = (const char *)node->data.scalar.value;
	if (strlen(text) != node->data.scalar.length)
		return cfg_fail(loader, place, "%s%sa NUL byte cannot be part of it", key,
				separator);
	if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	    (!*text || !strcmp(text, "~") || !strcmp(text, "null")))
		return cfg_fail(loader, place, "%s%sthere is no value: give one or leave it out",
				key, separator);
	*value = (struct value){ text, place,
				 node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
					 node->start_mark.line == node->end_mark.line };
	return true;
}

static bool field_load(struct walk *walk, const yaml_node_t *node, const struct field *field,
		       void *base);

static bool default_set(struct loader *loader, const struct field *field, void *base)
{
	struct value value = { field->def, { 0, 0 }, false };

	if (field->def)
		return value_parse(loader, &value, field, base);
	if (field->type != FIELD_MAPPING)
		return true;
	for (const struct field *row = field->mapping->fields; row->type != FIELD_END; row++)
		if (!default_set(loader, row, (char *)base + field->offset))
			return false;
	return true;
}

static bool unknown_key(struct loader *loader, const struct value *key, const struct field *fields)
{
	struct suggestion near = { .word = key->text };

	if (!strcmp(key->text, "<<"))
		return cfg_fail(loader, key->place,
				"merge keys are not supported: write the keys out");
	for (; fields->type != FIELD_END; fields++)
		suggest_offer(&near, fields->key);
	return cfg_fail(loader, key->place, "unknown key '%s'%s", quote(key->text).text,
			suggest_text(&near).text);
}

/* One "key: value" of a mapping; at[] notes the places of its rows' keys. */
static bool pair_load(struct walk *walk, const yaml_node_pair_t *pair,
		      const struct mapping *mapping, struct cfg_place *at, void *base)
{
	const yaml_node_t *key_node = yaml_document_get_node(walk->doc, pair->key);
	const yaml_node_t *node = yaml_document_get_node(walk->doc, pair->value);
	struct loader *loader = walk->loader;
	const struct field *field;
	struct cfg_place *seen;
	struct value key;

	if (!scalar_value(loader, key_node, NULL, &key))
		return false;
	field = field_find(mapping->fields, key.text);
	if (!field)
		return unknown_key(loader, &key, mapping->fields);
	seen = &at[field - mapping->fields];
	if (seen->line)
		return cfg_fail(loader, key.place, "key '%s' is given twice, first in line %u",
				field->key, seen->line);
	*seen = key.place;
	return field_load(walk, node, field, base);
}

static bool mapping_load(struct walk *walk, const yaml_node_t *node, const char *key,
			 const struct mapping *mapping, void *base)
{
	struct cfg_place at[SCHEMA_MAX_FIELDS] = { 0 };
	struct loader *loader = walk->loader;
	const yaml_node_pair_t *pair;

	if (node->type != YAML_MAPPING_NODE)
		return cfg_fail(loader, node_place(node), "%s%sexpected 'key: value' pairs", key,
				*key ? ": " : "");
	for (pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++)
		if (!pair_load(walk, pair, mapping, at, base))
			return false;
	for (const struct field *field = mapping->fields; field->type != FIELD_END; field++) {
		if (at[field - mapping->fields].line)
			continue;
		if (field->required)
			return cfg_fail(loader, node_place(node), "key '%s' is missing",
					field->key);
		if (!default_set(loader, field, base))
			return false;
	}
	loader->mapping = node_place(node);
	return !mapping->check || mapping->check(loader, at, base);
}

/* An element whose plain value stands for one key. */
static bool short_load(struct walk *walk, const yaml_node_t *node, const struct mapping *mapping,
		       void *base)
{
	const struct field *short_field = field_find(mapping->fields, mapping->short_key);

	if (!field_load(walk, node, short_field, base))
		return false;
	for (const struct field *field = mapping->fields; field->type != FIELD_END; field++)
		if (field != short_field && !default_set(walk->loader, field, base))
			return false;
	return true;
}

/* What stands for one @mapping, in full or in short; notes its place. */
static bool element_load(struct walk *walk, const yaml_node_t *node, const char *key,
			 const struct mapping *mapping, void *element)
{
	struct cfg_place place = node_place(node);

	if (mapping->place)
		memcpy((char *)element + mapping->place, &place, sizeof(place));
	if (mapping->short_key && node->type == YAML_SCALAR_NODE)
		return short_load(walk, node, mapping, element);
	return mapping_load(walk, node, key, mapping, element);
}

/*
 * Room for @count elements; config_free() finds them from here on. Never for more
 * than there can be: cfg_count() refuses the one beyond before it is written.
 */
static char *elements_new(const struct field *field, size_t count, void *base)
{
	char *elements;

	if (count > field->max)
		count = field->max;
	elements = xcalloc(count, field->mapping->size);
	memcpy((char *)base + field->offset, &elements, sizeof(elements));
	memcpy((char *)base + field->count, &count, sizeof(count));
	return elements;
}

static bool list_load(struct walk *walk, const yaml_node_t *node, const struct field *field,
		      void *base)
{
	const struct mapping *mapping = field->mapping;
	const yaml_node_item_t *item, *items = node->data.sequence.items.start;
	char *element;

	if (node->type != YAML_SEQUENCE_NODE)
		return cfg_fail(walk->loader, node_place(node), "%s: expected a list ('- ...')",
				field->key);
	element = elements_new(field, (size_t)(node->data.sequence.items.top - items), base);
	for (item = items; item < node->data.sequence.items.top; item++, element += mapping->size) {
		const yaml_node_t *child = yaml_document_get_node(walk->doc, *item);

		if (!cfg_count(walk->loader, field, node_place(child)) ||
		    !element_load(walk, child, field->key, mapping, element))
			return false;
	}
	return true;
}

static bool named_load(struct walk *walk, const yaml_node_t *node, const struct field *field,
		       void *base)
{
	const struct mapping *mapping = field->mapping;
	const yaml_node_pair_t *pair, *pairs = node->data.mapping.pairs.start;
	struct loader *loader = walk->loader;
	char *element;

	if (node->type != YAML_MAPPING_NODE)
		return cfg_fail(loader, node_place(node), "%s: expected names ('NAME: ...')",
				field->key);
	element = elements_new(field, (size_t)(node->data.mapping.pairs.top - pairs), base);
	for (pair = pairs; pair < node->data.mapping.pairs.top; pair++, element += mapping->size) {
		const yaml_node_t *key = yaml_document_get_node(walk->doc, pair->key);
		struct value name;
		char *copy;

		if (!scalar_value(loader, key, field->key, &name) ||
		    !name_check(loader, field->key, &name) || !cfg_count(loader, field, name.place))
			return false;
		copy = xstrdup(name.text);
		memcpy(element + mapping->name, &copy, sizeof(copy));
		memcpy(element + mapping->place, &name.place, sizeof(name.place));
		if (!mapping_load(walk, yaml_document_get_node(walk->doc, pair->value), name.text,
				  mapping, element))
			return false;
	}
	return true;
}

static bool values_load(struct walk *walk, const yaml_node_t *node, const struct field *field,
			void *base)
{
	const yaml_node_item_t *item;
	struct value value;

	if (!field->many || node->type != YAML_SEQUENCE_NODE)
		return scalar_value(walk->loader, node, field->key, &value) &&
		       value_parse(walk->loader, &value, field, base);
	item = node->data.sequence.items.start;
	if (item == node->data.sequence.items.top)
		return cfg_fail(walk->loader, node_place(node), "%s: the list is empty",
				field->key);
	for (; item < node->data.sequence.items.top; item++) {
		const yaml_node_t *child = yaml_document_get_node(walk->doc, *item);

		if (!scalar_value(walk->loader, child, field->key, &value) ||
		    !value_parse(walk->loader, &value, field, base))
			return false;
	}
	return true;
}

static bool field_load(struct walk *walk, const yaml_node_t *node, const struct field *field,
		       void *base)
{
	switch (field->type) {
	case FIELD_MAPPING:
		return element_load(walk, node, field->key, field->mapping,
				    (char *)base + field->offset);
	case FIELD_LIST:
		return list_load(walk, node, field, base);
	case FIELD_NAMED:
		return named_load(walk, node, field, base);
	default:
		return values_load(walk, node, field, base);
	}
}

/* Where byte @offset of @text is, columns in characters as libyaml counts them. */
static struct cfg_place offset_place(const char *text, size_t len, size_t offset)
{
	struct cfg_place place = { 1, 1 };

	for (size_t i = 0; i < offset && i < len; i++) {
		if (text[i] == '\n')
			place = (struct cfg_place){ place.line + 1, 1 };
		else if (((unsigned char)text[i] & 0xc0) != 0x80)
			place.column++;
	}
	return place;
}

/* Does a tab indent line @line, from 1? YAML's own message for it is a riddle. */
static bool line_has_tab(const char *text, size_t len, uint32_t line)
{
	const char *end = text + len;

	while (--line && text) {
		text = memchr(text, '\n', (size_t)(end - text));
		text = text ? text + 1 : NULL;
	}
	while (text && text < end && *text == ' ')
		text++;
	return text && text < end && *text == '\t';
}

static bool yaml_fail(struct loader *loader, const yaml_parser_t *parser, const char *text,
		      size_t len)
{
	const char *problem = parser->problem ? parser->problem : "out of memory";
	struct cfg_place place = mark_place(parser->problem_mark);
	char context[128] = "";

	if (parser->error == YAML_READER_ERROR)
		return cfg_fail(loader, offset_place(text, len, parser->problem_offset),
				"not plain UTF-8 text: %s (byte 0x%02x)", problem,
				(unsigned int)parser->problem_value & 0xff);
	if (parser->context && strstr(problem, "end of stream"))
		place = mark_place(parser->context_mark); /* what was opened is the culprit */
	if (parser->context && parser->context_mark.line + 1 != place.line)
		snprintf(context, sizeof(context), " %s from line %zu on", parser->context,
			 parser->context_mark.line + 1);
	else if (parser->context)
		snprintf(context, sizeof(context), " %s", parser->context);
	return cfg_fail(loader, place, "not YAML: %s%s%s", problem, context,
			line_has_tab(text, len, place.line) ? "; indent with blanks, not tabs" :
							      "");
}

static bool document_load(struct loader *loader, yaml_document_t *doc)
{
	const yaml_node_t *root = yaml_document_get_root_node(doc);
	struct walk walk = { loader, doc };

	if (!root)
		return cfg_fail(loader, (struct cfg_place){ 1, 1 },
				"the file is empty: it needs interfaces, pools and services");
	return mapping_load(&walk, root, "", &top_mapping, loader->config);
}

/* There must not be another document behind the first. */
static bool end_check(struct loader *loader, yaml_parser_t *parser, const char *text, size_t len)
{
	const yaml_node_t *root;
	yaml_document_t doc;
	bool ok;

	if (!yaml_parser_load(parser, &doc))
		return yaml_fail(loader, parser, text, len);
	root = yaml_document_get_root_node(&doc);
	ok = !root || cfg_fail(loader, mark_place(doc.start_mark),
			       "a second document starts here: keep everything in one");
	yaml_document_delete(&doc);
	return ok;
}

/* Brackets in texts and comments count, too: no file has that many, and one pass is cheap. */
static bool brackets_check(struct loader *loader, const char *text, size_t len)
{
	int open = 0;

	for (size_t i = 0; i < len; i++) {
		open += (text[i] == '[' || text[i] == '{') - (text[i] == ']' || text[i] == '}');
		if (open > MAX_OPEN_BRACKETS)
			return cfg_fail(loader, offset_place(text, len, i),
					"over %d brackets are open here: close them",
					MAX_OPEN_BRACKETS);
		if (open < 0)
			open = 0;
	}
	return true;
}

static bool text_load(struct loader *loader, const char *text, size_t len)
{
	yaml_document_t doc;
	yaml_parser_t parser;
	bool ok;

	if (!brackets_check(loader, text, len))
		return false;
	if (!yaml_parser_initialize(&parser))
		return cfg_fail(loader, (struct cfg_place){ 1, 1 }, "out of memory");
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (yaml_parser_load(&parser, &doc)) {
		ok = document_load(loader, &doc) && end_check(loader, &parser, text, len);
		yaml_document_delete(&doc);
	} else {
		ok = yaml_fail(loader, &parser, text, len);
	}
	yaml_parser_delete(&parser);
	return ok && config_check(loader);
}

bool config_parse(const char *text, size_t len, const char *name, struct config *config,
		  struct cfg_error *err)
{
	struct config loaded = { .file = xstrdup(name) };
	struct loader loader = { .file = name, .config = &loaded, .err = err };
	bool ok;

	if (!len)
		text = ""; /* of nothing there may be no address */
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) { /* a byte order mark is no text */
		text += 3;
		len -= 3;
	}
	ok = text_load(&loader, text, len);
	for (size_t i = 0; i < loader.ref_count; i++)
		free(loader.refs[i].name);
	free(loader.refs);
	if (ok)
		*config = loaded;
	else
		config_free(&loaded);
	return ok;
}

/* All of @path; 0 or -errno. */
static int file_read(const char *path, char **text, size_t *len)
{
	auto_file FILE *file = fopen(path, "re");
	auto_free char *bytes = NULL;
	size_t size = 0, room = 0;

	if (!file)
		return -errno;
	do {
		if (size == room) {
			room = room ? room * 2 : 65536;
			bytes = xrealloc(bytes, room, 1);
		}
		errno = 0;
		size += fread(bytes + size, 1, room - size, file);
		if (ferror(file))
			return errno ? -errno : -EIO;
		if (size > MAX_FILE_BYTES)
			return -EFBIG;
	} while (!feof(file));
	*text = bytes;
	*len = size;
	bytes = NULL;
	return 0;
}

bool config_load(const char *path, struct config *config, struct cfg_error *err)
{
	struct loader loader = { .file = path, .err = err };
	auto_free char *text = NULL;
	size_t len = 0;
	int ret = file_read(path, &text, &len);

	if (ret < 0)
		return cfg_fail(&loader, (struct cfg_place){ 1, 1 }, "the file cannot be read: %s",
				strerror(-ret));
	return config_parse(text, len, path, config, err);
}
