/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_API_CONTROL_H
#define XDPLB_API_CONTROL_H

/*
 * The control socket: a unix stream socket of mode 0600. A request is a line
 * (api/request.h), its reply is one: {"ok":true,...} or
 * {"ok":false,"error":"...","status":1} with the exit status for the command
 * line. Clients are bounded in number, size and time; what is no request is
 * refused and costs nobody else anything.
 */
#include <jansson.h>
#include <stdint.h>

#include "api/request.h"

struct control;
struct event_base;

/*
 * Returns the reply, which the caller takes over; NULL: control_answer() brings
 * it, then or later, with this @ticket. Must not free the control socket.
 */
typedef json_t *control_handle_fn(void *arg, const struct request *request, uint64_t ticket);

/*
 * Listens at @path; a socket left there by one who died is replaced (the caller
 * holds the run directory's lock). NULL: errno says why.
 */
struct control *control_new(struct event_base *base, const char *path, control_handle_fn *handle,
			    void *arg);

/* Takes over @reply; nothing happens where the client that asked is gone. */
void control_answer(struct control *control, uint64_t ticket, json_t *reply);

/* Replies that are under way are sent as far as they go at once; removes @path. NULL is allowed. */
void control_free(struct control *control);

/* {"ok":true}, to which the caller adds. */
json_t *control_reply_ok(void);
/* @error is cut to what JSON can say if it is no UTF-8. */
json_t *control_reply_error(int status, const char *error);

#endif /* XDPLB_API_CONTROL_H */
