/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_API_ENDPOINT_H
#define XDPLB_API_ENDPOINT_H

/* Addresses as people read and write them: "192.0.2.1:80", "[2001:db8::1]:80". */
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "xdplb/abi.h"

#define ENDPOINT_LEN (INET6_ADDRSTRLEN + 8)

/* Host order. */
void endpoint_format(const struct xdplb_addr *addr, uint16_t port, char text[ENDPOINT_LEN]);

/* The address alone, without brackets. */
void address_format(const struct xdplb_addr *addr, char text[ENDPOINT_LEN]);

/* ADDRESS, [ADDRESS], ADDRESS:PORT or [ADDRESS]:PORT; *port is 0 where none is named. */
bool endpoint_parse(const char *text, struct xdplb_addr *addr, uint16_t *port);

#endif /* XDPLB_API_ENDPOINT_H */
