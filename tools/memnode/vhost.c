/*
 * A guest's network card over vhost-user, by DPDK: its rings are read and written in shared memory,
 * and polled, so that neither kernel nor exit lies between guest and node (transport.h). In the
 * program wherry-memnode only; called by node.c. One guest, which may go and another come.
 */
#include "transport.h"

#include "../pktgen/peer.h"

#include <stdlib.h>

enum { SEND_MAX = 256, MEMORY_MIB = 128 };

struct vhost {
    struct transport t;
    struct peer peer;
    struct rte_mbuf *in[TRANSPORT_BURST], *out[SEND_MAX];
    unsigned nr_in, nr_out;
    struct rte_mbuf *room; /* given out, not sent */
};

static void free_received(struct vhost *v)
{
    while (v->nr_in)
        rte_pktmbuf_free(v->in[--v->nr_in]);
}

static unsigned vhost_receive(struct transport *t, struct packet *burst)
{
    struct vhost *v = (struct vhost *)t;
    unsigned n = 0;

    free_received(v);
    v->nr_in = peer_receive(&v->peer, v->in, TRANSPORT_BURST);
    for (unsigned i = 0; i < v->nr_in; i++) {
        struct rte_mbuf *m = v->in[i];

        /* A buffer holds the longest frame; more than that is nobody's. */
        if (m->nb_segs != 1 || m->pkt_len > TRANSPORT_PACKET) {
            t->counts.lost_in++;
            continue;
        }
        burst[n++] = (struct packet){rte_pktmbuf_mtod(m, uint8_t *), m->pkt_len, 0};
        t->counts.packets_in++;
        t->counts.bytes_in += m->pkt_len;
    }
    return n;
}

static void vhost_flush(struct transport *t)
{
    struct vhost *v = (struct vhost *)t;
    unsigned sent = peer_send(&v->peer, v->out, v->nr_out);

    v->nr_out -= sent;
    for (unsigned i = 0; i < v->nr_out; i++)
        v->out[i] = v->out[i + sent];
}

static uint8_t *vhost_room(struct transport *t, unsigned link)
{
    struct vhost *v = (struct vhost *)t;

    (void)link;
    if (v->nr_out == SEND_MAX)
        vhost_flush(t);
    if (v->nr_out == SEND_MAX)
        return NULL;
    if (!v->room)
        v->room = peer_frame(&v->peer);
    return v->room ? rte_pktmbuf_mtod(v->room, uint8_t *) : NULL;
}

static void vhost_send(struct transport *t, unsigned link, size_t len)
{
    struct vhost *v = (struct vhost *)t;

    (void)link;
    v->room->data_len = v->room->pkt_len = len;
    v->out[v->nr_out++] = v->room;
    v->room = NULL;
    t->counts.packets_out++;
    t->counts.bytes_out += len;
}

static unsigned vhost_path_mtu(struct transport *t, uint32_t address)
{
    (void)t, (void)address;
    return TRANSPORT_PACKET - ROCE_ETH; /* the guest's own card is the limit */
}

static void vhost_close(struct transport *t)
{
    struct vhost *v = (struct vhost *)t;

    vhost_flush(t);
    free_received(v);
    while (v->nr_out)
        rte_pktmbuf_free(v->out[--v->nr_out]);
    rte_pktmbuf_free(v->room);
    peer_close(&v->peer);
    free(v);
}

static const struct transport_ops vhost_ops = {
    .name = "vhost-user",
    .receive = vhost_receive,
    .room = vhost_room,
    .send = vhost_send,
    .flush = vhost_flush,
    .path_mtu = vhost_path_mtu,
    .close = vhost_close,
};

struct transport *transport_vhost(const char *path, bool huge_pages, int argc, char **argv)
{
    struct peer_config c = {.program = "wherry-memnode",
                            .option = "--netdev vhost-user",
                            .socket = path,
                            .queues = 1,
                            .cpu = -1,
                            .huge_pages = huge_pages,
                            .frames = SEND_MAX + TRANSPORT_BURST,
                            .frame_max = TRANSPORT_PACKET,
                            .memory_mib = MEMORY_MIB};
    struct vhost *v = xcalloc(1, sizeof(*v));

    (void)argc, (void)argv;
    peer_open(&v->peer, &c);
    v->t = (struct transport){.ops = &vhost_ops, .ethernet = true, .fd = -1};
    return &v->t;
}
