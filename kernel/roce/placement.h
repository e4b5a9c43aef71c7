/*
 * Which memory nodes a page lies on, if there are more nodes than copies: policy only, pure, for
 * the files behind remote.h. Sets of nodes are bits, by number.
 *
 * A page gets its nodes when it is first written: in turn, by its number, but none that is fuller
 * than others. So pages that leave one after the other lie on different nodes, all nodes are about
 * as full as each other, those that share pages with one are all others, and where each page lies
 * is noted and not computed. When nodes come and go one page after the other is moved, by
 * placement_step(); what need not be moved is not.
 */
#pragma once

#include "lib/base.h"

#define PLACEMENT_ALL  0u    /* copies: one on each node */
#define PLACEMENT_NONE (~0u) /* no node */
/* Nodes whose numbers of pages differ by no more are left as they are. A multiple of the moves that
 * are under way at the same time, or these would be too many in the end. */
#define PLACEMENT_SLACK 16u

struct placement_node {
    uint32_t used, room; /* pages */
    bool stays;          /* it is not to be left, nor dead */
    bool up;
};

/* How many nodes a page should lie on. */
unsigned placement_copies(const struct placement_node *n, unsigned nr, unsigned copies);
/* Pages for which there is room. */
uint32_t placement_capacity(const struct placement_node *n, unsigned nr, unsigned copies);
/* A node for a page: with room, that stays, none of `not`, and about as empty as the emptiest such;
 * those that are not up: last, or not at all. */
unsigned placement_pick(const struct placement_node *n, unsigned nr, uint32_t page, uint32_t not,
                        bool up_only);

struct placement_step {
    unsigned add, drop; /* a node each, or PLACEMENT_NONE: one of them at most is given */
    bool wanting;       /* it does not lie as it should, and not everything can be done now */
};

/* The next step for a page that lies on the nodes of `on`, of which those of `fresh` have what was
 * written last, as far as is known. A node that is added has to be filled before it is fresh. */
struct placement_step placement_step(const struct placement_node *n, unsigned nr, uint32_t page,
                                     uint32_t on, uint32_t fresh, unsigned copies);
