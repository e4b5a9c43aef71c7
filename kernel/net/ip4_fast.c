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
    struct udp_pcb *u = udp_bucket(port);

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
