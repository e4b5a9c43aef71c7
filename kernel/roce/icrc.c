/*
 * The invariant CRC: the masked head, the portable CRC-32 (sixteen bytes a step by tables), and the
 * choice of the implementation. icrc.h says what holds.
 */
#include "roce/icrc.h"

#include "roce/crc_impl.h"
#include "roce/wire.h"

#define POLY     0xedb88320u /* x^32 + x^26 + ... + 1, the lowest bit first (IEEE 802.3 §3.2.9) */
#define SLICES   16
#define TIME_LEN 4096u
#define ROUNDS   32
#define REPEATS  3

/* The remainder of eight bytes of ones. */
#define ICRC_SEED 0xdebb20e3u

/* tables[k][b]: what byte b is worth with k more bytes behind it. */
static uint32_t tables[SLICES][256];

const struct roce_crc_impl *roce_crc_used = &roce_crc_slice16;
const struct roce_crc_impl *const roce_crc_impls[] = {&roce_crc_slice16, &roce_crc_sparse,
                                                      &roce_crc_pclmul};
const unsigned roce_crc_nimpls = sizeof(roce_crc_impls) / sizeof(roce_crc_impls[0]);

void roce_crc_init(void)
{
    for (unsigned b = 0; b < 256; b++) {
        uint32_t c = b;

        for (unsigned i = 0; i < 8; i++)
            c = c >> 1 ^ (c & 1 ? POLY : 0);
        tables[0][b] = c;
    }
    for (unsigned k = 1; k < SLICES; k++)
        for (unsigned b = 0; b < 256; b++)
            tables[k][b] = tables[k - 1][b] >> 8 ^ tables[0][tables[k - 1][b] & 0xff];
}

static inline uint32_t byte_step(uint32_t crc, uint8_t b)
{
    return crc >> 8 ^ tables[0][(crc ^ b) & 0xff];
}

static inline uint32_t half_step(uint64_t v, unsigned k)
{
    return tables[k + 7][v & 0xff] ^ tables[k + 6][v >> 8 & 0xff] ^ tables[k + 5][v >> 16 & 0xff] ^
           tables[k + 4][v >> 24 & 0xff] ^ tables[k + 3][v >> 32 & 0xff] ^
           tables[k + 2][v >> 40 & 0xff] ^ tables[k + 1][v >> 48 & 0xff] ^ tables[k][v >> 56];
}

static uint32_t slice16_update(uint32_t crc, const void *p, size_t n)
{
    const uint8_t *s = p;

    for (; n >= 16; n -= 16, s += 16) {
        uint64_t a, b;

        __builtin_memcpy(&a, s, 8);
        __builtin_memcpy(&b, s + 8, 8);
        crc = half_step(a ^ crc, 8) ^ half_step(b, 0);
    }
    while (n-- > 0)
        crc = byte_step(crc, *s++);
    return crc;
}

static uint32_t slice16_copy(uint32_t crc, void *restrict dst, const void *restrict src, size_t n)
{
    const uint8_t *s = src;
    uint8_t *d = dst;

    for (; n >= 16; n -= 16, s += 16, d += 16) {
        uint64_t a, b;

        __builtin_memcpy(&a, s, 8);
        __builtin_memcpy(&b, s + 8, 8);
        __asm__("" : "+r"(a), "+r"(b)); /* not to be loaded again: the source may be changing */
        __builtin_memcpy(d, &a, 8);
        __builtin_memcpy(d + 8, &b, 8);
        crc = half_step(a ^ crc, 8) ^ half_step(b, 0);
    }
    while (n-- > 0) {
        uint8_t b = *s++;

        __asm__("" : "+r"(b));
        *d++ = b;
        crc = byte_step(crc, b);
    }
    return crc;
}

const struct roce_crc_impl roce_crc_slice16 = {"slice16", slice16_update, slice16_copy, NULL};

static uint64_t time_impl(const struct roce_crc_impl *impl, uint64_t (*clock)(void),
                          const uint8_t *data)
{
    uint64_t best = UINT64_MAX;
    volatile uint32_t sink = impl->update(0, data, TIME_LEN); /* into the caches */

    for (unsigned r = 0; r < REPEATS; r++) {
        uint64_t from = clock(), took;
        uint32_t crc = 0;

        for (unsigned i = 0; i < ROUNDS; i++)
            crc = impl->update(crc, data, TIME_LEN);
        took = clock() - from;
        sink = crc;
        if (took < best)
            best = took;
    }
    (void)sink;
    return best;
}

void roce_crc_choose(uint64_t (*clock)(void))
{
    /* Any bytes will do; the tables are at hand, and large enough. */
    const uint8_t *data = (const uint8_t *)tables;
    uint64_t best = UINT64_MAX;

    _Static_assert(sizeof(tables) >= TIME_LEN, "there are bytes to time it on");
    for (unsigned i = 0; i < roce_crc_nimpls; i++) {
        const struct roce_crc_impl *impl = roce_crc_impls[i];
        uint64_t took;

        if (impl->usable != NULL && !impl->usable())
            continue;
        took = time_impl(impl, clock, data);
        if (took < best) {
            best = took;
            roce_crc_used = impl;
        }
    }
}

uint32_t roce_icrc_head(const uint8_t *ip, size_t n)
{
    uint8_t head[ROCE_IP4 + ROCE_UDP + ROCE_TRANSPORT_HEAD];
    size_t first = n < sizeof(head) ? n : sizeof(head);
    uint32_t crc;

    __builtin_memcpy(head, ip, first);
    head[1] = 0xff;                       /* TOS */
    head[8] = 0xff;                       /* TTL */
    head[10] = head[11] = 0xff;           /* IP checksum */
    head[26] = head[27] = 0xff;           /* UDP checksum */
    head[ROCE_IP4 + ROCE_UDP + 4] = 0xff; /* FECN, BECN, reserved */
    crc = roce_crc(ICRC_SEED, head, first);
    return roce_crc(crc, ip + first, n - first);
}

static uint32_t whole(const uint8_t *ip, size_t transport_len)
{
    const size_t masked = ROCE_IP4 + ROCE_UDP + ROCE_BTH;
    uint32_t crc = roce_icrc_head(ip, masked);

    return roce_crc(crc, ip + masked, transport_len - ROCE_BTH - ROCE_ICRC);
}

bool roce_icrc_good(const uint8_t *ip, size_t transport_len)
{
    const uint8_t *end = ip + ROCE_IP4 + ROCE_UDP + transport_len - ROCE_ICRC;

    return roce_icrc_get(end) == roce_icrc(whole(ip, transport_len));
}

void roce_icrc_set(uint8_t *ip, size_t transport_len)
{
    roce_icrc_put(ip + ROCE_IP4 + ROCE_UDP + transport_len - ROCE_ICRC, whole(ip, transport_len));
}
