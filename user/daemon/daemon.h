/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_DAEMON_H
#define XDPLB_DAEMON_H

/*
 * The daemon from outside: what `xdplb run` and `xdplb attach` start.
 */
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

struct daemon_attach {
	char name[IFNAMSIZ];
	enum cfg_attach mode;
};

struct daemon_options {
	const char *file; /* the configuration */
	const char *run_dir;
	const char *bpffs;
	const struct daemon_attach *attach; /* to attach beside those of the file */
	size_t attach_count;
	int ready_fd; /* a byte is written here when traffic is served, -1: nobody waits */
};

struct daemon_error {
	char text[512];
	bool busy; /* another daemon has the run directory */
};

/*
 * Runs until it is told to stop. Exit status: 0 stopped, 1 it failed, 2 the
 * configuration is wrong; when it is not 0, @err is one line that says why.
 */
int daemon_run(const struct daemon_options *options, struct daemon_error *err);

#endif /* XDPLB_DAEMON_H */
