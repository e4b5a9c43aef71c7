/*
 * The network's configuration at boot, by Linux's own words (Documentation/admin-guide/nfs/
 * nfsroot): ip=CLIENT:SERVER:GW:MASK:HOST:IF:off|dhcp[:DNS0[:DNS1]], ip=dhcp, ip=off. Beyond
 * Linux's: CLIENT may be ADDRESS/LENGTH, and wherry.ip6=ADDRESS/LENGTH[,GW] gives an IPv6 address;
 * without it one is formed by SLAAC if a router advertises a prefix. Without ip= only the loopback
 * interface is up. Runs once, in INIT_LATE, when devices, lwIP and the root file
 * system are there.
 */
#include "net/net.h"

#include "lib/cmdline.h"
#include "lib/init.h"
#include "fs/vfs.h"
#include "linux/uts.h"
#include "net/netdev.h"
#include "sched/clock.h"
#include "sched/thread.h"

#include <asm/errno.h>

#include "lwip/dhcp.h"
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/ip6_addr.h"

#define FIELDS       10
#define MAX_DNS      3
#define TEXT_MAX     256
#define DHCP_WAIT_NS (10 * NSEC_PER_SEC) /* then the boot goes on without an address */

enum ip_mode { IP_NONE, IP_STATIC, IP_DHCP };

static struct {
    enum ip_mode mode;
    ip4_addr_t client, gw, mask;
    char host[64], device[16];
    bool have_ip6;
    ip6_addr_t ip6, gw6;
    unsigned ip6_len;
} conf;

static ip_addr_t dns_servers[MAX_DNS];
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

static int set_client(char *s)
{
    char *slash = strchr(s, '/');
    uint64_t len;
    if (slash != NULL) {
        *slash = '\0';
        const char *end = parse_u64(slash + 1, &len);
        if (end == NULL || *end != '\0' || len > 32)
            return -EINVAL;
        conf.mask.addr = mask_of_len((unsigned)len);
    }
    return parse_ip4(s, &conf.client);
}

static int set_dns(const char *s)
{
    ip4_addr_t a;
    if (parse_ip4(s, &a) < 0)
        return -EINVAL;
    if (dns_count < MAX_DNS) {
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

static int ip_option(const char *value)
{
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
        conf.mode = mode == IP_DHCP ? IP_DHCP : IP_NONE;
        return 0;
    }
    if (n > 6 && *field[6] != '\0' && !is_method(field[6], &mode))
        return -EINVAL;
    if (*field[0] != '\0' && set_client(field[0]) < 0)
        return -EINVAL;
    if (n > 2 && *field[2] != '\0' && parse_ip4(field[2], &conf.gw) < 0)
        return -EINVAL;
    if (n > 3 && *field[3] != '\0' && parse_ip4(field[3], &conf.mask) < 0)
        return -EINVAL;
    if (n > 4)
        strlcpy(conf.host, field[4], sizeof(conf.host));
    if (n > 5)
        strlcpy(conf.device, field[5], sizeof(conf.device));
    for (unsigned i = 7; i < n && i < 9; i++) {
        if (*field[i] != '\0' && set_dns(field[i]) < 0)
            return -EINVAL;
    }
    if (mode == IP_STATIC && conf.client.addr == 0)
        mode = n > 6 ? IP_NONE : IP_DHCP; /* no address and no "off": Linux asks too */
    conf.mode = mode;
    if (conf.mask.addr == 0 && conf.client.addr != 0)
        conf.mask.addr = class_mask(conf.client.addr);
    return 0;
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
    if (i < MAX_DNS) {
        dns_servers[i] = *server;
        dns_count = MAX(dns_count, i + 1u);
    }
}

/* Writes /etc/resolv.conf if the root file system has none. */
static void write_resolv_conf(void)
{
    char text[MAX_DNS * (IPADDR_STRLEN_MAX + 16)], a[IPADDR_STRLEN_MAX];
    struct file *f;
    size_t n = 0;
    for (unsigned i = 0; i < dns_count; i++) {
        if (ip_addr_isany(&dns_servers[i]))
            continue;
        ipaddr_ntoa_r(&dns_servers[i], a, sizeof(a));
        n += (size_t)ksnprintf(text + n, sizeof(text) - n, "nameserver %s\n", a);
    }
    if (n == 0)
        return;
    vfs_mkdir(AT_FDCWD, "/etc", 0755); /* or it is there */
    if (vfs_open(AT_FDCWD, "/etc/resolv.conf", O_WRONLY | O_CREAT | O_EXCL, 0644, &f) < 0)
        return;
    if (file_write_at(f, text, n, 0) != (ssize_t)n)
        kprintf("net: /etc/resolv.conf: no memory\n");
    file_put(f);
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

static void status_changed(struct netif *n)
{
    static uint32_t told;
    if (netif_is_up(n) && netif_ip4_addr(n)->addr != 0 && netif_ip4_addr(n)->addr != told) {
        told = netif_ip4_addr(n)->addr;
        if (conf.mode == IP_DHCP)
            report(n);
    }
}

static void add_ip6(struct netif *n)
{
    netif_create_ip6_linklocal_address(n, 1);
    netif_set_ip6_autoconfig_enabled(n, 1);
    if (!conf.have_ip6)
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

static int net_configure(void)
{
    struct netdev *d = netdev_find(conf.device[0] != '\0' ? conf.device : NULL);
    if (conf.host[0] != '\0')
        strlcpy(uts.nodename, conf.host, sizeof(uts.nodename));
    if (conf.mode == IP_NONE && !conf.have_ip6)
        return 0;
    if (d == NULL) {
        kprintf("net: ip=: there is no interface %s\n", conf.device[0] != '\0' ? conf.device : "");
        return 0;
    }
    struct netif *n = d->user;
    n->hostname = uts.nodename;
    netif_set_default(n);
    netif_set_status_callback(n, status_changed);
    add_ip6(n);
    if (conf.mode == IP_STATIC)
        netif_set_addr(n, &conf.client, &conf.mask, &conf.gw);
    netif_set_up(n); /* sends a gratuitous ARP */
    net_timers_start();
    if (conf.mode == IP_DHCP)
        run_dhcp(n);
    net_flush();
    write_resolv_conf();
    return 0;
}
INIT(INIT_LATE, net_configure);
