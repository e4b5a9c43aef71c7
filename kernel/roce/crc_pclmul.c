/*
 * CRC-32 by multiplication without carries (PCLMULQDQ), after Gopal et al., "Fast CRC Computation
 * for Generic Polynomials Using PCLMULQDQ" (Intel, 2009): 64 bytes a step in four independent
 * remainders of 128 bits, which are folded into one. That one is 16 bytes with the same CRC as all
 * that went into it, and the table finishes it.
 *
 * Called through icrc.h. The functions with the target attribute use vector registers, which in the
 * kernel belong to the application: only between simd_begin() and simd_end(), and never inlined out
 * of there.
 */
#include "arch/x86_64/simd.h"
#include "roce/crc_impl.h"

#define VECTOR __attribute__((target("sse4.1,pclmul"), noinline))

/* Below this the table is as fast as saving the registers, and the folding needs 64 bytes. */
#define VECTOR_MIN 128u

typedef long long v2di __attribute__((vector_size(16)));
typedef long long v2di_any __attribute__((vector_size(16), aligned(1), may_alias));

/*
 * Multipliers to move a remainder of 128 bits n bits down the message, in the reflected order:
 * x^(n+32) mod P for its first half and x^(n-32) mod P for the second, with the bits of the 33-bit
 * result reversed.
 */
#define FOLD_512 ((v2di){0x154442bd4, 0x1c6e41596})
#define FOLD_128 ((v2di){0x1751997d0, 0x0ccaa009e})

#define FOLD(x, k)                                                                                 \
    (__builtin_ia32_pclmulqdq128(x, k, 0x00) ^ __builtin_ia32_pclmulqdq128(x, k, 0x11))

/* dst may be NULL; n is a multiple of 16 and at least 64. The remainder: 16 bytes in out. */
#define FOLD_ALL(LOAD)                                                                             \
    do {                                                                                           \
        v2di a = LOAD(0) ^ (v2di) { (long long)crc, 0 }, b = LOAD(1), c = LOAD(2), d = LOAD(3);    \
                                                                                                   \
        for (s += 4, n -= 64; n >= 64; s += 4, n -= 64) {                                          \
            a = FOLD(a, FOLD_512) ^ LOAD(0);                                                       \
            b = FOLD(b, FOLD_512) ^ LOAD(1);                                                       \
            c = FOLD(c, FOLD_512) ^ LOAD(2);                                                       \
            d = FOLD(d, FOLD_512) ^ LOAD(3);                                                       \
        }                                                                                          \
        b ^= FOLD(a, FOLD_128);                                                                    \
        c ^= FOLD(b, FOLD_128);                                                                    \
        d ^= FOLD(c, FOLD_128);                                                                    \
        for (; n >= 16; s++, n -= 16)                                                              \
            d = FOLD(d, FOLD_128) ^ LOAD(0);                                                       \
        *(v2di_any *)out = d;                                                                      \
    } while (0)

static VECTOR void fold(uint32_t crc, const v2di_any *s, size_t n, uint8_t out[16])
{
#define LOAD(i) s[i]
    FOLD_ALL(LOAD);
#undef LOAD
}

static VECTOR void fold_copy(uint32_t crc, v2di_any *dst, const v2di_any *s, size_t n,
                             uint8_t out[16])
{
    const v2di_any *from = s;

    /* One load, which both the copy and the sum take: the source may be changing. */
#define LOAD(i)                                                                                    \
    ({                                                                                             \
        v2di v_ = s[i];                                                                            \
        __asm__("" : "+x"(v_));                                                                    \
        dst[s - from + (i)] = v_;                                                                  \
        v_;                                                                                        \
    })
    FOLD_ALL(LOAD);
#undef LOAD
}

static uint32_t pclmul_update(uint32_t crc, const void *p, size_t n)
{
    struct simd_save save;
    uint8_t rest[16];
    size_t m = n & ~(size_t)15;

    if (n < VECTOR_MIN)
        return roce_crc_slice16.update(crc, p, n);
    simd_begin(&save);
    fold(crc, p, m, rest);
    simd_end(&save);
    crc = roce_crc_slice16.update(0, rest, sizeof(rest));
    return roce_crc_slice16.update(crc, (const uint8_t *)p + m, n - m);
}

static uint32_t pclmul_copy(uint32_t crc, void *restrict dst, const void *restrict src, size_t n)
{
    struct simd_save save;
    uint8_t rest[16];
    size_t m = n & ~(size_t)15;

    if (n < VECTOR_MIN)
        return roce_crc_slice16.copy(crc, dst, src, n);
    simd_begin(&save);
    fold_copy(crc, dst, src, m, rest);
    simd_end(&save);
    crc = roce_crc_slice16.update(0, rest, sizeof(rest));
    return roce_crc_slice16.copy(crc, (uint8_t *)dst + m, (const uint8_t *)src + m, n - m);
}

const struct roce_crc_impl roce_crc_pclmul = {"pclmul", pclmul_update, pclmul_copy,
                                              simd_has_pclmul};
