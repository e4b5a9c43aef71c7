/* See peer.h. */
#include "net/peer.h"

#include "mm/frame.h"
#include "mm/slab.h"
#include "net/ethif.h"
#include "net/net.h"
#include "net/netdev.h"

#include <asm/errno.h>
#include <linux/if_ether.h>

#include "lwip/etharp.h"
#include "lwip/ip4.h"
#include "lwip/pbuf.h"
#include "lwip/udp.h"

#define FRAMES       512u
#define DATAGRAM_MAX 1472u

_Static_assert(sizeof(struct pbuf_custom) <= 40, "fits struct net_frame's owner area");
_Static_assert(offsetof(struct net_frame, head) - offsetof(struct net_frame, headroom) >=
                   NETDEV_HEADROOM,
               "room for the driver's header");

/* ---- The way ---- */

int net_way_to(uint32_t ip, struct net_way *way)
{
    ip4_addr_t to = {.addr = lwip_htonl(ip)}, next;
    struct netif *netif = ip4_route(&to);
    const ip4_addr_t *found;
    struct eth_addr *mac;

    if (netif == NULL || net_netdev(netif) == NULL || netif_ip4_addr(netif)->addr == 0)
        return -ENETUNREACH;
    next = to;
    if (((to.addr ^ netif_ip4_addr(netif)->addr) & netif_ip4_netmask(netif)->addr) != 0)
        next = *netif_ip4_gw(netif);
    if (next.addr == 0)
        return -ENETUNREACH;
    if (etharp_find_addr(netif, &next, &mac, &found) < 0) {
        etharp_query(netif, &next, NULL);
        net_flush();
        return -EAGAIN;
    }
    way->dev = net_netdev(netif);
    way->own_ip = lwip_ntohl(netif_ip4_addr(netif)->addr);
    memcpy(way->own_mac, netif->hwaddr, sizeof(way->own_mac));
    memcpy(way->mac, mac->addr, sizeof(way->mac));
    return 0;
}

/* ---- Frames ---- */

static struct net_frame *free_frames;
static unsigned nr_frames;

void net_frame_put(struct net_frame *f)
{
    if (unlikely(f->page != 0))
        frame_put(f->page);
    f->page = 0;
    f->next = free_frames;
    free_frames = f;
}

static void frame_sent(struct pbuf *p)
{
    net_frame_put((struct net_frame *)p);
}

struct net_frame *net_frame_get(struct netdev *d)
{
    struct net_frame *f = free_frames;

    if (unlikely(f == NULL)) {
        d->ops->tx_reclaim(d, 0);
        f = free_frames;
    }
    if (likely(f != NULL)) {
        free_frames = f->next;
        return f;
    }
    if (nr_frames == FRAMES)
        return NULL;
    f = kmalloc(sizeof(*f));
    if (f == NULL)
        return NULL;
    f->page = 0;
    nr_frames++;
    return f;
}

int net_frame_send(struct netdev *d, struct net_frame *f, unsigned head_len, const void *data,
                   unsigned len, unsigned tail_len)
{
    struct netdev_frag frags[3] = {{.data = f->head, .len = head_len}};
    struct pbuf_custom *c = (struct pbuf_custom *)f->owner;
    struct netdev_tx t = {.frags = frags, .nfrags = 1, .headroom = true, .cookie = &c->pbuf};
    int r;

    if (len > 0)
        frags[t.nfrags++] = (struct netdev_frag){.data = data, .len = len};
    if (tail_len > 0)
        frags[t.nfrags++] = (struct netdev_frag){.data = f->tail, .len = tail_len};
    /* What the interface's owner gives back when it has gone out: a pbuf that is ours. */
    memset(c, 0, sizeof(*c));
    c->pbuf.flags = PBUF_FLAG_IS_CUSTOM | PBUF_FLAG_TX_BUSY;
    c->pbuf.ref = 1;
    c->custom_free_function = frame_sent;
    r = d->ops->tx(d, 0, &t);
    if (unlikely(r == -ENOSPC)) {
        d->ops->kick(d, 0);
        d->ops->tx_reclaim(d, 0);
        r = d->ops->tx(d, 0, &t);
    }
    if (unlikely(r < 0)) {
        net_frame_put(f);
        return -ENOSPC;
    }
    return 0;
}

void net_frame_kick(struct netdev *d)
{
    d->ops->kick(d, 0);
}

static uint16_t divert_port; /* network order */
static void (*divert_input)(struct netdev *d, struct netbuf *b);

static bool diverted(struct netdev *d, struct netbuf *b)
{
    const uint8_t *f = (const uint8_t *)b + b->data;
    uint16_t type, port;

    if (b->len < ETH_HLEN + IP_HLEN + UDP_HLEN)
        return false;
    memcpy(&type, f + 12, sizeof(type));
    memcpy(&port, f + ETH_HLEN + IP_HLEN + 2, sizeof(port));
    if (type != PP_HTONS(ETH_P_IP) || f[ETH_HLEN] != 0x45 || f[ETH_HLEN + 9] != IP_PROTO_UDP ||
        port != divert_port)
        return false;
    divert_input(d, b);
    return true;
}

void net_divert(uint16_t port, void (*input)(struct netdev *d, struct netbuf *b))
{
    divert_port = lwip_htons(port);
    divert_input = input;
    ethif_divert = diverted;
}

/* ---- Datagrams ---- */

struct net_port {
    struct udp_pcb *pcb;
    void (*input)(void *ctx, uint32_t from, uint16_t port, const uint8_t *p, size_t n);
    void *ctx;
};

static void on_datagram(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
                        u16_t port)
{
    struct net_port *o = arg;
    uint8_t copy[DATAGRAM_MAX];
    size_t n = p->tot_len;

    if (IP_IS_V4(from) && n <= sizeof(copy)) {
        pbuf_copy_partial(p, copy, (u16_t)n, 0);
        o->input(o->ctx, lwip_ntohl(ip_2_ip4(from)->addr), port, copy, n);
    }
    pbuf_free(p);
}

struct net_port *net_port_open(void (*input)(void *ctx, uint32_t from, uint16_t port,
                                             const uint8_t *p, size_t n),
                               void *ctx)
{
    struct net_port *o = kzalloc(sizeof(*o));

    if (o == NULL)
        return NULL;
    *o = (struct net_port){.pcb = udp_new_ip_type(IPADDR_TYPE_V4), .input = input, .ctx = ctx};
    if (o->pcb == NULL || udp_bind(o->pcb, IP4_ADDR_ANY, 0) != ERR_OK) {
        net_port_close(o);
        return NULL;
    }
    udp_recv(o->pcb, on_datagram, o);
    return o;
}

void net_port_close(struct net_port *o)
{
    if (o->pcb != NULL)
        udp_remove(o->pcb);
    kfree(o);
}

int net_port_send(struct net_port *o, uint32_t to, uint16_t to_port, const void *p, size_t n)
{
    ip_addr_t ip = IPADDR4_INIT(lwip_htonl(to));
    struct pbuf *b = pbuf_alloc(PBUF_TRANSPORT, (u16_t)n, PBUF_RAM);
    err_t r;

    if (b == NULL)
        return -ENOMEM;
    memcpy(b->payload, p, n);
    r = udp_sendto(o->pcb, b, &ip, to_port);
    pbuf_free(b);
    net_flush();
    return r == ERR_OK ? 0 : -ENETUNREACH;
}
