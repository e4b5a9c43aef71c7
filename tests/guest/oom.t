#!/bin/sh
# Proves that a guest without free memory says so, names who held it, and that an application can
# still give memory back: parts of 2 MiB pages too, for which there is no memory for a page table.
# limit: 60
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need gcc
cd "$dir" || exit 1

cat >oom.c <<'C'
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#define PAGE 4096ul
#define HUGE (2ul << 20)
#define ROOM (64 * HUGE)
static char out[8192];
static void check(int good, const char *what)
{
    printf("%s %s\n", good ? "good" : "BAD", what);
}
int main(int argc, char **argv)
{
    volatile char warm[16384];
    char *p, *small, *huge[8];
    (void)argv;
    memset((char *)warm, 1, sizeof(warm));
    memset(out, 1, sizeof(out));
    setvbuf(stdout, out, _IOLBF, sizeof(out));
    p = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    small = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(p, ROOM, MADV_HUGEPAGE);
    madvise(small, ROOM, MADV_NOHUGEPAGE);
    printf("start\n");
    if (argc > 1)
        memset(p, 1, ROOM);
    for (int i = 0; i < 6; i++) {
        huge[i] = p + i * HUGE;
        memset(huge[i], i + 1, HUGE);
    }
    check(madvise(small, ROOM, MADV_POPULATE_WRITE) == -1 && errno == ENOMEM, "nothing is free");
    check(mprotect(huge[0] + PAGE, PAGE, PROT_READ) == -1 && errno == ENOMEM, "mprotect refused");
    huge[0][PAGE] = 1;
    check(munmap(huge[1] + 5 * PAGE, PAGE) == 0, "munmap of a part");
    check(madvise(huge[2] + PAGE, 3 * PAGE, MADV_DONTNEED) == 0, "madvise of a part");
    check(huge[2][PAGE] == 0 && huge[2][4 * PAGE] == 3, "zeroes, and the neighbours whole");
    check(mprotect(huge[0] + PAGE, PAGE, PROT_READ) == 0, "mprotect with what came free");
    for (int i = 0; i < 6; i++) {
        unsigned long bad = 0;
        for (size_t k = 0; k < HUGE; k++)
            bad += (i != 1 || k / PAGE != 5) && (i != 2 || k / PAGE < 1 || k / PAGE > 3) &&
                   huge[i][k] != i + 1;
        check(!bad, "content");
    }
    check(munmap(small, ROOM) == 0, "munmap");
    memset(p + 8 * HUGE, 1, 4 * HUGE);
    check(p[12 * HUGE - 1] == 1, "memory is there again");
    return 0;
}
C
gcc -O1 -w -o oom oom.c
ends_with 0 "a guest lives on without free memory" -m 40M ./oom
[ "$(grep -c '^good' out)" -eq 14 ] && ! grep -q '^BAD' out
ok $? "... and all of it behaves"
ends_with 137 "an application that wants more than there is dies" -m 40M ./oom -- all
contains "... said on the console" "out of memory"
contains "... with how much there is" "KiB free"
contains "... and who held it" "KiB in "
finish
