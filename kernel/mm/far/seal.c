/* See seal.h. */
#include "mm/far/seal.h"

#include "lib/aes_ctr.h"
#include "lib/chacha20.h"

#define ROUNDS  8
#define REPEATS 3

const struct far_cipher *far_cipher;
static struct far_tag *tags; /* of all slots; NULL: pages are not verified */
static uint64_t *numbers;    /* of the writes that they hold; NULL: pages are not encrypted */
static uint64_t last_number;

/* ---- Ciphers ---- */

static struct aes128_key aes_key;
static struct chacha20_key chacha_key;

static void aes_set_key(const uint8_t key[FAR_CIPHER_KEY])
{
    aes128_set_key(&aes_key, key);
}

static void aes_crypt(uint64_t number, unsigned at, void *dst, const void *src, size_t n)
{
    const uint64_t counter[2] = {number, 0};

    aes128_ctr(&aes_key, counter, at, dst, src, n);
}

static void chacha_set_key(const uint8_t key[FAR_CIPHER_KEY])
{
    memcpy(&chacha_key, key, sizeof(chacha_key));
}

static void chacha_crypt(uint64_t number, unsigned at, void *dst, const void *src, size_t n)
{
    const uint32_t nonce[3] = {0, (uint32_t)number, (uint32_t)(number >> 32)};

    chacha20_xor(&chacha_key, nonce, at, dst, src, n);
}

static const struct far_cipher aes128 = {"aes128", aes128_usable, aes_set_key, aes_crypt};
static const struct far_cipher chacha20 = {"chacha20", NULL, chacha_set_key, chacha_crypt};

const struct far_cipher *const far_ciphers[] = {&aes128, &chacha20};
const unsigned far_nciphers = ARRAY_SIZE(far_ciphers);

static uint64_t time_cipher(const struct far_cipher *c, uint64_t (*clock)(void))
{
    static uint8_t page[PAGE_SIZE];
    uint64_t best = UINT64_MAX;

    c->set_key(page);
    c->crypt(0, 0, page, page, sizeof(page)); /* into the caches */
    for (unsigned r = 0; r < REPEATS; r++) {
        uint64_t from = clock(), took;

        for (unsigned i = 0; i < ROUNDS; i++)
            c->crypt(i, 0, page, page, sizeof(page));
        took = clock() - from;
        best = MIN(best, took);
    }
    return best;
}

const struct far_cipher *far_cipher_choose(const char *name, uint64_t (*clock)(void))
{
    const struct far_cipher *found = NULL;
    uint64_t best = UINT64_MAX;

    for (unsigned i = 0; i < far_nciphers; i++) {
        const struct far_cipher *c = far_ciphers[i];
        uint64_t took = 0;

        if ((name != NULL && strcmp(name, c->name) != 0) || (c->usable != NULL && !c->usable()))
            continue;
        if (name == NULL)
            took = time_cipher(c, clock);
        if (took < best) {
            best = took;
            found = c;
        }
    }
    return found;
}

/* ---- Pages ---- */

size_t far_seal_bytes(enum far_verify v, uint32_t slots)
{
    size_t of_slot = 0;

    if (v >= FAR_VERIFY_CHECKSUM)
        of_slot += sizeof(*tags);
    if (v == FAR_VERIFY_ENCRYPT)
        of_slot += sizeof(*numbers);
    return (slots + 1ul) * of_slot;
}

void far_seal_init(enum far_verify v, uint32_t slots, void *table, const struct far_cipher *cipher,
                   const uint8_t key[FAR_CIPHER_KEY])
{
    tags = v >= FAR_VERIFY_CHECKSUM ? table : NULL;
    numbers = NULL;
    far_cipher = NULL;
    if (v == FAR_VERIFY_ENCRYPT) {
        numbers = (uint64_t *)(tags + slots + 1);
        far_cipher = cipher;
        cipher->set_key(key);
    }
}

void *far_seal_move(uint32_t slots, uint32_t more, void *table)
{
    struct far_tag *old = tags;

    if (old != NULL) {
        tags = table;
        memcpy(tags, old, (slots + 1ul) * sizeof(*tags));
    }
    if (numbers != NULL) {
        memcpy(tags + more + 1, numbers, (slots + 1ul) * sizeof(*numbers));
        numbers = (uint64_t *)(tags + more + 1);
    }
    return old;
}

void far_seal(uint32_t slot, void *restrict to, const void *restrict page)
{
    if (numbers != NULL) {
        uint64_t number = ++last_number;

        numbers[slot] = number;
        far_cipher->crypt(number, 0, to, page, PAGE_SIZE);
    } else {
        memcpy(to, page, PAGE_SIZE);
    }
    if (tags != NULL)
        tags[slot] = far_tag_of(to);
}

bool far_unseal(uint32_t slot, void *page)
{
    if (tags != NULL && !far_tag_equal(far_tag_of(page), tags[slot]))
        return false;
    if (numbers != NULL)
        far_cipher->crypt(numbers[slot], 0, page, page, PAGE_SIZE);
    return true;
}

void far_unseal_part(uint32_t slot, unsigned at, void *bytes, size_t n)
{
    if (numbers != NULL)
        far_cipher->crypt(numbers[slot], at, bytes, bytes, n);
}
