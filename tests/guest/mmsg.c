/*
 * recvmmsg() and sendmmsg() on UDP sockets: batches of plain messages with others among them,
 * errors and faults in the middle, time limits. Called by mmsg.t, on Linux and on Wherry:
 *
 *     mmsg echo ADDRESS PORT    sends what comes back to whom it came from, on PORT and PORT + 1
 *     mmsg ADDRESS PORT         the checks, with that one's help: TAP
 *     mmsg PORT                 the same within this machine, with the help of a thread
 *
 * Datagrams of a check are few enough that a host's default buffers hold them.
 */
#include "abi/tap.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define MSGS 40
#define ROOM 2048

static struct sockaddr_in peer[2];

/* ---- The helper ---- */

static void *helper(void *unused)
{
    static char data[65536];
    struct sockaddr_in from;
    struct pollfd p[2];

    (void)unused;
    for (int i = 0; i < 2; i++) {
        p[i] = (struct pollfd){.fd = socket(AF_INET, SOCK_DGRAM, 0), .events = POLLIN};
        MUST(bind(p[i].fd, (void *)&peer[i], sizeof(peer[i])) == 0);
    }
    for (;;) {
        poll(p, 2, -1);
        for (int i = 0; i < 2; i++) {
            socklen_t len = sizeof(from);
            ssize_t n = recvfrom(p[i].fd, data, sizeof(data), MSG_DONTWAIT, (void *)&from, &len);
            if (n >= 0)
                sendto(p[i].fd, data, n, 0, (void *)&from, len);
        }
    }
}

/* ---- Messages ---- */

static struct batch {
    struct mmsghdr m[MSGS];
    struct iovec v[MSGS];
    struct sockaddr_storage name[MSGS];
    char data[MSGS][ROOM];
} out, in;

/* Datagram i: i in its first bytes, and a text that follows from it and its length. */
static void fill(char *data, size_t len, unsigned i)
{
    for (size_t k = 0; k < len; k++)
        data[k] = k == 0 ? (char)i : (char)(i * 7 + len + k);
}

static bool same(const char *data, size_t len, unsigned i)
{
    char want[ROOM];

    fill(want, len, i);
    return memcmp(data, want, len) == 0;
}

static size_t length_of(unsigned i)
{
    static const size_t lengths[8] = {1, 80, 32, 33, 1, 1400, 16, 512};
    return lengths[i % 8];
}

/* n plain messages to the helper. */
static void to_send(unsigned n)
{
    memset(&out, 0, sizeof(out));
    for (unsigned i = 0; i < n; i++) {
        fill(out.data[i], length_of(i), i);
        out.v[i] = (struct iovec){out.data[i], length_of(i)};
        memcpy(&out.name[i], &peer[0], sizeof(peer[0]));
        out.m[i].msg_hdr = (struct msghdr){.msg_name = &out.name[i],
                                           .msg_namelen = sizeof(peer[0]),
                                           .msg_iov = &out.v[i],
                                           .msg_iovlen = 1};
        out.m[i].msg_len = 7777;
    }
}

static void to_receive(unsigned n)
{
    memset(&in, 0x55, sizeof(in));
    for (unsigned i = 0; i < n; i++) {
        in.v[i] = (struct iovec){in.data[i], ROOM};
        in.m[i].msg_hdr = (struct msghdr){.msg_name = &in.name[i],
                                          .msg_namelen = sizeof(peer[0]),
                                          .msg_iov = &in.v[i],
                                          .msg_iovlen = 1,
                                          .msg_flags = 0x5555};
    }
}

/* Waits until n datagrams wait; FIONREAD tells only of the first. */
static void settle(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    poll(&p, 1, 1000);
    usleep(150000);
}

static void drain(int fd)
{
    char data[ROOM];

    usleep(100000);
    while (recv(fd, data, sizeof(data), MSG_DONTWAIT) >= 0)
        ;
}

static int fresh(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in any = {.sin_family = AF_INET};
    char data[8] = "hello";

    MUST(bind(fd, (void *)&any, sizeof(any)) == 0);
    /* The first datagram finds the way; it may be lost where ARP has to be asked. */
    for (int i = 0; i < 20; i++) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        sendto(fd, data, 6, 0, (void *)&peer[0], sizeof(peer[0]));
        if (poll(&p, 1, 200) == 1)
            break;
    }
    drain(fd);
    return fd;
}

/* Are the messages from the k-th on, n of them, datagrams first... of to_send(), whole and from the
 * helper? */
static bool got(unsigned k, unsigned n, unsigned first)
{
    for (unsigned i = k; i < k + n; i++, first++) {
        const struct msghdr *h = &in.m[i].msg_hdr;
        if (in.m[i].msg_len != length_of(first) || !same(in.data[i], in.m[i].msg_len, first) ||
            h->msg_namelen != 16 || memcmp(h->msg_name, &peer[0], 16) != 0 || h->msg_flags != 0 ||
            h->msg_controllen != 0) {
            printf("# message %u: length %u, namelen %u, flags %x, controllen %zu\n", i,
                   in.m[i].msg_len, h->msg_namelen, h->msg_flags, h->msg_controllen);
            return false;
        }
    }
    return true;
}

/* ---- The checks ---- */

static void plain(void)
{
    int fd = fresh();
    bool lengths = true;

    for (int round = 0; round < 3; round++) {
        to_send(MSGS);
        OK(sendmmsg(fd, out.m, MSGS, 0) == MSGS);
        for (unsigned i = 0; i < MSGS; i++)
            lengths &= out.m[i].msg_len == length_of(i);
        settle(fd);
        to_receive(MSGS);
        OK(recvmmsg(fd, in.m, MSGS, MSG_WAITFORONE, NULL) == MSGS);
        OK(got(0, MSGS, 0));
    }
    OK(lengths);
    FAILS(recvmmsg(fd, in.m, MSGS, MSG_DONTWAIT, NULL), EAGAIN);
    OK(recvmmsg(fd, in.m, 0, 0, NULL) == 0);
    OK(sendmmsg(fd, out.m, 0, 0) == 0);
    FAILS(sendmmsg(-1, out.m, 1, 0), EBADF);
    FAILS(recvmmsg(1000, in.m, 1, 0, NULL), EBADF);
    close(fd);
}

/* Two helpers in turns, datagrams of no length, and more than there are. */
static void several(void)
{
    int fd = fresh();
    bool good = true;

    to_send(8);
    for (unsigned i = 1; i < 8; i += 2)
        memcpy(&out.name[i], &peer[1], sizeof(peer[1]));
    out.v[4].iov_len = 0;
    OK(sendmmsg(fd, out.m, 8, MSG_NOSIGNAL) == 8);
    OK(out.m[4].msg_len == 0);
    settle(fd);
    to_receive(MSGS);
    OK(recvmmsg(fd, in.m, MSGS, MSG_WAITFORONE, NULL) == 8);
    /* Of two sockets on another machine each keeps its order, both together do not. */
    unsigned seen = 0;
    for (unsigned i = 0; i < 8; i++) {
        unsigned k = in.m[i].msg_len == 0 ? 4 : (unsigned char)in.data[i][0];
        good &= k < 8 && memcmp(in.m[i].msg_hdr.msg_name, &peer[k & 1], 16) == 0;
        good &= k == 4 || (in.m[i].msg_len == length_of(k) && same(in.data[i], length_of(k), k));
        seen |= 1u << k;
    }
    OK(good && seen == 0xff);
    close(fd);
}

/* Answers to two sockets come in turns: each gets its own. */
static void two_sockets(void)
{
    int a = fresh(), b = fresh();

    to_send(12);
    for (int i = 0; i < 12; i += 2) {
        MUST(sendmmsg(a, out.m + i, 1, 0) == 1);
        MUST(sendmmsg(b, out.m + i + 1, 1, 0) == 1);
    }
    settle(a);
    for (int k = 0; k < 2; k++) {
        bool good = true;
        to_receive(12);
        OK(recvmmsg(k ? b : a, in.m, 12, MSG_DONTWAIT, NULL) == 6);
        for (int i = 0; i < 6; i++)
            good &= got(i, 1, 2 * i + k);
        OK(good);
    }
    close(a);
    close(b);
}

/* Room for names: none, too little, more than enough, and none wanted. Two pieces; too little room.
 */
static void odd_ones(void)
{
    int fd = fresh();
    char text[32];

    to_send(12);
    out.v[9] = (struct iovec){out.data[5], 700};
    struct iovec two[2] = {{out.data[5], 700}, {out.data[5] + 700, 700}};
    out.m[5].msg_hdr.msg_iov = two; /* datagram 5, in two pieces */
    out.m[5].msg_hdr.msg_iovlen = 2;
    OK(sendmmsg(fd, out.m, 9, 0) == 9);
    OK(out.m[5].msg_len == 1400 && out.m[8].msg_len == length_of(8));
    settle(fd);
    to_receive(9);
    in.m[1].msg_hdr.msg_namelen = sizeof(in.name[0]);
    in.m[2].msg_hdr.msg_namelen = 8;
    in.m[3].msg_hdr.msg_name = NULL;
    in.m[3].msg_hdr.msg_namelen = 77;
    in.v[5].iov_len = 100;
    struct iovec halves[2] = {{in.data[7], 100}, {in.data[7] + 100, ROOM - 100}};
    in.m[7].msg_hdr.msg_iov = halves;
    in.m[7].msg_hdr.msg_iovlen = 2;
    OK(recvmmsg(fd, in.m, 9, MSG_DONTWAIT, NULL) == 9);
    OK(got(0, 2, 0) && got(4, 1, 4) && got(6, 3, 6));
    memset(text, 0x55, sizeof(text));
    OK(in.m[2].msg_hdr.msg_namelen == 16 && memcmp(&in.name[2], &peer[0], 8) == 0 &&
       memcmp((char *)&in.name[2] + 8, text, 8) == 0);
    OK(in.m[3].msg_len == length_of(3) && same(in.data[3], length_of(3), 3) &&
       in.m[3].msg_hdr.msg_flags == 0 && *(char *)&in.name[3] == 0x55);
    OK(in.m[5].msg_len == 100 && in.m[5].msg_hdr.msg_flags == MSG_TRUNC &&
       memcmp(in.data[5], out.data[5], 100) == 0 && in.data[5][100] == 0x55);

    to_send(2);
    OK(sendmmsg(fd, out.m, 2, 0) == 2);
    settle(fd);
    to_receive(2);
    in.v[1].iov_len = 10;
    OK(recvmmsg(fd, in.m, 2, MSG_PEEK, NULL) == 2);
    OK(in.m[0].msg_len == 1 && in.m[1].msg_len == 1);
    OK(recvmmsg(fd, in.m, 2, MSG_TRUNC | MSG_DONTWAIT, NULL) == 2);
    OK(in.m[1].msg_len == length_of(1) && in.m[1].msg_hdr.msg_flags == MSG_TRUNC);
    close(fd);
}

static void control(void)
{
    int fd = fresh(), one = 1;
    char room[4][128];
    struct cmsghdr *c;

    OK(setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one)) == 0);
    to_send(4);
    memset(room, 0, sizeof(room));
    struct msghdr *h = &out.m[1].msg_hdr;
    h->msg_control = room[0];
    h->msg_controllen = CMSG_SPACE(sizeof(struct in_pktinfo));
    c = CMSG_FIRSTHDR(h);
    *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo)),
                          .cmsg_level = IPPROTO_IP,
                          .cmsg_type = IP_PKTINFO};
    OK(sendmmsg(fd, out.m, 4, 0) == 4);
    settle(fd);
    to_receive(4);
    for (int i = 1; i < 3; i++) {
        in.m[i].msg_hdr.msg_control = room[i];
        in.m[i].msg_hdr.msg_controllen = sizeof(room[i]);
    }
    OK(recvmmsg(fd, in.m, 4, MSG_DONTWAIT, NULL) == 4);
    /* Who has no room for what he asked for is told. */
    OK(in.m[0].msg_hdr.msg_flags == MSG_CTRUNC || in.m[0].msg_hdr.msg_flags == 0);
    for (int i = 1; i < 3; i++) {
        c = CMSG_FIRSTHDR(&in.m[i].msg_hdr);
        OK(in.m[i].msg_hdr.msg_controllen == CMSG_SPACE(sizeof(struct in_pktinfo)) &&
           c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO &&
           in.m[i].msg_len == length_of(i) && same(in.data[i], length_of(i), i));
    }
    OK(in.m[3].msg_len == length_of(3) && in.m[3].msg_hdr.msg_controllen == 0);
    to_send(3);
    out.m[1].msg_hdr.msg_control = room[0]; /* shorter than a header says it is */
    out.m[1].msg_hdr.msg_controllen = CMSG_SPACE(sizeof(struct in_pktinfo));
    c = (struct cmsghdr *)room[0];
    c->cmsg_len = 1000;
    OK(sendmmsg(fd, out.m, 3, 0) == 1);
    FAILS(sendmmsg(fd, out.m + 1, 2, 0), EINVAL);
    close(fd);
}

/* What is wrong with a message in the middle ends the call before it, and the next call begins with
 * it. */
static void errors_in_the_middle(void)
{
    static char large[65536];
    int fd = fresh();

    for (int kind = 0; kind < 6; kind++) {
        static const int error[6] = {EFAULT, EFAULT, EINVAL, EMSGSIZE, EINVAL, EFAULT};
        to_send(6);
        if (kind == 0)
            out.v[3].iov_base = (void *)8;
        else if (kind == 1)
            out.m[3].msg_hdr.msg_iov = (void *)16;
        else if (kind == 2)
            out.v[3].iov_len = (size_t)-1;
        else if (kind == 3)
            out.v[3] = (struct iovec){large, sizeof(large)};
        else if (kind == 4)
            ((struct sockaddr_in *)&out.name[3])->sin_port = 0;
        else
            out.m[3].msg_hdr.msg_name = (void *)8;
        printf("# kind %d\n", kind);
        OK(sendmmsg(fd, out.m, 6, 0) == 3);
        OK(out.m[2].msg_len == length_of(2) && out.m[3].msg_len == 7777 &&
           out.m[4].msg_len == 7777);
        FAILS(sendmmsg(fd, out.m + 3, 3, 0), error[kind]);
        OK(sendmmsg(fd, out.m + 4, 2, 0) == 2);
        settle(fd);
        to_receive(6);
        OK(recvmmsg(fd, in.m, 6, MSG_DONTWAIT, NULL) == 5 && got(0, 3, 0) && got(3, 2, 4));
    }
    FAILS(sendmmsg(fd, (void *)8, 3, 0), EFAULT);
    FAILS(sendmmsg(fd, (void *)-64l, 3, 0), EFAULT);
    FAILS(recvmmsg(fd, (void *)-64l, 3, MSG_DONTWAIT, NULL), EFAULT);
    FAILS(recvmmsg(fd, (void *)8, 3, MSG_DONTWAIT, NULL), EFAULT);

    /* A receive that fails in the middle has lost that datagram, and the next call is told. */
    for (int kind = 0; kind < 2; kind++) {
        to_send(6);
        OK(sendmmsg(fd, out.m, 6, 0) == 6);
        settle(fd);
        to_receive(6);
        if (kind == 0)
            in.v[2].iov_base = (void *)8;
        else
            in.m[2].msg_hdr.msg_name = (void *)8;
        printf("# kind %d\n", kind);
        OK(recvmmsg(fd, in.m, 6, MSG_DONTWAIT, NULL) == 2 && got(0, 2, 0));
        FAILS(recvmmsg(fd, in.m + 3, 3, MSG_DONTWAIT, NULL), EFAULT);
        OK(recvmmsg(fd, in.m + 3, 3, MSG_DONTWAIT, NULL) == 3 && got(3, 3, 3));
    }
    close(fd);
}

/* Headers at the end of what is mapped, and ones that cannot be written. */
static void headers_at_a_border(void)
{
    size_t page = 4096;
    char *p = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = fresh();

    MUST(p != MAP_FAILED && mprotect(p + page, page, PROT_NONE) == 0);
    struct mmsghdr *m = (struct mmsghdr *)(p + page) - 3;
    to_send(3);
    memcpy(m, out.m, 3 * sizeof(*m));
    OK(sendmmsg(fd, m, 6, 0) == 3);
    FAILS(sendmmsg(fd, m + 3, 1, 0), EFAULT);
    settle(fd);
    to_receive(3);
    memcpy(m, in.m, 3 * sizeof(*m));
    OK(recvmmsg(fd, m, 6, MSG_WAITFORONE, NULL) == 3);
    memcpy(in.m, m, 3 * sizeof(*m));
    OK(got(0, 3, 0));
    FAILS(recvmmsg(fd, in.m, 1, MSG_DONTWAIT, NULL), EFAULT); /* of the fourth header */

    /* The first length cannot be written: this message has gone out, and no other has. */
    m = (struct mmsghdr *)p;
    to_send(6);
    memcpy(m, out.m, 6 * sizeof(*m));
    MUST(mprotect(p, page, PROT_READ) == 0);
    FAILS(sendmmsg(fd, m, 6, 0), EFAULT);
    settle(fd);
    to_receive(6);
    OK(recvmmsg(fd, in.m, 6, MSG_WAITFORONE, NULL) == 1 && got(0, 1, 0));
    MUST(mprotect(p, page, PROT_READ | PROT_WRITE) == 0);

    /* The same of a receive: of a struct that lies on the border, the half with the flags. */
    to_send(3);
    OK(sendmmsg(fd, out.m, 3, 0) == 3);
    settle(fd);
    to_receive(3);
    m = (struct mmsghdr *)(p + page - 32) - 1;
    memcpy(m, in.m, sizeof(*m));
    MUST(mprotect(p + page, page, PROT_READ | PROT_WRITE) == 0);
    memcpy(m + 1, &in.m[1], 2 * sizeof(*m));
    MUST(mprotect(p + page, page, PROT_READ) == 0);
    OK(recvmmsg(fd, m, 3, MSG_DONTWAIT, NULL) == 1);
    FAILS(recvmmsg(fd, in.m + 2, 1, MSG_DONTWAIT, NULL), EFAULT);
    OK(recvmmsg(fd, in.m + 2, 1, MSG_DONTWAIT, NULL) == 1 && got(2, 1, 2));
    close(fd);
    munmap(p, 3 * page);
}

static void limits(void)
{
    int fd = fresh();
    struct timespec t = {0, 0};
    struct timeval limit = {.tv_usec = 100000};
    uint64_t start;

    to_send(6);
    OK(sendmmsg(fd, out.m, 6, 0) == 6);
    settle(fd);
    to_receive(6);
    OK(recvmmsg(fd, in.m, 6, 0, &t) == 1 && got(0, 1, 0)); /* the time is up after the first */
    t = (struct timespec){5, 0};
    OK(recvmmsg(fd, in.m + 1, 2, 0, &t) == 2 && got(1, 2, 1));
    OK(t.tv_sec == 4 && t.tv_nsec > 0);
    t.tv_nsec = 1000000000;
    FAILS(recvmmsg(fd, in.m + 3, 2, 0, &t), EINVAL);
    OK(recvmmsg(fd, in.m + 3, 2, 0, NULL) == 2 && got(3, 2, 3));
    MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    start = now_ns();
    OK(recvmmsg(fd, in.m + 5, 1, 0, NULL) == 1 && got(5, 1, 5));
    FAILS(recvmmsg(fd, in.m, 6, 0, NULL), EAGAIN);
    OK(now_ns() - start >= 100000000);
    /* It waits for all of them; the limit ends it with those that have come. */
    to_send(2);
    OK(sendmmsg(fd, out.m, 2, 0) == 2);
    to_receive(6);
    start = now_ns();
    OK(recvmmsg(fd, in.m, 6, 0, NULL) == 2 && got(0, 2, 0));
    OK(now_ns() - start >= 100000000);
    close(fd);
}

static void connected(void)
{
    int fd = fresh(), other = fresh();
    struct sockaddr_in closed = peer[0];

    MUST(connect(fd, (void *)&peer[0], sizeof(peer[0])) == 0);
    to_send(4);
    for (int i = 0; i < 4; i++)
        out.m[i].msg_hdr.msg_name = NULL;
    OK(sendmmsg(fd, out.m, 4, 0) == 4); /* finds the way */
    settle(fd);
    to_receive(4);
    OK(recvmmsg(fd, in.m, 4, MSG_DONTWAIT, NULL) == 4 && got(0, 4, 0));
    for (int i = 0; i < 4; i++)
        out.m[i].msg_hdr.msg_namelen = 0;
    out.m[2].msg_hdr.msg_name =
        &out.name[2]; /* one by name, to the other: whose answer is not ours */
    out.m[2].msg_hdr.msg_namelen = 16;
    memcpy(&out.name[2], &peer[1], sizeof(peer[1]));
    OK(sendmmsg(fd, out.m, 4, 0) == 4);
    settle(fd);
    to_receive(4);
    OK(recvmmsg(fd, in.m, 4, MSG_DONTWAIT, NULL) == 3 && got(0, 2, 0) && got(2, 1, 3));

    OK(shutdown(fd, SHUT_WR) == 0);
    FAILS(sendmmsg(fd, out.m, 4, 0), EPIPE);

    /* What the network says of an earlier message comes first. */
    closed.sin_port = htons(9);
    MUST(connect(other, (void *)&closed, sizeof(closed)) == 0);
    to_send(1);
    out.m[0].msg_hdr.msg_name = NULL;
    OK(sendmmsg(other, out.m, 1, 0) == 1);
    usleep(200000);
    FAILS(recvmmsg(other, in.m, 4, MSG_DONTWAIT, NULL), ECONNREFUSED);
    OK(sendmmsg(other, out.m, 1, 0) == 1);
    usleep(200000);
    FAILS(sendmmsg(other, out.m, 1, 0), ECONNREFUSED);
    OK(sendmmsg(other, out.m, 1, 0) == 1);
    close(fd);
    close(other);
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    FAILS(sendmmsg(fd, out.m, 1, 0), EDESTADDRREQ);
    close(fd);
}

/* An IPv6 socket that speaks to the helper by its mapped address. */
static void mapped(void)
{
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = peer[0].sin_port};
    bool good = true;

    memset(&to.sin6_addr.s6_addr[10], 0xff, 2);
    memcpy(&to.sin6_addr.s6_addr[12], &peer[0].sin_addr, 4);
    for (int round = 0; round < 2; round++) {
        to_send(6);
        for (int i = 0; i < 6; i++) {
            memcpy(&out.name[i], &to, sizeof(to));
            out.m[i].msg_hdr.msg_namelen = sizeof(to);
        }
        OK(sendmmsg(fd, out.m, 6, 0) == 6);
        settle(fd);
        to_receive(6);
        for (int i = 0; i < 6; i++)
            in.m[i].msg_hdr.msg_namelen = sizeof(in.name[i]);
        in.m[4].msg_hdr.msg_name = NULL;
        OK(recvmmsg(fd, in.m, 6, MSG_DONTWAIT, NULL) == 6);
        for (int i = 0; i < 6; i++)
            good &= in.m[i].msg_len == length_of(i) && same(in.data[i], length_of(i), i) &&
                    (i == 4 || (in.m[i].msg_hdr.msg_namelen == sizeof(to) &&
                                memcmp(&in.name[i], &to, sizeof(to)) == 0));
    }
    OK(good);
    close(fd);
}

/* More than a device's ring has places. */
static void many(void)
{
    static struct mmsghdr m[1000];
    int fd = fresh();
    unsigned wrong = 0, n = 0;
    char data[ROOM];
    ssize_t r;

    to_send(MSGS);
    for (unsigned i = 0; i < 1000; i++)
        m[i] = out.m[i % 8];
    OK(sendmmsg(fd, m, 1000, 0) == 1000);
    for (unsigned i = 0; i < 1000; i++)
        wrong += m[i].msg_len != length_of(i);
    OK(wrong == 0);
    settle(fd);
    while ((r = recv(fd, data, sizeof(data), MSG_DONTWAIT)) >= 0) {
        n++;
        wrong += (unsigned char)data[0] >= 8 || (size_t)r != length_of(data[0]) ||
                 !same(data, r, data[0]);
    }
    printf("# %u of 1000 came back\n", n); /* buffers on the way are not as large */
    OK(wrong == 0 && n > 50);
    close(fd);
}

int main(int argc, char **argv)
{
    const char *address = argc == 2 ? "127.0.0.1" : argc == 4 ? argv[2] : argv[1];
    pthread_t thread;

    if (argc < 2)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < 2; i++) {
        peer[i] = (struct sockaddr_in){.sin_family = AF_INET,
                                       .sin_port = htons(atoi(argv[argc - 1]) + i)};
        inet_aton(address, &peer[i].sin_addr);
    }
    if (argc == 4)
        helper(NULL);
    if (argc == 2)
        MUST(pthread_create(&thread, NULL, helper, NULL) == 0);
    plain();
    several();
    two_sockets();
    odd_ones();
    control();
    errors_in_the_middle();
    headers_at_a_border();
    limits();
    connected();
    mapped();
    many();
    return tap_done();
}
