/* See worker.h. */
#define _GNU_SOURCE
#include "worker.h"

#include "session.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    NR_EVENTS = 128,
    START_CONNS = 4, /* opened on demand: connections a thread opens before the start */
    NEVER_S = 365 * 86400,
    REPEAT_MS = 200, /* until a datagram is taken for lost while a store is filled */
};

uint64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * S + t.tv_nsec;
}

/* ---- what is due ---- */

static void issue_open(struct session *s)
{
    uint64_t now = clock_ns();

    for (int i = 0; i < BURST && s->next_due <= now && s->next_due < s->end; i++) {
        struct request *r = session_request(s, s->next_due);
        struct conn *c;

        workload_next(&s->workload, r);
        s->next_due = s->start + arrival_next(&s->arrival);
        if (r->recorded)
            hist_add(&s->w->tally.lag, now - r->intended);
        c = s->queue ? NULL : session_pick(s, now);
        if (c) {
            session_start(s, c, r, now);
            session_flush(s);
        } else {
            s->w->tally.queued += r->recorded;
            session_queue_push(s, r);
        }
        now = clock_ns();
    }
}

static void serve_queue(struct session *s, uint64_t now)
{
    struct conn *c;

    while (s->queue && (c = session_pick(s, now))) {
        struct request *r = session_queue_pop(s);

        if (r->recorded)
            hist_add(&s->w->tally.wait, now - r->intended);
        session_start(s, c, r, now);
    }
}

static void issue_closed(struct session *s, uint64_t now)
{
    struct conn *c;

    while (!s->exhausted && now < s->end && (c = session_pick(s, now))) {
        struct request *r;

        if (atomic_load(&s->run->stop) || !session_take_budget(s)) {
            s->exhausted = true;
            return;
        }
        r = session_request(s, now);
        if (!workload_next(&s->workload, r)) {
            s->w->tally.sent -= r->recorded;
            session_forget(s, r);
            s->exhausted = true;
            return;
        }
        session_start(s, c, r, now);
    }
}

static void expire(struct session *s, uint64_t now)
{
    struct request *r;

    while ((r = s->oldest) && r->intended + s->timeout <= now) {
        if (!r->conn) {
            session_queue_pop(s); /* it is the first there, since both are in order */
            session_fail(s, r, ERROR_TIMEOUT);
        } else if (s->run->repeat && session_repeat(s, r, now)) {
            continue;
        } else if (s->proto->datagram) {
            struct conn *c = r->conn;

            conn_take_slot(c, r->id);
            session_fail(s, r, ERROR_TIMEOUT);
            session_place(s, c);
        } else {
            session_drop(s, r->conn, ERROR_TIMEOUT);
        }
    }
}

/* ---- the loop ---- */

/* Sleeps until something comes or it is until; a sleep of the kernel's high-resolution timers with
 * a slack of 1 ns ends within some tens of microseconds of it, so nothing spins. */
static void wait_events(struct session *s, uint64_t until)
{
    struct epoll_event ev[NR_EVENTS];
    uint64_t now = clock_ns(), ns = until > now ? until - now : 0;
    struct timespec t = {.tv_sec = ns / S, .tv_nsec = ns % S};
    int n = epoll_pwait2(s->epoll, ev, NR_EVENTS, &t, NULL);

    if (n < 0 && errno != EINTR)
        die("epoll_pwait2: %m");
    for (int i = 0; i < n; i++) {
        session_event(s, ev[i].data.ptr, ev[i].events);
        /* The next request follows its answer at once: a server that had to wait until all answers
         * of this round are judged would idle meanwhile. */
        if (s->start && !s->run->open)
            issue_closed(s, clock_ns());
        session_flush(s);
    }
}

static void earlier(uint64_t *a, uint64_t b)
{
    if (b < *a)
        *a = b;
}

static uint64_t next_wake(const struct session *s, uint64_t now)
{
    uint64_t wake = now + 100 * MS; /* to see the other threads' stop */

    if (s->oldest)
        earlier(&wake, s->oldest->intended + s->timeout);
    if (s->run->open && s->next_due < s->end)
        earlier(&wake, s->next_due);
    if (s->window_state < 2)
        earlier(&wake, s->window_state == 0 ? s->window : s->end);
    if (s->closed.head && (s->queue || (!s->run->open && now < s->end)))
        earlier(&wake, s->closed.head->retry_at);
    return wake;
}

static double seconds(struct timeval a, struct timeval b)
{
    return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_usec - a.tv_usec) / 1e6;
}

static void cross_window(struct session *s, uint64_t now)
{
    struct rusage u;

    if (s->window_state == 0 && now >= s->window) {
        getrusage(RUSAGE_THREAD, &s->usage);
        s->window_state = 1;
    }
    if (s->window_state == 1 && (now >= s->end || (s->exhausted && !s->oldest))) {
        getrusage(RUSAGE_THREAD, &u);
        s->w->tally.user = seconds(s->usage.ru_utime, u.ru_utime);
        s->w->tally.system = seconds(s->usage.ru_stime, u.ru_stime);
        s->window_state = 2;
    }
}

static bool over(const struct session *s, uint64_t now)
{
    if (s->oldest)
        return false;
    if (now >= s->end)
        return true;
    return !s->run->open && (s->exhausted || atomic_load(&s->run->stop));
}

static void loop(struct session *s)
{
    for (;;) {
        uint64_t now = clock_ns();

        expire(s, now);
        if (s->run->open) {
            serve_queue(s, now);
            session_flush(s);
            issue_open(s);
            now = clock_ns();
            session_open_more(s, now);
            serve_queue(s, now);
        } else {
            if (now < s->end && !s->exhausted)
                session_open_more(s, now);
            issue_closed(s, now);
        }
        session_flush(s);
        cross_window(s, now);
        if (over(s, now))
            return;
        wait_events(s, next_wake(s, now));
    }
}

/* Before the start: connections are opened, and none of it is in any result. */
static void prepare(struct session *s)
{
    unsigned n = s->run->open && s->o->on_demand ? START_CONNS : s->nr_conns;
    uint64_t now = clock_ns(), limit = now + s->timeout;

    if (s->per_request)
        return;
    for (unsigned i = 0; i < n && i < s->nr_conns; i++)
        if (s->closed.head->retry_at <= now)
            session_open(s, s->closed.head, now);
    while (s->connecting && clock_ns() < limit)
        wait_events(s, limit);
}

static void set_up(struct session *s, struct worker *w)
{
    struct run *run = w->run;
    const struct load_options *o = run->o;
    unsigned slots = 1;
    cpu_set_t set;

    *s = (struct session){.w = w, .run = run, .o = o, .proto = o->proto, .proto_state.o = o};
    if (w->cpu >= 0) {
        CPU_ZERO(&set);
        CPU_SET(w->cpu, &set);
        if (sched_setaffinity(0, sizeof(set), &set) < 0)
            die("--cpus: this thread cannot run on CPU %d: %m", w->cpu);
    }
    prctl(PR_SET_TIMERSLACK, 1);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s->epoll < 0)
        die("epoll_create1: %m");
    s->scratch = xmalloc(SCRATCH);
    s->per_request = !o->keepalive;
    s->timeout = (run->repeat && o->timeout_ms > REPEAT_MS ? REPEAT_MS : o->timeout_ms) * MS;
    s->end = UINT64_MAX;
    workload_stream_init(&s->workload, run->workload, w->nr);
    s->next_source = w->nr;
    /* Every thread gets its share, and at least one. */
    s->nr_conns = run->connections / o->threads + (w->nr < run->connections % o->threads);
    s->conns = xcalloc(s->nr_conns, sizeof(s->conns[0]));
    s->dirty = xcalloc(s->nr_conns, sizeof(s->dirty[0]));
    while (slots < run->pipeline)
        slots *= 2;
    for (unsigned i = 0; i < s->nr_conns; i++) {
        struct conn *c = &s->conns[i];

        c->fd = -1;
        if (s->proto->datagram) {
            c->nr_slots = slots;
            c->slots = xcalloc(slots, sizeof(c->slots[0]));
        }
        conn_list_move(c, &s->closed, false);
    }
}

static void tear_down(struct session *s)
{
    struct request *r;

    for (unsigned i = 0; i < s->nr_conns; i++) {
        struct conn *c = &s->conns[i];

        if (c->fd >= 0)
            close(c->fd);
        free(c->in.s);
        free(c->out.s);
        free(c->slots);
    }
    while ((r = s->pool)) {
        s->pool = r->next;
        free(r);
    }
    free(s->conns);
    free(s->dirty);
    free(s->scratch);
    free(s->proto_state.reference.s);
    free(s->proto_state.scratch.s);
    close(s->epoll);
}

void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct run *run = w->run;
    struct session s;

    set_up(&s, w);
    prepare(&s);
    pthread_barrier_wait(&run->barrier);
    pthread_barrier_wait(&run->barrier); /* run.c sets the start */
    s.start = run->start;
    s.window = s.start + (uint64_t)(run->warmup * 1e9);
    s.end = run->seconds > 0 ? s.window + (uint64_t)(run->seconds * 1e9) : s.start + NEVER_S * S;
    if (run->open) {
        arrival_init(&s.arrival, run->o->poisson, run->o->rate, w->nr, run->o->threads,
                     run->o->seed);
        s.next_due = s.start + arrival_next(&s.arrival);
    }
    while (clock_ns() < s.start)
        wait_events(&s, s.start);
    loop(&s);
    tear_down(&s);
    return NULL;
}
