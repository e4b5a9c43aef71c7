/*
 * A program for the tutorial's guide (docs/far-memory.md): a list of records of a page each, in an
 * order that looks like none, each worked on for longer than a page takes to come. Prints what the
 * kernel counted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define RECORDS 4096u

struct record {
    struct record *next;
    unsigned long number, rest[510];
};

static __attribute__((noinline)) void work(void)
{
    for (volatile unsigned i = 0; i < 100000; i++)
        ;
}

__attribute__((noinline)) unsigned long use_record(struct record *r)
{
    work();
    return r ? r->number : 0;
}

static void show(const char *path)
{
    char line[200];
    FILE *f = fopen(path, "r");

    while (f && fgets(line, sizeof(line), f))
        fputs(line, stdout);
    if (f)
        fclose(f);
}

int main(void)
{
    struct record *all = mmap(NULL, RECORDS * sizeof(*all), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned long sum = 0;
    unsigned at = 0, next;

    if (all == MAP_FAILED)
        return 1;
    /* A full cycle: Hull and Dobell's conditions for linear congruences. */
    for (unsigned i = 0; i < RECORDS; i++, at = next) {
        next = (at * 1229 + 1) % RECORDS;
        all[at].number = i;
        all[at].next = i + 1 < RECORDS ? &all[next] : NULL;
    }
    for (struct record *r = all; r; r = r->next)
        sum += use_record(r);
    show("/proc/wherry/far");
    show("/proc/wherry/guides");
    printf("sum %lu\n", sum);
    return sum != RECORDS / 2 * (RECORDS - 1ul);
}
