// SPDX-License-Identifier: GPL-2.0-only
/* Spliced flows: packets of both sides are translated to the last byte, and how they end. */
#include "joined.h"

/* ---- translation */

static void joined_packets_are_translated(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);
	struct xdplb_flow *flow;

	joined_establish(&joined);
	flow_count_check(lab, 1, 0);
	for (int i = 0; i < 5; i++)
		joined_go_on(&joined);
	flow = established_row(&joined.talk);
	assert_non_null(flow);
	for (int dir = 0; dir < XDPLB_DIRS; dir++)
		assert_int_equal(flow->half[dir].flags & ~XDPLB_HALF_V6,
				 XDPLB_HALF_SPLICED | XDPLB_HALF_SNIFFED);
	assert_int_equal(flow->half[XDPLB_TO_BACKEND].seq_end, joined.talk.client_seq);
	assert_int_equal(flow->half[XDPLB_TO_CLIENT].seq_end, joined.talk.server_seq);
	assert_int_equal(flow->splice.protocol, XDPLB_PROTOCOL_TLS);
	assert_memory_equal(flow->splice.name, "example.com", 11);
	assert_int_equal(flow->splice.name_len, 11);
}

static void sack_blocks_are_translated_wherever_they_stand(void **state)
{
	struct joined joined = joined_of(*state, 1);

	joined_establish(&joined);
	for (uint8_t before = 0; before < 8; before++) {
		for (uint8_t blocks = 0; blocks <= 4 && before + 2 + 8 * blocks <= 40; blocks++) {
			memset(joined.options, 1, before);
			joined.options[before] = 5;
			joined.options[before + 1] = (uint8_t)(2 + 8 * blocks);
			for (int i = before + 2; i < 40; i++)
				joined.options[i] = (uint8_t)random();
			joined.options_size = (uint8_t)((before + 2 + 8 * blocks + 3) / 4 * 4);
			for (int i = before + 2 + 8 * blocks; i < joined.options_size; i++)
				joined.options[i] = 0;
			joined_client_sends(&joined, ACK, 0);
			joined_client_sends(&joined, ACK, 99);
		}
	}
}

static void options_that_make_no_sense_are_left_alone(void **state)
{
	struct joined joined = joined_of(*state, 1);

	joined_establish(&joined);
	for (int i = 0; i < 2000; i++) {
		joined.options_size = (uint8_t)(random() % 11 * 4);
		for (int j = 0; j < 40; j++)
			joined.options[j] = (uint8_t)(random() % 3 ? random() % 12 : random());
		joined_client_sends(&joined, ACK, 0);
	}
}

static void windows_are_told_in_the_scale_that_was_promised(void **state)
{
	static const uint16_t windows[] = { 0, 1, 2, 127, 128, 129, 0x7fff, 0x8000, 0xffff };
	static const uint8_t scales[] = { 0, 4, 7, 9, 14, 15 };
	uint32_t n = 0;

	for (size_t theirs = 0; theirs < sizeof(scales); theirs++) {
		for (size_t ours = 0; ours < sizeof(scales); ours++) {
			struct joined joined = joined_of(*state, n++);

			joined.backend_wscale = scales[theirs];
			joined.our_wscale = scales[ours];
			joined_establish(&joined);
			for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
				joined.window = windows[i];
				joined_server_sends(&joined, ACK, 10);
			}
		}
	}
}

/* RFC 7323, 2.2: the backend takes for bytes what the client means as multiples. */
static void a_backend_that_does_not_scale_is_told_whole_windows(void **state)
{
	static const uint16_t windows[] = { 0, 1, 502, 511, 512, 0xffff };
	static const uint8_t scales[] = { 0, 1, 7, 14 };

	for (size_t scale = 0; scale < sizeof(scales); scale++) {
		struct joined joined = joined_of(*state, (uint32_t)scale);

		joined.backend_wscale = 15;
		joined.client_wscale = scales[scale];
		joined_establish(&joined);
		for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
			joined.client_window = windows[i];
			joined_client_sends(&joined, ACK, 10);
			joined_server_sends(&joined, ACK, 10);
		}
	}
}

/* ---- how joined flows end */

static void ended_check(const struct lab *lab)
{
	flow_count_check(lab, 0, 1);
	assert_int_equal(event_count(lab, XDPLB_EVENT_CLOSED), 1);
}

static void fins_end_a_joined_flow(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);

	joined_establish(&joined);
	joined_go_on(&joined);
	joined_client_sends(&joined, FIN | ACK, 10);
	joined_server_sends(&joined, ACK, 700);
	joined_server_sends(&joined, FIN | ACK, 0);
	flow_count_check(lab, 1, 0);
	joined.talk.server_seq--;
	joined_client_sends(&joined, ACK, 0); /* of the data, not of the FIN */
	flow_count_check(lab, 1, 0);
	joined.talk.server_seq++;
	joined_client_sends(&joined, ACK, 0);
	ended_check(lab);
	joined.talk.server_seq--;
	joined_server_sends(&joined, FIN | ACK, 0); /* that acknowledgement was lost */
	joined_client_sends(&joined, ACK, 0);
	ended_check(lab);
}

static void it_ends_as_well_when_the_backend_begins(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);

	joined_establish(&joined);
	joined_server_sends(&joined, FIN | ACK, 700);
	joined_client_sends(&joined, FIN | ACK, 20);
	flow_count_check(lab, 1, 0);
	joined_server_sends(&joined, ACK, 0);
	ended_check(lab);
}

/* FINs that only the worker has seen. */
static void fins_may_lie_behind_when_a_flow_is_joined(void **state)
{
	struct lab *lab = *state;

	for (uint32_t flags = XDPLB_COMMAND_CLIENT_FIN;
	     flags <= (XDPLB_COMMAND_CLIENT_FIN | XDPLB_COMMAND_BACKEND_FIN);
	     flags += XDPLB_COMMAND_CLIENT_FIN) {
		struct joined joined = joined_of(lab, flags);
		bool of_client = flags & XDPLB_COMMAND_CLIENT_FIN;
		bool of_backend = flags & XDPLB_COMMAND_BACKEND_FIN;
		uint64_t closed = event_count(lab, XDPLB_EVENT_CLOSED);

		joined_open(&joined);
		order_splice(&joined, HELLO + of_client);
		joined.order.command.flags |= flags;
		joined.order.command.backend_seq_end += of_backend;
		assert_order(lab, &joined.order, CONTINUE);
		joined.talk.client_seq += HELLO + of_client;
		joined.talk.server_seq += 1 + of_backend;
		if (!of_backend)
			joined_server_sends(&joined, FIN | ACK, 0);
		if (!of_client)
			joined_client_sends(&joined, FIN | ACK, 0);
		joined_server_sends(&joined, ACK, 0);
		joined_client_sends(&joined, ACK, 0);
		assert_int_equal(event_count(lab, XDPLB_EVENT_CLOSED), closed + 1);
		assert_null(established_row(&joined.talk));
	}
}

static void resets_end_it_at_the_expected_number(void **state)
{
	struct lab *lab = *state;

	for (uint32_t i = 0; i < 2; i++) {
		struct joined joined = joined_of(lab, i);
		uint32_t *seq = i ? &joined.talk.server_seq : &joined.talk.client_seq, was;

		joined_establish(&joined);
		joined_go_on(&joined);
		was = *seq;
		for (int bit = 0; bit < 32; bit++) {
			*seq = was ^ 1U << bit;
			if (i)
				joined_server_sends(&joined, RST | ACK, 0);
			else
				joined_client_sends(&joined, RST, 0);
		}
		assert_non_null(established_row(&joined.talk));
		*seq = was;
		if (i)
			joined_server_sends(&joined, RST | ACK, 0);
		else
			joined_client_sends(&joined, RST, 0);
		assert_null(established_row(&joined.talk));
		assert_non_null(embryo_row(&joined.talk));
	}
}

static void data_after_a_reset_revives_it_translated(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);
	struct xdplb_flow *flow;

	joined_establish(&joined);
	joined_client_sends(&joined, RST, 0);
	ended_check(lab);
	joined_server_sends(&joined, ACK, 0);
	joined_client_sends(&joined, ACK, 10);
	flow_count_check(lab, 1, 0);
	assert_int_equal(event_count(lab, XDPLB_EVENT_REVIVED), 1);
	flow = established_row(&joined.talk);
	assert_non_null(flow);
	assert_int_equal(flow->half[0].flags & ~XDPLB_HALF_V6,
			 XDPLB_HALF_SPLICED | XDPLB_HALF_SNIFFED);
	joined_go_on(&joined);
	joined_server_sends(&joined, FIN | ACK, 0);
	joined_client_sends(&joined, FIN | ACK, 0);
	joined_server_sends(&joined, ACK, 0);
	flow_count_check(lab, 0, 1);
}

static void silence_ends_a_joined_flow_and_a_pending_one(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1), pending = joined_of(lab, 2);

	joined_establish(&joined);
	joined_open(&pending);
	flow_age(established_row(&joined.talk), IDLE_TICKS - 100);
	flow_age(embryo_row(&pending.talk), lab->settings->syn_ticks - 100);
	sweep_run(lab, FLOW_ROWS);
	flow_count_check(lab, 1, 1);
	flow_age(established_row(&joined.talk), 101);
	flow_age(embryo_row(&pending.talk), 101);
	sweep_run(lab, FLOW_ROWS);
	flow_count_check(lab, 0, 0);
	order_splice(&pending, HELLO);
	assert_order(lab, &pending.order, DROP_BUSY);
}

/* ---- SYNs where a flow is joined already */

static void a_backend_may_repeat_its_syn_ack(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);
	uint32_t seq;

	joined_establish(&joined);
	joined_go_on(&joined);
	seq = joined.talk.server_seq;
	joined.talk.server_seq = joined.backend_isn;
	joined_server_sends(&joined, SYN | ACK, 0);
	joined.talk.server_seq = seq;
	assert_int_equal(established_row(&joined.talk)->half[XDPLB_TO_CLIENT].seq_end, seq);
	joined_go_on(&joined);
	joined_server_sends(&joined, RST | ACK, 0); /* still at the expected number */
	ended_check(lab);
}

static void a_syn_is_not_forwarded_and_harms_nothing(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);
	uint32_t seq;

	service_put(lab, XDPLB_SERVICE_SNIFF);
	joined_establish(&joined);
	joined_go_on(&joined);
	seq = joined.talk.client_seq;
	for (int i = 0; i < 3; i++) {
		joined.talk.client_seq = seq + 123456;
		assert_outcome(joined_client_says(&joined, SYN, 0), DROP_NO_WORKER);
		joined.talk.client_seq = seq;
		joined_go_on(&joined);
		seq = joined.talk.client_seq;
	}
	joined_server_sends(&joined, FIN | ACK, 0);
	joined_client_sends(&joined, FIN | ACK, 0);
	joined_server_sends(&joined, ACK, 0);
	ended_check(lab);
	assert_outcome(joined_client_says(&joined, SYN, 0), DROP_NO_WORKER);
	ended_check(lab);
}

static void without_routes_a_syn_is_as_with_any_flow(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);
	struct shape shape;
	struct frame frame;

	joined_establish(&joined);
	joined_go_on(&joined);
	service_put(lab, 0);
	joined_client_sends(&joined, RST, 0);
	ended_check(lab);
	joined.talk.client_seq += 123456;
	shape = client_shape(&joined.talk, SYN, 0);
	frame = frame_make(&shape);
	assert_outcome(frame_run(lab, &frame), FORWARD_TX);
	assert_non_null(embryo_row(&joined.talk));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TCP(joined_packets_are_translated),
		TCP(sack_blocks_are_translated_wherever_they_stand),
		TCP(options_that_make_no_sense_are_left_alone),
		TCP(windows_are_told_in_the_scale_that_was_promised),
		TCP(a_backend_that_does_not_scale_is_told_whole_windows),
		TCP(fins_end_a_joined_flow),
		TCP(it_ends_as_well_when_the_backend_begins),
		TCP(fins_may_lie_behind_when_a_flow_is_joined),
		TCP(resets_end_it_at_the_expected_number),
		TCP(data_after_a_reset_revives_it_translated),
		TCP(silence_ends_a_joined_flow_and_a_pending_one),
		TCP(a_backend_may_repeat_its_syn_ack),
		TCP(a_syn_is_not_forwarded_and_harms_nothing),
		TCP(without_routes_a_syn_is_as_with_any_flow),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
