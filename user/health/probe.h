/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_HEALTH_PROBE_H
#define XDPLB_HEALTH_PROBE_H

/*
 * What the checker and a probe type know of each other. A type is a file and a
 * row in probe.c. The checker owns struct probe, keeps the time and the order;
 * the type owns what it opens for one probe, in `run`, from start() until it
 * calls probe_done() or is cancelled.
 */
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "config/config.h"

struct event_base;
struct probe;

/* "[ADDRESS]:PORT" with its NUL. */
#define PROBE_NAME_LEN (INET6_ADDRSTRLEN + 8)
/* Longest `why` with its NUL. */
#define PROBE_WHY_LEN 128

typedef void probe_done_fn(struct probe *probe, bool passed, const char *why);

struct probe_type {
	/*
	 * Begins one probe. 0: under way, or even done with already. -errno: this
	 * host could not do it (probe_errno_is_ours()), which says nothing about the
	 * backend: nothing is left behind, the checker tries again.
	 */
	int (*start)(struct probe *probe);
	/* Lets go of everything; probe_done() is not called any more. */
	void (*cancel)(struct probe *probe);
};

union probe_sockaddr {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct probe {
	struct event_base *base;
	const struct cfg_health *health;
	const struct probe_type *type;
	union probe_sockaddr addr;
	socklen_t addr_len;
	probe_done_fn *done; /* the checker's */
	const char *missing; /* what there is no ... of when time runs out; a constant */
	void *run; /* the type's, while a probe is under way */
};

/* The row of `type` (enum cfg_health_type); NULL for none. */
const struct probe_type *probe_type_get(uint32_t type);

/* @addr holds IPv4 as ::ffff:a.b.c.d; @port is in host order. */
void probe_set_address(struct probe *probe, const struct xdplb_addr *addr, uint16_t port);

/* "192.0.2.1:80" or "[2001:db8::1]:80". */
void probe_name(const struct probe *probe, char name[PROBE_NAME_LEN]);

/*
 * The type's last word: it has closed what it opened and touches nothing
 * afterwards. printf-like; the result is cut at PROBE_WHY_LEN.
 */
__attribute__((format(printf, 3, 4))) void probe_done(struct probe *probe, bool passed,
						      const char *format, ...);

/* Same with the words for @error, an errno: "connection refused". */
void probe_failed(struct probe *probe, int error);

/* Whether @error speaks of this host (no descriptors, no memory), not of the backend. */
bool probe_errno_is_ours(int error);

/*
 * Opens a socket and begins to connect it; it becomes writable when that is
 * decided, then probe_connect_result() says how. Returns the descriptor, which
 * is the caller's, or -errno.
 */
int probe_connect(const struct probe *probe);

/* 0: connected. Else a positive errno. */
int probe_connect_result(int fd);

extern const struct probe_type probe_tcp;
extern const struct probe_type probe_http;

#endif /* XDPLB_HEALTH_PROBE_H */
