// SPDX-License-Identifier: GPL-2.0-only
/* The mini TCP segment by segment: disorder, hostile numbers, limits, options, changing rules. */
#include "engine_lb.h"

size_t __sanitizer_get_current_allocated_bytes(void); /* of ASan */

static uint8_t stream[65536];

static const uint8_t *hello(uint8_t kind, uint16_t enough)
{
	for (size_t i = 0; i < sizeof(stream); i++)
		stream[i] = (uint8_t)(i * 31 + (i >> 8));
	stream[0] = kind;
	put16(stream + 1, enough);
	return stream;
}

/* A world with one client that says nothing by itself: what it sends is injected. */
static struct world *scripted(uint8_t kind, uint16_t enough, size_t len)
{
	struct world *w = world_new(false);

	world_client(w, hello(kind, enough), len)->limit = 1;
	w->client[0].ack_due = false;
	w->client[0].open = false;
	return w;
}

/* A segment of client @i, at the balancer at once. */
static void inject_bytes(struct world *w, unsigned i, uint8_t flags, int32_t at,
			 const uint8_t *data, size_t len)
{
	struct tcp_out out = { .src = client_end(w, i),
			       .dst = vip_end(w),
			       .seq = w->client[i].isn + 1 + (uint32_t)at,
			       .ack = w->client[i].peer_isn + 1,
			       .flags = flags,
			       .window = 900,
			       .data = data,
			       .len = len };
	struct wire_packet *p = packet_new(w);

	p->len = tcp_write(&out, p->data);
	memcpy(p->data, lb_mac, 6);
	memcpy(p->data + 6, client_mac, 6);
	if ((size_t)(at + (int32_t)len) > w->client[i].nxt)
		w->client[i].nxt = (size_t)at + len;
	world_deliver(w, (p->to = AT_BALANCER, p));
	p->next = w->spare;
	w->spare = p;
}

static void inject(struct world *w, uint8_t flags, int32_t at, size_t len)
{
	inject_bytes(w, 0, flags, at, len ? w->client[0].out + at : NULL, len);
}

static struct tcp_in to_client(const struct world *w)
{
	return tcp_read(w->to_client, w->to_client_len);
}

static bool arrived(const struct world *w, size_t len)
{
	return w->server[0].open && w->server[0].in_len == len;
}

/* ---- disorder */

static void segments_may_come_in_any_order(void **state)
{
	static const int32_t orders[][4] = {
		{ 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 1, 0, 3, 2 }, { 2, 0, 1, 3 }, { 1, 3, 0, 2 }
	};

	(void)state;
	for (int i = 0; i < 5; i++) {
		struct world *w = scripted('y', 400, 400);

		inject(w, ACK, 0, 0);
		for (int k = 0; k < 4; k++)
			inject(w, ACK | PSH, orders[i][k] * 100, 100);
		world_wait(w, 10);
		assert_int_equal(w->splices, 1);
		assert_true(arrived(w, 400));
		world_free(w);
	}
}

static void of_bytes_that_come_twice_the_first_count(void **state)
{
	struct world *w = scripted('y', 400, 400);
	static const uint8_t others[200] = { 0xee };

	(void)state;
	inject(w, ACK, 0, 0);
	inject(w, ACK, 200, 100);
	inject_bytes(w, 0, ACK, 250, others, 50);
	inject(w, ACK, 0, 250);
	inject_bytes(w, 0, ACK, 0, others, 200);
	inject(w, ACK, 290, 110);
	world_wait(w, 10);
	assert_true(arrived(w, 400)); /* each byte is compared there */
	world_free(w);
}

static void what_lies_behind_a_hole_is_sent_too(void **state)
{
	struct world *w = scripted('y', 100, 600);

	(void)state;
	inject(w, ACK, 0, 0);
	inject(w, ACK, 300, 300);
	inject(w, ACK, 0, 150);
	world_wait(w, 10);
	assert_int_equal(w->splices, 1);
	assert_int_equal(w->last_splice.client_seq_end, w->client[0].isn + 1 + 600);
	assert_true(arrived(w, 150));
	inject(w, ACK, 150, 150);
	world_wait(w, 10);
	assert_true(arrived(w, 600));
	world_free(w);
}

/* ---- acknowledging */

static void a_retransmission_is_answered_with_a_d_sack(void **state)
{
	struct world *w = scripted('m', 0, 100);
	struct tcp_in in;

	(void)state;
	inject(w, ACK, 0, 0);
	inject(w, ACK, 0, 100);
	assert_int_equal(w->acks_to_client, 0);
	inject(w, ACK, 0, 100);
	assert_int_equal(w->acks_to_client, 1);
	in = to_client(w);
	assert_int_equal(in.ack, w->client[0].isn + 1 + 100);
	assert_int_equal(in.seq, w->client[0].peer_isn + 1);
	assert_int_equal(in.options_len, 12);
	assert_int_equal(get32(in.options), 0x0101050a);
	assert_int_equal(get32(in.options + 4), w->client[0].isn + 1);
	assert_int_equal(get32(in.options + 8), w->client[0].isn + 1 + 100);
	world_free(w);
}

static void a_retransmission_with_new_bytes_behind_is_acknowledged_too(void **state)
{
	struct world *w = scripted('m', 0, 100);

	(void)state;
	inject(w, ACK, 0, 0);
	inject(w, ACK, 0, 10);
	inject(w, ACK, 0, 20);
	assert_int_equal(w->acks_to_client, 1);
	assert_int_equal(to_client(w).ack, w->client[0].isn + 1 + 20);
	assert_int_equal(to_client(w).options_len, 0);
	world_free(w);
}

static void a_keepalive_is_answered(void **state)
{
	struct world *w = scripted('m', 0, 100);

	(void)state;
	inject(w, ACK, 0, 0);
	inject(w, ACK, 0, 0);
	assert_int_equal(w->acks_to_client, 0);
	inject(w, ACK, -1, 0);
	assert_int_equal(w->acks_to_client, 1);
	assert_int_equal(to_client(w).ack, w->client[0].isn + 1);
	world_free(w);
}

static void the_window_is_scaled_as_promised_and_does_not_shrink(void **state)
{
	static const uint8_t scales[] = { 0, 4, 7, 9, 15 };

	(void)state;
	for (int i = 0; i < 5; i++) {
		struct world *w = scripted('m', 0, 30000);
		uint32_t edge = 16384, scale = scales[i] == 15 ? 0 : scales[i];

		w->our_scale = scales[i];
		inject(w, ACK, 0, 0);
		for (int32_t at = 0; at < 19000; at += 1000) {
			inject(w, ACK, at, 1000);
			if (w->acks_to_client) {
				struct tcp_in in = to_client(w);
				uint32_t acked = in.ack - (w->client[0].isn + 1);

				/* but by less than a unit: RFC 7323, 2.4 */
				assert_true(acked + ((uint32_t)(in.window + 1) << scale) > edge);
				edge = acked + ((uint32_t)in.window << scale);
				assert_true(edge < 21500);
			}
		}
		assert_int_equal(w->acks_to_client, 16); /* from the fourth segment on */
		world_free(w);
	}
}

static void a_stream_that_stays_unclear_is_decided_when_the_room_is_full(void **state)
{
	struct world *w = scripted('m', 0, 30000);

	(void)state;
	inject(w, ACK, 0, 0);
	for (int32_t at = 0; at < 24000; at += 1000)
		inject(w, ACK, at, 1000);
	assert_int_equal(w->events[XDPLB_EVENT_SNIFF_DEFAULT] + w->opens, 2);
	world_wait(w, 100);
	assert_true(arrived(w, SNIFF_STREAM_MAX));
	world_free(w);
}

/* ---- numbers that are wrong */

static void only_the_next_number_resets(void **state)
{
	struct world *w = scripted('m', 0, 100);

	(void)state;
	inject(w, ACK, 0, 0);
	inject(w, ACK, 0, 100);
	inject(w, RST, 50, 0);
	assert_int_equal(w->stats.connections, 1);
	assert_int_equal(w->acks_to_client, 1); /* a challenge, RFC 5961, 3.2 */
	assert_int_equal(to_client(w).ack, w->client[0].isn + 1); /* owns nothing by it */
	inject(w, RST, 50000, 0);
	inject(w, RST, -5, 0);
	assert_int_equal(w->stats.connections, 1);
	assert_int_equal(w->acks_to_client, 1);
	inject(w, RST, 100, 0);
	assert_int_equal(w->stats.connections, 0);
	assert_int_equal(w->events[XDPLB_EVENT_SNIFF_LEFT], 1);
	assert_int_equal(w->forgets, 1);
	assert_int_equal(w->rsts_to_client, 0);
	world_free(w);
}

static void challenges_are_few(void **state)
{
	struct world *w = scripted('m', 0, 100);

	(void)state;
	inject(w, ACK, 0, 0);
	for (int i = 1; i < 50; i++)
		inject(w, RST, i, 0);
	assert_int_equal(w->acks_to_client, 3);
	world_free(w);
}

static void a_reset_while_a_backend_is_asked_closes_the_flow(void **state)
{
	struct world *w = scripted('y', 100, 100);

	(void)state;
	w->silent[1] = true;
	inject(w, ACK, 0, 0);
	inject(w, ACK, 0, 100);
	assert_int_equal(w->opens, 1);
	inject(w, RST, 100, 0);
	assert_int_equal(w->closes, 1);
	assert_int_equal(w->forgets, 1);
	assert_int_equal(w->rsts_to_server, 1);
	assert_int_equal(w->events[XDPLB_EVENT_SNIFF_LEFT], 0);
	assert_int_equal(w->stats.connections, 0);
	world_free(w);
}

static void what_acknowledges_nothing_of_ours_is_dropped(void **state)
{
	struct world *w = scripted('m', 0, 100);

	(void)state;
	inject(w, ACK, 0, 0);
	w->client[0].peer_isn++; /* acknowledges one byte too many */
	inject(w, ACK, 0, 100);
	w->client[0].peer_isn--;
	inject(w, PSH, 0, 100); /* no ACK flag */
	assert_int_equal(w->stats.dropped, 2);
	assert_int_equal(w->stats.bytes, 0);
	world_free(w);
}

static void a_connection_whose_first_packet_never_reached_us_begins_with_the_next(void **state)
{
	struct world *w = scripted('m', 0, 100);

	(void)state;
	w->flow[0].state = FLOW_SNIFF; /* XDP has a row for it */
	inject(w, ACK, 0, 100);
	assert_int_equal(w->stats.dropped, 0);
	assert_int_equal(w->stats.connections, 1);
	world_free(w);
}

static void packets_that_no_row_stands_behind_are_dropped(void **state)
{
	struct world *w = scripted('m', 0, 100);

	(void)state;
	w->flow[0] = (struct flow){ .state = FLOW_SNIFF }; /* a flow was pending before our time */
	inject(w, ACK, 0, 100);
	assert_int_equal(w->stats.dropped, 1);
	assert_int_equal(w->stats.connections, 0);
	world_free(w);
}

static void a_client_that_begins_anew_replaces_its_connection(void **state)
{
	struct world *w = scripted('y', 100, 100);

	(void)state;
	w->silent[1] = true;
	inject(w, ACK, 0, 0);
	inject(w, ACK, 0, 100);
	assert_int_equal(w->flow[0].state, FLOW_PENDING);
	world_wait(w, 1);
	w->client[0].isn += 5000;
	w->client[0].peer_isn += 777;
	w->flow[0] = (struct flow){ .client_isn = w->client[0].isn, .isn = w->client[0].peer_isn };
	w->lenient = true;
	inject(w, ACK, 0, 0);
	w->lenient = false;
	assert_int_equal(w->closes, 1);
	assert_int_equal(w->stats.connections, 1);
	w->flow[0].state = FLOW_SNIFF;
	w->silent[1] = false;
	inject(w, ACK, 0, 100);
	world_wait(w, 10);
	assert_true(arrived(w, 100));
	world_free(w);
}

/* ---- options and sizes */

static void the_syn_says_what_the_client_said(void **state)
{
	(void)state;
	for (int scaled = 0; scaled < 2; scaled++) {
		struct world *w = scripted('y', 100, 100);
		struct tcp_in in;

		w->silent[1] = true;
		w->our_scale = scaled ? 7 : 15;
		inject(w, ACK, 0, 0);
		inject(w, ACK, 0, 100);
		in = tcp_read(w->to_backend, w->to_backend_len);
		assert_int_equal(in.flags, SYN);
		assert_int_equal(in.seq, w->client[0].isn);
		assert_int_equal(get32(in.options), 0x02040578); /* 1400 */
		assert_int_equal(get32(in.options + 4), 0x01010402);
		assert_int_equal(in.options_len, scaled ? 12 : 8);
		if (scaled)
			assert_int_equal(get32(in.options + 8), 0x01030306);
		assert_int_equal(in.window, scaled ? 900 << 6 : 900);
		world_free(w);
	}
}

static void held_bytes_are_cut_to_the_backends_mss_and_the_client_is_told_once(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct world *w = world_new(v6);
		struct tcp_end *client = world_client(w, hello('y', 2000), 5000);

		w->server_mss = 1200; /* the server's end asserts it */
		client->limit = 2800;
		client->chunk = 1400;
		world_wait(w, 50);
		assert_true(arrived(w, 2800));
		assert_int_equal(w->icmp, 1);
		assert_int_equal(w->last_splice.backend_mss, 1200);
		world_free(w);
	}
}

static void windows_are_rescaled_while_the_worker_forwards(void **state)
{
	static const uint8_t scales[][2] = { { 9, 4 }, { 2, 7 }, { 0, 9 }, { 15, 7 }, { 7, 15 } };

	(void)state;
	for (int i = 0; i < 5; i++) {
		struct world *w = world_new(false);
		struct tcp_end *client;

		w->server_scale = scales[i][1] == 15 ? 15 : scales[i][0];
		w->our_scale = scales[i][1];
		w->hold_late = true;
		client = world_client(w, hello('y', 600), 3000);
		client->chunk = 100;
		client->gap = MS;
		world_wait(w, 1900);
		assert_true(arrived(w, 3000));
		assert_int_equal(client->una, 3000);
		assert_true(client->window <= 65535U << 7 && client->window >= 1460);
		world_free(w);
	}
}

/* ---- a backend that fails late */

static void a_backend_that_never_acknowledges_ends_it_for_both(void **state)
{
	struct world *w = world_new(false);
	struct tcp_end *client = world_client(w, hello('y', 600), 600);

	(void)state;
	client->chunk = 100;
	w->drop_data = true;
	world_wait(w, 40000);
	assert_int_equal(w->stats.owned, 1);
	assert_true(client->reset);
	assert_int_equal(w->stats.connections, 0);
	assert_int_equal(w->splices, 0);
	assert_int_equal(w->closes, 1);
	assert_int_equal(w->forgets, 1);
	world_free(w);
}

static void a_backends_reset_before_the_splice_reaches_the_client(void **state)
{
	struct world *w = world_new(false);
	struct tcp_end *client = world_client(w, hello('y', 600), 600);

	(void)state;
	client->chunk = 100;
	w->drop_data = true;
	world_wait(w, 20);
	assert_true(w->server[0].open);
	server_answer(w, 0, RST | ACK, w->server[0].isn + 1, w->client[0].isn + 1, false);
	world_wait(w, 1);
	assert_true(client->reset);
	assert_int_equal(w->closes, 1);
	assert_int_equal(w->stats.connections, 0);
	world_free(w);
}

/* ---- limits */

static void the_oldest_undecided_gives_its_place(void **state)
{
	struct world *w = world_new(false);
	struct engine_limits limits = ENGINE_LIMITS_DEFAULT;

	(void)state;
	limits.connections = 2;
	world_limit(w, &limits);
	hello('m', 0);
	for (unsigned i = 0; i < 3; i++) {
		world_client(w, stream, 100)->open = false;
		inject_bytes(w, i, ACK, 0, NULL, 0);
	}
	assert_int_equal(w->stats.connections, 2);
	assert_int_equal(w->events[XDPLB_EVENT_SNIFF_EVICTED], 1);
	assert_int_equal(to_client(w).dst.port, client_end(w, 0).port);
	assert_int_equal(to_client(w).flags, RST | ACK);
	assert_int_equal(w->flow[0].state, FLOW_NONE);
	world_free(w);
}

static void bytes_are_bounded_and_the_oldest_pays(void **state)
{
	struct world *w = world_new(false);
	struct engine_limits limits = ENGINE_LIMITS_DEFAULT;

	(void)state;
	limits.bytes = 10000;
	world_limit(w, &limits);
	hello('m', 0);
	for (unsigned i = 0; i < 20; i++) {
		world_client(w, stream, 1000)->open = false;
		inject_bytes(w, i, ACK, 0, NULL, 0);
		inject_bytes(w, i, ACK, 0, stream, 1000);
		assert_true(w->stats.bytes <= limits.bytes);
	}
	assert_int_equal(w->events[XDPLB_EVENT_SNIFF_EVICTED], 20 - 9);
	assert_int_equal(w->stats.connections, 9);
	world_free(w);
}

static void undecided_ones_are_judged_by_new_rules(void **state)
{
	struct world *w = scripted('m', 0, 100);

	(void)state;
	inject(w, ACK, 0, 0);
	inject(w, ACK, 0, 100);
	assert_int_equal(w->opens, 0);
	w->rule.pattern_count = 1;
	engine_rules_changed(w->engine, w->now);
	assert_int_equal(w->opens, 1);
	world_wait(w, 10);
	assert_true(arrived(w, 100));
	world_free(w);
}

static void undecided_ones_of_a_service_that_went_are_reset(void **state)
{
	struct world *w = scripted('m', 0, 100);

	(void)state;
	inject(w, ACK, 0, 0);
	w->rules.count = 0;
	engine_rules_changed(w->engine, w->now);
	assert_int_equal(w->rsts_to_client, 1);
	assert_int_equal(w->forgets, 1);
	assert_int_equal(w->events[XDPLB_EVENT_SNIFF_REFUSED], 1);
	assert_int_equal(w->stats.connections, 0);
	world_free(w);
}

static void an_idle_engine_wants_nothing(void **state)
{
	struct world *w = world_new(false);

	(void)state;
	assert_int_equal(engine_run(w->engine, w->now), UINT64_MAX);
	world_free(w);
}

/* 100,000 clients that sent 300 bytes of a hello: under 100 MB. */
static void idle_connections_cost_little(void **state)
{
	struct world *w = world_new(false);
	size_t before = __sanitizer_get_current_allocated_bytes(), after;
	struct xdplb_meta meta = { .kind = XDPLB_META_OPENING, .service = SERVICE };
	uint8_t frame[2 + 400];

	(void)state;
	hello('m', 0);
	for (uint32_t i = 0; i < 100000; i++) {
		struct tcp_out out = { .src = { ip4(0x0b000000 + i), 1000 },
				       .dst = vip_end(w),
				       .seq = 1,
				       .ack = 1,
				       .flags = ACK,
				       .data = stream,
				       .len = 300 };
		uint32_t len = tcp_write(&out, frame + 2);

		memcpy(frame + 2, lb_mac, 6);
		memcpy(frame + 8, client_mac, 6);
		engine_packet(w->engine, &meta, frame + 2, len, w->now);
	}
	after = __sanitizer_get_current_allocated_bytes();
	assert_int_equal(w->stats.connections, 100000);
	assert_true(w->stats.bytes <= 100000 * 512);
	print_message("100,000 idle connections: %zu kB\n", (after - before) / 1000);
	assert_true(after - before < 95000000); /* and 16 bytes each of malloc's own */
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_may_come_in_any_order),
		cmocka_unit_test(of_bytes_that_come_twice_the_first_count),
		cmocka_unit_test(what_lies_behind_a_hole_is_sent_too),
		cmocka_unit_test(a_retransmission_is_answered_with_a_d_sack),
		cmocka_unit_test(a_retransmission_with_new_bytes_behind_is_acknowledged_too),
		cmocka_unit_test(a_keepalive_is_answered),
		cmocka_unit_test(the_window_is_scaled_as_promised_and_does_not_shrink),
		cmocka_unit_test(a_stream_that_stays_unclear_is_decided_when_the_room_is_full),
		cmocka_unit_test(only_the_next_number_resets),
		cmocka_unit_test(challenges_are_few),
		cmocka_unit_test(a_reset_while_a_backend_is_asked_closes_the_flow),
		cmocka_unit_test(what_acknowledges_nothing_of_ours_is_dropped),
		cmocka_unit_test(
			a_connection_whose_first_packet_never_reached_us_begins_with_the_next),
		cmocka_unit_test(packets_that_no_row_stands_behind_are_dropped),
		cmocka_unit_test(a_client_that_begins_anew_replaces_its_connection),
		cmocka_unit_test(the_syn_says_what_the_client_said),
		cmocka_unit_test(
			held_bytes_are_cut_to_the_backends_mss_and_the_client_is_told_once),
		cmocka_unit_test(windows_are_rescaled_while_the_worker_forwards),
		cmocka_unit_test(a_backend_that_never_acknowledges_ends_it_for_both),
		cmocka_unit_test(a_backends_reset_before_the_splice_reaches_the_client),
		cmocka_unit_test(the_oldest_undecided_gives_its_place),
		cmocka_unit_test(bytes_are_bounded_and_the_oldest_pays),
		cmocka_unit_test(undecided_ones_are_judged_by_new_rules),
		cmocka_unit_test(undecided_ones_of_a_service_that_went_are_reset),
		cmocka_unit_test(an_idle_engine_wants_nothing),
		cmocka_unit_test(idle_connections_cost_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
