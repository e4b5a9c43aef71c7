/*
 * Memory nodes that come and go while the machine runs. One that is added is asked for memory, has
 * joined when it is there, and gets its share of what there is; from one that is removed the pages
 * go to the others, and when nothing lies there any more it gets its memory back. See remote.h.
 */
#include "mm/far/far.h"
#include "mm/slab.h"
#include "roce/remote.h"
#include "sched/clock.h"

#include <asm/errno.h>

static uint32_t capacity_without(const struct mirror *without)
{
    struct placement_node table[MIRRORS_MAX];

    remote_table(table);
    for (unsigned i = 0; i < remote_nr; i++)
        table[i].stays &= remote_mirrors[i] != without;
    return MIN(placement_capacity(table, remote_nr, remote_copies), FAR_SLOTS_MAX);
}

uint32_t members_capacity(void)
{
    return capacity_without(NULL);
}

/* There are as many slots as there is room for. */
static void set_capacity(void)
{
    uint32_t slots = members_capacity();

    if ((slots > remote_slots && remote_grow(slots) < 0) || far_resize(slots) < 0)
        kprintf("wherry: no memory here to use all memory of the memory nodes\n");
}

void members_changed(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < remote_nr; i++)
        n += remote_mirrors[i]->joined && !remote_mirrors[i]->leaving;
    /* Each is waited for for long only if there is no other to ask. */
    for (unsigned i = 0; i < remote_nr; i++)
        remote_mirrors[i]->node.several = n > 1 && remote_copies != 1;
    set_capacity();
    balance_wake();
}

static void say(const struct mirror *m, const char *what)
{
    const struct node *n = &m->node;

    kprintf("wherry: memory node %u.%u.%u.%u %s\n", n->ip >> 24, n->ip >> 16 & 255,
            n->ip >> 8 & 255, n->ip & 255, what);
}

static struct mirror *find(uint32_t ip)
{
    for (unsigned i = 0; i < remote_nr; i++)
        if (remote_mirrors[i]->node.ip == ip)
            return remote_mirrors[i];
    return NULL;
}

/* ---- Commands ---- */

static int add(const char *text)
{
    struct mirror *m;
    uint32_t ip;
    uint16_t port;
    int r = remote_parse(text, &ip, &port);

    if (r < 0)
        return r;
    if (find(ip) != NULL)
        return -EEXIST;
    if (remote_nr == MIRRORS_MAX)
        return -ENOSPC;
    m = remote_open(ip, port);
    if (m == NULL)
        return -ENOMEM;
    remote_mirrors[remote_nr++] = m;
    return 0;
}

/* Are there pages that no other node could give? */
static bool is_needed(const struct mirror *m)
{
    uint32_t self = 1u << remote_number(m), up = 0;

    for (unsigned i = 0; i < remote_nr; i++)
        up |= (uint32_t)(remote_mirrors[i]->node.state == NODE_IS_UP) << i;
    for (uint32_t slot = 1; m->places.used > 0 && slot <= remote_slots; slot++)
        if (remote_is_fresh(m, slot) && (remote_set_fresh(slot) & up & ~self) == 0)
            return true;
    return false;
}

static int remove(const char *text)
{
    struct mirror *m;
    uint32_t ip, capacity;
    uint16_t port;
    int r = remote_parse(text, &ip, &port);

    if (r < 0)
        return r;
    m = find(ip);
    if (m == NULL)
        return -ENOENT;
    capacity = capacity_without(m);
    if (m->leaving || (m->joined && capacity == 0))
        return -EBUSY;
    if (m->joined && far_space().used > capacity)
        return -ENOSPC;
    if (m->node.state != NODE_IS_UP && is_needed(m))
        return -EBUSY;
    m->leaving = true;
    members_changed();
    say(m, "is to leave");
    return 0;
}

static const char *after(const char *text, const char *word)
{
    size_t n = strlen(word);

    return strncmp(text, word, n) == 0 ? text + n : NULL;
}

int members_command(const char *text)
{
    const char *node;

    if (remote_nr == 0)
        return -EOPNOTSUPP;
    remote_wake();
    if ((node = after(text, "add ")) != NULL)
        return add(node);
    if ((node = after(text, "remove ")) != NULL)
        return remove(node);
    return -EINVAL;
}

/* ---- What follows ---- */

static void join(struct mirror *m)
{
    m->joined = true;
    members_changed();
    say(m, "has joined");
}

static void forget(unsigned i)
{
    struct mirror *m = remote_mirrors[i];

    balance_without(m);
    for (remote_nr--; i < remote_nr; i++)
        remote_mirrors[i] = remote_mirrors[i + 1];
    remote_close(m);
}

void members_run(uint64_t now)
{
    for (unsigned i = 0; i < remote_nr;) {
        struct mirror *m = remote_mirrors[i];

        if (m->node.state == NODE_IS_LEAVING && m->leaving && node_is_closed(&m->node)) {
            say(m, "has left");
            forget(i);
            continue;
        }
        if (!m->joined && m->node.state == NODE_IS_DEAD) {
            say(m, remote_why(m->node.session.error));
            forget(i);
            continue;
        }
        if (m->leaving && m->places.used == 0 && m->node.state != NODE_IS_LEAVING) {
            node_close(&m->node, now);
            remote_wake();
        } else if (!m->joined && m->node.state == NODE_IS_UP) {
            join(m);
        }
        i++;
    }
}
