/* See result.h. */
#define _GNU_SOURCE
#include "result.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The self-check's bounds: later than this, or busier, and the generator measured itself. */
#define LAG_BOUND_NS   UINT64_C(1000000)
#define LAG_OF_LATENCY 0.1
#define CPU_BOUND      0.9

static void add_string(struct strbuf *b, const char *s)
{
    sb_add(b, "\"", 1);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            sb_addf(b, "\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            sb_addf(b, "\\u%04x", *s);
        else
            sb_add(b, s, 1);
    }
    sb_add(b, "\"", 1);
}

/* Buckets by their distance from the one before: half the bytes of their numbers, compressed too.
 */
static void add_hist(struct strbuf *b, const char *name, const struct hist *h)
{
    const char *comma = "";
    unsigned last = 0;

    sb_addf(b,
            "\"%s\":{\"unit\":\"ns\",\"digits\":3,\"count\":%" PRIu64 ",\"min\":%" PRIu64
            ",\"max\":%" PRIu64 ",\"sum\":%" PRIu64 ",\"buckets\":[",
            name, h->n, h->n ? h->min : 0, h->max, h->sum);
    for (unsigned i = h->n ? hist_index(h->min) : 1; h->n && i <= hist_index(h->max); i++) {
        if (!h->count[i])
            continue;
        sb_addf(b, "%s%u,%" PRIu64, comma, i - last, h->count[i]);
        comma = ",";
        last = i;
    }
    sb_addf(b, "]}");
}

/* Why this is no measurement of the server. */
static void invalid_because(const struct result *r, struct words *why)
{
    const struct tally *t = r->t;
    uint64_t lag = hist_quantile(&t->lag, 0.99), bound = LAG_BOUND_NS;
    double share = LAG_OF_LATENCY * (double)hist_quantile(&t->latency, 0.5);
    double cpu = r->seconds > 0 ? (t->user + t->system) / (r->seconds * r->o->threads) : 0;

    if (share > (double)bound)
        bound = share;
    if (lag > bound)
        words_addf(why, "the generator was late: send lag p99 %.3f ms, bound %.3f ms",
                   (double)lag / 1e6, (double)bound / 1e6);
    if (cpu > CPU_BOUND && !(r->polls && r->o->rate > 0))
        words_addf(why, "the generator was short of CPU: %.0f %% of its %u core%s used", 100 * cpu,
                   r->o->threads, r->o->threads == 1 ? "" : "s");
    if (t->errors[ERROR_PORTS])
        words_addf(why, "the generator was short of ports: %" PRIu64 " requests found none",
                   t->errors[ERROR_PORTS]);
    for (size_t i = 0; r->why && i < r->why->n; i++)
        words_add(why, r->why->v[i]);
}

static void add_json(struct strbuf *b, const struct result *r)
{
    const struct load_options *o = r->o;
    const struct tally *t = r->t;
    struct words why = {0};
    const char *comma = "";

    sb_addf(b, "{\"wherry_load\":1,\"proto\":\"%s\",\"target\":", o->proto_name);
    add_string(b, o->target_text);
    sb_addf(b, ",\"loop\":\"%s\",\"arrivals\":", o->rate > 0 ? "open" : "closed");
    if (o->rate > 0)
        sb_addf(b, "\"%s\",\"rate\":%.17g", o->poisson ? "poisson" : "constant", o->rate);
    else
        sb_addf(b, "null,\"rate\":null");
    sb_addf(b,
            ",\"started\":%.6f,\"seconds\":%.9g,\"warmup\":%.9g,\"seed\":%" PRIu64
            ",\"connections\":%u,\"pipeline\":%u,\"threads\":%u",
            (double)r->started / 1e9, r->seconds, o->requests ? 0 : o->warmup, o->seed, o->connections, o->pipeline,
            o->threads);
    sb_addf(b, ",\"sent\":%" PRIu64 ",\"answered\":%" PRIu64 ",\"good\":%" PRIu64, t->sent,
            t->answered, t->good);
    sb_addf(b,
            ",\"throughput\":%.9g,\"unsent\":%" PRIu64 ",\"queued\":%" PRIu64 ",\"stray\":%" PRIu64
            ",\"errors\":{",
            r->seconds > 0 ? (double)t->in_time / r->seconds : 0, t->unsent, t->queued, t->stray);
    for (int i = 0; i < NR_ERRORS; i++)
        sb_addf(b, "%s\"%s\":%" PRIu64, i ? "," : "", error_names[i], t->errors[i]);
    sb_addf(b,
            "},\"bytes_out\":%" PRIu64 ",\"bytes_in\":%" PRIu64
            ",\"cpu\":{\"user\":%.6f,\"system\":%.6f},\"per_second\":[",
            t->bytes_out, t->bytes_in, t->user, t->system);
    for (unsigned i = 0; i < t->seconds; i++)
        sb_addf(b, "%s%" PRIu64, i ? "," : "", t->per_second[i]);
    sb_addf(b, "],");
    add_hist(b, "latency", &t->latency);
    sb_addf(b, ",");
    add_hist(b, "service", &t->service);
    sb_addf(b, ",");
    add_hist(b, "send_lag", &t->lag);
    sb_addf(b, ",");
    add_hist(b, "queue_wait", &t->wait);
    sb_addf(b, ",\"ops\":{");
    for (int i = 0; i < NR_OPS; i++) {
        if (!t->op[i].good)
            continue;
        sb_addf(b, "%s\"%s\":{\"good\":%" PRIu64 ",", comma, op_names[i], t->op[i].good);
        add_hist(b, "latency", &t->op[i].latency);
        sb_addf(b, "}");
        comma = ",";
    }
    invalid_because(r, &why);
    sb_addf(b, "},\"valid\":%s,\"invalid\":[", why.n ? "false" : "true");
    for (size_t i = 0; i < why.n; i++) {
        sb_addf(b, i ? "," : "");
        add_string(b, why.v[i]);
    }
    sb_addf(b, "]%s}\n", r->members ? r->members : "");
    words_free(&why);
}

static void add_text(struct strbuf *b, const struct result *r)
{
    static const double quantiles[] = {0.5, 0.9, 0.99, 0.999, 1};
    const struct tally *t = r->t;
    struct words why = {0};

    sb_addf(b, "%s %s: %.1f good answers/s", r->o->proto_name, r->o->target_text,
            r->seconds > 0 ? (double)t->in_time / r->seconds : 0);
    if (r->o->rate > 0)
        sb_addf(b, " of %g asked", r->o->rate);
    sb_addf(b, ", %" PRIu64 " sent, %" PRIu64 " good in %.1f s\nlatency", t->sent, t->good,
            r->seconds);
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
        sb_addf(b, "  p%g %.3f ms", 100 * quantiles[i],
                (double)hist_quantile(&t->latency, quantiles[i]) / 1e6);
    sb_addf(b, "\n");
    for (int i = 0; i < NR_ERRORS; i++)
        if (t->errors[i])
            sb_addf(b, "errors: %" PRIu64 " %s\n", t->errors[i], error_names[i]);
    if (r->lines)
        sb_add(b, r->lines, strlen(r->lines));
    invalid_because(r, &why);
    for (size_t i = 0; i < why.n; i++)
        sb_addf(b, "not valid: %s\n", why.v[i]);
    words_free(&why);
}

static void write_file(const char *path, const struct strbuf *b)
{
    char *temp = xasprintf("%s.new-%d", path, getpid());
    FILE *f = fopen(temp, "we");
    int err = 0;

    if (!f)
        die("--out %s: %m", path);
    if (fwrite(b->s, 1, b->len, f) != b->len || fflush(f) != 0 || fsync(fileno(f)) != 0)
        err = errno;
    if (fclose(f) != 0 && !err)
        err = errno;
    if (!err && rename(temp, path) != 0)
        err = errno;
    if (err) {
        unlink(temp);
        die("--out %s: %s", path, strerror(err));
    }
    free(temp);
}

void result_write(const struct result *r)
{
    struct strbuf b = {0}, text = {0};

    add_text(&text, r);
    if (!r->o->text)
        add_json(&b, r);
    if (r->o->out)
        write_file(r->o->out, r->o->text ? &text : &b);
    else if (!write_all(STDOUT_FILENO, r->o->text ? text.s : b.s, r->o->text ? text.len : b.len))
        die("cannot write the result: %m");
    if (!r->o->quiet && (!r->o->text || r->o->out))
        fputs(text.s, stderr);
    free(text.s);
    free(b.s);
}
