/*
 * Vector registers inside the kernel, which is compiled without them: the registers hold what the
 * application left there. A function with __attribute__((target(...))) may use the SSE registers
 * between simd_begin() and simd_end(), which put them by on the caller's stack. Nothing in between
 * may sleep, fault or be interrupted by what does the same (kernel code is never preempted).
 *
 * SSE instructions in their old encoding only, not AVX: those leave the upper parts of the wide
 * registers alone (SDM vol. 1 §14.1.2), so that 256 bytes are all there is to save; whether the CPU
 * has XSAVE, and what it would save, does not matter. MXCSR is not saved: integer instructions
 * only.
 *
 * On the host (tests, tools) the compiler knows of the registers and nothing is to be done.
 * Includes nothing of ours.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct simd_save {
    uint8_t xmm[16][16];
};

#ifdef __WHERRY__
static inline __attribute__((always_inline)) void simd_begin(struct simd_save *s)
{
    __asm__ volatile("movups %%xmm0, (%0)\n\t"
                     "movups %%xmm1, 16(%0)\n\t"
                     "movups %%xmm2, 32(%0)\n\t"
                     "movups %%xmm3, 48(%0)\n\t"
                     "movups %%xmm4, 64(%0)\n\t"
                     "movups %%xmm5, 80(%0)\n\t"
                     "movups %%xmm6, 96(%0)\n\t"
                     "movups %%xmm7, 112(%0)\n\t"
                     "movups %%xmm8, 128(%0)\n\t"
                     "movups %%xmm9, 144(%0)\n\t"
                     "movups %%xmm10, 160(%0)\n\t"
                     "movups %%xmm11, 176(%0)\n\t"
                     "movups %%xmm12, 192(%0)\n\t"
                     "movups %%xmm13, 208(%0)\n\t"
                     "movups %%xmm14, 224(%0)\n\t"
                     "movups %%xmm15, 240(%0)" ::"r"(s->xmm)
                     : "memory");
}

static inline __attribute__((always_inline)) void simd_end(const struct simd_save *s)
{
    __asm__ volatile("movups (%0), %%xmm0\n\t"
                     "movups 16(%0), %%xmm1\n\t"
                     "movups 32(%0), %%xmm2\n\t"
                     "movups 48(%0), %%xmm3\n\t"
                     "movups 64(%0), %%xmm4\n\t"
                     "movups 80(%0), %%xmm5\n\t"
                     "movups 96(%0), %%xmm6\n\t"
                     "movups 112(%0), %%xmm7\n\t"
                     "movups 128(%0), %%xmm8\n\t"
                     "movups 144(%0), %%xmm9\n\t"
                     "movups 160(%0), %%xmm10\n\t"
                     "movups 176(%0), %%xmm11\n\t"
                     "movups 192(%0), %%xmm12\n\t"
                     "movups 208(%0), %%xmm13\n\t"
                     "movups 224(%0), %%xmm14\n\t"
                     "movups 240(%0), %%xmm15" ::"r"(s->xmm)
                     : "memory");
}
#else
static inline void simd_begin(struct simd_save *s)
{
    (void)s;
}

static inline void simd_end(const struct simd_save *s)
{
    (void)s;
}
#endif

/* CPUID 1 ECX (SDM vol. 2). */
static inline uint32_t simd_features(void)
{
    uint32_t a = 1, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return c;
}

/* Does this CPU multiply without carries, and have SSE4.1? */
static inline bool simd_has_pclmul(void)
{
    uint32_t c = simd_features();

    return (c >> 1 & 1) && (c >> 19 & 1);
}

/* Has it the AES instructions, and SSE4.1? */
static inline bool simd_has_aes(void)
{
    uint32_t c = simd_features();

    return (c >> 25 & 1) && (c >> 19 & 1);
}
