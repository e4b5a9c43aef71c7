/* See fault.h. */
#define _GNU_SOURCE
#include "fault.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    HELD = 4096,     /* packets that wait, each way; more are lost */
    LATE_NS = 50000, /* a packet out of its order comes so much later, up to LATE_SPREAD times */
    LATE_SPREAD = 20,
};

bool fault_parse(struct fault_spec *s, const char *text, struct why *why)
{
    const struct {
        const char *name;
        double *to;
    } shares[] = {{"drop", &s->drop},       {"dup", &s->dup},     {"reorder", &s->reorder},
                  {"corrupt", &s->corrupt}, {"stale", &s->stale}, {"forge", &s->forge}};
    char *copy = xstrdup(text), *rest = copy, *word, *value, *end;
    bool good = true;

    *s = (struct fault_spec){0};
    while (good && (word = strsep(&rest, ","))) {
        double x;

        value = strchr(word, '=');
        if (!value) {
            good = because(why, "NAME=NUMBER expected, not %s", word);
            break;
        }
        *value++ = '\0';
        x = strtod(value, &end);
        good = false;
        if (*value < '0' || *value > '9' || *end || !isfinite(x)) {
            because(why, "%s is not a number", value);
        } else if (strcmp(word, "delay") == 0 && x <= 1e7) {
            s->delay = x * 1000;
            good = true;
        } else {
            for (size_t i = 0; i < ARRAY_LEN(shares); i++)
                if (strcmp(word, shares[i].name) == 0 && x <= 1) {
                    *shares[i].to = x;
                    good = true;
                }
            if (!good)
                because(why,
                        "drop, dup, reorder, corrupt, stale, forge: 0 to 1; delay: us, up to 10 s");
        }
    }
    free(copy);
    return good;
}

void fault_init(struct fault *f, const struct fault_spec *spec, uint64_t seed, struct memory *m)
{
    *f = (struct fault){.spec = *spec, .memory = m};
    rng_seed(&f->rng, seed, 0);
    for (unsigned i = 0; spec->stale > 0 && i < m->nr_regions; i++) {
        f->shadow[i] = mmap(NULL, m->regions[i].spec.size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (f->shadow[i] == MAP_FAILED)
            die("--fault stale: no memory for the old bytes: %s", strerror(errno));
    }
}

void fault_close(struct fault *f)
{
    for (unsigned i = 0; i < MEMORY_REGIONS; i++)
        if (f->shadow[i])
            munmap(f->shadow[i], f->memory->regions[i].spec.size);
}

static bool chance(struct fault *f, double share)
{
    return share > 0 && rng_unit(&f->rng) < share;
}

/* ---- a node that lies ---- */

static uint8_t *shadow_of(struct fault *f, const uint8_t *at)
{
    for (unsigned i = 0; i < f->memory->nr_regions; i++) {
        const struct region *r = &f->memory->regions[i];

        if (f->shadow[i] && at >= r->base && at < r->base + r->spec.size)
            return f->shadow[i] + (at - r->base);
    }
    return NULL;
}

void fault_before_write(struct fault *f, const uint8_t *at, size_t n)
{
    uint8_t *shadow = shadow_of(f, at);

    if (shadow)
        memcpy(shadow, at, n);
}

const uint8_t *fault_source(struct fault *f, const uint8_t *at, size_t n)
{
    const uint8_t *shadow = chance(f, f->spec.stale) ? shadow_of(f, at) : NULL;

    if (!shadow)
        return at;
    f->counts.stale += memcmp(shadow, at, n) != 0; /* the same bytes are no lie */
    return shadow;
}

bool fault_forge(struct fault *f, uint8_t *payload, size_t n)
{
    uint64_t bit;

    if (!chance(f, f->spec.forge))
        return false;
    bit = rng_below(&f->rng, 8 * n);
    payload[bit / 8] ^= 1 << bit % 8;
    f->counts.forged++;
    return true;
}

/* ---- a network that fails ---- */

struct held {
    uint64_t due;
    unsigned link;
    size_t len;
    uint8_t *data;
};

/* Packets by their time, those of the same time as they came. */
struct queue {
    struct held held[HELD];
    unsigned nr;
};

struct faulty {
    struct transport t; /* first */
    struct transport *inner;
    struct fault *fault;
    struct queue in, out;
    struct packet given[TRANSPORT_BURST]; /* copies, freed at the next call */
    unsigned nr_given;
    uint8_t room[TRANSPORT_PACKET];
};

static void hold(struct fault *f, struct queue *q, uint64_t due, const struct packet *p)
{
    unsigned i = q->nr;
    struct held h = {due, p->link, p->len, NULL};

    if (q->nr == HELD) {
        f->counts.dropped++;
        return;
    }
    h.data = xmalloc(p->len);
    memcpy(h.data, p->data, p->len);
    for (; i > 0 && q->held[i - 1].due > due; i--)
        q->held[i] = q->held[i - 1];
    q->held[i] = h;
    q->nr++;
    if (p->len > ROCE_FRONT && chance(f, f->spec.corrupt)) {
        uint64_t bit = rng_below(&f->rng, 8 * (p->len - ROCE_FRONT));

        h.data[ROCE_FRONT + bit / 8] ^= 1 << bit % 8;
        f->counts.corrupted++;
    }
}

static struct held release(struct queue *q)
{
    struct held h = q->held[0];

    memmove(q->held, q->held + 1, --q->nr * sizeof(h));
    return h;
}

/* What becomes of one packet: none, one or two in the queue. */
static void suffer(struct fault *f, struct queue *q, uint64_t delay, struct packet p)
{
    unsigned copies = 1 + chance(f, f->spec.dup);

    if (chance(f, f->spec.drop)) {
        f->counts.dropped++;
        return;
    }
    f->counts.repeated += copies - 1;
    for (unsigned i = 0; i < copies; i++) {
        uint64_t due = now_ns() + delay;

        if (chance(f, f->spec.reorder)) {
            due += LATE_NS * (1 + rng_below(&f->rng, LATE_SPREAD));
            f->counts.reordered++;
        }
        hold(f, q, due, &p);
    }
}

static unsigned faulty_receive(struct transport *t, struct packet *burst)
{
    struct faulty *y = (struct faulty *)t;
    struct packet real[TRANSPORT_BURST];
    unsigned n;
    uint64_t now;

    while (y->nr_given)
        free(y->given[--y->nr_given].data);
    n = y->inner->ops->receive(y->inner, real);
    for (unsigned i = 0; i < n; i++)
        suffer(y->fault, &y->in, 0, real[i]);
    now = now_ns();
    while (y->nr_given < TRANSPORT_BURST && y->in.nr && y->in.held[0].due <= now) {
        struct held h = release(&y->in);

        y->given[y->nr_given++] = (struct packet){h.data, h.len, h.link};
    }
    memcpy(burst, y->given, y->nr_given * sizeof(*burst));
    return y->nr_given;
}

static uint8_t *faulty_room(struct transport *t, unsigned link)
{
    (void)link;
    return ((struct faulty *)t)->room;
}

static void faulty_send(struct transport *t, unsigned link, size_t len)
{
    struct faulty *y = (struct faulty *)t;

    suffer(y->fault, &y->out, y->fault->spec.delay, (struct packet){y->room, len, link});
}

static void faulty_flush(struct transport *t)
{
    struct faulty *y = (struct faulty *)t;
    uint64_t now = now_ns();

    while (y->out.nr && y->out.held[0].due <= now) {
        uint8_t *room = y->inner->ops->room(y->inner, y->out.held[0].link);
        struct held h;

        if (!room)
            break;
        h = release(&y->out);
        memcpy(room, h.data, h.len);
        y->inner->ops->send(y->inner, h.link, h.len);
        free(h.data);
    }
    y->inner->ops->flush(y->inner);
    t->counts = y->inner->counts;
}

static unsigned faulty_path_mtu(struct transport *t, uint32_t address)
{
    struct faulty *y = (struct faulty *)t;

    return y->inner->ops->path_mtu(y->inner, address);
}

static uint64_t faulty_deadline(struct transport *t)
{
    struct faulty *y = (struct faulty *)t;
    uint64_t due = UINT64_MAX;

    if (y->inner->ops->deadline)
        due = y->inner->ops->deadline(y->inner);
    if (y->in.nr && y->in.held[0].due < due)
        due = y->in.held[0].due;
    if (y->out.nr && y->out.held[0].due < due)
        due = y->out.held[0].due;
    return due;
}

static void faulty_close(struct transport *t)
{
    struct faulty *y = (struct faulty *)t;

    while (y->nr_given)
        free(y->given[--y->nr_given].data);
    while (y->in.nr)
        free(release(&y->in).data);
    while (y->out.nr)
        free(release(&y->out).data);
    y->inner->ops->close(y->inner);
    free(y);
}

static const struct transport_ops faulty_ops = {
    .name = "faulty",
    .receive = faulty_receive,
    .room = faulty_room,
    .send = faulty_send,
    .flush = faulty_flush,
    .path_mtu = faulty_path_mtu,
    .deadline = faulty_deadline,
    .close = faulty_close,
};

struct transport *transport_faulty(struct transport *inner, struct fault *f)
{
    struct faulty *y = xcalloc(1, sizeof(*y));

    y->t = (struct transport){.ops = &faulty_ops,
                              .ethernet = inner->ethernet,
                              .fd = inner->fd,
                              .address = inner->address};
    y->inner = inner;
    y->fault = f;
    return &y->t;
}
