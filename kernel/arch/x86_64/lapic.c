/*
 * The local APIC (SDM vol. 3 ch. 11): enabling, end of interrupt, one-shot timer. Called by
 * traps and the scheduler; never blocks.
 */
#include "arch/x86_64/clockevent.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/trap.h"
#include "arch/x86_64/tsc.h"
#include "mm/slab.h"
#include "sched/clock.h"

#define APIC_BASE_X2APIC (1u << 10)
#define APIC_BASE_ENABLE (1u << 11)
#define MSR_X2APIC       0x800 /* register offset / 16 is added */

#define REG_TPR     0x80
#define REG_EOI     0xb0
#define REG_SVR     0xf0
#define REG_TIMER   0x320
#define REG_LINT0   0x350
#define REG_LINT1   0x360
#define REG_ERROR   0x370
#define REG_INITIAL 0x380
#define REG_CURRENT 0x390
#define REG_DIVIDE  0x3e0

#define SVR_ENABLE     0x100
#define LVT_MASKED     0x10000
#define LVT_DEADLINE   0x40000
#define LVT_NMI        0x400
#define DIVIDE_BY_1    0xb

/* Both KVM and QEMU drive the APIC timer at 1 GHz (KVM: APIC_BUS_CYCLE_NS; QEMU: hw/intc/apic.c
 * counts nanoseconds), unless CPUID leaf 0x40000010 says otherwise. */
#define DEFAULT_TIMER_HZ NSEC_PER_SEC

/* Two requests closer than this are one interrupt. */
#define SLACK_NS 2000

static volatile char *regs; /* NULL in x2APIC mode */
static uint64_t timer_hz = DEFAULT_TIMER_HZ;
static uint64_t armed = UINT64_MAX; /* deadline on its way */
static bool calibrating;            /* the timer measures: deadlines are only noted */

static void reg_write(unsigned reg, uint32_t v)
{
    if (regs)
        mmio_write32(regs + reg, v);
    else
        wrmsr(MSR_X2APIC + reg / 16, v);
}

static uint32_t reg_read(unsigned reg)
{
    return regs ? mmio_read32(regs + reg) : (uint32_t)rdmsr(MSR_X2APIC + reg / 16);
}

void lapic_eoi(void)
{
    reg_write(REG_EOI, 0);
}

void lapic_init(void)
{
    uint64_t base = rdmsr(MSR_APIC_BASE);
    uint32_t r[4];

    /* The 8259s, where they exist, would deliver on vectors of their own: mask them all. */
    outb(0x21, 0xff);
    outb(0xa1, 0xff);

    if (cpu_features.x2apic) {
        wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
    } else {
        wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
        regs = mmio_map(base & 0xffffff000ull, PAGE_SIZE);
        if (!regs)
            panic("cannot map the local APIC");
    }
    if (cpu_features.max_hv_leaf >= 0x40000010) {
        cpuid(0x40000010, 0, r);
        if (r[1])
            timer_hz = r[1] * 1000ull;
    }
    reg_write(REG_TPR, 0);
    reg_write(REG_LINT0, LVT_MASKED);
    reg_write(REG_LINT1, LVT_NMI);
    reg_write(REG_ERROR, LVT_MASKED);
    reg_write(REG_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
    reg_write(REG_DIVIDE, DIVIDE_BY_1);
    reg_write(REG_TIMER, VECTOR_TIMER | (cpu_features.tsc_deadline ? LVT_DEADLINE : 0));
}

void lapic_calibrate_start(void)
{
    calibrating = true;
    reg_write(REG_TIMER, VECTOR_TIMER | LVT_MASKED);
    reg_write(REG_INITIAL, UINT32_MAX);
}

uint64_t lapic_calibrate_elapsed_ns(void)
{
    return (UINT32_MAX - reg_read(REG_CURRENT)) * NSEC_PER_SEC / timer_hz;
}

static void program(uint64_t deadline)
{
    uint64_t now = clock_mono_ns(), delta = deadline > now ? deadline - now : 1;

    if (cpu_features.tsc_deadline) {
        wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_from_ns(delta));
    } else {
        /* A count that does not fit fires early; the scheduler then asks again. */
        uint64_t ticks = delta > 4 * NSEC_PER_SEC ? UINT32_MAX : delta * timer_hz / NSEC_PER_SEC;
        reg_write(REG_INITIAL, MAX(MIN(ticks, (uint64_t)UINT32_MAX), 1ul));
    }
}

void lapic_calibrate_end(void)
{
    calibrating = false;
    reg_write(REG_INITIAL, 0);
    reg_write(REG_TIMER, VECTOR_TIMER | (cpu_features.tsc_deadline ? LVT_DEADLINE : 0));
    if (armed != UINT64_MAX)
        program(armed);
}

void clockevent_request(uint64_t deadline)
{
    if (deadline >= armed || armed - deadline < SLACK_NS)
        return;
    armed = deadline;
    if (!calibrating)
        program(deadline);
}

void clockevent_fired(void)
{
    armed = UINT64_MAX;
}
