// SPDX-License-Identifier: GPL-2.0-only
/* `build/outcomedoc >docs/outcomes.md`, `build/outcomedoc protocols >docs/protocols.md`. */
#include <string.h>

#include "api/outcome_doc.h"

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "protocols"))
		protocol_doc_write(stdout);
	else
		outcome_doc_write(stdout);
	return fflush(stdout) ? 1 : 0;
}
