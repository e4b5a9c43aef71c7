/* Operations that read and write, and the brawl: see farshake.h. */
#include "farshake.h"

/* Pages to write to, alone: those of the run that are writable, first of all. */
static bool claim_writable(unsigned max, unsigned *a, unsigned *b)
{
    any_run(max, false, a, b);
    claim(*a, *b, true);
    while (*a < *b && s->page[*a].state != WRITE)
        ++*a;
    for (unsigned i = *a; i < *b; i++)
        if (s->page[i].state != WRITE)
            *b = i;
    return *a < *b;
}

/* Claims a page with others to access it, and tells whether that is possible. */
static bool claim_page(unsigned i, enum state least)
{
    claim(i, i + 1, false);
    if (s->page[i].state < least)
        check_no_access(i);
    else if (!(s->page[i].flags & FREED))
        return true;
    release();
    return false;
}

static unsigned our_word(void)
{
    unsigned w = below(WORDS / nr_threads + 1) * nr_threads + me->id;

    return w < WORDS ? w : me->id;
}

void op_word_read(void)
{
    unsigned i = any_page();

    if (!claim_page(i, READ))
        return;
    verify_word(i, our_word());
    release();
}

/* Alone: a word is written to a freed page, which from then on is either what it was or zero. */
static void write_freed(unsigned i)
{
    struct page *p = &s->page[i], old;
    uint32_t number = new_number();
    unsigned word = below(WORDS);

    if (p->state != WRITE || !(p->flags & FREED))
        return;
    old = *p;
    if (!list_word(&old, word, number))
        return settle(i);
    ((volatile uint64_t *)address(i))[word] = value(number, word);
    if (compare(&old, (const uint64_t *)address(i)) == WORDS)
        *p = old;
    else
        set_content(i, 0), list_word(p, word, number);
    p->flags &= (uint8_t)~FREED;
    verify_page(i);
    note(i, i + 1);
}

void op_word_write(void)
{
    unsigned i = any_page(), word = our_word();
    uint32_t number = below(8) ? new_number() : 0;
    bool room;

    if (claim_page(i, WRITE)) {
        pthread_mutex_lock(&s->mutex);
        room = list_word(&s->page[i], word, number);
        note(i, i + 1);
        pthread_mutex_unlock(&s->mutex);
        if (room)
            ((volatile uint64_t *)address(i))[word] = value(number, word);
        release();
        if (room)
            return;
    }
    claim(i, i + 1, true);
    if (s->page[i].flags & FREED) {
        write_freed(i);
    } else if (s->page[i].state == WRITE && s->page[i].nr_overs == OVERS) {
        fill_page(i);
        note(i, i + 1);
    }
    release();
}

void op_scan(void)
{
    unsigned a, b, stride = below(2) ? 1 : 1 + below(4), word = our_word();
    bool down = below(2);

    any_run(RUN_MAX, false, &a, &b);
    claim(a, b, false);
    for (unsigned k = 0; k < b - a; k += stride) {
        unsigned i = down ? b - 1 - k : a + k;

        if (s->page[i].state >= READ && !(s->page[i].flags & FREED))
            verify_word(i, word);
    }
    release();
}

/* A locked page is here, unless it is zero: Wherry has one page for all those. */
static void check_here(unsigned i)
{
    unsigned char here = 0;

    if (s->page[i].number && !(s->page[i].flags & FREED) &&
        (mincore(address(i), PAGE, &here) != 0 || !(here & 1)))
        wrong(i, "mincore() of a locked page: %u", here);
}

void op_verify(void)
{
    bool alone = below(2);
    unsigned a, b;

    any_run(64, false, &a, &b);
    claim(a, b, alone);
    for (unsigned i = a; i < b; i++) {
        if (s->page[i].state < READ)
            continue;
        if (s->page[i].flags & LOCKED)
            check_here(i);
        if (alone)
            verify_page(i);
        else if (!(s->page[i].flags & FREED))
            verify_ours(i);
    }
    release();
}

void op_fill(void)
{
    unsigned a, b;

    if (claim_writable(256, &a, &b))
        for (unsigned i = a; i < b; i++)
            fill_page(i);
    note(a, b);
    release();
}

void op_zero(void)
{
    unsigned a, b;

    if (claim_writable(32, &a, &b)) {
        memset(address(a), 0, (b - a) * PAGE);
        for (unsigned i = a; i < b; i++)
            set_content(i, 0);
    }
    note(a, b);
    release();
}

/* All of it, as a pipe has room for it. */
static void through_pipe(unsigned page, const void *from, void *to, size_t n)
{
    if (write(me->pipe[1], from, n) != (ssize_t)n)
        wrong(page, "write() of %zu bytes from %p", n, from);
    for (size_t done = 0; done < n;) {
        ssize_t r = read(me->pipe[0], (char *)to + done, n - done);

        if (r <= 0)
            wrong(page, "read() of %zu bytes to %p", n - done, to);
        done += (size_t)r;
    }
}

void op_pipe_in(void)
{
    unsigned a, b;

    if (claim_writable(IO_PAGES, &a, &b)) {
        for (unsigned i = a; i < b; i++) {
            set_content(i, new_number());
            for (unsigned w = 0; w < WORDS; w++)
                me->buffer[(i - a) * WORDS + w] = value(s->page[i].number, w);
        }
        through_pipe(a, me->buffer, address(a), (b - a) * PAGE);
    }
    note(a, b);
    release();
}

void op_pipe_out(void)
{
    unsigned a, b;

    any_run(IO_PAGES, false, &a, &b);
    claim(a, b, true);
    if (all(a, b, READ)) {
        through_pipe(a, address(a), me->buffer, (b - a) * PAGE);
        for (unsigned i = a; i < b; i++)
            verify_copy(i, me->buffer + (i - a) * WORDS);
    }
    release();
}

void op_file_in(void)
{
    unsigned a, b, from = below(FILE_PAGES - 64);

    if (claim_writable(64, &a, &b)) {
        size_t n = (b - a) * PAGE;

        if (pread(file, address(a), n, (off_t)(from * PAGE)) != (ssize_t)n)
            wrong(a, "pread() of %u pages", b - a);
        for (unsigned i = a; i < b; i++)
            set_content(i, from + 1 + i - a);
    }
    note(a, b);
    release();
}

/* A system call writes the last words of a page and the first of the next. */
void op_words_in(void)
{
    unsigned a, b;

    if (claim_writable(2, &a, &b) && b - a == 2) {
        uint32_t number = new_number();

        for (unsigned i = a; i < b; i++) {
            settle(i);
            if (s->page[i].nr_overs + 2u > OVERS)
                fill_page(i);
        }
        for (unsigned k = 0; k < 4; k++) {
            unsigned word = (WORDS - 2 + k) % WORDS;

            me->buffer[k] = value(number, word);
            list_word(&s->page[a + k / 2], word, number);
        }
        through_pipe(a, me->buffer, address(b) - 2 * PAGE + PAGE - 16, 32);
    }
    note(a, b);
    release();
}

void op_no_access(void)
{
    unsigned i = any_page();

    claim(i, i + 1, false);
    check_no_access(i);
    release();
}

/* ---- The brawl ---- */

static void brawl_word(uint64_t v, unsigned page, unsigned word, const char *where)
{
    if (v == 0 || v == value(BRAWL + page - first_of_brawl, word))
        return;
    describe("is", v);
    wrong(page, "word %u of page %u of the brawl, %s", word, page - first_of_brawl, where);
}

/* Takes pages away to where nobody else is, and looks at them. */
static void brawl_carry(unsigned a, unsigned b)
{
    char *to = ARENA + (arena_pages + 4096 + 64 * me->id) * PAGE;
    uint64_t v;

    if (mremap(address(a), (b - a) * PAGE, (b - a) * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
        refused();
    else
        for (unsigned i = a; i < b; i++)
            for (unsigned w = 0; w < WORDS; w += 1 + below(64))
                if (try_read((uint64_t *)(to + (i - a) * PAGE) + w, &v) == 0)
                    brawl_word(v, i, w, "carried away");
    if (munmap(to, (b - a) * PAGE) != 0)
        wrong(s->nr_pages, "munmap() of what was carried away");
}

void op_brawl(void)
{
    static const uint8_t advice[] = {MADV_DONTNEED, MADV_FREE, MADV_PAGEOUT, MADV_PAGEOUT,
                                     MADV_WILLNEED};
    unsigned a = first_of_brawl + below(BRAWL_PAGES), b = a + length(32), n = below(64);
    uint64_t v;
    int r = 0;

    b = b < arena_pages ? b : arena_pages;
    if (n < 40) {
        for (unsigned i = a; i < b; i++) {
            unsigned w = below(WORDS);
            volatile uint64_t *word = (volatile uint64_t *)address(i) + w;

            if (n < 20)
                try_write(word, value(BRAWL + i - first_of_brawl, w));
            else if (try_read(word, &v) == 0)
                brawl_word(v, i, w, "read");
        }
    } else if (n < 44) {
        unsigned w = below(WORDS - 8);

        if (write(me->pipe[1], (uint64_t *)address(a) + w, 64) == 64) {
            if (read(me->pipe[0], me->buffer, 64) != 64)
                wrong(a, "read() of what was written");
            for (unsigned k = 0; k < 8; k++)
                brawl_word(me->buffer[k], a, w + k, "through a pipe");
        }
    } else if (n < 52) {
        r = madvise(address(a), (b - a) * PAGE, advice[below(sizeof(advice))]);
    } else if (n < 54) {
        brawl_carry(a, b);
    } else if (n < 56) {
        r = munmap(address(a), (b - a) * PAGE);
    } else if (n < 60) {
        r = mprotect(address(a), (b - a) * PAGE, prots[any_state()]);
    } else if (mmap(address(a), (b - a) * PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != address(a)) {
        wrong(a, "mmap() in the brawl");
    }
    if (r != 0 && errno != ENOMEM && errno != EAGAIN)
        wrong(a, "call %u in the brawl", n);
}
