/*
 * The newc cpio parser (cpio.h). Pure: touches nothing but its arguments. Every length
 * comes from the archive and is checked against what is there before it is used.
 */
#include "fs/cpio.h"

#include <asm/errno.h>

#define FIELDS      13u
#define FIELD_CHARS 8u
#define MAGIC_CHARS 6u

static bool hex_field(const uint8_t *p, uint32_t *out)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < FIELD_CHARS; i++) {
        uint8_t c = p[i];
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = c - '0';
        else if (c >= 'a' && c <= 'f')
            digit = c - 'a' + 10u;
        else if (c >= 'A' && c <= 'F')
            digit = c - 'A' + 10u;
        else
            return false;
        v = v << 4 | digit;
    }
    *out = v;
    return true;
}

enum cpio_status cpio_header(const uint8_t *h, struct cpio_entry *e)
{
    if (memcmp(h, "07070", 5) != 0 || (h[5] != '1' && h[5] != '2'))
        return CPIO_OTHER;
    uint32_t f[FIELDS];
    for (unsigned i = 0; i < FIELDS; i++)
        if (!hex_field(h + MAGIC_CHARS + i * FIELD_CHARS, &f[i]))
            return CPIO_CORRUPT;
    *e = (struct cpio_entry){
        .ino = f[0],
        .mode = f[1],
        .uid = f[2],
        .gid = f[3],
        .nlink = f[4],
        .mtime = f[5],
        .size = f[6],
        .dev_major = f[7],
        .dev_minor = f[8],
        .rdev_major = f[9],
        .rdev_minor = f[10],
        .name_size = f[11],
        .check = f[12],
        .has_check = h[5] == '2',
    };
    return e->name_size > 0 && e->name_size <= CPIO_NAME_MAX ? CPIO_ENTRY : CPIO_CORRUPT;
}

/* More than one NUL at the end is padding, by which packers align the data that follows. */
static bool name_ok(const char *name, uint32_t size)
{
    return name[size - 1] == '\0' && name[0] != '\0';
}

bool cpio_is_trailer(const char *name)
{
    return strcmp(name, "TRAILER!!!") == 0;
}

uint32_t cpio_sum(uint32_t sum, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum += data[i];
    return sum;
}

enum cpio_status cpio_next(const uint8_t *buf, size_t len, size_t *pos, struct cpio_entry *e)
{
    size_t at = *pos;
    if (at >= len)
        return CPIO_END;
    if (buf[at] == 0) {
        /* Zeroes between archives, or the padding of the last block. */
        while (at < len && buf[at] == 0)
            at++;
        if (at == len) {
            *pos = at;
            return CPIO_END;
        }
        if (at % 4 != 0)
            return CPIO_OTHER;
        *pos = at;
    }
    if (len - at < MAGIC_CHARS || memcmp(buf + at, "07070", 5) != 0)
        return CPIO_OTHER;
    if (len - at < CPIO_HEADER)
        return CPIO_TRUNCATED;
    enum cpio_status s = cpio_header(buf + at, e);
    if (s != CPIO_ENTRY)
        return s;
    size_t name = at + CPIO_HEADER;
    if (e->name_size > len - name)
        return CPIO_TRUNCATED;
    e->name = (const char *)buf + name;
    if (!name_ok(e->name, e->name_size))
        return CPIO_CORRUPT;
    size_t data = ALIGN_UP(name + e->name_size, 4);
    if (cpio_is_trailer(e->name)) {
        *pos = MIN(data, len);
        return CPIO_TRAILER;
    }
    if (data > len || e->size > len - data)
        return CPIO_TRUNCATED;
    e->data = buf + data;
    if (e->has_check && cpio_sum(0, e->data, e->size) != e->check)
        return CPIO_CORRUPT;
    *pos = MIN(ALIGN_UP(data + e->size, 4), len);
    return CPIO_ENTRY;
}

const char *cpio_status_text(enum cpio_status s)
{
    switch (s) {
    case CPIO_TRUNCATED:
        return "it ends in the middle of a file";
    case CPIO_CORRUPT:
        return "a damaged entry";
    case CPIO_OTHER:
        return "neither cpio, gzip nor zstd";
    default:
        return "no error";
    }
}

/* ---- As a stream ---------------------------------------------------------------------------- */

void cpio_stream_init(struct cpio_stream *s, struct cpio_sink *sink)
{
    memset(s, 0, offsetof(struct cpio_stream, header));
    s->sink = sink;
    s->state = CPIO_IN_ZEROES;
    s->status = CPIO_ENTRY;
}

static int stream_fail(struct cpio_stream *s, enum cpio_status why)
{
    s->status = why;
    return -EINVAL;
}

/* Copies towards a total of want bytes at to: what was taken. */
static size_t gather(struct cpio_stream *s, void *to, size_t want, const uint8_t *p, size_t n)
{
    size_t take = MIN(want - s->have, n);
    memcpy((char *)to + s->have, p, take);
    s->have += take;
    return take;
}

static int entry_done(struct cpio_stream *s)
{
    if (s->e.has_check && s->sum != s->e.check)
        return stream_fail(s, CPIO_CORRUPT);
    s->state = CPIO_IN_PAD;
    s->after_pad = CPIO_IN_ZEROES;
    return s->sink->end(s->sink);
}

static int name_done(struct cpio_stream *s)
{
    if (!name_ok(s->name, s->e.name_size))
        return stream_fail(s, CPIO_CORRUPT);
    s->state = CPIO_IN_PAD;
    s->trailer = cpio_is_trailer(s->name);
    if (s->trailer) {
        s->after_pad = CPIO_IN_ZEROES;
        return 0;
    }
    s->left = s->e.size;
    s->sum = 0;
    s->after_pad = CPIO_IN_DATA;
    return s->sink->entry(s->sink, &s->e, s->name);
}

int cpio_stream_push(struct cpio_stream *s, const uint8_t *p, size_t n)
{
    int err = 0;
    while (err == 0) {
        size_t take = 0;
        /* A state that needs no more bytes must go on although none are left. */
        if (s->state == CPIO_IN_DATA && s->left == 0) {
            err = entry_done(s);
            continue;
        }
        if (s->state == CPIO_IN_PAD && s->pos % 4 == 0) {
            s->state = s->after_pad;
            s->have = 0;
            continue;
        }
        if (n == 0)
            break;
        switch (s->state) {
        case CPIO_IN_ZEROES:
            if (*p == 0) {
                take = 1;
            } else if (s->pos % 4 != 0) {
                return stream_fail(s, CPIO_OTHER);
            } else {
                s->state = CPIO_IN_HEADER;
                s->have = 0;
            }
            break;
        case CPIO_IN_HEADER:
            take = gather(s, s->header, CPIO_HEADER, p, n);
            if (s->have == CPIO_HEADER) {
                enum cpio_status st = cpio_header(s->header, &s->e);
                if (st != CPIO_ENTRY)
                    return stream_fail(s, st);
                s->state = CPIO_IN_NAME;
                s->have = 0;
            }
            break;
        case CPIO_IN_NAME:
            take = gather(s, s->name, s->e.name_size, p, n);
            break;
        case CPIO_IN_DATA:
            take = MIN((size_t)s->left, n);
            s->left -= (uint32_t)take;
            if (s->e.has_check)
                s->sum = cpio_sum(s->sum, p, take);
            err = s->sink->data(s->sink, p, take);
            break;
        case CPIO_IN_PAD:
            take = 1;
            break;
        }
        p += take;
        n -= take;
        s->pos += take;
        if (err == 0 && s->state == CPIO_IN_NAME && s->have == s->e.name_size)
            err = name_done(s);
    }
    return err;
}

int cpio_stream_finish(struct cpio_stream *s)
{
    if (s->state == CPIO_IN_ZEROES || (s->state == CPIO_IN_PAD && s->after_pad == CPIO_IN_ZEROES))
        return 0;
    return stream_fail(s, CPIO_TRUNCATED);
}
