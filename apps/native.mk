# Images with a program of their own in the place of the Linux ABI (kernel/native, include/wherry/). An
# image is linked from the program's objects and the kernel's, as a whole (-flto), and what nothing
# reaches is dropped: there is no TCP in an image that uses the raw network interface alone.
NATIVE_B := $(B)/native
# What registers itself at start (drivers) is kept in any case, and is therefore named one by one.
NATIVE_DRIVERS := bus kprintf console serial power rtc acpi/acpi acpi/aml acpi/tables pci/pci \
	virtio/core virtio/describe virtio/mmio virtio/mmio_place virtio/pci virtio/virtq virtio/virtq_packed virtio/net virtio/net_multi virtio/rng
NATIVE_OBJ := $(addprefix $(B)/kernel/native/,start.o memory.o) \
	$(filter-out %/syscall.o $(B)/kernel/mm/far/%,$(filter $(addprefix $(B)/kernel/,arch/% lib/% mm/% sched/% crash/% main.o),$(KOBJ))) \
	$(NATIVE_DRIVERS:%=$(B)/kernel/drivers/%.o) \
	$(addprefix $(B)/kernel/net/,netdev.o netbuf.o raw.o)
# The TCP/IP stack, without sockets. An archive before everything else but the program: its members, and what
# they register at start, are linked if the program calls for them (kernel/native/tcp.c). If it does not, the
# image's native_net_start() is that of responder.o, which stands behind everything.
NATIVE_STACK := $(B)/kernel/native/tcp.o $(B)/kernel/native/tcp_send.o $(B)/kernel/native/stack.o \
	$(addprefix $(B)/kernel/net/,netcore.o nettimer.o ethif.o ip4_fast.o tcp_predict.o tcp_xmit.o lwip_mem.o ifconfig.o) \
	$(LWIP_OBJ)
$(filter $(B)/kernel/native/%,$(NATIVE_STACK)): KCPPFLAGS += $(LWIP_INC) -Ikernel/lib/compat
$(filter $(B)/kernel/native/%,$(NATIVE_STACK)): KCFLAGS += -flto
$(filter $(B)/kernel/native/%,$(NATIVE_STACK)): $(LWIP)/.stamp $(LWIP_CONF)
NATIVE_LIBS := $(NATIVE_B)/libstack.a $(NATIVE_B)/libresponder.a
NATIVE_ALL  := $(NATIVE_B)/libstack.a $(NATIVE_OBJ) $(NATIVE_B)/libresponder.a
$(NATIVE_B)/libstack.a: $(NATIVE_STACK)
$(NATIVE_B)/libresponder.a: $(B)/kernel/native/responder.o
$(NATIVE_LIBS):
	@mkdir -p $(@D)
	@rm -f $@
	@gcc-ar rcs $@ $^
# Programs themselves: with vector registers, which only they use, and by clang where there is one,
# since what is built into the loops of <wherry/burst.h> needs more registers than there are, and it
# wastes fewer instructions on that than gcc (docs/performance.md).
CLANG  := $(shell command -v clang)
APP_CC := $(or $(CLANG),$(CC))
APP_INCLUDE := $(shell $(if $(CLANG),echo $$($(CLANG) -print-resource-dir)/include,$(CC) -print-file-name=include))
NATIVE_APP := -nostdinc -isystem $(APP_INCLUDE) -Iinclude -isystem include/wherry/libc -D__WHERRY__ -MMD -MP \
	$(filter-out -mgeneral-regs-only -Wmissing-prototypes -Wstrict-prototypes,$(KCFLAGS))
NATIVE_LINK := $(CC) $(KLDFLAGS) $(KCFLAGS) -flto=2

$(NATIVE_B)/%.o: apps/%.c $(UAPI)/.stamp
	@mkdir -p $(@D)
	@echo "  APP $<"
	@$(APP_CC) $(NATIVE_APP) -c $< -o $@

# udpkv's raw front end once more, with its control port.
$(NATIVE_B)/udpkv/main_control.o: apps/udpkv/main_raw.c $(UAPI)/.stamp
	@mkdir -p $(@D)
	@echo "  APP $< (control)"
	@$(APP_CC) $(NATIVE_APP) -DUDPKV_CONTROL -c $< -o $@
$(NATIVE_B)/udpkv/control.o: NATIVE_APP += -DUDPKV_CONTROL

# $(1): the image's name, $(2): its objects below $(NATIVE_B)
define native_image
$(NATIVE_B)/$(1).pass1.elf: $(2:%=$(NATIVE_B)/%.o) $(NATIVE_ALL) kernel/wherry.ld
	@$(NATIVE_LINK) $$(filter %.o %.a,$$^) -lgcc -o $$@
$(NATIVE_B)/$(1).ksyms.o: $(NATIVE_B)/$(1).pass1.elf $(B)/mksyms
	@nm -n $$< | $(B)/mksyms >$$(@:.o=.bin)
	@printf '.section .ksyms, "a"\n.balign 16\n.incbin "%s"\n.section .note.GNU-stack, "", @progbits\n' \
		$$(@:.o=.bin) | $(CC) -c -x assembler - -o $$@
$(B)/apps/$(1).elf: $(NATIVE_B)/$(1).pass1.elf $(NATIVE_B)/$(1).ksyms.o
	@mkdir -p $$(@D)
	@$(NATIVE_LINK) $(2:%=$(NATIVE_B)/%.o) $(NATIVE_ALL) $(NATIVE_B)/$(1).ksyms.o -lgcc -o $$@
$(B)/apps/$(1): $(B)/apps/$(1).elf
	@mkdir -p $$(@D)
	@echo "  IMG $$@"
	@strip --strip-all $$< -o $$@
NATIVE_IMAGES += $(B)/apps/$(1)
endef
$(eval $(call native_image,hello,hello/main))
$(eval $(call native_image,udpecho-raw,udpecho/main_raw))
$(eval $(call native_image,httpmem,httpmem/main httpmem/serve httpmem/http httpmem/object))
$(eval $(call native_image,udpkv-control,udpkv/main_control udpkv/control udpkv/service udpkv/store udpkv/proto httpmem/serve httpmem/http httpmem/object))
$(eval $(call native_image,udpkv-raw,udpkv/main_raw udpkv/service udpkv/store udpkv/proto))
APPS += $(NATIVE_IMAGES)
-include $(wildcard $(NATIVE_B)/*/*.d $(B)/kernel/native/*.d)

.PHONY: size
size: kernel tool $(NATIVE_IMAGES) ## what the parts of each image cost, and the least memory (1 minute)
	@scripts/image-size $(B)/wherry $(NATIVE_IMAGES)
	@WHERRY=$(B)/bin/wherry scripts/least-memory $(B)/apps/hello

# For `wherry cc` (scripts/native-cc): how a program of somebody else's is compiled and linked.
NATIVE_USER := -nostdinc -isystem $(APP_INCLUDE) -I$(CURDIR)/include -isystem $(CURDIR)/include/wherry/libc -D__WHERRY__ \
	$(filter-out -Werror -mgeneral-regs-only -Wmissing-prototypes -Wstrict-prototypes,$(KCFLAGS))
$(NATIVE_B)/config: apps/native.mk kernel/kernel.mk $(NATIVE_ALL) $(B)/mksyms
	@printf '%s="%s"\n' CC '$(APP_CC)' CFLAGS '$(NATIVE_USER)' MKSYMS '$(abspath $(B)/mksyms)' OBJECTS '$(abspath $(NATIVE_ALL))' \
		LINK '$(subst kernel/wherry.ld,$(CURDIR)/kernel/wherry.ld,$(NATIVE_LINK))' >$@
APPS += $(NATIVE_B)/config
