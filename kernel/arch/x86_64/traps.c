/*
 * What every trap means: page faults, exceptions, the timer, devices. Entered from
 * trap.S on the thread's kernel stack. Page faults and breakpoints may sleep; nothing else here does.
 */
#include "arch/x86_64/clockevent.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/guard.h"
#include "arch/x86_64/hooks.h"
#include "mm/layout.h"
#include "sched/thread.h"

#include <asm/errno.h>
#include <asm/siginfo.h>
#include <asm/signal.h>

#define VECTOR_DEVICES 0x20 /* everything below is the CPU's own */

enum vector {
    VEC_DIVIDE,
    VEC_DEBUG,
    VEC_NMI,
    VEC_BREAKPOINT,
    VEC_OVERFLOW,
    VEC_BOUND,
    VEC_INVALID,
    VEC_NO_FPU,
    VEC_DOUBLE,
    VEC_TSS = 10,
    VEC_SEGMENT,
    VEC_STACK,
    VEC_PROTECTION,
    VEC_PAGE,
    VEC_X87 = 16,
    VEC_ALIGNMENT,
    VEC_MACHINE_CHECK,
    VEC_SIMD,
};

#define PF_PRESENT 0x01
#define PF_WRITE   0x02
#define PF_FETCH   0x10

static const char *const names[VECTOR_DEVICES] = {
    [VEC_DIVIDE] = "divide error",
    [VEC_DEBUG] = "debug exception",
    [VEC_NMI] = "non-maskable interrupt",
    [VEC_BREAKPOINT] = "breakpoint",
    [VEC_OVERFLOW] = "overflow",
    [VEC_BOUND] = "bound range exceeded",
    [VEC_INVALID] = "invalid opcode",
    [VEC_NO_FPU] = "device not available",
    [VEC_DOUBLE] = "double fault (kernel stack overflow?)",
    [VEC_TSS] = "invalid TSS",
    [VEC_SEGMENT] = "segment not present",
    [VEC_STACK] = "stack fault",
    [VEC_PROTECTION] = "general protection fault",
    [VEC_PAGE] = "page fault",
    [VEC_X87] = "x87 floating-point error",
    [VEC_ALIGNMENT] = "alignment check",
    [VEC_MACHINE_CHECK] = "machine check",
    [VEC_SIMD] = "SIMD floating-point error",
};

struct extable_entry {
    uint64_t at, to;
};
extern const struct extable_entry __extable_start[], __extable_end[];

void trap_dispatch(struct trap_frame *f);

static bool fix_up(struct trap_frame *f)
{
    for (const struct extable_entry *e = __extable_start; e < __extable_end; e++)
        if (e->at == f->rip) {
            f->rip = e->to;
            return true;
        }
    return false;
}

static void page_fault(struct trap_frame *f)
{
    uint64_t addr = READ_CR(2);
    bool user = frame_from_user(f);
    uint64_t switches;
    int r;

    if (unlikely(!user) && guard_caught(f))
        return;
    if (unlikely(addr >= USER_MAX)) {
        if (user)
            user_fault(f, SIGSEGV, SEGV_MAPERR, addr, VEC_PAGE);
        else if (!fix_up(f))
            kernel_fault(f, names[VEC_PAGE], addr);
        return;
    }
    switches = current()->switches;
    r = user_page_fault(addr, f->error & PF_WRITE, f->error & PF_FETCH);
    if (likely(r == 0)) {
        if (unlikely(user && current()->switches != switches))
            user_was_preempted(f);
        return;
    }
    if (!user) {
        if (!fix_up(f))
            kernel_fault(f, names[VEC_PAGE], addr);
        return;
    }
    if (r == -EIO)
        user_fault(f, SIGBUS, BUS_ADRERR, addr, VEC_PAGE);
    else if (r == -ENOMEM)
        user_fault(f, SIGKILL, SI_KERNEL, addr, VEC_PAGE);
    else
        user_fault(f, SIGSEGV, r == -EACCES ? SEGV_ACCERR : SEGV_MAPERR, addr, VEC_PAGE);
}

/* MXCSR or x87 status bits to FPE_* (SDM vol. 1 §8.5, §11.5). */
static int fpe_code(unsigned status)
{
    return status & 0x01   ? FPE_FLTINV
           : status & 0x04 ? FPE_FLTDIV
           : status & 0x08 ? FPE_FLTOVF
           : status & 0x12 ? FPE_FLTUND
           : status & 0x20 ? FPE_FLTRES
                           : 0;
}

static void exception(struct trap_frame *f)
{
    unsigned v = f->vector;
    uint32_t status = 0;
    uint16_t control = 0;
    uint64_t switches;

    if (!frame_from_user(f) || v == VEC_DOUBLE || v == VEC_NMI || v == VEC_MACHINE_CHECK) {
        if (v == VEC_PROTECTION && !frame_from_user(f) && fix_up(f))
            return;
        if (v != VEC_DOUBLE && v != VEC_NMI && v != VEC_MACHINE_CHECK && guard_caught(f))
            return;
        kernel_fault(f, names[v] ? names[v] : "reserved exception", 0);
    }
    switch (v) {
    case VEC_DIVIDE:
        user_fault(f, SIGFPE, FPE_INTDIV, f->rip, v);
        break;
    case VEC_DEBUG:
        user_fault(f, SIGTRAP, TRAP_TRACE, f->rip, v);
        break;
    case VEC_BREAKPOINT:
        switches = current()->switches;
        if (!user_breakpoint(f))
            user_fault(f, SIGTRAP, SI_KERNEL, 0, v);
        else if (current()->switches != switches)
            user_was_preempted(f);
        break;
    case VEC_INVALID:
        user_fault(f, SIGILL, ILL_ILLOPN, f->rip, v);
        break;
    case VEC_X87:
        __asm__ volatile("fnstsw %w0; fnstcw %1" : "=a"(status), "=m"(control));
        user_fault(f, SIGFPE, fpe_code(status & ~control), f->rip, v);
        break;
    case VEC_SIMD:
        __asm__ volatile("stmxcsr %0" : "=m"(status));
        user_fault(f, SIGFPE, fpe_code(status & ~(status >> 7)), f->rip, v);
        break;
    case VEC_ALIGNMENT:
        user_fault(f, SIGBUS, BUS_ADRALN, 0, v);
        break;
    case VEC_STACK:
    case VEC_SEGMENT:
    case VEC_TSS:
        user_fault(f, SIGBUS, SI_KERNEL, 0, v);
        break;
    default:
        user_fault(f, SIGSEGV, SI_KERNEL, 0, v);
        break;
    }
}

void trap_dispatch(struct trap_frame *f)
{
    bool user = frame_from_user(f);

    if (likely(f->vector == VEC_PAGE)) {
        page_fault(f);
    } else if (f->vector < VECTOR_DEVICES) {
        exception(f);
    } else if (f->vector == VECTOR_TIMER) {
        lapic_eoi();
        sched_tick(user);
        if (!user)
            guard_tick(f);
    } else if (f->vector != VECTOR_SPURIOUS) {
        irq_dispatch(f->vector);
        lapic_eoi();
    }
    if (user && cpu_exit_work)
        user_return_work(f);
}
