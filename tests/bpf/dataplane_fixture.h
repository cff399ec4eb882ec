/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_DATAPLANE_FIXTURE_H
#define XDPLB_DATAPLANE_FIXTURE_H

/*
 * A network namespace, a mount namespace and a bpffs of the test's own, so that
 * it may do what it likes and leaves nothing. Needs root.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dataplane/dataplane.h"

#include "../unit/model_fixture.h"

__attribute__((format(printf, 1, 2))) static inline int sh(const char *format, ...)
{
	char command[1024];
	va_list args;
	int status;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	status = system(command); // NOLINT(cert-env33-c)
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define run(...) assert_int_equal(sh(__VA_ARGS__), 0)

/* The last word of what @command prints. */
static inline long number_from(const char *command)
{
	FILE *pipe = popen(command, "r"); // NOLINT(cert-env33-c)
	char word[64] = "";

	assert_non_null(pipe);
	while (fscanf(pipe, "%63s", word) == 1)
		;
	pclose(pipe);
	return strtol(word, NULL, 10);
}

/* A process that does nothing in a network namespace of its own: the other end of the wires. */
static inline pid_t peer_start(void)
{
	int pipes[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (!pid) {
		if (unshare(CLONE_NEWNET) || write(pipes[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	close(pipes[0]);
	close(pipes[1]);
	return pid;
}

static inline void peer_stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static inline bool fixture_isolate(void)
{
	return !unshare(CLONE_NEWNET | CLONE_NEWNS) &&
	       !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) && !sh("ip link set lo up");
}

#endif /* XDPLB_DATAPLANE_FIXTURE_H */
