// SPDX-License-Identifier: GPL-2.0-only
/* What xdplb sets in the host beside its maps and links, and how it takes it back. */
#include "dataplane/netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "dataplane/rtnl.h"

struct neighbours {
	struct rtnl_neighbour *list;
	size_t count;
};

static void neighbour_collect(void *arg, const struct nlmsghdr *message)
{
	struct neighbours *neighbours = arg;
	struct rtnl_neighbour neighbour;

	if (rtnl_parse_neighbour(message, &neighbour) && neighbour.ours && neighbour.managed)
		*array_push(neighbours->list, neighbours->count) = neighbour;
}

static void ignore_answer(void *arg, uint32_t index, const struct nlmsghdr *message, int error)
{
	(void)arg;
	(void)index;
	(void)message;
	(void)error;
}

void netlink_release_neighbours(void)
{
	auto_free struct rtnl *rtnl = xcalloc(1, sizeof(*rtnl));
	struct neighbours found = { 0 };

	if (rtnl_open(rtnl))
		return;
	rtnl_dump(rtnl, RTM_GETNEIGH, neighbour_collect, &found);
	for (size_t i = 0; i < found.count; i++) {
		rtnl_use_neighbour(rtnl, found.list[i].ifindex, &found.list[i].addr, false);
		if (rtnl->count == RTNL_BATCH || i + 1 == found.count)
			rtnl_run(rtnl, ignore_answer, NULL);
	}
	free(found.list);
	rtnl_close(rtnl);
}

/*
 * bpf_fib_lookup looks a route up as if the packet came in by some interface,
 * and refuses (BPF_FIB_LKUP_RET_FWD_DISABLED) unless that one forwards. Asked
 * on behalf of lo it answers with ip_forward=0 and every real interface's
 * forwarding off, once lo's own is on. Tried in a namespace of its own: IPv4 and
 * IPv6 lookups go from 5 to 0 with egress and MAC addresses filled in; of all
 * sysctls, routes, multicast groups and `ip netconf`, nothing else changes, nor
 * do interfaces made later inherit it. No packet is forwarded by this: nothing
 * that comes from outside comes in by lo. It is left on when xdplb goes.
 */
void netlink_enable_fib_on_lo(void)
{
	static const char *const files[] = { "/proc/sys/net/ipv4/conf/lo/forwarding",
					     "/proc/sys/net/ipv6/conf/lo/forwarding" };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		auto_fd int fd = open(files[i], O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "1\n", 2) != 2)
			log_debug("%s: %s", files[i], strerror(errno));
	}
}
