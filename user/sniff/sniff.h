/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_SNIFF_SNIFF_H
#define XDPLB_SNIFF_SNIFF_H

/*
 * Sniffers: a client's first bytes in, a verdict out. Pure functions that keep
 * no state and allocate nothing that outlives the call. Any prefix of anything
 * is safe input. Two promises: a verdict other than MORE never changes when
 * more bytes follow, and MORE is said only while a YES is still possible.
 */
#include <stddef.h>
#include <stdint.h>

#include "xdplb/protocol.h"

enum sniff_verdict {
	SNIFF_MORE,
	SNIFF_NO,
	SNIFF_YES
};

/* TCP: the stream so far, one piece. UDP: the datagrams so far, a piece each, as they came. */
struct sniff_piece {
	const uint8_t *data;
	size_t len;
};

#define SNIFF_NAME_MAX 256 /* a DNS name has at most 253 characters, RFC 1035 */
#define SNIFF_ALPN_MAX 512

/* What a YES found, as far as the protocol has such things. */
struct sniff_info {
	char name[SNIFF_NAME_MAX]; /* TLS, QUIC: SNI (ECH: the outer one); HTTP: host without
				    * its port; in lower case, without a final dot; "": none */
	uint8_t alpn[SNIFF_ALPN_MAX]; /* the client's list as on the wire: length, bytes, length, … */
	size_t alpn_len; /* names beyond SNIFF_ALPN_MAX are left out */
};

/* @transport: XDPLB_OVER_TCP or XDPLB_OVER_UDP. NO where @protocol does not run over it. */
enum sniff_verdict sniff(enum xdplb_protocol protocol, unsigned transport,
			 const struct sniff_piece *pieces, size_t count, struct sniff_info *info);

/* How much may be asked for before it must be decided: a hello of 16 kB in records of its own. */
#define SNIFF_STREAM_MAX 20480
#define SNIFF_DATAGRAMS_MAX 8

/* ---- the sniffers of sniff(); XDPLB_PROTOCOL_REGEX has rules.h */
typedef enum sniff_verdict sniffer(const struct sniff_piece *pieces, size_t count,
				   struct sniff_info *info);

sniffer sniff_tls, sniff_http, sniff_ssh, sniff_socks5, sniff_quic, sniff_wireguard;
sniffer sniff_openvpn_tcp, sniff_openvpn_udp, sniff_xmpp, sniff_syslog_tcp, sniff_syslog_udp;
sniffer sniff_adb, sniff_rdp, sniff_tinc;

/*
 * The ClientHello alone, as TLS and QUIC carry it: handshake type, 24 bits of
 * length, body (RFC 8446, 4). @len bytes of it are there.
 */
enum sniff_verdict sniff_client_hello(const uint8_t *data, size_t len, struct sniff_info *info);

#endif /* XDPLB_SNIFF_SNIFF_H */
