/* Operations on mappings: see farshake.h. */
#include "farshake.h"

/* What is about to be changed may be on its way, out or in. */
static void stir(unsigned a, unsigned b)
{
    unsigned n = below(4);

    if (n < 2)
        madvise(address(a), (b - a) * PAGE, n ? MADV_PAGEOUT : MADV_WILLNEED);
}

void map_at(unsigned a, unsigned b, int flags, int fd, unsigned from_page)
{
    enum state state = any_state();
    bool fill = below(4);
    void *p;

    flags |= MAP_PRIVATE | (below(4) ? 0 : MAP_POPULATE) | (below(4) ? 0 : MAP_NORESERVE);
    p = mmap(address(a), (b - a) * PAGE, prots[state], flags, fd, (off_t)(from_page * PAGE));
    if (flags & MAP_FIXED_NOREPLACE && !all(a, b, UNMAPPED))
        abort();
    if (p != address(a))
        wrong(a, "mmap() of %u pages: %p", b - a, p);
    new_pages(a, b, state, fd >= 0 ? from_page + 1 : 0);
    for (unsigned i = a; fill && state == WRITE && i < b; i++)
        fill_page(i);
    note(a, b);
}

void op_map(void)
{
    unsigned a, b;

    any_run(RUN_MAX, true, &a, &b);
    claim(a, b, true);
    stir(a, b);
    map_at(a, b, MAP_FIXED | MAP_ANONYMOUS, -1, 0);
    release();
}

void op_map_file(void)
{
    unsigned a, b, from = below(FILE_PAGES - 64);

    any_run(64, true, &a, &b);
    claim(a, b, true);
    map_at(a, b, MAP_FIXED, file, from);
    release();
}

/* A mapping that the kernel places, grown, and then moved here. */
void op_map_move(void)
{
    unsigned a, b, n;
    uint64_t *p, *q;

    any_run(64, true, &a, &b);
    n = b - a;
    p = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        wrong(a, "mmap() of %u pages", n);
    for (unsigned i = 0; i < n; i++)
        p[i * WORDS] = n;
    q = mremap(p, n * PAGE, 2 * n * PAGE, MREMAP_MAYMOVE);
    if (q == MAP_FAILED || page_at((uintptr_t)q) < s->nr_pages)
        wrong(a, "mremap() to a place for %u pages: %p", 2 * n, (void *)q);
    for (unsigned i = 0; i < 2 * n; i++)
        if (q[i * WORDS] != (i < n ? n : 0))
            wrong(a, "page %u of %u moved to %p has %lx", i, n, (void *)q, q[i * WORDS]);
    claim(a, b, true);
    p = mremap(q, 2 * n * PAGE, n * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, address(a));
    if (p != (uint64_t *)address(a))
        wrong(a, "mremap() of %u pages to here", n);
    new_pages(a, b, WRITE, 0);
    for (unsigned i = a; i < b; i++)
        list_word(&s->page[i], 0, 0), ((volatile uint64_t *)address(i))[0] = 0;
    note(a, b);
    release();
}

void op_unmap(void)
{
    unsigned a, b;

    any_run(64, true, &a, &b);
    claim(a, b, true);
    stir(a, b);
    if (munmap(address(a), (b - a) * PAGE) != 0)
        wrong(a, "munmap() of %u pages", b - a);
    forget_pages(a, b);
    note(a, b);
    release();
}

static bool any_mapped(unsigned a, unsigned b)
{
    for (unsigned i = a; i < b; i++)
        if (s->page[i].state != UNMAPPED)
            return true;
    return false;
}

void op_no_replace(void)
{
    unsigned a, b;

    any_run(64, true, &a, &b);
    claim(a, b, true);
    if (!any_mapped(a, b))
        map_at(a, b, MAP_FIXED_NOREPLACE | MAP_ANONYMOUS, -1, 0);
    else if (mmap(address(a), (b - a) * PAGE, PROT_READ,
                  MAP_FIXED_NOREPLACE | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED ||
             errno != EEXIST)
        wrong(a, "mmap() of %u pages that are taken", b - a);
    release();
}

/* Mapped pages from somewhere on, without locked ones if so asked; none perhaps. */
static void claim_mapped(unsigned max, bool alone, bool unlocked, unsigned *a, unsigned *b)
{
    unsigned i;

    any_run(max, false, a, b);
    claim(*a, *b, alone);
    for (i = *a; i < *b; i++)
        if (s->page[i].state == UNMAPPED || (unlocked && s->page[i].flags & LOCKED))
            break;
    *b = i;
    if (alone)
        stir(*a, *b);
}

void op_protect(void)
{
    enum state state = any_state();
    unsigned a, b;

    claim_mapped(256, true, false, &a, &b);
    if (mprotect(address(a), (b - a) * PAGE, prots[state]) != 0)
        wrong(a, "mprotect() of %u pages", b - a);
    for (unsigned i = a; i < b; i++)
        s->page[i].state = (uint8_t)state;
    note(a, b);
    release();
}

void op_dontneed(void)
{
    unsigned a, b;

    claim_mapped(64, true, true, &a, &b);
    if (a == b && s->page[a].flags & LOCKED) {
        if (madvise(address(a), PAGE, MADV_DONTNEED) != -1 || errno != EINVAL)
            wrong(a, "MADV_DONTNEED of a locked page");
    } else if (madvise(address(a), (b - a) * PAGE, MADV_DONTNEED) != 0) {
        wrong(a, "MADV_DONTNEED of %u pages", b - a);
    }
    for (unsigned i = a; i < b; i++)
        set_content(i, s->page[i].file);
    note(a, b);
    release();
}

void op_free(void)
{
    unsigned a, b, i;

    claim_mapped(64, true, true, &a, &b);
    for (i = a; i < b && s->page[i].file == 0; i++)
        ;
    b = i;
    if (a < b && madvise(address(a), (b - a) * PAGE, MADV_FREE) != 0)
        wrong(a, "MADV_FREE of %u pages", b - a);
    for (i = a; i < b; i++)
        if (s->page[i].number || s->page[i].nr_overs)
            s->page[i].flags |= FREED;
    note(a, b);
    release();
}

static const uint8_t advices[] = {MADV_WILLNEED,      MADV_COLD,          MADV_PAGEOUT,
                                  MADV_HUGEPAGE,      MADV_PAGEOUT,       MADV_NOHUGEPAGE,
                                  MADV_POPULATE_READ, MADV_POPULATE_WRITE};

void probe_advices(void)
{
    char *probe = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (unsigned k = 0; k < sizeof(advices); k++)
        s->supported[advices[k]] = madvise(probe, PAGE, advices[k]) == 0;
    munmap(probe, PAGE);
}

void op_advise(void)
{
    int advice = advices[below(sizeof(advices))];
    unsigned a, b;

    claim_mapped(RUN_MAX, false, true, &a, &b);
    if ((advice != MADV_POPULATE_READ || all(a, b, READ)) &&
        (advice != MADV_POPULATE_WRITE || all(a, b, WRITE)) &&
        madvise(address(a), (b - a) * PAGE, advice) != 0 && s->supported[advice])
        wrong(a, "madvise(%d) of %u pages", advice, b - a);
    release();
}

/* In the middle of what others do. */
void op_advise_any(void)
{
    int advice = advices[below(sizeof(advices))];
    unsigned a, b;

    any_run(RUN_MAX, false, &a, &b);
    if (madvise(address(a), (b - a) * PAGE, advice) == 0)
        return;
    refused();
    if (errno != EINVAL && errno != ENOMEM && errno != EFAULT && errno != EBADF && errno != EAGAIN)
        wrong(a, "madvise(%d) of %u pages", advice, b - a);
}

void op_lock(void)
{
    unsigned a, b;

    claim_mapped(16, true, true, &a, &b);
    if (a < b && all(a, b, READ) && s->locked + (b - a) <= LOCKED_MAX) {
        for (unsigned i = a; i < b; i++)
            settle(i);
        stir(a, b);
        if (mlock(address(a), (b - a) * PAGE) == 0) {
            for (unsigned i = a; i < b; i++)
                s->page[i].flags |= LOCKED;
            __atomic_fetch_add(&s->locked, b - a, __ATOMIC_RELAXED);
        } else {
            refused(); /* RLIMIT_MEMLOCK; it may be marked as locked all the same */
            munlock(address(a), (b - a) * PAGE);
        }
        note(a, b);
    }
    release();
}

void op_unlock(void)
{
    unsigned a, b;

    any_run(256, false, &a, &b);
    claim(a, b, true);
    unlock_pages(a, b);
    release();
}

/* ---- mremap() and brk() ---- */

/* The pages of a mapping from somewhere on, unlocked, and another run that is apart, with more
 * room; both alone. */
static bool claim_for_move(unsigned more, unsigned *a, unsigned *b, unsigned *to)
{
    unsigned c, d;

    any_run(RUN_MAX, true, a, b);
    do {
        *to = below(first_of_brawl);
        d = *to + (*b - *a) + more;
    } while (d > first_of_brawl || (*to < *b && *a < d));
    claim2(*a, *b, *to, d, true);
    if (s->page[*a].state == UNMAPPED)
        return false;
    c = same_mapping(*a, *b);
    *b = c;
    unlock_pages(*a, *b);
    stir(*a, *b);
    return true;
}

static void copy_pages(unsigned a, unsigned to, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        s->page[to + i] = s->page[a + i];
}

/* To another place, of the same size, larger or smaller. */
void op_move(void)
{
    unsigned a, b, to, n, m;

    if (!claim_for_move(64, &a, &b, &to))
        return release();
    n = m = b - a;
    if (below(3) == 0 && s->page[a].file == 0)
        m += below(64);
    else if (below(2) == 0)
        m -= below(n);
    if (mremap(address(a), n * PAGE, m * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, address(to)) ==
        address(to)) {
        enum state state = s->page[a].state;

        forget_pages(to, to + m);
        copy_pages(a, to, n < m ? n : m);
        forget_pages(a, b);
        if (m > n) {
            new_pages(to + n, to + m, state, 0);
            for (unsigned i = to + n; i < to + m; i++)
                s->page[i].map = s->page[to].map;
        }
    } else {
        /* Advice to a part has made several mappings of it. What was to be unmapped on the way may
         * be, or not. */
        refused();
        if (errno != EFAULT || munmap(address(to), m * PAGE) != 0 ||
            (m < n && munmap(address(a + m), (n - m) * PAGE) != 0))
            wrong(a, "mremap() of %u pages to %u at %u", n, m, to);
        forget_pages(to, to + m);
        if (m < n)
            forget_pages(a + m, b);
    }
    note(to, to + m);
    note(a, b);
    release();
}

void op_grow(void)
{
    unsigned a, b, e, more = 1 + below(32);
    bool taken;
    char *p;

    any_run(64, true, &a, &b);
    if (b + more > first_of_brawl)
        return;
    claim(a, b + more, true);
    e = same_mapping(a, b);
    if (s->page[a].state == UNMAPPED || s->page[a].file)
        return release();
    unlock_pages(a, e);
    taken = any_mapped(e, e + more);
    p = mremap(address(a), (e - a) * PAGE, (e - a + more) * PAGE, 0);
    if (p == address(a) && !taken) {
        new_pages(e, e + more, s->page[a].state, 0);
        for (unsigned i = e; i < e + more; i++)
            s->page[i].map = s->page[a].map;
    } else if (p == MAP_FAILED && (errno == EFAULT || errno == ENOMEM)) {
        refused();
    } else {
        wrong(a, "mremap() of %u pages to %u, of which some are %s", e - a, e - a + more,
              taken ? "taken" : "free");
    }
    note(a, e + more);
    release();
}

void op_shrink(void)
{
    unsigned a, b, keep;

    any_run(64, true, &a, &b);
    claim(a, b, true);
    b = same_mapping(a, b);
    if (s->page[a].state == UNMAPPED || b - a < 2)
        return release();
    keep = 1 + below(b - a - 1);
    stir(a, b);
    if (mremap(address(a), (b - a) * PAGE, keep * PAGE, 0) != address(a)) {
        refused();
        if (errno != EFAULT || munmap(address(a + keep), (b - a - keep) * PAGE) != 0)
            wrong(a, "mremap() of %u pages to %u", b - a, keep);
    }
    forget_pages(a + keep, b);
    note(a, b);
    release();
}

/* The pages go, the mapping stays. */
void op_leave(void)
{
    unsigned a, b, to;

    if (!claim_for_move(0, &a, &b, &to) || s->page[a].file)
        return release();
    if (mremap(address(a), (b - a) * PAGE, (b - a) * PAGE,
               MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, address(to)) == address(to)) {
        forget_pages(to, to + b - a);
        copy_pages(a, to, b - a);
        for (unsigned i = a; i < b; i++)
            set_content(i, 0);
    } else {
        refused();
        if (errno != EFAULT || munmap(address(to), (b - a) * PAGE) != 0)
            wrong(a, "mremap(MREMAP_DONTUNMAP) of %u pages to %u", b - a, to);
        forget_pages(to, to + b - a);
    }
    note(a, b);
    note(to, to + b - a);
    release();
}

void op_heap(void)
{
    unsigned old, end;

    claim(arena_pages, s->nr_pages, true);
    old = s->heap_end;
    end = below(4) ? old + below(129) : old - below(129);
    if (below(64) == 0)
        end = 0;
    stir(arena_pages, arena_pages + old);
    end = end > old + 200 ? 0 : end > HEAP_PAGES ? HEAP_PAGES : end;
    if (brk(heap + end * PAGE) != 0) {
        refused();
        if (sbrk(0) != heap + old * PAGE)
            wrong(arena_pages + old, "brk() to %u pages, and it is at %p", end, sbrk(0));
    } else {
        s->heap_end = end;
        if (end > old)
            new_pages(arena_pages + old, arena_pages + end, WRITE, 0);
        else
            forget_pages(arena_pages + end, arena_pages + old);
        note(arena_pages + (old < end ? old : end), arena_pages + (old < end ? end : old));
    }
    release();
}
