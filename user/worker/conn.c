// SPDX-License-Identifier: GPL-2.0-only
#include "worker/conn.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#define BUCKETS_FIRST 1024
#define INDEX_BITS 20 /* of a handle; the rest is the generation, never 0 */
#define ROWS_MAX (1U << INDEX_BITS)
#define GENERATIONS (1U << (32 - INDEX_BITS))

bool conn_tables_new(struct tcp *tcp)
{
	const uint8_t *random = (const uint8_t *)getauxval(
		AT_RANDOM); /* 16 bytes of the kernel's: no call needed */

	if (random) {
		memcpy(tcp->key, random, 16);
		memcpy(tcp->key + 2, random, 16);
	}
	tcp->bucket = calloc(BUCKETS_FIRST, sizeof(struct conn *));
	tcp->bucket_mask = BUCKETS_FIRST - 1;
	return tcp->bucket != NULL;
}

void conn_tables_free(struct tcp *tcp)
{
	for (uint32_t i = 0; i < tcp->rows; i++)
		if (tcp->row[i].conn)
			conn_free(tcp, tcp->row[i].conn);
	free(tcp->row);
	free(tcp->bucket);
	timers_free(&tcp->timers);
}

/* ---- by the client's addresses */

static struct conn **bucket_of(const struct tcp *tcp, const struct xdplb_tuple *tuple)
{
	return &tcp->bucket[xdplb_flow_hash(tcp->key, tuple) & tcp->bucket_mask];
}

struct conn *conn_find(const struct tcp *tcp, const struct xdplb_tuple *tuple)
{
	struct conn *conn = *bucket_of(tcp, tuple);

	while (conn && memcmp(&conn->tuple, tuple, sizeof(*tuple)) != 0)
		conn = conn->chain;
	return conn;
}

/* Twice as many buckets once there are more connections; without memory the chains get longer. */
static void buckets_grow(struct tcp *tcp)
{
	uint32_t old_count = tcp->bucket_mask + 1;
	struct conn **old = tcp->bucket, **bucket;

	if (tcp->count < old_count)
		return;
	bucket = calloc(2 * (size_t)old_count, sizeof(struct conn *));
	if (!bucket)
		return;
	tcp->bucket = bucket;
	tcp->bucket_mask = 2 * old_count - 1;
	for (uint32_t i = 0; i < old_count; i++) {
		struct conn *conn = old[i], *next;

		for (; conn; conn = next) {
			next = conn->chain;
			bucket = bucket_of(tcp, &conn->tuple);
			conn->chain = *bucket;
			*bucket = conn;
		}
	}
	free(old);
}

static void bucket_add(struct tcp *tcp, struct conn *conn)
{
	struct conn **bucket;

	buckets_grow(tcp);
	bucket = bucket_of(tcp, &conn->tuple);
	conn->chain = *bucket;
	*bucket = conn;
	tcp->count++;
}

static void bucket_remove(struct tcp *tcp, const struct conn *conn)
{
	struct conn **at = bucket_of(tcp, &conn->tuple);

	while (*at != conn)
		at = &(*at)->chain;
	*at = conn->chain;
	tcp->count--;
}

/* ---- by handle: what the flow tables know of a connection */

static bool row_add(struct tcp *tcp, struct conn *conn)
{
	uint32_t room = tcp->rows_room ? tcp->rows_room * 2 : BUCKETS_FIRST;
	struct conn_row *row;

	if (!tcp->free_row) {
		if (tcp->rows == tcp->rows_room) {
			row = room > ROWS_MAX ? NULL : realloc(tcp->row, room * sizeof(*row));
			if (!row)
				return false;
			tcp->row = row;
			tcp->rows_room = room;
		}
		tcp->row[tcp->rows++] = (struct conn_row){ .generation = 0 };
		tcp->free_row = tcp->rows;
	}
	row = &tcp->row[tcp->free_row - 1];
	row->generation = row->generation + 1 < GENERATIONS ? row->generation + 1 : 1;
	row->conn = conn;
	conn->handle = row->generation << INDEX_BITS | (tcp->free_row - 1);
	tcp->free_row = row->next_free;
	return true;
}

static void row_remove(struct tcp *tcp, const struct conn *conn)
{
	uint32_t index = conn->handle & (ROWS_MAX - 1);

	tcp->row[index].conn = NULL;
	tcp->row[index].next_free = tcp->free_row;
	tcp->free_row = index + 1;
}

struct conn *conn_by_handle(const struct tcp *tcp, uint32_t handle)
{
	uint32_t index = handle & (ROWS_MAX - 1);
	struct conn *conn = index < tcp->rows ? tcp->row[index].conn : NULL;

	return conn && conn->handle == handle ? conn : NULL;
}

/* ---- queues */

static void queue_add(struct conn_queue *queue, struct conn *conn)
{
	conn->older = queue->newest;
	conn->newer = NULL;
	*(queue->newest ? &queue->newest->newer : &queue->oldest) = conn;
	queue->newest = conn;
	queue->count++;
}

static void queue_remove(struct conn_queue *queue, struct conn *conn)
{
	*(conn->older ? &conn->older->newer : &queue->oldest) = conn->newer;
	*(conn->newer ? &conn->newer->older : &queue->newest) = conn->older;
	conn->older = conn->newer = NULL;
	queue->count--;
}

/* ---- a connection's life */

struct conn *conn_new(struct tcp *tcp, const struct xdplb_tuple *tuple, uint64_t due_ns)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	if (!row_add(tcp, conn)) {
		free(conn);
		return NULL;
	}
	if (!timers_set(&tcp->timers, &conn->timer, due_ns)) {
		row_remove(tcp, conn);
		free(conn);
		return NULL;
	}
	conn->tuple = *tuple;
	conn->in = (struct collect)COLLECT_EMPTY;
	bucket_add(tcp, conn);
	queue_add(&tcp->undecided, conn);
	tcp->env.stats->connections++;
	return conn;
}

static void held_free(struct tcp *tcp, struct conn *conn)
{
	tcp->env.stats->bytes -= conn->in.size;
	collect_free(&conn->in);
}

void conn_free(struct tcp *tcp, struct conn *conn)
{
	if (conn->state == CONN_COLLECT)
		queue_remove(&tcp->undecided, conn);
	else
		tcp->env.stats->bytes -= sizeof(*conn->peer);
	if (conn->state == CONN_LINGER)
		queue_remove(&tcp->lingering, conn);
	else
		tcp->env.stats->connections--;
	held_free(tcp, conn);
	timers_end(&tcp->timers, &conn->timer);
	bucket_remove(tcp, conn);
	row_remove(tcp, conn);
	free(conn->peer);
	free(conn);
}

bool conn_decided(struct tcp *tcp, struct conn *conn)
{
	conn->peer = calloc(1, sizeof(*conn->peer));
	if (!conn->peer)
		return false;
	queue_remove(&tcp->undecided, conn);
	conn->state = CONN_OPENING;
	tcp->env.stats->bytes += sizeof(*conn->peer);
	return true;
}

void conn_spliced(struct tcp *tcp, struct conn *conn)
{
	held_free(tcp, conn);
	conn->state = CONN_LINGER;
	queue_add(&tcp->lingering, conn);
	tcp->env.stats->connections--;
}

enum collect_result conn_collect(struct tcp *tcp, struct conn *conn, int32_t at,
				 const uint8_t *data, size_t len)
{
	size_t before = conn->in.size;
	enum collect_result result = collect_add(&conn->in, at, data, len);

	tcp->env.stats->bytes += conn->in.size - before;
	return result;
}
