/*
 * The interface ioctls (netdevice(7)): SIOCGIF* on any socket. Interfaces are configured at boot,
 * so the ones that change something are refused. Called by the socket layer; copies to and from
 * the application, so it may sleep.
 */
#include "net/inet.h"

#include "net/netdev.h"

#include <linux/if.h>
#include <linux/if_arp.h>

#define QUEUE_LEN 1000

static short flags_of(const struct netif *n)
{
    unsigned f = 0;
    if (netif_is_up(n))
        f |= IFF_UP;
    if (netif_is_up(n) && netif_is_link_up(n))
        f |= IFF_RUNNING;
    if (net_is_lo(n))
        f |= IFF_LOOPBACK;
    else
        f |= IFF_BROADCAST | IFF_MULTICAST;
    return (short)f;
}

static void put_addr(struct sockaddr *out, uint32_t be)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    in.sin_addr.s_addr = be;
    memcpy(out, &in, sizeof(in));
}

static int get_conf(struct ifconf *user)
{
    struct ifconf c;
    int done = 0;
    struct netif *n;
    if (copy_from_user(&c, user, sizeof(c)) < 0)
        return -EFAULT;
    NETIF_FOREACH(n)
    {
        struct ifreq r = {0};
        if (ip4_addr_isany_val(*netif_ip4_addr(n)))
            continue;
        net_ifname(n, r.ifr_name);
        put_addr(&r.ifr_addr, netif_ip4_addr(n)->addr);
        if (c.ifc_req != NULL) {
            if (done + (int)sizeof(r) > c.ifc_len)
                break;
            if (copy_to_user((char *)c.ifc_req + done, &r, sizeof(r)) < 0)
                return -EFAULT;
        }
        done += (int)sizeof(r);
    }
    c.ifc_len = done;
    return copy_to_user(user, &c, sizeof(c));
}

/* Answers from one interface; 0, -EADDRNOTAVAIL or -ENOTTY. */
static long query(unsigned cmd, struct netif *n, struct ifreq *r)
{
    const struct netdev *d = net_netdev(n);
    switch (cmd) {
    case SIOCGIFFLAGS:
        r->ifr_flags = flags_of(n);
        return 0;
    case SIOCGIFINDEX:
        r->ifr_ifindex = (int)net_index(n);
        return 0;
    case SIOCGIFMTU:
        r->ifr_mtu = n->mtu;
        return 0;
    case SIOCGIFMETRIC:
        r->ifr_metric = 0;
        return 0;
    case SIOCGIFTXQLEN:
        r->ifr_qlen = net_is_lo(n) ? 0 : QUEUE_LEN;
        return 0;
    case SIOCGIFHWADDR:
        memset(&r->ifr_hwaddr, 0, sizeof(r->ifr_hwaddr));
        r->ifr_hwaddr.sa_family = d != NULL ? ARPHRD_ETHER : ARPHRD_LOOPBACK;
        if (d != NULL)
            memcpy(r->ifr_hwaddr.sa_data, d->mac, sizeof(d->mac));
        return 0;
    case SIOCGIFADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFBRDADDR:
    case SIOCGIFDSTADDR: {
        uint32_t ip = netif_ip4_addr(n)->addr, mask = netif_ip4_netmask(n)->addr;
        if (ip == 0)
            return -EADDRNOTAVAIL;
        put_addr(&r->ifr_addr, cmd == SIOCGIFNETMASK                   ? mask
                               : cmd == SIOCGIFBRDADDR && net_is_lo(n) ? 0
                               : cmd == SIOCGIFBRDADDR                 ? ip | ~mask
                                                                       : ip);
        return 0;
    }
    case SIOCGIFMAP:
        memset(&r->ifr_map, 0, sizeof(r->ifr_map));
        return 0;
    default:
        return -ENOTTY;
    }
}

long inet_ioctl(unsigned cmd, uint64_t arg)
{
    struct ifreq r;
    switch (cmd) {
    case SIOCGIFCONF:
        return get_conf((struct ifconf *)arg);
    case SIOCGIFNAME: {
        if (copy_from_user(&r, (void *)arg, sizeof(r)) < 0)
            return -EFAULT;
        struct netif *n = net_by_index((unsigned)r.ifr_ifindex);
        if (n == NULL)
            return -ENODEV;
        net_ifname(n, r.ifr_name);
        return copy_to_user((void *)arg, &r, sizeof(r));
    }
    case SIOCGIFFLAGS:
    case SIOCGIFINDEX:
    case SIOCGIFMTU:
    case SIOCGIFMETRIC:
    case SIOCGIFTXQLEN:
    case SIOCGIFHWADDR:
    case SIOCGIFADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFBRDADDR:
    case SIOCGIFDSTADDR:
    case SIOCGIFMAP: {
        if (copy_from_user(&r, (void *)arg, sizeof(r)) < 0)
            return -EFAULT;
        r.ifr_name[IFNAMSIZ - 1] = '\0';
        struct netif *n = net_by_ifname(r.ifr_name);
        if (n == NULL)
            return -ENODEV;
        long e = query(cmd, n, &r);
        return e < 0 ? e : copy_to_user((void *)arg, &r, sizeof(r));
    }
    case SIOCSIFFLAGS:
    case SIOCSIFADDR:
    case SIOCSIFNETMASK:
    case SIOCSIFBRDADDR:
    case SIOCSIFDSTADDR:
    case SIOCSIFMTU:
    case SIOCSIFHWADDR:
    case SIOCADDRT:
    case SIOCDELRT:
    case SIOCSARP:
    case SIOCDARP:
        return -EPERM; /* the command line configures the network */
    default:
        return -ENOTTY;
    }
}
