/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_QUIC_MAKER_H
#define XDPLB_QUIC_MAKER_H

/*
 * A client's datagrams, made the way the sniffer takes them apart: frames are
 * put into a payload, a payload into a protected packet behind what the datagram
 * holds already. Shared by the unit tests and the fuzzer; aborts where it is
 * asked for what does not fit.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "sniff/quic_crypto.h"
#include "sniff/sniff.h"

#define MAKER_MAX 32768
#define MAKER_V1 1U
#define MAKER_V2 0x6b3343cfU

struct made { /* bytes: frames, or a datagram */
	uint8_t data[MAKER_MAX];
	size_t len;
};

struct cid {
	uint8_t len;
	uint8_t data[20];
};

struct recipe {
	uint32_t version;
	enum quic_type type;
	struct cid keys; /* the id that the keys are derived of */
	struct cid dcid, scid;
	size_t token_len;
	uint32_t number;
	uint8_t number_len;
	uint8_t clear; /* bits of the first byte that shall be 0 */
	size_t pad_to; /* PADDING frames until the datagram has this length */
};

static inline void maker_need(bool holds)
{
	if (!holds)
		abort();
}

static inline void put(struct made *made, const void *data, size_t len)
{
	maker_need(len <= MAKER_MAX - made->len);
	memcpy(made->data + made->len, data, len);
	made->len += len;
}

static inline void put_number(struct made *made, uint64_t number, unsigned width)
{
	while (width--) {
		uint8_t byte = (uint8_t)(number >> (8 * width));

		put(made, &byte, 1);
	}
}

static inline void put_byte(struct made *made, uint8_t byte, size_t times)
{
	while (times--)
		put(made, &byte, 1);
}

/* RFC 9000, 16, always in @width bytes: 1, 2, 4 or 8. */
static inline void put_varint(struct made *made, uint64_t number, unsigned width)
{
	uint64_t size = width == 8 ? 3 : width / 2;

	put_number(made, number | size << (8 * width - 2), width);
}

static inline void put_crypto(struct made *frames, size_t offset, const uint8_t *hello, size_t len)
{
	put_byte(frames, 0x06, 1);
	put_varint(frames, offset, offset < 64 ? 1 : 4);
	put_varint(frames, len, len < 64 ? 1 : 2);
	put(frames, hello + offset, len);
}

/* Of packets 0 to 9 and 5 before; with ECN counts. */
static inline void put_ack(struct made *frames)
{
	static const uint8_t ack[] = { 0x03, 0x40, 0x10, 0x05, 0x01, 0x02,
				       0x03, 0x00, 0x01, 0x02, 0x40, 0x03 };

	/* largest, delay, one range more, first range, gap, range, ECT0, ECT1, CE */
	put(frames, ack, sizeof(ack));
}

/* A ClientHello for @name with ALPN h3, with a padding extension (RFC 7685) that makes it @size. */
static inline void hello_make(struct made *hello, const char *name, size_t size)
{
	size_t name_len = strlen(name), extensions = size - 4 - 2 - 32 - 1 - 4 - 2 - 2;
	size_t rest = extensions - (4 + 5 + name_len) - (4 + 2 + 3);

	maker_need(size > 80 + name_len);
	hello->len = 0;
	put_number(hello, 1, 1);
	put_number(hello, size - 4, 3);
	put_number(hello, 0x0303, 2);
	for (uint8_t i = 0; i < 32; i++)
		put_number(hello, 0x40U + i, 1);
	put_number(hello, 0, 1);
	put_number(hello, 0x00021301, 4); /* one cipher suite */
	put_number(hello, 0x0100, 2); /* no compression */
	put_number(hello, extensions, 2);
	put_number(hello, 16, 2);
	put_number(hello, 5, 2);
	put(hello, "\0\3\2h3", 5);
	put_number(hello, 21, 2);
	put_number(hello, rest - 4, 2);
	put_byte(hello, 0, rest - 4);
	put_number(hello, 0, 2);
	put_number(hello, 5 + name_len, 2);
	put_number(hello, 3 + name_len, 2);
	put_number(hello, 0, 1);
	put_number(hello, name_len, 2);
	put(hello, name, name_len);
	maker_need(hello->len == size);
}

static inline uint8_t type_bits(const struct quic_version *version, enum quic_type type)
{
	for (uint8_t i = 0; i < 4; i++)
		if (version->types[i] == type)
			return i;
	abort();
}

/* RFC 9001, 5.3: seals the payload behind @head bytes of header in place. */
static inline void maker_seal(const struct quic_keys *keys, const struct recipe *recipe,
			      uint8_t *packet, size_t head, size_t len)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t nonce[12];
	int n;

	memcpy(nonce, keys->iv, sizeof(nonce));
	for (unsigned i = 0; i < 4; i++)
		nonce[8 + i] ^= (uint8_t)(recipe->number >> (24 - 8 * i));
	maker_need(ctx && EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, keys->key, nonce) &&
		   EVP_EncryptUpdate(ctx, NULL, &n, packet, (int)head) &&
		   EVP_EncryptUpdate(ctx, packet + head, &n, packet + head, (int)len) &&
		   EVP_EncryptFinal_ex(ctx, packet + head + n, &n) &&
		   EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, QUIC_TAG, packet + head + len));
	EVP_CIPHER_CTX_free(ctx);
}

/* RFC 9001, 5.4. */
static inline void maker_mask(const struct quic_keys *keys, const struct recipe *recipe,
			      uint8_t *packet, size_t number_at)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t mask[32];
	int n;

	maker_need(ctx && EVP_EncryptInit_ex(ctx, EVP_aes_128_ecb(), NULL, keys->hp, NULL) &&
		   EVP_EncryptUpdate(ctx, mask, &n, packet + number_at + 4, 16));
	EVP_CIPHER_CTX_free(ctx);
	packet[0] ^= mask[0] & 0x0f;
	for (unsigned i = 0; i < recipe->number_len; i++)
		packet[number_at + i] ^= mask[1 + i];
}

static inline void put_cid(struct made *made, const struct cid *cid)
{
	put(made, &cid->len, 1);
	put(made, cid->data, cid->len);
}

/* The header before protection; where the packet number begins in it. */
static inline size_t put_header(struct made *made, const struct recipe *recipe,
				const struct quic_version *version, size_t payload)
{
	size_t number_at;

	put_byte(made,
		 (uint8_t)(0xc0 | type_bits(version, recipe->type) << 4 | (recipe->number_len - 1)),
		 1);
	put_number(made, recipe->version, 4);
	put_cid(made, &recipe->dcid);
	put_cid(made, &recipe->scid);
	if (recipe->type == QUIC_INITIAL) {
		put_varint(made, recipe->token_len, recipe->token_len < 64 ? 1 : 2);
		put_byte(made, 0x7e, recipe->token_len);
	}
	put_varint(made, recipe->number_len + payload + QUIC_TAG, payload < 12000 ? 2 : 4);
	number_at = made->len;
	put_number(made, recipe->number, recipe->number_len);
	return number_at;
}

/* Puts a protected packet with @frames in it behind what @datagram holds. */
static inline void packet_make(struct made *datagram, const struct recipe *recipe,
			       const struct made *frames)
{
	const struct quic_version *version = quic_version_find(recipe->version);
	struct quic_crypto *crypto = quic_crypto_new();
	size_t start = datagram->len, head, number_at, payload;
	struct quic_keys keys;

	maker_need(crypto && version &&
		   quic_keys_derive(crypto, version, recipe->keys.data, recipe->keys.len, &keys));
	quic_crypto_free(crypto);
	put_header(datagram, recipe, version, frames->len);
	head = datagram->len; /* to see how long it is */
	payload = frames->len;
	if (head + payload + QUIC_TAG < recipe->pad_to)
		payload = recipe->pad_to - head - QUIC_TAG;
	if (payload + recipe->number_len < 4)
		payload = 4U - recipe->number_len; /* or there is nothing to take a sample of */
	datagram->len = start;
	number_at = put_header(datagram, recipe, version, payload);
	head = datagram->len;
	put(datagram, frames->data, frames->len);
	put_byte(datagram, 0, payload - frames->len);
	put_byte(datagram, 0, QUIC_TAG);
	datagram->data[start] &= (uint8_t)~recipe->clear;
	maker_seal(&keys, recipe, datagram->data + start, head - start, payload);
	maker_mask(&keys, recipe, datagram->data + start, number_at - start);
}

#endif /* XDPLB_QUIC_MAKER_H */
