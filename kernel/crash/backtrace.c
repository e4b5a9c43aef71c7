/*
 * Backtraces with names, of the kernel's stack and on into the application's, whose frames
 * backtrace_app knows (linux/backtrace.c). Called by reports of crashes in any state the system may
 * be in, so it allocates nothing, and touches memory only as backtrace_read() does. A frame that
 * was called from is looked up one byte before its return address, so that the line is the call's.
 */
#include "crash/backtrace.h"

#include "arch/x86_64/paging.h"
#include "arch/x86_64/trap.h"
#include "lib/ksyms.h"
#include "mm/layout.h"

#define FRAMES_MAX 128
#define ENTRY_SIZE 512 /* more than the code at syscall_entry */

extern const char __image_start[], __text_end[], __eh_frame_hdr[], __eh_frame_hdr_end[],
    __eh_frame_start[], __eh_frame_end[], syscall_entry[];

const struct backtrace_app *backtrace_app;

static bool is_kernel(virt_t a)
{
    return a >= DIRECT_BASE;
}

/* Where the page of addr can be read; NULL if it cannot. */
static const char *readable_page(virt_t addr)
{
    virt_t page = addr & PAGE_MASK;
    uint64_t *huge, *pte = pte_lookup(page, false, &huge);
    if (huge != NULL)
        pte = huge;
    if (pte != NULL && (*pte & PTE_P))
        return *pte & PTE_PCD ? NULL : (const char *)page;
    return is_kernel(addr) || !backtrace_app ? NULL : backtrace_app->file_page(page);
}

bool backtrace_read(virt_t addr, void *buf, size_t n)
{
    char *out = buf;
    /* Non-canonical addresses, and ends that wrap around, are nowhere. */
    if (addr + n < addr || (addr + n > USER_MAX && addr < DIRECT_BASE))
        return false;
    while (n > 0) {
        size_t off = addr & ~PAGE_MASK, part = MIN(n, PAGE_SIZE - off);
        const char *page = readable_page(addr);
        if (page == NULL)
            return false;
        memcpy(out, page + off, part);
        addr += part;
        out += part;
        n -= part;
    }
    return true;
}

static bool trace_read(void *ctx, virt_t addr, void *buf, size_t n)
{
    return backtrace_read(addr, buf, n);
}

struct unwind_cursor backtrace_cursor(const struct trap_frame *f)
{
    struct unwind_cursor c = {.known = (1u << UNWIND_REGS) - 1, .exact = true};
    c.reg[UNWIND_RAX] = f->rax;
    c.reg[UNWIND_RBX] = f->rbx;
    c.reg[UNWIND_RCX] = f->rcx;
    c.reg[UNWIND_RDX] = f->rdx;
    c.reg[UNWIND_RSI] = f->rsi;
    c.reg[UNWIND_RDI] = f->rdi;
    c.reg[UNWIND_RBP] = f->rbp;
    c.reg[UNWIND_RSP] = f->rsp;
    c.reg[UNWIND_R8] = f->r8;
    c.reg[UNWIND_R9] = f->r9;
    c.reg[UNWIND_R10] = f->r10;
    c.reg[UNWIND_R11] = f->r11;
    c.reg[UNWIND_R12] = f->r12;
    c.reg[UNWIND_R13] = f->r13;
    c.reg[UNWIND_R14] = f->r14;
    c.reg[UNWIND_R15] = f->r15;
    c.reg[UNWIND_RIP] = f->rip;
    return c;
}

static void print_kernel_frame(unsigned nr, const struct unwind_cursor *c)
{
    uint64_t off;
    const char *name = ksym_lookup(unwind_pc(c), &off);
    virt_t pc = c->reg[UNWIND_RIP];
    if (name != NULL)
        kprintf("    #%-2u %016lx  %s+0x%lx\n", nr, pc, name, off + (c->exact ? 0 : 1));
    else
        kprintf("    #%-2u %016lx  kernel\n", nr, pc);
}

static void print_frame(struct unwind_memory *mem, unsigned nr, const struct unwind_cursor *c)
{
    if (is_kernel(unwind_pc(c)))
        print_kernel_frame(nr, c);
    else if (backtrace_app)
        backtrace_app->print(mem, nr, c);
    else
        kprintf("    #%-2u %016lx  not the kernel\n", nr, c->reg[UNWIND_RIP]);
}

static enum unwind_result step(struct unwind_memory *mem, struct unwind_cursor *c, bool first)
{
    virt_t pc = unwind_pc(c);
    struct unwind_tables t;

    if (is_kernel(pc)) {
        struct unwind_tables kernel = {(virt_t)__eh_frame_hdr, (virt_t)__eh_frame_hdr_end,
                                       (virt_t)__eh_frame_start, (virt_t)__eh_frame_end};
        if (kernel.hdr == kernel.hdr_end)
            kernel.hdr = kernel.hdr_end = 0;
        if (pc >= (virt_t)__image_start && pc < (virt_t)__text_end)
            return unwind_step(mem, &kernel, c);
    } else if (backtrace_app && backtrace_app->tables(mem, pc, &t)) {
        return t.hdr == 0 ? UNWIND_NO_TABLE : unwind_step(mem, &t, c);
    }
    /* A jump to nowhere was most likely a call: its return address is on top of the stack. */
    if (!first || !mem->read(mem->ctx, c->reg[UNWIND_RSP], &c->reg[UNWIND_RIP], 8))
        return UNWIND_NO_TABLE;
    c->reg[UNWIND_RSP] += 8;
    c->exact = false;
    return UNWIND_OK;
}

/* The application's number of the call it is in lies in its frame (syscall.S). */
static void print_border(virt_t kernel_pc)
{
    if (kernel_pc >= (virt_t)syscall_entry && kernel_pc < (virt_t)syscall_entry + ENTRY_SIZE)
        kprintf("    --- system call ---\n");
    else
        kprintf("    --- trap ---\n");
}

void backtrace_print(const struct unwind_cursor *start)
{
    struct unwind_cursor c = *start;
    struct unwind_memory mem = {.read = trace_read};
    enum unwind_result r;
    virt_t last = 0;
    unsigned same = 0;

    for (unsigned nr = 0; nr < FRAMES_MAX; nr++) {
        virt_t pc = unwind_pc(&c);
        /* Runaway recursion: its frames are one line. */
        bool repeated = nr > 0 && pc == last;
        if (repeated)
            same++;
        else if (same > 0)
            kprintf("    (%u times more)\n", same);
        if (!repeated) {
            same = 0;
            print_frame(&mem, nr, &c);
        }
        last = pc;
        r = step(&mem, &c, nr == 0);
        if (r != UNWIND_OK) {
            if (r != UNWIND_END)
                kprintf("    (ends here: %s)\n", unwind_result_text(r));
            return;
        }
        if (is_kernel(pc) && !is_kernel(c.reg[UNWIND_RIP]))
            print_border(pc);
    }
    kprintf("    (more frames are not shown%s)\n", same > 0 ? ", most like the last" : "");
}
