/* See delay.h. */
#define _GNU_SOURCE
#include "delay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DELAY_MAX_US 60e6

bool delay_parse(struct delay *d, const char *s, struct why *w)
{
    char rest;

    *d = (struct delay){0};
    if (sscanf(s, "fixed:%lf%c", &d->a, &rest) == 1) {
        d->kind = DELAY_FIXED;
        d->b = d->a;
    } else if (sscanf(s, "uniform:%lf-%lf%c", &d->a, &d->b, &rest) == 2) {
        d->kind = DELAY_UNIFORM;
    } else if (sscanf(s, "exp:%lf%c", &d->a, &rest) == 1) {
        d->kind = DELAY_EXPONENTIAL;
        d->b = d->a;
    } else if (sscanf(s, "two:%lf,%lf,%lf%c", &d->a, &d->b, &d->p, &rest) == 3) {
        d->kind = DELAY_TWO;
    } else {
        return because(w, "%s: write fixed:US, uniform:FROM-TO, exp:MEAN or two:A,B,SHARE", s);
    }
    if (!(d->a >= 0 && d->b >= d->a && d->b <= DELAY_MAX_US && d->p >= 0 && d->p <= 1))
        return because(w, "%s: from 0 to %g microseconds, a share from 0 to 1", s, DELAY_MAX_US);
    return true;
}

uint64_t delay_next(const struct delay *d, struct rng *r)
{
    switch (d->kind) {
    case DELAY_NONE:
        break;
    case DELAY_FIXED:
        return d->a * 1e3;
    case DELAY_UNIFORM:
        return (d->a + (d->b - d->a) * rng_unit(r)) * 1e3;
    case DELAY_EXPONENTIAL:
        return d->a * rng_exponential(r) * 1e3;
    case DELAY_TWO:
        return (rng_unit(r) < d->p ? d->b : d->a) * 1e3;
    }
    return 0;
}

bool stalls_parse(struct stalls *s, const char *text, struct why *w)
{
    *s = (struct stalls){0};
    for (const char *p = text;;) {
        unsigned long at, len;
        int n = 0;

        if (sscanf(p, "%9lu:%9lu%n", &at, &len, &n) != 2 || (p[n] && p[n] != ',') || len == 0)
            return because(w, "%s: write AT:LENGTH,... in milliseconds", text);
        s->v = xrealloc(s->v, (s->n + 1) * sizeof(s->v[0]));
        s->v[s->n++] = (struct stall){at * 1000000, (at + len) * 1000000};
        if (!p[n])
            return true;
        p += n + 1;
    }
}

uint64_t stalls_end(const struct stalls *s, uint64_t now)
{
    for (size_t i = 0; i < s->n; i++)
        if (now >= s->v[i].at && now < s->v[i].end)
            return s->v[i].end;
    return 0;
}
