// SPDX-License-Identifier: GPL-2.0-only
#include "base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *there(void *memory)
{
	if (!memory) {
		fputs("error: out of memory\n", stderr);
		abort();
	}
	return memory;
}

void *xcalloc(size_t count, size_t size)
{
	return there(calloc(count ? count : 1, size ? size : 1));
}

void *xrealloc(void *old, size_t count, size_t size)
{
	return there(reallocarray(old, count ? count : 1, size ? size : 1));
}

char *xstrdup(const char *text)
{
	return there(strdup(text));
}

char *xasprintf(const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	return there(len < 0 ? NULL : text);
}

/* Grows by doubling: with @count a power of two (or 0), the array is full. */
void *array_grow(void *array, size_t count, size_t size)
{
	if ((count & (count - 1)) == 0)
		array = xrealloc(array, count ? count * 2 : 1, size);
	memset((char *)array + count * size, 0, size);
	return array;
}
