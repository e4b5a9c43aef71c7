# QEMU plugins: build/icount.so. Their one header is in QEMU's source package only.
SIM_QEMU := $(B)/third_party/qemu/include/qemu
SIM_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -shared -fvisibility=hidden

.PHONY: sim
sim: $(B)/icount.so ## QEMU plugins that count and model
ALL_EXTRA += sim

$(SIM_QEMU)/qemu-plugin.h: third_party/SOURCES
	scripts/fetch-src qemu $(B)/third_party/qemu include/qemu/qemu-plugin.h
	touch $@

$(B)/icount.so: sim/icount.c sim/icount.h $(SIM_QEMU)/qemu-plugin.h
	@mkdir -p $(@D)
	$(CC) $(SIM_CFLAGS) -isystem $(SIM_QEMU) -o $@ $< -lpthread
