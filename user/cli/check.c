// SPDX-License-Identifier: GPL-2.0-only
#include "cli/cli.h"

#include <stdio.h>

int cli_check(const struct cli *cli)
{
	struct config config = { 0 };
	struct cfg_error err;

	if (!config_load(cli->names[0], &config, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < config.warning_count; i++)
		fprintf(stderr, "warning: %s\n", config.warnings[i]);
	printf("%s: ok\n", cli->names[0]);
	config_free(&config);
	return 0;
}
