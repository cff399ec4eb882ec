// SPDX-License-Identifier: GPL-2.0-only
/* Packets that are answered instead of forwarded: resets and ICMP unreachables. */
#include "talk.h"

static int load(void **state)
{
	(void)state;
	return lab_load(&the_lab, 64, 64) ? 0 : -1;
}

static void no_backends(const struct lab *lab)
{
	pool_range(lab, XDPLB_FIRST, 1, 0);
}

/* The reset that RFC 9293, 3.10.7.1 wants as the answer to @asked, as a whole frame. */
static void reset_check(const struct frame *answer, const struct shape *asked)
{
	struct shape wanted = {
		.src = asked->dst, .dst = asked->src, .proto = IPPROTO_TCP, .ttl = 64
	};
	struct frame all;

	memcpy(wanted.src_mac, asked->dst_mac, ETH_ALEN);
	memcpy(wanted.dst_mac, asked->src_mac, ETH_ALEN);
	if (asked->flags & ACK) {
		wanted.seq = asked->ack;
		wanted.flags = RST;
	} else {
		wanted.flags = RST | ACK;
		wanted.ack =
			asked->seq + asked->len + !!(asked->flags & SYN) + !!(asked->flags & FIN);
	}
	all = frame_make(&wanted);
	put16(all.data + ETH_HLEN + 20 + (frame_is_v6(&all) ? 20 : 0) + 14, 0); /* no window */
	assert_int_equal(answer->len, all.len);
	assert_true(frame_sums_right(answer));
	for (uint32_t i = 0; i < all.len; i++) {
		uint32_t in_ip4 = frame_is_v6(&all) ? 0 : i - ETH_HLEN, in_tcp = i - (all.len - 20);

		if (in_ip4 == 4 || in_ip4 == 5 || in_ip4 == 10 || in_ip4 == 11 || in_tcp == 16 ||
		    in_tcp == 17)
			continue; /* id and checksums, which were checked */
		assert_int_equal(answer->data[i], all.data[i]);
	}
}

static void reset_expect(struct lab *lab, const struct shape *asked, enum xdplb_outcome wanted)
{
	struct frame frame = frame_make(asked);

	assert_int_equal(frame_run(lab, &frame), wanted);
	reset_check(&frame, asked);
}

static void a_segment_without_a_flow_is_answered_with_a_reset(void **state)
{
	static const uint8_t flags[] = { ACK, ACK | PSH, FIN | ACK, SYN | ACK, FIN, 0, FIN | PSH };
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	for (uint32_t i = 0; i < sizeof(flags); i++) {
		for (uint16_t len = 0; len < 1400; len = (uint16_t)(len * 2 + 1)) {
			struct shape asked = client_shape(&talk, flags[i], len);

			reset_expect(lab, &asked, XDPLB_RESET_NO_FLOW);
			asked.tcp_options = 12;
			asked.ip_options = lab->v6 ? 0 : 8;
			asked.padding = len < 6 ? 6 : 0;
			reset_expect(lab, &asked, XDPLB_RESET_NO_FLOW);
		}
	}
	flow_count_check(lab, 0, 0);
}

static void a_reset_without_a_flow_is_answered_with_nothing(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	assert_outcome(client_says(&talk, RST, 0), DROP_NO_FLOW);
	assert_outcome(client_says(&talk, RST | ACK, 0), DROP_NO_FLOW);
	assert_outcome(client_says(&talk, RST | SYN, 0), DROP_NO_FLOW);
	flow_count_check(lab, 0, 0);
}

static void without_a_backend_a_syn_is_answered_with_a_reset(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct shape asked;

	no_backends(lab);
	asked = client_shape(&talk, SYN, 0);
	asked.tcp_options = 20;
	reset_expect(lab, &asked, XDPLB_RESET_NO_BACKEND);
	asked = client_shape(&talk, SYN, 11); /* data counts, and so does SYN */
	reset_expect(lab, &asked, XDPLB_RESET_NO_BACKEND);
	asked = client_shape(&talk, SYN | FIN, 0); /* opens nothing, so no backend is asked for */
	reset_expect(lab, &asked, XDPLB_RESET_NO_FLOW);
	flow_count_check(lab, 0, 0);
	assert_int_equal(stats_sum(lab->skel->maps.service_stats, SERVICE_ID).connections, 0);
}

static void a_pool_without_a_table_has_no_backend(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	uint32_t row = POOL_ID * XDPLB_FAMILIES + lab->v6;

	bpf_map_delete_elem(map_fd(lab->skel->maps.tables), &row);
	assert_int_equal(client_says(&talk, SYN, 1), lab->proto == IPPROTO_TCP ?
							     XDPLB_RESET_NO_BACKEND :
							     XDPLB_UNREACHABLE_NO_BACKEND);
}

static void a_table_of_a_backend_that_is_gone_has_none(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	backend_set(lab, 9, 0);
	pool_range(lab, XDPLB_FIRST, 9, 9);
	assert_int_equal(client_says(&talk, SYN, 1), lab->proto == IPPROTO_TCP ?
							     XDPLB_RESET_NO_BACKEND :
							     XDPLB_UNREACHABLE_NO_BACKEND);
	flow_count_check(lab, 0, 0);
}

static void a_service_without_a_pool_has_no_backend(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct xdplb_service service = { .id = SERVICE_ID, .pool = LAB_POOLS + 5 };
	struct shape asked = client_shape(&talk, SYN, 1);

	service_set(lab, &asked.dst, lab->proto, &service);
	assert_int_equal(client_says(&talk, SYN, 1), lab->proto == IPPROTO_TCP ?
							     XDPLB_RESET_NO_BACKEND :
							     XDPLB_UNREACHABLE_NO_BACKEND);
}

/* RFC 792 and RFC 4443, 3.1: port unreachable, quoting the packet that could not be delivered. */
static void unreachable_check(const struct frame *answer, const struct frame *asked, bool v6)
{
	const uint8_t *ip = answer->data + ETH_HLEN, *icmp = ip + (v6 ? 40 : 20);
	uint32_t headers = v6 ? 40 : (asked->data[ETH_HLEN] & 15U) * 4;
	uint32_t len = 8 + headers + 8;

	assert_int_equal(answer->len, ETH_HLEN + (v6 ? 40 : 20) + len);
	assert_memory_equal(answer->data, asked->data + ETH_ALEN, ETH_ALEN);
	assert_memory_equal(answer->data + ETH_ALEN, asked->data, ETH_ALEN);
	assert_int_equal(get16(answer->data + 12), get16(asked->data + 12));
	assert_int_equal(frame_ip_len(answer), (v6 ? 40 : 20) + len);
	if (v6) {
		assert_int_equal(ip[0], 0x60);
		assert_int_equal(ip[6], IPPROTO_ICMPV6);
		assert_int_equal(ip[7], 64);
		assert_memory_equal(ip + 8, asked->data + ETH_HLEN + 24, 16);
		assert_memory_equal(ip + 24, asked->data + ETH_HLEN + 8, 16);
		assert_int_equal(sum_layer4(ip, icmp, len, IPPROTO_ICMPV6), 0xffff);
		assert_int_equal(icmp[0], 1);
		assert_int_equal(icmp[1], 4);
	} else {
		assert_int_equal(ip[0], 0x45);
		assert_int_equal(ip[9], IPPROTO_ICMP);
		assert_int_equal(ip[8], 64);
		assert_memory_equal(ip + 12, asked->data + ETH_HLEN + 16, 4);
		assert_memory_equal(ip + 16, asked->data + ETH_HLEN + 12, 4);
		assert_int_equal(sum_bytes(ip, 20, 0), 0xffff);
		assert_int_equal(sum_bytes(icmp, len, 0), 0xffff);
		assert_int_equal(icmp[0], 3);
		assert_int_equal(icmp[1], 3);
	}
	assert_int_equal(get32(icmp + 4), 0);
	assert_memory_equal(icmp + 8, asked->data + ETH_HLEN, headers + 8);
}

static void without_a_backend_udp_is_answered_with_unreachable(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	no_backends(lab);
	for (uint16_t len = 0; len <= 1400; len = (uint16_t)(len * 2 + 1)) {
		for (uint8_t options = 0; options <= (lab->v6 ? 0 : 40); options += 4) {
			struct shape asked = client_shape(&talk, 0, len);
			struct frame before, frame;

			asked.ip_options = options;
			asked.padding = len < 18 ? (uint8_t)(18 - len) : 0;
			before = frame_make(&asked);
			frame = before;
			assert_outcome(frame_run(lab, &frame), UNREACHABLE_NO_BACKEND);
			unreachable_check(&frame, &before, lab->v6);
		}
	}
	flow_count_check(lab, 0, 0);
}

static void answers_to_frames_of_many_pages_fit(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct shape asked = client_shape(&talk, ACK, 8900);
	struct frame before = frame_make(&asked), frame = before;

	if (lab->proto == IPPROTO_TCP) {
		reset_expect(lab, &asked, XDPLB_RESET_NO_FLOW);
		return;
	}
	no_backends(lab);
	assert_outcome(frame_run(lab, &frame), UNREACHABLE_NO_BACKEND);
	unreachable_check(&frame, &before, lab->v6);
}

static void too_many_answers_are_not_sent(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct shape asked = client_shape(&talk, SYN, 1);
	const struct frame frame = frame_make(&asked);
	uint32_t answered = 0, action = XDP_TX;

	no_backends(lab);
	for (; action == XDP_TX && answered < 100000; answered++) {
		struct frame copy = frame;

		action = frame_run_raw(lab, &copy);
	}
	assert_int_equal(action, XDP_DROP);
	assert_in_range(answered, 1000, 99999); /* a burst goes through, and 5000 a second */
	assert_int_equal(outcome_count(lab, XDPLB_DROP_ANSWER_LIMITED), 1);
	usleep(20000);
	for (uint32_t row = 0; row < XDPLB_OUTCOME_MAX; row++)
		lab->outcomes[row] = outcome_count(lab, row);
	assert_int_not_equal(client_says(&talk, SYN, 1), XDPLB_DROP_ANSWER_LIMITED);
}

static struct xdplb_addr ip6_words(uint32_t first, uint32_t last)
{
	return (struct xdplb_addr){ .w = { to_be32(first), 0, 0, to_be32(last) } };
}

static void nobody_is_answered_at_an_address_that_nobody_has(void **state)
{
	static const uint32_t v4[] = { 0, 0x00010203, 0x7f000001, 0xe0000001, 0xffffffff };
	const struct xdplb_addr v6[] = { ip6_words(0, 0), ip6_words(0, 1),
					 ip6_words(0xff020000, 1) };
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	for (size_t i = 0; i < (lab->v6 ? sizeof(v6) / sizeof(v6[0]) : sizeof(v4) / sizeof(v4[0]));
	     i++) {
		talk.client.ip = lab->v6 ? v6[i] : ip4(v4[i]);
		assert_outcome(client_says(&talk, SYN, 0), DROP_MARTIAN);
	}
	flow_count_check(lab, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TCP(a_segment_without_a_flow_is_answered_with_a_reset),
		TCP(a_reset_without_a_flow_is_answered_with_nothing),
		TCP(without_a_backend_a_syn_is_answered_with_a_reset),
		ALL(a_pool_without_a_table_has_no_backend),
		ALL(a_table_of_a_backend_that_is_gone_has_none),
		ALL(a_service_without_a_pool_has_no_backend),
		UDP(without_a_backend_udp_is_answered_with_unreachable),
		ALL(answers_to_frames_of_many_pages_fit),
		ALL(too_many_answers_are_not_sent),
		ALL(nobody_is_answered_at_an_address_that_nobody_has),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
