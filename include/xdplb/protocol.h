/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_PROTOCOL_H
#define XDPLB_PROTOCOL_H

/*
 * What a client's first bytes can be recognised as, one row each:
 *
 *	X(NAME, "word", transports, "what it is recognised by")
 *
 * The configuration's words, the sniffers, the metric xdplb_sniffed_total, the
 * flows' JSON and docs/sniffing.md are all made from this list. Append only:
 * the numbers stand in pinned maps.
 */
#define XDPLB_OVER_TCP 1
#define XDPLB_OVER_UDP 2

/* clang-format off */
#define XDPLB_PROTOCOLS(X) \
	X(NONE,      "unknown",   0,              "nothing that was looked for") \
	X(TLS,       "tls",       XDPLB_OVER_TCP, "a TLS ClientHello (RFC 8446, 4.1.2; RFC 5246, 7.4.1.2)") \
	X(HTTP,      "http",      XDPLB_OVER_TCP, "an HTTP/1.x request (RFC 9112) or the preface of HTTP/2 (RFC 9113, 3.4)") \
	X(SSH,       "ssh",       XDPLB_OVER_TCP, "SSH-2.0- or SSH-1. (RFC 4253, 4.2)") \
	X(SOCKS5,    "socks5",    XDPLB_OVER_TCP, "a SOCKS5 greeting (RFC 1928, 3)") \
	X(QUIC,      "quic",      XDPLB_OVER_UDP, "a QUIC Initial of version 1 (RFC 9000, 9001) or 2 (RFC 9369)") \
	X(WIREGUARD, "wireguard", XDPLB_OVER_UDP, "a WireGuard handshake initiation: 148 bytes, type 1") \
	X(OPENVPN,   "openvpn",   XDPLB_OVER_TCP | XDPLB_OVER_UDP, "an OpenVPN hard reset of a client") \
	X(XMPP,      "xmpp",      XDPLB_OVER_TCP, "the opening of a stream (RFC 6120, 4.2)") \
	X(SYSLOG,    "syslog",    XDPLB_OVER_TCP | XDPLB_OVER_UDP, "<PRI>, over TCP also with its length in front (RFC 5424, 6587)") \
	X(ADB,       "adb",       XDPLB_OVER_TCP, "a CNXN message of the Android debug bridge") \
	X(RDP,       "rdp",       XDPLB_OVER_TCP, "TPKT with an X.224 connection request (RFC 1006)") \
	X(TINC,      "tinc",      XDPLB_OVER_TCP, "a tinc ID request: 0 NAME 17") \
	X(REGEX,     "regex",     XDPLB_OVER_TCP | XDPLB_OVER_UDP, "a regular expression of the user's, in the first kilobyte")
/* clang-format on */

enum xdplb_protocol {
#define X(name, word, transports, help) XDPLB_PROTOCOL_##name,
	XDPLB_PROTOCOLS(X)
#undef X
	XDPLB_PROTOCOL_MAX
};

#endif /* XDPLB_PROTOCOL_H */
