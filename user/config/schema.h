/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_CONFIG_SCHEMA_H
#define XDPLB_CONFIG_SCHEMA_H

/*
 * The configuration file as tables. A row names a key and says where its value
 * goes, what is allowed, what holds when it is left out and what it means; the
 * loader, the checks, docs/configuration.md and configs/full.yaml walk the
 * same rows. A new key is one row here and one member in config.h. Defaults
 * are written as a user would write them and go through the same parsers.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

struct loader;

enum field_type {
	FIELD_END,
	/* one value, or with .many one or a list of them */
	FIELD_NUMBER, /* uint32_t */
	FIELD_DURATION, /* uint32_t, milliseconds */
	FIELD_BOOL, /* bool */
	FIELD_WORD, /* uint32_t, by .words */
	FIELD_INTERFACE_NAME, /* char * */
	FIELD_SEED, /* struct config: hash_seed */
	FIELD_HTTP, /* char *, "ADDRESS:PORT" */
	FIELD_NAT_ADDRESS, /* struct config: nat_addrs */
	FIELD_NAT_PORTS, /* struct config: nat_port_min, nat_port_max */
	FIELD_URL_PATH, /* char * */
	FIELD_HTTP_HOST, /* char * */
	FIELD_TEXT, /* char * */
	FIELD_HTTP_STATUS, /* struct cfg_health: expect */
	FIELD_BACKEND, /* struct cfg_backend: address, addr, port */
	FIELD_LISTENER, /* struct cfg_service: listeners */
	FIELD_POOL, /* size_t, resolved at the end */
	FIELD_SERVER_NAME, /* struct cfg_texts, and so are: */
	FIELD_HOST,
	FIELD_ALPN,
	FIELD_PATTERN,
	/* structure, by .mapping */
	FIELD_MAPPING, /* the struct itself */
	FIELD_LIST, /* pointer to an array of them, size_t at .count */
	FIELD_NAMED /* the same, under names of the user's choice */
};

/* Counters of the loader: what the file holds in all, compared with .max of the row. */
enum cfg_counter {
	COUNT_NOTHING,
	COUNT_INTERFACES,
	COUNT_POOLS,
	COUNT_BACKENDS,
	COUNT_SERVICES,
	COUNT_LISTENERS,
	COUNT_ROUTES,
	COUNTERS
};

struct word {
	const char *word; /* NULL ends the list */
	uint32_t value;
	bool later; /* promised, but not built yet */
};

struct mapping;

struct field {
	const char *key;
	enum field_type type;
	size_t offset; /* of the member in its struct */
	size_t count; /* FIELD_LIST, FIELD_NAMED: offset of the number of elements */
	bool required;
	bool many; /* one value or a list of them */
	bool shown; /* by the sample, though it may be left out */
	uint32_t min, max; /* numbers; durations in ms; how many there may be in all */
	enum cfg_counter counter;
	const char *unit; /* of a number, for messages and the manual */
	const char *only; /* the words of the mapping's .kind that this key belongs to, by blanks */
	const char *def; /* as written in the file; NULL: left out means 0 or .left_out */
	const char *left_out; /* what being left out means where no value says it */
	const struct word *words;
	const struct mapping *mapping;
	const char *example; /* for the sample; of lists: more elements, a line each */
	const char *help;
};

#define SCHEMA_MAX_FIELDS 16

/* A mapping of the file and the struct it becomes. */
struct mapping {
	const char *title; /* of its section of the manual; "": shown within its parent */
	const struct field *fields; /* up to FIELD_END */
	size_t size; /* of the struct */
	size_t place; /* offset of its struct cfg_place, 0: it has none */
	size_t name; /* offset of its char *name, under names */
	const char *short_key; /* a plain value stands for this key alone */
	const char *kind; /* the key whose word says which others there are: .only */
	/* What only this mapping knows. @at: place of each row's key, line 0 where it is left out. */
	bool (*check)(struct loader *loader, const struct cfg_place *at, void *base);
	const char *help; /* opens the section of the manual */
	const char *example;
};

extern const struct mapping top_mapping, pool_mapping, health_mapping, service_mapping,
	match_mapping;

/* The row of @key, or NULL. */
const struct field *field_find(const struct field *fields, const char *key);

/* What the manual calls a type. */
const char *field_type_name(enum field_type type);

#endif /* XDPLB_CONFIG_SCHEMA_H */
