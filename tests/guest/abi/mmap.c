/* mmap, munmap, mprotect, mremap, madvise, mincore, brk: results, errors, contents, protection. */
#include "tap.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define PAGE 4096ul
#define HUGE (2ul << 20)

static sigjmp_buf escape;
static volatile sig_atomic_t fault_sig, fault_code;
static void *volatile fault_addr;

static void on_fault(int sig, siginfo_t *info, void *uc)
{
    (void)uc;
    fault_sig = sig;
    fault_code = info->si_code;
    fault_addr = info->si_addr;
    siglongjmp(escape, 1);
}

/* 0: no fault; else the signal, with fault_code and fault_addr. */
static int reads(const void *p)
{
    fault_sig = 0;
    if (!sigsetjmp(escape, 1))
        (void)*(const volatile char *)p;
    return fault_sig;
}

static int writes(void *p)
{
    fault_sig = 0;
    if (!sigsetjmp(escape, 1))
        *(volatile char *)p = 1;
    return fault_sig;
}

static int runs(void *p)
{
    fault_sig = 0;
    if (!sigsetjmp(escape, 1))
        ((void (*)(void))p)();
    return fault_sig;
}

static char *anon(size_t n, int prot)
{
    char *p = mmap(NULL, n, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(p != MAP_FAILED);
    return p;
}

static void basics(void)
{
    char *p = anon(3 * PAGE, PROT_READ | PROT_WRITE), *q;

    OK(p[0] == 0 && p[3 * PAGE - 1] == 0);
    p[0] = 1, p[PAGE] = 2, p[2 * PAGE] = 3;
    OK(munmap(p + PAGE, PAGE) == 0);
    OK(reads(p + PAGE) == SIGSEGV && fault_code == SEGV_MAPERR && fault_addr == p + PAGE);
    OK(p[0] == 1 && p[2 * PAGE] == 3);
    q = mmap(p + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    OK(q == p + PAGE && *q == 0);
    OK(writes(q) == SIGSEGV && fault_code == SEGV_ACCERR && fault_addr == q);
    OK(mprotect(q, PAGE, PROT_READ | PROT_WRITE) == 0 && writes(q) == 0 && *q == 1);
    OK(mprotect(p, 3 * PAGE, PROT_NONE) == 0);
    OK(reads(p) == SIGSEGV && fault_code == SEGV_ACCERR);
    OK(mprotect(p, 3 * PAGE, PROT_READ) == 0 && p[0] == 1 && p[PAGE] == 1 && p[2 * PAGE] == 3);
    OK(munmap(p, 3 * PAGE) == 0 && munmap(p, 3 * PAGE) == 0);
    FAILS(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
    FAILS(mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL);
    FAILS(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, -1, 0), EBADF);
    FAILS(mmap((void *)1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL);
    FAILS(mmap(NULL, 1ul << 48, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    FAILS(mmap(NULL, -1ul, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    FAILS(munmap((void *)1, PAGE), EINVAL);
    FAILS(munmap(p, 0), EINVAL);
    FAILS(mprotect(p, PAGE, PROT_READ), ENOMEM);
    FAILS(mprotect(p + 1, PAGE, PROT_READ), EINVAL);
    OK(mprotect(p, 0, PROT_READ) == 0);
    q = anon(2 * PAGE, PROT_READ);
    FAILS(mmap(q, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
          EEXIST);
    munmap(q, 2 * PAGE);
    p = mmap(q, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    OK(p == q);
    munmap(p, PAGE);
    p = mmap(q, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    OK(p == q); /* a hint that can be followed */
    q = mmap(p, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    OK(q != MAP_FAILED && q != p);
    munmap(p, PAGE), munmap(q, PAGE);
    /* addresses that can be no one's */
    OK(reads((void *)8) == SIGSEGV && fault_code == SEGV_MAPERR && fault_addr == (void *)8);
    OK(reads((void *)0x800000000000ull) == SIGSEGV);
    OK(writes((void *)basics) == SIGSEGV && fault_code == SEGV_ACCERR);
}

static void execution(void)
{
    char *p = anon(PAGE, PROT_READ | PROT_WRITE);

    *p = (char)0xc3; /* ret */
    OK(runs(p) == SIGSEGV && fault_code == SEGV_ACCERR && fault_addr == p);
    OK(mprotect(p, PAGE, PROT_READ | PROT_EXEC) == 0 && runs(p) == 0);
    OK(writes(p) == SIGSEGV && fault_code == SEGV_ACCERR);
    munmap(p, PAGE);
    OK(runs(p) == SIGSEGV && fault_code == SEGV_MAPERR);
    OK(runs(NULL) == SIGSEGV && fault_addr == NULL);
}

static void remap(void)
{
    char *p = anon(8 * PAGE, PROT_READ | PROT_WRITE), *q, *r;

    for (int i = 0; i < 8; i++)
        p[i * PAGE] = i + 1;
    OK(mremap(p, 8 * PAGE, 4 * PAGE, 0) == p && reads(p + 4 * PAGE) == SIGSEGV);
    OK(mremap(p, 4 * PAGE, 8 * PAGE, 0) == p && p[3 * PAGE] == 4 && p[4 * PAGE] == 0);
    q = anon(16 * PAGE, PROT_READ | PROT_WRITE);
    r = mremap(p, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q + 4 * PAGE);
    OK(r == q + 4 * PAGE && r[3 * PAGE] == 4 && reads(p) == SIGSEGV);
    OK(q[3 * PAGE] == 0 && q[12 * PAGE] == 0);
    munmap(q, 16 * PAGE);
    p = anon(4 * PAGE, PROT_READ | PROT_WRITE);
    mmap(p + 2 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    p[PAGE] = 7;
    FAILS(mremap(p, 2 * PAGE, 3 * PAGE, 0), ENOMEM);
    q = mremap(p, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE);
    OK(q != MAP_FAILED && q != p && q[PAGE] == 7 && q[2 * PAGE] == 0 && reads(p) == SIGSEGV);
    FAILS(mremap(q, 3 * PAGE, 0, 0), EINVAL);
    FAILS(mremap(q + 1, PAGE, PAGE, 0), EINVAL);
    FAILS(mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
    FAILS(mremap(q, 3 * PAGE, PAGE, MREMAP_FIXED, p), EINVAL);
    FAILS(mremap(q, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q + PAGE), EINVAL);
    r = mremap(q, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
    OK(r != MAP_FAILED && r != q && r[PAGE] == 7 && q[PAGE] == 0);
    munmap(q, 3 * PAGE), munmap(r, 3 * PAGE);
    /* A page that nobody may touch keeps its content on the way. */
    p = anon(2 * HUGE, PROT_READ | PROT_WRITE);
    memset(p, 5, 2 * HUGE);
    mprotect(p, 2 * HUGE, PROT_NONE);
    q = anon(2 * HUGE + PAGE, PROT_NONE);
    r = mremap(p, 2 * HUGE, 2 * HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, q + PAGE);
    OK(r == q + PAGE && mprotect(r, 2 * HUGE, PROT_READ) == 0);
    OK(r[0] == 5 && r[HUGE] == 5 && r[2 * HUGE - 1] == 5);
    munmap(q, 2 * HUGE + PAGE);
}

/* Large regions: pieces of 2 MiB pages behave as pages. */
static void large(void)
{
    size_t n = 8 * HUGE;
    char *p = anon(n, PROT_READ | PROT_WRITE), *q;
    bool good = true;

    for (size_t i = 0; i < n; i += PAGE)
        *(size_t *)(p + i) = i;
    OK(mprotect(p + HUGE + PAGE, PAGE, PROT_READ) == 0);
    OK(writes(p + HUGE + PAGE) == SIGSEGV && writes(p + HUGE) == 0 &&
       writes(p + HUGE + 2 * PAGE) == 0);
    OK(munmap(p + 3 * HUGE + 5 * PAGE, HUGE) == 0);
    OK(reads(p + 3 * HUGE + 5 * PAGE) == SIGSEGV && reads(p + 4 * HUGE + 4 * PAGE) == SIGSEGV);
    for (size_t i = 0; i < n; i += PAGE)
        if ((i < 3 * HUGE + 5 * PAGE || i >= 4 * HUGE + 5 * PAGE) && i != HUGE &&
            i != HUGE + 2 * PAGE)
            good = good && *(size_t *)(p + i) == i;
    OK(good);
    OK(madvise(p + 6 * HUGE + PAGE, 3 * PAGE, MADV_DONTNEED) == 0);
    OK(p[6 * HUGE + PAGE] == 0 && *(size_t *)(p + 6 * HUGE + 4 * PAGE) == 6 * HUGE + 4 * PAGE);
    OK(madvise(p, n, MADV_DONTNEED) == -1 && errno == ENOMEM);
    OK(*(size_t *)(p + 5 * HUGE) == 0 && reads(p) == 0 && p[0] == 0);
    munmap(p, n);
    /* moved as a whole and grown */
    p = anon(2 * HUGE, PROT_READ | PROT_WRITE);
    for (size_t i = 0; i < 2 * HUGE; i += PAGE)
        *(size_t *)(p + i) = i + 1;
    q = mremap(p, 2 * HUGE, 16 * HUGE, MREMAP_MAYMOVE);
    good = q != MAP_FAILED;
    for (size_t i = 0; good && i < 16 * HUGE; i += PAGE)
        good = *(size_t *)(q + i) == (i < 2 * HUGE ? i + 1 : 0);
    OK(good);
    munmap(q, 16 * HUGE);
    OK(mremap(q, 1ul << 63, 1ul << 62, MREMAP_MAYMOVE) == MAP_FAILED);
}

static void advice(void)
{
    char *p = anon(4 * PAGE, PROT_READ | PROT_WRITE);
    unsigned char vec[4];

    OK(mincore(p, 4 * PAGE, vec) == 0 && !(vec[0] & 1) && !(vec[3] & 1));
    p[0] = 1, p[2 * PAGE] = 1;
    OK(mincore(p, 4 * PAGE, vec) == 0 && vec[0] & 1 && !(vec[1] & 1) && vec[2] & 1);
    OK(madvise(p, 4 * PAGE, MADV_DONTNEED) == 0 && p[0] == 0);
    OK(madvise(p, 4 * PAGE, MADV_POPULATE_WRITE) == 0 && mincore(p, 4 * PAGE, vec) == 0 &&
       vec[0] & vec[1] & vec[2] & vec[3] & 1);
    OK(madvise(p, 4 * PAGE, MADV_FREE) == 0);
    p[0] = 9;
    OK(p[0] == 9);
    OK(madvise(p, 4 * PAGE, MADV_WILLNEED) == 0 && madvise(p, 4 * PAGE, MADV_DONTFORK) == 0);
    FAILS(madvise(p, 4 * PAGE, 12345), EINVAL);
    FAILS(madvise(p + 1, PAGE, MADV_DONTNEED), EINVAL);
    OK(mlock(p, PAGE) == 0);
    FAILS(madvise(p, PAGE, MADV_DONTNEED), EINVAL);
    OK(munlock(p, PAGE) == 0 && madvise(p, PAGE, MADV_DONTNEED) == 0);
    munmap(p, 4 * PAGE);
    FAILS(madvise(p, PAGE, MADV_DONTNEED), ENOMEM);
    FAILS(mincore(p, PAGE, vec), ENOMEM);
    FAILS(msync(p, PAGE, MS_SYNC), ENOMEM);
    FAILS(mlock(p, PAGE), ENOMEM);
    p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    OK(mincore(p, PAGE, vec) == 0 && vec[0] & 1);
    munmap(p, PAGE);
}

static void files(void)
{
    char name[] = "/tmp/abi-mmap-XXXXXX", buf[16] = "";
    int fd = mkstemp(name), ro;
    char *p, *q;

    MUST(fd >= 0 && ftruncate(fd, 3 * PAGE + 100) == 0);
    MUST(pwrite(fd, "first", 5, 0) == 5 && pwrite(fd, "third", 5, 2 * PAGE) == 5);
    p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    OK(p != MAP_FAILED && !memcmp(p, "first", 5) && !memcmp(p + 2 * PAGE, "third", 5));
    q = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    OK(q != MAP_FAILED && !memcmp(q, "first", 5));
    p[0] = 'P';
    OK(q[0] == 'f' && pread(fd, buf, 5, 0) == 5 && !memcmp(buf, "first", 5)); /* COW */
    q[2 * PAGE] = 'T';
    OK(p[2 * PAGE] == 'T' && pread(fd, buf, 5, 2 * PAGE) == 5 && !memcmp(buf, "Third", 5));
    q[PAGE] = 'h'; /* a hole */
    OK(pread(fd, buf, 1, PAGE) == 1 && buf[0] == 'h' && p[PAGE] == 'h');
    OK(pwrite(fd, "X", 1, 3 * PAGE) == 1 && q[3 * PAGE] == 'X' && p[3 * PAGE] == 'X');
    OK(q[3 * PAGE + 100] == 0 && writes(q + 3 * PAGE + 200) == 0);
    OK(ftruncate(fd, PAGE) == 0);
    OK(reads(q + PAGE) == SIGBUS && fault_code == BUS_ADRERR && fault_addr == q + PAGE);
    OK(reads(p + 2 * PAGE) == SIGBUS);
    OK(p[0] == 'P' && q[0] == 'f');
    OK(ftruncate(fd, 2 * PAGE) == 0 && q[PAGE] == 0 && p[PAGE] == 0);
    OK(mprotect(p, PAGE, PROT_READ) == 0 && p[0] == 'P' && writes(p) == SIGSEGV);
    OK(mprotect(p, PAGE, PROT_READ | PROT_WRITE) == 0 && p[0] == 'P' && writes(p) == 0);
    OK(msync(q, PAGE, MS_SYNC) == 0);
    FAILS(msync(q, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
    OK(madvise(p, PAGE, MADV_DONTNEED) == 0 && p[0] == 'f');
    munmap(p, 4 * PAGE);
    munmap(q, 4 * PAGE);
    p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, PAGE);
    OK(p != MAP_FAILED && mprotect(p, PAGE, PROT_READ | PROT_WRITE) == 0);
    q = mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
    OK(q != MAP_FAILED && reads(q) == 0 && reads(q + PAGE) == SIGBUS);
    munmap(q, 2 * PAGE);
    ro = open(name, O_RDONLY);
    FAILS(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0), EACCES);
    p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ro, 0);
    FAILS(mprotect(p, PAGE, PROT_READ | PROT_WRITE), EACCES);
    munmap(p, PAGE);
    p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, ro, 0);
    OK(p != MAP_FAILED && writes(p) == 0);
    munmap(p, PAGE);
    close(ro);
    ro = open(name, O_WRONLY);
    FAILS(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, ro, 0), EACCES);
    close(ro);
    FAILS(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 1), EINVAL);
    /* a mapping outlives its descriptor and its name */
    p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    unlink(name);
    OK(p[0] == 'f');
    munmap(p, PAGE);
    fd = open("/dev/null", O_RDWR);
    FAILS(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0), ENODEV);
    close(fd);
    fd = open("/dev/zero", O_RDWR);
    p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    OK(p != MAP_FAILED && *p == 0 && writes(p) == 0);
    close(fd);
    fd = memfd_create("abi", 0);
    OK(fd >= 0 && ftruncate(fd, PAGE) == 0);
    p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    OK(p != MAP_FAILED && writes(p) == 0 && pread(fd, buf, 1, 0) == 1 && buf[0] == 1);
    close(fd);
}

static void heap(void)
{
    char *start = sbrk(0), *p;

    p = sbrk(10 * PAGE);
    OK(p == start && sbrk(0) == start + 10 * PAGE);
    p[0] = 1, p[10 * PAGE - 1] = 2;
    OK(sbrk(-5 * (long)PAGE) == start + 10 * PAGE && p[0] == 1);
    OK(sbrk(5 * PAGE) == start + 5 * PAGE && p[10 * PAGE - 1] == 0);
    OK(sbrk(-10 * (long)PAGE) != (void *)-1);
    OK(brk((void *)PAGE) != 0 || sbrk(0) == start);
}

/* System calls given memory that is not there. */
static void bad_pointers(void)
{
    char *p = anon(2 * PAGE, PROT_READ | PROT_WRITE);
    int fds[2], zero = open("/dev/zero", O_RDONLY);

    munmap(p + PAGE, PAGE);
    MUST(pipe(fds) == 0);
    FAILS(write(fds[1], p + PAGE, 1), EFAULT);
    FAILS(write(fds[1], (void *)0xffff800000000000ul, 1), EFAULT);
    FAILS(write(fds[1], (void *)-1ul, 1), EFAULT);
    FAILS(write(fds[1], (void *)0x7ffffffffffful, 1), EFAULT);
    FAILS(write(fds[1], (void *)0x7fffffffff00ul, 4096), EFAULT);
    FAILS(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, 0x7ffffffffff9ul), EFAULT);
    FAILS(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, 0x7ffffffff000ul), EFAULT);
    FAILS(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, 0xfffffffffffffff8ul), EFAULT);
    FAILS(read(zero, p + PAGE, 1), EFAULT);
    mprotect(p, PAGE, PROT_READ);
    FAILS(read(zero, p, 1), EFAULT);
    OK(write(fds[1], p, 1) == 1); /* never touched before: zeroes */
    FAILS(open(p + PAGE, O_RDONLY), EFAULT);
    mprotect(p, PAGE, PROT_READ | PROT_WRITE);
    memset(p, 'a', PAGE);
    FAILS(open(p + PAGE - 10, O_RDONLY), EFAULT);
    strcpy(p + PAGE - 10, "/dev/null");
    int fd = open(p + PAGE - 10, O_RDONLY);
    OK(fd >= 0);
    close(fd), close(zero), close(fds[0]), close(fds[1]);
    munmap(p, PAGE);
}

/* Random operations against a model: one byte and one protection for each page of an arena. */
#define ARENA 1536 /* pages: 6 MiB, so that 2 MiB pages take part */
#define GONE  0xff

static unsigned char model_byte[ARENA], model_prot[ARENA];

static int pick_prot(void)
{
    static const int prots[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE,
                                PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE};
    return prots[below(5)];
}

static void verify(char *arena, unsigned i)
{
    char *p = arena + i * PAGE + below(PAGE);
    int want_read = model_prot[i] == GONE || !(model_prot[i] & PROT_READ) ? SIGSEGV : 0;
    int want_code = model_prot[i] == GONE ? SEGV_MAPERR : SEGV_ACCERR;

    MUST(reads(p) == want_read);
    if (want_read)
        MUST(fault_code == want_code && fault_addr == p);
    else
        MUST(*(unsigned char *)(arena + i * PAGE + 17) == model_byte[i]);
    if (model_prot[i] != GONE && model_prot[i] & PROT_WRITE) {
        model_byte[i] = random64();
        arena[i * PAGE + 17] = (char)model_byte[i];
    } else {
        MUST(writes(p) == SIGSEGV && fault_code == want_code);
    }
}

static void model(unsigned rounds)
{
    char *arena = mmap(NULL, ARENA * PAGE + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char name[] = "/tmp/abi-model-XXXXXX";
    int fd = mkstemp(name), prot;

    MUST(arena != MAP_FAILED && fd >= 0);
    unlink(name);
    /* A file of ARENA pages, each with a byte that tells its number. */
    for (unsigned i = 0; i < ARENA; i++) {
        char c = (char)(i * 7 + 1);
        MUST(pwrite(fd, &c, 1, i * PAGE + 17) == 1);
    }
    MUST(ftruncate(fd, ARENA * PAGE) == 0);
    munmap(arena, ARENA * PAGE + HUGE);
    arena = (char *)(((uintptr_t)arena + HUGE - 1) & ~(HUGE - 1));
    memset(model_prot, GONE, sizeof(model_prot));
    for (unsigned k = 0; k < rounds; k++) {
        unsigned at = below(ARENA), n = 1 + (below(4) ? below(20) : below(ARENA)), to, i;

        if (!below(6)) /* whole slots */
            at &= ~511u, n = 512 * (1 + below(2));
        if (n > ARENA - at)
            n = ARENA - at;
        switch (below(7)) {
        case 0:
        case 1:
            prot = pick_prot();
            MUST(mmap(arena + at * PAGE, n * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                      -1, 0) == arena + at * PAGE);
            memset(model_prot + at, prot, n);
            memset(model_byte + at, 0, n);
            break;
        case 2:
            prot = pick_prot();
            to = below(ARENA - n + 1);
            MUST(mmap(arena + at * PAGE, n * PAGE, prot, MAP_PRIVATE | MAP_FIXED, fd, to * PAGE) ==
                 arena + at * PAGE);
            memset(model_prot + at, prot, n);
            for (i = 0; i < n; i++)
                model_byte[at + i] = (unsigned char)((to + i) * 7 + 1);
            break;
        case 3:
            MUST(munmap(arena + at * PAGE, n * PAGE) == 0);
            memset(model_prot + at, GONE, n);
            break;
        case 4: {
            bool whole = !memchr(model_prot + at, GONE, n);
            prot = pick_prot();
            errno = 0;
            MUST((mprotect(arena + at * PAGE, n * PAGE, prot) == 0) == whole);
            MUST(whole || errno == ENOMEM);
            /* Linux changes what lies before the hole; that is nowhere promised. */
            for (i = 0; i < n; i++)
                if (!whole && model_prot[at + i] != GONE)
                    MUST(mmap(arena + (at + i) * PAGE, PAGE, prot,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
            for (i = 0; i < n; i++) {
                if (model_prot[at + i] == GONE)
                    continue;
                model_prot[at + i] = prot;
                if (!whole)
                    model_byte[at + i] = 0;
            }
            break;
        }
        case 5: { /* move a stretch of one mapping; it may consist of several, then Linux refuses */
            char *r;
            to = below(ARENA - n + 1);
            if (to < at + n && at < to + n)
                break;
            if (memchr(model_prot + at, GONE, n))
                break;
            r = mremap(arena + at * PAGE, n * PAGE, n * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
                       arena + to * PAGE);
            if (r == MAP_FAILED) {
                MUST(errno == EFAULT);
                /* whether the target survived a refusal is nowhere promised */
                munmap(arena + to * PAGE, n * PAGE);
                memset(model_prot + to, GONE, n);
                break;
            }
            MUST(r == arena + to * PAGE);
            memcpy(model_byte + to, model_byte + at, n);
            memcpy(model_prot + to, model_prot + at, n);
            memset(model_prot + at, GONE, n);
            break;
        }
        case 6: /* writes, all of a stretch */
            for (i = at; i < at + n; i++)
                if (model_prot[i] != GONE && model_prot[i] & PROT_WRITE) {
                    model_byte[i] = random64();
                    arena[i * PAGE + 17] = (char)model_byte[i];
                }
            break;
        }
        for (i = 0; i < 8; i++)
            verify(arena, i < 4 ? (at + below(n)) % ARENA : below(ARENA));
        if (k % 64 == 0)
            for (i = 0; i < ARENA; i++)
                verify(arena, i);
    }
    munmap(arena, ARENA * PAGE);
    close(fd);
    tap_check(true, "random operations agree with the model", __FILE__, __LINE__);
}

int main(int argc, char **argv)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    basics();
    execution();
    remap();
    large();
    advice();
    files();
    heap();
    bad_pointers();
    if (argc > 2)
        tap_seed = strtoull(argv[2], NULL, 0) * 2654435761u + 1;
    model(argc > 1 ? (unsigned)atoi(argv[1]) : 3000);
    return tap_done();
}
