// SPDX-License-Identifier: GPL-2.0-only
#include "api/http.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include "api/metrics.h"
#include "api/status.h"
#include "base/alloc.h"
#include "base/cleanup.h"

struct http {
	struct evhttp *server;
	struct evhttp_bound_socket *bound; /* NULL: not listening */
	struct http_source source;
};

static void render_health(struct http *http, struct evbuffer *out)
{
	(void)http;
	evbuffer_add(out, "ok\n", 3);
}

static void render_metrics(struct http *http, struct evbuffer *out)
{
	struct snapshot snapshot = { 0 };

	http->source.metrics(http->source.arg, &snapshot);
	metrics_render(&snapshot, out);
	snapshot_free(&snapshot);
}

static void render_status(struct http *http, struct evbuffer *out)
{
	struct snapshot snapshot = { 0 };
	json_t *document;

	http->source.status(http->source.arg, &snapshot);
	document = status_document(&snapshot);
	json_render(document, out);
	evbuffer_add(out, "\n", 1);
	json_decref(document);
	snapshot_free(&snapshot);
}

static const struct route {
	const char *path, *content_type;
	void (*render)(struct http *http, struct evbuffer *out);
} routes[] = {
	{ "/metrics", METRICS_CONTENT_TYPE, render_metrics },
	{ "/healthz", "text/plain; charset=utf-8", render_health },
	{ "/api/v1/status", "application/json", render_status },
};

static const struct route *route_find(struct evhttp_request *request)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));

	for (size_t i = 0; path && i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (!strcmp(routes[i].path, path))
			return &routes[i];
	}
	return NULL;
}

static void header_add(struct evhttp_request *request, const char *name, const char *value)
{
	evhttp_add_header(evhttp_request_get_output_headers(request), name, value);
}

/* A HEAD is answered with the length of what a GET would get, and without it. */
static void reply(struct evhttp_request *request, int code, struct evbuffer *body)
{
	char length[24];

	snprintf(length, sizeof(length), "%zu", evbuffer_get_length(body));
	header_add(request, "Content-Length", length);
	if (evhttp_request_get_command(request) == EVHTTP_REQ_HEAD)
		evbuffer_drain(body, evbuffer_get_length(body));
	evhttp_send_reply(request, code, NULL, body);
	evbuffer_free(body);
}

static void on_request(struct evhttp_request *request, void *arg)
{
	enum evhttp_cmd_type command = evhttp_request_get_command(request);
	const struct route *route = route_find(request);
	struct evbuffer *body = evbuffer_new();

	header_add(request, "X-Content-Type-Options", "nosniff");
	if (!route) {
		header_add(request, "Content-Type", "text/plain; charset=utf-8");
		evbuffer_add_printf(body, "There is /metrics, /healthz and /api/v1/status.\n");
		reply(request, HTTP_NOTFOUND, body);
		return;
	}
	if (command != EVHTTP_REQ_GET && command != EVHTTP_REQ_HEAD) {
		header_add(request, "Allow", "GET, HEAD");
		reply(request, HTTP_BADMETHOD, body);
		return;
	}
	header_add(request, "Content-Type", route->content_type);
	header_add(request, "Cache-Control", "no-store");
	route->render(arg, body);
	reply(request, HTTP_OK, body);
}

struct http *http_new(struct event_base *base, const struct http_source *source)
{
	struct http *http = xcalloc(1, sizeof(*http));

	http->server = evhttp_new(base);
	http->source = *source;
	evhttp_set_gencb(http->server, on_request, http);
	evhttp_set_timeout(http->server, 10);
	evhttp_set_max_headers_size(http->server, 16384);
	evhttp_set_max_body_size(http->server, 16384);
	/* All of them come to on_request(), which names the two that there are. */
	evhttp_set_allowed_methods(
		http->server, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
				      EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
				      EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
	return http;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	evhttp_free(http->server);
	free(http);
}

int http_open(const char *address)
{
	struct sockaddr_storage addr;
	int len = sizeof(addr), one = 1;
	auto_fd int fd = -1;

	if (evutil_parse_sockaddr_port(address, (struct sockaddr *)&addr, &len))
		return -EINVAL;
	fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&addr, (socklen_t)len) || listen(fd, 128))
		return -errno;
	return take_fd(&fd);
}

void http_serve(struct http *http, int fd)
{
	if (http->bound)
		evhttp_del_accept_socket(http->server, http->bound);
	http->bound = fd < 0 ? NULL : evhttp_accept_socket_with_handle(http->server, fd);
}

bool http_serving(const struct http *http)
{
	return http->bound != NULL;
}
