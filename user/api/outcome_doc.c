// SPDX-License-Identifier: GPL-2.0-only
#include "api/outcome_doc.h"

#include <ctype.h>

#include "xdplb/protocol.h"

struct row {
	const char *name;
	const char *action; /* NULL for events */
	const char *help;
};

static const struct row outcomes[XDPLB_OUTCOME_MAX] = {
#define X(name, action, help) { #name, #action, help },
	XDPLB_OUTCOMES(X)
#undef X
};

static const struct row events[XDPLB_EVENT_MAX] = {
#define X(name, help) { #name, NULL, help },
	XDPLB_EVENTS(X)
#undef X
};

static void label_make(const char *name, char label[OUTCOME_LABEL_LEN])
{
	size_t i;

	for (i = 0; i < OUTCOME_LABEL_LEN - 1 && name[i]; i++)
		label[i] = (char)tolower((unsigned char)name[i]);
	label[i] = '\0';
}

void outcome_label(enum xdplb_outcome outcome, char label[OUTCOME_LABEL_LEN])
{
	label_make(outcomes[outcome].name, label);
}

void event_label(enum xdplb_event event, char label[OUTCOME_LABEL_LEN])
{
	label_make(events[event].name, label);
}

static void rows_write(FILE *out, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char label[OUTCOME_LABEL_LEN];

		label_make(rows[i].name, label);
		if (rows[i].action)
			fprintf(out, "| `%s` | `%s` | %s |\n", label, rows[i].action, rows[i].help);
		else
			fprintf(out, "| `%s` | %s |\n", label, rows[i].help);
	}
}

void outcome_doc_write(FILE *out)
{
	fputs("# Outcomes\n\n"
	      "Made from `include/xdplb/outcome.h` by `build/outcomedoc`: change it there.\n\n"
	      "Every packet that meets xdplb is counted once, under the name of what became of it:\n"
	      "`xdplb_outcomes_total{outcome=\"...\"}` in `/metrics`.\n"
	      "The action is what XDP was told: `XDP_PASS` leaves the packet to the kernel, `XDP_TX` and\n"
	      "`XDP_REDIRECT` send it, `XDP_DROP` ends it. Packets that no service claims only pass.\n\n"
	      "| outcome | action | meaning |\n|---|---|---|\n",
	      out);
	rows_write(out, outcomes, XDPLB_OUTCOME_MAX);
	fputs("\n## Events\n\n"
	      "What happened to flows beside their packets: `xdplb_flow_events_total{event=\"...\"}`.\n\n"
	      "| event | meaning |\n|---|---|\n",
	      out);
	rows_write(out, events, XDPLB_EVENT_MAX);
}

void protocol_doc_write(FILE *out)
{
	static const struct {
		const char *word, *help;
		unsigned over;
	} rows[] = {
#define X(name, word, over, help) { word, help, over },
		XDPLB_PROTOCOLS(X)
#undef X
	};

	fputs("# Protocols\n\n"
	      "Made from `include/xdplb/protocol.h` by `build/outcomedoc protocols`: change it there.\n\n"
	      "What a client's first bytes can be recognised as: the words of `match: { protocol: ... }`\n"
	      "and of `xdplb_sniffed_total{protocol=\"...\"}`. How it works: [sniffing.md](sniffing.md).\n\n"
	      "| word | TCP | UDP | recognised by |\n|---|---|---|---|\n",
	      out);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		fprintf(out, "| `%s` | %s | %s | %s |\n", rows[i].word,
			rows[i].over & XDPLB_OVER_TCP ? "yes" : "",
			rows[i].over & XDPLB_OVER_UDP ? "yes" : "", rows[i].help);
}
