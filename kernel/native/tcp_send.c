/*
 * What native programs send by TCP. Small things are copied into receive buffers, one behind the
 * other: headers have room before them, and such a buffer comes and goes in few instructions. Large
 * things that stay as they are go by reference: the device reads them where they lie. Both make up
 * chains of at most a segment (64 KiB where the device cuts them), which lwIP gets when they are
 * full or the program's function has returned; so answers to pipelined requests share packets.
 *
 * Called by the program, and by tcp.c; never by lwIP.
 */
#include "native/tcp.h"

#include "mm/slab.h"
#include "native/native.h"
#include "net/ethif.h"
#include "net/netdev.h"
#include "net/tcp_xmit.h"

#include <asm/errno.h>

/* Where copied bytes begin in a block: behind the headers of Ethernet, IPv6 and TCP. */
#define COPY_START (NETBUF_HEAD + NETDEV_HEADROOM + ETH_HLEN + 40u + 20u)
#define COPY_ROOM  (NETBUF_SIZE - COPY_START)
_Static_assert(WHERRY_TCP_SEND_MAX == TCP_SND_BUF, "what an empty connection takes");
_Static_assert(COPY_ROOM >= WHERRY_TCP_KEEP_MIN, "what is copied fits a block");

/* Pieces of a chain: lwIP adds one in front if it has to cut it. */
#define CHAIN_MAX (TCP_SEG_PBUFS - 2u)

/* Bytes of the program's own, by reference. */
struct borrowed {
    struct pbuf_custom pbuf;
    const void *data; /* as the program calls them */
    size_t len;
    void (*gone)(const void *data, size_t len);
};

static void give_back(struct pbuf *p)
{
    struct borrowed *b = (struct borrowed *)p;

    if (b->gone != NULL)
        b->gone(b->data, b->len);
    kfree(b);
}

static struct pbuf *borrow(const struct wherry_tcp_span *s, const void *data, const void *direct,
                           uint16_t len)
{
    struct borrowed *b = kmalloc(sizeof(*b));

    if (b == NULL)
        return NULL;
    b->pbuf.custom_free_function = give_back;
    b->data = data;
    b->len = len;
    b->gone = s->gone;
    return pbuf_alloced_custom(PBUF_RAW, len, PBUF_REF, &b->pbuf, (void *)direct, len);
}

/* A block for copies; *room bytes of it. */
static __always_inline struct pbuf *copy_block(uint16_t *room)
{
    struct netbuf *b = netbuf_scarce() ? NULL : netbuf_alloc();
    struct pbuf *p;

    if (likely(b != NULL)) {
        b->data = COPY_START;
        b->len = 0;
        *room = COPY_ROOM;
        return ethif_pbuf(b);
    }
    p = pbuf_alloc(PBUF_TRANSPORT, COPY_ROOM, PBUF_RAM);
    if (p != NULL) {
        p->len = p->tot_len = 0;
        *room = COPY_ROOM;
    }
    return p;
}

static __always_inline void append(struct wherry_tcp *c, struct pbuf *p)
{
    if (c->out == NULL) {
        c->out = p;
        c->out_max = tcp_seg_max(c->pcb);
    } else {
        c->out_last->next = p;
    }
    c->out_last = p;
    c->out_n++;
}

void tcp_drop_output(struct wherry_tcp *c)
{
    while (c->out != NULL) {
        struct pbuf *p = c->out;

        c->out = p->next;
        p->next = NULL;
        pbuf_free(p);
    }
    c->out_len = c->out_n = c->out_room = 0;
}

/* The chain as lwIP wants it; nothing is left to be sent. */
static __always_inline struct pbuf *complete(struct wherry_tcp *c)
{
    uint32_t left = c->out_len;
    struct pbuf *head = c->out;

    for (struct pbuf *p = head; p != NULL; p = p->next) {
        p->tot_len = (u16_t)left;
        left -= p->len;
    }
    c->out = NULL;
    c->out_len = c->out_n = c->out_room = 0;
    return head;
}

/* lwIP gets the chain, and more follows. False: the connection is lost. */
static bool queue(struct wherry_tcp *c, u8_t flags)
{
    struct pbuf *p = complete(c);

    if (likely(tcp_write_pbuf(c->pcb, p, flags) == ERR_OK))
        return true;
    pbuf_free(p);
    tcp_out_of_memory(c);
    return false;
}

void tcp_flush(struct wherry_tcp *c)
{
    struct tcp_pcb *pcb = c->pcb;

    if (unlikely(pcb == NULL)) {
        tcp_drop_output(c);
        return;
    }
    if (c->out != NULL) {
        if (likely(c->out->next == NULL)) {
            struct pbuf *p = complete(c);

            if (likely(tcp_xmit_now(pcb, p)))
                return;
            c->out = p;
            c->out_len = p->len;
        }
        if (!queue(c, 0))
            return;
    }
    if (pcb->unsent != NULL)
        tcp_output(pcb);
}

/* Bytes that still fit the chain; a full one has gone, and a new one begins. 0: the connection is
 * lost. */
static __always_inline uint32_t chain_room(struct wherry_tcp *c)
{
    if (unlikely(c->out != NULL && (c->out_len >= c->out_max || c->out_n >= CHAIN_MAX)) &&
        !queue(c, TCP_WRITE_FLAG_MORE))
        return 0;
    return c->out != NULL ? c->out_max - c->out_len : UINT32_MAX;
}

static __always_inline bool put_copy(struct wherry_tcp *c, const uint8_t *data, size_t len)
{
    while (len > 0) {
        uint32_t room = chain_room(c);
        size_t n;

        if (room == 0)
            return false;
        if (c->out == NULL || c->out_room == 0) {
            struct pbuf *p = copy_block(&c->out_room);

            if (p == NULL) {
                tcp_out_of_memory(c);
                return false;
            }
            append(c, p);
            room = c->out_max - c->out_len;
        }
        n = MIN(MIN(len, (size_t)c->out_room), (size_t)room);
        memcpy((uint8_t *)c->out_last->payload + c->out_last->len, data, n);
        c->out_last->len = (u16_t)(c->out_last->len + n);
        c->out_room = (uint16_t)(c->out_room - n);
        c->out_len += (uint32_t)n;
        data += n;
        len -= n;
    }
    return true;
}

static bool put_borrowed(struct wherry_tcp *c, const struct wherry_tcp_span *s, size_t len)
{
    const uint8_t *data = s->data;

    while (len > 0) {
        uint32_t room = chain_room(c);
        size_t n = len;
        const void *direct = native_direct(data, &n);
        struct pbuf *p;

        if (room == 0)
            return false;
        if (c->out == NULL) { /* something with room for headers comes first */
            p = pbuf_alloc(PBUF_TRANSPORT, 0, PBUF_RAM);
            if (p == NULL)
                break;
            append(c, p);
            room = c->out_max;
        }
        n = MIN(n, (size_t)room);
        p = borrow(s, data, direct, (uint16_t)n);
        if (p == NULL)
            break;
        append(c, p);
        c->out_room = 0;
        c->out_len += (uint32_t)n;
        data += n;
        len -= n;
    }
    if (len > 0)
        tcp_out_of_memory(c);
    return len == 0;
}

/* Bytes that may be taken from the program now. */
static size_t room_of(const struct wherry_tcp *c)
{
    const struct tcp_pcb *pcb = c->pcb;

    if (unlikely(pcb->snd_queuelen + c->out_n + 2 * TCP_SEG_PBUFS > TCP_SND_QUEUELEN))
        return 0;
    return pcb->snd_buf > c->out_len ? pcb->snd_buf - c->out_len : 0;
}

bool wherry_tcp_has_room(struct wherry_tcp *c, size_t bytes)
{
    if (unlikely(c->pcb == NULL || c->closing))
        return false;
    if (likely(bytes <= room_of(c)))
        return true;
    c->want_room = true;
    return false;
}

long wherry_tcp_send(struct wherry_tcp *c, const struct wherry_tcp_span *spans, unsigned n)
{
    size_t taken = 0;

    if (unlikely(c->pcb == NULL || c->closing))
        return c->error == -ENOMEM ? -ENOMEM : -EPIPE;
    for (unsigned i = 0; i < n; i++) {
        size_t len = MIN(spans[i].len, room_of(c));
        bool borrowed = spans[i].keep && len >= WHERRY_TCP_KEEP_MIN;

        if (unlikely(
                !(borrowed ? put_borrowed(c, &spans[i], len) : put_copy(c, spans[i].data, len))))
            return -ENOMEM;
        taken += len;
        if (unlikely(spans[i].gone != NULL) && spans[i].keep && !borrowed && len > 0)
            spans[i].gone(spans[i].data, len);
        if (unlikely(len < spans[i].len)) {
            c->want_room = true;
            break;
        }
    }
    if (unlikely(c != tcp_busy))
        tcp_post(c, 0);
    return (long)taken;
}
