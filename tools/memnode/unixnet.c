/*
 * QEMU's network back ends on unix sockets, whose other end is the node: raw Ethernet frames, no
 * privileges, no kernel network between (transport.h). Called by node.c.
 *
 *   -netdev stream,server=off,addr.type=unix,addr.path=PATH: guests connect to PATH; each frame is
 *      behind its length, 4 bytes, big-endian. A link is a connection.
 *   -netdev dgram,local.type=unix,local.path=L,remote.type=unix,remote.path=PATH: a datagram is a
 *      frame. A link is a guest's own path L; each has a socket that is connected to it, so that
 *      one that does not read is waited for alone.
 *
 * What a link does not take waits in its buffer; when that is full, room() is NULL for this link.
 * What is for one that is gone is thrown away.
 */
#define _GNU_SOURCE
#include "transport.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    PREFIX = 4,
    BUFFER = 1 << 20,
    SOCKET_BUFFER = 4 << 20,
    LONGEST = 128 << 10,        /* a longer frame than QEMU ever sends: the stream is out of step */
    LISTENER = TRANSPORT_LINKS, /* its number among the links */
};

struct link {
    int fd; /* -1: free */
    bool watching;
    bool dead;               /* to be closed when nobody reads what was given out */
    struct sockaddr_un peer; /* dgram */
    uint8_t *in;             /* stream: bytes of frames that have not been given out */
    size_t in_at, in_len;
    uint8_t *out; /* frames behind their prefixes, from out_at on */
    size_t out_at, out_len;
};

struct unixnet {
    struct transport t;
    bool stream;
    int fd; /* listener, or what datagrams come to */
    char *path;
    struct link links[TRANSPORT_LINKS];
    uint8_t scratch[TRANSPORT_PACKET]; /* for guests that are gone */
    uint8_t *burst;                    /* dgram: TRANSPORT_BURST packets */
    unsigned next;                     /* the link that is read first */
};

void transport_unix_address(struct sockaddr_un *a, const char *option, const char *path, int type)
{
    struct stat st;
    int s;

    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(a->sun_path))
        die("%s %s: at most %zu characters", option, path, sizeof(a->sun_path) - 1);
    strcpy(a->sun_path, path);
    if (lstat(path, &st) < 0)
        return;
    if (!S_ISSOCK(st.st_mode))
        die("%s %s: there is something else", option, path);
    s = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (s >= 0 && connect(s, (struct sockaddr *)a, sizeof(*a)) == 0)
        die("%s %s is in use by another program", option, path);
    close(s);
    if (unlink(path) < 0)
        die("%s %s: %s", option, path, strerror(errno));
}

/* ---- links ---- */

static void watch(struct unixnet *u, unsigned nr, int op, bool room)
{
    struct epoll_event ev = {.events = (u->stream || nr == LISTENER ? EPOLLIN : 0) |
                                       (room ? EPOLLOUT : 0),
                             .data.u32 = nr};

    if (nr != LISTENER)
        u->links[nr].watching = room;
    if (epoll_ctl(u->t.fd, op, nr == LISTENER ? u->fd : u->links[nr].fd, &ev) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

static void link_close(struct link *l)
{
    close(l->fd);
    free(l->in);
    free(l->out);
    *l = (struct link){.fd = -1};
}

/* A link with that socket; LISTENER if there is no room for it. */
static unsigned link_open(struct unixnet *u, int fd)
{
    int large = SOCKET_BUFFER;
    unsigned nr = 0;

    while (nr < TRANSPORT_LINKS && u->links[nr].fd >= 0)
        nr++;
    if (nr == TRANSPORT_LINKS) {
        warn("more than %d guests on %s", TRANSPORT_LINKS, u->path);
        close(fd);
        return LISTENER;
    }
    /* Only a wish. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
    u->links[nr] = (struct link){.fd = fd, .out = xmalloc(BUFFER)};
    if (u->stream)
        u->links[nr].in = xmalloc(BUFFER);
    watch(u, nr, EPOLL_CTL_ADD, false);
    return nr;
}

static void link_flush(struct unixnet *u, unsigned nr)
{
    struct link *l = &u->links[nr];

    while (l->out_at < l->out_len) {
        size_t n = l->out_len - l->out_at;
        const uint8_t *p = l->out + l->out_at;
        ssize_t sent;

        if (!u->stream) { /* one at a time, without its prefix */
            n = roce_get32(p);
            p += PREFIX;
        }
        sent = send(l->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0) { /* the guest is gone */
            u->t.counts.lost_out++;
            l->dead = true;
            return;
        }
        l->out_at += u->stream ? (size_t)sent : PREFIX + n;
    }
    if (l->out_at == l->out_len)
        l->out_at = l->out_len = 0;
    if (l->watching != (l->out_len > 0))
        watch(u, nr, EPOLL_CTL_MOD, l->out_len > 0);
}

static void unix_flush(struct transport *t)
{
    struct unixnet *u = (struct unixnet *)t;

    for (unsigned i = 0; i < TRANSPORT_LINKS; i++)
        if (u->links[i].fd >= 0 && !u->links[i].dead && u->links[i].out_len)
            link_flush(u, i);
}

static bool gone(const struct link *l)
{
    return l->fd < 0 || l->dead;
}

static uint8_t *unix_room(struct transport *t, unsigned nr)
{
    struct unixnet *u = (struct unixnet *)t;
    struct link *l = &u->links[nr];

    if (!gone(l) && l->out_len + PREFIX + TRANSPORT_PACKET > BUFFER) {
        link_flush(u, nr);
        memmove(l->out, l->out + l->out_at, l->out_len - l->out_at);
        l->out_len -= l->out_at;
        l->out_at = 0;
    }
    if (gone(l))
        return u->scratch;
    if (l->out_len + PREFIX + TRANSPORT_PACKET > BUFFER)
        return NULL;
    return l->out + l->out_len + PREFIX;
}

static void unix_send(struct transport *t, unsigned nr, size_t len)
{
    struct link *l = &((struct unixnet *)t)->links[nr];

    if (gone(l)) {
        t->counts.lost_out++;
        return;
    }
    roce_put32(l->out + l->out_len, len);
    l->out_len += PREFIX + len;
    t->counts.packets_out++;
    t->counts.bytes_out += len;
}

/* What was received is not needed any more. */
static void bury(struct unixnet *u)
{
    for (unsigned i = 0; i < TRANSPORT_LINKS; i++)
        if (u->links[i].dead)
            link_close(&u->links[i]);
}

/* ---- streams ---- */

static void accept_all(struct unixnet *u)
{
    int fd;

    while ((fd = accept4(u->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
        link_open(u, fd);
}

/* Frames that have come whole, from what was read and not been given out. */
static unsigned frames_of(struct unixnet *u, unsigned nr, struct packet *burst, unsigned max)
{
    struct link *l = &u->links[nr];
    unsigned n = 0;

    while (n < max && l->in_len - l->in_at >= PREFIX) {
        size_t len = roce_get32(l->in + l->in_at);

        if (len > LONGEST) {
            warn("a guest on %s does not speak QEMU's stream protocol", u->path);
            l->dead = true;
            return n;
        }
        if (l->in_len - l->in_at < PREFIX + len)
            break;
        if (len > TRANSPORT_PACKET) {
            u->t.counts.lost_in++;
        } else {
            burst[n++] = (struct packet){l->in + l->in_at + PREFIX, len, nr};
            u->t.counts.packets_in++;
            u->t.counts.bytes_in += len;
        }
        l->in_at += PREFIX + len;
    }
    return n;
}

/* What was given out before is not needed any more. */
static unsigned read_link(struct unixnet *u, unsigned nr, struct packet *burst, unsigned max)
{
    struct link *l = &u->links[nr];
    unsigned n = frames_of(u, nr, burst, max);
    ssize_t got;

    if (n || l->dead)
        return n;
    memmove(l->in, l->in + l->in_at, l->in_len - l->in_at);
    l->in_len -= l->in_at;
    l->in_at = 0;
    got = recv(l->fd, l->in + l->in_len, BUFFER - l->in_len, MSG_DONTWAIT);
    if (got > 0) {
        l->in_len += got;
        return frames_of(u, nr, burst, max);
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR))
        l->dead = true;
    return 0;
}

static unsigned stream_receive(struct transport *t, struct packet *burst)
{
    struct unixnet *u = (struct unixnet *)t;
    unsigned n = 0;

    bury(u);
    accept_all(u);
    for (unsigned i = 0; i < TRANSPORT_LINKS && n < TRANSPORT_BURST; i++) {
        unsigned nr = (u->next + i) % TRANSPORT_LINKS;

        if (u->links[nr].fd >= 0)
            n += read_link(u, nr, burst + n, TRANSPORT_BURST - n);
    }
    u->next = (u->next + 1) % TRANSPORT_LINKS;
    return n;
}

/* ---- datagrams ---- */

/* The link to where a datagram came from; LISTENER: none can be had. */
static unsigned link_of(struct unixnet *u, const struct sockaddr_un *from, socklen_t len)
{
    unsigned nr;
    int fd;

    if (len <= offsetof(struct sockaddr_un, sun_path) || !from->sun_path[0])
        return LISTENER; /* has no path, and so cannot be answered */
    for (nr = 0; nr < TRANSPORT_LINKS; nr++)
        if (u->links[nr].fd >= 0 &&
            strncmp(u->links[nr].peer.sun_path, from->sun_path, sizeof(from->sun_path)) == 0)
            return nr;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)from, len) < 0) {
        close(fd);
        return LISTENER;
    }
    nr = link_open(u, fd);
    if (nr != LISTENER)
        u->links[nr].peer = *from;
    return nr;
}

static unsigned dgram_receive(struct transport *t, struct packet *burst)
{
    struct unixnet *u = (struct unixnet *)t;
    unsigned n = 0;

    bury(u);
    while (n < TRANSPORT_BURST) {
        uint8_t *data = u->burst + n * TRANSPORT_PACKET;
        struct sockaddr_un from = {0};
        socklen_t len = sizeof(from);
        ssize_t got = recvfrom(u->fd, data, TRANSPORT_PACKET, MSG_DONTWAIT | MSG_TRUNC,
                               (struct sockaddr *)&from, &len);
        unsigned nr;

        if (got < 0)
            break;
        nr = link_of(u, &from, len);
        if (nr == LISTENER || got > TRANSPORT_PACKET) {
            t->counts.lost_in++;
            continue;
        }
        burst[n++] = (struct packet){data, got, nr};
        t->counts.packets_in++;
        t->counts.bytes_in += got;
    }
    return n;
}

/* ---- both ---- */

static unsigned unix_path_mtu(struct transport *t, uint32_t address)
{
    (void)t, (void)address;
    return TRANSPORT_PACKET - ROCE_ETH; /* the guest's own card is the limit */
}

static void unix_close(struct transport *t)
{
    struct unixnet *u = (struct unixnet *)t;

    unix_flush(t);
    for (unsigned i = 0; i < TRANSPORT_LINKS; i++)
        if (u->links[i].fd >= 0)
            link_close(&u->links[i]);
    close(u->fd);
    close(t->fd);
    unlink(u->path);
    free(u->path);
    free(u->burst);
    free(u);
}

static const struct transport_ops stream_ops = {
    .name = "stream",
    .receive = stream_receive,
    .room = unix_room,
    .send = unix_send,
    .flush = unix_flush,
    .path_mtu = unix_path_mtu,
    .close = unix_close,
};

static const struct transport_ops dgram_ops = {
    .name = "dgram",
    .receive = dgram_receive,
    .room = unix_room,
    .send = unix_send,
    .flush = unix_flush,
    .path_mtu = unix_path_mtu,
    .close = unix_close,
};

static struct transport *open_path(const char *option, const char *path, bool stream)
{
    struct unixnet *u = xcalloc(1, sizeof(*u));
    int type = stream ? SOCK_STREAM : SOCK_DGRAM, large = SOCKET_BUFFER;
    struct sockaddr_un a;

    transport_unix_address(&a, option, path, type);
    u->fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    u->t.fd = epoll_create1(EPOLL_CLOEXEC);
    if (u->fd < 0 || u->t.fd < 0 || bind(u->fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        (stream && listen(u->fd, TRANSPORT_LINKS) < 0))
        die("%s %s: %s", option, path, strerror(errno));
    setsockopt(u->fd, SOL_SOCKET, SO_RCVBUF, &large, sizeof(large)); /* only a wish */
    for (unsigned i = 0; i < TRANSPORT_LINKS; i++)
        u->links[i].fd = -1;
    u->t.ops = stream ? &stream_ops : &dgram_ops;
    u->t.ethernet = true;
    u->stream = stream;
    u->path = xstrdup(path);
    if (!stream)
        u->burst = xmalloc(TRANSPORT_BURST * TRANSPORT_PACKET);
    watch(u, LISTENER, EPOLL_CTL_ADD, false);
    return &u->t;
}

struct transport *transport_stream(const char *path)
{
    return open_path("--netdev stream", path, true);
}

struct transport *transport_dgram(const char *path)
{
    return open_path("--netdev dgram", path, false);
}
