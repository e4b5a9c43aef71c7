/*
 * See chacha20.h. Each of sixteen vectors holds one word of the state of four blocks, whose
 * counters follow each other; at the end four by four words are transposed, so that blocks lie in
 * order.
 *
 * The functions with the target attribute use vector registers, which in the kernel belong to the
 * application: only between simd_begin() and simd_end(), never inlined out of there, and not cloned
 * to take vectors as arguments.
 */
#include "lib/chacha20.h"

#include "arch/x86_64/simd.h"

#define VECTOR __attribute__((target("sse2"), noinline, noclone))
#define STRIDE (4 * CHACHA20_BLOCK)

typedef uint32_t v4u __attribute__((vector_size(16)));
typedef uint32_t v4u_any __attribute__((vector_size(16), aligned(1), may_alias));

/* Words a to a + 3 of four blocks, XORed to where they belong: block i is 4 vectors further. */
#define PUT(a)                                                                                     \
    do {                                                                                           \
        v4u l01_ = __builtin_shuffle(x[a], x[a + 1], (v4u){0, 4, 1, 5});                           \
        v4u h01_ = __builtin_shuffle(x[a], x[a + 1], (v4u){2, 6, 3, 7});                           \
        v4u l23_ = __builtin_shuffle(x[a + 2], x[a + 3], (v4u){0, 4, 1, 5});                       \
        v4u h23_ = __builtin_shuffle(x[a + 2], x[a + 3], (v4u){2, 6, 3, 7});                       \
                                                                                                   \
        dst[0 + a / 4] = src[0 + a / 4] ^ __builtin_shuffle(l01_, l23_, (v4u){0, 1, 4, 5});        \
        dst[4 + a / 4] = src[4 + a / 4] ^ __builtin_shuffle(l01_, l23_, (v4u){2, 3, 6, 7});        \
        dst[8 + a / 4] = src[8 + a / 4] ^ __builtin_shuffle(h01_, h23_, (v4u){0, 1, 4, 5});        \
        dst[12 + a / 4] = src[12 + a / 4] ^ __builtin_shuffle(h01_, h23_, (v4u){2, 3, 6, 7});      \
    } while (0)

/* n strides from block counter on. */
static VECTOR void strides(const uint32_t in[16], v4u_any *dst, const v4u_any *src, size_t n)
{
    v4u counter = (v4u){0, 1, 2, 3} + in[12];

    for (; n > 0; n--, dst += 16, src += 16, counter += 4) {
        v4u x[16];

#pragma GCC unroll 16
        for (unsigned i = 0; i < 16; i++)
            x[i] = (v4u){0} + in[i];
        x[12] = counter;
        CHACHA20_ROUNDS(x);
#pragma GCC unroll 16
        for (unsigned i = 0; i < 16; i++)
            x[i] += in[i];
        x[12] += counter - in[12];
        PUT(0);
        PUT(4);
        PUT(8);
        PUT(12);
    }
}

void chacha20_xor(const struct chacha20_key *key, const uint32_t nonce[3], uint64_t at, void *dst,
                  const void *src, size_t n)
{
    const uint32_t *k = key->word;
    uint32_t in[16] = {CHACHA20_SIGMA, k[0], k[1], k[2],     k[3],     k[4],    k[5],
                       k[6],           k[7], 0,    nonce[0], nonce[1], nonce[2]};
    uint8_t some[STRIDE], *to = dst;
    const uint8_t *from = src;
    size_t skip = at % CHACHA20_BLOCK;
    struct simd_save save;

    simd_begin(&save);
    while (n > 0) {
        size_t m = n - n % STRIDE;

        in[12] = (uint32_t)(at / CHACHA20_BLOCK);
        if (skip == 0 && m > 0) {
            strides(in, (v4u_any *)to, (const v4u_any *)from, m / STRIDE);
        } else { /* the edges: a stride of which some bytes are wanted */
            m = MIN(n, STRIDE - skip);
            memset(some, 0, sizeof(some));
            memcpy(some + skip, from, m);
            strides(in, (v4u_any *)some, (const v4u_any *)some, 1);
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
