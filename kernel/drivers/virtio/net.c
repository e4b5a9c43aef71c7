/*
 * virtio-net (virtio 1.2 §5.1): mergeable receive buffers, checksum and segmentation offload both
 * ways. What is here serves one pair of queues; net_multi.c has it serve several. Implements struct
 * netdev (net/netdev.h) on virtqueues; called by its user and, at a configuration change or an
 * armed receive interrupt, by the transport. Calls netbuf, the virtqueues and slab. Never sleeps.
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
#include "drivers/virtio/net.h"

#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/slab.h"
#include "lib/random.h"

#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <wherry/burst.h>

#define RING_SMALL   64u /* receive buffers kept posted when memory is short */
#define SMALL_MEMORY (32 * MiB)
#define REFILL_BATCH 16u /* buffers put into the ring before the device is shown them */
#define RECLAIM_LOW  64u /* free transmit descriptors below which completions are taken */
#define HDR_LEN      sizeof(struct virtio_net_hdr_v1)

_Static_assert(HDR_LEN == NETDEV_HEADROOM, "the header fits the headroom exactly");

void net_refill(struct virtio_net *n)
{
    unsigned posted = n->now.posted;
    while (posted < n->now.target) {
        struct netbuf *b = netbuf_alloc();
        if (unlikely(b == NULL)) {
            n->dev.stats.rx_no_buffer++;
            break;
        }
        if (unlikely(virtq_add_one(n->now.rx, virt_to_phys(b) + NETBUF_HEAD, NETBUF_ROOM,
                                   VIRTQ_WRITE, b) != 0)) {
            netbuf_free(b);
            break;
        }
        posted++;
    }
    if (posted != n->now.posted) {
        n->now.posted = posted;
        virtq_kick(n->now.rx);
    }
}

/* The next buffer that was filled, *len bytes of it; another one takes its place in the ring. */
static __always_inline struct netbuf *rx_take(struct virtio_net *n, uint32_t *len)
{
    uint32_t id;
    struct netbuf *b = virtq_peek(n->now.rx, &id, len), *next;

    if (b == NULL)
        return NULL;
    next = netbuf_alloc();
    if (likely(next != NULL)) {
        /* While others are free they have their turn first: the ring stays in order. */
        if (unlikely(n->now.rx->nfree != 0)) {
            virtq_release(n->now.rx, id);
            id = VIRTQ_TAKEN;
        }
        if (likely(virtq_exchange(n->now.rx, id, virt_to_phys(next) + NETBUF_HEAD, NETBUF_ROOM,
                                  VIRTQ_WRITE, next) == 0))
            return b;
        netbuf_free(next);
    } else {
        n->dev.stats.rx_no_buffer++;
        virtq_release(n->now.rx, id);
    }
    n->now.posted--;
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

/* Makes a packet of b, into which the device wrote len bytes, and the buffers that follow it.
 * False: it makes no sense, and is gone. */
static __always_inline bool rx_packet(struct virtio_net *n, struct netbuf *b, uint32_t len)
{
    const struct virtio_net_hdr_v1 *h = (const void *)((uint8_t *)b + NETBUF_HEAD);
    unsigned num = n->merged ? h->num_buffers : 1;

    if (unlikely(len < HDR_LEN + ETH_HLEN || num - 1 > 64)) {
        n->dev.stats.rx_bad++;
        netbuf_free(b);
        return false;
    }
    len -= HDR_LEN;
    b->data = NETBUF_HEAD + HDR_LEN;
    b->len = (uint16_t)len;
    b->total = len;
    b->next = NULL;
    b->nbufs = 1;
    /* A checksum that is yet to be computed belongs to a packet of the host itself: it was never on
     * a wire, and we need not compute it (§5.1.6.4.2). */
    b->flags =
        h->flags & (VIRTIO_NET_HDR_F_DATA_VALID | VIRTIO_NET_HDR_F_NEEDS_CSUM) ? NETBUF_CSUM_OK : 0;
    if (num > 1 && !rx_merge(n, b, num)) {
        n->dev.stats.rx_bad++;
        return false;
    }
    n->dev.stats.rx_packets++;
    n->dev.stats.rx_bytes += b->total;
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
        if (rx_packet(n, b, len))
            packets[got++] = b;
    }
    if (unlikely(n->now.posted < n->now.target))
        net_refill(n);
    else if (virtq_unkicked(n->now.rx) >= REFILL_BATCH)
        virtq_kick(n->now.rx);
    return got;
}

/* Cookies are raw frames' blocks, or the user's with this bit. */
#define USERS 1ul

static __always_inline void *users(void *cookie)
{
    return (char *)cookie + USERS;
}

static __always_inline void tx_done(struct virtio_net *n, void *cookie)
{
    if ((uintptr_t)cookie & USERS)
        n->dev.tx_done(&n->dev, (char *)cookie - USERS);
    else
        netbuf_free(cookie);
}

static void net_tx_reclaim(struct netdev *d, unsigned queue)
{
    struct virtio_net *n = container_of(d, struct virtio_net, dev);
    uint32_t len;
    void *cookie;
    while ((cookie = virtq_pop(n->now.tx, &len)) != NULL)
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
    /* Once all descriptors have served, mostly an earlier packet has gone out, and its serves
     * again. */
    if (likely(n->now.tx->nfree == 0) && (done = virtq_peek(n->now.tx, &id, &ignored)) != NULL) {
        r = virtq_exchange(n->now.tx, id, virt_to_phys(h), (uint32_t)HDR_LEN + len, VIRTQ_READ,
                           cookie);
        tx_done(n, done);
        return r;
    }
    return virtq_add_one(n->now.tx, virt_to_phys(h), (uint32_t)HDR_LEN + len, VIRTQ_READ, cookie);
}

static __always_inline int net_tx_simple(struct virtio_net *n, const struct netdev_tx *t)
{
    uint32_t len = t->frags->len;
    int r = tx_one(n, t->frags->data, len, t->csum_start, t->csum_off, users(t->cookie));

    if (likely(r == 0)) {
        n->now.users = n->now.tx->avail_idx;
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
    if (virtq_nfree(n->now.tx) < RECLAIM_LOW)
        net_tx_reclaim(d, queue);
    if (unlikely(!virtq_fits(n->now.tx, t->nfrags + 1))) {
        d->stats.tx_full++;
        return -ENOSPC;
    }
    const struct netdev_frag *f = t->frags;
    if (likely(t->headroom)) {
        h = (struct virtio_net_hdr_v1 *)f->data - 1;
        seg[0] = (struct virtq_seg){virt_to_phys(h), (uint32_t)HDR_LEN + f->len, VIRTQ_READ};
    } else {
        h = &n->now.spare[virtq_next_head(n->now.tx)];
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
    int r = virtq_add(n->now.tx, seg, nseg, users(t->cookie));
    if (likely(r == 0)) {
        n->now.users = n->now.tx->avail_idx;
        d->stats.tx_packets++;
        d->stats.tx_bytes += bytes;
    }
    return r;
}

/* ---- Raw frames ---- */

static __always_inline void put_raw(struct wherry_packet *p, struct netbuf *b, uint32_t len)
{
    const struct virtio_net_hdr_v1 *h = (const void *)((uint8_t *)b + NETBUF_HEAD);

    *p = (struct wherry_packet){.data = (uint8_t *)(h + 1),
                                .len = (uint16_t)(len - HDR_LEN),
                                .flags = h->flags & (WHERRY_CSUM_TODO | WHERRY_CSUM_OK),
                                .csum_start = h->csum_start,
                                .csum_off = h->csum_offset};
}

/* One of any kind. A frame in several blocks, which the host has merged, is the stack's if there is
 * one; that, or one of no length, is not good. False: there is none. */
static bool rx_raw_one(struct virtio_net *n, struct wherry_packet *p, bool *good)
{
    const struct virtio_net_hdr_v1 *h;
    struct netbuf *b;
    uint32_t len;

    b = rx_take(n, &len);
    if (b == NULL)
        return false;
    h = (const void *)((uint8_t *)b + NETBUF_HEAD);
    *good = len >= HDR_LEN + ETH_HLEN && (!n->merged || h->num_buffers == 1);
    if (likely(*good)) {
        put_raw(p, b, len);
    } else if (rx_packet(n, b, len)) {
        if (n->dev.input != NULL) {
            n->dev.input(&n->dev, b);
        } else {
            n->dev.stats.rx_bad++;
            netbuf_free_packet(b);
        }
    }
    return true;
}

static __always_inline void rx_show(struct virtio_net *n)
{
    if (unlikely(n->now.posted < n->now.target))
        net_refill(n);
    else if (virtq_unkicked(n->now.rx) >= REFILL_BATCH)
        virtq_kick(n->now.rx);
}

static __always_inline bool rx_next_merged(const struct virtio_net *n)
{
    const uint8_t *b = n->merged ? virtq_look(n->now.rx) : NULL;

    return b != NULL && ((const struct virtio_net_hdr_v1 *)(b + NETBUF_HEAD))->num_buffers != 1;
}

static unsigned net_rx_raw(struct netdev *d, struct wherry_packet *p, unsigned max)
{
    struct virtio_net *n = container_of(d, struct virtio_net, dev);
    unsigned got = 0;
    bool good;

    /* What the caller has to pass on comes before what we pass on. */
    while (got < max && (got == 0 || !rx_next_merged(n)) && rx_raw_one(n, &p[got], &good)) {
        if (!good)
            continue;
        d->stats.rx_bytes += p[got++].len;
        d->stats.rx_packets++;
    }
    rx_show(n);
    return got;
}

static unsigned net_tx_raw(struct netdev *d, const struct wherry_packet *p, unsigned n)
{
    struct virtio_net *v = container_of(d, struct virtio_net, dev);
    unsigned i;

    for (i = 0; i < n; i++) {
        bool csum = p[i].flags & WHERRY_CSUM_TODO;
        void *block = (void *)ALIGN_DOWN((uintptr_t)p[i].data, (uintptr_t)NETBUF_SIZE);

        if (unlikely(tx_one(v, p[i].data, p[i].len, csum ? p[i].csum_start : 0,
                            csum ? p[i].csum_off : 0, block) != 0)) {
            d->stats.tx_full++;
            break;
        }
        d->stats.tx_bytes += p[i].len;
    }
    d->stats.tx_packets += i;
    return i;
}

/* ---- Runs of them: the rings as <wherry/burst.h> works on them ---- */

_Static_assert(offsetof(struct virtq_slot, cookie) == 0 && sizeof(struct virtq_slot) == 16 &&
                   sizeof(struct vring_desc) == 16 && offsetof(struct vring_desc, addr) == 0 &&
                   offsetof(struct vring_desc, len) == 8 && NET_RING == WHERRY_RING_SIZE,
               "two words a place, the first the block and its address");
_Static_assert(WHERRY_RUN_HEADER == HDR_LEN && WHERRY_BUF_START == NETBUF_HEAD + HDR_LEN &&
                   WHERRY_BUF_SIZE == NETBUF_SIZE && VIRTQ_READ == 0 &&
                   (int)WHERRY_CSUM_TODO == VIRTIO_NET_HDR_F_NEEDS_CSUM &&
                   (int)WHERRY_CSUM_OK == VIRTIO_NET_HDR_F_DATA_VALID,
               "what is in front of a frame");

bool net_ring_known(const struct virtq *q)
{
    const uint8_t *ring = (const uint8_t *)q->desc;

    return !q->packed && q->size == WHERRY_RING_SIZE &&
           (const uint8_t *)q->used->ring == ring + WHERRY_RING_USED &&
           (const uint8_t *)q->slot == ring + WHERRY_RING_SLOT;
}

bool net_tx_tables(struct virtq *tx)
{
    return !netdev_stream || virtio_queue_tables(tx, NETDEV_MAX_FRAGS + 1);
}

static __always_inline void run_init(struct wherry_run *r, struct virtq *q, unsigned n)
{
    r->ring = (uint8_t *)q->desc;
    r->first = r->pos;
    r->end = r->pos + n;
    r->blocks = r->done = r->dropped = 0;
    r->bytes = 0;
}

static void net_rx_run(struct netdev *d, struct wherry_run *r, unsigned max)
{
    struct virtio_net *n = container_of(d, struct virtio_net, dev);
    unsigned got = virtq_run_begin(n->now.rx, max, &r->pos);

    if (unlikely(got > netbuf_cache.n)) {
        netbuf_stock(got);
        got = MIN(got, netbuf_cache.n);
    }
    run_init(r, n->now.rx, got);
    r->spare = (uint64_t *)(void *)(netbuf_cache.block + netbuf_cache.n - got);
    r->phys = NETBUF_HEAD - DIRECT_BASE;
}

static void net_rx_ran(struct netdev *d, const struct wherry_run *r)
{
    struct virtio_net *n = container_of(d, struct virtio_net, dev);
    unsigned left = r->end - r->first - r->blocks;

    virtq_run_end(n->now.rx, r->pos - r->first);
    if (unlikely(left > 0 && r->blocks > 0))
        memmove(r->spare, r->spare + r->blocks, left * sizeof(*r->spare));
    netbuf_cache.n -= r->blocks;
    netbuf_stats.in_use += r->blocks;
    d->stats.rx_packets += r->pos - r->first;
    d->stats.rx_bytes += r->bytes;
    rx_show(n);
}

static void net_tx_run(struct netdev *d, struct wherry_run *r, unsigned max)
{
    struct virtio_net *n = container_of(d, struct virtio_net, dev);
    unsigned room = NETBUF_CACHE - netbuf_cache.n, gone;

    gone = virtq_run_begin(n->now.tx, MIN(max, room), &r->pos);
    /* It is to be of raw frames alone. */
    if (unlikely((int32_t)(n->now.users - n->now.tx->last_used) > 0)) {
        for (unsigned i = 0; i < gone; i++) {
            if ((uintptr_t)n->now.tx->slot[r->pos + i].cookie & USERS)
                gone = i;
        }
    }
    run_init(r, n->now.tx, gone);
    r->spare = (uint64_t *)(void *)(netbuf_cache.block + netbuf_cache.n);
    r->phys = -(DIRECT_BASE + HDR_LEN);
}

static void net_tx_ran(struct netdev *d, const struct wherry_run *r)
{
    struct virtio_net *n = container_of(d, struct virtio_net, dev);
    unsigned sent = r->pos - r->first;

    virtq_run_end(n->now.tx, sent);
    netbuf_cache.n += r->blocks;
    netbuf_stats.in_use -= r->blocks;
    d->stats.tx_packets += sent;
    d->stats.tx_bytes += r->bytes;
}

static void net_kick(struct netdev *d, unsigned queue)
{
    struct virtio_net *n = container_of(d, struct virtio_net, dev);
    virtq_kick(n->now.tx);
}

static bool net_arm(struct netdev *d, unsigned queue)
{
    struct virtio_net *n = container_of(d, struct virtio_net, dev);
    if (n->now.posted < n->now.target / 2)
        net_refill(n);
    return virtq_enable_irq(n->now.rx);
}

static bool net_rx_idle(const struct netdev *d)
{
    return !virtq_pending(container_of(d, struct virtio_net, dev)->now.rx);
}

static bool net_link_up(struct netdev *d)
{
    return container_of(d, struct virtio_net, dev)->link;
}

const struct netdev_ops net_ops = {
    .rx_burst = net_rx_burst,
    .tx = net_tx,
    .kick = net_kick,
    .tx_reclaim = net_tx_reclaim,
    .arm = net_arm,
    .link_up = net_link_up,
    .rx_raw = net_rx_raw,
    .tx_raw = net_tx_raw,
    .rx_run = net_rx_run,
    .rx_ran = net_rx_ran,
    .tx_run = net_tx_run,
    .tx_ran = net_tx_ran,
    .rx_idle = net_rx_idle,
    .use_queues = net_use_queues,
    .queue_stats = net_queue_stats,
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
    bool small = frame_stats().total * PAGE_SIZE <= SMALL_MEMORY;
    if (!small)
        wanted |= net_multi_features(vdev);
    int r = virtio_negotiate(vdev, wanted);
    if (r < 0)
        return r;

    struct virtio_net *n = kzalloc(sizeof(*n));
    if (n == NULL)
        return -ENOMEM;
    n->vdev = vdev;
    n->merged = virtio_has(vdev, VIRTIO_NET_F_MRG_RXBUF);
    n->dev.ops = &net_ops;
    n->dev.queues = n->dev.queues_max = 1;
    vdev->priv = n;
    read_config(n);
    /* Without merged buffers a frame must fit one (§5.1.6.3.1). */
    if (!virtio_has(vdev, VIRTIO_NET_F_MRG_RXBUF) && n->dev.mtu + ETH_HLEN + HDR_LEN > NETBUF_ROOM)
        n->dev.mtu = NETBUF_ROOM - ETH_HLEN - HDR_LEN;

    n->now.rx = virtio_queue(vdev, 0, NET_RING, rx_interrupt, n);
    n->now.tx = virtio_queue(vdev, 1, NET_RING, NULL, n);
    n->now.spare = kzalloc(NET_RING * sizeof(*n->now.spare));
    if (n->now.rx == NULL || n->now.tx == NULL || n->now.spare == NULL ||
        !net_tx_tables(n->now.tx)) {
        kprintf("virtio-net %s: no memory or no queues\n", vdev->where);
        kfree(n->now.spare);
        kfree(n);
        return -ENOMEM;
    }
    /* A frame in several blocks is told by what is in its first only. */
    n->dev.runs = !n->merged && net_ring_known(n->now.rx) && net_ring_known(n->now.tx);
    if (!n->now.rx->packed) {
        n->dev.rx_produced = &n->now.rx->used->idx;
        n->dev.rx_consumed = &n->now.rx->last_used;
    }
    netbuf_init();
    n->now.target = MIN(small ? RING_SMALL : NET_RING, (unsigned)n->now.rx->size);
    net_multi_setup(n, rx_interrupt);
    vdev->config_changed = config_changed;
    virtio_ready(vdev);
    net_refill(n);
    netdev_register(&n->dev);
    net_multi_start(n);
    return 0;
}
VIRTIO_DRIVER(VIRTIO_ID_NET, net_probe);
