/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BENCH_HELLO_H
#define XDPLB_BENCH_HELLO_H

/*
 * A TLS 1.3 ClientHello for a name, of the size that curl's has: cipher
 * suites, groups, algorithms and a key share as they are usual, filled up by
 * the padding extension. Whoever reads it needs no more than its record.
 */
#include <stdint.h>
#include <stddef.h>
#include <string.h>

#define HELLO_BYTES 517
#define HELLO_RECORD 5 /* header of a record */

struct hello_pen {
	uint8_t *at;
};

static inline void hello_u8(struct hello_pen *pen, uint8_t value)
{
	*pen->at++ = value;
}

static inline void hello_u16(struct hello_pen *pen, size_t value)
{
	hello_u8(pen, (uint8_t)(value >> 8));
	hello_u8(pen, (uint8_t)value);
}

static inline void hello_fill(struct hello_pen *pen, size_t count)
{
	for (size_t i = 0; i < count; i++)
		hello_u8(pen, (uint8_t)(i * 37 + 11));
}

/* RFC 6066, 3 */
static inline void hello_name(struct hello_pen *pen, const char *name)
{
	size_t len = strlen(name);

	hello_u16(pen, 0);
	hello_u16(pen, len + 5);
	hello_u16(pen, len + 3);
	hello_u8(pen, 0);
	hello_u16(pen, len);
	memcpy(pen->at, name, len);
	pen->at += len;
}

/* An extension whose body is one list of 16-bit numbers. */
static inline void hello_numbers(struct hello_pen *pen, uint16_t type, const uint16_t *numbers,
				 size_t count)
{
	hello_u16(pen, type);
	hello_u16(pen, 2 * count + 2);
	hello_u16(pen, 2 * count);
	for (size_t i = 0; i < count; i++)
		hello_u16(pen, numbers[i]);
}

static inline void hello_extensions(struct hello_pen *pen, const char *name)
{
	static const uint16_t groups[] = { 0x1d, 0x17, 0x18, 0x19 };
	static const uint16_t algorithms[] = { 0x0403, 0x0804, 0x0401, 0x0503, 0x0805,
					       0x0501, 0x0806, 0x0601, 0x0807 };

	hello_name(pen, name);
	hello_numbers(pen, 10, groups, 4);
	hello_numbers(pen, 13, algorithms, 9);
	hello_u16(pen, 43); /* supported_versions: 1.3 and 1.2 */
	hello_u16(pen, 5);
	hello_u8(pen, 4);
	hello_u16(pen, 0x0304);
	hello_u16(pen, 0x0303);
	hello_u16(pen, 51); /* key_share: x25519 */
	hello_u16(pen, 38);
	hello_u16(pen, 36);
	hello_u16(pen, 0x1d);
	hello_u16(pen, 32);
	hello_fill(pen, 32);
}

/* Writes exactly HELLO_BYTES; @name of at most 100 letters. */
static inline void hello_write(uint8_t out[HELLO_BYTES], const char *name)
{
	static const uint16_t suites[] = { 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c,
					   0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c };
	struct hello_pen pen = { out };
	uint8_t *end = out + HELLO_BYTES;

	hello_u8(&pen, 0x16);
	hello_u16(&pen, 0x0301);
	hello_u16(&pen, HELLO_BYTES - HELLO_RECORD);
	hello_u16(&pen, 0x0100); /* client_hello, and the first byte of its length */
	hello_u16(&pen, HELLO_BYTES - HELLO_RECORD - 4);
	hello_u16(&pen, 0x0303);
	hello_fill(&pen, 32);
	hello_u8(&pen, 32);
	hello_fill(&pen, 32);
	hello_u16(&pen, sizeof(suites));
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		hello_u16(&pen, suites[i]);
	hello_u16(&pen, 0x0100); /* no compression */
	hello_u16(&pen, (size_t)(end - pen.at) - 2);
	hello_extensions(&pen, name);
	hello_u16(&pen, 21); /* padding, RFC 7685 */
	hello_u16(&pen, (size_t)(end - pen.at) - 2);
	memset(pen.at, 0, (size_t)(end - pen.at));
}

#endif /* XDPLB_BENCH_HELLO_H */
