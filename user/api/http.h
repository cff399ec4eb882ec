/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_API_HTTP_H
#define XDPLB_API_HTTP_H

/*
 * The HTTP server: /metrics, /healthz, /api/v1/status. Only reads. What it
 * shows is gathered when it is asked for.
 */
#include "api/snapshot.h"

struct event_base;
struct http;

/* Fills @snapshot, which the server frees with snapshot_free() before the event loop goes on. */
typedef void http_gather_fn(void *arg, struct snapshot *snapshot);

struct http_source {
	http_gather_fn *metrics, *status;
	void *arg;
};

/* @source is copied. */
struct http *http_new(struct event_base *base, const struct http_source *source);
void http_free(struct http *http); /* NULL is allowed */

/* Listens at "ADDRESS:PORT" or "[ADDRESS]:PORT": the descriptor, not served yet, or -errno. */
int http_open(const char *address);

/* Serves @fd, which it takes over, instead of what it served; negative: nothing. */
void http_serve(struct http *http, int fd);
bool http_serving(const struct http *http);

#endif /* XDPLB_API_HTTP_H */
