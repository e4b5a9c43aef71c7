// fuzz: apps/httpmem/http.c
/*
 * Any bytes as requests to the parser of apps/httpmem, in memory of exactly their size. Every
 * request lies within what has come, moves on, and has a path inside it or an error; what is whole
 * is the same when more follows, what is not whole is not wrong at once when it is cut shorter
 * (nothing is said of a request on bytes that are not there), and it never waits for more than a
 * head.
 */
#include <stdlib.h>
#include <string.h>

#include "../../apps/httpmem/http.h"

static void check(int good)
{
    if (!good)
        abort();
}

static size_t parse_copy(const uint8_t *data, size_t len, struct http_request *r, size_t *path)
{
    uint8_t *copy = malloc(len ? len : 1);
    size_t n;

    memcpy(copy, data, len);
    n = http_parse(copy, len, r);
    check(n <= len);
    if (n == 0) {
        check(len < HTTP_HEAD_MAX);
    } else if (r->status == 200) {
        bool inside = (const uint8_t *)r->path >= copy && (const uint8_t *)r->path < copy + n;
        uint8_t slack[HTTP_PATH_SLACK];
        char *text = malloc(r->path_len);
        long m = http_unescape(text, r->path, r->path_len);

        check(n <= HTTP_HEAD_MAX && r->path[0] == '/' && r->path_len <= HTTP_TARGET_MAX);
        check(inside || r->path_len == 1);
        check(r->escaped == (memchr(r->path, '%', r->path_len) != NULL));
        check(memchr(r->path, '?', r->path_len) == NULL &&
              memchr(r->path, ' ', r->path_len) == NULL);
        check(m <= (long)r->path_len && (r->escaped || m == (long)r->path_len || m < 0));
        memcpy(slack, r->path + r->path_len, sizeof(slack)); /* may be read */
        check(inside || slack[0] == 0);
        *path = inside ? (size_t)((const uint8_t *)r->path - copy) : len;
        free(text);
    } else {
        check(r->status >= 400 && r->status <= 505 && !r->keep);
    }
    free(copy);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    while (size > 0) {
        struct http_request r, again;
        size_t path = 0, path_again = 0, n = parse_copy(data, size, &r, &path);

        if (n == 0 || r.status != 200)
            break;
        check(parse_copy(data, n, &again, &path_again) == n);
        check(again.status == 200 && again.keep == r.keep && again.head == r.head);
        check(again.path_len == r.path_len && (path == path_again || path == size));
        check(parse_copy(data, n - 1, &again, &path_again) == 0);
        data += n;
        size -= n;
    }
    return 0;
}
