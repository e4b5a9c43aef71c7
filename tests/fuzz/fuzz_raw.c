// fuzz: kernel/net/netdev.c
/*
 * Frames of any content meet the raw interface's steering (kernel/net/raw.c) and the responder that
 * has the rest (kernel/native/responder.c). What comes out of rx must be a whole datagram for the
 * port, by a second opinion given here; what is sent in answer to the rest must be an ARP reply or
 * an echo reply; nothing is read behind a frame's end (what lies there is poisoned), and no block
 * is lost or freed twice.
 *
 * Input: commands of four bytes (kind, length, two bytes for it) and the bytes that follow them.
 */
#include <stdlib.h>

/* Their static functions are wanted here. */
#include "../../kernel/native/responder.c"
#undef ETH_HLEN
#undef IP_HLEN
#include "../../kernel/net/raw.c"

void __asan_poison_memory_region(void const volatile *p, size_t n);
void __asan_unpoison_memory_region(void const volatile *p, size_t n);

#define HERE  0x0200630au /* 10.99.0.2 */
#define THERE 0x0100630au
#define PORT_ 7777
#define QUEUE 8

static struct netdev dev;
static struct wherry_netq q;
static struct wherry_packet waiting[QUEUE];
static unsigned nr_waiting;
static long blocks;

static void check(bool ok)
{
    if (!ok)
        abort();
}

struct netbuf *netbuf_host_alloc(void)
{
    struct netbuf *b = aligned_alloc(NETBUF_SIZE, NETBUF_SIZE);

    memset(b, 0xa5, NETBUF_SIZE);
    blocks++;
    return b;
}

void netbuf_host_free(struct netbuf *b)
{
    __asan_unpoison_memory_region(b, NETBUF_SIZE);
    blocks--;
    free(b);
}

void *kzalloc(size_t size)
{
    return calloc(1, size);
}

struct thread *current_thread;
void poller_register(struct poller *p)
{
}
void thread_wake(struct thread *t)
{
}
bool thread_block(uint64_t deadline)
{
    return true;
}
const char *parse_u64(const char *s, uint64_t *out)
{
    char *end;

    *out = strtoull(s, &end, 10);
    return end == s ? NULL : end;
}

static unsigned rx_raw(struct netdev *d, struct wherry_packet *p, unsigned max)
{
    unsigned n = MIN(max, nr_waiting);

    memcpy(p, waiting, n * sizeof(*p));
    nr_waiting -= n;
    memmove(waiting, waiting + n, nr_waiting * sizeof(*p));
    return n;
}

static bool answer_ok(const uint8_t *f, unsigned len)
{
    uint32_t here = HERE;

    if (f[12] == 8 && f[13] == 6)
        return len >= ETH_HLEN + ARP_LEN && f[21] == 2 && memcmp(f + 28, &here, 4) == 0 &&
               memcmp(f + 22, dev.mac, 6) == 0;
    return f[12] == 8 && f[13] == 0 && f[23] == 1 && f[34] == 0 && memcmp(f + 26, &here, 4) == 0;
}

static unsigned tx_raw(struct netdev *d, const struct wherry_packet *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        check(answer_ok(p[i].data, p[i].len) && memcmp(p[i].data + 6, dev.mac, 6) == 0);
        netbuf_free((struct netbuf *)ALIGN_DOWN((uintptr_t)p[i].data, (uintptr_t)NETBUF_SIZE));
    }
    return n;
}

static void kick(struct netdev *d, unsigned queue)
{
}
static bool arm(struct netdev *d, unsigned queue)
{
    return true;
}

static const struct netdev_ops ops = {
    .rx_raw = rx_raw, .tx_raw = tx_raw, .kick = kick, .tx_reclaim = kick, .arm = arm};

static unsigned be16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

/* One's complement sum, plainly. */
static unsigned sum(const uint8_t *p, unsigned n, unsigned start)
{
    unsigned long s = start;

    for (unsigned i = 0; i < n; i++)
        s += i & 1 ? p[i] : (unsigned)p[i] << 8;
    while (s >> 16)
        s = (s >> 16) + (s & 0xffff);
    return (unsigned)s;
}

/* What include/wherry/netdev.h promises of a steered packet. */
static void second_opinion(const struct wherry_packet *p)
{
    const uint8_t *ip = p->data + 14, *udp = ip + 20;
    uint32_t here = HERE;
    unsigned udp_len;

    check(p->len >= 42 && be16(p->data + 12) == 0x0800 && ip[0] == 0x45 && ip[9] == 17);
    check(be16(ip + 2) + 14u == p->len && memcmp(ip + 16, &here, 4) == 0);
    check(ip[12] != 0 && ip[12] != 127 && ip[12] < 224 && memcmp(ip + 12, &here, 4) != 0);
    check((be16(ip + 6) & 0x3fff) == 0 && sum(ip, 20, 0) == 0xffff);
    udp_len = be16(udp + 4);
    check(be16(udp + 2) == PORT_ && udp_len + 34u == p->len && udp_len >= 8);
    if (!(p->flags & WHERRY_RX_CSUM_OK) && be16(udp + 6) != 0)
        check(sum(udp, udp_len, sum(ip + 12, 8, 17 + udp_len)) == 0xffff);
}

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* A good frame of the kind; its length. */
static unsigned build(uint8_t *f, unsigned kind, unsigned data)
{
    uint32_t here = HERE, there = THERE;
    unsigned len;

    memset(f, 0, 60 + data);
    memcpy(f, dev.mac, 6);
    f[6] = 2;
    if (kind == 1) {
        memcpy(f + 12, "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01", 10);
        memcpy(f + 28, &there, 4);
        memcpy(f + 38, &here, 4);
        return 42;
    }
    f[12] = 8;
    f[14] = 0x45;
    f[22] = 64;
    memcpy(f + 26, &there, 4);
    memcpy(f + 30, &here, 4);
    for (unsigned i = 0; i < data; i++)
        f[42 + i] = (uint8_t)i;
    len = 42 + data;
    put16(f + 16, len - 14);
    if (kind == 2) { /* an echo request */
        f[23] = 1;
        f[34] = 8;
        put16(f + 36, (uint16_t)~sum(f + 34, len - 34, 0));
    } else {
        f[23] = 17;
        put16(f + 34, 5000);
        put16(f + 36, PORT_);
        put16(f + 38, len - 34);
        put16(f + 40, (uint16_t)~sum(f + 34, len - 34, sum(f + 26, 8, 17 + len - 34)));
    }
    put16(f + 24, (uint16_t)~sum(f + 14, 20, 0));
    return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wherry_packet p[QUEUE];
    unsigned good = 0;

    if (!dev.ops) {
        dev.ops = &ops;
        memcpy(dev.mac, "\x02\x57\x0a\x63\x00\x02", 6);
        check(ip_option("10.99.0.2::10.99.0.1:255.255.255.0::eth0:off") == 0 && address == HERE);
        netdev_register(&dev);
        responder_init();
        check(wherry_netq_open(&q, 0) == 0 && wherry_netq_steer(&q, PORT_) == 0);
    }
    while (size >= 4) {
        unsigned kind = data[0], len = data[1] * 4u, at = data[2] * 2u, v = data[3];
        struct netbuf *b = netbuf_alloc();
        uint8_t *f = (uint8_t *)b + WHERRY_BUF_START;
        bool intact = kind & 0x80;

        data += 4;
        size -= 4;
        if ((kind & 3) == 3) { /* bytes as they are */
            len = MIN(MAX(len, 14u), (unsigned)size + 14u);
            memset(f, 8, 14);
            memcpy(f + 12, "\x08", 2);
            memcpy(f + 14, data, len - 14);
            data += len - 14;
            size -= len - 14;
            intact = false;
        } else {
            len = build(f, kind & 3, MIN(len, 1400u));
            if (!intact)
                f[at % len] ^= (uint8_t)v;
            if (kind & 0x40)
                len = MAX(len - v % len, 14u), intact = false;
        }
        if (kind & 0x20 && len < 60) /* padding on the wire */
            len = 60;
        __asan_poison_memory_region(f + len, (size_t)((uint8_t *)b + NETBUF_SIZE - (f + len)));
        waiting[nr_waiting++] = (struct wherry_packet){
            .data = f, .len = (uint16_t)len, .flags = kind & 4 ? WHERRY_RX_CSUM_OK : 0};
        if (intact && (kind & 3) == 0)
            good++;
        if (kind & 8 || nr_waiting == QUEUE) {
            if (kind & 0x10)
                raw_poll(&((struct raw *)dev.raw)->poller);
            for (unsigned n; (n = wherry_netq_rx(&q, p, QUEUE)) > 0;)
                for (unsigned i = 0; i < n; i++) {
                    second_opinion(&p[i]);
                    good -= good > 0;
                    wherry_netq_free(&q, &p[i], 1);
                }
            check(good == 0 && nr_waiting == 0);
        }
    }
    while (nr_waiting > 0 || ((struct raw *)dev.raw)->nr > 0)
        wherry_netq_free(&q, p, wherry_netq_rx(&q, p, QUEUE));
    check(blocks == 0);
    return 0;
}
