/* See util.h. */
#define _GNU_SOURCE
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum verbosity verbosity = NORMAL;

/* One write, so that a line is not torn by the guest's console output on the same terminal. */
static void say(const char *prefix, const char *fmt, va_list ap)
{
    struct strbuf b = {0};
    char line[2048];

    vsnprintf(line, sizeof(line), fmt, ap);
    sb_addf(&b, "wherry: %s%s\n", prefix, line);
    write_all(STDERR_FILENO, b.s, b.len);
    free(b.s);
}

void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("", fmt, ap);
    va_end(ap);
    exit(EXIT_TOOL);
}

void warn(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("warning: ", fmt, ap);
    va_end(ap);
}

void note(const char *fmt, ...)
{
    va_list ap;

    if (verbosity < NORMAL)
        return;
    va_start(ap, fmt);
    say("", fmt, ap);
    va_end(ap);
}

void detail(const char *fmt, ...)
{
    va_list ap;

    if (verbosity < VERBOSE)
        return;
    va_start(ap, fmt);
    say("", fmt, ap);
    va_end(ap);
}

bool because(struct why *w, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(w->text, sizeof(w->text), fmt, ap);
    va_end(ap);
    return false;
}

void *xrealloc(void *p, size_t n)
{
    void *q = realloc(p, n ? n : 1);

    if (!q)
        die("out of memory");
    return q;
}

void *xmalloc(size_t n)
{
    return xrealloc(NULL, n);
}

void *xcalloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);

    if (!p)
        die("out of memory");
    return p;
}

char *xstrndup(const char *s, size_t n)
{
    char *p = strndup(s, n);

    if (!p)
        die("out of memory");
    return p;
}

char *xstrdup(const char *s)
{
    return xstrndup(s, strlen(s));
}

static char *format(const char *fmt, va_list ap)
{
    char *s;

    if (vasprintf(&s, fmt, ap) < 0)
        die("out of memory");
    return s;
}

char *xasprintf(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    char *s = format(fmt, ap);
    va_end(ap);
    return s;
}

void sb_add(struct strbuf *b, const void *data, size_t n)
{
    if (b->len + n + 1 > b->cap) {
        b->cap = (b->len + n + 1) * 2;
        b->s = xrealloc(b->s, b->cap);
    }
    if (n)
        memcpy(b->s + b->len, data, n);
    b->len += n;
    b->s[b->len] = '\0';
}

void sb_addf(struct strbuf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    char *s = format(fmt, ap);
    va_end(ap);
    sb_add(b, s, strlen(s));
    free(s);
}

static void words_take(struct words *w, char *s)
{
    if (w->n + 2 > w->cap) {
        w->cap = w->cap ? w->cap * 2 : 16;
        w->v = xrealloc(w->v, w->cap * sizeof(w->v[0]));
    }
    w->v[w->n++] = s;
    w->v[w->n] = NULL;
}

void words_add(struct words *w, const char *s)
{
    words_take(w, xstrdup(s));
}

void words_addf(struct words *w, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    words_take(w, format(fmt, ap));
    va_end(ap);
}

bool words_have(const struct words *w, const char *s)
{
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->v[i], s) == 0)
            return true;
    return false;
}

void words_free(struct words *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->v[i]);
    free(w->v);
    *w = (struct words){0};
}

bool blob_map(struct blob *b, const char *path, struct why *w)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    *b = (struct blob){0};
    if (fd < 0)
        return because(w, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return because(w, "%s: %s", path,
                       S_ISDIR(st.st_mode) ? "is a directory" : "is not a regular file");
    }
    if (st.st_size) {
        /* Private and writable, since libelf may convert in place. */
        void *p = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            close(fd);
            return because(w, "%s: %s", path, strerror(errno));
        }
        *b = (struct blob){p, st.st_size, true};
    }
    close(fd);
    return true;
}

void blob_free(struct blob *b)
{
    if (b->mapped)
        munmap(b->data, b->size);
    *b = (struct blob){0};
}

char *read_text(const char *path)
{
    struct strbuf b = {0};
    char buf[4096];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return NULL;
    sb_add(&b, "", 0);
    while ((n = read(fd, buf, sizeof(buf))) > 0)
        sb_add(&b, buf, n);
    close(fd);
    if (n < 0) {
        free(b.s);
        return NULL;
    }
    return b.s;
}

bool write_all(int fd, const void *data, size_t n)
{
    const char *p = data;

    while (n) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return false;
        p += w;
        n -= w;
    }
    return true;
}

int temp_file(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC);

    if (fd < 0)
        die("cannot create a temporary file: %s", strerror(errno));
    return fd;
}

char *path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);

    return xasprintf("%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
}

static bool runnable(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *own_path(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path));

    if (n < 0 || n == sizeof(path))
        die("cannot find where this program is: %s", strerror(n < 0 ? errno : ENAMETOOLONG));
    return xstrndup(path, n);
}

char *find_program(const char *name)
{
    const char *env = getenv("PATH");
    /* Debian's user PATH has no sbin, but servers live there. */
    char *dirs = xasprintf("%s:/usr/local/sbin:/usr/sbin:/sbin", env ? env : "/usr/bin:/bin");
    char *save = NULL, *found = NULL;

    for (char *d = strtok_r(dirs, ":", &save); d && !found; d = strtok_r(NULL, ":", &save)) {
        char *p = path_join(d, name);
        if (d[0] == '/' && runnable(p))
            found = p;
        else
            free(p);
    }
    free(dirs);
    return found;
}

char *capture(char *const argv[], int limit_ms)
{
    struct strbuf b = {0};
    int pipefd[2], status;
    uint64_t end = now_ms() + limit_ms;
    char buf[4096];
    bool late = false;

    if (pipe2(pipefd, O_CLOEXEC) < 0)
        return NULL;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDONLY);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(null, 0);
        dup2(pipefd[1], 1);
        dup2(pipefd[1], 2);
        execv(argv[0], argv);
        _exit(127);
    }
    close(pipefd[1]);
    sb_add(&b, "", 0);
    for (;;) {
        struct pollfd p = {pipefd[0], POLLIN, 0};
        uint64_t now = now_ms();
        if (pid < 0 || now >= end || poll(&p, 1, end - now) <= 0) {
            late = true;
            break;
        }
        ssize_t n = read(pipefd[0], buf, sizeof(buf));
        if (n <= 0)
            break;
        sb_add(&b, buf, n);
    }
    close(pipefd[0]);
    if (pid > 0) {
        if (late)
            kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    if (late || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        free(b.s);
        return NULL;
    }
    return b.s;
}

void shell_quote(struct strbuf *b, const char *s)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "%+,-./:=@_";

    if (*s && s[strspn(s, plain)] == '\0') {
        sb_addf(b, "%s", s);
        return;
    }
    sb_addf(b, "'");
    for (; *s; s++)
        sb_addf(b, *s == '\'' ? "'\\''" : "%c", *s);
    sb_addf(b, "'");
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;

    return m < c ? m : c;
}

/* Levenshtein's distance with one row; words longer than the row count as far away. */
static size_t edits(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);

    if (n + 1 > ARRAY_LEN(row))
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; *a; a++, i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t up = row[j];
            row[j] = min3(up + 1, row[j - 1] + 1, diagonal + (*a != b[j - 1]));
            diagonal = up;
        }
    }
    return row[n];
}

const char *nearest(const char *word, const char *const *candidates, size_t n)
{
    const char *best = NULL;
    size_t best_edits = 4; /* more than three changes are another word */

    for (size_t i = 0; i < n; i++) {
        size_t e = edits(word, candidates[i]);
        if (e < best_edits && e < strlen(candidates[i])) {
            best = candidates[i];
            best_edits = e;
        }
    }
    return best;
}

uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

char *human_size(uint64_t bytes)
{
    if (bytes < KIB(1))
        return xasprintf("%llu bytes", (unsigned long long)bytes);
    if (bytes < MIB(1))
        return xasprintf("%.1f KiB", bytes / 1024.0);
    return xasprintf("%.1f MiB", bytes / (1024.0 * 1024.0));
}
