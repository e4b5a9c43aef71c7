/*
 * The kernel's last words. A report is printed in the order in which its parts can still be
 * trusted: the message and the registers, the backtrace, then what walks larger structures (memory,
 * and what the application's half of the kernel has to say). A fault inside a report ends it and
 * powers off. Implements panic() (lib/base.h) and kernel_fault() (arch/x86_64/hooks.h);
 * linux/crash.c uses the parts for the application's death.
 */
#include "crash/panic.h"

#include "app.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hooks.h"
#include "crash/backtrace.h"
#include "drivers/power.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "sched/thread.h"

#define CODE_BEFORE 24 /* bytes of code shown before rip, as Linux does, and from it on */
#define CODE_AFTER  20
#define MESSAGE_MAX 256
#define VECTOR_PAGE 14
#define PF_PRESENT  0x01
#define PF_WRITE    0x02
#define PF_FETCH    0x10

/* How many reports are being made: more than one is a fault in the report itself. */
static unsigned nested;

void panic_print_registers(const struct unwind_cursor *c)
{
    static const struct {
        const char *name;
        enum unwind_reg reg;
    } order[] = {
        {"rip", UNWIND_RIP}, {"rsp", UNWIND_RSP}, {"rbp", UNWIND_RBP}, {"rax", UNWIND_RAX},
        {"rbx", UNWIND_RBX}, {"rcx", UNWIND_RCX}, {"rdx", UNWIND_RDX}, {"rsi", UNWIND_RSI},
        {"rdi", UNWIND_RDI}, {"r8 ", UNWIND_R8},  {"r9 ", UNWIND_R9},  {"r10", UNWIND_R10},
        {"r11", UNWIND_R11}, {"r12", UNWIND_R12}, {"r13", UNWIND_R13}, {"r14", UNWIND_R14},
        {"r15", UNWIND_R15},
    };
    unsigned column = 0;
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        if (!(c->known & 1u << order[i].reg))
            continue;
        kprintf("%s%s %016lx",
                column % 4 ? "  "
                : column   ? "\n  "
                           : "  ",
                order[i].name, c->reg[order[i].reg]);
        column++;
    }
    kprintf("\n");
}

void panic_print_code(virt_t rip)
{
    uint8_t b;
    kprintf("  code");
    for (virt_t a = rip - CODE_BEFORE; a != rip + CODE_AFTER; a++) {
        if (!backtrace_read(a, &b, 1))
            kprintf(" ??");
        else
            kprintf(a == rip ? " <%02x>" : " %02x", b);
    }
    kprintf("\n");
}

void panic_print_thread(void)
{
    const struct thread *t = current();
    if (t != NULL)
        kprintf("  thread %d \"%s\", one of %u\n", t->tid, t->name, thread_count);
    else
        kprintf("  before the first thread\n");
}

void panic_print_memory(void)
{
    struct frame_stats f = frame_stats();
    struct slab_stats s = slab_stats();
    kprintf("  memory: %lu KiB of %lu KiB free, %lu allocations refused; kernel heap %lu KiB of "
            "%lu KiB, large %lu KiB\n",
            f.free * PAGE_SIZE / KiB, f.total * PAGE_SIZE / KiB, f.failed, s.bytes_used / KiB,
            s.bytes_reserved / KiB, s.large_bytes / KiB);
}

const char *panic_access_text(const struct trap_frame *f)
{
    if (f->error & PF_FETCH)
        return "executing";
    return f->error & PF_WRITE ? "writing" : "reading";
}

static __noreturn void end_machine(void)
{
    power_off(STATUS_PANIC);
}

/* A fault in a report: say so once, then only power off, and at last only stop. */
void panic_enter_report(const char *what)
{
    irq_disable();
    if (nested++ == 0)
        return;
    if (nested == 2) {
        kprintf("\nwherry: and while reporting that: %s\n", what);
        end_machine();
    }
    if (nested == 3)
        end_machine();
    for (;;)
        __asm__ volatile("cli; hlt");
}

void panic_leave_report(void)
{
    nested--;
}

static __noreturn void finish_panic(const struct unwind_cursor *c)
{
    panic_print_registers(c);
    panic_print_thread();
    panic_print_code(c->reg[UNWIND_RIP]);
    kprintf("  backtrace:\n");
    backtrace_print(c);
    panic_print_memory();
    app_panic();
    end_machine();
}

void panic(const char *fmt, ...)
{
    char message[MESSAGE_MAX];
    struct unwind_cursor c = {.exact = true};
    va_list ap;

    /* Where the caller is, by what a function must preserve; the rest is gone already. */
    c.known = 1u << UNWIND_RIP | 1u << UNWIND_RSP | 1u << UNWIND_RBP | 1u << UNWIND_RBX |
              1u << UNWIND_R12 | 1u << UNWIND_R13 | 1u << UNWIND_R14 | 1u << UNWIND_R15;
    __asm__ volatile("lea 0f(%%rip), %%rax\n"
                     "0: mov %%rax, %[rip]\n"
                     "mov %%rsp, %[rsp]\n"
                     "mov %%rbp, %[rbp]\n"
                     "mov %%rbx, %[rbx]\n"
                     "mov %%r12, %[r12]\n"
                     "mov %%r13, %[r13]\n"
                     "mov %%r14, %[r14]\n"
                     "mov %%r15, %[r15]\n"
                     : [rip] "=m"(c.reg[UNWIND_RIP]), [rsp] "=m"(c.reg[UNWIND_RSP]),
                       [rbp] "=m"(c.reg[UNWIND_RBP]), [rbx] "=m"(c.reg[UNWIND_RBX]),
                       [r12] "=m"(c.reg[UNWIND_R12]), [r13] "=m"(c.reg[UNWIND_R13]),
                       [r14] "=m"(c.reg[UNWIND_R14]), [r15] "=m"(c.reg[UNWIND_R15])
                     :
                     : "rax", "memory");
    va_start(ap, fmt);
    kvsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    panic_enter_report(message);
    kprintf("\nwherry: panic: %s\n", message);
    finish_panic(&c);
}

/* Stacks come from vmalloc(), which leaves the page below unmapped. */
static bool is_stack_guard(virt_t addr)
{
    const struct thread *t = current();
    return t != NULL && addr < (virt_t)t->kstack && addr >= (virt_t)t->kstack - PAGE_SIZE;
}

void kernel_fault(struct trap_frame *f, const char *what, uint64_t addr)
{
    struct unwind_cursor c = backtrace_cursor(f);

    panic_enter_report(what);
    kprintf("\nwherry: panic: %s in the kernel", what);
    if (f->vector == VECTOR_PAGE)
        kprintf(", %s %016lx (%s)", panic_access_text(f), addr,
                f->error & PF_PRESENT ? "not allowed" : "not mapped");
    kprintf(", error %lx, rflags %lx%s\n", f->error, f->rflags,
            is_stack_guard(addr) ? ": the kernel stack overflowed" : "");
    finish_panic(&c);
}
