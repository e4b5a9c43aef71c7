/*
 * The generator: one thread that polls the peer's device, issues requests in a closed or an open
 * loop, judges what comes back, and answers ARP. Called by main.c; dies if the guest is not there.
 */
#pragma once

#include "../load/arrival.h"
#include "../load/tally.h"
#include "../load/workload.h"
#include "ask.h"
#include "bad.h"
#include "flight.h"
#include "options.h"
#include "peer.h"

/* What happened beside the requests' own fates, over a whole run with its warm-up. */
struct gen_counts {
    uint64_t frames_out, frames_in;
    uint64_t in_kind[NR_FRAME_KINDS];
    uint64_t not_ours;  /* of those: to another address or port, such as the guest's own traffic */
    uint64_t arp_asked; /* requests for our addresses, answered */
    uint64_t late, duplicate, unknown; /* answers: after the time-out; once more; to nothing */
    uint64_t device_full;              /* times the device had no room for a burst */
    uint64_t bad_sent, bad_answered, bad_wrong; /* bad frames; answers to them; those not allowed */
    uint64_t polls, busy_polls;
    double busy, cpu, wall; /* seconds within the recorded time */
    uint64_t switched_away; /* times that another thread got this one's CPU */
};

struct waiting { /* a frame on its way to the device */
    struct rte_mbuf *frame;
    uint64_t id;   /* of its request; 0: none */
    uint64_t poll; /* when it was made: the number of polls so far */
};

struct gen {
    const struct pktgen_options *o;
    struct peer peer;
    struct ask ask;
    struct flights flights;
    struct bad bad;
    uint8_t guest_mac[MAC_LEN];
    bool have_guest;
    uint64_t nr_sent; /* chooses addresses and ports */

    struct waiting *queue; /* a ring: a power of two */
    uint32_t queue_mask, queue_head, queue_tail;

    /* Of a run. */
    enum workload_phase phase;
    struct workload_shared *workload;
    struct workload_stream stream;
    struct arrival arrival;
    struct tally tally;
    struct gen_counts counts;
    uint64_t start, window, end, next_due; /* ns; window: the recorded time's start */
    uint64_t budget;                       /* closed loop: requests left to issue */
    bool exhausted;
    uint64_t *again; /* filling: keys whose request or answer was lost */
    size_t nr_again, again_cap;
    struct why wrong; /* the first wrong answer */
};

extern volatile bool gen_stop; /* set by signals */

/* Requests leave from ports from here on. */
enum { FIRST_PORT = 20000 };
/* Apart from keys and arrivals with the same seed. */
#define BAD_STREAM UINT64_C(0x4241440000000000)

void gen_open(struct gen *g, const struct pktgen_options *o);
void gen_close(struct gen *g);
/* Waits for the guest, its MAC address and the first answer of its server. */
void gen_meet(struct gen *g);
/* --load: fills the store and reads it back, whatever is lost on the way. */
void gen_fill(struct gen *g);
/* Between runs: answers ARP until there is something to read. */
void gen_serve(struct gen *g, int fd);
/* One run; returns its seconds. g->tally and g->counts are the result, until gen_reset(). */
double gen_run(struct gen *g, const struct pktgen_options *o);
void gen_reset(struct gen *g);
