/*
 * /proc/net: interfaces, sockets, routes, neighbours and counters in Linux's formats (proc(5)).
 * Each file is made when it is read, from lwIP's own lists; nothing sleeps.
 */
#include "net/net.h"

#include "fs/procfs.h"
#include "fs/textbuf.h"
#include "lib/init.h"
#include "net/inet_dgram.h"
#include "net/inet_tcp.h"
#include "net/netbuf.h"
#include "net/netdev.h"
#include "net/netmem.h"

#include "lwip/etharp.h"
#include "lwip/stats.h"

/* ---- Interfaces ---- */

static void show_dev(struct text_buf *out)
{
    struct netif *n;
    text_puts(out, "Inter-|   Receive                                                |  Transmit\n"
                   " face |bytes    packets errs drop fifo frame compressed multicast|bytes    "
                   "packets errs drop fifo colls carrier compressed\n");
    NETIF_FOREACH(n)
    {
        struct netdev *d = net_netdev(n);
        struct netdev_stats s = d != NULL ? d->stats : (struct netdev_stats){0};
        char name[16];
        net_ifname(n, name);
        text_printf(
            out,
            "%6s: %7lu %7lu %4lu %4lu    0     0          0         0 %8lu %7lu    0 %4lu    "
            "0     0       0          0\n",
            name, s.rx_bytes, s.rx_packets, s.rx_bad, s.rx_no_buffer, s.tx_bytes, s.tx_packets,
            s.tx_full);
    }
}

static void show_if_inet6(struct text_buf *out)
{
    struct netif *n;
    NETIF_FOREACH(n)
    {
        for (s8_t i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++) {
            if (!ip6_addr_isvalid(netif_ip6_addr_state(n, i)))
                continue;
            const ip6_addr_t *a = netif_ip6_addr(n, i);
            char name[16];
            net_ifname(n, name);
            unsigned scope = ip6_addr_isloopback(a) ? 0x10 : ip6_addr_islinklocal(a) ? 0x20 : 0;
            text_printf(out, "%08x%08x%08x%08x %02x %02x %02x %02x %8s\n", lwip_ntohl(a->addr[0]),
                        lwip_ntohl(a->addr[1]), lwip_ntohl(a->addr[2]), lwip_ntohl(a->addr[3]),
                        net_index(n), scope == 0x10 ? 128 : 64, scope, 0x80, name);
        }
    }
}

static void show_route(struct text_buf *out)
{
    struct netif *n;
    text_puts(out, "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow"
                   "\tIRTT\n");
    NETIF_FOREACH(n)
    {
        u32_t ip = netif_ip4_addr(n)->addr, mask = netif_ip4_netmask(n)->addr,
              gw = netif_ip4_gw(n)->addr;
        char name[16];
        if (net_is_lo(n) || ip == 0 || !netif_is_up(n))
            continue;
        net_ifname(n, name);
        if (gw != 0)
            text_printf(out, "%s\t%08X\t%08X\t0003\t0\t0\t0\t%08X\t0\t0\t0\n", name, 0, gw, 0);
        text_printf(out, "%s\t%08X\t%08X\t0001\t0\t0\t0\t%08X\t0\t0\t0\n", name, ip & mask, 0,
                    mask);
    }
}

static void show_arp(struct text_buf *out)
{
    text_puts(out,
              "IP address       HW type     Flags       HW address            Mask     Device\n");
    for (size_t i = 0; i < ARP_TABLE_SIZE; i++) {
        ip4_addr_t *ip;
        struct netif *n;
        struct eth_addr *mac;
        char name[16], text[IP4ADDR_STRLEN_MAX];
        if (!etharp_get_entry(i, &ip, &n, &mac))
            continue;
        net_ifname(n, name);
        ip4addr_ntoa_r(ip, text, sizeof(text));
        text_printf(out,
                    "%-16s 0x1         0x2         %02x:%02x:%02x:%02x:%02x:%02x     *        %s\n",
                    text, mac->addr[0], mac->addr[1], mac->addr[2], mac->addr[3], mac->addr[4],
                    mac->addr[5], name);
    }
}

/* ---- Sockets ---- */

static void put_addr(struct text_buf *out, const ip_addr_t *ip, u16_t port, bool v6)
{
    if (!v6) {
        text_printf(out, "%08X:%04X", IP_IS_V4(ip) ? ip_2_ip4(ip)->addr : 0, port);
    } else if (IP_IS_V4(ip)) {
        text_printf(out, "0000000000000000FFFF0000%08X:%04X", ip_2_ip4(ip)->addr, port);
    } else {
        const u32_t *a = ip_2_ip6(ip)->addr;
        text_printf(out, "%08X%08X%08X%08X:%04X", a[0], a[1], a[2], a[3], port);
    }
}

static void put_socket(struct text_buf *out, unsigned line, const ip_addr_t *local, u16_t lport,
                       const ip_addr_t *remote, u16_t rport, unsigned state, u32_t txq, u32_t rxq,
                       uint64_t inode, bool v6)
{
    text_printf(out, "%4u: ", line);
    put_addr(out, local, lport, v6);
    text_puts(out, " ");
    put_addr(out, remote, rport, v6);
    text_printf(out, " %02X %08X:%08X 00:00000000 00000000     0        0 %lu 1 0 0\n", state, txq,
                rxq, inode);
}

static unsigned linux_state(enum tcp_state s)
{
    static const u8_t map[] = {
        [CLOSED] = 7,      [LISTEN] = 10,    [SYN_SENT] = 2,   [SYN_RCVD] = 3,
        [ESTABLISHED] = 1, [FIN_WAIT_1] = 4, [FIN_WAIT_2] = 5, [CLOSE_WAIT] = 8,
        [CLOSING] = 11,    [LAST_ACK] = 9,   [TIME_WAIT] = 6,
    };
    return map[s];
}

/* Dual-stack sockets are in the IPv6 file, as in Linux. */
static void show_tcp_family(struct text_buf *out, bool v6)
{
    static const ip_addr_t any;
    unsigned line = 0;
    text_puts(out,
              v6 ? "  sl  local_address                         remote_address                  "
                   "      st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
                 : "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt "
                   "  uid  timeout inode\n");
    for (struct tcp_pcb_listen *l = tcp_listen_pcbs.listen_pcbs; l != NULL; l = l->next) {
        struct tcp_sock *t = l->callback_arg;
        if ((t != NULL ? t->in.sock.family == AF_INET6 : !IP_IS_V4_VAL(l->local_ip)) != v6)
            continue;
        ip_addr_t zero = any;
        IP_SET_TYPE_VAL(zero, IP_GET_TYPE(&l->local_ip));
        put_socket(out, line++, &l->local_ip, l->local_port, &zero, 0, 10, 0,
                   t != NULL ? t->accept_len : 0, t != NULL ? t->in.sock.id : 0, v6);
    }
    struct tcp_pcb *lists[] = {tcp_active_pcbs, tcp_tw_pcbs};
    for (unsigned i = 0; i < ARRAY_SIZE(lists); i++) {
        for (struct tcp_pcb *p = lists[i]; p != NULL; p = p->next) {
            struct tcp_sock *t = p->state == SYN_RCVD ? NULL : p->callback_arg;
            if ((t != NULL ? t->in.sock.family == AF_INET6 : !IP_IS_V4_VAL(p->local_ip)) != v6)
                continue;
            put_socket(out, line++, &p->local_ip, p->local_port, &p->remote_ip, p->remote_port,
                       linux_state(p->state), p->snd_lbb - p->lastack, t != NULL ? t->rx_bytes : 0,
                       t != NULL ? t->in.sock.id : 0, v6);
        }
    }
}

static void show_tcp(struct text_buf *out)
{
    show_tcp_family(out, false);
}

static void show_tcp6(struct text_buf *out)
{
    show_tcp_family(out, true);
}

static void show_udp_family(struct text_buf *out, bool v6)
{
    unsigned line = 0;
    text_puts(out,
              v6 ? "  sl  local_address                         remote_address                  "
                   "      st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref "
                   "pointer drops\n"
                 : "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when "
                   "retrnsmt   uid  timeout inode ref pointer drops\n");
    for (struct udp_pcb *u = udp_pcbs; u != NULL; u = u->next) {
        struct dgram_sock *d = u->recv_arg;
        if (d == NULL || (void *)d->udp != (void *)u || (d->in.sock.family == AF_INET6) != v6)
            continue;
        text_printf(out, "%5u: ", line++);
        put_addr(out, &u->local_ip, u->local_port, v6);
        text_puts(out, " ");
        put_addr(out, &u->remote_ip, u->remote_port, v6);
        text_printf(out, " %02X 00000000:%08X 00:00000000 00000000     0        0 %lu 2 0 %lu\n",
                    d->connected ? 1 : 7, d->rx_charge, d->in.sock.id, d->drops);
    }
}

static void show_udp(struct text_buf *out)
{
    show_udp_family(out, false);
}

static void show_udp6(struct text_buf *out)
{
    show_udp_family(out, true);
}

/* ---- Counters ---- */

static void show_snmp(struct text_buf *out)
{
    const struct stats_ *s = &lwip_stats;
    u32_t ip_errors = s->ip.chkerr + s->ip.lenerr + s->ip.err;
    u32_t established = tcp_pcb_count - tcp_tw_count;
    text_puts(out, "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams "
                   "InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes "
                   "ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates\n");
    text_printf(out, "Ip: 2 64 %u %u 0 0 %u %u %u %u %lu %u %u %u 0 %u 0 0 %u\n", s->ip.recv,
                ip_errors, s->ip.proterr, s->ip.memerr, s->ip.recv - s->ip.drop, s->ip.xmit,
                net_stats.tx_refused, s->ip.rterr, s->ip_frag.drop, s->ip_frag.recv,
                s->ip_frag.memerr + s->ip_frag.err, s->ip_frag.xmit);
    text_puts(out, "Icmp: InMsgs InErrors InCsumErrors OutMsgs OutErrors\n");
    text_printf(out, "Icmp: %u %u %u %u %u\n", s->icmp.recv,
                s->icmp.drop + s->icmp.lenerr + s->icmp.err, s->icmp.chkerr, s->icmp.xmit,
                s->icmp.memerr);
    text_puts(out, "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn CurrEstab InSegs OutSegs InErrs "
                   "InCsumErrors\n");
    text_printf(out, "Tcp: 1 300 120000 -1 %u %u %u %u %u\n", established, s->tcp.recv, s->tcp.xmit,
                s->tcp.lenerr + s->tcp.chkerr, s->tcp.chkerr);
    text_puts(out, "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors "
                   "InCsumErrors\n");
    text_printf(out, "Udp: %u %u %u %u %lu 0 %u\n", s->udp.recv - s->udp.drop, s->udp.proterr,
                s->udp.lenerr + s->udp.chkerr, s->udp.xmit, net_stats.sock_full, s->udp.chkerr);
}

/* Ours: every reason for which something was dropped, one a line. */
static void show_wherry(struct text_buf *out)
{
    const struct stats_ *s = &lwip_stats;
    struct netif *n;
    const struct {
        const char *name;
        const struct stats_proto *p;
    } protos[] = {{"arp", &s->etharp}, {"ip", &s->ip},       {"ip_frag", &s->ip_frag},
                  {"icmp", &s->icmp},  {"udp", &s->udp},     {"tcp", &s->tcp},
                  {"ip6", &s->ip6},    {"icmp6", &s->icmp6}, {"ip6_frag", &s->ip6_frag},
                  {"nd6", &s->nd6}};
    for (unsigned i = 0; i < ARRAY_SIZE(protos); i++) {
        const struct stats_proto *p = protos[i].p;
        text_printf(
            out,
            "%s recv %u xmit %u drop %u bad_checksum %u bad_length %u no_memory %u no_route "
            "%u bad_protocol %u bad_option %u error %u\n",
            protos[i].name, p->recv, p->xmit, p->drop, p->chkerr, p->lenerr, p->memerr, p->rterr,
            p->proterr, p->opterr, p->err);
    }
    text_printf(
        out,
        "ethernet short %lu other_host %lu unknown_type %lu\nsocket full %lu no_memory %lu "
        "accept_overflow %lu\nmemory failed %lu\nnetbuf blocks %lu in_use %lu limit %lu refused "
        "%lu\ntcp_pcbs %u time_wait %u\n",
        net_stats.rx_short, net_stats.rx_other_host, net_stats.rx_unknown, net_stats.sock_full,
        net_stats.sock_no_memory, net_stats.accept_overflow, net_mem_stats.failed,
        netbuf_stats.blocks, netbuf_stats.in_use, netbuf_limit, netbuf_stats.refused, tcp_pcb_count,
        tcp_tw_count);
    NETIF_FOREACH(n)
    {
        struct netdev *d = net_netdev(n);
        if (d != NULL)
            text_printf(out,
                        "%s features %x mtu %u rx %lu tx %lu rx_no_buffer %lu rx_bad %lu tx_full "
                        "%lu\n",
                        d->name, d->features, d->mtu, d->stats.rx_packets, d->stats.tx_packets,
                        d->stats.rx_no_buffer, d->stats.rx_bad, d->stats.tx_full);
    }
}

static int netproc_init(void)
{
    static const struct {
        const char *path;
        void (*show)(struct text_buf *out);
    } files[] = {
        {"/proc/net/dev", show_dev},   {"/proc/net/tcp", show_tcp},
        {"/proc/net/tcp6", show_tcp6}, {"/proc/net/udp", show_udp},
        {"/proc/net/udp6", show_udp6}, {"/proc/net/route", show_route},
        {"/proc/net/arp", show_arp},   {"/proc/net/if_inet6", show_if_inet6},
        {"/proc/net/snmp", show_snmp}, {"/proc/net/wherry", show_wherry},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
        if (procfs_register(files[i].path, 0444, files[i].show) < 0)
            return -ENOMEM;
    }
    return 0;
}
INIT(INIT_FS, netproc_init);
