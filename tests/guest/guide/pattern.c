/*
 * A program to be guided: fills an area with a pattern, and reads pages of it at random. Before
 * each it calls visit(), which it exports, with the page's address. Prints wrong words, and what
 * the kernel counted meanwhile.
 *
 *     pattern MIB VISITS
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE  4096
#define WORDS (PAGE / sizeof(uint64_t))

static uint64_t word_at(const uint64_t *p)
{
    return (uint64_t)p * 0x9e3779b97f4a7c15u;
}

/* The guide's hook is here; a call that nobody optimises away. */
__attribute__((noinline)) long visit(uint64_t *page, unsigned pages)
{
    __asm__ volatile("" ::: "memory");
    return page != NULL ? (long)pages : 0;
}

static void show(const char *path, const char *only)
{
    char line[256];
    FILE *f = fopen(path, "r");

    while (f && fgets(line, sizeof(line), f))
        if (strstr(line, only) && line[0] != '#')
            fputs(line, stdout);
    if (f)
        fclose(f);
}

int main(int argc, char **argv)
{
    size_t n = (size_t)atol(argc > 1 ? argv[1] : "16") << 20, wrong = 0;
    long visits = atol(argc > 2 ? argv[2] : "2000");
    uint64_t *area = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t seed = 7;

    if (area == MAP_FAILED)
        return 1;
    for (uint64_t *p = area; p < area + n / 8; p++)
        *p = word_at(p);
    show("/proc/wherry/far", "faults_total");
    for (long i = 0; i < visits; i++) {
        uint64_t *page;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        page = area + (seed >> 20) % (n / PAGE - 4) * WORDS;
        if (visit(page, 4) != 4)
            return 1;
        for (uint64_t *p = page; p < page + 4 * WORDS; p += 64)
            wrong += *p != word_at(p);
    }
    show("/proc/wherry/far", "_total");
    show("/proc/wherry/guides", "wherry_guide");
    printf("pattern: %ld visits, %zu wrong\n", visits, wrong);
    return wrong != 0;
}
