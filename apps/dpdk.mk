# What is linked with DPDK: udpkv-dpdk here, wherry-pktgen in tools/pktgen/pktgen.mk. Both are left out
# where Debian's libdpdk-dev is missing. DPDK's own libraries are linked statically, only those in use:
# a program that loads its drivers at run time loads all that are installed, and a guest would need each
# of them.
HAVE_DPDK := $(shell pkg-config --exists libdpdk 2>/dev/null && echo yes)
# Its headers are a system's: what they make of our warnings is not our concern.
DPDK_CFLAGS := $(patsubst -I%,-isystem %,$(shell pkg-config --cflags libdpdk 2>/dev/null))
DPDK_DIR    := $(shell pkg-config --variable=libdir libdpdk 2>/dev/null)

# Drivers first: they are found by their constructors alone, hence whole.
DPDK_BASE   := mempool_ring bus_vdev bus_pci
DPDK_VHOST  := net_vhost vhost cryptodev hash rcu dmadev
DPDK_VIRTIO := net_virtio net_af_packet net_tap gso
DPDK_COMMON := ethdev meter net mbuf mempool ring pci telemetry kvargs eal
dpdk_archives = $(foreach lib,$(1) $(DPDK_BASE) $(DPDK_COMMON),$(DPDK_DIR)/librte_$(lib).a)
dpdk_libs     = -Wl,--whole-archive $(call dpdk_archives,$(1)) -Wl,--no-whole-archive \
	-lnuma -lbsd -ldl

ifeq ($(HAVE_DPDK),yes)
APPS += $(APPS_B)/udpkv-dpdk
APP_CFLAGS_main_dpdk := $(DPDK_CFLAGS) -Iinclude
$(APPS_B)/udpkv-dpdk: $(APPS_B)/udpkv/main_dpdk.o $(UDPKV_OBJ)
	@$(HOSTCC) $^ $(call dpdk_libs,$(DPDK_VIRTIO)) -lm -pthread -o $@
else
.PHONY: no-dpdk
APPS += no-dpdk
no-dpdk:
	@echo "  udpkv-dpdk is left out: there is no DPDK (scripts/deps dpdk)"
endif
