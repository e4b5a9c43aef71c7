/*
 * A C program linked into the image takes the place of linux/ (app.h): its main() runs in the first
 * thread, on a stack of its own, and its result is the machine's exit status. Functions of
 * include/wherry/app.h are here, too.
 */
#include "app.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hooks.h"
#include "drivers/power.h"
#include "lib/cmdline.h"
#include "lib/random.h"
#include "mm/slab.h"
#include "native/native.h"
#include "sched/clock.h"
#include "sched/thread.h"

#include <wherry/app.h>

int main(int argc, char **argv);

static char *words[CMDLINE_MAX_INIT + 2];
static int nr_words;

void app_init(void)
{
}

static void run(void)
{
    power_off(main(nr_words, words) & 0xff);
}

void app_start(void)
{
    const uint32_t mxcsr = 0x1f80; /* SDM vol. 1 §10.2.3: all exceptions masked */
    size_t size = ALIGN_UP(wherry_stack_size, PAGE_SIZE);
    char *stack = vmalloc(size);

    if (!stack)
        panic("out of memory for the program's stack of %zu bytes", size);
    native_net_start();
    /* The program alone uses the floating-point and vector registers: nobody saves them. */
    __asm__ volatile("fninit; ldmxcsr %0" : : "m"(mxcsr));
    words[nr_words++] = "app";
    for (unsigned i = 0; i < cmdline_init.nr_args; i++)
        words[nr_words++] = (char *)cmdline_init.args[i];
    __asm__ volatile("mov %0, %%rsp\n"
                     "xor %%ebp, %%ebp\n"
                     "call *%1"
                     :
                     : "r"(stack + size), "r"(run)
                     : "memory");
    __builtin_unreachable();
}

void app_panic(void)
{
}

/* ---- Traps that only applications with memory of their own can have ---- */

void user_fault(struct trap_frame *f, int sig, int code, uint64_t addr, unsigned trap)
{
    kernel_fault(f, "a fault", addr);
}

void user_return_work(struct trap_frame *f)
{
}

void user_was_preempted(struct trap_frame *f)
{
}

int user_page_fault(uint64_t addr, bool write, bool exec)
{
    return -1;
}

bool user_breakpoint(struct trap_frame *f)
{
    return false;
}

/* Where the SYSCALL instruction leads. */
void syscall_entry(void);
void syscall_entry(void)
{
    panic("a system call, in an image that has none");
}

/* ---- include/wherry/app.h ---- */

void wherry_print(const char *format, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, format);
    kvsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    kprintf("%s", text);
}

int wherry_format(char *to, size_t size, const char *format, ...)
{
    va_list ap;
    int n;

    va_start(ap, format);
    n = kvsnprintf(to, size, format, ap);
    va_end(ap);
    return n;
}

uint64_t wherry_now(void)
{
    return clock_mono_ns();
}

uint64_t wherry_wall_clock(void)
{
    return clock_real_ns();
}

uint64_t wherry_random(void)
{
    uint64_t v;

    random_bytes(&v, sizeof(v));
    return v;
}

void wherry_sleep(uint64_t nanoseconds)
{
    uint64_t until = clock_mono_ns() + nanoseconds;

    while (clock_mono_ns() < until)
        thread_block(until);
}

void wherry_exit(int status)
{
    power_off(status & 0xff);
}
