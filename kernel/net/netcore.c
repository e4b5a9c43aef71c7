/*
 * The heart of the network stack: start-up of lwIP, the end of every run of it (kicks and packets
 * to ourselves), and names and numbers of interfaces. See net.h. Never sleeps.
 */
#include "net/net.h"

#include "lib/init.h"
#include "net/ethif.h"
#include "net/netdev.h"

#include "lwip/init.h"
#include "lwip/inet_chksum.h"

struct net_stats net_stats;
struct netdev *net_tx_pending;
struct netif *net_lo;

#define LO_MTU 16384

uint16_t net_checksum(const void *data, int len)
{
    const uint8_t *p = data;
    uint64_t sum = 0;
    while (len >= 8) {
        uint64_t v;
        __builtin_memcpy(&v, p, 8);
        sum += v;
        sum += sum < v; /* the carry comes round */
        p += 8;
        len -= 8;
    }
    uint64_t rest = 0;
    if (len & 4) {
        uint32_t v;
        __builtin_memcpy(&v, p, 4);
        rest += v;
        p += 4;
    }
    if (len & 2) {
        uint16_t v;
        __builtin_memcpy(&v, p, 2);
        rest += v;
        p += 2;
    }
    if (len & 1)
        rest += *p;
    sum += rest;
    sum += sum < rest;
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/*
 * Packets to our own addresses wait on their interface's list (netif_loop_output). They carry
 * no finished checksums, and need none. What their delivery sends to ourselves in turn is
 * delivered too, so the stack never recurses. Two ends that misunderstand each other could answer
 * one another for ever: after LOCAL_ROUNDS what still waits is lost, as on a network.
 */
#define LOCAL_ROUNDS 1000u

static bool deliver_local(void)
{
    struct netif *n;
    bool any = false;
    NETIF_FOREACH(n)
    {
        if (n->loop_first == NULL)
            continue;
        u16_t checks = n->chksum_flags;
        n->chksum_flags &= (u16_t) ~(NETIF_CHECKSUM_CHECK_TCP | NETIF_CHECKSUM_CHECK_UDP);
        netif_poll(n);
        n->chksum_flags = checks;
        any = true;
    }
    return any;
}

static void drop_local(void)
{
    struct netif *n;
    NETIF_FOREACH(n)
    {
        if (n->loop_first == NULL)
            continue;
        pbuf_free(n->loop_first); /* one pbuf a packet, linked like a chain */
        n->loop_first = n->loop_last = NULL;
        n->loop_cnt_current = 0;
        net_stats.local_dropped++;
    }
}

void net_deliver_local(void)
{
    static bool running; /* a delivered packet may lead here again by way of a callback */
    if (running)
        return;
    running = true;
    tcp_sync_ticks();
    unsigned rounds = 0;
    do
        netif_loop_waiting = 0;
    while (deliver_local() && ++rounds < LOCAL_ROUNDS);
    if (unlikely(rounds == LOCAL_ROUNDS))
        drop_local();
    running = false;
}

void net_tx_kick(struct netdev *d)
{
    d->ops->kick(d, 0);
}

bool inet_is_local(const ip_addr_t *ip)
{
    struct netif *n;

    if (IP_IS_V4(ip) && ip4_addr_isloopback(ip_2_ip4(ip)))
        return true;
    NETIF_FOREACH(n)
    {
        if (IP_IS_V4(ip)) {
            if (ip4_addr_cmp(ip_2_ip4(ip), netif_ip4_addr(n)))
                return true;
        } else if (netif_get_ip6_addr_match(n, ip_2_ip6(ip)) >= 0) {
            return true;
        }
    }
    return false;
}

void net_ifname(const struct netif *netif, char name[16])
{
    struct netdev *d = net_netdev((struct netif *)netif);
    strlcpy(name, d != NULL ? d->name : "lo", 16);
}

struct netif *net_by_ifname(const char *name)
{
    struct netif *n;
    NETIF_FOREACH(n)
    {
        char own[16];
        net_ifname(n, own);
        if (strcmp(own, name) == 0)
            return n;
    }
    return NULL;
}

struct netif *net_by_index(unsigned index)
{
    return index > 0 && index < 256 ? netif_get_by_index((u8_t)index) : NULL;
}

static int net_init(void)
{
    net_timers_init();
    lwip_init();
    net_lo = netif_list; /* the only one yet */
    net_lo->mtu = LO_MTU;
    net_lo->mtu6 = LO_MTU;
    NETIF_SET_CHECKSUM_CTRL(net_lo, NETIF_CHECKSUM_DISABLE_ALL);
    list_for_each (d, &netdev_list, struct netdev, link) {
        int r = ethif_attach(d);
        if (r < 0)
            kprintf("net: %s: cannot be used (%d)\n", d->name, r);
    }
    return 0;
}
INIT(INIT_NET, net_init);
