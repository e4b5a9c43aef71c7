/*
 * A text that grows as it is written: the content of generated files (/proc, /sys). Never
 * sleeps. When memory runs out the text stops growing and failed says so.
 */
#pragma once

#include "lib/base.h"

struct text_buf {
    char *text;
    size_t len, size;
    bool failed;
};

void text_put(struct text_buf *t, const char *s, size_t n);
void text_puts(struct text_buf *t, const char *s);
void text_printf(struct text_buf *t, const char *fmt, ...) __printf(2, 3);
/* Blanks up to column, counted from byte from of the text. */
void text_pad(struct text_buf *t, size_t from, size_t column);
/* Room for n bytes at the end, to be filled in and counted by text_grown(); NULL: no memory. */
char *text_room(struct text_buf *t, size_t n);
static inline void text_grown(struct text_buf *t, size_t n)
{
    t->len += n;
}
void text_free(struct text_buf *t);
