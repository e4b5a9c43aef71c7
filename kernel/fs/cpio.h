/*
 * The "newc" cpio format (cpio(5), Linux Documentation/driver-api/early-userspace/
 * buffer-format): a pure parser over bytes, without allocation. Called by the unpacker of
 * the initial root, the unit tests and the fuzz target.
 *
 *     entry   = header[110] name[namesize] pad4 data[filesize] pad4
 *     header  = magic "070701" or "070702" (with a checksum of the data), then 13 numbers of
 *               8 hexadecimal digits: ino mode uid gid nlink mtime filesize devmajor devminor
 *               rdevmajor rdevminor namesize check
 *     archive = entry* entry named "TRAILER!!!", after which zeroes and further archives may come
 *
 * Padding is counted from the start of the archive segment, which starts on a multiple of four.
 */
#pragma once

#include "lib/base.h"

#define CPIO_HEADER   110u
#define CPIO_NAME_MAX 4096u /* PATH_MAX: with the terminating NUL */

struct cpio_entry {
    uint32_t ino, mode, uid, gid, nlink, mtime;
    uint32_t size; /* of the data */
    uint32_t dev_major, dev_minor, rdev_major, rdev_minor;
    uint32_t name_size; /* with the NUL */
    uint32_t check;
    bool has_check;
    const char *name;    /* NUL-terminated, inside the buffer (buffer parser only) */
    const uint8_t *data; /* inside the buffer (buffer parser only) */
};

enum cpio_status {
    CPIO_ENTRY,     /* an entry was found */
    CPIO_TRAILER,   /* "TRAILER!!!": this archive ends */
    CPIO_END,       /* no more bytes, or only zeroes up to the end */
    CPIO_OTHER,     /* not a cpio header: perhaps a compressed archive */
    CPIO_TRUNCATED, /* ends in the middle of an entry */
    CPIO_CORRUPT,   /* a number that is none, a name without an end, a wrong checksum */
};

/* Decodes the 110 bytes at h: CPIO_ENTRY, CPIO_OTHER (wrong magic) or CPIO_CORRUPT. */
enum cpio_status cpio_header(const uint8_t *h, struct cpio_entry *e);
/* Takes the next entry of buf[0..len) at *pos and moves *pos behind it. On an error, *pos is
 * where the entry starts. */
enum cpio_status cpio_next(const uint8_t *buf, size_t len, size_t *pos, struct cpio_entry *e);
bool cpio_is_trailer(const char *name);
/* "070702": the sum of the data's bytes. */
uint32_t cpio_sum(uint32_t sum, const uint8_t *data, size_t n);
const char *cpio_status_text(enum cpio_status s);

/*
 * The same format as a stream, for archives that are being decompressed: push() may be given any
 * pieces. The callbacks return 0, or a negative errno that stops the stream.
 */
struct cpio_sink {
    int (*entry)(struct cpio_sink *s, const struct cpio_entry *e, const char *name);
    int (*data)(struct cpio_sink *s, const uint8_t *data, size_t n);
    int (*end)(struct cpio_sink *s); /* the entry's data is complete */
};

enum cpio_stream_state { CPIO_IN_ZEROES, CPIO_IN_HEADER, CPIO_IN_NAME, CPIO_IN_DATA, CPIO_IN_PAD };

struct cpio_stream {
    struct cpio_sink *sink;
    enum cpio_stream_state state, after_pad;
    uint64_t pos;  /* bytes taken so far */
    size_t have;   /* of the header or the name */
    uint32_t left; /* of the data */
    uint32_t sum;
    bool trailer;            /* the last entry was one */
    enum cpio_status status; /* CPIO_ENTRY while all is well */
    struct cpio_entry e;
    uint8_t header[CPIO_HEADER];
    char name[CPIO_NAME_MAX];
};

void cpio_stream_init(struct cpio_stream *s, struct cpio_sink *sink);
/* 0; -EINVAL with status saying why; or what a callback returned. */
int cpio_stream_push(struct cpio_stream *s, const uint8_t *p, size_t n);
/* At the end of the input: 0, or -EINVAL if it ends inside an entry. */
int cpio_stream_finish(struct cpio_stream *s);
