// SPDX-License-Identifier: GPL-2.0-only
#include "dataplane/rtnl.h"

#include "xdplb/addr.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <linux/neighbour.h>
#include <libmnl/libmnl.h>

#define ANSWERS_BYTES (4 << 20) /* room for the answers to a batch, with the kernel's overhead */

int rtnl_open(struct rtnl *rtnl)
{
	const struct timeval patience = { .tv_sec = 1 };
	const int size = ANSWERS_BYTES;
	int fd;

	memset(rtnl, 0, sizeof(*rtnl));
	rtnl->seq = 1;
	rtnl->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!rtnl->socket)
		return -errno;
	if (mnl_socket_bind(rtnl->socket, 0, MNL_SOCKET_AUTOPID)) {
		int ret = -errno;

		rtnl_close(rtnl);
		return ret;
	}
	fd = mnl_socket_get_fd(rtnl->socket);
	/* Without CAP_NET_ADMIN the usual size has to do: answers that do not fit are asked for again. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return 0;
}

void rtnl_close(struct rtnl *rtnl)
{
	if (rtnl->socket)
		mnl_socket_close(rtnl->socket);
	rtnl->socket = NULL;
}

/* ---- requests; the address is 4 or 16 bytes of ours */

static struct nlmsghdr *request_add(struct rtnl *rtnl, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(rtnl->out + rtnl->used);

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	message->nlmsg_seq = rtnl->seq + rtnl->count;
	return message;
}

static void request_end(struct rtnl *rtnl, const struct nlmsghdr *message)
{
	rtnl->used += MNL_ALIGN(message->nlmsg_len);
	rtnl->count++;
}

static uint8_t family_of(const struct xdplb_addr *addr)
{
	return xdplb_addr_is_ip4(addr) ? AF_INET : AF_INET6;
}

static void addr_put(struct nlmsghdr *message, uint16_t type, const struct xdplb_addr *addr)
{
	if (xdplb_addr_is_ip4(addr))
		mnl_attr_put(message, type, sizeof(addr->w[3]), &addr->w[3]);
	else
		mnl_attr_put(message, type, sizeof(addr->w), addr->w);
}

void rtnl_ask_route(struct rtnl *rtnl, const struct xdplb_addr *dst)
{
	struct nlmsghdr *message = request_add(rtnl, RTM_GETROUTE, 0);
	struct rtmsg *info = mnl_nlmsg_put_extra_header(message, sizeof(*info));

	info->rtm_family = family_of(dst);
	info->rtm_dst_len = xdplb_addr_is_ip4(dst) ? 32 : 128;
	addr_put(message, RTA_DST, dst);
	request_end(rtnl, message);
}

void rtnl_ask_neighbour(struct rtnl *rtnl, uint32_t ifindex, const struct xdplb_addr *addr)
{
	struct nlmsghdr *message = request_add(rtnl, RTM_GETNEIGH, 0);
	struct ndmsg *info = mnl_nlmsg_put_extra_header(message, sizeof(*info));

	info->ndm_family = family_of(addr);
	info->ndm_ifindex = (int)ifindex;
	addr_put(message, NDA_DST, addr);
	request_end(rtnl, message);
}

void rtnl_use_neighbour(struct rtnl *rtnl, uint32_t ifindex, const struct xdplb_addr *addr,
			bool managed)
{
	struct nlmsghdr *message =
		request_add(rtnl, RTM_NEWNEIGH, NLM_F_ACK | (managed ? NLM_F_CREATE : 0));
	struct ndmsg *info = mnl_nlmsg_put_extra_header(message, sizeof(*info));

	info->ndm_family = family_of(addr);
	info->ndm_ifindex = (int)ifindex;
	info->ndm_flags = NTF_USE; /* all that kernels before 5.16 understand */
	addr_put(message, NDA_DST, addr);
	if (managed) {
		mnl_attr_put_u32(message, NDA_FLAGS_EXT, NTF_EXT_MANAGED);
		mnl_attr_put_u8(message, NDA_PROTOCOL, RTNL_OUR_PROTOCOL);
	}
	request_end(rtnl, message);
}

/* ---- answers */

static uint32_t answers_read(struct rtnl *rtnl, size_t len, rtnl_answer_fn *answer, void *arg)
{
	const struct nlmsghdr *message = (const void *)rtnl->in;
	uint32_t seen = 0;
	int left = (int)len;

	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
		uint32_t index = message->nlmsg_seq - rtnl->seq;
		const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);

		if (index >= rtnl->count)
			continue; /* late answer to a former batch */
		seen++;
		if (message->nlmsg_type != NLMSG_ERROR)
			answer(arg, index, message, 0);
		else if (mnl_nlmsg_get_payload_len(message) >= sizeof(*error))
			answer(arg, index, NULL, error->error);
	}
	return seen;
}

int rtnl_run(struct rtnl *rtnl, rtnl_answer_fn *answer, void *arg)
{
	uint32_t seen = 0;
	int ret = 0;

	if (!rtnl->count)
		return 0;
	if (mnl_socket_sendto(rtnl->socket, rtnl->out, rtnl->used) < 0)
		ret = -errno;
	while (!ret && seen < rtnl->count) {
		ssize_t len = mnl_socket_recvfrom(rtnl->socket, rtnl->in, sizeof(rtnl->in));

		if (len > 0)
			seen += answers_read(rtnl, (size_t)len, answer, arg);
		else if (len == 0 || errno != EINTR)
			ret = len == 0 ? -EIO : -errno; /* EAGAIN: an answer did not fit */
	}
	rtnl->seq += rtnl->count;
	rtnl->count = 0;
	rtnl->used = 0;
	return ret;
}

/* One read's worth of a dump. 0: more is to come, 1: that was all, or -errno. */
static int dump_read(const struct rtnl *rtnl, size_t len, uint32_t seq, bool *changed,
		     void (*visit)(void *arg, const struct nlmsghdr *message), void *arg)
{
	const struct nlmsghdr *message = (const void *)rtnl->in;
	int left = (int)len;

	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
		const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);

		if (message->nlmsg_seq != seq)
			continue; /* late answer to a former request */
		if (message->nlmsg_flags & NLM_F_DUMP_INTR)
			*changed = true;
		if (message->nlmsg_type == NLMSG_DONE)
			return 1;
		if (message->nlmsg_type == NLMSG_ERROR)
			return error->error ? error->error : 1;
		visit(arg, message);
	}
	return 0;
}

int rtnl_dump(struct rtnl *rtnl, uint16_t type,
	      void (*visit)(void *arg, const struct nlmsghdr *message), void *arg)
{
	struct nlmsghdr *message = request_add(rtnl, type, NLM_F_DUMP);
	uint32_t seq = rtnl->seq++;
	bool changed = false;
	int ret = 0;

	mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg)); /* of any family */
	if (mnl_socket_sendto(rtnl->socket, message, message->nlmsg_len) < 0)
		return -errno;
	while (!ret) {
		ssize_t len = mnl_socket_recvfrom(rtnl->socket, rtnl->in, sizeof(rtnl->in));

		if (len > 0)
			ret = dump_read(rtnl, (size_t)len, seq, &changed, visit, arg);
		else if (len == 0 || errno != EINTR)
			ret = len == 0 ? -EIO : -errno;
	}
	if (ret < 0)
		return ret;
	return changed ? -EINTR : 0;
}
