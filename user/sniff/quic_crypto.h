/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_SNIFF_QUIC_CRYPTO_H
#define XDPLB_SNIFF_QUIC_CRYPTO_H

/*
 * What protects a client's Initial packets, and how it is taken off (RFC 9001,
 * 5; RFC 9369, 3.3). The keys follow from bytes that stand in the packet: they
 * keep nothing secret and prove only that the sender speaks this version.
 * A struct quic_crypto belongs to one thread; there is no other state.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum quic_type { /* of a long header, whatever bits the version gives it */
	QUIC_INITIAL,
	QUIC_ZERO_RTT,
	QUIC_HANDSHAKE,
	QUIC_RETRY
};

struct quic_version {
	uint32_t number;
	uint8_t salt[20]; /* of the Initial secret */
	uint8_t types[4]; /* enum quic_type of bits 5 and 4 of the first byte */
	const char *key_label, *iv_label, *hp_label;
};

const struct quic_version *quic_version_find(uint32_t number); /* or NULL */

struct quic_keys { /* of a client */
	uint8_t key[16], iv[12], hp[16];
};

struct quic_crypto; /* libcrypto's algorithms, fetched */

/*
 * libcrypto reads its configuration and makes its tables when it is first used.
 * A process that is about to give up files and system calls has it done here, once
 * and before its threads, and without the file. Others need not.
 */
bool quic_crypto_start(void);

struct quic_crypto *quic_crypto_new(void); /* NULL: no memory, or no such algorithm */
void quic_crypto_free(struct quic_crypto *crypto);

/* Keys of the client whose first Initial went to connection id @cid. */
bool quic_keys_derive(struct quic_crypto *crypto, const struct quic_version *version,
		      const uint8_t *cid, size_t cid_len, struct quic_keys *keys);

struct quic_protected {
	const uint8_t *data; /* the packet, from its first byte */
	size_t len; /* all of it */
	size_t number_at; /* where its packet number begins */
};

#define QUIC_TAG 16

/*
 * Takes the protection off into @plain, which holds @packet->len bytes. @largest
 * is the largest packet number seen, -1 for none, and moves on. False, and
 * nothing but @plain has changed, if it isn't authentic.
 */
bool quic_unprotect(struct quic_crypto *crypto, const struct quic_keys *keys,
		    const struct quic_protected *packet, int64_t *largest, uint8_t *plain,
		    size_t *plain_len);

/* The packet number that @truncated, of @bits bits, stands for (RFC 9000, A.3). */
int64_t quic_number_decode(int64_t largest, uint64_t truncated, unsigned bits);

#endif /* XDPLB_SNIFF_QUIC_CRYPTO_H */
