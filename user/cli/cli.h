/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_CLI_H
#define XDPLB_CLI_H

/*
 * The command line. A verb is a file with one function and a row in verbs.c;
 * options are rows too, and help is made from both. Exit status: 0 done, 1 it
 * failed, 2 the command line or the configuration is wrong; errors are one line
 * on stderr.
 */
#include <stdbool.h>
#include <stddef.h>

#include "dataplane/dataplane.h"

#define EXIT_FAILED 1
#define EXIT_USAGE 2

#define CLI_MAX_NAMES 64
#define CLI_DEFAULT_CONFIG "/etc/xdplb/xdplb.yaml"

enum cli_option {
	OPTION_RUN_DIR,
	OPTION_BPFFS,
	OPTION_HELP,
	OPTION_CONFIG,
	OPTION_MODE,
	OPTION_ALL,
	OPTION_JSON,
	OPTION_SERVICE,
	OPTION_BACKEND,
	OPTION_CLIENT,
	OPTION_VERBOSE,
	OPTION_VERSION,
	OPTIONS
};

#define OPTION_BIT(option) (1U << (option))

struct cli {
	const struct verb *verb;
	/* By enum cli_option: what was given, NULL: not given. A flag's is "". */
	const char *option[OPTIONS];
	const char *run_dir, *bpffs; /* with their defaults */
	const char *names[CLI_MAX_NAMES]; /* what is no option: interfaces, a file */
	size_t name_count;
};

struct verb {
	const char *name;
	const char *arguments; /* for the line of usage */
	const char *summary; /* one line */
	const char *help; /* more, paragraphs that end with a newline; may be "" */
	unsigned int options; /* OPTION_BIT()s beside the ones every verb takes */
	size_t min_names, max_names;
	int (*run)(const struct cli *cli);
};

extern const struct verb verbs[];
extern const size_t verb_count;

/* NULL: there is none. */
const struct verb *verb_find(const char *name);

/*
 * Takes @argv apart. 0: go on; else the exit status: help or version was asked
 * for (said on stdout) or something is wrong (said on stderr).
 */
enum cli_parsed {
	CLI_RUN,
	CLI_DONE,
	CLI_WRONG
};
enum cli_parsed cli_parse(int argc, char **argv, struct cli *cli);

void cli_help(const struct verb *verb); /* NULL: of the program */

/* Prints "xdplb VERB: ..." on stderr and returns @status. */
__attribute__((format(printf, 3, 4))) int cli_fail(const struct cli *cli, int status,
						   const char *format, ...);

/* Verbs. */
int cli_run(const struct cli *cli);
int cli_attach(const struct cli *cli);
int cli_detach(const struct cli *cli);
int cli_stop(const struct cli *cli);
int cli_reload(const struct cli *cli);
int cli_check(const struct cli *cli);
int cli_status(const struct cli *cli);
int cli_flows(const struct cli *cli);
int cli_version(const struct cli *cli);
int cli_worker(const struct cli *cli);
int cli_help_verb(const struct cli *cli);

#endif /* XDPLB_CLI_H */
