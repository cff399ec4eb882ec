// SPDX-License-Identifier: GPL-2.0-only
/* One AF_XDP socket for each receive queue of what is attached. */
#include "daemon/supervise.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define NS_PER_MS 1000000ULL
#define BUSY_RETRY_MS 20 /* a socket of a dead process goes away asynchronously */
#define BUSY_TRIES 50 /* until it is taken for somebody else's */
#define RETRY_MS 1000
#define STALL_NS (2000 * NS_PER_MS)

/* ---- slots and places */

static int slot_of(struct supervisor *s, uint32_t ifindex)
{
	int free_slot = -1;

	for (int i = 0; i < XDPLB_WORKER_SLOTS; i++) {
		if (s->slots[i] == ifindex)
			return i;
		if (!s->slots[i] && free_slot < 0)
			free_slot = i;
	}
	return free_slot;
}

static bool place_take(struct supervisor *s, uint32_t *place)
{
	for (uint32_t i = 0; i < WORKER_THREADS; i++) {
		if (s->places[i])
			continue;
		s->places[i] = true;
		*place = i;
		return true;
	}
	return false;
}

/* Numbers that only grow, of one that will write them no more. */
void counters_add(struct worker_thread *sum, const struct worker_thread *thread)
{
	sum->turns += thread->turns;
	sum->rx += thread->rx;
	sum->tx += thread->tx;
	sum->tx_full += thread->tx_full;
	sum->rx_invalid += thread->rx_invalid;
	sum->engine.packets_in += thread->engine.packets_in;
	sum->engine.packets_out += thread->engine.packets_out;
	sum->engine.commands += thread->engine.commands;
	sum->engine.sent_again += thread->engine.sent_again;
	sum->engine.owned += thread->engine.owned;
	sum->engine.late += thread->engine.late;
	sum->engine.dropped += thread->engine.dropped;
}

static void socket_close(struct worker_socket *socket)
{
	cleanup_fd(&socket->xsk.fd);
	cleanup_fd(&socket->xsk.memory);
	socket->xsk.fd = socket->xsk.memory = -1;
}

/* Nobody uses it any more. */
static void socket_retire(struct supervisor *s, struct worker_socket *socket)
{
	if (socket->state >= SOCKET_SENT && s->shared)
		counters_add(&s->retired, &s->shared->thread[socket->place]);
	socket_close(socket);
}

static void socket_forget(struct supervisor *s, size_t index)
{
	struct worker_socket *socket = &s->sockets[index];
	uint32_t ifindex = socket->ifindex, slot = socket->row / XDPLB_QUEUES;

	socket_retire(s, socket);
	s->places[socket->place] = false;
	memmove(socket, socket + 1, (s->socket_count - index - 1) * sizeof(*socket));
	s->socket_count--;
	for (size_t i = 0; i < s->socket_count; i++)
		if (s->sockets[i].row / XDPLB_QUEUES == slot)
			return;
	dataplane_slot_delete(s->d->dp, ifindex);
	s->slots[slot] = 0;
}

/* ---- what is to be */

/* XDP first: from there on nothing new comes, and what lies in its ring the thread still takes. */
static void socket_drop(struct supervisor *s, size_t index)
{
	struct worker_socket *socket = &s->sockets[index];

	dataplane_xsk_remove(s->d->dp, socket->row);
	if (socket->state < SOCKET_SENT) {
		socket_forget(s, index);
		return;
	}
	socket->state = SOCKET_GOING;
	socket->serial = 0;
	cleanup_fd(&socket->xsk.fd);
	socket->xsk.fd = -1;
}

static void queue_want(struct supervisor *s, const struct interface *interface, uint32_t slot,
		       uint32_t queue)
{
	uint32_t row = slot * XDPLB_QUEUES + queue, place;
	struct worker_socket *socket;

	for (size_t i = 0; i < s->socket_count; i++) {
		socket = &s->sockets[i];
		if (socket->row != row)
			continue;
		socket->wanted = socket->native == interface->native &&
				 socket->state != SOCKET_GOING;
		return; /* one that goes is followed by another when it is gone */
	}
	if (!place_take(s, &place))
		return;
	socket = array_push(s->sockets, s->socket_count);
	*socket = (struct worker_socket){ .ifindex = interface->ifindex,
					  .queue = queue,
					  .row = row,
					  .place = place,
					  .native = interface->native,
					  .wanted = true,
					  .xsk = { .fd = -1, .memory = -1 } };
	memcpy(socket->ifname, interface->name, sizeof(socket->ifname));
	s->slots[slot] = interface->ifindex;
}

void sockets_follow(struct supervisor *s)
{
	s->follow_due = false;
	for (size_t i = 0; i < s->socket_count; i++)
		s->sockets[i].wanted = false;
	for (size_t i = 0; s->wanted && i < s->d->interface_count; i++) {
		const struct interface *interface = &s->d->interfaces[i];
		int slot = interface->attached && interface->ifindex ?
				   slot_of(s, interface->ifindex) :
				   -1;
		uint32_t queues = slot < 0 ? 0 : dataplane_queues(interface->name);

		for (uint32_t queue = 0; queue < queues; queue++)
			queue_want(s, interface, (uint32_t)slot, queue);
	}
	for (size_t i = s->socket_count; i-- > 0;)
		if (!s->sockets[i].wanted && s->sockets[i].state != SOCKET_GOING)
			socket_drop(s, i);
}

/* ---- making them */

static void socket_make(struct supervisor *s, struct worker_socket *socket, uint64_t now_ns)
{
	const struct dp_xsk_wish wish = { .ifname = socket->ifname,
					  .ifindex = socket->ifindex,
					  .queue = socket->queue,
					  .native = socket->native,
					  .rx_frames = WORKER_RX_FRAMES,
					  .tx_frames = WORKER_TX_FRAMES };
	struct dp_error err;
	int ret = dataplane_xsk_open(&wish, &socket->xsk, &err);
	bool patient = ret == -EBUSY && socket->tries < BUSY_TRIES;

	if (!ret) {
		log_debug("worker: %s queue %u: %s", socket->ifname, socket->queue,
			  socket->xsk.zero_copy ? "zero-copy" : "copy");
		socket->state = SOCKET_MADE;
		socket->tries = 0;
		socket->error = 0;
		return;
	}
	if (!patient && (socket->error != ret || socket->tries == BUSY_TRIES))
		log_warn("worker: %s; tried again", err.text);
	socket->error = ret;
	socket->tries++;
	socket->retry_ns = now_ns + (patient ? BUSY_RETRY_MS : RETRY_MS) * NS_PER_MS;
	supervise_soon(s, patient ? BUSY_RETRY_MS : RETRY_MS);
}

void sockets_make(struct supervisor *s)
{
	uint64_t now_ns = clock_now_ns();

	for (size_t i = 0; i < s->socket_count; i++)
		if (s->sockets[i].state == SOCKET_WANTED && s->sockets[i].retry_ns <= now_ns)
			socket_make(s, &s->sockets[i], now_ns);
}

/* The worker serves it: packets may come. */
static void socket_enforce(struct supervisor *s, struct worker_socket *socket)
{
	struct dataplane *dp = s->d->dp;
	int ret = dataplane_xsk_insert(dp, socket->row, socket->xsk.fd);

	if (!ret)
		ret = dataplane_slot_set(dp, socket->ifindex, socket->row / XDPLB_QUEUES);
	if (ret)
		log_error("worker: %s queue %u: %s", socket->ifname, socket->queue, strerror(-ret));
	socket->state = SOCKET_IN_FORCE;
	socket->turns = socket->stalled_ns = 0;
}

void sockets_done(struct supervisor *s)
{
	bool gone = false;

	for (size_t i = s->socket_count; i-- > 0;) {
		struct worker_socket *socket = &s->sockets[i];

		if (!socket->serial || socket->serial > s->done)
			continue;
		if (socket->state == SOCKET_SENT) {
			socket_enforce(s, socket);
		} else if (socket->state == SOCKET_GOING) {
			socket_forget(s, i);
			gone = true;
		}
	}
	if (gone)
		supervise_soon(s, 0);
}

/* All are wanted again, but for those that were going. */
void sockets_end(struct supervisor *s)
{
	for (size_t i = s->socket_count; i-- > 0;) {
		struct worker_socket *socket = &s->sockets[i];

		dataplane_xsk_remove(s->d->dp, socket->row);
		if (socket->state == SOCKET_GOING) {
			socket_forget(s, i);
			continue;
		}
		socket_retire(s, socket);
		socket->state = SOCKET_WANTED;
		socket->serial = socket->tries = 0;
		socket->retry_ns = 0;
	}
}

/* ---- how they are */

bool sockets_in_force(const struct supervisor *s, char *why, size_t size)
{
	for (size_t i = 0; i < s->socket_count; i++) {
		const struct worker_socket *socket = &s->sockets[i];

		/* A device that is away or down brings no packets either. */
		if (socket->state >= SOCKET_IN_FORCE || socket->error == -ENETDOWN ||
		    socket->error == -ENODEV)
			continue;
		snprintf(why, size, "AF_XDP socket for %s, queue %u: %s", socket->ifname,
			 socket->queue,
			 socket->error ? strerror(-socket->error) : "the worker does not answer");
		return false;
	}
	return true;
}

bool sockets_stalled(struct supervisor *s, uint64_t now_ns)
{
	for (size_t i = 0; i < s->socket_count; i++) {
		struct worker_socket *socket = &s->sockets[i];
		struct pollfd fd = { .fd = socket->xsk.fd, .events = POLLIN };
		uint64_t turns;

		if (socket->state != SOCKET_IN_FORCE)
			continue;
		turns = __atomic_load_n(&s->shared->thread[socket->place].turns, __ATOMIC_RELAXED);
		if (turns != socket->turns || poll(&fd, 1, 0) != 1 || !(fd.revents & POLLIN)) {
			socket->turns = turns;
			socket->stalled_ns = 0;
		} else if (!socket->stalled_ns) {
			socket->stalled_ns = now_ns;
		} else if (now_ns - socket->stalled_ns >= STALL_NS) {
			log_error("worker: %s queue %u stands still though packets wait",
				  socket->ifname, socket->queue);
			return true;
		}
	}
	return false;
}
