// SPDX-License-Identifier: GPL-2.0-only
#include "dataplane/internal.h"

#include <errno.h>
#include <string.h>
#include <net/if.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include "base/cleanup.h"
#include "base/log.h"

/* What somebody who attaches XDP programs would try next. */
static const char *hint_of(int error)
{
	switch (-error) {
	case ENOSPC:
		return " (its peer has more transmit queues than it has receive queues: ethtool -L)";
	case EOPNOTSUPP:
		return " (the driver has no native XDP: mode generic works)";
	case EINVAL:
	case ERANGE:
		return " (often the MTU, or LRO, is more than the driver takes with XDP)";
	case EPERM:
		return " (needs CAP_NET_ADMIN and CAP_BPF)";
	case EEXIST:
		return " (another XDP program is attached in another mode)";
	default:
		return "";
	}
}

/* Says which program is there; its name needs CAP_SYS_ADMIN. */
static int fail_foreign(uint32_t id, const char *ifname, struct dp_error *err)
{
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);
	auto_fd int fd = bpf_prog_get_fd_by_id(id);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size))
		info.name[0] = '\0';
	if (!strcmp(info.name, "xdplb"))
		return dp_fail(
			err, -EBUSY,
			"%s: another xdplb is attached, 'xdplb', id %u; `xdplb detach %s` with "
			"its --run-dir and --bpffs takes it off",
			ifname, id, ifname);
	return dp_fail(err, -EBUSY,
		       "%s: another XDP program is attached: %s%s%sid %u; take it off first, for "
		       "example with: ip link set dev %s xdp off",
		       ifname, info.name[0] ? "'" : "", info.name, info.name[0] ? "', " : "", id,
		       ifname);
}

static int link_create(const struct dataplane *dp, uint32_t ifindex, bool native)
{
	const struct bpf_link_create_opts options = {
		.sz = sizeof(options),
		.flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE,
	};
	int fd = bpf_link_create(dp->program, (int)ifindex, BPF_XDP, &options);

	return fd < 0 ? -errno : fd;
}

struct attachment {
	const char *ifname;
	char pin[DP_LINK_NAME_SIZE];
	uint32_t ifindex;
	enum cfg_attach mode;
};

/* A new link, pinned. Without a pin it ends with its descriptor. */
static int attach_new(const struct dataplane *dp, const struct attachment *at, bool *native,
		      struct dp_error *err)
{
	bool drv = at->mode != CFG_ATTACH_GENERIC;
	auto_fd int fd = link_create(dp, at->ifindex, drv);
	int ret;

	if (fd < 0 && fd != -EBUSY && fd != -ENODEV && at->mode == CFG_ATTACH_AUTO) {
		log_info("%s: native XDP refused, attaching in generic mode: %s%s", at->ifname,
			 strerror(-fd), hint_of(fd));
		drv = false;
		fd = link_create(dp, at->ifindex, drv);
	}
	if (fd < 0) {
		ret = fd;
		return dp_fail(err, ret, "%s: attaching in %s mode: %s%s", at->ifname,
			       drv ? "native" : "generic", strerror(-ret), hint_of(ret));
	}
	ret = pin_put(dp->dir, at->pin, fd);
	if (ret)
		return dp_fail(err, ret, "%s: pinning %s/%s: %s", at->ifname, dp->dir, at->pin,
			       strerror(-ret));
	*native = drv;
	return 0;
}

/* The pinned link is alive: it gets our program, or makes way for one in the mode asked for. */
static int attach_again(const struct dataplane *dp, const struct attachment *at, int fd,
			bool *native, struct dp_error *err)
{
	bool is_native = link_is_native(at->ifindex);
	bool fits = at->mode == CFG_ATTACH_AUTO || (at->mode == CFG_ATTACH_NATIVE) == is_native;
	struct attachment back = *at;

	if (fits) {
		if (bpf_link_update(fd, dp->program, NULL))
			return dp_fail(err, -errno, "%s: replacing the program: %s", at->ifname,
				       strerror(errno));
		*native = is_native;
		return 0;
	}
	bpf_link_detach(fd);
	pin_remove(dp->dir, at->pin);
	if (!attach_new(dp, at, native, err))
		return 0;
	back.mode = is_native ? CFG_ATTACH_NATIVE : CFG_ATTACH_GENERIC;
	if (attach_new(dp, &back, native, NULL))
		log_error("%s: could not go back to the former mode either: not attached",
			  at->ifname);
	return -EOPNOTSUPP;
}

/* The interface was renamed: its link gets the name it has now. A descriptor, or -ENOENT. */
static int link_follow_rename(const struct dataplane *dp, const struct attachment *at)
{
	auto_free struct dp_link *links = NULL;
	size_t count;

	dataplane_links(dp->dir, &links, &count);
	for (size_t i = 0; i < count; i++) {
		char old_pin[DP_LINK_NAME_SIZE];
		struct dp_link link;
		auto_fd int fd = -1;

		if (links[i].ifindex != at->ifindex)
			continue;
		fd = link_read(dp->dir, links[i].ifname, &link);
		if (fd < 0 || pin_put(dp->dir, at->pin, fd))
			continue;
		derive_link_name(links[i].ifname, old_pin);
		pin_remove(dp->dir, old_pin);
		return take_fd(&fd);
	}
	return -ENOENT;
}

int dataplane_attach(struct dataplane *dp, const char *ifname, enum cfg_attach mode, bool *native,
		     struct dp_error *err)
{
	struct bpf_xdp_query_opts query = { .sz = sizeof(query) };
	struct attachment at = { .ifname = ifname, .mode = mode };
	struct dp_link link;
	auto_fd int fd = -1;

	if (!derive_link_name(ifname, at.pin))
		return dp_fail(err, -EINVAL, "'%s' is no name of an interface (1 to 15 bytes)",
			       ifname);
	at.ifindex = if_nametoindex(ifname);
	if (!at.ifindex)
		return dp_fail(err, -ENODEV, "%s: there is no such interface", ifname);
	fd = link_read(dp->dir, ifname, &link);
	if (fd >= 0 && link.ifindex == at.ifindex)
		return attach_again(dp, &at, fd, native, err);
	if (fd != -ENOENT) { /* of a device that is gone, or has another name now */
		int ret = pin_remove(dp->dir, at.pin);

		if (ret)
			return dp_fail(err, ret, "%s: removing the stale pin %s/%s: %s", ifname,
				       dp->dir, at.pin, strerror(-ret));
		if (fd >= 0)
			close(take_fd(&fd));
	}
	fd = link_follow_rename(dp, &at);
	if (fd >= 0)
		return attach_again(dp, &at, fd, native, err);
	/* prog_id is 0 where programs are attached in several modes at once. */
	if (!bpf_xdp_query((int)at.ifindex, 0, &query)) {
		uint32_t id = query.prog_id;

		if (!id)
			id = query.drv_prog_id ? query.drv_prog_id : query.skb_prog_id;
		if (id)
			return fail_foreign(id, ifname, err);
	}
	return attach_new(dp, &at, native, err);
}
