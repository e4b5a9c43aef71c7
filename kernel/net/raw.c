/*
 * Raw users of a network device: include/wherry/netdev.h. With steering, each frame is looked at
 * once here: a datagram for the steered port is the user's, anything else goes to the TCP/IP stack,
 * or, in an image without one, to native/responder.c. When the stack looks for packets meanwhile (a
 * thread in a socket call), the user's wait in a backlog.
 *
 * Called by the application in a thread, and by the stack's poller through netdev.steered.
 */
#include "mm/slab.h"
#include "net/netdev.h"
#include "sched/clock.h"
#include "sched/thread.h"

#include <asm/errno.h>
#include <wherry/burst.h>

#define BURST   64u
#define BACKLOG 256u

#define ETH_HLEN 14u
#define IP_HLEN  20u
#define UDP_HLEN 8u

struct raw {
    struct wherry_netq *q;
    struct poller poller;
    unsigned first, nr; /* of the backlog */
    struct wherry_packet backlog[BACKLOG];
};

/* The program, which has one thread, sleeps until something has come to any queue. NULL: it does
 * not. */
static struct thread *waiter;
static unsigned kept_back; /* packets in all backlogs */

/* Is a frame steered to q, oddities and all? */
static bool match(const struct wherry_netq *q, struct wherry_packet *p)
{
    const uint8_t *f = p->data, *udp = f + ETH_HLEN + IP_HLEN;
    unsigned ip_len, len;
    uint64_t sum;

    if (q->port == 0)
        return true;
    if (p->len < WHERRY_STEERED_HEAD)
        return false;
    ip_len = __builtin_bswap16(wherry_get16(f + ETH_HLEN + 2));
    len = ip_len + ETH_HLEN;
    if (wherry_get16(udp + 2) != q->port || wherry_get32(f + ETH_HLEN + 16) != q->ip ||
        wherry_get16(f + 12) != __builtin_bswap16(0x0800) || f[ETH_HLEN] != 0x45 ||
        f[ETH_HLEN + 9] != 17 || len < WHERRY_STEERED_HEAD || len > p->len ||
        __builtin_bswap16(wherry_get16(udp + 4)) != ip_len - IP_HLEN)
        return false;
    if ((wherry_get16(f + ETH_HLEN + 6) & 0xffbf) != 0 || wherry_nobody[f[ETH_HLEN + 12]] ||
        wherry_get32(f + ETH_HLEN + 12) == q->ip)
        return false;
    sum = wherry_get32(f + ETH_HLEN + 16);
    for (unsigned i = 0; i < 16; i += 4)
        sum += wherry_get32(f + ETH_HLEN + i);
    if (sum % 65535 != 0)
        return false;
    p->len = (uint16_t)len;
    return p->flags & (WHERRY_CSUM_OK | WHERRY_CSUM_TODO) || wherry_get16(udp + 6) == 0 ||
           wherry_udp_good(f, len - 42);
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
    b->flags = p->flags & (WHERRY_CSUM_OK | WHERRY_CSUM_TODO) ? NETBUF_CSUM_OK : 0;
    d->input(d, b);
}

/* Takes what has come: the user's packets to the front of p. */
static unsigned take(struct wherry_netq *q, struct wherry_packet *p, unsigned max)
{
    unsigned n = q->dev->ops->rx_raw(q->dev, p, max), kept = 0;

    for (unsigned i = 0; i < n; i++) {
        if (match(q, &p[i]))
            p[kept++] = p[i];
        else
            elsewhere(q, &p[i]);
    }
    return kept;
}

void wherry_netq_rx_begin(struct wherry_netq *q, struct wherry_run *r, unsigned max)
{
    const struct raw *raw = q->dev->raw;

    if (likely(q->dev->runs && raw->nr == 0))
        q->dev->ops->rx_run(q->dev, r, max);
    else
        *r = (struct wherry_run){.ring = NULL};
}

static __attribute__((noinline)) void all_elsewhere(struct wherry_netq *q,
                                                    const struct wherry_packet *p, unsigned n)
{
    while (n > 0)
        elsewhere(q, &p[--n]);
}

bool wherry_netq_rx_end(struct wherry_netq *q, const struct wherry_run *r,
                        const struct wherry_packet *others, unsigned n)
{
    unsigned taken = r->pos - r->first;

    if (unlikely(taken == 0))
        return true;
    q->stats.rx_packets += taken - n;
    q->dev->ops->rx_ran(q->dev, r);
    if (unlikely(n > 0))
        all_elsewhere(q, others, n);
    return false; /* what else there is, is the next call's */
}

bool wherry_netq_odd(const struct wherry_netq *q, struct wherry_run *r, struct wherry_packet *p)
{
    uint64_t at = 8 * (uint64_t)r->pos, data;

    (void)wherry_run_came(r, at, &data);
    wherry_run_packet(p, *wherry_run_slot(r, at), data);
    p->flags = wherry_run_flags(p->data);
    wherry_run_refill(r, at, r->spare[r->blocks++]);
    r->bytes += p->len;
    r->pos++;
    return match(q, p);
}

unsigned wherry_netq_rx_rest(struct wherry_netq *q, struct wherry_packet *p, unsigned max)
{
    struct raw *r = q->dev->raw;
    unsigned n = 0;

    if (unlikely(r->nr > 0)) {
        while (n < max && r->nr > 0) {
            p[n++] = r->backlog[r->first++ % BACKLOG];
            r->nr--;
            kept_back--;
        }
        return n;
    }
    if (netdev_rx_idle(q->dev))
        return 0;
    n = take(q, p, max);
    q->stats.rx_packets += n;
    return n;
}

static void nothing(struct wherry_packet *p, void *arg)
{
}

unsigned wherry_netq_rx(struct wherry_netq *q, struct wherry_packet *p, unsigned max)
{
    return wherry_netq_rx_each(q, p, max, nothing, NULL);
}

/* The stack's poller: takes packets for it, and keeps the user's. A user who sleeps until something
 * comes does that better. */
static bool steered(struct netdev *d)
{
    struct wherry_packet p[BURST];
    struct raw *r = d->raw;
    unsigned n;

    if (unlikely(d->rx_produced == NULL) && netdev_quiet(d))
        return false;
    if (likely(waiter != NULL)) {
        thread_wake(waiter);
        waiter = NULL;
        return true;
    }
    n = take(r->q, p, BURST);
    for (unsigned i = 0; i < n; i++) {
        if (unlikely(r->nr == BACKLOG)) {
            d->stats.rx_no_buffer++;
            wherry_netq_free(r->q, &p[i], 1);
            continue;
        }
        r->backlog[(r->first + r->nr++) % BACKLOG] = p[i];
        kept_back++;
    }
    r->q->stats.rx_packets += n;
    return true;
}

static unsigned send(struct wherry_netq *q, const struct wherry_packet *p, unsigned n)
{
    struct netdev *d = q->dev;
    unsigned done = d->ops->tx_raw(d, p, n);

    if (unlikely(done < n)) { /* the device may be behind only because nobody told it */
        d->ops->kick(d, 0);
        d->ops->tx_reclaim(d, 0);
        done += d->ops->tx_raw(d, p + done, n - done);
        q->stats.tx_refused += n - done;
    }
    return done;
}

void wherry_netq_tx_begin(struct wherry_netq *q, struct wherry_run *r, unsigned max)
{
    if (likely(q->dev->runs))
        q->dev->ops->tx_run(q->dev, r, max);
    else
        *r = (struct wherry_run){.ring = NULL};
}

/* What a run has not sent: frees it, or sends it by other means. How many of it went. */
static unsigned send_rest(struct wherry_netq *q, const struct wherry_run *r,
                          struct wherry_packet *p, unsigned n)
{
    unsigned kept = 0, sent;

    for (unsigned i = 0; r->dropped > 0 && i < r->done; i++) {
        if (p[i].len == 0)
            wherry_netq_free(q, &p[i], 1);
    }
    for (unsigned i = r->done; i < n; i++) {
        if (p[i].len > 0)
            p[kept++] = p[i];
        else
            wherry_netq_free(q, &p[i], 1);
    }
    if (kept == 0)
        return 0;
    sent = send(q, p, kept);
    wherry_netq_free(q, p + sent, kept - sent);
    return sent;
}

static __always_inline unsigned tx_end(struct wherry_netq *q, const struct wherry_run *r,
                                       struct wherry_packet *p, unsigned n, bool rest)
{
    struct netdev *d = q->dev;
    unsigned sent = r->pos - r->first;

    if (likely(sent > 0))
        d->ops->tx_ran(d, r);
    if (rest)
        sent += send_rest(q, r, p, n);
    q->stats.tx_packets += sent;
    d->ops->kick(d, 0);
    return sent;
}

static __attribute__((noinline)) unsigned
tx_end_rest(struct wherry_netq *q, const struct wherry_run *r, struct wherry_packet *p, unsigned n)
{
    return tx_end(q, r, p, n, true);
}

unsigned wherry_netq_tx_end(struct wherry_netq *q, const struct wherry_run *r,
                            struct wherry_packet *p, unsigned n)
{
    if (unlikely(r->dropped > 0 || r->done < n))
        return tx_end_rest(q, r, p, n);
    return tx_end(q, r, p, n, false);
}

unsigned wherry_netq_tx(struct wherry_netq *q, const struct wherry_packet *p, unsigned n)
{
    unsigned done;

    if (unlikely(n == 0))
        return 0;
    done = send(q, p, n);
    q->stats.tx_packets += done;
    q->dev->ops->kick(q->dev, 0);
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

static bool haltpoll_raw(const struct poller *p)
{
    return netdev_quiet(container_of(p, const struct raw, poller)->q->dev);
}

void wherry_netq_wait(struct wherry_netq *q, uint64_t deadline)
{
    if (kept_back > 0)
        return;
    q->stats.sleeps++;
    waiter = current();
    thread_block(deadline); /* the idle loop polls; steered() wakes us */
    waiter = NULL;
}

int wherry_netq_steer(struct wherry_netq *q, uint16_t port)
{
    if (port == 0 || q->dev->ip4 == 0)
        return -EINVAL;
    q->ip = q->dev->ip4;
    q->port = __builtin_bswap16(port);
    q->to = (uint64_t)q->port << 48 | q->ip;
    q->to_mask = 0xffff0000ffffffff;
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
                                        .rx_csum = d->features & NETDEV_RX_CSUM,
                                        .pairs = d->queues};
    memcpy(info->name, d->name, sizeof(info->name));
    memcpy(info->mac, d->mac, sizeof(info->mac));
}

int wherry_netq_pair(const struct wherry_netq *q, unsigned pair, struct wherry_pair_stats *stats)
{
    struct netdev *d = q->dev;

    return d->ops->queue_stats != NULL && d->ops->queue_stats(d, pair, stats) ? 0 : -EINVAL;
}

int wherry_netq_address(struct wherry_netq *q, uint32_t ip, uint32_t mask, uint32_t gateway)
{
    struct netdev *d = q->dev;

    if (wherry_nobody[(uint8_t)ip] || mask == 0)
        return -EINVAL;
    d->ip4 = ip;
    d->mask4 = mask;
    d->gateway4 = gateway;
    if (q->port != 0)
        (void)wherry_netq_steer(q, __builtin_bswap16(q->port));
    if (d->addressed != NULL)
        d->addressed(d);
    return 0;
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
    if (d->ops->use_queues != NULL)
        d->ops->use_queues(d, d->queues_max);
    *q = (struct wherry_netq){.dev = d, .tx_csum = d->features & NETDEV_TX_CSUM};
    q->csum_mask = q->tx_csum ? 0xffff0000u : 0;
    memcpy(&q->from, d->mac, sizeof(d->mac));
    q->from |= (uint64_t)__builtin_bswap16(0x0800) << 48;
    r->q = q;
    r->poller = (struct poller){.poll = raw_poll, .arm = raw_arm, .idle = haltpoll_raw};
    d->raw = r;
    d->steered = steered;
    haltpoll_enable();
    if (d->user == NULL) /* else its poller calls steered() */
        poller_register(&r->poller);
    return 0;
}
