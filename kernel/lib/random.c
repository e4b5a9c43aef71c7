/*
 * Random numbers. A ChaCha20 key makes a batch of blocks; the first 32 bytes of each batch
 * replace the key at once, the rest is handed out and erased as it goes (D. J. Bernstein,
 * "Fast-key-erasure random-number generators", 2017). Entropy is added by encrypting it
 * into the key. A batch serves many small requests: unbound alone asks 70,000 times at start.
 */
#include "lib/random.h"

#include "arch/x86_64/cpu.h"
#include "lib/chacha20.h"

#define BLOCK       CHACHA20_BLOCK
#define BATCH       (BLOCK * 8)
#define KEY         CHACHA20_KEY
#define CPU_SEEDS   8
#define CPU_RETRIES 10 /* SDM vol. 1 §7.3.17.1 */

static uint32_t key[KEY / 4];
static uint8_t batch[BATCH];
static size_t batch_left;
static size_t secret; /* bytes that nobody else knows, up to KEY */

static void chacha20_block(const uint32_t k[8], const uint32_t nonce[3], uint32_t counter,
                           uint32_t out[16])
{
    uint32_t in[16] = {CHACHA20_SIGMA, k[0], k[1],    k[2],     k[3],     k[4],    k[5],
                       k[6],           k[7], counter, nonce[0], nonce[1], nonce[2]};
    uint32_t x[16];

    memcpy(x, in, sizeof(x));
    CHACHA20_ROUNDS(x);
    for (int i = 0; i < 16; i++)
        out[i] = x[i] + in[i];
}

static void refill(void)
{
    static const uint32_t nonce[3];

    for (uint32_t i = 0; i < BATCH / BLOCK; i++)
        chacha20_block(key, nonce, i, (uint32_t *)(batch + i * BLOCK));
    memcpy(key, batch, KEY);
    memset(batch, 0, KEY);
    batch_left = BATCH - KEY;
}

void random_bytes(void *buf, size_t n)
{
    uint8_t *out = buf;

    while (n) {
        size_t take;

        if (!batch_left)
            refill();
        take = MIN(n, batch_left);
        memcpy(out, batch + BATCH - batch_left, take);
        memset(batch + BATCH - batch_left, 0, take);
        batch_left -= take;
        out += take;
        n -= take;
    }
}

uint64_t random_u64(void)
{
    uint64_t v;

    random_bytes(&v, sizeof(v));
    return v;
}

void random_add_entropy(const void *data, size_t n)
{
    const uint8_t *in = data;

    while (n) {
        uint32_t nonce[3] = {0}, out[16];
        size_t take = MIN(n, sizeof(nonce));

        memcpy(nonce, in, take);
        chacha20_block(key, nonce, UINT32_MAX, out);
        memcpy(key, out, KEY);
        in += take;
        n -= take;
    }
    batch_left = 0;
}

void random_seed(const void *data, size_t n)
{
    random_add_entropy(data, n);
    secret = MIN(secret + n, (size_t)KEY);
}

bool random_is_seeded(void)
{
    return secret == KEY;
}

static bool cpu_random(uint64_t *v)
{
    for (int i = 0; i < CPU_RETRIES; i++) {
        bool ok = false;
        if (cpu_features.rdseed)
            __asm__ volatile("rdseed %0" : "=r"(*v), "=@ccc"(ok));
        if (!ok && cpu_features.rdrand)
            __asm__ volatile("rdrand %0" : "=r"(*v), "=@ccc"(ok));
        if (ok)
            return true;
    }
    return false;
}

void random_init(void)
{
    uint64_t v = rdtsc();

    random_add_entropy(&v, sizeof(v));
    for (int i = 0; i < CPU_SEEDS && cpu_random(&v); i++)
        random_seed(&v, sizeof(v));
}
