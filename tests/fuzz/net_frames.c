/*
 * Frames for tests/fuzz/fuzz_net.c: building them, putting lengths and checksums right, and
 * answering what the stack sends as a well-meaning peer would. See net_host.h.
 */
#include "net_host.h"

#include <linux/if_ether.h>

#define V6_HEAD 40u
#define V4_HEAD 20u
#define ARP_LEN 28u

const uint8_t peer_mac[6] = {0x52, 0x54, 0, 0, 0, 1};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void set16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

void wire_put(struct wire *f, const void *data, size_t n)
{
    n = MIN(n, FRAME_MAX - f->len);
    memcpy(f->data + f->len, data, n);
    f->len += n;
}

void wire_put8(struct wire *f, uint8_t v)
{
    wire_put(f, &v, 1);
}

void wire_put16(struct wire *f, uint16_t v)
{
    uint8_t b[2];
    set16(b, v);
    wire_put(f, b, 2);
}

void wire_put32(struct wire *f, uint32_t v)
{
    wire_put16(f, (uint16_t)(v >> 16));
    wire_put16(f, (uint16_t)v);
}

static void put_ether(struct wire *f, bool multicast, uint16_t type)
{
    static const uint8_t all[6] = {0x33, 0x33, 0, 0, 0, 1};
    f->len = 0;
    wire_put(f, multicast ? all : host_dev.mac, 6);
    wire_put(f, peer_mac, 6);
    wire_put16(f, type);
}

void wire_ip4(struct wire *f, uint32_t src, uint32_t dst, uint8_t proto)
{
    static uint16_t id;
    put_ether(f, (dst & 0xf0) == 0xe0, ETH_P_IP);
    if (dst == 0xffffffff)
        memset(f->data, 0xff, 6);
    wire_put16(f, 0x4500);
    wire_put16(f, 0);
    wire_put16(f, id++);
    wire_put16(f, 0);
    wire_put8(f, 64);
    wire_put8(f, proto);
    wire_put16(f, 0);
    wire_put(f, &src, 4);
    wire_put(f, &dst, 4);
}

void wire_ip6(struct wire *f, const void *src, const void *dst, uint8_t proto)
{
    put_ether(f, *(const uint8_t *)dst == 0xff, ETH_P_IPV6);
    wire_put32(f, 0x60000000);
    wire_put16(f, 0);
    wire_put8(f, proto);
    wire_put8(f, 255);
    wire_put(f, src, 16);
    wire_put(f, dst, 16);
}

/* ---- Repair ---- */

static uint32_t sum(const uint8_t *p, size_t n)
{
    uint32_t s = 0;
    for (size_t i = 0; i + 1 < n; i += 2)
        s += get16(p + i);
    return n & 1 ? s + (uint32_t)(p[n - 1] << 8) : s;
}

static uint16_t fold(uint32_t s)
{
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return (uint16_t)~s;
}

/* The checksum of what begins at p; pseudo is the sum of the pseudo header. */
static void repair_l4(uint8_t *p, size_t n, uint8_t proto, uint32_t pseudo)
{
    size_t at;
    switch (proto) {
    case 1:
    case 2:
        at = 2;
        pseudo = 0;
        break;
    case 6:
        at = 16;
        break;
    case 17:
        at = 6;
        if (n >= 8 && get16(p + 4) == 0)
            set16(p + 4, (uint16_t)n);
        break;
    case 58:
        at = 2;
        break;
    default:
        return;
    }
    if (n < at + 2)
        return;
    set16(p + at, 0);
    set16(p + at, fold(sum(p, n) + pseudo));
}

static void repair_ip4(uint8_t *p, size_t n)
{
    size_t h = (size_t)(p[0] & 15) * 4;
    if (h < V4_HEAD || h > n)
        return;
    set16(p + 2, (uint16_t)MIN(n, 65535u));
    set16(p + 10, 0);
    set16(p + 10, fold(sum(p, h)));
    if ((get16(p + 6) & 0x3fff) == 0)
        repair_l4(p + h, n - h, p[9], sum(p + 12, 8) + p[9] + (uint32_t)(n - h));
}

static void repair_ip6(uint8_t *p, size_t n)
{
    size_t h = V6_HEAD;
    uint8_t next = p[6];
    set16(p + 4, (uint16_t)MIN(n - V6_HEAD, 65535u));
    while ((next == 0 || next == 43 || next == 60) && h + 8 <= n) {
        next = p[h];
        h += 8 * (1 + (size_t)p[h + 1]);
    }
    if (h <= n)
        repair_l4(p + h, n - h, next, sum(p + 8, 32) + next + (uint32_t)(n - h));
}

void wire_repair(struct wire *f)
{
    uint8_t *p = f->data + ETH_HLEN;
    size_t n = f->len < ETH_HLEN ? 0 : f->len - ETH_HLEN;
    uint16_t type = n == 0 ? 0 : get16(p - 2);
    if (type == ETH_P_IP && n >= V4_HEAD)
        repair_ip4(p, n);
    else if (type == ETH_P_IPV6 && n >= V6_HEAD)
        repair_ip6(p, n);
}

/* ---- Answers ---- */

static bool answer_arp(struct wire *f, const uint8_t *a)
{
    if (get16(a + 6) != 1)
        return false;
    put_ether(f, false, ETH_P_ARP);
    wire_put(f, a, 6);
    wire_put16(f, 2);
    wire_put(f, peer_mac, 6);
    wire_put(f, a + 24, 4);
    wire_put(f, a + 8, 10);
    return true;
}

static bool answer_dhcp(struct wire *f, const uint8_t *q, uint8_t choice)
{
    static const uint8_t options[] = {1,  4, 255, 255, 255, 0,  3,   4,   10, 0, 0,  1,  6,
                                      4,  8, 8,   8,   8,   51, 4,   0,   0,  0, 60, 54, 4,
                                      10, 0, 0,   1,   12,  2,  'a', 'b', 15, 1, 'd'};
    uint32_t ours = OUR_IP4;
    wire_ip4(f, PEER_IP4, choice & 0x80 ? 0xffffffff : ours, 17);
    wire_put16(f, 67);
    wire_put16(f, 68);
    wire_put32(f, 0);
    size_t at = f->len;
    wire_put(f, q, 240);
    f->data[at] = 2;
    memcpy(f->data + at + 16, &ours, 4);
    static const uint8_t types[] = {2, 5, 6, 5};
    wire_put8(f, 53);
    wire_put8(f, 1);
    wire_put8(f, types[choice & 3]);
    wire_put(f, options, choice & 0x40 ? choice & 31 : sizeof(options));
    wire_put8(f, 255);
    wire_repair(f);
    return true;
}

static bool answer_ip4(struct wire *f, const uint8_t *p, size_t n, uint8_t choice)
{
    size_t h = (size_t)(p[0] & 15) * 4;
    if (h < V4_HEAD || n < h + 8)
        return false;
    const uint8_t *l4 = p + h;
    uint32_t src, dst;
    memcpy(&src, p + 12, 4);
    memcpy(&dst, p + 16, 4);
    if (p[9] == 17 && get16(l4 + 2) == 67 && n >= h + 8 + 240)
        return answer_dhcp(f, l4 + 8, choice);
    wire_ip4(f, dst, src, p[9]);
    if (p[9] == 17) {
        wire_put(f, l4 + 2, 2);
        wire_put(f, l4, 2);
        wire_put32(f, 0);
        wire_put(f, l4 + 8, n - h - 8);
    } else if (p[9] == 1 && l4[0] == 8) {
        wire_put(f, l4, n - h);
        f->data[ETH_HLEN + V4_HEAD] = 0;
    } else {
        return false;
    }
    wire_repair(f);
    return true;
}

static bool answer_ip6(struct wire *f, const uint8_t *p, size_t n, uint8_t choice)
{
    static const uint8_t router[16] = {0xfe, 0x80, [15] = 1};
    const uint8_t *l4 = p + V6_HEAD;
    if (n < V6_HEAD + 8)
        return false;
    if (p[6] == 58 && l4[0] == 133) { /* router solicitation */
        static const uint8_t everybody[16] = {0xff, 2, [15] = 1};
        wire_ip6(f, router, everybody, 58);
        wire_put32(f, 0x86000000);
        wire_put32(f, 0x40000e10);
        wire_put32(f, 0);
        wire_put32(f, 0);
        wire_put16(f, 0x0101); /* the router's own address */
        wire_put(f, peer_mac, 6);
        wire_put32(f, 0x05010000);
        wire_put32(f, choice & 1 ? 1280 : 1500);
        wire_put32(f, 0x030440c0); /* a prefix */
        wire_put32(f, choice & 2 ? 30 : 0x0000ffff);
        wire_put32(f, 0x0000ffff);
        wire_put32(f, 0);
        wire_put32(f, 0xfd000000 | choice);
        wire_put32(f, 0);
        wire_put32(f, 0);
        wire_put32(f, 0);
    } else if (p[6] == 58 && l4[0] == 135 && n >= V6_HEAD + 24) { /* neighbour solicitation */
        wire_ip6(f, l4 + 8, p + 8, 58);
        wire_put32(f, 0x88000000);
        wire_put32(f, 0x60000000);
        wire_put(f, l4 + 8, 16);
        wire_put16(f, 0x0201);
        wire_put(f, peer_mac, 6);
    } else if (p[6] == 58 && l4[0] == 128) {
        wire_ip6(f, p + 24, p + 8, 58);
        wire_put(f, l4, n - V6_HEAD);
        f->data[ETH_HLEN + V6_HEAD] = 129;
    } else if (p[6] == 17) {
        wire_ip6(f, p + 24, p + 8, 17);
        wire_put(f, l4 + 2, 2);
        wire_put(f, l4, 2);
        wire_put32(f, 0);
        wire_put(f, l4 + 8, n - V6_HEAD - 8);
    } else {
        return false;
    }
    wire_repair(f);
    return true;
}

bool wire_answer(struct wire *f, const uint8_t *sent, size_t len, uint8_t choice)
{
    if (len < ETH_HLEN)
        return false;
    size_t n = len - ETH_HLEN;
    switch (get16(sent + 12)) {
    case ETH_P_ARP:
        return n >= ARP_LEN && answer_arp(f, sent + ETH_HLEN);
    case ETH_P_IP:
        return n >= V4_HEAD && answer_ip4(f, sent + ETH_HLEN, n, choice);
    case ETH_P_IPV6:
        return n >= V6_HEAD && answer_ip6(f, sent + ETH_HLEN, n, choice);
    default:
        return false;
    }
}
