// SPDX-License-Identifier: GPL-2.0-only
#include "health/checker.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "health/probe.h"

#define MS_NS 1000000ULL
#define MAX_RUNNING 4096U
#define STARTS_A_TURN 64 /* of the event loop, which has others to serve */
#define RETRY_MS 100 /* after this host could not open a socket */
#define LOOP_LATE_MS 50 /* a timer this late tells of a loop that was busy elsewhere */

enum phase {
	PHASE_WAITING, /* for due_ns, when the next probe starts */
	PHASE_QUEUED, /* due, in line for a socket */
	PHASE_RUNNING /* until due_ns, when the probe has failed */
};

struct target {
	struct probe probe; /* first: done() finds its target by it */
	struct health_checker *checker;
	uint32_t id;
	struct xdplb_addr addr;
	uint16_t port;
	enum phase phase;
	struct cfg_health health; /* a copy */
	struct health_fsm fsm;
	struct event *timer; /* pending in WAITING and RUNNING, at due_ns */
	uint64_t start_ns, due_ns;
	bool spread; /* the next interval is cut short to the target's own moment in it */
	bool extended; /* this probe got time back that the loop took */
	TAILQ_ENTRY(target) link; /* in QUEUED */
};

struct health_checker {
	struct event_base *base;
	health_report_fn *report;
	void *arg;
	struct target **targets; /* by id */
	uint32_t target_room;
	TAILQ_HEAD(target_queue, target) queue;
	struct event *pump; /* pending while there is something in line and room to start it */
	uint32_t running, max_running;
	bool short_of_sockets; /* said so; until the queue has run dry */
};

static void timer_set(struct event *timer, uint64_t ms)
{
	const struct timeval wait = { .tv_sec = (time_t)(ms / 1000),
				      .tv_usec = (suseconds_t)(ms % 1000 * 1000) };

	event_add(timer, &wait);
}

static void target_wake_at(struct target *target, uint64_t due_ns)
{
	uint64_t now_ns = clock_now_ns();

	target->due_ns = due_ns;
	timer_set(target->timer, due_ns > now_ns ? (due_ns - now_ns + MS_NS - 1) / MS_NS : 0);
}

static void pump_kick(struct health_checker *checker)
{
	if (!TAILQ_EMPTY(&checker->queue) && checker->running < checker->max_running &&
	    !event_pending(checker->pump, EV_TIMEOUT, NULL))
		timer_set(checker->pump, 0);
}

static void target_enqueue(struct target *target)
{
	event_del(target->timer);
	target->phase = PHASE_QUEUED;
	TAILQ_INSERT_TAIL(&target->checker->queue, target, link);
	pump_kick(target->checker);
}

/* Ids follow one another: times 2^32 / golden ratio they fall evenly over the interval. */
static uint64_t target_next_ns(const struct target *target)
{
	uint64_t wait_ms = target->health.interval_ms;
	uint32_t part = target->id * 2654435769U;

	if (target->spread)
		wait_ms = wait_ms * part >> 32;
	return target->start_ns + wait_ms * MS_NS;
}

static uint64_t target_limit_ns(const struct target *target)
{
	return target->start_ns + target->health.timeout_ms * MS_NS;
}

/* What was under way or in line is no more; the phase is the caller's to set. */
static void target_halt(struct target *target)
{
	struct health_checker *checker = target->checker;

	event_del(target->timer);
	if (target->phase == PHASE_RUNNING) {
		target->probe.type->cancel(&target->probe);
		checker->running--;
		pump_kick(checker);
	} else if (target->phase == PHASE_QUEUED) {
		TAILQ_REMOVE(&checker->queue, target, link);
	}
}

/* The report comes last: it may remove the target. */
static void target_result(struct probe *probe, bool passed, const char *why)
{
	struct target *target = (struct target *)probe;
	struct health_checker *checker = target->checker;
	const struct cfg_health *health = &target->health;

	checker->running--;
	pump_kick(checker);
	target->phase = PHASE_WAITING;
	target_wake_at(target, target_next_ns(target));
	target->spread = false;
	if (health_fsm_step(&target->fsm, passed, health->rise, health->fall, clock_now_ns()))
		checker->report(checker->arg, target->id, target->fsm.state, why);
}

/*
 * Time that the loop spent elsewhere is not the backend's: the probe gets as
 * much again, once, and no more than its timeout.
 */
static void target_timeout(struct target *target, uint64_t now_ns)
{
	uint64_t late_ns = now_ns - target->due_ns, timeout_ns = target->health.timeout_ms * MS_NS;
	struct probe *probe = &target->probe;

	if (late_ns > LOOP_LATE_MS * MS_NS && !target->extended) {
		target->extended = true;
		target_wake_at(target, now_ns + (late_ns < timeout_ns ? late_ns : timeout_ns));
		return;
	}
	probe->type->cancel(probe);
	probe_done(probe, false, "no %s within %u ms", probe->missing, target->health.timeout_ms);
}

static void target_due(evutil_socket_t fd, short what, void *arg)
{
	struct target *target = arg;
	uint64_t now_ns = clock_now_ns();

	(void)fd;
	(void)what;
	if (now_ns < target->due_ns) /* the loop's clock is coarse and may run ahead */
		target_wake_at(target, target->due_ns);
	else if (target->phase == PHASE_RUNNING)
		target_timeout(target, now_ns);
	else
		target_enqueue(target);
}

/* Takes the target out of the queue. Afterwards it may be gone. False: no socket to be had. */
static bool target_start(struct target *target)
{
	struct health_checker *checker = target->checker;
	int error;

	TAILQ_REMOVE(&checker->queue, target, link);
	checker->running++;
	target->phase = PHASE_RUNNING;
	target->extended = false;
	target->start_ns = clock_now_ns();
	target->probe.missing = "answer";
	target_wake_at(target, target_limit_ns(target));
	error = target->probe.type->start(&target->probe);
	if (!error)
		return true;
	event_del(target->timer);
	checker->running--;
	target->phase = PHASE_QUEUED;
	TAILQ_INSERT_TAIL(&checker->queue, target, link);
	if (!checker->short_of_sockets)
		log_error(
			"health: cannot open a socket for a probe (%s); probes wait, trying again: "
			"raise LimitNOFILE if this lasts",
			strerror(-error));
	checker->short_of_sockets = true;
	return false;
}

static void pump_run(evutil_socket_t fd, short what, void *arg)
{
	struct health_checker *checker = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < STARTS_A_TURN && !TAILQ_EMPTY(&checker->queue) &&
			checker->running < checker->max_running;
	     i++) {
		if (!target_start(TAILQ_FIRST(&checker->queue))) {
			timer_set(checker->pump, RETRY_MS);
			return;
		}
	}
	if (TAILQ_EMPTY(&checker->queue))
		checker->short_of_sockets = false;
	pump_kick(checker);
}

static uint32_t running_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur / 2 > MAX_RUNNING)
		return MAX_RUNNING;
	return limit.rlim_cur >= 2 ? (uint32_t)limit.rlim_cur / 2 : 1;
}

struct health_checker *health_checker_new(struct event_base *base, health_report_fn *report,
					  void *arg)
{
	struct health_checker *checker = xcalloc(1, sizeof(*checker));

	checker->base = base;
	checker->report = report;
	checker->arg = arg;
	checker->max_running = running_limit();
	checker->pump = event_new(base, -1, 0, pump_run, checker);
	TAILQ_INIT(&checker->queue);
	return checker;
}

static struct target *target_find(const struct health_checker *checker, uint32_t id)
{
	return id < checker->target_room ? checker->targets[id] : NULL;
}

static void health_copy(struct cfg_health *to, const struct cfg_health *from)
{
	*to = *from;
	to->path = from->path ? xstrdup(from->path) : NULL;
	to->host = from->host ? xstrdup(from->host) : NULL;
	to->body = from->body ? xstrdup(from->body) : NULL;
}

static void health_release(struct cfg_health *health)
{
	free(health->path);
	free(health->host);
	free(health->body);
}

static bool text_same(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* Whether both ask the backend the same. */
static bool health_asks_same(const struct cfg_health *a, const struct cfg_health *b)
{
	return a->type == b->type && text_same(a->path, b->path) && text_same(a->host, b->host) &&
	       text_same(a->body, b->body) && a->expect_count == b->expect_count &&
	       !memcmp(a->expect, b->expect, a->expect_count * sizeof(a->expect[0]));
}

static struct target *target_add(struct health_checker *checker, uint32_t id,
				 const struct cfg_health *health)
{
	struct target *target = xcalloc(1, sizeof(*target));
	uint32_t room = checker->target_room ? checker->target_room : 64;

	while (room <= id)
		room *= 2;
	if (room != checker->target_room) {
		checker->targets = xrealloc(checker->targets, room, sizeof(struct target *));
		memset(&checker->targets[checker->target_room], 0,
		       (room - checker->target_room) * sizeof(struct target *));
		checker->target_room = room;
	}
	target->probe.base = checker->base;
	target->probe.type = probe_type_get(health->type);
	target->probe.health = &target->health;
	target->probe.done = target_result;
	target->checker = checker;
	target->id = id;
	target->spread = true;
	target->timer = event_new(checker->base, -1, 0, target_due, target);
	health_copy(&target->health, health);
	checker->targets[id] = target;
	return target;
}

static void target_ask_anew(struct target *target, const struct cfg_health *health)
{
	target_halt(target);
	health_release(&target->health);
	health_copy(&target->health, health);
	target->probe.type = probe_type_get(health->type);
	target->spread = true;
	health_fsm_restart(&target->fsm);
	target_enqueue(target);
}

/* The texts stay where they are: a probe under way reads them. */
static void target_retime(struct target *target, const struct cfg_health *health)
{
	bool moved = target->health.interval_ms != health->interval_ms;
	bool cut = target->health.timeout_ms != health->timeout_ms;

	target->health.interval_ms = health->interval_ms;
	target->health.timeout_ms = health->timeout_ms;
	target->health.rise = health->rise;
	target->health.fall = health->fall;
	if (moved && target->phase == PHASE_WAITING)
		target_wake_at(target, target_next_ns(target));
	else if (cut && target->phase == PHASE_RUNNING)
		target_wake_at(target, target_limit_ns(target));
}

static void target_update(struct target *target, const struct cfg_health *health)
{
	if (health_asks_same(&target->health, health))
		target_retime(target, health);
	else
		target_ask_anew(target, health);
}

void health_target_set(struct health_checker *checker, uint32_t id, const struct cfg_health *health,
		       const struct xdplb_addr *addr, uint16_t port)
{
	struct target *target = target_find(checker, id);

	assert(id < XDPLB_MAX_BACKENDS);
	if (!probe_type_get(health->type)) {
		health_target_remove(checker, id);
	} else if (target && target->port == port && !memcmp(&target->addr, addr, sizeof(*addr))) {
		target_update(target, health);
	} else {
		health_target_remove(checker, id);
		target = target_add(checker, id, health);
		target->addr = *addr;
		target->port = port;
		probe_set_address(&target->probe, addr, port);
		target_enqueue(target);
	}
}

void health_target_remove(struct health_checker *checker, uint32_t id)
{
	struct target *target = target_find(checker, id);

	if (!target)
		return;
	checker->targets[id] = NULL;
	target_halt(target);
	event_free(target->timer);
	health_release(&target->health);
	free(target);
}

enum health_state health_target_state(const struct health_checker *checker, uint32_t id)
{
	const struct target *target = target_find(checker, id);

	return target ? target->fsm.state : HEALTH_UNKNOWN;
}

void health_checker_free(struct health_checker *checker)
{
	if (!checker)
		return;
	for (uint32_t id = 0; id < checker->target_room; id++)
		health_target_remove(checker, id);
	event_free(checker->pump);
	free(checker->targets);
	free(checker);
}
