# lwIP: fetched, patched (patches/lwip) and compiled into the kernel. Included by kernel/kernel.mk.
LWIP      := $(B)/src/lwip
LWIP_SRC  := core/init core/def core/inet_chksum core/ip core/netif core/pbuf core/raw core/stats \
	core/tcp core/tcp_in core/tcp_out core/tcp_hash core/tcp_timer core/udp \
	core/ipv4/dhcp core/ipv4/etharp core/ipv4/icmp core/ipv4/igmp core/ipv4/ip4 \
	core/ipv4/ip4_addr core/ipv4/ip4_frag core/ipv6/ethip6 core/ipv6/icmp6 core/ipv6/inet6 \
	core/ipv6/ip6 core/ipv6/ip6_addr core/ipv6/ip6_frag core/ipv6/mld6 core/ipv6/nd6 \
	netif/ethernet
LWIP_OBJ  := $(patsubst %,$(B)/lwip/%.o,$(LWIP_SRC))
LWIP_INC  := -isystem $(LWIP)/src/include -Ikernel/net/lwip
# -isystem: their headers are held to their own standard of warnings.
LWIP_WARN := -Wno-missing-prototypes -Wno-strict-prototypes -Wno-address

$(LWIP)/.stamp: scripts/fetch-src third_party/SOURCES $(wildcard patches/lwip/*.patch)
	scripts/fetch-src lwip $(LWIP)
	@touch $@

# The compiler does not name these as dependencies, since system headers include them. An object that
# was compiled with other options than its neighbours has other ideas of sizes: memory corruption.
LWIP_CONF := kernel/net/lwip/lwipopts.h kernel/net/lwip/hooks.h kernel/net/lwip/arch/cc.h

$(LWIP_OBJ): $(B)/lwip/%.o: $(LWIP)/.stamp $(UAPI)/.stamp $(LWIP_CONF)
	@mkdir -p $(@D)
	@echo "  CC  lwip/$*.c"
	@$(CC) $(KCPPFLAGS) $(LWIP_INC) -Ikernel/lib/compat $(KCFLAGS) $(LWIP_WARN) \
		-c $(LWIP)/src/$*.c -o $@

# Our files that include lwIP's headers.
$(filter $(B)/kernel/net/%,$(KOBJ)): KCPPFLAGS += $(LWIP_INC) -Ikernel/lib/compat
$(filter $(B)/kernel/net/%,$(KOBJ)): $(LWIP)/.stamp $(LWIP_CONF)
