// SPDX-License-Identifier: GPL-2.0-only
/* Options as rows: parsing and help walk the same table. */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define EVERY_VERB (OPTION_BIT(OPTION_RUN_DIR) | OPTION_BIT(OPTION_BPFFS) | OPTION_BIT(OPTION_HELP))

static const struct row {
	const char *name;
	char letter; /* 0: none */
	const char *value; /* what it takes, NULL: a flag */
	const char *help;
} rows[OPTIONS] = {
	[OPTION_RUN_DIR] = { "run-dir", 0, "DIR",
			     "run directory (XDPLB_RUN_DIR; default /run/xdplb)" },
	[OPTION_BPFFS] = { "bpffs", 0, "DIR",
			   "directory of the pins (XDPLB_BPFFS; default /sys/fs/bpf/xdplb)" },
	[OPTION_HELP] = { "help", 'h', NULL, "this help" },
	[OPTION_CONFIG] = { "config", 'c', "FILE",
			    "configuration (default /etc/xdplb/xdplb.yaml)" },
	[OPTION_MODE] = { "mode", 0, "MODE", "auto (native, else generic), native or generic" },
	[OPTION_ALL] = { "all", 0, NULL, "all interfaces, and every pin" },
	[OPTION_JSON] = { "json", 0, NULL, "as JSON" },
	[OPTION_SERVICE] = { "service", 0, "NAME", "flows of this service" },
	[OPTION_BACKEND] = { "backend", 0, "ADDRESS[:PORT]", "flows to this backend" },
	[OPTION_CLIENT] = { "client", 0, "ADDRESS[:PORT]", "flows of this client" },
	[OPTION_VERBOSE] = { "verbose", 'v', NULL, "log more" },
	[OPTION_VERSION] = { "version", 0, NULL, "version" },
};

int cli_fail(const struct cli *cli, int status, const char *format, ...)
{
	char text[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "xdplb%s%s: %s\n", cli->verb ? " " : "", cli->verb ? cli->verb->name : "",
		text);
	return status;
}

/* ---- help */

static void option_help(const struct row *row)
{
	char left[40];

	snprintf(left, sizeof(left), "%s%c%s--%s%s%s", row->letter ? "-" : " ",
		 row->letter ? row->letter : ' ', row->letter ? ", " : "  ", row->name,
		 row->value ? " " : "", row->value ? row->value : "");
	printf("  %-30s %s\n", left, row->help);
}

static void options_help(unsigned int options)
{
	for (int i = 0; i < OPTIONS; i++) {
		if (options & OPTION_BIT(i))
			option_help(&rows[i]);
	}
}

void cli_help(const struct verb *verb)
{
	if (verb) {
		printf("usage: xdplb %s%s%s\n\n%s%s%s\noptions:\n", verb->name,
		       *verb->arguments ? " " : "", verb->arguments, verb->summary,
		       *verb->help ? "\n\n" : "\n", verb->help);
		options_help(verb->options);
		options_help(EVERY_VERB);
		return;
	}
	printf("usage: xdplb VERB [OPTION...]\n\nxdplb balances TCP and UDP connections in XDP.\n\n");
	for (size_t i = 0; i < verb_count; i++)
		printf("  %-10s %s\n", verbs[i].name, verbs[i].summary);
	printf("\noptions that every verb takes:\n");
	options_help(EVERY_VERB);
	printf("\n`xdplb VERB --help` says more. Exit status: 0 done, 1 it failed, 2 the command line\n"
	       "or the configuration is wrong.\n");
}

/* ---- parsing */

/* Arguments still to come. */
struct words {
	char **next;
	bool only_names; /* behind -- */
};

/* The row of @word, with *value behind its '=' or letter; OPTIONS: none. */
static int option_find(const char *word, const char **value)
{
	*value = NULL;
	for (int i = 0; i < OPTIONS; i++) {
		size_t len = strlen(rows[i].name);

		if (word[1] == '-' && !strncmp(word + 2, rows[i].name, len) &&
		    (!word[2 + len] || word[2 + len] == '=')) {
			*value = word[2 + len] ? word + 3 + len : NULL;
			return i;
		}
		if (rows[i].letter && word[1] == rows[i].letter) {
			*value = word[2] ? word + 2 : NULL;
			return i;
		}
	}
	return OPTIONS;
}

static bool option_take(struct cli *cli, const char *word, struct words *words)
{
	const char *value;
	int option = option_find(word, &value);

	if (option == OPTIONS) {
		cli_fail(cli, EXIT_USAGE, "unknown option '%s'; `xdplb %s--help` lists them", word,
			 cli->verb ? "VERB " : "");
		return false;
	}
	if (!rows[option].value) {
		if (value)
			cli_fail(cli, EXIT_USAGE, "'%s': --%s takes no value", word,
				 rows[option].name);
		cli->option[option] = "";
		return !value;
	}
	if (!value)
		value = *words->next ? *words->next++ : NULL;
	if (!value || !*value) {
		cli_fail(cli, EXIT_USAGE, "--%s needs a value: --%s %s", rows[option].name,
			 rows[option].name, rows[option].value);
		return false;
	}
	cli->option[option] = value;
	return true;
}

static int no_such_verb(const struct cli *cli, const char *word)
{
	if (!strcmp(word, "backend"))
		return cli_fail(cli, EXIT_USAGE,
				"backend: comes with direct server return, which is not built yet");
	return cli_fail(cli, EXIT_USAGE, "there is no verb '%s'; `xdplb help` lists them", word);
}

static bool name_take(struct cli *cli, const char *word)
{
	if (!cli->verb) {
		cli->verb = verb_find(word);
		if (!cli->verb)
			no_such_verb(cli, word);
		return cli->verb != NULL;
	}
	if (cli->name_count == cli->verb->max_names) {
		cli_fail(cli, EXIT_USAGE, "'%s' is one too many; usage: xdplb %s%s%s", word,
			 cli->verb->name, *cli->verb->arguments ? " " : "", cli->verb->arguments);
		return false;
	}
	cli->names[cli->name_count++] = word;
	return true;
}

static bool words_take(struct cli *cli, char **argv)
{
	struct words words = { .next = argv };

	while (*words.next) {
		const char *word = *words.next++;
		bool option = !words.only_names && word[0] == '-' && word[1];

		if (option && !strcmp(word, "--"))
			words.only_names = true;
		else if (!(option ? option_take(cli, word, &words) : name_take(cli, word)))
			return false;
	}
	return true;
}

/* All words are known; do they go together? */
static bool words_check(const struct cli *cli)
{
	const struct verb *verb = cli->verb;

	for (int i = 0; i < OPTIONS; i++) {
		if (!cli->option[i] || (verb->options | EVERY_VERB) & OPTION_BIT(i))
			continue;
		cli_fail(cli, EXIT_USAGE,
			 "--%s does not belong to it; `xdplb %s --help` lists "
			 "what does",
			 rows[i].name, verb->name);
		return false;
	}
	if (cli->name_count < verb->min_names) {
		cli_fail(cli, EXIT_USAGE, "something is missing; usage: xdplb %s %s", verb->name,
			 verb->arguments);
		return false;
	}
	return true;
}

static const char *setting(const struct cli *cli, enum cli_option option, const char *variable,
			   const char *otherwise)
{
	const char *value = cli->option[option];

	if (!value)
		value = getenv(variable);
	return value && *value ? value : otherwise;
}

/* Of a directory: a daemon may leave the one it was started in. Kept until the program ends. */
static const char *dir_setting(const struct cli *cli, enum cli_option option, const char *variable,
			       const char *otherwise)
{
	const char *dir = setting(cli, option, variable, otherwise);
	auto_free char *here = dir[0] == '/' ? NULL : getcwd(NULL, 0);

	return here ? xasprintf("%s/%s", here, dir) : dir;
}

enum cli_parsed cli_parse(int argc, char **argv, struct cli *cli)
{
	*cli = (struct cli){ 0 };
	if (!words_take(cli, argc > 0 ? argv + 1 : argv))
		return CLI_WRONG;
	cli->run_dir = dir_setting(cli, OPTION_RUN_DIR, "XDPLB_RUN_DIR", "/run/xdplb");
	cli->bpffs = dir_setting(cli, OPTION_BPFFS, "XDPLB_BPFFS", "/sys/fs/bpf/xdplb");
	if (cli->option[OPTION_HELP]) {
		cli_help(cli->verb);
		return CLI_DONE;
	}
	if (!cli->verb && cli->option[OPTION_VERSION])
		cli->verb = verb_find("version");
	if (!cli->verb) {
		cli_fail(cli, EXIT_USAGE, "a verb is missing; `xdplb help` lists them");
		return CLI_WRONG;
	}
	cli->option[OPTION_VERSION] = NULL;
	return words_check(cli) ? CLI_RUN : CLI_WRONG;
}

int cli_help_verb(const struct cli *cli)
{
	const struct verb *verb = cli->name_count ? verb_find(cli->names[0]) : NULL;

	if (cli->name_count && !verb)
		return no_such_verb(cli, cli->names[0]);
	cli_help(verb);
	return 0;
}
