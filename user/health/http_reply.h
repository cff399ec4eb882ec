/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_HEALTH_HTTP_REPLY_H
#define XDPLB_HEALTH_HTTP_REPLY_H

/*
 * Reads one HTTP/1.x reply: bytes in, verdict out, in pieces of any size.
 * Pure. Keeps no more of it than a line and the length of the text it looks
 * for; header and body are bounded. (libevent's own client does not tell why a
 * connection failed, takes no connected socket, and must not be freed from its
 * callbacks: what is left to do beside it would be more than this.)
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEADER_BYTES 16384 /* of status line and fields, interim replies included */
#define HTTP_BODY_BYTES 65536 /* of the body, decoded, are searched */
#define HTTP_LINE_BYTES 256 /* of a line are looked at */

enum http_verdict {
	HTTP_MORE,
	HTTP_STATUS, /* status is there and no text is looked for */
	HTTP_FOUND, /* status is there, and the body contains the text */
	HTTP_LACKS, /* status is there, and the body does not */
	HTTP_BROKEN /* no HTTP, or cut short; error says how */
};

struct http_reply {
	uint32_t status; /* 0: not yet known */
	const char *error; /* a constant; with HTTP_BROKEN */
	enum http_verdict verdict; /* once it is not HTTP_MORE, it stays */
	/* private */
	uint32_t state;
	bool chunked, sized;
	uint64_t left; /* of the body, or of this chunk */
	size_t header_seen; /* bytes of the header, or of the lines around this chunk's data */
	size_t body_seen; /* bytes */
	char line[HTTP_LINE_BYTES];
	size_t line_len; /* of the line so far; may exceed what line holds */
	const char *text;
	size_t text_len;
	char *window; /* what was searched, its last text_len - 1 bytes, and what comes next */
	size_t window_len;
};

/* @text: what the body must contain; the caller keeps it until release. NULL: status will do. */
void http_reply_init(struct http_reply *reply, const char *text);

/* The next @len bytes of the reply. */
enum http_verdict http_reply_feed(struct http_reply *reply, const char *data, size_t len);

/* The server has closed the connection. Never HTTP_MORE. */
enum http_verdict http_reply_end(struct http_reply *reply);

void http_reply_release(struct http_reply *reply);

#endif /* XDPLB_HEALTH_HTTP_REPLY_H */
