// fuzz: apps/udpkv/proto.c apps/udpkv/store.c apps/udpkv/service.c
/*
 * Any datagrams to the service of apps/udpkv, on a small table that stays full. Each request lies
 * in memory of exactly its size, each reply in exactly its room, or in the request's place. A reply
 * is whole, of this version, with the id it was asked with, and never larger than its room; a GET
 * after a SET that went well finds just that.
 *
 * Input: records of a mode byte (bit 0 in place, bit 1 little room, bit 2 time goes on, bit 3 as it
 * is (else the next bytes choose op, lengths and time to live of a well-formed head), bits 4-7
 * burst), a length byte in units of 8, and the datagram.
 */
#include <stdlib.h>
#include <string.h>

#include "../../apps/udpkv/service.h"

enum { ITEMS = 4, BURST = 16 };

struct pending {
    struct kv_request r;
    uint8_t *data, *copy;
    size_t len, size;
    uint8_t mode;
};

static void check(int good)
{
    if (!good)
        abort();
}

static void handle(struct kv *kv, struct pending *p, uint32_t now)
{
    struct kv_head asked, h;
    size_t room = p->mode & 2 ? p->len * 7 % 100 : KV_REPLY_MAX, n;
    uint8_t *out = p->mode & 1 ? p->data : malloc(room ? room : 1);
    int status = kv_request_check(p->copy, p->len, &asked);

    if (p->mode & 1 && room > p->size)
        room = p->size;
    n = kv_handle(kv, &p->r, out, room, now);
    check(n == 0 || n >= KV_HEAD);
    check(n <= room);
    if (status == KV_SILENT)
        check(n == 0);
    else if (room >= KV_REPLY_MAX)
        check(n > 0);
    if (n) {
        check(kv_reply_check(out, n, &h));
        check(h.id == asked.id && h.op == (asked.op | KV_REPLY));
        check(status == KV_OK || h.status == status);
        check(status != KV_OK || h.status == KV_OK || h.status == KV_NOT_FOUND ||
              h.status == KV_NO_ROOM);
        check(h.value_len == 0 || (h.op == (KV_GET | KV_REPLY) && h.status == KV_OK));
    }
    if (!(p->mode & 1)) {
        check(memcmp(p->data, p->copy, p->len) == 0);
        free(out);
    }
    /* Was it stored? */
    if (n && status == KV_OK && asked.op == KV_SET && h.status == KV_OK) {
        uint8_t get[KV_REQUEST_MAX], reply[KV_REPLY_MAX];
        size_t len =
            kv_request_build(get, KV_GET, ~asked.id, p->copy + KV_HEAD, asked.key_len, NULL, 0, 0);
        struct kv_request r;

        kv_begin(kv, &r, get, len);
        n = kv_handle(kv, &r, reply, sizeof(reply), now);
        check(kv_reply_check(reply, n, &h) && h.status == KV_OK && h.id == ~asked.id);
        check(h.value_len == asked.value_len &&
              memcmp(reply + KV_HEAD, p->copy + KV_HEAD + asked.key_len, h.value_len) == 0);
    }
    free(p->data);
    free(p->copy);
}

/* A head that is nearly always right, so that the table is reached. */
static size_t shape(uint8_t *p, size_t len)
{
    struct kv_head h = kv_head_read(p);
    size_t rest = len - KV_HEAD;

    h.version = KV_VERSION;
    h.op = KV_GET + h.op % 4;
    h.status = 0;
    h.key_len = h.op == KV_NOOP ? 0 : 1 + h.key_len % (h.key_len & 1 ? 250 : 20);
    if (h.op == KV_SET) {
        if (h.key_len > rest)
            return len;
        h.value_len = rest - h.key_len;
        h.ttl = h.ttl % 8;
    } else {
        h.value_len = h.ttl = 0;
        if (h.key_len > rest)
            return len;
        len = KV_HEAD + h.key_len;
    }
    kv_head_write(p, h);
    return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t value_bytes[] = {0, 64, 300, 1408};
    struct pending burst[BURST];
    uint32_t now = 1;
    unsigned n = 0;
    struct kv *kv;
    size_t bytes, v;
    void *mem;

    if (size < 1)
        return 0;
    v = value_bytes[*data % 4];
    bytes = kv_bytes(ITEMS, v);
    mem = aligned_alloc(64, (bytes + 63) / 64 * 64);
    memset(mem, 0, bytes);
    kv = kv_init(mem, bytes, v, *data);
    check(kv != NULL);
    data++, size--;
    while (size >= 2) {
        struct pending *p = &burst[n];
        size_t len = data[1] * 8 - (data[0] >> 4 & 7), rest = size - 2;

        p->mode = data[0];
        if (data[1] == 0)
            len = data[0] >> 4;
        /* What the input is too short for is made of repetitions of it. */
        p->len = len;
        p->size = p->mode & 1 && len < KV_REPLY_MAX && !(p->mode & 2) ? KV_REPLY_MAX : len;
        p->data = malloc(p->size ? p->size : 1);
        for (size_t i = 0; i < len; i++)
            p->data[i] = rest ? data[2 + i % rest] : i;
        if (rest > 24)
            rest = 24;
        data += 2 + rest, size -= 2 + rest;
        if (!(p->mode & 8) && len >= KV_HEAD)
            p->len = shape(p->data, len);
        p->copy = malloc(p->len ? p->len : 1);
        memcpy(p->copy, p->data, p->len);
        if (!(p->mode & 1)) { /* exactly its size */
            free(p->data);
            p->data = malloc(p->len ? p->len : 1);
            memcpy(p->data, p->copy, p->len);
        }
        now += p->mode >> 2 & 1;
        kv_begin(kv, &p->r, p->data, p->len);
        if (++n < BURST && p->mode & 0x80)
            continue;
        for (unsigned i = 0; i < n; i++)
            handle(kv, &burst[i], now);
        n = 0;
    }
    for (unsigned i = 0; i < n; i++)
        handle(kv, &burst[i], now);
    check(kv_stats(kv)->items <= kv_stats(kv)->slots &&
          kv_stats(kv)->in_units <= kv_stats(kv)->units);
    free(mem);
    return 0;
}
