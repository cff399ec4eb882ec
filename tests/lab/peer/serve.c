/* SPDX-License-Identifier: GPL-2.0-only */
/* The server: answers lines and datagrams on any number of ports, both families. */
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum kind {
	LISTENER,
	DATAGRAMS,
	STREAM
};

struct bytes {
	char *data;
	size_t len, room;
};

/* What epoll knows a descriptor by. */
struct item {
	enum kind kind;
	int fd;
	char prefix[96]; /* "NAME ADDRESS PORT " of a stream */
	size_t prefix_len;
	struct bytes in, out;
	bool closing, writing;
};

static void bytes_add(struct bytes *bytes, const char *data, size_t len)
{
	if (bytes->len + len > bytes->room) {
		bytes->room = (bytes->len + len) * 2;
		bytes->data = realloc(bytes->data, bytes->room);
		if (!bytes->data)
			abort();
	}
	memcpy(bytes->data + bytes->len, data, len);
	bytes->len += len;
}

static size_t prefix_make(char *out, size_t room, const char *name, const struct endpoint *client)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&client->addr;
	char text[INET6_ADDRSTRLEN];

	if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], text, sizeof(text));
	else
		inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
	return (size_t)snprintf(out, room, "%s %s %u ", name, text, ntohs(v6->sin6_port));
}

static void item_watch(int epoll, struct item *item, uint32_t events, int how)
{
	struct epoll_event event = { .events = events, .data.ptr = item };

	if (epoll_ctl(epoll, how, item->fd, &event))
		die("epoll_ctl");
}

static void port_open(int epoll, enum kind kind, uint16_t port)
{
	int type = kind == LISTENER ? SOCK_STREAM : SOCK_DGRAM, one = 1, zero = 0, room = 4 << 20;
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct item *item = allocate(sizeof(*item));

	item->kind = kind;
	item->fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(item->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(item->fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	setsockopt(item->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (bind(item->fd, (struct sockaddr *)&any, sizeof(any)))
		die("bind");
	if (kind == LISTENER && listen(item->fd, 65535))
		die("listen");
	item_watch(epoll, item, EPOLLIN, EPOLL_CTL_ADD);
}

static void ports_open(int epoll, enum kind kind, const char *list)
{
	char *copy = strdup(list ? list : ""), *rest = copy, *port;

	while ((port = strsep(&rest, ",")))
		if (*port)
			port_open(epoll, kind, (uint16_t)strtoul(port, NULL, 10));
	free(copy);
}

static void streams_accept(int epoll, const char *name, const struct item *listener)
{
	struct endpoint client = { .len = sizeof(client.addr) };
	int fd;

	while ((fd = accept4(listener->fd, (struct sockaddr *)&client.addr, &client.len,
			     SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct item *item = allocate(sizeof(*item));

		item->kind = STREAM;
		item->fd = fd;
		item->prefix_len = prefix_make(item->prefix, sizeof(item->prefix), name, &client);
		item_watch(epoll, item, EPOLLIN, EPOLL_CTL_ADD);
		client.len = sizeof(client.addr);
	}
}

static void datagrams_answer(const char *name, const struct item *item)
{
	static char buffer[65536 + 128], said[65536];
	struct endpoint client = { .len = sizeof(client.addr) };
	ssize_t len;

	while ((len = recvfrom(item->fd, said, sizeof(said), 0, (struct sockaddr *)&client.addr,
			       &client.len)) >= 0) {
		size_t prefix = prefix_make(buffer, 128, name, &client);

		memcpy(buffer + prefix, said, (size_t)len);
		sendto(item->fd, buffer, prefix + (size_t)len, 0, (struct sockaddr *)&client.addr,
		       client.len);
		client.len = sizeof(client.addr);
	}
}

static void stream_close(struct item *item)
{
	close(item->fd);
	free(item->in.data);
	free(item->out.data);
	free(item);
}

/* Answers the whole lines that came in; "bye" makes us the one that closes first. */
static void lines_answer(struct item *item)
{
	char *line = item->in.data, *end = item->in.data + item->in.len, *newline;

	while (line < end && (newline = memchr(line, '\n', (size_t)(end - line)))) {
		bytes_add(&item->out, item->prefix, item->prefix_len);
		bytes_add(&item->out, line, (size_t)(newline + 1 - line));
		if (newline - line >= 3 && !memcmp(line, "bye", 3))
			item->closing = true;
		line = newline + 1;
	}
	item->in.len = (size_t)(end - line);
	memmove(item->in.data, line, item->in.len);
}

static bool stream_read(struct item *item)
{
	static char buffer[65536];
	ssize_t len;

	while ((len = read(item->fd, buffer, sizeof(buffer))) > 0) {
		bytes_add(&item->in, buffer, (size_t)len);
		lines_answer(item);
		if (item->in.len > PEER_MAX_LINE)
			return false;
	}
	if (len == 0)
		item->closing = true;
	return len == 0 || errno == EAGAIN;
}

static bool stream_write(int epoll, struct item *item)
{
	while (item->out.len) {
		ssize_t len = send(item->fd, item->out.data, item->out.len, MSG_NOSIGNAL);

		if (len < 0 && errno != EAGAIN)
			return false;
		if (len < 0)
			break;
		item->out.len -= (size_t)len;
		memmove(item->out.data, item->out.data + len, item->out.len);
	}
	if (item->writing != (item->out.len > 0)) {
		item->writing = !item->writing;
		item_watch(epoll, item, item->writing ? EPOLLIN | EPOLLOUT : EPOLLIN,
			   EPOLL_CTL_MOD);
	}
	return item->out.len || !item->closing;
}

int serve(const struct options *options)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[256];

	ports_open(epoll, LISTENER, options->tcp);
	ports_open(epoll, DATAGRAMS, options->udp);
	puts("serving");
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(epoll, events, 256, -1);

		for (int i = 0; i < count; i++) {
			struct item *item = events[i].data.ptr;

			if (item->kind == LISTENER)
				streams_accept(epoll, options->name, item);
			else if (item->kind == DATAGRAMS)
				datagrams_answer(options->name, item);
			else if (!stream_read(item) || !stream_write(epoll, item))
				stream_close(item);
		}
	}
}
