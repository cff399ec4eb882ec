// SPDX-License-Identifier: GPL-2.0-only
/* Sniffed services: SYN cookies, and the connections that they open. */
#include "sniffed.h"

/* ---- SYN-ACKs */

/* The whole of a SYN-ACK that offers @options, but for the cookie. */
static void syn_ack_check(const struct talk *talk, const struct frame *frame,
			  const uint8_t *options, uint8_t size)
{
	struct shape wanted = { .src = talk->vip,
				.dst = talk->client,
				.proto = IPPROTO_TCP,
				.ttl = 64,
				.flags = SYN | ACK,
				.seq = get32(frame_layer4(frame) + 4),
				.ack = talk->client_seq + 1,
				.tcp_options = size };
	struct frame all;
	uint8_t *ip, *l4;

	memcpy(wanted.src_mac, our_mac, ETH_ALEN);
	memcpy(wanted.dst_mac, talk->client_mac, ETH_ALEN);
	all = frame_make(&wanted);
	ip = all.data + ETH_HLEN;
	l4 = (uint8_t *)frame_layer4(&all);
	put16(l4 + 14, 16384);
	memcpy(l4 + 20, options, size);
	put16(l4 + 16, 0);
	layer4_check(&wanted, ip, l4, 20U + size);
	if (!talk->lab->v6) { /* no id: RFC 6864, 4.1 */
		put16(ip + 4, 0);
		put16(ip + 10, 0);
		put16(ip + 10, ~sum_bytes(ip, 20, 0));
	}
	assert_int_equal(frame->len, all.len);
	assert_memory_equal(frame->data, all.data, all.len);
}

#define BYTES(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })
#define OURS(v6) (v6) ? 1340 >> 8 : 1360 >> 8, (v6) ? 1340 & 255 : 1360 & 255

struct expected {
	uint16_t mss;
	uint8_t wscale, sack, our_wscale;
};

/* A SYN with these options is answered with those, and the worker is told of the former. */
static void exchange(struct talk *talk, const uint8_t *options, uint8_t size, const uint8_t *answer,
		     uint8_t answer_size, struct expected expected)
{
	struct frame frame = syn_frame(talk, options, size);
	struct said said;

	assert_outcome(frame_run(talk->lab, &frame), ANSWER_COOKIE);
	syn_ack_check(talk, &frame, answer, answer_size);
	talk->server_seq = get32(frame_layer4(&frame) + 4) + 1;
	talk->client_seq++;
	assert_outcome(given(talk, ACK, 0, &said), SNIFF);
	assert_int_equal(said.meta.kind, XDPLB_META_OPENING);
	assert_int_equal(said.meta.isn, talk->server_seq - 1);
	assert_int_equal(said.meta.client_isn, talk->client_seq - 1);
	assert_int_equal(said.meta.worker, OUR_ROW);
	assert_int_equal(said.meta.conn, 0);
	assert_int_equal(said.meta.mss, expected.mss);
	assert_int_equal(said.meta.wscale, expected.wscale);
	assert_int_equal(said.meta.sack, expected.sack);
	assert_int_equal(said.meta.our_wscale, expected.our_wscale);
}

static void a_syn_is_answered_as_its_options_permit(void **state)
{
	struct lab *lab = *state;
	uint16_t silent = lab->v6 ? 1220 : 536;
	struct talk talk = talk_of(lab, 1);

	exchange(&talk, NULL, 0, BYTES(2, 4, OURS(lab->v6)),
		 (struct expected){ silent, 15, 0, 15 });
	talk = talk_of(lab, 2); /* as Linux has it */
	exchange(&talk, BYTES(2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7),
		 BYTES(2, 4, OURS(lab->v6), 1, 1, 4, 2, 1, 3, 3, 7),
		 (struct expected){ 1460, 7, 1, 7 });
	talk = talk_of(lab, 3);
	exchange(&talk, BYTES(2, 4, 0x04, 0xc4, 1, 3, 3, 200), /* RFC 7323, 2.3: as 14 */
		 BYTES(2, 4, OURS(lab->v6), 1, 3, 3, 7), (struct expected){ 1220, 14, 0, 7 });
	talk = talk_of(lab, 4);
	exchange(&talk, BYTES(4, 2, 2, 4, 0x23, 0x00, 0, 0), /* jumbo frames */
		 BYTES(2, 4, OURS(lab->v6), 1, 1, 4, 2), (struct expected){ 8940, 15, 1, 15 });
}

static void options_that_make_no_sense_end_the_list(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	uint16_t silent = lab->v6 ? 1220 : 536;

	exchange(&talk, BYTES(4, 2, 3, 0, 2, 4, 0x05, 0xb4), /* length 0 */
		 BYTES(2, 4, OURS(lab->v6), 1, 1, 4, 2), (struct expected){ silent, 15, 1, 15 });
	talk = talk_of(lab, 2);
	exchange(&talk, BYTES(2, 4, 0x05, 0xb4, 1, 1, 3, 3), /* it ends behind the header */
		 BYTES(2, 4, OURS(lab->v6)), (struct expected){ 1460, 15, 0, 15 });
	talk = talk_of(lab, 3);
	exchange(&talk, BYTES(4, 2, 0, 3, 3, 7, 0, 0), /* behind the end of the list */
		 BYTES(2, 4, OURS(lab->v6), 1, 1, 4, 2), (struct expected){ silent, 15, 1, 15 });
	talk = talk_of(lab, 4);
	exchange(&talk,
		 BYTES(2, 3, 9, 3, 4, 7, 1, 4, 3, 0, 254, 40), /* lengths that aren't theirs */
		 BYTES(2, 4, OURS(lab->v6)), (struct expected){ silent, 15, 0, 15 });
	talk = talk_of(lab, 5);
	exchange(&talk,
		 BYTES(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		       1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 0),
		 BYTES(2, 4, OURS(lab->v6), 1, 3, 3, 7), (struct expected){ silent, 0, 0, 7 });
}

static void no_more_is_offered_than_the_backends_can(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct xdplb_offer offer = { .mss = { 1300, 1250 }, .wscale = 6, .sack = 0, .known = 3 };
	uint16_t mss = lab->v6 ? 1250 : 1300;

	row_put(lab->skel->maps.sniff_offers, SERVICE_ID, &offer);
	exchange(&talk, BYTES(2, 4, 0x05, 0xa0, 4, 2, 1, 1, 1, 3, 3, 9),
		 BYTES(2, 4, (uint8_t)(mss >> 8), (uint8_t)mss, 1, 3, 3, 4),
		 (struct expected){ 1440, 9, 0, 4 });
	offer = (struct xdplb_offer){ .wscale = 15, .sack = 1, .known = 3 };
	row_put(lab->skel->maps.sniff_offers, SERVICE_ID, &offer);
	talk = talk_of(lab, 2);
	exchange(&talk, BYTES(2, 4, 0x05, 0xa0, 4, 2, 1, 1, 1, 3, 3, 9),
		 BYTES(2, 4, OURS(lab->v6), 1, 1, 4, 2), (struct expected){ 1440, 15, 1, 15 });
	offer = (struct xdplb_offer){ .wscale = 14, .sack = 1, .known = 1 };
	row_put(lab->skel->maps.sniff_offers, SERVICE_ID, &offer);
	talk = talk_of(lab, 3);
	exchange(&talk, BYTES(3, 3, 1, 1), BYTES(2, 4, OURS(lab->v6), 1, 3, 3, 9),
		 (struct expected){ lab->v6 ? 1220 : 536, 1, 0, 9 });
}

static void a_syn_of_any_form_is_answered(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	for (uint16_t len = 0; len < 1400; len = (uint16_t)(len * 2 + 1)) {
		struct shape shape = client_shape(&talk, SYN | PSH, len);
		struct frame frame;

		shape.padding = len ? 0 : 6;
		shape.ip_options = lab->v6 ? 0 : 40;
		shape.tcp_options = 40;
		frame = frame_make(&shape);
		assert_outcome(frame_run(lab, &frame), ANSWER_COOKIE);
		syn_ack_check(&talk, &frame, BYTES(2, 4, OURS(lab->v6)));
	}
}

static void a_flood_of_syns_touches_no_table(void **state)
{
	struct lab *lab = *state;

	default_pool_none(lab); /* with one, a few are noted: test_handshakes */
	for (uint32_t n = 0; n < 3000; n++) {
		struct talk talk = talk_of(lab, n);

		syn_answered(&talk);
	}
	assert_int_equal(rows_count(lab), 0);
	assert_int_equal(keys_count(lab->skel->maps.handshakes), 0);
	flow_count_check(lab, 0, 0);
}

static void a_syn_from_nowhere_is_not_answered(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	talk.extra.ttl = 1;
	assert_outcome(client_says(&talk, SYN, 0), DROP_TTL_EXPIRED);
	talk.extra.ttl = 64;
	talk.client.ip = lab->v6 ? (struct xdplb_addr){ .w = { 0 } } : ip4(0x7f000001);
	assert_outcome(client_says(&talk, SYN, 0), DROP_MARTIAN);
}

/* ---- cookies that come back */

static void a_connection_goes_on_at_its_worker(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct said first = opened(&talk), said;
	struct xdplb_sniff row;

	assert_true(row_of(&talk, &row));
	assert_int_equal(row.isn, first.meta.isn);
	assert_int_equal(row.client_isn, first.meta.client_isn);
	assert_int_equal(row.worker, OUR_ROW);
	for (uint16_t len = 0; len < 8900; len = (uint16_t)(len * 2 + 1)) {
		assert_outcome(given(&talk, ACK | PSH, len, &said), SNIFF);
		assert_int_equal(said.meta.kind, XDPLB_META_CLIENT);
		assert_int_equal(said.meta.isn, first.meta.isn);
		assert_int_equal(said.meta.client_isn, first.meta.client_isn);
		assert_int_equal(said.meta.mss, first.meta.mss);
		assert_int_equal(said.meta.our_wscale, first.meta.our_wscale);
		talk.client_seq += len;
	}
	assert_outcome(given(&talk, FIN | ACK, 0, &said), SNIFF);
	assert_outcome(given(&talk, RST, 0, &said), SNIFF);
	assert_int_equal(said.meta.kind, XDPLB_META_CLIENT);
	assert_int_equal(rows_count(lab), 1);
	flow_count_check(lab, 0, 0);
}

static void numbers_far_off_are_not_the_connections(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct said said;
	uint32_t isn;

	opened(&talk);
	isn = talk.client_seq - 1;
	talk.client_seq = isn + 65536;
	assert_outcome(given(&talk, ACK, 1, &said), SNIFF);
	talk.client_seq = isn + 65537;
	assert_outcome(given(&talk, ACK, 1, &said), RESET_BAD_COOKIE);
	talk.client_seq = isn - 1;
	assert_outcome(given(&talk, ACK, 1, &said), RESET_BAD_COOKIE);
	talk.client_seq = isn + 1;
	talk.server_seq--;
	assert_outcome(given(&talk, ACK, 1, &said), RESET_BAD_COOKIE);
	talk.server_seq += 65536;
	assert_outcome(given(&talk, ACK, 1, &said), SNIFF);
	talk.server_seq++;
	assert_outcome(given(&talk, ACK, 1, &said), RESET_BAD_COOKIE);
}

static void where_the_ack_is_lost_data_brings_the_cookie(void **state)
{
	struct talk talk = talk_of(*state, 1);
	struct said said;

	syn_answered(&talk);
	assert_outcome(given(&talk, ACK | PSH | FIN, 517, &said), SNIFF);
	assert_int_equal(said.meta.kind, XDPLB_META_OPENING);
}

static void what_overtakes_the_cookie_is_not_refused(void **state)
{
	struct talk talk = talk_of(*state, 1);
	struct said said;

	syn_answered(&talk);
	talk.client_seq += 517;
	assert_outcome(given(&talk, ACK | PSH, 100, &said), DROP_SNIFF_EARLY);
	talk.server_seq ^= 1U << 31; /* but of no cookie of its addresses and ports */
	assert_outcome(given(&talk, ACK | PSH, 100, &said), RESET_BAD_COOKIE);
	talk.server_seq ^= 1U << 31;
	assert_outcome(given(&talk, ACK, 0, &said),
		       RESET_BAD_COOKIE); /* says nothing to be repeated */
	talk.client_seq -= 517;
	assert_outcome(given(&talk, ACK | PSH, 517, &said), SNIFF);
	assert_int_equal(said.meta.kind, XDPLB_META_OPENING);
}

static void a_forged_cookie_is_refused(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), other;
	uint32_t right;
	struct said said;

	syn_answered(&talk);
	right = talk.server_seq;
	for (uint32_t bit = 0; bit < 32; bit++) {
		talk.server_seq = ((right - 1) ^ 1U << bit) + 1;
		assert_outcome(given(&talk, ACK, 0, &said), RESET_BAD_COOKIE);
	}
	talk.server_seq = right;
	talk.client_seq++;
	assert_outcome(given(&talk, ACK, 0, &said), RESET_BAD_COOKIE);
	talk.client_seq--;
	other = talk;
	other.client.port++;
	assert_outcome(given(&other, ACK, 0, &said), RESET_BAD_COOKIE);
	assert_outcome(given(&talk, 0, 5, &said), RESET_BAD_COOKIE);
	assert_outcome(given(&talk, SYN | ACK, 0, &said), RESET_BAD_COOKIE);
	assert_outcome(given(&talk, RST, 0, &said), DROP_NO_FLOW);
	assert_int_equal(rows_count(lab), 0);
	assert_outcome(given(&talk, ACK, 0, &said), SNIFF);
}

static struct xdplb_tuple tuple_of(const struct talk *talk)
{
	struct xdplb_tuple tuple = { .src = talk->client.ip.w[3],
				     .dst = talk->vip.ip.w[3],
				     .sport = to_be16(talk->client.port),
				     .dport = to_be16(talk->vip.port),
				     .proto = IPPROTO_TCP,
				     .v6 = talk->lab->v6 };

	for (int i = 0; i < 3 && talk->lab->v6; i++) {
		tuple.src_hi[i] = talk->client.ip.w[i];
		tuple.dst_hi[i] = talk->vip.ip.w[i];
	}
	return tuple;
}

/* As if the client's handshake had been @ticks of the cookie's clock ago. */
static enum xdplb_outcome ack_after(struct talk *talk, int64_t ticks)
{
	struct xdplb_cookie_options options = { .mss = 1460, .wscale = 7, .our_wscale = 7 };
	struct xdplb_tuple tuple = tuple_of(talk);
	struct xdplb_cookie_secrets secrets;
	struct timespec now;
	struct said said;
	uint64_t ns;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	if ((ns >> 33) != ((ns + 200000000) >> 33))
		usleep(300000); /* the tick is about to change */
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	row_get(talk->lab->skel->maps.cookie_secrets, 0, &secrets);
	talk->server_seq = 1 + xdplb_cookie_make(&secrets, &tuple, talk->client_seq - 1,
						 ns - ((uint64_t)ticks << 33), &options);
	return given(talk, ACK, 0, &said);
}

static void a_cookie_lives_for_its_tick_and_the_next(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	assert_outcome(ack_after(&talk, 0), SNIFF);
	talk = talk_of(lab, 2);
	assert_outcome(ack_after(&talk, 1), SNIFF);
	talk = talk_of(lab, 3);
	for (int64_t ticks = 2; ticks < 70; ticks++)
		assert_outcome(ack_after(&talk, ticks), RESET_BAD_COOKIE);
	assert_outcome(ack_after(&talk, 1024), RESET_BAD_COOKIE);
	assert_outcome(ack_after(&talk, -1), RESET_BAD_COOKIE); /* nobody has the future's */
}

static void the_previous_secret_is_still_good(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), other = talk_of(lab, 2);
	struct said said;

	syn_answered(&talk);
	syn_answered(&other);
	secrets_set(lab, 0x1122334455667788, 0x9999, 1);
	assert_outcome(given(&talk, ACK, 0, &said), SNIFF);
	secrets_set(lab, 0x7777, 0x9999, 0);
	assert_outcome(given(&other, ACK, 0, &said), RESET_BAD_COOKIE);
	other = talk_of(lab, 3);
	opened(&other);
}

/* ---- one after the other */

static void a_connection_begun_anew_replaces_the_old(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), anew = talk;
	struct said said, first = opened(&talk);
	struct xdplb_sniff row;

	anew.client_seq += 0x10000000;
	syn_answered(&anew);
	assert_true(row_of(&talk, &row));
	assert_int_equal(row.isn, first.meta.isn); /* a SYN alone proves nothing */
	assert_outcome(given(&talk, ACK, 5, &said), SNIFF);
	assert_int_equal(said.meta.kind, XDPLB_META_CLIENT);
	event_is(lab, XDPLB_EVENT_SNIFF_REPLACED, 0);
	assert_outcome(given(&anew, ACK, 0, &said), SNIFF);
	assert_int_equal(said.meta.kind, XDPLB_META_OPENING);
	assert_int_equal(said.meta.isn, anew.server_seq - 1);
	event_is(lab, XDPLB_EVENT_SNIFF_REPLACED, 1);
	assert_int_equal(rows_count(lab), 1);
}

static void a_packet_that_came_by_another_queue_goes_to_its_owner(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct xdplb_sniff_key key = key_of(&talk);
	struct xdplb_sniff row;
	struct said said;

	opened(&talk);
	assert_true(row_of(&talk, &row));
	row.worker = OTHER_ROW;
	bpf_map_update_elem(map_fd(lab->skel->maps.sniffs), &key, &row, BPF_ANY);
	assert_outcome(given(&talk, ACK, 9, &said), SNIFF);
	assert_int_equal(said.meta.worker, OTHER_ROW);
	worker_gone(lab, OTHER_ROW); /* what it knew is lost; the handshake's data begins again */
	assert_outcome(given(&talk, ACK, 9, &said), SNIFF);
	assert_int_equal(said.meta.kind, XDPLB_META_OPENING);
	assert_int_equal(said.meta.worker, OUR_ROW);
}

static void where_the_table_is_full_a_new_one_is_reset(void **state)
{
	static struct xdplb_sniff_key keys[XDPLB_MAX_SNIFFS];
	static struct xdplb_sniff rows[XDPLB_MAX_SNIFFS];
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	uint32_t count = XDPLB_MAX_SNIFFS;
	struct said said;

	for (uint32_t i = 0; i < count; i++)
		keys[i].src.w[0] = i + 1;
	assert_int_equal(
		bpf_map_update_batch(map_fd(lab->skel->maps.sniffs), keys, rows, &count, NULL), 0);
	syn_answered(&talk);
	assert_outcome(given(&talk, ACK, 0, &said), RESET_SNIFFS_FULL);
	assert_int_equal(bpf_map_delete_batch(map_fd(lab->skel->maps.sniffs), keys, &count, NULL),
			 0);
	assert_outcome(given(&talk, ACK, 0, &said), SNIFF);
}

static void without_a_worker_nothing_is_answered(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	worker_gone(lab, OUR_ROW);
	assert_outcome(client_says(&talk, SYN, 0), DROP_NO_WORKER);
	assert_outcome(client_says(&talk, ACK, 0), DROP_NO_WORKER);
}

static void forgotten_are_those_that_began_long_ago(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), young = talk_of(lab, 2);
	uint32_t data[16] = { 1000 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = sizeof(data),
		    .data_out = data, .data_size_out = sizeof(data), .repeat = 1);
	struct xdplb_sniff_key key = key_of(&talk);
	struct xdplb_sniff row;

	opened(&talk);
	opened(&young);
	assert_true(row_of(&talk, &row));
	row.born_tick -= 1010;
	bpf_map_update_elem(map_fd(lab->skel->maps.sniffs), &key, &row, BPF_ANY);
	assert_int_equal(
		bpf_prog_test_run_opts(bpf_program__fd(lab->skel->progs.sweep_sniffs), &opts), 0);
	assert_int_equal(opts.retval, XDP_PASS);
	assert_int_equal(data[2], 1);
	assert_false(row_of(&talk, &row));
	assert_true(row_of(&young, &row));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TCP(a_syn_is_answered_as_its_options_permit),
		TCP(options_that_make_no_sense_end_the_list),
		TCP(no_more_is_offered_than_the_backends_can),
		TCP(a_syn_of_any_form_is_answered),
		TCP(a_flood_of_syns_touches_no_table),
		TCP(a_syn_from_nowhere_is_not_answered),
		TCP(a_connection_goes_on_at_its_worker),
		TCP(numbers_far_off_are_not_the_connections),
		TCP(where_the_ack_is_lost_data_brings_the_cookie),
		TCP(what_overtakes_the_cookie_is_not_refused),
		TCP(a_forged_cookie_is_refused),
		TCP(a_cookie_lives_for_its_tick_and_the_next),
		TCP(the_previous_secret_is_still_good),
		TCP(a_connection_begun_anew_replaces_the_old),
		TCP(a_packet_that_came_by_another_queue_goes_to_its_owner),
		TCP(where_the_table_is_full_a_new_one_is_reset),
		TCP(without_a_worker_nothing_is_answered),
		TCP(forgotten_are_those_that_began_long_ago),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
