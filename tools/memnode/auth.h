/*
 * What the control protocol's authentication is made of: HMAC-SHA256 (RFC 2104, FIPS 180-4) by
 * libnettle, comparison in constant time, and random numbers from the kernel. Called by session.c,
 * memory.c, responder's users and the client behind --stats. Does not block.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AUTH_HASH = 32 };

struct auth_part {
    const void *data;
    size_t n;
};

/* Of the parts, one behind the other. */
void auth_hmac(uint8_t out[AUTH_HASH], const void *key, size_t key_len,
               const struct auth_part *parts, size_t nr_parts);
bool auth_equal(const void *a, const void *b, size_t n);
void auth_random(void *out, size_t n);
uint32_t auth_random32(void);
/* The tag at the end of a message of n bytes, tag included (kernel/roce/node_proto.h). */
void auth_sign(uint8_t *message, size_t n, const void *key, size_t key_len);
bool auth_verify(const uint8_t *message, size_t n, const void *key, size_t key_len);
/* The key of a session with these nonces. */
void auth_session_key(uint8_t out[AUTH_HASH], const void *secret, size_t secret_len,
                      const uint8_t *client_nonce, const uint8_t *node_nonce);
