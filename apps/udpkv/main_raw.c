/*
 * udpkv on the raw network interface: an image that is nothing but the store and the driver.
 * Requests are taken in bursts, all of their slots are prefetched, and each answer is made in the
 * frame that asked.
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

struct server {
    struct wherry_netq *q;
    struct kv *kv;
    struct kv_request *next;
    unsigned room; /* for a reply */
    uint32_t now;
};

/* ---- Each request when it comes: for a store that the cache holds ---- */

/* Any other, and one whose item is not in the slot home. */
static __attribute__((noinline)) size_t serve_other(const struct server *s, uint8_t *data,
                                                    size_t len, struct kv_slot *home)
{
    struct kv_slot *away = home ? kv_quick_away(home, data, len, s->now) : NULL;
    struct kv_request r = {.data = data, .home = home, .verdict = (uint32_t)len};

    if (away)
        return kv_reply_quick(s->kv, away, data, data);
    if (!home)
        kv_begin_other(s->kv, &r, data, len);
    return kv_handle_other(s->kv, &r, data, s->room, s->now);
}

WHERRY_INLINE bool serve(struct wherry_packet *p, void *arg)
{
    const struct server *s = arg;
    uint8_t *data = wherry_udp_data(p);
    size_t len = wherry_udp_len(p);
    struct kv_slot *home;

    if (!kv_likely(kv_is_quick(s->kv, data, len, &home)))
        len = serve_other(s, data, len, NULL);
    else if (kv_is_here(home, data, len, s->now))
        len = kv_reply_quick(s->kv, home, data, data);
    else
        len = serve_other(s, data, len, home);
    if (!kv_likely(len))
        return false;
    wherry_udp_answer(s->q, p, (unsigned)len);
    return true;
}

/* ---- All slots of a burst are fetched, then each is answered: for a larger one ---- */

WHERRY_INLINE void begin(struct wherry_packet *p, void *arg)
{
    struct server *s = arg;

    if (!kv_likely(kv_begin_quick(s->kv, s->next, wherry_udp_data(p), wherry_udp_len(p))))
        kv_begin_other(s->kv, s->next, wherry_udp_data(p), wherry_udp_len(p));
    s->next++;
}

WHERRY_INLINE bool finish(struct wherry_packet *p, void *arg)
{
    struct server *s = arg;
    struct kv_request *r = s->next++;
    uint8_t *data = wherry_udp_data(p);
    size_t n;

    if (kv_is_here(r->home, r->data, r->verdict, s->now))
        n = kv_reply_quick(s->kv, r->home, data, data);
    else
        n = r->verdict >= KV_QUICK_MIN ? serve_other(s, data, r->verdict, r->home)
                                       : kv_handle_other(s->kv, r, data, s->room, s->now);
    if (!kv_likely(n))
        return false;
    wherry_udp_answer(s->q, p, (unsigned)n);
    return true;
}

static __attribute__((noinline)) unsigned serve_each(struct server *s, struct wherry_packet *p)
{
    struct server local = *s; /* nobody else can see it: it is in registers */

    return wherry_netq_serve(s->q, p, BURST, serve, &local);
}

static __attribute__((noinline)) unsigned serve_burst(struct server *s, struct wherry_packet *p)
{
    struct kv_request r[BURST];
    struct server first = *s, second = *s;
    unsigned n;

    first.next = second.next = r;
    n = wherry_netq_rx_each(s->q, p, BURST, begin, &first);
    if (n > 0)
        wherry_netq_tx_each(s->q, p, n, finish, &second);
    return n;
}

static struct kv *make_store(uint64_t items, size_t value_bytes)
{
    size_t bytes = kv_bytes(items, value_bytes);
    void *memory = wherry_alloc(bytes);
    struct kv *kv = memory ? kv_init(memory, bytes, value_bytes, wherry_random()) : NULL;

    if (!kv)
        wherry_print("udpkv: %lu items of %zu bytes need %zu bytes of memory\n", items, value_bytes,
                     bytes);
    return kv;
}

int main(int argc, char **argv)
{
    uint64_t items = argc > 1 ? number(argv[1]) : ITEMS;
    uint64_t value_bytes = argc > 2 ? number(argv[2]) : VALUE_BYTES;
    struct wherry_packet p[BURST];
    struct wherry_netdev_info info;
    struct wherry_netq q;
    struct server s;
    struct kv *kv;
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
    s = (struct server){.q = &q, .kv = kv, .room = info.mtu - WHERRY_IP_HLEN - WHERRY_UDP_HLEN};
    if (s.room < KV_QUICK_ROOM) {
        wherry_print("udpkv: the interface's MTU of %u is too small\n", info.mtu);
        return 1;
    }
    cached = kv_bytes(items, value_bytes) <= wherry_cache_size() / 2;
    wherry_print("udpkv: port %d, %lu items, %zu KiB of memory%s\n", PORT, items,
                 kv_bytes(items, value_bytes) / 1024, cached ? "" : ", which is fetched ahead");
    for (;;) {
        unsigned n;

        s.now = (uint32_t)(wherry_now() / NSEC_PER_SEC);
        n = cached ? serve_each(&s, p) : serve_burst(&s, p);
        if (!control_run() && n == 0)
            wherry_netq_wait(&q, WHERRY_FOREVER);
    }
}
