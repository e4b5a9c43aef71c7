/*
 * The node's way from packets to what they are for, and back. Over Ethernet frames it is a host of
 * its own: it answers ARP (RFC 826) and pings (RFC 792), and takes control datagrams and RoCE to
 * its address; it never asks, since whoever it answers has been heard. Called by node.c and,
 * through it, by the responder.
 */
#include "node.h"

#include "../pktgen/frame.h"

#include <string.h>

const char *const net_count_names[NR_NET_COUNTS] = {
#define X(name, help) #name,
    NET_COUNTS(X)
#undef X
};
const char *const net_count_helps[NR_NET_COUNTS] = {
#define X(name, help) help,
    NET_COUNTS(X)
#undef X
};

enum {
    PROTO_ICMP = 1,
    ECHO_REPLY = 0,
    ECHO_REQUEST = 8,
    ICMP_LEN = 8,
    GROUP = 1, /* in a MAC address' first byte: nobody's own */
    AT_ICMP = AT_IP + IP_LEN,
};

static struct neighbour *neighbour(struct node *n, uint32_t ip)
{
    return &n->neighbours[ip * UINT32_C(2654435761) >> 22]; /* the golden ratio of 2^32; 10 bits */
}
_Static_assert(NEIGHBOURS == 1 << 10, "the hash has 10 bits");

static void learn(struct node *n, uint32_t ip, const uint8_t *mac, unsigned link)
{
    struct neighbour *x = neighbour(n, ip);

    x->ip = ip;
    x->link = link;
    memcpy(x->mac, mac, MAC_LEN);
}

/* ---- out ---- */

/* Room for a whole frame to a neighbour. Who is none gets nothing: it goes to the scratch. */
static uint8_t *frame_room(struct node *n, uint32_t peer)
{
    const struct neighbour *x = neighbour(n, peer);

    if (!n->transport->ethernet)
        return n->transport->ops->room(n->transport, 0);
    if (x->ip != peer)
        return n->scratch;
    return n->transport->ops->room(n->transport, x->link);
}

static void frame_send(struct node *n, uint32_t peer, uint8_t *f, size_t len)
{
    const struct neighbour *x = neighbour(n, peer);

    if (f == n->scratch) {
        n->net_count[NET_no_room]++;
        return;
    }
    if (n->transport->ethernet) {
        memcpy(f, x->mac, MAC_LEN);
        memcpy(f + MAC_LEN, n->o->mac, MAC_LEN);
        put16(f + AT_TYPE, TYPE_IP);
    }
    n->transport->ops->send(n->transport, n->transport->ethernet ? x->link : 0, len);
}

uint8_t *net_room(struct node *n, uint32_t peer)
{
    uint8_t *f = frame_room(n, peer);

    return f ? f + ETH_LEN : NULL;
}

void net_send(struct node *n, uint32_t peer, uint8_t *ip, size_t len)
{
    frame_send(n, peer, ip - ETH_LEN, ETH_LEN + len);
}

void net_send_control(struct node *n, const struct origin *to, const uint8_t *message, size_t len)
{
    struct ends ends = {
        .from = n->o->ip, .to = to->address, .from_port = n->control_port, .to_port = to->port};
    uint8_t *f = frame_room(n, to->address);

    if (!f) {
        n->net_count[NET_no_room]++;
        return;
    }
    memcpy(f + FRAME_HEAD, message, len);
    frame_send(n, to->address, f, frame_udp(f, &ends, 0, len));
}

/* ---- in ---- */

/* To the one it came from, whose address the frame tells. */
static uint8_t *answer_room(struct node *n, const struct packet *p)
{
    uint8_t *f = n->transport->ops->room(n->transport, p->link);

    n->net_count[NET_no_room] += !f;
    return f;
}

static void arp_input(struct node *n, const struct packet *p, const struct frame *f)
{
    uint8_t *room;

    if (f->to != n->o->ip || f->op != ARP_REQUEST) {
        n->net_count[NET_others]++;
        return;
    }
    learn(n, f->from, f->from_mac, p->link);
    n->net_count[NET_arp]++;
    room = answer_room(n, p);
    if (room)
        n->transport->ops->send(
            n->transport, p->link,
            frame_arp(room, ARP_REPLY, n->o->mac, n->o->ip, f->from_mac, f->from));
}

/* The same packet with the ends changed over; header and data were found to be whole. */
static void ping_input(struct node *n, const struct packet *p)
{
    size_t len = get16(p->data + AT_IP_LEN), data = len - IP_LEN;
    uint8_t *f;
    uint16_t sum;

    if (data < ICMP_LEN || p->data[AT_ICMP] != ECHO_REQUEST ||
        sum_finish(sum_bytes(0, p->data + AT_ICMP, data))) {
        n->net_count[NET_others]++;
        return;
    }
    n->net_count[NET_pings]++;
    f = answer_room(n, p);
    if (!f)
        return;
    memcpy(f, p->data, ETH_LEN + len);
    memcpy(f, p->data + MAC_LEN, MAC_LEN);
    memcpy(f + MAC_LEN, n->o->mac, MAC_LEN);
    memcpy(f + AT_IP_SRC, p->data + AT_IP_DST, 4);
    memcpy(f + AT_IP_DST, p->data + AT_IP_SRC, 4);
    frame_sum_ip(f, IP_LEN);
    f[AT_ICMP] = ECHO_REPLY;
    f[AT_ICMP + 2] = f[AT_ICMP + 3] = 0;
    sum = sum_finish(sum_bytes(0, f + AT_ICMP, data));
    memcpy(f + AT_ICMP + 2, &sum, sizeof(sum)); /* in memory order */
    n->transport->ops->send(n->transport, p->link, ETH_LEN + len);
}

static void control_input(struct node *n, const struct packet *p, const struct frame *f)
{
    struct origin from = {
        .address = f->from, .port = f->from_port, .local = n->o->ip, .link = p->link};
    size_t len = control_request(&n->control, &from, n->now, f->payload, f->len, n->reply);

    n->net_count[NET_control]++;
    if (len)
        net_send_control(n, &from, n->reply, len);
}

static void ethernet_input(struct node *n, const struct packet *p)
{
    struct frame f = {0};
    enum frame_kind kind = frame_parse(p->data, p->len, &f);
    bool to_us;

    if (kind == FRAME_ARP) {
        arp_input(n, p, &f);
        return;
    }
    if (kind != FRAME_UDP && kind != FRAME_OTHER) {
        n->net_count[NET_damaged]++;
        return;
    }
    to_us = p->len >= ETH_LEN + IP_LEN && get16(p->data + AT_TYPE) == TYPE_IP &&
            p->data[AT_IP] == 0x45 && f.to == n->o->ip &&
            memcmp(p->data, n->o->mac, MAC_LEN) == 0 && !(f.from_mac[0] & GROUP);
    if (to_us)
        learn(n, f.from, f.from_mac, p->link);
    if (to_us && kind == FRAME_UDP && f.to_port == n->o->port)
        responder_input(&n->responder, p->data + AT_IP, f.len);
    else if (to_us && kind == FRAME_UDP && f.to_port == n->control_port)
        control_input(n, p, &f);
    else if (to_us && kind == FRAME_OTHER && p->data[AT_IP_PROTO] == PROTO_ICMP)
        ping_input(n, p);
    else
        n->net_count[NET_others]++;
}

void net_input(struct node *n, const struct packet *p)
{
    if (n->transport->ethernet)
        ethernet_input(n, p);
    else
        responder_input(&n->responder, p->data + ROCE_ETH, p->len - ROCE_FRONT);
}
