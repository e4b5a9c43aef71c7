/* What is known of the pages, and what to say when they are otherwise: see farshake.h. */
#include "farshake.h"

#include <stdarg.h>

struct shared *s;
__thread struct thread *me;
unsigned nr_threads = 4, arena_pages, first_of_brawl;
uint64_t seed, inverse;
char *heap;
int file;

#define OP_NAME(name, weight) #name,
const char *const op_name[] = {OPERATIONS(OP_NAME)};

/* ---- Contents ---- */

void describe(const char *what, uint64_t v)
{
    uint64_t x = (v ^ v >> 32) * inverse;

    printf("  %s %016lx: ", what, v);
    if (v == 0)
        printf("zero\n");
    else if (x >> 9 <= s->numbers)
        printf("word %lu of content %lu\n", x & 511, x >> 9);
    else if (x >> 9 >= BRAWL && x >> 9 < BRAWL + BRAWL_PAGES)
        printf("word %lu of page %lu of the brawl\n", x & 511, (x >> 9) - BRAWL);
    else
        printf("no content's\n");
}

char *address(unsigned page)
{
    return page < arena_pages ? ARENA + page * PAGE : heap + (page - arena_pages) * PAGE;
}

unsigned page_at(uintptr_t a)
{
    if (a - (uintptr_t)ARENA < arena_pages * PAGE)
        return (unsigned)((a - (uintptr_t)ARENA) / PAGE);
    if (a - (uintptr_t)heap < HEAP_PAGES * PAGE)
        return arena_pages + (unsigned)((a - (uintptr_t)heap) / PAGE);
    return s->nr_pages;
}

static void show_page(unsigned i)
{
    static const char *const states[] = {"unmapped", "none", "read", "write"};
    const struct page *p = &s->page[i];

    printf("page %u at %p: %s%s%s, content %u, mmap %u, file page %d\n", i, (void *)address(i),
           states[p->state], p->flags & FREED ? ", freed" : "", p->flags & LOCKED ? ", locked" : "",
           p->number, p->map, p->file - 1);
    for (unsigned k = 0; k < p->nr_overs; k++)
        printf("  word %u is of content %u\n", p->over[k].word, p->over[k].number);
    for (unsigned k = EVENTS; k > 0; k--) {
        const struct event *e = &p->event[(p->nr_events + EVENTS - k) % EVENTS];

        if (e->operation)
            printf("  operation %u, thread %u: %s; content %u%s\n", e->operation, e->thread,
                   op_name[e->kind], e->content, p->number > 65535 ? " modulo 65536" : "");
    }
}

/* The end: something is wrong with a page. */
/* What is known: of the page, its neighbours, and who is at work. The first one that is wrong stops
 * here once; others wait for its end, or go on. */
static void show_all(unsigned page)
{
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    static __thread bool shown;

    if (shown)
        return;
    pthread_mutex_lock(&once);
    shown = true;
    for (unsigned t = 0; t < nr_threads; t++)
        for (unsigned k = 0; k < 2; k++) {
            const struct claim *c = &s->thread[t].claim[k];

            if (c->a < c->b)
                printf("thread %u: %s, has claimed pages %u to %u%s\n", t,
                       op_name[s->thread[t].kind], c->a, c->b - 1, c->alone ? " alone" : "");
        }
    for (unsigned i = page - (page > 0); i <= page + 1 && page < s->nr_pages && i < s->nr_pages;
         i++)
        show_page(i);
}

void wrong(unsigned page, const char *format, ...)
{
    int error = errno;
    va_list ap;

    show_all(page);
    printf("farshake: wrong: ");
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    printf(" (errno %d)\n  page %u, operation %u of seed %lu, %s, thread %u of %u\n", error, page,
           me->operation, seed, op_name[me->kind], me->id, nr_threads);
    fflush(stdout);
    _exit(1);
}

void wrong_word(unsigned page, unsigned word, uint64_t is, uint64_t should)
{
    const uint64_t *now = (const uint64_t *)address(page);
    uint64_t number = ((is ^ is >> 32) * inverse) >> 9;
    unsigned zeroes = 0, differ = 0, others = 0;

    show_all(page);
    for (unsigned i = 0; i < s->nr_pages && is; i++)
        if (s->page[i].number == number && i != page && others++ < 3) {
            printf("its word is of the content of\n");
            show_page(i);
        }
    for (unsigned w = 0; w < WORDS; w++) {
        zeroes += now[w] == 0;
        differ += now[w] != value(s->page[page].number, w);
    }
    describe("is       ", is);
    describe("should be", should);
    describe("looked at again, it is", now[word]);
    printf("  %u words of the page are zero, %u are not of its content\n", zeroes, differ);
    wrong(page, "word %u at %p", word, (const void *)(now + word));
}

/* ---- Chance ---- */

uint64_t random64(void)
{
    me->random ^= me->random >> 12;
    me->random ^= me->random << 25;
    me->random ^= me->random >> 27;
    return me->random * 2685821657736338717ul;
}

unsigned below(unsigned n)
{
    return (unsigned)((random64() >> 32) * n >> 32);
}

/* Short mostly. */
unsigned length(unsigned max)
{
    unsigned bits = below(10);

    return 1 + below(bits < 9 ? (1u << bits) < max ? 1u << bits : max : max);
}

unsigned any_page(void)
{
    unsigned n = first_of_brawl + HEAP_PAGES, page;

    if (below(2))
        page = (s->hot + below(64)) % n;
    else
        page = below(n);
    return page < first_of_brawl ? page : page - first_of_brawl + arena_pages;
}

/* A run within the arena, or within the heap. */
void any_run(unsigned max, bool arena_only, unsigned *a, unsigned *b)
{
    do
        *a = any_page();
    while (arena_only && *a >= arena_pages);
    *b = *a + length(max);
    if (*a<first_of_brawl && * b> first_of_brawl)
        *b = first_of_brawl;
    if (*b > s->nr_pages)
        *b = s->nr_pages;
}

/* ---- Claims ---- */

static bool conflict(unsigned a, unsigned b, bool alone)
{
    for (unsigned t = 0; t < nr_threads; t++)
        for (unsigned k = 0; k < 2; k++) {
            const struct claim *c = &s->thread[t].claim[k];

            if (&s->thread[t] != me && a < c->b && c->a < b && (alone || c->alone))
                return true;
        }
    return false;
}

/* One or two runs of pages, both or none: no thread waits with something claimed. */
void claim2(unsigned a, unsigned b, unsigned c, unsigned d, bool alone)
{
    pthread_mutex_lock(&s->mutex);
    while (conflict(a, b, alone) || conflict(c, d, alone))
        pthread_cond_wait(&s->released, &s->mutex);
    me->claim[0] = (struct claim){a, b, alone};
    me->claim[1] = (struct claim){c, d, alone};
    pthread_mutex_unlock(&s->mutex);
}

void claim(unsigned a, unsigned b, bool alone)
{
    claim2(a, b, 0, 0, alone);
}

void release(void)
{
    pthread_mutex_lock(&s->mutex);
    me->claim[0] = me->claim[1] = (struct claim){0, 0, false};
    pthread_cond_broadcast(&s->released);
    pthread_mutex_unlock(&s->mutex);
}

/* ---- Faults ---- */

void on_fault(int sig, siginfo_t *info, void *context)
{
    (void)context;
    if (!me || !me->expecting || sig != SIGSEGV) {
        if (me)
            wrong(page_at((uintptr_t)info->si_addr), "signal %d, code %d, at %p", sig,
                  info->si_code, info->si_addr);
        _exit(2);
    }
    me->expecting = 0;
    me->got_code = info->si_code;
    me->got_at = (uintptr_t)info->si_addr;
    siglongjmp(me->escape, 1);
}

/* si_code of the fault, or 0. */
int try_read(const volatile uint64_t *p, uint64_t *v)
{
    me->got_code = 0;
    if (!sigsetjmp(me->escape, 0)) {
        me->expecting = 1;
        *v = *p;
        me->expecting = 0;
    }
    return me->got_code;
}

int try_write(volatile uint64_t *p, uint64_t v)
{
    me->got_code = 0;
    if (!sigsetjmp(me->escape, 0)) {
        me->expecting = 1;
        *p = v;
        me->expecting = 0;
    }
    return me->got_code;
}

/* ---- Pages and the model. The pages are claimed ---- */

void note(unsigned a, unsigned b)
{
    for (unsigned i = a; i < b; i++) {
        struct page *p = &s->page[i];

        p->event[p->nr_events % EVENTS] =
            (struct event){me->operation, (uint8_t)me->kind, (uint8_t)me->id, (uint16_t)p->number};
        p->nr_events = (uint8_t)((p->nr_events + 1) % (EVENTS * 40));
    }
}

uint32_t new_number(void)
{
    return __atomic_add_fetch(&s->numbers, 1, __ATOMIC_RELAXED);
}

void set_content(unsigned i, uint32_t number)
{
    s->page[i].number = number;
    s->page[i].nr_overs = 0;
    s->page[i].flags &= (uint8_t)~FREED;
}

uint64_t expected(const struct page *p, unsigned word)
{
    for (unsigned k = 0; k < p->nr_overs; k++)
        if (p->over[k].word == word)
            return value(p->over[k].number, word);
    return value(p->number, word);
}

/* The first word of a copy of the page that is not as it should be; WORDS: none. */
unsigned compare(const struct page *p, const uint64_t *copy)
{
    for (unsigned w = 0; w < WORDS; w++)
        if (copy[w] != value(p->number, w) && copy[w] != expected(p, w))
            return w;
    for (unsigned k = 0; k < p->nr_overs; k++)
        if (copy[p->over[k].word] != value(p->over[k].number, p->over[k].word))
            return p->over[k].word;
    return WORDS;
}

/* Claimed alone: the whole page. After MADV_FREE it may be zero, but for words written since. */
void verify_copy(unsigned i, const uint64_t *copy)
{
    struct page *p = &s->page[i];
    unsigned w = compare(p, copy);

    if (w < WORDS && p->flags & FREED) {
        struct page zero = *p;

        zero.number = 0;
        zero.nr_overs = 0;
        w = compare(&zero, copy);
        if (w == WORDS)
            set_content(i, 0);
    }
    if (w < WORDS)
        wrong_word(i, w, copy[w], expected(p, w));
    me->verified++;
}

void verify_page(unsigned i)
{
    verify_copy(i, (const uint64_t *)address(i));
}

/* Claimed with others: the words that are ours. */
void verify_ours(unsigned i)
{
    const volatile uint64_t *words = (const volatile uint64_t *)address(i);
    struct page p;

    pthread_mutex_lock(&s->mutex);
    p = s->page[i];
    pthread_mutex_unlock(&s->mutex);
    for (unsigned w = me->id; w < WORDS; w += nr_threads) {
        uint64_t is = words[w];

        if (is != value(p.number, w) || p.nr_overs)
            if (is != expected(&p, w))
                wrong_word(i, w, is, expected(&p, w));
    }
    me->verified++;
}

/* Brings a freed page, that is writable or readable, to where the model knows it. */
void settle(unsigned i)
{
    if (s->page[i].flags & FREED && s->page[i].state >= READ)
        verify_page(i);
}

bool all(unsigned a, unsigned b, enum state least)
{
    for (unsigned i = a; i < b; i++)
        if (s->page[i].state < least)
            return false;
    return true;
}

static bool any_flag(unsigned a, unsigned b, unsigned flag)
{
    for (unsigned i = a; i < b; i++)
        if (s->page[i].flags & flag)
            return true;
    return false;
}

/* From a on, so many pages are one mapping with the same rights and flags. */
unsigned same_mapping(unsigned a, unsigned b)
{
    const struct page *p = &s->page[a];
    unsigned i = a;

    while (i < b && s->page[i].state == p->state && s->page[i].map == p->map &&
           (s->page[i].flags & LOCKED) == (p->flags & LOCKED))
        i++;
    return i;
}

void unlock_pages(unsigned a, unsigned b)
{
    if (!any_flag(a, b, LOCKED))
        return;
    for (unsigned i = a; i < b; i++) { /* holes would end the call */
        if (!(s->page[i].flags & LOCKED))
            continue;
        if (munlock(address(i), PAGE) != 0)
            wrong(i, "munlock");
        s->page[i].flags &= (uint8_t)~LOCKED;
        __atomic_fetch_sub(&s->locked, 1, __ATOMIC_RELAXED);
    }
}

void forget_pages(unsigned a, unsigned b)
{
    for (unsigned i = a; i < b; i++) {
        if (s->page[i].flags & LOCKED)
            __atomic_fetch_sub(&s->locked, 1, __ATOMIC_RELAXED);
        s->page[i].flags = 0;
        s->page[i].state = UNMAPPED;
        set_content(i, 0);
    }
}

void new_pages(unsigned a, unsigned b, enum state state, unsigned from_file)
{
    uint32_t map = __atomic_add_fetch(&s->maps, 1, __ATOMIC_RELAXED);

    forget_pages(a, b);
    for (unsigned i = a; i < b; i++) {
        struct page *p = &s->page[i];

        p->state = (uint8_t)state;
        p->map = map;
        p->file = (uint16_t)(from_file ? from_file + i - a : 0);
        set_content(i, p->file);
    }
}

const int prots[] = {0, PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};

enum state any_state(void)
{
    unsigned n = below(100);

    return n < 12 ? NONE : n < 25 ? READ : WRITE;
}

void refused(void)
{
    __atomic_fetch_add(&s->refused[me->kind], 1, __ATOMIC_RELAXED);
}

void verify_word(unsigned i, unsigned word)
{
    uint64_t is = ((const volatile uint64_t *)address(i))[word], should;

    pthread_mutex_lock(&s->mutex);
    should = expected(&s->page[i], word);
    pthread_mutex_unlock(&s->mutex);
    if (is != should)
        wrong_word(i, word, is, should);
}

void check_no_access(unsigned i)
{
    const struct page *p = &s->page[i];
    volatile uint64_t *word = (volatile uint64_t *)address(i) + below(WORDS);
    int code = p->state == UNMAPPED ? SEGV_MAPERR : SEGV_ACCERR, got;
    uint64_t v = 0;

    if (p->state == WRITE)
        return;
    got = p->state == READ || below(2) ? try_write(word, v) : try_read(word, &v);
    if (got != code || me->got_at != (uintptr_t)word)
        wrong(i, "fault at %p: code %d at %p, not %d", (const void *)word, got, (void *)me->got_at,
              code);
    if (p->state < READ && (write(me->pipe[1], (const void *)word, 8) != -1 || errno != EFAULT))
        wrong(i, "write() from %p, which is no memory", (const void *)word);
}

/* False: the list is full. */
bool list_word(struct page *p, unsigned word, uint32_t number)
{
    unsigned k = 0;

    while (k < p->nr_overs && p->over[k].word != word)
        k++;
    if (k == OVERS)
        return false;
    p->over[k] = (struct over){number, (uint16_t)word};
    if (k == p->nr_overs)
        p->nr_overs++;
    return true;
}

void fill_page(unsigned i)
{
    volatile uint64_t *words = (volatile uint64_t *)address(i);

    set_content(i, new_number());
    for (unsigned w = 0; w < WORDS; w++)
        words[w] = value(s->page[i].number, w);
}
