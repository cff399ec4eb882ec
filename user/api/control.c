// SPDX-License-Identifier: GPL-2.0-only
#include "api/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "api/status.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"

#define CONTROL_MAX_CLIENTS 64

/* A client that sends nothing, or takes no reply, for this long is let go. */
static const struct timeval client_timeout = { .tv_sec = 10 };

struct client {
	struct control *control;
	struct bufferevent *stream;
	uint64_t ticket; /* of its request that is not answered yet, 0: there is none */
	bool leaving; /* the reply under way is the last: then close */
};

struct control {
	struct event_base *base; /* not ours */
	struct evconnlistener *listener;
	char *path;
	control_handle_fn *handle;
	void *arg;
	struct client *clients[CONTROL_MAX_CLIENTS]; /* NULL: free */
	uint64_t tickets; /* given out so far */
	bool full; /* somebody was turned away since a client last left: said once */
};

json_t *control_reply_ok(void)
{
	return json_pack("{s:b}", "ok", 1);
}

json_t *control_reply_error(int status, const char *error)
{
	json_t *text = json_string(error);

	if (!text)
		text = json_string("failed, for a reason that is no UTF-8; see the log");
	return json_pack("{s:b, s:o, s:i}", "ok", 0, "error", text, "status", status);
}

static void client_free(struct client *client)
{
	for (size_t i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		if (client->control->clients[i] == client)
			client->control->clients[i] = NULL;
	}
	client->control->full = false;
	bufferevent_free(client->stream);
	free(client);
}

/* Takes over @reply. */
static void client_reply(struct client *client, json_t *reply)
{
	struct evbuffer *out = bufferevent_get_output(client->stream);

	json_render(reply, out);
	evbuffer_add(out, "\n", 1);
	json_decref(reply);
}

static void line_handle(struct client *client, const char *line, size_t len)
{
	struct control *control = client->control;
	struct request request;
	char why[128];
	json_t *reply;

	if (!request_parse(line, len, &request, why)) {
		client_reply(client, control_reply_error(1, why));
		return;
	}
	client->ticket = ++control->tickets;
	reply = control->handle(control->arg, &request, client->ticket);
	if (reply)
		control_answer(control, client->ticket, reply);
}

void control_answer(struct control *control, uint64_t ticket, json_t *reply)
{
	for (size_t i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		struct client *client = control->clients[i];

		if (!ticket || !client || client->ticket != ticket) /* 0: nobody asked */
			continue;
		client->ticket = 0;
		client_reply(client, reply);
		return;
	}
	json_decref(reply);
}

/* One request at a time: the next is read when its reply has gone. */
static void client_serve(struct client *client)
{
	struct evbuffer *in = bufferevent_get_input(client->stream);
	struct evbuffer *out = bufferevent_get_output(client->stream);
	auto_free char *line = NULL;
	size_t len;

	if (evbuffer_get_length(out) || client->ticket)
		return;
	line = client->leaving && !evbuffer_get_length(in) ?
		       NULL :
		       evbuffer_readln(in, &len, EVBUFFER_EOL_LF);
	if (line) {
		line_handle(client, line, len);
		return;
	}
	if (evbuffer_get_length(in) > REQUEST_MAX_BYTES && !client->leaving) {
		client->leaving = true;
		evbuffer_drain(in, evbuffer_get_length(in));
		bufferevent_disable(client->stream, EV_READ);
		client_reply(client, control_reply_error(1, "the request is longer than 64 KiB"));
		return;
	}
	if (client->leaving)
		client_free(client);
}

static void on_read(struct bufferevent *stream, void *arg)
{
	(void)stream;
	client_serve(arg);
}

static void on_written(struct bufferevent *stream, void *arg)
{
	(void)stream;
	client_serve(arg);
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
	struct client *client = arg;

	(void)stream;
	if (!(what & BEV_EVENT_EOF)) {
		client_free(client);
		return;
	}
	/* Half-closed: what was asked is still answered. */
	client->leaving = true;
	client_serve(client);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr,
		      int addr_len, void *arg)
{
	struct control *control = arg;
	struct client *client;
	size_t slot = 0;

	(void)listener;
	(void)addr;
	(void)addr_len;
	while (slot < CONTROL_MAX_CLIENTS && control->clients[slot])
		slot++;
	if (slot == CONTROL_MAX_CLIENTS) {
		if (!control->full)
			log_warn("%s: more than %d clients at once are turned away", control->path,
				 CONTROL_MAX_CLIENTS);
		control->full = true;
		close(fd);
		return;
	}
	client = xcalloc(1, sizeof(*client));
	client->control = control;
	client->stream = bufferevent_socket_new(control->base, fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(client->stream, on_read, on_written, on_event, client);
	bufferevent_set_timeouts(client->stream, &client_timeout, &client_timeout);
	bufferevent_setwatermark(client->stream, EV_READ, 0, REQUEST_MAX_BYTES + 2);
	bufferevent_enable(client->stream, EV_READ | EV_WRITE);
	control->clients[slot] = client;
}

/* -errno or the descriptor. */
static int socket_listen(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t before;
	int error = 0;

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path));
	unlink(path);
	before = umask(
		0177); /* born with mode 0600: there is no moment at which others may connect */
	if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 64))
		error = -errno;
	umask(before);
	return error ? error : take_fd(&fd);
}

struct control *control_new(struct event_base *base, const char *path, control_handle_fn *handle,
			    void *arg)
{
	struct control *control;
	int fd = socket_listen(path);

	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	control = xcalloc(1, sizeof(*control));
	control->base = base;
	control->path = xstrdup(path);
	control->handle = handle;
	control->arg = arg;
	control->listener = evconnlistener_new(
		base, on_accept, control, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	return control;
}

/* The reply to `stop` is written by a loop that does not turn any more. */
static void client_last_words(struct client *client)
{
	struct evbuffer *out = bufferevent_get_output(client->stream);

	evbuffer_unfreeze(out, 1);
	if (evbuffer_get_length(out))
		evbuffer_write(out, bufferevent_getfd(client->stream));
	client_free(client);
}

void control_free(struct control *control)
{
	if (!control)
		return;
	for (size_t i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		if (control->clients[i])
			client_last_words(control->clients[i]);
	}
	unlink(control->path);
	evconnlistener_free(control->listener);
	free(control->path);
	free(control);
}
