/*
 * farsecret: plants a text that is easily found in memory whose pages then are away, for
 * tests/guest/far-secret.t, which looks for it where they lie. Each page is written and sent away
 * twice, and verified when it has come back.
 *
 *     farsecret PAGES    sleeps while they are away, until it is ended
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul

static char *memory;
static unsigned long pages;

/* Every 64 bytes of a page; the numbers make them differ. */
static void line_of(char line[64], unsigned long page, unsigned long i, unsigned written)
{
    memset(line, '.', 64);
    snprintf(line, 64, "THE SECRET OF PAGE %lu, LINE %lu, VERSION %u", page, i, written);
}

static void fill(unsigned written)
{
    for (unsigned long i = 0; i < pages * PAGE; i += 64)
        line_of(memory + i, i / PAGE, i % PAGE / 64, written);
}

static int wrong(unsigned written)
{
    char line[64];

    for (unsigned long i = 0; i < pages * PAGE; i += 64) {
        line_of(line, i / PAGE, i % PAGE / 64, written);
        if (memcmp(line, memory + i, 64) != 0) {
            printf("farsecret: page %lu is WRONG\n", i / PAGE);
            return 1;
        }
    }
    return 0;
}

/* What /proc/wherry/far says behind a name; "": nothing. */
static const char *told(const char *name)
{
    static char line[256];
    FILE *f = fopen("/proc/wherry/far", "r");
    size_t n = strlen(name);
    int found = 0;

    while (f && !found && fgets(line, sizeof(line), f))
        found = strncmp(line, name, n) == 0;
    if (f)
        fclose(f);
    return found ? line + n : "";
}

static unsigned long away(void)
{
    return strtoul(told("wherry_far_remote_pages "), NULL, 10);
}

static int send_away(void)
{
    for (unsigned tries = 0; tries < 2000; tries++) {
        if (away() >= pages)
            return 1;
        madvise(memory, pages * PAGE, MADV_PAGEOUT);
        usleep(5000);
    }
    printf("farsecret: only %lu of %lu pages left\n", away(), pages);
    return 0;
}

int main(int argc, char **argv)
{
    const char *cipher;

    pages = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    mlockall(MCL_CURRENT); /* what can be away is the memory, and nothing else */
    memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 2;
    for (unsigned written = 1; written <= 2; written++) {
        fill(written);
        if (!send_away() || wrong(written) || !send_away())
            return 1;
    }
    cipher = told("wherry_far_cipher_info");
    printf("farsecret: %lu pages are away, cipher: %s\n", pages, *cipher ? cipher : "none");
    fflush(stdout);
    pause();
    return 0;
}
