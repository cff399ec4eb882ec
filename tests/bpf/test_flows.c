// SPDX-License-Identifier: GPL-2.0-only
/* Embryos: how they are answered and promoted, and how they give way. */
#include "talk.h"

#define FLOW_ROWS 64
#define EMBRYO_ROWS 128

static int load(void **state)
{
	(void)state;
	return lab_load(&the_lab, FLOW_ROWS, EMBRYO_ROWS) ? 0 : -1;
}

/* ---- the ring */

static void an_evicted_embryo_takes_everything_it_owned_with_it(void **state)
{
	struct lab *lab = *state;
	struct talk talks[EMBRYO_ROWS + 1];

	for (uint32_t i = 0; i < EMBRYO_ROWS; i++) {
		talks[i] = talk_of(lab, i);
		client_sends(&talks[i], SYN, 0);
	}
	flow_count_check(lab, 0, EMBRYO_ROWS);
	assert_int_equal(backend_state(lab, 1).ports_used, EMBRYO_ROWS / 4);
	assert_int_equal(backend_state(lab, 1).active, EMBRYO_ROWS / 4);
	pool_range(lab, XDPLB_FIRST, 2, 2);

	talks[EMBRYO_ROWS] = talk_of(lab, EMBRYO_ROWS);
	client_sends(&talks[EMBRYO_ROWS], SYN, 0);
	assert_int_equal(event_count(lab, XDPLB_EVENT_EVICTED_EMBRYO), 1);
	flow_count_check(lab, 0, EMBRYO_ROWS);
	assert_int_equal(server_id(&talks[0]), 1);
	assert_int_equal(backend_state(lab, 1).ports_used, EMBRYO_ROWS / 4 - 1);
	assert_int_equal(backend_state(lab, 1).active, EMBRYO_ROWS / 4 - 1);
	lab_audit(lab); /* its index slots, above all */
	assert_outcome(server_says(&talks[0], SYN | ACK, 0), PASS_NOT_OURS);
	for (uint32_t i = 1; i <= EMBRYO_ROWS; i++)
		server_sends(&talks[i], SYN | ACK, 0);
}

static void a_flood_churns_embryos_and_never_an_established_flow(void **state)
{
	struct lab *lab = *state;
	struct talk live[8];

	for (uint32_t i = 0; i < 8; i++) {
		live[i] = talk_of(lab, i);
		talk_establish(&live[i]);
	}
	for (uint32_t i = 0; i < 400; i++) {
		struct talk flood = talk_of(lab, 1000 + i);

		client_sends(&flood, SYN, 0);
		client_sends(&live[i % 8], ACK, 10);
		server_sends(&live[i % 8], ACK, 10);
	}
	flow_count_check(lab, 8, EMBRYO_ROWS);
	assert_int_equal(event_count(lab, XDPLB_EVENT_EVICTED_EMBRYO) +
				 event_count(lab, XDPLB_EVENT_RECLAIMED_PORT),
			 400 - EMBRYO_ROWS);
}

/* ---- TCP: what promotes and what does not */

static void only_the_right_acknowledgement_promotes(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	uint32_t right;

	client_sends(&talk, SYN, 0);
	client_sends(&talk, ACK, 0); /* the number is right, yet nobody said it */
	server_sends(&talk, SYN | ACK, 0);
	flow_count_check(lab, 0, 1);
	right = talk.server_seq;
	for (uint32_t i = 0; i < 33; i++) {
		talk.server_seq = i < 32 ? right ^ 1U << i : right - 1;
		client_sends(&talk, ACK, 0);
		flow_count_check(lab, 0, 1);
	}
	talk.server_seq = right;
	assert_int_equal(event_count(lab, XDPLB_EVENT_PROMOTED), 0);
	client_sends(&talk, ACK, 0);
	flow_count_check(lab, 1, 0);
	assert_int_equal(event_count(lab, XDPLB_EVENT_PROMOTED), 1);
	talk_goes_on(&talk);
}

static void an_answer_to_another_attempt_is_no_answer(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	uint32_t isn = talk.client_seq;

	client_sends(&talk, SYN, 0);
	talk.client_seq = isn + 77;
	server_sends(&talk, SYN | ACK, 0);
	talk.client_seq = isn + 1;
	client_sends(&talk, ACK, 0);
	flow_count_check(lab, 0, 1);
	server_sends(&talk, ACK, 0); /* an acknowledgement without SYN */
	client_sends(&talk, ACK, 0);
	flow_count_check(lab, 0, 1);
}

static void data_with_the_first_acknowledgement_promotes_too(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	client_sends(&talk, SYN, 0);
	server_sends(&talk, SYN | ACK, 0);
	client_sends(&talk, ACK | PSH, 100);
	flow_count_check(lab, 1, 0);
	talk_goes_on(&talk);
}

static void handshakes_repeat_themselves_until_they_are_through(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct end nat, server;

	for (int i = 0; i < 3; i++) {
		talk.client_seq -= !!i;
		client_sends(&talk, SYN, 0);
	}
	nat = talk.nat;
	server = talk.server;
	for (int i = 0; i < 3; i++) {
		talk.server_seq -= !!i;
		server_sends(&talk, SYN | ACK, 0);
	}
	talk.client_seq--;
	client_sends(&talk, SYN, 0); /* it crossed the answer */
	client_sends(&talk, ACK, 0);
	talk.server_seq--;
	server_sends(&talk, SYN | ACK, 0); /* the acknowledgement was lost behind us */
	client_sends(&talk, ACK, 0);
	talk_goes_on(&talk);
	assert_true(end_equal(&nat, &talk.nat) && end_equal(&server, &talk.server));
	assert_int_equal(stats_sum(lab->skel->maps.service_stats, SERVICE_ID).connections, 1);
	flow_count_check(lab, 1, 0);
}

static void a_second_attempt_with_another_number_counts_from_there(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	client_sends(&talk, SYN, 0);
	talk.client_seq -= 1000;
	client_sends(&talk, SYN, 0);
	server_sends(&talk, SYN | ACK, 0);
	client_sends(&talk, ACK, 0);
	flow_count_check(lab, 1, 0);
	client_sends(&talk, RST, 0); /* at the expected number, which is the newer attempt's */
	flow_count_check(lab, 0, 1);
}

static void a_syn_may_carry_data(void **state)
{
	struct lab *lab = *state;

	for (uint32_t i = 0; i < 3; i++) {
		struct talk talk = talk_of(lab, i);

		client_sends(&talk, SYN, 50);
		if (i == 0)
			talk.client_seq -= 50; /* the backend takes none of it */
		server_sends(&talk, SYN | ACK, 0);
		if (i == 2)
			server_sends(&talk, ACK | PSH, 30); /* and speaks at once */
		client_sends(&talk, ACK, 10);
		flow_count_check(lab, i + 1, 0);
		talk_goes_on(&talk);
	}
}

static void a_refused_embryo_rests_and_the_next_syn_chooses_anew(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	client_sends(&talk, SYN, 0);
	assert_int_equal(server_id(&talk), 1);
	server_sends(&talk, RST | ACK, 0);
	assert_int_equal(backend_state(lab, 1).active, 0);
	assert_int_equal(backend_state(lab, 1).ports_used, 1);
	talk.client_seq--;
	talk.server.port = 0;
	client_sends(&talk, SYN, 0);
	assert_int_equal(server_id(&talk), 2);
	assert_int_equal(backend_state(lab, 1).ports_used, 0);
	assert_int_equal(event_count(lab, XDPLB_EVENT_RESELECTED), 1);
}

static void a_reset_of_an_embryo_needs_the_right_numbers(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	client_sends(&talk, SYN, 0);
	talk.client_seq += 5;
	server_sends(&talk, RST | ACK, 0);
	client_sends(&talk, RST, 0);
	talk.client_seq -= 5;
	server_sends(&talk, RST, 0); /* acknowledges nothing */
	assert_int_equal(backend_state(lab, 1).active, 1);
	client_sends(&talk, RST, 0);
	assert_int_equal(backend_state(lab, 1).active, 0);
}

/* Or three spoofed packets would take a place among the established flows. */
static void what_was_never_established_is_not_revived(void **state)
{
	struct lab *lab = *state;
	struct talk gave_up = talk_of(lab, 1), refused = talk_of(lab, 2);

	client_sends(&gave_up, SYN, 0);
	client_sends(&gave_up, RST, 0);
	client_says(&gave_up, ACK, 20);
	client_sends(&refused, SYN, 0);
	server_sends(&refused, RST | ACK, 0);
	client_says(&refused, ACK, 20);
	assert_int_equal(gauges(lab).flows_used, 0);
	assert_int_equal(event_count(lab, XDPLB_EVENT_REVIVED), 0);
}

static void an_unanswered_syn_chooses_anew_when_its_backend_went_down(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), answered = talk_of(lab, 2);

	client_sends(&talk, SYN, 10);
	client_sends(&answered, SYN, 10);
	server_sends(&answered, SYN | ACK, 0);
	assert_int_equal(server_id(&talk), 1);
	backend_set(lab, 1, BACKEND_DOWN);
	backend_set(lab, 2, BACKEND_DOWN);
	pool_range(lab, XDPLB_FIRST, 3, 3);
	talk.client_seq -= 10 + (lab->proto == IPPROTO_TCP);
	talk.server.port = 0;
	client_sends(&talk, SYN, 10);
	assert_int_equal(server_id(&talk), 3);
	assert_int_equal(backend_state(lab, 1).ports_used, 0);
	assert_int_equal(backend_state(lab, 1).active, 0);
	assert_int_equal(event_count(lab, XDPLB_EVENT_RESELECTED), 1);
	client_sends(&answered, ACK, 10); /* was answered in time */
}

/* ---- UDP */

static void an_answer_promotes_udp(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	for (int i = 0; i < 5; i++)
		client_sends(&talk, 0, 10);
	flow_count_check(lab, 0, 1);
	server_sends(&talk, 0, 10);
	flow_count_check(lab, 1, 0);
	assert_int_equal(gauges(lab).flows_udp, 1);
	assert_int_equal(event_count(lab, XDPLB_EVENT_PROMOTED), 1);
}

static void one_way_udp_is_promoted_by_three_packets_over_a_second(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), brief = talk_of(lab, 2);

	client_sends(&brief, 0, 10);
	flow_age(embryo_row(&brief), 2000);
	client_sends(&brief, 0, 10);
	flow_count_check(lab, 0, 1); /* long enough, but two packets */
	for (int i = 0; i < 5; i++)
		client_sends(&talk, 0, 10);
	flow_count_check(lab, 0, 2); /* enough packets, but at once */
	flow_age(embryo_row(&talk), 1000);
	client_sends(&talk, 0, 10);
	flow_count_check(lab, 1, 1);
	client_sends(&brief, 0, 10);
	flow_count_check(lab, 2, 0);
	server_sends(&talk, 0, 1000);
}

static void udp_holds_at_most_half_of_the_table(void **state)
{
	struct lab *lab = *state;
	struct talk udp[FLOW_ROWS / 2 + 2], tcp[FLOW_ROWS / 2];

	for (uint32_t i = 0; i < FLOW_ROWS / 2 + 2; i++) {
		udp[i] = talk_of(lab, i);
		talk_establish(&udp[i]);
	}
	flow_count_check(lab, FLOW_ROWS / 2, 2);
	assert_int_equal(gauges(lab).flows_udp, FLOW_ROWS / 2);
	assert_int_equal(event_count(lab, XDPLB_EVENT_UDP_SHARE_FULL), 2);
	talk_goes_on(&udp[FLOW_ROWS / 2]); /* as an embryo */
	lab->proto = IPPROTO_TCP;
	service_put(lab, 0);
	for (uint32_t i = 0; i < FLOW_ROWS / 2; i++) {
		tcp[i] = talk_of(lab, 100 + i);
		talk_establish(&tcp[i]);
	}
	flow_count_check(lab, FLOW_ROWS, 2);
	lab->proto = IPPROTO_UDP;
	flow_age(established_row(&udp[0]), IDLE_TICKS + 100);
	sweep_run(lab, FLOW_ROWS);
	assert_int_equal(gauges(lab).flows_udp, FLOW_ROWS / 2 - 1);
	client_sends(&udp[FLOW_ROWS / 2], 0, 1);
	server_sends(&udp[FLOW_ROWS / 2], 0, 1);
	flow_count_check(lab, FLOW_ROWS, 1); /* now there is room */
}

/* ---- a full table */

static void a_full_table_resets_new_connections_and_keeps_the_old(void **state)
{
	struct lab *lab = *state;
	struct talk talks[FLOW_ROWS], early = talk_of(lab, 500), late = talk_of(lab, 501);

	client_sends(&early, SYN, 0);
	server_sends(&early, SYN | ACK, 0);
	for (uint32_t i = 0; i < FLOW_ROWS; i++) {
		talks[i] = talk_of(lab, i);
		talk_establish(&talks[i]);
	}
	assert_outcome(client_says(&late, SYN, 0), RESET_TABLE_FULL);
	assert_outcome(client_says(&early, ACK, 0), RESET_TABLE_FULL);
	assert_int_equal(stats_sum(lab->skel->maps.service_stats, SERVICE_ID).connections,
			 FLOW_ROWS + 1);
	for (uint32_t i = 0; i < FLOW_ROWS; i++)
		talk_goes_on(&talks[i]);
	flow_count_check(lab, FLOW_ROWS, 1);

	talk_close(&talks[40]);
	talk_establish(&late);
	for (uint32_t i = 0; i < FLOW_ROWS; i++)
		if (i != 40)
			talk_goes_on(&talks[i]);
	flow_count_check(lab, FLOW_ROWS, 2);
}

static void expired_flows_make_room_in_a_full_table(void **state)
{
	struct lab *lab = *state;
	struct talk talks[FLOW_ROWS], late = talk_of(lab, 500);

	for (uint32_t i = 0; i < FLOW_ROWS; i++) {
		talks[i] = talk_of(lab, i);
		talk_establish(&talks[i]);
	}
	flow_age(established_row(&talks[17]), IDLE_TICKS + 100);
	talk_establish(&late);
	assert_int_equal(event_count(lab, XDPLB_EVENT_EXPIRED_FLOW), 1);
	for (uint32_t i = 0; i < FLOW_ROWS; i++)
		if (i != 17)
			talk_goes_on(&talks[i]);
	flow_count_check(lab, FLOW_ROWS, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TCP(an_evicted_embryo_takes_everything_it_owned_with_it),
		TCP(a_flood_churns_embryos_and_never_an_established_flow),
		TCP(only_the_right_acknowledgement_promotes),
		TCP(an_answer_to_another_attempt_is_no_answer),
		TCP(data_with_the_first_acknowledgement_promotes_too),
		TCP(handshakes_repeat_themselves_until_they_are_through),
		TCP(a_second_attempt_with_another_number_counts_from_there),
		TCP(a_syn_may_carry_data),
		TCP(a_refused_embryo_rests_and_the_next_syn_chooses_anew),
		TCP(a_reset_of_an_embryo_needs_the_right_numbers),
		TCP(what_was_never_established_is_not_revived),
		ALL(an_unanswered_syn_chooses_anew_when_its_backend_went_down),
		UDP(an_answer_promotes_udp),
		UDP(one_way_udp_is_promoted_by_three_packets_over_a_second),
		UDP(udp_holds_at_most_half_of_the_table),
		TCP(a_full_table_resets_new_connections_and_keeps_the_old),
		TCP(expired_flows_make_room_in_a_full_table),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
