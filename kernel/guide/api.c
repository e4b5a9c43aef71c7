/*
 * The functions that guides call (include/wherry/guide.h). Each enters the kernel proper, where
 * interrupts are off, and leaves it again; memory that the guide names must be its own: its image,
 * or the stack it runs on.
 */
#include "guide/internal.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/guard.h"

static bool writable(const void *p, size_t n)
{
    virt_t a = (virt_t)p, here = (virt_t)__builtin_frame_address(0);

    return guide_owns(guide_now.guide, p, n) ||
           (a > here && a < cpu_kstack_top && n <= cpu_kstack_top - a);
}

int guide_read(void *to, uint64_t from, size_t n)
{
    int r = -EFAULT;

    guard_enter_kernel();
    if (writable(to, n))
        r = want_read(to, from, n);
    guard_leave_kernel();
    return r;
}

int guide_want(uint64_t from, uint64_t n)
{
    int r;

    guard_enter_kernel();
    r = want_range(from, n);
    guard_leave_kernel();
    return r;
}

int guide_tell(uint64_t address, uint64_t cookie)
{
    int r;

    guard_enter_kernel();
    r = want_tell(address, cookie);
    guard_leave_kernel();
    return r;
}

int guide_fetch(uint64_t address, size_t n, uint64_t cookie)
{
    int r;

    guard_enter_kernel();
    r = want_fetch(address, n, cookie);
    guard_leave_kernel();
    return r;
}

void guide_count(unsigned i, uint64_t n)
{
    guard_enter_kernel();
    if (i < GUIDE_COUNTERS)
        guide_now.guide->counter[i] += n;
    guard_leave_kernel();
}

void guide_log(const char *text)
{
    char line[160];

    guard_enter_kernel();
    if (guide_string(guide_now.guide, text, line, sizeof(line)))
        kprintf("wherry: guide %s: %s\n", guide_now.guide->name, line);
    guard_leave_kernel();
}

uint64_t guide_resolve(const char *name)
{
    static const struct {
        const char *name;
        const void *fn;
    } functions[] = {
        {"guide_read", guide_read},   {"guide_want", guide_want},   {"guide_tell", guide_tell},
        {"guide_fetch", guide_fetch}, {"guide_count", guide_count}, {"guide_log", guide_log},
        {"memcpy", memcpy},           {"memset", memset},           {"memmove", memmove},
        {"memcmp", memcmp},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(functions); i++)
        if (strcmp(functions[i].name, name) == 0)
            return (uint64_t)functions[i].fn;
    return 0;
}
