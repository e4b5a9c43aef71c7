/*
 * The UDP server that bench/run measures: an ordinary Linux program, a key-value store of small
 * values behind recvfrom and sendto, one request a datagram. It does real work for each: parses,
 * hashes, looks up or stores, and answers.
 *
 *     udp_echo [-e] [PORT]
 *
 * With -e it only sends every datagram back as it came (`wherry bench` bench/udp.json).
 *
 * Request:  8 bytes identifier, 'G' or 'S', 1 byte key length, key; for 'S' 1 byte value length,
 * value Answer:   8 bytes identifier, 'V' and 1 byte length and value, 'O' stored, 'N' no such key,
 *           'E' malformed or the store is full
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PORT     7777
#define SLOTS    65536 /* a power of two */
#define TEXT_MAX 255
#define ID_SIZE  8
#define DATAGRAM 2048

struct text {
    uint8_t len;
    uint8_t bytes[TEXT_MAX];
};

struct slot {
    struct text key, value; /* key.len 0: free */
};

static struct slot *store;
static unsigned used;

/* FNV-1a. */
static uint32_t hash(const uint8_t *p, size_t n)
{
    uint32_t h = 2166136261u;
    while (n-- > 0)
        h = (h ^ *p++) * 16777619u;
    return h;
}

/* The slot of a key, or the free one where it would go; NULL when there is neither. */
static struct slot *find(const uint8_t *key, uint8_t len)
{
    uint32_t i = hash(key, len) & (SLOTS - 1);
    for (unsigned n = 0; n < SLOTS; n++, i = (i + 1) & (SLOTS - 1)) {
        struct slot *s = &store[i];
        if (s->key.len == 0 || (s->key.len == len && memcmp(s->key.bytes, key, len) == 0))
            return s;
    }
    return NULL;
}

/* Takes len bytes of a length-prefixed text from the request; NULL when it is cut off. */
static const uint8_t *take(const uint8_t **p, const uint8_t *end, uint8_t *len)
{
    if (*p == end)
        return NULL;
    *len = *(*p)++;
    if (*len > end - *p)
        return NULL;
    const uint8_t *text = *p;
    *p += *len;
    return text;
}

/* Writes the answer after the identifier; returns its length. */
static size_t answer(const uint8_t *req, size_t n, uint8_t *out)
{
    const uint8_t *p = req + 1, *end = req + n;
    uint8_t key_len, value_len;
    const uint8_t *key = n > 0 ? take(&p, end, &key_len) : NULL;

    out[0] = 'E';
    if (key == NULL || key_len == 0)
        return 1;
    struct slot *s = find(key, key_len);
    if (req[0] == 'G') {
        if (s == NULL || s->key.len == 0) {
            out[0] = 'N';
            return 1;
        }
        out[0] = 'V';
        out[1] = s->value.len;
        memcpy(out + 2, s->value.bytes, s->value.len);
        return 2u + s->value.len;
    }
    const uint8_t *value = req[0] == 'S' ? take(&p, end, &value_len) : NULL;
    if (value == NULL || s == NULL)
        return 1;
    if (s->key.len == 0) {
        if (used == SLOTS / 2)
            return 1;
        used++;
        s->key.len = key_len;
        memcpy(s->key.bytes, key, key_len);
    }
    s->value.len = value_len;
    memcpy(s->value.bytes, value, value_len);
    out[0] = 'O';
    return 1;
}

int main(int argc, char **argv)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    static uint8_t req[DATAGRAM], ans[DATAGRAM];

    bool echo = argc > 1 && strcmp(argv[1], "-e") == 0;
    const char *port = argv[echo ? 2 : 1];
    addr.sin_port = htons((uint16_t)(port ? atoi(port) : PORT));
    store = calloc(SLOTS, sizeof(*store));
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (store == NULL || fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        perror("udp_echo");
        return 1;
    }
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        struct sockaddr_in peer;
        socklen_t len = sizeof(peer);
        ssize_t n = recvfrom(fd, req, sizeof(req), 0, (struct sockaddr *)&peer, &len);
        if (n < (echo ? 0 : ID_SIZE)) {
            if (n < 0 && errno != EINTR && errno != ECONNREFUSED) {
                perror("recvfrom");
                return 1;
            }
            continue;
        }
        if (echo) {
            sendto(fd, req, (size_t)n, 0, (struct sockaddr *)&peer, len);
            continue;
        }
        memcpy(ans, req, ID_SIZE);
        size_t m = ID_SIZE + answer(req + ID_SIZE, (size_t)n - ID_SIZE, ans + ID_SIZE);
        sendto(fd, ans, m, 0, (struct sockaddr *)&peer, len);
    }
}
