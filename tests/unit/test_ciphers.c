// unit: kernel/lib/aes_ctr.c kernel/lib/chacha20.c -lnettle
/*
 * The stream ciphers against the examples of their specifications (NIST SP 800-38A §F.5.1 and FIPS
 * 197 appendix A.1 for AES-128 in counter mode, RFC 8439 §2.3.2 and §2.4.2 for ChaCha20), against
 * an independent library (nettle), and in pieces of any length from any byte on, at any alignment,
 * in place and not, without a byte beyond.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <nettle/aes.h>
#include <nettle/chacha.h>
#include <nettle/ctr.h>

#include "chance.h"
#include "lib/aes_ctr.h"
#include "lib/chacha20.h"

#define LONG   4096u
#define PIECES 4000u

static void unhex(const char *s, uint8_t *to)
{
    for (; *s; s += 2) {
        char byte[3] = {s[0], s[1], 0};

        *to++ = (uint8_t)strtoul(byte, NULL, 16);
    }
}

/* A cipher of ours, and nettle's of the same key: the first bytes of the stream, XORed to src. */
struct cipher {
    void (*crypt)(uint64_t at, void *dst, const void *src, size_t n);
    void (*reference)(uint8_t *dst, const uint8_t *src, size_t n);
};

/* All of it, then pieces, whose surroundings stay as they are. */
static void check_pieces(const struct cipher *c)
{
    static uint8_t plain[LONG], cipher[LONG], place[LONG + 64], before[LONG + 64];

    fill(plain, LONG);
    c->reference(cipher, plain, LONG);
    c->crypt(0, place, plain, LONG);
    assert_memory_equal(place, cipher, LONG);
    for (unsigned i = 0; i < PIECES; i++) {
        size_t at = below(LONG), n = below(i % 2 ? LONG - (unsigned)at + 1 : 40), to = below(32);

        n = n < LONG - at ? n : LONG - at;
        fill(before, sizeof(before));
        memcpy(place, before, sizeof(place));
        if (i % 4 < 2) { /* in place */
            memcpy(place + to, plain + at, n);
            c->crypt(at, place + to, place + to, n);
        } else {
            c->crypt(at, place + to, plain + at, n);
        }
        assert_memory_equal(place + to, cipher + at, n);
        assert_memory_equal(place, before, to);
        assert_memory_equal(place + to + n, before + to + n, sizeof(place) - to - n);
    }
}

/* ---- AES ---- */

static struct aes128_key aes_key;
static uint64_t aes_counter[2];

static void aes_ours(uint64_t at, void *dst, const void *src, size_t n)
{
    aes128_ctr(&aes_key, aes_counter, at, dst, src, n);
}

static void aes_nettle(uint8_t *dst, const uint8_t *src, size_t n)
{
    uint64_t counter[2] = {__builtin_bswap64(aes_counter[0]), __builtin_bswap64(aes_counter[1])};
    struct aes128_ctx theirs;

    aes128_set_encrypt_key(&theirs, aes_key.round[0]); /* the first round's key is the key */
    ctr_crypt(&theirs, (nettle_cipher_func *)aes128_encrypt, 16, (uint8_t *)counter, n, dst, src);
}

static void aes(void **state)
{
    static const struct cipher c = {aes_ours, aes_nettle};
    uint8_t key[16], plain[64], cipher[64], out[64], last[16];

    if (!aes128_usable()) {
        print_message("# this CPU has no AES instructions\n");
        skip();
    }
    unhex("2b7e151628aed2a6abf7158809cf4f3c", key);
    aes128_set_key(&aes_key, key);
    unhex("d014f9a8c9ee2589e13f0cc8b6630ca6", last); /* w40 to w43 */
    assert_memory_equal(aes_key.round[10], last, sizeof(last));
    aes_counter[0] = 0xf0f1f2f3f4f5f6f7;
    aes_counter[1] = 0xf8f9fafbfcfdfeff;
    unhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
          "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
          plain);
    unhex("874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"
          "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee",
          cipher);
    aes_ours(0, out, plain, sizeof(out));
    assert_memory_equal(out, cipher, sizeof(out));
    for (unsigned i = 0; i < 8; i++) {
        fill(key, sizeof(key));
        aes128_set_key(&aes_key, key);
        fill((uint8_t *)aes_counter, sizeof(aes_counter));
        aes_counter[1] &= INT64_MAX; /* nettle's carry goes on */
        check_pieces(&c);
    }
}

/* ---- ChaCha20 ---- */

static struct chacha20_key chacha_key;
static uint32_t chacha_nonce[3];

static void chacha_ours(uint64_t at, void *dst, const void *src, size_t n)
{
    chacha20_xor(&chacha_key, chacha_nonce, at, dst, src, n);
}

static void chacha_nettle(uint8_t *dst, const uint8_t *src, size_t n)
{
    struct chacha_ctx theirs;

    chacha_set_key(&theirs, (const uint8_t *)chacha_key.word);
    chacha_set_nonce96(&theirs, (const uint8_t *)chacha_nonce);
    chacha_crypt32(&theirs, n, dst, src);
}

static void chacha(void **state)
{
    static const char text[] = "Ladies and Gentlemen of the class of '99: If I could offer you "
                               "only one tip for the future, sunscreen would be it.";
    static const struct cipher c = {chacha_ours, chacha_nettle};
    uint8_t block[64], zeros[64] = {0}, cipher[sizeof(text)], out[sizeof(text)];

    for (unsigned i = 0; i < sizeof(chacha_key); i++)
        ((uint8_t *)chacha_key.word)[i] = (uint8_t)i;
    unhex("000000090000004a00000000", (uint8_t *)chacha_nonce);
    unhex("10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
          "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e",
          block);
    chacha_ours(CHACHA20_BLOCK, out, zeros, sizeof(zeros)); /* the block of count 1 */
    assert_memory_equal(out, block, sizeof(block));
    unhex("000000000000004a00000000", (uint8_t *)chacha_nonce);
    unhex("6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0b"
          "f91b65c5524733ab8f593dabcd62b3571639d624e65152ab8f530c359f0861d8"
          "07ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736"
          "5af90bbf74a35be6b40b8eedf2785e42874d",
          cipher);
    chacha_ours(CHACHA20_BLOCK, out, text, sizeof(text) - 1);
    assert_memory_equal(out, cipher, sizeof(text) - 1);
    for (unsigned i = 0; i < 8; i++) {
        fill((uint8_t *)&chacha_key, sizeof(chacha_key));
        fill((uint8_t *)chacha_nonce, sizeof(chacha_nonce));
        check_pieces(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(aes), cmocka_unit_test(chacha)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
