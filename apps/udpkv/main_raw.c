/*
 * udpkv on the raw network interface: an image that is nothing but the store and the driver.
 * Requests are taken in bursts, all of their slots are prefetched, and each answer is made in the
 * frame that asked.
 *
 *     wherry run build/apps/udpkv-raw -- [ITEMS [VALUE-BYTES]]
 */
#include <wherry/app.h>
#include <wherry/inet.h>

#include "service.h"

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

/* Answers a burst in place; the packets that are answers come to the front. How many they are. */
static unsigned serve(struct kv *kv, struct wherry_netq *q, struct wherry_packet *p, unsigned n,
                      const struct wherry_netdev_info *info, uint32_t now)
{
    unsigned room = info->mtu - WHERRY_IP_HLEN - WHERRY_UDP_HLEN, answers = 0;
    struct kv_request r[BURST];

    for (unsigned i = 0; i < n; i++)
        kv_begin(kv, &r[i], wherry_udp_data(&p[i]), wherry_udp_len(&p[i]));
    for (unsigned i = 0; i < n; i++) {
        size_t len = kv_handle(kv, &r[i], wherry_udp_data(&p[i]), room, now);

        if (len == 0) {
            wherry_netq_free(q, &p[i], 1);
            continue;
        }
        wherry_udp_answer(&p[i], (unsigned)len, info->tx_csum);
        p[answers++] = p[i];
    }
    return answers;
}

int main(int argc, char **argv)
{
    uint64_t items = argc > 1 ? number(argv[1]) : ITEMS;
    uint64_t value_bytes = argc > 2 ? number(argv[2]) : VALUE_BYTES;
    struct wherry_packet p[BURST];
    struct wherry_netdev_info info;
    struct wherry_netq q;
    struct kv *kv;
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
    if (r < 0) {
        wherry_print("udpkv: no network device with an address (error %d)\n", -r);
        return 1;
    }
    wherry_netq_info(&q, &info);
    wherry_print("udpkv: port %d, %lu items\n", PORT, items);
    for (;;) {
        unsigned n = wherry_netq_rx(&q, p, BURST), sent;

        if (n == 0) {
            wherry_netq_wait(&q, WHERRY_FOREVER);
            continue;
        }
        n = serve(kv, &q, p, n, &info, (uint32_t)(wherry_now() / NSEC_PER_SEC));
        sent = wherry_netq_tx(&q, p, n);
        wherry_netq_free(&q, p + sent, n - sent);
    }
}
