/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_SNIFF_HTTP2_H
#define XDPLB_SNIFF_HTTP2_H

/* What the two versions of HTTP share; sniff_http() is the sniffer of both. */
#include "sniff/bytes.h"

#define HTTP2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" /* RFC 9113, 3.4 */

/* @stream begins with the preface. */
enum sniff_verdict sniff_http2(struct sniff_piece stream, struct sniff_info *info);

/* The host of "host:port", fit for sniff_info; false, and @name is "", if it is none. */
bool authority_name(struct sniff_piece authority, char name[SNIFF_NAME_MAX]);

#endif /* XDPLB_SNIFF_HTTP2_H */
