// SPDX-License-Identifier: GPL-2.0-only
/* Pinned links without a loaded program: list, update, take away. */
#include "dataplane/internal.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "dataplane/netlink.h"

bool link_is_native(uint32_t ifindex)
{
	struct bpf_xdp_query_opts query = { .sz = sizeof(query) };

	return !bpf_xdp_query((int)ifindex, 0, &query) && query.attach_mode == XDP_ATTACHED_DRV;
}

int link_read(const char *dir, const char *ifname, struct dp_link *link)
{
	struct bpf_link_info info = { 0 };
	struct dp_link found = { 0 };
	uint32_t size = sizeof(info);
	char name[DP_LINK_NAME_SIZE];
	auto_fd int fd = -1;

	if (!derive_link_name(ifname, name))
		return -EINVAL;
	fd = pin_get(dir, name);
	if (fd < 0)
		return fd;
	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	if (info.type != BPF_LINK_TYPE_XDP)
		return -EINVAL;
	memcpy(found.ifname, ifname, strlen(ifname)); /* at most 15 bytes, or it had no pin */
	found.ifindex = info.xdp.ifindex;
	found.native = found.ifindex && link_is_native(found.ifindex);
	*link = found;
	return take_fd(&fd);
}

int dataplane_links(const char *bpffs, struct dp_link **links, size_t *count)
{
	struct dp_link *list = NULL;
	struct dirent *entry;
	size_t found = 0;
	DIR *dir;

	dir = pins_there(bpffs) ? opendir(bpffs) : NULL;
	while (dir && (entry = readdir(dir))) {
		auto_fd int fd = -1;
		struct dp_link link;
		char ifname[16];

		if (!derive_link_ifname(entry->d_name, ifname))
			continue;
		fd = link_read(bpffs, ifname, &link);
		if (fd >= 0)
			*array_push(list, found) = link;
	}
	if (dir)
		closedir(dir);
	*links = list;
	*count = found;
	return 0;
}

int links_update(const struct dataplane *dp, struct dp_error *err)
{
	auto_free struct dp_link *links = NULL;
	size_t count;
	int ret = 0;

	dataplane_links(dp->dir, &links, &count);
	for (size_t i = 0; i < count && !ret; i++) {
		struct dp_link link = { .ifindex = 0 };
		auto_fd int fd = link_read(dp->dir, links[i].ifname, &link);

		if (fd < 0 || !link.ifindex)
			continue; /* its device is gone: attaching makes it anew */
		if (bpf_link_update(fd, dp->program, NULL) && errno != ENOLINK)
			ret = dp_fail(err, -errno, "%s: replacing the program: %s", link.ifname,
				      strerror(errno));
	}
	return ret;
}

int dataplane_detach(const char *bpffs, const char *ifname, struct dp_error *err)
{
	char name[DP_LINK_NAME_SIZE];
	struct dp_link link;
	auto_fd int fd = -1;
	int ret;

	if (!derive_link_name(ifname, name))
		return dp_fail(err, -EINVAL, "'%s' is no name of an interface", ifname);
	fd = pins_there(bpffs) ? link_read(bpffs, ifname, &link) : -ENOENT;
	if (fd == -ENOENT)
		return dp_fail(err, -ENOENT, "%s: nothing of xdplb is attached (pins: %s)", ifname,
			       bpffs);
	/* Also where somebody else holds a descriptor of it, the program is off from here on. */
	if (fd >= 0)
		bpf_link_detach(fd);
	ret = pin_remove(bpffs, name);
	if (ret)
		return dp_fail(err, ret, "%s: removing %s/%s: %s", ifname, bpffs, name,
			       strerror(-ret));
	return 0;
}

struct removal {
	const char *bpffs;
	const char *failed;
};

static int remove_map(void *arg, const char *name)
{
	struct removal *removal = arg;
	int ret = pin_remove(removal->bpffs, name);

	if (ret)
		removal->failed = name;
	return ret;
}

int dataplane_detach_all(const char *bpffs, struct dp_error *err)
{
	struct removal removal = { .bpffs = bpffs };
	auto_free struct dp_link *links = NULL;
	size_t count;
	int ret;

	if (!pins_there(bpffs))
		return 0;
	dataplane_links(bpffs, &links, &count);
	for (size_t i = 0; i < count; i++) {
		ret = dataplane_detach(bpffs, links[i].ifname, err);
		if (ret)
			return ret;
	}
	/* settings first: from here on the rest counts as unfinished, should we be killed. */
	ret = remove_map(&removal, "settings");
	if (!ret)
		ret = dp_each_map_name(remove_map, &removal);
	if (ret)
		return dp_fail(err, ret, "removing the pins of %s%s%s: %s", bpffs,
			       removal.failed ? "/" : "", removal.failed ? removal.failed : "",
			       strerror(-ret));
	netlink_release_neighbours();
	pins_release(bpffs);
	return 0;
}
