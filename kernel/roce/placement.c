/* See placement.h. */
#include "roce/placement.h"

static uint32_t staying(const struct placement_node *n, unsigned nr)
{
    uint32_t set = 0;

    for (unsigned i = 0; i < nr; i++)
        set |= (uint32_t)n[i].stays << i;
    return set;
}

static uint32_t up(const struct placement_node *n, unsigned nr)
{
    uint32_t set = 0;

    for (unsigned i = 0; i < nr; i++)
        set |= (uint32_t)n[i].up << i;
    return set;
}

static unsigned count(uint32_t set)
{
    unsigned n = 0;

    for (; set != 0; set &= set - 1)
        n++;
    return n;
}

unsigned placement_copies(const struct placement_node *n, unsigned nr, unsigned copies)
{
    unsigned there = count(staying(n, nr));

    return copies == PLACEMENT_ALL ? there : MIN(copies, there);
}

/* No page lies twice on one node: a node's room beyond what all others together can match is not
 * counted. With n nodes that lend as much as each other it is n / copies times that of one, less
 * what they may differ by in what they hold: with two or more copies the last places of the
 * emptiest node are of no use when all others are full. */
uint32_t placement_capacity(const struct placement_node *n, unsigned nr, unsigned copies)
{
    unsigned there = placement_copies(n, nr, PLACEMENT_ALL);
    uint64_t low = 0, high = 0;
    uint32_t reserve;

    copies = placement_copies(n, nr, copies);
    if (copies == 0)
        return 0;
    reserve = copies > 1 && copies < there ? 2 * PLACEMENT_SLACK : 0;
    for (unsigned i = 0; i < nr; i++)
        high += n[i].stays ? n[i].room : 0;
    /* p pages fit if the rooms, each cut to p, are copies * p together. */
    for (high /= copies; low < high;) {
        uint64_t p = (low + high + 1) / 2, sum = 0;

        for (unsigned i = 0; i < nr; i++)
            if (n[i].stays && n[i].room > reserve)
                sum += MIN((uint64_t)n[i].room - reserve, p);
        if (sum >= p * copies)
            low = p;
        else
            high = p - 1;
    }
    return (uint32_t)MIN(low, (uint64_t)UINT32_MAX);
}

static bool fits(const struct placement_node *n, bool is_up)
{
    return n->stays && n->used < n->room && n->up == is_up;
}

static unsigned pick(const struct placement_node *n, unsigned nr, unsigned first, uint32_t not,
                     bool is_up)
{
    uint32_t least = UINT32_MAX;

    for (unsigned i = 0; i < nr; i++)
        if (!(not >> i & 1) && fits(&n[i], is_up))
            least = MIN(least, n[i].used);
    for (unsigned k = 0; k < nr; k++) {
        unsigned i = (first + k) % nr;

        if (!(not >> i & 1) && fits(&n[i], is_up) && n[i].used - least <= PLACEMENT_SLACK / 2)
            return i;
    }
    return PLACEMENT_NONE;
}

unsigned placement_pick(const struct placement_node *n, unsigned nr, uint32_t page, uint32_t not,
                        bool up_only)
{
    /* Neighbours begin with different nodes, and go on with others at each turn. */
    unsigned first = nr > 0 ? (page + page / nr * count(not )) % nr : 0;
    unsigned i = pick(n, nr, first, not, true);

    return i != PLACEMENT_NONE || up_only ? i : pick(n, nr, first, not, false);
}

static unsigned fullest(const struct placement_node *n, unsigned nr, uint32_t of)
{
    unsigned best = PLACEMENT_NONE;

    for (unsigned i = 0; i < nr; i++)
        if (of >> i & 1 && (best == PLACEMENT_NONE || n[i].used > n[best].used))
            best = i;
    return best;
}

struct placement_step placement_step(const struct placement_node *n, unsigned nr, uint32_t page,
                                     uint32_t on, uint32_t fresh, unsigned copies)
{
    struct placement_step s = {.add = PLACEMENT_NONE, .drop = PLACEMENT_NONE};
    uint32_t stay = staying(n, nr), there = stay & up(n, nr), good = fresh & there;
    unsigned want = placement_copies(n, nr, copies), other, full;

    /* What is too much may go, if those that are left can be asked now: one that is not there may
     * come back with nothing. */
    if (want > 0 && count(good) >= want) {
        if ((on & ~stay) != 0)
            s.drop = fullest(n, nr, on & ~stay);
        else if ((on & ~good) != 0 && count(on) > want)
            s.drop = fullest(n, nr, on & ~good);
        else if (count(on) > want)
            s.drop = fullest(n, nr, on);
        if (s.drop != PLACEMENT_NONE)
            return s;
    }
    s.wanting = (on & ~stay) != 0 || count(on) > want;
    if (count(on & stay) < want) {
        s.add = placement_pick(n, nr, page, on, true);
        s.wanting |= s.add == PLACEMENT_NONE;
    } else if (on == good && count(on) == want) { /* perhaps it is better elsewhere */
        other = placement_pick(n, nr, page, on, true);
        full = fullest(n, nr, on);
        if (other != PLACEMENT_NONE && full != PLACEMENT_NONE &&
            n[other].used + PLACEMENT_SLACK < n[full].used)
            s.add = other;
    }
    return s;
}
