/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_WORKER_RING_H
#define XDPLB_WORKER_RING_H

/*
 * An AF_XDP socket that another process made and bound: its four rings and the
 * memory behind it, mapped here. Raw UAPI, because libxdp's helpers want the
 * process that makes the memory to be the one that uses it. Receiving and the
 * fill ring are the owning thread's; sending is anybody's, under a lock.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/worker.h"

struct ring { /* one side of it is the kernel's */
	uint32_t *producer, *consumer, *flags;
	void *entries;
	uint32_t mask;
	uint32_t next; /* ours: where we go on */
	void *map;
	size_t map_size;
};

struct xsk {
	int fd;
	uint8_t *memory;
	size_t memory_size;
	uint32_t frame; /* bytes of one */
	/* The owning thread's. */
	struct ring rx, fill;
	/* Under tx_lock. */
	pthread_mutex_t tx_lock;
	struct ring tx, completion;
	uint64_t idle[WORKER_TX_FRAMES]; /* addresses of frames that may be written to */
	uint32_t idle_count;
};

struct xsk_packet {
	uint8_t *data; /* in the memory */
	uint32_t len;
	uint32_t headroom; /* of its frame, before data */
	bool more; /* the packet goes on in the next one */
};

/* Takes @fd on success. The fill ring gets all frames for receiving. False: the kernel refused, errno. */
bool xsk_map(struct xsk *xsk, int fd, int memory, uint32_t frame);
void xsk_unmap(struct xsk *xsk);

/* The next packet received; it stays ours until xsk_give_back(), which ends a turn. */
bool xsk_receive(struct xsk *xsk, struct xsk_packet *packet);
void xsk_give_back(struct xsk *xsk);

/* Queues a packet, false: no room. It leaves when xsk_kick() is called. */
bool xsk_send(struct xsk *xsk, const void *packet, size_t len);
/* False: the kernel could not take all of it for now. */
bool xsk_kick(const struct xsk *xsk);

#endif /* XDPLB_WORKER_RING_H */
