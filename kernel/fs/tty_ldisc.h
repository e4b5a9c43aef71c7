/*
 * A terminal's line discipline (termios(3)): what becomes of received characters and of
 * written ones. Pure: it knows no device, its effects are the two callbacks. Called by fs/tty.c,
 * in any context; the callbacks must not sleep.
 */
#pragma once

#include "lib/base.h"

#include <asm/termbits.h>

#define LDISC_BUFFER 4096u /* a power of two; also the longest line (N_TTY_BUF_SIZE) */

struct ldisc {
    struct ktermios t;
    void (*echo)(struct ldisc *l, const char *s, size_t n); /* to the terminal, already processed */
    void (*signal)(struct ldisc *l, int sig);

    uint32_t tail;    /* next byte to read; these three only ever grow */
    uint32_t done;    /* end of the complete lines (canonical mode) */
    uint32_t head;    /* end of what was received */
    uint32_t column;  /* of the cursor, for tabs and erasing */
    bool literal;     /* the last character was LNEXT */
    bool stopped;     /* output is held by ^S */
    uint64_t dropped; /* bytes that found the buffer full */
    char buf[LDISC_BUFFER];
    uint64_t ends[LDISC_BUFFER / 64]; /* this byte ends a line; if it is NUL, it is an EOF mark */
};

void ldisc_init(struct ldisc *l);
/* Takes received characters. */
void ldisc_input(struct ldisc *l, const char *s, size_t n);
/* Takes what a read(2) of n bytes may have now: the bytes given, 0 for nothing, or for an end of
 * file, in which case *eof is set. */
size_t ldisc_read(struct ldisc *l, char *to, size_t n, bool *eof);
/* Bytes that read would give without waiting (FIONREAD). */
size_t ldisc_available(const struct ldisc *l);
/* Would a read return at once? min: what to wait for in raw mode. */
bool ldisc_readable(const struct ldisc *l, size_t min);
/* Translates s[0..n) for the terminal into out[size]; *used says how much of s was taken. */
size_t ldisc_output(struct ldisc *l, const char *s, size_t n, char *out, size_t size, size_t *used);
void ldisc_flush(struct ldisc *l);
/* TCSETS: switching between canonical and raw makes a partial line readable. */
void ldisc_set_termios(struct ldisc *l, const struct ktermios *t);
