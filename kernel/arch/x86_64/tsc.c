/*
 * Clocks from the TSC. Its frequency comes, in this order, from kvmclock, from CPUID
 * (0x40000010, 0x15), or is measured against the local APIC's timer between tsc_init() and
 * tsc_calibrate(), that is while the boot does something useful.
 */
#include "arch/x86_64/tsc.h"

#include "arch/x86_64/clockevent.h"
#include "arch/x86_64/cpu.h"
#include "lib/cmdline.h"
#include "mm/layout.h"
#include "sched/clock.h"

#include <asm/errno.h>

#define SHIFT 32
/* Before calibration; only used for a first few milliseconds. */
#define ASSUMED_HZ 2500000000ull
/* Reading the yardstick is uncertain by about a microsecond: one part in a thousand at worst. */
#define CALIBRATE_MIN_NS   NSEC_PER_MSEC
#define CALIBRATE_READINGS 5
#define MIN_KHZ            1000     /* what tsc_early_khz= may say */
#define MAX_KHZ            10000000
/* Linux: Documentation/virt/kvm/x86/msr.rst. */
struct pvclock_time_info {
    uint32_t version, pad0;
    uint64_t tsc_timestamp, system_time;
    uint32_t tsc_to_system_mul;
    int8_t tsc_shift;
    uint8_t flags, pad[2];
} __attribute__((aligned(32)));

struct pvclock_wall_clock {
    uint32_t version, sec, nsec;
} __attribute__((aligned(16)));

/* In a page of its own, which the vDSO maps read-only. */
static union {
    struct tsc_params params;
    uint8_t page[PAGE_SIZE];
} shared __attribute__((aligned(4096)));

struct tsc_params *tsc_params = &shared.params;
static uint64_t hz;
static uint64_t calibrate_from, calibrate_from_ns; /* the same moment on both clocks */
bool tsc_calibrating;

static void set_hz(uint64_t new_hz, uint64_t tsc)
{
    struct tsc_params *p = tsc_params;
    uint64_t ns = p->base_ns + (uint64_t)((unsigned __int128)(tsc - p->base_tsc) * p->mult >> SHIFT);

    hz = new_hz;
    WRITE_ONCE(p->seq, p->seq + 1);
    barrier();
    p->base_ns = ns;
    p->base_tsc = tsc;
    p->shift = SHIFT;
    p->mult = ((unsigned __int128)NSEC_PER_SEC << SHIFT) / hz;
    barrier();
    WRITE_ONCE(p->seq, p->seq + 1);
}

static uint64_t hz_from_kvmclock(void)
{
    static struct pvclock_time_info info;
    uint64_t v;

    wrmsr(MSR_KVM_SYSTEM_TIME, virt_to_phys(&info) | 1);
    barrier();
    if (!info.tsc_to_system_mul)
        return 0;
    /* ns = (tsc << shift) * mul >> 32 */
    v = ((unsigned __int128)NSEC_PER_SEC << 32) / info.tsc_to_system_mul;
    v = info.tsc_shift >= 0 ? v >> info.tsc_shift : v << -info.tsc_shift;
    wrmsr(MSR_KVM_SYSTEM_TIME, 0);
    return v;
}

static uint64_t hz_from_cpuid(void)
{
    uint32_t r[4];

    if (cpu_features.max_hv_leaf >= 0x40000010) {
        cpuid(0x40000010, 0, r);
        if (r[0])
            return r[0] * 1000ull;
    }
    cpuid(0, 0, r);
    if (r[0] >= 0x15) {
        cpuid(0x15, 0, r);
        if (r[0] && r[1] && r[2])
            return (uint64_t)r[2] * r[1] / r[0];
    }
    return 0;
}

/* One reading of both clocks. A virtual CPU may lose its processor between any two instructions: of
 * several readings the one that took the fewest ticks is the most simultaneous. */
static void read_both(uint64_t *tsc, uint64_t *ns)
{
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < CALIBRATE_READINGS; i++) {
        uint64_t before = rdtsc(), t = lapic_calibrate_elapsed_ns(), after = rdtsc();
        if (after - before < best) {
            best = after - before;
            *tsc = before + best / 2;
            *ns = t;
        }
    }
}

void tsc_init(void)
{
    uint64_t known = 0;

    tsc_params->base_tsc = rdtsc();
    if (cpu_features.kvm)
        known = hz_from_kvmclock();
    if (!known)
        known = hz_from_cpuid();
    set_hz(known ? known : ASSUMED_HZ, tsc_params->base_tsc);
    if (!known) {
        lapic_calibrate_start();
        read_both(&calibrate_from, &calibrate_from_ns);
        tsc_calibrating = true;
    }
}

void tsc_calibrate_slow(void)
{
    uint64_t tsc = 0, ns = 0;

    do
        read_both(&tsc, &ns);
    while (ns - calibrate_from_ns < CALIBRATE_MIN_NS);
    lapic_calibrate_end();
    tsc_calibrating = false;
    set_hz((unsigned __int128)(tsc - calibrate_from) * NSEC_PER_SEC / (ns - calibrate_from_ns), tsc);
}

/* Linux's word: the frequency is known, no need to measure. */
static int set_khz(const char *value)
{
    uint64_t khz;

    if (!value || !parse_u64(value, &khz) || khz < MIN_KHZ || khz > MAX_KHZ)
        return -EINVAL;
    if (tsc_calibrating) {
        lapic_calibrate_end();
        tsc_calibrating = false;
        set_hz(khz * 1000, rdtsc());
    }
    return 0;
}
CMDLINE("tsc_early_khz", set_khz);

uint64_t clock_mono_ns(void)
{
    const struct tsc_params *p = tsc_params;

    return p->base_ns + (uint64_t)((unsigned __int128)(rdtsc() - p->base_tsc) * p->mult >> SHIFT);
}

uint64_t clock_real_ns(void)
{
    return clock_mono_ns() + tsc_params->real_offset_ns;
}

void tsc_set_real(uint64_t epoch_ns)
{
    struct tsc_params *p = tsc_params;

    WRITE_ONCE(p->seq, p->seq + 1);
    barrier();
    p->real_offset_ns = epoch_ns - clock_mono_ns();
    barrier();
    WRITE_ONCE(p->seq, p->seq + 1);
}

uint64_t tsc_from_ns(uint64_t ns)
{
    return (unsigned __int128)ns * hz / NSEC_PER_SEC;
}

uint64_t tsc_hz(void)
{
    return hz;
}

uint64_t kvm_wall_clock_ns(void)
{
    static struct pvclock_wall_clock wc;

    if (!cpu_features.kvm)
        return 0;
    wrmsr(MSR_KVM_WALL_CLOCK, virt_to_phys(&wc));
    barrier();
    return wc.sec ? wc.sec * NSEC_PER_SEC + wc.nsec : 0;
}
