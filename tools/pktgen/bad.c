/* See bad.h. */
#include "bad.h"

#include <string.h>

#define BAD_ID     FLIGHT_ID_LIMIT
#define KIND_SHIFT 48
#define KIND_MASK  0x7fff

/* What may come back: statuses by their bits, or the echo. */
#define MAY(status) (1u << (status))
#define ECHOED      (1u << 31)
#define NOTHING     0
#define RIGHT       (MAY(KV_OK) | ECHOED)

enum { VALUE = 64 }; /* of sets */

/* One being made: a right frame of n bytes in f, to be spoilt. */
struct making {
    struct bad *b;
    struct ends ends;
    uint8_t *f;
    size_t n;
    uint64_t id, key;
};

static uint64_t below(struct making *m, uint64_t n)
{
    return rng_below(&m->b->rng, n);
}

static uint64_t between(struct making *m, uint64_t first, uint64_t last)
{
    return first + below(m, last - first + 1);
}

/* Headers for a payload of n bytes that stands in the frame. */
static void finish(struct making *m, size_t n)
{
    m->n = frame_udp(m->f, &m->ends, m->id, n);
}

/* A SET that must not happen: its value is not the key's. */
static size_t poison(struct making *m, size_t value_len)
{
    uint8_t key[KEY_TEXT];
    size_t len = ask_key(key, m->key);

    memset(m->f + FRAME_HEAD + KV_HEAD + len, 0xbd, value_len);
    return kv_write(m->f + FRAME_HEAD, KV_SET, m->id, key, len, value_len);
}

/* A request that any server may answer rightly. */
static void harmless(struct making *m)
{
    uint8_t *p = m->f + FRAME_HEAD;

    if (m->b->echo) {
        memcpy(p, &m->id, 8);
        memset(p + 8, 0x55, 24);
        finish(m, 32);
        return;
    }
    finish(m, kv_write(p, KV_NOOP, m->id, "", 0, 0));
}

/* A request that must do nothing: the frame around it is bad. */
static void harmful(struct making *m)
{
    if (m->b->echo)
        harmless(m);
    else
        finish(m, poison(m, VALUE));
}

/* ---- frames cut off ---- */

static void cut_ethernet(struct making *m)
{
    harmful(m);
    m->n = between(m, 1, ETH_LEN - 1);
}

static void cut_ip(struct making *m)
{
    harmful(m);
    m->n = between(m, ETH_LEN, AT_UDP - 1);
}

static void cut_udp(struct making *m)
{
    harmful(m);
    m->n = between(m, AT_UDP, FRAME_HEAD - 1);
}

static void cut_payload(struct making *m)
{
    harmful(m);
    m->n = between(m, FRAME_HEAD, m->n - 1);
}

static void cut_arp(struct making *m)
{
    m->n = frame_arp(m->f, ARP_REQUEST, m->ends.from_mac, m->ends.from, NULL, m->ends.to);
    m->n = between(m, ETH_LEN, m->n - 1);
}

/* ---- lengths of the network's layers that lie ---- */

static void ip_length(struct making *m, uint16_t len)
{
    put16(m->f + AT_IP_LEN, len);
    frame_sum_ip(m->f, IP_LEN);
}

static void ip_too_long(struct making *m)
{
    harmful(m);
    ip_length(m, m->n - ETH_LEN + between(m, 1, 40000));
}

static void ip_too_short(struct making *m)
{
    harmful(m);
    ip_length(m, below(m, IP_LEN + UDP_LEN));
}

static void ip_header_too_short(struct making *m)
{
    harmful(m);
    m->f[AT_IP] = 0x40 | below(m, 5);
    frame_sum_ip(m->f, IP_LEN);
}

static void ip_header_too_long(struct making *m)
{
    harmless(m);
    m->n = AT_UDP + UDP_LEN; /* 60 bytes of header do not fit */
    m->f[AT_IP] = 0x4f;
    ip_length(m, m->n - ETH_LEN);
}

static void ip_version(struct making *m)
{
    harmful(m);
    m->f[AT_IP] = (below(m, 2) ? 6 : 0) << 4 | 5;
    frame_sum_ip(m->f, IP_LEN);
}

static void udp_too_long(struct making *m)
{
    harmful(m);
    put16(m->f + AT_UDP_LEN, m->n - AT_UDP + between(m, 1, 40000));
}

static void udp_too_short(struct making *m)
{
    harmful(m);
    put16(m->f + AT_UDP_LEN, below(m, UDP_LEN));
}

/* Longer than an Ethernet frame may be, but consistent in itself. */
static void jumbo(struct making *m)
{
    size_t n = between(m, FRAME_MTU + 1, BAD_FRAME_MAX - ETH_LEN) - IP_LEN - UDP_LEN;

    memset(m->f + FRAME_HEAD, 0x55, n);
    if (m->b->echo)
        memcpy(m->f + FRAME_HEAD, &m->id, 8);
    else
        kv_write(m->f + FRAME_HEAD, KV_SET, m->id, "", 0, n - KV_HEAD);
    finish(m, n);
}

/* ---- checksums, fragments ---- */

static void ip_sum(struct making *m)
{
    harmful(m);
    m->f[AT_IP_SUM + below(m, 2)] ^= 1 << below(m, 8);
}

static void udp_sum(struct making *m)
{
    harmful(m);
    m->f[AT_UDP_SUM + below(m, 2)] ^= 1 << below(m, 8);
    if (!get16(m->f + AT_UDP_SUM)) /* that would be none */
        put16(m->f + AT_UDP_SUM, 0x1234);
}

static void payload_changed(struct making *m)
{
    harmful(m);
    m->f[between(m, FRAME_HEAD, m->n - 1)] ^= 1 << below(m, 8);
}

static void fragment(struct making *m, uint16_t field)
{
    put16(m->f + AT_IP_FRAG, field);
    frame_sum_ip(m->f, IP_LEN);
}

static void first_fragment(struct making *m)
{
    harmful(m);
    fragment(m, IP_MORE_FRAGMENTS);
}

static void later_fragment(struct making *m)
{
    harmful(m);
    fragment(m, between(m, 1, 0x1fff) | (below(m, 2) ? IP_MORE_FRAGMENTS : 0));
}

static void tiny_fragment(struct making *m)
{
    harmful(m);
    m->n = AT_UDP + 8;
    put16(m->f + AT_IP_LEN, m->n - ETH_LEN);
    fragment(m, IP_MORE_FRAGMENTS);
}

/* ---- not for this server, or from nobody ---- */

static void other_mac(struct making *m)
{
    m->ends.to_mac[5] ^= 0x80;
    harmful(m);
}

static void other_address(struct making *m)
{
    m->ends.to ^= 0x40;
    harmful(m);
}

static void other_port(struct making *m)
{
    m->ends.to_port ^= 0x100;
    harmful(m);
}

static void from_nobody(struct making *m)
{
    /* Invalid as sources: RFC 1122 §3.2.1.3. */
    static const uint32_t nobody[] = {0, 0xffffffff, 0x7f000001 /* 127.0.0.1 */,
                                      0xe0000001 /* 224.0.0.1 */};
    uint64_t i = below(m, ARRAY_LEN(nobody) + 1);

    m->ends.from = i < ARRAY_LEN(nobody) ? nobody[i] : m->ends.to;
    harmful(m);
}

static void other_protocol(struct making *m)
{
    harmful(m);
    do
        m->f[AT_IP_PROTO] = below(m, 256);
    while (m->f[AT_IP_PROTO] == PROTO_UDP);
    frame_sum_ip(m->f, IP_LEN);
}

static void vlan(struct making *m)
{
    harmless(m);
    memmove(m->f + AT_TYPE + 4, m->f + AT_TYPE, m->n - AT_TYPE);
    put16(m->f + AT_TYPE, TYPE_VLAN);
    put16(m->f + AT_TYPE + 2, below(m, 4096));
    m->n += 4;
}

static void noise(struct making *m)
{
    m->n = between(m, 1, FRAME_MAX);
    for (size_t i = 0; i < m->n; i++)
        m->f[i] = below(m, 256);
    if (m->n >= ETH_LEN) {
        static const uint16_t types[] = {TYPE_IP, TYPE_ARP, TYPE_VLAN, 0x86dd};
        memcpy(m->f, m->ends.to_mac, MAC_LEN);
        put16(m->f + AT_TYPE, types[below(m, ARRAY_LEN(types))]);
    }
}

/* ---- odd, but right ---- */

static void no_udp_sum(struct making *m)
{
    harmless(m);
    put16(m->f + AT_UDP_SUM, 0);
}

static void ip_options(struct making *m)
{
    size_t words = between(m, 1, 10);

    harmless(m);
    memmove(m->f + AT_UDP + 4 * words, m->f + AT_UDP, m->n - AT_UDP);
    memset(m->f + AT_UDP, 1, 4 * words); /* no operation, RFC 791 §3.1 */
    m->n += 4 * words;
    m->f[AT_IP] += words;
    put16(m->f + AT_IP_LEN, m->n - ETH_LEN);
    frame_sum_ip(m->f, IP_LEN + 4 * words);
}

static void padded(struct making *m)
{
    size_t more = between(m, 1, 300);

    harmless(m);
    memset(m->f + m->n, 0xaa, more);
    m->n += more;
}

/* ---- within udpkv's format ---- */

static void kv_short(struct making *m)
{
    poison(m, VALUE);
    finish(m, below(m, KV_HEAD));
}

static void kv_is_reply(struct making *m)
{
    size_t n = poison(m, VALUE);

    m->f[FRAME_HEAD + KV_AT_OP] |= KV_REPLY;
    finish(m, n);
}

static void kv_version(struct making *m)
{
    size_t n = poison(m, VALUE);

    do
        m->f[FRAME_HEAD] = below(m, 256);
    while (m->f[FRAME_HEAD] == KV_VERSION);
    finish(m, n);
}

static void kv_op(struct making *m)
{
    size_t n = poison(m, VALUE);

    do
        m->f[FRAME_HEAD + KV_AT_OP] = below(m, KV_REPLY);
    while (m->f[FRAME_HEAD + KV_AT_OP] - KV_GET + 0u <= KV_NOOP - KV_GET);
    finish(m, n);
}

static void kv_no_key(struct making *m)
{
    static const uint8_t ops[] = {KV_GET, KV_SET, KV_DELETE};
    unsigned op = ops[below(m, ARRAY_LEN(ops))];

    finish(m, kv_write(m->f + FRAME_HEAD, op, m->id, "", 0, 0));
}

static void kv_key_too_long(struct making *m)
{
    uint8_t key[255];

    memset(key, 'k', sizeof(key));
    finish(m, kv_write(m->f + FRAME_HEAD, KV_GET, m->id, key, between(m, KV_KEY_MAX + 1, 255), 0));
}

static void kv_value_too_long(struct making *m)
{
    uint8_t key[KEY_TEXT];
    size_t len = ask_key(key, m->key), value = between(m, KV_VALUE_MAX + 1, KV_VALUE_MAX + 24);

    memset(m->f + FRAME_HEAD + KV_HEAD + len, 0xbd, value);
    finish(m, kv_write(m->f + FRAME_HEAD, KV_SET, m->id, key, len, value));
}

static void kv_key_lies(struct making *m)
{
    size_t n = poison(m, VALUE);
    uint8_t *len = &m->f[FRAME_HEAD + KV_AT_KEY_LEN], right = *len;

    do
        *len = below(m, KV_KEY_MAX + 1);
    while (*len == right);
    finish(m, n);
}

static void kv_value_lies(struct making *m)
{
    size_t n = poison(m, VALUE);
    uint16_t len;

    do
        len = below(m, 65536);
    while (len == VALUE);
    memcpy(m->f + FRAME_HEAD + KV_AT_VALUE_LEN, &len, 2);
    finish(m, n);
}

static void kv_cut(struct making *m)
{
    finish(m, between(m, KV_HEAD, poison(m, VALUE) - 1));
}

static void kv_longer(struct making *m)
{
    size_t n = poison(m, VALUE), more = between(m, 1, 100);

    memset(m->f + FRAME_HEAD + n, 0xbd, more);
    finish(m, n + more);
}

static const struct {
    const char *name;
    void (*make)(struct making *m);
    uint32_t may;
    bool kv; /* only a bad request to udpkv */
} kinds[] = {
    {"cut_ethernet", cut_ethernet, NOTHING, false},
    {"cut_ip", cut_ip, NOTHING, false},
    {"cut_udp", cut_udp, NOTHING, false},
    {"cut_payload", cut_payload, NOTHING, false},
    {"cut_arp", cut_arp, NOTHING, false},
    {"ip_too_long", ip_too_long, NOTHING, false},
    {"ip_too_short", ip_too_short, NOTHING, false},
    {"ip_header_too_short", ip_header_too_short, NOTHING, false},
    {"ip_header_too_long", ip_header_too_long, NOTHING, false},
    {"ip_version", ip_version, NOTHING, false},
    {"udp_too_long", udp_too_long, NOTHING, false},
    {"udp_too_short", udp_too_short, NOTHING, false},
    {"jumbo", jumbo, MAY(KV_MALFORMED) | MAY(KV_TOO_LARGE) | ECHOED, false},
    {"ip_sum", ip_sum, NOTHING, false},
    {"udp_sum", udp_sum, NOTHING, false},
    {"payload_changed", payload_changed, NOTHING, false},
    {"first_fragment", first_fragment, NOTHING, false},
    {"later_fragment", later_fragment, NOTHING, false},
    {"tiny_fragment", tiny_fragment, NOTHING, false},
    {"other_mac", other_mac, NOTHING, false},
    {"other_address", other_address, NOTHING, false},
    {"other_port", other_port, NOTHING, false},
    {"from_nobody", from_nobody, NOTHING, false},
    {"other_protocol", other_protocol, NOTHING, false},
    {"vlan", vlan, RIGHT, false},
    {"noise", noise, NOTHING, false},
    {"no_udp_sum", no_udp_sum, RIGHT, false},
    {"ip_options", ip_options, RIGHT, false},
    {"padded", padded, RIGHT, false},
    {"kv_short", kv_short, NOTHING, true},
    {"kv_is_reply", kv_is_reply, NOTHING, true},
    {"kv_version", kv_version, MAY(KV_BAD_VERSION), true},
    {"kv_op", kv_op, MAY(KV_BAD_OP), true},
    {"kv_no_key", kv_no_key, MAY(KV_MALFORMED), true},
    {"kv_key_too_long", kv_key_too_long, MAY(KV_MALFORMED) | MAY(KV_TOO_LARGE), true},
    {"kv_value_too_long", kv_value_too_long, MAY(KV_MALFORMED) | MAY(KV_TOO_LARGE), true},
    {"kv_key_lies", kv_key_lies, MAY(KV_MALFORMED), true},
    {"kv_value_lies", kv_value_lies, MAY(KV_MALFORMED) | MAY(KV_TOO_LARGE), true},
    {"kv_cut", kv_cut, MAY(KV_MALFORMED), true},
    {"kv_longer", kv_longer, MAY(KV_MALFORMED), true},
};

unsigned bad_kinds(void)
{
    return ARRAY_LEN(kinds);
}

const char *bad_kind_name(unsigned kind)
{
    return kinds[kind].name;
}

bool bad_is_id(uint64_t id)
{
    return (id & BAD_ID) && (id >> KIND_SHIFT & KIND_MASK) < ARRAY_LEN(kinds);
}

size_t bad_frame_of(struct bad *b, const struct ends *e, unsigned kind, uint8_t *f)
{
    struct making m = {
        .b = b,
        .ends = *e,
        .f = f,
        .id = BAD_ID | (uint64_t)kind << KIND_SHIFT | (b->nr++ & ((UINT64_C(1) << KIND_SHIFT) - 1)),
        .key = rng_below(&b->rng, b->keys),
    };

    kinds[kind].make(&m);
    return m.n;
}

size_t bad_frame(struct bad *b, const struct ends *e, uint8_t *f)
{
    unsigned kind;

    if (b->only)
        return bad_frame_of(b, e, b->only - 1, f);
    do
        kind = rng_below(&b->rng, ARRAY_LEN(kinds));
    while (kinds[kind].kv && b->echo);
    return bad_frame_of(b, e, kind, f);
}

bool bad_answer_allowed(const struct bad *b, uint64_t id, const uint8_t *p, size_t n,
                        struct why *why)
{
    unsigned kind = id >> KIND_SHIFT & KIND_MASK, status;

    if (b->echo)
        return kinds[kind].may & ECHOED || because(why, "%s was sent back", kinds[kind].name);
    status = p[KV_AT_STATUS];
    if (p[0] != KV_VERSION || !(p[KV_AT_OP] & KV_REPLY) || n != KV_HEAD)
        return because(why, "an answer to %s that is none, of %zu bytes", kinds[kind].name, n);
    if (status < NR_KV_STATUSES && kinds[kind].may & MAY(status))
        return true;
    return because(why, "%s was answered with %s", kinds[kind].name,
                   status < NR_KV_STATUSES ? kv_status_names[status] : "no known status");
}
