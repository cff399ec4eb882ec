/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_WORKER_TCP_PARTS_H
#define XDPLB_WORKER_TCP_PARTS_H

/* What the parts of the mini TCP say to each other. A connection may be gone after each call. */
#include "worker/conn.h"
#include "worker/segment.h"
#include "xdplb/rewrite.h"

#define MS_NS 1000000ULL

#define OWN_SEGMENTS 4 /* acknowledged without a verdict at this many segments, */
#define OWN_BYTES 8192 /* bytes, */
#define OWN_NS (40 * MS_NS) /* or so long after the first byte */
#define SILENT_WAITS 4 /* times that sniff_timeout begins again */
#define REPAY_MAX 3 /* swallowed retransmissions that are repaid */
#define CHALLENGES_MAX 3 /* per connection, RFC 5961, 3.2 */
#define RTO_NS (200 * MS_NS) /* to a backend; doubled each time */
#define FEED_SEGMENTS 10 /* RFC 6928: so many may be on their way */
#define REPEATED_ACKS 3 /* RFC 5681, 3.2 */
#define SYN_TRIES 3 /* to one backend */
#define SEGMENT_TRIES 6
#define OPEN_TRIES 5 /* where ports or the next hop are missing for a moment */
#define OPEN_AGAIN_NS (20 * MS_NS) /* doubled each time */
#define TIME_WAIT_RESETS 3
#define LINGER_NS (2000 * MS_NS)
#define LINGER_MAX 65536

struct arrival { /* a TCP segment that came */
	struct xdplb_pkt pkt;
	uint8_t *frame;
	size_t frame_len; /* without padding */
	uint32_t ifindex; /* it came by */
	uint32_t seq, ack;
	uint16_t window;
	uint8_t flags;
	const uint8_t *options, *data;
	size_t options_len, len;
};

/* Offset of @seq among the client's bytes. */
static inline int32_t client_offset(const struct conn *conn, uint32_t seq)
{
	return (int32_t)(seq - (conn->client_isn + 1));
}

static inline uint32_t client_seq(const struct conn *conn, uint32_t offset)
{
	return conn->client_isn + 1 + offset;
}

/* ---- tcp_collect.c: the client, before there is a backend */
void collect_packet(struct tcp *tcp, struct conn *conn, const struct arrival *in, uint64_t now_ns);
void collect_due(struct tcp *tcp, struct conn *conn, uint64_t now_ns);
/* Judges what is there; @silent: as if nothing followed. False: @conn is undecided no more. */
bool collect_judge(struct tcp *tcp, struct conn *conn, bool silent, uint64_t now_ns);

/* ---- tcp_connect.c: from the verdict to the backend's SYN-ACK */
struct choice {
	uint32_t pool, idle_ticks, event;
	bool keep_address;
	const struct rule_match *match;
};

void connect_begin(struct tcp *tcp, struct conn *conn, const struct choice *choice,
		   uint64_t now_ns);
void connect_due(struct tcp *tcp, struct conn *conn, uint64_t now_ns);
void connect_packet(struct tcp *tcp, struct conn *conn, const struct arrival *in, uint64_t now_ns);

/* ---- tcp_feed.c: from there to the splice, and the late ones after it */
void feed_begin(struct tcp *tcp, struct conn *conn, uint64_t now_ns);
void feed_due(struct tcp *tcp, struct conn *conn, uint64_t now_ns);
void feed_client(struct tcp *tcp, struct conn *conn, struct arrival *in);
void feed_backend(struct tcp *tcp, struct conn *conn, struct arrival *in, uint64_t now_ns);
void linger_packet(struct tcp *tcp, struct conn *conn, struct arrival *in, enum xdplb_dir dir);
void linger_end(struct tcp *tcp, struct conn *conn);

/* ---- tcp_out.c: frames and commands */
void client_ack_send(struct tcp *tcp, struct conn *conn, const struct arrival *again);
void client_reset(struct tcp *tcp, struct conn *conn);
void backend_syn(struct tcp *tcp, struct conn *conn);
/* What the client's windows are to be shifted by for a backend with this scale: see struct xdplb_splice. */
uint8_t client_scale(const struct conn *conn, uint8_t backend_wscale);
void backend_reset(struct tcp *tcp, struct conn *conn, uint32_t seq);
/* Held bytes from @from to @to with the client's last acknowledgement; none: the acknowledgement. */
void backend_segment(struct tcp *tcp, struct conn *conn, uint32_t from, uint32_t to, uint8_t flags);
void segment_forward(struct tcp *tcp, struct conn *conn, struct arrival *in, enum xdplb_dir dir);
/* Tells the client how long a segment the backend takes, if what it sent is longer. */
void client_too_big(struct tcp *tcp, struct conn *conn);

void command_fill(const struct tcp *tcp, const struct conn *conn, struct xdplb_command *command,
		  enum xdplb_command_op op, uint32_t event);
bool command_run(struct tcp *tcp, struct conn *conn, struct xdplb_command *command);
void flow_close(struct tcp *tcp, struct conn *conn); /* the pending one, if there is one */
void row_forget(struct tcp *tcp, struct conn *conn, uint32_t event);
/* SPLICE counts what it joins; this is for connections that don't get so far. */
void protocol_count(struct tcp *tcp, struct conn *conn, uint32_t event, uint32_t protocol);
/* The client is reset, everything of it forgotten, @event counted. */
void conn_refuse(struct tcp *tcp, struct conn *conn, uint32_t event);

#endif /* XDPLB_WORKER_TCP_PARTS_H */
