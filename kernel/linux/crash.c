/*
 * Reports of the application's end by a signal, and of memory that ran out; what a panic has to say
 * of the application. Parts of a report come from crash/.
 */
#include "linux/crash.h"

#include "app.h"
#include "crash/backtrace.h"
#include "crash/panic.h"
#include "fs/vfs.h"
#include "lib/names.h"
#include "linux/syscall.h"
#include "mm/layout.h"
#include "mm/vma.h"

#include <asm/signal.h>

#define PATH_ROOM   256
#define VECTOR_PAGE 14

static void print_app_memory(void)
{
    kprintf("  application: %lu KiB mapped, %lu KiB anonymous and %lu KiB of files present\n",
            mm_stats.virt_pages * PAGE_SIZE / KiB, mm_stats.rss_anon * PAGE_SIZE / KiB,
            mm_stats.rss_file * PAGE_SIZE / KiB);
}

void app_panic(void)
{
    print_app_memory();
    syscall_report_missing();
}

#define HOLDERS 5 /* mappings named when memory is out */

void crash_report_memory(void)
{
    const struct vma *top[HOLDERS] = {NULL};
    uint64_t pages[HOLDERS] = {0};
    char path[PATH_ROOM];

    kprintf("wherry: out of memory\n");
    panic_print_memory();
    print_app_memory();
    for (struct vma *v = vma_find_above(0); v != NULL; v = vma_next(v)) {
        uint64_t n = vma_resident(v, NULL);
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

void crash_report(const struct trap_frame *f, int sig, virt_t fault_addr)
{
    struct unwind_cursor c = backtrace_cursor(f);
    const char *name = signal_name(sig);
    bool memory_fault = sig == SIGSEGV || sig == SIGBUS;

    panic_enter_report("a fault in the kernel");
    kprintf("\nwherry: the application died of signal %d (%s)", sig, name ? name : "real-time");
    if (memory_fault && f->vector == VECTOR_PAGE)
        kprintf(", %s %016lx", panic_access_text(f), fault_addr);
    kprintf("\n");
    panic_print_registers(&c);
    panic_print_thread();
    if (memory_fault)
        print_mapping(fault_addr);
    if (!memory_fault || fault_addr != f->rip)
        print_mapping(f->rip);
    panic_print_code(f->rip);
    kprintf("  backtrace:\n");
    backtrace_print(&c);
    panic_print_memory();
    app_panic();
    panic_leave_report();
}
