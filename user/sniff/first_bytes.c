// SPDX-License-Identifier: GPL-2.0-only
/* Protocols that a fixed beginning tells apart: SSH, SOCKS5, ADB, RDP. None of them has a name. */
#include "sniff/bytes.h"

/*
 * RFC 4253, 4.2 and 5.1: a client says its version at once, without lines in
 * front; "1." covers 1.99 and the real old ones.
 */
enum sniff_verdict sniff_ssh(const struct sniff_piece *pieces, size_t count,
			     struct sniff_info *info)
{
	struct sniff_piece stream = sniff_stream(pieces, count);
	enum sniff_verdict version2 = match_bytes(stream.data, stream.len, "SSH-2.0-", 8);
	enum sniff_verdict version1 = match_bytes(stream.data, stream.len, "SSH-1.", 6);

	if (version2 == SNIFF_YES || version1 == SNIFF_YES)
		return found_nameless(info);
	return version2 == SNIFF_MORE || version1 == SNIFF_MORE ? SNIFF_MORE : SNIFF_NO;
}

/*
 * RFC 1928, 3: version, number of methods, methods. Those that IANA has given
 * out and the private ones; any other would make every text that begins with
 * ^E a greeting. What follows the greeting (an impatient client) is not judged.
 */
enum sniff_verdict sniff_socks5(const struct sniff_piece *pieces, size_t count,
				struct sniff_info *info)
{
	enum {
		SOCKS_VERSION = 5,
		METHOD_LAST = 9,
		METHOD_PRIVATE = 0x80,
		METHOD_NONE_ACCEPTABLE = 0xff
	};
	struct sniff_piece bytes = sniff_stream(pieces, count);
	struct reader stream = { bytes.data, 0, SIZE_MAX, bytes.len }, methods;
	enum sniff_verdict verdict;
	size_t number;

	verdict = read_number(&stream, 1, SOCKS_VERSION, SOCKS_VERSION, &number);
	if (verdict == SNIFF_YES)
		verdict = read_vector(&stream, 1, 1, 255, 0, &methods);
	while (verdict == SNIFF_YES && reader_left(&methods)) {
		verdict = read_number(&methods, 1, 0, METHOD_NONE_ACCEPTABLE - 1, &number);
		if (verdict == SNIFF_YES && number > METHOD_LAST && number < METHOD_PRIVATE)
			return SNIFF_NO;
	}
	return verdict == SNIFF_YES ? found_nameless(info) : verdict;
}

/* The word at @at as far as it is there: what is missing can only make it larger. */
static uint32_t little_endian(struct sniff_piece stream, size_t at)
{
	uint32_t number = 0;

	for (unsigned i = 0; i < sizeof(number) && at + i < stream.len; i++)
		number |= (uint32_t)stream.data[at + i] << 8 * i;
	return number;
}

/*
 * Android's docs/dev/protocol.md: six words in little endian (command, version,
 * largest payload, length, checksum, command inverted), then who speaks: a
 * client is "host:". It begins with CNXN even where TLS is to come: STLS is the
 * answer to the device's.
 */
enum sniff_verdict sniff_adb(const struct sniff_piece *pieces, size_t count,
			     struct sniff_info *info)
{
	static const uint8_t inverted[] = { 'C' ^ 0xff, 'N' ^ 0xff, 'X' ^ 0xff, 'N' ^ 0xff };
	enum {
		AT_LENGTH = 12,
		AT_INVERTED = 20,
		AT_IDENTITY = 24,
		IDENTITY_MIN = 5,
		IDENTITY_MAX = 4096 /* a payload of the first version */
	};
	struct sniff_piece stream = sniff_stream(pieces, count);
	enum sniff_verdict verdict = match_bytes(stream.data, stream.len, "CNXN", 4);
	uint32_t length = little_endian(stream, AT_LENGTH);

	if (verdict != SNIFF_YES)
		return verdict;
	if (length > IDENTITY_MAX ||
	    (length < IDENTITY_MIN && stream.len >= AT_LENGTH + sizeof(length)))
		return SNIFF_NO;
	if (stream.len < AT_INVERTED)
		return SNIFF_MORE;
	verdict = match_bytes(stream.data + AT_INVERTED, stream.len - AT_INVERTED, inverted,
			      sizeof(inverted));
	if (verdict == SNIFF_YES)
		verdict = match_bytes(stream.data + AT_IDENTITY, stream.len - AT_IDENTITY,
				      "host:", IDENTITY_MIN);
	return verdict == SNIFF_YES ? found_nameless(info) : verdict;
}

/*
 * What stands behind the seven bytes of the connection request ([MS-RDPBCGR],
 * 2.2.1.1): nothing, a cookie or routing token (text), or the negotiation.
 * X.224's own parameters, as S7 and H.323 have them, must not be there.
 */
static enum sniff_verdict read_rdp_rest(struct reader request)
{
	enum {
		NEGOTIATION = 1,
		NEGOTIATION_BYTES = 8
	};
	enum sniff_verdict verdict;
	size_t first, flags, length;

	if (!reader_left(&request))
		return SNIFF_YES;
	if (reader_left(&request) < 2)
		return SNIFF_NO;
	verdict = read_number(&request, 1, NEGOTIATION, '~', &first);
	if (verdict != SNIFF_YES)
		return verdict;
	if (first != NEGOTIATION)
		return first >= ' ' ? SNIFF_YES : SNIFF_NO;
	if (reader_left(&request) + 1 < NEGOTIATION_BYTES)
		return SNIFF_NO;
	verdict = read_number(&request, 1, 0, 255, &flags);
	if (verdict == SNIFF_YES) /* the length, in little endian */
		verdict = read_number(&request, 2, NEGOTIATION_BYTES << 8, NEGOTIATION_BYTES << 8,
				      &length);
	return verdict;
}

/* TPKT (RFC 1006, 6) around a connection request of class 0 (X.224, 13.3). */
enum sniff_verdict sniff_rdp(const struct sniff_piece *pieces, size_t count,
			     struct sniff_info *info)
{
	enum {
		TPKT_VERSION = 3,
		TPKT_HEADER = 4,
		REQUEST = 0xe0,
		REQUEST_MIN = 7,
		REQUEST_MAX = 255 /* its length indicator ends at 254 and does not count itself */
	};
	struct sniff_piece bytes = sniff_stream(pieces, count);
	struct reader stream = { bytes.data, 0, SIZE_MAX, bytes.len };
	enum sniff_verdict verdict;
	size_t number, length = 0;

	verdict = read_number(&stream, 1, TPKT_VERSION, TPKT_VERSION, &number);
	if (verdict == SNIFF_YES)
		verdict = read_number(&stream, 1, 0, 0, &number);
	if (verdict == SNIFF_YES)
		verdict = read_number(&stream, 2, TPKT_HEADER + REQUEST_MIN,
				      TPKT_HEADER + REQUEST_MAX, &length);
	if (verdict == SNIFF_YES) {
		stream.end = length;
		verdict = read_number(&stream, 1, length - TPKT_HEADER - 1,
				      length - TPKT_HEADER - 1, &number);
	}
	if (verdict == SNIFF_YES)
		verdict = read_number(&stream, 1, REQUEST, REQUEST, &number);
	if (verdict == SNIFF_YES)
		verdict = read_number(&stream, 2, 0, 0, &number); /* destination reference */
	if (verdict == SNIFF_YES)
		verdict = read_number(&stream, 2, 0, UINT16_MAX, &number); /* source reference */
	if (verdict == SNIFF_YES)
		verdict = read_number(&stream, 1, 0, 0, &number); /* class, options */
	if (verdict == SNIFF_YES)
		verdict = read_rdp_rest(stream);
	return verdict == SNIFF_YES ? found_nameless(info) : verdict;
}
