/*
 * ip4_input() and udp_input() cut down to the packets that matter for speed. Whatever is unusual in
 * any way is left to lwIP: options, fragments, broadcasts, other addresses, raw sockets, several
 * sockets on a port. Called by the Ethernet input; runs inside the stack, never sleeps.
 */
#include "net/ip4_fast.h"

#include "net/csum.h"
#include "net/ethif.h"
#include "net/inet_dgram.h"
#include "net/tcp_predict.h"

#include "lwip/ip.h"
#include "lwip/netif.h"
#include "lwip/priv/raw_priv.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/udp.h"
#include "lwip/stats.h"
#include "lwip/udp.h"

/* RFC 791 §3.1, as little-endian words. */
#define W0_VERSION_IHL   0x45u       /* of the low byte */
#define W1_FRAGMENT_BITS 0xff3f0000u /* more fragments, offset */

/* The header's checksum is right if all its 16-bit words add up to 0xffff (RFC 1071 §1). */
static __always_inline bool header_sum_good(const u32_t w[5])
{
    return csum_fold((uint64_t)w[0] + w[1] + w[2] + w[3] + w[4]) == 0xffff;
}

/* A sender's address that no single host can have (this network, multicast, the future's, limited
 * broadcast: RFC 6890), or that one on a wire cannot; some that one can are called odd too. */
static __always_inline bool source_is_odd(u32_t src, const struct netif *netif)
{
    u8_t class = (u8_t)src;

    return (u8_t)(class - 1) >= 0xe0 - 1 || class == 127 ||
           src == ip4_addr_get_u32(netif_ip4_addr(netif)) ||
           (src | ip4_addr_get_u32(netif_ip4_netmask(netif))) == ~0u;
}

/* The one socket that can be meant, and that takes what comes to its port from there. */
static __always_inline struct udp_pcb *only_receiver(u16_t port, u32_t dst, u16_t src_port,
                                                     u32_t src)
{
    struct udp_pcb *u = net_sockets ? udp_bucket(port) : NULL;

    if (unlikely(u == NULL || u->hnext != NULL || u->local_port != port ||
                 u->netif_idx != NETIF_NO_INDEX || u->recv != udp_sock_on_recv))
        return NULL;
    if (u->flags & UDP_FLAGS_CONNECTED &&
        (u->remote_port != src_port || !IP_IS_V4_VAL(u->remote_ip) ||
         ip_2_ip4(&u->remote_ip)->addr != src))
        return NULL;
    if (IP_IS_ANY_TYPE_VAL(u->local_ip))
        return u;
    return IP_IS_V4_VAL(u->local_ip) &&
                   (ip_2_ip4(&u->local_ip)->addr == 0 || ip_2_ip4(&u->local_ip)->addr == dst)
               ? u
               : NULL;
}

/* ---- Runs of datagrams ---- */

/* As little-endian words: the Ethernet type with the first bytes of the IP header, of which the
 * type of service does not matter; and the protocol. */
#define TYPE_VERSION_IHL 0x450008u
#define TYPE_MASK        0xffffffu
#define W2_PROTO         0xff00u
#define W2_UDP           (IP_PROTO_UDP << 8)

#define FRAME_IP  ETH_HLEN
#define FRAME_UDP (ETH_HLEN + IP_HLEN)
#define FRAME_MIN (FRAME_UDP + UDP_HLEN)
_Static_assert(FRAME_MIN == IP4_FAST_UDP_MIN, "as the header says");

static __always_inline u16_t get16(const u8_t *p)
{
    u16_t v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

static __always_inline u32_t get32(const u8_t *p)
{
    u32_t v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

/* The first six bytes, as the upper ones of a word. */
static __always_inline uint64_t mac_word(const u8_t *p)
{
    uint64_t v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v << 16;
}

/* What all packets of a run have in common, in network order, and where they go. */
struct udp_run {
    uint64_t mac;
    u32_t dst, src; /* src: the last sender that was found to be an ordinary one */
    u16_t port;
    u8_t if_idx;
    struct dgram_sock *d;
    struct netbuf **last; /* of the queue */
    u32_t room;           /* in the socket's buffer */
};

/* The UDP checksum (RFC 768), where the device has not looked at it; 0: the sender made none. */
static bool udp_sum_good(const u8_t *ip, u32_t len)
{
    const u8_t *udp = ip + IP_HLEN;
    uint64_t pseudo =
        (uint64_t)get32(ip + 12) + get32(ip + 16) + PP_HTONS(IP_PROTO_UDP) + lwip_htons((u16_t)len);

    return get16(udp + 6) == 0 || csum_fold(pseudo + net_checksum(udp, (int)len)) == 0xffff;
}

/* The datagram's length if the frame belongs to the run, else 0 as for one of length 0: those are
 * left to others. */
static __always_inline u32_t belongs(struct udp_run *r, const struct netif *netif,
                                     const struct netbuf *b, const u8_t *eth)
{
    const u8_t *ip = eth + FRAME_IP, *udp = eth + FRAME_UDP;
    u32_t w0 = get32(ip), w1 = get32(ip + 4), w2 = get32(ip + 8), src = get32(ip + 12);
    u32_t len = lwip_ntohs((u16_t)(w0 >> 16));

    if (unlikely(mac_word(eth) != r->mac ||
                 (get32(eth + ETH_ALEN * 2) & TYPE_MASK) != TYPE_VERSION_IHL ||
                 (w2 & W2_PROTO) != W2_UDP || w1 & W1_FRAGMENT_BITS || get32(ip + 16) != r->dst ||
                 get16(udp + 2) != r->port || b->next != NULL || len + ETH_HLEN > b->len ||
                 len <= IP_HLEN + UDP_HLEN || lwip_ntohs(get16(udp + 4)) != len - IP_HLEN))
        return 0;
    if (unlikely(csum_fold((uint64_t)w0 + w1 + w2 + src + r->dst) != 0xffff))
        return 0;
    if (!(b->flags & NETBUF_CSUM_OK) && unlikely(!udp_sum_good(ip, len - IP_HLEN)))
        return 0;
    if (src != r->src) {
        if (unlikely(source_is_odd(src, netif)))
            return 0;
        r->src = src;
    }
    return len - IP_HLEN - UDP_HLEN;
}

/* dgram_deliver() of a packet that belongs to the run. */
static __always_inline void queue(struct udp_run *r, struct netbuf *b, const u8_t *eth, u32_t len)
{
    struct pbuf *p = ethif_pbuf_of(b, r->if_idx);

    p->payload = (u8_t *)eth + FRAME_MIN;
    p->len = p->tot_len = (u16_t)len;
    b->l3 = (uint16_t)(b->data + FRAME_IP);
    b->port = lwip_ntohs(get16(eth + FRAME_UDP));
    b->total = DGRAM_CHARGE + len;
    *r->last = b;
    r->last = &b->next;
    r->room -= b->total;
}

unsigned ip4_fast_udp_run(struct netif *netif, struct netbuf *const *frames, unsigned n)
{
    const u8_t *eth = (const u8_t *)frames[0] + frames[0]->data;
    u32_t own = ip4_addr_get_u32(netif_ip4_addr(netif)), charge;
    struct udp_run r = {.mac = mac_word(netif->hwaddr),
                        .dst = own,
                        .src = get32(eth + FRAME_IP + 12),
                        .port = get16(eth + FRAME_UDP + 2),
                        .if_idx = netif_get_index(netif)};
    struct udp_pcb *pcb =
        only_receiver(lwip_ntohs(r.port), own, lwip_ntohs(get16(eth + FRAME_UDP)), r.src);
    unsigned i;

    if (unlikely(pcb == NULL || own == 0 || !netif_is_up(netif) || raw_pcbs_any() ||
                 netbuf_scarce() || source_is_odd(r.src, netif)))
        return 0;
    r.d = pcb->recv_arg;
    charge = r.d->rx_charge;
    if (unlikely(r.d->rx_shut || charge >= r.d->in.sock.rcvbuf))
        return 0;
    r.room = r.d->in.sock.rcvbuf - charge;
    r.last = r.d->rx_last;
    if (pcb->flags & UDP_FLAGS_CONNECTED) /* the next packet's sender may be another */
        n = 1;
    for (i = 0; i < n; i++) {
        struct netbuf *b = frames[i];
        u32_t len;

        if (unlikely(b->len < FRAME_MIN))
            break;
        eth = (const u8_t *)b + b->data;
        len = belongs(&r, netif, b, eth);
        if (unlikely(len == 0 || len + DGRAM_CHARGE > r.room))
            break;
        queue(&r, b, eth, len);
    }
    if (unlikely(i == 0))
        return 0;
    r.d->rx_last = r.last;
    r.d->rx_charge = r.d->in.sock.rcvbuf - r.room;
    lwip_stats.ip.recv += i;
    lwip_stats.udp.recv += i;
    dgram_wake(r.d);
    return i;
}

/* ---- One packet ---- */

/* ip_addr_set_ip4_u32(), which also clears the rest of an IPv6 address: nobody looks at it. */
static __always_inline void set_ip4(ip_addr_t *a, u32_t ip)
{
    ip_2_ip4(a)->addr = ip;
    IP_SET_TYPE(a, IPADDR_TYPE_V4);
}

static __always_inline void step(struct pbuf *p, u16_t header)
{
    p->payload = (u8_t *)p->payload + header;
    p->len -= header;
    p->tot_len -= header;
}

/* p->payload at the UDP header; true if it went to a socket, else it is as it was. */
static __always_inline bool input_udp(struct pbuf *p, struct netif *netif, bool csum_ok,
                                      const u32_t *ip)
{
    const struct udp_hdr *u = p->payload;
    u16_t from;
    struct udp_pcb *pcb;

    if (unlikely(p->len < UDP_HLEN || lwip_ntohs(u->len) != p->tot_len ||
                 !(csum_ok || u->chksum == 0)))
        return false;
    from = lwip_ntohs(u->src);
    pcb = only_receiver(lwip_ntohs(u->dest), ip[4], from, ip[3]);
    if (unlikely(pcb == NULL))
        return false;
    UDP_STATS_INC(udp.recv);
    step(p, UDP_HLEN);
    dgram_deliver(pcb->recv_arg, p, from, ip, netif);
    return true;
}

bool ip4_fast_input(struct pbuf *p, struct netif *netif, bool csum_ok)
{
    const u32_t *w = p->payload;
    u32_t src, dst;
    u16_t len;
    u8_t proto;

    if (unlikely(p->len < IP_HLEN || (w[0] & 0xff) != W0_VERSION_IHL || w[1] & W1_FRAGMENT_BITS))
        return false;
    dst = w[4];
    src = w[3];
    proto = w[2] >> 8 & 0xff;
    len = lwip_ntohs(w[0] >> 16);
    if (unlikely(dst != ip4_addr_get_u32(netif_ip4_addr(netif)) || dst == 0 ||
                 !netif_is_up(netif) || source_is_odd(src, netif) ||
                 (proto != IP_PROTO_TCP && proto != IP_PROTO_UDP) || raw_pcbs_any() ||
                 !header_sum_good(w)))
        return false;
    if (unlikely(len != p->tot_len)) {
        /* Short frames are padded (IEEE 802.3 §4.2.3.3). */
        if (p->next != NULL || len > p->len || len < IP_HLEN)
            return false;
        p->len = p->tot_len = len;
    }
    IP_STATS_INC(ip.recv);
    step(p, IP_HLEN);
    if (proto == IP_PROTO_TCP ? csum_ok && tcp_predict_input(p, netif, src, dst)
                              : input_udp(p, netif, csum_ok, w))
        return true;
    ethif_checks(netif, csum_ok);
    ip_data.current_netif = ip_data.current_input_netif = netif;
    ip_data.current_ip4_header = (const struct ip_hdr *)w;
    ip_data.current_ip_header_tot_len = IP_HLEN;
    set_ip4(&ip_data.current_iphdr_src, src);
    set_ip4(&ip_data.current_iphdr_dest, dst);
    if (proto == IP_PROTO_TCP)
        tcp_input(p, netif);
    else
        udp_input(p, netif);
    ip_data.current_netif = ip_data.current_input_netif = NULL;
    ip_data.current_ip4_header = NULL;
    return true;
}
