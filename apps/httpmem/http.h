/*
 * HTTP/1.1 requests (RFC 9112) without content: what a server from memory is asked. Pure: no
 * allocation, no library but <string.h>.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX   8192u /* bytes of a request */
#define HTTP_TARGET_MAX 2048u
#define HTTP_PATH_SLACK 8u

struct http_request {
    /* As it was sent, without host and query; inside the request. With status 200 at least
     * HTTP_PATH_SLACK bytes behind it may be read, whatever they are. */
    const char *path;
    size_t path_len;
    bool escaped; /* the path has a '%' */
    bool head;    /* HEAD rather than GET */
    bool old;     /* HTTP/1.0 */
    bool keep;    /* the connection may go on */
    uint16_t
        status; /* 200, or what is wrong: 400, 405, 413, 414, 431, 501, 505; then keep is false */
};

/*
 * Looks at the request at the start of data. 0: it has no end yet; else its length, with *r filled
 * in (if something is wrong, the length is without meaning: what follows cannot be trusted).
 */
size_t http_parse(const uint8_t *data, size_t len, struct http_request *r);

/* "%41" becomes "A". The path's length in to, which has room for len bytes; -1: a bad escape, or a
 * NUL. */
long http_unescape(char *to, const char *path, size_t len);
