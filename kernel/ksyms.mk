# The kernel's symbol table, in a two-pass link. Pass 1 links everything but the table; the table is
# made from its symbols; pass 2 links it in. .ksyms lies behind .text, so no function moves.
# kernel.mk links $(B)/wherry.pass1.elf from the objects, and the final image from the same objects
# and $(B)/ksyms.o, with the same flags.
HOSTCC ?= gcc
HOSTCFLAGS ?= -std=gnu11 -O2 -g -Wall -Wextra -Werror

$(B)/mksyms: scripts/mksyms.c kernel/lib/ksyms.h
	@mkdir -p $(@D)
	$(HOSTCC) $(HOSTCFLAGS) -iquote kernel -o $@ $<

$(B)/ksyms.bin: $(B)/wherry.pass1.elf $(B)/mksyms
	nm -n $< | $(B)/mksyms > $@.tmp
	mv $@.tmp $@

$(B)/ksyms.o: $(B)/ksyms.bin
	printf '.section .ksyms, "a"\n.balign 16\n.incbin "%s"\n.section .note.GNU-stack, "", @progbits\n' $< | $(CC) -c -x assembler - -o $@
