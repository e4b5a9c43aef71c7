/*
 * The retransmission timeout from measured round trips, after RFC 6298, in integers of nanoseconds.
 * Pure, inline; for qp.c, and tested on the host by way of it.
 */
#pragma once

#include "lib/base.h"

#define ROCE_RTT_BUCKETS 40u /* powers of 2 of a nanosecond: up to nine minutes */
/* The shift that doubles the timeout after each expiry stops here; rto_max does before, mostly. */
#define ROCE_BACKOFF_MAX 16u

struct roce_rtt {
    uint64_t srtt8, rttvar4; /* 8 and 4 times the values, which keeps the fractions */
    uint64_t min, max, first;
    unsigned backoff;
    bool progressed; /* since the last expiry */
    bool measured;
};

static inline void roce_rtt_init(struct roce_rtt *r, uint64_t min, uint64_t max, uint64_t first)
{
    *r = (struct roce_rtt){.min = min, .max = max, .first = first};
}

/* §2.2, §2.3: alpha 1/8, beta 1/4. A packet that was sent once was answered: the doubling ends. */
static inline void roce_rtt_sample(struct roce_rtt *r, uint64_t ns)
{
    if (!r->measured) {
        r->measured = true;
        r->srtt8 = ns * 8;
        r->rttvar4 = ns * 2;
    } else {
        uint64_t srtt = r->srtt8 / 8, off = ns > srtt ? ns - srtt : srtt - ns;

        r->rttvar4 += off - r->rttvar4 / 4;
        r->srtt8 += ns - srtt; /* may be "negative": it wraps back */
    }
    r->backoff = 0;
}

static inline uint64_t roce_rtt_srtt(const struct roce_rtt *r)
{
    return r->measured ? r->srtt8 / 8 : r->first;
}

/* A time in which most are answered: the timeout without its bounds and its doubling. */
static inline uint64_t roce_rtt_most(const struct roce_rtt *r)
{
    return r->measured ? r->srtt8 / 8 + r->rttvar4 : r->first;
}

/* The timeout now: §2.4, §5.5. */
static inline uint64_t roce_rtt_rto(const struct roce_rtt *r)
{
    uint64_t rto = MAX(roce_rtt_most(r), r->min) << r->backoff;

    return MIN(rto, r->max);
}

static inline void roce_rtt_expired(struct roce_rtt *r)
{
    if (r->backoff < ROCE_BACKOFF_MAX)
        r->backoff++;
    r->progressed = false;
}

/*
 * Something was acknowledged. RFC 6298 keeps the doubling until a packet that was sent once is
 * answered (Karn's rule), which may be never where losses make everything be sent again and again.
 * So it shrinks by one with each progress but the first after an expiry: after that one, new
 * packets are sent with the longer timeout, and if the round trip has become longer they are
 * measured before the second one.
 */
static inline void roce_rtt_progress(struct roce_rtt *r)
{
    if (r->progressed && r->backoff > 0)
        r->backoff--;
    r->progressed = true;
}

static inline unsigned roce_rtt_bucket(uint64_t ns)
{
    unsigned b = ns == 0 ? 0 : 63 - (unsigned)__builtin_clzll(ns);

    return MIN(b, ROCE_RTT_BUCKETS - 1);
}
