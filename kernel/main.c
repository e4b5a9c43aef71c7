/*
 * From the boot protocol to the application: start_high() is called by entry.S with
 * interrupts off, brings the kernel up layer by layer and ends in the application's first
 * instruction.
 */
#include "app.h"
#include "arch/x86_64/bootinfo.h"
#include "arch/x86_64/clockevent.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/tsc.h"
#include "drivers/power.h"
#include "drivers/rtc.h"
#include "lib/cmdline.h"
#include "lib/init.h"
#include "lib/random.h"
#include "mm/meminit.h"
#include "mm/slab.h"
#include "sched/clock.h"
#include "sched/thread.h"

#include <asm/errno.h>

/* What the host sees when the machine could not be brought up. */
#define STATUS_BOOT_FAILED 125

__noreturn void start_high(unsigned protocol, uint64_t info);

/* wherry.time=MILLISECONDS since 1970: the host's clock when it started the machine. */
static uint64_t told_ns;

static int set_told_time(const char *value)
{
    uint64_t ms = 0;

    for (; value && *value >= '0' && *value <= '9' && ms < UINT64_MAX / NSEC_PER_MSEC / 10; value++)
        ms = ms * 10 + (*value - '0');
    if (!value || *value || !ms)
        return -EINVAL;
    told_ns = ms * NSEC_PER_MSEC;
    return 0;
}
CMDLINE("wherry.time", set_told_time);

/* The clock chip counts whole seconds, and VMMs start it up to one late: what the host told is
 * nearer the truth, unless the machine was started later than expected (then the chip may be ahead
 * of it), long after, or is to live in another time. */
#define RTC_ERROR_NS (3 * NSEC_PER_SEC)

/* QEMU starts the TSC at zero when it starts the machine; one that is old is another's. */
static uint64_t since_start(void)
{
    uint64_t ms = rdtsc() / (tsc_hz() / 1000);

    return ms < 5000 ? ms * NSEC_PER_MSEC : 0;
}

static void set_wall_clock(void)
{
    uint64_t boot = kvm_wall_clock_ns();

    if (boot) {
        tsc_set_real(boot + clock_mono_ns());
    } else {
        uint64_t rtc = rtc_read_epoch() * NSEC_PER_SEC;
        bool agree = told_ns + RTC_ERROR_NS > rtc && told_ns < rtc + RTC_ERROR_NS;
        uint64_t told = told_ns ? told_ns + since_start() : 0;
        tsc_set_real(agree || !rtc ? MAX(told, rtc) : rtc);
    }
}

void start_high(unsigned protocol, uint64_t info)
{
    const char *bad = "";
    char *line;
    int r = boot_parse(protocol, info);

    cpu_init();
    if (r < 0)
        panic("the boot protocol's data makes no sense");
    memory_init();
    lapic_init();
    tsc_init();
    random_init();
    /* A copy: /proc/cmdline shows the line as it came. */
    line = kstrdup(boot_info.cmdline);
    r = line ? cmdline_parse(line, &bad) : -ENOMEM;
    if (r < 0) {
        kprintf("wherry: bad word on the kernel command line: \"%s\"\n", bad);
        power_off(STATUS_BOOT_FAILED);
    }
    set_wall_clock();
    app_init();
    thread_init();
    for (enum init_level level = INIT_CORE; level < INIT_LEVELS; level++)
        if (init_run(level) < 0)
            power_off(STATUS_BOOT_FAILED);
    sched_start();
    app_start();
}
