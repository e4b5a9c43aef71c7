# `wherry memnode`: part of the host tool, with RoCE's formats and ICRC as the kernel has them. The program
# wherry-memnode is the same and DPDK's vhost-user besides (apps/dpdk.mk says whether and how); `wherry
# memnode --netdev vhost-user:...` becomes it.
#
# --verbs is left out where Debian's libibverbs-dev is missing.
HAVE_VERBS    := $(wildcard /usr/include/infiniband/verbs.h)
VERBS_NOT     := $(if $(HAVE_VERBS),verbs_none,verbs)
VERBS_LIBS    := $(if $(HAVE_VERBS),-libverbs)
MEMNODE_ROCE  := icrc crc_sparse crc_pclmul
MEMNODE_OBJ   := $(patsubst tools/%.c,$(TOOL_B)/%.o, \
	$(filter-out %/vhost.c %/vhost_exec.c %/main.c %/$(VERBS_NOT).c,$(wildcard tools/memnode/*.c))) \
	$(MEMNODE_ROCE:%=$(TOOL_B)/roce/%.o) $(TOOL_B)/pktgen/frame.o

$(TOOL_B)/roce/%.o: kernel/roce/%.c
	@mkdir -p $(@D)
	$(HOSTCC) $(TOOL_CFLAGS) -iquote kernel -c $< -o $@

TOOL_OBJ  += $(MEMNODE_OBJ) $(TOOL_B)/memnode/vhost_exec.o
TOOL_LIBS += -lnettle $(VERBS_LIBS)
$(B)/bin/wherry: $(MEMNODE_OBJ) $(TOOL_B)/memnode/vhost_exec.o

-include $(MEMNODE_OBJ:.o=.d) $(TOOL_B)/memnode/vhost_exec.d

# The program with DPDK: the same objects, with its own way to vhost-user.
MEMNODE_VHOST_OBJ := $(MEMNODE_OBJ) $(addprefix $(TOOL_B)/,memnode/vhost.o memnode/main.o pktgen/peer.o util.o \
	load/args.o)
$(TOOL_B)/memnode/vhost.o: TOOL_CFLAGS += $(DPDK_CFLAGS)

$(B)/bin/wherry-memnode: $(MEMNODE_VHOST_OBJ)
	@mkdir -p $(@D)
	$(HOSTCC) $(MEMNODE_VHOST_OBJ) $(call dpdk_libs,$(DPDK_VHOST)) -lnettle $(VERBS_LIBS) -lm \
		-pthread -o $@

.PHONY: memnode
ifeq ($(HAVE_DPDK),yes)
ALL_EXTRA += memnode
memnode: $(B)/bin/wherry-memnode ## the memory node over vhost-user only
else
memnode: ## the memory node over vhost-user only
	@echo "wherry-memnode is left out: there is no DPDK (scripts/deps dpdk)"
endif

-include $(TOOL_B)/memnode/vhost.d $(TOOL_B)/memnode/main.d
