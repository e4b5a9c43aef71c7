/*
 * Trap and interrupt entry. Every gate uses an IST stack: a trap from ring 0 to ring 0
 * would otherwise push its frame right below the application's stack pointer, into the red
 * zone (System V ABI §3.2.2). The frame is moved at once to where the handler may
 * sleep: the thread's kernel stack, or further down the same stack if the kernel itself was
 * interrupted (the kernel is compiled without a red zone).
 */
#include "arch/x86_64/trap.h"

	.section .text.trap, "ax"

	/* Vectors that push an error code: SDM vol. 3 table 6-1. */
	.balign 16
	.global trap_stubs
trap_stubs:
	.set v, 0
	.rept 256
	.balign 16
	.if (v == 8) || (v == 17) || (v == 21) || (v == 29) || (v == 30) || ((v >= 10) && (v <= 14))
	.else
	push $0
	.endif
	push $v
	jmp trap_common
	.set v, v + 1
	.endr
	.balign 16

	.global trap_stub_size
	.section .rodata.trap_stub_size, "a"
	.balign 4
trap_stub_size:
	.long 16
	.section .text.trap, "ax"

	.balign 16
trap_common:
	.cfi_startproc simple
	.cfi_signal_frame
	.cfi_def_cfa rsp, 24
	.cfi_offset rip, -8
	push %rdi
	push %rsi
	push %rdx
	push %rcx
	push %rax
	push %r8
	push %r9
	push %r10
	push %r11
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	cld
	mov cpu_kstack_top(%rip), %rdi
	cmpq $0, FRAME_RIP(%rsp)
	jns 1f				/* application half: its kernel stack is empty */
	mov FRAME_RSP(%rsp), %rdi
	and $~15, %rdi
1:	sub $TRAP_FRAME_SIZE, %rdi
	mov %rdi, %rax
	mov %rsp, %rsi
	mov $(TRAP_FRAME_SIZE / 8), %ecx
	rep movsq
	mov %rax, %rsp
	.cfi_endproc

	/* The unwinder continues in the interrupted code. */
	.cfi_startproc simple
	.cfi_signal_frame
	.cfi_def_cfa rsp, FRAME_RIP + 8
	.cfi_offset rip, -8
	.cfi_offset rsp, FRAME_RSP - FRAME_RIP - 8
	.cfi_offset rbp, FRAME_RBP - FRAME_RIP - 8
	.cfi_offset rbx, FRAME_RBX - FRAME_RIP - 8
	.cfi_offset r12, FRAME_R12 - FRAME_RIP - 8
	.cfi_offset r13, FRAME_R13 - FRAME_RIP - 8
	.cfi_offset r14, FRAME_R14 - FRAME_RIP - 8
	.cfi_offset r15, FRAME_R15 - FRAME_RIP - 8
	mov %rsp, %rdi
	call trap_dispatch
	.global frame_return
frame_return:				/* rsp: a complete trap frame */
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rax
	pop %rcx
	pop %rdx
	pop %rsi
	pop %rdi
	add $16, %rsp
	iretq
	.cfi_endproc

	.section .note.GNU-stack, "", @progbits
