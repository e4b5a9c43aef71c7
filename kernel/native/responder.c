/*
 * The least that a machine on a network must do, in images without the TCP/IP stack: each device
 * has the address that ip= on the command line gives it, or its raw user; ARP for it (RFC 826) and
 * echo requests to it (RFC 792) are answered, and everything else is dropped. Answers are made
 * where the question lies.
 *
 * Called by net/raw.c with what is not the raw user's; never sleeps.
 */
#include "native/native.h"
#include "net/csum.h"
#include "net/netdev.h"

#include "lib/cmdline.h"
#include "mm/slab.h"

#include <asm/errno.h>

#define ETH_HLEN  14u
#define ARP_LEN   28u
#define IP_HLEN   20u
#define ICMP_HLEN 8u

#define FIELD_GATEWAY 2
#define FIELD_MASK    3
#define FIELD_DEVICE  5

/* What ip= says, once for each device; a later word for the same one counts. */
#define MAX_DEVICES 4u
static struct given {
    uint32_t address, mask, gateway; /* network order */
    char device[16];                 /* "": the first */
} given[MAX_DEVICES];
static unsigned nr_given;

/* "10.0.0.2" up to end: network order, or 0. */
static uint32_t parse_ip4(const char *s, const char *end)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < 4; i++) {
        unsigned n = 0, digits = 0;

        for (; s < end && *s >= '0' && *s <= '9' && digits < 3; digits++)
            n = n * 10 + (unsigned)(*s++ - '0');
        if (digits == 0 || n > 255 || (i < 3 ? s == end || *s++ != '.' : s != end))
            return 0;
        v = v << 8 | n;
    }
    return __builtin_bswap32(v);
}

static int keep(const struct given *g)
{
    unsigned i = 0;

    while (i < nr_given && strcmp(given[i].device, g->device) != 0)
        i++;
    if (i == MAX_DEVICES)
        return -EINVAL;
    given[i] = *g;
    nr_given = MAX(nr_given, i + 1);
    return 0;
}

/* ip=CLIENT[/LENGTH]:SERVER:GATEWAY:MASK:HOST:DEVICE:..., as net/ifconfig.c has it; without DHCP.
 */
static int ip_option(const char *value)
{
    struct given g = {0};
    unsigned field = 0;

    for (const char *s = value; s; field++) {
        const char *colon = strchr(s, ':'), *end = colon ? colon : s + strlen(s);
        const char *slash = field == 0 ? memchr(s, '/', (size_t)(end - s)) : NULL;
        uint64_t len;

        if (slash) {
            if (parse_u64(slash + 1, &len) != end || len < 1 || len > 32)
                return -EINVAL;
            g.mask = __builtin_bswap32(0xffffffffu << (32 - len));
        }
        if (field == 0 && !(g.address = parse_ip4(s, slash ? slash : end)))
            return -EINVAL;
        if (field == FIELD_GATEWAY)
            g.gateway = parse_ip4(s, end);
        if (field == FIELD_MASK && end > s)
            g.mask = parse_ip4(s, end);
        if (field == FIELD_DEVICE)
            strlcpy(g.device, s, MIN((size_t)(end - s) + 1, sizeof(g.device)));
        s = colon ? colon + 1 : NULL;
    }
    return keep(&g);
}
CMDLINE("ip", ip_option);

static void swap(uint8_t *a, uint8_t *b, unsigned n)
{
    for (; n > 0; n--, a++, b++) {
        uint8_t t = *a;

        *a = *b;
        *b = t;
    }
}

static bool answer_arp(const struct netdev *d, uint8_t *frame, unsigned len)
{
    static const uint8_t request[8] = {0, 1, 8, 0, 6, 4, 0, 1}; /* Ethernet, IPv4, who has */
    uint8_t *arp = frame + ETH_HLEN;

    if (len < ETH_HLEN + ARP_LEN || memcmp(arp, request, sizeof(request)) != 0 ||
        memcmp(arp + 24, &d->ip4, 4) != 0)
        return false;
    arp[7] = 2;
    memcpy(arp + 18, arp + 8, 10); /* the asker is the target now */
    memcpy(arp + 8, d->mac, 6);
    memcpy(arp + 14, &d->ip4, 4);
    memcpy(frame, frame + 6, 6);
    memcpy(frame + 6, d->mac, 6);
    return true;
}

static bool answer_echo(const struct netdev *d, uint8_t *frame, unsigned len)
{
    uint8_t *ip = frame + ETH_HLEN, *icmp = ip + IP_HLEN;
    unsigned total;
    uint16_t sum;

    if (len < ETH_HLEN + IP_HLEN + ICMP_HLEN || ip[0] != 0x45 || ip[9] != 1 || icmp[0] != 8 ||
        icmp[1] != 0 || ((ip[6] & 0x3f) | ip[7]) != 0 || memcmp(ip + 16, &d->ip4, 4) != 0)
        return false;
    total = (unsigned)ip[2] << 8 | ip[3];
    if (total < IP_HLEN + ICMP_HLEN || total + ETH_HLEN > len)
        return false;
    icmp[0] = 0;
    memcpy(&sum, icmp + 2, 2); /* the type's 8 is gone from the sum (RFC 1624) */
    sum = (uint16_t)~csum_fold((uint64_t)(uint16_t)~sum + (uint16_t)~8u);
    memcpy(icmp + 2, &sum, 2);
    swap(ip + 12, ip + 16, 4);
    memcpy(frame, frame + 6, 6);
    memcpy(frame + 6, d->mac, 6);
    return true;
}

static void input(struct netdev *d, struct netbuf *b)
{
    uint8_t *frame = (uint8_t *)b + b->data;
    unsigned type = (unsigned)frame[12] << 8 | frame[13];
    struct wherry_packet p = {.data = frame, .len = b->len};

    if (d->ip4 != 0 && ((type == 0x0806 && answer_arp(d, frame, b->len)) ||
                        (type == 0x0800 && answer_echo(d, frame, b->len)))) {
        if (d->ops->tx_raw(d, &p, 1) == 1) {
            d->ops->kick(d, 0);
            return;
        }
    }
    netbuf_free(b);
}

void native_net_start(void)
{
    list_for_each (d, &netdev_list, struct netdev, link) {
        d->input = input;
    }
    for (const struct given *g = given; g < given + nr_given; g++) {
        struct netdev *d = netdev_find(g->device[0] != '\0' ? g->device : NULL);

        if (d == NULL) {
            kprintf("net: ip=: there is no interface %s\n", g->device);
            continue;
        }
        d->ip4 = g->address;
        d->mask4 = g->mask;
        d->gateway4 = g->gateway;
    }
}
