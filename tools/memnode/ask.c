/* See ask.h. */
#define _GNU_SOURCE
#include "ask.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { SECONDS = 5 };

static int connect_to(const char *where)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct timeval limit = {.tv_sec = SECONDS};
    uint32_t address = INADDR_LOOPBACK;
    uint16_t port = NODE_PORT;
    bool local = strncmp(where, "unix:", 5) == 0;
    int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

    if (fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (local) {
        if (strlen(where + 5) >= sizeof(un.sun_path))
            die("--stats %s: the path is too long", where);
        strcpy(un.sun_path, where + 5);
        err = connect(fd, (struct sockaddr *)&un, sizeof(un));
    } else {
        if (!memnode_address_parse(where, &address, &port))
            die("--stats %s: ADDRESS, ADDRESS:PORT or unix:PATH", where);
        in.sin_addr.s_addr = htonl(address);
        in.sin_port = htons(port);
        err = connect(fd, (struct sockaddr *)&in, sizeof(in));
    }
    if (err < 0)
        die("--stats %s: %s", where, strerror(errno));
    return fd;
}

static void read_all(int fd, const char *where, uint8_t *p, size_t n)
{
    while (n) {
        ssize_t got = read(fd, p, n);

        if (got == 0)
            die("--stats %s: it hung up; is it a node?", where);
        if (got < 0)
            die("--stats %s: %s", where, errno == EAGAIN ? "no answer" : strerror(errno));
        p += got;
        n -= got;
    }
}

void ask_stats(const struct memnode_options *o)
{
    static uint8_t m[NODE_STREAM_PREFIX + NODE_STREAM_MAX], secret[CONTROL_SECRET_MAX];
    uint8_t *reply = m + NODE_STREAM_PREFIX;
    size_t secret_len = o->key ? memnode_read_key(o->key, secret) : 0;
    uint32_t seq = auth_random32();
    size_t n = node_head(reply, NODE_STATS, 0, seq, 0);
    int fd = connect_to(o->stats);

    auth_sign(reply, n, secret, secret_len);
    roce_put32(m, n);
    if (!write_all(fd, m, NODE_STREAM_PREFIX + n))
        die("--stats %s: %s", o->stats, strerror(errno));
    read_all(fd, o->stats, m, NODE_STREAM_PREFIX);
    n = roce_get32(m);
    if (n < NODE_MIN || n > NODE_STREAM_MAX)
        die("--stats %s: this is not a memory node", o->stats);
    read_all(fd, o->stats, reply, n);
    close(fd);
    if (!node_well_formed(reply, n) || reply[NODE_AT_TYPE] != (NODE_STATS | NODE_REPLY) ||
        roce_get32(reply + NODE_AT_SEQ) != seq)
        die("--stats %s: this is not a memory node", o->stats);
    if (roce_get16(reply + NODE_AT_STATUS) == NODE_E_VERSION)
        die("--stats %s: the node speaks version %u, not %d", o->stats, reply[NODE_AT_VERSION],
            NODE_VERSION);
    if (!auth_verify(reply, n, secret, secret_len))
        die("--stats %s: the node has another key (--key FILE)", o->stats);
    if (roce_get16(reply + NODE_AT_STATUS) != NODE_OK)
        die("--stats %s: refused, with status %u", o->stats, roce_get16(reply + NODE_AT_STATUS));
    printf("%.*s\n", (int)(n - NODE_MIN), reply + NODE_HEAD);
}
