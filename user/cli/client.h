/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_CLI_CLIENT_H
#define XDPLB_CLI_CLIENT_H

/* The other end of the control socket: one request, one reply, waiting. */
#include <jansson.h>

#include "cli/cli.h"

struct client_reply {
	json_t *json; /* {"ok":true,...}: the caller's; NULL: it failed */
	int status; /* exit status where it failed; the line on stderr has been printed */
	bool no_daemon; /* it failed because none runs; nothing has been printed */
	int pid; /* of the daemon that answered, 0: not known */
};

/* Sends @request, which is taken over. A daemon that is just starting is waited for. */
void client_ask(const struct cli *cli, json_t *request, struct client_reply *reply);

/* Same; that no daemon runs is an error too, and has been printed. */
void client_ask_running(const struct cli *cli, json_t *request, struct client_reply *reply);

/* Waits until process @pid is gone; false: it is still there after a while. */
bool client_await_end(int pid);

#endif /* XDPLB_CLI_CLIENT_H */
