/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LAB_PEER_H
#define LAB_PEER_H

/*
 * The traffic peer of the lab: one program, one mode a file. A server answers
 * each line (TCP) or datagram (UDP) with
 *
 *	NAME CLIENT-ADDRESS CLIENT-PORT what-was-said
 *
 * so that a client knows who answered, as whom it was seen, and that the answer
 * is to its own question. Clients print one JSON object on stdout when done.
 */
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define PEER_MAX_LINE (256UL * 1024)
#define PEER_MAX_NAMES 128
#define PEER_MAX_SOURCES 64
#define PEER_MAX_ERRNO 160

struct endpoint {
	struct sockaddr_storage addr;
	socklen_t len;
};

/* Who answered how often, by name; names are kept for the program's life. */
struct tally {
	char names[PEER_MAX_NAMES][32];
	uint64_t counts[PEER_MAX_NAMES];
	int used;
};

/* What all clients count and print. */
struct report {
	uint64_t failed[PEER_MAX_ERRNO]; /* connections that never came to be, by errno */
	struct tally backends; /* connections, by the backend that answered first */
	uint64_t ok, slow, retransmitted;
	uint64_t resets, changed, mismatched, lost, rounds;
	uint64_t slowest_ms;
};

/* Command line of all modes: `--name value` pairs; the last of a name holds. */
struct options {
	const char *name, *tcp, *udp, *from, *dev, *other, *mac;
	struct endpoint to;
	struct endpoint sources[PEER_MAX_SOURCES];
	uint32_t source_count;
	uint64_t count, datagrams, concurrency, rate, rounds, interval_ms, size, port_base;
	uint64_t loss, duplicate, reorder; /* of 1000 frames */
	bool server_closes, reset;
};

uint64_t now_ns(void);
void *allocate(size_t size); /* zeroed; never NULL */
_Noreturn void die(const char *what);
bool endpoint_parse(const char *text, struct endpoint *out);
bool address_parse(const char *text, struct endpoint *out);
void endpoint_set_port(struct endpoint *endpoint, uint16_t port);

/* A non-blocking socket for connection @index, bound as @options ask; dies without one. */
int client_socket(const struct options *options, int type, uint64_t index);

int tally_index(struct tally *tally, const char *name, size_t len);
void report_failure(struct report *report, int error);
void report_print(const struct report *report);

/*
 * Splits an answer "NAME ADDRESS PORT SAID": the index of NAME in @backends, or
 * -1 if it isn't one or SAID isn't @said.
 */
int answer_check(struct tally *backends, const char *answer, size_t len, const char *said,
		 size_t said_len);

int serve(const struct options *options);
int load(const struct options *options);
int talk(const struct options *options);
int flood(const struct options *options);
int relay(const struct options *options);

#endif /* LAB_PEER_H */
