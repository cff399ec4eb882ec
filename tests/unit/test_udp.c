// SPDX-License-Identifier: GPL-2.0-only
/*
 * Held datagrams. The rules are played: a datagram of 'y' decides for the route,
 * of 'n' for none, anything else says MORE.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../bpf/packet.h"
#include "worker/udp.h"
#include "xdplb/rewrite.h"

#define MS 1000000ULL
#define POOL 7
#define POOL_DEFAULT 8
#define SERVICE 3
#define SENT_MAX 64

struct lab {
	bool v6;
	struct rule rule;
	struct rule_set set;
	struct rules rules;
	struct engine_stats stats;
	struct udp *udp;
	uint64_t now_ns;
	struct frame sent[SENT_MAX];
	uint32_t sent_by[SENT_MAX];
	unsigned sent_count, opened, pool, closed_by;
	unsigned events[XDPLB_EVENT_MAX];
	uint64_t packets, bytes; /* reported as forwarded */
	enum xdplb_outcome refuse; /* what OPEN is answered */
	char name[XDPLB_SPLICE_NAME + 1];
};

enum sniff_verdict rules_match(const struct rule_set *set, unsigned transport,
			       const struct sniff_piece *pieces, size_t count,
			       struct rule_match *match)
{
	assert_int_equal(transport, XDPLB_OVER_UDP);
	memset(match, 0, sizeof(*match));
	for (size_t i = 0; i < count; i++) {
		if (pieces[i].len && pieces[i].data[0] == 'y') {
			match->rule = set->rules;
			match->protocol = XDPLB_PROTOCOL_QUIC;
			strcpy(match->info.name, "a.name.longer.than.thirty-two.bytes.example");
			return SNIFF_YES;
		}
		if (pieces[i].len && pieces[i].data[0] == 'n')
			return SNIFF_NO;
	}
	return SNIFF_MORE;
}

const struct rule_set *rules_find(const struct rules *rules, uint32_t service)
{
	return rules->count && rules->sets->service == service ? rules->sets : NULL;
}

static struct end client_end(const struct lab *lab, unsigned i)
{
	return (struct end){ lab->v6 ? ip6(0xc0000000 + i) : ip4(0xcb007100 + i), 40000 };
}

static struct end vip_end(const struct lab *lab)
{
	return (struct end){ lab->v6 ? ip6(1) : ip4(0x0a4d6401), 443 };
}

static struct end backend_end(const struct lab *lab)
{
	return (struct end){ lab->v6 ? ip6(0xb0000001) : ip4(0x0a4d0215), 4433 };
}

static struct end nat_end(const struct lab *lab)
{
	return (struct end){ lab->v6 ? ip6(0xb0000099) : ip4(0x0a4d0201), 10001 };
}

static void world_send(void *ctx, uint32_t ifindex, const void *frame, size_t len)
{
	struct lab *lab = ctx;

	assert_true(lab->sent_count < SENT_MAX && len <= sizeof(lab->sent->data));
	memcpy(lab->sent[lab->sent_count].data, frame, len);
	lab->sent[lab->sent_count].len = (uint32_t)len;
	lab->sent_by[lab->sent_count++] = ifindex;
}

static void half_make(const struct lab *lab, struct xdplb_half *half)
{
	struct end from = client_end(lab, 0), to = vip_end(lab), new_from = nat_end(lab),
		   new_to = backend_end(lab);

	*half = (struct xdplb_half){
		.src = from.ip.w[3],
		.dst = to.ip.w[3],
		.new_src = new_from.ip.w[3],
		.new_dst = new_to.ip.w[3],
		.sport = to_be16(from.port),
		.dport = to_be16(to.port),
		.new_sport = to_be16(new_from.port),
		.new_dport = to_be16(new_to.port),
		.proto = IPPROTO_UDP,
	};
	for (int i = 0; lab->v6 && i < 3; i++) {
		half->src_hi[i] = from.ip.w[i];
		half->dst_hi[i] = to.ip.w[i];
		half->new_src_hi[i] = new_from.ip.w[i];
		half->new_dst_hi[i] = new_to.ip.w[i];
	}
	xdplb_half_diffs(half);
}

static bool world_command(void *ctx, struct xdplb_command *command, const void *frame, size_t len)
{
	struct lab *lab = ctx;

	command->result = XDPLB_CONTINUE;
	if (command->op == XDPLB_COMMAND_OPEN) {
		assert_non_null(frame);
		assert_true(len > ETH_HLEN);
		assert_int_equal(command->service, SERVICE);
		command->result = lab->refuse;
		lab->pool = command->pool;
		memcpy(lab->name, command->name, XDPLB_SPLICE_NAME);
		if (lab->refuse)
			return true;
		lab->opened++;
		command->backend = 5;
		command->nexthop = (struct xdplb_nexthop){ .ifindex = 12, .dst_mac = { 2, 5 } };
		half_make(lab, &command->half[XDPLB_TO_BACKEND]);
	}
	if (command->event < XDPLB_EVENT_MAX)
		lab->events[command->event]++;
	lab->packets += command->packets[XDPLB_TO_BACKEND];
	lab->bytes += command->bytes[XDPLB_TO_BACKEND];
	return true;
}

static const struct rules *world_rules(void *ctx)
{
	return &((struct lab *)ctx)->rules;
}

static const struct engine_ops ops = { world_send, world_command, world_rules };

static struct lab *lab_new(bool v6, uint32_t flows, size_t bytes)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	struct engine_env env = {
		.ops = &ops,
		.ctx = lab,
		.limits = { .datagram_flows = flows, .bytes = bytes },
		.stats = &lab->stats,
	};

	lab->v6 = v6;
	lab->rule = (struct rule){ .protocol = XDPLB_PROTOCOL_QUIC, .pool = POOL };
	lab->set = (struct rule_set){ .service = SERVICE,
				      .pool = POOL_DEFAULT,
				      .sniff_timeout_ms = 100,
				      .rules = &lab->rule,
				      .rule_count = 1 };
	lab->rules = (struct rules){ .sets = &lab->set, .count = 1 };
	lab->udp = udp_new(&env);
	assert_non_null(lab->udp);
	return lab;
}

static void lab_end(struct lab *lab)
{
	udp_free(lab->udp);
	assert_int_equal(lab->stats.datagram_flows, 0);
	assert_int_equal(lab->stats.bytes, 0);
	free(lab);
}

static struct frame datagram_make(const struct lab *lab, unsigned client, const char *said)
{
	struct shape shape = {
		.src = client_end(lab, client),
		.dst = vip_end(lab),
		.proto = IPPROTO_UDP,
		.ttl = 64,
		.len = (uint16_t)strlen(said),
	};
	struct frame frame = frame_make(&shape);
	uint8_t *l4 = (uint8_t *)frame_layer4(&frame);

	memcpy(l4 + 8, said, strlen(said));
	put16(l4 + 6, 0);
	layer4_check(&shape, frame.data + ETH_HLEN, l4, 8U + shape.len);
	return frame;
}

static void datagram_give(struct lab *lab, unsigned client, const char *said)
{
	struct xdplb_meta meta = { .kind = XDPLB_META_DATAGRAM, .service = SERVICE, .ifindex = 11 };
	struct frame frame = datagram_make(lab, client, said);
	_Alignas(8) uint8_t bytes[2 + FRAME_MAX]; /* an IP header begins a word */

	memcpy(bytes + 2, frame.data, frame.len);
	udp_packet(lab->udp, &meta, bytes + 2, frame.len, lab->now_ns);
}

static uint64_t time_pass(struct lab *lab, uint64_t ms)
{
	lab->now_ns += ms * MS;
	return udp_run(lab->udp, lab->now_ns);
}

/* What was sent as number @i is @said, rewritten for the backend and with right sums. */
static void sent_check(const struct lab *lab, unsigned i, const char *said)
{
	struct end from = nat_end(lab), to = backend_end(lab), src, dst;
	const struct frame *frame = &lab->sent[i];

	assert_true(i < lab->sent_count);
	src = frame_end(frame, true);
	dst = frame_end(frame, false);
	assert_true(end_equal(&src, &from));
	assert_true(end_equal(&dst, &to));
	assert_true(frame_sums_right(frame));
	assert_memory_equal(frame_layer4(frame) + 8, said, strlen(said));
	assert_int_equal(frame->data[1], 5);
	assert_int_equal(lab->sent_by[i], 12);
}

#define BOTH(test)                         \
	static void test##_4(void **state) \
	{                                  \
		(void)state;               \
		test(false);               \
	}                                  \
	static void test##_6(void **state) \
	{                                  \
		(void)state;               \
		test(true);                \
	}

static void a_verdict_opens_the_flow_and_the_held_ones_follow_in_order(bool v6)
{
	struct lab *lab = lab_new(v6, 16, 1 << 20);

	datagram_give(lab, 0, "m-one");
	datagram_give(lab, 0, "m-two");
	assert_int_equal(lab->sent_count, 0);
	assert_int_equal(lab->stats.datagram_flows, 1);
	datagram_give(lab, 0, "y-three");
	assert_int_equal(lab->sent_count, 3);
	sent_check(lab, 0, "m-one");
	sent_check(lab, 1, "m-two");
	sent_check(lab, 2, "y-three");
	assert_int_equal(lab->pool, POOL);
	assert_string_equal(lab->name, "er.than.thirty-two.bytes.example");
	assert_int_equal(lab->events[XDPLB_EVENT_SNIFF_ROUTED], 1);
	assert_int_equal(lab->packets, 3);
	assert_int_equal(lab->bytes, 3U * (v6 ? 48 : 28) + 17);
	assert_int_equal(lab->stats.datagram_flows, 0);
	lab_end(lab);
}
BOTH(a_verdict_opens_the_flow_and_the_held_ones_follow_in_order)

static void what_comes_late_follows_and_then_nothing_is_left(bool v6)
{
	struct lab *lab = lab_new(v6, 16, 1 << 20);

	datagram_give(lab, 0, "y");
	datagram_give(lab, 0, "n-late");
	sent_check(lab, 1, "n-late");
	assert_int_equal(lab->stats.late, 1);
	assert_int_equal(lab->opened, 1);
	assert_int_equal(time_pass(lab, 1000), UINT64_MAX);
	lab_end(lab);
}
BOTH(what_comes_late_follows_and_then_nothing_is_left)

static void what_fits_nothing_goes_to_the_default_pool_or_nowhere(bool v6)
{
	struct lab *lab = lab_new(v6, 16, 1 << 20);

	datagram_give(lab, 0, "n");
	assert_int_equal(lab->pool, POOL_DEFAULT);
	assert_int_equal(lab->events[XDPLB_EVENT_SNIFF_DEFAULT], 1);
	lab->set.pool = RULES_NO_POOL;
	datagram_give(lab, 1, "n");
	assert_int_equal(lab->opened, 1);
	assert_int_equal(lab->sent_count, 1);
	assert_int_equal(lab->events[XDPLB_EVENT_SNIFF_REFUSED], 1);
	lab_end(lab);
}
BOTH(what_fits_nothing_goes_to_the_default_pool_or_nowhere)

static void silence_decides_and_each_datagram_begins_the_wait_anew_four_times(bool v6)
{
	struct lab *lab = lab_new(v6, 16, 1 << 20);

	datagram_give(lab, 0, "m");
	for (int i = 0; i < 3; i++) {
		time_pass(lab, 90);
		datagram_give(lab, 0, "m");
	}
	time_pass(lab, 90);
	datagram_give(lab, 0, "m"); /* the fifth: waited for no longer */
	assert_int_equal(lab->opened, 0);
	time_pass(lab, 10);
	assert_int_equal(lab->opened, 1);
	assert_int_equal(lab->pool, POOL_DEFAULT);
	assert_int_equal(lab->sent_count, 5);
	assert_int_equal(lab->events[XDPLB_EVENT_SNIFF_SILENT], 1);
	lab_end(lab);
}
BOTH(silence_decides_and_each_datagram_begins_the_wait_anew_four_times)

static void more_datagrams_than_may_be_held_decide(bool v6)
{
	struct lab *lab = lab_new(v6, 16, 1 << 20);

	for (int i = 0; i < SNIFF_DATAGRAMS_MAX; i++)
		datagram_give(lab, 0, "m");
	assert_int_equal(lab->opened, 1);
	assert_int_equal(lab->sent_count, SNIFF_DATAGRAMS_MAX);
	lab_end(lab);
}
BOTH(more_datagrams_than_may_be_held_decide)

static void the_oldest_flow_gives_its_place_when_there_are_too_many(bool v6)
{
	struct lab *lab = lab_new(v6, 4, 1 << 20);

	for (unsigned i = 0; i < 6; i++)
		datagram_give(lab, i, "m");
	assert_int_equal(lab->stats.datagram_flows, 4);
	assert_int_equal(lab->events[XDPLB_EVENT_SNIFF_EVICTED], 2);
	datagram_give(lab, 5, "y");
	assert_int_equal(lab->sent_count, 2);
	lab_end(lab);
}
BOTH(the_oldest_flow_gives_its_place_when_there_are_too_many)

static void held_bytes_are_bounded(bool v6)
{
	struct lab *lab = lab_new(v6, 1000, 400);

	for (unsigned i = 0; i < 20; i++) {
		datagram_give(lab, i, "m-and-some-more-bytes");
		assert_true(lab->stats.bytes <= 400);
	}
	assert_true(lab->events[XDPLB_EVENT_SNIFF_EVICTED] > 10);
	lab_end(lab);
}
BOTH(held_bytes_are_bounded)

static void without_a_backend_the_client_is_told(bool v6)
{
	struct end vip, client;
	struct lab *lab = lab_new(v6, 16, 1 << 20);

	lab->refuse = XDPLB_UNREACHABLE_NO_BACKEND;
	vip = vip_end(lab);
	client = client_end(lab, 0);
	datagram_give(lab, 0, "y");
	assert_int_equal(lab->sent_count, 1);
	assert_int_equal(lab->sent_by[0], 11);
	assert_int_equal(lab->events[XDPLB_EVENT_SNIFF_NO_BACKEND], 1);
	if (v6) {
		assert_int_equal(lab->sent->data[14 + 6], IPPROTO_ICMPV6);
		assert_memory_equal(lab->sent->data + 14 + 8, &vip.ip, 16);
		assert_memory_equal(lab->sent->data + 14 + 24, &client.ip, 16);
		assert_int_equal(get16(lab->sent->data + 14 + 40), 1 << 8 | 4);
	} else {
		assert_int_equal(lab->sent->data[14 + 9], IPPROTO_ICMP);
		assert_int_equal(
			sum_bytes(lab->sent->data + 14 + 20, lab->sent->len - 34, 0) % 0xffff, 0);
		assert_int_equal(get16(lab->sent->data + 14 + 20), 3 << 8 | 3);
	}
	lab_end(lab);
}
BOTH(without_a_backend_the_client_is_told)

static void other_rules_judge_what_is_held(bool v6)
{
	struct lab *lab = lab_new(v6, 16, 1 << 20);

	datagram_give(lab, 0, "m");
	lab->rules.count = 0; /* the service is no longer sniffed */
	udp_rules_changed(lab->udp, lab->now_ns);
	assert_int_equal(lab->stats.datagram_flows, 0);
	assert_int_equal(lab->events[XDPLB_EVENT_SNIFF_REFUSED], 1);
	lab_end(lab);
}
BOTH(other_rules_judge_what_is_held)

static void lengths_that_lie_are_dropped(bool v6)
{
	struct xdplb_meta meta = { .kind = XDPLB_META_DATAGRAM, .service = SERVICE, .ifindex = 11 };
	struct lab *lab = lab_new(v6, 16, 1 << 20);
	struct frame frame = datagram_make(lab, 0, "y-some-bytes");
	_Alignas(8) uint8_t bytes[2 + FRAME_MAX];

	for (uint32_t len = 0; len < frame.len; len++) {
		uint8_t *copy = malloc(2 + len); /* so that ASan sees its end */

		memcpy(copy + 2, frame.data, len);
		udp_packet(lab->udp, &meta, copy + 2, len, lab->now_ns);
		free(copy);
	}
	memcpy(bytes + 2, frame.data, frame.len);
	bytes[2 + (v6 ? 59 : 39)]++; /* UDP length */
	udp_packet(lab->udp, &meta, bytes + 2, frame.len, lab->now_ns);
	assert_int_equal(lab->stats.dropped, frame.len + 1);
	assert_int_equal(lab->opened, 0);
	lab_end(lab);
}
BOTH(lengths_that_lie_are_dropped)

#define TEST(name) cmocka_unit_test(name##_4), cmocka_unit_test(name##_6)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_verdict_opens_the_flow_and_the_held_ones_follow_in_order),
		TEST(what_comes_late_follows_and_then_nothing_is_left),
		TEST(what_fits_nothing_goes_to_the_default_pool_or_nowhere),
		TEST(silence_decides_and_each_datagram_begins_the_wait_anew_four_times),
		TEST(more_datagrams_than_may_be_held_decide),
		TEST(the_oldest_flow_gives_its_place_when_there_are_too_many),
		TEST(held_bytes_are_bounded),
		TEST(without_a_backend_the_client_is_told),
		TEST(other_rules_judge_what_is_held),
		TEST(lengths_that_lie_are_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
