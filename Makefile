# SPDX-License-Identifier: GPL-2.0-only
# `make` builds build/xdplb; run as root, every target first installs the packages it misses.
CLANG ?= clang-14
OUT := build
VERSION := 0.1.0
PREFIX ?= /usr/local

BPF_SYSINC = -idirafter /usr/include/$(shell $(CC) -print-multiarch)
WARN := -Wall -Wextra -Werror -Wshadow
HOST_WARN := $(WARN) -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wimplicit-fallthrough \
	-Wconversion -Wno-sign-conversion
INC := -Iinclude -Iuser -I$(OUT)
CFLAGS += -std=gnu11 -O2 -g -D_GNU_SOURCE -DXDPLB_VERSION='"$(VERSION)"' $(HOST_WARN) -MMD -MP
SAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LIBS := -lbpf -lyaml -levent -ljansson -lmnl -lcrypto -lnghttp2 -lpcre2-8 -lseccomp -pthread
Q := $(if $(V),,@) # V=1 shows the commands
BPF_CFLAGS = -g -O2 -target bpf -mcpu=v3 $(WARN) -Iinclude $(BPF_SYSINC)

USER_C := $(wildcard user/*/*.c)
MAIN_C := user/cli/main.c
LIB_C := $(filter-out $(MAIN_C),$(USER_C))
BPF_H := $(wildcard bpf/*.h include/xdplb/*.h)
SKELS := $(patsubst bpf/%.bpf.c,$(OUT)/%.skel.h,$(wildcard bpf/*.bpf.c))
TOOL_SKELS := $(patsubst %.bpf.c,$(OUT)/%.skel.h,$(notdir $(wildcard tools/*.bpf.c tools/bench/*.bpf.c)))
TOOLS := $(patsubst tools/%.c,$(OUT)/%,$(filter-out %.bpf.c,$(wildcard tools/*.c))) $(OUT)/bench-cost
BENCH_C := $(filter-out %.bpf.c,$(wildcard tools/bench/*.c))
UNIT := $(patsubst tests/unit/%.c,$(OUT)/unit/%,$(wildcard tests/unit/test_*.c))
BPF_TESTS := $(patsubst tests/bpf/%.c,$(OUT)/bpf/%,$(wildcard tests/bpf/test_*.c))
# of the worker what is pure: can be fuzzed and tested without a kernel
ENGINE_C := $(filter-out %/process.c %/process_thread.c %/ring.c %/sandbox.c %/message.c,$(wildcard user/worker/*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,$(OUT)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
SOURCES := $(shell find include bpf user tests tools -name '*.[ch]' 2>/dev/null)

all: $(OUT)/xdplb tools

include tools/deps.mk

$(OUT)/%.bpf.o: bpf/%.bpf.c $(BPF_H) $(OUT)/.deps
	@mkdir -p $(@D)
	$(Q)echo "  BPF   $@"; $(CLANG) $(BPF_CFLAGS) -c $< -o $@
$(OUT)/%.bpf.o: tools/%.bpf.c $(BPF_H) $(OUT)/.deps
	@mkdir -p $(@D)
	$(Q)echo "  BPF   $@"; $(CLANG) $(BPF_CFLAGS) -Ibpf -c $< -o $@
$(OUT)/%.bpf.o: tools/bench/%.bpf.c tools/bench/wrap.h $(OUT)/.deps
	@mkdir -p $(@D)
	$(Q)echo "  BPF   $@"; $(CLANG) $(BPF_CFLAGS) -c $< -o $@
$(OUT)/%.skel.h: $(OUT)/%.bpf.o
	$(Q)echo "  SKEL  $@"; bpftool gen skeleton $< name $*_bpf > $@

# The program: everything under user/ in one binary, BPF objects embedded.
$(OUT)/obj/%.o: %.c | $(SKELS) $(TOOL_SKELS)
	@mkdir -p $(@D)
	$(Q)echo "  CC    $@"; $(CC) $(CFLAGS) $(INC) -c $< -o $@
$(OUT)/san/%.o: %.c | $(SKELS) $(TOOL_SKELS)
	@mkdir -p $(@D)
	$(Q)echo "  CC    $@"; $(CC) $(CFLAGS) -O1 $(SAN) $(INC) -c $< -o $@
$(OUT)/libxdplb.a: $(LIB_C:%.c=$(OUT)/obj/%.o)
	@rm -f $@; ar rcs $@ $^
$(OUT)/libxdplb-san.a: $(LIB_C:%.c=$(OUT)/san/%.o)
	@rm -f $@; ar rcs $@ $^
$(OUT)/xdplb: $(OUT)/obj/user/cli/main.o $(OUT)/libxdplb.a
	$(Q)echo "  CC    $@"; $(CC) $(LDFLAGS) $^ $(LIBS) -o $@

tools: $(TOOLS)
$(OUT)/%: tools/%.c $(OUT)/libxdplb.a | $(SKELS) $(TOOL_SKELS)
	$(Q)echo "  CC    $@"; $(CC) $(CFLAGS) $(INC) $< $(OUT)/libxdplb.a $(LIBS) -o $@
$(OUT)/bench-cost: $(BENCH_C:%.c=$(OUT)/obj/%.o) $(OUT)/libxdplb.a
	$(Q)echo "  CC    $@"; $(CC) $(LDFLAGS) -pthread $^ $(LIBS) -o $@

# Tests: each file of tests/unit and tests/bpf is a program, linked with the sanitized library.
$(OUT)/unit/%: $(OUT)/san/tests/unit/%.o $(OUT)/libxdplb-san.a
	@mkdir -p $(@D)
	$(Q)echo "  CC    $@"; $(CC) $(SAN) $^ $(LIBS) -lcmocka -o $@
$(OUT)/bpf/%: $(OUT)/obj/tests/bpf/%.o $(OUT)/libxdplb.a
	@mkdir -p $(@D)
	$(Q)echo "  CC    $@"; $(CC) $^ $(LIBS) -lcmocka -o $@
$(OUT)/fuzz/%: tests/fuzz/%.c $(LIB_C) | $(SKELS)
	@mkdir -p $(@D)
	$(Q)echo "  CLANG $@"; $(CLANG) $(CFLAGS) -Wno-unused-command-line-argument -fsanitize=fuzzer $(SAN) $(INC) $< \
		$(filter user/base/% user/config/% user/model/% user/sniff/% user/api/request.c,$(LIB_C)) $(ENGINE_C) \
		-lyaml -ljansson -lcrypto -lnghttp2 -lpcre2-8 -o $@

build-tests: all $(UNIT) $(BPF_TESTS)
test: build-tests
	tests/run $(OUT)
demo: all
	tools/demo/demo $(if $(KEEP),--keep)
bench: all
	tools/bench/bench --out $(OUT) $(BENCH_ARGS)
fuzz: $(FUZZERS)
	@set -e; for fuzzer in $(FUZZERS); do name=$$(basename $$fuzzer); \
		mkdir -p $(OUT)/corpus/$$name; \
		$$fuzzer -max_total_time=$(or $(FUZZ_S),30) -timeout=10 $(OUT)/corpus/$$name \
			$$(ls -d tests/fuzz/corpus/$$name 2>/dev/null); \
	done

format: | $(OUT)/.deps
	clang-format -i $(SOURCES)
lint: $(SKELS) $(TOOL_SKELS) | $(OUT)/.deps
	CLANG='$(CLANG)' OUT='$(OUT)' tools/lint
install: all
	install -D -m 755 $(OUT)/xdplb $(DESTDIR)$(PREFIX)/sbin/xdplb
	install -D -m 644 configs/xdplb.service $(DESTDIR)/lib/systemd/system/xdplb.service
	install -D -m 644 configs/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/xdplb
clean:
	rm -rf $(OUT)

.PHONY: all tools build-tests test demo bench fuzz format lint install clean
.DELETE_ON_ERROR:
.SECONDARY:
-include $(shell find $(OUT)/obj $(OUT)/san -name '*.d' 2>/dev/null)
