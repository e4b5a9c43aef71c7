/*
 * The way into a guarded call and the two ways out of it (guard.h): a return, and a trap frame that
 * guard.c has turned to guard_way_out.
 */
	.section .text.guard, "ax"
	.balign 16
	/* rdi: fn; rsi, rdx, rcx, r8: its arguments. Returns rax: value, rdx: 0 or 1. */
	.global guard_enter
guard_enter:
	.cfi_startproc
	push %rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbp, 0
	push %rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	push %r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r12, 0
	push %r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r13, 0
	push %r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r14, 0
	push %r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r15, 0
	sub $8, %rsp				/* 16 bytes alignment at the call: psABI §3.2.2 */
	.cfi_adjust_cfa_offset 8
	mov %rsp, guard_stack(%rip)
	mov %rdi, %rax
	mov %rsi, %rdi
	mov %rdx, %rsi
	mov %rcx, %rdx
	mov %r8, %rcx
	sti
	call *%rax
	cli
	xor %edx, %edx
1:	movq $0, guard_stack(%rip)
	add $8, %rsp
	.cfi_adjust_cfa_offset -8
	pop %r15
	.cfi_adjust_cfa_offset -8
	pop %r14
	.cfi_adjust_cfa_offset -8
	pop %r13
	.cfi_adjust_cfa_offset -8
	pop %r12
	.cfi_adjust_cfa_offset -8
	pop %rbx
	.cfi_adjust_cfa_offset -8
	pop %rbp
	.cfi_adjust_cfa_offset -8
	ret
	.cfi_adjust_cfa_offset 56
	.global guard_way_out
guard_way_out:				/* rsp: guard_stack; interrupts off */
	mov $1, %edx
	jmp 1b
	.cfi_endproc

	.section .bss.guard, "aw", @nobits
	.balign 8
	.global guard_stack
guard_stack:
	.quad 0

	.section .note.GNU-stack, "", @progbits
