// SPDX-License-Identifier: GPL-2.0-only
/*
 * Spliced flows, and the program by which workers make them: what it answers,
 * and that packets of both sides are translated to the last byte.
 */
#include "joined.h"

#define FLOW_ROWS 64
#define EMBRYO_ROWS 64

static int load(void **state)
{
	(void)state;
	return lab_load(&the_lab, FLOW_ROWS, EMBRYO_ROWS) ? 0 : -1;
}

/* ---- commands */

static void a_worker_opens_a_flow_and_is_told_where_it_goes(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);
	struct xdplb_flow *flow;

	joined_open(&joined);
	flow_count_check(lab, 0, 1);
	flow = embryo_row(&joined.talk);
	assert_non_null(flow);
	assert_int_equal(joined.order.command.backend, server_id(&joined.talk));
	assert_in_range(joined.order.command.backend, 1, 4);
	assert_int_equal(flow->splice.worker, WORKER);
	assert_int_equal(flow->splice.conn, joined.talk.client.port);
	for (int dir = 0; dir < XDPLB_DIRS; dir++) {
		assert_true(flow->half[dir].flags & XDPLB_HALF_WORKER);
		assert_memory_equal(&joined.order.command.half[dir], &flow->half[dir],
				    offsetof(struct xdplb_half, state));
	}
}

static void joined_packets_are_translated(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);

	joined_establish(&joined);
	flow_count_check(lab, 1, 0);
	for (int i = 0; i < 5; i++)
		joined_go_on(&joined);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TCP(a_worker_opens_a_flow_and_is_told_where_it_goes),
		TCP(joined_packets_are_translated),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
