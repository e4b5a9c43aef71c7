/*
 * What every file of the host tool uses: messages, memory that cannot fail, growing strings and
 * word lists, reading files, finding and running other programs with a time limit.
 * Host code; may block.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* What `wherry` exits with when it fails itself, as docker run does; the guest's own statuses,
 * 0..255, pass through. */
enum { EXIT_TOOL = 125, EXIT_TIMEOUT = 124 };

enum verbosity { QUIET = -1, NORMAL = 0, VERBOSE = 1 };
extern enum verbosity verbosity;

/* All messages are one line on stderr that starts with "wherry: ". */
void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));   /* not with --quiet */
void detail(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* with --verbose */

/* Where a function that is tested alone puts its reason for returning false. */
struct why {
    char text[512];
};
bool because(struct why *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

struct strbuf {
    char *s; /* always terminated once something was added */
    size_t len, cap;
};
void sb_add(struct strbuf *b, const void *data, size_t n);
void sb_addf(struct strbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A list of strings of its own, NULL-terminated in v. */
struct words {
    char **v;
    size_t n, cap;
};
void words_add(struct words *w, const char *s);
void words_addf(struct words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool words_have(const struct words *w, const char *s);
void words_free(struct words *w);

/* A file's contents: mapped, or a buffer of someone else's. */
struct blob {
    void *data;
    size_t size;
    bool mapped;
};
bool blob_map(struct blob *b, const char *path, struct why *w); /* regular files only */
void blob_free(struct blob *b);

/* A small text file (of /proc, /sys, /etc) as a string, or NULL. */
char *read_text(const char *path);
bool write_all(int fd, const void *data, size_t n);
/* Unnamed temporary memory, gone with the last descriptor. Inherited by children if asked. */
int temp_file(const char *name);
char *path_join(const char *dir, const char *name);
/* This program's own path. */
char *own_path(void);
/* The program's path through $PATH and then Debian's sbin directories, or NULL. */
char *find_program(const char *name);
/* Runs a program and returns what it printed (both streams), or NULL if it could not be run,
 * failed, or took longer than the limit. */
char *capture(char *const argv[], int limit_ms);
/* Appends s quoted for a POSIX shell. */
void shell_quote(struct strbuf *b, const char *s);
/* The candidate nearest to word in edits, or NULL if none is near. */
const char *nearest(const char *word, const char *const *candidates, size_t n);
uint64_t now_ms(void);            /* monotonic */
char *human_size(uint64_t bytes); /* "9.1 MiB" */
