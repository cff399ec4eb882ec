// SPDX-License-Identifier: GPL-2.0-only
/* Requests that came by the control socket: a function per verb. */
#include "daemon/state.h"

#include <stdlib.h>
#include <string.h>

#include "api/status.h"

static json_t *handle_status(struct daemon *d, const struct request *request)
{
	json_t *reply = control_reply_ok();
	struct snapshot snapshot = { 0 };

	(void)request;
	daemon_gather_status(d, &snapshot);
	json_object_set_new(reply, "status", status_document(&snapshot));
	snapshot_free(&snapshot);
	return reply;
}

static enum cfg_attach mode_of(const char *word)
{
	if (!strcmp(word, "native"))
		return CFG_ATTACH_NATIVE;
	return !strcmp(word, "generic") ? CFG_ATTACH_GENERIC : CFG_ATTACH_AUTO;
}

static bool attach_one(struct daemon *d, const char *name, enum cfg_attach mode,
		       struct dp_error *err)
{
	struct interface *interface = interface_find(d, name);
	bool fresh = !interface;
	enum cfg_attach before;

	if (fresh) {
		interface = interface_add(d, name, mode);
		interface->by_command = true;
	}
	before = interface->mode;
	interface->mode = mode;
	if (interface_attach(d, interface, err))
		return true;
	interface->mode = before;
	if (fresh)
		interface_remove(d, interface);
	return false;
}

static json_t *handle_attach(struct daemon *d, const struct request *request)
{
	json_t *list = json_array(), *reply;
	struct dp_error err;

	for (size_t i = 0; i < request->interface_count; i++) {
		const char *name = request->interfaces[i];

		if (!attach_one(d, name, mode_of(request->mode), &err)) {
			json_decref(list);
			return control_reply_error(1, err.text);
		}
		json_array_append_new(list, json_pack("{s:s, s:s}", "name", name, "mode",
						      interface_find(d, name)->native ? "native" :
											"generic"));
	}
	reply = control_reply_ok();
	json_object_set_new(reply, "interfaces", list);
	return reply;
}

static json_t *handle_detach(struct daemon *d, const struct request *request)
{
	struct dp_error err;

	if (request->all) {
		d->let_go = true;
		daemon_stop(d);
		return control_reply_ok();
	}
	for (size_t i = 0; i < request->interface_count; i++) {
		struct interface *interface = interface_find(d, request->interfaces[i]);
		auto_free char *text = NULL;

		if (!interface || interface->off) {
			text = xasprintf("%s: nothing of xdplb is attached; `xdplb status` shows "
					 "where it is",
					 request->interfaces[i]);
			return control_reply_error(1, text);
		}
		if (!interface_detach(d, interface, &err))
			return control_reply_error(1, err.text);
	}
	return control_reply_ok();
}

static json_t *handle_stop(struct daemon *d, const struct request *request)
{
	(void)request;
	daemon_stop(d);
	return control_reply_ok();
}

json_t *daemon_handle(void *arg, const struct request *request, uint64_t ticket)
{
	static json_t *(*const handlers[])(struct daemon *, const struct request *) = {
		[REQUEST_STATUS] = handle_status,
		[REQUEST_ATTACH] = handle_attach,
		[REQUEST_DETACH] = handle_detach,
		[REQUEST_STOP] = handle_stop,
	};

	daemon_reload_settle(arg);
	if (request->verb == REQUEST_RELOAD) {
		daemon_reload(arg, ticket);
		return NULL;
	}
	return handlers[request->verb](arg, request);
}
