/* See node.h. */
#include "roce/node.h"

#include "lib/random.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "net/netbuf.h"
#include "net/netdev.h"
#include "roce/icrc.h"
#include "sched/clock.h"

#include <asm/errno.h>

#define NODES_MAX     8u
#define WAY_PERIOD_NS (NSEC_PER_SEC)
#define AGAIN_NS      (2 * NSEC_PER_SEC)
#define FULL_NS       NSEC_PER_MSEC /* until the device may have room again */
#define PORT_FIRST    0xc000u       /* source ports: IBTA annex A17.8.1 */
#define TTL           64u

/* Reliable connections: §9.9.2 of IBTA leaves the times to us. A node may be started anew within
 * what the retries take together, some seconds. */
#define WINDOW        256u
#define RETRIES       20u
#define RETRIES_OTHER 6u
#define RTO_MIN_NS    (2 * NSEC_PER_MSEC)
#define RTO_MAX_NS    (500 * NSEC_PER_MSEC)
/* Where others can do, none is waited for for longer than 700 ms, however slow it was before. */
#define RTO_MAX_OTHER (100 * NSEC_PER_MSEC)
#define RTO_FIRST_NS  (50 * NSEC_PER_MSEC)
#define READS_WANTED  64u
#define ETH_MTU_OTHER (ROCE_FRONT - ROCE_ETH + ROCE_TRANSPORT_HEAD + 3 + ROCE_ICRC)

static struct node *nodes[NODES_MAX];
static unsigned nr_nodes;
static phys_t landing; /* where a payload is put together; 0: there was no memory */

/* ---- Out ---- */

static int send(void *ctx, uint8_t *bth, unsigned bth_len, const void *payload,
                uint32_t payload_len, unsigned pad)
{
    static const uint8_t zeros[3];
    struct node_link *l = ctx;
    struct node *n = l->node;
    unsigned head = ROCE_FRONT + bth_len, tail = pad + ROCE_ICRC;
    struct roce_path path = {
        .src_ip = n->way.own_ip, .dst_ip = n->ip, .src_port = n->src_port, .ttl = TTL};
    struct net_frame *f;
    uint8_t *end;
    uint32_t crc;

    if (!n->way_known)
        return -EAGAIN;
    f = net_frame_get(n->way.dev);
    if (f == NULL)
        return -ENOSPC;
    memcpy(path.src_mac, n->way.own_mac, sizeof(path.src_mac));
    memcpy(path.dst_mac, n->way.mac, sizeof(path.dst_mac));
    roce_build_front(f->head, &path, bth_len + payload_len + tail);
    roce_put16(f->head + ROCE_ETH + ROCE_IP4 + 2, n->session.qp[0].peer_port);
    memcpy(f->head + ROCE_FRONT, bth, bth_len);
    crc = roce_icrc_head(f->head + ROCE_ETH, ROCE_IP4 + ROCE_UDP + bth_len);
    if (payload_len == 0) { /* all of it in one piece */
        roce_icrc_put(f->head + head, crc);
        return net_frame_send(n->way.dev, f, head + ROCE_ICRC, NULL, 0, 0);
    }
    /* A repetition may be acknowledged, and the page be another's, before the device gets to it. */
    if (roce_repeats(&l->qp))
        f->page = frame_alloc(0);
    if (f->page != 0) {
        crc = roce_crc_copy(crc, phys_to_virt(f->page), payload, payload_len);
        payload = phys_to_virt(f->page);
    } else {
        crc = roce_crc(crc, payload, payload_len);
    }
    crc = roce_crc(crc, zeros, pad);
    end = f->tail;
    memset(end, 0, pad);
    roce_icrc_put(end + pad, crc);
    return net_frame_send(n->way.dev, f, head, payload, payload_len, tail);
}

/* ---- In ---- */

/* n bytes of a packet from offset on: summed up, and copied if dst is given. False: it is shorter.
 */
static bool gather(const struct netbuf *b, uint32_t offset, uint32_t n, uint8_t *dst, uint32_t *crc)
{
    for (; b != NULL && n > 0; b = b->next) {
        const uint8_t *p = (const uint8_t *)b + b->data;
        uint32_t part;

        if (offset >= b->len) {
            offset -= b->len;
            continue;
        }
        part = MIN(b->len - offset, n);
        if (dst != NULL) {
            *crc = roce_crc_copy(*crc, dst, p + offset, part);
            dst += part;
        } else {
            *crc = roce_crc(*crc, p + offset, part);
        }
        n -= part;
        offset = 0;
    }
    return n == 0;
}

static struct node_link *link_of(uint32_t from, uint32_t qpn)
{
    for (unsigned i = 0; i < nr_nodes; i++) {
        if (nodes[i]->ip != from)
            continue;
        for (unsigned k = 0; k < SESSION_QPS; k++)
            if (nodes[i]->link[k].qp.attr.qpn == qpn)
                return &nodes[i]->link[k];
    }
    return NULL;
}

/* A packet for a connection: its payload goes to one place if it is not there already, the ICRC is
 * verified on the way, and the connection has the rest. */
static void input_packet(struct netbuf *b)
{
    const uint8_t *frame = (const uint8_t *)b + b->data, *payload;
    struct roce_frame f;
    struct roce_packet p;
    struct node_link *l;
    uint32_t at, crc, other = 0;
    uint8_t end[3 + ROCE_ICRC];
    bool apart;

    if (!roce_frame_parse(&f, frame, b->len, b->total) || !roce_parse(&p, f.bth, f.have, f.len))
        return;
    l = link_of(f.path.src_ip, p.qpn);
    if (l == NULL)
        return;
    at = (uint32_t)(f.bth - frame) + p.head_len;
    apart = p.payload_len == PAGE_SIZE || at + p.payload_len > b->len;
    if (apart && (p.payload_len > PAGE_SIZE || (landing == 0 && !(landing = frame_alloc(0)))))
        return;
    payload = apart ? phys_to_virt(landing) : frame + at;
    crc = roce_icrc_head(f.ip, ROCE_IP4 + ROCE_UDP + p.head_len);
    if (!gather(b, at, p.payload_len, apart ? (uint8_t *)payload : NULL, &crc) ||
        !gather(b, at + p.payload_len, p.pad + ROCE_ICRC, end, &other))
        return;
    if (roce_icrc_get(end + p.pad) != roce_icrc(roce_crc(crc, end, p.pad)))
        return; /* dropped silently: IBTA §9.6.1 */
    if (roce_input(&l->qp, &p, payload, apart ? &landing : NULL, clock_mono_ns()))
        landing = 0;
    l->posted = true; /* an answer may make room for the next request */
}

static void input(struct netdev *d, struct netbuf *b)
{
    input_packet(b);
    netbuf_free_packet(b);
}

/* A whole page that landed in one takes the place of that which was to be filled. */
static bool place(void *ctx, const struct roce_request *r, uint32_t offset, const void *payload,
                  uint32_t len, void *landed)
{
    if (landed != NULL && offset == 0 && len == PAGE_SIZE && r->len == PAGE_SIZE) {
        node_landed(r->cookie, *(phys_t *)landed);
        return true;
    }
    memcpy(r->buf + offset, payload, len);
    return false;
}

static void complete(void *ctx, const struct roce_request *r, int status, uint8_t syndrome)
{
    struct node_link *l = ctx;

    if (status == -ETIMEDOUT)
        l->node->why = "does not answer";
    else if (status == -EIO)
        l->node->why = "refuses a request";
    node_done(l->node, r->cookie, status);
}

static const struct roce_ops ops = {.send = send, .place = place, .complete = complete};

/* ---- Session and connections ---- */

static void on_datagram(void *ctx, uint32_t from, uint16_t port, const uint8_t *p, size_t len)
{
    struct node *n = ctx;

    if (from == n->ip && port == n->control_port &&
        session_input(&n->session, p, len, clock_mono_ns()))
        node_heard(n);
}

static void new_numbers(struct node *n)
{
    uint64_t r = random_u64();

    for (unsigned i = 0; i < SESSION_QPS; i++) {
        struct session_qp *q = &n->session.qp[i];
        unsigned mtu = ROCE_MTU_MIN;

        q->qpn = (uint32_t)((r >> 8) + i) & 0xffffff;
        q->psn = (uint32_t)random_u64() & ROCE_PSN_MASK;
        while (n->way_known && mtu < ROCE_MTU_MAX && mtu * 2 + ETH_MTU_OTHER <= n->way.dev->mtu)
            mtu *= 2;
        q->mtu = (uint16_t)mtu;
        q->rd_atomic = READS_WANTED;
    }
}

int node_open(struct node *n)
{
    n->port = nr_nodes < NODES_MAX ? net_port_open(on_datagram, n) : NULL;
    if (n->port == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < SESSION_QPS; i++) {
        struct node_link *l = &n->link[i];

        l->node = n;
        roce_init(&l->qp, &ops, l, l->ring, NODE_RING);
    }
    n->src_port = (uint16_t)(PORT_FIRST | (random_u64() & 0x3fff));
    n->session.random = random_u64;
    n->state = NODE_IS_OPENING;
    nodes[nr_nodes++] = n;
    net_divert(ROCE_UDP_PORT, input);
    return 0;
}

static bool connect(struct node *n, uint64_t now)
{
    for (unsigned i = 0; i < SESSION_QPS; i++) {
        const struct session_qp *q = &n->session.qp[i];
        struct roce_attr attr = {.qpn = q->qpn,
                                 .peer_qpn = q->peer_qpn,
                                 .psn = q->psn,
                                 .mtu = q->mtu,
                                 .window = WINDOW,
                                 .max_reads = q->rd_atomic,
                                 .retries = n->several ? RETRIES_OTHER : RETRIES,
                                 .rnr_retries = ROCE_RETRIES_FOREVER,
                                 .rto_min_ns = RTO_MIN_NS,
                                 .rto_max_ns = n->several ? RTO_MAX_OTHER : RTO_MAX_NS,
                                 .rto_first_ns = RTO_FIRST_NS};

        if (roce_connect(&n->link[i].qp, &attr, now) < 0)
            return false;
    }
    return true;
}

static void lost(struct node *n, uint64_t now)
{
    bool was_up = n->state == NODE_IS_UP;

    n->state = NODE_IS_OPENING;
    for (unsigned i = 0; i < SESSION_QPS; i++)
        roce_abort(&n->link[i].qp);
    n->losses++;
    if (was_up)
        node_lost(n);
    new_numbers(n);
    session_reopen(&n->session, now);
}

static void poll_session(struct node *n, uint64_t now)
{
    const uint8_t *datagram;
    size_t len = session_output(&n->session, now, &datagram);

    if (len > 0)
        (void)net_port_send(n->port, n->ip, n->control_port, datagram, len);
    if (n->state == NODE_IS_LEAVING)
        return;
    switch (n->session.state) {
    case SESSION_IDLE:
        new_numbers(n);
        session_open(&n->session, now);
        break;
    case SESSION_READY:
        if (n->state == NODE_IS_OPENING && connect(n, now)) {
            n->state = NODE_IS_UP;
            if (n->losses > 0)
                node_back(n, n->renewed);
            n->renewed = false;
        }
        break;
    case SESSION_DOWN:
        if (n->session.error == -ETIMEDOUT) { /* perhaps it comes back */
            n->why = n->session.status == NODE_OK ? "does not answer a keepalive"
                                                  : "has ended the lease";
            lost(n, now);
        } else if (n->session.error == -ESTALE && n->several) {
            n->renewed = true;
            new_numbers(n);
            session_open(&n->session, now);
        } else if (n->losses > 0 && n->several) { /* no room, perhaps: those before us leave it */
            if (n->again == 0)
                n->again = now + AGAIN_NS;
            if (now < n->again)
                break;
            n->again = 0;
            new_numbers(n);
            session_open(&n->session, now);
        } else {
            n->state = NODE_IS_DEAD;
            node_dead(n);
        }
        break;
    default:
        break;
    }
}

uint64_t node_poll(struct node *n, uint64_t now)
{
    uint64_t due;

    if (n->state == NODE_IS_DEAD)
        return UINT64_MAX;
    if (now >= n->way_due) {
        n->way_known = net_way_to(n->ip, &n->way) == 0 || n->way_known;
        n->way_due = now + (n->way_known ? WAY_PERIOD_NS : 10 * NSEC_PER_MSEC);
    }
    if (!n->way_known)
        return n->way_due;
    poll_session(n, now);
    due = MIN(n->way_due, session_deadline(&n->session));
    if (n->again != 0)
        due = MIN(due, n->again);
    for (unsigned i = 0; i < SESSION_QPS && n->state == NODE_IS_UP; i++) {
        struct roce_qp *qp = &n->link[i].qp;

        if (roce_deadline(qp) <= now) {
            roce_timer(qp, now);
            n->link[i].posted = true;
        }
        if (qp->state == ROCE_DOWN) {
            lost(n, now);
            return now;
        }
    }
    node_kick(n, now);
    for (unsigned i = 0; i < SESSION_QPS; i++) {
        due = MIN(due, roce_deadline(&n->link[i].qp));
        if (n->link[i].posted)
            due = MIN(due, now + FULL_NS);
    }
    return due;
}

void node_close(struct node *n, uint64_t now)
{
    n->state = NODE_IS_LEAVING;
    for (unsigned i = 0; i < SESSION_QPS; i++)
        roce_abort(&n->link[i].qp);
    session_close(&n->session, now);
}

void node_free(struct node *n)
{
    unsigned i = 0;

    for (unsigned k = 0; k < SESSION_QPS; k++)
        assert(roce_outstanding(&n->link[k].qp) == 0);
    while (nodes[i] != n)
        i++;
    nodes[i] = nodes[--nr_nodes];
    net_port_close(n->port);
}

bool node_post(struct node *n, unsigned link, bool write, uint64_t offset, void *buf, uint32_t len,
               void *cookie)
{
    struct node_link *l = &n->link[link];
    uint64_t va = n->session.va + offset;
    int r;

    if (n->state != NODE_IS_UP)
        return false;
    r = write ? roce_write(&l->qp, va, n->session.rkey, len, buf, cookie)
              : roce_read(&l->qp, va, n->session.rkey, len, buf, cookie);
    l->posted |= r == 0;
    return r == 0;
}

void node_kick(struct node *n, uint64_t now)
{
    bool any = false;

    for (unsigned i = 0; i < SESSION_QPS; i++) {
        if (!n->link[i].posted)
            continue;
        roce_output(&n->link[i].qp, now);
        /* What the device had no room for is not forgotten: with nothing on its way there is no
         * timer, and no answer will come that reminds of it. */
        n->link[i].posted = n->link[i].qp.full;
        any = true;
    }
    if (any && n->way_known)
        net_frame_kick(n->way.dev);
}
