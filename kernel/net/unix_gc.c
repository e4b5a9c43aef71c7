/*
 * Garbage collection of AF_UNIX sockets. A socket sent through a socket and then closed is kept
 * alive by the message. Two sockets in each other's queues, or one in its own, would
 * live for ever: nobody can receive those messages. Reference counts cannot tell; this can.
 *
 * A socket is suspect if every reference to its file is held by a message. From the suspects'
 * counts are taken the references held in suspects' own queues. Who has some left is referred
 * to from a queue that somebody can still read, and so are all sockets in its queue, and so
 * on. The others are garbage: their messages are dropped, and the files with them.
 *
 * Called when a socket is closed while any is in flight, and when descriptors enter and leave
 * messages. Closing files may sleep; the marking does not.
 */
#include "net/unix.h"

enum gc_state { GC_NONE, GC_SUSPECT, GC_ALIVE };

static struct list inflight = LIST_INIT(inflight); /* unix_sock.inflight_link */
static bool running;

static struct unix_sock *unix_of_file(struct file *f)
{
    struct socket *s = socket_of(f);
    return s && s->family == AF_UNIX ? unix_of(s) : NULL;
}

void unix_inflight_add(const struct unix_fds *fds)
{
    unix_stats.fds_inflight += fds->n;
    for (unsigned i = 0; i < fds->n; i++) {
        struct unix_sock *u = unix_of_file(fds->files[i]);
        if (!u)
            continue;
        if (u->inflight++ == 0)
            list_push_back(&inflight, &u->inflight_link);
        unix_stats.inflight++;
    }
}

void unix_inflight_remove(const struct unix_fds *fds)
{
    unix_stats.fds_inflight -= fds->n;
    for (unsigned i = 0; i < fds->n; i++) {
        struct unix_sock *u = unix_of_file(fds->files[i]);
        if (!u)
            continue;
        if (--u->inflight == 0)
            list_remove(&u->inflight_link);
        unix_stats.inflight--;
    }
}

/* Calls visit for every suspect that a message in u's queue carries. */
static void for_queue(struct unix_sock *u, void (*visit)(struct unix_sock *child))
{
    list_for_each (msg, &u->queue, struct unix_msg, link) {
        for (unsigned i = 0; msg->fds && i < msg->fds->n; i++) {
            struct unix_sock *child = unix_of_file(msg->fds->files[i]);
            if (child && child->gc_state == GC_SUSPECT)
                visit(child);
        }
    }
}

/* The same for its own queue and those of connections it has not accepted, which nobody else
 * holds. */
static void for_children(struct unix_sock *u, void (*visit)(struct unix_sock *child))
{
    for_queue(u, visit);
    list_for_each (e, &u->pending, struct unix_sock, pending_link)
        for_queue(e, visit);
}

static void discount(struct unix_sock *child)
{
    child->gc_refs--;
}

/* Moves to the end of the list, where the marking loop will come to it. */
static void mark_alive(struct unix_sock *child)
{
    child->gc_state = GC_ALIVE;
    list_remove(&child->inflight_link);
    list_push_back(&inflight, &child->inflight_link);
}

static void find_suspects(void)
{
    list_for_each (u, &inflight, struct unix_sock, inflight_link) {
        u->gc_refs = u->inflight;
        u->gc_state = u->s.file.refs == u->inflight ? GC_SUSPECT : GC_NONE;
    }
    list_for_each (u, &inflight, struct unix_sock, inflight_link) {
        if (u->gc_state == GC_SUSPECT)
            for_children(u, discount);
    }
}

/* Everything that a live one's queue leads to is alive. Each socket moves once, so this ends. */
static void find_alive(void)
{
    list_for_each_safe (u, &inflight, struct unix_sock, inflight_link) {
        if (u->gc_state == GC_SUSPECT && u->gc_refs > 0)
            u->gc_state = GC_ALIVE;
    }
    bool changed;
    do {
        changed = false;
        list_for_each_safe (u, &inflight, struct unix_sock, inflight_link) {
            if (u->gc_state != GC_ALIVE)
                continue;
            u->gc_state = GC_NONE;
            changed = true;
            for_children(u, mark_alive);
        }
    } while (changed);
}

/* Takes the messages with descriptors out of a queue. */
static void take_messages(struct unix_sock *u, struct list *out)
{
    list_for_each_safe (msg, &u->queue, struct unix_msg, link) {
        if (!msg->fds)
            continue;
        list_remove(&msg->link);
        u->queue_len--;
        list_push_back(out, &msg->link);
    }
}

void unix_gc(void)
{
    struct list garbage = LIST_INIT(garbage);
    if (running)
        return;
    running = true;
    find_suspects();
    find_alive();
    list_for_each (u, &inflight, struct unix_sock, inflight_link) {
        if (u->gc_state != GC_SUSPECT)
            continue;
        take_messages(u, &garbage);
        list_for_each (e, &u->pending, struct unix_sock, pending_link)
            take_messages(e, &garbage);
    }
    while (!list_empty(&garbage)) {
        struct unix_msg *msg = list_first(&garbage, struct unix_msg, link);
        list_remove(&msg->link);
        unix_stats.collected++;
        unix_msg_put(msg);
    }
    running = false;
}
