// SPDX-License-Identifier: GPL-2.0-only
/* Sniffed services: packets of flows that wait for a backend or have met it, datagrams, and a new program. */
#include "sniffed.h"

/* An embryo whose packets go to thread @row, as the worker makes it. */
static struct xdplb_flow *pending(struct talk *talk, uint32_t row)
{
	struct xdplb_flow *flow;

	service_put(talk->lab, 0);
	client_sends(talk, SYN, 0);
	service_put(talk->lab, XDPLB_SERVICE_SNIFF);
	flow = embryo_row(talk);
	assert_non_null(flow);
	flow->splice = (struct xdplb_splice){ .worker = row, .conn = 77 };
	for (int dir = 0; dir < XDPLB_DIRS; dir++)
		flow->half[dir].flags |= XDPLB_HALF_WORKER;
	return flow;
}

static void both_sides_of_a_pending_flow_go_to_its_worker(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct frame frame;
	struct shape shape;
	struct said said;

	pending(&talk, OTHER_ROW);
	assert_outcome(given(&talk, ACK, 20, &said), SNIFF);
	assert_int_equal(said.meta.kind, XDPLB_META_CLIENT);
	assert_int_equal(said.meta.worker, OTHER_ROW);
	assert_int_equal(said.meta.conn, 77);
	shape = server_shape(&talk, SYN | ACK, 0);
	frame = frame_make(&shape);
	assert_outcome(frame_run(lab, &frame), SNIFF);
	memcpy(&said.meta, frame.data, sizeof(said.meta));
	assert_int_equal(said.meta.kind, XDPLB_META_BACKEND);
	assert_int_equal(said.meta.worker, OTHER_ROW);
	assert_int_equal(said.meta.conn, 77);
	assert_int_equal(said.meta.service, SERVICE_ID);
	flow_count_check(lab, 0, 1);
}

static void a_pending_flow_ends_with_its_worker(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), again = talk;
	struct said said;

	syn_answered(&again);
	pending(&talk, OTHER_ROW);
	worker_gone(lab, OTHER_ROW);
	assert_outcome(given(&again, ACK, 20, &said), SNIFF);
	assert_int_equal(said.meta.kind, XDPLB_META_OPENING);
	assert_int_equal(said.meta.worker, OUR_ROW);
	assert_int_equal(said.meta.conn, 0);
	flow_count_check(lab, 0, 0);
}

static void a_pending_flow_makes_room_for_another_connection(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), anew = talk;
	struct said said;

	opened(&talk);
	talk.client_seq--;
	pending(&talk, OUR_ROW);
	anew.client_seq += 0x20000000;
	syn_answered(&anew);
	assert_outcome(given(&talk, ACK, 3, &said), SNIFF);
	assert_int_equal(said.meta.conn, 77);
	assert_outcome(given(&anew, ACK, 0, &said), SNIFF);
	assert_int_equal(said.meta.kind, XDPLB_META_OPENING);
	assert_int_equal(said.meta.conn, 0);
	event_is(lab, XDPLB_EVENT_SNIFF_REPLACED, 1);
	flow_count_check(lab, 0, 0);
}

static void spliced(struct talk *talk)
{
	struct xdplb_flow *flow;

	service_put(talk->lab, 0);
	talk_establish(talk);
	service_put(talk->lab, XDPLB_SERVICE_SNIFF);
	flow = established_row(talk);
	assert_non_null(flow);
	flow->splice = (struct xdplb_splice){ .protocol = XDPLB_PROTOCOL_TLS };
	for (int dir = 0; dir < XDPLB_DIRS; dir++)
		flow->half[dir].flags |= XDPLB_HALF_SPLICED;
}

static void a_spliced_flow_goes_on_until_its_client_begins_anew(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), anew = talk;
	struct said said;

	spliced(&talk);
	anew.client_seq += 0x30000000;
	syn_answered(&anew);
	talk_goes_on(&talk);
	anew.server_seq ^= 0x10000;
	assert_outcome(given(&anew, ACK, 0, &said), FORWARD_TX); /* who knows what that is */
	anew.server_seq ^= 0x10000;
	flow_count_check(lab, 1, 0);
	assert_outcome(given(&anew, ACK, 0, &said), SNIFF);
	assert_int_equal(said.meta.kind, XDPLB_META_OPENING);
	event_is(lab, XDPLB_EVENT_SNIFF_REPLACED, 1);
	flow_count_check(lab, 0, 0);
	assert_outcome(given(&anew, ACK, 11, &said), SNIFF);
	assert_int_equal(said.meta.kind, XDPLB_META_CLIENT);
}

static void a_late_copy_of_its_own_syn_harms_no_flow(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), copy = talk;
	struct said said;

	spliced(&talk);
	syn_answered(&copy);
	assert_outcome(given(&copy, ACK, 0, &said), FORWARD_TX);
	talk_goes_on(&talk);
	flow_count_check(lab, 1, 0);
}

/* ---- UDP */

static void a_datagram_without_a_flow_goes_to_the_worker(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct said said;

	for (uint16_t len = 0; len < 1400; len = (uint16_t)(len * 2 + 1)) {
		assert_outcome(given(&talk, 0, len, &said), SNIFF);
		assert_int_equal(said.meta.kind, XDPLB_META_DATAGRAM);
		assert_int_equal(said.meta.worker, OUR_ROW);
	}
	flow_count_check(lab, 0, 0);
	worker_gone(lab, OUR_ROW);
	assert_outcome(given(&talk, 0, 30, &said), DROP_NO_WORKER);
}

static void a_service_without_routes_knows_no_worker(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	service_put(lab, 0);
	talk_establish(&talk);
	talk_goes_on(&talk);
	service_put(lab, XDPLB_SERVICE_SNIFF); /* what is established stays */
	talk_goes_on(&talk);
}

/* ---- programs */

/* Another copy of the program, over the same maps, as a restarted daemon loads it. */
static struct xdplb_bpf *adopted(const struct lab *lab)
{
	struct xdplb_bpf *skel = xdplb_bpf__open();
	struct bpf_map *from, *to;

	assert_non_null(skel);
	bpf_object__for_each_map(from, lab->skel->obj) {
		to = bpf_object__find_map_by_name(skel->obj, bpf_map__name(from));
		if (!bpf_map__is_internal(from))
			assert_int_equal(bpf_map__reuse_fd(to, bpf_map__fd(from)), 0);
	}
	memcpy(skel->rodata, lab->skel->rodata, sizeof(*skel->rodata));
	assert_int_equal(xdplb_bpf__load(skel), 0);
	return skel;
}

static void a_program_goes_on_in_that_of_its_successor(void **state)
{
	struct lab *lab = *state, next = *lab;
	struct talk talk = talk_of(lab, 1), later = talk_of(&next, 2);

	next.skel = adopted(lab);
	opened(&talk); /* by the old one, which is attached for a moment longer */
	memcpy(next.outcomes, lab->outcomes, sizeof(next.outcomes));
	opened(&later);
	xdplb_bpf__destroy(next.skel);
	memcpy(lab->outcomes, next.outcomes, sizeof(next.outcomes));
	talk = talk_of(lab, 3); /* the map has its hold on the program */
	opened(&talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TCP(both_sides_of_a_pending_flow_go_to_its_worker),
		TCP(a_pending_flow_ends_with_its_worker),
		TCP(a_pending_flow_makes_room_for_another_connection),
		TCP(a_spliced_flow_goes_on_until_its_client_begins_anew),
		TCP(a_late_copy_of_its_own_syn_harms_no_flow),
		UDP(a_datagram_without_a_flow_goes_to_the_worker),
		TCP(a_service_without_routes_knows_no_worker),
		UDP(a_service_without_routes_knows_no_worker),
		TCP(a_program_goes_on_in_that_of_its_successor),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
