// SPDX-License-Identifier: GPL-2.0-only
/*
 * The worker of sniffed services, from the daemon's side: there is one while
 * there are routes, it knows the rules before XDP sends it packets of them,
 * and one that is no good is replaced. While there is none XDP drops first
 * packets, which clients repeat; flows that have their backend go on.
 */
#include "daemon/supervise.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/clock.h"
#include "daemon/period.h"
#include "sniff/rules.h"

#define NS_PER_MS 1000000ULL
#define TICK_MS 500
#define RULES_PATIENCE_MS 1000 /* that the daemon waits for the worker to know its rules */
#define ANSWER_NS (5000 * NS_PER_MS)
#define ROTATE_NS (60000 * NS_PER_MS) /* of SYN cookies' secrets */
#define LIVED_NS (10000 * NS_PER_MS) /* failures before that are in a row */
#define BACKOFF_MS 1000
#define BACKOFF_MAX_SHIFT 5

/* ---- its steps */

void supervise_soon(struct supervisor *s, uint32_t ms)
{
	const struct timeval wait = period(ms);
	uint64_t at_ns = clock_now_ns() + ms * NS_PER_MS;

	if (evtimer_pending(s->soon, NULL) && s->soon_ns <= at_ns)
		return;
	s->soon_ns = at_ns;
	evtimer_add(s->soon, &wait);
}

void supervise_replace(struct supervisor *s)
{
	uint64_t now_ns = clock_now_ns();
	uint32_t wait_ms = 0;

	if (now_ns - s->born_ns >= LIVED_NS)
		s->failures = 0;
	if (s->failures) {
		uint32_t shift = s->failures - 1;

		wait_ms = BACKOFF_MS << (shift < BACKOFF_MAX_SHIFT ? shift : BACKOFF_MAX_SHIFT);
	}
	process_end(s);
	s->failures++;
	s->restarts++;
	s->start_ns = now_ns + wait_ms * NS_PER_MS;
	supervise_soon(s, wait_ms);
}

static void supervise_step(struct supervisor *s)
{
	uint64_t now_ns = clock_now_ns();

	sockets_follow(s);
	if (!s->wanted)
		return;
	if (!s->pid && now_ns < s->start_ns) {
		supervise_soon(s, (uint32_t)((s->start_ns - now_ns) / NS_PER_MS) + 1);
		return;
	}
	if (!s->pid && !process_start(s)) {
		supervise_replace(s);
		return;
	}
	sockets_make(s);
	process_flush(s);
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	supervise_step(arg);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;
	uint64_t now_ns = clock_now_ns();
	bool silent = s->pid && s->sent != s->done && now_ns - s->waiting_ns >= ANSWER_NS;

	(void)fd;
	(void)what;
	if (now_ns - s->rotated_ns >= ROTATE_NS) {
		dataplane_secrets_rotate(s->d->dp);
		s->rotated_ns = now_ns;
	}
	if (silent)
		log_error("worker: pid %d does not answer", (int)s->pid);
	if (silent || (s->pid && sockets_stalled(s, now_ns))) {
		s->stalls++;
		log_error("worker: pid %d is replaced", (int)s->pid);
		supervise_replace(s);
		return;
	}
	supervise_step(s); /* channels may have changed: nobody tells */
}

/* ---- rules */

static void supervise_want(struct supervisor *s, bool wanted)
{
	const struct timeval each = period(TICK_MS);

	if (s->wanted == wanted)
		return;
	s->wanted = wanted;
	if (wanted) {
		s->rotated_ns = clock_now_ns();
		s->failures = 0;
		s->start_ns = 0;
		event_add(s->tick, &each);
		supervise_step(s);
		return;
	}
	log_info("worker: no service is sniffed any more");
	event_del(s->tick);
	process_end(s);
	sockets_follow(s);
	free(s->text);
	s->text = NULL;
}

/* Waits for them to be in force: what comes next relies on it, and it takes a millisecond. */
static void rules_enforce(struct supervisor *s, const struct rules *rules)
{
	char *text = rules_format(rules);

	if (s->text && text && !strcmp(s->text, text)) {
		free(text);
	} else {
		free(s->text);
		s->text = text;
		s->text_serial = 0;
	}
	supervise_want(s, true);
	process_flush(s);
	if (s->pid && !process_await(s, s->text_serial, RULES_PATIENCE_MS))
		log_warn("worker: has not taken up its rules yet");
	sockets_done(s);
}

/*
 * Those in force, and the new ones of services that are not sniffed yet. The
 * new ones of all may name pools that the maps do not hold yet.
 */
static struct rules rules_unite(const struct rules *now, const struct rules *next)
{
	struct rules both = { .sets = xcalloc(now->count + next->count, sizeof(*both.sets)) };
	size_t i = 0, j = 0;

	while (i < now->count || j < next->count) {
		bool old = i < now->count &&
			   (j == next->count || now->sets[i].service <= next->sets[j].service);

		if (old && j < next->count && now->sets[i].service == next->sets[j].service)
			j++;
		both.sets[both.count++] = old ? now->sets[i++] : next->sets[j++];
	}
	return both;
}

void supervise_before(struct daemon *d)
{
	struct supervisor *s = d->supervisor;
	struct rules both;

	rules_free(s->next);
	s->next = render_rules(d->model);
	both = rules_unite(s->rules, s->next);
	if (both.count)
		rules_enforce(s, &both);
	free(both.sets);
}

void supervise_after(struct daemon *d)
{
	struct supervisor *s = d->supervisor;

	rules_free(s->rules);
	s->rules = s->next;
	s->next = NULL;
	if (s->rules->count)
		rules_enforce(s, s->rules);
	else
		supervise_want(s, false);
}

/* ---- for the rest of the daemon */

void supervise_start(struct daemon *d)
{
	struct supervisor *s = xcalloc(1, sizeof(*s));

	s->d = d;
	s->control = s->pidfd = -1;
	s->rules = xcalloc(1, sizeof(*s->rules));
	s->soon = evtimer_new(d->base, on_soon, s);
	s->tick = event_new(d->base, -1, EV_PERSIST, on_tick, s);
	d->supervisor = s;
	/* A predecessor's worker died with it. */
	dataplane_slots_clear(d->dp);
	dataplane_sniffs_clear(d->dp);
}

void supervise_stop(struct daemon *d)
{
	struct supervisor *s = d->supervisor;

	if (!s)
		return;
	s->wanted = false;
	process_end(s);
	sockets_follow(s);
	event_free(s->soon);
	event_free(s->tick);
	rules_free(s->rules);
	rules_free(s->next);
	free(s->sockets);
	free(s->text);
	free(s);
	d->supervisor = NULL;
}

void supervise_interfaces(struct daemon *d)
{
	if (!d->supervisor || !d->supervisor->wanted)
		return;
	d->supervisor->follow_due = true;
	supervise_soon(d->supervisor, 0);
}

bool supervise_in_force(const struct daemon *d, char *why, size_t size)
{
	const struct supervisor *s = d->supervisor;

	if (!s->wanted)
		return true;
	if (!s->pid || !s->text_serial || s->done < s->text_serial || s->follow_due) {
		snprintf(why, size, "the process does not take up its work");
		return false;
	}
	return sockets_in_force(s, why, size);
}

void worker_stats_sum(const struct daemon *d, struct worker_totals *totals)
{
	const struct supervisor *s = d->supervisor;

	*totals = (struct worker_totals){ 0 };
	if (!s)
		return;
	totals->thread = s->retired;
	totals->restarts = s->restarts;
	totals->stalls = s->stalls;
	for (size_t i = 0; s->shared && i < s->socket_count; i++) {
		const struct worker_socket *socket = &s->sockets[i];
		const struct worker_thread *thread = &s->shared->thread[socket->place];

		if (socket->state < SOCKET_SENT)
			continue;
		counters_add(&totals->thread, thread);
		totals->thread.engine.connections += thread->engine.connections;
		totals->thread.engine.datagram_flows += thread->engine.datagram_flows;
		totals->thread.engine.bytes += thread->engine.bytes;
		totals->threads += socket->state == SOCKET_IN_FORCE;
	}
}
