/*
 * Threads: clone(2), clone3(2) and what goes with them. Only threads of this process can be made
 * (CLONE_VM|CLONE_SIGHAND|CLONE_THREAD); fork and vfork do not exist in one address space
 * and return ENOSYS.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/uaccess.h"
#include "linux/process.h"
#include "linux/sigstate.h"
#include "linux/syscall.h"
#include "mm/slab.h"

#include <linux/sched.h>

#define THREAD_FLAGS (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)
#define KNOWN_FLAGS                                                                                \
    (THREAD_FLAGS | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |  \
     CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | CLONE_DETACHED | CLONE_IO | CLONE_PTRACE |        \
     CLONE_UNTRACED)
/* Threads share these whether asked or not in Linux only if asked; we have one of each. */
#define SHARED_ALWAYS (CLONE_FS | CLONE_FILES)
#define MAX_THREADS   4096

long sys_clone(uint64_t flags, uint64_t stack, int *parent_tid, int *child_tid, uint64_t tls);
long sys_clone3(struct clone_args *uargs, size_t size);
extern char sys_clone_entry[], sys_clone3_entry[];
long syscall_unknown(uint64_t nr);

static long do_clone(uint64_t flags, uint64_t stack, int *parent_tid, int *child_tid, uint64_t tls)
{
    struct thread *self = current(), *t;
    struct trap_frame *f;
    int r = 0;

    if ((flags & THREAD_FLAGS) != THREAD_FLAGS) {
        if ((flags & CLONE_SIGHAND && !(flags & CLONE_VM)) ||
            (flags & CLONE_THREAD && !(flags & CLONE_SIGHAND)))
            return -EINVAL;
        return syscall_unknown(__NR_fork); /* a process is wanted */
    }
    if (flags & ~(uint64_t)(KNOWN_FLAGS | CSIGNAL) || (flags & SHARED_ALWAYS) != SHARED_ALWAYS)
        return -EINVAL;
    if (flags & CLONE_SETTLS && tls >= USER_MAX)
        return -EPERM; /* WRFSBASE would fault */
    if (thread_count >= MAX_THREADS)
        return -EAGAIN;
    t = thread_create(self->name);
    if (!t)
        return -ENOMEM;
    t->sig = sigstate_new(self->sig);
    if (!t->sig) {
        thread_discard(t);
        return -ENOMEM;
    }
    fpu_save(t->fpu);
    f = thread_user_frame(t);
    *f = *thread_user_frame(self);
    f->rax = 0;
    f->rcx = f->rip;
    f->r11 = f->rflags;
    f->cs = SEL_CODE;
    f->ss = SEL_DATA;
    f->vector = 0;
    if (stack)
        f->rsp = stack;
    t->fs_base = flags & CLONE_SETTLS ? tls : fs_base_get();
    t->gs_base = gs_base_get();
    if (flags & CLONE_CHILD_CLEARTID)
        t->clear_child_tid = (uint64_t)child_tid;
    if (flags & CLONE_PARENT_SETTID)
        r = put_user(t->tid, parent_tid);
    if (r == 0 && flags & CLONE_CHILD_SETTID)
        r = put_user(t->tid, child_tid);
    if (r < 0) {
        sigstate_free(t->sig);
        thread_discard(t);
        return r;
    }
    thread_start(t);
    return t->tid;
}

long sys_clone(uint64_t flags, uint64_t stack, int *parent_tid, int *child_tid, uint64_t tls)
{
    return do_clone(flags, stack, parent_tid, child_tid, tls);
}

long sys_clone3(struct clone_args *uargs, size_t size)
{
    struct clone_args a = {0};

    if (size < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    if (size > PAGE_SIZE)
        return -E2BIG;
    if (copy_from_user(&a, uargs, MIN(size, sizeof(a))) < 0)
        return -EFAULT;
    for (size_t i = sizeof(a); i < size; i++) {
        uint8_t byte;
        if (get_user(byte, (uint8_t *)uargs + i) < 0)
            return -EFAULT;
        if (byte)
            return -E2BIG;
    }
    if (a.flags & (CSIGNAL | CLONE_DETACHED) || a.exit_signal & ~(uint64_t)CSIGNAL ||
        (a.stack == 0) != (a.stack_size == 0) ||
        (a.exit_signal && a.flags & (CLONE_THREAD | CLONE_PARENT)) || a.set_tid_size)
        return -EINVAL;
    return do_clone(a.flags, a.stack + a.stack_size, (int *)a.parent_tid, (int *)a.child_tid, a.tls);
}

#define SYSCALL_FULL(name_, args_)                                                                 \
    static const struct syscall_desc syscall_desc_##name_                                          \
        __attribute__((section(".syscalls"), used, aligned(8))) = {                                \
            __NR_##name_, SYSCALL_PARTIAL,   #name_,                                               \
            args_,        sys_##name_##_entry, "threads only; a new process gives ENOSYS"}
SYSCALL_FULL(clone, "xpppp");
SYSCALL_FULL(clone3, "pz");

static long sys_set_tid_address(uint64_t addr)
{
    current()->clear_child_tid = addr;
    return current()->tid;
}
SYSCALL(set_tid_address, COMPLETE, "p", "");

static long sys_gettid(void)
{
    return current()->tid;
}
SYSCALL(gettid, COMPLETE, "", "");

#define ARCH_SET_GS       0x1001
#define ARCH_SET_FS       0x1002
#define ARCH_GET_FS       0x1003
#define ARCH_GET_GS       0x1004

static long sys_arch_prctl(int op, uint64_t addr)
{
    switch (op) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
        if (addr >= USER_MAX)
            return -EPERM;
        if (op == ARCH_SET_FS)
            fs_base_set(addr);
        else
            gs_base_set(addr);
        return 0;
    case ARCH_GET_FS:
        return put_user(fs_base_get(), (uint64_t *)addr);
    case ARCH_GET_GS:
        return put_user(gs_base_get(), (uint64_t *)addr);
    default:
        return -EINVAL;
    }
}
SYSCALL(arch_prctl, COMPLETE, "xp", "");
