/*
 * Raw users of a network device: include/wherry/netdev.h. With steering, each frame is looked at
 * once here: a datagram for the steered port is the user's, anything else goes to the TCP/IP stack,
 * or, in an image without one, to native/responder.c. When the stack looks for packets meanwhile (a
 * thread in a socket call), the user's wait in a backlog.
 *
 * Called by the application in a thread, and by the stack's poller through netdev.steered.
 */
#include "mm/slab.h"
#include "net/csum.h"
#include "net/netdev.h"
#include "sched/clock.h"
#include "sched/thread.h"

#include <asm/errno.h>

#define BURST   64u
#define BACKLOG 256u

#define ETH_HLEN 14u
#define IP_HLEN  20u
#define UDP_HLEN 8u

struct raw {
    struct wherry_netq *q;
    struct poller poller;
    struct thread *waiter; /* sleeps until something is in the backlog; NULL: nobody does */
    unsigned first, nr;    /* of the backlog */
    struct wherry_packet backlog[BACKLOG];
};

static __always_inline uint16_t get16(const uint8_t *p)
{
    uint16_t v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

static __always_inline uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

/* The sum of a stretch as 16-bit words in memory's order; at most a frame. */
static uint64_t sum_bytes(const uint8_t *p, unsigned len)
{
    uint64_t s = 0;

    for (; len >= 4; p += 4, len -= 4)
        s += get32(p);
    if (len & 2) {
        s += get16(p);
        p += 2;
    }
    return len & 1 ? s + *p : s;
}

static __attribute__((noinline)) bool udp_sum_good(const uint8_t *ip, unsigned udp_len)
{
    uint64_t s = sum_bytes(ip + 12, 8) + __builtin_bswap16(17) +
                 __builtin_bswap16((uint16_t)udp_len) + sum_bytes(ip + IP_HLEN, udp_len);

    return csum_fold(s) == 0xffff;
}

/* A sender's address that no host on a wire can have (this network, loopback, multicast, the
 * future's: RFC 6890). */
static __always_inline bool nobody(uint32_t src)
{
    uint8_t class = (uint8_t)src;

    return (uint8_t)(class - 1) >= 0xe0 - 1 || class == 127;
}

/* Is it a whole datagram for ip and port? Its length is then the frame's without padding. */
static __always_inline bool match(struct wherry_packet *p, uint32_t ip, uint16_t port)
{
    const uint8_t *h = p->data + ETH_HLEN, *udp = h + IP_HLEN;
    uint32_t w0, w1, w2;
    unsigned ip_len;

    if (unlikely(p->len < ETH_HLEN + IP_HLEN + UDP_HLEN))
        return false;
    w0 = get32(h);
    w1 = get32(h + 4);
    w2 = get32(h + 8);
    ip_len = __builtin_bswap16((uint16_t)(w0 >> 16));
    if (unlikely(get16(udp + 2) != port || get32(h + 16) != ip ||
                 get16(p->data + 12) != __builtin_bswap16(0x0800) || (w0 & 0xff) != 0x45 ||
                 (w1 & 0xff3f0000u) != 0 || (w2 >> 8 & 0xff) != 17 || ip_len + ETH_HLEN > p->len ||
                 __builtin_bswap16(get16(udp + 4)) != ip_len - IP_HLEN ||
                 ip_len < IP_HLEN + UDP_HLEN || nobody(get32(h + 12)) || get32(h + 12) == ip))
        return false;
    if (unlikely(csum_fold((uint64_t)w0 + w1 + w2 + get32(h + 12) + ip) != 0xffff))
        return false;
    p->len = (uint16_t)(ip_len + ETH_HLEN);
    return likely(p->flags & WHERRY_RX_CSUM_OK) || get16(udp + 6) == 0 ||
           udp_sum_good(h, ip_len - IP_HLEN);
}

static __attribute__((noinline)) void elsewhere(struct wherry_netq *q,
                                                const struct wherry_packet *p)
{
    struct netdev *d = q->dev;
    struct netbuf *b = (struct netbuf *)ALIGN_DOWN((uintptr_t)p->data, (uintptr_t)NETBUF_SIZE);

    q->stats.rx_other++;
    if (d->input == NULL) {
        netbuf_free(b);
        return;
    }
    b->data = (uint16_t)(p->data - (uint8_t *)b);
    b->len = p->len;
    b->total = p->len;
    b->next = NULL;
    b->nbufs = 1;
    b->flags = p->flags & WHERRY_RX_CSUM_OK ? NETBUF_CSUM_OK : 0;
    d->input(d, b);
}

/* Takes what has come: the user's packets to the front of p. */
static __always_inline unsigned take(struct wherry_netq *q, struct wherry_packet *p, unsigned max)
{
    unsigned n = q->dev->ops->rx_raw(q->dev, p, max), kept = 0;

    if (q->port == 0)
        return n;
    for (unsigned i = 0; i < n; i++) {
        if (likely(match(&p[i], q->ip, q->port)))
            p[kept++] = p[i];
        else
            elsewhere(q, &p[i]);
    }
    return kept;
}

unsigned wherry_netq_rx(struct wherry_netq *q, struct wherry_packet *p, unsigned max)
{
    struct raw *r = q->dev->raw;
    unsigned n = 0;

    if (unlikely(r->nr > 0)) {
        while (n < max && r->nr > 0) {
            p[n++] = r->backlog[r->first++ % BACKLOG];
            r->nr--;
        }
        return n;
    }
    if (netdev_rx_idle(q->dev))
        return 0;
    n = take(q, p, max);
    q->stats.rx_packets += n;
    return n;
}

/* The stack's poller: takes packets for it, and keeps the user's. */
static bool steered(struct netdev *d)
{
    struct wherry_packet p[BURST];
    struct raw *r = d->raw;
    unsigned n = take(r->q, p, BURST);

    for (unsigned i = 0; i < n; i++) {
        if (unlikely(r->nr == BACKLOG)) {
            d->stats.rx_no_buffer++;
            wherry_netq_free(r->q, &p[i], 1);
            continue;
        }
        r->backlog[(r->first + r->nr++) % BACKLOG] = p[i];
    }
    r->q->stats.rx_packets += n;
    if (n > 0 && r->waiter != NULL)
        thread_wake(r->waiter);
    return true;
}

unsigned wherry_netq_tx(struct wherry_netq *q, const struct wherry_packet *p, unsigned n)
{
    struct netdev *d = q->dev;
    unsigned done;

    if (unlikely(n == 0))
        return 0;
    done = d->ops->tx_raw(d, p, n);
    if (unlikely(done < n)) { /* the device may be behind only because nobody told it */
        d->ops->kick(d, 0);
        d->ops->tx_reclaim(d, 0);
        done += d->ops->tx_raw(d, p + done, n - done);
        q->stats.tx_refused += n - done;
    }
    q->stats.tx_packets += done;
    d->ops->kick(d, 0);
    return done;
}

unsigned wherry_netq_alloc(struct wherry_netq *q, struct wherry_packet *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct netbuf *b = netbuf_alloc();

        if (b == NULL)
            return i;
        p[i] = (struct wherry_packet){.data = (uint8_t *)b + WHERRY_BUF_START};
    }
    return n;
}

void wherry_netq_free(struct wherry_netq *q, const struct wherry_packet *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        netbuf_free((struct netbuf *)ALIGN_DOWN((uintptr_t)p[i].data, (uintptr_t)NETBUF_SIZE));
}

static bool raw_poll(struct poller *p)
{
    struct raw *r = container_of(p, struct raw, poller);

    return !netdev_rx_idle(r->q->dev) && steered(r->q->dev);
}

static bool raw_arm(struct poller *p)
{
    struct raw *r = container_of(p, struct raw, poller);

    return r->q->dev->ops->arm(r->q->dev, 0);
}

void wherry_netq_wait(struct wherry_netq *q, uint64_t deadline)
{
    struct raw *r = q->dev->raw;

    if (r->nr > 0)
        return;
    q->stats.sleeps++;
    q->dev->ops->tx_reclaim(q->dev, 0);
    r->waiter = current();
    thread_block(deadline); /* its idle loop polls; steered() wakes us */
    r->waiter = NULL;
}

int wherry_netq_steer(struct wherry_netq *q, uint16_t port)
{
    if (port == 0 || q->dev->ip4 == 0)
        return -EINVAL;
    q->ip = q->dev->ip4;
    q->port = __builtin_bswap16(port);
    return 0;
}

void wherry_netq_info(const struct wherry_netq *q, struct wherry_netdev_info *info)
{
    const struct netdev *d = q->dev;

    *info = (struct wherry_netdev_info){.mtu = d->mtu,
                                        .ip = d->ip4,
                                        .mask = d->mask4,
                                        .gateway = d->gateway4,
                                        .tx_csum = d->features & NETDEV_TX_CSUM,
                                        .rx_csum = d->features & NETDEV_RX_CSUM};
    memcpy(info->name, d->name, sizeof(info->name));
    memcpy(info->mac, d->mac, sizeof(info->mac));
}

static struct netdev *nth(unsigned device)
{
    list_for_each (d, &netdev_list, struct netdev, link) {
        if (device-- == 0)
            return d;
    }
    return NULL;
}

int wherry_netq_open(struct wherry_netq *q, unsigned device)
{
    struct netdev *d = nth(device);
    struct raw *r;

    if (d == NULL || d->ops->rx_raw == NULL)
        return -ENODEV;
    if (d->raw != NULL)
        return -EBUSY;
    r = kzalloc(sizeof(*r));
    if (r == NULL)
        return -ENOMEM;
    *q = (struct wherry_netq){.dev = d};
    r->q = q;
    r->poller = (struct poller){.poll = raw_poll, .arm = raw_arm};
    d->raw = r;
    d->steered = steered;
    if (d->user == NULL) /* else its poller calls steered() */
        poller_register(&r->poller);
    return 0;
}
