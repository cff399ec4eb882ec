// SPDX-License-Identifier: GPL-2.0-only
#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "cli/client.h"
#include "daemon/rundir.h"

/* By signal, not by the control socket: one that is still starting, or hangs, is ended too. */
int cli_stop(const struct cli *cli)
{
	int pid = rundir_holder(cli->run_dir);

	if (pid < 0)
		return cli_fail(cli, EXIT_FAILED, "%s/" RUNDIR_LOCK ": %s", cli->run_dir,
				strerror(-pid));
	if (!pid || (kill(pid, SIGTERM) && errno == ESRCH))
		return 0;
	if (!client_await_end(pid))
		return cli_fail(cli, EXIT_FAILED,
				"the daemon, pid %d, does not end; kill -9 %d leaves the datapath "
				"forwarding too",
				pid, pid);
	return 0;
}
