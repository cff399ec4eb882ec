// SPDX-License-Identifier: GPL-2.0-only
/* Pins, links, plans and counters, on the kernel this runs on. */
#include "dataplane_fixture.h"

#include <dirent.h>
#include <net/if.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/capability.h>
#include <linux/magic.h>

#include "base/clock.h"

#define FLOWS 1000U

static char top[] = "/run/xdplb-test-XXXXXX", bpffs[64];

struct state {
	struct dataplane *dp;
	struct dp_error err;
	bool adopted;
};

static struct dp_options options(uint32_t flow_table)
{
	return (struct dp_options){ .bpffs = bpffs, .flow_table = flow_table, .hash_seed = "seed" };
}

static int open_with(struct state *s, const struct dp_options *opts)
{
	s->err.text[0] = '\0';
	return dataplane_open(opts, &s->dp, &s->adopted, &s->err);
}

static void must_open(struct state *s)
{
	const struct dp_options opts = options(FLOWS);

	if (open_with(s, &opts))
		fail_msg("%s", s->err.text);
}

static void must_refuse(struct state *s, int error, const char *words)
{
	const struct dp_options opts = options(FLOWS);

	assert_int_equal(open_with(s, &opts), error);
	if (!strstr(s->err.text, words))
		fail_msg("'%s' does not say '%s'", s->err.text, words);
}

static void reopen(struct state *s)
{
	dataplane_close(s->dp);
	s->dp = NULL;
	must_open(s);
	assert_true(s->adopted);
}

static int pin(const char *name)
{
	auto_free char *path = xasprintf("%s/%s", bpffs, name);
	int fd = bpf_obj_get(path);

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return fd;
}

static void unpin(const char *name)
{
	auto_free char *path = xasprintf("%s/%s", bpffs, name);

	assert_int_equal(unlink(path), 0);
}

static struct bpf_map_info map_info(const char *name)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	auto_fd int fd = pin(name);

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &size), 0);
	return info;
}

static struct xdplb_settings settings_read(void)
{
	struct xdplb_settings settings;
	const uint32_t row = 0;
	auto_fd int fd = pin("settings");

	assert_int_equal(bpf_map_lookup_elem(fd, &row, &settings), 0);
	return settings;
}

static void settings_write(const struct xdplb_settings *settings)
{
	const uint32_t row = 0;
	auto_fd int fd = pin("settings");

	assert_int_equal(bpf_map_update_elem(fd, &row, settings, BPF_ANY), 0);
}

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && fs.f_type == BPF_FS_MAGIC;
}

static int set_up(void **arg)
{
	static struct state state;

	state = (struct state){ 0 };
	*arg = &state;
	return 0;
}

static int tear_down(void **arg)
{
	struct state *s = *arg;
	int ret;

	dataplane_close(s->dp);
	ret = dataplane_detach_all(bpffs, &s->err);
	if (ret)
		print_error("%s\n", s->err.text);
	sh("ip link del va 2>/dev/null");
	return ret;
}

/* ---- pins */

static void opening_pins_every_map_by_its_name(void **arg)
{
	static const char *const names[] = {
		"services", "pools",	"backends", "tables", "flows",
		"embryos",  "outcomes", "xsks",	    "egress", "gauges"
	};
	struct state *s = *arg;

	must_open(s);
	assert_false(s->adopted);
	assert_true(is_bpffs(bpffs));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_string_equal(map_info(names[i]).name, names[i]);
	assert_int_not_equal(map_info("flows").btf_value_type_id, 0);
	assert_int_equal(settings_read().abi_version, XDPLB_ABI_VERSION);
	assert_int_equal(settings_read().syn_ticks, ticks_of_ms(10000));
	assert_int_equal(settings_read().closing_ticks, ticks_of_ms(60000));
}

static void map_sizes_follow_the_flow_table(void **arg)
{
	struct state *s = *arg;
	struct dp_options opts = options(30000);

	assert_int_equal(open_with(s, &opts), 0);
	assert_int_equal(map_info("flows").max_entries, 30000);
	assert_int_equal(map_info("flow_free").max_entries, 30000);
	assert_int_equal(map_info("embryos").max_entries, 65536);
	assert_int_equal(map_info("flow_index").max_entries, 131072);
	assert_int_equal(settings_read().flow_table, 30000);
	assert_int_equal(dataplane_flow_table(s->dp), 30000);
	assert_int_equal(dataplane_embryo_table(s->dp), 65536);
}

static void a_restart_adopts_what_is_pinned(void **arg)
{
	struct state *s = *arg;
	struct dp_options opts = options(FLOWS);
	struct xdplb_settings before, after;
	uint32_t id;

	must_open(s);
	before = settings_read();
	id = map_info("flows").id;
	dataplane_set_timeouts(s->dp, 3000, 4000);
	dataplane_close(s->dp);
	opts.hash_seed[0] ^= 1;
	assert_int_equal(open_with(s, &opts), 0);
	assert_true(s->adopted);
	after = settings_read();
	assert_int_equal(dataplane_flow_table(s->dp), FLOWS);
	assert_int_equal(map_info("flows").id, id);
	assert_memory_equal(before.index_key, after.index_key, sizeof(after.index_key));
	assert_memory_not_equal(before.select_key, after.select_key, sizeof(after.select_key));
	assert_int_equal(after.syn_ticks, ticks_of_ms(3000));
}

static void an_unfinished_creation_is_made_anew(void **arg)
{
	struct state *s = *arg;
	struct xdplb_settings settings;

	must_open(s);
	dataplane_close(s->dp);
	settings = settings_read();
	settings.abi_version = 0;
	settings_write(&settings);
	unpin("flows");
	must_open(s);
	assert_false(s->adopted);
	dataplane_close(s->dp);
	unpin("settings");
	must_open(s);
	assert_false(s->adopted);
	reopen(s);
}

static void a_daemon_killed_while_creating_is_no_obstacle(void **arg)
{
	const struct dp_options opts = options(FLOWS);
	struct state *s = *arg;

	for (useconds_t delay_us = 500; delay_us < 200000; delay_us += delay_us / 2) {
		pid_t pid = fork();

		if (!pid) {
			open_with(s, &opts);
			_exit(0);
		}
		usleep(delay_us);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		must_open(s);
		dataplane_close(s->dp);
		s->dp = NULL;
		assert_int_equal(dataplane_detach_all(bpffs, &s->err), 0);
	}
}

static void pins_with_a_map_missing_are_refused(void **arg)
{
	struct state *s = *arg;

	must_open(s);
	dataplane_close(s->dp);
	s->dp = NULL;
	unpin("backends");
	must_refuse(s, -EEXIST, "map backends is missing");
	assert_non_null(strstr(s->err.text, "detach --all"));
}

static void pins_of_another_abi_are_refused_with_what_would_be_lost(void **arg)
{
	const struct xdplb_gauges gauges = { .flows_used = 17 };
	struct xdplb_settings settings;
	const uint32_t row = 0;
	struct state *s = *arg;
	auto_fd int fd = -1;

	must_open(s);
	dataplane_close(s->dp);
	s->dp = NULL;
	fd = pin("gauges");
	assert_int_equal(bpf_map_update_elem(fd, &row, &gauges, BPF_ANY), 0);
	settings = settings_read();
	settings.abi_version = XDPLB_ABI_VERSION + 1;
	settings_write(&settings);
	must_refuse(s, -EEXIST, "ABI version is");
	assert_non_null(strstr(s->err.text, "loses 17 flows"));
}

static void pins_of_another_shape_are_refused(void **arg)
{
	struct state *s = *arg;
	auto_free char *path = NULL;
	auto_fd int fd = -1;

	must_open(s);
	dataplane_close(s->dp);
	s->dp = NULL;
	unpin("backends");
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "backends", 4, 64, 7, NULL);
	path = xasprintf("%s/backends", bpffs);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
	must_refuse(s, -EEXIST, "map backends has another shape");
}

static void a_list_of_counters_that_grew_keeps_its_counts(void **arg)
{
	uint64_t counts[1024] = { 0 }, outcomes[XDPLB_OUTCOME_MAX];
	struct state *s = *arg;
	auto_free char *path = NULL;
	const uint32_t row = 1;
	auto_fd int fd = -1;

	must_open(s);
	dataplane_close(s->dp);
	s->dp = NULL;
	unpin("outcomes");
	fd = bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "outcomes", 4, 8, 2, NULL);
	counts[0] = 40;
	counts[1] = 2;
	assert_int_equal(bpf_map_update_elem(fd, &row, counts, BPF_ANY), 0);
	path = xasprintf("%s/outcomes", bpffs);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
	must_open(s);
	assert_true(s->adopted);
	dataplane_outcomes(s->dp, outcomes);
	assert_int_equal(outcomes[row], libbpf_num_possible_cpus() > 1 ? 42 : 40);
	assert_int_equal(map_info("outcomes").max_entries, XDPLB_OUTCOME_MAX);
	reopen(s);
}

static void a_directory_in_use_is_not_mounted_over(void **arg)
{
	struct state *s = *arg;

	assert_int_equal(mkdir(bpffs, 0700), 0);
	run("touch %s/precious", bpffs);
	must_refuse(s, -ENOTEMPTY, "not empty");
	run("rm %s/precious", bpffs);
}

static void a_directory_in_a_bpffs_is_just_made(void **arg)
{
	struct state *s = *arg;
	struct dp_options opts = options(FLOWS);
	char nested[128];

	must_open(s);
	snprintf(nested, sizeof(nested), "%s/a/b", bpffs);
	opts.bpffs = nested;
	dataplane_close(s->dp);
	assert_int_equal(open_with(s, &opts), 0);
	assert_false(s->adopted);
	assert_int_equal(dataplane_detach_all(nested, &s->err), 0);
	assert_int_not_equal(access(nested, F_OK), 0);
	run("rmdir %s/a", bpffs);
}

static void it_makes_do_where_no_bpffs_is_mounted_at_all(void **arg)
{
	struct state *s = *arg;
	struct dp_options opts = options(FLOWS);

	if (is_bpffs("/sys/fs/bpf"))
		assert_int_equal(umount2("/sys/fs/bpf", MNT_DETACH), 0); /* of our namespace */
	opts.bpffs = "/sys/fs/bpf/xdplb-test";
	if (open_with(s, &opts))
		fail_msg("%s", s->err.text);
	dataplane_close(s->dp);
	s->dp = NULL;
	assert_int_equal(dataplane_detach_all(opts.bpffs, &s->err), 0);
	assert_false(is_bpffs("/sys/fs/bpf"));
}

static void a_flow_table_out_of_range_is_refused(void **arg)
{
	struct state *s = *arg;
	struct dp_options opts = options(1U << 25);

	assert_int_equal(open_with(s, &opts), -EINVAL);
	assert_non_null(strstr(s->err.text, "flow_table"));
}

/* ---- links */

static void veth_make(void)
{
	run("ip link add va numrxqueues 2 numtxqueues 2 type veth peer name vb numrxqueues 2 "
	    "numtxqueues 2");
	run("ip link set va up && ip link set vb up");
}

static uint32_t program_on(const char *ifname)
{
	uint32_t id = 0;

	bpf_xdp_query_id((int)if_nametoindex(ifname), 0, &id);
	return id;
}

static void must_attach(struct state *s, const char *ifname, enum cfg_attach mode, bool expect)
{
	bool native = !expect;

	if (dataplane_attach(s->dp, ifname, mode, &native, &s->err))
		fail_msg("%s", s->err.text);
	assert_int_equal(native, expect);
}

static void must_not_attach(struct state *s, const char *ifname, int error, const char *words)
{
	bool native;

	assert_int_equal(dataplane_attach(s->dp, ifname, CFG_ATTACH_AUTO, &native, &s->err), error);
	if (!strstr(s->err.text, words))
		fail_msg("'%s' does not say '%s'", s->err.text, words);
}

static size_t link_count(void)
{
	auto_free struct dp_link *links = NULL;
	size_t count;

	assert_int_equal(dataplane_links(bpffs, &links, &count), 0);
	return count;
}

static struct dp_link link_only(void)
{
	auto_free struct dp_link *links = NULL;
	size_t count;

	assert_int_equal(dataplane_links(bpffs, &links, &count), 0);
	assert_int_equal(count, 1);
	return links[0];
}

static void a_link_is_native_where_it_can_be_and_outlives_the_daemon(void **arg)
{
	struct state *s = *arg;

	veth_make();
	must_open(s);
	assert_int_equal(link_count(), 0);
	must_attach(s, "va", CFG_ATTACH_AUTO, true);
	dataplane_close(s->dp);
	s->dp = NULL;
	assert_int_not_equal(program_on("va"), 0);
	assert_string_equal(link_only().ifname, "va");
	assert_int_equal(link_only().ifindex, if_nametoindex("va"));
	assert_true(link_only().native);
	assert_int_equal(dataplane_detach(bpffs, "va", &s->err), 0);
	assert_int_equal(program_on("va"), 0);
	assert_int_equal(link_count(), 0);
	assert_int_equal(dataplane_detach(bpffs, "va", &s->err), -ENOENT);
}

static void a_new_daemon_replaces_the_program_in_place(void **arg)
{
	struct state *s = *arg;
	struct bpf_link_info before = { 0 }, after = { 0 };
	uint32_t size = sizeof(before);
	auto_fd int link = -1;

	veth_make();
	must_open(s);
	must_attach(s, "va", CFG_ATTACH_AUTO, true);
	link = pin("link_va");
	assert_int_equal(bpf_obj_get_info_by_fd(link, &before, &size), 0);
	reopen(s);
	assert_int_equal(bpf_obj_get_info_by_fd(link, &after, &size), 0);
	assert_int_equal(before.id, after.id);
	assert_int_not_equal(before.prog_id, after.prog_id);
	assert_int_equal(program_on("va"), after.prog_id);
	must_attach(s, "va", CFG_ATTACH_AUTO, true);
	assert_int_equal(program_on("va"), after.prog_id);
}

static void the_mode_asked_for_is_the_mode_attached(void **arg)
{
	struct state *s = *arg;

	veth_make();
	must_open(s);
	must_attach(s, "va", CFG_ATTACH_GENERIC, false);
	assert_false(link_only().native);
	must_attach(s, "va", CFG_ATTACH_AUTO, false); /* as it is */
	must_attach(s, "va", CFG_ATTACH_NATIVE, true);
	assert_true(link_only().native);
	must_attach(s, "lo", CFG_ATTACH_AUTO, false); /* has no native XDP */
	assert_int_equal(dataplane_detach(bpffs, "lo", &s->err), 0);
}

static void a_mode_that_is_refused_leaves_the_one_before(void **arg)
{
	struct state *s = *arg;
	bool native;

	must_open(s);
	must_attach(s, "lo", CFG_ATTACH_GENERIC, false);
	assert_true(dataplane_attach(s->dp, "lo", CFG_ATTACH_NATIVE, &native, &s->err) < 0);
	assert_non_null(strstr(s->err.text, "lo: attaching in native mode"));
	assert_int_not_equal(program_on("lo"), 0);
	assert_false(link_only().native);
}

static void a_device_made_anew_is_attached_anew(void **arg)
{
	struct state *s = *arg;

	veth_make();
	must_open(s);
	must_attach(s, "va", CFG_ATTACH_AUTO, true);
	run("ip link del va");
	assert_int_equal(link_only().ifindex, 0);
	must_not_attach(s, "va", -ENODEV, "no such interface");
	veth_make();
	assert_int_equal(program_on("va"), 0);
	must_attach(s, "va", CFG_ATTACH_AUTO, true);
	assert_int_equal(link_only().ifindex, if_nametoindex("va"));
	assert_int_not_equal(program_on("va"), 0);
}

static void a_renamed_interface_keeps_its_link(void **arg)
{
	struct state *s = *arg;

	veth_make();
	must_open(s);
	must_attach(s, "va", CFG_ATTACH_AUTO, true);
	run("ip link set va down && ip link set va name va.1 && ip link set va.1 up");
	must_attach(s, "va.1", CFG_ATTACH_AUTO, true);
	assert_string_equal(link_only().ifname, "va.1");
	assert_int_equal(dataplane_detach(bpffs, "va.1", &s->err), 0);
	run("ip link del va.1");
}

static void a_foreign_program_is_named_and_left_alone(void **arg)
{
	static const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 2 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	struct state *s = *arg;
	char id[32];
	auto_fd int program =
		bpf_prog_load(BPF_PROG_TYPE_XDP, "somebody_elses", "GPL", pass, 2, NULL);

	veth_make();
	must_open(s);
	assert_true(program >= 0);
	assert_int_equal(bpf_xdp_attach((int)if_nametoindex("va"), program, 0, NULL), 0);
	snprintf(id, sizeof(id), "id %u", program_on("va"));
	must_not_attach(s, "va", -EBUSY, "'somebody_elses'");
	assert_non_null(strstr(s->err.text, id));
	assert_int_equal(link_count(), 0);
	assert_int_equal(bpf_xdp_detach((int)if_nametoindex("va"), 0, NULL), 0);
	must_attach(s, "va", CFG_ATTACH_AUTO, true);
}

static void names_that_no_interface_can_have_are_refused(void **arg)
{
	struct state *s = *arg;

	must_open(s);
	must_not_attach(s, "an-interface-name-too-long", -EINVAL, "no name of an interface");
	must_not_attach(s, "../x", -EINVAL, "no name of an interface");
	must_not_attach(s, "none", -ENODEV, "no such interface");
}

static void too_few_queues_are_explained(void **arg)
{
	struct state *s = *arg;
	bool native;

	run("ip link add va numrxqueues 1 numtxqueues 1 type veth peer name vb numrxqueues 1 "
	    "numtxqueues 4");
	must_open(s);
	assert_int_equal(dataplane_attach(s->dp, "va", CFG_ATTACH_NATIVE, &native, &s->err),
			 -ENOSPC);
	assert_non_null(strstr(s->err.text, "transmit queues"));
	must_attach(s, "va", CFG_ATTACH_AUTO, false);
}

static void detaching_all_leaves_nothing(void **arg)
{
	struct state *s = *arg;

	veth_make();
	must_open(s);
	must_attach(s, "va", CFG_ATTACH_AUTO, true);
	must_attach(s, "vb", CFG_ATTACH_GENERIC, false);
	dataplane_close(s->dp);
	s->dp = NULL;
	if (dataplane_detach_all(bpffs, &s->err))
		fail_msg("%s", s->err.text);
	assert_int_equal(program_on("va"), 0);
	assert_int_equal(program_on("vb"), 0);
	assert_int_not_equal(access(bpffs, F_OK), 0);
	assert_false(is_bpffs(bpffs));
	assert_int_equal(link_count(), 0);
	assert_int_equal(dataplane_detach_all(bpffs, &s->err), 0);
}

/* ---- plans */

struct world {
	struct model *model;
	struct entries entries;
};

static struct world world_make(size_t pools, uint32_t backends, uint32_t table)
{
	struct config config = fixture_config();
	struct world w;

	for (size_t i = 0; i < pools; i++) {
		auto_free char *name = xasprintf("p%zu", i);
		auto_free char *vip = xasprintf("192.0.%zu.%zu:80", i / 200, i % 200 + 1);
		struct cfg_pool *pool = fixture_pool(&config, name, XDPLB_MAGLEV);

		pool->table = table;
		fixture_backends(pool, backends);
		fixture_listener(fixture_service(&config, name, i), IPPROTO_TCP, vip);
	}
	config.nat_addrs = xcalloc(1, sizeof(*config.nat_addrs));
	config.nat_addrs[0] = fixture_addr("192.0.2.99");
	config.nat_addr_count = 1;
	w.model = model_new();
	fixture_set(w.model, config);
	render(w.model, &w.entries);
	return w;
}

static void world_end(struct world *w)
{
	entries_free(&w->entries);
	model_free(w->model);
}

static int apply(struct state *s, const struct world *w, const struct plan_step *extra)
{
	struct entries now;
	struct plan plan;
	int ret;

	assert_int_equal(dataplane_read(s->dp, &now, &s->err), 0);
	plan_make(&now, &w->entries, &plan);
	if (extra)
		*array_push(plan.steps, plan.count) = *extra;
	ret = dataplane_apply(s->dp, w->model, &plan, &s->err);
	plan_free(&plan);
	entries_free(&now);
	return ret;
}

static void must_apply(struct state *s, const struct world *w)
{
	if (apply(s, w, NULL))
		fail_msg("%s", s->err.text);
}

static void must_hold(struct state *s, const struct entries *want)
{
	struct entries got;
	struct plan plan;

	assert_int_equal(dataplane_read(s->dp, &got, &s->err), 0);
	assert_int_equal(got.service_count, want->service_count);
	assert_int_equal(got.pool_count, want->pool_count);
	assert_int_equal(got.backend_count, want->backend_count);
	plan_make(&got, want, &plan);
	assert_int_equal(plan.count, 0);
	plan_free(&plan);
	entries_free(&got);
}

/* The table in a row of the outer map, -1: none. */
static int table_open(uint32_t row)
{
	auto_fd int tables = pin("tables");
	uint32_t id;

	return bpf_map_lookup_elem(tables, &row, &id) ? -1 : bpf_map_get_fd_by_id(id);
}

static uint32_t table_slots(uint32_t row)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	auto_fd int fd = table_open(row);

	if (fd < 0)
		return 0;
	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &size), 0);
	assert_int_not_equal(info.btf_value_type_id, 0);
	return info.max_entries;
}

/* Slot by slot what the model renders, repeated where the table is longer. */
static void must_hold_table(const struct world *w, uint32_t pool, enum xdplb_family family)
{
	uint32_t row = pool * XDPLB_FAMILIES + family, count;
	auto_free struct xdplb_slot *want = render_table(w->model, pool, family, &count);
	uint32_t slots = table_slots(row);
	auto_fd int fd = table_open(row);

	for (uint32_t i = 0; i < slots; i++) {
		struct xdplb_slot slot;

		assert_int_equal(bpf_map_lookup_elem(fd, &i, &slot), 0);
		assert_int_equal(slot.backend, count ? want[i % count].backend : 0);
	}
	assert_true(slots >= count);
}

static void entries_read_back_equal_those_applied(void **arg)
{
	struct world w = world_make(3, 20, 2039);
	struct state *s = *arg;

	must_open(s);
	must_apply(s, &w);
	must_hold(s, &w.entries);
	reopen(s);
	must_hold(s, &w.entries);
	for (uint32_t pool = 0; pool < 3; pool++)
		must_hold_table(&w, w.entries.pools[pool].id, XDPLB_V4);
	assert_int_equal(settings_read().nat_buffer, 1);
	world_end(&w);
}

static void a_failed_plan_leaves_everything_as_it_was(void **arg)
{
	static const struct entry_backend beyond = { .id = XDPLB_MAX_BACKENDS };
	const struct plan_step bad = { .kind = PLAN_BACKEND_SET,
				       .id = beyond.id,
				       .after = &beyond };
	struct world first = world_make(2, 20, 2039), second = world_make(5, 7, 4093);
	struct world none = world_make(0, 0, 2039);
	struct state *s = *arg;

	must_open(s);
	must_apply(s, &first);
	assert_int_equal(apply(s, &second, &bad), -E2BIG);
	assert_non_null(strstr(s->err.text, "as it was before"));
	must_hold(s, &first.entries);
	must_hold_table(&first, 0, XDPLB_V4);
	must_hold_table(&first, 1, XDPLB_V4);
	assert_int_equal(apply(s, &none, &bad), -E2BIG);
	must_hold(s, &first.entries);
	must_hold_table(&first, 0, XDPLB_V4);
	must_apply(s, &second);
	must_hold(s, &second.entries);
	world_end(&first);
	world_end(&second);
	world_end(&none);
}

/* CAP_SYS_ADMIN, in effect or not: it stays permitted. */
static void admin_set(bool on)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	assert_int_equal(syscall(SYS_capget, &header, data), 0);
	if (on)
		data[0].effective |= 1U << CAP_SYS_ADMIN;
	else
		data[0].effective &= ~(1U << CAP_SYS_ADMIN);
	assert_int_equal(syscall(SYS_capset, &header, data), 0);
}

static void tables_that_cannot_be_put_back_are_rendered_with_the_next_plan(void **arg)
{
	static const struct entry_backend beyond = { .id = XDPLB_MAX_BACKENDS };
	const struct plan_step bad = { .kind = PLAN_BACKEND_SET,
				       .id = beyond.id,
				       .after = &beyond };
	struct world first = world_make(1, 20, 2039), second = world_make(1, 7, 2039);
	struct state *s = *arg;

	must_open(s);
	must_apply(s, &first);
	admin_set(false);
	assert_int_equal(apply(s, &second, &bad), -E2BIG);
	admin_set(true);
	must_hold_table(&second, 0, XDPLB_V4);
	must_apply(s, &first);
	must_hold(s, &first.entries);
	must_hold_table(&first, 0, XDPLB_V4);
	world_end(&first);
	world_end(&second);
}

static void the_daemon_does_without_cap_sys_admin(void **arg)
{
	struct world w = world_make(2, 20, 2039);
	struct state *s = *arg;

	veth_make();
	must_open(s);
	admin_set(false);
	reopen(s);
	must_apply(s, &w);
	must_hold(s, &w.entries);
	must_attach(s, "va", CFG_ATTACH_AUTO, true);
	dataplane_close(s->dp);
	s->dp = NULL;
	admin_set(true);
	world_end(&w);
}

static void deleted_pools_leave_rows_and_empty_tables(void **arg)
{
	struct world full = world_make(3, 5, 2039), none = world_make(0, 0, 2039);
	struct state *s = *arg;

	must_open(s);
	must_apply(s, &full);
	must_apply(s, &none);
	must_hold(s, &none.entries);
	assert_true(table_slots(0) <= 1);
	world_end(&full);
	world_end(&none);
}

static void a_shrinking_table_keeps_its_size_until_the_next_change(void **arg)
{
	struct world big = world_make(1, 5, 4093), small = world_make(1, 5, 2039);
	struct world other = world_make(1, 6, 2039);
	struct state *s = *arg;

	must_open(s);
	must_apply(s, &big);
	must_apply(s, &small);
	assert_int_equal(table_slots(0), 4093);
	must_hold_table(&small, 0, XDPLB_V4);
	must_apply(s, &other);
	assert_int_equal(table_slots(0), 2039);
	must_hold_table(&other, 0, XDPLB_V4);
	world_end(&big);
	world_end(&small);
	world_end(&other);
}

static void a_thousand_tables_are_swapped_in_a_second_or_so(void **arg)
{
	struct world w = world_make(1000, 20, 4093);
	struct world none = world_make(0, 0, 4093);
	struct state *s = *arg;
	uint64_t start_ns, render_ns;

	must_open(s);
	start_ns = clock_now_ns();
	for (uint32_t pool = 0; pool < 1000; pool++) {
		uint32_t count;

		free(render_table(w.model, pool, XDPLB_V4, &count));
	}
	render_ns = clock_now_ns() - start_ns;
	start_ns = clock_now_ns();
	must_apply(s, &w);
	print_message("1000 tables of 4093 slots: rendered in %u ms, applied in %u ms\n",
		      (uint32_t)(render_ns / 1000000),
		      (uint32_t)((clock_now_ns() - start_ns - render_ns) / 1000000));
	start_ns = clock_now_ns();
	must_hold(s, &w.entries);
	print_message("read back in %u ms\n", (uint32_t)((clock_now_ns() - start_ns) / 1000000));
	start_ns = clock_now_ns();
	must_apply(s, &none);
	print_message("taken back in %u ms\n", (uint32_t)((clock_now_ns() - start_ns) / 1000000));
	assert_true(clock_now_ns() - start_ns < 1000000000U);
	world_end(&w);
	world_end(&none);
}

/* ---- counters and flows */

static void counters_are_summed_over_cpus_and_zeroed(void **arg)
{
	int cpus = libbpf_num_possible_cpus();
	auto_free struct xdplb_stats *stats = xcalloc((size_t)cpus, sizeof(*stats));
	struct xdplb_backend_state state = { .active = 3 };
	const uint32_t id = 7;
	struct state *s = *arg;
	struct xdplb_stats sum;
	auto_fd int fd = -1, state_fd = -1;

	must_open(s);
	for (int cpu = 0; cpu < cpus; cpu++) {
		stats[cpu].connections = 5;
		stats[cpu].bytes[XDPLB_TO_CLIENT] = (uint64_t)cpu + 1;
	}
	fd = pin("backend_stats");
	state_fd = pin("backend_state");
	assert_int_equal(bpf_map_update_elem(fd, &id, stats, BPF_ANY), 0);
	assert_int_equal(bpf_map_update_elem(state_fd, &id, &state, BPF_ANY), 0);
	dataplane_backend_stats(s->dp, id, &sum);
	assert_int_equal(sum.connections, 5 * cpus);
	assert_int_equal(sum.bytes[XDPLB_TO_CLIENT], cpus * (cpus + 1) / 2);
	dataplane_zero_backend(s->dp, id);
	dataplane_backend_stats(s->dp, id, &sum);
	dataplane_backend_state(s->dp, id, &state);
	assert_int_equal(sum.connections + sum.bytes[XDPLB_TO_CLIENT], 0);
	assert_int_equal(state.active, 0);
	assert_int_not_equal(state.port_cursor, 0);
}

static bool flow_take(void *arg, const struct xdplb_flow *flow)
{
	uint32_t *seen = arg;

	seen[0]++;
	seen[1] = seen[1] * 10 + flow->half[XDPLB_TO_BACKEND].mark;
	return seen[0] < seen[2];
}

static void flow_write(const char *map, uint32_t row, uint32_t state, uint32_t life, uint32_t mark)
{
	struct xdplb_flow flow = { 0 };
	auto_fd int fd = pin(map);

	flow.half[XDPLB_TO_BACKEND].state = state;
	flow.half[XDPLB_TO_CLIENT].life = life;
	flow.half[XDPLB_TO_BACKEND].mark = mark;
	assert_int_equal(bpf_map_update_elem(fd, &row, &flow, BPF_ANY), 0);
}

static void each_flow_is_visited_once_and_none_that_is_being_written(void **arg)
{
	const struct xdplb_gauges gauges = { .flows_touched = 4 };
	uint32_t seen[3] = { 0, 0, 100 };
	struct state *s = *arg;
	const uint32_t row = 0;
	auto_fd int fd = -1;

	must_open(s);
	fd = pin("gauges");
	assert_int_equal(bpf_map_update_elem(fd, &row, &gauges, BPF_ANY), 0);
	flow_write("embryos", 1023, XDPLB_FLOW_UNANSWERED, 6, 3);
	flow_write("flows", 0, XDPLB_FLOW_ESTABLISHED, 2, 1);
	flow_write("flows", 1, XDPLB_FLOW_ESTABLISHED, 3, 9); /* being written */
	flow_write("flows", 2, XDPLB_FLOW_CLAIMED, 2, 9);
	flow_write("flows", 3, XDPLB_FLOW_CLOSED, 2, 2);
	flow_write("flows", 4, XDPLB_FLOW_ESTABLISHED, 2, 9); /* never used, by the gauge */
	dataplane_each_flow(s->dp, flow_take, seen);
	assert_int_equal(seen[0], 3);
	assert_int_equal(seen[1], 123);
	seen[0] = seen[1] = 0;
	seen[2] = 2;
	dataplane_each_flow(s->dp, flow_take, seen);
	assert_int_equal(seen[1], 12);
}

static void heartbeat_and_egress_reach_the_maps(void **arg)
{
	const uint32_t lo = 1;
	uint32_t ifindex = 0;
	struct state *s = *arg;
	auto_fd int fd = -1;

	must_open(s);
	dataplane_heartbeat(s->dp, 4711);
	assert_int_equal(settings_read().heartbeat_tick, 4711);
	assert_int_equal(dataplane_egress_set(s->dp, lo), 0);
	assert_int_equal(dataplane_egress_set(s->dp, lo), 0);
	fd = pin("egress");
	assert_int_equal(bpf_map_lookup_elem(fd, &lo, &ifindex), 0);
	assert_int_equal(ifindex, lo);
	assert_int_equal(dataplane_egress_delete(s->dp, lo), 0);
	assert_int_not_equal(bpf_map_lookup_elem(fd, &lo, &ifindex), 0);
	dataplane_sweep(s->dp, 1000);
}

static int group_up(void **arg)
{
	(void)arg;
	if (!fixture_isolate() || !mkdtemp(top)) {
		print_message("SKIP: needs root\n");
		return -1;
	}
	snprintf(bpffs, sizeof(bpffs), "%s/bpf", top);
	return 0;
}

static int group_down(void **arg)
{
	(void)arg;
	return rmdir(top);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(opening_pins_every_map_by_its_name),
		TEST(map_sizes_follow_the_flow_table),
		TEST(a_restart_adopts_what_is_pinned),
		TEST(an_unfinished_creation_is_made_anew),
		TEST(a_daemon_killed_while_creating_is_no_obstacle),
		TEST(pins_with_a_map_missing_are_refused),
		TEST(pins_of_another_abi_are_refused_with_what_would_be_lost),
		TEST(pins_of_another_shape_are_refused),
		TEST(a_list_of_counters_that_grew_keeps_its_counts),
		TEST(a_directory_in_use_is_not_mounted_over),
		TEST(a_directory_in_a_bpffs_is_just_made),
		TEST(it_makes_do_where_no_bpffs_is_mounted_at_all),
		TEST(a_flow_table_out_of_range_is_refused),
		TEST(a_link_is_native_where_it_can_be_and_outlives_the_daemon),
		TEST(a_new_daemon_replaces_the_program_in_place),
		TEST(the_mode_asked_for_is_the_mode_attached),
		TEST(a_mode_that_is_refused_leaves_the_one_before),
		TEST(a_device_made_anew_is_attached_anew),
		TEST(a_renamed_interface_keeps_its_link),
		TEST(a_foreign_program_is_named_and_left_alone),
		TEST(names_that_no_interface_can_have_are_refused),
		TEST(too_few_queues_are_explained),
		TEST(detaching_all_leaves_nothing),
		TEST(entries_read_back_equal_those_applied),
		TEST(a_failed_plan_leaves_everything_as_it_was),
		TEST(tables_that_cannot_be_put_back_are_rendered_with_the_next_plan),
		TEST(the_daemon_does_without_cap_sys_admin),
		TEST(deleted_pools_leave_rows_and_empty_tables),
		TEST(a_shrinking_table_keeps_its_size_until_the_next_change),
		TEST(a_thousand_tables_are_swapped_in_a_second_or_so),
		TEST(counters_are_summed_over_cpus_and_zeroed),
		TEST(each_flow_is_visited_once_and_none_that_is_being_written),
		TEST(heartbeat_and_egress_reach_the_maps),
	};

	return cmocka_run_group_tests_name("dataplane", tests, group_up, group_down);
}
