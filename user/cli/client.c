// SPDX-License-Identifier: GPL-2.0-only
#include "cli/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "daemon/rundir.h"

#define START_PATIENCE_MS 10000
#define START_POLL_MS 50
#define REPLY_PATIENCE_MS 60000
#define END_PATIENCE_MS 15000

/* A descriptor, or -errno. */
static int try_connect(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path));
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)))
		return -errno;
	return take_fd(&fd);
}

/* -ESRCH: no daemon runs. */
static int patient_connect(const struct cli *cli, const char *path)
{
	for (int waited_ms = 0;; waited_ms += START_POLL_MS) {
		int fd = try_connect(path);

		if (fd >= 0 || (fd != -ENOENT && fd != -ECONNREFUSED))
			return fd;
		if (rundir_holder(cli->run_dir) <= 0)
			return -ESRCH;
		if (waited_ms >= START_PATIENCE_MS)
			return -ETIMEDOUT;
		poll(NULL, 0, START_POLL_MS);
	}
}

static int send_line(int fd, json_t *request)
{
	auto_free char *text = json_dumps(request, JSON_COMPACT);
	auto_free char *line = xasprintf("%s\n", text ? text : "");
	size_t len = strlen(line), sent = 0;

	while (sent < len) {
		ssize_t n = send(fd, line + sent, len - sent, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return -errno;
		sent += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* The line without its end, or NULL with errno; the caller frees it. */
static char *receive_line(int fd)
{
	size_t size = 65536, len = 0;
	char *line = xcalloc(size, 1);

	for (;;) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		int polled = poll(&ready, 1, REPLY_PATIENCE_MS);
		ssize_t got = polled > 0 ? read(fd, line + len, size - len) : -1;

		if (!polled)
			errno = ETIMEDOUT;
		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = ECONNRESET;
		if (got <= 0)
			break;
		len += (size_t)got;
		if (line[len - 1] == '\n') {
			line[len - 1] = '\0';
			return line;
		}
		if (len == size)
			line = xrealloc(line, size *= 2, 1);
	}
	free(line);
	return NULL;
}

static int peer_pid(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) ? 0 : cred.pid;
}

static void reply_take(const struct cli *cli, const char *line, struct client_reply *reply)
{
	json_t *json = json_loads(line, 0, NULL), *status;
	const char *error;

	if (json_is_true(json_object_get(json, "ok"))) {
		reply->json = json;
		reply->status = 0;
		return;
	}
	error = json_string_value(json_object_get(json, "error"));
	status = json_object_get(json, "status");
	if (json_is_integer(status))
		reply->status = (int)json_integer_value(status);
	if (reply->status == EXIT_USAGE && error)
		fprintf(stderr, "%s\n", error); /* FILE:LINE:COLUMN: what */
	else
		cli_fail(cli, reply->status, "%s",
			 error ? error : "the daemon's reply is none: is it another version?");
	json_decref(json);
}

static void converse(const struct cli *cli, const char *path, json_t *request,
		     struct client_reply *reply)
{
	auto_fd int fd = patient_connect(cli, path);
	auto_free char *line = NULL;
	int ret;

	if (fd == -ESRCH) {
		reply->no_daemon = true;
		return;
	}
	if (fd == -ETIMEDOUT) {
		cli_fail(cli, reply->status,
			 "the daemon, pid %d, is still starting; its log says why",
			 rundir_holder(cli->run_dir));
		return;
	}
	if (fd < 0) {
		cli_fail(cli, reply->status, "%s: %s", path, strerror(-fd));
		return;
	}
	reply->pid = peer_pid(fd);
	ret = send_line(fd, request);
	line = ret ? NULL : receive_line(fd);
	if (!line) {
		cli_fail(cli, reply->status, "%s: the daemon, pid %d, did not answer: %s", path,
			 reply->pid, strerror(ret ? -ret : errno));
		return;
	}
	reply_take(cli, line, reply);
}

void client_ask(const struct cli *cli, json_t *request, struct client_reply *reply)
{
	auto_free char *path = xasprintf("%s/" RUNDIR_SOCKET, cli->run_dir);

	*reply = (struct client_reply){ .status = EXIT_FAILED };
	converse(cli, path, request, reply);
	json_decref(request);
}

void client_ask_running(const struct cli *cli, json_t *request, struct client_reply *reply)
{
	client_ask(cli, request, reply);
	if (reply->no_daemon)
		cli_fail(cli, reply->status,
			 "no daemon runs in %s; `xdplb run` or `xdplb attach` starts one, "
			 "--run-dir names another directory",
			 cli->run_dir);
}

bool client_await_end(int pid)
{
	auto_fd int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd ended = { .fd = fd, .events = POLLIN };

	return fd < 0 || poll(&ended, 1, END_PATIENCE_MS) > 0;
}
