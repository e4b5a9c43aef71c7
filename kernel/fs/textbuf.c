/*
 * Growing texts (textbuf.h).
 */
#include "fs/textbuf.h"

#include "mm/slab.h"

#define FIRST_SIZE 512u
#define PAGES_FROM (32 * KiB) /* larger texts need not be contiguous */

static void release(char *p, size_t size)
{
    if (p == NULL)
        return;
    if (size < PAGES_FROM)
        kfree(p);
    else
        vfree(p);
}

char *text_room(struct text_buf *t, size_t n)
{
    if (t->failed)
        return NULL;
    if (t->size - t->len >= n)
        return t->text + t->len;
    size_t size = MAX(t->size, (size_t)FIRST_SIZE);
    while (size - t->len < n)
        size *= 2;
    char *p = size < PAGES_FROM ? kmalloc(size) : vmalloc(size);
    if (p == NULL) {
        t->failed = true;
        return NULL;
    }
    if (t->len > 0)
        memcpy(p, t->text, t->len);
    release(t->text, t->size);
    t->text = p;
    t->size = size;
    return p + t->len;
}

void text_put(struct text_buf *t, const char *s, size_t n)
{
    char *p = text_room(t, n);
    if (p == NULL)
        return;
    memcpy(p, s, n);
    t->len += n;
}

void text_puts(struct text_buf *t, const char *s)
{
    text_put(t, s, strlen(s));
}

void text_pad(struct text_buf *t, size_t from, size_t column)
{
    while (!t->failed && t->len < from + column)
        text_put(t, " ", 1);
}

void text_printf(struct text_buf *t, const char *fmt, ...)
{
    va_list ap;
    size_t room = 128;
    for (int attempt = 0; attempt < 2; attempt++) {
        char *p = text_room(t, room);
        if (p == NULL)
            return;
        room = t->size - t->len;
        va_start(ap, fmt);
        int n = kvsnprintf(p, room, fmt, ap);
        va_end(ap);
        if ((size_t)n < room) {
            t->len += (size_t)n;
            return;
        }
        room = (size_t)n + 1;
    }
}

void text_free(struct text_buf *t)
{
    release(t->text, t->size);
    *t = (struct text_buf){.text = NULL};
}
