/*
 * Frames that a server must survive: cut off, too long, wrongly summed, in pieces, with lengths
 * that lie, from addresses that are nobody's. Each kind knows what answers to it are allowed;
 * silence always is. An answer names its frame: the kind is part of the identifier. Pure.
 */
#pragma once

#include "../load/rng.h"
#include "../util.h"
#include "ask.h"
#include "frame.h"

/* Room that a bad frame needs, larger than any right one. */
enum { BAD_FRAME_MAX = 3072 };

struct bad {
    struct rng rng;
    uint64_t nr;   /* frames made: their serial number */
    uint64_t keys; /* of the store, which sets that must not happen are aimed at */
    unsigned only; /* a kind's number + 1; 0: all kinds */
    bool echo;     /* the server sends everything back: kinds within udpkv's format are left out */
};

/* Is this identifier that of a bad frame? */
bool bad_is_id(uint64_t id);
/* Makes one of some kind; returns its length. */
size_t bad_frame(struct bad *b, const struct ends *e, uint8_t *f);
/* May there be such an answer to the bad frame with this identifier? */
bool bad_answer_allowed(const struct bad *b, uint64_t id, const uint8_t *p, size_t n,
                        struct why *why);
unsigned bad_kinds(void);
const char *bad_kind_name(unsigned kind);
/* The same, of one kind: for tests. */
size_t bad_frame_of(struct bad *b, const struct ends *e, unsigned kind, uint8_t *f);
