/* See tally.h. */
#include "tally.h"

#include <stdlib.h>
#include <string.h>

const char *const error_names[NR_ERRORS] = {
    [ERROR_WRONG] = "wrong",       [ERROR_TIMEOUT] = "timeout", [ERROR_REFUSED] = "refused",
    [ERROR_RESET] = "reset",       [ERROR_CLOSED] = "closed",   [ERROR_PORTS] = "short_of_ports",
    [ERROR_PROTOCOL] = "protocol",
};

const char *const op_names[NR_OPS] = {
    [OP_REQUEST] = "request", [OP_READ] = "read", [OP_UPDATE] = "update", [OP_INSERT] = "insert",
    [OP_SCAN] = "scan",       [OP_RMW] = "rmw",   [OP_LRANGE] = "lrange", [OP_FILL] = "fill",
};

void tally_init(struct tally *t, unsigned seconds)
{
    *t = (struct tally){.seconds = seconds, .per_second = xcalloc(seconds + 1, sizeof(uint64_t))};
    hist_init(&t->latency);
    hist_init(&t->service);
    hist_init(&t->lag);
    hist_init(&t->wait);
    for (int i = 0; i < NR_OPS; i++)
        hist_init(&t->op[i].latency);
}

void tally_free(struct tally *t)
{
    free(t->per_second);
    hist_free(&t->latency);
    hist_free(&t->service);
    hist_free(&t->lag);
    hist_free(&t->wait);
    for (int i = 0; i < NR_OPS; i++)
        hist_free(&t->op[i].latency);
}

static void grow(struct tally *t, unsigned seconds)
{
    if (seconds <= t->seconds)
        return;
    t->per_second = xrealloc(t->per_second, seconds * sizeof(uint64_t));
    memset(t->per_second + t->seconds, 0, (seconds - t->seconds) * sizeof(uint64_t));
    t->seconds = seconds;
}

void tally_in_time(struct tally *t, int64_t at, int64_t length)
{
    if (at < 0 || at >= length)
        return;
    grow(t, at / 1000000000 + 1);
    t->per_second[at / 1000000000]++;
    t->in_time++;
}

void tally_merge(struct tally *into, const struct tally *from)
{
    into->sent += from->sent;
    into->answered += from->answered;
    into->good += from->good;
    into->unsent += from->unsent;
    into->queued += from->queued;
    into->stray += from->stray;
    into->bytes_out += from->bytes_out;
    into->bytes_in += from->bytes_in;
    into->in_time += from->in_time;
    into->user += from->user;
    into->system += from->system;
    for (int i = 0; i < NR_ERRORS; i++)
        into->errors[i] += from->errors[i];
    grow(into, from->seconds);
    for (unsigned i = 0; i < from->seconds; i++)
        into->per_second[i] += from->per_second[i];
    hist_merge(&into->latency, &from->latency);
    hist_merge(&into->service, &from->service);
    hist_merge(&into->lag, &from->lag);
    hist_merge(&into->wait, &from->wait);
    for (int i = 0; i < NR_OPS; i++) {
        into->op[i].good += from->op[i].good;
        hist_merge(&into->op[i].latency, &from->op[i].latency);
    }
}

uint64_t tally_errors(const struct tally *t)
{
    uint64_t n = 0;

    for (int i = 0; i < NR_ERRORS; i++)
        n += t->errors[i];
    return n;
}
