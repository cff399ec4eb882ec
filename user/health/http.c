// SPDX-License-Identifier: GPL-2.0-only
/* Type http: a GET is answered with an expected status and, if asked for, a text in the body. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "health/http_reply.h"
#include "health/probe.h"

#define READ_BYTES 16384 /* a turn of the loop */

struct http_run {
	struct event *event; /* writable until the request is out, then readable */
	int fd;
	char *request;
	size_t request_len, sent;
	struct http_reply reply;
};

static void http_cancel(struct probe *probe)
{
	struct http_run *run = probe->run;

	event_free(run->event);
	close(run->fd);
	free(run->request);
	http_reply_release(&run->reply);
	free(run);
	probe->run = NULL;
}

static void http_failed(struct probe *probe, int error)
{
	http_cancel(probe);
	probe_failed(probe, error);
}

static bool status_expected(const struct cfg_health *health, uint32_t status)
{
	for (uint32_t i = 0; i < health->expect_count; i++)
		if (health->expect[i] == status)
			return true;
	return false;
}

/* "status 503, expected 200, 204" */
static void status_wrong(struct probe *probe, uint32_t status)
{
	const struct cfg_health *health = probe->health;
	char codes[CFG_MAX_EXPECT * 12] = "";
	int len = 0;

	for (uint32_t i = 0; i < health->expect_count; i++)
		len += snprintf(codes + len, sizeof(codes) - (size_t)len, "%s%u", i ? ", " : "",
				health->expect[i]);
	probe_done(probe, false, "status %u, expected %s", status, codes);
}

static void http_decide(struct probe *probe, enum http_verdict verdict)
{
	struct http_run *run = probe->run;
	const struct http_reply *reply = &run->reply;
	uint32_t status = reply->status;
	bool cut = reply->body_seen == HTTP_BODY_BYTES;
	const char *error = reply->error;

	http_cancel(probe);
	if (verdict == HTTP_BROKEN)
		probe_done(probe, false, "%s", error);
	else if (!status_expected(probe->health, status))
		status_wrong(probe, status);
	else if (verdict == HTTP_LACKS)
		probe_done(probe, false, "body lacks '%.60s'%s", probe->health->body,
			   cut ? " in its first 64 KiB" : "");
	else
		probe_done(probe, true, "status %u", status);
}

/* A status that will not do is told at once, without waiting for the body. */
static void http_readable(evutil_socket_t fd, short what, void *arg)
{
	struct probe *probe = arg;
	struct http_run *run = probe->run;
	enum http_verdict verdict;
	char data[READ_BYTES];
	ssize_t len = recv(fd, data, sizeof(data), 0);

	(void)what;
	if (len < 0) {
		if (errno != EAGAIN && errno != EINTR)
			http_failed(probe, errno);
		return;
	}
	probe->missing = "complete answer";
	verdict = len ? http_reply_feed(&run->reply, data, (size_t)len) :
			http_reply_end(&run->reply);
	if (verdict != HTTP_MORE ||
	    (run->reply.status >= 200 && !status_expected(probe->health, run->reply.status)))
		http_decide(probe, verdict);
}

static void http_writable(evutil_socket_t fd, short what, void *arg)
{
	struct probe *probe = arg;
	struct http_run *run = probe->run;
	int error = probe_connect_result(fd);
	ssize_t len;

	(void)what;
	if (error) {
		http_failed(probe, error);
		return;
	}
	len = send(fd, run->request + run->sent, run->request_len - run->sent, MSG_NOSIGNAL);
	if (len < 0) {
		if (errno != EAGAIN && errno != EINTR)
			http_failed(probe, errno);
		return;
	}
	run->sent += (size_t)len;
	if (run->sent < run->request_len)
		return;
	event_del(run->event);
	event_assign(run->event, probe->base, fd, EV_READ | EV_PERSIST, http_readable, probe);
	event_add(run->event, NULL);
}

static int http_start(struct probe *probe)
{
	const struct cfg_health *health = probe->health;
	int fd = probe_connect(probe);
	char name[PROBE_NAME_LEN];
	struct http_run *run;

	if (fd < 0 && probe_errno_is_ours(-fd))
		return fd;
	if (fd < 0) {
		probe_failed(probe, -fd);
		return 0;
	}
	run = xcalloc(1, sizeof(*run));
	run->fd = fd;
	probe_name(probe, name);
	run->request = xasprintf("GET %s HTTP/1.1\r\n"
				 "Host: %s\r\n"
				 "User-Agent: xdplb\r\n"
				 "Connection: close\r\n"
				 "\r\n",
				 health->path ? health->path : "/",
				 health->host ? health->host : name);
	run->request_len = strlen(run->request);
	http_reply_init(&run->reply, health->body);
	run->event = event_new(probe->base, fd, EV_WRITE | EV_PERSIST, http_writable, probe);
	event_add(run->event, NULL);
	probe->run = run;
	return 0;
}

const struct probe_type probe_http = { .start = http_start, .cancel = http_cancel };
