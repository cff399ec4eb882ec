// SPDX-License-Identifier: GPL-2.0-only
/* Prints docs/outcomes.md: `build/outcomedoc >docs/outcomes.md`. */
#include "api/outcome_doc.h"

int main(void)
{
	outcome_doc_write(stdout);
	return fflush(stdout) ? 1 : 0;
}
