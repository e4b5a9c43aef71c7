// fuzz: tools/load/proto_http.c tools/load/proto_dns.c tools/load/proto_redis.c tools/load/proto_memcached.c tools/load/proto_udp.c tools/load/proto_udpkv.c tools/load/serve_proto.c tools/load/dns_queries.c tools/load/value.c tools/load/keys.c tools/load/sha256.c tools/util.c
/*
 * Any bytes as a server's answer to `wherry load`, and as a client's request to its null server.
 * The first byte says which, the second chooses protocol, request and step. Whatever is answered is
 * judged the same when it comes in two parts, and never claims more bytes than there are.
 */
#define _GNU_SOURCE
#include "load/options.h"
#include "load/serve_proto.h"

#include <stdlib.h>
#include <string.h>

static const struct proto *const protos[] = {&proto_http,
                                             &proto_dns_udp,
                                             &proto_dns_tcp,
                                             &proto_redis,
                                             &proto_memcached_ascii,
                                             &proto_memcached_binary,
                                             &proto_udp,
                                             &proto_udpkv};
static const enum op ops[] = {OP_READ, OP_UPDATE, OP_RMW, OP_SCAN, OP_LRANGE, OP_FILL, OP_INSERT};
static const char *const servers[] = {"http", "dns", "redis", "memcached", "udp", "udpkv"};

static void check(int good)
{
    if (!good)
        abort();
}

/* In memory of exactly its size. */
static enum verdict judge(struct proto_state *s, struct request r, const uint8_t *p, size_t n,
                          bool eof, struct answer *a)
{
    uint8_t *copy = malloc(n ? n : 1);
    enum verdict v;

    memcpy(copy, p, n);
    v = s->o->proto->parse(s, &r, copy, n, eof, a);
    if (v == ANSWER_MORE)
        check(!eof || s->o->proto != &proto_udp);
    else if (v != ANSWER_BROKEN)
        check(a->used <= n);
    free(copy);
    return v;
}

static void as_answer(uint8_t choice, const uint8_t *p, size_t n)
{
    struct load_options o = {.proto = protos[choice % ARRAY_LEN(protos)],
                             .target_text = "h:1",
                             .path = "/",
                             .expect_size = -1,
                             .sizes = {100},
                             .list_length = 3,
                             .size = 16,
                             .keys = 10,
                             .workload = choice & 0x40 ? WORKLOAD_YCSB_E : WORKLOAD_LRANGE};
    struct proto_state s = {.o = &o};
    struct request r = {.op = ops[choice / ARRAY_LEN(protos) % ARRAY_LEN(ops)],
                        .step = choice >> 7,
                        .key = 1,
                        .count = 2,
                        .id = 0x3030};
    struct answer whole, part, again;
    enum verdict v = judge(&s, r, p, n, false, &whole), first;

    judge(&s, r, p, n, true, &part);
    if (!o.proto->datagram && n > 0) {
        first = judge(&s, r, p, n / 2, false, &part);
        if (first == ANSWER_MORE)
            check(part.want > n / 2 || v == ANSWER_BROKEN);
        else if (first != ANSWER_BROKEN)
            check(v == first && whole.used == part.used);
        if (v == ANSWER_GOOD || v == ANSWER_NEXT || v == ANSWER_WRONG)
            check(judge(&s, r, p, whole.used, false, &again) == v && again.used == whole.used);
    }
    free(s.reference.s);
    free(s.scratch.s);
}

static void as_request(uint8_t choice, const uint8_t *p, size_t n)
{
    const char *name = servers[choice % ARRAY_LEN(servers)];
    struct null_options o = {.sizes = {100}, .list_length = 3, .keys = 10, .body = {"x", 1, false}};
    bool close = false, udp = strncmp(name, "udp", 3) == 0 || choice & 0x80;
    struct strbuf out = {0};
    uint8_t *copy = malloc(n ? n : 1);
    ssize_t used;

    memcpy(copy, p, n);
    used = null_proto(name)->answer(&o, udp, copy, n, choice & 0x40, &out, &close);
    check(used >= NULL_BROKEN && used <= (ssize_t)n);
    free(copy);
    free(out.s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    if (data[0] == 'r')
        as_request(data[1], data + 2, size - 2);
    else
        as_answer(data[1], data + 2, size - 2);
    return 0;
}
