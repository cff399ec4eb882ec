// SPDX-License-Identifier: GPL-2.0-only
/* Two CPUs run the program at once, on packets of the same and of different flows. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "talk.h"

#define FLOW_ROWS 256
#define EMBRYO_ROWS 16384
#define ROUNDS 20000
#define CONVERSATIONS 4000 /* their embryos all fit, however long one of them has to wait */

static int load(void **state)
{
	(void)state;
	return lab_load(&the_lab, FLOW_ROWS, EMBRYO_ROWS) ? 0 : -1;
}

/* So many ports that none is used again by another client while a test runs. */
static int setup_wide(void **state)
{
	struct xdplb_addr addr;
	int ret = setup(state);

	addr = nat_addr(&the_lab, 0);
	nat_set(&the_lab, the_lab.v6, 1024, 39999, &addr, 1);
	return ret;
}

#define setup setup_wide

/* A packet to send, and what became of it. */
struct shot {
	const struct talk *talk;
	struct shape shape;
	struct frame frame;
	uint32_t action;
	bool from_client;
};

static struct shot shot_make(struct talk *talk, bool from_client, uint8_t flags, uint16_t len)
{
	struct shot shot = { .talk = talk, .from_client = from_client };
	uint32_t *seq = from_client ? &talk->client_seq : &talk->server_seq;

	shot.shape = from_client ? client_shape(talk, flags, len) : server_shape(talk, flags, len);
	shot.frame = frame_make(&shot.shape);
	*seq += len + !!(flags & SYN) + !!(flags & FIN);
	return shot;
}

static void shot_fire(const struct lab *lab, struct shot *shot)
{
	struct frame *frame = &shot->frame;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame->data, .data_size_in = frame->len,
		    .data_out = frame->data, .data_size_out = FRAME_MAX, .repeat = 1);

	shot->action = bpf_prog_test_run_opts(bpf_program__fd(lab->skel->progs.xdplb), &opts) ?
			       ~0U :
			       opts.retval;
	frame->len = opts.data_size_out;
}

/* It was sent on as its flow, and no other, would have it. */
static bool shot_landed(const struct shot *shot)
{
	struct shape wanted = shot->from_client ? forwarded_shape(shot->talk, &shot->shape) :
						  replied_shape(shot->talk, &shot->shape);
	struct frame all = frame_make(&wanted);

	return shot->action == XDP_TX && shot->frame.len == all.len &&
	       !memcmp(shot->frame.data, all.data, all.len);
}

static void talk_learn(struct talk *talk, const struct shot *shot)
{
	talk->nat = frame_end(&shot->frame, true);
	talk->server = frame_end(&shot->frame, false);
}

static bool shoot(struct lab *lab, struct talk *talk, bool from_client, uint8_t flags, uint16_t len)
{
	struct shot shot = shot_make(talk, from_client, flags, len);

	shot_fire(lab, &shot);
	if (!talk->server.port && shot.action == XDP_TX)
		talk_learn(talk, &shot);
	return shot_landed(&shot);
}

/* ---- the other CPU: it fires what it is handed, at the same moment as we */

struct rival {
	struct lab *lab;
	pthread_t thread;
	atomic_uint go, done;
	struct shot *shot;
	uint32_t delay;
};

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void wait_for(atomic_uint *word, uint32_t value)
{
	for (uint32_t spins = 0; atomic_load(word) != value; spins++)
		if (spins > 2000)
			sched_yield();
}

static void spin(uint32_t turns)
{
	for (volatile uint32_t i = 0; i < turns; i++)
		;
}

static void *rival_main(void *arg)
{
	struct rival *rival = arg;

	pin(1);
	for (uint32_t round = 1;; round++) {
		wait_for(&rival->go, round);
		if (!rival->shot)
			return NULL;
		spin(rival->delay);
		shot_fire(rival->lab, rival->shot);
		atomic_store(&rival->done, round);
	}
}

static void rival_start(struct rival *rival, struct lab *lab)
{
	*rival = (struct rival){ .lab = lab };
	pin(0);
	assert_int_equal(pthread_create(&rival->thread, NULL, rival_main, rival), 0);
}

static void rival_stop(struct rival *rival)
{
	rival->shot = NULL;
	atomic_fetch_add(&rival->go, 1);
	pthread_join(rival->thread, NULL);
}

static void both(struct rival *rival, struct shot *mine, struct shot *theirs)
{
	uint32_t round, delay = (uint32_t)random() % 400;

	rival->shot = theirs;
	rival->delay = (uint32_t)random() % 400;
	round = atomic_fetch_add(&rival->go, 1) + 1;
	spin(delay);
	shot_fire(rival->lab, mine);
	wait_for(&rival->done, round);
}

/* ---- the same flow */

static void one_first_packet_seen_twice_opens_one_flow(void **state)
{
	struct lab *lab = *state;
	struct rival rival;

	rival_start(&rival, lab);
	for (uint32_t n = 0; n < ROUNDS; n++) {
		struct talk talk = talk_of(lab, n);
		struct shot mine = shot_make(&talk, true, SYN, 3), theirs = mine;

		both(&rival, &mine, &theirs);
		talk_learn(&talk, &mine);
		assert_true(shot_landed(&mine) && shot_landed(&theirs));
		assert_true(shoot(lab, &talk, false, SYN | ACK, 3));
	}
	rival_stop(&rival);
	assert_int_equal(outcome_count(lab, XDPLB_DROP_BUSY), 0);
}

/* One packet promotes, the other finds the flow before, during or after. */
static void promotion_hides_the_flow_from_nobody(void **state)
{
	struct lab *lab = *state;
	bool tcp = lab->proto == IPPROTO_TCP;
	struct rival rival;

	rival_start(&rival, lab);
	for (uint32_t n = 0; n < ROUNDS; n++) {
		struct talk talk = talk_of(lab, n);
		struct shot mine, theirs;

		assert_true(shoot(lab, &talk, true, SYN, 3));
		if (tcp)
			assert_true(shoot(lab, &talk, false, SYN | ACK, 0));
		mine = shot_make(&talk, tcp, ACK, 5);
		theirs = shot_make(&talk, n & 1, ACK, 7);
		both(&rival, &mine, &theirs);
		assert_true(shot_landed(&mine) && shot_landed(&theirs));
		assert_true(shoot(lab, &talk, true, ACK, 5));
		assert_true(shoot(lab, &talk, false, ACK, 5));
		if (tcp) {
			assert_true(shoot(lab, &talk, true, RST, 0));
		} else {
			flow_age(established_row(&talk), IDLE_TICKS * 2);
			assert_int_equal(shoot(lab, &talk, false, 0, 1), false);
		}
	}
	rival_stop(&rival);
	assert_int_equal(event_count(lab, XDPLB_EVENT_PROMOTED), ROUNDS);
	assert_int_equal(outcome_count(lab, XDPLB_DROP_BUSY), 0);
}

static void closing_hides_the_flow_from_nobody(void **state)
{
	struct lab *lab = *state;
	struct rival rival;

	rival_start(&rival, lab);
	for (uint32_t n = 0; n < ROUNDS; n++) {
		struct talk talk = talk_of(lab, n);
		struct shot mine, theirs;

		assert_true(
			shoot(lab, &talk, true, SYN, 0) && shoot(lab, &talk, false, SYN | ACK, 0) &&
			shoot(lab, &talk, true, ACK, 0) && shoot(lab, &talk, true, FIN | ACK, 0) &&
			shoot(lab, &talk, false, FIN | ACK, 0));
		mine = shot_make(&talk, true, ACK, 0); /* the last acknowledgement */
		theirs = shot_make(&talk, n & 1, ACK, 0);
		both(&rival, &mine, &theirs);
		assert_true(shot_landed(&mine) && shot_landed(&theirs));
	}
	rival_stop(&rival);
	assert_int_equal(event_count(lab, XDPLB_EVENT_CLOSED), ROUNDS);
	assert_int_equal(gauges(lab).flows_used, 0);
	assert_int_equal(outcome_count(lab, XDPLB_DROP_BUSY), 0);
}

static void a_reset_against_data_leaves_one_flow(void **state)
{
	struct lab *lab = *state;
	struct rival rival;

	rival_start(&rival, lab);
	for (uint32_t n = 0; n < ROUNDS; n++) {
		struct talk talk = talk_of(lab, n);
		struct shot mine, theirs;

		assert_true(shoot(lab, &talk, true, SYN, 0) &&
			    shoot(lab, &talk, false, SYN | ACK, 0) &&
			    shoot(lab, &talk, true, ACK, 0));
		mine = shot_make(&talk, true, RST, 0);
		theirs = shot_make(&talk, false, ACK, 9); /* may revive it */
		both(&rival, &mine, &theirs);
		assert_true(shot_landed(&mine) && shot_landed(&theirs));
		if (established_row(&talk)) {
			flow_age(established_row(&talk), IDLE_TICKS * 2);
			assert_false(shoot(lab, &talk, false, ACK, 1));
		}
	}
	rival_stop(&rival);
	assert_int_equal(outcome_count(lab, XDPLB_DROP_BUSY), 0);
}

/* ---- different flows */

struct crowd {
	struct lab *lab;
	pthread_t thread;
	int cpu;
	uint32_t rounds;
	uint32_t lost, strayed; /* packets that found nothing; that went where they should not */
};

/* Opens, talks and closes, again and again, with clients of its own. */
static void *crowd_converse(void *arg)
{
	struct crowd *crowd = arg;
	bool tcp = crowd->lab->proto == IPPROTO_TCP;

	pin(crowd->cpu);
	for (uint32_t n = 0; n < crowd->rounds; n++) {
		struct talk talk = talk_of(crowd->lab, n * 2 + (uint32_t)crowd->cpu);
		uint32_t bad = 0;

		bad += !shoot(crowd->lab, &talk, true, SYN, 0);
		bad += !shoot(crowd->lab, &talk, false, SYN | ACK, 0);
		for (int i = 0; i < 4; i++) {
			bad += !shoot(crowd->lab, &talk, true, ACK, 10);
			bad += !shoot(crowd->lab, &talk, false, ACK, 20);
		}
		if (tcp) {
			bad += !shoot(crowd->lab, &talk, true, FIN | ACK, 0);
			bad += !shoot(crowd->lab, &talk, false, FIN | ACK, 0);
			bad += !shoot(crowd->lab, &talk, true, ACK, 0);
		}
		crowd->lost += bad;
	}
	return NULL;
}

/* Opens, and hears an answer or is told that its flow is gone; never another's. */
static void *crowd_flood(void *arg)
{
	struct crowd *crowd = arg;

	pin(crowd->cpu);
	for (uint32_t n = 0; n < crowd->rounds; n++) {
		struct talk talks[8];

		for (uint32_t i = 0; i < 8; i++) {
			talks[i] = talk_of(crowd->lab, (n * 8 + i) * 2 + (uint32_t)crowd->cpu);
			shoot(crowd->lab, &talks[i], true, SYN, 0);
		}
		for (uint32_t i = 0; i < 8; i++) {
			struct shot reply;

			if (!talks[i].server.port)
				continue; /* refused: no port, or too busy */
			reply = shot_make(&talks[i], false, SYN | ACK, 0);
			shot_fire(crowd->lab, &reply);
			if (reply.action != XDP_TX)
				crowd->lost++;
			else if (!shot_landed(&reply))
				crowd->strayed++;
		}
	}
	return NULL;
}

static void crowds_run(struct lab *lab, struct crowd crowds[2], void *(*body)(void *),
		       uint32_t rounds)
{
	for (int i = 0; i < 2; i++) {
		crowds[i] = (struct crowd){ .lab = lab, .cpu = i, .rounds = rounds };
		assert_int_equal(pthread_create(&crowds[i].thread, NULL, body, &crowds[i]), 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(crowds[i].thread, NULL);
}

static void flows_of_two_cpus_do_not_hinder_each_other(void **state)
{
	struct lab *lab = *state;
	struct crowd crowds[2];

	crowds_run(lab, crowds, crowd_converse,
		   lab->proto == IPPROTO_TCP ? CONVERSATIONS : FLOW_ROWS / 4);
	assert_int_equal(crowds[0].lost + crowds[1].lost, 0);
	assert_int_equal(outcome_count(lab, XDPLB_DROP_BUSY), 0);
}

static void a_flood_on_two_cpus_mixes_up_nobody(void **state)
{
	struct lab *lab = *state;
	struct crowd crowds[2];

	crowds_run(lab, crowds, crowd_flood, 5000);
	assert_int_equal(crowds[0].strayed + crowds[1].strayed, 0);
	lab_audit(lab);
}

/* Opens one flow after another and waits for nothing. */
static void *crowd_open(void *arg)
{
	struct crowd *crowd = arg;

	pin(crowd->cpu);
	for (uint32_t n = 0; n < crowd->rounds; n++) {
		struct talk talk = talk_of(crowd->lab, 100000 + n * 2 + (uint32_t)crowd->cpu);

		shoot(crowd->lab, &talk, true, SYN, 0);
	}
	return NULL;
}

static void a_storm_for_few_ports_gives_none_twice(void **state)
{
	struct lab *lab = *state;
	struct xdplb_addr addr = nat_addr(lab, 0);
	struct crowd crowds[2];

	pool_range(lab, XDPLB_FIRST, 1, 1);
	nat_set(lab, lab->v6, PORT_MIN, PORT_MIN + 7, &addr, 1);
	crowds_run(lab, crowds, crowd_open, 20000);
	assert_in_range(backend_state(lab, 1).ports_used, 7, 8);
	assert_in_range(event_count(lab, XDPLB_EVENT_RECLAIMED_PORT), 10000, 40000);
	lab_audit(lab);
}

static void live_flows_notice_nothing_of_a_flood(void **state)
{
	struct lab *lab = *state;
	struct crowd crowd = { .lab = lab, .cpu = 1, .rounds = 60000 };
	struct talk live[100];
	uint32_t bad = 0;

	for (uint32_t i = 0; i < 100; i++) {
		live[i] = talk_of(lab, i);
		talk_establish(&live[i]);
	}
	assert_int_equal(pthread_create(&crowd.thread, NULL, crowd_open, &crowd), 0);
	pin(0);
	for (uint32_t n = 0; n < 30000; n++) {
		bad += !shoot(lab, &live[n % 100], true, ACK, 10);
		bad += !shoot(lab, &live[n % 100], false, ACK, 10);
	}
	pthread_join(crowd.thread, NULL);
	assert_int_equal(bad, 0);
	assert_int_equal(gauges(lab).flows_used, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL(one_first_packet_seen_twice_opens_one_flow),
		ALL(promotion_hides_the_flow_from_nobody),
		TCP(closing_hides_the_flow_from_nobody),
		TCP(a_reset_against_data_leaves_one_flow),
		ALL(flows_of_two_cpus_do_not_hinder_each_other),
		ALL(a_flood_on_two_cpus_mixes_up_nobody),
		ALL(a_storm_for_few_ports_gives_none_twice),
		TCP(live_flows_notice_nothing_of_a_flood),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
