/*
 * The system call table and what happens to calls that are not in it. The fast path is
 * in arch/x86_64/syscall.S; this is its set-up and its slow side.
 */
#include "linux/syscall.h"

#include "arch/x86_64/trap.h"
#include "lib/names.h"
#include "linux/strace.h"
#include "sched/thread.h"

#define TABLE_SIZE 512 /* SYSCALL_MAX in syscall.S */

extern const struct syscall_desc __syscalls_start[], __syscalls_end[];

const void *syscall_table[TABLE_SIZE];
static const struct syscall_desc *descs[TABLE_SIZE];
static uint32_t missing[TABLE_SIZE];
static uint32_t missing_other;

long syscall_unknown(uint64_t nr);
long syscall_trace(struct trap_frame *f);

/* The call's number is in the frame: all absent calls share this function. */
static long absent(void)
{
    return syscall_unknown(thread_user_frame(current())->error);
}

long syscall_unknown(uint64_t nr)
{
    if (nr < TABLE_SIZE)
        missing[nr]++;
    else
        missing_other++;
    return -ENOSYS;
}

void syscall_init(void)
{
    for (unsigned i = 0; i < TABLE_SIZE; i++)
        syscall_table[i] = absent;
    for (const struct syscall_desc *d = __syscalls_start; d < __syscalls_end; d++) {
        assert(d->nr < TABLE_SIZE && !descs[d->nr]);
        syscall_table[d->nr] = d->fn;
        descs[d->nr] = d;
    }
}

/* Called instead of the handler while --strace is on. */
long syscall_trace(struct trap_frame *f)
{
    typedef long (*handler)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
    uint64_t nr = f->error;
    uint64_t args[6] = {f->rdi, f->rsi, f->rdx, f->r10, f->r8, f->r9};
    long r;

    strace_enter(descs[nr], nr, args);
    r = ((handler)syscall_table[nr])(args[0], args[1], args[2], args[3], args[4], args[5]);
    strace_exit(descs[nr], nr, args, r);
    return r;
}

void syscall_report_missing(void)
{
    bool any = missing_other;

    for (unsigned i = 0; i < TABLE_SIZE; i++)
        any |= missing[i] != 0;
    if (!any)
        return;
    kprintf("wherry: system calls that are not implemented (ENOSYS), with counts:");
    for (unsigned i = 0; i < TABLE_SIZE; i++)
        if (missing[i])
            {
            const char *name = syscall_name(i);
            if (name)
                kprintf(" %s:%u", name, missing[i]);
            else
                kprintf(" syscall_%u:%u", i, missing[i]);
        }
    if (missing_other)
        kprintf(" beyond-table:%u", missing_other);
    kprintf("\n");
}
