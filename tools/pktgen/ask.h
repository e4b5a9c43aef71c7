/*
 * What pktgen asks for, and whether an answer is right: datagrams of udpkv (docs/udpkv.md) or of a
 * server that sends back what it gets. The wire format is written down here once more, and not
 * taken from apps/udpkv, so that a mistake there does not cancel itself out. Pure.
 */
#pragma once

#include "../load/proto.h"
#include "../load/value.h"
#include "flight.h"

enum {
    KV_HEAD = 16,
    KV_VERSION = 1,
    KV_GET = 1,
    KV_SET = 2,
    KV_DELETE = 3,
    KV_NOOP = 4,
    KV_REPLY = 0x80, /* in op */
    KV_KEY_MAX = 250,
    KV_VALUE_MAX = 1408,

    /* Where fields lie. */
    KV_AT_OP = 1,
    KV_AT_STATUS = 2,
    KV_AT_KEY_LEN = 3,
    KV_AT_VALUE_LEN = 4,
    KV_AT_TTL = 6,
    KV_AT_ID = 8,

    ECHO_HEAD = 8, /* the identifier */
    PAYLOAD_MAX = KV_HEAD + KV_KEY_MAX + KV_VALUE_MAX,
};

enum kv_status {
    KV_OK,
    KV_NOT_FOUND,
    KV_MALFORMED,
    KV_TOO_LARGE,
    KV_NO_ROOM,
    KV_BAD_VERSION,
    KV_BAD_OP,
    NR_KV_STATUSES,
};
extern const char *const kv_status_names[NR_KV_STATUSES];

struct ask {
    bool echo;
    uint32_t echo_len; /* of a datagram, with its identifier */
    struct value_sizes sizes;
};

/* Writes one datagram, any fields of which may lie: of key and value as many bytes as given stand
 * behind the head. Returns its length. */
size_t kv_write(uint8_t *p, unsigned op, uint64_t id, const void *key, size_t key_len,
                size_t value_len);
/* The key's text; returns its length. */
size_t ask_key(uint8_t out[KEY_TEXT], uint64_t key);
/* The datagram for a request: OP_READ, OP_UPDATE or OP_FILL; OP_REQUEST: an echo, or NOOP. Returns
 * its length, at most PAYLOAD_MAX. */
size_t ask_write(const struct ask *a, const struct flight *e, uint8_t *p);
/* Which request a datagram answers. False: it is none of ours. */
bool ask_id(const struct ask *a, const uint8_t *p, size_t n, uint64_t *id);
/* Is it a right answer? If not, why says what is wrong. */
bool ask_good(const struct ask *a, const struct flight *e, const uint8_t *p, size_t n,
              struct why *why);
