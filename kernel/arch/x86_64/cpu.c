/*
 * CPU set-up: feature detection, descriptor tables, FPU, SYSCALL. Runs once, first thing
 * in kernel_main(); then only the FPU and segment-base accessors are called, by the
 * scheduler and signals.
 */
#include "arch/x86_64/cpu.h"

#include "arch/x86_64/trap.h"

#define IST_STACK_SIZE 4096
#define IST_TRAP       1 /* every ordinary gate */
#define IST_DOUBLE     2
#define IST_NMI        3
#define IST_MCE        4
#define IST_COUNT      4

#define GATE_INTERRUPT 0x8e00 /* present, DPL 0, interrupt gate (SDM vol. 3 §6.14.1) */

struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3, iomap;
} __packed;

struct gate {
    uint16_t offset_low, selector, ist_type_lo, offset_mid;
    uint32_t offset_high, reserved;
} __packed;

struct table_register {
    uint16_t limit;
    uint64_t base;
} __packed;

struct cpu_features cpu_features;
uint64_t cpu_kstack_top;
uint64_t cpu_user_rsp;
uint32_t cpu_exit_work;

static uint8_t ist_stacks[IST_COUNT][IST_STACK_SIZE] __attribute__((aligned(16)));
static struct tss tss;
static uint64_t gdt[5];
static struct gate idt[256] __attribute__((aligned(16)));

extern const uint32_t trap_stub_size;
extern char trap_stubs[];
extern char syscall_entry[];

static void detect_features(void)
{
    struct cpu_features *f = &cpu_features;
    uint32_t r[4], max;

    cpuid(0, 0, r);
    max = r[0];
    memcpy(f->vendor, &r[1], 4);
    memcpy(f->vendor + 4, &r[3], 4);
    memcpy(f->vendor + 8, &r[2], 4);
    cpuid(1, 0, r);
    f->family_model = r[0];
    f->hwcap = r[3];
    f->pge = r[3] >> 13 & 1;
    f->x2apic = r[2] >> 21 & 1;
    f->tsc_deadline = r[2] >> 24 & 1;
    f->xsave = r[2] >> 26 & 1;
    f->rdrand = r[2] >> 30 & 1;
    f->hypervisor = r[2] >> 31;
    if (max >= 7) {
        cpuid(7, 0, r);
        f->fsgsbase = r[1] & 1;
        f->erms = r[1] >> 9 & 1;
        f->rdseed = r[1] >> 18 & 1;
    }
    cpuid(0x80000000, 0, r);
    max = r[0];
    cpuid(0x80000001, 0, r);
    f->gib_pages = r[3] >> 26 & 1;
    f->rdtscp = r[3] >> 27 & 1;
    for (uint32_t leaf = 0; max >= 0x80000004 && leaf < 3; leaf++) {
        cpuid(0x80000002 + leaf, 0, r);
        memcpy(f->brand + 16 * leaf, r, 16);
    }
    if (max >= 0x80000007) {
        cpuid(0x80000007, 0, r);
        f->invariant_tsc = r[3] >> 8 & 1;
    }
    if (f->hypervisor) {
        cpuid(0x40000000, 0, r);
        f->max_hv_leaf = r[0];
        memcpy(f->hv_vendor, &r[1], 12);
        f->kvm = memcmp(f->hv_vendor, "KVMKVMKVM\0\0\0", 12) == 0;
        f->tcg = memcmp(f->hv_vendor, "TCGTCGTCGTCG", 12) == 0;
    }
}

/* SDM vol. 1 ch. 13: the components we switch are x87, SSE, AVX and AVX-512. */
#define XCR0_WANTED 0xe7ull

static void fpu_enable(void)
{
    struct cpu_features *f = &cpu_features;
    uint64_t cr4 = READ_CR(4) | CR4_OSFXSR | CR4_OSXMMEXCPT;
    uint32_t r[4];

    WRITE_CR(0, (READ_CR(0) & ~(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE | CR0_WP);
    if (f->pge)
        cr4 |= CR4_PGE;
    if (f->fsgsbase)
        cr4 |= CR4_FSGSBASE;
    if (f->xsave)
        cr4 |= CR4_OSXSAVE;
    WRITE_CR(4, cr4);
    f->xsave_size = 512;
    if (f->xsave) {
        cpuid(0xd, 0, r);
        f->xcr0 = (((uint64_t)r[3] << 32) | r[0]) & XCR0_WANTED;
        __asm__ volatile("xsetbv" ::"c"(0), "a"((uint32_t)f->xcr0), "d"(0));
        cpuid(0xd, 0, r);
        f->xsave_size = r[1];
        cpuid(0xd, 1, r);
        f->xsaveopt = r[0] & 1;
    }
    __asm__ volatile("fninit");
}

void fpu_save(void *area)
{
    if (cpu_features.xsaveopt)
        __asm__ volatile("xsaveopt64 (%0)" ::"r"(area), "a"(-1), "d"(-1) : "memory");
    else if (cpu_features.xsave)
        __asm__ volatile("xsave64 (%0)" ::"r"(area), "a"(-1), "d"(-1) : "memory");
    else
        __asm__ volatile("fxsave64 (%0)" ::"r"(area) : "memory");
}

void fpu_save_all(void *area)
{
    if (cpu_features.xsave)
        __asm__ volatile("xsave64 (%0)" ::"r"(area), "a"(-1), "d"(-1) : "memory");
    else
        __asm__ volatile("fxsave64 (%0)" ::"r"(area) : "memory");
}

void fpu_restore(const void *area)
{
    if (cpu_features.xsave)
        __asm__ volatile("xrstor64 (%0)" ::"r"(area), "a"(-1), "d"(-1) : "memory");
    else
        __asm__ volatile("fxrstor64 (%0)" ::"r"(area) : "memory");
}

void fpu_init_area(void *area)
{
    /* XRSTOR takes components whose XSTATE_BV bit is clear to their initial state; MXCSR is
     * loaded from the legacy area all the same (SDM vol. 1 §13.8.1). FXRSTOR loads it all. */
    memset(area, 0, cpu_features.xsave_size);
    *(uint16_t *)area = 0x37f;
    *(uint32_t *)((char *)area + 24) = 0x1f80;
}

uint64_t fs_base_get(void)
{
    return rdmsr(MSR_FS_BASE);
}

void fs_base_set(uint64_t v)
{
    if (cpu_features.fsgsbase)
        __asm__ volatile("wrfsbase %0" ::"r"(v));
    else
        wrmsr(MSR_FS_BASE, v);
}

uint64_t gs_base_get(void)
{
    return rdmsr(MSR_GS_BASE);
}

void gs_base_set(uint64_t v)
{
    if (cpu_features.fsgsbase)
        __asm__ volatile("wrgsbase %0" ::"r"(v));
    else
        wrmsr(MSR_GS_BASE, v);
}

static void tables_load(void)
{
    uint64_t base = (uint64_t)&tss, limit = sizeof(tss) - 1;

    for (int i = 0; i < IST_COUNT; i++)
        tss.ist[i] = (uint64_t)ist_stacks[i] + IST_STACK_SIZE;
    tss.iomap = sizeof(tss);
    gdt[SEL_CODE / 8] = 0x00af9b000000ffff; /* 64-bit code, DPL 0 (SDM vol. 3 §5.2.1) */
    gdt[SEL_DATA / 8] = 0x00cf93000000ffff;
    gdt[SEL_TSS / 8] = limit | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    gdt[SEL_TSS / 8 + 1] = base >> 32;

    for (unsigned v = 0; v < 256; v++) {
        uint64_t stub = (uint64_t)trap_stubs + v * trap_stub_size;
        unsigned ist = v == 8 ? IST_DOUBLE : v == 2 ? IST_NMI : v == 18 ? IST_MCE : IST_TRAP;
        idt[v] = (struct gate){stub & 0xffff, SEL_CODE, GATE_INTERRUPT | ist, stub >> 16 & 0xffff,
                               stub >> 32, 0};
    }

    struct table_register gdtr = {sizeof(gdt) - 1, (uint64_t)gdt};
    struct table_register idtr = {sizeof(idt) - 1, (uint64_t)idt};
    __asm__ volatile("lgdt %0\n"
                     "pushq %2\n"
                     "leaq 1f(%%rip), %%rax\n"
                     "pushq %%rax\n"
                     "lretq\n"
                     "1: mov %3, %%ds\n"
                     "mov %3, %%es\n"
                     "mov %3, %%ss\n"
                     "lidt %1\n"
                     "ltr %4" ::"m"(gdtr),
                     "m"(idtr), "i"(SEL_CODE), "r"(SEL_DATA), "r"((uint16_t)SEL_TSS)
                     : "rax", "memory");
}

void cpu_init(void)
{
    detect_features();
    tables_load();
    fpu_enable();
    /* SYSCALL loads CS from STAR[47:32] and SS from that + 8 (SDM vol. 3 §5.8.8): the kernel's own,
     * since the application runs in ring 0 too. */
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE | EFER_NXE);
    wrmsr(MSR_STAR, (uint64_t)SEL_CODE << 32);
    wrmsr(MSR_LSTAR, (uint64_t)syscall_entry);
    wrmsr(MSR_FMASK, RFLAGS_IF | RFLAGS_DF | RFLAGS_TF | RFLAGS_AC);
}
