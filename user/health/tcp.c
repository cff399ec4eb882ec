// SPDX-License-Identifier: GPL-2.0-only
/* Type tcp: the backend's port answers a SYN. */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "health/probe.h"

struct tcp_run {
	struct event *writable;
	int fd;
};

static void tcp_cancel(struct probe *probe)
{
	struct tcp_run *run = probe->run;

	event_free(run->writable);
	close(run->fd);
	free(run);
	probe->run = NULL;
}

static void tcp_connected(evutil_socket_t fd, short what, void *arg)
{
	struct probe *probe = arg;
	int error = probe_connect_result(fd);

	(void)what;
	tcp_cancel(probe);
	if (error)
		probe_failed(probe, error);
	else
		probe_done(probe, true, "connected");
}

/*
 * Close sends a reset (SO_LINGER of 0 s), and as the ACK of the handshake is
 * still being held back, that reset is the third packet: the backend's kernel
 * forgets the half-open connection and its program never hears of it. A FIN
 * would wake it for an accept(), a read() of nothing and a close() with every
 * probe, fill the queue of a program that hangs, and leave TIME_WAIT behind
 * here. Should the ACK go out after all, the program sees a connection reset.
 */
static int tcp_start(struct probe *probe)
{
	const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
	int fd = probe_connect(probe);
	struct tcp_run *run;

	if (fd < 0 && probe_errno_is_ours(-fd))
		return fd;
	if (fd < 0) {
		probe_failed(probe, -fd);
		return 0;
	}
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	run = xcalloc(1, sizeof(*run));
	run->fd = fd;
	run->writable = event_new(probe->base, fd, EV_WRITE, tcp_connected, probe);
	event_add(run->writable, NULL);
	probe->run = run;
	return 0;
}

const struct probe_type probe_tcp = { .start = tcp_start, .cancel = tcp_cancel };
