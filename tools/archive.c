/* See archive.h. */
#define _GNU_SOURCE
#include "archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK        65536
#define UNPACKED_MAX (8ull << 30) /* no guest is that large: a decompression bomb */

static bool failed(struct archive *a, struct why *w)
{
    const char *text = archive_error_string(a);

    return because(w, "%s", text && *text ? text : "damaged or cut short");
}

static bool read_data(struct archive *a, struct strbuf *out, struct why *w)
{
    for (;;) {
        const void *p;
        size_t n;
        la_int64_t at;
        int r = archive_read_data_block(a, &p, &n, &at);
        if (r == ARCHIVE_EOF)
            return true;
        if (r != ARCHIVE_OK)
            return failed(a, w);
        /* Holes (sparse tar members) are zeros between blocks. */
        if (at < 0 || (uint64_t)at + n > UNPACKED_MAX)
            return because(w, "is too large");
        static const char zeros[4096];
        while (out->len < (size_t)at) {
            size_t gap = (size_t)at - out->len;
            sb_add(out, zeros, gap < sizeof(zeros) ? gap : sizeof(zeros));
        }
        sb_add(out, p, n);
    }
}

static bool bad_name(const char *name)
{
    for (const char *p = name; *p;) {
        size_t len = strcspn(p, "/");
        if (len == 2 && p[0] == '.' && p[1] == '.')
            return true;
        p += len + strspn(p + len, "/");
    }
    return false;
}

static bool take_hardlink(struct archive *a, struct archive_entry *e, struct tree *t,
                          const char *path, const char *target, struct why *w)
{
    char *abs = path_join("/", target);
    struct node *first = tree_lookup(t, abs, false);
    struct strbuf data = {0};
    bool ok = true;

    free(abs);
    if (!first || S_ISDIR(first->inode->mode))
        return because(w, "%s is a hard link to %s, which is not before it", path, target);
    /* In newc the contents may come with any of the names. */
    if (archive_entry_size_is_set(e) && archive_entry_size(e) > 0) {
        ok = read_data(a, &data, w);
        if (ok) {
            free(first->inode->data);
            first->inode->data = data.s;
            first->inode->size = data.len;
        }
    }
    return ok && tree_put(t, path, first->inode, w);
}

static bool take_entry(struct archive *a, struct archive_entry *e, struct tree *t, struct why *w)
{
    const char *name = archive_entry_pathname(e), *hardlink = archive_entry_hardlink(e);
    struct strbuf data = {0};
    struct inode *i;
    mode_t mode = archive_entry_mode(e);

    if (!name || bad_name(name))
        return because(w, "has a member with an unusable name (%s)", name ? name : "none");
    char *path = path_join("/", name);
    bool ok = true;
    if (hardlink) {
        ok = take_hardlink(a, e, t, path, hardlink, w);
        free(path);
        return ok;
    }
    if (S_ISREG(mode)) {
        sb_add(&data, "", 0);
        ok = read_data(a, &data, w);
    } else if (S_ISLNK(mode)) {
        const char *target = archive_entry_symlink(e);
        if (target)
            sb_addf(&data, "%s", target);
        else
            ok = because(w, "%s is a link to nothing", path);
    } else if (!S_ISDIR(mode) && !S_ISCHR(mode) && !S_ISBLK(mode) && !S_ISFIFO(mode)) {
        ok = because(w, "%s is of an unknown type", path);
    }
    if (ok) {
        i = inode_new(mode, NULL, 0);
        i->data = data.s;
        i->size = data.len;
        i->uid = archive_entry_uid(e);
        i->gid = archive_entry_gid(e);
        i->mtime = archive_entry_mtime(e);
        i->rdev = S_ISCHR(mode) || S_ISBLK(mode) ? archive_entry_rdev(e) : 0;
        ok = tree_put(t, path, i, w);
    } else {
        free(data.s);
    }
    free(path);
    return ok;
}

/* One archive at the start of the bytes. *used gets how far it went, in these bytes. */
static bool read_members(const char *bytes, size_t size, struct tree *t, size_t *used, bool *cpio,
                         struct why *w)
{
    struct archive *a = archive_read_new();
    struct archive_entry *e;
    bool ok = true;
    int r;

    archive_read_support_filter_none(a);
    archive_read_support_format_cpio(a);
    archive_read_support_format_tar(a);
    if (archive_read_open_memory(a, bytes, size) != ARCHIVE_OK) {
        ok = failed(a, w);
    } else {
        while (ok && (r = archive_read_next_header(a, &e)) != ARCHIVE_EOF) {
            /* A warning (a name in another character set) leaves a usable entry. */
            ok = r == ARCHIVE_OK || r == ARCHIVE_WARN ? take_entry(a, e, t, w) : failed(a, w);
        }
        *cpio = (archive_format(a) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_CPIO;
        *used = archive_filter_bytes(a, 0);
    }
    archive_read_free(a);
    return ok;
}

static bool decompress(const char *bytes, size_t size, bool *compressed, struct strbuf *out,
                       struct why *w)
{
    struct archive *a = archive_read_new();
    struct archive_entry *e;
    bool ok;

    archive_read_support_filter_all(a);
    archive_read_support_format_raw(a);
    archive_read_support_format_empty(a);
    ok = archive_read_open_memory(a, bytes, size) == ARCHIVE_OK &&
         archive_read_next_header(a, &e) == ARCHIVE_OK;
    if (!ok)
        failed(a, w);
    *compressed = ok && archive_filter_code(a, 0) != ARCHIVE_FILTER_NONE;
    if (*compressed)
        ok = read_data(a, out, w);
    archive_read_free(a);
    return ok;
}

static bool looks_like_archive(const char *p, size_t n)
{
    return (n >= 6 && (memcmp(p, "07070", 5) == 0 || memcmp(p, "\xc7\x71", 2) == 0 ||
                       memcmp(p, "\x71\xc7", 2) == 0)) ||
           (n >= 512 && (memcmp(p + 257, "ustar", 5) == 0 || p[0] != '\0'));
}

static bool unpack(const char *bytes, size_t size, int depth, struct tree *t, struct why *w)
{
    size_t at = 0;

    while (at < size) {
        struct strbuf plain = {0};
        bool compressed, cpio = false, ok;
        size_t used = 0;
        if (bytes[at] == '\0') { /* padding between archives */
            at++;
            continue;
        }
        if (!decompress(bytes + at, size - at, &compressed, &plain, w)) {
            free(plain.s);
            return false;
        }
        if (compressed) {
            ok = depth < 2 ? unpack(plain.s, plain.len, depth + 1, t, w)
                           : because(w, "is compressed more than twice");
            free(plain.s);
            return ok;
        }
        if (!looks_like_archive(bytes + at, size - at))
            return because(w, at ? "has bytes that are no archive behind the first one"
                                 : "is neither a cpio nor a tar archive");
        if (!read_members(bytes + at, size - at, t, &used, &cpio, w))
            return false;
        if (!cpio)
            return true;
        at += used ? used : size;
    }
    return true;
}

bool archive_to_tree(struct tree *t, const char *path, struct why *w)
{
    struct blob b;
    struct why reason;
    bool ok;

    if (!blob_map(&b, path, w))
        return false;
    if (b.size == 0)
        ok = because(&reason, "is empty");
    else
        ok = unpack(b.data, b.size, 0, t, &reason);
    blob_free(&b);
    return ok ? true : because(w, "root file system %s: %s", path, reason.text);
}

bool archive_decompress(const char *path, struct strbuf *out, struct why *w)
{
    struct blob b;
    struct why reason;
    bool compressed, ok;

    if (!blob_map(&b, path, w))
        return false;
    ok = b.size > 0 && decompress(b.data, b.size, &compressed, out, &reason);
    if (b.size == 0)
        because(&reason, "is empty");
    if (ok && !compressed)
        sb_add(out, b.data, b.size);
    blob_free(&b);
    return ok ? true : because(w, "%s: %s", path, reason.text);
}

bool archive_compress(int from, uint64_t size, int to, const char *method, struct why *w)
{
    struct archive *a = archive_write_new();
    struct archive_entry *e = archive_entry_new();
    char *buf = xmalloc(CHUNK);
    bool ok;

    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_pathname(e, "data");
    archive_entry_set_size(e, size);
    archive_write_set_format_raw(a);
    archive_write_set_bytes_per_block(a, 0);
    ok = archive_write_add_filter_by_name(a, method) == ARCHIVE_OK;
    /* The same input gives the same output: no time of day in gzip's header. */
    if (ok && strcmp(method, "gzip") == 0)
        ok = archive_write_set_filter_option(a, "gzip", "timestamp", NULL) == ARCHIVE_OK;
    ok = ok && archive_write_open_fd(a, to) == ARCHIVE_OK &&
         archive_write_header(a, e) == ARCHIVE_OK;
    for (uint64_t done = 0; ok && done < size;) {
        ssize_t n = pread(from, buf, CHUNK, done);
        if (n <= 0)
            ok = n < 0 ? because(w, "%s", strerror(errno)) : because(w, "input ended early");
        else if (archive_write_data(a, buf, n) != n)
            ok = failed(a, w);
        done += n > 0 ? n : 0;
    }
    if (ok && archive_write_close(a) != ARCHIVE_OK)
        ok = failed(a, w);
    else if (!ok && archive_error_string(a))
        failed(a, w);
    free(buf);
    archive_entry_free(e);
    archive_write_free(a);
    return ok;
}
