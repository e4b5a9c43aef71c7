/*
 * virtio-net (virtio 1.2 §5.1): one pair of queues, mergeable receive buffers, checksum and
 * segmentation offload both ways. Implements struct netdev (net/netdev.h) on virtqueues; called by
 * its user and, at a configuration change or an armed receive interrupt, by the transport. Calls
 * netbuf, the virtqueues and slab. Never sleeps.
 *
 * Receive: the ring holds single netbufs; the device writes struct virtio_net_hdr_v1 and the frame
 * into as many as it needs (VIRTIO_NET_F_MRG_RXBUF, §5.1.6.4). What it says is checked: a length
 * beyond the buffer is cut by the virtqueue, one below the header or a count that does not
 * fit what has come drops the packet (rx_bad).
 *
 * Transmit: the header goes into the packet's headroom, so that a packet in one piece is one
 * descriptor; packets without headroom use one of the ring's own headers. Completions are taken
 * when room is needed or the user asks; their interrupt stays off.
 */
#include "drivers/virtio/virtio.h"

#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/slab.h"
#include "lib/random.h"
#include "net/netdev.h"

#include <linux/if_ether.h>
#include <linux/virtio_net.h>

#define RING_SIZE    256u
#define RING_SMALL   64u /* receive buffers kept posted when memory is short */
#define SMALL_MEMORY (32 * MiB)
#define REFILL_BATCH 16u /* buffers put into the ring before the device is shown them */
#define RECLAIM_LOW  64u /* free transmit descriptors below which completions are taken */
#define HDR_LEN      sizeof(struct virtio_net_hdr_v1)

_Static_assert(HDR_LEN == NETDEV_HEADROOM, "the header fits the headroom exactly");

struct virtio_net {
    struct netdev dev;
    struct virtio_device *vdev;
    struct virtq *rx, *tx;
    unsigned rx_posted, rx_target;
    bool link;
    bool merged; /* VIRTIO_NET_F_MRG_RXBUF; without it QEMU before 10 leaves num_buffers 0 */
    struct virtio_net_hdr_v1 *spare; /* headers for packets without headroom, one a descriptor */
    uint16_t spare_next;
};

static void rx_refill(struct virtio_net *n)
{
    unsigned posted = n->rx_posted;
    while (posted < n->rx_target) {
        struct netbuf *b = netbuf_alloc();
        if (unlikely(b == NULL)) {
            n->dev.stats.rx_no_buffer++;
            break;
        }
        if (unlikely(virtq_add_one(n->rx, virt_to_phys(b) + NETBUF_HEAD, NETBUF_ROOM, VIRTQ_WRITE,
                                   b) != 0)) {
            netbuf_free(b);
            break;
        }
        posted++;
    }
    if (posted != n->rx_posted) {
        n->rx_posted = posted;
        virtq_kick(n->rx);
    }
}

/* virt_to_phys() of a netbuf or a part of it, which are never in the kernel's image. */
static __always_inline phys_t block_phys(const void *p)
{
    return (uintptr_t)p - DIRECT_BASE;
}

/* The next buffer that was filled, *len bytes of it; another one takes its place in the ring. */
static __always_inline struct netbuf *rx_take(struct virtio_net *n, uint32_t *len)
{
    uint32_t id;
    struct netbuf *b = virtq_peek(n->rx, &id, len), *next;

    if (b == NULL)
        return NULL;
    next = netbuf_alloc();
    if (likely(next != NULL)) {
        if (likely(virtq_exchange(n->rx, id, virt_to_phys(next) + NETBUF_HEAD, NETBUF_ROOM,
                                  VIRTQ_WRITE, next) == 0))
            return b;
        netbuf_free(next);
    } else {
        n->dev.stats.rx_no_buffer++;
        virtq_release(n->rx, id);
    }
    n->rx_posted--;
    return b;
}

/* The other buffers of a packet that takes num. False: they are not there, the packet is gone. */
static bool rx_merge(struct virtio_net *n, struct netbuf *head, unsigned num)
{
    struct netbuf **tail = &head->next;
    for (unsigned i = 1; i < num; i++) {
        uint32_t len;
        struct netbuf *b = rx_take(n, &len);
        if (b == NULL || len == 0 || head->total + len > 0xffff + ETH_HLEN) {
            if (b != NULL)
                netbuf_free(b);
            netbuf_free_packet(head);
            return false;
        }
        b->data = NETBUF_HEAD;
        b->len = (uint16_t)len;
        b->next = NULL;
        *tail = b;
        tail = &b->next;
        head->total += len;
    }
    head->nbufs = (uint8_t)num;
    return true;
}

static unsigned net_rx_burst(struct netdev *d, unsigned queue, struct netbuf **packets,
                             unsigned max)
{
    struct virtio_net *n = container_of(d, struct virtio_net, dev);
    unsigned got = 0;
    while (got < max) {
        uint32_t len;
        struct netbuf *b = rx_take(n, &len);
        if (b == NULL)
            break;
        const struct virtio_net_hdr_v1 *h = (const void *)((uint8_t *)b + NETBUF_HEAD);
        unsigned num = n->merged ? h->num_buffers : 1;
        if (unlikely(len < HDR_LEN + ETH_HLEN || num - 1 > 64)) {
            d->stats.rx_bad++;
            netbuf_free(b);
            continue;
        }
        len -= HDR_LEN;
        b->data = NETBUF_HEAD + HDR_LEN;
        b->len = (uint16_t)len;
        b->total = len;
        b->next = NULL;
        b->nbufs = 1;
        /* A checksum that is yet to be computed belongs to a packet of the host itself: it was
         * never on a wire, and we need not compute it (§5.1.6.4.2). */
        b->flags = h->flags & (VIRTIO_NET_HDR_F_DATA_VALID | VIRTIO_NET_HDR_F_NEEDS_CSUM)
                       ? NETBUF_CSUM_OK
                       : 0;
        if (num > 1 && !rx_merge(n, b, num)) {
            d->stats.rx_bad++;
            continue;
        }
        d->stats.rx_packets++;
        d->stats.rx_bytes += b->total;
        packets[got++] = b;
    }
    if (unlikely(n->rx_posted < n->rx_target))
        rx_refill(n);
    else if (virtq_unkicked(n->rx) >= REFILL_BATCH)
        virtq_kick(n->rx);
    return got;
}

/* Cookies of raw frames: the block, and this bit. */
#define RAW 1ul

static __always_inline void tx_done(struct virtio_net *n, void *cookie)
{
    if ((uintptr_t)cookie & RAW)
        netbuf_free((struct netbuf *)((uintptr_t)cookie - RAW));
    else
        n->dev.tx_done(&n->dev, cookie);
}

static void net_tx_reclaim(struct netdev *d, unsigned queue)
{
    struct virtio_net *n = container_of(d, struct virtio_net, dev);
    uint32_t len;
    void *cookie;
    while ((cookie = virtq_pop(n->tx, &len)) != NULL)
        tx_done(n, cookie);
}

/* One piece, nothing to segment: what nearly every packet is. The header's 12 bytes are written as
 * two words: flags, no GSO, csum_start; csum_offset, num_buffers 0. */
_Static_assert(offsetof(struct virtio_net_hdr_v1, csum_start) == 6 &&
                   offsetof(struct virtio_net_hdr_v1, csum_offset) == 8,
               "the words of the header");
static __always_inline int tx_one(struct virtio_net *n, const void *frame, uint32_t len,
                                  uint64_t csum_start, uint32_t csum_off, void *cookie)
{
    uint8_t *h = (uint8_t *)frame - HDR_LEN;
    uint64_t first = csum_start << 48;
    uint32_t id, ignored;
    void *done;
    int r;

    if (likely(first != 0))
        first |= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    __builtin_memcpy(h, &first, sizeof(first));
    __builtin_memcpy(h + 8, &csum_off, sizeof(csum_off));
    /* Mostly an earlier packet has gone out, and its descriptor serves. */
    done = virtq_peek(n->tx, &id, &ignored);
    if (done != NULL) {
        r = virtq_exchange(n->tx, id, virt_to_phys(h), (uint32_t)HDR_LEN + len, VIRTQ_READ, cookie);
        tx_done(n, done);
        return r;
    }
    return virtq_add_one(n->tx, virt_to_phys(h), (uint32_t)HDR_LEN + len, VIRTQ_READ, cookie);
}

static __always_inline int net_tx_simple(struct virtio_net *n, const struct netdev_tx *t)
{
    uint32_t len = t->frags->len;
    int r = tx_one(n, t->frags->data, len, t->csum_start, t->csum_off, t->cookie);

    if (likely(r == 0)) {
        n->dev.stats.tx_packets++;
        n->dev.stats.tx_bytes += len;
    } else {
        n->dev.stats.tx_full++;
    }
    return r;
}

static int net_tx(struct netdev *d, unsigned queue, const struct netdev_tx *t)
{
    struct virtio_net *n = container_of(d, struct virtio_net, dev);
    struct virtq_seg seg[NETDEV_MAX_FRAGS + 1];
    unsigned nseg = 0;
    struct virtio_net_hdr_v1 *h;

    if (likely(t->headroom && t->nfrags == 1 && t->gso_size == 0))
        return net_tx_simple(n, t);
    if (unlikely(t->nfrags > NETDEV_MAX_FRAGS))
        return -EINVAL;
    if (virtq_nfree(n->tx) < RECLAIM_LOW)
        net_tx_reclaim(d, queue);
    if (unlikely(virtq_nfree(n->tx) < t->nfrags + 1)) {
        d->stats.tx_full++;
        return -ENOSPC;
    }
    const struct netdev_frag *f = t->frags;
    if (likely(t->headroom)) {
        h = (struct virtio_net_hdr_v1 *)f->data - 1;
        seg[0] = (struct virtq_seg){virt_to_phys(h), (uint32_t)HDR_LEN + f->len, VIRTQ_READ};
    } else {
        /* As many as descriptors: the one of a packet in flight is not come by again. */
        h = &n->spare[n->spare_next++ & (RING_SIZE - 1)];
        seg[nseg++] = (struct virtq_seg){virt_to_phys(h), HDR_LEN, VIRTQ_READ};
        seg[nseg] = (struct virtq_seg){virt_to_phys(f->data), f->len, VIRTQ_READ};
    }
    nseg++;
    uint32_t bytes = f->len;
    for (unsigned i = 1; i < t->nfrags; i++) {
        f++;
        seg[nseg++] = (struct virtq_seg){virt_to_phys(f->data), f->len, VIRTQ_READ};
        bytes += f->len;
    }
    h->flags = t->csum_start != 0 ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0;
    h->gso_type = t->gso_size == 0 ? VIRTIO_NET_HDR_GSO_NONE
                  : t->ipv6        ? VIRTIO_NET_HDR_GSO_TCPV6
                                   : VIRTIO_NET_HDR_GSO_TCPV4;
    h->hdr_len = t->hdr_len;
    h->gso_size = t->gso_size;
    h->csum_start = t->csum_start;
    h->csum_offset = t->csum_off;
    h->num_buffers = 0;
    int r = virtq_add(n->tx, seg, nseg, t->cookie);
    if (likely(r == 0)) {
        d->stats.tx_packets++;
        d->stats.tx_bytes += bytes;
    }
    return r;
}

/* ---- Raw frames ---- */

static __always_inline void put_raw(struct wherry_packet *p, struct netbuf *b, uint32_t len)
{
    const struct virtio_net_hdr_v1 *h = (const void *)((uint8_t *)b + NETBUF_HEAD);

    p->data = (uint8_t *)(h + 1);
    p->len = (uint16_t)(len - HDR_LEN);
    p->flags = h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM   ? WHERRY_RX_CSUM_OK | WHERRY_RX_PARTIAL
               : h->flags & VIRTIO_NET_HDR_F_DATA_VALID ? WHERRY_RX_CSUM_OK
                                                        : 0;
}

/* What is usual: frames in one block each, and blocks at hand to take their places. */
static __always_inline unsigned rx_raw_burst(struct virtio_net *n, struct wherry_packet *p,
                                             unsigned max)
{
    struct virtq_burst q;
    unsigned got = 0, spare = netbuf_cache.n;

    virtq_burst_begin(&q, n->rx, MIN(max, spare));
    while (virtq_burst_next(&q)) {
        struct netbuf *b = q.cookie, *next = netbuf_cache.block[spare - 1];

        if (unlikely(
                q.len < HDR_LEN + ETH_HLEN ||
                (n->merged &&
                 ((struct virtio_net_hdr_v1 *)((uint8_t *)b + NETBUF_HEAD))->num_buffers != 1)))
            break;
        spare--;
        virtq_burst_exchange(&q, block_phys(next) + NETBUF_HEAD, NETBUF_ROOM, VIRTQ_WRITE, true,
                             next);
        put_raw(&p[got++], b, q.len);
    }
    virtq_burst_end(&q);
    netbuf_cache.n = spare;
    netbuf_stats.in_use += got;
    return got;
}

/* One of any kind: a frame in several blocks, or of no length, is dropped. False: there is none. */
static __attribute__((noinline)) bool rx_raw_one(struct virtio_net *n, struct wherry_packet *p,
                                                 bool *good)
{
    const struct virtio_net_hdr_v1 *h;
    struct netbuf *b;
    unsigned num;
    uint32_t len;

    b = rx_take(n, &len);
    if (b == NULL)
        return false;
    h = (const void *)((uint8_t *)b + NETBUF_HEAD);
    num = n->merged ? h->num_buffers : 1;
    *good = len >= HDR_LEN + ETH_HLEN && num == 1;
    if (*good) {
        put_raw(p, b, len);
        return true;
    }
    n->dev.stats.rx_bad++;
    b->total = len;
    b->next = NULL;
    if (num - 2 > 62 || rx_merge(n, b, num))
        netbuf_free_packet(b);
    return true;
}

static unsigned net_rx_raw(struct netdev *d, struct wherry_packet *p, unsigned max)
{
    struct virtio_net *n = container_of(d, struct virtio_net, dev);
    unsigned got = rx_raw_burst(n, p, max);
    uint64_t bytes = 0;
    bool good;

    while (unlikely(got < max && virtq_pending(n->rx)) && rx_raw_one(n, &p[got], &good))
        got += good;
    for (unsigned i = 0; i < got; i++)
        bytes += p[i].len;
    d->stats.rx_packets += got;
    d->stats.rx_bytes += bytes;
    if (unlikely(n->rx_posted < n->rx_target))
        rx_refill(n);
    else if (virtq_unkicked(n->rx) >= REFILL_BATCH)
        virtq_kick(n->rx);
    return got;
}

static __always_inline uint8_t *put_header(const struct wherry_packet *p)
{
    uint8_t *h = p->data - HDR_LEN;
    bool csum = p->flags & WHERRY_TX_CSUM;
    uint64_t first = csum ? (uint64_t)p->csum_start << 48 | VIRTIO_NET_HDR_F_NEEDS_CSUM : 0;
    uint32_t last = csum ? p->csum_off : 0;

    __builtin_memcpy(h, &first, sizeof(first));
    __builtin_memcpy(h + 8, &last, sizeof(last));
    return h;
}

static __always_inline void *raw_cookie(const struct wherry_packet *p)
{
    return (void *)(ALIGN_DOWN((uintptr_t)p->data, (uintptr_t)NETBUF_SIZE) | RAW);
}

/* As many as earlier packets have gone out: theirs are the descriptors. */
static __always_inline unsigned tx_raw_burst(struct virtio_net *v, const struct wherry_packet *p,
                                             unsigned n)
{
    struct virtq_burst q;
    unsigned i = 0;

    virtq_burst_begin(&q, v->tx, n);
    for (; virtq_burst_next(&q); i++) {
        void *done = q.cookie;

        virtq_burst_exchange(&q, block_phys(put_header(&p[i])), (uint32_t)HDR_LEN + p[i].len,
                             VIRTQ_READ, false, raw_cookie(&p[i]));
        tx_done(v, done);
    }
    virtq_burst_end(&q);
    return i;
}

static unsigned net_tx_raw(struct netdev *d, const struct wherry_packet *p, unsigned n)
{
    struct virtio_net *v = container_of(d, struct virtio_net, dev);
    unsigned i = tx_raw_burst(v, p, n);
    uint64_t bytes = 0;

    for (; i < n; i++) {
        bool csum = p[i].flags & WHERRY_TX_CSUM;

        if (unlikely(tx_one(v, p[i].data, p[i].len, csum ? p[i].csum_start : 0,
                            csum ? p[i].csum_off : 0, raw_cookie(&p[i])) != 0)) {
            d->stats.tx_full++;
            break;
        }
    }
    for (unsigned k = 0; k < i; k++)
        bytes += p[k].len;
    d->stats.tx_packets += i;
    d->stats.tx_bytes += bytes;
    return i;
}

static void net_kick(struct netdev *d, unsigned queue)
{
    struct virtio_net *n = container_of(d, struct virtio_net, dev);
    virtq_kick(n->tx);
}

static bool net_arm(struct netdev *d, unsigned queue)
{
    struct virtio_net *n = container_of(d, struct virtio_net, dev);
    if (n->rx_posted < n->rx_target / 2)
        rx_refill(n);
    return virtq_enable_irq(n->rx);
}

static bool net_link_up(struct netdev *d)
{
    return container_of(d, struct virtio_net, dev)->link;
}

static const struct netdev_ops net_ops = {
    .rx_burst = net_rx_burst,
    .tx = net_tx,
    .kick = net_kick,
    .tx_reclaim = net_tx_reclaim,
    .arm = net_arm,
    .link_up = net_link_up,
    .rx_raw = net_rx_raw,
    .tx_raw = net_tx_raw,
};

static void rx_interrupt(struct virtq *vq)
{
    struct virtio_net *n = vq->arg;
    virtq_disable_irq(vq);
    if (n->dev.interrupt != NULL)
        n->dev.interrupt(&n->dev);
}

static void read_link(struct virtio_net *n)
{
    n->link = true;
    if (virtio_has(n->vdev, VIRTIO_NET_F_STATUS))
        n->link = virtio_config_u16(n->vdev, offsetof(struct virtio_net_config, status)) &
                  VIRTIO_NET_S_LINK_UP;
}

static void config_changed(struct virtio_device *vdev)
{
    struct virtio_net *n = vdev->priv;
    read_link(n);
    if (n->dev.link_changed != NULL)
        n->dev.link_changed(&n->dev);
}

static void read_config(struct virtio_net *n)
{
    struct virtio_device *v = n->vdev;
    struct netdev *d = &n->dev;
    if (virtio_has(v, VIRTIO_NET_F_MAC)) {
        virtio_config_read(v, offsetof(struct virtio_net_config, mac), d->mac, sizeof(d->mac));
    } else {
        random_bytes(d->mac, sizeof(d->mac));
        d->mac[0] = (uint8_t)((d->mac[0] & ~1) | 2); /* unicast, locally administered */
    }
    d->mtu = ETH_DATA_LEN;
    if (virtio_has(v, VIRTIO_NET_F_MTU)) {
        uint16_t mtu = virtio_config_u16(v, offsetof(struct virtio_net_config, mtu));
        if (mtu >= ETH_MIN_MTU)
            d->mtu = mtu;
    }
    if (virtio_has(v, VIRTIO_NET_F_CSUM))
        d->features |= NETDEV_TX_CSUM;
    if (virtio_has(v, VIRTIO_NET_F_HOST_TSO4))
        d->features |= NETDEV_TX_TSO4;
    if (virtio_has(v, VIRTIO_NET_F_HOST_TSO6))
        d->features |= NETDEV_TX_TSO6;
    if (virtio_has(v, VIRTIO_NET_F_GUEST_CSUM))
        d->features |= NETDEV_RX_CSUM;
    if (virtio_has(v, VIRTIO_NET_F_GUEST_TSO4))
        d->features |= NETDEV_RX_LRO;
    read_link(n);
}

static int net_probe(struct virtio_device *vdev)
{
    uint64_t wanted = VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) |
                      VIRTIO_BIT(VIRTIO_NET_F_MTU) | VIRTIO_BIT(VIRTIO_NET_F_MAC) |
                      VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO6) |
                      VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_BIT(VIRTIO_NET_F_STATUS);
    /* Merged packets need merged buffers; both need the checksum features (§5.1.3.1). */
    if (vdev->offered & VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF))
        wanted |= VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6);
    if (!netdev_stream)
        wanted &= ~(VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) |
                    VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO6) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) |
                    VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6));
    if (!(vdev->offered & VIRTIO_BIT(VIRTIO_NET_F_CSUM)))
        wanted &= ~(VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO6));
    if (!(vdev->offered & VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM)))
        wanted &= ~(VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6));
    int r = virtio_negotiate(vdev, wanted);
    if (r < 0)
        return r;

    struct virtio_net *n = kzalloc(sizeof(*n));
    if (n == NULL)
        return -ENOMEM;
    n->vdev = vdev;
    n->merged = virtio_has(vdev, VIRTIO_NET_F_MRG_RXBUF);
    n->dev.ops = &net_ops;
    n->dev.queues = 1;
    vdev->priv = n;
    read_config(n);
    /* Without merged buffers a frame must fit one (§5.1.6.3.1). */
    if (!virtio_has(vdev, VIRTIO_NET_F_MRG_RXBUF) && n->dev.mtu + ETH_HLEN + HDR_LEN > NETBUF_ROOM)
        n->dev.mtu = NETBUF_ROOM - ETH_HLEN - HDR_LEN;

    n->rx = virtio_queue(vdev, 0, RING_SIZE, rx_interrupt, n);
    n->tx = virtio_queue(vdev, 1, RING_SIZE, NULL, n);
    n->spare = kzalloc(RING_SIZE * sizeof(*n->spare));
    if (n->rx == NULL || n->tx == NULL || n->spare == NULL) {
        kprintf("virtio-net %s: no memory or no queues\n", vdev->where);
        kfree(n->spare);
        kfree(n);
        return -ENOMEM;
    }
    if (!n->rx->packed) {
        n->dev.rx_produced = &n->rx->used->idx;
        n->dev.rx_consumed = &n->rx->last_used;
    }
    netbuf_init();
    n->rx_target = frame_stats().total * PAGE_SIZE <= SMALL_MEMORY ? RING_SMALL : RING_SIZE;
    if (n->rx_target > n->rx->size)
        n->rx_target = n->rx->size;
    vdev->config_changed = config_changed;
    virtio_ready(vdev);
    rx_refill(n);
    netdev_register(&n->dev);
    return 0;
}
VIRTIO_DRIVER(VIRTIO_ID_NET, net_probe);
