/*
 * Contents of /proc's files about the machine (proc(5)). Nothing here sleeps.
 */
#include "arch/x86_64/boot.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/irq.h"
#include "arch/x86_64/tsc.h"
#include "fs/procfs_int.h"
#include "fs/tmpfs.h"
#include "lib/init.h"
#include "linux/process.h"
#include "linux/uts.h"
#include "mm/far/far.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "mm/vma.h"
#include "sched/clock.h"
#include "sched/thread.h"

#define TICK_NS (10ul * 1000 * 1000) /* USER_HZ is 100 */
#define SECOND  (100 * TICK_NS)

/* ---- Memory
 * ---------------------------------------------------------------------------------------- */

static void kib(struct text_buf *out, const char *name, uint64_t bytes)
{
    size_t start = out->len;
    text_printf(out, "%s:", name);
    text_pad(out, start, 16);
    text_printf(out, "%8lu kB\n", bytes / KiB);
}

static void show_meminfo(struct text_buf *out)
{
    struct frame_stats m = frame_stats();
    struct slab_stats s = slab_stats();
    struct far_space away = far_space();
    uint64_t total = m.total * PAGE_SIZE, free = m.free * PAGE_SIZE;
    uint64_t anon = mm_stats.rss_anon * PAGE_SIZE, mapped = mm_stats.rss_file * PAGE_SIZE;
    uint64_t slab = s.bytes_reserved + s.large_bytes;
    /* Everything in memory that is neither free, anonymous nor the kernel's own is files. */
    uint64_t used = total - free;
    uint64_t files = used > anon + slab ? used - anon - slab : 0;
    kib(out, "MemTotal", total);
    kib(out, "MemFree", free);
    kib(out, "MemAvailable", free);
    kib(out, "Buffers", 0);
    kib(out, "Cached", files);
    kib(out, "SwapCached", 0);
    kib(out, "Active", anon + files);
    kib(out, "Inactive", 0);
    kib(out, "Active(anon)", anon);
    kib(out, "Inactive(anon)", 0);
    kib(out, "Active(file)", files);
    kib(out, "Inactive(file)", 0);
    kib(out, "Unevictable", 0);
    kib(out, "Mlocked", 0);
    /* Far memory: who reads this wants to know what else there is than what is here. */
    kib(out, "SwapTotal", away.slots * PAGE_SIZE);
    kib(out, "SwapFree", (away.slots - away.used) * PAGE_SIZE);
    kib(out, "Dirty", 0);
    kib(out, "Writeback", 0);
    kib(out, "AnonPages", anon);
    kib(out, "Mapped", mapped);
    kib(out, "Shmem", files);
    kib(out, "KReclaimable", 0);
    kib(out, "Slab", slab);
    kib(out, "SReclaimable", 0);
    kib(out, "SUnreclaim", slab);
    kib(out, "CommitLimit", total);
    kib(out, "Committed_AS", mm_stats.virt_pages * PAGE_SIZE);
    kib(out, "AnonHugePages", mm_stats.huge * PAGE_SIZE);
    text_puts(out, "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\n"
                   "HugePages_Surp:        0\n");
    kib(out, "Hugepagesize", HUGE_SIZE);
    kib(out, "Hugetlb", 0);
}

static void show_vmstat(struct text_buf *out)
{
    struct frame_stats m = frame_stats();
    text_printf(out, "nr_free_pages %lu\nnr_anon_pages %lu\nnr_mapped %lu\nnr_dirty 0\n", m.free,
                mm_stats.rss_anon, mm_stats.rss_file);
    text_printf(out, "pgfault %lu\npgmajfault 0\npswpin 0\npswpout 0\nthp_fault_alloc %lu\n",
                mm_stats.faults_minor, mm_stats.huge / 512);
}

/* ---- Processor
 * -------------------------------------------------------------------------------------- */

struct feature {
    uint8_t leaf; /* index into leaves[] */
    uint8_t reg;  /* eax, ebx, ecx, edx */
    uint8_t bit;
    const char *name;
};

/* The names programs look for, in Linux's spelling (SDM vol. 2, CPUID). */
static const struct feature features[] = {
    {0, 3, 0, "fpu"},      {0, 3, 4, "tsc"},         {0, 3, 5, "msr"},
    {0, 3, 6, "pae"},      {0, 3, 8, "cx8"},         {0, 3, 9, "apic"},
    {0, 3, 13, "pge"},     {0, 3, 15, "cmov"},       {0, 3, 16, "pat"},
    {0, 3, 19, "clflush"}, {0, 3, 23, "mmx"},        {0, 3, 24, "fxsr"},
    {0, 3, 25, "sse"},     {0, 3, 26, "sse2"},       {2, 3, 11, "syscall"},
    {2, 3, 20, "nx"},      {2, 3, 26, "pdpe1gb"},    {2, 3, 27, "rdtscp"},
    {2, 3, 29, "lm"},      {0, 2, 0, "pni"},         {0, 2, 1, "pclmulqdq"},
    {0, 2, 9, "ssse3"},    {0, 2, 12, "fma"},        {0, 2, 13, "cx16"},
    {0, 2, 19, "sse4_1"},  {0, 2, 20, "sse4_2"},     {0, 2, 21, "x2apic"},
    {0, 2, 22, "movbe"},   {0, 2, 23, "popcnt"},     {0, 2, 25, "aes"},
    {0, 2, 26, "xsave"},   {0, 2, 28, "avx"},        {0, 2, 29, "f16c"},
    {0, 2, 30, "rdrand"},  {0, 2, 31, "hypervisor"}, {2, 2, 0, "lahf_lm"},
    {2, 2, 5, "abm"},      {1, 1, 0, "fsgsbase"},    {1, 1, 3, "bmi1"},
    {1, 1, 5, "avx2"},     {1, 1, 7, "smep"},        {1, 1, 8, "bmi2"},
    {1, 1, 9, "erms"},     {1, 1, 16, "avx512f"},    {1, 1, 18, "rdseed"},
    {1, 1, 19, "adx"},     {1, 1, 20, "smap"},       {1, 1, 23, "clflushopt"},
    {1, 1, 29, "sha_ni"},  {1, 2, 22, "rdpid"},
};

static void show_cpuinfo(struct text_buf *out)
{
    uint32_t basic[4], leaves[3][4], sizes[4] = {0};
    cpuid(0, 0, basic);
    cpuid(1, 0, leaves[0]);
    if (basic[0] >= 7)
        cpuid(7, 0, leaves[1]);
    else
        memset(leaves[1], 0, sizeof(leaves[1]));
    cpuid(0x80000001, 0, leaves[2]);
    cpuid(0x80000008, 0, sizes);
    uint32_t sig = leaves[0][0], family = sig >> 8 & 15, model = sig >> 4 & 15;
    if (family == 6 || family == 15)
        model |= sig >> 12 & 0xf0;
    if (family == 15)
        family += sig >> 20 & 0xff;
    uint32_t vendor[3] = {basic[1], basic[3], basic[2]}, name[12];
    for (uint32_t k = 0; k < 3; k++)
        cpuid(0x80000002 + k, 0, name + 4 * k);
    uint64_t hz = tsc_hz();
    text_printf(out, "processor\t: 0\nvendor_id\t: %.12s\ncpu family\t: %u\nmodel\t\t: %u\n",
                (const char *)vendor, family, model);
    text_printf(out, "model name\t: %.48s\nstepping\t: %u\n", (const char *)name, sig & 15);
    text_printf(out, "cpu MHz\t\t: %lu.%03lu\nphysical id\t: 0\nsiblings\t: 1\n", hz / 1000000,
                hz / 1000 % 1000);
    text_puts(out, "core id\t\t: 0\ncpu cores\t: 1\napicid\t\t: 0\ninitial apicid\t: 0\n"
                   "fpu\t\t: yes\nfpu_exception\t: yes\n");
    text_printf(out, "cpuid level\t: %u\nwp\t\t: yes\nflags\t\t:", basic[0]);
    for (size_t k = 0; k < ARRAY_SIZE(features); k++)
        if (leaves[features[k].leaf][features[k].reg] >> features[k].bit & 1)
            text_printf(out, " %s", features[k].name);
    uint32_t line = (leaves[0][1] >> 8 & 0xff) * 8;
    text_printf(out, "\nbogomips\t: %lu.%02lu\nclflush size\t: %u\ncache_alignment\t: %u\n",
                hz / 500000, hz / 5000 % 100, line, line);
    text_printf(out, "address sizes\t: %u bits physical, %u bits virtual\n\n", sizes[0] & 0xff,
                sizes[0] >> 8 & 0xff);
}

/* Time the CPU ran threads, and time it idled. */
static void cpu_times(uint64_t *busy, uint64_t *idle)
{
    uint64_t up = clock_mono_ns();
    *busy = 0;
    list_for_each (t, &thread_list, struct thread, all_link) {
        *busy += thread_cpu_ns(t);
    }
    *idle = up > *busy ? up - *busy : 0;
}

static void show_stat(struct text_buf *out)
{
    uint64_t busy, idle, switches = 0;
    unsigned running = 0;
    cpu_times(&busy, &idle);
    list_for_each (t, &thread_list, struct thread, all_link) {
        switches += t->switches;
        running += t->state == THREAD_RUNNABLE;
    }
    static const char *const rows[] = {"cpu ", "cpu0"};
    for (size_t k = 0; k < ARRAY_SIZE(rows); k++)
        text_printf(out, "%s %lu 0 0 %lu 0 0 0 0 0 0\n", rows[k], busy / TICK_NS, idle / TICK_NS);
    text_printf(out, "intr %lu\nctxt %lu\nbtime %lu\nprocesses %u\n", irq_stats.delivered, switches,
                (clock_real_ns() - clock_mono_ns()) / SECOND, thread_count);
    text_printf(out, "procs_running %u\nprocs_blocked 0\n", MAX(running, 1u));
}

static void show_uptime(struct text_buf *out)
{
    uint64_t busy, idle, up = clock_mono_ns() / TICK_NS;
    cpu_times(&busy, &idle);
    idle /= TICK_NS;
    text_printf(out, "%lu.%02lu %lu.%02lu\n", up / 100, up % 100, idle / 100, idle % 100);
}

static void show_loadavg(struct text_buf *out)
{
    /* The number of runnable threads now stands for its average. */
    unsigned running = 0;
    int last = 0;
    list_for_each (t, &thread_list, struct thread, all_link) {
        running += t->state == THREAD_RUNNABLE;
        last = MAX(last, t->tid);
    }
    text_printf(out, "%u.00 %u.00 %u.00 %u/%u %d\n", running, running, running, running,
                thread_count, last);
}

static void show_interrupts(struct text_buf *out)
{
    text_printf(out, "           CPU0\nDEV: %10lu   device interrupts\nERR: %10lu\n",
                irq_stats.delivered, irq_stats.spurious);
}

/* ---- The rest
 * ------------------------------------------------------------------------------------------ */

static void show_version(struct text_buf *out)
{
    text_printf(out, "%s version %s (%s) %s\n", uts.sysname, uts.release, uts.machine, uts.version);
}

static void show_cmdline(struct text_buf *out)
{
    text_printf(out, "%s\n", boot_info.cmdline);
}

static void show_filesystems(struct text_buf *out)
{
    text_puts(out, "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tramfs\nnodev\tdevtmpfs\n"
                   "nodev\tpipefs\nnodev\tsockfs\n");
}

static void show_self(struct text_buf *out)
{
    text_printf(out, "%d", PROCESS_PID);
}

static void show_thread_self(struct text_buf *out)
{
    text_printf(out, "%d/task/%d", PROCESS_PID, current()->tid);
}

static void show_devices(struct text_buf *out)
{
    text_puts(out, "Character devices:\n  1 mem\n  4 ttyS\n  5 /dev/tty\n  5 /dev/console\n\n"
                   "Block devices:\n");
}

static struct proc_file files[] = {
    {.path = "/proc/self", .mode = S_IFLNK | 0777, .show = show_self},
    {.path = "/proc/thread-self", .mode = S_IFLNK | 0777, .show = show_thread_self},
    {.path = "/proc/mounts", .mode = S_IFLNK | 0777, .text = "self/mounts"},
    {.path = "/proc/meminfo", .mode = 0444, .show = show_meminfo},
    {.path = "/proc/vmstat", .mode = 0444, .show = show_vmstat},
    {.path = "/proc/cpuinfo", .mode = 0444, .show = show_cpuinfo},
    {.path = "/proc/stat", .mode = 0444, .show = show_stat},
    {.path = "/proc/uptime", .mode = 0444, .show = show_uptime},
    {.path = "/proc/loadavg", .mode = 0444, .show = show_loadavg},
    {.path = "/proc/interrupts", .mode = 0444, .show = show_interrupts},
    {.path = "/proc/version", .mode = 0444, .show = show_version},
    {.path = "/proc/cmdline", .mode = 0444, .show = show_cmdline},
    {.path = "/proc/filesystems", .mode = 0444, .show = show_filesystems},
    {.path = "/proc/devices", .mode = 0444, .show = show_devices},
    {.path = "/proc/swaps",
     .mode = 0444,
     .text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"},
};

static int proc_system_init(void)
{
    procfs_register_files(files, ARRAY_SIZE(files));
    return 0;
}
INIT(INIT_CORE, proc_system_init);
