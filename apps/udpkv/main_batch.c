/*
 * udpkv over batched sockets: a burst of datagrams a system call, recvmmsg and sendmmsg. An
 * ordinary Linux program, which runs unmodified on Wherry as well.
 */
#define _GNU_SOURCE
#include "front.h"

#include <sys/socket.h>

/* Message i has buffer, vector and address i in both directions; a reply is made in the request's
 * place. Requests without a reply leave gaps, which `out` does not have. */
static struct {
    uint8_t data[FRONT_BURST_MAX][FRONT_BUFFER] __attribute__((aligned(64)));
    struct sockaddr_in peer[FRONT_BURST_MAX];
    struct iovec in_vec[FRONT_BURST_MAX], out_vec[FRONT_BURST_MAX];
    struct mmsghdr in[FRONT_BURST_MAX], out[FRONT_BURST_MAX];
    struct kv_request request[FRONT_BURST_MAX];
} b;

static void set_up(void)
{
    for (unsigned i = 0; i < FRONT_BURST_MAX; i++) {
        b.in_vec[i] = (struct iovec){b.data[i], FRONT_BUFFER};
        b.out_vec[i] = (struct iovec){b.data[i], 0};
        b.in[i].msg_hdr = (struct msghdr){.msg_name = &b.peer[i],
                                          .msg_namelen = sizeof(b.peer[i]),
                                          .msg_iov = &b.in_vec[i],
                                          .msg_iovlen = 1};
        b.out[i].msg_hdr = b.in[i].msg_hdr;
    }
}

/* Message i goes out, n bytes of it, as the k-th of the burst. */
static unsigned put(unsigned k, unsigned i, size_t n)
{
    struct msghdr *m = &b.out[k].msg_hdr;

    b.out_vec[i].iov_len = n;
    m->msg_iov = &b.out_vec[i];
    m->msg_name = &b.peer[i];
    return k + 1;
}

/* Requests first, all of them, then answers: the memory that they touch comes meanwhile. */
static unsigned serve(struct front *f, unsigned n)
{
    uint32_t now = front_now();
    unsigned k = 0;

    for (unsigned i = 0; i < n; i++)
        kv_begin(f->kv, &b.request[i], b.data[i],
                 b.in[i].msg_hdr.msg_flags & MSG_TRUNC ? 0 : b.in[i].msg_len);
    for (unsigned i = 0; i < n; i++) {
        size_t len;

        if (b.in[i].msg_hdr.msg_flags & MSG_TRUNC)
            continue;
        len = kv_handle(f->kv, &b.request[i], b.data[i], FRONT_BUFFER, now);
        if (len)
            k = put(k, i, len);
    }
    return k;
}

static unsigned echo(unsigned n)
{
    unsigned k = 0;

    for (unsigned i = 0; i < n; i++)
        if (!(b.in[i].msg_hdr.msg_flags & MSG_TRUNC))
            k = put(k, i, b.in[i].msg_len);
    return k;
}

/* A message that is refused is left out, and the others go. */
static void send_all(struct front *f, unsigned k)
{
    unsigned at = 0;

    while (at < k) {
        int n = sendmmsg(f->fd, b.out + at, k - at, 0);

        if (n > 0) {
            f->sent += n;
            at += n;
        } else {
            f->unsent++;
            at++;
        }
    }
}

int main(int argc, char **argv)
{
    static struct front f;

    front_start(&f, "udpkv-batch", true, argc, argv);
    set_up();
    for (;;) {
        int n = recvmmsg(f.fd, b.in, f.burst, MSG_WAITFORONE, NULL);

        if (n < 0) {
            front_receive_failed(&f);
            continue;
        }
        f.received += n;
        for (int i = 0; i < n; i++) {
            f.oversized += (b.in[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
            b.in[i].msg_hdr.msg_namelen = sizeof(b.peer[i]);
        }
        send_all(&f, f.kv ? serve(&f, n) : echo(n));
    }
}
