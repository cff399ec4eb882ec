/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_API_REQUEST_H
#define XDPLB_API_REQUEST_H

/*
 * A line that came in by the control socket, as data. The sender is root, yet
 * nothing is taken on trust: what is not exactly a request is none.
 *
 *	{"verb":"attach","interfaces":["eth0"],"mode":"native"}
 */
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#define REQUEST_MAX_BYTES 65536
#define REQUEST_MAX_INTERFACES 64

enum request_verb {
	REQUEST_STATUS,
	REQUEST_RELOAD,
	REQUEST_ATTACH,
	REQUEST_DETACH,
	REQUEST_STOP
};

struct request {
	enum request_verb verb;
	char interfaces[REQUEST_MAX_INTERFACES][IFNAMSIZ];
	size_t interface_count;
	char mode[16]; /* attach: auto, native or generic */
	bool all; /* detach */
};

/* False: @why says what is wrong with it, @request is untouched. */
bool request_parse(const char *line, size_t len, struct request *request, char why[128]);

#endif /* XDPLB_API_REQUEST_H */
