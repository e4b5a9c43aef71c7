// unit: kernel/drivers/virtio/virtq.c kernel/drivers/virtio/virtq_packed.c
/*
 * Proves that several pairs of queues of a network card (kernel/drivers/virtio/net_multi.c) are
 * taken into use as the specification has it, and not if the device refuses, or never answers; that
 * each has its turn; that answers, flows and runs stay with their pair; and that nobody sleeps
 * while one has something. The driver of one pair is played here, and so is the device.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../kernel/drivers/virtio/net_multi.c"

#define QUEUES VIRTIO_MAX_QUEUES

enum answer { ACCEPT, REFUSE, SILENT };

static struct {
    struct virtio_device vdev;
    struct virtio_net net;
    unsigned pairs;        /* that the device has */
    unsigned queues_there; /* that can be set up */
    enum answer answer;
    struct virtq *queue[QUEUES];
    uint32_t doorbell;
    uint64_t now;
    unsigned commands, said;
    uint8_t command[4];
    void *memory[64];
    unsigned nr_memory;
    unsigned armed; /* pairs, a bit each */
} t;

uintptr_t host_direct_base;

/* ---- The kernel around it ---- */

void *kzalloc(size_t size)
{
    assert_true(t.nr_memory < 64);
    return t.memory[t.nr_memory++] = calloc(1, size);
}

void kprintf(const char *fmt, ...)
{
    t.said++;
}

void kinfo(const char *fmt, ...)
{
}

const char *parse_u64(const char *s, uint64_t *out)
{
    char *end;

    *out = strtoull(s, &end, 10);
    return end == s ? NULL : end;
}

void virtio_config_read(struct virtio_device *dev, unsigned off, void *buf, unsigned len)
{
    assert_int_equal(off, offsetof(struct virtio_net_config, max_virtqueue_pairs));
    assert_int_equal(len, 2);
    memcpy(buf, &(uint16_t){(uint16_t)t.pairs}, 2);
}

struct virtq *virtio_queue(struct virtio_device *dev, unsigned index, unsigned max_size,
                           void (*callback)(struct virtq *vq), void *arg)
{
    struct virtq *vq = kzalloc(sizeof(*vq));

    assert_ptr_equal(arg, &t.net);
    if (index >= t.queues_there)
        return NULL;
    virtq_init(vq, max_size, false, true, kzalloc(virtq_ring_bytes(max_size, false)),
               kzalloc(max_size * sizeof(struct virtq_slot)));
    vq->notify = &t.doorbell;
    vq->index = (uint16_t)index;
    vq->callback = callback;
    t.queue[index] = vq;
    return vq;
}

/* The device takes no tables. */
bool net_tx_tables(struct virtq *tx)
{
    return true;
}

bool virtio_queue_tables(struct virtq *vq, unsigned len)
{
    assert_true(len <= vq->size);
    return true;
}

/* Time goes on while the driver looks at it, and then the device looks at its control queue. */
uint64_t clock_mono_ns(void)
{
    struct virtq *vq = t.queue[2 * t.pairs];
    unsigned at = t.commands % vq->size;
    struct vring_desc *d;

    t.now += NSEC_PER_SEC / 1000;
    if (vq->avail->idx == (uint16_t)t.commands || t.answer == SILENT)
        return t.now;
    d = &vq->desc[vq->avail->ring[at]];
    assert_true(d->len == 2 && d->flags == VRING_DESC_F_NEXT);
    memcpy(t.command, phys_to_virt(d->addr), 2);
    d = &vq->desc[d->next];
    assert_true(d->len == 2 && d->flags == VRING_DESC_F_NEXT);
    memcpy(t.command + 2, phys_to_virt(d->addr), 2);
    d = &vq->desc[d->next];
    assert_true(d->len == 1 && d->flags == VRING_DESC_F_WRITE);
    *(uint8_t *)phys_to_virt(d->addr) = t.answer == ACCEPT ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
    vq->used->ring[at] = (struct vring_used_elem){vq->avail->ring[at], 1};
    vq->used->idx++;
    t.commands++;
    return t.now;
}

/* ---- The driver of one pair: tells by net.now where it is, and takes all that is there ---- */

static unsigned now_at(const struct virtio_net *n)
{
    assert_int_equal(n->now.rx->index % 2, 0);
    assert_int_equal(n->now.tx->index, n->now.rx->index + 1);
    return n->now.rx->index / 2u;
}

static unsigned came(struct virtio_net *n, unsigned max)
{
    unsigned ready = (uint16_t)(n->now.rx->used->idx - n->now.rx->last_used), got = MIN(ready, max);

    n->now.rx->last_used += got;
    n->dev.stats.rx_packets += got;
    n->dev.stats.rx_bytes += 100 * got;
    return got;
}

static unsigned one_rx_burst(struct netdev *d, unsigned queue, struct netbuf **p, unsigned max)
{
    return came(net_of(d), max);
}

static unsigned one_rx_raw(struct netdev *d, struct wherry_packet *p, unsigned max)
{
    return came(net_of(d), max);
}

static unsigned sent_by; /* the pair of the last tx */

static int one_tx(struct netdev *d, unsigned queue, const struct netdev_tx *tx)
{
    sent_by = now_at(net_of(d));
    d->stats.tx_packets++;
    d->stats.tx_bytes += tx->frags->len;
    return 0;
}

static unsigned one_tx_raw(struct netdev *d, const struct wherry_packet *p, unsigned n)
{
    sent_by = now_at(net_of(d));
    d->stats.tx_packets += n;
    d->stats.tx_bytes += 10 * n;
    return n;
}

static bool one_arm(struct netdev *d, unsigned queue)
{
    unsigned at = now_at(net_of(d));

    t.armed |= 1u << at;
    return !virtq_pending(net_of(d)->now.rx);
}

static void one_reclaim(struct netdev *d, unsigned queue)
{
    t.armed |= 0x100u << now_at(net_of(d));
}

static bool one_link_up(struct netdev *d)
{
    return true;
}

static void one_rx_run(struct netdev *d, struct wherry_run *r, unsigned max)
{
    *r = (struct wherry_run){.ring = (uint8_t *)net_of(d)->now.rx->desc};
}

static void one_rx_ran(struct netdev *d, const struct wherry_run *r)
{
    assert_ptr_equal(r->ring, net_of(d)->now.rx->desc);
    assert_int_equal(came(net_of(d), r->pos - r->first), r->pos - r->first);
}

static void one_tx_run(struct netdev *d, struct wherry_run *r, unsigned max)
{
    *r = (struct wherry_run){.ring = (uint8_t *)net_of(d)->now.tx->desc};
}

static void one_tx_ran(struct netdev *d, const struct wherry_run *r)
{
    assert_ptr_equal(r->ring, net_of(d)->now.tx->desc);
}

const struct netdev_ops net_ops = {
    .rx_burst = one_rx_burst,
    .rx_raw = one_rx_raw,
    .tx = one_tx,
    .tx_raw = one_tx_raw,
    .arm = one_arm,
    .tx_reclaim = one_reclaim,
    .link_up = one_link_up,
    .rx_run = one_rx_run,
    .rx_ran = one_rx_ran,
    .tx_run = one_tx_run,
    .tx_ran = one_tx_ran,
    .use_queues = net_use_queues,
    .queue_stats = net_queue_stats,
};

void net_refill(struct virtio_net *n)
{
    assert_int_equal(n->now.posted, 0);
    n->now.posted = 100 + now_at(n);
}

bool net_ring_known(const struct virtq *q)
{
    return q->size == NET_RING;
}

static void interrupt(struct virtq *vq)
{
}

static struct netdev *d = &t.net.dev;

static void card(unsigned pairs)
{
    struct virtio_net *n = &t.net;

    t.pairs = pairs;
    t.queues_there = QUEUES;
    t.vdev.offered = t.vdev.features =
        VIRTIO_BIT(VIRTIO_NET_F_MQ) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ);
    n->vdev = &t.vdev;
    n->dev.queues = n->dev.queues_max = 1;
    n->dev.ops = &net_ops;
    n->dev.runs = true;
    n->now.rx = virtio_queue(&t.vdev, 0, NET_RING, interrupt, n);
    n->now.tx = virtio_queue(&t.vdev, 1, NET_RING, NULL, n);
    n->now.posted = 100;
    n->dev.rx_produced = &n->now.rx->used->idx;
}

static void card_in_use(unsigned pairs)
{
    card(pairs);
    net_multi_setup(&t.net, interrupt);
    d->ops->use_queues(d, d->queues_max);
    assert_int_equal(d->queues, pairs);
}

/* So many packets come in on a pair. */
static void comes(unsigned pair, unsigned n)
{
    t.queue[2 * pair]->used->idx += n;
}

static int start(void **state)
{
    memset(&t, 0, sizeof(t));
    wanted = 0;
    return 0;
}

static int end(void **state)
{
    while (t.nr_memory > 0)
        free(t.memory[--t.nr_memory]);
    return 0;
}

static void features(void **state)
{
    uint64_t both = VIRTIO_BIT(VIRTIO_NET_F_MQ) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ);

    card(4);
    assert_int_equal(net_multi_features(&t.vdev), both);
    t.vdev.offered = ~VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ);
    assert_int_equal(net_multi_features(&t.vdev), 0);
    t.vdev.offered = ~VIRTIO_BIT(VIRTIO_NET_F_MQ);
    assert_int_equal(net_multi_features(&t.vdev), 0);
    t.vdev.offered = both;
    t.pairs = 1;
    assert_int_equal(net_multi_features(&t.vdev), 0);
    t.pairs = 2;
    assert_int_equal(queues_option("1"), 0);
    assert_int_equal(net_multi_features(&t.vdev), 0);
    assert_int_equal(queues_option("2"), 0);
    assert_int_equal(net_multi_features(&t.vdev), both);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(queues_option((const char *[]){"0", "5", "", "x", "2x", NULL}[i]),
                         -EINVAL);
}

static void pairs_are_set_up_and_taken_into_use(void **state)
{
    struct wherry_pair_stats s;

    card(8);
    d->stats.rx_packets = 7;
    net_multi_setup(&t.net, interrupt);
    assert_int_equal(d->queues_max, NET_PAIRS);
    assert_non_null(t.queue[16]); /* behind all of the device's pairs */
    assert_int_equal(t.queue[16]->size, CONTROL_RING);
    for (unsigned i = 0; i < 2 * NET_PAIRS; i++)
        assert_true(t.queue[i] != NULL && (t.queue[i]->callback == interrupt) == (i % 2 == 0));
    assert_null(t.queue[2 * NET_PAIRS]);
    net_multi_start(&t.net);
    assert_int_equal(t.commands, 0); /* nobody has asked for more than one */
    assert_true(net_queue_stats(d, 0, &s) && s.rx_packets == 7);
    assert_false(net_queue_stats(d, 1, &s));

    d->ops->use_queues(d, 3);
    assert_int_equal(t.commands, 1);
    assert_memory_equal(t.command, "\4\0\3\0", 4); /* MQ, VQ_PAIRS_SET, le16 */
    assert_true(d->queues == 3 && d->ops == &multi_ops && d->rx_produced == NULL && d->runs);
    assert_int_equal(t.said, 0);
    for (unsigned i = 0; i < 3; i++) {
        go_to(&t.net, i);
        assert_int_equal(t.net.now.posted, 100 + i);
        assert_true(net_queue_stats(d, i, &s) && s.rx_packets == (i == 0 ? 7 : 0));
    }
    assert_false(net_queue_stats(d, 3, &s));
    d->ops->use_queues(d, 1); /* there is no way back */
    assert_true(d->queues == 3 && t.commands == 1);
}

static void the_command_line_says_how_many(void **state)
{
    assert_int_equal(queues_option("2"), 0);
    card(4);
    net_multi_setup(&t.net, interrupt);
    assert_int_equal(d->queues_max, 2);
    net_multi_start(&t.net);
    assert_int_equal(d->queues, 2);
    d->ops->use_queues(d, 4);
    assert_int_equal(d->queues, 2);
}

static void more_than_there_are(void **state)
{
    assert_int_equal(queues_option("4"), 0);
    card(2);
    net_multi_setup(&t.net, interrupt);
    net_multi_start(&t.net);
    assert_int_equal(d->queues, 2);
    assert_int_equal(t.said, 1);
}

static void no_memory_for_all(void **state)
{
    card(4);
    t.queues_there = 5; /* nor for the control queue, which is the ninth */
    net_multi_setup(&t.net, interrupt);
    assert_true(d->queues_max == 1 && t.said == 1);
    d->ops->use_queues(d, 4);
    assert_int_equal(d->queues, 1);
}

/* Their control queue is further away than the core goes. */
static void more_pairs_than_anybody_has(void **state)
{
    card(4);
    t.pairs = 9;
    net_multi_setup(&t.net, interrupt);
    assert_true(d->queues_max == 1 && t.said == 1);
}

static void a_device_that_refuses(void **state)
{
    card(4);
    t.answer = REFUSE;
    net_multi_setup(&t.net, interrupt);
    d->ops->use_queues(d, 4);
    assert_true(d->queues == 1 && d->ops == &net_ops && d->rx_produced != NULL);
    assert_true(t.commands == 1 && t.said == 1);
    t.answer = ACCEPT;
    d->ops->use_queues(d, 4); /* it is not asked again */
    assert_true(d->queues == 1 && t.commands == 1 && t.said == 1);
}

static void a_device_that_never_answers(void **state)
{
    card(2);
    t.answer = SILENT;
    net_multi_setup(&t.net, interrupt);
    d->ops->use_queues(d, 2);
    assert_true(d->queues == 1 && d->ops == &net_ops && t.said == 1);
    assert_in_range(t.now, CONTROL_WAIT_NS, CONTROL_WAIT_NS + NSEC_PER_SEC / 10);
}

static void a_device_that_breaks_its_control_queue(void **state)
{
    card(2);
    t.answer = SILENT;
    net_multi_setup(&t.net, interrupt);
    t.queue[4]->used->ring[0].id = 77;
    t.queue[4]->used->idx = 1;
    d->ops->use_queues(d, 2);
    assert_true(d->queues == 1 && d->ops == &net_ops && t.said == 1);
}

static void each_has_its_turn(void **state)
{
    struct wherry_packet p[8];
    struct wherry_pair_stats s;

    card_in_use(4);
    for (unsigned i = 0; i < 4; i++)
        comes(i, 20);
    for (unsigned i = 0; i < 12; i++) {
        unsigned before = now_at(&t.net);

        assert_int_equal(d->ops->rx_raw(d, p, 5), 5);
        assert_true(i == 0 || now_at(&t.net) == (before + 1) % 4);
    }
    comes(2, 3); /* pairs that have nothing are no turn */
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(d->ops->rx_burst(d, 0, NULL, 5), 5);
    assert_int_equal(d->ops->rx_burst(d, 0, NULL, 5), 3);
    assert_int_equal(now_at(&t.net), 2);
    assert_int_equal(d->ops->rx_burst(d, 0, NULL, 5), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_true(net_queue_stats(d, i, &s) && s.rx_packets == (i == 2 ? 23 : 20) &&
                    s.rx_bytes == 100 * s.rx_packets);
}

/* A run that takes nothing leaves the turn to what looks further, at the same pair; so none whose
 * ring is not fit for runs starves behind one that always has something. */
static void a_run_without_places(void **state)
{
    struct wherry_packet p[8];
    struct wherry_run r;
    unsigned taken[2] = {0};

    card_in_use(2);
    for (unsigned i = 0; i < 20; i++) {
        comes(0, 1);
        comes(1, 1);
        d->ops->rx_run(d, &r, 1);
        assert_int_equal(d->ops->rx_raw(d, p, 1), 1);
        assert_ptr_equal(r.ring, t.net.now.rx->desc);
        taken[now_at(&t.net)]++;
    }
    assert_true(taken[0] == 10 && taken[1] == 10);
}

static void runs_stay_with_their_pair(void **state)
{
    struct wherry_run in, out;
    struct wherry_packet p[8];
    struct wherry_pair_stats s;

    card_in_use(3);
    comes(1, 4);
    comes(2, 4);
    d->ops->rx_run(d, &in, 4);
    d->ops->tx_run(d, &out, 4);
    assert_ptr_equal(in.ring, t.queue[2]->desc);
    assert_ptr_equal(out.ring, t.queue[3]->desc); /* answers leave where the questions came in */
    in.pos = 3;
    out.pos = 2;
    out.bytes = 50;
    in.bytes = 90;
    go_to(&t.net, 0); /* another packet was sent meanwhile */
    d->ops->tx_ran(d, &out);
    go_to(&t.net, 2);
    d->ops->rx_ran(d, &in);
    assert_true(net_queue_stats(d, 1, &s) && s.rx_packets == 3 && s.rx_bytes == 90 &&
                s.tx_packets == 2 && s.tx_bytes == 50);
    assert_int_equal(d->ops->tx_raw(d, p, 2), 2);
    assert_int_equal(sent_by, 1);
    assert_int_equal(d->ops->rx_raw(d, p, 8), 4); /* then it is the next one's turn */
    assert_int_equal(now_at(&t.net), 2);
    assert_int_equal(d->ops->tx_raw(d, p, 2), 2);
    assert_int_equal(sent_by, 2);
    assert_true(net_queue_stats(d, 2, &s) && s.tx_packets == 2 && s.tx_bytes == 20);
}

static void flows_stay_with_their_pair(void **state)
{
    unsigned counts[2][4] = {0};

    card_in_use(4);
    for (unsigned i = 0; i < 2000; i++) {
        uint8_t f[60] = {[12] = 0x08, [13] = 0, [26] = 10, [30] = 10, [33] = 2};
        struct netdev_frag frag = {f, sizeof(f)};
        struct netdev_tx tx = {.frags = &frag, .nfrags = 1};
        unsigned port = 1024 + 2 * (i % 1000), at = i >= 1000 ? 56 : 36, first;

        if (i >= 1000) {
            f[12] = 0x86;
            f[13] = 0xdd;
        }
        f[at] = (uint8_t)(port >> 8);
        f[at + 1] = (uint8_t)port;
        assert_int_equal(d->ops->tx(d, 0, &tx), 0);
        first = sent_by;
        counts[i >= 1000][first]++;
        f[45] = (uint8_t)i; /* other bytes do not matter */
        go_to(&t.net, i % 4);
        assert_int_equal(d->ops->tx(d, 0, &tx), 0);
        assert_int_equal(sent_by, first);
        frag.len = 20; /* headers cut short: anywhere, but no look behind them */
        assert_int_equal(d->ops->tx(d, 0, &tx), 0);
        assert_int_equal(sent_by, 0);
    }
    for (unsigned i = 0; i < 8; i++)
        assert_in_range(counts[i / 4][i % 4], 150, 350);
}

static void nobody_sleeps_over_something(void **state)
{
    card_in_use(4);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(d->ops->rx_idle(d));
        t.armed = 0;
        assert_true(d->ops->arm(d, 0));
        assert_int_equal(t.armed, 15);
        comes(i, 1);
        assert_false(d->ops->rx_idle(d));
        t.armed = 0;
        assert_false(d->ops->arm(d, 0));
        assert_int_equal(t.armed, 15); /* all, whoever has something */
        assert_int_equal(d->ops->rx_burst(d, 0, NULL, 8), 1);
    }
    t.armed = 0;
    d->ops->tx_reclaim(d, 0);
    assert_int_equal(t.armed, 0xf00);
}

static void all_are_told(void **state)
{
    card_in_use(3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(virtq_add_one(t.queue[2 * i + 1], 0x1000, 60, VIRTQ_READ, &t), 0);
    d->ops->kick(d, 0);
    for (unsigned i = 0; i < 3; i++)
        assert_true(t.queue[2 * i + 1]->avail->idx == 1 && t.queue[2 * i + 1]->stats.kicks == 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)
    const struct CMUnitTest tests[] = {
        TEST(features),
        TEST(pairs_are_set_up_and_taken_into_use),
        TEST(the_command_line_says_how_many),
        TEST(more_than_there_are),
        TEST(no_memory_for_all),
        TEST(more_pairs_than_anybody_has),
        TEST(a_device_that_refuses),
        TEST(a_device_that_never_answers),
        TEST(a_device_that_breaks_its_control_queue),
        TEST(each_has_its_turn),
        TEST(a_run_without_places),
        TEST(runs_stay_with_their_pair),
        TEST(flows_stay_with_their_pair),
        TEST(nobody_sleeps_over_something),
        TEST(all_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
