// SPDX-License-Identifier: GPL-2.0-only
/* How established flows end: by FINs, by resets, by silence. */
#include "talk.h"

#define FLOW_ROWS 64
#define EMBRYO_ROWS 64

static int load(void **state)
{
	(void)state;
	return lab_load(&the_lab, FLOW_ROWS, EMBRYO_ROWS) ? 0 : -1;
}

static void closed_check(const struct talk *talk)
{
	flow_count_check(talk->lab, 0, 1);
	assert_int_equal(backend_state(talk->lab, server_id(talk)).active, 0);
	assert_int_equal(backend_state(talk->lab, server_id(talk)).ports_used, 1); /* it rests */
	assert_int_equal(event_count(talk->lab, XDPLB_EVENT_CLOSED), 1);
}

static void open_check(const struct talk *talk)
{
	flow_count_check(talk->lab, 1, 0);
	assert_int_equal(backend_state(talk->lab, server_id(talk)).active, 1);
	assert_int_equal(event_count(talk->lab, XDPLB_EVENT_CLOSED), 0);
}

/* ---- FINs */

static void a_flow_ends_when_both_fins_are_acknowledged(void **state)
{
	struct talk talk = talk_of(*state, 1);

	talk_establish(&talk);
	client_sends(&talk, FIN | ACK, 0);
	server_sends(&talk, ACK, 0);
	open_check(&talk);
	server_sends(&talk, FIN | ACK, 0);
	open_check(&talk);
	client_sends(&talk, ACK, 0);
	closed_check(&talk);
}

static void it_ends_as_well_when_the_backend_begins(void **state)
{
	struct talk talk = talk_of(*state, 1);

	talk_establish(&talk);
	server_sends(&talk, FIN | ACK, 700);
	client_sends(&talk, FIN | ACK, 20);
	open_check(&talk);
	server_sends(&talk, ACK, 0);
	closed_check(&talk);
}

static void fins_may_cross(void **state)
{
	struct talk talk = talk_of(*state, 1);
	uint32_t server_seq;

	talk_establish(&talk);
	server_seq = talk.server_seq;
	client_sends(&talk, FIN | ACK, 0);
	talk.client_seq--; /* the backend has not seen it */
	server_sends(&talk, FIN | ACK, 0);
	talk.client_seq++;
	talk.server_seq = server_seq;
	client_sends(&talk, ACK, 0); /* nor has the client seen the other */
	talk.server_seq = server_seq + 1;
	open_check(&talk);
	client_sends(&talk, ACK, 0);
	open_check(&talk);
	server_sends(&talk, ACK, 0);
	closed_check(&talk);
}

static void a_half_closed_flow_carries_on(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	talk_establish(&talk);
	client_sends(&talk, FIN | ACK, 10);
	for (int i = 0; i < 50; i++) {
		server_sends(&talk, ACK, 1000);
		client_sends(&talk, ACK, 0);
	}
	flow_age(established_row(&talk), IDLE_TICKS - 2000); /* longer than a closing one may */
	sweep_run(lab, FLOW_ROWS);
	open_check(&talk);
	server_sends(&talk, FIN | ACK, 0);
	client_sends(&talk, ACK, 0);
	closed_check(&talk);
}

static void an_acknowledgement_short_of_the_fin_does_not_end_it(void **state)
{
	struct talk talk = talk_of(*state, 1);

	talk_establish(&talk);
	client_sends(&talk, FIN | ACK, 10);
	talk.client_seq--;
	server_sends(&talk, FIN | ACK, 0); /* of the data, not of the FIN */
	talk.client_seq++;
	client_sends(&talk, ACK, 0);
	open_check(&talk);
	server_sends(&talk, ACK, 0);
	closed_check(&talk);
}

static void fins_repeat_themselves_until_they_are_through(void **state)
{
	struct talk talk = talk_of(*state, 1);

	talk_establish(&talk);
	for (int i = 0; i < 3; i++) {
		talk.client_seq -= !!i;
		client_sends(&talk, FIN | ACK, 0);
	}
	for (int i = 0; i < 3; i++) {
		talk.server_seq -= !!i;
		server_sends(&talk, FIN | ACK, 0);
	}
	open_check(&talk);
	client_sends(&talk, ACK, 0);
	closed_check(&talk);
	talk.server_seq--;
	server_sends(&talk, FIN | ACK, 0); /* the last acknowledgement was lost behind us */
	client_sends(&talk, ACK, 0);
	closed_check(&talk);
}

static void a_flow_whose_last_acknowledgement_never_came_rests_soon(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	talk_establish(&talk);
	client_sends(&talk, FIN | ACK, 0);
	server_sends(&talk, FIN | ACK, 0);
	flow_age(established_row(&talk), lab->settings->closing_ticks + 100);
	sweep_run(lab, FLOW_ROWS);
	flow_count_check(lab, 0, 0);
	assert_int_equal(backend_state(lab, server_id(&talk)).active, 0);
}

static void data_after_the_end_changes_nothing(void **state)
{
	struct talk talk = talk_of(*state, 1);

	talk_establish(&talk);
	talk_close(&talk);
	client_sends(&talk, ACK, 100);
	server_sends(&talk, ACK, 100);
	closed_check(&talk);
}

/* ---- resets */

static void a_reset_at_the_expected_number_ends_the_flow(void **state)
{
	struct talk talk = talk_of(*state, 1);

	talk_establish(&talk);
	talk_goes_on(&talk);
	client_sends(&talk, RST, 0);
	closed_check(&talk);
}

static void so_does_one_of_the_backend(void **state)
{
	struct talk talk = talk_of(*state, 1);

	talk_establish(&talk);
	talk_goes_on(&talk);
	server_sends(&talk, RST | ACK, 0);
	closed_check(&talk);
}

static void any_other_reset_is_only_carried_along(void **state)
{
	struct talk talk = talk_of(*state, 1);
	uint32_t client_seq, server_seq;

	talk_establish(&talk);
	talk_goes_on(&talk);
	client_seq = talk.client_seq;
	server_seq = talk.server_seq;
	for (int i = 0; i < 32; i++) {
		talk.client_seq = client_seq ^ 1U << i;
		talk.server_seq = server_seq ^ 1U << i;
		client_sends(&talk, RST, 0);
		server_sends(&talk, RST | ACK, 0);
	}
	open_check(&talk);
}

static void data_after_a_reset_revives_the_flow(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	talk_establish(&talk);
	client_sends(&talk, RST, 0);
	closed_check(&talk);
	server_sends(&talk, ACK, 0); /* is no data */
	closed_check(&talk);
	client_sends(&talk, ACK, 10);
	flow_count_check(lab, 1, 0);
	assert_int_equal(event_count(lab, XDPLB_EVENT_REVIVED), 1);
	assert_int_equal(backend_state(lab, server_id(&talk)).active, 1);
	talk_goes_on(&talk);
	talk_close(&talk);
	flow_count_check(lab, 0, 1);
	assert_int_equal(event_count(lab, XDPLB_EVENT_CLOSED), 2);
}

static void a_backend_that_restarted_is_followed(void **state)
{
	struct talk talk = talk_of(*state, 1);

	talk_establish(&talk);
	talk.client_seq += 123456;
	client_sends(&talk, SYN, 0); /* the client has forgotten all: the same ports anew */
	talk.server_seq -= 987654;
	server_sends(&talk, SYN | ACK, 0);
	client_sends(&talk, ACK, 0);
	talk_goes_on(&talk);
	server_sends(&talk, RST, 0);
	closed_check(&talk);
}

/* ---- a new connection in an old one's place */

static void a_syn_on_a_closed_flow_chooses_anew(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), again = talk_of(lab, 1);

	talk_establish(&talk);
	talk_close(&talk);
	pool_range(lab, XDPLB_FIRST, 4, 4);
	talk_establish(&again);
	assert_int_equal(server_id(&again), 4);
	flow_count_check(lab, 1, 0);
	assert_int_equal(backend_state(lab, server_id(&talk)).ports_used, 0);
	assert_int_equal(event_count(lab, XDPLB_EVENT_RESELECTED), 1);
}

static void a_syn_on_an_expired_flow_chooses_anew(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), again = talk_of(lab, 1);

	talk_establish(&talk);
	flow_age(established_row(&talk), IDLE_TICKS + 100);
	pool_range(lab, XDPLB_FIRST, 4, 4);
	talk_establish(&again);
	assert_int_equal(server_id(&again), 4);
	flow_count_check(lab, 1, 0);
	assert_int_equal(event_count(lab, XDPLB_EVENT_EXPIRED_FLOW), 1);
	assert_int_equal(backend_state(lab, server_id(&talk)).active, 0);
}

static void anything_else_on_an_expired_flow_is_answered_with_a_reset(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	talk_establish(&talk);
	flow_age(established_row(&talk), IDLE_TICKS + 100);
	assert_outcome(server_says(&talk, ACK, 10), PASS_NOT_OURS);
	flow_count_check(lab, 0, 0);
	assert_outcome(client_says(&talk, ACK, 10), RESET_NO_FLOW);
}

/* ---- silence */

static void each_state_has_its_own_patience(void **state)
{
	struct lab *lab = *state;
	struct talk open = talk_of(lab, 1), closed = talk_of(lab, 2), embryo = talk_of(lab, 3),
		    answered = talk_of(lab, 4);
	const uint32_t slack = 100; /* ticks that pass while this runs */

	talk_establish(&open);
	talk_establish(&closed);
	talk_close(&closed);
	client_sends(&embryo, SYN, 0);
	client_sends(&answered, SYN, 0);
	server_sends(&answered, SYN | ACK, 0);
	flow_age(established_row(&open), IDLE_TICKS - slack);
	flow_age(embryo_row(&closed), lab->settings->closing_ticks - slack);
	flow_age(embryo_row(&embryo), lab->settings->syn_ticks - slack);
	flow_age(embryo_row(&answered), lab->settings->syn_ticks - slack);
	sweep_run(lab, FLOW_ROWS);
	flow_count_check(lab, 1, 3);
	flow_age(established_row(&open), slack + 1);
	flow_age(embryo_row(&closed), slack + 1);
	sweep_run(lab, FLOW_ROWS);
	flow_count_check(lab, 0, 2);
	assert_int_equal(event_count(lab, XDPLB_EVENT_EXPIRED_FLOW), 1);
	flow_age(embryo_row(&embryo), slack + 1);
	flow_age(embryo_row(&answered), slack + 1);
	sweep_run(lab, FLOW_ROWS);
	flow_count_check(lab, 0, 0);
	assert_int_equal(event_count(lab, XDPLB_EVENT_EXPIRED_EMBRYO), 3);
}

static void either_side_alone_keeps_a_flow_awake(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	talk_establish(&talk);
	for (int i = 0; i < 10; i++) {
		flow_age(established_row(&talk), IDLE_TICKS / 2 + 10);
		if (i & 2)
			client_sends(&talk, ACK, 1);
		else
			server_sends(&talk, ACK, 1);
		sweep_run(lab, FLOW_ROWS);
	}
	flow_count_check(lab, 1, 0);
}

static void the_sweep_looks_at_as_many_rows_as_it_is_told(void **state)
{
	struct lab *lab = *state;
	struct talk talks[30];

	for (uint32_t i = 0; i < 30; i++) {
		talks[i] = talk_of(lab, i);
		talk_establish(&talks[i]);
	}
	for (uint32_t i = 0; i < 30; i++)
		flow_age(established_row(&talks[i]), IDLE_TICKS + 100);
	sweep_run(lab, 0);
	flow_count_check(lab, 30, 0);
	sweep_run(lab, 7);
	flow_count_check(lab, 23, 0);
	sweep_run(lab, 30);
	flow_count_check(lab, 0, 0);
}

static void twice_the_table_opened_and_closed_in_turn_needs_no_daemon(void **state)
{
	struct lab *lab = *state;

	for (uint32_t i = 0; i < 5 * FLOW_ROWS; i++) {
		struct talk talk = talk_of(lab, i);

		talk_establish(&talk);
		talk_goes_on(&talk);
		talk_close(&talk);
	}
	assert_int_equal(gauges(lab).flows_used, 0);
	assert_int_equal(stats_sum(lab->skel->maps.service_stats, SERVICE_ID).connections,
			 5 * FLOW_ROWS);
}

static void abandoned_flows_make_way_for_new_ones_without_a_daemon(void **state)
{
	struct lab *lab = *state;

	lab->settings->heartbeat_tick = tick_now() - 10000;
	for (uint32_t i = 0; i < 5 * FLOW_ROWS; i++) {
		struct talk talk = talk_of(lab, i);

		talk_establish(&talk); /* and is never heard of again */
		flow_age(established_row(&talk), IDLE_TICKS + 100);
	}
	assert_in_range(gauges(lab).flows_used, 1, FLOW_ROWS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TCP(a_flow_ends_when_both_fins_are_acknowledged),
		TCP(it_ends_as_well_when_the_backend_begins),
		TCP(fins_may_cross),
		TCP(a_half_closed_flow_carries_on),
		TCP(an_acknowledgement_short_of_the_fin_does_not_end_it),
		TCP(fins_repeat_themselves_until_they_are_through),
		TCP(a_flow_whose_last_acknowledgement_never_came_rests_soon),
		TCP(data_after_the_end_changes_nothing),
		TCP(a_reset_at_the_expected_number_ends_the_flow),
		TCP(so_does_one_of_the_backend),
		TCP(any_other_reset_is_only_carried_along),
		TCP(data_after_a_reset_revives_the_flow),
		TCP(a_backend_that_restarted_is_followed),
		TCP(a_syn_on_a_closed_flow_chooses_anew),
		ALL(a_syn_on_an_expired_flow_chooses_anew),
		TCP(anything_else_on_an_expired_flow_is_answered_with_a_reset),
		TCP(each_state_has_its_own_patience),
		ALL(either_side_alone_keeps_a_flow_awake),
		ALL(the_sweep_looks_at_as_many_rows_as_it_is_told),
		TCP(twice_the_table_opened_and_closed_in_turn_needs_no_daemon),
		ALL(abandoned_flows_make_way_for_new_ones_without_a_daemon),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
