// SPDX-License-Identifier: GPL-2.0-only
/* The mini TCP in a world of small TCPs: ordinary connections, and with any one packet lost. */
#include "engine_lb.h"

#define BOTH for (int v6 = 0; v6 < 2; v6++)

static uint8_t stream[65536], answer[65536];

/* A stream of @len bytes that is decided once @enough of them are there. */
static const uint8_t *hello(size_t len, uint16_t enough)
{
	for (size_t i = 0; i < sizeof(stream); i++)
		stream[i] = (uint8_t)(i * 31 + (i >> 8));
	stream[0] = 'y';
	put16(stream + 1, enough);
	assert_true(len <= sizeof(stream));
	return stream;
}

static const uint8_t *unclear(void)
{
	hello(0, 0);
	stream[0] = 'm';
	return stream;
}

static void reply_set(struct world *w, size_t len)
{
	for (size_t i = 0; i < sizeof(answer); i++)
		answer[i] = (uint8_t)(i * 17 + (i >> 9));
	w->reply = answer;
	w->reply_len = len;
}

static void is_over(struct world *w)
{
	world_wait(w, 30000);
	assert_int_equal(w->stats.connections, 0);
	assert_int_equal(w->stats.bytes, 0);
	assert_int_equal(engine_run(w->engine, w->now), UINT64_MAX);
	world_free(w);
}

static void a_hello_in_one_segment_is_routed_spliced_and_sent(void **state)
{
	(void)state;
	BOTH
	{
		struct world *w = world_new(v6);

		reply_set(w, 5000);
		world_client(w, hello(600, 517), 600);
		world_wait(w, 100);
		assert_true(world_done(w, 0));
		assert_int_equal(w->events[XDPLB_EVENT_SNIFF_ROUTED], 1);
		assert_int_equal(w->last_open.pool, POOL);
		assert_int_equal(w->last_open.protocol, XDPLB_PROTOCOL_TLS);
		assert_int_equal(w->last_open.idle_ticks, 5000);
		assert_int_equal(w->splices, 1);
		assert_int_equal(w->acks_to_client, 0);
		assert_int_equal(w->stats.owned, 0);
		assert_int_equal(w->client[0].sent_again, 0);
		assert_int_equal(w->reported[0], 2); /* SYN, hello */
		assert_int_equal(w->reported[1], 1); /* SYN-ACK */
		is_over(w);
	}
}

static void entries_are_installed_before_the_held_bytes_go(void **state)
{
	struct world *w = world_new(false);

	(void)state;
	world_client(w, hello(9000, 3000), 9000);
	world_wait(w, 100);
	assert_true(world_done(w, 0));
	assert_int_equal(w->splices, 1);
	assert_int_equal(w->data_before_splice, 0);
	is_over(w);
}

static void the_end_of_a_long_name_is_kept(void **state)
{
	struct world *w = world_new(false);

	(void)state;
	world_client(w, hello(600, 517), 600);
	world_wait(w, 100);
	assert_int_equal(w->last_splice.name_len, 38);
	assert_memory_equal(w->last_splice.name + 32 - 9, "a.example", 9);
	is_over(w);
}

static void a_hello_of_16_kb_arrives(void **state)
{
	(void)state;
	BOTH
	{
		struct world *w = world_new(v6);

		reply_set(w, 30000);
		world_client(w, hello(20000, 16384), 20000);
		world_wait(w, 400);
		assert_true(world_done(w, 0));
		assert_int_equal(w->stats.owned, 1); /* past 8 kB without a verdict */
		is_over(w);
	}
}

static void a_client_that_writes_single_bytes_is_not_stalled(void **state)
{
	struct world *w = world_new(false);
	struct tcp_end *client;

	(void)state;
	reply_set(w, 100);
	client = world_client(w, hello(517, 517), 517);
	client->chunk = 1;
	client->gap = MS / 10;
	world_wait(w, 200);
	assert_true(world_done(w, 0));
	assert_int_equal(client->sent_again, 0);
	assert_int_equal(w->stats.owned, 1);
	is_over(w);
}

static void a_few_bytes_are_acknowledged_after_40_ms(void **state)
{
	struct world *w = world_new(false);

	(void)state;
	world_client(w, unclear(), 10);
	world_wait(w, 39);
	assert_int_equal(w->acks_to_client, 0);
	world_wait(w, 3);
	assert_int_equal(w->acks_to_client, 1);
	assert_int_equal(w->stats.owned, 1);
	world_wait(w, 100);
	assert_int_equal(w->client[0].sent_again, 0);
	assert_int_equal(w->client[0].una, 10);
	is_over(w);
}

static void a_silent_client_goes_to_the_default_pool_after_sniff_timeout(void **state)
{
	(void)state;
	BOTH
	{
		struct world *w = world_new(v6);

		reply_set(w, 100);
		world_client(w, stream, 0);
		world_wait(w, 2990);
		assert_int_equal(w->opens, 0);
		world_wait(w, 20);
		assert_true(world_done(w, 0));
		assert_int_equal(w->last_open.pool, POOL_DEFAULT);
		assert_int_equal(w->events[XDPLB_EVENT_SNIFF_SILENT], 1);
		is_over(w);
	}
}

static void sniff_timeout_begins_again_with_each_byte_four_times_at_most(void **state)
{
	struct world *w = world_new(false);
	struct tcp_end *client = world_client(w, unclear(), 100);

	(void)state;
	client->chunk = 1;
	client->gap = 2000 * MS;
	world_wait(w, 8900); /* bytes at 0, 2, 4, 6 and 8 s: the fifth does not count */
	assert_int_equal(w->opens, 0);
	world_wait(w, 200);
	assert_int_equal(w->opens, 1);
	assert_int_equal(w->events[XDPLB_EVENT_SNIFF_SILENT], 1);
	world_free(w);
}

static void what_fits_no_route_goes_to_the_default_pool_at_once(void **state)
{
	struct world *w = world_new(false);
	static const uint8_t junk[] = "no";

	(void)state;
	world_client(w, junk, 2);
	world_wait(w, 10);
	assert_true(world_done(w, 0));
	assert_int_equal(w->events[XDPLB_EVENT_SNIFF_DEFAULT], 1);
	assert_int_equal(w->last_open.pool, POOL_DEFAULT);
	is_over(w);
}

static void without_a_default_pool_no_backend_sees_a_packet(void **state)
{
	(void)state;
	for (int silent = 0; silent < 2; silent++) {
		struct world *w = world_new(false);
		static const uint8_t junk[] = "no";

		w->set.pool = RULES_NO_POOL;
		world_client(w, junk, silent ? 0 : 2);
		world_wait(w, 3100);
		assert_true(w->client[0].reset);
		assert_int_equal(w->opens, 0);
		assert_int_equal(w->to_server, 0);
		assert_int_equal(w->counts, 1);
		assert_int_equal(w->events[XDPLB_EVENT_SNIFF_REFUSED], 1);
		assert_int_equal(w->last_count.protocol,
				 silent ? XDPLB_PROTOCOL_NONE : XDPLB_PROTOCOL_TLS);
		assert_int_equal(w->forgets, 1);
		is_over(w);
	}
}

static void a_half_closed_client_gets_its_answer(void **state)
{
	(void)state;
	BOTH
	{
		struct world *w = world_new(v6);
		struct tcp_end *client;

		reply_set(w, 3000);
		client = world_client(w, hello(600, 517), 600);
		client->fin = true;
		world_wait(w, 100);
		assert_true(world_done(w, 0));
		assert_int_equal(w->last_splice.flags,
				 XDPLB_COMMAND_SACK | XDPLB_COMMAND_CLIENT_FIN);
		assert_int_equal(w->last_splice.client_seq_end, client->isn + 1 + 601);
		is_over(w);
	}
}

static void a_fin_before_the_verdict_ends_the_waiting(void **state)
{
	struct world *w = world_new(false);

	(void)state;
	world_client(w, unclear(), 5)->fin = true;
	world_wait(w, 20);
	assert_int_equal(w->events[XDPLB_EVENT_SNIFF_DEFAULT], 1);
	assert_true(world_done(w, 0));
	is_over(w);
}

static void a_fin_alone_is_carried_to_the_default_pool(void **state)
{
	struct world *w = world_new(false);

	(void)state;
	reply_set(w, 10);
	world_client(w, stream, 0)->fin = true;
	world_wait(w, 20);
	assert_true(world_done(w, 0));
	is_over(w);
}

static void a_backend_that_refuses_is_followed_by_the_next(void **state)
{
	(void)state;
	BOTH
	{
		struct world *w = world_new(v6);

		w->refuses[1] = w->refuses[2] = true;
		world_client(w, hello(600, 517), 600);
		world_wait(w, 10);
		assert_true(world_done(w, 0));
		assert_int_equal(w->flow[0].server, 3);
		assert_int_equal(w->closes, 2);
		assert_int_equal(w->events[XDPLB_EVENT_SNIFF_ROUTED], 1);
		assert_int_equal(w->events[XDPLB_EVENT_SNIFF_RETRIED], 2);
		is_over(w);
	}
}

static void a_silent_backend_is_followed_by_the_next_within_two_seconds(void **state)
{
	struct world *w = world_new(false);

	(void)state;
	reply_set(w, 1000);
	w->silent[1] = true;
	world_client(w, hello(600, 517), 600);
	world_wait(w, 1790);
	assert_int_equal(w->syns, 4);
	assert_int_equal(w->opens, 1);
	world_wait(w, 200);
	assert_true(world_done(w, 0));
	assert_int_equal(w->flow[0].server, 2);
	is_over(w);
}

static void swallowed_retransmissions_are_repaid(void **state)
{
	struct world *w = world_new(false);
	unsigned before;

	(void)state;
	w->silent[1] = true;
	world_client(w, hello(600, 517), 600);
	world_wait(w, 1790);
	assert_int_equal(w->client[0].sent_again, 3);
	assert_int_equal(w->stats.owned, 0);
	before = w->to_server;
	world_wait(w, 200);
	assert_true(world_done(w, 0));
	/* SYN, the hello, and once more for each that the client had sent in vain */
	assert_int_equal(w->to_server - before, 2 + 3);
	is_over(w);
}

static void when_four_backends_fail_the_client_is_reset(void **state)
{
	struct world *w = world_new(false);

	(void)state;
	for (int i = 1; i <= SERVERS; i++)
		w->refuses[i] = true;
	world_client(w, hello(600, 517), 600);
	world_wait(w, 20);
	assert_true(w->client[0].reset);
	assert_int_equal(w->opens, 4);
	assert_int_equal(w->closes, 4);
	assert_int_equal(w->forgets, 1);
	assert_int_equal(w->last_count.protocol, XDPLB_PROTOCOL_TLS);
	assert_int_equal(w->events[XDPLB_EVENT_SNIFF_NO_BACKEND], 1);
	is_over(w);
}

static void a_backend_in_time_wait_is_reset_and_asked_again(void **state)
{
	struct world *w = world_new(false);

	(void)state;
	w->time_wait[1] = true;
	world_client(w, hello(600, 517), 600);
	world_wait(w, 10);
	assert_true(world_done(w, 0));
	assert_int_equal(w->flow[0].server, 1);
	assert_int_equal(w->syns, 2);
	assert_int_equal(w->rsts_to_server, 1);
	is_over(w);
}

static void what_passes_soon_is_tried_again(void **state)
{
	static const uint32_t passing[] = { XDPLB_DROP_UNRESOLVED, XDPLB_DROP_NO_PORT,
					    XDPLB_DROP_BUSY };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct world *w = world_new(false);

		w->open_result = passing[i];
		w->open_failures = 2;
		world_client(w, hello(600, 517), 600);
		world_wait(w, 100);
		assert_true(world_done(w, 0));
		assert_int_equal(w->opens, 3);
		assert_int_equal(w->events[XDPLB_EVENT_SNIFF_ROUTED], 1);
		assert_int_equal(w->events[XDPLB_EVENT_SNIFF_RETRIED], 0);
		is_over(w);
	}
}

static void what_does_not_pass_resets_the_client(void **state)
{
	(void)state;
	for (int forever = 0; forever < 2; forever++) {
		struct world *w = world_new(false);

		w->open_result = forever ? XDPLB_DROP_NO_PORT : XDPLB_RESET_NO_BACKEND;
		w->open_failures = 100;
		world_client(w, hello(600, 517), 600);
		world_wait(w, 2000);
		assert_true(w->client[0].reset);
		assert_int_equal(w->opens, forever ? 6 : 1);
		assert_int_equal(w->events[XDPLB_EVENT_SNIFF_NO_BACKEND], 1);
		is_over(w);
	}
}

static void a_splice_that_fails_resets_both(void **state)
{
	struct world *w = world_new(false);

	(void)state;
	w->splice_result = XDPLB_DROP_BUSY;
	world_client(w, hello(600, 517), 600);
	world_wait(w, 20);
	assert_true(w->client[0].reset);
	assert_int_equal(w->rsts_to_server, 1);
	assert_int_equal(w->data_before_splice, 0);
	assert_int_equal(w->closes, 1);
	assert_int_equal(w->forgets, 1);
	is_over(w);
}

static void late_packets_are_translated_both_ways(void **state)
{
	(void)state;
	BOTH
	{
		struct world *w = world_new(v6);

		reply_set(w, 2000);
		w->hold_late = true;
		world_client(w, hello(20000, 517), 20000)->fin = true;
		world_wait(w, 1500);
		assert_true(world_done(w, 0));
		assert_true(w->stats.late > 10);
		world_wait(w, 2000);
		assert_true(w->reported[0] >= 14 && w->reported[1] >= 2);
		is_over(w);
	}
}

static void a_thousand_connections_at_once_are_kept_apart(void **state)
{
	struct world *w = world_new(false);

	(void)state;
	reply_set(w, 300);
	w->server_cap = 3000;
	for (unsigned i = 0; i < 1000; i++) {
		struct tcp_end *client = world_client(w, hello(2000, 1800), 100 + i);

		if (i % 3 == 0)
			client->chunk = 1 + i % 50;
	}
	world_wait(w, 1000);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(world_done(w, i), 100 + i >= 1800);
	world_wait(w, 20000);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(world_done(w, i));
	is_over(w);
}

/* ---- any one packet is lost */

struct scene {
	const char *name;
	size_t len;
	uint16_t enough;
	size_t chunk, reply;
	bool fin, closes, v6, refuses;
};

static const struct scene scenes[] = {
	{ "one segment", 600, 517, 1460, 3000, false, false, false, false },
	{ "two segments, both close", 2000, 1800, 1460, 3000, true, true, true, false },
	{ "acknowledged early", 3000, 2500, 300, 2000, true, false, false, false },
	{ "much", 30000, 12000, 1460, 20000, true, true, false, false },
	{ "single bytes", 40, 30, 1, 100, true, false, true, false },
	{ "another backend", 600, 517, 100, 100, false, false, false, true },
	{ "more than is judged", 12000, 100, 1000, 10, false, false, false, false },
};

static unsigned scene_play(const struct scene *scene, unsigned drop)
{
	struct world *w = world_new(scene->v6);
	struct tcp_end *client;
	unsigned packets;

	w->drop = drop;
	w->server_closes = scene->closes;
	w->refuses[1] = scene->refuses;
	reply_set(w, scene->reply);
	client = world_client(w, hello(scene->len, scene->enough), scene->len);
	client->chunk = scene->chunk;
	client->fin = scene->fin;
	world_wait(w, 15000);
	if (!world_done(w, 0))
		fail_msg("%s: without packet %u it hangs", scene->name, drop);
	packets = w->packet;
	is_over(w);
	return packets;
}

static void any_packet_may_be_lost(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		unsigned packets = scene_play(&scenes[i], 0);

		for (unsigned drop = 1; drop <= packets + 5; drop++)
			scene_play(&scenes[i], drop);
	}
}

/* The client's own handshake may not: nobody repeats a cookie's SYN-ACK. */
static void any_packet_may_be_lost_where_the_server_speaks_first(void **state)
{
	unsigned packets = 100;

	(void)state;
	for (unsigned drop = 2; drop < packets; drop++) {
		struct world *w = world_new(false);

		reply_set(w, 4000);
		w->drop = drop;
		world_client(w, stream, 0);
		world_wait(w, 15000);
		if (!world_done(w, 0))
			fail_msg("without packet %u it hangs", drop);
		packets = w->packet;
		is_over(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hello_in_one_segment_is_routed_spliced_and_sent),
		cmocka_unit_test(entries_are_installed_before_the_held_bytes_go),
		cmocka_unit_test(the_end_of_a_long_name_is_kept),
		cmocka_unit_test(a_hello_of_16_kb_arrives),
		cmocka_unit_test(a_client_that_writes_single_bytes_is_not_stalled),
		cmocka_unit_test(a_few_bytes_are_acknowledged_after_40_ms),
		cmocka_unit_test(a_silent_client_goes_to_the_default_pool_after_sniff_timeout),
		cmocka_unit_test(sniff_timeout_begins_again_with_each_byte_four_times_at_most),
		cmocka_unit_test(what_fits_no_route_goes_to_the_default_pool_at_once),
		cmocka_unit_test(without_a_default_pool_no_backend_sees_a_packet),
		cmocka_unit_test(a_half_closed_client_gets_its_answer),
		cmocka_unit_test(a_fin_before_the_verdict_ends_the_waiting),
		cmocka_unit_test(a_fin_alone_is_carried_to_the_default_pool),
		cmocka_unit_test(a_backend_that_refuses_is_followed_by_the_next),
		cmocka_unit_test(a_silent_backend_is_followed_by_the_next_within_two_seconds),
		cmocka_unit_test(swallowed_retransmissions_are_repaid),
		cmocka_unit_test(when_four_backends_fail_the_client_is_reset),
		cmocka_unit_test(a_backend_in_time_wait_is_reset_and_asked_again),
		cmocka_unit_test(what_passes_soon_is_tried_again),
		cmocka_unit_test(what_does_not_pass_resets_the_client),
		cmocka_unit_test(a_splice_that_fails_resets_both),
		cmocka_unit_test(late_packets_are_translated_both_ways),
		cmocka_unit_test(a_thousand_connections_at_once_are_kept_apart),
		cmocka_unit_test(any_packet_may_be_lost),
		cmocka_unit_test(any_packet_may_be_lost_where_the_server_speaks_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
