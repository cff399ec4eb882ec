// SPDX-License-Identifier: GPL-2.0-only
/* Sniffed services: SYN cookies, and what the worker is given. */
#include <sys/socket.h>

#include "talk.h"
#include "xdplb/cookie.h"

#ifndef AF_XDP
#define AF_XDP 44
#endif

#define SLOT 3 /* of the worker's interface */
#define OTHER_ROW (SLOT * XDPLB_QUEUES + 1) /* the worker behind another queue */
#define OUR_ROW (SLOT * XDPLB_QUEUES) /* test runs come by queue 0 */

static int the_socket = -1;

static int load(void **state)
{
	(void)state;
	the_socket = socket(AF_XDP, SOCK_RAW, 0);
	return the_socket >= 0 && lab_load(&the_lab, 64, 64) ? 0 : -1;
}

/* ---- the scene: its service is sniffed, a worker is there */

static void worker_set(const struct lab *lab, uint32_t row)
{
	row_put(lab->skel->maps.xsks, row, &the_socket);
}

static void worker_gone(const struct lab *lab, uint32_t row)
{
	bpf_map_delete_elem(map_fd(lab->skel->maps.xsks), &row);
}

static void secrets_set(const struct lab *lab, uint64_t a, uint64_t b, uint32_t current)
{
	struct xdplb_cookie_secrets secrets = { .key = { { a, ~a }, { b, ~b } },
						.current = current };

	row_put(lab->skel->maps.cookie_secrets, 0, &secrets);
}

static int scene(void **state)
{
	const uint32_t slot = SLOT, ifindex = LAB_IFINDEX;
	const struct xdplb_offer unknown = { .known = 0 };
	struct lab *lab = &the_lab;

	setup(state);
	service_put(lab, XDPLB_SERVICE_SNIFF);
	hash_clear(lab->skel->maps.sniffs);
	row_put(lab->skel->maps.sniff_offers, SERVICE_ID, &unknown);
	secrets_set(lab, 0x1122334455667788, 0xa1a2a3a4a5a6a7a8, 0);
	row_put(lab->skel->maps.worker_slots, ifindex, &slot);
	worker_set(lab, OUR_ROW);
	worker_set(lab, OTHER_ROW);
	return 0;
}

static void a_syn_is_answered_and_its_ack_opens(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct shape shape = client_shape(&talk, SYN, 0);
	struct frame frame = frame_make(&shape);
	struct xdplb_meta meta;

	assert_outcome(frame_run(lab, &frame), ANSWER_COOKIE);
	assert_true(frame_sums_right(&frame));
	talk.client_seq++;
	talk.server_seq = get32(frame_layer4(&frame) + 4) + 1;
	shape = client_shape(&talk, ACK, 0);
	frame = frame_make(&shape);
	assert_outcome(frame_run(lab, &frame), SNIFF);
	memcpy(&meta, frame.data, sizeof(meta));
	assert_int_equal(meta.kind, XDPLB_META_OPENING);
	assert_int_equal(meta.isn, talk.server_seq - 1);
	assert_int_equal(meta.mss, lab->v6 ? 1220 : 536);
}

static void without_a_worker_nothing_is_answered(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	worker_gone(lab, OUR_ROW);
	assert_outcome(client_says(&talk, SYN, 0), DROP_NO_WORKER);
	assert_outcome(client_says(&talk, ACK, 0), DROP_NO_WORKER);
}

#undef TCP4
#undef TCP6
#define TCP4(name) VARIANT(name, "TCP over IPv4", false, IPPROTO_TCP, scene, teardown)
#define TCP6(name) VARIANT(name, "TCP over IPv6", true, IPPROTO_TCP, scene, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TCP(a_syn_is_answered_and_its_ack_opens),
		TCP(without_a_worker_nothing_is_answered),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
