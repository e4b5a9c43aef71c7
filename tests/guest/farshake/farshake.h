/*
 * farshake: shakes an address space, for memory whose pages leave and come back
 * (docs/far-memory.md). A program for Linux, which says what is right; tests/guest/farshake.t runs
 * it there and in Wherry. The parts: model.c is what is known of each page, access.c and mappings.c
 * are the operations, main.c runs them.
 *
 *     farshake OPERATIONS SEED [MIB [THREADS]]
 *
 * Threads do random operations on an arena of MIB MiB (default 48) and on the heap behind brk: they
 * map, unmap, move, protect, advise, lock, read and write it, themselves and by system calls. A
 * model says of each page what it has to contain; each access is verified, and everything at the
 * end. The model is locked in memory, so that it does not depend on what is tested. At the first
 * wrong word, signal or result the program says what it knows of the page, and ends with 1.
 *
 * A content is a number: word w of a page with content n > 0 is a bijection of (n, w), so that a
 * wrong word tells which content it belongs to, and which word of it. 0 is zeroes. Words written
 * one by one are few, and listed with the page. Who works on pages has claimed them: for itself
 * alone where they change as a whole, or with others for reading and writing words; then word w
 * belongs to thread w % THREADS. Advice that changes nothing is given without any claim, in the
 * middle of others' work. So is everything that happens in the last part of the arena, the brawl:
 * nobody claims there, its words contain their own place or zero, and faults are expected.
 */
#pragma once

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE        4096ul
#define WORDS       (PAGE / 8)
#define ARENA       ((char *)0x100000000000ul) /* below everything that the kernel places itself */
#define HEAP_PAGES  1024u
#define BRAWL_PAGES 768u
#define FILE_PAGES  256u /* of the memfd; page k has content k + 1 */
#define THREADS_MAX 8u
#define OVERS       5u
#define EVENTS      6u
#define RUN_MAX     600u /* pages of one operation: more than 2 MiB */
#define IO_PAGES    8u   /* at once through a pipe */
#define LOCKED_MAX  256u
#define BRAWL       (1ul << 40) /* contents of the brawl begin here, one for each page */

/* Name and how often. The end, which verifies everything, is one, too. */
/* clang-format off */
#define OPERATIONS(X) \
    X(word_read, 16) X(word_write, 16) X(scan, 6) X(verify, 6) X(fill, 8) X(zero, 2) X(pipe_in, 4) \
    X(pipe_out, 3) X(file_in, 4) X(words_in, 3) X(no_access, 4) X(brawl, 8) \
    X(map, 5) X(map_file, 2) X(map_move, 1) X(unmap, 3) X(no_replace, 1) X(protect, 6) \
    X(dontneed, 3) X(free, 3) X(advise, 5) X(advise_any, 5) X(lock, 2) X(unlock, 1) X(move, 3) \
    X(grow, 2) X(shrink, 1) X(leave, 1) X(heap, 2) X(end, 0)
/* clang-format on */
#define OP_NUMBER(name, weight)   OP_##name,
#define OP_FUNCTION(name, weight) void op_##name(void);
enum { OPERATIONS(OP_NUMBER) OPS };
OPERATIONS(OP_FUNCTION)

enum state { UNMAPPED, NONE, READ, WRITE };
enum { FREED = 1, LOCKED = 2 };

/* A word that is of another content than its page. */
struct over {
    uint32_t number;
    uint16_t word;
};

struct event {
    uint32_t operation;
    uint8_t kind, thread;
    uint16_t content; /* low bits, afterwards */
};

struct page {
    uint32_t number; /* content */
    uint32_t map;    /* the mmap() that made it: neighbours with the same one are one mapping */
    uint16_t file;   /* its page of the memfd, from 1; 0: anonymous */
    uint8_t state, flags, nr_overs, nr_events;
    struct over over[OVERS];
    struct event event[EVENTS]; /* a ring */
};

struct claim {
    unsigned a, b; /* pages; a == b: none */
    bool alone;
};

struct thread {
    unsigned id;
    uint64_t random;
    struct claim claim[2];
    int pipe[2];
    volatile sig_atomic_t expecting, got_code;
    volatile uintptr_t got_at;
    sigjmp_buf escape;
    unsigned kind; /* of the operation */
    uint32_t operation;
    uint64_t verified;
    uint64_t buffer[IO_PAGES * WORDS];
};

/* Everything that the test relies on, locked. */
struct shared {
    pthread_mutex_t mutex;
    pthread_cond_t released;
    uint32_t numbers, maps, operations; /* counters */
    unsigned nr_pages, locked, heap_end;
    unsigned hot;       /* where half of the accesses go */
    bool supported[32]; /* by advice */
    uint32_t done[OPS], refused[OPS];
    struct thread thread[THREADS_MAX];
    struct page page[]; /* the arena's, then the heap's */
};

extern struct shared *s;
extern __thread struct thread *me;
extern unsigned nr_threads, arena_pages, first_of_brawl;
extern uint64_t seed, inverse;
extern char *heap;
extern int file;
extern const int prots[]; /* by state */
extern const char *const op_name[];

#define ODD 0x9e3779b97f4a7c15ul

static inline uint64_t value(uint64_t number, unsigned word)
{
    uint64_t x = (number << 9 | word) * ODD;

    return number ? x ^ x >> 32 : 0;
}

/* The end: something is wrong with a page, or, nr_pages, with none that is known. */
void wrong(unsigned page, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));
void wrong_word(unsigned page, unsigned word, uint64_t is, uint64_t should)
    __attribute__((noreturn));
void describe(const char *what, uint64_t v);
char *address(unsigned page);
unsigned page_at(uintptr_t a);

uint64_t random64(void);
unsigned below(unsigned n);
unsigned length(unsigned max); /* 1..max, short mostly */
unsigned any_page(void);
/* A run within the arena but for the brawl, or within the heap. */
void any_run(unsigned max, bool arena_only, unsigned *a, unsigned *b);
enum state any_state(void);

/* Waits until the pages [a, b) are ours, alone or with others; two runs: both or none. */
void claim(unsigned a, unsigned b, bool alone);
void claim2(unsigned a, unsigned b, unsigned c, unsigned d, bool alone);
void release(void);

void on_fault(int sig, siginfo_t *info, void *context);
/* si_code of the fault, or 0. */
int try_read(const volatile uint64_t *p, uint64_t *v);
int try_write(volatile uint64_t *p, uint64_t v);

/* What follows is for pages that are claimed. */
void note(unsigned a, unsigned b); /* the operation, in the pages' history */
uint32_t new_number(void);
void set_content(unsigned i, uint32_t number);
void fill_page(unsigned i); /* alone, writable: with a new content */
bool list_word(struct page *p, unsigned word, uint32_t number); /* false: the list is full */
uint64_t expected(const struct page *p, unsigned word);
/* The first word of a copy of the page that is not as it should be; WORDS: none. */
unsigned compare(const struct page *p, const uint64_t *copy);
/* Alone: the whole page, or a copy of it. */
void verify_page(unsigned i);
void verify_copy(unsigned i, const uint64_t *copy);
/* With others: the words that are ours, or one of them. */
void verify_ours(unsigned i);
void verify_word(unsigned i, unsigned word);
void check_no_access(unsigned i);
/* Alone: a freed page becomes what it is by now, so that the model knows it. */
void settle(unsigned i);
void unlock_pages(unsigned a, unsigned b);
void forget_pages(unsigned a, unsigned b); /* they were unmapped */
void new_pages(unsigned a, unsigned b, enum state state, unsigned from_file);
bool all(unsigned a, unsigned b, enum state least);
/* The end of the run of [a, b) that begins at a and is one mapping with the same rights. */
unsigned same_mapping(unsigned a, unsigned b);
void refused(void); /* counts */

/* mmap() at these pages, which are claimed or nobody else's yet. */
void map_at(unsigned a, unsigned b, int flags, int fd, unsigned from_page);
void probe_advices(void); /* what this kernel knows */
