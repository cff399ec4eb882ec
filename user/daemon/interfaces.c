// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interfaces: those of the file, and those attached by command. What a reload
 * brings is attached before anything else changes, so that a refusal leaves
 * nothing to undo but that.
 */
#include "daemon/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct interface *interface_find(struct daemon *d, const char *name)
{
	for (size_t i = 0; i < d->interface_count; i++) {
		if (!strcmp(d->interfaces[i].name, name))
			return &d->interfaces[i];
	}
	return NULL;
}

struct interface *interface_add(struct daemon *d, const char *name, enum cfg_attach mode)
{
	struct interface *interface = array_push(d->interfaces, d->interface_count);

	snprintf(interface->name, sizeof(interface->name), "%s", name);
	interface->mode = mode;
	return interface;
}

void interface_remove(struct daemon *d, struct interface *interface)
{
	size_t index = (size_t)(interface - d->interfaces);

	memmove(interface, interface + 1,
		(d->interface_count - index - 1) * sizeof(*d->interfaces));
	d->interface_count--;
}

bool interface_attach(struct daemon *d, struct interface *interface, struct dp_error *err)
{
	bool native = false;
	int ret = dataplane_attach(d->dp, interface->name, interface->mode, &native, err);

	if (ret)
		return false;
	if (!interface->said || !interface->attached || interface->native != native)
		log_info("%s: %s", interface->name, native ? "native" : "generic");
	interface->said = true;
	interface->attached = true;
	interface->off = false;
	interface->native = native;
	interface->ifindex = if_nametoindex(interface->name);
	supervise_interfaces(d);
	return true;
}

bool interface_detach(struct daemon *d, struct interface *interface, struct dp_error *err)
{
	int ret = dataplane_detach(d->options->bpffs, interface->name, err);

	if (ret && ret != -ENOENT)
		return false;
	log_info("%s: detached", interface->name);
	interface->attached = false;
	interface->off = true;
	interface->by_command = false;
	supervise_interfaces(d);
	if (!interface->in_file)
		interface_remove(d, interface);
	return true;
}

/* One that the file no longer names was attached by hand: it stays until taken off by hand. */
static void interfaces_adopt(struct daemon *d)
{
	auto_free struct dp_link *links = NULL;
	size_t count = 0;

	if (dataplane_links(d->options->bpffs, &links, &count))
		return;
	for (size_t i = 0; i < count; i++) {
		struct interface *interface =
			interface_add(d, links[i].ifname,
				      links[i].native ? CFG_ATTACH_NATIVE : CFG_ATTACH_GENERIC);

		interface->by_command = true;
		interface->attached = links[i].ifindex != 0;
		interface->native = links[i].native;
		interface->ifindex = links[i].ifindex;
	}
	supervise_interfaces(d);
}

/* Brings one of the file up to date, or in; the marks tell interfaces_undo(). */
static bool interface_prepare(struct daemon *d, const struct cfg_interface *wanted,
			      struct dp_error *err)
{
	struct interface *interface = interface_find(d, wanted->name);
	bool fresh = !interface;

	if (fresh) {
		interface = interface_add(d, wanted->name, (enum cfg_attach)wanted->mode);
		interface->fresh = true;
	} else if (interface->mode != wanted->mode) {
		interface->changed = true;
		interface->mode_before = interface->mode;
		interface->mode = (enum cfg_attach)wanted->mode;
	}
	interface->wanted = true;
	if (interface->off || !(fresh || (interface->changed && interface->attached)))
		return true;
	return interface_attach(d, interface, err);
}

bool interfaces_prepare(struct daemon *d, const struct config *config, struct dp_error *err)
{
	for (size_t i = 0; i < d->interface_count; i++)
		d->interfaces[i].wanted = d->interfaces[i].fresh = d->interfaces[i].changed = false;
	for (size_t i = 0; i < config->interface_count; i++) {
		const struct cfg_interface *wanted = &config->interfaces[i];
		struct dp_error what;

		if (interface_prepare(d, wanted, &what))
			continue;
		snprintf(err->text, sizeof(err->text), "%s:%u:%u: %.400s", config->file,
			 wanted->place.line, wanted->place.column, what.text);
		return false;
	}
	return true;
}

void interfaces_undo(struct daemon *d)
{
	for (size_t i = d->interface_count; i-- > 0;) {
		struct interface *interface = &d->interfaces[i];
		struct dp_error err;

		if (interface->fresh) {
			if (interface->attached)
				dataplane_detach(d->options->bpffs, interface->name, &err);
			interface_remove(d, interface);
			supervise_interfaces(d);
		} else if (interface->changed) {
			interface->changed = false;
			interface->mode = interface->mode_before;
			if (interface->attached && !interface_attach(d, interface, &err))
				log_error("%s", err.text);
		}
	}
}

void interfaces_commit(struct daemon *d)
{
	for (size_t i = d->interface_count; i-- > 0;) {
		struct interface *interface = &d->interfaces[i];
		struct dp_error err;

		interface->in_file = interface->wanted;
		interface->fresh = interface->changed = false;
		if (interface->in_file || interface->by_command)
			continue;
		/* Either way the row is gone and must not be looked at again. */
		if (!interface->attached)
			interface_remove(d, interface);
		else if (!interface_detach(d, interface, &err))
			log_error("%s", err.text);
	}
}

bool interfaces_there(const struct config *config, struct dp_error *err)
{
	for (size_t i = 0; i < config->interface_count; i++) {
		const struct cfg_interface *wanted = &config->interfaces[i];

		if (if_nametoindex(wanted->name))
			continue;
		snprintf(err->text, sizeof(err->text), "%s:%u:%u: %s: there is no such interface",
			 config->file, wanted->place.line, wanted->place.column, wanted->name);
		return false;
	}
	return true;
}

bool interfaces_start(struct daemon *d, struct dp_error *err)
{
	interfaces_adopt(d);
	if (!interfaces_prepare(d, model_config(d->model), err))
		return false;
	for (size_t i = 0; i < d->options->attach_count; i++) {
		const struct daemon_attach *attach = &d->options->attach[i];
		struct interface *interface = interface_find(d, attach->name);

		if (!interface) {
			interface = interface_add(d, attach->name, attach->mode);
			interface->fresh = true;
		}
		interface->by_command = true;
		interface->mode = attach->mode;
		if (!interface_attach(d, interface, err))
			return false;
	}
	interfaces_commit(d);
	return true;
}

static void interface_appeared(struct daemon *d, const char *name, uint32_t ifindex)
{
	struct interface *interface = interface_find(d, name);
	struct dp_error err;

	if (!interface || interface->off || interface->ifindex == ifindex)
		return;
	log_info("%s: is there again", name);
	interface->ifindex = ifindex; /* one try a device, not one an event */
	if (!interface_attach(d, interface, &err))
		log_error("%s", err.text);
}

static void interface_vanished(struct daemon *d, uint32_t ifindex)
{
	for (size_t i = 0; i < d->interface_count; i++) {
		struct interface *interface = &d->interfaces[i];

		if (interface->ifindex != ifindex)
			continue;
		interface->attached = false;
		interface->ifindex = 0;
		supervise_interfaces(d);
		log_warn("%s: is gone; attached again when it comes back", interface->name);
	}
}

void interface_link_changed(void *arg, uint32_t ifindex, const char *name,
			    enum netlink_link_state state)
{
	struct daemon *d = arg;

	if (state == NETLINK_LINK_UP)
		dataplane_egress_set(d->dp, ifindex);
	else
		dataplane_egress_delete(d->dp, ifindex);
	if (!d->serving)
		return; /* what is to be attached is attached when serving begins */
	if (state == NETLINK_LINK_GONE)
		interface_vanished(d, ifindex);
	else
		interface_appeared(d, name, ifindex);
}
