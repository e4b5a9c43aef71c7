/*
 * The network's configuration at boot, by Linux's own words (Documentation/admin-guide/nfs/
 * nfsroot): ip=CLIENT:SERVER:GW:MASK:HOST:IF:off|dhcp[:DNS0[:DNS1]], ip=dhcp, ip=off. Beyond
 * Linux's: ip= may be repeated for other interfaces; CLIENT may be ADDRESS/LENGTH, and
 * wherry.ip6=ADDRESS/LENGTH[,GW] gives an IPv6 address; without it one is formed by SLAAC if a
 * router advertises a prefix. Without ip= only the loopback interface is up. Runs once, in
 * INIT_LATE, when devices, lwIP and the root file system are there.
 */
#include "net/ifconfig.h"

#include "lib/cmdline.h"
#include "lib/init.h"
#include "net/net.h"
#include "net/netdev.h"
#include "sched/clock.h"
#include "sched/thread.h"

#include <asm/errno.h>

#include "lwip/dhcp.h"
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/ip6_addr.h"

#define FIELDS       10
#define TEXT_MAX     256
#define DHCP_WAIT_NS (10 * NSEC_PER_SEC) /* then the boot goes on without an address */

enum ip_mode { IP_NONE, IP_STATIC, IP_DHCP };

/* What ip= says, once for each interface; a later word for the same one counts. */
#define MAX_INTERFACES 4u
struct conf4 {
    enum ip_mode mode;
    ip4_addr_t client, gw, mask;
    char host[64], device[16]; /* device "": the first */
    const struct netif *netif;
    uint32_t told; /* the address that was reported */
};
static struct conf4 conf4[MAX_INTERFACES];
static unsigned nr_conf4;

/* The first one's beside. */
static struct {
    bool have_ip6;
    ip6_addr_t ip6, gw6;
    unsigned ip6_len;
} conf;

static ip_addr_t dns_servers[IFCONFIG_MAX_DNS];
static unsigned dns_count;

/* ---- Words of the command line ---- */

static int parse_ip4(const char *s, ip4_addr_t *a)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < 4; i++) {
        unsigned n = 0, digits = 0;
        while (*s >= '0' && *s <= '9' && digits < 3) {
            n = n * 10 + (unsigned)(*s++ - '0');
            digits++;
        }
        if (digits == 0 || n > 255 || *s++ != (i < 3 ? '.' : '\0'))
            return -EINVAL;
        v = v << 8 | n;
    }
    a->addr = lwip_htonl(v);
    return 0;
}

static uint32_t mask_of_len(unsigned len)
{
    return len == 0 ? 0 : lwip_htonl(0xffffffffu << (32 - len));
}

/* The mask an address has by its class, as Linux takes it when none is given. */
static uint32_t class_mask(uint32_t be)
{
    uint8_t first = (uint8_t)be;
    return mask_of_len(first < 128 ? 8 : first < 192 ? 16 : 24);
}

static int set_client(struct conf4 *c, char *s)
{
    char *slash = strchr(s, '/');
    uint64_t len;
    if (slash != NULL) {
        *slash = '\0';
        const char *end = parse_u64(slash + 1, &len);
        if (end == NULL || *end != '\0' || len > 32)
            return -EINVAL;
        c->mask.addr = mask_of_len((unsigned)len);
    }
    return parse_ip4(s, &c->client);
}

static int set_dns(const char *s)
{
    ip4_addr_t a;
    if (parse_ip4(s, &a) < 0)
        return -EINVAL;
    if (dns_count < IFCONFIG_MAX_DNS) {
        ip_addr_copy_from_ip4(dns_servers[dns_count], a);
        dns_count++;
    }
    return 0;
}

static bool is_method(const char *s, enum ip_mode *mode)
{
    static const struct {
        const char *word;
        enum ip_mode mode;
    } words[] = {{"off", IP_STATIC}, {"none", IP_STATIC}, {"static", IP_STATIC},
                 {"dhcp", IP_DHCP},  {"on", IP_DHCP},     {"any", IP_DHCP}};
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
        if (strcmp(s, words[i].word) == 0) {
            *mode = words[i].mode;
            return true;
        }
    }
    return false;
}

static int keep(const struct conf4 *c)
{
    unsigned i = 0;

    while (i < nr_conf4 && strcmp(conf4[i].device, c->device) != 0)
        i++;
    if (i == MAX_INTERFACES)
        return -EINVAL;
    conf4[i] = *c;
    nr_conf4 = MAX(nr_conf4, i + 1);
    return 0;
}

static int ip_option(const char *value)
{
    struct conf4 c = {0};
    char text[TEXT_MAX], *field[FIELDS] = {0}, *s = text;
    unsigned n = 0;
    enum ip_mode mode = IP_STATIC;

    if (value == NULL || strlcpy(text, value, sizeof(text)) >= sizeof(text))
        return -EINVAL;
    while (n < FIELDS) {
        field[n++] = s;
        s = strchr(s, ':');
        if (s == NULL)
            break;
        *s++ = '\0';
    }
    if (n == 1 && is_method(field[0], &mode)) {
        c.mode = mode == IP_DHCP ? IP_DHCP : IP_NONE;
        return keep(&c);
    }
    if (n > 6 && *field[6] != '\0' && !is_method(field[6], &mode))
        return -EINVAL;
    if (*field[0] != '\0' && set_client(&c, field[0]) < 0)
        return -EINVAL;
    if (n > 2 && *field[2] != '\0' && parse_ip4(field[2], &c.gw) < 0)
        return -EINVAL;
    if (n > 3 && *field[3] != '\0' && parse_ip4(field[3], &c.mask) < 0)
        return -EINVAL;
    if (n > 4)
        strlcpy(c.host, field[4], sizeof(c.host));
    if (n > 5)
        strlcpy(c.device, field[5], sizeof(c.device));
    for (unsigned i = 7; i < n && i < 9; i++) {
        if (*field[i] != '\0' && set_dns(field[i]) < 0)
            return -EINVAL;
    }
    if (mode == IP_STATIC && c.client.addr == 0)
        mode = n > 6 ? IP_NONE : IP_DHCP; /* no address and no "off": Linux asks too */
    c.mode = mode;
    if (c.mask.addr == 0 && c.client.addr != 0)
        c.mask.addr = class_mask(c.client.addr);
    return keep(&c);
}
CMDLINE("ip", ip_option);

static int ip6_option(const char *value)
{
    char text[TEXT_MAX];
    uint64_t len = 64;
    if (value == NULL || strlcpy(text, value, sizeof(text)) >= sizeof(text))
        return -EINVAL;
    char *gw = strchr(text, ',');
    if (gw != NULL)
        *gw++ = '\0';
    char *slash = strchr(text, '/');
    if (slash != NULL) {
        *slash = '\0';
        const char *end = parse_u64(slash + 1, &len);
        if (end == NULL || *end != '\0' || len > 128)
            return -EINVAL;
    }
    if (!ip6addr_aton(text, &conf.ip6) || (gw != NULL && !ip6addr_aton(gw, &conf.gw6)))
        return -EINVAL;
    conf.ip6_len = (unsigned)len;
    conf.have_ip6 = true;
    return 0;
}
CMDLINE("wherry.ip6", ip6_option);

/* ---- Name servers: DHCP hands them over through the two functions of lwIP's resolver it calls
 * ---- */

void dns_init(void)
{
}

void dns_setserver(u8_t i, const ip_addr_t *server)
{
    if (i < IFCONFIG_MAX_DNS) {
        dns_servers[i] = *server;
        dns_count = MAX(dns_count, i + 1u);
    }
}

/* ---- Bringing interfaces up ---- */

static void report(struct netif *n)
{
    char name[16], ip[IP4ADDR_STRLEN_MAX], gw[IP4ADDR_STRLEN_MAX];
    net_ifname(n, name);
    ip4addr_ntoa_r(netif_ip4_addr(n), ip, sizeof(ip));
    ip4addr_ntoa_r(netif_ip4_gw(n), gw, sizeof(gw));
    kprintf("net: %s %s gateway %s\n", name, ip, gw);
}

/* A device's raw users are told the address (include/wherry/netdev.h). */
static void tell_device(struct netif *n)
{
    struct netdev *d = net_netdev(n);

    d->ip4 = netif_ip4_addr(n)->addr;
    d->mask4 = netif_ip4_netmask(n)->addr;
    d->gateway4 = netif_ip4_gw(n)->addr;
}

static void status_changed(struct netif *n)
{
    uint32_t address = netif_ip4_addr(n)->addr;

    tell_device(n);
    for (struct conf4 *c = conf4; c < conf4 + nr_conf4; c++) {
        if (c->netif != n || c->mode != IP_DHCP || !netif_is_up(n) || address == 0 ||
            address == c->told)
            continue;
        c->told = address;
        report(n);
    }
}

static void add_ip6(struct netif *n, bool first)
{
    netif_create_ip6_linklocal_address(n, 1);
    netif_set_ip6_autoconfig_enabled(n, 1);
    if (!first || !conf.have_ip6)
        return;
    s8_t at;
    if (netif_add_ip6_address(n, &conf.ip6, &at) == ERR_OK)
        netif_ip6_addr_set_state(n, at, IP6_ADDR_TENTATIVE);
    else
        kprintf("net: wherry.ip6: no room for the address\n");
}

/*
 * Asks for an address and waits for it, as Linux does with ip=dhcp: the application may need it at
 * once. The scheduler does not run yet, nor do timers: this loop is both.
 */
static void run_dhcp(struct netif *n)
{
    uint64_t now = clock_mono_ns(), end = now + DHCP_WAIT_NS;
    uint64_t tick = now;
    if (dhcp_start(n) != ERR_OK) {
        kprintf("net: no memory for DHCP\n");
        return;
    }
    net_flush();
    while (!dhcp_supplied_address(n) && now < end) {
        pollers_run();
        now = clock_mono_ns();
        if (now - tick >= DHCP_FINE_TIMER_MSECS * NSEC_PER_MSEC) {
            tick = now;
            dhcp_fine_tmr();
            net_flush();
        }
    }
    if (!dhcp_supplied_address(n))
        kprintf("net: no answer from a DHCP server; still asking\n");
}

/* False: there is nothing to be done, or no such interface. */
static bool configure(struct conf4 *c, const char *name)
{
    struct netdev *d = netdev_find(c->device[0] != '\0' ? c->device : NULL);
    bool first = c == conf4;

    if (c->mode == IP_NONE && !(first && conf.have_ip6))
        return false;
    if (d == NULL) {
        kprintf("net: ip=: there is no interface %s\n", c->device);
        return false;
    }
    struct netif *n = d->user;
    c->netif = n;
    n->hostname = name;
    if (netif_default == NULL)
        netif_set_default(n);
    netif_set_status_callback(n, status_changed);
    add_ip6(n, first);
    if (c->mode == IP_STATIC)
        netif_set_addr(n, &c->client, &c->mask, &c->gw);
    netif_set_up(n); /* sends a gratuitous ARP */
    net_timers_start();
    if (c->mode == IP_DHCP)
        run_dhcp(n);
    net_flush();
    tell_device(n);
    return true;
}

static int net_configure(void)
{
    const char *name = ifconfig_name(conf4[0].host);
    bool any = false;

    /* Without ip= the first interface may have an IPv6 address all the same. */
    for (unsigned i = 0; i < MAX(nr_conf4, 1u); i++)
        any |= configure(&conf4[i], name);
    if (any)
        ifconfig_done(dns_servers, dns_count);
    return 0;
}
INIT(INIT_LATE, net_configure);
