/*
 * Connections: see serve.h. Requests are answered in their order, as many as have come; an answer
 * that does not fit is finished when there is room, and until then no other request is looked at,
 * so that a peer that does not read costs no memory of ours.
 */
#include "serve.h"

#include <string.h>
#include <wherry/app.h>
#include <wherry/tcp.h>

#include "http.h"

#define IDLE_SECONDS 60u
#define NSEC_PER_SEC 1000000000u

struct conn {
    struct wherry_tcp_span rest[2]; /* of an answer that did not fit */
    bool pending;                   /* there is some */
    bool last;                      /* the connection ends behind it */
};

struct http_stats http_stats;

static http_find *find_object;
static const unsigned statuses[] = {400, 404, 405, 413, 414, 431, 501, 505};
#define STATUSES (sizeof(statuses) / sizeof(statuses[0]))
static struct http_object errors[STATUSES];

/* Sends what it can of rest. False: some is left. */
static bool send_rest(struct wherry_tcp *c, struct conn *k)
{
    long n = wherry_tcp_send(c, k->rest, 2);

    if (n < 0)
        return false; /* lost; closed() or nobody is told */
    for (unsigned i = 0; i < 2; i++) {
        size_t taken = (size_t)n < k->rest[i].len ? (size_t)n : k->rest[i].len;

        k->rest[i].data = (const char *)k->rest[i].data + taken;
        k->rest[i].len -= taken;
        n -= (long)taken;
    }
    k->pending = k->rest[1].len != 0 || k->rest[0].len != 0;
    return !k->pending;
}

static struct http_object *error_object(unsigned status)
{
    unsigned i = 0;

    while (i < STATUSES - 1 && statuses[i] != status)
        i++;
    return &errors[i];
}

static struct http_object *object_of(const struct http_request *r)
{
    char path[HTTP_TARGET_MAX + HTTP_PATH_SLACK];
    struct http_object *o = NULL;
    long n = (long)r->path_len;

    if (__builtin_expect(r->status != 200, 0))
        return error_object(r->status);
    if (__builtin_expect(!r->escaped, 1)) {
        o = find_object(r->path, r->path_len);
    } else {
        n = http_unescape(path, r->path, r->path_len);
        if (n < 0)
            return error_object(400);
        o = find_object(path, (size_t)n);
    }
    return o != NULL ? o : error_object(404);
}

enum outcome {
    ANSWERED,
    LATER, /* it does not fit now: look at it again */
    ENOUGH /* look at no other request now */
};

static enum outcome answer(struct wherry_tcp *c, struct conn *k, const struct http_request *r,
                           uint64_t second)
{
    struct http_object *o = object_of(r);
    unsigned how = !r->keep ? HTTP_CLOSES : r->old ? HTTP_KEEPS : HTTP_STAYS;
    size_t body = r->head ? 0 : o->body_len;

    /* What changes is sent as a whole: the rest would be another's. */
    if (__builtin_expect(o->changes, 0) && !wherry_tcp_has_room(c, o->head_len[how] + body))
        return LATER;
    http_stats.requests++;
    http_stats.errors += o->status >= 400;
    if (__builtin_expect(o->second != second, 0))
        http_object_date(o, second);
    k->last = !r->keep;
    if (__builtin_expect(o->follows && how == HTTP_STAYS && body != 0, 1)) {
        k->rest[0] = (struct wherry_tcp_span){.data = o->head[how], .len = o->head_len[how] + body};
        k->rest[1].len = 0;
    } else {
        k->rest[0] = (struct wherry_tcp_span){.data = o->head[how], .len = o->head_len[how]};
        k->rest[1] = (struct wherry_tcp_span){.data = o->body, .len = body, .keep = !o->changes};
    }
    if (__builtin_expect(!send_rest(c, k), 0))
        return ENOUGH;
    if (__builtin_expect(k->last, 0)) {
        wherry_tcp_close(c);
        return ENOUGH;
    }
    return ANSWERED;
}

static size_t received(struct wherry_tcp *c, const uint8_t *data, size_t len)
{
    struct conn *k = wherry_tcp_context(c);
    uint64_t second = wherry_wall_clock() / NSEC_PER_SEC;
    size_t done = 0;

    while (done < len && !k->pending) {
        struct http_request r;
        size_t n = http_parse(data + done, len - done, &r);
        enum outcome outcome;

        if (n == 0)
            break;
        outcome = answer(c, k, &r, second);
        if (outcome != LATER)
            done += n;
        if (outcome != ANSWERED)
            break;
    }
    return done;
}

static void writable(struct wherry_tcp *c)
{
    struct conn *k = wherry_tcp_context(c);

    if (k->pending && !send_rest(c, k))
        return;
    if (k->last)
        wherry_tcp_close(c);
    else
        wherry_tcp_resume(c);
}

/* What was asked before has been answered, or is no whole request. */
static void ended(struct wherry_tcp *c)
{
    wherry_tcp_close(c);
}

static void make_errors(void)
{
    for (unsigned i = 0; i < STATUSES; i++) {
        const char *reason = http_reason(statuses[i]);
        size_t len = strlen(reason);
        void *memory = wherry_alloc(http_object_bytes(len));

        if (memory == NULL)
            wherry_exit(1);
        http_object_make(&errors[i], memory, statuses[i], "text/plain", reason, len, true);
    }
}

int http_serve(uint16_t port, unsigned max, http_find *find)
{
    static struct wherry_tcp_service service;

    service = (struct wherry_tcp_service){.port = port,
                                          .max = max,
                                          .idle = IDLE_SECONDS,
                                          .context = sizeof(struct conn),
                                          .received = received,
                                          .writable = writable,
                                          .ended = ended};
    find_object = find;
    make_errors();
    return wherry_tcp_listen(&service);
}
