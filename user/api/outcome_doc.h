/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_API_OUTCOME_DOC_H
#define XDPLB_API_OUTCOME_DOC_H

/*
 * The rows of xdplb/outcome.h as user space shows them: the label values of the
 * metrics, docs/outcomes.md; and docs/protocols.md of those of xdplb/protocol.h.
 */
#include <stdio.h>

#include "xdplb/outcome.h"

#define OUTCOME_LABEL_LEN 40

/* "forward_tx": the row's name in lower case. */
void outcome_label(enum xdplb_outcome outcome, char label[OUTCOME_LABEL_LEN]);
void event_label(enum xdplb_event event, char label[OUTCOME_LABEL_LEN]);

void outcome_doc_write(FILE *out); /* docs/outcomes.md */
void protocol_doc_write(FILE *out); /* docs/protocols.md */

#endif /* XDPLB_API_OUTCOME_DOC_H */
