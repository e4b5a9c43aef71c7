// unit: kernel/lib/sha256.c
/*
 * SHA-256 and HMAC-SHA256 against the examples of their specifications (FIPS 180-4's, as NIST gives
 * them; RFC 4231 §4), and one long message in pieces of all sizes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/sha256.h"

static void expect(const uint8_t *hash, const char *hex)
{
    char text[2 * SHA256_BYTES + 1];

    for (unsigned i = 0; i < SHA256_BYTES; i++)
        sprintf(text + 2 * i, "%02x", hash[i]);
    assert_string_equal(text, hex);
}

static void hash_is(const char *message, const char *hex)
{
    uint8_t out[SHA256_BYTES];
    struct sha256 s;

    sha256_init(&s);
    sha256_update(&s, message, strlen(message));
    sha256_final(&s, out);
    expect(out, hex);
}

static void examples(void **state)
{
    hash_is("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hash_is("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    hash_is("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void pieces(void **state)
{
    static const char million[] =
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    uint8_t a[1000], out[SHA256_BYTES];

    memset(a, 'a', sizeof(a));
    for (unsigned piece = 1; piece <= sizeof(a); piece = piece * 3 + 1) {
        struct sha256 s;

        sha256_init(&s);
        for (unsigned left = 1000000, n; left > 0; left -= n) {
            n = left < piece ? left : piece;
            sha256_update(&s, a, n);
        }
        sha256_final(&s, out);
        expect(out, million);
    }
}

static void hmac(void **state)
{
    uint8_t key[131], data[50], out[SHA256_BYTES];

    memset(key, 0x0b, 20);
    hmac_sha256(key, 20, "Hi There", 8, out);
    expect(out, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);
    expect(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    memset(data, 0xdd, sizeof(data));
    hmac_sha256(key, 20, data, sizeof(data), out);
    expect(out, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    hmac_sha256(key, sizeof(key), "Test Using Larger Than Block-Size Key - Hash Key First", 54,
                out);
    expect(out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(examples), cmocka_unit_test(pieces),
                                       cmocka_unit_test(hmac)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
