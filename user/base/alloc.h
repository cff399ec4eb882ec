/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_ALLOC_H
#define XDPLB_ALLOC_H

/*
 * Memory that is there or the program ends with a message: what the daemon
 * holds is bounded by its configuration, and half an answer is worse than none.
 */
#include <stddef.h>

void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t count, size_t size);
char *xstrdup(const char *text);
__attribute__((format(printf, 1, 2))) char *xasprintf(const char *format, ...);

/* Makes room for one more element behind @count in @array and zeroes it; evaluates to its address. */
#define array_push(array, count) \
	((array) = array_grow((array), (count), sizeof(*(array))), &(array)[(count)++])
void *array_grow(void *array, size_t count, size_t size);

#endif /* XDPLB_ALLOC_H */
