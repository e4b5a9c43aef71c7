/*
 * Intrusive circular doubly linked lists. The list is a node of its own, so that
 * removal needs no head and no branch. A node that is on no list points to itself
 * once list_init() ran on it.
 */
#pragma once

#include "lib/base.h"

struct list {
    struct list *next, *prev;
};

#define LIST_INIT(name) {&(name), &(name)}

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_insert_after(struct list *at, struct list *n)
{
    n->next = at->next;
    n->prev = at;
    at->next->prev = n;
    at->next = n;
}

static inline void list_push_front(struct list *l, struct list *n)
{
    list_insert_after(l, n);
}

static inline void list_push_back(struct list *l, struct list *n)
{
    list_insert_after(l->prev, n);
}

/* Leaves the node self-linked, so removing twice is harmless. */
static inline void list_remove(struct list *n)
{
    n->next->prev = n->prev;
    n->prev->next = n->next;
    n->next = n->prev = n;
}

/* Moves all nodes of from to the end of to. */
static inline void list_splice_back(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_first(l, type, member)                                                                \
    (list_empty(l) ? (type *)NULL : container_of((l)->next, type, member))
#define list_for_each(pos, l, type, member)                                                        \
    for (type *pos = container_of((l)->next, type, member); &pos->member != (l);                   \
         pos = container_of(pos->member.next, type, member))
/* Tolerates removal of pos itself inside the loop. */
#define list_for_each_safe(pos, l, type, member)                                                   \
    for (type *pos = container_of((l)->next, type, member),                                        \
              *pos##_next = container_of(pos->member.next, type, member);                          \
         &pos->member != (l);                                                                      \
         pos = pos##_next, pos##_next = container_of(pos->member.next, type, member))
