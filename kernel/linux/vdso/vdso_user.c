/*
 * The code of the vDSO: compiled as a small shared object that runs as part of the
 * application (vdso(7)). It knows the TSC parameters from the read-only page that the kernel maps
 * right below it, and falls back to the system call for other clocks.
 */
#include "arch/x86_64/tsc.h"

#include <asm/unistd.h>
#include <linux/time.h>
#include <linux/time_types.h>

extern const struct tsc_params vvar __attribute__((visibility("hidden")));

int __vdso_clock_gettime(int clock, struct __kernel_timespec *ts);
int __vdso_clock_getres(int clock, struct __kernel_timespec *ts);
int __vdso_gettimeofday(struct __kernel_old_timeval *tv, void *tz);
long __vdso_time(long *t);
long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused);

static long call(long nr, long a, long b)
{
    long r;

    __asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b) : "rcx", "r11", "memory");
    return r;
}

static uint64_t read_ns(bool real)
{
    const volatile struct tsc_params *p = &vvar;
    uint32_t seq, lo, hi;
    uint64_t ns, tsc;

    do {
        seq = p->seq;
        __asm__ volatile("" ::: "memory");
        /* LFENCE keeps the read from moving up (SDM vol. 2, RDTSC). */
        __asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi)::"memory");
        tsc = (uint64_t)hi << 32 | lo;
        ns = p->base_ns +
             (uint64_t)((unsigned __int128)(tsc - p->base_tsc) * p->mult >> 32) +
             (real ? p->real_offset_ns : 0);
        __asm__ volatile("" ::: "memory");
    } while (seq & 1 || seq != p->seq);
    return ns;
}

int __vdso_clock_gettime(int clock, struct __kernel_timespec *ts)
{
    uint64_t ns;

    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI:
        ns = read_ns(true);
        break;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
        ns = read_ns(false);
        break;
    default:
        return call(__NR_clock_gettime, clock, (long)ts);
    }
    ts->tv_sec = ns / NSEC_PER_SEC;
    ts->tv_nsec = ns % NSEC_PER_SEC;
    return 0;
}

int __vdso_clock_getres(int clock, struct __kernel_timespec *ts)
{
    return call(__NR_clock_getres, clock, (long)ts);
}

int __vdso_gettimeofday(struct __kernel_old_timeval *tv, void *tz)
{
    uint64_t ns;

    if (tz)
        return call(__NR_gettimeofday, (long)tv, (long)tz);
    if (tv) {
        ns = read_ns(true);
        tv->tv_sec = ns / NSEC_PER_SEC;
        tv->tv_usec = ns % NSEC_PER_SEC / NSEC_PER_USEC;
    }
    return 0;
}

long __vdso_time(long *t)
{
    long now = read_ns(true) / NSEC_PER_SEC;

    if (t)
        *t = now;
    return now;
}

long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused)
{
    if (cpu)
        *cpu = 0;
    if (node)
        *node = 0;
    return 0;
}

#define ALIAS(name) __attribute__((weak, alias("__vdso_" #name)))
int ALIAS(clock_gettime) clock_gettime(int clock, struct __kernel_timespec *ts);
int ALIAS(clock_getres) clock_getres(int clock, struct __kernel_timespec *ts);
int ALIAS(gettimeofday) gettimeofday(struct __kernel_old_timeval *tv, void *tz);
long ALIAS(time) time(long *t);
long ALIAS(getcpu) getcpu(unsigned *cpu, unsigned *node, void *unused);
