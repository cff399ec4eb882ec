// SPDX-License-Identifier: GPL-2.0-only
#include "config/schema.h"

#include <string.h>

#include "config/load.h"

static const struct word attach_words[] = {
	{ .word = "auto", .value = CFG_ATTACH_AUTO },
	{ .word = "native", .value = CFG_ATTACH_NATIVE },
	{ .word = "generic", .value = CFG_ATTACH_GENERIC },
	{ .word = NULL },
};

static const struct word balance_words[] = {
	{ .word = "maglev", .value = XDPLB_MAGLEV },
	{ .word = "round-robin", .value = XDPLB_ROUND_ROBIN },
	{ .word = "random", .value = XDPLB_RANDOM },
	{ .word = "least-conn", .value = XDPLB_LEAST_CONN },
	{ .word = "source-ip", .value = XDPLB_SOURCE_IP },
	{ .word = "source-socket", .value = XDPLB_SOURCE_SOCKET },
	{ .word = "first", .value = XDPLB_FIRST },
	{ .word = NULL },
};

static const struct word table_words[] = {
	{ .word = "2039", .value = 2039 },
	{ .word = "4093", .value = 4093 },
	{ .word = "16381", .value = 16381 },
	{ .word = "65537", .value = 65537 },
	{ .word = NULL },
};

static const struct word health_words[] = {
	{ .word = "none", .value = CFG_HEALTH_NONE },
	{ .word = "tcp", .value = CFG_HEALTH_TCP },
	{ .word = "http", .value = CFG_HEALTH_HTTP },
	{ .word = "https", .later = true },
	{ .word = "tls", .later = true },
	{ .word = "udp", .later = true },
	{ .word = "icmp", .later = true },
	{ .word = "send-expect", .later = true },
	{ .word = "script", .later = true },
	{ .word = NULL },
};

static const struct word mode_words[] = {
	{ .word = "nat", .value = XDPLB_MODE_NAT },
	{ .word = "dsr", .later = true },
	{ .word = "proxy", .later = true },
	{ .word = NULL },
};

static const struct word source_words[] = {
	{ .word = "lb", .value = CFG_SOURCE_LB },
	{ .word = "client", .value = CFG_SOURCE_CLIENT },
	{ .word = NULL },
};

static const struct word encap_words[] = {
	{ .word = "none", .value = CFG_ENCAP_NONE },
	{ .word = "ipip", .later = true },
	{ .word = "gue", .later = true },
	{ .word = "rewrite", .later = true },
	{ .word = NULL },
};

/* The first row, NONE, is no word of the configuration. */
static const struct word protocol_words[] = {
#define X(name, text, transports, help) { .word = (text), .value = XDPLB_PROTOCOL_##name },
	XDPLB_PROTOCOLS(X)
#undef X
		{ .word = NULL },
};
_Static_assert(XDPLB_PROTOCOL_NONE == 0, "the words begin behind NONE");

/* The struct a mapping's rows write into is named once: #define S. */
#define MEMBER(_key, _member, _type, ...)                                                   \
	{                                                                                   \
		.key = (_key), .type = (_type), .offset = offsetof(S, _member), __VA_ARGS__ \
	}
#define ARRAY(_key, _member, _count, _type, ...)                                \
	{                                                                       \
		.key = (_key), .type = (_type), .offset = offsetof(S, _member), \
		.count = offsetof(S, _count), __VA_ARGS__                       \
	}
#define END                       \
	{                         \
		.type = FIELD_END \
	}

#define S struct cfg_interface
static const struct field interface_fields[] = {
	MEMBER("name", name, FIELD_INTERFACE_NAME, .required = true, .example = "eth0",
	       .help = "The network interface that packets come in on."),
	MEMBER("mode", mode, FIELD_WORD, .words = attach_words, .def = "auto",
	       .help = "How the program is attached: `native` in the driver, `generic` in the "
		       "network stack (slower, works everywhere), `auto` native where the driver "
		       "can, else generic."),
	END,
};
static const struct mapping interface_mapping = {
	.title = "interfaces",
	.fields = interface_fields,
	.size = sizeof(S),
	.place = offsetof(S, place),
	.short_key = "name",
	.help = "The interfaces that traffic of clients and replies of backends come in on. "
		"A plain name stands for an entry with defaults.",
	.example = "interfaces:\n"
		   "  - eth0\n"
		   "  - { name: eth1, mode: generic }\n",
};
#undef S

#define S struct config
static const struct field nat_fields[] = {
	MEMBER("addresses", nat_addrs, FIELD_NAT_ADDRESS, .many = true, .max = XDPLB_MAX_NAT_ADDRS,
	       .example = "[192.0.2.1, 2001:db8::1]",
	       .left_out = "the egress interface's own, by family",
	       .help = "Source addresses towards backends of services with `source: lb`, of either "
		       "family. A family left out uses the egress interface's own address."),
	MEMBER("ports", nat_port_min, FIELD_NAT_PORTS, .min = 1024, .max = 65535,
	       .def = "10000-30000",
	       .help = "Source ports towards backends. Keep them apart from the host's own "
		       "(`net.ipv4.ip_local_port_range` and listening sockets)."),
	END,
};
static const struct mapping nat_mapping = {
	.title = "nat",
	.fields = nat_fields,
	.size = sizeof(S),
	.help = "What replies of backends come back to.",
	.example = "nat:\n"
		   "  addresses: [192.0.2.1, 192.0.2.2]\n"
		   "  ports: 10000-30000\n",
};

static const struct field timeout_fields[] = {
	MEMBER("syn", syn_timeout_ms, FIELD_DURATION, .min = 100, .max = 600000, .def = "10s",
	       .help = "A TCP connection that no backend has answered is forgotten after this long."),
	MEMBER("closing", closing_timeout_ms, FIELD_DURATION, .min = 100, .max = 600000,
	       .def = "60s", .help = "A closed or reset connection is remembered for this long."),
	END,
};
static const struct mapping timeout_mapping = {
	.title = "timeouts",
	.fields = timeout_fields,
	.size = sizeof(S),
	.help = "How long flows are kept that are not established. Established ones: "
		"`idle_timeout` of their service.",
	.example = "timeouts: { syn: 5s, closing: 30s }\n",
};
#undef S

#define S struct cfg_health
static const struct field health_fields[] = {
	MEMBER("type", type, FIELD_WORD, .required = true, .words = health_words, .def = "none",
	       .example = "http",
	       .help = "`tcp`: a connection can be opened. `http`: a GET is answered as expected. "
		       "`none`: not probed, always up."),
	MEMBER("interval", interval_ms, FIELD_DURATION, .min = 10, .max = 3600000, .def = "2s",
	       .help = "Time from one probe to the next."),
	MEMBER("timeout", timeout_ms, FIELD_DURATION, .min = 10, .max = 60000, .def = "1s",
	       .help = "A probe without its answer by then has failed."),
	MEMBER("rise", rise, FIELD_NUMBER, .min = 1, .max = 100, .def = "2", .unit = "probes",
	       .help = "So many successes in a row bring a backend back."),
	MEMBER("fall", fall, FIELD_NUMBER, .min = 1, .max = 100, .def = "3", .unit = "probes",
	       .help = "So many failures in a row take a backend out."),
	MEMBER("path", path, FIELD_URL_PATH, .only = "http", .max = 1024, .def = "/",
	       .help = "What is asked for."),
	MEMBER("host", host, FIELD_HTTP_HOST, .only = "http", .max = 255, .example = "www.example",
	       .left_out = "the backend's address", .help = "Content of the Host header."),
	MEMBER("expect", expect, FIELD_HTTP_STATUS, .only = "http", .many = true, .min = 100,
	       .max = 599, .def = "200", .help = "Status codes that count as up."),
	MEMBER("body", body, FIELD_TEXT, .only = "http", .max = 1024, .example = "OK",
	       .left_out = "any", .help = "Text that the body of the answer must contain."),
	END,
};
const struct mapping health_mapping = {
	.title = "pools: NAME: health",
	.fields = health_fields,
	.size = sizeof(S),
	.place = offsetof(S, place),
	.short_key = "type",
	.kind = "type",
	.check = health_check,
	.help = "How backends are probed. Left out: not at all, all are up. A plain word stands for "
		"a type with defaults.",
	.example = "health: { type: http, path: /alive, host: www.example, expect: [200, 204] }\n",
};
#undef S

#define S struct cfg_backend
static const struct field backend_fields[] = {
	MEMBER("address", addr, FIELD_BACKEND, .required = true, .example = "10.1.0.11:8080",
	       .help = "`ADDRESS:PORT` of the server; IPv6 in brackets, and then in quotes."),
	MEMBER("weight", weight, FIELD_NUMBER, .min = 0, .max = 1000, .def = "1", .unit = "shares",
	       .help = "Its share of new flows. 0 drains: open flows go on, no new ones come."),
	END,
};
static const struct mapping backend_mapping = {
	.title = "pools: NAME: backends",
	.fields = backend_fields,
	.size = sizeof(S),
	.place = offsetof(S, place),
	.short_key = "address",
	.help = "The servers of a pool, of either family. A plain address stands for an entry "
		"with defaults.",
	.example = "backends:\n"
		   "  - { address: 10.1.0.11:8080, weight: 3 }\n"
		   "  - 10.1.0.12:8080\n"
		   "  - \"[2001:db8::13]:8080\"\n",
};
#undef S

#define S struct cfg_pool
static const struct field pool_fields[] = {
	MEMBER("balance", balance, FIELD_WORD, .words = balance_words, .def = "maglev",
	       .help = "How a new flow's backend is chosen. `maglev`: by a hash of both ends, so "
		       "that few flows move when backends come and go; `round-robin`: in turn; "
		       "`random`; `least-conn`: the one with the fewest flows by weight; "
		       "`source-ip`: by the client's address; `source-socket`: by the client's "
		       "address and port; `first`: the first that is up."),
	MEMBER("table", table, FIELD_WORD, .words = table_words, .def = "4093", .unit = "slots",
	       .help = "Size of the hash table of `maglev` and `source-*`. Larger: shares are more "
		       "even and fewer flows move. A size under 100 a backend is warned of."),
	MEMBER("health", health, FIELD_MAPPING, .mapping = &health_mapping,
	       .help = "How backends are probed."),
	ARRAY("backends", backends, backend_count, FIELD_LIST, .mapping = &backend_mapping,
	      .required = true, .counter = COUNT_BACKENDS, .max = XDPLB_MAX_BACKENDS - 1,
	      .example = "10.1.0.12:8080\n\"[2001:db8::13]:8080\"", .help = "The servers."),
	END,
};
const struct mapping pool_mapping = {
	.title = "pools",
	.fields = pool_fields,
	.size = sizeof(S),
	.place = offsetof(S, place),
	.name = offsetof(S, name),
	.check = pool_check,
	.help = "Groups of servers that do the same, under names of your choice "
		"(1 to 63 of `A-Z a-z 0-9 . _ -`).",
	.example = "pools:\n"
		   "  web:\n"
		   "    balance: maglev\n"
		   "    health: { type: tcp }\n"
		   "    backends: [10.1.0.11:8080, 10.1.0.12:8080]\n",
};
#undef S

#define S struct cfg_match
static const struct field match_fields[] = {
	MEMBER("protocol", protocol, FIELD_WORD, .required = true, .words = protocol_words + 1,
	       .example = "tls",
	       .help = "What a client's first bytes are recognised as; docs/sniffing.md says by what. "
		       "One that runs over TCP needs a tcp:// listener, and so with UDP."),
	MEMBER("server_name", server_names, FIELD_SERVER_NAME, .only = "tls quic", .many = true,
	       .max = 16384, .left_out = "any, or none", .shown = true,
	       .example = "[a.example, \"*.b.example\"]",
	       .help = "The name that the client asks for (SNI), upper or lower case. "
		       "`*.b.example` is everything below b.example, but not b.example itself."),
	MEMBER("alpn", alpn, FIELD_ALPN, .only = "tls quic", .many = true, .max = 16384,
	       .left_out = "any, or none", .shown = true, .example = "[h2, http/1.1]",
	       .help = "A protocol that the client offers inside (ALPN), to the letter."),
	MEMBER("host", hosts, FIELD_HOST, .only = "http", .many = true, .max = 16384,
	       .left_out = "any, or none", .example = "[c.example, \"*.d.example\"]",
	       .help = "The host that the client asks for, without its port; otherwise as "
		       "`server_name`."),
	MEMBER("pattern", patterns, FIELD_PATTERN, .only = "regex", .many = true, .max = 256,
	       .left_out = "required with `protocol: regex`", .example = "\"^HELLO [0-9]+\"",
	       .help = "A regular expression that is looked for in the first kilobyte."),
	END,
};
const struct mapping match_mapping = {
	.title = "services: NAME: routes: match",
	.fields = match_fields,
	.size = sizeof(S),
	.kind = "protocol",
	.check = match_check,
	.help = "What a client's first bytes must be. All keys that are given must hold; in a list, "
		"one entry.",
	.example =
		"match: { protocol: tls, server_name: [a.example, \"*.b.example\"], alpn: h2 }\n",
};
#undef S

#define S struct cfg_route
static const struct field route_fields[] = {
	MEMBER("match", match, FIELD_MAPPING, .mapping = &match_mapping, .required = true,
	       .help = "What it takes."),
	MEMBER("pool", pool, FIELD_POOL, .required = true, .example = "web",
	       .help = "The pool that serves what matches."),
	MEMBER("idle_timeout", idle_timeout_ms, FIELD_DURATION, .min = 100, .max = 2592000000U,
	       .left_out = "the service's", .example = "180s",
	       .help = "Its flows without a packet for this long are forgotten."),
	END,
};
static const struct mapping route_mapping = {
	.title = "services: NAME: routes",
	.fields = route_fields,
	.size = sizeof(S),
	.place = offsetof(S, place),
	.help = "Pools by what the client says first. The first route that matches wins; what none "
		"matches goes to the service's `pool`. Nothing is terminated: once it is known "
		"where a connection goes, it is forwarded as any other.",
	.example =
		"routes:\n"
		"  - { match: { protocol: tls, server_name: [a.example, \"*.b.example\"] }, pool: a }\n"
		"  - { match: { protocol: http, host: c.example }, pool: c }\n"
		"  - { match: { protocol: wireguard }, pool: wg, idle_timeout: 180s }\n",
};
#undef S

#define S struct cfg_service
static const struct field service_fields[] = {
	MEMBER("listen", listeners, FIELD_LISTENER, .required = true, .many = true,
	       .counter = COUNT_LISTENERS, .max = XDPLB_MAX_LISTENERS,
	       .example = "[tcp://192.0.2.10:80, \"tcp://[2001:db8::10]:80\", udp://192.0.2.10:80]",
	       .help = "What clients connect to: `tcp://ADDRESS:PORT` or `udp://ADDRESS:PORT`; IPv6 "
		       "in brackets, and then in quotes. Clients get backends of their own family."),
	MEMBER("mode", mode, FIELD_WORD, .words = mode_words, .def = "nat",
	       .help = "How packets get to the backend. `nat`: with its address and port."),
	MEMBER("source", source, FIELD_WORD, .words = source_words, .def = "lb",
	       .help = "Whose address the backend sees. `lb`: one of `nat.addresses`, and replies "
		       "come back by themselves. `client`: the client's own, and backends must "
		       "route their replies through this host."),
	MEMBER("encap", encap, FIELD_WORD, .words = encap_words, .def = "none",
	       .help = "How packets are wrapped on their way to the backend."),
	MEMBER("idle_timeout", idle_timeout_ms, FIELD_DURATION, .min = 100, .max = 2592000000U,
	       .left_out = "TCP 7440s, UDP 30s", .example = "30s",
	       .help = "Established flows without a packet for this long are forgotten."),
	MEMBER("pool", pool, FIELD_POOL, .left_out = "with `routes`: dropped; else required",
	       .shown = true, .example = "web",
	       .help = "The pool that serves it; with `routes`, what none of them matches. Left out, "
		       "no byte of that reaches any backend."),
	ARRAY("routes", routes, route_count, FIELD_LIST, .mapping = &route_mapping,
	      .counter = COUNT_ROUTES, .max = 16384, .left_out = "all goes to `pool`",
	      .shown = true,
	      .example = "{ match: { protocol: http, host: c.example }, pool: web }\n"
			 "{ match: { protocol: ssh }, pool: web }\n"
			 "{ match: { protocol: regex, pattern: \"^HELLO [0-9]+\" }, pool: web }",
	      .help = "Pools by what the client says first, looked at in turn."),
	MEMBER("sniff_timeout", sniff_timeout_ms, FIELD_DURATION, .min = 100, .max = 60000,
	       .def = "3s",
	       .help = "With `routes`: a client that says nothing for this long goes to `pool`. Starts "
		       "again with each new byte, four times at most."),
	END,
};
const struct mapping service_mapping = {
	.title = "services",
	.fields = service_fields,
	.size = sizeof(S),
	.place = offsetof(S, place),
	.name = offsetof(S, name),
	.check = service_check,
	.help = "What is offered to clients, under names of your choice "
		"(1 to 63 of `A-Z a-z 0-9 . _ -`).",
	.example = "services:\n"
		   "  web:\n"
		   "    listen: [tcp://192.0.2.10:80, udp://192.0.2.10:80]\n"
		   "    pool: web\n",
};
#undef S

#define S struct config
static const struct field top_fields[] = {
	ARRAY("interfaces", interfaces, interface_count, FIELD_LIST, .mapping = &interface_mapping,
	      .required = true, .counter = COUNT_INTERFACES, .max = 256,
	      .help = "Where packets come in."),
	MEMBER("watch", watch, FIELD_BOOL, .def = "true",
	       .help = "Take up changes of this file by itself."),
	MEMBER("flow_table", flow_table, FIELD_NUMBER, .min = 16, .max = 16000000, .def = "262144",
	       .unit = "flows",
	       .help = "How many established flows are held. Changes at the next start."),
	MEMBER("hash_seed", hash_seed, FIELD_SEED, .example = "00112233445566778899aabbccddeeff",
	       .left_out = "random, kept in the run directory",
	       .help = "Secret that backends are chosen by: 32 hexadecimal digits. Nodes with the "
		       "same seed choose alike. Changes at the next start."),
	MEMBER("http", http, FIELD_HTTP, .example = "127.0.0.1:9180", .left_out = "no HTTP",
	       .help = "Where `/metrics`, `/stats`, `/healthz` and `/api/v1/status` are served."),
	{ .key = "nat",
	  .type = FIELD_MAPPING,
	  .mapping = &nat_mapping,
	  .help = "Source addresses and ports towards backends." },
	{ .key = "timeouts",
	  .type = FIELD_MAPPING,
	  .mapping = &timeout_mapping,
	  .help = "How long flows are kept that are not established." },
	ARRAY("pools", pools, pool_count, FIELD_NAMED, .mapping = &pool_mapping, .required = true,
	      .counter = COUNT_POOLS, .max = XDPLB_MAX_POOLS, .example = "web",
	      .help = "Groups of servers."),
	ARRAY("services", services, service_count, FIELD_NAMED, .mapping = &service_mapping,
	      .required = true, .counter = COUNT_SERVICES, .max = XDPLB_MAX_SERVICES,
	      .example = "web", .help = "What is offered to clients."),
	END,
};
const struct mapping top_mapping = {
	.title = "Top level",
	.fields = top_fields,
	.size = sizeof(S),
	.check = top_check,
};
#undef S

const struct field *field_find(const struct field *fields, const char *key)
{
	for (; fields->type != FIELD_END; fields++)
		if (!strcmp(fields->key, key))
			return fields;
	return NULL;
}
