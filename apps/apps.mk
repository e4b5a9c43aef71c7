# Applications. Host programs (glibc), which run on Linux and, unmodified, on Wherry; what they share
# with native images (freestanding, no libc) is UDPKV_PURE.
HOSTCC     ?= gcc
APPS_B     := $(B)/apps
APP_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wvla \
	-MMD -MP
UDPKV_PURE := apps/udpkv/proto.c apps/udpkv/store.c apps/udpkv/service.c
UDPKV_OBJ  := $(UDPKV_PURE:apps/%.c=$(APPS_B)/%.o)
APPS       := $(APPS_B)/udpkv-socket $(APPS_B)/udpkv-batch

$(APPS_B)/%.o: apps/%.c
	@mkdir -p $(@D)
	@echo "  APP $<"
	@$(HOSTCC) $(APP_CFLAGS) $(APP_CFLAGS_$(notdir $*)) -c $< -o $@

$(APPS_B)/udpkv-socket $(APPS_B)/udpkv-batch: $(APPS_B)/udpkv-%: $(APPS_B)/udpkv/main_%.o \
		$(APPS_B)/udpkv/front.o $(UDPKV_OBJ)
	@$(HOSTCC) $^ -o $@

# DPDK's front end: udpkv-dpdk, added to APPS where dpdk-dev is installed.
-include apps/dpdk.mk

# Native images (include/wherry/): apps/native.mk.
-include apps/native.mk

.PHONY: apps
apps: $(APPS) ## the applications only
ALL_EXTRA += apps

-include $(wildcard $(APPS_B)/*.d $(APPS_B)/*/*.d)
