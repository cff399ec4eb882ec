// SPDX-License-Identifier: GPL-2.0-only
#include "sniff/quic_crypto.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#define SECRET 32 /* SHA-256 */
#define SAMPLE 16
#define SAMPLE_AT 4 /* behind the start of the packet number, as if that had 4 bytes */

static const struct quic_version versions[] = {
	{ .number = 1, /* RFC 9000, 17.2; RFC 9001, 5.2 */
	  .salt = { 0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
		    0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a },
	  .types = { QUIC_INITIAL, QUIC_ZERO_RTT, QUIC_HANDSHAKE, QUIC_RETRY },
	  .key_label = "quic key",
	  .iv_label = "quic iv",
	  .hp_label = "quic hp" },
	{ .number = 0x6b3343cf, /* RFC 9369, 3 */
	  .salt = { 0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93,
		    0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9 },
	  .types = { QUIC_RETRY, QUIC_INITIAL, QUIC_ZERO_RTT, QUIC_HANDSHAKE },
	  .key_label = "quicv2 key",
	  .iv_label = "quicv2 iv",
	  .hp_label = "quicv2 hp" },
	/* Version 2 by the number of its drafts (draft-ietf-quic-v2-04), as ngtcp2 0.12 speaks it. */
	{ .number = 0x709a50c4,
	  .salt = { 0xa7, 0x07, 0xc2, 0x03, 0xa5, 0x9b, 0x47, 0x18, 0x4a, 0x1d,
		    0x62, 0xca, 0x57, 0x04, 0x06, 0xea, 0x7a, 0xe3, 0xe5, 0xd3 },
	  .types = { QUIC_RETRY, QUIC_INITIAL, QUIC_ZERO_RTT, QUIC_HANDSHAKE },
	  .key_label = "quicv2 key",
	  .iv_label = "quicv2 iv",
	  .hp_label = "quicv2 hp" },
};

const struct quic_version *quic_version_find(uint32_t number)
{
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		if (versions[i].number == number)
			return &versions[i];
	return NULL;
}

struct quic_crypto {
	EVP_MAC *mac;
	EVP_MAC_CTX *hmac;
	EVP_CIPHER *ecb, *gcm;
	EVP_CIPHER_CTX *cipher;
};

void quic_crypto_free(struct quic_crypto *crypto)
{
	if (!crypto)
		return;
	EVP_MAC_CTX_free(crypto->hmac);
	EVP_MAC_free(crypto->mac);
	EVP_CIPHER_CTX_free(crypto->cipher);
	EVP_CIPHER_free(crypto->ecb);
	EVP_CIPHER_free(crypto->gcm);
	free(crypto);
}

struct quic_crypto *quic_crypto_new(void)
{
	struct quic_crypto *crypto = calloc(1, sizeof(*crypto));
	char digest[] = "SHA256";
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
				OSSL_PARAM_construct_end() };

	if (!crypto)
		return NULL;
	crypto->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	crypto->ecb = EVP_CIPHER_fetch(NULL, "AES-128-ECB", NULL);
	crypto->gcm = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
	crypto->cipher = EVP_CIPHER_CTX_new();
	if (crypto->mac)
		crypto->hmac = EVP_MAC_CTX_new(crypto->mac);
	if (!crypto->ecb || !crypto->gcm || !crypto->cipher || !crypto->hmac ||
	    !EVP_MAC_CTX_set_params(crypto->hmac, params)) {
		quic_crypto_free(crypto);
		return NULL;
	}
	return crypto;
}

static bool hmac(struct quic_crypto *crypto, const uint8_t *key, size_t key_len,
		 const uint8_t *data, size_t len, uint8_t out[SECRET])
{
	size_t size;

	return EVP_MAC_init(crypto->hmac, key, key_len, NULL) &&
	       EVP_MAC_update(crypto->hmac, data, len) &&
	       EVP_MAC_final(crypto->hmac, out, &size, SECRET) && size == SECRET;
}

/* HKDF-Expand-Label (RFC 8446, 7.1) without context; one block of RFC 5869's does. */
static bool expand_label(struct quic_crypto *crypto, const uint8_t secret[SECRET],
			 const char *label, uint8_t *out, size_t len)
{
	static const char prefix[] = "tls13 ";
	size_t label_len = strlen(label), at = 0;
	uint8_t info[32], block[SECRET];

	info[at++] = (uint8_t)(len >> 8);
	info[at++] = (uint8_t)len;
	info[at++] = (uint8_t)(strlen(prefix) + label_len);
	memcpy(info + at, prefix, strlen(prefix));
	at += strlen(prefix);
	memcpy(info + at, label, label_len);
	at += label_len;
	info[at++] = 0; /* length of the context */
	info[at++] = 1; /* number of the block */
	if (!hmac(crypto, secret, SECRET, info, at, block))
		return false;
	memcpy(out, block, len);
	return true;
}

/* RFC 9001, 5.1 and 5.2. */
bool quic_keys_derive(struct quic_crypto *crypto, const struct quic_version *version,
		      const uint8_t *cid, size_t cid_len, struct quic_keys *keys)
{
	uint8_t initial[SECRET], client[SECRET];

	return hmac(crypto, version->salt, sizeof(version->salt), cid, cid_len, initial) &&
	       expand_label(crypto, initial, "client in", client, sizeof(client)) &&
	       expand_label(crypto, client, version->key_label, keys->key, sizeof(keys->key)) &&
	       expand_label(crypto, client, version->iv_label, keys->iv, sizeof(keys->iv)) &&
	       expand_label(crypto, client, version->hp_label, keys->hp, sizeof(keys->hp));
}

int64_t quic_number_decode(int64_t largest, uint64_t truncated, unsigned bits)
{
	int64_t expected = largest + 1, window = (int64_t)1 << bits, half = window / 2;
	int64_t candidate = (expected & ~(window - 1)) | (int64_t)truncated;

	if (candidate <= expected - half && candidate < ((int64_t)1 << 62) - window)
		return candidate + window;
	if (candidate > expected + half && candidate >= window)
		return candidate - window;
	return candidate;
}

struct header { /* what is protected of it, in the clear */
	uint8_t first, number[4];
	size_t number_len;
};

/* RFC 9001, 5.4: the mask is the cipher of a sample of the payload. */
static bool header_unprotect(struct quic_crypto *crypto, const struct quic_keys *keys,
			     const struct quic_protected *packet, struct header *header)
{
	const uint8_t *number = packet->data + packet->number_at;
	uint8_t mask[SAMPLE];
	int len;

	if (packet->len < packet->number_at + SAMPLE_AT + SAMPLE)
		return false;
	if (!EVP_EncryptInit_ex2(crypto->cipher, crypto->ecb, keys->hp, NULL, NULL) ||
	    !EVP_EncryptUpdate(crypto->cipher, mask, &len, number + SAMPLE_AT, SAMPLE) ||
	    len != SAMPLE)
		return false;
	header->first = packet->data[0] ^ (mask[0] & 0x0f); /* of a long header */
	header->number_len = (header->first & 3U) + 1;
	for (size_t i = 0; i < header->number_len; i++)
		header->number[i] = number[i] ^ mask[1 + i];
	return true;
}

/* AES-128-GCM over what is behind the packet number, the header as it was before protection (5.3). */
static bool payload_open(struct quic_crypto *crypto, const struct quic_keys *keys,
			 const struct quic_protected *packet, const struct header *header,
			 const uint8_t nonce[12], uint8_t *plain)
{
	size_t start = packet->number_at + header->number_len;
	size_t len = packet->len - QUIC_TAG - start;
	uint8_t tag[QUIC_TAG];
	int n;

	memcpy(tag, packet->data + packet->len - QUIC_TAG, sizeof(tag));
	return EVP_DecryptInit_ex2(crypto->cipher, crypto->gcm, keys->key, nonce, NULL) &&
	       EVP_CIPHER_CTX_ctrl(crypto->cipher, EVP_CTRL_AEAD_SET_TAG, QUIC_TAG, tag) &&
	       EVP_DecryptUpdate(crypto->cipher, NULL, &n, &header->first, 1) &&
	       EVP_DecryptUpdate(crypto->cipher, NULL, &n, packet->data + 1,
				 (int)packet->number_at - 1) &&
	       EVP_DecryptUpdate(crypto->cipher, NULL, &n, header->number,
				 (int)header->number_len) &&
	       EVP_DecryptUpdate(crypto->cipher, plain, &n, packet->data + start, (int)len) &&
	       EVP_DecryptFinal_ex(crypto->cipher, plain + n, &n);
}

bool quic_unprotect(struct quic_crypto *crypto, const struct quic_keys *keys,
		    const struct quic_protected *packet, int64_t *largest, uint8_t *plain,
		    size_t *plain_len)
{
	uint64_t truncated = 0;
	struct header header;
	uint8_t nonce[12];
	int64_t number;
	bool authentic;

	if (!header_unprotect(crypto, keys, packet, &header))
		return false;
	for (size_t i = 0; i < header.number_len; i++)
		truncated = truncated << 8 | header.number[i];
	number = quic_number_decode(*largest, truncated, (unsigned)(8 * header.number_len));
	memcpy(nonce, keys->iv, sizeof(nonce));
	for (size_t i = 0; i < 8; i++)
		nonce[4 + i] ^= (uint8_t)((uint64_t)number >> (56 - 8 * i));
	ERR_set_mark(); /* a packet that isn't authentic is no error that somebody should find */
	authentic = payload_open(crypto, keys, packet, &header, nonce, plain);
	ERR_pop_to_mark();
	if (!authentic)
		return false;
	if (number > *largest)
		*largest = number;
	*plain_len = packet->len - QUIC_TAG - packet->number_at - header.number_len;
	return true;
}

bool quic_crypto_start(void)
{
	uint8_t packet[1 + SAMPLE_AT + SAMPLE + QUIC_TAG] = { 0 }, plain[sizeof(packet)];
	struct quic_protected protected = { packet, sizeof(packet), 1 };
	struct quic_crypto *crypto;
	int64_t largest = -1;
	struct quic_keys keys;
	bool works;
	size_t len;

	if (!OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL))
		return false;
	crypto = quic_crypto_new();
	works = crypto && quic_keys_derive(crypto, &versions[0], packet, 8, &keys) &&
		!quic_unprotect(crypto, &keys, &protected, &largest, plain, &len);
	quic_crypto_free(crypto);
	return works;
}
