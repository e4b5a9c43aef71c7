/*
 * Control registers, MSRs, CPUID, and the CPU's state that is switched with a thread.
 */
#pragma once

#include "lib/base.h"

#define MSR_APIC_BASE       0x1b
#define MSR_TSC_DEADLINE    0x6e0
#define MSR_PAT             0x277
#define MSR_EFER            0xc0000080
#define MSR_STAR            0xc0000081
#define MSR_LSTAR           0xc0000082
#define MSR_FMASK           0xc0000084
#define MSR_FS_BASE         0xc0000100
#define MSR_GS_BASE         0xc0000101
#define MSR_KVM_WALL_CLOCK  0x4b564d00
#define MSR_KVM_SYSTEM_TIME 0x4b564d01

#define EFER_SCE 0x001
#define EFER_LME 0x100
#define EFER_NXE 0x800

#define CR0_MP 0x00000002ul
#define CR0_EM 0x00000004ul
#define CR0_TS 0x00000008ul
#define CR0_NE 0x00000020ul
#define CR0_WP 0x00010000ul

#define CR4_PGE        0x00080ul
#define CR4_OSFXSR     0x00200ul
#define CR4_OSXMMEXCPT 0x00400ul
#define CR4_FSGSBASE   0x10000ul
#define CR4_OSXSAVE    0x40000ul

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}

static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}

static inline void cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                     : "a"(leaf), "c"(sub));
}

#define READ_CR(n)                                                                                 \
    ({                                                                                             \
        uint64_t cr_;                                                                              \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(cr_));                                        \
        cr_;                                                                                       \
    })
#define WRITE_CR(n, v) __asm__ volatile("mov %0, %%cr" #n ::"r"((uint64_t)(v)) : "memory")

static inline void irq_disable(void)
{
    __asm__ volatile("cli" ::: "memory");
}

/* Lets pending interrupts in and sleeps until one came: STI delays them by one instruction, so
 * none is lost between the two (SDM vol. 2, STI). Returns with interrupts off. */
static inline void irq_wait(void)
{
    __asm__ volatile("sti; hlt; cli" ::: "memory");
}
/* Lets pending interrupts in, without sleeping. */
static inline void irq_window(void)
{
    __asm__ volatile("sti; nop; cli" ::: "memory");
}

static inline void cpu_relax(void)
{
    __asm__ volatile("pause");
}

struct cpu_features {
    bool fsgsbase, xsave, xsaveopt, pge, gib_pages, tsc_deadline, rdrand, rdseed, erms, kvm, tcg,
        x2apic, hypervisor, rdtscp, smap, umip, invariant_tsc;
    uint32_t xsave_size; /* bytes of a thread's FPU area */
    uint64_t xcr0;
    uint32_t family_model; /* CPUID 1 EAX */
    uint32_t hwcap;        /* CPUID 1 EDX: AT_HWCAP */
    uint32_t max_hv_leaf;
    char vendor[13], brand[49], hv_vendor[13];
};
extern struct cpu_features cpu_features;

/* Per-CPU state the assembly uses. */
extern uint64_t cpu_kstack_top; /* of the current thread */
extern uint64_t cpu_user_rsp;

/* Detects features, loads GDT, IDT and TSS, enables FPU and SYSCALL. */
void cpu_init(void);

/* FPU state of a thread: save to and load from its 64-byte aligned area. */
void fpu_save(void *area);
/* As fpu_save(), but writes what is in its initial state too (for others to read). */
void fpu_save_all(void *area);
void fpu_restore(const void *area);
void fpu_init_area(void *area);

uint64_t fs_base_get(void);
void fs_base_set(uint64_t v);
uint64_t gs_base_get(void);
void gs_base_set(uint64_t v);
