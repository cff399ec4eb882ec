// SPDX-License-Identifier: GPL-2.0-only
#include "cli/cli.h"

#include "worker/worker.h"

/* What the daemon starts: worker.h. */
int cli_worker(const struct cli *cli)
{
	(void)cli;
	return worker_main();
}
