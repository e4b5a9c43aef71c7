/*
 * Faults for tests, seeded: a network that loses, repeats, reorders, spoils and delays packets
 * (as a transport around another one, both ways), and a node that answers with stale or forged
 * bytes (as the responder's hooks). Called by node.c and options.c; never in use unless --fault was
 * given. Does not block.
 */
#pragma once

#include "../load/rng.h"
#include "memory.h"
#include "transport.h"

struct fault_spec {
    double drop, dup, reorder, corrupt; /* of packets, each way */
    double stale, forge;                /* of READ responses */
    uint64_t delay;                     /* ns, of packets that leave */
};

struct fault_counts {
    uint64_t dropped, repeated, reordered, corrupted, stale, forged;
};

struct fault {
    struct fault_spec spec;
    struct rng rng;
    struct memory *memory;
    uint8_t *shadow[MEMORY_REGIONS]; /* what bytes were before they were written last */
    struct fault_counts counts;
};

/* "drop=P,dup=P,reorder=P,corrupt=P,delay=US,stale=P,forge=P" */
bool fault_parse(struct fault_spec *spec, const char *text, struct why *why);
void fault_init(struct fault *f, const struct fault_spec *spec, uint64_t seed, struct memory *m);
void fault_close(struct fault *f);

/* The hooks of struct responder_env; ctx is the fault. */
void fault_before_write(struct fault *f, const uint8_t *at, size_t n);
const uint8_t *fault_source(struct fault *f, const uint8_t *at, size_t n);
bool fault_forge(struct fault *f, uint8_t *payload, size_t n);
