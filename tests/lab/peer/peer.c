/* SPDX-License-Identifier: GPL-2.0-only */
/* Command line of the traffic peer and what its modes share. */
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

void die(const char *what)
{
	fprintf(stderr, "peer: %s: %s\n", what, strerror(errno));
	exit(1);
}

void *allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (!memory)
		abort();
	return memory;
}

void endpoint_set_port(struct endpoint *endpoint, uint16_t port)
{
	if (endpoint->addr.ss_family == AF_INET)
		((struct sockaddr_in *)&endpoint->addr)->sin_port = htons(port);
	else
		((struct sockaddr_in6 *)&endpoint->addr)->sin6_port = htons(port);
}

bool address_parse(const char *text, struct endpoint *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&out->addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->addr;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		out->addr.ss_family = AF_INET;
		out->len = sizeof(*v4);
		return true;
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		out->addr.ss_family = AF_INET6;
		out->len = sizeof(*v6);
		return true;
	}
	return false;
}

/* "10.0.0.1:80" or "[fd00::1]:80" */
bool endpoint_parse(const char *text, struct endpoint *out)
{
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2];
	size_t len;

	if (!colon)
		return false;
	len = (size_t)(colon - text);
	if (len > 1 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (!address_parse(host, out))
		return false;
	endpoint_set_port(out, (uint16_t)strtoul(colon + 1, NULL, 10));
	return true;
}

int client_socket(const struct options *options, int type, uint64_t index)
{
	int fd = socket(options->to.addr.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct endpoint source = { .addr.ss_family = options->to.addr.ss_family,
				   .len = options->to.len };
	int one = 1;

	if (fd < 0)
		die("socket");
	if (!options->source_count && !options->port_base)
		return fd;
	if (options->source_count)
		source = options->sources[index % options->source_count];
	if (options->port_base) {
		endpoint_set_port(&source, (uint16_t)(options->port_base + index));
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	} else {
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	}
	if (bind(fd, (struct sockaddr *)&source.addr, source.len))
		die("bind");
	return fd;
}

int tally_index(struct tally *tally, const char *name, size_t len)
{
	if (len >= sizeof(tally->names[0]))
		return -1;
	for (int i = 0; i < tally->used; i++)
		if (strlen(tally->names[i]) == len && !memcmp(tally->names[i], name, len))
			return i;
	if (tally->used == PEER_MAX_NAMES)
		return -1;
	memcpy(tally->names[tally->used], name, len);
	tally->names[tally->used][len] = '\0';
	return tally->used++;
}

int answer_check(struct tally *backends, const char *answer, size_t len, const char *said,
		 size_t said_len)
{
	const char *word = answer, *end = answer + len, *space = NULL;
	size_t name_len = 0;

	for (int words = 0; words < 3; words++) {
		space = memchr(word, ' ', (size_t)(end - word));
		if (!space)
			return -1;
		if (words == 0)
			name_len = (size_t)(space - word);
		word = space + 1;
	}
	if ((size_t)(end - word) != said_len || memcmp(word, said, said_len) != 0)
		return -1;
	return tally_index(backends, answer, name_len);
}

void report_failure(struct report *report, int error)
{
	if (error > 0 && error < PEER_MAX_ERRNO)
		report->failed[error]++;
	else
		report->failed[EIO]++;
}

void report_print(const struct report *report)
{
	const char *comma = "";
	uint64_t failures = 0;

	printf("{\"ok\":%lu,\"failed\":{", report->ok);
	for (int i = 0; i < PEER_MAX_ERRNO; i++) {
		if (!report->failed[i])
			continue;
		printf("%s\"%s\":%lu", comma, strerrorname_np(i), report->failed[i]);
		failures += report->failed[i];
		comma = ",";
	}
	printf("},\"failures\":%lu,\"backends\":{", failures);
	comma = "";
	for (int i = 0; i < report->backends.used; i++) {
		printf("%s\"%s\":%lu", comma, report->backends.names[i],
		       report->backends.counts[i]);
		comma = ",";
	}
	printf("},\"slow\":%lu,\"retransmitted\":%lu,\"resets\":%lu,\"changed\":%lu,"
	       "\"mismatched\":%lu,\"lost\":%lu,\"rounds\":%lu,\"slowest_ms\":%lu}\n",
	       report->slow, report->retransmitted, report->resets, report->changed,
	       report->mismatched, report->lost, report->rounds, report->slowest_ms);
	fflush(stdout);
}

static void sources_parse(struct options *options, const char *list)
{
	char *copy = strdup(list), *rest = copy, *item;

	while ((item = strsep(&rest, ",")) && options->source_count < PEER_MAX_SOURCES)
		if (!address_parse(item, &options->sources[options->source_count++]))
			die(item);
	free(copy);
}

static bool option_set(struct options *options, const char *key, const char *value)
{
	const struct {
		const char *key;
		const char **text;
		uint64_t *number;
	} rows[] = {
		{ "--name", &options->name, NULL },
		{ "--tcp", &options->tcp, NULL },
		{ "--udp", &options->udp, NULL },
		{ "--dev", &options->dev, NULL },
		{ "--other", &options->other, NULL },
		{ "--mac", &options->mac, NULL },
		{ "--from", &options->from, NULL },
		{ "--count", NULL, &options->count },
		{ "--datagrams", NULL, &options->datagrams },
		{ "--concurrency", NULL, &options->concurrency },
		{ "--rate", NULL, &options->rate },
		{ "--rounds", NULL, &options->rounds },
		{ "--interval", NULL, &options->interval_ms },
		{ "--size", NULL, &options->size },
		{ "--port-base", NULL, &options->port_base },
		{ "--loss", NULL, &options->loss },
		{ "--duplicate", NULL, &options->duplicate },
		{ "--reorder", NULL, &options->reorder },
	};

	if (!strcmp(key, "--to"))
		return endpoint_parse(value, &options->to);
	if (!strcmp(key, "--close")) {
		options->server_closes = !strcmp(value, "server");
		options->reset = !strcmp(value, "reset");
		return true;
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(key, rows[i].key) != 0)
			continue;
		if (rows[i].text)
			*rows[i].text = value;
		else
			*rows[i].number = strtoull(value, NULL, 10);
		return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	const struct {
		const char *name;
		int (*run)(const struct options *options);
	} modes[] = { { "serve", serve },
		      { "load", load },
		      { "talk", talk },
		      { "flood", flood },
		      { "relay", relay } };
	static struct options options = { .name = "peer", .concurrency = 16 };
	struct rlimit files;

	for (int i = 2; i + 1 < argc; i += 2)
		if (!option_set(&options, argv[i], argv[i + 1]))
			goto usage;
	if (options.from)
		sources_parse(&options, options.from);
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(argv[1], modes[i].name))
			return modes[i].run(&options);
usage:
	fprintf(stderr, "usage: peer serve|load|talk|flood [--option value]...\n");
	return 2;
}
