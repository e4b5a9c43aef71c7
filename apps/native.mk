# Images with a program of their own in the place of the Linux ABI (kernel/native, include/wherry/). An
# image is linked from the program's objects and the kernel's, as a whole (-flto), and what nothing
# reaches is dropped: there is no TCP in an image that uses the raw network interface alone.
NATIVE_B := $(B)/native
# What registers itself at start (drivers) is kept in any case, and is therefore named one by one.
NATIVE_DRIVERS := bus kprintf console serial power rtc acpi/acpi acpi/aml acpi/tables pci/pci \
	virtio/core virtio/mmio virtio/mmio_place virtio/pci virtio/virtq virtio/virtq_packed virtio/net virtio/rng
NATIVE_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard kernel/native/*.c)) \
	$(filter-out %/syscall.o,$(filter $(addprefix $(B)/kernel/,arch/% lib/% mm/% sched/% crash/% main.o),$(KOBJ))) \
	$(NATIVE_DRIVERS:%=$(B)/kernel/drivers/%.o) \
	$(addprefix $(B)/kernel/net/,netdev.o netbuf.o raw.o)
NATIVE_CFLAGS := $(KCPPFLAGS) -isystem include/wherry/libc $(KCFLAGS) -flto
NATIVE_LINK := $(CC) $(KLDFLAGS) $(KCFLAGS) -flto=2

$(NATIVE_B)/%.o: apps/%.c $(UAPI)/.stamp
	@mkdir -p $(@D)
	@echo "  APP $<"
	@$(CC) $(NATIVE_CFLAGS) -c $< -o $@

# $(1): the image's name, $(2): its objects below $(NATIVE_B)
define native_image
$(NATIVE_B)/$(1).pass1.elf: $(2:%=$(NATIVE_B)/%.o) $(NATIVE_OBJ) kernel/wherry.ld
	@$(NATIVE_LINK) $$(filter %.o,$$^) -lgcc -o $$@
$(NATIVE_B)/$(1).ksyms.o: $(NATIVE_B)/$(1).pass1.elf $(B)/mksyms
	@nm -n $$< | $(B)/mksyms >$$(@:.o=.bin)
	@printf '.section .ksyms, "a"\n.balign 16\n.incbin "%s"\n.section .note.GNU-stack, "", @progbits\n' \
		$$(@:.o=.bin) | $(CC) -c -x assembler - -o $$@
$(B)/apps/$(1).elf: $(NATIVE_B)/$(1).pass1.elf $(NATIVE_B)/$(1).ksyms.o
	@mkdir -p $$(@D)
	@$(NATIVE_LINK) $(2:%=$(NATIVE_B)/%.o) $(NATIVE_OBJ) $(NATIVE_B)/$(1).ksyms.o -lgcc -o $$@
$(B)/apps/$(1): $(B)/apps/$(1).elf
	@mkdir -p $$(@D)
	@echo "  IMG $$@"
	@strip --strip-all $$< -o $$@
APPS += $(B)/apps/$(1)
endef
$(eval $(call native_image,udpecho-raw,udpecho/main_raw))
$(eval $(call native_image,udpkv-raw,udpkv/main_raw udpkv/service udpkv/store udpkv/proto))
-include $(wildcard $(NATIVE_B)/*/*.d)

# For `wherry cc` (scripts/native-cc): how a program of somebody else's is compiled and linked.
NATIVE_USER := $(filter-out -Werror -Wmissing-prototypes -Wstrict-prototypes,$(KCFLAGS)) -flto -nostdinc -isystem $(shell $(CC) -print-file-name=include) -I$(CURDIR)/include -isystem $(CURDIR)/include/wherry/libc -D__WHERRY__
$(NATIVE_B)/config: apps/native.mk kernel/kernel.mk $(NATIVE_OBJ) $(B)/mksyms
	@printf '%s="%s"\n' CC '$(CC)' CFLAGS '$(NATIVE_USER)' MKSYMS '$(abspath $(B)/mksyms)' OBJECTS '$(abspath $(NATIVE_OBJ))' \
		LINK '$(subst kernel/wherry.ld,$(CURDIR)/kernel/wherry.ld,$(NATIVE_LINK))' >$@
APPS += $(NATIVE_B)/config
