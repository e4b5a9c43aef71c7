# The kernel image: build/wherry.elf (with symbols) and build/wherry (what is booted).
# Every .c and .S under the kernel's folders is part of it.
CC       ?= gcc
KDIRS    ?= $(filter-out kernel/linux/vdso kernel/native,$(sort $(shell find kernel -type d)))
KSRC     := $(wildcard $(addsuffix /*.c,$(KDIRS)) $(addsuffix /*.S,$(KDIRS)))
KOBJ     := $(patsubst %,$(B)/%.o,$(basename $(KSRC)))
UAPI     := $(B)/uapi

KCPPFLAGS := -nostdinc -isystem $(shell $(CC) -print-file-name=include 2>/dev/null) -isystem $(UAPI) \
	-iquote kernel -Iinclude -D__WHERRY__ -MMD -MP
KCFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -Wvla \
	-Wmissing-prototypes -Wstrict-prototypes -ffreestanding -fno-pic -fno-pie -mcmodel=kernel \
	-mno-red-zone -mgeneral-regs-only -fno-strict-aliasing -fno-common -fno-stack-protector \
	-fcf-protection=none -fno-delete-null-pointer-checks -fasynchronous-unwind-tables \
	-ffunction-sections -fdata-sections -fno-jump-tables -falign-functions=16 $(KCFLAGS_EXTRA)

# Linux's numbers and structures come from the kernel's own user-space headers, without glibc's.
$(UAPI)/.stamp:
	@mkdir -p $(UAPI)
	@for d in linux asm-generic video; do ln -sfn /usr/include/$$d $(UAPI)/$$d; done
	@ln -sfn /usr/include/$(shell $(CC) -dumpmachine | sed s/x86_64-/x86_64-/)/asm $(UAPI)/asm
	@touch $@

$(B)/kernel/%.o: kernel/%.c $(UAPI)/.stamp
	@mkdir -p $(@D)
	@echo "  CC  $<"
	@$(CC) $(KCPPFLAGS) $(KCFLAGS) $(KCFLAGS_$(notdir $*)) -c $< -o $@
$(B)/kernel/%.o: kernel/%.S $(UAPI)/.stamp
	@mkdir -p $(@D)
	@$(CC) $(KCPPFLAGS) -D__ASSEMBLY__ -g -c $< -o $@

.PHONY: kernel objs
objs: $(KOBJ) ## compile only (KDIRS=kernel/fs limits it to one folder)
include kernel/net/lwip.mk
include kernel/fs/third_party.mk
include kernel/ksyms.mk

# The vDSO is application code: position independent, SSE allowed but not needed.
VDSO_FLAGS := -std=gnu11 -O2 -g0 -Wall -Wextra -Werror -Wno-unused-parameter -fpic -shared -nostdlib \
	-ffreestanding -mgeneral-regs-only -fno-stack-protector -fcf-protection=none \
	-Wl,-soname,linux-vdso.so.1 -Wl,--hash-style=both -Wl,-T,kernel/linux/vdso/vdso.ld \
	-Wl,-z,max-page-size=4096 -Wl,--eh-frame-hdr -Wl,--build-id=none -Wl,-z,noexecstack
$(B)/vdso.so: kernel/linux/vdso/vdso_user.c kernel/linux/vdso/vdso.ld kernel/arch/x86_64/tsc.h \
		$(UAPI)/.stamp
	@$(CC) $(filter-out -MMD -MP,$(KCPPFLAGS)) $(VDSO_FLAGS) $< -o $@.dbg
	@strip --strip-all $@.dbg -o $@
$(B)/kernel/linux/vdso_image.o: $(B)/vdso.so
$(B)/kernel/linux/vdso_image.o: KCPPFLAGS += -Wa,-I$(B)

# What a packet passes through, from the ring to the system call and back, is optimised as one: short
# functions of many files, some 4 % fewer instructions a Redis request. The rest of the kernel stays file by file.
DATA_PATH := $(LWIP_OBJ) $(addprefix $(B)/,$(patsubst %.c,%.o,$(wildcard kernel/net/*.c))) \
	$(addprefix $(B)/kernel/,drivers/virtio/net.o drivers/virtio/virtq.o fs/iov.o fs/epoll.o \
	fs/file.o linux/sys_rw.o sched/thread.o sched/wait.o sched/timer.o arch/x86_64/tsc.o mm/slab.o)
$(DATA_PATH): KCFLAGS += -flto
$(B)/datapath.o: $(DATA_PATH)
	@echo "  LTO $@"
	@$(CC) -r -nostdlib -flto=2 -flinker-output=nolto-rel $(filter-out -flto,$(KCFLAGS)) $^ -o $@
KERNEL_OBJ = $(filter-out $(DATA_PATH),$(KOBJ)) $(B)/datapath.o

# What no request passes through is compiled for size, which makes the image a sixth smaller: in
# fs/, linux/, lib/ and drivers/ all but the data path and these, of the network what is named.
HOT := drivers/virtio/core drivers/virtio/virtq_packed \
	fs/eventfd fs/pipe fs/pipe_ring fs/poll fs/store fs/timerfd fs/tmpfs \
	lib/aes_ctr lib/chacha20 lib/random lib/rbtree lib/string linux/futex linux/process linux/signal linux/sys_splice \
	linux/sys_time linux/syscall linux/timespec
COLD_NET := lwip/core/init lwip/core/netif lwip/core/raw lwip/core/stats lwip/core/ipv4/dhcp \
	lwip/core/ipv4/etharp lwip/core/ipv4/icmp lwip/core/ipv4/igmp lwip/core/ipv4/ip4_frag \
	lwip/core/ipv6/icmp6 lwip/core/ipv6/ip6_frag lwip/core/ipv6/mld6 lwip/core/ipv6/nd6 \
	kernel/net/ifconfig kernel/net/inet_addr kernel/net/inet_icmp kernel/net/inet_ioctl \
	kernel/net/inet_tcpopt kernel/net/netlink kernel/net/netproc kernel/net/sockopt \
	kernel/net/unix_addr kernel/net/unix_gc kernel/net/unix_scm
COLD := $(filter-out $(DATA_PATH) $(HOT:%=$(B)/kernel/%.o), \
	$(filter $(addprefix $(B)/kernel/,fs/% linux/% lib/% drivers/%),$(KOBJ))) \
	$(filter $(COLD_NET:%=$(B)/%.o),$(KOBJ) $(LWIP_OBJ))
$(COLD): KCFLAGS += -Os -falign-functions=1 -falign-labels=1 -falign-jumps=1

# No .eh_frame_hdr: a backtrace's search through .eh_frame may take its time.
KLDFLAGS := -nostdlib -static -no-pie -Wl,-T,kernel/wherry.ld -Wl,--gc-sections \
	-Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack \
	-Wl,--no-warn-rwx-segments -Wl,--orphan-handling=place
LINK = $(CC) $(KLDFLAGS) $(filter %.o,$^) -lgcc -o $@

$(B)/wherry.pass1.elf: $(KERNEL_OBJ) kernel/wherry.ld
	@$(LINK)
$(B)/wherry.elf: $(KERNEL_OBJ) $(B)/ksyms.o kernel/wherry.ld
	@echo "  LD  $@"
	@$(LINK)
$(B)/wherry: $(B)/wherry.elf
	@strip --strip-all $< -o $@
kernel: $(B)/wherry ## the kernel image
-include $(KOBJ:.o=.d)
