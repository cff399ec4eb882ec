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
#define ROUNDS_MAX 200
#define REPEAT 200000U
#define REPEAT_FLOOR 500000U /* at a million flows; the program sees every flow */
#define TURNOVER 65536U /* new flows before the timed ones: the ring is full */

struct row {
	const char *name;
	enum kind kind;
	bool reply, floor, empty;
	uint8_t tcp_flags;
	uint32_t flows, records; /* as shown; different packets, 0: as many */
};

static const struct row rows[] = {
	{ "tcp4", KIND_TCP4, false, true, true, 0, 1, 0 },
	{ "tcp4", KIND_TCP4, false, true, false, 0, THOUSAND, 0 },
	{ "tcp4", KIND_TCP4, false, true, false, 0, MANY, 0 },
	{ "tcp4", KIND_TCP4, false, true, false, 0, MILLION, 0 },
	{ "reply4", KIND_TCP4, true, false, false, 0, 1, 0 },
	{ "reply4", KIND_TCP4, true, false, false, 0, THOUSAND, 0 },
	{ "reply4", KIND_TCP4, true, false, false, 0, MANY, 0 },
	{ "reply4", KIND_TCP4, true, false, false, 0, MILLION, 0 },
	{ "tcp6", KIND_TCP6, false, false, false, 0, 1, 0 },
	{ "tcp6", KIND_TCP6, false, false, false, 0, THOUSAND, 0 },
	{ "tcp6", KIND_TCP6, false, false, false, 0, MANY, 0 },
	{ "tcp6", KIND_TCP6, false, false, false, 0, MILLION, 0 },
	{ "udp4", KIND_UDP4, false, false, false, 0, 1, 0 },
	{ "udp4", KIND_UDP4, false, false, false, 0, THOUSAND, 0 },
	{ "udp4", KIND_UDP4, false, false, false, 0, MANY, 0 },
	{ "udp4", KIND_UDP4, false, false, false, 0, MILLION, 0 },
	{ "new4", KIND_SYN4, false, false, false, XDPLB_TCP_SYN, MANY, MILLION },
	{ "new4", KIND_SYN4, false, false, false, XDPLB_TCP_SYN, MILLION, MILLION },
	{ "foreign4", KIND_FOREIGN4, false, false, false, 0, 1, 0 },
	{ "foreign4", KIND_FOREIGN4, false, false, false, 0, MANY, 0 },
	{ "foreign4", KIND_FOREIGN4, false, false, false, 0, MILLION, 0 },
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
	row->duet.repeat = 4 * REPEAT;
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
			samples_print("two-cpus", row->flows, name, row->ns[target][i], rounds);
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
	samples_print("promotion", flows, "stub", stub, count);
	samples_print("promotion", flows, "xdplb", promote, count);
}

static struct instance *instance_make(uint32_t flow_table, uint32_t flows)
{
	struct instance *instance = instance_open(flow_table, flows);

	for (enum kind kind = 0; kind < KINDS_SEEDED; kind++)
		instance_seed(instance, kind);
	return instance;
}

static bool row_wanted(const struct row *row, const char *only)
{
	return !only || !strcmp(only, row->name);
}

static void measure(uint32_t rounds, const char *only)
{
	static struct measured measured[ROWS];
	static struct duet_row duets[2];
	struct instance *small = instance_make(DEFAULT_TABLE, MANY);
	struct instance *large = instance_make(LARGE_TABLE, MILLION);

	for (size_t i = 0; i < ROWS; i++) {
		struct measured *m = &measured[i];

		m->instance = rows[i].flows == MILLION ? large : small;
		m->burst = (struct burst){ rows[i].kind, rows[i].reply, rows[i].tcp_flags, 0,
					   rows[i].records ? rows[i].records : rows[i].flows };
		if (row_wanted(&rows[i], only))
			instance_records(m->instance, &m->burst);
	}
	duet_prepare(&duets[0], small, MANY);
	duet_prepare(&duets[1], large, MILLION);
	for (uint32_t round = 0; round < rounds; round++) {
		for (size_t i = 0; i < ROWS; i++)
			if (row_wanted(&rows[i], only))
				row_measure(&rows[i], &measured[i], round);
		for (int i = 0; i < 2 && (!only || !strcmp(only, "two-cpus")); i++)
			duet_measure(&duets[i], round);
	}
	for (size_t i = 0; i < ROWS; i++)
		row_print(&rows[i], &measured[i], rounds);
	seedings_print(small, MANY);
	seedings_print(large, MILLION);
	for (int i = 0; i < 2; i++)
		duet_print(&duets[i], rounds);
	instance_close(large);
	instance_close(small);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "rounds", required_argument, NULL, 'r' },
		{ "only", required_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 },
	};
	uint32_t rounds = 10;
	const char *only = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'r') {
			rounds = (uint32_t)strtoul(optarg, NULL, 10);
		} else if (option == 'o') {
			only = optarg;
		} else {
			fputs("usage: bench-cost [--rounds N] [--only ROW]\n", stderr);
			return 2;
		}
	}
	if (!rounds || rounds > ROUNDS_MAX)
		die("--rounds is from 1 to %d", ROUNDS_MAX);
	setpriority(PRIO_PROCESS, 0, -20);
	cpu_pin(0);
	measure(rounds, only);
	return 0;
}
