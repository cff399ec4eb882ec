// SPDX-License-Identifier: GPL-2.0-only
/*
 * WireGuard by the handshake initiation (whitepaper, 5.4.2): type 1, three zero
 * bytes, 148 bytes in all. A client has nothing else to say before it is
 * answered, so the first datagram decides; what remains of it is random.
 */
#include "sniff/bytes.h"

#define INITIATION_LEN 148

enum sniff_verdict sniff_wireguard(const struct sniff_piece *pieces, size_t count,
				   struct sniff_info *info)
{
	static const uint8_t type[] = { 1, 0, 0, 0 };

	if (!count)
		return SNIFF_MORE;
	if (pieces[0].len != INITIATION_LEN || memcmp(pieces[0].data, type, sizeof(type)) != 0)
		return SNIFF_NO;
	return found_nameless(info);
}
