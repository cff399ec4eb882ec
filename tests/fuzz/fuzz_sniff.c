// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any bytes to any sniffer, prefix by prefix: a verdict once given stays, with
 * what it found; at SNIFF_STREAM_MAX there is one. The first byte says which:
 * the number of a protocol, 0 for a set of routes, plus 128 for a datagram.
 */
#include <stdlib.h>
#include <string.h>

#include "sniff/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum {
	OVER_UDP = 0x80,
	ALL_PREFIXES = 700, /* of longer input not each one, */
	DECIDED_STEP = 61 /* nor of what is decided */
};

/* Every protocol over TCP, with names where they are possible, and patterns. */
static const char routes[] =
	"[{\"service\":1,\"pool\":0,\"sniff_timeout_ms\":3000,\"idle_ticks_tcp\":0,"
	"\"idle_ticks_udp\":0,\"keep_address\":false,\"rules\":["
#define ROUTE(protocol, names, alpn, patterns)                              \
	"{\"protocol\":\"" protocol "\",\"names\":" names ",\"alpn\":" alpn \
	",\"patterns\":" patterns ",\"pool\":1,\"idle_ticks\":0}"
	ROUTE("tls", "[\"a.example\",\"*.b.example\"]", "[\"h2\"]", "null") "," ROUTE("http", "[\"c.example\"]", "null", "null") "," ROUTE(
		"ssh", "null", "null",
		"null") "," ROUTE("regex", "null", "null",
				  "[\"^STAT[0-9]+ ?[a-z]*;\",\"(?i)needle(x|y)?\"]") "," ROUTE("socks5",
											       "null",
											       "null",
											       "null") "," ROUTE("http",
														 "null",
														 "null",
														 "null") "," ROUTE("syslog",
																   "null",
																   "null",
																   "null") "," ROUTE("tls",
																		     "null",
																		     "null",
																		     "null") "]}]";

struct answer {
	enum sniff_verdict verdict;
	const struct rule *rule;
	enum xdplb_protocol protocol;
	struct sniff_info info;
};

static struct answer ask(uint8_t selector, const uint8_t *data, size_t len)
{
	unsigned transport = selector & OVER_UDP ? XDPLB_OVER_UDP : XDPLB_OVER_TCP;
	enum xdplb_protocol protocol = (enum xdplb_protocol)(selector & 0x7f);
	struct answer answer = { .verdict = SNIFF_NO };
	static struct rules *rules;
	struct sniff_piece piece = { malloc(len ? len : 1), len }; /* exact, for ASan */
	struct rule_match match;

	if (!rules)
		rules = rules_parse(routes, strlen(routes));
	memcpy((uint8_t *)piece.data, data, len);
	if (protocol == XDPLB_PROTOCOL_NONE || protocol == XDPLB_PROTOCOL_REGEX) {
		answer.verdict = rules_match(rules_find(rules, 1), transport, &piece, 1, &match);
		answer.rule = match.rule;
		answer.protocol = match.protocol;
		answer.info = match.info;
	} else {
		answer.verdict = sniff(protocol, transport, &piece, 1, &answer.info);
	}
	free((uint8_t *)piece.data);
	return answer;
}

/* What is found obeys sniff.h: a name in small letters, a list that adds up. */
static void info_check(const struct sniff_info *info)
{
	size_t at = 0, len = strnlen(info->name, sizeof(info->name));

	if (len == sizeof(info->name) || (len && info->name[len - 1] == '.'))
		abort();
	for (const char *c = info->name; *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.:[]", *c))
			abort();
	while (at < info->alpn_len)
		at += 1U + info->alpn[at];
	if (at != info->alpn_len || at > sizeof(info->alpn))
		abort();
}

static void same(const struct answer *old, const struct answer *new)
{
	if (old->verdict != new->verdict || old->rule != new->rule ||
	    old->protocol != new->protocol || strcmp(old->info.name, new->info.name) != 0 ||
	    old->info.alpn_len != new->info.alpn_len ||
	    memcmp(old->info.alpn, new->info.alpn, new->info.alpn_len) != 0)
		abort();
}

/* A stream that goes on and on is decided at last. */
static void decided_in_the_end(uint8_t selector, const uint8_t *data, size_t len,
			       const struct answer *settled)
{
	static uint8_t stream[SNIFF_STREAM_MAX + 1];
	struct answer answer, longer;

	if (len > sizeof(stream))
		len = sizeof(stream);
	memcpy(stream, data, len);
	memset(stream + len, len ? data[len - 1] : 0, sizeof(stream) - len);
	answer = ask(selector, stream, SNIFF_STREAM_MAX);
	if (answer.verdict == SNIFF_MORE)
		abort();
	if (settled->verdict != SNIFF_MORE)
		same(settled, &answer);
	longer = ask(selector, stream, sizeof(stream));
	same(&answer, &longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct answer settled = { .verdict = SNIFF_MORE };
	uint8_t selector;
	size_t step = 1;

	if (!len || (data[0] & 0x7f) >= XDPLB_PROTOCOL_MAX)
		return -1;
	selector = *data++;
	len--;
	if (selector & OVER_UDP) { /* a datagram does not grow: no crash is all there is to ask */
		settled = ask(selector, data, len);
		if (settled.verdict == SNIFF_YES)
			info_check(&settled.info);
		return 0;
	}
	for (size_t n = 0; n <= len; n += step) {
		struct answer answer = ask(selector, data, n);

		if (settled.verdict != SNIFF_MORE)
			same(&settled, &answer);
		else if (answer.verdict == SNIFF_YES)
			info_check(&answer.info);
		step = settled.verdict != SNIFF_MORE ? DECIDED_STEP : n < ALL_PREFIXES ? 1 : 37;
		settled = answer;
	}
	decided_in_the_end(selector, data, len, &settled);
	return 0;
}
