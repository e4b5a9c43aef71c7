// fuzz: tools/memnode/net.c tools/memnode/control.c tools/memnode/responder.c tools/memnode/memory.c tools/pktgen/frame.c kernel/roce/icrc.c kernel/roce/crc_sparse.c kernel/roce/crc_pclmul.c tools/util.c
/*
 * Any frames and control messages to a memory node (tools/memnode), in any order and with time
 * going on between them. The input is records: a kind, a length of two bytes, bytes. Of some kinds
 * the harness completes what luck would not find: magic numbers, lengths, a right ICRC; and hashes
 * are numbers that a mutation can hit. What must hold: nothing is sent that is not a whole frame; a
 * reply is well-formed; memory that nobody has stays zero, whatever is written.
 */
#define _GNU_SOURCE
#include "memnode/node.h"
#include "pktgen/frame.h"
#include "roce/icrc.h"

#include <stdlib.h>
#include <string.h>

enum { REGION = 64 << 10, GUEST = 0x0a090002, HOST = 0x0a090001 };

static void check(int good)
{
    if (!good)
        abort();
}

/* ---- in the place of auth.c: constants ---- */

void auth_hmac(uint8_t out[AUTH_HASH], const void *key, size_t key_len,
               const struct auth_part *parts, size_t nr_parts)
{
    memset(out, 'h', AUTH_HASH);
}

bool auth_equal(const void *a, const void *b, size_t n)
{
    return memcmp(a, b, n) == 0;
}

void auth_random(void *out, size_t n)
{
    static uint8_t x;

    memset(out, x++ % 4 + 1, n);
}

uint32_t auth_random32(void)
{
    return 0x12345678;
}

void auth_sign(uint8_t *message, size_t n, const void *key, size_t key_len)
{
    memset(message + n - NODE_TAG, 't', NODE_TAG);
}

bool auth_verify(const uint8_t *message, size_t n, const void *key, size_t key_len)
{
    return message[n - 1] != 'x';
}

void auth_session_key(uint8_t out[AUTH_HASH], const void *secret, size_t secret_len,
                      const uint8_t *client_nonce, const uint8_t *node_nonce)
{
    memset(out, 'k', AUTH_HASH);
}

/* ---- a transport that goes nowhere ---- */

static uint8_t room[TRANSPORT_PACKET];
static unsigned full;

static uint8_t *sink_room(struct transport *t, unsigned link)
{
    check(link < TRANSPORT_LINKS);
    return ++full % 11 == 0 ? NULL : room;
}

static void sink_send(struct transport *t, unsigned link, size_t len)
{
    struct frame f;
    enum frame_kind kind;

    check(len <= TRANSPORT_PACKET);
    kind = frame_parse(room, len, &f);
    check(kind == FRAME_UDP || kind == FRAME_ARP || kind == FRAME_OTHER);
    if (kind == FRAME_UDP && f.from_port == ROCE_UDP_PORT)
        check(roce_icrc_good(room + AT_IP, f.len));
}

static const struct transport_ops sink = {.room = sink_room, .send = sink_send};
static struct transport transport = {.ops = &sink, .ethernet = true};

static size_t no_stats(void *ctx, char *out, size_t n)
{
    memset(out, '{', 100);
    return 100;
}

static unsigned some_mtu(void *ctx, uint32_t address)
{
    return address ? 4096 : 0;
}

static uint8_t *env_memory(void *ctx, uint32_t owner, uint32_t rkey, uint64_t va, uint64_t n,
                           unsigned access)
{
    uint8_t *p = memory_at(&((struct node *)ctx)->memory, owner, rkey, va, n, access);
    const struct region *r = &((struct node *)ctx)->memory.regions[0];

    check(!p || (p >= r->base && p + n <= r->base + r->spec.size));
    return p;
}

static uint8_t *env_room(void *ctx, const struct responder_qp *qp)
{
    return net_room(ctx, qp->spec.peer);
}

static void env_send(void *ctx, const struct responder_qp *qp, uint8_t *ip, size_t n)
{
    net_send(ctx, qp->spec.peer, ip, n);
}

/* ---- what comes ---- */

static void frame_in(struct node *n, const uint8_t *p, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);

    memcpy(copy, p, len);
    net_input(n, &(struct packet){copy, len, len % 3});
    free(copy);
}

/* A transport with right headers around it, and a right ICRC; the first byte may say otherwise. */
static void roce_in(struct node *n, const uint8_t *p, size_t len)
{
    static const struct roce_path path = {
        .dst_mac = {2}, .src_mac = {2, 1}, .src_ip = GUEST, .dst_ip = HOST, .src_port = 5000};
    uint8_t f[ROCE_FRONT + 4200];
    bool spoilt = len && *p == 0xff;

    if (len < ROCE_TRANSPORT_MIN || len > 4200)
        return;
    roce_build_front(f, &path, len);
    memcpy(f + ROCE_FRONT, p, len);
    if (!spoilt)
        roce_icrc_set(f + ROCE_ETH, len);
    frame_in(n, f, ROCE_FRONT + len);
}

static void message_in(struct node *n, const uint8_t *p, size_t len, bool stream)
{
    struct origin from = {
        .address = stream ? 0 : GUEST, .port = 9, .local = HOST, .stream = stream};
    uint8_t *m = malloc(NODE_MIN + len);
    size_t replied;

    /* type, then from the session on */
    memset(m, 0, NODE_MIN);
    memcpy(m + NODE_AT_SESSION, p, len);
    if (len) {
        memmove(m + NODE_AT_SESSION, p + 1, len - 1);
        node_head(m, p[0], 0, 0, 0);
        memcpy(m + NODE_AT_SESSION, p + 1, len - 1);
    }
    len = len < NODE_MIN - NODE_AT_SESSION + 1 ? NODE_MIN : NODE_AT_SESSION + len - 1;
    roce_put16(m + NODE_AT_LENGTH, len);
    replied = control_request(&n->control, &from, n->now, m, len, n->reply);
    if (replied)
        check(node_well_formed(n->reply, replied) && (stream || replied <= CONTROL_REPLY_MAX) &&
              n->reply[NODE_AT_TYPE] & NODE_REPLY);
    free(m);
}

static void free_memory_is_zero(const struct node *n)
{
    static const uint8_t zeros[REGION];
    const struct region *r = &n->memory.regions[0];

    for (size_t i = 0; i < r->nr_pieces; i++)
        check(memcmp(r->base + r->pieces[i].offset, zeros, r->pieces[i].length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct memnode_options o = {.ip = HOST, .port = ROCE_UDP_PORT, .mac = {2}};
    static struct node node;
    static bool ready;
    struct node *n = &node;
    struct responder_env env = {n, env_memory, env_room, env_send, NULL, NULL, NULL};
    struct region_spec spec = {.name = "r", .size = REGION, .quota = REGION / 2};
    struct why why;

    memset(n, 0, offsetof(struct node, reply));
    if (!ready)
        roce_crc_init();
    ready = true;
    n->o = &o;
    n->transport = &transport;
    n->control_port = NODE_PORT;
    check(memory_add(&n->memory, &spec, &why));
    responder_init(&n->responder, &env);
    n->control = (struct control){.limits = {4, 4, 8, 1000, 1000},
                                  .memory = &n->memory,
                                  .responder = &n->responder,
                                  .path_mtu = some_mtu,
                                  .roce_address = HOST,
                                  .roce_port = ROCE_UDP_PORT,
                                  .stats = no_stats};
    control_init(&n->control);
    while (size >= 3) {
        size_t len = data[1] << 8 | data[2];
        uint8_t kind = data[0];

        data += 3;
        size -= 3;
        if (len > size)
            len = size;
        if (kind == 'f')
            frame_in(n, data, len);
        else if (kind == 'r')
            roce_in(n, data, len);
        else if (kind == 'm' || kind == 's')
            message_in(n, data, len, kind == 's');
        else if (kind == 't')
            control_tick(&n->control, n->now += len);
        else if (kind == 'd')
            control_drain(&n->control, n->now + len);
        responder_run(&n->responder, kind % 8);
        data += len;
        size -= len;
    }
    free_memory_is_zero(n);
    control_tick(&n->control, n->now += 10000); /* all leases end */
    check(n->memory.nr_extents == 0 && n->responder.nr_qps == 0 &&
          n->memory.regions[0].nr_pieces == 1);
    free_memory_is_zero(n);
    responder_close(&n->responder);
    control_close(&n->control);
    memory_close(&n->memory);
    return 0;
}
