// SPDX-License-Identifier: GPL-2.0-only
#include "worker/message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

union control { /* of one sendmsg(): aligned as a header must be */
	struct cmsghdr header;
	char bytes[CMSG_SPACE(MESSAGE_FDS * sizeof(int))];
};

int message_send(int fd, const struct worker_message *message, const int *fds, size_t count)
{
	struct iovec piece = { .iov_base = (void *)message, .iov_len = sizeof(*message) };
	union control control = { .bytes = { 0 } };
	struct msghdr header = { .msg_iov = &piece, .msg_iovlen = 1 };

	if (count > MESSAGE_FDS)
		return -EINVAL;
	if (count) {
		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
	}
	return sendmsg(fd, &header, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void fds_take(const struct msghdr *header, int fds[MESSAGE_FDS])
{
	const struct cmsghdr *control = CMSG_FIRSTHDR(header);

	for (size_t i = 0; i < MESSAGE_FDS; i++)
		fds[i] = -1;
	if (!control || control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
		return;
	for (size_t i = 0; i < MESSAGE_FDS && CMSG_LEN((i + 1) * sizeof(int)) <= control->cmsg_len;
	     i++)
		memcpy(&fds[i], CMSG_DATA(control) + i * sizeof(int), sizeof(int));
}

int message_receive(int fd, struct worker_message *message, int fds[MESSAGE_FDS])
{
	struct iovec piece = { .iov_base = message, .iov_len = sizeof(*message) };
	union control control;
	struct msghdr header = { .msg_iov = &piece,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes) };
	ssize_t len;

	do {
		len = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
	} while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;
	if (!len)
		return 0;
	fds_take(&header, fds);
	if (len == (ssize_t)sizeof(*message) && !(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return 1;
	for (size_t i = 0; i < MESSAGE_FDS; i++)
		cleanup_fd(&fds[i]);
	return -EPROTO;
}
