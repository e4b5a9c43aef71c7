# The host program build/bin/wherry: all of tools/*.c and tools/load/*.c, and linux-init.c as a
# static program inside it.
TOOL_B      := $(B)/tools
TOOL_SRC    := $(filter-out tools/linux-init.c,$(wildcard tools/*.c tools/load/*.c))
TOOL_OBJ    := $(patsubst tools/%.c,$(TOOL_B)/%.o,$(TOOL_SRC)) $(TOOL_B)/linux-init-bytes.o
HOSTCC      ?= gcc
TOOL_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -MMD -MP

ALL_EXTRA += tool

.PHONY: tool
tool: $(B)/bin/wherry ## the host tool only

$(TOOL_B)/%.o: tools/%.c
	@mkdir -p $(@D)
	$(HOSTCC) $(TOOL_CFLAGS) -c $< -o $@

# Where tools/bench is when the build directory is elsewhere.
$(TOOL_B)/bench.o: TOOL_CFLAGS += -DBENCH_SOURCE='"$(CURDIR)/tools/bench"'
$(TOOL_B)/cc.o: TOOL_CFLAGS += -DNATIVE_CC='"$(CURDIR)/scripts/native-cc"'

$(TOOL_B)/linux-init: tools/linux-init.c tools/kcmdline.c tools/util.c tools/kcmdline.h tools/util.h
	@mkdir -p $(@D)
	$(HOSTCC) $(filter-out -MMD -MP,$(TOOL_CFLAGS)) -static -s $(filter %.c,$^) -o $@

$(TOOL_B)/linux-init-bytes.o: tools/embed.S $(TOOL_B)/linux-init
	$(HOSTCC) -DEMBED_FILE='"$(TOOL_B)/linux-init"' -c $< -o $@

$(B)/bin/wherry: $(TOOL_OBJ)
	@mkdir -p $(@D)
	$(HOSTCC) $(TOOL_OBJ) -larchive -lelf $(TOOL_LIBS) -lm -pthread -o $@

-include $(TOOL_OBJ:.o=.d)
