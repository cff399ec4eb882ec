// SPDX-License-Identifier: GPL-2.0-only
#include "cli/cli.h"

#include <stdio.h>

#include "cli/client.h"

int cli_reload(const struct cli *cli)
{
	struct client_reply reply;
	const char *changes;

	client_ask_running(cli, json_pack("{s:s}", "verb", "reload"), &reply);
	changes = json_string_value(json_object_get(reply.json, "changes"));
	if (changes)
		fputs(*changes ? changes : "nothing changed\n", stdout);
	json_decref(reply.json);
	return reply.status;
}
