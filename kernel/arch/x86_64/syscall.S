/*
 * System call entry, ring 0 to ring 0. SYSCALL leaves the application's stack pointer
 * in place; we move to the thread's kernel stack at once, since the red zone below it is
 * live. What C may clobber and the ABI keeps is saved in the thread's trap frame;
 * callee-saved registers stay in registers (C keeps them) and are stored only by
 * the slow paths that need a complete frame: signals, clone, tracing.
 *
 * SYSRET would drop to ring 3, so the return is STI and a jump: the interrupt shadow of
 * STI (SDM vol. 2) covers the jump. RCX and R11 are clobbered as the ABI allows.
 */
#include "arch/x86_64/trap.h"

#define SYSCALL_MAX 512

	.section .text.syscall, "ax"

	.balign 64
	.global syscall_entry
syscall_entry:
	.cfi_startproc simple
	.cfi_signal_frame
	.cfi_def_cfa rsp, FRAME_RIP + 8
	.cfi_offset rip, -8
	.cfi_offset rsp, FRAME_RSP - FRAME_RIP - 8
	mov %rsp, cpu_user_rsp(%rip)
	mov cpu_kstack_top(%rip), %rsp
	sub $TRAP_FRAME_SIZE, %rsp
	mov %rcx, FRAME_RIP(%rsp)
	mov %r11, FRAME_RFLAGS(%rsp)
	mov cpu_user_rsp(%rip), %rcx
	mov %rcx, FRAME_RSP(%rsp)
	mov %rdi, FRAME_RDI(%rsp)
	mov %rsi, FRAME_RSI(%rsp)
	mov %rdx, FRAME_RDX(%rsp)
	mov %r10, FRAME_R10(%rsp)
	mov %r8, FRAME_R8(%rsp)
	mov %r9, FRAME_R9(%rsp)
	mov %rax, FRAME_ERROR(%rsp)
	mov %r10, %rcx
	cmp $SYSCALL_MAX, %rax
	jae syscall_bad
	testl $WORK_TRACE, cpu_exit_work(%rip)
	jnz syscall_traced
	call *syscall_table(, %rax, 8)
syscall_done:
	cmpl $0, cpu_exit_work(%rip)
	jne syscall_work
	mov FRAME_RDI(%rsp), %rdi
	mov FRAME_RSI(%rsp), %rsi
	mov FRAME_RDX(%rsp), %rdx
	mov FRAME_R10(%rsp), %r10
	mov FRAME_R8(%rsp), %r8
	mov FRAME_R9(%rsp), %r9
	mov FRAME_RIP(%rsp), %rcx
	mov FRAME_RSP(%rsp), %rsp
	.cfi_def_cfa rsp, 0
	.cfi_register rip, rcx
	sti
	jmp *%rcx
	.cfi_endproc

	.macro save_callee base
	mov %rbx, FRAME_RBX(\base)
	mov %rbp, FRAME_RBP(\base)
	mov %r12, FRAME_R12(\base)
	mov %r13, FRAME_R13(\base)
	mov %r14, FRAME_R14(\base)
	mov %r15, FRAME_R15(\base)
	.endm

	/* CFI of code that runs with a complete frame at rsp. */
	.macro cfi_full_frame extra=0
	.cfi_startproc simple
	.cfi_signal_frame
	.cfi_def_cfa rsp, FRAME_RIP + 8 + \extra
	.cfi_offset rip, -8
	.cfi_offset rsp, FRAME_RSP - FRAME_RIP - 8
	.endm

	cfi_full_frame
syscall_bad:
	mov %rax, %rdi
	call syscall_unknown
	jmp syscall_done

syscall_traced:
	save_callee %rsp
	mov %rsp, %rdi
	call syscall_trace
	jmp syscall_done

	/* Signals or a reschedule are due: complete the frame, let C change it, load all of it. */
syscall_work:
	save_callee %rsp
	mov %rax, FRAME_RAX(%rsp)
	mov FRAME_RIP(%rsp), %rcx
	mov %rcx, FRAME_RCX(%rsp)
	mov FRAME_RFLAGS(%rsp), %rcx
	mov %rcx, FRAME_R11(%rsp)
	movq $SEL_CODE, FRAME_CS(%rsp)
	movq $SEL_DATA, FRAME_SS(%rsp)
	movq $VECTOR_SYSCALL, FRAME_VECTOR(%rsp)
	mov %rsp, %rdi
	call user_return_work
	jmp frame_return
	.cfi_endproc

	/* Calls whose C function wants the callee-saved registers in the frame, which lies above the
	 * return address. A traced call comes from C, with the registers in the frame already. */
	.macro save_callee_call
	testl $WORK_TRACE, cpu_exit_work(%rip)
	jnz 1f
	mov %rbx, 8+FRAME_RBX(%rsp)
	mov %rbp, 8+FRAME_RBP(%rsp)
	mov %r12, 8+FRAME_R12(%rsp)
	mov %r13, 8+FRAME_R13(%rsp)
	mov %r14, 8+FRAME_R14(%rsp)
	mov %r15, 8+FRAME_R15(%rsp)
1:
	.endm

	cfi_full_frame 8
	.global sys_clone_entry
sys_clone_entry:
	save_callee_call
	jmp sys_clone
	.global sys_clone3_entry
sys_clone3_entry:
	save_callee_call
	jmp sys_clone3
	/* Replaces the whole frame, then loads it. */
	.global sys_rt_sigreturn_entry
sys_rt_sigreturn_entry:
	mov cpu_kstack_top(%rip), %rsp
	sub $TRAP_FRAME_SIZE, %rsp
	mov %rsp, %rdi
	call sys_rt_sigreturn
	.global user_return_full
user_return_full:			/* rsp: a complete frame; look for work first */
	mov %rsp, %rdi
	call user_return_work
	jmp frame_return
	.cfi_endproc

	/* First return of a new thread: thread_switch() "returns" here with rsp at its frame. */
	.global thread_user_start
thread_user_start:
	call thread_started
	jmp user_return_full

	.section .note.GNU-stack, "", @progbits
