/*
 * The signal frame on the application's stack, as the x86-64 Linux ABI lays it out
 * (<asm/sigcontext.h>, <asm/ucontext.h>): return address, ucontext, siginfo, and above them the
 * FPU state in XSAVE format. May sleep (touches the application's stack).
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/uaccess.h"
#include "linux/sigstate.h"
#include "linux/syscall.h"

#include <asm/sigcontext.h>
#include <asm/ucontext.h>

#define RED_ZONE       128
#define FXSAVE_SIZE    512
#define FPU_ALIGN      64
#define SW_RESERVED    464 /* in the legacy area: struct _fpx_sw_bytes */
#define XSAVE_HEADER   512
#define XSTATE_BV      XSAVE_HEADER
#define XCOMP_BV       (XSAVE_HEADER + 8)
#define MXCSR_OFFSET   24
#define MXCSR_MASK     0xffff
#define XSTATE_LEGACY  3 /* x87 and SSE */
#define UC_FLAGS_SET   (UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS)

struct rt_sigframe {
    uint64_t return_address;
    struct ucontext uc;
    siginfo_t info;
};

long sys_rt_sigreturn(struct trap_frame *f);
extern char sys_rt_sigreturn_entry[];

static bool on_altstack(const stack_t *s, uint64_t sp)
{
    return !(s->ss_flags & SS_DISABLE) && sp > (uint64_t)s->ss_sp &&
           sp - (uint64_t)s->ss_sp <= s->ss_size;
}

/*
 * The thread's FPU area is also where the scheduler saves the registers. A copy that slept in a page
 * fault has mixed the two: it is made again, the page being there now.
 */
static int copy_undisturbed(void *to, const void *from, size_t n)
{
    const struct thread *t = current();
    uint64_t before;

    do {
        before = t->switches;
        if (user_copy(to, from, n) != 0)
            return -EFAULT;
    } while (unlikely(t->switches != before));
    return 0;
}

static int save_fpu(uint64_t at)
{
    struct thread *t = current();
    uint8_t *area = t->fpu;
    uint32_t size = cpu_features.xsave_size;
    struct _fpx_sw_bytes sw = {0};
    uint32_t magic2 = FP_XSTATE_MAGIC2;

    if (!user_range_ok((void *)at, size + sizeof(magic2)))
        return -EFAULT;
    fpu_save_all(area);
    if (cpu_features.xsave) {
        /* A handler may change these in the frame without knowing of this word: they count. */
        *(uint64_t *)(area + XSTATE_BV) |= XSTATE_LEGACY;
        sw.magic1 = FP_XSTATE_MAGIC1;
        sw.extended_size = size + sizeof(magic2);
        sw.xfeatures = cpu_features.xcr0;
        sw.xstate_size = size;
    }
    memcpy(area + SW_RESERVED, &sw, sizeof(sw));
    if (copy_undisturbed((void *)at, area, size) < 0)
        return -EFAULT;
    return cpu_features.xsave ? copy_to_user((void *)(at + size), &magic2, sizeof(magic2)) : 0;
}

int sigframe_push(struct trap_frame *f, int sig, const siginfo_t *info, const struct sig_action *a,
                  uint64_t old_mask)
{
    struct sigstate *s = current()->sig;
    uint64_t sp = f->rsp - RED_ZONE, fpu, at;
    struct rt_sigframe frame;
    struct sigcontext *c = &frame.uc.uc_mcontext;

    memset(&frame, 0, sizeof(frame));
    frame.uc.uc_stack = s->altstack;
    if (a->flags & SA_ONSTACK && !(s->altstack.ss_flags & SS_DISABLE) &&
        !on_altstack(&s->altstack, f->rsp)) {
        sp = (uint64_t)s->altstack.ss_sp + s->altstack.ss_size;
        if (s->altstack.ss_flags & (int)SS_AUTODISARM)
            s->altstack.ss_flags = SS_DISABLE;
    }
    fpu = ALIGN_DOWN(sp - cpu_features.xsave_size - sizeof(uint32_t), FPU_ALIGN);
    /* At the handler's first instruction the stack is as after a call: 8 off alignment. */
    at = ALIGN_DOWN(fpu - sizeof(frame), 16) - 8;

    frame.return_address = a->restorer;
    frame.uc.uc_flags = UC_FLAGS_SET & (cpu_features.xsave ? ~0ul : ~(uint64_t)UC_FP_XSTATE);
    frame.uc.uc_sigmask = old_mask;
    frame.info = *info;
    c->r8 = f->r8, c->r9 = f->r9, c->r10 = f->r10, c->r11 = f->r11;
    c->r12 = f->r12, c->r13 = f->r13, c->r14 = f->r14, c->r15 = f->r15;
    c->rdi = f->rdi, c->rsi = f->rsi, c->rbp = f->rbp, c->rbx = f->rbx;
    c->rdx = f->rdx, c->rax = f->rax, c->rcx = f->rcx, c->rsp = f->rsp;
    c->rip = f->rip, c->eflags = f->rflags, c->cs = f->cs, c->ss = f->ss;
    c->oldmask = old_mask;
    c->trapno = f->vector;
    c->err = f->error;
    c->cr2 = sig == SIGSEGV || sig == SIGBUS ? (uint64_t)info->si_addr : 0;
    c->fpstate = (void *)fpu;
    if (a->handler >= USER_MAX || save_fpu(fpu) < 0 || copy_to_user((void *)at, &frame, sizeof(frame)) < 0)
        return -EFAULT;

    /* The handler starts with a fresh FPU (psABI §3.2.3 wants the x87 stack empty). */
    fpu_init_area(current()->fpu);
    fpu_restore(current()->fpu);
    f->rdi = sig;
    f->rsi = at + offsetof(struct rt_sigframe, info);
    f->rdx = at + offsetof(struct rt_sigframe, uc);
    f->rax = 0;
    f->rsp = at;
    f->rip = a->handler;
    f->rflags &= ~(uint64_t)(RFLAGS_DF | RFLAGS_TF);
    return 0;
}

static int restore_fpu(uint64_t at)
{
    struct thread *t = current();
    uint8_t *area = t->fpu;
    uint32_t size = cpu_features.xsave_size;
    struct _fpx_sw_bytes sw;

    if (!at) {
        fpu_init_area(area);
        fpu_restore(area);
        return 0;
    }
    if (!user_range_ok((void *)at, size) || copy_undisturbed(area, (void *)at, FXSAVE_SIZE) < 0)
        return -EFAULT;
    memcpy(&sw, area + SW_RESERVED, sizeof(sw));
    if (cpu_features.xsave) {
        if (sw.magic1 == FP_XSTATE_MAGIC1 && sw.xstate_size == size) {
            if (copy_undisturbed(area, (void *)at, size) < 0)
                return -EFAULT;
            *(uint64_t *)(area + XSTATE_BV) &= cpu_features.xcr0;
            /* Standard format, reserved bytes zero, or XRSTOR faults (SDM vol. 1 §13.8.1). */
            memset(area + XCOMP_BV, 0, FPU_ALIGN - 8);
        } else {
            memset(area + XSAVE_HEADER, 0, FPU_ALIGN);
            *(uint64_t *)(area + XSTATE_BV) = XSTATE_LEGACY;
        }
    }
    *(uint32_t *)(area + MXCSR_OFFSET) &= MXCSR_MASK;
    fpu_restore(area);
    return 0;
}

/* Entered with the stack pointer at the frame, past the return address that was popped. */
long sys_rt_sigreturn(struct trap_frame *f)
{
    struct sigstate *s = current()->sig;
    uint64_t at = f->rsp - sizeof(uint64_t);
    struct ucontext uc;
    const struct sigcontext *c = &uc.uc_mcontext;

    f->vector = 0;
    if (copy_from_user(&uc, (void *)(at + offsetof(struct rt_sigframe, uc)), sizeof(uc)) < 0 ||
        restore_fpu((uint64_t)c->fpstate) < 0) {
        signal_force(SIGSEGV, SI_KERNEL, at, f);
        return 0;
    }
    f->r8 = c->r8, f->r9 = c->r9, f->r10 = c->r10, f->r11 = c->r11;
    f->r12 = c->r12, f->r13 = c->r13, f->r14 = c->r14, f->r15 = c->r15;
    f->rdi = c->rdi, f->rsi = c->rsi, f->rbp = c->rbp, f->rbx = c->rbx;
    f->rdx = c->rdx, f->rax = c->rax, f->rcx = c->rcx, f->rsp = c->rsp;
    f->rip = c->rip;
    f->rflags = (c->eflags & RFLAGS_USER) | RFLAGS_IF | 2;
    f->cs = SEL_CODE;
    f->ss = SEL_DATA;
    if (!(uc.uc_stack.ss_flags & SS_DISABLE) || s->altstack.ss_flags & SS_DISABLE)
        s->altstack = uc.uc_stack;
    signal_set_mask(uc.uc_sigmask);
    if (f->rip >= USER_MAX)
        signal_force(SIGSEGV, SI_KERNEL, f->rip, f);
    return f->rax;
}

static const struct syscall_desc syscall_desc_rt_sigreturn
    __attribute__((section(".syscalls"), used, aligned(8))) = {
        __NR_rt_sigreturn, SYSCALL_COMPLETE, "rt_sigreturn", "", sys_rt_sigreturn_entry, ""};
