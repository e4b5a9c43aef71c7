# Guides: shared objects that the kernel loads (include/wherry/guide.h), one for each guides/*.c.
GUIDES       := $(patsubst guides/%.c,$(B)/guides/%.so,$(wildcard guides/*.c))
GUIDE_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -Wmissing-prototypes -Wstrict-prototypes -Wvla \
	-shared -fPIC -ffreestanding -nostdlib -mgeneral-regs-only -mno-red-zone -fcf-protection=none \
	-fno-stack-protector -fvisibility=default -Wl,--build-id=none -Iinclude

$(B)/guides/%.so: guides/%.c include/wherry/guide.h
	@mkdir -p $(@D)
	@echo "  GUIDE $<"
	@$(CC) $(GUIDE_CFLAGS) -o $@ $<

.PHONY: guides
guides: $(GUIDES) ## the guides only
kernel: guides
