// SPDX-License-Identifier: GPL-2.0-only
#include "api/endpoint.h"

#include "xdplb/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

void address_format(const struct xdplb_addr *addr, char text[ENDPOINT_LEN])
{
	if (xdplb_addr_is_ip4(addr))
		inet_ntop(AF_INET, &addr->w[3], text, ENDPOINT_LEN);
	else
		inet_ntop(AF_INET6, addr, text, ENDPOINT_LEN);
}

void endpoint_format(const struct xdplb_addr *addr, uint16_t port, char text[ENDPOINT_LEN])
{
	char address[ENDPOINT_LEN];

	address_format(addr, address);
	snprintf(text, ENDPOINT_LEN, xdplb_addr_is_ip4(addr) ? "%.47s:%u" : "[%.47s]:%u", address,
		 port);
}

static bool address_parse(const char *text, struct xdplb_addr *addr)
{
	struct xdplb_addr parsed = { .w = { 0, 0, htonl(0xffff), 0 } };

	if (inet_pton(AF_INET, text, &parsed.w[3]) != 1 && inet_pton(AF_INET6, text, &parsed) != 1)
		return false;
	*addr = parsed;
	return true;
}

static bool port_parse(const char *text, uint16_t *port)
{
	uint32_t number = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		number = number * 10 + (uint32_t)(*text - '0');
		if (number > 65535)
			return false;
	}
	*port = (uint16_t)number;
	return number > 0;
}

bool endpoint_parse(const char *text, struct xdplb_addr *addr, uint16_t *port)
{
	char host[ENDPOINT_LEN];
	const char *colon = strrchr(text, ':');
	bool bracketed = text[0] == '[';
	size_t len;

	if (address_parse(text, addr)) {
		*port = 0;
		return true;
	}
	len = strlen(text);
	if (bracketed && text[len - 1] == ']')
		colon = NULL; /* [ADDRESS] */
	else
		len = colon ? (size_t)(colon - text) : 0;
	if (bracketed && len > 1 && text[len - 1] == ']') {
		text++;
		len -= 2;
	} else if (bracketed) {
		return false;
	}
	if (!len || len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (bracketed != (strchr(host, ':') != NULL) || !address_parse(host, addr))
		return false;
	*port = 0;
	return !colon || port_parse(colon + 1, port);
}
