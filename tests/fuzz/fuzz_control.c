// SPDX-License-Identifier: GPL-2.0-only
/* Any bytes as a line of the control socket: a request with valid arguments, or a reason. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request request;
	char why[128] = "";

	memset(&request, 0xa5, sizeof(request));
	if (!request_parse((const char *)data, size, &request, why)) {
		if (!*why || !memchr(why, '\0', sizeof(why)))
			abort();
		return 0;
	}
	if (request.verb > REQUEST_STOP || request.interface_count > REQUEST_MAX_INTERFACES)
		abort();
	for (size_t i = 0; i < request.interface_count; i++) {
		size_t len = strnlen(request.interfaces[i], IFNAMSIZ);

		if (!len || len == IFNAMSIZ || strchr(request.interfaces[i], '/'))
			abort();
	}
	return 0;
}
