# Programs that bench/run and wherry bench use: the counter's reader and the peers and servers of measurements.
HOSTCC ?= gcc
BENCH_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror
BENCH_PROGRAMS := $(addprefix $(B)/bench/,icount udp_echo udp_load tcp_sink tcp_peer)
# They run in guests, with nothing else there.
BENCH_STATIC   := $(addprefix $(B)/bench/,farmicro remote_swap)

.PHONY: bench-programs
bench-programs: $(BENCH_PROGRAMS) $(BENCH_STATIC)
ALL_EXTRA += bench-programs

$(B)/bench/icount: bench/icount.c sim/icount.h
	@mkdir -p $(@D)
	$(HOSTCC) $(BENCH_CFLAGS) -o $@ $< -lelf

$(BENCH_STATIC): $(B)/bench/%: bench/%.c
	@mkdir -p $(@D)
	$(HOSTCC) $(BENCH_CFLAGS) -static -o $@ $<

$(B)/bench/%: bench/%.c
	@mkdir -p $(@D)
	$(HOSTCC) $(BENCH_CFLAGS) -o $@ $<

.PHONY: bench
bench: all ## measure against a Linux guest (half an hour; bench/run --help for parts of it)
	bench/run --build $(B)
