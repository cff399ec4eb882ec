// SPDX-License-Identifier: GPL-2.0-only
/* The table of verbs. */
#include "cli/cli.h"

#include <string.h>

#define BIT OPTION_BIT

const struct verb verbs[] = {
	{ "run", "-c FILE", "run the daemon in the foreground",
	  "Loads the datapath or adopts the pinned one, attaches the interfaces of FILE, probes\n"
	  "the backends and prints a line with the word `ready` on stderr when traffic is served.\n"
	  "SIGHUP reloads FILE. SIGTERM and SIGINT end the daemon; the datapath goes on.\n",
	  BIT(OPTION_CONFIG) | BIT(OPTION_VERBOSE), 0, 0, cli_run },
	{ "attach", "IFACE... [-c FILE] [--mode MODE]", "attach the datapath to interfaces",
	  "A running daemon is asked to. Where none runs, one is started in the background from\n"
	  "FILE, with its log in the run directory; the call returns once traffic is served.\n",
	  BIT(OPTION_CONFIG) | BIT(OPTION_MODE), 1, CLI_MAX_NAMES, cli_attach },
	{ "detach", "IFACE...|--all", "take the datapath off interfaces",
	  "Works with and without a daemon. With --all a running daemon ends, every pin is\n"
	  "removed, and nothing of xdplb is left in the kernel.\n",
	  BIT(OPTION_ALL), 0, CLI_MAX_NAMES, cli_detach },
	{ "stop", "", "end the daemon; the datapath goes on forwarding",
	  "The next daemon adopts the datapath with all its flows. Where no daemon runs there is\n"
	  "nothing to do, which is no error.\n",
	  0, 0, 0, cli_stop },
	{ "reload", "", "make the daemon read its file again",
	  "All of the file is taken up and what changed is printed, or nothing is and the error\n"
	  "says why: exit status 2 and FILE:LINE:COLUMN where the file is wrong.\n",
	  0, 0, 0, cli_reload },
	{ "check", "FILE", "validate a configuration file, offline",
	  "Exit status 2 and FILE:LINE:COLUMN: WHAT on stderr where it is wrong. What is allowed\n"
	  "and yet doubtful is warned of.\n",
	  0, 1, 1, cli_check },
	{ "status", "[--json]", "show interfaces, services, pools and backends", "",
	  BIT(OPTION_JSON), 0, 0, cli_status },
	{ "flows", "[--json] [--service NAME] [--backend ADDRESS] [--client ADDRESS]",
	  "show the flow table",
	  "Reads the pinned maps: works without a daemon too. Filters that are given must all\n"
	  "hold.\n",
	  BIT(OPTION_JSON) | BIT(OPTION_SERVICE) | BIT(OPTION_BACKEND) | BIT(OPTION_CLIENT), 0, 0,
	  cli_flows },
	{ "version", "", "show version, datapath ABI, libbpf and kernel", "", 0, 0, 0,
	  cli_version },
	{ "help", "[VERB]", "show help", "", 0, 0, 1, cli_help_verb },
};

const size_t verb_count = sizeof(verbs) / sizeof(verbs[0]);

/* Not for users, so in no list: what the daemon starts. */
static const struct verb worker = { "worker",
				    "",
				    "read what clients of sniffed services say, for the daemon",
				    "Started by the daemon, not by hand.\n",
				    0,
				    0,
				    0,
				    cli_worker };

const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < verb_count; i++) {
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	}
	return strcmp(worker.name, name) ? NULL : &worker;
}
