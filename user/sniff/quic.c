// SPDX-License-Identifier: GPL-2.0-only
/*
 * QUIC by the ClientHello in its Initial packets. Datagrams are judged one after
 * the other and the first judgement other than MORE stands, so that datagrams
 * which follow cannot change it.
 */
#include "sniff/bytes.h"
#include "sniff/quic_crypto.h"
#include "sniff/quic_frames.h"
#include "sniff/quic_wire.h"
#include "xdplb/quic.h"

#define DATAGRAM_MIN 1200 /* one with an Initial in it: RFC 9000, 14.1 */
#define FIRST_DCID_MIN 8 /* RFC 9000, 7.2 */
#define PACKETS_MAX 16 /* in a datagram; a client has reason for four */
#define PACKET_MAX 16384 /* beyond any jumbo frame */

struct packet {
	const struct quic_version *version;
	enum quic_type type;
	struct xdplb_quic_long head;
	bool has_token;
	struct quic_protected protected;
};

struct key_ring { /* the keys that the last packet needed, for the next one */
	const struct quic_version *version; /* NULL: none yet */
	uint8_t cid[XDPLB_QUIC_CID_MAX];
	size_t cid_len;
	struct quic_keys keys;
};

enum datagram { /* what one was */
	DATAGRAM_ALIEN, /* nothing of this connection, or nothing that a server would look at */
	DATAGRAM_QUIET, /* 0-RTT alone: it follows its Initial, but may overtake it */
	DATAGRAM_INITIAL, /* an authentic one in it */
	DATAGRAM_WRONG /* authentic, but no client says such things */
};

struct connection {
	struct quic_crypto *crypto; /* NULL until there is something to decrypt */
	bool known; /* an Initial was authentic */
	uint8_t cid[XDPLB_QUIC_CID_MAX]; /* of the first datagram: its keys stay (RFC 9001, 5.2) */
	size_t cid_len;
	struct key_ring first, own; /* of cid; of the last datagram with another one */
	int64_t largest; /* packet number */
	struct quic_stream stream;
	uint8_t plain[PACKET_MAX];
};

/* RFC 9000, 17.2: a packet of ours at the cursor, which then stands behind it. */
static bool packet_read(struct quic_cursor *datagram, struct packet *packet)
{
	const uint8_t *start = datagram->at, *behind = start;
	struct quic_cursor cursor;
	uint64_t len;

	if (!xdplb_quic_long_parse(&behind, datagram->end, &packet->head) ||
	    !(packet->head.first & XDPLB_QUIC_FIXED))
		return false;
	packet->version = quic_version_find(packet->head.version);
	if (!packet->version)
		return false;
	packet->type = packet->version->types[packet->head.first >> 4 & 3];
	packet->has_token = false;
	cursor = (struct quic_cursor){ behind, datagram->end };
	if (packet->type == QUIC_RETRY) /* of servers alone, and without a length */
		return false;
	if (packet->type == QUIC_INITIAL) {
		if (!quic_varint(&cursor, &len) || !quic_take(&cursor, len))
			return false;
		packet->has_token = len > 0;
	}
	if (!quic_varint(&cursor, &len))
		return false;
	packet->protected.data = start;
	packet->protected.number_at = (size_t)(cursor.at - start);
	if (!quic_take(&cursor, len))
		return false;
	packet->protected.len = (size_t)(cursor.at - start);
	*datagram = cursor;
	return true;
}

static const struct quic_keys *keys_for(struct connection *connection, struct key_ring *ring,
					const struct quic_version *version, const uint8_t *cid,
					size_t cid_len)
{
	if (ring->version == version && ring->cid_len == cid_len &&
	    !memcmp(ring->cid, cid, cid_len))
		return &ring->keys;
	ring->version = NULL;
	if (!quic_keys_derive(connection->crypto, version, cid, cid_len, &ring->keys))
		return NULL;
	memcpy(ring->cid, cid, cid_len);
	ring->cid_len = cid_len;
	ring->version = version;
	return &ring->keys;
}

static bool packet_open(struct connection *connection, const struct packet *packet,
			const struct quic_keys *keys, size_t *len)
{
	return keys && quic_unprotect(connection->crypto, keys, &packet->protected,
				      &connection->largest, connection->plain, len);
}

/*
 * The keys are those of the client's first connection id, also when it speaks
 * to the one that the server chose; but a Retry makes it start over with keys
 * of the server's, and the token says so (RFC 9001, 5.2).
 */
static enum datagram initial_read(struct connection *connection, const struct packet *packet)
{
	const struct xdplb_quic_long *head = &packet->head;
	bool same = head->dcid_len == connection->cid_len &&
		    !memcmp(head->dcid, connection->cid, head->dcid_len);
	const struct quic_keys *keys;
	size_t len;

	if (packet->protected.len > PACKET_MAX ||
	    (same && !packet->has_token && head->dcid_len < FIRST_DCID_MIN))
		return DATAGRAM_ALIEN;
	if (!connection->crypto)
		connection->crypto = quic_crypto_new();
	if (!connection->crypto)
		return DATAGRAM_ALIEN;
	keys = keys_for(connection, &connection->first, packet->version, connection->cid,
			connection->cid_len);
	if (!packet_open(connection, packet, keys, &len)) {
		if (same || !packet->has_token)
			return DATAGRAM_ALIEN;
		keys = keys_for(connection, &connection->own, packet->version, head->dcid,
				head->dcid_len);
		if (!packet_open(connection, packet, keys, &len))
			return DATAGRAM_ALIEN;
	}
	connection->known = true;
	return quic_frames_read(connection->plain, len, &connection->stream) ? DATAGRAM_INITIAL :
									       DATAGRAM_WRONG;
}

/* RFC 9000, 12.2: packets one behind the other, all to the same connection id. */
static enum datagram datagram_read(struct connection *connection, const struct sniff_piece *piece,
				   bool first)
{
	struct quic_cursor datagram = { piece->data, piece->data + piece->len };
	enum datagram is = DATAGRAM_ALIEN, part;
	struct xdplb_quic_long head = { .dcid = NULL }; /* of the first one */
	struct packet packet;

	for (unsigned i = 0; i < PACKETS_MAX && packet_read(&datagram, &packet); i++) {
		if (!i)
			head = packet.head;
		else if (packet.head.dcid_len != head.dcid_len ||
			 memcmp(packet.head.dcid, head.dcid, head.dcid_len) != 0)
			continue;
		if (first && !i) {
			memcpy(connection->cid, head.dcid, head.dcid_len);
			connection->cid_len = head.dcid_len;
		}
		part = DATAGRAM_ALIEN;
		if (packet.type == QUIC_INITIAL && piece->len >= DATAGRAM_MIN)
			part = initial_read(connection, &packet);
		else if (packet.type == QUIC_ZERO_RTT)
			part = DATAGRAM_QUIET;
		if (part == DATAGRAM_WRONG)
			return part;
		if (part == DATAGRAM_INITIAL || !i)
			is = part;
	}
	return is;
}

static enum sniff_verdict datagram_judge(struct connection *connection, enum datagram is,
					 struct sniff_info *info)
{
	const struct quic_stream *stream = &connection->stream;
	enum sniff_verdict verdict;

	if (is == DATAGRAM_WRONG || (is == DATAGRAM_ALIEN && !connection->known))
		return SNIFF_NO;
	if (is != DATAGRAM_INITIAL || !stream->ready)
		return SNIFF_MORE;
	verdict = sniff_client_hello(stream->data, stream->ready, info);
	return verdict == SNIFF_MORE && stream->ready == QUIC_CRYPTO_MAX ? SNIFF_NO : verdict;
}

enum sniff_verdict sniff_quic(const struct sniff_piece *pieces, size_t count,
			      struct sniff_info *info)
{
	enum sniff_verdict verdict = SNIFF_MORE;
	struct connection connection;

	connection.crypto = NULL;
	connection.known = false;
	connection.cid_len = 0;
	connection.first.version = connection.own.version = NULL;
	connection.largest = -1;
	quic_stream_init(&connection.stream);
	for (size_t i = 0; i < count && verdict == SNIFF_MORE; i++) {
		verdict = datagram_judge(&connection, datagram_read(&connection, &pieces[i], !i),
					 info);
		if (i == SNIFF_DATAGRAMS_MAX - 1 && verdict == SNIFF_MORE)
			verdict = SNIFF_NO;
	}
	quic_crypto_free(connection.crypto);
	return verdict;
}
