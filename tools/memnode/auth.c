/* See auth.h. */
#include "auth.h"

#include "../../kernel/roce/node_proto.h"
#include "../util.h"

#include <errno.h>
#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <string.h>
#include <sys/random.h>

void auth_hmac(uint8_t out[AUTH_HASH], const void *key, size_t key_len,
               const struct auth_part *parts, size_t nr_parts)
{
    struct hmac_sha256_ctx c;

    hmac_sha256_set_key(&c, key_len, key);
    for (size_t i = 0; i < nr_parts; i++)
        hmac_sha256_update(&c, parts[i].n, parts[i].data);
    hmac_sha256_digest(&c, AUTH_HASH, out);
}

bool auth_equal(const void *a, const void *b, size_t n)
{
    return memeql_sec(a, b, n);
}

void auth_random(void *out, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t got = getrandom((char *)out + at, n - at, 0);

        if (got > 0)
            at += got;
        else if (errno != EINTR)
            die("getrandom: %s", strerror(errno));
    }
}

uint32_t auth_random32(void)
{
    uint32_t x;

    auth_random(&x, sizeof(x));
    return x;
}

static void tag(uint8_t out[AUTH_HASH], const uint8_t *message, size_t n, const void *key,
                size_t key_len)
{
    auth_hmac(out, key, key_len, &(struct auth_part){message, n - NODE_TAG}, 1);
}

void auth_sign(uint8_t *message, size_t n, const void *key, size_t key_len)
{
    uint8_t hash[AUTH_HASH];

    tag(hash, message, n, key, key_len);
    memcpy(message + n - NODE_TAG, hash, NODE_TAG);
}

bool auth_verify(const uint8_t *message, size_t n, const void *key, size_t key_len)
{
    uint8_t hash[AUTH_HASH];

    tag(hash, message, n, key, key_len);
    return auth_equal(hash, message + n - NODE_TAG, NODE_TAG);
}

void auth_session_key(uint8_t out[AUTH_HASH], const void *secret, size_t secret_len,
                      const uint8_t *client_nonce, const uint8_t *node_nonce)
{
    auth_hmac(out, secret, secret_len,
              (struct auth_part[]){{NODE_KEY_LABEL, sizeof(NODE_KEY_LABEL) - 1},
                                   {client_nonce, NODE_NONCE},
                                   {node_nonce, NODE_NONCE}},
              3);
}
