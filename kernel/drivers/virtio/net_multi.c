/*
 * virtio-net with several pairs of queues (virtio 1.2 §5.1.2, §5.1.6.5.5). One CPU serves them all;
 * what they give is room (a ring each) and peers that have a thread a queue. A device begins with
 * one pair, and net.c serves that. Once the device has been told to use more, netdev.ops are those
 * here, which point net.c's at one pair after the other, a burst from each.
 *
 * A frame leaves by the pair that was received from last, which is where it was asked for: a device
 * that steers by flow (a tap interface does) learns from that where to put the next of the flow.
 * The TCP/IP stack's packets, which are not sent in answer to the last burst alone, leave by a pair
 * that their addresses and ports choose, so that those of one flow do not overtake each other.
 *
 * Called as net.c is. Never sleeps, but waits for the control queue's answer in a loop, at most
 * CONTROL_WAIT_NS long, when pairs are taken into use.
 */
#include "drivers/virtio/net.h"

#include "arch/x86_64/cpu.h"
#include "lib/cmdline.h"
#include "mm/layout.h"
#include "mm/slab.h"
#include "sched/clock.h"

#include <linux/virtio_net.h>
#include <wherry/burst.h>

/* A back end in another process has to be told, too: far more than that takes. */
#define CONTROL_WAIT_NS  NSEC_PER_SEC
#define CONTROL_RING     4u /* a command has its segments, and there is one at a time */
#define CONTROL_SEGMENTS 3u

/* A command in memory that the device reads and writes (§5.1.6.5). */
struct net_command {
    struct virtio_net_ctrl_hdr header;
    struct virtio_net_ctrl_mq pairs;
    uint8_t answer;
};
#define NO_ANSWER 0xff

/* Of a device with several pairs: netdev.queues of them are in use. The one at at is in
 * virtio_net.now; only its queues are true here. */
struct net_multi {
    struct net_pair pair[NET_PAIRS];
    struct wherry_pair_stats stats[NET_PAIRS];
    unsigned at;
    unsigned next;         /* the pair whose turn it is to be received from */
    unsigned answers;      /* the one by which they leave: that which was received from last */
    struct virtq *control; /* NULL: there is none, or it does not answer */
    struct net_command command;
};

static unsigned wanted; /* pairs, by the command line; 0: it says nothing */

static int queues_option(const char *value)
{
    const char *end;
    uint64_t n;

    if (value == NULL || (end = parse_u64(value, &n)) == NULL || *end != '\0' || n < 1 ||
        n > NET_PAIRS)
        return -EINVAL;
    wanted = (unsigned)n;
    return 0;
}
CMDLINE("wherry.net.queues", queues_option);

/* ---- Set-up ---- */

static unsigned pairs_of(struct virtio_device *vdev)
{
    return virtio_config_u16(vdev, offsetof(struct virtio_net_config, max_virtqueue_pairs));
}

uint64_t net_multi_features(struct virtio_device *vdev)
{
    uint64_t both = VIRTIO_BIT(VIRTIO_NET_F_MQ) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ);

    return wanted != 1 && (vdev->offered & both) == both && pairs_of(vdev) > 1 ? both : 0;
}

static bool setup_pair(struct virtio_net *n, unsigned i, void (*callback)(struct virtq *vq))
{
    struct net_pair *pair = &n->multi->pair[i];

    pair->rx = virtio_queue(n->vdev, 2 * i, NET_RING, callback, n);
    pair->tx = virtio_queue(n->vdev, 2 * i + 1, NET_RING, NULL, n);
    pair->spare = kzalloc(NET_RING * sizeof(*pair->spare));
    if (pair->rx == NULL || pair->tx == NULL || pair->spare == NULL || !net_tx_tables(pair->tx))
        return false;
    pair->target = pair->rx->size;
    return true;
}

void net_multi_setup(struct virtio_net *n, void (*callback)(struct virtq *vq))
{
    struct net_multi *m;
    unsigned all, most, pairs = 1;

    if (!virtio_has(n->vdev, VIRTIO_NET_F_MQ) || (m = kzalloc(sizeof(*m))) == NULL)
        return;
    n->multi = m;
    m->pair[0] = n->now;
    /* The control queue stands behind all pairs that the device has, used or not (§5.1.2). */
    all = pairs_of(n->vdev);
    m->control = virtio_queue(n->vdev, 2 * all, CONTROL_RING, NULL, n);
    if (m->control == NULL || m->control->size < CONTROL_RING ||
        !virtio_queue_tables(m->control, CONTROL_SEGMENTS)) {
        kprintf("virtio-net %s: queue %u, for control, cannot be used: one pair of queues of %u\n",
                n->vdev->where, 2 * all, all);
        m->control = NULL;
        return;
    }
    most = MIN(all, wanted != 0 ? wanted : NET_PAIRS);
    while (pairs < most && setup_pair(n, pairs, callback))
        pairs++;
    n->dev.queues_max = pairs;
}

/* 0, or a negative errno; after -ETIMEDOUT the command is still the device's. */
static int command_pairs(struct net_multi *m, unsigned pairs)
{
    struct net_command *c = &m->command;
    struct virtq_seg seg[CONTROL_SEGMENTS] = {
        {virt_to_phys(&c->header), sizeof(c->header), VIRTQ_READ},
        {virt_to_phys(&c->pairs), sizeof(c->pairs), VIRTQ_READ},
        {virt_to_phys(&c->answer), sizeof(c->answer), VIRTQ_WRITE},
    };
    uint64_t end = clock_mono_ns() + CONTROL_WAIT_NS;
    uint32_t len;
    int r;

    c->header = (struct virtio_net_ctrl_hdr){.class = VIRTIO_NET_CTRL_MQ,
                                             .cmd = VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET};
    c->pairs.virtqueue_pairs = (uint16_t)pairs;
    c->answer = NO_ANSWER;
    r = virtq_add(m->control, seg, ARRAY_SIZE(seg), c);
    if (r < 0)
        return r;
    virtq_kick(m->control);
    while (virtq_pop(m->control, &len) == NULL) {
        if (clock_mono_ns() > end)
            return -ETIMEDOUT;
        cpu_relax();
    }
    return READ_ONCE(c->answer) == VIRTIO_NET_OK ? 0 : -EIO;
}

/* ---- Pairs in turn ---- */

static struct virtio_net *net_of(const struct netdev *d)
{
    return container_of(d, struct virtio_net, dev);
}

/* net_ops work on pair i from here on. */
static struct net_multi *go_to(struct virtio_net *n, unsigned i)
{
    struct net_multi *m = n->multi;

    if (i != m->at) {
        m->pair[m->at] = n->now;
        n->now = m->pair[i];
        m->at = i;
    }
    return m;
}

static bool pending(const struct virtio_net *n, unsigned i)
{
    return virtq_pending(n->multi->pair[i].rx);
}

/* Goes to the first pair that has something, from the one whose turn it is on; its turn it is until
 * something was taken from it. Answers go there, too. */
static struct net_multi *turn(struct virtio_net *n)
{
    struct net_multi *m = n->multi;

    for (unsigned i = 0; i < n->dev.queues && !pending(n, m->next); i++)
        m->next = (m->next + 1) % n->dev.queues;
    m->answers = m->next;
    return go_to(n, m->next);
}

/* From pair m->at. */
static void took(struct virtio_net *n, uint64_t packets, uint64_t bytes)
{
    struct net_multi *m = n->multi;

    m->stats[m->at].rx_packets += packets;
    m->stats[m->at].rx_bytes += bytes;
    m->next = (m->at + 1) % n->dev.queues;
}

static void sent(struct virtio_net *n, uint64_t packets, uint64_t bytes)
{
    struct net_multi *m = n->multi;

    m->stats[m->at].tx_packets += packets;
    m->stats[m->at].tx_bytes += bytes;
}

static unsigned multi_rx_burst(struct netdev *d, unsigned queue, struct netbuf **packets,
                               unsigned max)
{
    struct virtio_net *n = net_of(d);
    uint64_t bytes = d->stats.rx_bytes;
    unsigned got;

    turn(n);
    got = net_ops.rx_burst(d, queue, packets, max);
    took(n, got, d->stats.rx_bytes - bytes);
    return got;
}

static unsigned multi_rx_raw(struct netdev *d, struct wherry_packet *p, unsigned max)
{
    struct virtio_net *n = net_of(d);
    uint64_t bytes = d->stats.rx_bytes;
    unsigned got;

    turn(n);
    got = net_ops.rx_raw(d, p, max);
    took(n, got, d->stats.rx_bytes - bytes);
    return got;
}

/* By addresses and ports. */
static unsigned pair_of_flow(const struct virtio_net *n, const uint8_t *f, uint32_t len)
{
    uint32_t v = 0;

    if (len >= 38 && f[12] == 0x08 && f[13] == 0x00)
        v = wherry_get32(f + 26) ^ wherry_get32(f + 30) ^ wherry_get32(f + 34);
    else if (len >= 58 && f[12] == 0x86 && f[13] == 0xdd)
        v = wherry_get32(f + 34) ^ wherry_get32(f + 50) ^ wherry_get32(f + 54);
    v *=
        0x9e3779b1u; /* 2^32 over the golden ratio: the upper bits are those of all (Knuth, §6.4) */
    return (unsigned)((uint64_t)v * n->dev.queues >> 32);
}

static int multi_tx(struct netdev *d, unsigned queue, const struct netdev_tx *t)
{
    struct virtio_net *n = net_of(d);
    uint64_t packets = d->stats.tx_packets, bytes = d->stats.tx_bytes;
    int r;

    go_to(n, pair_of_flow(n, t->frags->data, t->frags->len));
    r = net_ops.tx(d, queue, t);
    sent(n, d->stats.tx_packets - packets, d->stats.tx_bytes - bytes);
    return r;
}

static unsigned multi_tx_raw(struct netdev *d, const struct wherry_packet *p, unsigned count)
{
    struct virtio_net *n = net_of(d);
    uint64_t bytes = d->stats.tx_bytes;
    unsigned done;

    go_to(n, n->multi->answers);
    done = net_ops.tx_raw(d, p, count);
    sent(n, done, d->stats.tx_bytes - bytes);
    return done;
}

static void multi_kick(struct netdev *d, unsigned queue)
{
    const struct net_multi *m = net_of(d)->multi;

    for (unsigned i = 0; i < d->queues; i++)
        virtq_kick(m->pair[i].tx);
}

static void multi_tx_reclaim(struct netdev *d, unsigned queue)
{
    for (unsigned i = 0; i < d->queues; i++) {
        go_to(net_of(d), i);
        net_ops.tx_reclaim(d, queue);
    }
}

/* All are armed, also behind one that has something already: who is told of that may sleep all the
 * same, when he has taken it. */
static bool multi_arm(struct netdev *d, unsigned queue)
{
    bool idle = true;

    for (unsigned i = 0; i < d->queues; i++) {
        go_to(net_of(d), i);
        idle &= net_ops.arm(d, queue);
    }
    return idle;
}

static bool multi_rx_idle(const struct netdev *d)
{
    for (unsigned i = 0; i < d->queues; i++)
        if (pending(net_of(d), i))
            return false;
    return true;
}

static bool multi_link_up(struct netdev *d)
{
    return net_ops.link_up(d);
}

/* A run's pair: between its begin and its end others may have had their turn. */
static void back_to(struct virtio_net *n, const struct wherry_run *r)
{
    const struct net_multi *m = n->multi;
    unsigned i = 0;

    while (i < n->dev.queues && (uint8_t *)m->pair[i].rx->desc != r->ring &&
           (uint8_t *)m->pair[i].tx->desc != r->ring)
        i++;
    assert(i < n->dev.queues);
    go_to(n, i);
}

static void multi_rx_run(struct netdev *d, struct wherry_run *r, unsigned max)
{
    turn(net_of(d));
    net_ops.rx_run(d, r, max);
}

static void multi_rx_ran(struct netdev *d, const struct wherry_run *r)
{
    back_to(net_of(d), r);
    net_ops.rx_ran(d, r);
    took(net_of(d), r->pos - r->first, r->bytes);
}

static void multi_tx_run(struct netdev *d, struct wherry_run *r, unsigned max)
{
    go_to(net_of(d), net_of(d)->multi->answers);
    net_ops.tx_run(d, r, max);
}

static void multi_tx_ran(struct netdev *d, const struct wherry_run *r)
{
    back_to(net_of(d), r);
    net_ops.tx_ran(d, r);
    sent(net_of(d), r->pos - r->first, r->bytes);
}

static const struct netdev_ops multi_ops = {
    .rx_burst = multi_rx_burst,
    .tx = multi_tx,
    .kick = multi_kick,
    .tx_reclaim = multi_tx_reclaim,
    .arm = multi_arm,
    .link_up = multi_link_up,
    .rx_raw = multi_rx_raw,
    .tx_raw = multi_tx_raw,
    .rx_run = multi_rx_run,
    .rx_ran = multi_rx_ran,
    .tx_run = multi_tx_run,
    .tx_ran = multi_tx_ran,
    .rx_idle = multi_rx_idle,
    .use_queues = net_use_queues,
    .queue_stats = net_queue_stats,
};

/* ---- Taking them into use ---- */

static struct wherry_pair_stats stats_of(const struct netdev *d)
{
    return (struct wherry_pair_stats){.rx_packets = d->stats.rx_packets,
                                      .rx_bytes = d->stats.rx_bytes,
                                      .tx_packets = d->stats.tx_packets,
                                      .tx_bytes = d->stats.tx_bytes};
}

void net_use_queues(struct netdev *d, unsigned pairs)
{
    struct virtio_net *n = net_of(d);
    struct net_multi *m = n->multi;
    int r;

    pairs = MIN(pairs, d->queues_max);
    if (pairs <= d->queues || m->control == NULL)
        return;
    r = command_pairs(m, pairs);
    if (r < 0) {
        kprintf("%s: the device %s %u pairs of queues: %u in use\n", d->name,
                r == -ETIMEDOUT ? "does not answer when asked for" : "refuses", pairs, d->queues);
        m->control = NULL; /* a command that is still the device's is its for ever */
        return;
    }
    if (d->queues == 1)
        m->stats[0] = stats_of(d);
    for (unsigned i = d->queues; i < pairs; i++) {
        d->runs &= net_ring_known(m->pair[i].rx) && net_ring_known(m->pair[i].tx);
        go_to(n, i);
        net_refill(n);
    }
    d->queues = pairs;
    d->rx_produced = NULL; /* it is one queue's */
    d->ops = &multi_ops;
    kinfo("%s: %u pairs of queues in use\n", d->name, pairs);
}

void net_multi_start(struct virtio_net *n)
{
    struct netdev *d = &n->dev;

    if (wanted > d->queues_max)
        kprintf("%s: wherry.net.queues=%u, but there can be %u\n", d->name, wanted, d->queues_max);
    if (wanted > 1)
        net_use_queues(d, wanted);
}

bool net_queue_stats(struct netdev *d, unsigned pair, struct wherry_pair_stats *stats)
{
    const struct virtio_net *n = net_of(d);
    const struct net_pair *p = d->queues > 1 ? &n->multi->pair[pair] : &n->now;

    if (pair >= d->queues)
        return false;
    *stats = d->queues > 1 ? n->multi->stats[pair] : stats_of(d);
    stats->notifications = p->rx->stats.kicks + p->tx->stats.kicks;
    stats->interrupts = p->rx->stats.irqs;
    return true;
}
