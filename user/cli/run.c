// SPDX-License-Identifier: GPL-2.0-only
#include "cli/cli.h"

#include <stdio.h>

#include "base/log.h"
#include "daemon/daemon.h"

int cli_run(const struct cli *cli)
{
	struct daemon_options options = {
		.file = cli->option[OPTION_CONFIG],
		.run_dir = cli->run_dir,
		.bpffs = cli->bpffs,
		.ready_fd = -1,
	};
	struct daemon_error err = { 0 };
	int status;

	if (!options.file)
		options.file = CLI_DEFAULT_CONFIG;
	if (cli->option[OPTION_VERBOSE])
		log_level = LOG_LEVEL_DEBUG;
	status = daemon_run(&options, &err);
	if (status == EXIT_USAGE)
		fprintf(stderr, "%s\n", err.text); /* FILE:LINE:COLUMN: what */
	else if (status)
		cli_fail(cli, status, "%s", err.text);
	return status;
}
