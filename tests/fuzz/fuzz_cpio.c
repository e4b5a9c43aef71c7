// fuzz: kernel/fs/cpio.c
/*
 * Any bytes as an archive: the buffer parser must stay inside the buffer and always get on, and
 * the stream parser must tell the same story as the buffer parser wherever both see a well-formed
 * archive. Input: a byte that says how the stream is cut, then the archive.
 */
#include <stdlib.h>
#include <string.h>

#include "fs/cpio.h"

struct story {
    struct cpio_sink sink;
    uint64_t hash, entries;
};

static void mix(struct story *s, const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s->hash = (s->hash ^ ((const uint8_t *)p)[i]) * 0x100000001b3ull;
}

static int on_entry(struct cpio_sink *k, const struct cpio_entry *e, const char *name)
{
    struct story *s = (struct story *)k;
    s->entries++;
    mix(s, name, strlen(name));
    return 0;
}

static int on_data(struct cpio_sink *k, const uint8_t *p, size_t n)
{
    mix((struct story *)k, p, n);
    return 0;
}

static int on_end(struct cpio_sink *k)
{
    mix((struct story *)k, ">", 1);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t piece = 1u + data[0];
    data++;
    size--;

    struct story whole = {.sink = {on_entry, on_data, on_end}}, stream = whole;
    size_t pos = 0;
    enum cpio_status st;
    do {
        struct cpio_entry e;
        size_t before = pos;
        st = cpio_next(data, size, &pos, &e);
        if (pos > size || pos < before)
            abort();
        if (st == CPIO_ENTRY) {
            if (pos == before)
                abort();
            on_entry(&whole.sink, &e, e.name);
            on_data(&whole.sink, e.data, e.size);
            on_end(&whole.sink);
        }
    } while (st == CPIO_ENTRY || st == CPIO_TRAILER);

    struct cpio_stream *s = malloc(sizeof(*s));
    cpio_stream_init(s, &stream.sink);
    int err = 0;
    for (size_t at = 0; at < size && err == 0; at += piece)
        err = cpio_stream_push(s, data + at, piece < size - at ? piece : size - at);
    if (err == 0)
        err = cpio_stream_finish(s);
    if (st == CPIO_END &&
        (err != 0 || whole.hash != stream.hash || whole.entries != stream.entries))
        abort();
    free(s);
    return 0;
}
