/*
 * The register frame of a trap or system call, and the offsets the assembly uses. It
 * lies at the top of the thread's kernel stack whenever the application entered the
 * kernel, and deeper for a trap inside the kernel.
 */
#pragma once

#define TRAP_FRAME_SIZE 176

#define FRAME_R15    0
#define FRAME_R14    8
#define FRAME_R13    16
#define FRAME_R12    24
#define FRAME_RBP    32
#define FRAME_RBX    40
#define FRAME_R11    48
#define FRAME_R10    56
#define FRAME_R9     64
#define FRAME_R8     72
#define FRAME_RAX    80
#define FRAME_RCX    88
#define FRAME_RDX    96
#define FRAME_RSI    104
#define FRAME_RDI    112
#define FRAME_VECTOR 120
#define FRAME_ERROR  128
#define FRAME_RIP    136
#define FRAME_CS     144
#define FRAME_RFLAGS 152
#define FRAME_RSP    160
#define FRAME_SS     168

#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS  0x18

#define VECTOR_SYSCALL  0x100 /* frame.vector of a system call */
#define VECTOR_TIMER    0xf0
#define VECTOR_SPURIOUS 0xff

/* What must happen before the application goes on (cpu_exit_work). */
#define WORK_RESCHED 1
#define WORK_SIGNAL  2
#define WORK_TRACE   4 /* every system call takes the slow path: --strace */

#define RFLAGS_IF   0x200
#define RFLAGS_TF   0x100
#define RFLAGS_DF   0x400
#define RFLAGS_AC   0x40000
/* What sigreturn may set: the arithmetic flags, TF, DF, AC, ID. */
#define RFLAGS_USER 0x240dd5

#ifndef __ASSEMBLY__
#include "lib/base.h"

struct trap_frame {
    uint64_t r15, r14, r13, r12, rbp, rbx;
    uint64_t r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    uint64_t vector; /* VECTOR_SYSCALL for a system call */
    uint64_t error;  /* the CPU's error code; for a system call its number */
    uint64_t rip, cs, rflags, rsp, ss;
};
_Static_assert(sizeof(struct trap_frame) == TRAP_FRAME_SIZE, "assembly offsets");
_Static_assert(offsetof(struct trap_frame, rip) == FRAME_RIP, "assembly offsets");
_Static_assert(offsetof(struct trap_frame, rax) == FRAME_RAX, "assembly offsets");

/* A same-ring trap leaves no privilege level to look at: whose code was interrupted is told by
 * the address. */
static inline bool frame_from_user(const struct trap_frame *f)
{
    return f->rip < 0xffff800000000000ul;
}

extern uint32_t cpu_exit_work;
#endif
