# Programs that bench/run and wherry bench use: the counter's reader and the peers and servers of measurements.
HOSTCC ?= gcc
BENCH_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror
BENCH_PROGRAMS := $(addprefix $(B)/bench/,icount udp_echo udp_load tcp_sink tcp_peer)
# They run in guests, with nothing else there.
BENCH_STATIC   := $(addprefix $(B)/bench/,farmicro remote_swap)

.PHONY: bench-programs
bench-programs: $(BENCH_PROGRAMS) $(BENCH_STATIC) $(B)/bench/sealcost
ALL_EXTRA += bench-programs

$(B)/bench/icount: bench/icount.c sim/icount.h
	@mkdir -p $(@D)
	$(HOSTCC) $(BENCH_CFLAGS) -o $@ $< -lelf

# The kernel's own code, on the host.
SEALCOST := bench/sealcost.c $(addprefix kernel/,mm/far/seal.c mm/far/verify.c lib/aes_ctr.c lib/chacha20.c)
$(B)/bench/sealcost: $(SEALCOST) $(wildcard kernel/mm/far/*.h kernel/lib/*.h) kernel/arch/x86_64/simd.h
	@mkdir -p $(@D)
	$(HOSTCC) $(BENCH_CFLAGS) -DWHERRY_HOST_TEST -iquote kernel -fno-strict-aliasing -o $@ $(SEALCOST)

$(BENCH_STATIC): $(B)/bench/%: bench/%.c
	@mkdir -p $(@D)
	$(HOSTCC) $(BENCH_CFLAGS) -static -o $@ $<

$(B)/bench/%: bench/%.c
	@mkdir -p $(@D)
	$(HOSTCC) $(BENCH_CFLAGS) -o $@ $<

.PHONY: bench
bench: all ## measure against a Linux guest (half an hour; bench/run --help for parts of it)
	bench/run --build $(B)
