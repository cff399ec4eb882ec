/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_TURNS_H
#define XDPLB_TURNS_H

/*
 * Weights as turns: how many of a table's slots each backend gets, and in
 * which order they take them. The same for all nodes: integers only.
 */
#include <stddef.h>
#include <stdint.h>

/*
 * Shares @total turns among @count weights (each 1 or more): in proportion, to
 * less than one turn, and at least one for each as long as there are so many.
 */
void turns_share(const uint32_t *weights, size_t count, uint32_t total, uint32_t *turns);

/*
 * Σ weights / gcd, at most @max: the length of the shortest sequence that has
 * every weight's share exactly.
 */
uint32_t turns_total(const uint32_t *weights, size_t count, uint32_t max);

/*
 * Puts @turns, which add up to @total, in order: order[k] is who has the k-th
 * turn. Smooth: after k turns everyone has had k * turns / total of theirs, to one turn.
 */
void turns_order(const uint32_t *turns, size_t count, uint32_t total, uint32_t *order);

#endif /* XDPLB_TURNS_H */
