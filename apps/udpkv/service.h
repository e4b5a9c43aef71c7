/*
 * The key-value store's service: a request in, a reply out. All front ends (sockets, batched
 * sockets, DPDK, raw) share it; they own memory, packets and time. Pure and freestanding: no
 * allocation, no I/O, no system call, never sleeps. One kv belongs to one thread.
 *
 * A burst is served in two passes, kv_begin() of all and then kv_handle() of all, so that the
 * memory of later requests is on its way while earlier ones are answered. Requests take effect in
 * the order of kv_handle().
 */
#pragma once

#include "proto.h"

struct kv;
struct kv_store;
struct kv_slot;

struct kv_stats {
    uint64_t gets, hits, misses, sets, deletes, noops;
    uint64_t evicted; /* items that had to go for others */
    uint64_t expired; /* items whose time was found to be over */
    uint64_t malformed, too_large, no_room, bad_version, bad_op; /* answered as that */
    uint64_t ignored;         /* shorter than a head, or a reply */
    uint64_t unanswered;      /* there was no room for the reply */
    uint64_t items;           /* now in the store; expired ones until they are met */
    uint64_t slots;           /* of the table */
    uint64_t units, in_units; /* of 128 bytes for larger values; of these, in use */
};

/* Bytes of memory for that many items, which have values of value_bytes (more is allowed, if the
 * sum is not larger; 0: only values that fit into a slot). 0: too many for any memory. */
size_t kv_bytes(uint64_t items, size_t value_bytes);

/* In memory of the caller's, zeroed and aligned to 64 bytes, as much as bytes are enough for.
 * value_bytes as in kv_bytes(): it says which part of the memory is for larger values. seed: what
 * no client can guess, so that none can choose keys that meet in one place. NULL: too small. */
struct kv *kv_init(void *mem, size_t bytes, size_t value_bytes, uint64_t seed);

/* A request under way; the fields are the service's. */
struct kv_request {
    const uint8_t *data;
    struct kv_slot *home; /* where its key belongs */
    uint32_t verdict;
    uint8_t op, status, key_len;
    uint16_t value_len, ttl;
};

/* Parses, hashes, and prefetches what the request will touch. data must stay as it is until
 * kv_handle(); should it change, answers are wrong, but nothing is corrupted. */
void kv_begin(struct kv *kv, struct kv_request *r, const void *data, size_t len);

/* Carries it out. Returns the reply's length, 0: there is none. The reply is written to room bytes
 * at reply, which may be the request's own place, data, but not overlap it otherwise; bytes behind
 * the reply are scratch. KV_REPLY_MAX is always enough room. now: seconds of a clock that never
 * goes back, below 2^32 - 1. */
size_t kv_handle(struct kv *kv, struct kv_request *r, void *reply, size_t room, uint32_t now);

/* Up to date until the next request. */
const struct kv_stats *kv_stats(const struct kv *kv);

/* The table itself, for tests. */
struct kv_store *kv_store_of(struct kv *kv);
