/*
 * An HTTP server from memory, as a native image: what it serves lies ready to be sent, small
 * objects together with their heads, large ones by reference. Its objects are of round sizes: /64,
 * /612, /1k, /4k, /16k, /64k, /1m. add() takes any others that are linked in.
 *
 *     wherry run -p 8080:80 build/apps/httpmem
 */
#include <string.h>
#include <wherry/app.h>
#include <wherry/tcp.h>

#include "http.h"
#include "serve.h"

#define PORT        80
#define CONNECTIONS 10000
#define TABLE_SIZE  256u /* places for paths */
#define NAME_MAX    64u
/* Bodies that are copied behind their heads: together they fit a frame. */
#define TOGETHER_MAX 1200u
/* Memory of this size lies together in the machine's, so that the device gets large pieces of it.
 */
#define ARENA (2u << 20)

struct entry {
    size_t len;
    uint64_t hash;
    struct http_object object;
    char path[NAME_MAX + HTTP_PATH_SLACK];
};

static struct entry *table[TABLE_SIZE];
static unsigned entries;

/* Up to eight bytes of what is left; there are as many to be read in any case (serve.h). */
static inline uint64_t load(const char *s, size_t left)
{
    uint64_t w;

    __builtin_memcpy(&w, s, 8);
    return left < 8 ? w & ((1ull << 8 * left) - 1) : w;
}

static inline uint64_t hash_of(const char *s, size_t len)
{
    uint64_t h = len;

    for (size_t i = 0; i < len; i += 8) {
        h = (h ^ load(s + i, len - i)) * 0x9e3779b97f4a7c15ull;
        h ^= h >> 32;
    }
    return h;
}

static inline bool equal(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i += 8) {
        if (load(a + i, len - i) != load(b + i, len - i))
            return false;
    }
    return true;
}

/* Where a path is, or would be. */
static inline struct entry **place(const char *path, size_t len, uint64_t hash)
{
    size_t i = hash % TABLE_SIZE;

    for (;; i = (i + 1) % TABLE_SIZE) {
        struct entry *e = table[i];

        if (e == NULL || (e->hash == hash && e->len == len && equal(e->path, path, len)))
            return &table[i];
    }
}

static struct http_object *find(const char *path, size_t len)
{
    struct entry *e = *place(path, len, hash_of(path, len));

    return e != NULL ? &e->object : NULL;
}

static void *memory(size_t size)
{
    void *p = wherry_alloc(size);

    if (p == NULL) {
        wherry_print("httpmem: there is no memory for %zu bytes\n", size);
        wherry_exit(1);
    }
    return p;
}

/* body stays as it is. */
static void add(const char *path, const char *type, const void *body, size_t body_len)
{
    bool together = body_len <= TOGETHER_MAX;
    struct entry *e = memory(sizeof(*e)), **at;

    e->len = strnlen(path, NAME_MAX);
    memcpy(e->path, path, e->len);
    e->hash = hash_of(e->path, e->len);
    at = place(e->path, e->len, e->hash);
    if (*at != NULL || entries == TABLE_SIZE / 2) {
        wherry_print("httpmem: %s: the same again, or too many\n", path);
        wherry_exit(1);
    }
    http_object_make(&e->object, memory(http_object_bytes(together ? body_len : 0)), 200, type,
                     body, body_len, together);
    *at = e;
    entries++;
}

/* Bytes that tell where they are: lines of 16, each beginning with its number. */
static void add_patterns(void)
{
    static const struct {
        const char *path;
        size_t len;
    } objects[] = {{"/", 64},     {"/64", 64},     {"/612", 612},   {"/1k", 1024},
                   {"/4k", 4096}, {"/16k", 16384}, {"/64k", 65536}, {"/1m", 1u << 20}};
    char *arena = memory(ARENA);

    for (unsigned i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
        size_t len = objects[i].len;

        for (size_t at = 0; at < len; at += 16)
            wherry_format(arena + at, 17, "%08lx object\n", at / 16);
        add(objects[i].path, "text/plain", arena, len);
        arena += len / 4096 * 4096 + 4096;
    }
}

int main(int argc, char **argv)
{
    int r;

    if (argc > 1) {
        wherry_print("usage: %s\n", argv[0]);
        return 2;
    }
    add_patterns();
    r = http_serve(PORT, CONNECTIONS, find);
    if (r < 0) {
        wherry_print("httpmem: cannot listen (error %d)\n", -r);
        return 1;
    }
    wherry_print("httpmem: port %d, %u objects\n", PORT, entries);
    for (;;) {
        if (!wherry_tcp_run())
            wherry_tcp_wait(WHERRY_FOREVER);
    }
}
