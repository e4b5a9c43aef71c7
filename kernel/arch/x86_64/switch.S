/*
 * Switching kernel stacks: void thread_switch(uint64_t *save_rsp, uint64_t load_rsp).
 * Callee-saved registers travel on the stack; all else is the C caller's business.
 */
	.section .text.switch, "ax"
	.balign 16
	.global thread_switch
thread_switch:
	.cfi_startproc
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	.cfi_adjust_cfa_offset 48
	.cfi_offset rbx, -16
	.cfi_offset rbp, -24
	.cfi_offset r12, -32
	.cfi_offset r13, -40
	.cfi_offset r14, -48
	.cfi_offset r15, -56
	mov %rsp, (%rdi)
	mov %rsi, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	.cfi_adjust_cfa_offset -48
	ret
	.cfi_endproc

	/* First run of a kernel thread: function in rbx, argument in rbp. */
	.global thread_kernel_start
thread_kernel_start:
	.cfi_startproc
	.cfi_undefined rip
	call thread_started
	mov %rbp, %rdi
	call *%rbx
	call thread_exit
	.cfi_endproc

	.section .note.GNU-stack, "", @progbits
