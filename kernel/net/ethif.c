/*
 * Ethernet between lwIP and a network device (net/netdev.h). Registers the poller through which
 * blocked and idle threads drive the stack; called by lwIP for output. Never sleeps.
 *
 * Receive: a netbuf becomes a pbuf in place (struct pbuf_custom in its header), goes up to the
 * socket as it is and returns to the netbufs when the last reference goes. Packets of several
 * netbufs become chains; the Ethernet header is taken off here, so that a merged packet of 64 KiB
 * fits lwIP's 16-bit lengths.
 *
 * Transmit: the pbuf is queued by reference, flagged as busy until the device is done, so that TCP
 * does not rewrite the headers of a segment that is still in the ring.
 */
#include "net/ethif.h"

#include "net/csum.h"

#include "mm/slab.h"
#include "net/inet.h"
#include "net/ip4_fast.h"
#include "net/net.h"
#include "net/netdev.h"

#include <asm/errno.h>
#include <linux/if_ether.h>

#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "lwip/ip4.h"
#include "lwip/ip.h"
#include "lwip/ip6.h"
#include "lwip/pbuf.h"
#include "netif/ethernet.h"

#define BURST 32

bool (*ethif_divert)(struct netdev *d, struct netbuf *b);

_Static_assert(sizeof(struct pbuf) == 32 && sizeof(struct pbuf_custom) == 40,
               "a pbuf fits struct netbuf's owner area");

struct ethif {
    struct netif netif;
    struct netdev *dev;
    struct poller poller;
    bool polling;
};

struct netdev *net_netdev(struct netif *netif)
{
    return net_is_lo(netif) ? NULL : ((struct ethif *)netif)->dev;
}

void ethif_pbuf_free(struct pbuf *p)
{
    netbuf_free((struct netbuf *)p);
}

struct pbuf *ethif_pbuf(struct netbuf *b)
{
    return ethif_pbuf_of(b, NETIF_NO_INDEX);
}

bool ethif_is_netbuf(const struct pbuf *p)
{
    return (p->flags & PBUF_FLAG_IS_CUSTOM) &&
           ((const struct pbuf_custom *)p)->custom_free_function == ethif_pbuf_free;
}

static __always_inline bool mac_equal(const u8_t *a, const u8_t *b)
{
    u32_t a1, b1;
    u16_t a2, b2;
    __builtin_memcpy(&a1, a, 4);
    __builtin_memcpy(&b1, b, 4);
    __builtin_memcpy(&a2, a + 4, 2);
    __builtin_memcpy(&b2, b + 4, 2);
    return ((a1 ^ b1) | (u32_t)(a2 ^ b2)) == 0;
}

/* IP packets from the wire whose sender claims to be this machine: nobody else may speak in our
 * name, for example to our own connections to ourselves. Or to be nobody, to us alone: who has no
 * address yet speaks to all (RFC 1122 §3.2.1.3). Those too short for a header are left to lwIP. */
static bool from_ourselves(const struct pbuf *p, const struct netif *netif, bool v6)
{
    const u8_t *h = p->payload;
    ip_addr_t src = {0};
    if (p->len < (v6 ? IP6_HLEN : IP_HLEN))
        return false;
    if (v6) {
        if (h[6] == IPPROTO_ICMPV6) /* how a duplicate of our address is found (RFC 4862 §5.4) */
            return false;
        memcpy(ip_2_ip6(&src)->addr, h + 8, 16);
        IP_SET_TYPE_VAL(src, IPADDR_TYPE_V6);
        ip6_addr_assign_zone(ip_2_ip6(&src), IP6_UNICAST, netif_get_by_index(p->if_idx));
    } else {
        u32_t a;
        memcpy(&a, h + 12, 4);
        if (a == 0) {
            memcpy(&a, h + 16, 4);
            return a != 0 && a == ip4_addr_get_u32(netif_ip4_addr(netif));
        }
        ip_addr_set_ip4_u32_val(src, a);
    }
    return inet_is_local(&src);
}

static void slow_input(struct pbuf *p, struct netif *netif, bool csum_ok, bool v6)
{
    ethif_checks(netif, csum_ok);
    if (from_ourselves(p, netif, v6)) {
        net_stats.rx_martian++;
        pbuf_free(p);
    } else if (v6) {
        ip6_input(p, netif);
    } else {
        ip4_input(p, netif);
    }
}

static void eth_input(struct ethif *e, struct netbuf *b)
{
    struct netif *netif = &e->netif;
    const u8_t *eth = (const u8_t *)b + b->data;
    u8_t if_idx = netif_get_index(netif), ll_flags = 0;
    u16_t type;

    if (unlikely(b->len < ETH_HLEN)) {
        net_stats.rx_short++;
        netbuf_free_packet(b);
        return;
    }
    if (unlikely(eth[0] & 1)) {
        ll_flags = mac_equal(eth, ethbroadcast.addr) ? PBUF_FLAG_LLBCAST : PBUF_FLAG_LLMCAST;
    } else if (unlikely(!mac_equal(eth, netif->hwaddr))) {
        net_stats.rx_other_host++;
        netbuf_free_packet(b);
        return;
    }
    __builtin_memcpy(&type, eth + 12, 2);
    b->data += ETH_HLEN;
    b->len -= ETH_HLEN;
    b->total -= ETH_HLEN;
    b->l3 = b->data;

    struct netbuf *rest = b->next;
    u32_t total = b->total;
    u8_t csum_ok = b->flags & NETBUF_CSUM_OK;
    struct pbuf *p = ethif_pbuf_of(b, if_idx);
    p->flags |= ll_flags;
    if (unlikely(rest != NULL)) {
        struct pbuf *tail = p;
        u32_t left = total;
        while (rest != NULL) {
            struct netbuf *next = rest->next;
            tail->tot_len = (u16_t)left;
            left -= tail->len;
            tail->next = ethif_pbuf_of(rest, if_idx);
            tail = tail->next;
            rest = next;
        }
    }
    if (likely(type == PP_HTONS(ETH_P_IP))) {
        if (unlikely(ll_flags != 0 || !ip4_fast_input(p, netif, csum_ok)))
            slow_input(p, netif, csum_ok, false);
    } else if (type == PP_HTONS(ETH_P_IPV6)) {
        slow_input(p, netif, csum_ok, true);
    } else if (type == PP_HTONS(ETH_P_ARP)) {
        etharp_input(p, netif);
    } else {
        net_stats.rx_unknown++;
        pbuf_free(p);
    }
}

/* May a run of datagrams begin with it? */
static __always_inline bool looks_udp(const struct netbuf *b)
{
    return b->len >= IP4_FAST_UDP_MIN &&
           ((const u8_t *)b)[b->data + ETH_HLEN + offsetof(struct ip_hdr, _proto)] == IP_PROTO_UDP;
}

static __attribute__((noinline)) bool receive(struct ethif *e)
{
    struct netbuf *packets[BURST];
    if (unlikely(e->polling)) /* called from within: it will be seen there */
        return false;
    unsigned n = e->dev->ops->rx_burst(e->dev, 0, packets, BURST);
    if (n == 0)
        return false;
    e->polling = true;
    if (unlikely(ethif_divert != NULL)) {
        unsigned kept = 0;

        for (unsigned i = 0; i < n; i++)
            if (!ethif_divert(e->dev, packets[i]))
                packets[kept++] = packets[i];
        n = kept;
    }
    tcp_sync_ticks();
    for (unsigned i = 0; i < n;) {
        if (looks_udp(packets[i]))
            i += ip4_fast_udp_run(&e->netif, packets + i, n - i);
        if (i < n)
            eth_input(e, packets[i++]);
    }
    e->polling = false;
    net_flush();
    return true;
}

static bool ethif_poll(struct poller *poller)
{
    struct ethif *e = container_of(poller, struct ethif, poller);
    if (netdev_rx_idle(e->dev))
        return false;
    return unlikely(e->dev->steered != NULL) ? e->dev->steered(e->dev) : receive(e);
}

/* A packet that a raw user of the device has no use for. */
static void input(struct netdev *d, struct netbuf *b)
{
    struct ethif *e = d->user;

    if (unlikely(e->polling)) { /* from within the stack: lost, as if the ring had been full */
        netbuf_free(b);
        return;
    }
    e->polling = true;
    tcp_sync_ticks();
    eth_input(e, b);
    e->polling = false;
    net_flush();
}

static bool ethif_arm(struct poller *poller)
{
    struct ethif *e = container_of(poller, struct ethif, poller);
    return e->dev->ops->arm(e->dev, 0);
}

static bool haltpoll_ethif(const struct poller *p)
{
    return netdev_quiet(container_of(p, const struct ethif, poller)->dev);
}

static void ethif_interrupt(struct netdev *d)
{
    struct ethif *e = d->user;
    ethif_poll(&e->poller);
}

const bool netdev_stream = true;

static void tx_done(struct netdev *d, void *cookie)
{
    struct pbuf *p = cookie;
    p->flags &= (u8_t)~PBUF_FLAG_TX_BUSY;
    if (ethif_is_netbuf(p))
        ethif_free_netbuf((struct netbuf *)p);
    else
        pbuf_free(p);
}

static bool has_headroom(const struct pbuf *p)
{
    return (p->type_internal & PBUF_TYPE_FLAG_STRUCT_DATA_CONTIGUOUS) &&
           (const u8_t *)p->payload - (const u8_t *)p >=
               (ptrdiff_t)(sizeof(struct pbuf_custom) + NETDEV_HEADROOM);
}

/* The device has packets that it is to be told of when the stack has run. */
static __always_inline void to_kick(struct netdev *d)
{
    if (unlikely(net_tx_pending != d)) {
        if (net_tx_pending != NULL)
            net_tx_kick(net_tx_pending);
        net_tx_pending = d;
    }
}

static __attribute__((noinline)) int tx_again(struct ethif *e, const struct netdev_tx *t)
{
    /* The device may be behind only because nobody told it. */
    e->dev->ops->kick(e->dev, 0);
    e->dev->ops->tx_reclaim(e->dev, 0);
    return e->dev->ops->tx(e->dev, 0, t);
}

/* Gives t, which is p, to the device, with a reference to p. */
static __always_inline err_t hand_over(struct ethif *e, struct pbuf *p, const struct netdev_tx *t)
{
    int r;

    p->flags |= PBUF_FLAG_TX_BUSY;
    r = e->dev->ops->tx(e->dev, 0, t);
    if (unlikely(r == -ENOSPC))
        r = tx_again(e, t);
    if (unlikely(r < 0)) {
        net_stats.tx_refused++;
        p->flags &= (u8_t)~PBUF_FLAG_TX_BUSY;
        pbuf_free(p);
        return ERR_MEM;
    }
    to_kick(e->dev);
    return ERR_OK;
}

static err_t transmit(struct ethif *e, struct pbuf *p, struct netdev_frag *frags, unsigned n)
{
    struct netdev_tx t;
    t.frags = frags;
    t.nfrags = n;
    t.headroom = has_headroom(p);
    t.cookie = p;
    t.csum_start = t.gso_size = t.hdr_len = 0;
    t.csum_off = 0;
    t.ipv6 = false;
    if (likely(p->l4_len != 0)) {
        t.csum_start = (uint16_t)(p->tot_len - p->l4_len);
        t.csum_off = p->csum_off;
        if (p->gso_size != 0) {
            const u8_t *tcp = (const u8_t *)p->payload + t.csum_start;
            t.gso_size = p->gso_size;
            t.hdr_len = (uint16_t)(t.csum_start + (tcp[12] >> 4) * 4);
            t.ipv6 = ((const u8_t *)p->payload)[ETH_HLEN] >> 4 == 6;
        }
    }
    p->ref++;
    return hand_over(e, p, &t);
}

/* Far more pieces than TCP makes: a chain of many small ones. Copied once. */
static __attribute__((noinline)) err_t send_copy(struct ethif *e, struct pbuf *p)
{
    struct pbuf *one = pbuf_clone(PBUF_RAW_TX, PBUF_RAM, p);
    if (one == NULL)
        return ERR_MEM;
    struct netdev_frag f = {.data = one->payload, .len = one->len};
    err_t r = transmit(e, one, &f, 1);
    pbuf_free(one);
    return r;
}

static __always_inline err_t send_frame(struct ethif *e, struct pbuf *p)
{
    struct netdev_frag frags[NETDEV_MAX_FRAGS];
    unsigned n = 0;

    for (const struct pbuf *q = p; q != NULL; q = q->next) {
        if (unlikely(q->len == 0))
            continue;
        if (unlikely(n == NETDEV_MAX_FRAGS))
            return send_copy(e, p);
        frags[n].data = q->payload;
        frags[n++].len = q->len;
    }
    return transmit(e, p, frags, n);
}

static err_t linkoutput(struct netif *netif, struct pbuf *p)
{
    return send_frame((struct ethif *)netif, p);
}

/* ---- The next hop's address, remembered ---- */

/*
 * Asking ARP for each packet costs more than the packet's IP header. Here the Ethernet header of
 * the last packet to a neighbour (a gateway serves all who are behind it) is kept, as long as the
 * ARP table does not change and for at most a tick of it (a second), so that ARP sees that the
 * entry is in use and renews it in time.
 */
#define HOPS 64u

struct hop {
    u32_t ip, generation;
    struct netif *netif;
    u8_t header[ETH_HLEN];
};
static struct hop hops[HOPS];
static u16_t ip_id; /* of packets that put_headers() builds */

#define TCP_CSUM_OFF 16 /* of the checksum in a TCP header */
#define UDP_CSUM_OFF 6

/* Whom a packet is handed to, as etharp_output() has it. Multicasts and broadcasts, which are no
 * neighbours, are never remembered. */
static __always_inline u32_t neighbour(const struct netif *netif, u32_t dst)
{
    bool local = ((dst ^ netif_ip4_addr(netif)->addr) & netif_ip4_netmask(netif)->addr) == 0 ||
                 (u16_t)dst == PP_HTONS(0xa9fe); /* RFC 3927 */

    return local || (u8_t)dst >= 0xe0 ? dst : netif_ip4_gw(netif)->addr;
}

static __always_inline struct hop *hop_of(u32_t ip)
{
    return &hops[(ip ^ ip >> 24) % HOPS];
}

static __always_inline bool hop_good(const struct hop *h, u32_t ip, const struct netif *netif)
{
    return likely(h->ip == ip && h->generation == etharp_generation && h->netif == netif);
}

static void remember_hop(struct hop *h, struct netif *netif, const ip4_addr_t *next)
{
    const ip4_addr_t *found;
    struct eth_addr *mac;

    if (ip4_addr_ismulticast(next) || ip4_addr_isbroadcast(next, netif) ||
        etharp_find_addr(netif, next, &mac, &found) < 0)
        return;
    h->ip = next->addr;
    h->generation = etharp_generation;
    h->netif = netif;
    memcpy(h->header, mac->addr, ETH_ALEN);
    memcpy(h->header + ETH_ALEN, netif->hwaddr, ETH_ALEN);
    h->header[12] = ETH_P_IP >> 8;
    h->header[13] = ETH_P_IP & 0xff;
}

static err_t output_ip4(struct netif *netif, struct pbuf *p, const ip4_addr_t *ip)
{
    ip4_addr_t next = {.addr = neighbour(netif, ip->addr)};
    struct hop *h = hop_of(next.addr);

    if (likely(hop_good(h, next.addr, netif) && pbuf_push(p, ETH_HLEN) == 0)) {
        __builtin_memcpy(p->payload, h->header, ETH_HLEN);
        return linkoutput(netif, p);
    }
    err_t r = etharp_output(netif, p, ip);
    remember_hop(h, netif, &next);
    return r;
}

/* ---- Out without lwIP's IP output ---- */

static __always_inline void put16(u8_t *at, u16_t v)
{
    __builtin_memcpy(at, &v, sizeof(v));
}

/* The address of the neighbour that leads to dst, where a packet may be built here; else NULL. */
static __always_inline const struct hop *way_out(const struct netif *netif, u32_t dst)
{
    u32_t next = neighbour(netif, dst);
    const struct hop *h = hop_of(next);

    return likely(hop_good(h, next, netif) && netif_is_up(netif) &&
                  netif->offload & NETIF_OFFLOAD_TX_CSUM)
               ? h
               : NULL;
}

/* The Ethernet and the IP header at at, and the part of the TCP or UDP checksum that the device
 * completes. fragment: flags and offset. Any identification will do (RFC 6864 §4.1). */
static __always_inline void put_headers(u8_t *at, const struct hop *h, const struct ethif_ip4 *t,
                                        u8_t proto, u16_t l4_len, u8_t csum_off, u16_t fragment)
{
    uint64_t s = (uint64_t)t->src + t->dst;
    u32_t w[5];

    put16(at + ETH_HLEN + IP_HLEN + csum_off,
          csum_fold(s + lwip_htons(proto) + lwip_htons(l4_len)));
    w[0] = 0x45u | (u32_t)t->tos << 8 | (u32_t)lwip_htons((u16_t)(l4_len + IP_HLEN)) << 16;
    w[1] = ip_id++ | (u32_t)lwip_htons(fragment) << 16;
    w[2] = t->ttl | (u32_t)proto << 8;
    w[3] = t->src;
    w[4] = t->dst;
    w[2] |= (u32_t)(u16_t)~csum_fold(s + w[0] + w[1] + w[2]) << 16;
    __builtin_memcpy(at, h->header, ETH_HLEN);
    __builtin_memcpy(at + ETH_HLEN, w, sizeof(w));
}

bool ethif_output_tcp4(struct netif *netif, struct pbuf *p, const struct ethif_ip4 *t, err_t *r)
{
    const struct hop *h = way_out(netif, t->dst);
    u16_t len = p->tot_len;

    if (unlikely(!h || (len + IP_HLEN > netif->mtu && p->gso_size == 0) ||
                 pbuf_push(p, ETH_HLEN + IP_HLEN) != 0))
        return false;
    put_headers(p->payload, h, t, IP_PROTO_TCP, len, TCP_CSUM_OFF, IP_DF); /* RFC 1191 */
    p->l4_len = len;
    p->csum_off = TCP_CSUM_OFF;
    IP_STATS_INC(ip.xmit);
    *r = send_frame((struct ethif *)netif, p);
    return true;
}

bool ethif_frame_udp4(struct netif *netif, u8_t *udp, u16_t len, const struct ethif_ip4 *t)
{
    const struct hop *h = way_out(netif, t->dst);

    if (unlikely(!h || len + IP_HLEN > netif->mtu ||
                 ((struct ethif *)netif)->dev->ops->tx_raw == NULL))
        return false;
    put_headers(udp - ETHIF_IP4_ROOM, h, t, IP_PROTO_UDP, len, UDP_CSUM_OFF, 0);
    return true;
}

unsigned ethif_output_frames(struct netif *netif, const struct wherry_packet *p, unsigned n)
{
    struct netdev *d = ((struct ethif *)netif)->dev;
    unsigned done = d->ops->tx_raw(d, p, n);

    if (unlikely(done < n)) { /* the device may be behind only because nobody told it */
        d->ops->kick(d, 0);
        d->ops->tx_reclaim(d, 0);
        done += d->ops->tx_raw(d, p + done, n - done);
        net_stats.tx_refused += n - done;
    }
    lwip_stats.ip.xmit += done;
    to_kick(d);
    return done;
}

static void addressed(struct netdev *d)
{
    struct ethif *e = d->user;
    ip4_addr_t ip = {d->ip4}, mask = {d->mask4}, gateway = {d->gateway4};

    netif_set_addr(&e->netif, &ip, &mask, &gateway);
    netif_set_up(&e->netif);
    if (netif_default == NULL)
        netif_set_default(&e->netif);
    net_timers_start();
    net_flush();
}

static void link_changed(struct netdev *d)
{
    struct ethif *e = d->user;
    if (d->ops->link_up(d))
        netif_set_link_up(&e->netif);
    else
        netif_set_link_down(&e->netif);
    net_timers_start();
    net_flush();
}

static err_t ethif_init(struct netif *netif)
{
    struct ethif *e = (struct ethif *)netif;
    struct netdev *d = e->dev;

    netif->name[0] = 'e';
    netif->name[1] = 't';
    netif->output = output_ip4;
    netif->output_ip6 = ethip6_output;
    netif->linkoutput = linkoutput;
    netif->mtu = d->mtu;
    netif->mtu6 = d->mtu;
    netif->hwaddr_len = ETH_ALEN;
    memcpy(netif->hwaddr, d->mac, ETH_ALEN);
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET |
                   NETIF_FLAG_IGMP | NETIF_FLAG_MLD6;
    netif->chksum_flags = NETIF_CHECKSUM_ENABLE_ALL;
    /* What is cut into segments needs a checksum in each: no TSO without the other
     * (VIRTIO 1.2 sec. 5.1.3.1 says so too, but a device may say anything). */
    if (d->features & NETDEV_TX_CSUM) {
        netif->offload |= NETIF_OFFLOAD_TX_CSUM;
        if (d->features & NETDEV_TX_TSO4)
            netif->offload |= NETIF_OFFLOAD_TSO4;
        if (d->features & NETDEV_TX_TSO6)
            netif->offload |= NETIF_OFFLOAD_TSO6;
    }
    /* A packet's length, Ethernet header included, has 16 bits in a pbuf. */
    netif->gso_max = 0xffff - ETH_HLEN - IP6_HLEN - 60;
    if (d->ops->link_up(d))
        netif->flags |= NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

int ethif_attach(struct netdev *d)
{
    struct ethif *e = kzalloc(sizeof(*e));
    if (e == NULL)
        return -ENOMEM;
    e->dev = d;
    d->user = e;
    d->tx_done = tx_done;
    d->interrupt = ethif_interrupt;
    d->link_changed = link_changed;
    d->addressed = addressed;
    d->input = input;
    if (netif_add_noaddr(&e->netif, e, ethif_init, ip_input) == NULL) {
        kfree(e);
        return -ENOMEM;
    }
    e->poller.poll = ethif_poll;
    e->poller.arm = ethif_arm;
    e->poller.idle = haltpoll_ethif;
    poller_register(&e->poller);
    return 0;
}

void ethif_reclaim(void)
{
    list_for_each (d, &netdev_list, struct netdev, link) {
        d->ops->tx_reclaim(d, 0);
    }
}
