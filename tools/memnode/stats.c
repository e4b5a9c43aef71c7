/*
 * What the node counts, as JSON (on SIGUSR1, for --stats, at the end) and in Prometheus' text
 * format. Names are made of characters that need no quoting in either. Called by node.c,
 * control.c and streams.c. See node.h.
 */
#include "node.h"

#include "../../kernel/roce/icrc.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CONTROL_COUNTS(X)                                                                          \
    X(requests, "valid requests of sessions")                                                      \
    X(repeated, "requests answered before")                                                        \
    X(no_message, "messages of another protocol, or of nobody")                                    \
    X(bad_tag, "messages with a wrong tag: another secret, or damaged")                            \
    X(old, "requests that were overtaken")                                                         \
    X(errors, "requests refused")                                                                  \
    X(logins, "logins")                                                                            \
    X(resumed, "sessions gone on with")                                                            \
    X(lapsed, "sessions whose lease ended")                                                        \
    X(ended, "sessions ended")
#define TRANSPORT_COUNTS(X)                                                                        \
    X(packets_in, "packets received")                                                              \
    X(packets_out, "packets sent")                                                                 \
    X(bytes_in, "bytes received")                                                                  \
    X(bytes_out, "bytes sent")                                                                     \
    X(lost_in, "packets received and not understood")                                              \
    X(lost_out, "packets that the host did not take")
#define FAULT_COUNTS(X)                                                                            \
    X(dropped, "packets dropped on purpose")                                                       \
    X(repeated, "packets repeated on purpose")                                                     \
    X(reordered, "packets reordered on purpose")                                                   \
    X(corrupted, "packets corrupted on purpose")                                                   \
    X(stale, "responses with old bytes on purpose")                                                \
    X(forged, "responses with wrong bytes on purpose")

static const char *const state_names[] = {"free", "live", "lapsed"};

/* What one client's queue pairs have done. */
static unsigned sum_of_owner(const struct node *n, uint32_t owner,
                             uint64_t count[NR_RESPONDER_COUNTS])
{
    unsigned qps = 0;

    memset(count, 0, NR_RESPONDER_COUNTS * sizeof(*count));
    for (unsigned i = 0; i < RESPONDER_QPS; i++) {
        const struct responder_qp *qp = n->responder.qps[i];

        if (!qp || qp->spec.owner != owner)
            continue;
        qps++;
        for (unsigned j = 0; j < NR_RESPONDER_COUNTS; j++)
            count[j] += qp->count[j];
    }
    return qps;
}

/* ---- JSON ---- */

static void json_counts(struct strbuf *b, const char *name, const char *const *names,
                        const uint64_t *count, unsigned nr)
{
    sb_addf(b, ",\"%s\":{", name);
    for (unsigned i = 0; i < nr; i++)
        sb_addf(b, "%s\"%s\":%" PRIu64, i ? "," : "", names[i], count[i]);
    sb_addf(b, "}");
}

static void json_session(const struct node *n, struct strbuf *b, const struct session *s)
{
    uint64_t count[NR_RESPONDER_COUNTS], used;
    unsigned extents, qps = sum_of_owner(n, s->owner, count);

    if (n->device)
        qps = n->device->ops->count(n->device, s->owner);
    used = memory_used(&n->memory, s->owner, &extents);
    sb_addf(b,
            "{\"name\":\"%s\",\"state\":\"%s\",\"silent_ms\":%" PRIu64 ",\"used\":%" PRIu64
            ",\"extents\":%u,\"qps\":%u",
            s->name, state_names[s->state], n->now - s->heard, used, extents, qps);
    json_counts(b, "done", responder_count_names, count, NR_RESPONDER_COUNTS);
    sb_addf(b, "}");
}

void stats_json(struct node *n, struct strbuf *b)
{
    const struct transport_counts *t = &n->transport->counts;
    const struct control_counts *c = &n->control.counts;
    const struct fault_counts *f = &n->fault.counts;
    uint64_t count[NR_RESPONDER_COUNTS];
    const char *comma = "";

    sb_addf(b,
            "{\"uptime\":%.3f,\"draining\":%s,\"crc\":\"%s\",\"memory\":{\"total\":%" PRIu64
            ",\"largest_free\":%" PRIu64 ",\"extents\":%u,\"regions\":[",
            (double)(now_ns() - n->started) / 1e9, n->control.draining ? "true" : "false",
            roce_crc_used->name, memory_total(&n->memory), memory_largest(&n->memory),
            n->memory.nr_extents);
    for (unsigned i = 0; i < n->memory.nr_regions; i++) {
        const struct region *r = &n->memory.regions[i];

        sb_addf(b, "%s{\"name\":\"%s\",\"size\":%" PRIu64 ",\"used\":%" PRIu64 "}", i ? "," : "",
                r->spec.name, r->spec.size, r->used);
    }
    sb_addf(b, "]},\"sessions\":[");
    for (unsigned i = 0; i < n->control.limits.clients; i++) {
        if (n->control.sessions[i].state == SESSION_FREE)
            continue;
        sb_addf(b, "%s", comma);
        json_session(n, b, &n->control.sessions[i]);
        comma = ",";
    }
    sb_addf(b, "],\"qps\":%u", n->device ? n->device->nr_qps : n->responder.nr_qps);
    if (n->device) {
        sb_addf(b, ",\"device\":{\"name\":\"%s\"", n->device->name);
#define X(name, help) sb_addf(b, ",\"" #name "\":%" PRIu64, n->device->counts.name);
        DEVICE_COUNTS(X)
#undef X
        sb_addf(b, "}");
    }
    responder_total(&n->responder, count);
    json_counts(b, "responder", responder_count_names, count, NR_RESPONDER_COUNTS);
    json_counts(b, "dropped", responder_drop_names, n->responder.dropped, NR_RESPONDER_DROPS);
    json_counts(b, "net", net_count_names, n->net_count, NR_NET_COUNTS);
    comma = "";
#define X(name, help) sb_addf(b, "%s\"" #name "\":%" PRIu64, comma, t->name), comma = ",";
    sb_addf(b, ",\"transport\":{");
    TRANSPORT_COUNTS(X)
#undef X
    comma = "";
#define X(name, help) sb_addf(b, "%s\"" #name "\":%" PRIu64, comma, c->name), comma = ",";
    sb_addf(b, "},\"control\":{");
    CONTROL_COUNTS(X)
#undef X
    comma = "";
#define X(name, help) sb_addf(b, "%s\"" #name "\":%" PRIu64, comma, f->name), comma = ",";
    sb_addf(b, "},\"faults\":{");
    FAULT_COUNTS(X)
#undef X
    sb_addf(b, "}}");
}

size_t stats_message(void *node, char *out, size_t room)
{
    struct strbuf b = {0};
    size_t n;

    stats_json(node, &b);
    n = b.len < room ? b.len : 0;
    if (n)
        memcpy(out, b.s, n);
    free(b.s);
    return n;
}

/* ---- Prometheus ---- */

static void counter(struct strbuf *b, const char *group, const char *name, const char *help,
                    uint64_t value)
{
    sb_addf(b,
            "# HELP wherry_memnode_%s_%s_total %s\n# TYPE wherry_memnode_%s_%s_total counter\n"
            "wherry_memnode_%s_%s_total %" PRIu64 "\n",
            group, name, help, group, name, group, name, value);
}

static void gauge(struct strbuf *b, const char *name, const char *help)
{
    sb_addf(b, "# HELP wherry_memnode_%s %s\n# TYPE wherry_memnode_%s gauge\n", name, help, name);
}

static void metrics_memory(const struct node *n, struct strbuf *b)
{
    gauge(b, "region_bytes", "size of a region");
    for (unsigned i = 0; i < n->memory.nr_regions; i++)
        sb_addf(b, "wherry_memnode_region_bytes{region=\"%s\"} %" PRIu64 "\n",
                n->memory.regions[i].spec.name, n->memory.regions[i].spec.size);
    gauge(b, "region_used_bytes", "bytes of a region that clients have");
    for (unsigned i = 0; i < n->memory.nr_regions; i++)
        sb_addf(b, "wherry_memnode_region_used_bytes{region=\"%s\"} %" PRIu64 "\n",
                n->memory.regions[i].spec.name, n->memory.regions[i].used);
    gauge(b, "client_used_bytes", "bytes that a client has");
    for (unsigned i = 0; i < n->control.limits.clients; i++) {
        const struct session *s = &n->control.sessions[i];

        if (s->state != SESSION_FREE)
            sb_addf(b, "wherry_memnode_client_used_bytes{client=\"%s\",slot=\"%u\"} %" PRIu64 "\n",
                    s->name, i, memory_used(&n->memory, s->owner, NULL));
    }
}

void stats_metrics(void *node, struct strbuf *b)
{
    struct node *n = node;
    const struct transport_counts *t = &n->transport->counts;
    const struct control_counts *c = &n->control.counts;
    const struct fault_counts *f = &n->fault.counts;
    uint64_t count[NR_RESPONDER_COUNTS];
    unsigned live = control_sessions(&n->control, false);

    gauge(b, "uptime_seconds", "time since the node's start");
    sb_addf(b, "wherry_memnode_uptime_seconds %.3f\n", (double)(now_ns() - n->started) / 1e9);
    gauge(b, "draining", "1: it is about to end");
    sb_addf(b, "wherry_memnode_draining %d\n", n->control.draining);
    gauge(b, "sessions", "clients");
    sb_addf(b,
            "wherry_memnode_sessions{state=\"live\"} %u\n"
            "wherry_memnode_sessions{state=\"lapsed\"} %u\n",
            live, control_sessions(&n->control, true) - live);
    gauge(b, "queue_pairs", "queue pairs");
    sb_addf(b, "wherry_memnode_queue_pairs %u\n",
            n->device ? n->device->nr_qps : n->responder.nr_qps);
    metrics_memory(n, b);
    responder_total(&n->responder, count);
    for (unsigned i = 0; i < NR_RESPONDER_COUNTS; i++)
        counter(b, "roce", responder_count_names[i], responder_count_helps[i], count[i]);
    for (unsigned i = 0; i < NR_RESPONDER_DROPS; i++)
        counter(b, "dropped", responder_drop_names[i], responder_drop_helps[i],
                n->responder.dropped[i]);
    for (unsigned i = 0; i < NR_NET_COUNTS; i++)
        counter(b, "net", net_count_names[i], net_count_helps[i], n->net_count[i]);
#define X(name, help) counter(b, "transport", #name, help, t->name);
    TRANSPORT_COUNTS(X)
#undef X
#define X(name, help) counter(b, "control", #name, help, c->name);
    CONTROL_COUNTS(X)
#undef X
#define X(name, help) counter(b, "device", #name, help, n->device->counts.name);
    if (n->device) {
        DEVICE_COUNTS(X)
    }
#undef X
#define X(name, help) counter(b, "fault", #name, help, f->name);
    if (n->o->faults) {
        FAULT_COUNTS(X)
    }
#undef X
}
