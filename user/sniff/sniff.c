// SPDX-License-Identifier: GPL-2.0-only
#include "sniff/sniff.h"

/* A row for each protocol; NULL where it does not run over the transport. */
static const struct {
	sniffer *over_tcp, *over_udp;
} sniffers[XDPLB_PROTOCOL_MAX] = {
	[XDPLB_PROTOCOL_TLS] = { sniff_tls, NULL },
	[XDPLB_PROTOCOL_HTTP] = { sniff_http, NULL },
	[XDPLB_PROTOCOL_SSH] = { sniff_ssh, NULL },
	[XDPLB_PROTOCOL_SOCKS5] = { sniff_socks5, NULL },
	[XDPLB_PROTOCOL_QUIC] = { NULL, sniff_quic },
	[XDPLB_PROTOCOL_WIREGUARD] = { NULL, sniff_wireguard },
	[XDPLB_PROTOCOL_OPENVPN] = { sniff_openvpn_tcp, sniff_openvpn_udp },
	[XDPLB_PROTOCOL_XMPP] = { sniff_xmpp, NULL },
	[XDPLB_PROTOCOL_SYSLOG] = { sniff_syslog_tcp, sniff_syslog_udp },
	[XDPLB_PROTOCOL_ADB] = { sniff_adb, NULL },
	[XDPLB_PROTOCOL_RDP] = { sniff_rdp, NULL },
	[XDPLB_PROTOCOL_TINC] = { sniff_tinc, NULL },
};

enum sniff_verdict sniff(enum xdplb_protocol protocol, unsigned transport,
			 const struct sniff_piece *pieces, size_t count, struct sniff_info *info)
{
	sniffer *sniff_it = NULL;

	if ((unsigned)protocol >= XDPLB_PROTOCOL_MAX)
		return SNIFF_NO;
	if (transport == XDPLB_OVER_TCP)
		sniff_it = sniffers[protocol].over_tcp;
	else if (transport == XDPLB_OVER_UDP)
		sniff_it = sniffers[protocol].over_udp;
	return sniff_it ? sniff_it(pieces, count, info) : SNIFF_NO;
}
