/*
 * The last words of the kernel or the application. A report is printed in the order in which its
 * parts can still be trusted: the message and the registers, the backtrace, then what walks
 * larger structures (mappings, memory). A fault inside a report ends it and powers off.
 */
#include "linux/crash.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hooks.h"
#include "drivers/power.h"
#include "fs/vfs.h"
#include "lib/names.h"
#include "linux/backtrace.h"
#include "linux/syscall.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/slab.h"
#include "mm/vma.h"
#include "sched/thread.h"

#include <asm/signal.h>

#define CODE_BEFORE 24 /* bytes of code shown before rip, as Linux does, and from it on */
#define CODE_AFTER  20
#define MESSAGE_MAX 256
#define PATH_ROOM   256
#define VECTOR_PAGE 14
#define PF_PRESENT  0x01
#define PF_WRITE    0x02
#define PF_FETCH    0x10

/* How many reports are being made: more than one is a fault in the report itself. */
static unsigned nested;

static void print_registers(const struct unwind_cursor *c)
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

static void print_code(virt_t rip)
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

static void print_thread(void)
{
    const struct thread *t = current();
    if (t != NULL)
        kprintf("  thread %d \"%s\", one of %u\n", t->tid, t->name, thread_count);
    else
        kprintf("  before the first thread\n");
}

static void print_memory(void)
{
    struct frame_stats f = frame_stats();
    struct slab_stats s = slab_stats();
    kprintf("  memory: %lu KiB of %lu KiB free, %lu allocations refused; kernel heap %lu KiB of "
            "%lu KiB, large %lu KiB\n",
            f.free * PAGE_SIZE / KiB, f.total * PAGE_SIZE / KiB, f.failed, s.bytes_used / KiB,
            s.bytes_reserved / KiB, s.large_bytes / KiB);
    kprintf("  application: %lu KiB mapped, %lu KiB anonymous and %lu KiB of files present\n",
            mm_stats.virt_pages * PAGE_SIZE / KiB, mm_stats.rss_anon * PAGE_SIZE / KiB,
            mm_stats.rss_file * PAGE_SIZE / KiB);
}

#define HOLDERS 5 /* mappings named when memory is out */

void crash_report_memory(void)
{
    const struct vma *top[HOLDERS] = {NULL};
    uint64_t pages[HOLDERS] = {0};
    char path[PATH_ROOM];

    kprintf("wherry: out of memory\n");
    print_memory();
    for (struct vma *v = vma_find_above(0); v != NULL; v = vma_next(v)) {
        uint64_t n = vma_resident(v);
        unsigned i = HOLDERS;

        for (; i > 0 && n > pages[i - 1]; i--) {
            if (i < HOLDERS) {
                pages[i] = pages[i - 1];
                top[i] = top[i - 1];
            }
        }
        if (i < HOLDERS) {
            pages[i] = n;
            top[i] = v;
        }
    }
    for (unsigned i = 0; i < HOLDERS && pages[i]; i++) {
        const char *name = NULL;

        if (top[i]->file != NULL)
            name = vfs_path_of(top[i]->file, path, sizeof(path));
        if (name == NULL)
            name = top[i]->name != NULL ? top[i]->name : "anonymous";
        kprintf("  %lu KiB in %016lx-%016lx %s\n", pages[i] * PAGE_SIZE / KiB, top[i]->start,
                top[i]->end, name);
    }
}

/* "in [heap] 5581c000-5583d000 rw-" or where between its neighbours it is. */
static void print_mapping(virt_t addr)
{
    char path[PATH_ROOM];
    struct vma *v = vma_find(addr);
    const char *name = NULL;

    if (addr >= USER_MAX) {
        kprintf("  %016lx is not the application's\n", addr);
        return;
    }
    if (v == NULL) {
        struct vma *above = vma_find_above(addr);
        kprintf("  %016lx is in no mapping", addr);
        if (above != NULL)
            kprintf("; the next one starts 0x%lx higher%s%s", above->start - addr,
                    above->flags & VMA_STACK ? ": stack overflow?" : "",
                    addr < PAGE_SIZE ? " (null pointer?)" : "");
        kprintf("\n");
        return;
    }
    if (v->file != NULL)
        name = vfs_path_of(v->file, path, sizeof(path));
    if (name == NULL)
        name = v->name != NULL ? v->name : "anonymous";
    kprintf("  %016lx is in %016lx-%016lx %c%c%c%c %s\n", addr, v->start, v->end,
            v->prot & PROT_READ ? 'r' : '-', v->prot & PROT_WRITE ? 'w' : '-',
            v->prot & PROT_EXEC ? 'x' : '-', v->flags & MAP_SHARED ? 's' : 'p', name);
}

static const char *access_text(const struct trap_frame *f)
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
static void enter_report(const char *what)
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

static __noreturn void finish_panic(const struct unwind_cursor *c)
{
    print_registers(c);
    print_thread();
    print_code(c->reg[UNWIND_RIP]);
    kprintf("  backtrace:\n");
    backtrace_print(c);
    print_memory();
    syscall_report_missing();
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
    enter_report(message);
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

    enter_report(what);
    kprintf("\nwherry: panic: %s in the kernel", what);
    if (f->vector == VECTOR_PAGE)
        kprintf(", %s %016lx (%s)", access_text(f), addr,
                f->error & PF_PRESENT ? "not allowed" : "not mapped");
    kprintf(", error %lx, rflags %lx%s\n", f->error, f->rflags,
            is_stack_guard(addr) ? ": the kernel stack overflowed" : "");
    finish_panic(&c);
}

void crash_report(const struct trap_frame *f, int sig, virt_t fault_addr)
{
    struct unwind_cursor c = backtrace_cursor(f);
    const char *name = signal_name(sig);
    bool memory_fault = sig == SIGSEGV || sig == SIGBUS;

    enter_report("a fault in the kernel");
    kprintf("\nwherry: the application died of signal %d (%s)", sig, name ? name : "real-time");
    if (memory_fault && f->vector == VECTOR_PAGE)
        kprintf(", %s %016lx", access_text(f), fault_addr);
    kprintf("\n");
    print_registers(&c);
    print_thread();
    if (memory_fault)
        print_mapping(fault_addr);
    if (!memory_fault || fault_addr != f->rip)
        print_mapping(f->rip);
    print_code(f->rip);
    kprintf("  backtrace:\n");
    backtrace_print(&c);
    print_memory();
    syscall_report_missing();
    nested--;
}
