# wherry-pktgen, which `wherry pktgen` becomes: tools/pktgen/*.c with parts of the host tool, and DPDK
# (apps/dpdk.mk says whether and how). Its pure parts are built into unit tests without DPDK.
PKTGEN_SRC    := $(wildcard tools/pktgen/*.c)
PKTGEN_SHARED := util load/args load/hist load/arrival load/keys load/value load/workload load/tally \
	load/result
PKTGEN_OBJ    := $(PKTGEN_SRC:tools/%.c=$(TOOL_B)/%.o) $(PKTGEN_SHARED:%=$(TOOL_B)/%.o)

# Those that see DPDK's headers.
$(foreach part,peer gen main,$(TOOL_B)/pktgen/$(part).o): TOOL_CFLAGS += $(DPDK_CFLAGS)

$(B)/bin/wherry-pktgen: $(PKTGEN_OBJ)
	@mkdir -p $(@D)
	$(HOSTCC) $(PKTGEN_OBJ) $(call dpdk_libs,$(DPDK_VHOST)) -lm -pthread -o $@

.PHONY: pktgen
ifeq ($(HAVE_DPDK),yes)
ALL_EXTRA += pktgen
pktgen: $(B)/bin/wherry-pktgen ## the generator over vhost-user only
else
pktgen: ## the generator over vhost-user only
	@echo "wherry-pktgen is left out: there is no DPDK (scripts/deps dpdk)"
endif

-include $(PKTGEN_OBJ:.o=.d)
