# Wherry's build. Targets a person uses: all, demo, test, check, clean, help.
# B is the build directory; parts live in their own *.mk files next to the code.
B ?= build
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all

include kernel/kernel.mk
include $(wildcard tools/tools.mk sim/sim.mk tests/tests.mk apps/apps.mk bench/bench.mk tools/pktgen/pktgen.mk tools/memnode/memnode.mk guides/guides.mk)

.PHONY: all clean help
all: kernel $(ALL_EXTRA) ## build everything

clean: ## remove what was built
	rm -rf $(B)

help: ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 12
