# Tests. Unit tests and fuzz targets are one .c file each, whose first line lists the sources they
# are linked with ("// unit: a.c b.c" or "// fuzz: a.c b.c"); guest tests are tests/guest/*.t. All
# speak TAP and are run by prove.
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

sources_of = $(shell sed -n '1s,^// \(unit\|fuzz\): ,,p' $(1))
# Words that begin with '-' in that line are flags for the linker.
.SECONDEXPANSION:
$(TEST_B)/unit/%: tests/unit/%.c tests/unit/shim.c $$(filter-out -%,$$(call sources_of,tests/unit/$$*.c))
	@mkdir -p $(@D)
	@echo "  UNIT $*"
	@$(TEST_CC) $(TEST_FLAGS) $(SANITIZE) -o $@ $(filter %.c,$^) \
		$(filter -%,$(call sources_of,$<)) -lcmocka

$(TEST_B)/fuzz/%: tests/fuzz/%.c tests/unit/shim.c $$(filter-out -%,$$(call sources_of,tests/fuzz/$$*.c))
	@mkdir -p $(@D)
	@echo "  FUZZ $*"
	@clang $(TEST_FLAGS) -Wno-error -fsanitize=fuzzer,address,undefined -fno-sanitize=alignment \
		-o $@ $(filter %.c,$^)

.PHONY: units fuzzers unit fuzz
units: $(UNIT_BIN)
fuzzers: $(FUZZ_BIN)

unit: units ## unit tests, under ASan and UBSan
	CMOCKA_MESSAGE_OUTPUT=TAP prove -e '' $(UNIT_BIN)

fuzz: fuzzers ## every fuzz target for FUZZ_TIME seconds (default 10)
	@scripts/run-fuzzers $(FUZZ_TIME) $(FUZZ_BIN)
