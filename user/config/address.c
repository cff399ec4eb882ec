// SPDX-License-Identifier: GPL-2.0-only
/* Values with addresses and ports in them. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "config/load.h"

#include "xdplb/addr.h"

/* IPv4, or IPv6 without brackets. */
static bool addr_parse(const char *text, struct xdplb_addr *addr)
{
	struct xdplb_addr parsed = { .w = { 0, 0, htonl(0xffff), 0 } };

	if (inet_pton(AF_INET, text, &parsed.w[3]) != 1 && inet_pton(AF_INET6, text, &parsed) != 1)
		return false;
	*addr = parsed;
	return true;
}

/* Why traffic to or from @addr cannot pass through the balancer; NULL: it can. */
static const char *addr_trouble(const struct xdplb_addr *addr)
{
	uint32_t last = ntohl(addr->w[3]);

	if (xdplb_addr_is_ip4(addr)) {
		if (last >> 24 == 0)
			return "is unspecified: name one address";
		if (last >> 24 == 127)
			return "is a loopback address: its packets never leave a host";
		if (last >> 28 == 0xe)
			return "is a multicast address: connections need a unicast one";
		if (last == 0xffffffff)
			return "is the broadcast address: connections need a unicast one";
		return NULL;
	}
	if (!addr->w[0] && !addr->w[1] && !addr->w[2] && last <= 1)
		return last ? "is a loopback address: its packets never leave a host" :
			      "is unspecified: name one address";
	if (ntohl(addr->w[0]) >> 24 == 0xff)
		return "is a multicast address: connections need a unicast one";
	if (ntohl(addr->w[0]) >> 22 == 0xfe80 >> 6)
		return "is link-local: it means another host on each interface; name a global one";
	return NULL;
}

static bool port_parse(const char *text, uint16_t *port)
{
	uint32_t number;

	if (!u32_parse(text, &number) || !number || number > 65535)
		return false;
	*port = (uint16_t)number;
	return true;
}

#define ENDPOINT_LEN 96 /* longer is no address */

/* "ADDRESS:PORT" with IPv6 in brackets; NULL, or what is wrong with it. */
static const char *endpoint_parse(const char *text, struct xdplb_addr *addr, uint16_t *port)
{
	const char *port_text = strrchr(text, ':');
	char host[ENDPOINT_LEN];
	struct xdplb_addr parsed;
	size_t len;

	if (strchr(text, '%'))
		return "has a zone: addresses are the same on all interfaces here; leave it out";
	if (strstr(text, "://"))
		return "has a scheme: write ADDRESS:PORT alone";
	if (addr_parse(text, &parsed))
		return xdplb_addr_is_ip4(&parsed) ?
			       "has no port: write ADDRESS:PORT" :
			       "is IPv6 without brackets or port: write [ADDRESS]:PORT";
	len = strlen(text);
	if (text[0] == '[' && text[len - 1] == ']')
		return "has no port: write [ADDRESS]:PORT";
	if (!port_text || len >= sizeof(host))
		return "is not ADDRESS:PORT, such as 10.1.0.11:8080 or [2001:db8::1]:8080";
	len = (size_t)(port_text - text);
	memcpy(host, text, len);
	host[len] = '\0';
	if (host[0] == '[') {
		bool closed = host[len - 1] == ']';

		host[len - 1] = '\0';
		if (!closed || !strchr(host, ':') || !addr_parse(host + 1, &parsed))
			return "has no valid IPv6 address between its brackets";
	} else if (strchr(host, ':') && addr_parse(host, &parsed)) {
		return "is IPv6 without brackets: write [ADDRESS]:PORT";
	} else if (strchr(host, ':') || !addr_parse(host, &parsed)) {
		return "has no valid IP address: names are not resolved, write the address";
	}
	if (!port_parse(port_text + 1, port))
		return "has no valid port: a number from 1 to 65535";
	*addr = parsed;
	return NULL;
}

bool parse_http(struct loader *loader, const struct value *value, const struct field *field,
		void *base)
{
	struct config *config = base;
	struct xdplb_addr addr;
	uint16_t port;
	const char *wrong = endpoint_parse(value->text, &addr, &port);

	if (wrong)
		return cfg_fail(loader, value->place, "%s: '%s' %s", field->key,
				quote(value->text).text, wrong);
	config->http = xstrdup(value->text);
	return true;
}

bool parse_nat_address(struct loader *loader, const struct value *value, const struct field *field,
		       void *base)
{
	struct config *config = base;
	struct xdplb_addr addr;
	const char *wrong = "is not an IP address";
	size_t same_family = 0;

	if (strchr(value->text, '%'))
		wrong = "has a zone: addresses are the same on all interfaces here; leave it out";
	else if (addr_parse(value->text, &addr))
		wrong = addr_trouble(&addr);
	if (wrong)
		return cfg_fail(loader, value->place, "%s: '%s' %s", field->key,
				quote(value->text).text, wrong);
	for (size_t i = 0; i < config->nat_addr_count; i++) {
		if (!memcmp(&config->nat_addrs[i], &addr, sizeof(addr)))
			return cfg_fail(loader, value->place, "%s: '%s' is given twice", field->key,
					value->text);
		same_family += xdplb_addr_is_ip4(&config->nat_addrs[i]) == xdplb_addr_is_ip4(&addr);
	}
	if (same_family == field->max)
		return cfg_fail(loader, value->place, "%s: there can be %u of a family at most",
				field->key, field->max);
	*array_push(config->nat_addrs, config->nat_addr_count) = addr;
	return true;
}

bool parse_nat_ports(struct loader *loader, const struct value *value, const struct field *field,
		     void *base)
{
	struct config *config = base;
	const char *dash = strchr(value->text, '-');
	char low_text[6] = "";
	uint16_t low, high;

	if (dash && (size_t)(dash - value->text) < sizeof(low_text))
		memcpy(low_text, value->text, (size_t)(dash - value->text));
	if (!port_parse(low_text, &low) || !port_parse(dash + 1, &high) || low < field->min)
		return cfg_fail(loader, value->place,
				"%s: '%s' is not a range of ports from %u to %u, such as %s",
				field->key, quote(value->text).text, field->min, field->max,
				field->def);
	if (low > high)
		return cfg_fail(loader, value->place, "%s: '%s' ends before it starts: write %u-%u",
				field->key, value->text, high, low);
	config->nat_port_min = low;
	config->nat_port_max = high;
	return true;
}

bool parse_backend(struct loader *loader, const struct value *value, const struct field *field,
		   void *base)
{
	struct cfg_backend *backend = base;
	const char *wrong = endpoint_parse(value->text, &backend->addr, &backend->port);

	if (!wrong)
		wrong = addr_trouble(&backend->addr);
	if (wrong)
		return cfg_fail(loader, value->place, "%s: '%s' %s", field->key,
				quote(value->text).text, wrong);
	backend->address = xstrdup(value->text);
	return true;
}

bool parse_listener(struct loader *loader, const struct value *value, const struct field *field,
		    void *base)
{
	static const struct {
		const char *scheme;
		uint8_t proto;
	} schemes[] = { { "tcp://", IPPROTO_TCP }, { "udp://", IPPROTO_UDP } };
	struct cfg_service *service = base;
	struct cfg_listener listener = { .text = NULL, .place = value->place };
	const char *endpoint = NULL, *wrong;

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t len = strlen(schemes[i].scheme);

		if (strncmp(value->text, schemes[i].scheme, len) != 0)
			continue;
		endpoint = value->text + len;
		listener.proto = schemes[i].proto;
	}
	if (!endpoint)
		return cfg_fail(loader, value->place,
				"%s: '%s' does not start with tcp:// or udp://", field->key,
				quote(value->text).text);
	if (endpoint[0] == '*')
		wrong = "listens on any address, which is not built yet: name each address";
	else
		wrong = endpoint_parse(endpoint, &listener.addr, &listener.port);
	if (!wrong)
		wrong = addr_trouble(&listener.addr);
	if (wrong && strstr(wrong, "unspecified"))
		wrong = "listens on any address, which is not built yet: name each address";
	if (wrong)
		return cfg_fail(loader, value->place, "%s: '%s' %s", field->key,
				quote(value->text).text, wrong);
	if (!cfg_count(loader, field, value->place))
		return false;
	listener.text = xstrdup(value->text);
	*array_push(service->listeners, service->listener_count) = listener;
	return true;
}
