// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the program costs, in ns per packet: every row is measured once a
 * round, beside the stub that is to be subtracted and the floor. Writes one
 * line of JSON for each row and target; statistics are made elsewhere.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <getopt.h>
#include <sys/resource.h>

#include "instance.h"
#include "xdplb/pkt.h"

#define THOUSAND (1U << 10)
#define MANY (1U << 16) /* 64 thousand: of the default table, 262144 */
#define MILLION (1U << 20)
#define DEFAULT_TABLE 262144U
#define LARGE_TABLE 4000000U
#define ROUNDS_MAX 64
#define REPEAT 200000U
#define REPEAT_FLOOR 500000U /* at a million flows; the program sees every flow */
#define DUET_NAME "two-cpus"
#define PROMOTION_NAME "promotion"
#define TURNOVER 65536U /* new flows before the timed ones: the ring is full */

struct row {
	const char *name;
	enum kind kind;
	bool reply, floor, empty;
	uint8_t tcp_flags;
	uint32_t flows, records; /* as shown; different packets, 0: as many */
	bool sniffed; /* in an instance whose TCP over IPv4 is */
	enum options options;
};

#define SPLICED(name_, reply_, flows_, options_)                                    \
	{                                                                           \
		.name = name_, .kind = KIND_TCP4, .reply = reply_, .flows = flows_, \
		.sniffed = true, .options = options_                                \
	}
#define OPENER(name_, tcp_flags_, flows_, options_)                                            \
	{                                                                                      \
		.name = name_, .kind = KIND_OPENER4, .tcp_flags = tcp_flags_, .flows = flows_, \
		.sniffed = true, .options = options_                                           \
	}

static const struct row rows[] = {
	{ "tcp4", KIND_TCP4, false, true, true, 0, 1, 0, false, OPTIONS_NONE },
	{ "tcp4", KIND_TCP4, false, true, false, 0, THOUSAND, 0, false, OPTIONS_NONE },
	{ "tcp4", KIND_TCP4, false, true, false, 0, MANY, 0, false, OPTIONS_NONE },
	{ "tcp4", KIND_TCP4, false, true, false, 0, MILLION, 0, false, OPTIONS_NONE },
	{ "reply4", KIND_TCP4, true, false, false, 0, 1, 0, false, OPTIONS_NONE },
	{ "reply4", KIND_TCP4, true, false, false, 0, THOUSAND, 0, false, OPTIONS_NONE },
	{ "reply4", KIND_TCP4, true, false, false, 0, MANY, 0, false, OPTIONS_NONE },
	{ "reply4", KIND_TCP4, true, false, false, 0, MILLION, 0, false, OPTIONS_NONE },
	SPLICED("splice4", false, 1, OPTIONS_NONE),
	SPLICED("splice4", false, THOUSAND, OPTIONS_NONE),
	SPLICED("splice4", false, MANY, OPTIONS_NONE),
	SPLICED("splice4", false, MILLION, OPTIONS_NONE),
	SPLICED("splice4-reply", true, 1, OPTIONS_NONE),
	SPLICED("splice4-reply", true, THOUSAND, OPTIONS_NONE),
	SPLICED("splice4-reply", true, MANY, OPTIONS_NONE),
	SPLICED("splice4-reply", true, MILLION, OPTIONS_NONE),
	SPLICED("splice4-sack", false, 1, OPTIONS_SACK),
	SPLICED("splice4-sack", false, MANY, OPTIONS_SACK),
	SPLICED("splice4-sack", false, MILLION, OPTIONS_SACK),
	{ "tcp6", KIND_TCP6, false, false, false, 0, 1, 0, false, OPTIONS_NONE },
	{ "tcp6", KIND_TCP6, false, false, false, 0, THOUSAND, 0, false, OPTIONS_NONE },
	{ "tcp6", KIND_TCP6, false, false, false, 0, MANY, 0, false, OPTIONS_NONE },
	{ "tcp6", KIND_TCP6, false, false, false, 0, MILLION, 0, false, OPTIONS_NONE },
	{ "udp4", KIND_UDP4, false, false, false, 0, 1, 0, false, OPTIONS_NONE },
	{ "udp4", KIND_UDP4, false, false, false, 0, THOUSAND, 0, false, OPTIONS_NONE },
	{ "udp4", KIND_UDP4, false, false, false, 0, MANY, 0, false, OPTIONS_NONE },
	{ "udp4", KIND_UDP4, false, false, false, 0, MILLION, 0, false, OPTIONS_NONE },
	{ "new4", KIND_SYN4, false, false, false, XDPLB_TCP_SYN, MANY, MILLION, false,
	  OPTIONS_NONE },
	{ "new4", KIND_SYN4, false, false, false, XDPLB_TCP_SYN, MILLION, MILLION, false,
	  OPTIONS_NONE },
	OPENER("cookie", XDPLB_TCP_SYN, 1, OPTIONS_SYN),
	OPENER("cookie", XDPLB_TCP_SYN, MANY, OPTIONS_SYN),
	OPENER("bad-cookie", XDPLB_TCP_ACK, 1, OPTIONS_NONE),
	OPENER("bad-cookie", XDPLB_TCP_ACK, MANY, OPTIONS_NONE),
	{ "foreign4", KIND_FOREIGN4, false, false, false, 0, 1, 0, false, OPTIONS_NONE },
	{ "foreign4", KIND_FOREIGN4, false, false, false, 0, MANY, 0, false, OPTIONS_NONE },
	{ "foreign4", KIND_FOREIGN4, false, false, false, 0, MILLION, 0, false, OPTIONS_NONE },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

struct measured {
	struct instance *instance;
	struct burst burst;
	uint32_t ns[TARGETS][ROUNDS_MAX];
};

static const char *const target_names[TARGETS] = { "stub", "empty", "floor", "xdplb" };

static void cpu_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("CPU %d is not to be had", cpu);
}

/* ---- one CPU */

static void row_measure(const struct row *row, struct measured *m, uint32_t round)
{
	bool million = row->flows == MILLION && row->kind != KIND_SYN4;
	uint32_t warm = row->kind == KIND_SYN4 ? TURNOVER : row->flows;

	m->ns[TARGET_STUB][round] = instance_run(m->instance, TARGET_STUB, &m->burst, REPEAT, 0);
	if (row->empty)
		m->ns[TARGET_EMPTY][round] =
			instance_run(m->instance, TARGET_EMPTY, &m->burst, REPEAT, 0);
	if (row->floor && !million)
		instance_run(m->instance, TARGET_FLOOR, &m->burst, warm, 0);
	if (row->floor)
		m->ns[TARGET_FLOOR][round] = instance_run(m->instance, TARGET_FLOOR, &m->burst,
							  million ? REPEAT_FLOOR : REPEAT, 0);
	instance_run(m->instance, TARGET_XDPLB, &m->burst, warm, 0);
	m->ns[TARGET_XDPLB][round] =
		instance_run(m->instance, TARGET_XDPLB, &m->burst, million ? MILLION : REPEAT, 0);
}

static void samples_print(const char *row, uint32_t flows, const char *target, const uint32_t *ns,
			  uint32_t count)
{
	printf("{\"row\": \"%s\", \"flows\": %u, \"target\": \"%s\", \"ns\": [", row, flows,
	       target);
	for (uint32_t i = 0; i < count; i++)
		printf("%s%u", i ? ", " : "", ns[i]);
	puts("]}");
}

static void row_print(const struct row *row, const struct measured *m, uint32_t rounds)
{
	for (int target = 0; target < TARGETS; target++)
		if (m->ns[target][0])
			samples_print(row->name, row->flows, target_names[target], m->ns[target],
				      rounds);
}

/* ---- two CPUs */

struct duet {
	struct instance *instance;
	struct burst burst[2];
	enum target target;
	uint32_t repeat;
	pthread_barrier_t barrier;
	uint32_t ns[2];
};

struct voice {
	struct duet *duet;
	int cpu;
};

static void *voice_run(void *arg)
{
	struct voice *voice = arg;
	struct duet *duet = voice->duet;

	cpu_pin(voice->cpu);
	pthread_barrier_wait(&duet->barrier);
	/* Twice: the second one begins while the other CPU is surely at work. */
	instance_run(duet->instance, duet->target, &duet->burst[voice->cpu], duet->repeat / 4,
		     voice->cpu);
	duet->ns[voice->cpu] = instance_run(duet->instance, duet->target, &duet->burst[voice->cpu],
					    duet->repeat, voice->cpu);
	instance_run(duet->instance, duet->target, &duet->burst[voice->cpu], duet->repeat / 4,
		     voice->cpu);
	return NULL;
}

static void duet_run(struct duet *duet, uint32_t voices, int first)
{
	struct voice voice[2] = { { duet, first }, { duet, 1 } };
	pthread_t thread[2];

	pthread_barrier_init(&duet->barrier, NULL, voices);
	for (uint32_t i = 0; i < voices; i++)
		if (pthread_create(&thread[i], NULL, voice_run, &voice[i]))
			die("no thread");
	for (uint32_t i = 0; i < voices; i++)
		pthread_join(thread[i], NULL);
	pthread_barrier_destroy(&duet->barrier);
}

static const char *const duet_names[] = { "alone0", "alone1", "both0", "both1" };

struct duet_row {
	struct duet duet;
	uint32_t flows;
	uint32_t ns[TARGETS][4][ROUNDS_MAX];
};

static void duet_measure(struct duet_row *row, uint32_t round)
{
	struct duet *duet = &row->duet;

	for (enum target target = 0; target < TARGETS; target++) {
		if (target != TARGET_STUB && target != TARGET_XDPLB)
			continue;
		duet->target = target;
		for (int cpu = 0; cpu < 2; cpu++) {
			duet_run(duet, 1, cpu);
			row->ns[target][cpu][round] = duet->ns[cpu];
		}
		duet_run(duet, 2, 0);
		row->ns[target][2][round] = duet->ns[0];
		row->ns[target][3][round] = duet->ns[1];
	}
}

static void duet_prepare(struct duet_row *row, struct instance *instance, uint32_t flows)
{
	struct burst burst = { .kind = KIND_TCP4, .count = flows };

	instance_records(instance, &burst);
	row->flows = flows;
	row->duet.instance = instance;
	row->duet.repeat = 2 * REPEAT;
	for (uint32_t i = 0; i < 2; i++) {
		row->duet.burst[i] = burst;
		row->duet.burst[i].first += i * (flows / 2);
		row->duet.burst[i].count /= 2;
	}
}

static void duet_print(const struct duet_row *row, uint32_t rounds)
{
	for (int target = 0; target < TARGETS; target++)
		for (int i = 0; i < 4 && row->ns[target][0][0]; i++) {
			char name[32];

			snprintf(name, sizeof(name), "%s_%s", target_names[target], duet_names[i]);
			samples_print(DUET_NAME, row->flows, name, row->ns[target][i], rounds);
		}
}

/* ---- all of it */

static void seedings_print(const struct instance *instance, uint32_t flows)
{
	uint32_t stub[ROUNDS_MAX], promote[ROUNDS_MAX], count;

	count = instance->seedings < ROUNDS_MAX ? instance->seedings : ROUNDS_MAX;
	for (uint32_t i = 0; i < count; i++) {
		stub[i] = instance->seeding[i].stub;
		promote[i] = instance->seeding[i].promote;
	}
	samples_print(PROMOTION_NAME, flows, "stub", stub, count);
	samples_print(PROMOTION_NAME, flows, "xdplb", promote, count);
}

/* As many flows whether sniffed or not: the index is as crowded. */
static struct instance *instance_make(uint32_t flow_table, uint32_t flows, bool sniffed)
{
	struct instance *instance = instance_open(flow_table, flows, sniffed);

	for (enum kind kind = 0; kind < KINDS_SEEDED; kind++) {
		if (sniffed && kind == KIND_TCP4)
			instance_splice(instance);
		else
			instance_seed(instance, kind);
	}
	return instance;
}

/* What the command line asks for. */
struct wanted {
	uint32_t rounds;
	const char *row; /* NULL: all */
	uint32_t flows; /* 0: all */
};

static bool is_wanted(const struct wanted *wanted, const char *row, uint32_t flows)
{
	return (!wanted->row || !strcmp(wanted->row, row)) &&
	       (!wanted->flows || wanted->flows == flows);
}

struct bench {
	struct instance *instance[2][2]; /* [large][sniffed]; NULL unless it is needed */
	struct measured rows[ROWS];
	struct duet_row duets[2];
};

static struct instance *bench_instance(struct bench *bench, bool large, bool sniffed)
{
	struct instance **instance = &bench->instance[large][sniffed];

	if (!*instance)
		*instance = large ? instance_make(LARGE_TABLE, MILLION, sniffed) :
				    instance_make(DEFAULT_TABLE, MANY, sniffed);
	return *instance;
}

static void bench_prepare(struct bench *bench, const struct wanted *wanted)
{
	for (size_t i = 0; i < ROWS; i++) {
		const struct row *row = &rows[i];
		struct measured *m = &bench->rows[i];

		if (!is_wanted(wanted, row->name, row->flows))
			continue;
		m->instance = bench_instance(bench, row->flows == MILLION, row->sniffed);
		m->burst = (struct burst){ row->kind,
					   row->reply,
					   row->tcp_flags,
					   0,
					   row->records ? row->records : row->flows,
					   row->options };
		instance_records(m->instance, &m->burst);
	}
	for (int large = 0; large < 2; large++) {
		uint32_t flows = large ? MILLION : MANY;

		if (is_wanted(wanted, DUET_NAME, flows))
			duet_prepare(&bench->duets[large], bench_instance(bench, large, false),
				     flows);
		if (is_wanted(wanted, PROMOTION_NAME, flows))
			bench_instance(bench, large, false);
	}
}

static void bench_measure(struct bench *bench, uint32_t rounds)
{
	for (uint32_t round = 0; round < rounds; round++) {
		for (size_t i = 0; i < ROWS; i++)
			if (bench->rows[i].instance)
				row_measure(&rows[i], &bench->rows[i], round);
		for (int i = 0; i < 2; i++)
			if (bench->duets[i].flows)
				duet_measure(&bench->duets[i], round);
	}
}

static void bench_print(const struct bench *bench, const struct wanted *wanted)
{
	for (size_t i = 0; i < ROWS; i++)
		row_print(&rows[i], &bench->rows[i], wanted->rounds);
	if (is_wanted(wanted, PROMOTION_NAME, MANY))
		seedings_print(bench->instance[0][0], MANY);
	if (is_wanted(wanted, PROMOTION_NAME, MILLION))
		seedings_print(bench->instance[1][0], MILLION);
	for (int i = 0; i < 2; i++)
		duet_print(&bench->duets[i], wanted->rounds);
}

/* "ROW" or "ROW:FLOWS" */
static void wanted_parse(struct wanted *wanted, char *word)
{
	char *colon = strchr(word, ':');

	if (colon) {
		*colon = '\0';
		wanted->flows = (uint32_t)strtoul(colon + 1, NULL, 10);
	}
	wanted->row = word;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "rounds", required_argument, NULL, 'r' },
		{ "only", required_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 },
	};
	static struct bench bench;
	struct wanted wanted = { .rounds = 10 };
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'r') {
			wanted.rounds = (uint32_t)strtoul(optarg, NULL, 10);
		} else if (option == 'o') {
			wanted_parse(&wanted, optarg);
		} else {
			fputs("usage: bench-cost [--rounds N] [--only ROW[:FLOWS]]\n", stderr);
			return 2;
		}
	}
	if (!wanted.rounds || wanted.rounds > ROUNDS_MAX)
		die("--rounds is from 1 to %d", ROUNDS_MAX);
	setpriority(PRIO_PROCESS, 0, -20);
	cpu_pin(0);
	bench_prepare(&bench, &wanted);
	bench_measure(&bench, wanted.rounds);
	bench_print(&bench, &wanted);
	for (int i = 0; i < 4; i++)
		if (bench.instance[i / 2][i % 2])
			instance_close(bench.instance[i / 2][i % 2]);
	return 0;
}
