/*
 * gzip and zstd, on top of zlib's inflate and zstd's decoder. Called by the unpacker of the
 * initial root. Takes memory from vmalloc for its tables and window; never sleeps.
 */
#pragma once

#include "lib/base.h"

enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD };

enum compression compression_of(const uint8_t *p, size_t n);

struct decompress_sink {
    /* Gets the output piece by piece: 0, or a negative errno that ends it. */
    int (*output)(struct decompress_sink *s, const uint8_t *p, size_t n);
    /* The first n bytes of the input are not needed any more. */
    void (*consumed)(struct decompress_sink *s, size_t n);
};

/*
 * Decompresses the stream at the start of in[0..len); *used is its length. 0, -EINVAL (damaged),
 * -ENODATA (ends too early), -ENOMEM, or what the sink returned.
 */
int decompress(enum compression kind, const uint8_t *in, size_t len, size_t *used,
               struct decompress_sink *sink);
