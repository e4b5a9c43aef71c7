/*
 * The control port: see control.h. HTTP by apps/httpmem; the answer is made when it is asked for.
 */
#include "control.h"

#include <string.h>
#include <wherry/app.h>
#include <wherry/netdev.h>
#include <wherry/tcp.h>

#include "../httpmem/http.h"
#include "../httpmem/serve.h"

#define PORT        80
#define CONNECTIONS 256
#define TEXT_MAX    2048
#define PATH        "/stats"

static const struct kv *kv;
static const struct wherry_netq *queue;
static const char about[] = "udpkv: " PATH " has its counters\n";
static struct http_object root, stats;
static char text[TEXT_MAX], heads[HTTP_CONNECTIONS * HTTP_HEAD_ROOM];
static char root_memory[HTTP_CONNECTIONS * HTTP_HEAD_ROOM + sizeof(about)];

static size_t put(size_t at, const char *name, uint64_t value)
{
    int n = wherry_format(text + at, TEXT_MAX - at, "%s %lu\n", name, value);

    return at + (size_t)n < TEXT_MAX ? at + (size_t)n : at;
}

/* One line each: name and number, the store's as in udpkv-socket's statistics (docs/udpkv.md). */
static size_t write_stats(void)
{
    const struct kv_stats *s = kv_stats(kv);
    struct wherry_tcp_stats tcp;
    size_t n = 0;

    wherry_tcp_stats(&tcp);
    const struct {
        const char *name;
        uint64_t value;
    } lines[] = {
        {"received", queue->stats.rx_packets},
        {"sent", queue->stats.tx_packets},
        {"elsewhere", queue->stats.rx_other},
        {"unsent", queue->stats.tx_refused},
        {"gets", s->gets},
        {"hits", s->hits},
        {"misses", s->misses},
        {"sets", s->sets},
        {"deletes", s->deletes},
        {"noops", s->noops},
        {"malformed", s->malformed},
        {"too_large", s->too_large},
        {"no_room", s->no_room},
        {"bad_version", s->bad_version},
        {"bad_op", s->bad_op},
        {"ignored", s->ignored},
        {"unanswered", s->unanswered},
        {"evicted", s->evicted},
        {"expired", s->expired},
        {"items", s->items},
        {"slots", s->slots},
        {"http_requests", http_stats.requests},
        {"http_errors", http_stats.errors},
        {"tcp_connections", tcp.connections},
        {"tcp_accepted", tcp.accepted},
        {"tcp_lost", tcp.lost},
        {"seconds", wherry_now() / 1000000000u},
    };

    for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        n = put(n, lines[i].name, lines[i].value);
    return n;
}

static struct http_object *find(const char *path, size_t len)
{
    if (len == 1 && path[0] == '/')
        return &root;
    if (len != strlen(PATH) || memcmp(path, PATH, len) != 0)
        return NULL;
    http_object_make(&stats, heads, 200, "text/plain", text, write_stats(), false);
    stats.changes = true;
    return &stats;
}

int control_start(const struct kv *store, const struct wherry_netq *q)
{
    int r;

    kv = store;
    queue = q;
    http_object_make(&root, root_memory, 200, "text/plain", about, strlen(about), true);
    r = http_serve(PORT, CONNECTIONS, find);
    if (r == 0)
        wherry_print("udpkv: statistics on port %d\n", PORT);
    return r;
}

bool control_run(void)
{
    return wherry_tcp_run();
}
