// SPDX-License-Identifier: GPL-2.0-only
#include "health/http_reply.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"

#define SEARCH_BYTES 1024 /* at a time */

enum {
	STATE_STATUS_LINE,
	STATE_FIELDS,
	STATE_BODY, /* with its length, or until the connection closes */
	STATE_CHUNK_SIZE,
	STATE_CHUNK,
	STATE_CHUNK_END /* the empty line behind it */
};

void http_reply_init(struct http_reply *reply, const char *text)
{
	*reply = (struct http_reply){ 0 };
	if (!text || !*text)
		return;
	reply->text = text;
	reply->text_len = strlen(text);
	reply->window = xcalloc(reply->text_len + SEARCH_BYTES, 1);
}

void http_reply_release(struct http_reply *reply)
{
	free(reply->window);
	reply->window = NULL;
}

static enum http_verdict broken(struct http_reply *reply, const char *error)
{
	reply->error = error;
	return HTTP_BROKEN;
}

/* Digits of @base to the end of @text or one of @stop; false: none, others, or too many. */
static bool number_parse(const char *text, const char *stop, int base, uint64_t *number)
{
	size_t digits = strspn(text, base == 16 ? "0123456789abcdefABCDEF" : "0123456789");

	if (!digits || digits > 15 || (text[digits] && !strchr(stop, text[digits])))
		return false;
	*number = strtoull(text, NULL, base);
	return true;
}

/* "HTTP/1.1 200 OK"; what stands behind the number may be missing. */
static enum http_verdict status_line(struct http_reply *reply)
{
	const char *line = reply->line;
	uint64_t status;

	if (strncmp(line, "HTTP/1.", 7) != 0 || strspn(line + 7, "0123456789") != 1 ||
	    line[8] != ' ' || !number_parse(line + 9, " ", 10, &status) || status < 100 ||
	    status > 999)
		return broken(reply, "the answer is not HTTP");
	reply->status = (uint32_t)status;
	reply->state = STATE_FIELDS;
	return HTTP_MORE;
}

static enum http_verdict fields_end(struct http_reply *reply)
{
	reply->header_seen = reply->status >= 200 ? 0 : reply->header_seen;
	if (reply->status < 200 && reply->status != 101) { /* an interim reply: another follows */
		reply->status = 0;
		reply->chunked = reply->sized = false;
		reply->state = STATE_STATUS_LINE;
		return HTTP_MORE;
	}
	if (!reply->text)
		return HTTP_STATUS;
	if (reply->status < 200 || reply->status == 204 || reply->status == 304)
		return HTTP_LACKS;
	reply->state = reply->chunked ? STATE_CHUNK_SIZE : STATE_BODY;
	if (reply->chunked)
		reply->sized = false;
	return reply->sized && !reply->left ? HTTP_LACKS : HTTP_MORE;
}

static bool ends_in_chunked(const char *value)
{
	size_t len = strlen(value);

	return len >= 7 && strncasecmp(value + len - 7, "chunked", 7) == 0;
}

/* One line of the header; of its fields only those that delimit the body matter. */
static enum http_verdict field_line(struct http_reply *reply)
{
	char *colon = strchr(reply->line, ':'), *value;
	uint64_t length;

	if (!reply->line_len)
		return fields_end(reply);
	if (!colon)
		return HTTP_MORE;
	*colon = '\0';
	value = colon + 1 + strspn(colon + 1, " \t");
	for (size_t len = strlen(value); len && strchr(" \t", value[len - 1]); len--)
		value[len - 1] = '\0';
	if (strcasecmp(reply->line, "transfer-encoding") == 0) {
		reply->chunked = ends_in_chunked(value);
	} else if (strcasecmp(reply->line, "content-length") == 0) {
		if (!number_parse(value, "", 10, &length) ||
		    (reply->sized && reply->left != length))
			return broken(reply, "malformed Content-Length");
		reply->sized = true;
		reply->left = length;
	}
	return HTTP_MORE;
}

static enum http_verdict chunk_line(struct http_reply *reply)
{
	if (reply->state == STATE_CHUNK_END) {
		if (reply->line_len)
			return broken(reply, "malformed chunk");
		reply->state = STATE_CHUNK_SIZE;
		return HTTP_MORE;
	}
	reply->header_seen = 0;
	if (!number_parse(reply->line, "; \t", 16, &reply->left))
		return broken(reply, "malformed chunk");
	reply->state = STATE_CHUNK;
	return reply->left ? HTTP_MORE : HTTP_LACKS; /* the last chunk: nothing was found */
}

static enum http_verdict line_done(struct http_reply *reply)
{
	enum http_verdict verdict;

	if (reply->line_len < HTTP_LINE_BYTES && reply->line_len &&
	    reply->line[reply->line_len - 1] == '\r')
		reply->line_len--;
	reply->line[reply->line_len < HTTP_LINE_BYTES ? reply->line_len : HTTP_LINE_BYTES - 1] =
		'\0';
	if (reply->state == STATE_STATUS_LINE)
		verdict = status_line(reply);
	else if (reply->state == STATE_FIELDS)
		verdict = field_line(reply);
	else
		verdict = chunk_line(reply);
	reply->line_len = 0;
	return verdict;
}

/* What does not begin like HTTP is not waited for to end its line. */
static enum http_verdict line_check(struct http_reply *reply, bool ended)
{
	size_t start = reply->line_len < 7 ? reply->line_len : 7;

	if (reply->header_seen > HTTP_HEADER_BYTES)
		return broken(reply, "the header exceeds 16 KiB");
	if (reply->state == STATE_STATUS_LINE && memcmp(reply->line, "HTTP/1.", start) != 0)
		return broken(reply, "the answer is not HTTP");
	return ended ? line_done(reply) : HTTP_MORE;
}

/* Takes of @data what belongs to the line under way, at most to its end. */
static size_t line_take(struct http_reply *reply, const char *data, size_t len)
{
	const char *end = memchr(data, '\n', len);
	size_t text = end ? (size_t)(end - data) : len;
	size_t used = end ? text + 1 : len;

	if (reply->line_len < HTTP_LINE_BYTES) {
		size_t room = HTTP_LINE_BYTES - reply->line_len;

		memcpy(reply->line + reply->line_len, data, text < room ? text : room);
	}
	reply->line_len += text;
	reply->header_seen += used;
	reply->verdict = line_check(reply, end != NULL);
	return used;
}

/* Whether the text ends within the next @len bytes of the body. */
static bool text_found(struct http_reply *reply, const char *data, size_t len)
{
	size_t piece;

	for (; len; data += piece, len -= piece) {
		size_t keep;

		piece = len < SEARCH_BYTES ? len : SEARCH_BYTES;
		memcpy(reply->window + reply->window_len, data, piece);
		reply->window_len += piece;
		if (memmem(reply->window, reply->window_len, reply->text, reply->text_len))
			return true;
		keep = reply->window_len < reply->text_len ? reply->window_len :
							     reply->text_len - 1;
		memmove(reply->window, reply->window + reply->window_len - keep, keep);
		reply->window_len = keep;
	}
	return false;
}

static size_t body_take(struct http_reply *reply, const char *data, size_t len)
{
	bool bounded = reply->sized || reply->chunked;

	if (bounded && len > reply->left)
		len = (size_t)reply->left;
	if (len > HTTP_BODY_BYTES - reply->body_seen)
		len = HTTP_BODY_BYTES - reply->body_seen;
	reply->body_seen += len;
	reply->left -= bounded ? len : 0;
	if (text_found(reply, data, len))
		reply->verdict = HTTP_FOUND;
	else if (reply->body_seen == HTTP_BODY_BYTES || (reply->sized && !reply->left))
		reply->verdict = HTTP_LACKS;
	else if (reply->chunked && !reply->left)
		reply->state = STATE_CHUNK_END;
	return len;
}

enum http_verdict http_reply_feed(struct http_reply *reply, const char *data, size_t len)
{
	size_t used;

	for (; len && reply->verdict == HTTP_MORE; data += used, len -= used) {
		if (reply->state == STATE_BODY || reply->state == STATE_CHUNK)
			used = body_take(reply, data, len);
		else
			used = line_take(reply, data, len);
	}
	return reply->verdict;
}

enum http_verdict http_reply_end(struct http_reply *reply)
{
	if (reply->verdict != HTTP_MORE)
		return reply->verdict;
	if (reply->state == STATE_BODY && !reply->sized)
		reply->verdict = HTTP_LACKS;
	else if (reply->state == STATE_STATUS_LINE && !reply->header_seen)
		reply->verdict = broken(reply, "connection closed without an answer");
	else
		reply->verdict = broken(reply, "connection closed within the answer");
	return reply->verdict;
}
