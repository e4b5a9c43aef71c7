/* See gen.h. */
#define _GNU_SOURCE
#include "gen.h"

#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define S  UINT64_C(1000000000)
#define MS UINT64_C(1000000)

enum {
    MEMORY_MIB = 128, /* for frames */
    RECEIVE = 64,     /* frames taken from the device at a time */
    AT_ONCE = 256,    /* a poll takes, or (open loop) issues, so many at most: alike, so that one
                       * that is in time with its requests is in time with their answers */
    LOOK_US = 200,    /* while waiting for the guest */
    SERVE_MS = 5,     /* between runs */
    ASK_AGAIN_MS = 100,
    FILL_WINDOW = 64,
    FILL_TIMEOUT_MS = 200,
    FLIGHTS_MIN = 4096,
    FLIGHTS_MAX = 1 << 22,
    NEVER_S = 365 * 86400,
};

volatile bool gen_stop;

static uint64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * S + t.tv_nsec;
}

/* ---- frames out ---- */

static uint32_t queue_len(const struct gen *g)
{
    return g->queue_tail - g->queue_head;
}

/* A frame to be sent, of n bytes that stand in the buffer. False: no room, and the buffer is freed.
 */
static bool enqueue(struct gen *g, struct rte_mbuf *m, size_t n, uint64_t id)
{
    if (queue_len(g) > g->queue_mask) {
        rte_pktmbuf_free(m);
        return false;
    }
    m->data_len = m->pkt_len = n;
    g->queue[g->queue_tail++ & g->queue_mask] =
        (struct waiting){.frame = m, .id = id, .poll = g->counts.polls};
    return true;
}

static void left(struct gen *g, const struct waiting *w, uint64_t now)
{
    struct flight *e;

    if (!w->id || flights_find(&g->flights, w->id, &e) != FLIGHT_LIVE)
        return;
    e->sent = now;
    if (e->recorded && w->poll != g->counts.polls) {
        g->tally.queued++;
        hist_add(&g->tally.wait, now - e->intended);
    }
}

/* The first frame that waits is in the way of all others. One that is longer than the link's (a bad
 * one) may never fit the guest's buffers: it is left out. */
static void leave_out_jumbo(struct gen *g)
{
    struct rte_mbuf *first = g->queue[g->queue_head & g->queue_mask].frame;

    if (first->pkt_len > FRAME_MAX) {
        rte_pktmbuf_free(first);
        g->queue_head++;
    }
}

/* What waits, as far as the device has room. Returns how much has left. */
static unsigned send_queue(struct gen *g)
{
    struct rte_mbuf *frames[BURST_MAX];
    unsigned total = 0, n, sent;

    do {
        n = RTE_MIN(queue_len(g), g->o->burst);
        if (n == 0)
            break;
        for (unsigned i = 0; i < n; i++)
            frames[i] = g->queue[(g->queue_head + i) & g->queue_mask].frame;
        sent = peer_send(&g->peer, frames, n);
        if (sent) {
            uint64_t now = clock_ns();

            for (unsigned i = 0; i < sent; i++)
                left(g, &g->queue[(g->queue_head + i) & g->queue_mask], now);
        }
        g->queue_head += sent;
        g->counts.frames_out += sent;
        g->counts.device_full += sent < n;
        if (sent < n)
            leave_out_jumbo(g);
        total += sent;
    } while (sent == n && total < AT_ONCE);
    return total;
}

static uint32_t next_source(const struct gen *g)
{
    uint32_t a = g->o->source_first + g->nr_sent % g->o->nr_sources;

    return a == g->o->guest_ip ? g->o->ip : a;
}

static void choose_ends(struct gen *g, struct ends *e)
{
    const struct pktgen_options *o = g->o;

    *e = (struct ends){
        .from = next_source(g),
        .from_port = FIRST_PORT + g->nr_sent / o->nr_sources % o->nr_ports,
        .to = o->guest_ip,
        .to_port = o->guest_port,
    };
    memcpy(e->from_mac, o->mac, MAC_LEN);
    memcpy(e->to_mac, g->guest_mac, MAC_LEN);
    g->nr_sent++;
}

static void send_bad(struct gen *g)
{
    struct rte_mbuf *m = peer_frame(&g->peer);
    struct ends ends;

    if (!m)
        return;
    choose_ends(g, &ends);
    g->counts.bad_sent +=
        enqueue(g, m, bad_frame(&g->bad, &ends, rte_pktmbuf_mtod(m, uint8_t *)), 0);
}

static void send_arp(struct gen *g, unsigned op, uint32_t from, const uint8_t *to_mac, uint32_t to)
{
    struct rte_mbuf *m = peer_frame(&g->peer);

    if (m)
        enqueue(g, m, frame_arp(rte_pktmbuf_mtod(m, uint8_t *), op, g->o->mac, from, to_mac, to),
                0);
}

/* One request on its way. NULL: no buffer, or too many are under way. */
static struct flight *issue(struct gen *g, const struct request *r, uint64_t intended)
{
    struct rte_mbuf *m = queue_len(g) > g->queue_mask ? NULL : peer_frame(&g->peer);
    struct flight *e = m ? flights_add(&g->flights) : NULL;
    struct ends ends;
    uint8_t *f;
    size_t n;

    if (!e) {
        rte_pktmbuf_free(m);
        return NULL;
    }
    choose_ends(g, &ends);
    e->intended = intended;
    e->op = r->op;
    e->key = r->key;
    e->version = r->version;
    e->from = ends.from;
    e->from_port = ends.from_port;
    f = rte_pktmbuf_mtod(m, uint8_t *);
    n = frame_udp(f, &ends, e->id, ask_write(&g->ask, e, f + FRAME_HEAD));
    if (g->o->offload) {
        frame_part_sum_udp(f);
        peer_offload(m);
    }
    enqueue(g, m, n, e->id);
    if (g->o->bad > 0 && g->phase == PHASE_RUN && rng_unit(&g->bad.rng) < g->o->bad)
        send_bad(g);
    return e;
}

/* ---- requests' ends ---- */

static void ask_again(struct gen *g, uint64_t key)
{
    if (g->nr_again == g->again_cap) {
        g->again_cap = g->again_cap ? 2 * g->again_cap : 64;
        g->again = xrealloc(g->again, g->again_cap * sizeof(g->again[0]));
    }
    g->again[g->nr_again++] = key;
}

static void lost(struct gen *g, struct flight *e)
{
    if (g->workload && g->phase != PHASE_RUN)
        ask_again(g, e->key);
    if (e->recorded) {
        g->tally.errors[ERROR_TIMEOUT]++;
        g->tally.unsent += e->sent == 0;
    }
    flights_end(&g->flights, e, FLIGHT_TIMED_OUT);
}

static unsigned expire(struct gen *g, uint64_t now, uint64_t timeout)
{
    struct flight *e;
    unsigned n = 0;

    for (; (e = flights_oldest(&g->flights)) && e->intended + timeout <= now; n++)
        lost(g, e);
    return n;
}

static void answered(struct gen *g, struct flight *e, const struct frame *f, uint64_t now)
{
    struct tally *t = &g->tally;
    bool right;
    struct why why;

    if (f->to != e->from || f->to_port != e->from_port)
        right = because(&why, "it came to another port or address than asked");
    else
        right = ask_good(&g->ask, e, f->payload, f->len, &why);
    if (!right && !g->wrong.text[0])
        g->wrong = why;
    if (right)
        tally_in_time(t, now - g->window, g->end - g->window);
    if (e->recorded) {
        t->answered++;
        t->bytes_in += f->len;
        if (right) {
            t->good++;
            hist_add(&t->latency, now - e->intended);
            hist_add(&t->service, now - (e->sent ? e->sent : e->intended));
            t->op[e->op].good++;
            hist_add(&t->op[e->op].latency, now - e->intended);
        } else {
            t->errors[ERROR_WRONG]++;
        }
    }
    flights_end(&g->flights, e, FLIGHT_ANSWERED);
}

/* ---- frames in ---- */

static bool ours(const struct gen *g, uint32_t address)
{
    return address == g->o->ip ||
           (address - g->o->source_first < g->o->nr_sources && address != g->o->guest_ip);
}

static void take_arp(struct gen *g, const struct frame *f)
{
    if (f->from == g->o->guest_ip) {
        memcpy(g->guest_mac, f->from_mac, MAC_LEN);
        g->have_guest = true;
    }
    if (f->op == ARP_REQUEST && ours(g, f->to)) {
        g->counts.arp_asked++;
        send_arp(g, ARP_REPLY, f->to, f->from_mac, f->from);
    }
}

static void take_udp(struct gen *g, const struct frame *f, uint64_t now)
{
    struct gen_counts *c = &g->counts;
    struct flight *e;
    struct why why;
    uint64_t id;

    if (f->from != g->o->guest_ip || f->from_port != g->o->guest_port || !ours(g, f->to) ||
        memcmp(f->to_mac, g->o->mac, MAC_LEN) != 0) {
        c->not_ours++;
        return;
    }
    if (!ask_id(&g->ask, f->payload, f->len, &id)) {
        c->unknown++;
        return;
    }
    if (bad_is_id(id)) {
        c->bad_answered++;
        if (!bad_answer_allowed(&g->bad, id, f->payload, f->len, &why)) {
            c->bad_wrong++;
            if (!g->wrong.text[0])
                g->wrong = why;
        }
        return;
    }
    switch (flights_find(&g->flights, id, &e)) {
    case FLIGHT_LIVE:
        answered(g, e, f, now);
        return;
    case FLIGHT_ANSWERED:
        c->duplicate++;
        break;
    case FLIGHT_TIMED_OUT:
        c->late++;
        break;
    case FLIGHT_UNUSED:
        c->unknown++;
        break;
    }
    g->tally.stray++;
}

static void take(struct gen *g, const struct rte_mbuf *m, uint64_t now)
{
    /* In one piece: buffers hold more than a frame of the link may have. */
    enum frame_kind kind = FRAME_SHORT;
    struct frame f = {0};

    if (m->nb_segs == 1)
        kind = frame_parse(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &f);
    g->counts.in_kind[kind]++;
    if (kind == FRAME_ARP)
        take_arp(g, &f);
    else if (kind == FRAME_UDP)
        take_udp(g, &f, now);
}

static unsigned receive(struct gen *g)
{
    struct rte_mbuf *frames[RECEIVE];
    unsigned total = 0, n;
    uint64_t now;

    do {
        n = peer_receive(&g->peer, frames, RECEIVE);
        if (n == 0)
            break;
        now = clock_ns();
        g->counts.frames_in += n;
        for (unsigned i = 0; i < n; i++)
            take(g, frames[i], now);
        rte_pktmbuf_free_bulk(frames, n);
        total += n;
    } while (n == RECEIVE && total < AT_ONCE);
    return total;
}

/* ---- what is due ---- */

static bool next_request(struct gen *g, struct request *r)
{
    if (g->nr_again) {
        *r = (struct request){
            .op = g->phase == PHASE_FILL ? OP_FILL : OP_READ,
            .key = g->again[--g->nr_again],
            .version = ++g->stream.version,
        };
        return true;
    }
    return workload_next(&g->stream, r);
}

static void record(struct gen *g, struct flight *e, size_t bytes)
{
    e->recorded = true;
    g->tally.sent++;
    g->tally.bytes_out += bytes;
}

static size_t last_payload(const struct gen *g)
{
    const struct waiting *w = &g->queue[(g->queue_tail - 1) & g->queue_mask];

    return w->frame->pkt_len - FRAME_HEAD;
}

static unsigned issue_closed(struct gen *g, uint64_t now, unsigned window)
{
    unsigned n = 0;

    while (g->flights.live < window && n < g->o->burst && now < g->end && !g->exhausted) {
        struct request r;
        struct flight *e;

        if (g->budget == 0 || gen_stop || !next_request(g, &r)) {
            g->exhausted = true;
            break;
        }
        e = issue(g, &r, now);
        if (!e) {
            if (g->phase != PHASE_RUN)
                ask_again(g, r.key);
            g->counts.device_full++;
            break;
        }
        if (g->phase == PHASE_RUN && now >= g->window)
            record(g, e, last_payload(g));
        g->budget--;
        n++;
    }
    return n;
}

static unsigned issue_open(struct gen *g, uint64_t now)
{
    unsigned n = 0;

    if (gen_stop)
        g->end = g->next_due;
    for (; n < AT_ONCE && g->next_due <= now && g->next_due < g->end; n++) {
        uint64_t due = g->next_due;
        bool recorded = due >= g->window;
        struct flight *e = NULL;
        struct request r;

        workload_next(&g->stream, &r);
        g->next_due = g->start + arrival_next(&g->arrival);
        if (queue_len(g) < g->o->queue)
            e = issue(g, &r, due);
        if (recorded)
            hist_add(&g->tally.lag, now - due);
        if (e && recorded) {
            record(g, e, last_payload(g));
        } else if (recorded) { /* as a full queue of a network card */
            g->tally.sent++;
            g->tally.errors[ERROR_TIMEOUT]++;
            g->tally.unsent++;
        }
        now = clock_ns();
    }
    return n;
}

/* ---- a run ---- */

struct usage {
    double cpu;
    uint64_t switched_away;
};

static struct usage usage(void)
{
    struct rusage u;

    getrusage(RUSAGE_THREAD, &u);
    return (struct usage){
        (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
            (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6,
        u.ru_nivcsw,
    };
}

/* Polls until all that was to be issued is, and has ended. Returns when. */
static uint64_t loop(struct gen *g, bool open, unsigned window, uint64_t timeout)
{
    struct gen_counts *c = &g->counts;
    uint64_t now = clock_ns(), last;
    struct usage before = {0}, after;
    int state = 0; /* 1: in the recorded time, 2: behind it */

    for (;;) {
        unsigned work = receive(g);

        work += expire(g, now, timeout);
        work += open ? issue_open(g, now) : issue_closed(g, now, window);
        work += send_queue(g);
        last = now;
        now = clock_ns();
        c->polls++;
        c->busy_polls += work > 0;
        if (state == 1 && work)
            c->busy += (double)(now - last) / 1e9;
        if (state == 0 && now >= g->window) {
            before = usage();
            c->wall = -(double)now / 1e9;
            state = 1;
        }
        /* Open: whatever was due is issued, however late. */
        bool done = open ? g->next_due >= g->end : now >= g->end || g->exhausted;
        bool over = done && !g->flights.live && (!g->nr_again || gen_stop || !g->budget);
        if (state == 1 && (now >= g->end || over)) {
            after = usage();
            c->wall += (double)now / 1e9;
            c->cpu = after.cpu - before.cpu;
            c->switched_away = after.switched_away - before.switched_away;
            state = 2;
        }
        if (over)
            return now;
        if (g->nr_again)
            g->exhausted = false;
    }
}

static void begin(struct gen *g, enum workload_phase phase)
{
    static unsigned epoch;
    const struct pktgen_options *o = g->o;
    double most = o->load.rate * o->load.timeout_ms / 1e3 * 1.25 + o->queue;
    uint32_t waiting = 2 * (o->queue + o->window), size = 1024;

    if (most < 4.0 * o->window)
        most = 4.0 * o->window;
    most = most < FLIGHTS_MIN ? FLIGHTS_MIN : most > FLIGHTS_MAX ? FLIGHTS_MAX : most;
    while (size < waiting)
        size *= 2;
    flights_init(&g->flights, most, epoch++);
    g->queue = xcalloc(size, sizeof(g->queue[0]));
    g->queue_mask = size - 1;
    g->queue_head = g->queue_tail = 0;
    g->phase = phase;
    g->exhausted = false;
    g->budget = UINT64_MAX;
    g->nr_again = 0;
    g->counts = (struct gen_counts){0};
    g->wrong.text[0] = '\0';
    g->ask =
        (struct ask){.echo = o->echo, .echo_len = o->frame - FRAME_HEAD, .sizes = o->load.sizes};
    tally_init(&g->tally, ceil(o->load.seconds));
}

void gen_reset(struct gen *g)
{
    for (; g->queue_head != g->queue_tail; g->queue_head++)
        rte_pktmbuf_free(g->queue[g->queue_head & g->queue_mask].frame);
    free(g->queue);
    g->queue = NULL;
    flights_free(&g->flights);
    tally_free(&g->tally);
    if (g->workload)
        workload_free(g->workload);
    g->workload = NULL;
}

static void begin_workload(struct gen *g, enum workload_phase phase)
{
    begin(g, phase);
    g->workload = workload_new(&g->o->load, phase);
    workload_stream_init(&g->stream, g->workload, 0);
}

double gen_run(struct gen *g, const struct pktgen_options *o)
{
    const struct load_options *l = &o->load;
    bool open = l->rate > 0;
    uint64_t ended;

    g->o = o;
    begin_workload(g, PHASE_RUN);
    g->bad.keys = l->keys;
    g->bad.echo = o->echo;
    g->bad.only = o->bad_kind;
    rng_seed(&g->bad.rng, l->seed, BAD_STREAM);
    if (l->requests)
        g->budget = l->requests;
    g->start = clock_ns();
    g->window = g->start + (l->requests ? 0 : (uint64_t)(l->warmup * 1e9));
    g->end = l->requests ? g->start + NEVER_S * S : g->window + (uint64_t)(l->seconds * 1e9);
    if (open) {
        arrival_init(&g->arrival, l->poisson, l->rate, 0, 1, l->seed);
        g->next_due = g->start + arrival_next(&g->arrival);
    }
    ended = loop(g, open, o->window, l->timeout_ms * MS);
    g->tally.user = g->counts.busy;
    if (l->requests || gen_stop)
        return ended > g->window ? (double)(ended - g->window) / 1e9 : 0;
    return l->seconds;
}

static void fill_phase(struct gen *g, enum workload_phase phase, const char *what)
{
    unsigned window = g->o->window < FILL_WINDOW ? g->o->window : FILL_WINDOW;
    uint64_t timeout =
        g->o->load.timeout_ms < FILL_TIMEOUT_MS ? g->o->load.timeout_ms : FILL_TIMEOUT_MS;

    begin_workload(g, phase);
    g->start = g->window = clock_ns();
    g->end = g->start + NEVER_S * S;
    g->budget = 4 * g->o->load.keys + 10000;
    loop(g, false, window, timeout * MS);
    if (g->wrong.text[0])
        die("--load: %s the store: %s", what, g->wrong.text);
    if (gen_stop)
        die("--load: ended by a signal while %s the store", what);
    if (g->budget == 0)
        die("--load: %s the store: three of four requests are lost", what);
    gen_reset(g);
}

void gen_fill(struct gen *g)
{
    fill_phase(g, PHASE_FILL, "filling");
    if (!g->o->unread)
        fill_phase(g, PHASE_CHECK, "reading back");
}

/* ---- the guest ---- */

static void poll_once(struct gen *g)
{
    receive(g);
    send_queue(g);
    usleep(LOOK_US);
}

static void or_die(uint64_t limit, const char *what, const struct pktgen_options *o)
{
    if (gen_stop)
        die("ended by a signal before the guest answered");
    if (clock_ns() > limit)
        die("%s within %g s (%s, %s)", what, o->wait_s, o->socket, o->load.target_text);
}

void gen_meet(struct gen *g)
{
    const struct pktgen_options *o = g->o;
    uint64_t limit = clock_ns() + (uint64_t)(o->wait_s * 1e9), again = 0, now;
    struct request r = {.op = OP_REQUEST};

    begin(g, PHASE_RUN);
    g->window = g->end = 0; /* nothing is recorded */
    while (!peer_connected(&g->peer)) {
        or_die(limit, "no guest has started its network device", o);
        usleep(1000);
    }
    g->have_guest = false;
    while (!g->have_guest) {
        or_die(limit, "the guest does not answer ARP requests for its address", o);
        now = clock_ns();
        if (now >= again) {
            send_arp(g, ARP_REQUEST, o->ip, NULL, o->guest_ip);
            again = now + ASK_AGAIN_MS * MS;
        }
        poll_once(g);
    }
    again = 0;
    while (g->tally.answered == 0) {
        or_die(limit, "the server does not answer", o);
        now = clock_ns();
        if (now >= again) {
            struct flight *e = issue(g, &r, now);

            if (e)
                e->recorded = true;
            again = now + ASK_AGAIN_MS * MS;
        }
        expire(g, now, o->load.timeout_ms * MS);
        poll_once(g);
    }
    if (g->wrong.text[0])
        die("the server at %s answers wrongly: %s", o->load.target_text, g->wrong.text);
    /* What else was asked may be answered yet: it is nobody's then. */
    for (limit = clock_ns() + S; flights_oldest(&g->flights) && clock_ns() < limit;)
        poll_once(g);
    gen_reset(g);
}

void gen_serve(struct gen *g, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    begin(g, PHASE_RUN);
    while (!gen_stop && poll(&p, 1, SERVE_MS) == 0)
        poll_once(g);
    gen_reset(g);
}

void gen_open(struct gen *g, const struct pktgen_options *o)
{
    struct peer_config c = {.program = "wherry-pktgen",
                            .option = "--socket",
                            .socket = o->socket,
                            .queues = o->queues,
                            .cpu = o->cpu,
                            .huge_pages = o->huge_pages,
                            .frames = 2 * o->queue + 2 * o->window,
                            .frame_max = BAD_FRAME_MAX, /* no frame is in two buffers */
                            .memory_mib = MEMORY_MIB};

    *g = (struct gen){.o = o};
    peer_open(&g->peer, &c);
}

void gen_close(struct gen *g)
{
    free(g->again);
    peer_close(&g->peer);
}
