# Tests. Unit tests and fuzz targets are one .c file each, whose first line lists the sources they
# are linked with ("// unit: a.c b.c" or "// fuzz: a.c b.c"); tests/tool/*.t run the host tool,
# tests/guest/*.t boot guests. All speak TAP; scripts/run-tests, prove's machinery, runs them.
TEST_B      := $(B)/tests
TEST_CC     ?= gcc
TEST_FLAGS  := -std=gnu11 -O1 -g -Wall -Wextra -Werror -Wno-unused-parameter -DWHERRY_HOST_TEST \
	-fno-builtin-strlcpy -iquote kernel -iquote tools -iquote tests/unit -Iinclude -fno-strict-aliasing
SANITIZE    := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-sanitize=alignment
UNIT_SRC    := $(wildcard tests/unit/test_*.c)
UNIT_BIN    := $(UNIT_SRC:tests/unit/%.c=$(TEST_B)/unit/%)
FUZZ_SRC    := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_BIN    := $(FUZZ_SRC:tests/fuzz/%.c=$(TEST_B)/fuzz/%)
FUZZ_TIME   ?= 10
TOOL_TESTS  := $(wildcard tests/tool/*.t)
GUEST_TESTS := $(wildcard tests/guest/*.t)
TEST_JOBS   ?= 1
SOAK_SECONDS ?= 3600

sources_of = $(shell sed -n '1s,^// \(unit\|fuzz\): ,,p' $(1))
# Words that begin with '-' in that line are flags for the linker. (A '%' in a pattern rule's
# prerequisites would be its stem: hence the variable.)
FLAG_WORDS := -%
# What a test is made of; not $^, which has the headers and other files that it includes as well.
test_sources = $(1) tests/unit/shim.c $(call sources_of,$(1))
-include $(wildcard $(TEST_B)/unit/*.d $(TEST_B)/fuzz/*.d)
.SECONDEXPANSION:
$(TEST_B)/unit/%: tests/unit/%.c tests/unit/shim.c $$(filter-out $$(FLAG_WORDS),$$(call sources_of,tests/unit/$$*.c))
	@mkdir -p $(@D)
	@echo "  UNIT $*"
	@$(TEST_CC) $(TEST_FLAGS) -MM -MP -MT $@ $(filter %.c,$(call test_sources,$<)) >$@.d
	@$(TEST_CC) $(TEST_FLAGS) $(SANITIZE) -o $@ $(filter %.c %.S,$(call test_sources,$<)) \
		$(filter -%,$(call sources_of,$<)) -lcmocka

$(TEST_B)/fuzz/%: tests/fuzz/%.c tests/unit/shim.c $$(filter-out $$(FLAG_WORDS),$$(call sources_of,tests/fuzz/$$*.c))
	@mkdir -p $(@D)
	@echo "  FUZZ $*"
	@clang $(TEST_FLAGS) -Wno-error -MM -MP -MT $@ $(filter %.c,$(call test_sources,$<)) >$@.d
	@clang $(TEST_FLAGS) -Wno-error -fsanitize=fuzzer,address,undefined -fno-sanitize=alignment \
		-o $@ $(filter %.c,$(call test_sources,$<))

# The network stack as the kernel compiles it (no C library's headers, lwIP with our patches), with
# lwIP's assertions: its parts are objects, since lwIP is many files.
NET_FUZZ_FLAGS = $(filter-out -MMD -MP,$(KCPPFLAGS)) $(LWIP_INC) -Ikernel/lib/compat -iquote tests/fuzz \
	-std=gnu11 -O1 -g -ffreestanding -fno-strict-aliasing -fno-omit-frame-pointer -Wall -Wno-unused-parameter -Wno-address \
	-DWHERRY_HOST_TEST -DWHERRY_LWIP_ASSERT -fsanitize=address,undefined -fno-sanitize=alignment \
	-fno-sanitize-recover=undefined -fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp,indirect-calls
NET_FUZZ_SRC  := $(call sources_of,tests/fuzz/fuzz_net.c) tests/fuzz/fuzz_net.c
NET_FUZZ_OBJ  := $(NET_FUZZ_SRC:%.c=$(TEST_B)/net/%.o) $(LWIP_SRC:%=$(TEST_B)/net/lwip/%.o)
$(NET_FUZZ_OBJ): $(LWIP)/.stamp $(UAPI)/.stamp $(LWIP_CONF)
$(TEST_B)/net/lwip/%.o:
	@mkdir -p $(@D)
	@clang $(NET_FUZZ_FLAGS) -MMD -MP -c $(LWIP)/src/$*.c -o $@
$(TEST_B)/net/%.o: %.c
	@mkdir -p $(@D)
	@clang $(NET_FUZZ_FLAGS) -MMD -MP -c $< -o $@
$(TEST_B)/fuzz/fuzz_net: $(NET_FUZZ_OBJ)
	@mkdir -p $(@D)
	@echo "  FUZZ fuzz_net"
	@clang -no-pie -Wl,--wrap=net_tcp_isn -fsanitize=fuzzer,address,undefined -o $@ $^ tests/unit/shim.c
-include $(NET_FUZZ_OBJ:.o=.d)

# What the tests of the tool and of guests find in their environment.
TEST_GOALS := test check guest tool-tests test-redis-suite soak demo docs
$(TEST_GOALS): export WHERRY := $(abspath $(B)/bin/wherry)
$(TEST_GOALS): export WHERRY_KERNEL := $(abspath $(B)/wherry)
$(TEST_GOALS): export WHERRY_B := $(abspath $(B))

# The dependencies must be there before make looks at what is to be built: hence a second make.
SUBMAKE = +@$(MAKE) -s -j$(shell nproc) B=$(B)

.PHONY: units fuzzers unit fuzz test check guest tool-tests test-redis-suite soak demo
units: $(UNIT_BIN)
fuzzers: $(FUZZ_BIN)

unit: units ## unit tests, under ASan and UBSan
	@scripts/run-tests $(UNIT_BIN)

fuzz: fuzzers ## every fuzz target for FUZZ_TIME seconds (default 10)
	@scripts/run-fuzzers $(FUZZ_TIME) $(FUZZ_BIN)

tool-tests: tool apps ## tests of the host tool
	@scripts/run-tests $(TOOL_TESTS)

guest: kernel tool apps bench-programs ## tests that boot guests; GUEST_TESTS=FILE... chooses
	@scripts/run-tests -j $(TEST_JOBS) $(GUEST_TESTS)

test: ## install what is missing, build and run every test (25 minutes)
	@scripts/deps build run test rdma
	$(SUBMAKE) kernel tool apps units fuzzers bench-programs
	@scripts/run-tests $(UNIT_BIN) $(FUZZ_BIN:%=fuzz:$(FUZZ_TIME):%) $(TOOL_TESTS) $(GUEST_TESTS)

check: ## unit tests and a boot (3 minutes)
	@scripts/deps build run test
	$(SUBMAKE) kernel tool units
	@scripts/run-tests $(UNIT_BIN) tests/guest/smoke.t

test-redis-suite: kernel tool ## Redis's own test suite, whole (10 minutes)
	@REDIS_SUITE=all TEST_LIMIT=7200 scripts/run-tests tests/guest/redis-suite.t

soak: kernel tool ## SOAK_SECONDS (3600) of load on redis-server; then far memory's long tests (5 hours)
	@SOAK_SECONDS=$(SOAK_SECONDS) tests/guest/soak
	@FARSHAKE_OPERATIONS=1000000 TEST_LIMIT=14400 scripts/run-tests tests/guest/farshake.t
	@FAULT_ROUNDS=20 GUEST_LIMIT=7200 FAR_SUITE=all FARSHAKE_OPERATIONS=200000 TEST_LIMIT=21600 \
		scripts/run-tests $(filter-out %/farshake.t,$(wildcard tests/guest/far*.t))

.PHONY: docs
docs: ## docs/linux-abi.md, from the sources
	@scripts/mkabi >$(B)/linux-abi.md
	@mv $(B)/linux-abi.md docs/linux-abi.md

demo: ## boot redis-server under Wherry and under Linux, and compare them (10 minutes)
	@scripts/deps build run
	$(SUBMAKE) kernel tool
	@scripts/demo
