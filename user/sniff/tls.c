// SPDX-License-Identifier: GPL-2.0-only
/*
 * TLS by its ClientHello: the records taken off, then the message field by
 * field. YES only when all of it is there, as the last extension may be the one
 * with the name; NO at the first byte that no ClientHello has.
 */
#include "sniff/bytes.h"

enum {
	RECORD_HANDSHAKE = 22, /* RFC 8446, 5.1 */
	RECORD_HEADER = 5,
	RECORD_MAX = 1 << 14,
	RECORDS_EMPTY_MAX = 32, /* none should be sent; OpenSSL bears with as many */
	VERSION_MAJOR = 3,
	VERSION_MINOR_MAX = 4, /* of a record: SSL 3.0 to TLS 1.3 */
	HELLO_TYPE = 1, /* RFC 8446, 4 */
	HELLO_HEADER = 4,
	HELLO_BODY_MIN = 2 + 32 + 1 + 2 + 2 + 1 + 1,
	EXTENSION_SERVER_NAME = 0, /* RFC 6066, 3 */
	EXTENSION_ALPN = 16, /* RFC 7301, 3.1 */
	NAME_TYPE_HOST = 0
};

/* RFC 8701, 2: 0x0A0A, 0x1A1A, … 0xFAFA stand for nothing. */
static bool is_grease(const uint8_t *alpn, size_t len)
{
	return len == 2 && alpn[0] == alpn[1] && (alpn[0] & 0x0f) == 0x0a;
}

static void alpn_add(struct sniff_info *info, const uint8_t *alpn, size_t len)
{
	if (is_grease(alpn, len) || len + 1 > sizeof(info->alpn) - info->alpn_len)
		return;
	info->alpn[info->alpn_len] = (uint8_t)len;
	memcpy(info->alpn + info->alpn_len + 1, alpn, len);
	info->alpn_len += len + 1;
}

/* RFC 7301, 3.1: a list of names of 1 to 255 bytes. */
static enum sniff_verdict read_alpn(struct reader extension, struct sniff_info *info)
{
	struct reader list, name;
	enum sniff_verdict verdict;

	verdict = read_vector(&extension, 2, reader_left(&extension) - 2, SIZE_MAX, 0, &list);
	while (verdict == SNIFF_YES && reader_left(&list)) {
		verdict = read_vector(&list, 1, 1, 255, 0, &name);
		if (verdict == SNIFF_YES && list.at <= list.have)
			alpn_add(info, name.data + name.at, reader_left(&name));
	}
	return verdict;
}

/* RFC 6066, 3: a list of typed names, one of each type; all types have their length in front. */
static enum sniff_verdict read_server_name(struct reader extension, struct sniff_info *info)
{
	struct reader list, name;
	enum sniff_verdict verdict;
	bool host_seen = false;
	size_t type;

	verdict = read_vector(&extension, 2, reader_left(&extension) - 2, SIZE_MAX, 0, &list);
	while (verdict == SNIFF_YES && reader_left(&list)) {
		if (reader_left(&list) < 1 + 2 + 1)
			return SNIFF_NO;
		verdict = read_number(&list, 1, host_seen ? NAME_TYPE_HOST + 1 : 0, 255, &type);
		if (verdict == SNIFF_YES)
			verdict = read_vector(&list, 2, 1, SIZE_MAX, 0, &name);
		if (verdict != SNIFF_YES || type != NAME_TYPE_HOST)
			continue;
		host_seen = true;
		/* An address is no name here: "literal addresses are not permitted". */
		if (list.at <= list.have &&
		    host_name(name.data + name.at, reader_left(&name), info->name) &&
		    name_is_number(info->name))
			info->name[0] = '\0';
	}
	return verdict;
}

struct extensions_seen {
	bool server_name, alpn;
};

/* The fewest bytes an extension of @type has, SIZE_MAX if it was there before (RFC 8446, 4.2). */
static size_t extension_min(size_t type, struct extensions_seen *seen)
{
	bool *one = type == EXTENSION_SERVER_NAME ? &seen->server_name :
		    type == EXTENSION_ALPN	  ? &seen->alpn :
						    NULL;

	if (!one)
		return 0;
	if (*one)
		return SIZE_MAX;
	*one = true;
	return type == EXTENSION_SERVER_NAME ? 2 + 1 + 2 + 1 : 2 + 1 + 1;
}

static enum sniff_verdict read_extensions(struct reader list, struct sniff_info *info)
{
	struct extensions_seen seen = { false, false };
	enum sniff_verdict verdict = SNIFF_YES;
	struct reader extension;
	size_t type;

	while (verdict == SNIFF_YES && reader_left(&list)) {
		if (reader_left(&list) < 2 + 2)
			return SNIFF_NO;
		verdict = read_number(&list, 2, 0, UINT16_MAX, &type);
		if (verdict == SNIFF_YES)
			verdict = read_vector(&list, 2, extension_min(type, &seen), SIZE_MAX, 0,
					      &extension);
		if (verdict == SNIFF_YES && type == EXTENSION_SERVER_NAME)
			verdict = read_server_name(extension, info);
		else if (verdict == SNIFF_YES && type == EXTENSION_ALPN)
			verdict = read_alpn(extension, info);
	}
	return verdict;
}

/* RFC 8446, 4.1.2; RFC 5246, 7.4.1.2 where the extensions may be missing altogether. */
static enum sniff_verdict read_hello_body(struct reader body, struct sniff_info *info)
{
	struct reader skipped, extensions;
	enum sniff_verdict verdict;
	size_t major;

	verdict = read_number(&body, 1, VERSION_MAJOR, VERSION_MAJOR, &major);
	if (verdict != SNIFF_YES)
		return verdict;
	body.at += 1 + 32; /* minor version, random */
	verdict = read_vector(&body, 1, 0, 32, 2 + 2 + 1 + 1, &skipped); /* session id */
	if (verdict == SNIFF_YES)
		verdict = read_vector(&body, 2, 2, SIZE_MAX, 1 + 1, &skipped); /* cipher suites */
	if (verdict == SNIFF_YES && reader_left(&skipped) % 2)
		return SNIFF_NO;
	if (verdict == SNIFF_YES)
		verdict = read_vector(&body, 1, 1, 255, 0, &skipped); /* compression */
	if (verdict != SNIFF_YES || !reader_left(&body))
		return verdict;
	verdict = read_vector(&body, 2, reader_left(&body) - 2, SIZE_MAX, 0, &extensions);
	return verdict == SNIFF_YES ? read_extensions(extensions, info) : verdict;
}

enum sniff_verdict sniff_client_hello(const uint8_t *data, size_t len, struct sniff_info *info)
{
	struct reader message = { data, 0, SNIFF_STREAM_MAX, len }, body;
	struct sniff_info found = { .alpn_len = 0 };
	enum sniff_verdict verdict;
	size_t type;

	verdict = read_number(&message, 1, HELLO_TYPE, HELLO_TYPE, &type);
	if (verdict == SNIFF_YES)
		verdict = read_vector(&message, 3, HELLO_BODY_MIN, SIZE_MAX, 0, &body);
	if (verdict == SNIFF_YES)
		verdict = read_hello_body(body, &found);
	if (verdict == SNIFF_YES && message.at > len)
		return SNIFF_MORE;
	if (verdict == SNIFF_YES)
		*info = found;
	return verdict;
}

/* What the records carry, as far as it is there. */
struct records {
	uint8_t hello[SNIFF_STREAM_MAX];
	size_t len;
	size_t left; /* of the last record, still to come */
	size_t header; /* bytes of a header that isn't whole yet */
	unsigned empty;
};

static size_t hello_size(const struct records *records)
{
	const uint8_t *hello = records->hello;

	return HELLO_HEADER + (records->len < HELLO_HEADER ?
				       HELLO_BODY_MIN :
				       (size_t)hello[1] << 16 | (size_t)hello[2] << 8 | hello[3]);
}

/* A record's header (RFC 8446, 5.1); the hello needs at least a byte of it. */
static enum sniff_verdict read_record(struct reader *stream, struct records *records)
{
	enum sniff_verdict verdict;
	size_t number, length;

	verdict = read_number(stream, 1, RECORD_HANDSHAKE, RECORD_HANDSHAKE, &number);
	if (verdict == SNIFF_YES)
		verdict = read_number(stream, 1, VERSION_MAJOR, VERSION_MAJOR, &number);
	if (verdict == SNIFF_YES)
		verdict = read_number(stream, 1, 0, VERSION_MINOR_MAX, &number);
	if (verdict == SNIFF_YES)
		verdict = read_number(stream, 2, records->empty == RECORDS_EMPTY_MAX, RECORD_MAX,
				      &length);
	if (verdict != SNIFF_YES)
		return verdict;
	records->empty += !length;
	records->left = length;
	return SNIFF_YES;
}

/* Takes the records off, up to the end of the hello: what follows it is nobody's business here. */
static enum sniff_verdict read_records(struct reader *stream, struct records *records)
{
	while (stream->at < stream->have && records->len < hello_size(records)) {
		size_t start = stream->at, part;
		enum sniff_verdict verdict = read_record(stream, records);

		records->header = verdict == SNIFF_MORE ? stream->have - start : 0;
		if (verdict != SNIFF_YES)
			return verdict;
		part = stream->have - stream->at;
		if (part > records->left)
			part = records->left;
		memcpy(records->hello + records->len, stream->data + stream->at, part);
		stream->at += part;
		records->len += part;
		records->left -= part;
	}
	return SNIFF_YES;
}

/* Can what is missing of the hello still come before SNIFF_STREAM_MAX, with the headers it needs? */
static bool hello_fits(const struct records *records, size_t seen)
{
	size_t missing = hello_size(records) - records->len, headers = 0;

	if (missing > records->left)
		headers = (missing - records->left + RECORD_MAX - 1) / RECORD_MAX;
	return seen + missing + headers * RECORD_HEADER - records->header <= SNIFF_STREAM_MAX;
}

enum sniff_verdict sniff_tls(const struct sniff_piece *pieces, size_t count,
			     struct sniff_info *info)
{
	struct sniff_piece bytes = sniff_stream(pieces, count);
	struct reader stream = { bytes.data, 0, SIZE_MAX, bytes.len };
	enum sniff_verdict verdict;
	struct records records;

	records.len = records.left = records.header = 0;
	records.empty = 0;
	if (read_records(&stream, &records) == SNIFF_NO)
		return SNIFF_NO;
	verdict = sniff_client_hello(records.hello, records.len, info);
	if (verdict == SNIFF_MORE && !hello_fits(&records, bytes.len))
		return SNIFF_NO;
	return verdict;
}
