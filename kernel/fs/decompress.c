/*
 * gzip (RFC 1952) and zstd (RFC 8878) streams (decompress.h). The input is fed in slices,
 * so that the caller can free what was read while the output grows.
 */
#include "fs/decompress.h"

#include "mm/slab.h"

#include <asm/errno.h>
#define ZLIB_CONST /* the input is not written to */
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define SLICE       (256 * KiB)
#define OUTPUT      (128 * KiB) /* zstd's largest block */
#define GZIP_FORMAT 16          /* inflateInit2: added to windowBits (zlib.h) */

enum compression compression_of(const uint8_t *p, size_t n)
{
    if (n >= 2 && p[0] == 0x1f && p[1] == 0x8b)
        return COMPRESSION_GZIP;
    if (n >= 4 && p[0] == 0x28 && p[1] == 0xb5 && p[2] == 0x2f && p[3] == 0xfd)
        return COMPRESSION_ZSTD;
    return COMPRESSION_NONE;
}

/* What zlib calls when it is given no allocator of ours. */
void *zcalloc(void *opaque, unsigned items, unsigned size);
void zcfree(void *opaque, void *p);

void *zcalloc(void *opaque, unsigned items, unsigned size)
{
    return vmalloc((size_t)items * size);
}

void zcfree(void *opaque, void *p)
{
    vfree(p);
}

static int run_gzip(const uint8_t *in, size_t len, size_t *used, uint8_t *out,
                    struct decompress_sink *sink)
{
    z_stream z = {.zalloc = NULL};
    int r = inflateInit2(&z, GZIP_FORMAT + MAX_WBITS);
    if (r != Z_OK)
        return r == Z_MEM_ERROR ? -ENOMEM : -EINVAL;
    size_t given = 0;
    int err = 0;
    while (err == 0 && r != Z_STREAM_END) {
        if (z.avail_in == 0) {
            if (given == len) {
                err = -ENODATA;
                break;
            }
            size_t n = MIN(len - given, SLICE);
            z.next_in = in + given;
            z.avail_in = (unsigned)n;
            given += n;
        }
        z.next_out = out;
        z.avail_out = OUTPUT;
        r = inflate(&z, Z_NO_FLUSH);
        if (r == Z_MEM_ERROR)
            err = -ENOMEM;
        else if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
            err = -EINVAL;
        size_t got = OUTPUT - z.avail_out;
        if (err == 0 && got > 0)
            err = sink->output(sink, out, got);
        if (err == 0)
            sink->consumed(sink, given - z.avail_in);
    }
    *used = given - z.avail_in;
    inflateEnd(&z);
    return err;
}

static int run_zstd(const uint8_t *in, size_t len, size_t *used, uint8_t *out,
                    struct decompress_sink *sink)
{
    ZSTD_DStream *d = ZSTD_createDStream();
    if (d == NULL)
        return -ENOMEM;
    ZSTD_inBuffer src = {.src = in};
    size_t left = 1; /* 0: the frame is complete and all of it was given out */
    int err = 0;
    while (err == 0 && left != 0) {
        src.size = MIN(len, src.pos + SLICE);
        ZSTD_outBuffer dst = {.dst = out, .size = OUTPUT};
        size_t before = src.pos;
        left = ZSTD_decompressStream(d, &dst, &src);
        if (ZSTD_isError(left)) {
            err = ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation ? -ENOMEM : -EINVAL;
            break;
        }
        if (dst.pos > 0)
            err = sink->output(sink, out, dst.pos);
        else if (src.pos == before && src.pos == len && left != 0)
            err = -ENODATA;
        if (err == 0)
            sink->consumed(sink, src.pos);
    }
    *used = src.pos;
    ZSTD_freeDStream(d);
    return err;
}

int decompress(enum compression kind, const uint8_t *in, size_t len, size_t *used,
               struct decompress_sink *sink)
{
    uint8_t *out = vmalloc(OUTPUT);
    if (out == NULL)
        return -ENOMEM;
    int err = kind == COMPRESSION_GZIP ? run_gzip(in, len, used, out, sink)
                                       : run_zstd(in, len, used, out, sink);
    vfree(out);
    return err;
}
