// fuzz: kernel/net/netdev.c kernel/drivers/virtio/virtq.c kernel/drivers/virtio/virtq_packed.c
/*
 * The raw interface from the rings to its user: frames of any content come through a device that is
 * played here, the driver (kernel/drivers/virtio/net.c), the loops over its rings
 * (include/wherry/burst.h), steering (kernel/net/raw.c), and the responder that has the rest
 * (kernel/native/responder.c). All of it is the kernel's own code.
 *
 * What comes in must reach the user, or netdev.input, as a second opinion given here says: once,
 * in order, each byte. What is sent must leave as it was made, in order, with its header. Nothing
 * is read behind a frame's end, nor written while it is the device's (ASan: the memory is poisoned
 * then). After each step every block is in exactly one place: a ring, the pool, the backlog, the
 * user's hands. A device that lies may have its frames lost and mixed up; blocks never.
 *
 * Input: two bytes of mode, then commands: a byte, and others as it wants them.
 */
#include "raw_host.h"

/* ---- Frames ---- */

static unsigned be16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

/* One's complement sum, plainly. */
static UNTRACED unsigned sum(const uint8_t *p, unsigned n, unsigned start)
{
    unsigned long s = start;

    for (unsigned i = 0; i < n; i++)
        s += i & 1 ? p[i] : (unsigned)p[i] << 8;
    while (s >> 16)
        s = (s >> 16) + (s & 0xffff);
    return (unsigned)s;
}

/* What include/wherry/netdev.h promises of a steered packet: its length without padding. 0: it is
 * not the user's. */
static unsigned second_opinion(const uint8_t *f, unsigned len, unsigned flags)
{
    const uint8_t *ip = f + 14, *udp = ip + 20;
    uint32_t here = HERE;
    unsigned udp_len;

    if (h.q.port == 0)
        return len;
    if (len < 42 || be16(f + 12) != 0x0800 || ip[0] != 0x45 || ip[9] != 17)
        return 0;
    udp_len = be16(udp + 4);
    if (be16(ip + 2) + 14u > len || udp_len < 8 || udp_len + 20 != be16(ip + 2))
        return 0;
    if (memcmp(ip + 16, &here, 4) != 0 || memcmp(ip + 12, &here, 4) == 0 || ip[12] == 0 ||
        ip[12] == 127 || ip[12] >= 224)
        return 0;
    if ((be16(ip + 6) & 0xbfff) != 0 || sum(ip, 20, 0) != 0xffff || be16(udp + 2) != PORT_)
        return 0;
    if ((flags & (WHERRY_CSUM_OK | WHERRY_CSUM_TODO)) == 0 && be16(udp + 6) != 0 &&
        sum(udp, udp_len, sum(ip + 12, 8, 17 + udp_len)) != 0xffff)
        return 0;
    return udp_len + 34;
}

static void put_be16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* A good frame of the kind; its length. */
static unsigned build(uint8_t *f, unsigned kind, unsigned data, unsigned fill)
{
    uint32_t here = HERE, there = THERE;
    unsigned len;

    memset(f, 0, 60 + data);
    memcpy(f, h.dev->mac, 6);
    f[6] = 2;
    if (kind == 1) {
        memcpy(f + 12, "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01", 10);
        memcpy(f + 28, &there, 4);
        memcpy(f + 38, &here, 4);
        return 42;
    }
    f[12] = 8;
    f[14] = 0x45;
    f[20] = fill & 1 ? 0x40 : 0;
    f[22] = 64;
    memcpy(f + 26, &there, 4);
    memcpy(f + 30, &here, 4);
    for (unsigned i = 0; i < data; i++)
        f[42 + i] = (uint8_t)(i + fill);
    len = 42 + data;
    put_be16(f + 16, len - 14);
    put_be16(f + 18, fill);
    if (kind == 2) { /* an echo request */
        f[23] = 1;
        f[34] = 8;
        put_be16(f + 36, (uint16_t)~sum(f + 34, len - 34, 0));
    } else {
        f[23] = 17;
        put_be16(f + 34, 5000);
        put_be16(f + 36, PORT_);
        put_be16(f + 38, len - 34);
        put_be16(f + 40, (uint16_t)~sum(f + 34, len - 34, sum(f + 26, 8, 17 + len - 34)));
    }
    put_be16(f + 24, (uint16_t)~sum(f + 14, 20, 0));
    return len;
}

struct arrival {
    unsigned len;     /* of the frame */
    uint32_t said;    /* length in the used ring, if not 0 */
    unsigned buffers; /* that it is said to be in, with VIRTIO_NET_F_MRG_RXBUF */
    bool in_order;
    struct virtio_net_hdr_v1 hdr;
    uint8_t data[WHERRY_BUF_ROOM];
};

/* What is to become of a frame in n buffers, of which the first has len bytes, each other one as
 * many and a header's. */
static void expect(const struct arrival *a, unsigned len, unsigned n)
{
    unsigned cut = n == 1 ? second_opinion(a->data, len, a->hdr.flags & 3u) : 0;
    struct thing *t;

    h.good++;
    h.good_bytes += len + (n - 1) * (len + WHERRY_RUN_HEADER);
    h.others += cut == 0 && n == 1;
    if (cut == 0 && h.dev->input == NULL)
        return;
    t = fifo_add(cut ? &to_user : n > 1 ? &to_input_long : &to_input);
    t->len = (uint16_t)len;
    t->cut = (uint16_t)cut;
    t->flags = a->hdr.flags & (WHERRY_CSUM_OK | WHERRY_CSUM_TODO);
    t->buffers = (uint8_t)n;
    t->csum_start = a->hdr.csum_start;
    t->csum_off = a->hdr.csum_offset;
    memcpy(t->data, a->data, len);
}

static void arrive(struct arrival *a)
{
    bool merged = virtio_has(&h.vdev, VIRTIO_NET_F_MRG_RXBUF);
    uint32_t said = a->said ? a->said : WHERRY_RUN_HEADER + a->len;
    unsigned held = MIN(said, (uint32_t)ROOM), n = merged && a->buffers > 1 ? a->buffers : 1;

    fetch(&h.rx);
    if (h.rx.nr < n || h.rx.vq->broken || to_user.n + to_input.n > 900)
        return;
    a->hdr.num_buffers = merged ? (uint16_t)n : (uint16_t)a->buffers;
    for (unsigned i = 0; i < n; i++) {
        unsigned head = take_held(&h.rx, a->in_order ? 0 : rnd(h.rx.nr));
        uint8_t *p = phys_to_virt(h.rx.vq->desc[head].addr);

        assert(in_arena(p));
        show(block_of(p));
        memcpy(p, &a->hdr, WHERRY_RUN_HEADER);
        memcpy(p + WHERRY_RUN_HEADER, a->data, WHERRY_BUF_ROOM);
        if (!h.lies)
            __asan_poison_memory_region(p + MAX(held, WHERRY_RUN_HEADER),
                                        ROOM - MAX(held, WHERRY_RUN_HEADER));
        /* A buffer for which there is no entry was written to its end. */
        put_used(&h.rx, head, said, said == ROOM && rnd(2));
    }
    if (held >= WHERRY_RUN_HEADER + 14 && !h.lies)
        expect(a, held - WHERRY_RUN_HEADER, n);
}

/* Frames as they mostly are. */
static void arrive_many(unsigned n, unsigned oddity)
{
    static struct arrival a;

    for (; n > 0; n--) {
        a = (struct arrival){.in_order = true};
        a.len = build(a.data, 0, rnd(8) ? rnd(64) : rnd(1473), rnd(256));
        if (rnd(2))
            a.hdr.flags = WHERRY_CSUM_OK;
        if (oddity != 0 && rnd(oddity) == 0) {
            switch (rnd(6)) {
            case 0:
                a.len = build(a.data, 1 + rnd(2), rnd(64), 0);
                break;
            case 1: /* padding */
                a.len = MAX(a.len, 60u);
                break;
            case 2: /* a field of the IP header, its checksum with it: TOS, length, fragments... */
                a.data[15 + rnd(19)] ^= (uint8_t)(1u << rnd(8));
                put_be16(a.data + 24, 0);
                put_be16(a.data + 24, (uint16_t)~sum(a.data + 14, 20, 0));
                break;
            case 3:
                a.len = 14 + rnd(28);
                break;
            case 4:
                a.said = rnd(2) ? ROOM : 1 + rnd(3000);
                break;
            default:
                a.data[rnd(a.len)] ^= (uint8_t)(1 + rnd(255));
                break;
            }
        }
        arrive(&a);
    }
    flush(&h.rx);
}

/* ---- The user, and who has the rest ---- */

static void received(const struct wherry_packet *p)
{
    struct thing *t;

    assert(in_arena(p->data) && p->data == (uint8_t *)block_of(p->data) + WHERRY_BUF_START);
    if (h.lies)
        return;
    h.taken++;
    t = fifo_take(&to_user);
    assert(p->len == t->cut && memcmp(p->data, t->data, t->cut) == 0 && p->flags == t->flags);
    assert(p->csum_start == t->csum_start && p->csum_off == t->csum_off);
}

/* From now on it must leave as it is. */
static void will_send(const struct wherry_packet *p)
{
    struct thing *t;

    if (h.lies)
        return;
    t = fifo_add(&to_wire);
    t->len = p->len;
    t->flags = p->flags;
    t->csum_start = p->csum_start;
    t->csum_off = p->csum_off;
    memcpy(t->data, p->data, p->len);
}

static bool answer(struct wherry_packet *p)
{
    unsigned what = rnd(8), len;

    if (what == 0)
        return false;
    if (h.q.port != 0 && what < 4 && p->len >= WHERRY_UDP_DATA) {
        show(block_of(p->data)); /* all of the block is the user's, and he uses it */
        len = rnd(1472);
        memset(wherry_udp_data(p), (int)what, len);
        wherry_udp_answer(&h.q, p, len);
    } else if (h.q.port != 0 && what < 6) {
        wherry_udp_turn(&h.q, p);
    }
    will_send(p);
    return true;
}

static void look_each(struct wherry_packet *p, void *arg)
{
    (*(unsigned *)arg)++;
    received(p);
}

static bool make_each(struct wherry_packet *p, void *arg)
{
    return answer(p) && ++*(unsigned *)arg;
}

static bool serve_each(struct wherry_packet *p, void *arg)
{
    received(p);
    return make_each(p, arg);
}

/* Of what was made since tx_packets was before, the last have found no room. */
static void made(unsigned n, uint64_t before)
{
    uint64_t sent = h.q.stats.tx_packets - before;

    assert(sent <= n);
    if (!h.lies)
        fifo_forget(&to_wire, to_wire.n - (n - (unsigned)sent), n - (unsigned)sent);
}

/* Only a TCP/IP stack asks for frames in several buffers: they are not the responder's. */
static void input_checked(struct netdev *d, struct netbuf *b)
{
    uint8_t *f = (uint8_t *)b + b->data;
    unsigned total = 0, n = 0;
    struct thing *t;

    for (const struct netbuf *i = b; i != NULL; i = i->next, n++)
        total += i->len;
    assert(b->nbufs == n && b->total == total && b->data == WHERRY_BUF_START);
    if (!h.lies) {
        t = fifo_take(n > 1 ? &to_input_long : &to_input);
        assert(n == t->buffers && b->len >= 14 && b->len <= t->len);
        assert(total == b->len + (n - 1) * (t->len + WHERRY_RUN_HEADER));
        assert(memcmp(f, t->data, b->len) == 0);
        assert(b->len == t->len || (n == 1 && b->len == be16(f + 16) + 14u));
        assert(!!(b->flags & NETBUF_CSUM_OK) == (t->flags != 0));
    }
    if (n == 1)
        input(d, b);
    else
        netbuf_free_packet(b);
}

static void foreign_done(struct netdev *d, void *cookie)
{
    unsigned i = (unsigned)((uint8_t(*)[WHERRY_RUN_HEADER + 96]) cookie - h.foreign);

    assert(i < FOREIGN && h.foreign_out[i]);
    h.foreign_out[i] = false;
}

/* The stack sends on the same card. */
static void send_one_foreign(unsigned v)
{
    struct netdev_frag frag[3];
    unsigned i = 0, n = v & 1 ? 1 : 1 + (v >> 1) % 3;
    struct netdev_tx t = {
        .frags = frag, .nfrags = n, .headroom = v & 9, .csum_start = v & 4 ? 34 : 0};

    while (i < FOREIGN && h.foreign_out[i])
        i++;
    if (i == FOREIGN)
        return;
    for (unsigned k = 0; k < n; k++)
        frag[k] = (struct netdev_frag){h.foreign[i] + WHERRY_RUN_HEADER + 32 * k, 32};
    t.cookie = &h.foreign[i];
    h.foreign_out[i] = true;
    if (h.dev->ops->tx(h.dev, 0, &t) != 0)
        h.foreign_out[i] = false;
    else if (v & 16)
        h.dev->ops->kick(h.dev, 0);
}

static void send_foreign(unsigned v, unsigned n)
{
    while (n-- > 0)
        send_one_foreign(v);
}

static void poll(void)
{
    struct raw *r = h.dev->raw;
    unsigned nr = r->nr;
    uint64_t before = h.q.stats.rx_packets, came;

    raw_poll(&r->poller);
    came = h.q.stats.rx_packets - before;
    assert(r->nr >= nr && r->nr - nr <= came && (r->nr - nr == came || r->nr == BACKLOG));
    if (!h.lies)
        fifo_forget(&to_user, r->nr, (unsigned)came - (r->nr - nr)); /* the backlog is full */
    h.lost += came - (r->nr - nr);
}

static void receive(unsigned max)
{
    unsigned n = wherry_netq_rx(&h.q, h.held + h.nr_held, MIN(max, HELD - h.nr_held));

    for (; n > 0; n--)
        received(&h.held[h.nr_held++]);
}

static void take_and_answer(unsigned max)
{
    struct wherry_packet p[MAX_BURST];
    unsigned came = 0, n, good = 0, sent;
    uint64_t before;

    n = wherry_netq_rx_each(&h.q, p, max, look_each, &came);
    assert(n == came && n <= max);
    before = h.q.stats.tx_packets;
    sent = wherry_netq_tx_each(&h.q, p, n, make_each, &good);
    assert(h.q.stats.tx_packets - before == sent);
    made(good, before);
}

static void serve(unsigned max)
{
    struct wherry_packet p[MAX_BURST];
    uint64_t before = h.q.stats.tx_packets, taken = h.taken;
    unsigned n, good = 0;

    n = wherry_netq_serve(&h.q, p, max, serve_each, &good);
    assert(n <= max && (h.lies || h.taken - taken <= n));
    made(good, before);
}

/* Some of those that are held go out; what is not taken remains. */
static void send_held(unsigned n)
{
    uint64_t before = h.q.stats.tx_packets;
    unsigned sent;

    n = MIN(n, h.nr_held);
    for (unsigned i = 0; i < n; i++)
        will_send(&h.held[i]);
    sent = wherry_netq_tx(&h.q, h.held, n);
    assert(sent <= n && h.q.stats.tx_packets - before == sent);
    made(n, before);
    h.nr_held -= sent;
    memmove(h.held, h.held + sent, h.nr_held * sizeof(*h.held));
}

/* The same by the loop over the ring, which takes all. */
static void answer_held(unsigned n)
{
    uint64_t before = h.q.stats.tx_packets;
    unsigned good = 0;

    n = MIN(n, h.nr_held);
    wherry_netq_tx_each(&h.q, h.held, n, make_each, &good);
    made(good, before);
    h.nr_held -= n;
    memmove(h.held, h.held + n, h.nr_held * sizeof(*h.held));
}

static void send_new(unsigned n)
{
    struct wherry_packet p[MAX_BURST];
    uint64_t before = h.q.stats.tx_packets;
    unsigned good = 0;

    n = wherry_netq_alloc(&h.q, p, n);
    for (unsigned i = 0; i < n; i++) {
        show(block_of(p[i].data));
        p[i].len = (uint16_t)build(p[i].data, 0, rnd(100), rnd(256));
    }
    wherry_netq_tx_each(&h.q, p, n, make_each, &good);
    made(good, before);
}

static void free_held(unsigned n)
{
    n = MIN(n, h.nr_held);
    h.nr_held -= n;
    wherry_netq_free(&h.q, h.held + h.nr_held, n);
}

/* ---- Where all blocks are ---- */

static uint8_t seen[ARENA / NETBUF_SIZE];

static UNTRACED void see(const void *p)
{
    unsigned i = (unsigned)(((uint8_t *)p - h.arena) / NETBUF_SIZE);

    assert(in_arena(p) && block_of(p) == p && seen[i] == 0);
    seen[i] = 1;
}

/* Not at the device, or only in name: the next of a batch (virtq.c). */
static UNTRACED bool in_flight(const struct virtq *vq, unsigned i)
{
    return vq->slot[i].limit || (vq->batch > 0 && i == (vq->last_used & vq->mask));
}

static UNTRACED void account(void)
{
    const struct raw *r = h.dev->raw;
    uint64_t free = netbuf_cache.n, used = h.nr_held + r->nr;

    memset(seen, 0, sizeof(seen));
    assert(netbuf_cache.n <= NETBUF_CACHE);
    for (unsigned i = 0; i < netbuf_cache.n; i++)
        see(netbuf_cache.block[i]);
    for (const struct netbuf *b = spilled; b != NULL; b = b->next, free++)
        see(b);
    for (unsigned i = 0; i < h.nr_held; i++)
        see(block_of(h.held[i].data));
    for (unsigned i = 0; i < r->nr; i++)
        see(block_of(r->backlog[(r->first + i) % BACKLOG].data));
    for (unsigned i = 0; i < h.rx.vq->size; i++) {
        if (in_flight(h.rx.vq, i))
            see(h.rx.vq->slot[i].cookie), used++;
    }
    for (unsigned i = 0; i < h.tx.vq->size; i++) {
        const struct virtq_slot *s = &h.tx.vq->slot[i];

        if (in_flight(h.tx.vq, i) && !((uintptr_t)s->cookie & USERS))
            see(s->cookie), used++;
    }
    assert(free + used == netbuf_stats.blocks && used == netbuf_stats.in_use);
}

/* ---- Each input ---- */

static void start(unsigned mode, unsigned memory)
{
    void *arena = h.arena;

    if (arena == NULL) {
        arena = aligned_alloc(HUGE_SIZE, ARENA);
        host_direct_base = (uintptr_t)arena - MiB;
    }
    memset(&h, 0, sizeof(h));
    to_user.n = to_input.n = to_input_long.n = to_wire.n = 0;
    h.arena = arena;
    h.small = (memory & 0x1c) == 0x1c;
    h.chunks_max = MIN(8 * (4 + 3 * (memory & 0x1f)), (unsigned)(ARENA / PAGE_SIZE));
    h.rnd = memory;
    h.ring_size = memory & 0x80 && memory & 0x40 ? 64 : WHERRY_RING_SIZE;
    __asan_unpoison_memory_region(arena, ARENA);
    spilled = NULL;
    netbuf_cache.n = 0;
    netbuf_stats = (struct netbuf_stats){0};
    netdev_list = (struct list)LIST_INIT(netdev_list);
    h.vdev.offered = VIRTIO_BIT(VIRTIO_NET_F_MAC) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) |
                     (mode & 1 ? VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) : 0) |
                     (mode & 2 ? VIRTIO_BIT(VIRTIO_NET_F_CSUM) : 0) |
                     ((mode & 0xc) == 0xc ? VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) : 0) |
                     (memory & 0x40 ? VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) : 0) |
                     ((memory & 0xc0) == 0x40 ? VIRTIO_BIT(VIRTIO_F_IN_ORDER) : 0);
    assert(net_probe(&h.vdev) == 0);
    h.dev = netdev_find(NULL);
    assert(ip_option("10.99.0.2::10.99.0.1:255.255.255.0") == 0);
    native_net_start();
    assert(h.dev->ip4 == HERE);
    h.dev->input = mode & 0x40 ? NULL : input_checked;
    h.dev->tx_done = foreign_done;
    assert(wherry_netq_open(&h.q, 0) == 0);
    if ((mode & 0x30) != 0x30)
        assert(wherry_netq_steer(&h.q, PORT_) == 0);
    if (mode & 0x80) { /* the transmit ring is as after some time: full, all of it done */
        for (unsigned i = 0; i < 2 * WHERRY_RING_SIZE && virtq_nfree(h.tx.vq) > 0; i++)
            send_new(MIN(virtq_nfree(h.tx.vq), 32u));
        complete_sent(WHERRY_RING_SIZE, true);
    }
    if (memory & 0x20) { /* and the pool is full, though the user holds some */
        static struct wherry_packet p[ARENA / NETBUF_SIZE];
        unsigned n = wherry_netq_alloc(&h.q, p, ARRAY_SIZE(p));

        for (; n > 0 && h.nr_held < MAX_BURST; n--) {
            show(block_of(p[n - 1].data));
            p[n - 1].len = (uint16_t)build(p[n - 1].data, 0, n % 64, n);
            h.held[h.nr_held++] = p[n - 1];
        }
        wherry_netq_free(&h.q, p, n);
    }
}

static void finish(void)
{
    const struct netdev_stats *s = &h.dev->stats;

    for (unsigned turns = 0; turns < 1000 && (to_user.n > 0 || !netdev_rx_idle(h.dev)); turns++) {
        free_held(HELD);
        receive(HELD);
    }
    free_held(HELD);
    account();
    h.dev->ops->kick(h.dev, 0);
    complete_sent(WHERRY_RING_SIZE, true);
    h.dev->ops->tx_reclaim(h.dev, 0);
    account();
    if (!h.lies) {
        assert(to_user.n == 0 && to_input.n == 0 && to_input_long.n == 0 && to_wire.n == 0);
        assert(s->rx_packets == h.good && s->rx_bytes == h.good_bytes);
        assert(h.q.stats.rx_packets == h.taken + h.lost && h.q.stats.rx_other == h.others);
        assert(s->tx_packets == h.fetched && s->tx_bytes == h.fetched_bytes);
        for (unsigned i = 0; i < FOREIGN; i++)
            assert(!h.foreign_out[i]);
    }
    while (h.nr_memory > 0)
        free(h.memory[--h.nr_memory]);
}

/* A frame of the fuzzer's own making; what it takes of data. */
static size_t arrive_odd(const uint8_t *data, size_t size)
{
    static struct arrival a;
    unsigned kind = data[0], len = MIN(data[1] * 6u, 1430u), at = data[2] * 2u, v = data[3];
    size_t used = 4;

    a = (struct arrival){.in_order = !(kind & 0x80) || v & 3, .buffers = data[4] & 3};
    a.hdr.flags = data[4] >> 2 & 7;
    a.hdr.csum_start = at * 7u + 1; /* 0 would be no checksum */
    a.hdr.csum_offset = v;
    if ((kind & 3) == 3) { /* bytes as they are */
        len = MIN(len, (unsigned)size - 5);
        memcpy(a.data, h.dev->mac, 6);
        memcpy(a.data + 12, "\x08", 2);
        memcpy(a.data + 14, data + 5, len);
        used += len;
        len += 14;
    } else {
        len = build(a.data, kind & 3, len, v);
        if (kind & 4)
            a.data[at % len] ^= (uint8_t)v;
        if (kind & 8) /* the checksum that the change wants */
            put_be16(a.data + 24, 0), put_be16(a.data + 24, (uint16_t)~sum(a.data + 14, 20, 0));
    }
    a.len = len;
    if (kind & 0x10)
        a.len = MAX(a.len - v % a.len, 14u);
    if (kind & 0x20)
        a.len = MAX(a.len, 60u);
    if (kind & 0x40)
        a.said = (uint32_t)(v << (data[4] >> 5) * 4);
    arrive(&a);
    flush(&h.rx);
    return used + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    start(data[0], data[1]);
    account();
    data += 2;
    size -= 2;
    while (size >= 6) {
        unsigned v = data[1];
        size_t used = 2;

        h.rnd += v;
        switch (data[0] & 15) {
        case 0:
        case 1:
            used = 1 + arrive_odd(data + 1, size - 1);
            break;
        case 2:
            arrive_many(v & 63, 0);
            break;
        case 3:
            arrive_many(v & 63, 1 + (v >> 6) * 8);
            break;
        case 4:
            receive(v % HELD);
            break;
        case 5:
            if (v & 1)
                answer_held(v);
            else
                send_held(v);
            break;
        case 6:
            free_held(v);
            break;
        case 7:
        case 8:
            take_and_answer(v % (MAX_BURST + 1));
            break;
        case 9:
        case 10:
            serve(v % (MAX_BURST + 1));
            break;
        case 11:
            poll();
            break;
        case 12:
            if (v & 1)
                send_new(v % MAX_BURST);
            else if (v & 2)
                send_foreign(v >> 2, 1 + data[2] % 64);
            else
                h.dev->ops->tx_reclaim(h.dev, 0);
            break;
        case 13:
            complete_sent(v, true);
            break;
        case 14:
            complete_sent(1, v & 7);
            break;
        default:
            if (v & 0x80)
                lie(v, data[2]);
            else
                fetch(v & 1 ? &h.tx : &h.rx);
            used = 3;
            break;
        }
        account();
        data += used;
        size -= used;
    }
    finish();
    return 0;
}
