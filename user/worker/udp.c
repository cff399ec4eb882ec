// SPDX-License-Identifier: GPL-2.0-only
#include "worker/udp.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "worker/icmp.h"
#include "worker/timers.h"
#include "xdplb/pkt.h"
#include "xdplb/rewrite.h"

#define BUCKETS 4096
#define FOLLOW_NS 1000000000U /* XDP's queue to us is empty long before */
#define WAITS_MAX 4 /* times that sniff_timeout starts again */
#define NS_PER_MS 1000000U
#define IP_ALIGN 2 /* in front of a frame, and its IP header begins a word */

/* A flow that is undecided, or was opened a moment ago. */
struct flow {
	struct timer timer; /* first: timers give it back */
	struct flow *chain; /* of the bucket */
	struct flow *older, *newer; /* among the undecided */
	struct xdplb_tuple tuple;
	uint32_t service, ifindex;
	uint8_t waits;
	bool open; /* has its backend: half and nexthop hold */
	uint8_t held; /* datagrams, as frames that came */
	uint8_t *memory[SNIFF_DATAGRAMS_MAX]; /* frame_of() is in it */
	uint16_t len[SNIFF_DATAGRAMS_MAX];
	struct xdplb_half half;
	struct xdplb_nexthop nexthop;
};

struct udp {
	struct engine_env env;
	struct timers timers;
	__u64 key[4];
	struct flow *oldest, *newest; /* undecided */
	struct flow *bucket[BUCKETS];
};

struct udp *udp_new(const struct engine_env *env)
{
	struct udp *udp = calloc(1, sizeof(*udp));
	const uint8_t *random =
		(const uint8_t *)getauxval(AT_RANDOM); /* 16 bytes of the kernel's */

	if (!udp)
		return NULL;
	udp->env = *env;
	if (random) {
		memcpy(udp->key, random, 16);
		memcpy(udp->key + 2, random, 16);
	}
	return udp;
}

static uint8_t *frame_of(const struct flow *flow, int datagram)
{
	return flow->memory[datagram] + IP_ALIGN;
}

static struct flow **bucket_of(struct udp *udp, const struct xdplb_tuple *tuple)
{
	return &udp->bucket[xdplb_flow_hash(udp->key, tuple) % BUCKETS];
}

static struct flow *flow_find(struct udp *udp, const struct xdplb_tuple *tuple)
{
	struct flow *flow = *bucket_of(udp, tuple);

	while (flow && memcmp(&flow->tuple, tuple, sizeof(*tuple)) != 0)
		flow = flow->chain;
	return flow;
}

/* ---- undecided ones, oldest first */

static void undecided_add(struct udp *udp, struct flow *flow)
{
	flow->older = udp->newest;
	*(udp->newest ? &udp->newest->newer : &udp->oldest) = flow;
	udp->newest = flow;
	udp->env.stats->datagram_flows++;
}

static void undecided_remove(struct udp *udp, struct flow *flow)
{
	*(flow->older ? &flow->older->newer : &udp->oldest) = flow->newer;
	*(flow->newer ? &flow->newer->older : &udp->newest) = flow->older;
	flow->older = flow->newer = NULL;
	udp->env.stats->datagram_flows--;
}

static void held_free(struct udp *udp, struct flow *flow)
{
	for (int i = 0; i < flow->held; i++) {
		udp->env.stats->bytes -= flow->len[i];
		free(flow->memory[i]);
	}
	flow->held = 0;
}

static void flow_free(struct udp *udp, struct flow *flow)
{
	struct flow **at = bucket_of(udp, &flow->tuple);

	while (*at != flow)
		at = &(*at)->chain;
	*at = flow->chain;
	timers_end(&udp->timers, &flow->timer);
	held_free(udp, flow);
	if (!flow->open)
		undecided_remove(udp, flow);
	free(flow);
}

void udp_free(struct udp *udp)
{
	if (!udp)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (udp->bucket[i])
			flow_free(udp, udp->bucket[i]);
	timers_free(&udp->timers);
	free(udp);
}

static struct flow *flow_new(struct udp *udp, const struct xdplb_tuple *tuple,
			     const struct xdplb_meta *meta)
{
	struct flow **bucket = bucket_of(udp, tuple), *flow = calloc(1, sizeof(*flow));

	if (!flow)
		return NULL;
	flow->tuple = *tuple;
	flow->service = meta->service;
	flow->ifindex = meta->ifindex;
	flow->chain = *bucket;
	*bucket = flow;
	undecided_add(udp, flow);
	return flow;
}

/* ---- what became of it */

static bool command_run(struct udp *udp, struct xdplb_command *command, const uint8_t *frame,
			size_t len)
{
	udp->env.stats->commands++;
	return udp->env.ops->command(udp->env.ctx, command, frame, len);
}

static void event_report(struct udp *udp, const struct flow *flow, uint32_t event,
			 uint32_t protocol)
{
	struct xdplb_command command = {
		.op = XDPLB_COMMAND_COUNT,
		.event = event,
		.service = flow->service,
		.protocol = protocol,
	};

	command_run(udp, &command, NULL, 0);
}

static void datagram_send(struct udp *udp, const struct flow *flow, uint8_t *frame, size_t len)
{
	struct xdplb_pkt pkt;

	if (xdplb_pkt_parse(frame, frame + len, &pkt))
		return;
	xdplb_pkt_rewrite(&pkt, &flow->half);
	memcpy(pkt.eth->h_dest, flow->nexthop.dst_mac, ETH_ALEN);
	memcpy(pkt.eth->h_source, flow->nexthop.src_mac, ETH_ALEN);
	udp->env.ops->send(udp->env.ctx, flow->nexthop.ifindex, frame, len);
	udp->env.stats->packets_out++;
}

/* Counts what we forward in XDP's stead. */
static void traffic_report(struct udp *udp, const struct flow *flow, uint32_t backend,
			   uint32_t packets, size_t bytes)
{
	struct xdplb_command command = {
		.op = XDPLB_COMMAND_COUNT,
		.event = XDPLB_NO_EVENT,
		.service = flow->service,
		.protocol = XDPLB_PROTOCOL_MAX,
		.backend = backend,
		.packets[XDPLB_TO_BACKEND] = packets,
		.bytes[XDPLB_TO_BACKEND] = (uint32_t)bytes,
	};

	command_run(udp, &command, NULL, 0);
}

static void open_fill(struct xdplb_command *command, const struct udp *udp, const struct flow *flow,
		      const struct rule_set *set, const struct rule_match *match)
{
	size_t len = strlen(match->info.name), cut = 0;

	*command = (struct xdplb_command){
		.op = XDPLB_COMMAND_OPEN,
		.service = flow->service,
		.pool = match->rule ? match->rule->pool : set->pool,
		.idle_ticks = match->rule && match->rule->idle_ticks ? match->rule->idle_ticks :
								       set->idle_ticks_udp,
		.ifindex = flow->ifindex,
		.flags = set->keep_address ? XDPLB_COMMAND_KEEP_ADDRESS : 0,
		.protocol = match->protocol,
		.worker = udp->env.worker,
	};
	if (len > sizeof(command->name))
		cut = len - sizeof(command->name);
	command->name_len = (uint32_t)len;
	memcpy(command->name, match->info.name + cut, len - cut);
}

/* Nobody takes it: as XDP does for services that are not sniffed, the client is told. */
static void flow_unreachable(struct udp *udp, const struct flow *flow)
{
	uint8_t answer[ICMP_FRAME_MAX];
	size_t len = icmp_unreachable_port(answer, frame_of(flow, 0), flow->len[0]);

	if (len) {
		udp->env.ops->send(udp->env.ctx, flow->ifindex, answer, len);
		udp->env.stats->packets_out++;
	}
}

/* Decided: makes the flow and sends on what was held. False: it is over. */
static bool flow_open(struct udp *udp, struct flow *flow, const struct rule_set *set,
		      const struct rule_match *match, uint32_t event, uint64_t now_ns)
{
	struct xdplb_command command;
	size_t bytes = 0;

	open_fill(&command, udp, flow, set, match);
	command.event = event;
	if (!command_run(udp, &command, frame_of(flow, 0), flow->len[0]) ||
	    command.result != XDPLB_CONTINUE) {
		event_report(udp, flow, XDPLB_EVENT_SNIFF_NO_BACKEND, XDPLB_PROTOCOL_MAX);
		flow_unreachable(udp, flow);
		return false;
	}
	undecided_remove(udp, flow);
	flow->open = true;
	flow->half = command.half[XDPLB_TO_BACKEND];
	flow->nexthop = command.nexthop;
	for (int i = 0; i < flow->held; i++) {
		bytes += flow->len[i] - ETH_HLEN;
		datagram_send(udp, flow, frame_of(flow, i), flow->len[i]);
	}
	traffic_report(udp, flow, command.backend, flow->held, bytes);
	held_free(udp, flow);
	return timers_set(&udp->timers, &flow->timer, now_ns + FOLLOW_NS);
}

/* No route: to the default pool, or to nobody. */
static bool flow_default(struct udp *udp, struct flow *flow, const struct rule_set *set,
			 const struct rule_match *match, uint32_t event, uint64_t now_ns)
{
	if (set->pool != RULES_NO_POOL)
		return flow_open(udp, flow, set, match, event, now_ns);
	event_report(udp, flow, XDPLB_EVENT_SNIFF_REFUSED, match->protocol);
	return false;
}

static enum sniff_verdict flow_match(const struct flow *flow, const struct rule_set *set,
				     struct rule_match *match)
{
	struct sniff_piece pieces[SNIFF_DATAGRAMS_MAX];
	struct xdplb_pkt pkt;

	for (int i = 0; i < flow->held; i++) {
		const uint8_t *end = frame_of(flow, i) + flow->len[i], *data;

		/* It was parsed when it came. */
		data = xdplb_pkt_parse(frame_of(flow, i), (void *)end, &pkt) ?
			       end :
			       (const uint8_t *)pkt.l4 + sizeof(struct udphdr);
		pieces[i].data = data;
		pieces[i].len = (size_t)(end - data);
	}
	*match = (struct rule_match){ 0 };
	return rules_match(set, XDPLB_OVER_UDP, pieces, flow->held, match);
}

/* False: the flow is over. */
static bool flow_judge(struct udp *udp, struct flow *flow, uint64_t now_ns)
{
	const struct rule_set *set = rules_find(udp->env.ops->rules(udp->env.ctx), flow->service);
	struct rule_match match;

	if (!set) {
		event_report(udp, flow, XDPLB_EVENT_SNIFF_REFUSED, XDPLB_PROTOCOL_MAX);
		return false;
	}
	switch (flow_match(flow, set, &match)) {
	case SNIFF_YES:
		return flow_open(udp, flow, set, &match, XDPLB_EVENT_SNIFF_ROUTED, now_ns);
	case SNIFF_NO:
		return flow_default(udp, flow, set, &match, XDPLB_EVENT_SNIFF_DEFAULT, now_ns);
	default:
		if (flow->held == SNIFF_DATAGRAMS_MAX)
			return flow_default(udp, flow, set, &match, XDPLB_EVENT_SNIFF_DEFAULT,
					    now_ns);
	}
	if (flow->waits >= WAITS_MAX)
		return true;
	flow->waits++;
	return timers_set(&udp->timers, &flow->timer,
			  now_ns + (uint64_t)set->sniff_timeout_ms * NS_PER_MS);
}

/* ---- bounds */

static void oldest_evict(struct udp *udp)
{
	event_report(udp, udp->oldest, XDPLB_EVENT_SNIFF_EVICTED, XDPLB_PROTOCOL_MAX);
	flow_free(udp, udp->oldest);
}

static bool datagram_hold(struct udp *udp, struct flow *flow, const uint8_t *frame, size_t len)
{
	uint8_t *copy = malloc(IP_ALIGN + len);

	if (!copy)
		return false;
	memcpy(copy + IP_ALIGN, frame, len);
	flow->memory[flow->held] = copy;
	flow->len[flow->held++] = (uint16_t)len;
	udp->env.stats->bytes += len;
	return true;
}

/* The bytes of the datagram alone: padding of short frames is nobody's. False: none of ours. */
static bool datagram_parse(uint8_t *frame, size_t *len, struct xdplb_pkt *pkt)
{
	size_t behind_ip;

	if (*len > UINT16_MAX || xdplb_pkt_parse(frame, frame + *len, pkt) ||
	    pkt->tuple.proto != IPPROTO_UDP || pkt->ip_len + ETH_HLEN > *len)
		return false;
	behind_ip = pkt->ip_len - pkt->l4_offset;
	if (from_be16(xdplb_pkt_udp(pkt)->len) != behind_ip)
		return false; /* RFC 768: no more and no less */
	*len = pkt->ip_len + ETH_HLEN;
	return true;
}

void udp_packet(struct udp *udp, const struct xdplb_meta *meta, uint8_t *frame, size_t len,
		uint64_t now_ns)
{
	struct engine_stats *stats = udp->env.stats;
	struct xdplb_pkt pkt;
	struct flow *flow;

	if (!datagram_parse(frame, &len, &pkt)) {
		stats->dropped++;
		return;
	}
	flow = flow_find(udp, &pkt.tuple);
	if (flow && flow->open) {
		stats->late++;
		datagram_send(udp, flow, frame, len);
		return;
	}
	while (udp->oldest && udp->oldest != flow &&
	       ((!flow && stats->datagram_flows >= udp->env.limits.datagram_flows) ||
		stats->bytes + len > udp->env.limits.bytes))
		oldest_evict(udp);
	if (!flow)
		flow = flow_new(udp, &pkt.tuple, meta);
	if (!flow || !datagram_hold(udp, flow, frame, len)) {
		stats->dropped++;
		return;
	}
	if (!flow_judge(udp, flow, now_ns))
		flow_free(udp, flow);
}

/* A timer is over: silence decides, or nothing came late any more. */
static void flow_due(struct udp *udp, struct flow *flow, uint64_t now_ns)
{
	const struct rule_set *set = rules_find(udp->env.ops->rules(udp->env.ctx), flow->service);
	struct rule_match match;

	if (flow->open || !set) {
		flow_free(udp, flow);
		return;
	}
	timers_end(&udp->timers, &flow->timer);
	flow_match(flow, set, &match);
	if (!flow_default(udp, flow, set, &match, XDPLB_EVENT_SNIFF_SILENT, now_ns))
		flow_free(udp, flow);
}

uint64_t udp_run(struct udp *udp, uint64_t now_ns)
{
	struct timer *timer;

	while ((timer = timers_due(&udp->timers, now_ns)))
		flow_due(udp, (struct flow *)timer, now_ns);
	return timers_next(&udp->timers);
}

void udp_rules_changed(struct udp *udp, uint64_t now_ns)
{
	struct flow *flow = udp->oldest, *next;

	for (; flow; flow = next) {
		next = flow->newer;
		if (!flow_judge(udp, flow, now_ns))
			flow_free(udp, flow);
	}
}
