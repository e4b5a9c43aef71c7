/* Starts the threads, which do operations by chance, and verifies everything at the end: see
 * farshake.h. */
#include "farshake.h"

#define OP_WEIGHT(name, weight)  weight,
#define OP_POINTER(name, weight) op_##name,
static const uint8_t weights[] = {OPERATIONS(OP_WEIGHT)};
static void (*const functions[])(void) = {OPERATIONS(OP_POINTER)};

static uint32_t wanted;

static unsigned any_operation(void)
{
    unsigned sum = 0, n, k = 0;

    for (unsigned i = 0; i < OPS; i++)
        sum += weights[i];
    for (n = below(sum); n >= weights[k]; k++)
        n -= weights[k];
    return k;
}

static void *work(void *thread)
{
    me = thread;
    while ((me->operation = __atomic_add_fetch(&s->operations, 1, __ATOMIC_RELAXED)) <= wanted) {
        if (below(512) == 0)
            s->hot = below(first_of_brawl + HEAP_PAGES);
        me->kind = any_operation();
        functions[me->kind]();
        __atomic_fetch_add(&s->done[me->kind], 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static uint64_t verified(void)
{
    uint64_t n = 0;

    for (unsigned t = 0; t < nr_threads; t++)
        n += s->thread[t].verified;
    return n;
}

/* Where every thread stands, and the memory nodes' state, for whoever reads the console. */
static void show_system(void)
{
    static const char *const files[] = {"/proc/wherry/nodes", "/proc/wherry/far"};
    int fd = open("/proc/sysrq-trigger", O_WRONLY);
    char text[4096];
    ssize_t n;

    if (fd >= 0 && write(fd, "t", 1) == 1)
        close(fd);
    for (unsigned i = 0; i < 2; i++) {
        fd = open(files[i], O_RDONLY);
        while (fd >= 0 && (n = read(fd, text, sizeof(text))) > 0)
            fwrite(text, 1, (size_t)n, stdout);
    }
}

/* Lines of progress, until all is done; something is wrong if there is none. */
static void watch(void)
{
    uint32_t before = 0, now;

    for (unsigned seconds = 1, quiet = 0; (now = s->operations) < wanted; seconds++) {
        sleep(1);
        quiet = now == before ? quiet + 1 : 0;
        before = now;
        if (quiet == 60) {
            show_system();
            wrong(s->nr_pages, "no progress for a minute");
        }
        if (seconds % 5 == 0)
            printf("farshake: %u operations, %lu pages verified\n", now, verified());
    }
}

void op_end(void)
{
    me->kind = OP_end;
    for (unsigned i = 0; i < s->nr_pages; i++) {
        struct page *p = &s->page[i];

        if (i >= first_of_brawl && i < arena_pages)
            continue;
        check_no_access(i);
        if (p->state == NONE && mprotect(address(i), PAGE, PROT_READ) != 0)
            wrong(i, "mprotect()");
        if (p->state != UNMAPPED)
            verify_page(i);
    }
}

static void start(void)
{
    struct sigaction on = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    size_t size = sizeof(*s) + (arena_pages + HEAP_PAGES) * sizeof(struct page);
    uint64_t words[WORDS];

    s = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED || mlock(s, size) != 0)
        printf("farshake: the model is not locked in memory: %s\n", strerror(errno));
    if (s == MAP_FAILED)
        exit(2);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->released, NULL);
    s->numbers = FILE_PAGES;
    s->nr_pages = arena_pages + HEAP_PAGES;
    for (unsigned t = 0; t < nr_threads; t++) {
        s->thread[t].id = t;
        s->thread[t].random = (seed + 1) * ODD ^ (t + 1) * 0xd1342543de82ef95ul;
        if (pipe(s->thread[t].pipe) != 0)
            exit(2);
    }
    me = &s->thread[0];
    sigaction(SIGSEGV, &on, NULL);
    sigaction(SIGBUS, &on, NULL);
    for (inverse = ODD; inverse * ODD != 1;) /* Newton's iteration */
        inverse *= 2 - ODD * inverse;
    file = memfd_create("farshake", 0);
    for (unsigned k = 0; k < FILE_PAGES; k++) {
        for (unsigned w = 0; w < WORDS; w++)
            words[w] = value(k + 1, w);
        if (write(file, words, PAGE) != (ssize_t)PAGE)
            exit(2);
    }
    probe_advices();
    heap = (char *)(((uintptr_t)sbrk(0) + PAGE - 1) / PAGE * PAGE);
    if (brk(heap) != 0 || mmap(ARENA, arena_pages * PAGE, PROT_NONE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != ARENA) {
        printf("farshake: no place for the arena\n");
        exit(2);
    }
    munmap(ARENA, arena_pages * PAGE);
    /* Most of it is there from the beginning. */
    for (unsigned i = 0; i < first_of_brawl; i += 512) {
        me->kind = OP_map;
        map_at(i, i + 512 < first_of_brawl ? i + 512 : first_of_brawl, MAP_FIXED | MAP_ANONYMOUS,
               -1, 0);
    }
}

/* What the kernel has counted, where it has far memory; but for histograms, and what never was. */
static void show(const char *path)
{
    FILE *counters = fopen(path, "r");
    char line[256];

    while (counters && fgets(line, sizeof(line), counters)) {
        const char *value = strrchr(line, ' ');

        if (line[0] != '#' && value && strcmp(value, " 0\n") != 0 && !strstr(line, "_bucket{"))
            printf("%s", line);
    }
    if (counters)
        fclose(counters);
}

/* How much of it was done. */
static void report(void)
{
    for (unsigned k = 0; k < OP_end; k++) {
        printf("%s%s %u", k ? ", " : "", op_name[k], s->done[k]);
        if (s->refused[k])
            printf(" (%u refused)", s->refused[k]);
    }
    printf("\n");
    show("/proc/wherry/far");
    show("/proc/wherry/nodes");
    printf("farshake: %u operations, %lu pages verified, 0 wrong\n", wanted, verified());
}

int main(int argc, char **argv)
{
    static char out[16384];
    pthread_t threads[THREADS_MAX];
    unsigned mib = argc > 3 ? (unsigned)atoi(argv[3]) : 48;

    setvbuf(stdout, out, _IOLBF, sizeof(out));
    nr_threads = argc > 4 ? (unsigned)atoi(argv[4]) : nr_threads;
    if (argc < 3 || mib < 8 || mib > 4096 || nr_threads < 1 || nr_threads > THREADS_MAX) {
        printf("usage: farshake OPERATIONS SEED [MIB [THREADS]]\n");
        return 2;
    }
    wanted = (uint32_t)strtoul(argv[1], NULL, 0);
    seed = strtoul(argv[2], NULL, 0);
    arena_pages = mib * 256;
    first_of_brawl = arena_pages - BRAWL_PAGES;
    start();
    for (unsigned t = 0; t < nr_threads; t++)
        if (pthread_create(&threads[t], NULL, work, &s->thread[t]) != 0)
            return 2;
    watch();
    for (unsigned t = 0; t < nr_threads; t++)
        pthread_join(threads[t], NULL);
    op_end();
    report();
    return 0;
}
