/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_CONFIG_H
#define XDPLB_CONFIG_H

/*
 * The configuration file as data: what config_load() makes of a YAML file and
 * everybody else reads. Complete and valid, or not there at all: references
 * are resolved to indexes, defaults filled in. The caller owns it and frees it
 * with config_free(). Ports are in host order, times in milliseconds.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xdplb/abi.h"
#include "xdplb/protocol.h"

/* The first thing wrong, ready to print: "FILE:LINE:COLUMN: what". */
struct cfg_error {
	char text[512];
};

struct cfg_place {
	uint32_t line, column; /* from 1 */
};

enum cfg_attach {
	CFG_ATTACH_AUTO,
	CFG_ATTACH_NATIVE,
	CFG_ATTACH_GENERIC
};

struct cfg_interface {
	char *name;
	uint32_t mode; /* enum cfg_attach */
	struct cfg_place place;
};

enum cfg_health_type {
	CFG_HEALTH_NONE,
	CFG_HEALTH_TCP,
	CFG_HEALTH_HTTP
};

#define CFG_MAX_EXPECT 16

struct cfg_health {
	uint32_t type; /* enum cfg_health_type */
	uint32_t interval_ms, timeout_ms;
	uint32_t rise, fall;
	char *path, *host, *body; /* http only; host and body may be NULL */
	uint32_t expect[CFG_MAX_EXPECT]; /* http status codes that count as up */
	uint32_t expect_count;
	struct cfg_place place;
};

struct cfg_backend {
	char *address; /* as configured: the word used in metrics and status */
	struct xdplb_addr addr;
	uint16_t port;
	uint32_t weight; /* 0 drains */
	struct cfg_place place;
};

struct cfg_pool {
	char *name; /* at most XDPLB_NAME_LEN - 1 bytes */
	uint32_t balance; /* enum xdplb_balance */
	uint32_t table; /* slots: 2039, 4093, 16381 or 65537 */
	struct cfg_health health;
	struct cfg_backend *backends; /* in file order */
	size_t backend_count;
	struct cfg_place place;
};

struct cfg_listener {
	char *text; /* as configured */
	uint8_t proto; /* IPPROTO_TCP or IPPROTO_UDP */
	struct xdplb_addr addr;
	uint16_t port;
	struct cfg_place place;
};

enum cfg_source {
	CFG_SOURCE_LB,
	CFG_SOURCE_CLIENT
};

enum cfg_encap {
	CFG_ENCAP_NONE
};

/* Texts of one key, in file order, none of them twice. */
struct cfg_text {
	char *text;
	struct cfg_place place;
};

struct cfg_texts {
	struct cfg_text *texts;
	size_t count; /* 0: left out */
};

/* What a route asks of a client's first bytes: every key that is given, of each one text. */
struct cfg_match {
	uint32_t protocol; /* enum xdplb_protocol, not NONE */
	struct cfg_texts server_names; /* tls, quic; lower case, "*.b.example" is all below it */
	struct cfg_texts alpn; /* tls, quic */
	struct cfg_texts hosts; /* http; as server_names */
	struct cfg_texts patterns; /* regex, which has one or more; they compile */
	struct cfg_place place; /* of `protocol` */
};

struct cfg_route {
	struct cfg_match match;
	size_t pool; /* index into config.pools */
	uint32_t idle_timeout_ms; /* 0: the service's */
	struct cfg_place place;
};

#define CFG_NO_POOL SIZE_MAX

struct cfg_service {
	char *name; /* at most XDPLB_NAME_LEN - 1 bytes */
	struct cfg_listener *listeners; /* in file order */
	size_t listener_count;
	uint32_t mode; /* enum xdplb_mode */
	uint32_t source; /* enum cfg_source */
	uint32_t encap; /* enum cfg_encap */
	uint32_t idle_timeout_ms; /* 0: by protocol, TCP 7440 s, UDP 30 s */
	size_t pool; /* index into config.pools; with routes: where none matches, or CFG_NO_POOL */
	struct cfg_route *routes; /* in file order: the first that matches wins */
	size_t route_count; /* 0: not sniffed */
	uint32_t sniff_timeout_ms;
	struct cfg_place place;
};

struct config {
	char *file; /* where it came from */
	struct cfg_interface *interfaces;
	size_t interface_count;
	bool watch;
	uint32_t flow_table; /* rows */
	bool has_hash_seed;
	uint8_t hash_seed[16];
	char *http; /* "ADDRESS:PORT", NULL: no HTTP */
	struct xdplb_addr *nat_addrs; /* of both families, in file order */
	size_t nat_addr_count;
	uint16_t nat_port_min, nat_port_max; /* inclusive */
	uint32_t syn_timeout_ms, closing_timeout_ms;
	struct cfg_pool *pools; /* in file order */
	size_t pool_count;
	struct cfg_service *services; /* in file order */
	size_t service_count;
	char **warnings; /* "FILE:LINE:COLUMN: what", for the log and for `check` */
	size_t warning_count;
};

/* Reads and checks @path. False: @err says the first thing wrong, @config is untouched. */
bool config_load(const char *path, struct config *config, struct cfg_error *err);

/* Same for text in memory; @name stands for the file in messages. */
bool config_parse(const char *text, size_t len, const char *name, struct config *config,
		  struct cfg_error *err);

void config_free(struct config *config);

/* The configuration's word for an enum xdplb_protocol. */
const char *protocol_word(uint32_t protocol);

/* Can what @route matches come over @proto (IPPROTO_*)? */
bool route_runs_over(const struct cfg_route *route, uint8_t proto);

/* Are first bytes looked at here? Not where no route could match: then all goes to the pool. */
bool listener_is_sniffed(const struct cfg_service *service, const struct cfg_listener *listener);

#endif /* XDPLB_CONFIG_H */
