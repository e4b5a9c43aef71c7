/*
 * See aes_ctr.h. Eight blocks at a time, as many as keep the AES units busy while one round's
 * result is awaited (four cycles, two a cycle, on what is sold today).
 *
 * The functions with the target attribute use vector registers, which in the kernel belong to the
 * application: only between simd_begin() and simd_end(), never inlined out of there, and not cloned
 * to take vectors as arguments.
 */
#include "lib/aes_ctr.h"

#include "arch/x86_64/simd.h"

#define VECTOR __attribute__((target("sse4.1,aes"), noinline, noclone))
#define WIDTH  8u
#define STRIDE (WIDTH * AES_BLOCK)

typedef char v16b __attribute__((vector_size(16)));
typedef int v4i __attribute__((vector_size(16)));
typedef long long v2di __attribute__((vector_size(16)));
typedef long long v2di_any __attribute__((vector_size(16), aligned(1), may_alias));
typedef v2di round_key __attribute__((may_alias));

bool aes128_usable(void)
{
    return simd_has_aes();
}

/* FIPS 197 §5.2: word i is word i-4 plus the one before it, which for each fourth goes through the
 * S-boxes, rotated, plus a constant; the instruction does that to the last word. */
static inline __attribute__((target("sse4.1,aes"), always_inline)) v2di next_key(v2di k,
                                                                                 v2di assist)
{
    v4i w = (v4i)k, add = (v4i)assist;

    w ^= __builtin_shuffle((v4i){0}, w, (v4i){0, 4, 5, 6});
    w ^= __builtin_shuffle((v4i){0}, w, (v4i){0, 0, 4, 5});
    return (v2di)(w ^ __builtin_shuffle(add, (v4i){3, 3, 3, 3}));
}

static VECTOR void expand(round_key *k, const v2di_any *key)
{
#define STEP(i, constant)                                                                          \
    k[i] = next_key(k[(i)-1], __builtin_ia32_aeskeygenassist128(k[(i)-1], constant))
    k[0] = *key;
    STEP(1, 0x01);
    STEP(2, 0x02);
    STEP(3, 0x04);
    STEP(4, 0x08);
    STEP(5, 0x10);
    STEP(6, 0x20);
    STEP(7, 0x40);
    STEP(8, 0x80);
    STEP(9, 0x1b);
    STEP(10, 0x36);
#undef STEP
}

/* n strides from a counter block on. */
static VECTOR void strides(const round_key *k, uint64_t high, uint64_t low, v2di_any *dst,
                           const v2di_any *src, size_t n)
{
    const v16b swap = {7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8};
    v2di counter = {(long long)high, (long long)low};

    for (; n > 0; n--, dst += WIDTH, src += WIDTH) {
        v2di x[WIDTH];

#pragma GCC unroll 8
        for (unsigned i = 0; i < WIDTH; i++) {
            x[i] = (v2di)__builtin_ia32_pshufb128((v16b)counter, swap) ^ k[0];
            counter += (v2di){0, 1};
        }
#pragma GCC unroll 10
        for (unsigned r = 1; r < AES128_STEPS - 1; r++)
#pragma GCC unroll 8
            for (unsigned i = 0; i < WIDTH; i++)
                x[i] = __builtin_ia32_aesenc128(x[i], k[r]);
#pragma GCC unroll 8
        for (unsigned i = 0; i < WIDTH; i++)
            dst[i] = src[i] ^ __builtin_ia32_aesenclast128(x[i], k[AES128_STEPS - 1]);
    }
}

void aes128_set_key(struct aes128_key *k, const uint8_t key[AES128_KEY])
{
    struct simd_save save;

    simd_begin(&save);
    expand((round_key *)k->round, (const v2di_any *)key);
    simd_end(&save);
}

void aes128_ctr(const struct aes128_key *k, const uint64_t counter[2], uint64_t at, void *dst,
                const void *src, size_t n)
{
    const round_key *keys = (const round_key *)k->round;
    uint8_t some[STRIDE], *to = dst;
    const uint8_t *from = src;
    size_t skip = at % AES_BLOCK;
    struct simd_save save;

    simd_begin(&save);
    while (n > 0) {
        uint64_t low = counter[1] + at / AES_BLOCK;
        size_t m = n - n % STRIDE;

        if (skip == 0 && m > 0) {
            strides(keys, counter[0], low, (v2di_any *)to, (const v2di_any *)from, m / STRIDE);
        } else { /* the edges: a stride of which some bytes are wanted */
            m = MIN(n, STRIDE - skip);
            memset(some, 0, sizeof(some));
            memcpy(some + skip, from, m);
            strides(keys, counter[0], low, (v2di_any *)some, (const v2di_any *)some, 1);
            memcpy(to, some + skip, m);
            skip = 0;
        }
        to += m;
        from += m;
        at += m;
        n -= m;
    }
    simd_end(&save);
}
