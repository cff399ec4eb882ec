// SPDX-License-Identifier: GPL-2.0-only
#include "config/doc.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "config/load.h"

/* ---- what both say of a row */
static void words_describe(FILE *out, const struct word *words, bool later)
{
	const char *glue = "";

	for (; words->word; words++) {
		if (words->later != later)
			continue;
		fprintf(out, "%s`%s`", glue, words->word);
		glue = ", ";
	}
}

static bool words_have_later(const struct word *words)
{
	for (; words->word; words++)
		if (words->later)
			return true;
	return false;
}

/* Type and range: "number from 0 to 1000", "one of `a`, `b`". */
static void field_describe(FILE *out, const struct field *field)
{
	switch (field->type) {
	case FIELD_WORD:
		fputs("one of ", out);
		words_describe(out, field->words, false);
		if (!words_have_later(field->words))
			return;
		fputs(" (not built yet: ", out);
		words_describe(out, field->words, true);
		fputs(")", out);
		return;
	case FIELD_NUMBER:
	case FIELD_HTTP_STATUS:
	case FIELD_NAT_PORTS:
		fprintf(out, "%s from %u to %u", field_type_name(field->type), field->min,
			field->max);
		break;
	case FIELD_DURATION:
		fprintf(out, "%s from %s to %s", field_type_name(field->type),
			duration_text(field->min).text, duration_text(field->max).text);
		break;
	default:
		fputs(field_type_name(field->type), out);
	}
	if (field->many)
		fputs(", or a list of them", out);
	if (field->type == FIELD_NAT_ADDRESS)
		fprintf(out, ", %u of a family at most", field->max);
	else if (field->counter)
		fprintf(out, ", %u at most in all", field->max);
}

/* ---- the manual */
static void row_markdown(FILE *out, const struct mapping *mapping, const struct field *field)
{
	fprintf(out, "| `%s` | ", field->key);
	field_describe(out, field);
	if (field->required)
		fputs(" | required", out);
	else if (field->def)
		fprintf(out, " | `%s`%s%s", field->def, field->unit ? " " : "",
			field->unit ? field->unit : "");
	else
		fprintf(out, " | %s", field->left_out ? field->left_out : "");
	fprintf(out, " | %s%s%s%s |\n", field->help, field->only ? " Only with " : "",
		field->only ? only_text(mapping, field, "`").text : "", field->only ? "." : "");
}

static void section_markdown(FILE *out, const struct mapping *mapping)
{
	fprintf(out, "\n## %s\n\n", mapping->title);
	if (mapping->help)
		fprintf(out, "%s\n\n", mapping->help);
	if (mapping->example)
		fprintf(out, "```yaml\n%s```\n\n", mapping->example);
	fputs("| Key | Value | Left out | Meaning |\n|---|---|---|---|\n", out);
	for (const struct field *field = mapping->fields; field->type != FIELD_END; field++)
		row_markdown(out, mapping, field);
	for (const struct field *field = mapping->fields; field->type != FIELD_END; field++)
		if (field->mapping)
			section_markdown(out, field->mapping);
}

void config_doc_markdown(FILE *out)
{
	fputs("# Configuration\n"
	      "\n"
	      "<!-- Written by `build/configdoc markdown` from user/config/schema.c. -->\n"
	      "\n"
	      "One YAML file. `xdplb check FILE` says whether it is right, and if not, where and\n"
	      "why: `lb.yaml:3:9: ...` is line 3, column 9. A daemon that runs takes a changed\n"
	      "file as a whole or, if anything in it is wrong, not at all.\n"
	      "\n"
	      "Durations are written `250ms`, `2s`, `5m`, `1h`. IPv6 addresses with a port stand\n"
	      "in brackets, and a value that starts with a bracket in quotes:\n"
	      "`\"[2001:db8::1]:80\"`. Anchors and aliases (`&name`, `*name`) work, merge keys\n"
	      "(`<<`) do not. [full.yaml](../configs/full.yaml) shows every key,\n"
	      "[minimal.yaml](../configs/minimal.yaml) the fewest.\n",
	      out);
	section_markdown(out, &top_mapping);
}

/* ---- the sample */
#define SAMPLE_COLUMNS 98

/* @text as comment lines. */
static void comment_yaml(FILE *out, const char *text, int indent)
{
	int column = SAMPLE_COLUMNS;

	for (bool first = true; *text; first = false) {
		int len = (int)strcspn(text, " ");

		if (column + 1 + len > SAMPLE_COLUMNS) {
			fprintf(out, "%s%*s#", first ? "" : "\n", indent, "");
			column = indent + 1;
		}
		fprintf(out, " %.*s", len, text);
		column += 1 + len;
		text += len + (text[len] == ' ');
	}
	fputs("\n", out);
}

static void field_comment_yaml(FILE *out, const struct mapping *mapping, const struct field *field,
			       int indent)
{
	auto_free char *text = NULL;
	size_t len = 0;
	FILE *memory = open_memstream(&text, &len);

	if (!memory)
		return;
	fprintf(memory, "%s", field->help);
	if (!field->mapping) {
		fputs(" Value: ", memory);
		field_describe(memory, field);
		if (field->only)
			fprintf(memory, ", with %s", only_text(mapping, field, "").text);
		fputs(".", memory);
	}
	if (field->required)
		fputs(" Required.", memory);
	else if (field->def)
		fprintf(memory, " Default: %s.", field->def);
	else if (field->left_out)
		fprintf(memory, " Left out: %s.", field->left_out);
	fclose(memory);
	comment_yaml(out, text, indent);
}

static void fields_yaml(FILE *out, const struct mapping *mapping, int indent, bool element);

/* What stands below "key:". */
static void structure_yaml(FILE *out, const struct field *field, int indent)
{
	const char *line = field->example;

	if (field->type == FIELD_NAMED)
		fprintf(out, "%*s%s:\n", indent, "", line);
	if (field->type != FIELD_LIST) {
		fields_yaml(out, field->mapping, field->type == FIELD_NAMED ? indent + 2 : indent,
			    false);
		return;
	}
	fields_yaml(out, field->mapping, indent + 2, true);
	while (line && *line) {
		int len = (int)strcspn(line, "\n");

		fprintf(out, "%*s- %.*s\n", indent, "", len, line);
		line += len + (line[len] == '\n');
	}
}

/* @element: of a list, so that a dash precedes the first key. */
static void fields_yaml(FILE *out, const struct mapping *mapping, int indent, bool element)
{
	const struct field *fields = mapping->fields;

	for (const struct field *field = fields; field->type != FIELD_END; field++) {
		bool dash = element && field == fields;
		bool off = field->left_out && !field->shown;
		const char *value = field->example ? field->example : field->def;

		if (!indent && field != fields)
			fputs("\n", out);
		field_comment_yaml(out, mapping, field, indent);
		fprintf(out, "%*s%s%s%s:", dash ? indent - 2 : indent, "", dash ? "- " : "",
			off ? "# " : "", field->key);
		if (field->mapping) {
			fputs("\n", out);
			structure_yaml(out, field, indent + 2);
		} else {
			fprintf(out, "%s%s\n", value ? " " : "", value ? value : "");
		}
	}
}

void config_doc_yaml(FILE *out)
{
	fputs("# Every key of the configuration, with its default or an example. Written by\n"
	      "# `build/configdoc yaml`; the manual is docs/configuration.md.\n\n",
	      out);
	fields_yaml(out, &top_mapping, 0, false);
}
