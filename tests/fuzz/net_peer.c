/*
 * The network of tests/fuzz/fuzz_net.c: frames that arrive (built with net_frames.c's words). They
 * get right lengths and checksums unless an operand says otherwise, and TCP segments numbers near
 * those that are expected, so that most input comes far.
 */
#include "fuzz_net.h"

#include <linux/if_ether.h>
#include <linux/tcp.h>

#include "lwip/priv/tcp_priv.h"

static const uint8_t peer_ip6[16] = {0xfd, [15] = 1}, our_ip6[16] = {0xfd, [15] = 2};

static struct wire frame;

static void put_pattern(struct wire *f, size_t n)
{
    while (n-- > 0)
        wire_put8(f, (uint8_t)n);
}

static void receive(void)
{
    uint8_t layout = in_u8();
    host_receive(frame.data, frame.len, layout);
    if (!(layout & 0x40))
        host_poll();
}

static void begin(bool v6, uint8_t src, uint8_t dst, uint8_t proto)
{
    uint8_t s6[16], d6[16];
    if (v6) {
        memcpy(s6, pick_ip6(src), 16);
        memcpy(d6, pick_ip6(dst), 16);
        wire_ip6(&frame, s6, d6, proto);
    } else {
        wire_ip4(&frame, pick_ip4(src), pick_ip4(dst), proto);
    }
}

static struct tcp_pcb *pick_pcb(uint8_t c)
{
    struct tcp_pcb *p = c & 0x80 && tcp_tw_pcbs != NULL ? tcp_tw_pcbs : tcp_active_pcbs;
    for (unsigned i = c & 7; p != NULL && p->next != NULL && i > 0; i--)
        p = p->next;
    return p;
}

void peer_tcp_segment(void)
{
    uint8_t which = in_u8(), flags = in_u8(), seq = in_u8(), ack = in_u8(), shape = in_u8();
    struct tcp_pcb *p = pick_pcb(which);
    if (p == NULL)
        return;
    u32_t s = p->rcv_nxt, a = p->snd_nxt;
    if (seq & 0x80)
        s += (u32_t)(int8_t)(seq << 1) * (shape & 1 ? 700u : 1u);
    if (ack & 0x80)
        a = ack & 0x40 ? p->lastack + (ack & 0x3f) : a + (u32_t)(int8_t)(ack << 2);
    if (p->state == SYN_SENT && !(ack & 0x80))
        a = p->snd_nxt;
    if (IP_IS_V6(&p->remote_ip))
        wire_ip6(&frame, ip_2_ip6(&p->remote_ip)->addr, ip_2_ip6(&p->local_ip)->addr, 6);
    else
        wire_ip4(&frame, ip_2_ip4(&p->remote_ip)->addr, ip_2_ip4(&p->local_ip)->addr, 6);
    unsigned options = (shape >> 1 & 3) * 4u * (1u + (shape >> 6));
    wire_put16(&frame, p->remote_port);
    wire_put16(&frame, p->local_port);
    wire_put32(&frame, s);
    wire_put32(&frame, a);
    wire_put8(&frame, (uint8_t)((5 + options / 4) << 4));
    wire_put8(&frame, flags);
    wire_put16(&frame, shape & 8 ? in_u16() : 8000);
    wire_put32(&frame, 0);
    in_put(&frame, options);
    if (shape & 0x10)
        put_pattern(&frame, shape & 0x20 ? in_u16() : in_u8());
    wire_repair(&frame);
    receive();
}

void peer_tcp_syn(void)
{
    uint8_t c = in_u8(), src = in_u8(), options = in_u8() % 11;
    begin(c & 1, src & 15, c & 2 ? src >> 4 : (c & 1 ? 1 : 1), 6);
    wire_put16(&frame, (uint16_t)(5000 + (c >> 5)));
    wire_put16(&frame, port_of[c >> 2 & 7]);
    wire_put32(&frame, 0x1000);
    wire_put32(&frame, 0);
    wire_put8(&frame, (uint8_t)((5 + options) << 4));
    wire_put8(&frame, 2);
    wire_put16(&frame, 8000);
    wire_put32(&frame, 0);
    in_put(&frame, options * 4u);
    wire_repair(&frame);
    receive();
}

void peer_udp(void)
{
    uint8_t c = in_u8(), addrs = in_u8();
    begin(c & 1, addrs & 15, addrs >> 4, 17);
    wire_put16(&frame, port_of[c >> 4 & 3]);
    wire_put16(&frame, port_of[c >> 1 & 7]);
    wire_put32(&frame, 0);
    put_pattern(&frame, c & 0x80 ? in_u16() % 20000u : in_u8());
    wire_repair(&frame);
    if (c & 0x40 && frame.len > 60)
        frame.data[ETH_HLEN + 20 + 6] = frame.data[ETH_HLEN + 20 + 7] = 0; /* no checksum */
    receive();
}

void peer_fragment4(void)
{
    uint8_t c = in_u8(), id = in_u8();
    uint16_t off = in_u16();
    begin(false, c & 3, 1, c & 4 ? 17 : c & 8 ? 6 : 1);
    frame.data[ETH_HLEN + 4] = 7;
    frame.data[ETH_HLEN + 5] = id & 3;
    frame.data[ETH_HLEN + 6] = (uint8_t)(off >> 8 & 0x3f);
    frame.data[ETH_HLEN + 7] = (uint8_t)off;
    if (id & 0x80)
        in_put(&frame, in_u8());
    put_pattern(&frame, (id & 0x40 ? in_u16() & 0xfff8u : (in_u8() & 31u) * 8) + (id >> 2 & 7));
    wire_repair(&frame);
    receive();
}

void peer_fragment6(void)
{
    static const uint8_t protos[4] = {58, 17, 6, 60};
    uint8_t c = in_u8(), id = in_u8();
    uint16_t off = in_u16();
    begin(true, c & 3, 1, c & 4 ? 0 : 44);
    if (c & 4) { /* behind a hop-by-hop header */
        wire_put32(&frame, 0x2c000104);
        wire_put32(&frame, 0);
    }
    wire_put8(&frame, protos[c >> 3 & 3]);
    wire_put8(&frame, 0);
    wire_put16(&frame, off);
    wire_put32(&frame, id & 3);
    if (id & 0x80)
        in_put(&frame, in_u8());
    put_pattern(&frame, (id & 0x40 ? in_u16() & 0xfff8u : (in_u8() & 31u) * 8) + (id >> 2 & 7));
    wire_repair(&frame);
    receive();
}

static const struct host_sent *pick_sent(uint8_t c)
{
    unsigned n = MIN(host_sent_count, HOST_SENT);
    return n == 0 ? NULL : &host_sent[(host_sent_count - 1 - c % n) % HOST_SENT];
}

void peer_icmp_error(void)
{
    uint8_t c = in_u8(), type = in_u8(), code = in_u8();
    uint16_t mtu = in_u16();
    const struct host_sent *s = pick_sent(c);
    if (s == NULL || s->len < ETH_HLEN + 20)
        return;
    const uint8_t *ip = s->data + ETH_HLEN;
    size_t quote = MIN(s->len - ETH_HLEN, c & 0x80 ? in_u8() : 576u);
    uint32_t src = 0;
    if (ip[0] >> 4 == 6) {
        wire_ip6(&frame, peer_ip6, s->len >= 54 ? ip + 8 : our_ip6, 58);
        wire_put8(&frame, type);
    } else {
        memcpy(&src, ip + 12, 4);
        wire_ip4(&frame, PEER_IP4, src, 1);
        wire_put8(&frame, type & 0x80 ? type : (type & 1 ? 3 : type & 2 ? 11 : 12));
    }
    wire_put8(&frame, code);
    wire_put16(&frame, 0);
    wire_put16(&frame, 0);
    wire_put16(&frame, mtu);
    wire_put(&frame, ip, quote);
    wire_repair(&frame);
    receive();
}

void peer_arp(void)
{
    uint8_t c = in_u8(), addrs = in_u8();
    uint32_t from = pick_ip4(addrs & 15), to = pick_ip4(addrs >> 4);
    frame.len = 0;
    wire_put(&frame, c & 1 ? host_dev.mac : (const uint8_t[]){255, 255, 255, 255, 255, 255}, 6);
    wire_put(&frame, peer_mac, 6);
    wire_put16(&frame, ETH_P_ARP);
    wire_put32(&frame, 0x00010800);
    wire_put16(&frame, 0x0604);
    wire_put16(&frame, c >> 1 & 3);
    wire_put(&frame, peer_mac, 6);
    frame.data[frame.len - 1] = c >> 4;
    wire_put(&frame, &from, 4);
    wire_put(&frame, host_dev.mac, 6);
    wire_put(&frame, &to, 4);
    if (c & 8)
        frame.len -= in_u8() % 28;
    receive();
}

void peer_nd(void)
{
    uint8_t c = in_u8(), addrs = in_u8(), options = in_u8();
    begin(true, addrs & 15, addrs >> 4, 58);
    wire_put8(&frame, (uint8_t)(130 + (c & 15)));
    wire_put8(&frame, 0);
    wire_put16(&frame, 0);
    in_put(&frame, 4);
    if (c & 0x10)
        wire_put(&frame, pick_ip6(in_u8()), 16);
    if (c & 0x20)
        wire_put(&frame, pick_ip6(in_u8()), 16);
    in_put(&frame, options);
    wire_repair(&frame);
    receive();
}

void peer_group_query(void)
{
    uint8_t c = in_u8();
    if (c & 1) {
        begin(true, 2, c & 2 ? 4 : 1, 58);
        wire_put32(&frame, 0x82000000);
        wire_put32(&frame, 0x03e80000);
        in_put(&frame, 16);
    } else {
        begin(false, 0, 5, 2);
        wire_put8(&frame, (uint8_t)(0x11 + (c >> 2 & 7)));
        in_put(&frame, 7 + (c >> 5) * 4u);
    }
    wire_repair(&frame);
    receive();
}

/* IPv6 with extension headers, IPv4 with options, before something or nothing. */
void peer_extensions(void)
{
    static const uint8_t headers[8] = {0, 43, 60, 44, 59, 58, 17, 6};
    uint8_t c = in_u8(), n = in_u8();
    if (c & 1) {
        uint8_t next = headers[c >> 1 & 7];
        begin(true, c >> 4 & 3, c & 0x40 ? 4 : 1, next);
        for (unsigned i = 0; i < (n & 3); i++) {
            uint8_t b = in_u8();
            wire_put8(&frame, headers[b & 7]);
            wire_put8(&frame, b >> 6);
            in_put(&frame, 6 + 8u * (b >> 6));
        }
    } else {
        begin(false, c >> 4 & 3, 1, c & 2 ? 17 : c & 4 ? 6 : 1);
        frame.data[ETH_HLEN] = (uint8_t)(0x45 + (n & 7));
        in_put(&frame, (n & 7) * 4u);
    }
    in_put(&frame, n >> 3);
    wire_repair(&frame);
    receive();
}

void peer_echo(void)
{
    uint8_t c = in_u8();
    begin(c & 1, c >> 4, c & 2 ? 4 : 1, c & 1 ? 58 : 1);
    wire_put8(&frame, c & 1 ? (c & 4 ? 129 : 128) : (c & 4 ? 0 : 8));
    wire_put8(&frame, 0);
    wire_put16(&frame, 0);
    wire_put32(&frame, (uint32_t)in_u16() << 16);
    put_pattern(&frame, c & 8 ? in_u16() % 9000u : in_u8());
    wire_repair(&frame);
    receive();
}

void peer_raw_frame(bool repair)
{
    uint8_t c = in_u8();
    frame.len = 0;
    in_put(&frame, c & 0x80 ? in_u16() % 2000u : in_u8());
    if (frame.len >= ETH_HLEN && c & 1)
        memcpy(frame.data, host_dev.mac, 6);
    if (repair)
        wire_repair(&frame);
    receive();
}

void peer_answer(uint8_t age, uint8_t choice)
{
    const struct host_sent *s = pick_sent(age);
    if (s != NULL && wire_answer(&frame, s->data, s->len, choice)) {
        host_receive(frame.data, frame.len, 1);
        host_poll();
    }
}
