/*
 * The fuzzer's input, byte by byte, and the addresses that bytes stand for: see fuzz_net.h.
 */
#include "fuzz_net.h"

struct net_input in;
struct netif *eth;

uint8_t in_u8(void)
{
    return in.left ? (in.left--, *in.p++) : 0;
}

uint16_t in_u16(void)
{
    uint16_t hi = in_u8();
    return (uint16_t)(hi << 8 | in_u8());
}

void in_put(struct wire *f, size_t n)
{
    size_t k = MIN(n, in.left);
    wire_put(f, in.p, k);
    in.p += k;
    in.left -= k;
    while (k++ < n)
        wire_put8(f, (uint8_t)k);
}

/* ---- Addresses ---- */

const uint16_t port_of[8] = {80, 53, 1000, 7000, 68, 0, 40000, 1};

uint32_t pick_ip4(uint8_t c)
{
    static const uint32_t some[8] = {PEER_IP4,   OUR_IP4,    0x0300000a, 0xff00000a,
                                     0xffffffff, 0x010000e0, 0x0100007f, 0x08080808};
    return (c & 7) == 7 && c & 8 ? (uint32_t)c << 24 | 0x0000000a : some[c & 7];
}

const uint8_t *pick_ip6(uint8_t c)
{
    static uint8_t a[16];
    static const uint8_t some[8][16] = {
        {0xfd, [15] = 1},    {0xfd, [15] = 2}, {0xfe, 0x80, [15] = 1}, {0},
        {0xff, 2, [15] = 1}, {[15] = 1},       {0xfd, [15] = 9},       {0xff, 2, [13] = 1, 0xff},
    };
    memcpy(a, some[c & 7], 16);
    if ((c & 15) == 8)
        memcpy(a, netif_ip6_addr(eth, 0)->addr, 16);
    else if ((c & 15) == 10)
        memcpy(a + 8, (const uint8_t *)netif_ip6_addr(eth, 0)->addr + 8, 8);
    else if ((c & 15) == 15)
        a[15] = (uint8_t)(c >> 4);
    return a;
}

void pick_addr(struct sock_addr *a, uint8_t c, uint16_t port, int family)
{
    memset(a, 0, sizeof(*a));
    if (c & 0x80)
        family = family == AF_INET ? AF_INET6 : AF_INET;
    if (c & 0x40)
        family = AF_UNSPEC;
    if (family != AF_INET6) {
        struct sockaddr_in s = {.sin_family = (uint16_t)family, .sin_port = lwip_htons(port)};
        s.sin_addr.s_addr = c & 0x20 ? 0 : pick_ip4(c & 15);
        memcpy(a->bytes, &s, sizeof(s));
        a->len = sizeof(s);
    } else {
        struct sockaddr_in6 s = {.sin6_family = AF_INET6, .sin6_port = lwip_htons(port)};
        if (!(c & 0x20))
            memcpy(&s.sin6_addr, pick_ip6(c & 15), 16);
        if (c & 0x10) {
            uint32_t mapped[4] = {0, 0, PP_HTONL(0xffff), pick_ip4(c & 15)};
            memcpy(&s.sin6_addr, mapped, 16);
        }
        memcpy(a->bytes, &s, sizeof(s));
        a->len = sizeof(s);
    }
}
