/*
 * Where the machine starts. Two doors:
 *  - PVH (Xen ELF note 18): 32-bit, paging off, ebx = struct hvm_start_info.
 *  - Linux's 64-bit boot protocol (the ELF entry point): long mode, rsi = struct boot_params.
 * Both build the same first page tables (1 GiB, three times: identity, direct map, kernel
 * image), turn paging on, and jump to the high half: start_high(protocol, info).
 */
#define KERNEL_BASE 0xffffffff80000000
#define PHYS(x)     ((x) - KERNEL_BASE)

#define PTE_P  0x001
#define PTE_W  0x002
#define PTE_PS 0x080

#define CR0_PG_WP_ET_PE 0x80010011
#define CR4_PAE         0x20
#define MSR_EFER        0xc0000080
#define EFER_LME_SCE_NXE 0x901

#define PROTOCOL_PVH   0
#define PROTOCOL_LINUX 1

	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 4, 18			/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long PHYS(pvh_start)

	.section .text.boot, "ax"
	.code32
	.global pvh_start
pvh_start:
	cld
	mov %ebx, %esi			/* second argument of start_high */
	xor %edi, %edi			/* PROTOCOL_PVH */
	/* boot_pd: 512 entries of 2 MiB */
	mov $PHYS(boot_pd), %ebx
	mov $(PTE_P | PTE_W | PTE_PS), %eax
1:	mov %eax, (%ebx)
	movl $0, 4(%ebx)
	add $8, %ebx
	add $0x200000, %eax
	cmp $(0x40000000 | PTE_P | PTE_W | PTE_PS), %eax
	jne 1b
	mov $PHYS(boot_pml4), %eax
	mov %eax, %cr3
	mov $CR4_PAE, %eax
	mov %eax, %cr4
	mov $MSR_EFER, %ecx
	mov $EFER_LME_SCE_NXE, %eax
	xor %edx, %edx
	wrmsr
	mov $CR0_PG_WP_ET_PE, %eax
	mov %eax, %cr0
	lgdt PHYS(boot_gdtr)
	ljmp $0x08, $PHYS(long_mode)

	.code64
	.global linux64_start
linux64_start:
	cld
	cli
	mov $PROTOCOL_LINUX, %edi
	lea boot_pd(%rip), %rbx
	mov $(PTE_P | PTE_W | PTE_PS), %rax
1:	mov %rax, (%rbx)
	add $8, %rbx
	add $0x200000, %rax
	cmp $(0x40000000 | PTE_P | PTE_W | PTE_PS), %rax
	jne 1b
	mov $MSR_EFER, %ecx
	rdmsr
	or $EFER_LME_SCE_NXE, %eax
	wrmsr
	lea boot_pml4(%rip), %rax
	mov %rax, %cr3
	mov %cr0, %rax
	or $0x10000, %eax		/* WP */
	mov %rax, %cr0

long_mode:
	mov $1f, %rax
	jmp *%rax
1:	mov $boot_stack_top, %rsp
	xor %eax, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov %eax, %ss
	/* .bss: the page tables in use are in .data */
	mov %rdi, %r8
	mov %rsi, %r9
	mov $__bss_start, %rdi
	mov $__bss_end, %rcx
	sub %rdi, %rcx
	shr $3, %rcx
	rep stosq
	mov %r8, %rdi
	mov %r9, %rsi
	xor %ebp, %ebp
	call start_high
	hlt

	.section .data.boot, "aw"
	.balign 4096
	.global boot_pml4
boot_pml4:
	.quad PHYS(boot_pdpt_low) + PTE_P + PTE_W	/* identity, dropped later */
	.fill 255, 8, 0
	.quad PHYS(boot_pdpt_low) + PTE_P + PTE_W	/* direct map */
	.fill 254, 8, 0
	.quad PHYS(boot_pdpt_high) + PTE_P + PTE_W
boot_pdpt_low:
	.quad PHYS(boot_pd) + PTE_P + PTE_W
	.fill 511, 8, 0
boot_pdpt_high:
	.fill 510, 8, 0
	.quad PHYS(boot_pd) + PTE_P + PTE_W
	.quad 0

	.balign 8
boot_gdt:
	.quad 0
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
boot_gdtr:
	.word . - boot_gdt - 1
	.long PHYS(boot_gdt)

	.section .noinit, "aw", @nobits
	.balign 4096
boot_pd:
	.fill 512, 8, 0
	.balign 16
	.fill 16384, 1, 0
boot_stack_top:

	.section .note.GNU-stack, "", @progbits
