// SPDX-License-Identifier: GPL-2.0-only
/* Handshakes that are noted because the server may be the one to speak first, and their SYN-ACKs once more. */
#include <sched.h>

#include "sniffed.h"
#include "worker/synack.h"

#define FIRST 954 /* ticks until the SYN-ACK is repeated, and again */
#define SECOND 2861
#define FORGOTTEN 4768

static bool noted(const struct talk *talk, struct xdplb_handshake *row)
{
	struct xdplb_sniff_key key = key_of(talk);

	return !bpf_map_lookup_elem(map_fd(talk->lab->skel->maps.handshakes), &key, row);
}

static uint32_t noted_count(const struct lab *lab)
{
	return keys_count(lab->skel->maps.handshakes);
}

/* As if it had been answered @ticks ago. */
static void aged(const struct talk *talk, uint32_t ticks)
{
	struct xdplb_sniff_key key = key_of(talk);
	struct xdplb_handshake row;

	assert_true(noted(talk, &row));
	row.born_tick = tick_now() - ticks;
	bpf_map_update_elem(map_fd(talk->lab->skel->maps.handshakes), &key, &row, BPF_EXIST);
}

static uint32_t due_take(const struct lab *lab, struct xdplb_handshakes_due *due)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = due, .data_size_in = sizeof(*due),
		    .data_out = due, .data_size_out = sizeof(*due), .repeat = 1);

	due->count = ~0U;
	assert_int_equal(
		bpf_prog_test_run_opts(bpf_program__fd(lab->skel->progs.handshakes_due), &opts), 0);
	assert_int_equal(opts.retval, XDP_PASS);
	return due->count;
}

/* ---- noting */

static void a_handshake_is_noted_until_its_ack(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct xdplb_handshake row;
	struct said said;

	syn_answered(&talk);
	assert_true(noted(&talk, &row));
	assert_int_equal(row.isn, talk.server_seq - 1);
	assert_int_equal(row.client_isn, talk.client_seq - 1);
	assert_int_equal(row.ifindex, LAB_IFINDEX);
	assert_memory_equal(row.macs, our_mac, ETH_ALEN);
	assert_memory_equal(row.macs + ETH_ALEN, talk.client_mac, ETH_ALEN);
	assert_outcome(given(&talk, ACK, 0, &said), SNIFF);
	assert_int_equal(said.meta.kind, XDPLB_META_OPENING);
	assert_int_equal(noted_count(lab), 0);
}

static void the_ack_of_another_connection_forgets_nothing(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), anew = talk;
	struct xdplb_handshake row;
	struct said said;

	syn_answered(&talk);
	anew.client_seq += 0x10000000;
	syn_answered(&anew);
	assert_int_equal(noted_count(lab), 1);
	assert_outcome(given(&talk, ACK, 0, &said), SNIFF);
	assert_true(noted(&anew, &row));
	assert_int_equal(row.isn, anew.server_seq - 1);
	talk = anew;
	talk.server_seq ^= 1U << 31; /* a forged one */
	assert_outcome(given(&talk, ACK, 0, &said), RESET_BAD_COOKIE);
	assert_int_equal(noted_count(lab), 1);
	assert_outcome(given(&anew, ACK | PSH, 100, &said), SNIFF);
	assert_int_equal(noted_count(lab), 0);
}

static void who_resets_is_sent_nothing_more(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	syn_answered(&talk);
	talk.client_seq++;
	assert_outcome(client_says(&talk, RST, 0), DROP_NO_FLOW);
	assert_int_equal(noted_count(lab), 1);
	talk.client_seq--;
	assert_outcome(client_says(&talk, RST, 0), DROP_NO_FLOW);
	assert_int_equal(noted_count(lab), 0);
}

static void without_a_default_pool_none_is_noted(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	default_pool_none(lab);
	syn_answered(&talk);
	assert_int_equal(noted_count(lab), 0);
}

static void of_a_flood_only_an_allowance_is_noted(void **state)
{
	struct lab *lab = *state;
	uint32_t began = tick_now(), noted_then;
	cpu_set_t before, one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one); /* each CPU has an allowance */
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	for (uint32_t n = 0; n < 3000; n++) {
		struct talk talk = talk_of(lab, n);

		syn_answered(&talk);
	}
	sched_setaffinity(0, sizeof(before), &before);
	noted_then = noted_count(lab);
	assert_in_range(noted_then, 1, 1000 + (tick_now() - began) + 10);
	assert_int_equal(rows_count(lab), 0);
	flow_count_check(lab, 0, 0);
}

/* ---- once more */

static const uint8_t as_linux[] = { 2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2,
				    3, 4, 5,	6,    7, 8, 1, 3,  3, 7 };
static const uint8_t scaled_only[] = { 2, 4, 0x04, 0xc4, 1, 3, 3, 9 };
static const uint8_t sack_only[] = { 4, 2, 1, 1 };

static void given_again(struct talk *talk, const uint8_t *options, uint8_t size)
{
	struct frame first = syn_frame(talk, options, size);
	struct xdplb_handshakes_due due;
	struct segment_frame again;

	assert_outcome(frame_run(talk->lab, &first), ANSWER_COOKIE);
	aged(talk, FIRST + 10);
	assert_int_equal(due_take(talk->lab, &due), 1);
	assert_int_equal(due.row[0].handshake.ifindex, LAB_IFINDEX);
	assert_int_equal(synack_build(&due.row[0].key, &due.row[0].handshake, &again), first.len);
	assert_memory_equal(again.data, first.data, first.len);
}

static void what_is_repeated_is_the_same_to_the_byte(void **state)
{
	const struct xdplb_offer offer = {
		.mss = { 1300, 1250 }, .wscale = 4, .sack = 1, .known = 3
	};
	struct lab *lab = *state;
	struct talk talk[4];

	for (uint32_t n = 0; n < 4; n++)
		talk[n] = talk_of(lab, n + 1);
	given_again(&talk[0], NULL, 0);
	given_again(&talk[1], as_linux, sizeof(as_linux));
	given_again(&talk[2], sack_only, sizeof(sack_only));
	row_put(lab->skel->maps.sniff_offers, SERVICE_ID, &offer);
	given_again(&talk[3], scaled_only, sizeof(scaled_only));
}

static void it_is_repeated_after_one_second_and_after_three(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct xdplb_handshakes_due due;
	struct said said;

	syn_answered(&talk);
	assert_int_equal(due_take(lab, &due), 0);
	aged(&talk, FIRST - 500);
	assert_int_equal(due_take(lab, &due), 0);
	aged(&talk, FIRST);
	assert_int_equal(due_take(lab, &due), 1);
	assert_int_equal(due.row[0].handshake.isn, talk.server_seq - 1);
	assert_int_equal(due_take(lab, &due), 0);
	aged(&talk, SECOND - 500);
	assert_int_equal(due_take(lab, &due), 0);
	aged(&talk, SECOND);
	assert_int_equal(due_take(lab, &due), 1);
	assert_int_equal(noted_count(lab), 0);
	assert_int_equal(due_take(lab, &due), 0);
	event_is(lab, XDPLB_EVENT_SYNACK_REPEATED, 2);
	assert_outcome(given(&talk, ACK, 0, &said), SNIFF);
	assert_int_equal(said.meta.kind, XDPLB_META_OPENING);
}

static void where_nobody_asked_for_long_it_is_forgotten(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct xdplb_handshakes_due due;

	syn_answered(&talk);
	aged(&talk, FORGOTTEN);
	assert_int_equal(due_take(lab, &due), 0);
	assert_int_equal(noted_count(lab), 0);
	event_is(lab, XDPLB_EVENT_SYNACK_REPEATED, 0);
}

static void more_than_fit_are_given_in_turns(void **state)
{
	struct lab *lab = *state;
	struct xdplb_handshakes_due due;

	for (uint32_t n = 0; n < 2 * XDPLB_HANDSHAKES_DUE + 4; n++) {
		struct talk talk = talk_of(lab, n);

		syn_answered(&talk);
		aged(&talk, FIRST);
	}
	assert_int_equal(due_take(lab, &due), XDPLB_HANDSHAKES_DUE);
	assert_int_equal(due_take(lab, &due), XDPLB_HANDSHAKES_DUE);
	assert_int_equal(due_take(lab, &due), 4);
	assert_int_equal(due_take(lab, &due), 0);
}

static void too_little_room_is_refused(void **state)
{
	struct lab *lab = *state;
	uint8_t data[sizeof(struct xdplb_handshakes_due) - 1] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = sizeof(data),
		    .repeat = 1);

	assert_int_equal(
		bpf_prog_test_run_opts(bpf_program__fd(lab->skel->progs.handshakes_due), &opts), 0);
	assert_int_equal(opts.retval, XDP_ABORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TCP(a_handshake_is_noted_until_its_ack),
		TCP(the_ack_of_another_connection_forgets_nothing),
		TCP(who_resets_is_sent_nothing_more),
		TCP(without_a_default_pool_none_is_noted),
		TCP(of_a_flood_only_an_allowance_is_noted),
		TCP(what_is_repeated_is_the_same_to_the_byte),
		TCP(it_is_repeated_after_one_second_and_after_three),
		TCP(where_nobody_asked_for_long_it_is_forgotten),
		TCP(more_than_fit_are_given_in_turns),
		TCP(too_little_room_is_refused),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
