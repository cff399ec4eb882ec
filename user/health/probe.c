// SPDX-License-Identifier: GPL-2.0-only
#include "health/probe.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

static const struct probe_type *const probe_types[] = {
	[CFG_HEALTH_NONE] = NULL,
	[CFG_HEALTH_TCP] = &probe_tcp,
	[CFG_HEALTH_HTTP] = &probe_http,
};

const struct probe_type *probe_type_get(uint32_t type)
{
	return type < sizeof(probe_types) / sizeof(probe_types[0]) ? probe_types[type] : NULL;
}

void probe_set_address(struct probe *probe, const struct xdplb_addr *addr, uint16_t port)
{
	struct in6_addr in6;

	memcpy(&in6, addr, sizeof(in6));
	memset(&probe->addr, 0, sizeof(probe->addr));
	if (IN6_IS_ADDR_V4MAPPED(&in6)) {
		probe->addr.in.sin_family = AF_INET;
		probe->addr.in.sin_port = htons(port);
		probe->addr.in.sin_addr.s_addr = addr->w[3];
		probe->addr_len = sizeof(probe->addr.in);
	} else {
		probe->addr.in6.sin6_family = AF_INET6;
		probe->addr.in6.sin6_port = htons(port);
		probe->addr.in6.sin6_addr = in6;
		probe->addr_len = sizeof(probe->addr.in6);
	}
}

void probe_name(const struct probe *probe, char name[PROBE_NAME_LEN])
{
	char text[INET6_ADDRSTRLEN] = "";

	if (probe->addr.any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &probe->addr.in.sin_addr, text, sizeof(text));
		snprintf(name, PROBE_NAME_LEN, "%s:%u", text, ntohs(probe->addr.in.sin_port));
	} else {
		inet_ntop(AF_INET6, &probe->addr.in6.sin6_addr, text, sizeof(text));
		snprintf(name, PROBE_NAME_LEN, "[%s]:%u", text, ntohs(probe->addr.in6.sin6_port));
	}
}

void probe_done(struct probe *probe, bool passed, const char *format, ...)
{
	char why[PROBE_WHY_LEN];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	probe->done(probe, passed, why);
}

void probe_failed(struct probe *probe, int error)
{
	const char *text = strerror(error);

	probe_done(probe, false, "%c%s", tolower((unsigned char)text[0]), text + 1);
}

/* Not EADDRNOTAVAIL: it also says that this host has no address of the backend's family. */
bool probe_errno_is_ours(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

int probe_connect(const struct probe *probe)
{
	auto_fd int fd = socket(probe->addr.any.sa_family,
				SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	int off = 0;

	if (fd < 0)
		return -errno;
	/*
	 * The kernel holds the ACK of the handshake back for a moment, so that it
	 * goes out with the request (http) or not at all (tcp). A hint: where it is
	 * not taken, a packet more is sent.
	 */
	setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
	if (connect(fd, &probe->addr.any, probe->addr_len) && errno != EINPROGRESS)
		return -errno;
	return take_fd(&fd);
}

int probe_connect_result(int fd)
{
	socklen_t len = sizeof(int);
	int error = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) ? errno : error;
}
