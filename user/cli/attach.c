// SPDX-License-Identifier: GPL-2.0-only
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "cli/client.h"
#include "daemon/daemon.h"
#include "daemon/rundir.h"

static bool mode_parse(const char *word, enum cfg_attach *mode)
{
	static const char *const words[] = {
		[CFG_ATTACH_AUTO] = "auto", [CFG_ATTACH_NATIVE] = "native", [CFG_ATTACH_GENERIC] = "generic"
	};

	for (int i = 0; i < 3; i++) {
		if (!strcmp(words[i], word)) {
			*mode = (enum cfg_attach)i;
			return true;
		}
	}
	return false;
}

static json_t *request_make(const struct cli *cli, const char *mode)
{
	json_t *interfaces = json_array();

	for (size_t i = 0; i < cli->name_count; i++)
		json_array_append_new(interfaces, json_string(cli->names[i]));
	return json_pack("{s:s, s:o, s:s}", "verb", "attach", "interfaces", interfaces, "mode",
			 mode);
}

static void interfaces_print(const json_t *reply)
{
	const json_t *interfaces = json_object_get(reply, "interfaces");

	for (size_t i = 0; i < json_array_size(interfaces); i++) {
		const json_t *interface = json_array_get(interfaces, i);

		printf("%s: %s\n", json_string_value(json_object_get(interface, "name")),
		       json_string_value(json_object_get(interface, "mode")));
	}
}

/* ---- a daemon in the background */

#define BIRTH_BUSY 'b' /* another one was faster */
#define BIRTH_TRIES 10
#define BIRTH_PAUSE_MS 50

struct birth {
	int ready[2]; /* "r" when it serves, else its exit status or BIRTH_BUSY, and a line */
	struct daemon_options options;
	struct daemon_attach attach[CLI_MAX_NAMES];
};

/* Nothing of the caller's is held on to: no terminal, no descriptor, no directory. */
static bool descriptors_shed(const struct cli *cli, struct birth *birth)
{
	auto_free char *path = xasprintf("%s/" RUNDIR_LOG, cli->run_dir);
	int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0640);
	int null = open("/dev/null", O_RDONLY);

	if (log < 0 || null < 0)
		return false;
	dup2(null, STDIN_FILENO);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	birth->options.ready_fd = dup3(birth->ready[1], 3, O_CLOEXEC) < 0 ? birth->ready[1] : 3;
	close_range(4, ~0U, 0);
	if (birth->options.file[0] == '/' && cli->run_dir[0] == '/' && cli->bpffs[0] == '/' &&
	    chdir("/"))
		return false;
	return true;
}

static void daemon_live(const struct cli *cli, struct birth *birth)
{
	struct daemon_error err = { 0 };
	int status;

	setsid();
	if (!descriptors_shed(cli, birth))
		_exit(EXIT_FAILED);
	status = daemon_run(&birth->options, &err);
	if (status) {
		fprintf(stderr, "error: %s\n", err.text);
		dprintf(birth->options.ready_fd, "%c%s", err.busy ? BIRTH_BUSY : '0' + status,
			err.text);
	}
	_exit(status);
}

/* Waits for the daemon's first words: 0 it serves, BIRTH_BUSY, else its exit status, said on stderr. */
static int birth_await(const struct cli *cli, int fd)
{
	char text[1024];
	size_t len = 0;
	ssize_t got;

	while (len < sizeof(text) - 1 &&
	       (got = read(fd, text + len, sizeof(text) - 1 - len)) != 0) {
		if (got < 0 && errno != EINTR)
			break;
		len += got > 0 ? (size_t)got : 0;
		if (text[0] == 'r')
			return 0;
	}
	text[len] = '\0';
	if (len < 2)
		return cli_fail(cli, EXIT_FAILED, "the daemon ended before it served; see %s/%s",
				cli->run_dir, RUNDIR_LOG);
	if (text[0] == BIRTH_BUSY)
		return BIRTH_BUSY;
	if (text[0] == '0' + EXIT_USAGE) {
		fprintf(stderr, "%s\n", text + 1); /* FILE:LINE:COLUMN: what */
		return EXIT_USAGE;
	}
	return cli_fail(cli, EXIT_FAILED, "%s", text + 1);
}

static int daemon_start(const struct cli *cli, enum cfg_attach mode)
{
	struct birth birth = {
		.options = { .file = cli->option[OPTION_CONFIG],
			     .run_dir = cli->run_dir,
			     .bpffs = cli->bpffs,
			     .attach_count = cli->name_count },
	};
	int ret = rundir_make(cli->run_dir);
	pid_t child;

	if (ret)
		return cli_fail(cli, EXIT_FAILED, "%s: %s", cli->run_dir, strerror(-ret));
	if (!birth.options.file)
		birth.options.file = CLI_DEFAULT_CONFIG;
	birth.options.attach = birth.attach;
	for (size_t i = 0; i < cli->name_count; i++) {
		snprintf(birth.attach[i].name, sizeof(birth.attach[i].name), "%s", cli->names[i]);
		birth.attach[i].mode = mode;
	}
	if (pipe2(birth.ready, O_CLOEXEC))
		return cli_fail(cli, EXIT_FAILED, "pipe: %s", strerror(errno));
	fflush(NULL);
	child = fork();
	if (child < 0)
		return cli_fail(cli, EXIT_FAILED, "fork: %s", strerror(errno));
	if (child == 0)
		daemon_live(cli, &birth);
	close(birth.ready[1]);
	ret = birth_await(cli, birth.ready[0]);
	close(birth.ready[0]);
	return ret;
}

int cli_attach(const struct cli *cli)
{
	const char *word = cli->option[OPTION_MODE] ? cli->option[OPTION_MODE] : "auto";
	struct client_reply reply;
	enum cfg_attach mode;

	if (!mode_parse(word, &mode))
		return cli_fail(cli, EXIT_USAGE, "--mode: '%s' is not auto, native or generic",
				word);
	for (size_t i = 0; i < cli->name_count; i++) {
		if (strlen(cli->names[i]) >= IFNAMSIZ)
			return cli_fail(cli, EXIT_USAGE, "'%s' cannot be the name of an interface",
					cli->names[i]);
	}
	client_ask(cli, request_make(cli, word), &reply);
	for (int i = 0; reply.no_daemon && i < BIRTH_TRIES; i++) {
		int status = daemon_start(cli, mode);

		if (status && status != BIRTH_BUSY)
			return status;
		if (status)
			poll(NULL, 0, BIRTH_PAUSE_MS);
		/* Ours has attached them: it says how. Another's is asked to. */
		client_ask(cli, request_make(cli, word), &reply);
	}
	if (reply.no_daemon)
		return cli_fail(cli, EXIT_FAILED, "%s: another daemon starts there and ends again",
				cli->run_dir);
	if (reply.json)
		interfaces_print(reply.json);
	json_decref(reply.json);
	return reply.status;
}
