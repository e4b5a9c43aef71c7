# Programs that bench/run uses: the counter's reader and the peers and servers of measurements.
HOSTCC ?= gcc
BENCH_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror
BENCH_PROGRAMS := $(addprefix $(B)/bench/,icount udp_echo udp_load tcp_sink tcp_peer)

.PHONY: bench-programs
bench-programs: $(BENCH_PROGRAMS)
ALL_EXTRA += bench-programs

$(B)/bench/icount: bench/icount.c sim/icount.h
	@mkdir -p $(@D)
	$(HOSTCC) $(BENCH_CFLAGS) -o $@ $< -lelf

$(B)/bench/%: bench/%.c
	@mkdir -p $(@D)
	$(HOSTCC) $(BENCH_CFLAGS) -o $@ $<

.PHONY: bench
bench: all ## measure against a Linux guest (half an hour; bench/run --help for parts of it)
	bench/run --build $(B)
