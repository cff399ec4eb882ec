// SPDX-License-Identifier: GPL-2.0-only
/*
 * A sniffed service, and its flows as a worker makes them: by the commands OPEN
 * and SPLICE of the program `splice`, one client after the other.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/alloc.h"
#include "instance.h"
#include "xdplb/outcome.h"
#include "xdplb/pkt.h"
#include "xdplb/protocol.h"
#include "xdplb.skel.h"

#define LOOPBACK_IFINDEX 1 /* test runs come by it, by queue 0 */
#define FOREVER (1U << 30)
#define OUR_ISN 0x12345678U
#define BACKEND_ISN 500000U
#define CLIENT_ISN 1000U
#define WSCALE 7 /* what Linux says; so we promise it */
#define PROGRAM_SNIFF 0 /* row of programs */

struct ask {
	struct xdplb_command command;
	uint8_t frame[WRAP_HEADER];
};

void instance_sniff(struct instance *instance)
{
	const uint32_t row = 0, slot = 0, ifindex = LOOPBACK_IFINDEX, sniff = PROGRAM_SNIFF;
	struct xdplb_cookie_secrets secrets = { .current = 0 };
	const struct xdplb_bpf *xdplb = instance->xdplb;
	int program = bpf_program__fd(xdplb->progs.sniff);

	if (getrandom(secrets.key, sizeof(secrets.key), 0) != (ssize_t)sizeof(secrets.key))
		die("getrandom: %s", strerror(errno));
	instance->worker = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (instance->worker < 0)
		die("AF_XDP: %s", strerror(errno));
	instance_row_write(xdplb->maps.programs, &sniff, &program);
	instance_row_write(xdplb->maps.cookie_secrets, &row, &secrets);
	instance_row_write(xdplb->maps.worker_slots, &ifindex, &slot);
	instance_row_write(xdplb->maps.xsks, &slot, &instance->worker);
}

static void command_run(const struct instance *instance, struct ask *ask)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = ask, .data_size_in = sizeof(*ask),
		    .data_out = ask, .data_size_out = sizeof(*ask));
	int ret = bpf_prog_test_run_opts(bpf_program__fd(instance->xdplb->progs.splice), &run);

	if (ret)
		die("running splice: %s", strerror(-ret));
	if (run.retval != XDP_PASS || ask->command.result)
		die("command %u: outcome %u", ask->command.op, ask->command.result);
}

static void ask_open(struct ask *ask, const struct wrap_plan *plan,
		     const struct wrap_record *client)
{
	struct iphdr *ip = (struct iphdr *)(ask->frame + ETH_HLEN);
	struct tcphdr *tcp = (struct tcphdr *)(ip + 1);

	ask->command = (struct xdplb_command){
		.op = XDPLB_COMMAND_OPEN,
		.event = XDPLB_NO_EVENT,
		.idle_ticks = FOREVER,
		.ifindex = LOOPBACK_IFINDEX,
		.protocol = XDPLB_PROTOCOL_TLS,
	};
	memcpy(ask->frame, plan->header, sizeof(ask->frame));
	ip->saddr = client->src;
	ip->daddr = client->dst;
	tcp->source = client->sport;
	tcp->dest = client->dport;
}

static void ask_splice(struct ask *ask)
{
	struct xdplb_command *command = &ask->command;

	command->op = XDPLB_COMMAND_SPLICE;
	command->isn = OUR_ISN;
	command->backend_isn = BACKEND_ISN;
	command->client_seq_end = CLIENT_ISN + 1;
	command->backend_seq_end = BACKEND_ISN + 1;
	command->backend_mss = 1460;
	command->backend_wscale = command->our_wscale = WSCALE;
	command->flags = XDPLB_COMMAND_SACK;
}

void instance_splice(struct instance *instance)
{
	const struct burst open = { KIND_TCP4, false, XDPLB_TCP_SYN, 0, 1, OPTIONS_NONE };
	struct wrap_record *seen = xcalloc(instance->flows, sizeof(*seen));
	struct wrap_plan plan;
	struct ask ask;

	client_plan(&open, &plan);
	for (uint32_t i = 0; i < instance->flows; i++) {
		const struct xdplb_half *half = &ask.command.half[XDPLB_TO_CLIENT];
		struct wrap_record client = client_record(KIND_TCP4, i);

		ask_open(&ask, &plan, &client);
		command_run(instance, &ask);
		seen[i] = (struct wrap_record){
			.src = half->src,
			.dst = half->dst,
			.sport = half->sport,
			.dport = half->dport,
		};
		ask_splice(&ask);
		command_run(instance, &ask);
	}
	instance->seen[KIND_TCP4] = seen;
}
