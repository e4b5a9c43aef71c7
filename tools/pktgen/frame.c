/* See frame.h. */
#include "frame.h"

#include <string.h>

enum { TTL = 64 };

const char *const frame_kind_names[NR_FRAME_KINDS] = {
    [FRAME_UDP] = "udp",           [FRAME_ARP] = "arp",     [FRAME_OTHER] = "other",
    [FRAME_FRAGMENT] = "fragment", [FRAME_SHORT] = "short", [FRAME_IP_SUM] = "ip_sum",
    [FRAME_UDP_SUM] = "udp_sum",
};

uint64_t sum_bytes(uint64_t sum, const void *data, size_t n)
{
    const uint8_t *p = data;
    uint64_t w = 0;

    for (; n >= 4; p += 4, n -= 4) { /* 2^32 of these fit into a sum of 64 bits */
        uint32_t v;
        memcpy(&v, p, 4);
        sum += v;
    }
    memcpy(&w, p, n);
    return sum + w;
}

uint16_t sum_finish(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return ~sum;
}

static void set_sum(uint8_t *p, uint16_t sum)
{
    memcpy(p, &sum, 2);
}

/* The pseudo header's addresses are taken where they stand: at the IP header's end. */
static uint64_t pseudo(const uint8_t *ip, size_t len)
{
    uint8_t rest[4] = {0, PROTO_UDP, len >> 8, len};

    return sum_bytes(sum_bytes(0, ip + 12, 8), rest, sizeof(rest));
}

void frame_sum_ip(uint8_t *f, size_t header)
{
    set_sum(f + AT_IP_SUM, 0);
    set_sum(f + AT_IP_SUM, sum_finish(sum_bytes(0, f + AT_IP, header)));
}

void frame_sum_udp(uint8_t *f, size_t n)
{
    size_t len = get16(f + AT_UDP_LEN);
    uint16_t sum;

    if (len > n - AT_UDP)
        return;
    set_sum(f + AT_UDP_SUM, 0);
    sum = sum_finish(sum_bytes(pseudo(f + AT_IP, len), f + AT_UDP, len));
    set_sum(f + AT_UDP_SUM, sum ? sum : 0xffff); /* 0 says that there is none */
}

void frame_part_sum_udp(uint8_t *f)
{
    set_sum(f + AT_UDP_SUM, ~sum_finish(pseudo(f + AT_IP, get16(f + AT_UDP_LEN))));
}

size_t frame_udp(uint8_t *f, const struct ends *e, uint16_t ip_id, size_t n)
{
    size_t len = UDP_LEN + n;

    memcpy(f, e->to_mac, MAC_LEN);
    memcpy(f + MAC_LEN, e->from_mac, MAC_LEN);
    put16(f + AT_TYPE, TYPE_IP);
    f[AT_IP] = 0x45;
    f[AT_IP + 1] = 0;
    put16(f + AT_IP_LEN, IP_LEN + len);
    put16(f + AT_IP_ID, ip_id);
    put16(f + AT_IP_FRAG, IP_DONT_FRAGMENT);
    f[AT_IP + 8] = TTL;
    f[AT_IP_PROTO] = PROTO_UDP;
    put32(f + AT_IP_SRC, e->from);
    put32(f + AT_IP_DST, e->to);
    frame_sum_ip(f, IP_LEN);
    put16(f + AT_UDP, e->from_port);
    put16(f + AT_UDP + 2, e->to_port);
    put16(f + AT_UDP_LEN, len);
    frame_sum_udp(f, FRAME_HEAD + n);
    return FRAME_HEAD + n;
}

size_t frame_arp(uint8_t *f, unsigned op, const uint8_t *from_mac, uint32_t from,
                 const uint8_t *to_mac, uint32_t to)
{
    uint8_t *a = f + ETH_LEN;

    memset(f, 0xff, MAC_LEN);
    memset(a + 18, 0, MAC_LEN);
    if (to_mac) {
        memcpy(f, to_mac, MAC_LEN);
        memcpy(a + 18, to_mac, MAC_LEN);
    }
    memcpy(f + MAC_LEN, from_mac, MAC_LEN);
    put16(f + AT_TYPE, TYPE_ARP);
    put16(a, 1); /* Ethernet */
    put16(a + 2, TYPE_IP);
    a[4] = MAC_LEN;
    a[5] = 4;
    put16(a + 6, op);
    memcpy(a + 8, from_mac, MAC_LEN);
    put32(a + 14, from);
    put32(a + 24, to);
    return ETH_LEN + ARP_LEN;
}

static enum frame_kind parse_arp(const uint8_t *a, size_t n, struct frame *out)
{
    if (n < ARP_LEN)
        return FRAME_SHORT;
    out->op = get16(a + 6);
    out->from_mac = a + 8;
    out->from = get32(a + 14);
    out->to = get32(a + 24);
    if (get16(a) != 1 || get16(a + 2) != TYPE_IP || a[4] != MAC_LEN || a[5] != 4)
        return FRAME_OTHER;
    return out->op == ARP_REQUEST || out->op == ARP_REPLY ? FRAME_ARP : FRAME_OTHER;
}

static enum frame_kind parse_udp(const uint8_t *ip, const uint8_t *u, size_t n, struct frame *out)
{
    size_t len;

    if (n < UDP_LEN)
        return FRAME_SHORT;
    len = get16(u + 4);
    if (len < UDP_LEN || len > n)
        return FRAME_SHORT;
    if (get16(u + 6) && sum_finish(sum_bytes(pseudo(ip, len), u, len)))
        return FRAME_UDP_SUM;
    out->from_port = get16(u);
    out->to_port = get16(u + 2);
    out->payload = u + UDP_LEN;
    out->len = len - UDP_LEN;
    return FRAME_UDP;
}

enum frame_kind frame_parse(const uint8_t *f, size_t n, struct frame *out)
{
    const uint8_t *ip = f + ETH_LEN;
    size_t header, len;

    if (n < ETH_LEN)
        return FRAME_SHORT;
    out->to_mac = f;
    out->from_mac = f + MAC_LEN;
    if (get16(f + AT_TYPE) == TYPE_ARP)
        return parse_arp(f + ETH_LEN, n - ETH_LEN, out);
    if (get16(f + AT_TYPE) != TYPE_IP)
        return FRAME_OTHER;
    n -= ETH_LEN;
    if (n < IP_LEN)
        return FRAME_SHORT;
    header = 4 * (ip[0] & 15);
    len = get16(ip + 2);
    if (ip[0] >> 4 != 4 || header < IP_LEN || len < header || len > n)
        return FRAME_SHORT;
    if (sum_finish(sum_bytes(0, ip, header)))
        return FRAME_IP_SUM;
    out->from = get32(ip + 12);
    out->to = get32(ip + 16);
    if (get16(ip + 6) & ~IP_DONT_FRAGMENT)
        return FRAME_FRAGMENT;
    if (ip[9] != PROTO_UDP)
        return FRAME_OTHER;
    return parse_udp(ip, ip + header, len - header, out);
}
