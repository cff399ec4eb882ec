// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "config/config.h"
#include "config/doc.h"
#include "config/load.h"
#include "xdplb/addr.h"

#define GOLDEN "tests/golden/config"

static const char minimal[] = "interfaces: [eth0]\n"
			      "pools: { web: { backends: [10.1.0.11:8080] } }\n"
			      "services: { web: { listen: tcp://192.0.2.10:80, pool: web } }\n";

/* Parses what must be right, and says what is not. */
static void parse(const char *text, struct config *config)
{
	struct cfg_error err = { "" };

	if (!config_parse(text, strlen(text), "lb.yaml", config, &err))
		fail_msg("%s", err.text);
}

static void refuse(const char *text, const char *want)
{
	struct config config;
	struct cfg_error err;

	assert_false(config_parse(text, strlen(text), "lb.yaml", &config, &err));
	assert_string_equal(err.text, want);
}

static char *file_text(const char *path, size_t *len)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	FILE *memory = open_memstream(&text, len);
	int c;

	if (!file)
		fail_msg("%s cannot be read: tests run in the top directory", path);
	while ((c = fgetc(file)) != EOF)
		fputc(c, memory);
	fclose(file);
	fclose(memory);
	return text;
}

/* ---- mistakes */
static int names_yaml(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot && !strcmp(dot, ".yaml");
}

/* What @name must say, from NAME.error or NAME.warning; NULL: there is none. */
static char *golden_want(const char *name, const char *suffix)
{
	char *path = xasprintf(GOLDEN "/%.*s%s", (int)strlen(name) - 5, name, suffix);
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t len;

	if (file) {
		fclose(file);
		text = file_text(path, &len);
	}
	free(path);
	return text;
}

/* What the loader says of @name, with a newline behind each line. */
static char *golden_have(const char *name, bool *loaded)
{
	char *path = xasprintf(GOLDEN "/%s", name), *text, *have;
	struct cfg_error err = { "" };
	struct config config;
	size_t len;

	text = file_text(path, &len);
	*loaded = config_parse(text, len, name, &config, &err);
	have = *loaded ? xstrdup("") : xasprintf("%s\n", err.text);
	for (size_t i = 0; *loaded && i < config.warning_count; i++) {
		char *more = xasprintf("%s%s\n", have, config.warnings[i]);

		free(have);
		have = more;
	}
	if (*loaded)
		config_free(&config);
	free(text);
	free(path);
	return have;
}

static bool golden_holds(const char *name)
{
	char *error = golden_want(name, ".error"), *warning = golden_want(name, ".warning");
	const char *want = error ? error : warning;
	bool loaded, ok;
	char *have = golden_have(name, &loaded);

	ok = want && loaded == !error && !strcmp(have, want);
	if (!ok)
		print_error("%s/%s\n  says: %s  want: %s\n", GOLDEN, name, have,
			    want ? want : "(no .error, no .warning)\n");
	free(have);
	free(error);
	free(warning);
	return ok;
}

static void each_mistake_is_told_with_its_place_and_remedy(void **state)
{
	struct dirent **names;
	int count = scandir(GOLDEN, &names, names_yaml, alphasort), wrong = 0;

	(void)state;
	assert_true(count > 150);
	for (int i = 0; i < count; i++) {
		wrong += !golden_holds(names[i]->d_name);
		free(names[i]);
	}
	free(names);
	assert_int_equal(wrong, 0);
}

static void a_file_that_cannot_be_read_is_refused_at_its_start(void **state)
{
	struct config config;
	struct cfg_error err;

	(void)state;
	assert_false(config_load("/nonexistent/lb.yaml", &config, &err));
	assert_string_equal(
		err.text,
		"/nonexistent/lb.yaml:1:1: the file cannot be read: No such file or directory");
	assert_false(config_load("/", &config, &err));
	assert_string_equal(err.text, "/:1:1: the file cannot be read: Is a directory");
	assert_false(config_load("/dev/zero", &config, &err));
	assert_string_equal(err.text, "/dev/zero:1:1: the file cannot be read: File too large");
}

static void a_refused_file_leaves_the_output_untouched(void **state)
{
	struct config config, before;
	struct cfg_error err;

	(void)state;
	memset(&config, 0xa5, sizeof(config));
	memcpy(&before, &config, sizeof(config));
	assert_false(config_parse("x: 1\n", 5, "lb.yaml", &config, &err));
	assert_memory_equal(&config, &before, sizeof(config));
}

static void a_long_file_name_leaves_room_for_the_message(void **state)
{
	char name[1000];
	struct config config;
	struct cfg_error err;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_false(config_parse("x: 1\n", 5, name, &config, &err));
	assert_non_null(strstr(err.text, "nnn:1:1: unknown key 'x'"));
}

/* ---- what is right */
static void what_is_left_out_has_its_default(void **state)
{
	struct config config;
	const struct cfg_pool *pool;
	const struct cfg_service *service;

	(void)state;
	parse(minimal, &config);
	assert_string_equal(config.file, "lb.yaml");
	assert_int_equal(config.interfaces[0].mode, CFG_ATTACH_AUTO);
	assert_true(config.watch);
	assert_int_equal(config.flow_table, 262144);
	assert_false(config.has_hash_seed);
	assert_null(config.http);
	assert_int_equal(config.nat_addr_count, 0);
	assert_int_equal(config.nat_port_min, 10000);
	assert_int_equal(config.nat_port_max, 30000);
	assert_int_equal(config.syn_timeout_ms, 10000);
	assert_int_equal(config.closing_timeout_ms, 60000);
	pool = &config.pools[0];
	assert_int_equal(pool->balance, XDPLB_MAGLEV);
	assert_int_equal(pool->table, 4093);
	assert_int_equal(pool->health.type, CFG_HEALTH_NONE);
	assert_int_equal(pool->health.interval_ms, 2000);
	assert_int_equal(pool->health.timeout_ms, 1000);
	assert_int_equal(pool->health.rise, 2);
	assert_int_equal(pool->health.fall, 3);
	assert_string_equal(pool->health.path, "/");
	assert_null(pool->health.host);
	assert_null(pool->health.body);
	assert_int_equal(pool->health.expect_count, 1);
	assert_int_equal(pool->health.expect[0], 200);
	assert_int_equal(pool->backends[0].weight, 1);
	service = &config.services[0];
	assert_int_equal(service->mode, XDPLB_MODE_NAT);
	assert_int_equal(service->source, CFG_SOURCE_LB);
	assert_int_equal(service->encap, CFG_ENCAP_NONE);
	assert_int_equal(service->idle_timeout_ms, 0);
	assert_int_equal(config.warning_count, 0);
	config_free(&config);
}

static const char rich[] =
	"services:\n"
	"  dns: { listen: ['udp://[2001:db8::10]:53', tcp://192.0.2.10:53], pool: two,\n"
	"         source: client, idle_timeout: 720h, mode: nat, encap: none }\n"
	"hash_seed: 00112233445566778899AABBccddeeff\n"
	"watch: Off\n"
	"flow_table: '16'\n"
	"http: '[::1]:9180'\n"
	"timeouts: { syn: 250ms, closing: 2m }\n"
	"nat: { addresses: [192.0.2.1, 2001:db8::1], ports: 1024-65535 }\n"
	"interfaces:\n"
	"  - { name: eth0, mode: native }\n"
	"  - eth1.100\n"
	"pools:\n"
	"  one: { backends: [], health: tcp }\n"
	"  two:\n"
	"    balance: least-conn\n"
	"    table: 65537\n"
	"    health:\n"
	"      { type: http, interval: 1h, timeout: 10ms, rise: 1, fall: 100, path: '/a?b=c',\n"
	"        host: 'www.example:80', expect: [204, 200], body: \"it\\nworks\" }\n"
	"    backends:\n"
	"      - { address: '[2001:db8::53]:5353', weight: 0 }\n"
	"      - { weight: \"1000\", address: 10.1.0.53:5353 }\n"
	"      - '[::ffff:10.1.0.54]:5353'\n";

static void what_is_written_arrives(void **state)
{
	static const uint8_t seed[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
					  0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
	struct config config;

	(void)state;
	parse(rich, &config);
	assert_false(config.watch);
	assert_int_equal(config.flow_table, 16);
	assert_true(config.has_hash_seed);
	assert_memory_equal(config.hash_seed, seed, sizeof(seed));
	assert_string_equal(config.http, "[::1]:9180");
	assert_int_equal(config.syn_timeout_ms, 250);
	assert_int_equal(config.closing_timeout_ms, 120000);
	assert_int_equal(config.nat_addr_count, 2);
	assert_true(xdplb_addr_is_ip4(&config.nat_addrs[0]));
	assert_int_equal(config.nat_addrs[0].w[3], htonl(0xc0000201));
	assert_int_equal(config.nat_addrs[1].w[0], htonl(0x20010db8));
	assert_int_equal(config.nat_port_min, 1024);
	assert_int_equal(config.nat_port_max, 65535);
	assert_int_equal(config.interface_count, 2);
	assert_int_equal(config.interfaces[0].mode, CFG_ATTACH_NATIVE);
	assert_string_equal(config.interfaces[1].name, "eth1.100");
	assert_int_equal(config.interfaces[1].place.line, 12);
	assert_int_equal(config.interfaces[1].place.column, 5);
	config_free(&config);
}

static void a_pool_arrives(void **state)
{
	struct config config;
	const struct cfg_pool *pool;
	const struct cfg_health *health;

	(void)state;
	parse(rich, &config);
	assert_int_equal(config.pool_count, 2);
	assert_int_equal(config.pools[0].health.type, CFG_HEALTH_TCP);
	assert_int_equal(config.pools[0].health.interval_ms, 2000);
	assert_int_equal(config.pools[0].backend_count, 0);
	pool = &config.pools[1];
	assert_string_equal(pool->name, "two");
	assert_int_equal(pool->place.line, 15);
	assert_int_equal(pool->balance, XDPLB_LEAST_CONN);
	assert_int_equal(pool->table, 65537);
	health = &pool->health;
	assert_int_equal(health->type, CFG_HEALTH_HTTP);
	assert_int_equal(health->place.line, 19);
	assert_int_equal(health->interval_ms, 3600000);
	assert_int_equal(health->timeout_ms, 10);
	assert_int_equal(health->rise, 1);
	assert_int_equal(health->fall, 100);
	assert_string_equal(health->path, "/a?b=c");
	assert_string_equal(health->host, "www.example:80");
	assert_string_equal(health->body, "it\nworks");
	assert_int_equal(health->expect_count, 2);
	assert_int_equal(health->expect[0], 204);
	assert_int_equal(health->expect[1], 200);
	assert_int_equal(pool->backend_count, 3);
	assert_string_equal(pool->backends[0].address, "[2001:db8::53]:5353");
	assert_int_equal(pool->backends[0].addr.w[0], htonl(0x20010db8));
	assert_int_equal(pool->backends[0].port, 5353);
	assert_int_equal(pool->backends[0].weight, 0);
	assert_int_equal(pool->backends[1].weight, 1000);
	assert_int_equal(pool->backends[1].addr.w[2], htonl(0xffff));
	assert_int_equal(pool->backends[1].addr.w[3], htonl(0x0a010035));
	assert_true(xdplb_addr_is_ip4(&pool->backends[2].addr));
	config_free(&config);
}

static void a_service_arrives_and_finds_its_pool_further_down(void **state)
{
	struct config config;
	const struct cfg_service *service;

	(void)state;
	parse(rich, &config);
	assert_int_equal(config.service_count, 1);
	service = &config.services[0];
	assert_string_equal(service->name, "dns");
	assert_int_equal(service->pool, 1);
	assert_int_equal(service->source, CFG_SOURCE_CLIENT);
	assert_int_equal(service->idle_timeout_ms, 2592000000U);
	assert_int_equal(service->listener_count, 2);
	assert_int_equal(service->listeners[0].proto, IPPROTO_UDP);
	assert_int_equal(service->listeners[0].port, 53);
	assert_int_equal(service->listeners[0].addr.w[0], htonl(0x20010db8));
	assert_string_equal(service->listeners[0].text, "udp://[2001:db8::10]:53");
	assert_int_equal(service->listeners[1].proto, IPPROTO_TCP);
	assert_true(xdplb_addr_is_ip4(&service->listeners[1].addr));
	assert_int_equal(service->listeners[1].place.line, 2);
	assert_int_equal(service->listeners[1].place.column, 46);
	config_free(&config);
}

static void anchors_and_a_byte_order_mark_are_understood(void **state)
{
	struct config config;

	(void)state;
	parse("\xef\xbb\xbf"
	      "interfaces: [eth0]\n"
	      "pools:\n"
	      "  a: { health: &probe { type: tcp, interval: 5s }, backends: &b [10.1.0.1:80] }\n"
	      "  b: { health: *probe, backends: *b }\n"
	      "services: {}\n",
	      &config);
	assert_int_equal(config.pools[1].health.interval_ms, 5000);
	assert_int_equal(config.pools[1].backend_count, 1);
	config_free(&config);
}

static void one_address_and_port_serves_tcp_and_udp(void **state)
{
	struct config config;

	(void)state;
	parse("interfaces: [eth0]\n"
	      "pools: { web: { backends: [10.1.0.11:8080] } }\n"
	      "services:\n"
	      "  a: { listen: tcp://192.0.2.10:80, pool: web }\n"
	      "  b: { listen: udp://192.0.2.10:80, pool: web }\n",
	      &config);
	assert_int_equal(config.service_count, 2);
	config_free(&config);
}

static void a_file_may_hold_no_services_yet(void **state)
{
	struct config config;

	(void)state;
	parse("interfaces: [eth0]\npools: {}\nservices: {}\n", &config);
	assert_int_equal(config.pool_count, 0);
	assert_int_equal(config.service_count, 0);
	config_free(&config);
}

static void the_samples_load_without_a_warning(void **state)
{
	static const char *const samples[] = { "configs/full.yaml", "configs/minimal.yaml" };

	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		struct config config;
		struct cfg_error err = { "" };

		if (!config_load(samples[i], &config, &err))
			fail_msg("%s", err.text);
		assert_int_equal(config.warning_count, 0);
		config_free(&config);
	}
}

/* ---- the rows themselves */
static void rows_check(const struct mapping *mapping)
{
	size_t count = 0;

	for (const struct field *field = mapping->fields; field->type != FIELD_END; field++) {
		count++;
		assert_ptr_equal(field_find(mapping->fields, field->key), field);
		assert_non_null(field->help);
		if (field->mapping)
			rows_check(field->mapping);
		else if (!field->required)
			assert_true((field->def == NULL) != (field->left_out == NULL));
	}
	assert_in_range(count, 1, SCHEMA_MAX_FIELDS);
}

static void each_row_is_explained_and_has_a_default_or_says_what_holds(void **state)
{
	(void)state;
	rows_check(&top_mapping);
}

static void doc_check(void (*write)(FILE *), const char *path)
{
	char *have = NULL, *want;
	size_t have_len, want_len;
	FILE *memory = open_memstream(&have, &have_len);

	write(memory);
	fclose(memory);
	want = file_text(path, &want_len);
	if (strcmp(have, want) != 0)
		fail_msg("%s is not what build/configdoc writes: write it again", path);
	free(have);
	free(want);
}

static void manual_and_full_sample_are_what_the_rows_say(void **state)
{
	(void)state;
	doc_check(config_doc_markdown, "docs/configuration.md");
	doc_check(config_doc_yaml, "configs/full.yaml");
}

/* ---- many */
static char *many_text(size_t pools, size_t backends, size_t services, size_t listeners)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fputs("interfaces: [eth0]\npools:\n", out);
	for (size_t i = 0; i < pools; i++) {
		fprintf(out, "  p%zu:\n    table: 65537\n    backends:\n", i);
		for (size_t j = 0; j < backends; j++)
			fprintf(out, "      - 10.%zu.%zu.%zu:%zu\n", i >> 8, i & 255, j / 30000 + 1,
				j % 30000 + 1);
	}
	fputs("services:\n", out);
	for (size_t i = 0; i < services; i++) {
		fprintf(out, "  s%zu:\n    pool: p%zu\n    listen:\n", i, i % pools);
		for (size_t j = 0; j < listeners; j++)
			fprintf(out, "      - tcp://172.%zu.%zu.%zu:%zu\n", i >> 8, i & 255,
				j / 30000 + 1, j % 30000 + 1);
	}
	fclose(out);
	return text;
}

static void more_than_the_maps_hold_is_refused_at_the_first_one_too_many(void **state)
{
	char *text = many_text(1, 65537, 1, 1);

	(void)state;
	refuse(text, "lb.yaml:65542:9: backends: there can be 65536 at most");
	free(text);
	text = many_text(2, 32769, 1, 1);
	refuse(text, "lb.yaml:65545:9: backends: there can be 65536 at most");
	free(text);
	text = many_text(1, 1, 1, 32769);
	refuse(text, "lb.yaml:32779:9: listen: there can be 32768 at most");
	free(text);
	text = many_text(1, 1, 16385, 1);
	refuse(text, "lb.yaml:65544:3: services: there can be 16384 at most");
	free(text);
	text = many_text(16385, 1, 1, 1);
	refuse(text, "lb.yaml:65539:3: pools: there can be 16384 at most");
	free(text);
}

static void as_much_as_the_maps_hold_is_taken(void **state)
{
	char *text = many_text(16384, 4, 16384, 2);
	struct config config;

	(void)state;
	parse(text, &config);
	assert_int_equal(config.pool_count, 16384);
	assert_int_equal(config.services[16383].pool, 16383);
	config_free(&config);
	free(text);
}

/* Pairwise comparing would take minutes here; the sanitizers alone cost a factor of five. */
static void twenty_thousand_backends_load_at_once(void **state)
{
	char *text = many_text(1000, 20, 1000, 1);
	struct config config;
	uint64_t start_ns = clock_now_ns();

	(void)state;
	parse(text, &config);
	assert_true(clock_now_ns() - start_ns < 2000000000);
	config_free(&config);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_mistake_is_told_with_its_place_and_remedy),
		cmocka_unit_test(a_file_that_cannot_be_read_is_refused_at_its_start),
		cmocka_unit_test(a_refused_file_leaves_the_output_untouched),
		cmocka_unit_test(a_long_file_name_leaves_room_for_the_message),
		cmocka_unit_test(what_is_left_out_has_its_default),
		cmocka_unit_test(what_is_written_arrives),
		cmocka_unit_test(a_pool_arrives),
		cmocka_unit_test(a_service_arrives_and_finds_its_pool_further_down),
		cmocka_unit_test(anchors_and_a_byte_order_mark_are_understood),
		cmocka_unit_test(one_address_and_port_serves_tcp_and_udp),
		cmocka_unit_test(a_file_may_hold_no_services_yet),
		cmocka_unit_test(the_samples_load_without_a_warning),
		cmocka_unit_test(each_row_is_explained_and_has_a_default_or_says_what_holds),
		cmocka_unit_test(manual_and_full_sample_are_what_the_rows_say),
		cmocka_unit_test(more_than_the_maps_hold_is_refused_at_the_first_one_too_many),
		cmocka_unit_test(as_much_as_the_maps_hold_is_taken),
		cmocka_unit_test(twenty_thousand_backends_load_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
