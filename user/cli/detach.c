// SPDX-License-Identifier: GPL-2.0-only
#include "cli/cli.h"

#include <stdio.h>

#include "cli/client.h"

static int detach_all(const struct cli *cli)
{
	struct client_reply reply;
	struct dp_error err;

	client_ask(cli, json_pack("{s:s, s:b}", "verb", "detach", "all", 1), &reply);
	json_decref(reply.json);
	if (!reply.no_daemon && reply.status)
		return reply.status;
	if (reply.pid && !client_await_end(reply.pid))
		return cli_fail(cli, EXIT_FAILED, "the daemon, pid %d, does not end", reply.pid);
	/* Also where the daemon did so, or died in the middle of it: what is left goes. */
	if (dataplane_detach_all(cli->bpffs, &err))
		return cli_fail(cli, EXIT_FAILED, "%s", err.text);
	return 0;
}

static int detach_pins(const struct cli *cli)
{
	struct dp_error err;

	for (size_t i = 0; i < cli->name_count; i++) {
		if (dataplane_detach(cli->bpffs, cli->names[i], &err))
			return cli_fail(cli, EXIT_FAILED, "%s", err.text);
	}
	return 0;
}

int cli_detach(const struct cli *cli)
{
	json_t *interfaces;
	struct client_reply reply;

	if (!cli->option[OPTION_ALL] == !cli->name_count)
		return cli_fail(cli, EXIT_USAGE, "name interfaces, or --all");
	if (cli->option[OPTION_ALL])
		return detach_all(cli);
	interfaces = json_array();
	for (size_t i = 0; i < cli->name_count; i++)
		json_array_append_new(interfaces, json_string(cli->names[i]));
	client_ask(cli, json_pack("{s:s, s:o}", "verb", "detach", "interfaces", interfaces),
		   &reply);
	json_decref(reply.json);
	return reply.no_daemon ? detach_pins(cli) : reply.status;
}
