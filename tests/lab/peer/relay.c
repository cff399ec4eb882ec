/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A bad wire: hands frames on between the interfaces --dev and --other, both
 * ways, but for --loss of 1000; --duplicate of them come twice, and --reorder
 * of them are held back until a few others have gone by. Only IP suffers.
 */
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAME_MAX 65536
#define HELD_FOR 3 /* frames that overtake one */
#define HELD_MS 5 /* and it comes even if none does */

struct held {
	uint8_t bytes[FRAME_MAX];
	size_t len; /* 0: none is held */
	int passed;
};

struct end {
	int fd;
	struct held held; /* on the way out of here */
};

static int end_open(const char *dev)
{
	struct sockaddr_ll link = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	struct packet_mreq all = { .mr_type = PACKET_MR_PROMISC };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0), size = 32 << 20, yes = 1;

	link.sll_ifindex = all.mr_ifindex = (int)if_nametoindex(dev);
	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) ||
	    bind(fd, (struct sockaddr *)&link, sizeof(link)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)))
		die(dev);
	return fd;
}

static void end_send(const struct end *end, const void *bytes, size_t len)
{
	while (send(end->fd, bytes, len, 0) < 0 && (errno == EAGAIN || errno == ENOBUFS))
		poll(&(struct pollfd){ .fd = end->fd, .events = POLLOUT }, 1, 1);
}

static void held_release(struct end *end)
{
	if (end->held.len)
		end_send(end, end->held.bytes, end->held.len);
	end->held.len = 0;
}

static bool chance(uint64_t of_1000)
{
	return (uint64_t)(random() % 1000) < of_1000;
}

static void frame_pass(const struct options *options, struct end *to, const uint8_t *bytes,
		       size_t len)
{
	uint16_t kind = (uint16_t)(bytes[12] << 8 | bytes[13]);
	bool suffers = kind == ETHERTYPE_IP ||
		       (kind == ETHERTYPE_IPV6 && len > 20 && bytes[20] != IPPROTO_ICMPV6);

	if (!suffers) {
		end_send(to, bytes, len);
		return;
	}
	if (chance(options->loss))
		return;
	if (!to->held.len && chance(options->reorder)) {
		memcpy(to->held.bytes, bytes, len);
		to->held.len = len;
		to->held.passed = 0;
		return;
	}
	end_send(to, bytes, len);
	if (chance(options->duplicate))
		end_send(to, bytes, len);
	if (to->held.len && ++to->held.passed >= HELD_FOR)
		held_release(to);
}

static void frames_pass(const struct options *options, const struct end *from, struct end *to)
{
	static uint8_t bytes[FRAME_MAX];
	ssize_t len;

	while ((len = recv(from->fd, bytes, sizeof(bytes), 0)) > 0)
		if (len >= ETH_HLEN)
			frame_pass(options, to, bytes, (size_t)len);
}

int relay(const struct options *options)
{
	static struct end ends[2];
	struct pollfd wait[2];

	ends[0].fd = end_open(options->dev);
	ends[1].fd = end_open(options->other);
	for (int i = 0; i < 2; i++)
		wait[i] = (struct pollfd){ .fd = ends[i].fd, .events = POLLIN };
	printf("relaying\n");
	fflush(stdout);
	for (;;) {
		bool held = ends[0].held.len || ends[1].held.len;

		if (!poll(wait, 2, held ? HELD_MS : -1)) {
			held_release(&ends[0]);
			held_release(&ends[1]);
		}
		frames_pass(options, &ends[0], &ends[1]);
		frames_pass(options, &ends[1], &ends[0]);
	}
}
