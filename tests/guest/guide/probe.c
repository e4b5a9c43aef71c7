/*
 * A guide for pattern.c that uses everything a guide may: a hook that waits, pages, parts of pages
 * whose content it compares with the pattern, upcalls at faults and arrivals, counters. And one
 * that misbehaves, by MODE: the kernel is to switch it off, and the program is to go on.
 */
#include <wherry/guide.h>

enum { VISITS, PARTS_RIGHT, PARTS_WRONG, ARRIVED, FAULTS, REFUSED, ACCEPTED };

#define GOOD   0
#define CRASH  1 /* by an address of nobody's */
#define LOOP   2 /* for ever */
#define TOUCH  3 /* the application's memory by itself, where it is away */
#define DIVIDE 4
#ifndef MODE
#define MODE GOOD
#endif

static volatile uint64_t sink;

static void misbehave(uint64_t page)
{
    if (MODE == CRASH)
        sink = *(volatile uint64_t *)(0x1234ul << 32);
    if (MODE == LOOP)
        for (;;)
            sink++;
    if (MODE == TOUCH)
        for (unsigned i = 0; i < 4; i++)
            sink += *(volatile uint64_t *)(page + i * 4096);
    if (MODE == DIVIDE)
        __asm__ volatile("divl %0" ::"r"(0) : "eax", "edx");
}

static enum guide_verdict visit(const uint64_t arg[6])
{
    uint64_t data;

    guide_count(VISITS, 1);
    if (MODE != GOOD) {
        misbehave(arg[0]);
        return GUIDE_GO;
    }
    /* What is to be refused: memory that is not the guide's or the application's, and too much. */
    if (guide_read((void *)0xffff800000000000ul, arg[0], 8) == 0 ||
        guide_read(&data, 0xffffffff80000000ul, 8) == 0 ||
        guide_want(0xffff800000000000ul, 4096) == 0 || guide_fetch(arg[0], 300, 0) >= 0 ||
        guide_fetch(arg[0] + 4090, 16, 0) >= 0 || guide_want(arg[0], 1ul << 40) == 0)
        guide_count(ACCEPTED, 1);
    else
        guide_count(REFUSED, 1);
    if (guide_read(&data, arg[0] + 512, sizeof(data)) == -EAGAIN)
        (void)guide_fetch(arg[0] + 512, 64, 1);
    (void)guide_tell(arg[0] + 4096, 2);
    (void)guide_want(arg[0], arg[1] * 4096);
    return GUIDE_WAIT;
}

static void fetched(uint64_t address, const void *data, size_t n, uint64_t cookie)
{
    uint64_t word = address * 0x9e3779b97f4a7c15u;
    bool right = data && n == 64 && cookie == 1 && memcmp(data, &word, sizeof(word)) == 0;

    guide_count(right ? PARTS_RIGHT : PARTS_WRONG, 1);
}

static void arrived(uint64_t address, uint64_t cookie)
{
    uint64_t word = address * 0x9e3779b97f4a7c15u, data;

    if (cookie == 2 && guide_read(&data, address, sizeof(data)) == 0 && data == word)
        guide_count(ARRIVED, 1);
}

static bool fault(uint64_t address, bool coming)
{
    guide_count(FAULTS, address % 8 == 0);
    return true;
}

static const char *const builds[] = {"0000", "c0ffee0123456789", NULL};
static const struct guide_hook hooks[] = {{"visit", visit}, {NULL, NULL}};
static const struct guide_object objects[] = {{builds, hooks}, {NULL, NULL}};

const struct guide wherry_guide = {
    .api = WHERRY_GUIDE_API,
    .name = "probe",
    .objects = objects,
    .fault = MODE == GOOD ? fault : NULL,
    .arrived = arrived,
    .fetched = fetched,
    .counters = {"visits", "parts_right", "parts_wrong", "arrived", "faults", "refused",
                 "accepted"},
};
