/*
 * udpkv on the raw network interface: an image that is nothing but the store and the driver.
 * Requests are taken in bursts, all of their slots are prefetched if the cache is not likely to
 * have them, and each answer is made in the frame that asked.
 *
 *     wherry run build/apps/udpkv-raw -- [ITEMS [VALUE-BYTES]]
 *
 * udpkv-control is the same with a control port by TCP beside it (control.h).
 */
#include <wherry/app.h>
#include <wherry/burst.h>
#include <wherry/inet.h>

#include "control.h"
#include "quick.h"

#define PORT         7777
#define BURST        32
#define ITEMS        100000
#define VALUE_BYTES  64
#define NSEC_PER_SEC 1000000000u

/* A decimal number; 0 for anything else. */
static uint64_t number(const char *s)
{
    uint64_t v = 0;

    for (; *s >= '0' && *s <= '9' && v < UINT64_MAX / 20; s++)
        v = v * 10 + (uint64_t)(*s - '0');
    return *s ? 0 : v;
}

/* What the loop looks at has an address that is known: it has no register to spare for one. */
static struct wherry_netq q;
static struct kv *kv;
static struct kv_store where; /* kv's, for what never changes: seed, slots, homes */
static struct {
    uint32_t now;
    unsigned room; /* for a reply */
    size_t reply;  /* length of serve_other()'s */
    unsigned slow; /* requests of this burst that it had; the others are hits */
} server;

/* Any request that is not for the fast path, or whose item is not there. */
static WHERRY_SELDOM void serve_other(uint8_t *frame, size_t len)
{
    uint8_t *data = frame + WHERRY_UDP_DATA;
    struct kv_request r;

    server.slow++;
    kv_begin(kv, &r, data, len);
    server.reply = kv_handle_other(kv, &r, data, server.room, server.now);
}

WHERRY_INLINE bool serve(struct wherry_packet *p, void *arg)
{
    uint8_t *data = wherry_udp_data(p);
    size_t len = wherry_udp_len(p);
    struct kv_slot *slot;

    if (kv_likely(kv_is_quick(&where, data, len, &slot) &&
                  kv_quick(&slot, data, len, server.now))) {
        len = kv_reply_quick(slot, data, data);
    } else {
        serve_other(p->data, len);
        len = server.reply;
        if (len == 0)
            return false;
    }
    wherry_udp_answer(&q, p, len);
    return true;
}

/* Has the slot fetched that a frame's key belongs to, if it has one of 8 to 16 bytes. */
WHERRY_INLINE void fetch(const uint8_t *frame, void *arg)
{
    const uint8_t *data = frame + WHERRY_UDP_DATA;
    size_t key_len = data[offsetof(struct kv_head, key_len)];

    if (kv_likely(key_len - KV_QUICK_KEY_MIN <= KV_QUICK_KEY_MAX - KV_QUICK_KEY_MIN))
        kv_prefetch(kv_home(&where, kv_hash_quick(&where, data + KV_HEAD, key_len)));
}

/* For a store that the cache holds, and for a larger one. */
static __attribute__((noinline)) unsigned serve_near(struct wherry_packet *p)
{
    return wherry_netq_serve(&q, p, BURST, serve, NULL);
}

static __attribute__((noinline)) unsigned serve_far(struct wherry_packet *p)
{
    return wherry_netq_serve_ahead(&q, p, BURST, fetch, serve, NULL);
}

static struct kv *make_store(uint64_t items, size_t value_bytes)
{
    size_t bytes = kv_bytes(items, value_bytes);
    void *memory = wherry_alloc(bytes);
    struct kv *made = memory ? kv_init(memory, bytes, value_bytes, wherry_random()) : NULL;

    if (!made)
        wherry_print("udpkv: %lu items of %zu bytes need %zu bytes of memory\n", items, value_bytes,
                     bytes);
    return made;
}

int main(int argc, char **argv)
{
    uint64_t items = argc > 1 ? number(argv[1]) : ITEMS;
    uint64_t value_bytes = argc > 2 ? number(argv[2]) : VALUE_BYTES;
    struct wherry_packet p[BURST];
    struct wherry_netdev_info info;
    bool cached;
    int r;

    if (argc > 3 || items == 0 || value_bytes == 0) {
        wherry_print("usage: udpkv [ITEMS [VALUE-BYTES]]\n");
        return 2;
    }
    kv = make_store(items, value_bytes);
    if (!kv)
        return 1;
    r = wherry_netq_open(&q, 0);
    if (r == 0)
        r = wherry_netq_steer(&q, PORT);
    if (r == 0)
        r = control_start(kv, &q);
    if (r < 0) {
        wherry_print("udpkv: no network device with an address (error %d)\n", -r);
        return 1;
    }
    wherry_netq_info(&q, &info);
    where = *kv_store_of(kv);
    server.room = info.mtu - WHERRY_IP_HLEN - WHERRY_UDP_HLEN;
    if (server.room < KV_QUICK_ROOM) {
        wherry_print("udpkv: the interface's MTU of %u is too small\n", info.mtu);
        return 1;
    }
    cached = kv_bytes(items, value_bytes) <= wherry_cache_size() / 2;
    wherry_print("udpkv: port %d, %lu items, %zu KiB of memory%s\n", PORT, items,
                 kv_bytes(items, value_bytes) / 1024, cached ? "" : ", which is fetched ahead");
    for (;;) {
        unsigned n;

        server.now = (uint32_t)(wherry_now() / NSEC_PER_SEC);
        n = cached ? serve_near(p) : serve_far(p);
        kv->stats.hits += n - server.slow;
        server.slow = 0;
        if (!control_run() && n == 0)
            wherry_netq_wait(&q, WHERRY_FOREVER);
    }
}
