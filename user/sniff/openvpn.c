// SPDX-License-Identifier: GPL-2.0-only
/*
 * OpenVPN by the hard reset that a client begins with (OpenVPN's protocol
 * overview, and doc/tls-crypt-v2.txt). One byte of opcode and key id, eight of
 * session id; what follows depends on how the control channel is wrapped:
 *
 *	nothing       acks packet
 *	tls-auth      HMAC replay time acks packet
 *	tls-crypt     replay time HMAC {acks packet}
 *	tls-crypt-v2  replay time HMAC {acks packet} wrapped key with its length at the end
 *
 * Acks are none and the packet is the first: five zero bytes. Replay counts the
 * packets sent. Lengths are exact, so little else looks like it. A tunnel with a
 * static key has no first message and cannot be told from noise.
 */
#include "sniff/bytes.h"

enum {
	RESET_CLIENT_V1 = 1 << 3, /* opcode in the upper five bits, key id 0 */
	RESET_CLIENT_V2 = 7 << 3,
	RESET_CLIENT_V3 = 10 << 3, /* tls-crypt-v2 */
	SESSION_END = 1 + 8,
	REPLAY_LEN = 4 + 4, /* number and time */
	TAIL_LEN = 1 + 4, /* acks, packet */
	PLAIN_LEN = SESSION_END + TAIL_LEN,
	CRYPT_LEN = SESSION_END + REPLAY_LEN + 32 + TAIL_LEN, /* HMAC-SHA256 */
	WRAPPED_MIN = 32 + 256 + 2, /* HMAC, client's key, length; then metadata */
	WRAPPED_MAX = 1024
};

/* Digests that tls-auth is used with: none, MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512. */
static const uint8_t digests[] = { 0, 16, 20, 28, 32, 48, 64 };

struct message {
	const uint8_t *data;
	size_t len; /* as it will be */
	size_t have;
};

/* Does byte @at lie between @min and @max, if it is there? */
static enum sniff_verdict byte_is(const struct message *message, size_t at, uint8_t min,
				  uint8_t max)
{
	if (at >= message->have)
		return SNIFF_MORE;
	return message->data[at] >= min && message->data[at] <= max ? SNIFF_YES : SNIFF_NO;
}

static enum sniff_verdict both(enum sniff_verdict one, enum sniff_verdict other)
{
	if (one == SNIFF_NO || other == SNIFF_NO)
		return SNIFF_NO;
	return one == SNIFF_MORE ? one : other;
}

static enum sniff_verdict either(enum sniff_verdict one, enum sniff_verdict other)
{
	if (one == SNIFF_YES || other == SNIFF_YES)
		return SNIFF_YES;
	return one == SNIFF_MORE ? one : other;
}

/*
 * A number from 1 to 255: the reset was not repeated more often. Since 2.6 a
 * client with tls-crypt-v2 says in the first byte that it can negotiate early.
 */
static enum sniff_verdict replay_is(const struct message *message, size_t at, bool early)
{
	enum sniff_verdict verdict = byte_is(message, at, 0, 0);

	if (early)
		verdict = either(verdict, byte_is(message, at, 0x0f, 0x0f));
	verdict = both(verdict, byte_is(message, at + 1, 0, 0));
	verdict = both(verdict, byte_is(message, at + 2, 0, 0));
	return both(verdict, byte_is(message, at + 3, 1, 255));
}

static enum sniff_verdict tail_is(const struct message *message, size_t at)
{
	enum sniff_verdict verdict = SNIFF_YES;

	for (size_t i = 0; i < TAIL_LEN; i++)
		verdict = both(verdict, byte_is(message, at + i, 0, 0));
	return verdict;
}

/* Unwrapped, or with tls-auth. */
static enum sniff_verdict is_auth(const struct message *message)
{
	for (size_t i = 0; i < sizeof(digests); i++) {
		size_t replay = SESSION_END + digests[i];

		if (!digests[i] && message->len == PLAIN_LEN)
			return tail_is(message, SESSION_END);
		if (digests[i] && message->len == replay + REPLAY_LEN + TAIL_LEN)
			return both(replay_is(message, replay, false),
				    tail_is(message, replay + REPLAY_LEN));
	}
	return SNIFF_NO;
}

static enum sniff_verdict is_crypt(const struct message *message)
{
	enum sniff_verdict end = message->have < message->len ? SNIFF_MORE : SNIFF_YES;

	if (message->len != CRYPT_LEN)
		return SNIFF_NO;
	return both(end, replay_is(message, SESSION_END, false));
}

/* The wrapped key ends with its own length: all that is behind a tls-crypt reset. */
static enum sniff_verdict is_crypt_v2(const struct message *message)
{
	size_t wrapped = message->len - CRYPT_LEN;
	enum sniff_verdict verdict;

	if (message->len < CRYPT_LEN + WRAPPED_MIN || message->len > CRYPT_LEN + WRAPPED_MAX)
		return SNIFF_NO;
	verdict = replay_is(message, SESSION_END, true);
	verdict = both(verdict, byte_is(message, message->len - 2, (uint8_t)(wrapped >> 8),
					(uint8_t)(wrapped >> 8)));
	return both(verdict,
		    byte_is(message, message->len - 1, (uint8_t)wrapped, (uint8_t)wrapped));
}

static enum sniff_verdict is_reset(const struct message *message)
{
	enum sniff_verdict old = either(byte_is(message, 0, RESET_CLIENT_V1, RESET_CLIENT_V1),
					byte_is(message, 0, RESET_CLIENT_V2, RESET_CLIENT_V2));

	return either(both(old, either(is_auth(message), is_crypt(message))),
		      both(byte_is(message, 0, RESET_CLIENT_V3, RESET_CLIENT_V3),
			   is_crypt_v2(message)));
}

enum sniff_verdict sniff_openvpn_udp(const struct sniff_piece *pieces, size_t count,
				     struct sniff_info *info)
{
	struct message message;

	if (!count)
		return SNIFF_MORE;
	message = (struct message){ pieces[0].data, pieces[0].len, pieces[0].len };
	return is_reset(&message) == SNIFF_YES ? found_nameless(info) : SNIFF_NO;
}

/* Could a message whose length begins with byte @high be one? */
static enum sniff_verdict length_begins(uint8_t high)
{
	return high > (CRYPT_LEN + WRAPPED_MAX) >> 8 ? SNIFF_NO : SNIFF_MORE;
}

/* Two bytes of length in front of each message. */
enum sniff_verdict sniff_openvpn_tcp(const struct sniff_piece *pieces, size_t count,
				     struct sniff_info *info)
{
	struct sniff_piece stream = sniff_stream(pieces, count);
	enum sniff_verdict verdict;
	struct message message;

	if (stream.len < 2)
		return stream.len ? length_begins(stream.data[0]) : SNIFF_MORE;
	message.data = stream.data + 2;
	message.len = (size_t)stream.data[0] << 8 | stream.data[1];
	message.have = stream.len - 2 < message.len ? stream.len - 2 : message.len;
	verdict = is_reset(&message);
	return verdict == SNIFF_YES ? found_nameless(info) : verdict;
}
