/*
 * udpkv over sockets: a datagram a system call, recvfrom and sendto. An ordinary Linux program,
 * which runs unmodified on Wherry as well.
 */
#include "front.h"

#include <sys/socket.h>

int main(int argc, char **argv)
{
    static uint8_t data[FRONT_BUFFER] __attribute__((aligned(64)));
    static struct front f;

    front_start(&f, "udpkv-socket", false, argc, argv);
    for (;;) {
        struct sockaddr_in peer;
        socklen_t peer_len = sizeof(peer);
        /* MSG_TRUNC: the length it had on the wire. */
        ssize_t n =
            recvfrom(f.fd, data, sizeof(data), MSG_TRUNC, (struct sockaddr *)&peer, &peer_len);

        if (n < 0) {
            front_receive_failed(&f);
            continue;
        }
        f.received++;
        if ((size_t)n > sizeof(data)) {
            f.oversized++;
            continue;
        }
        if (f.kv) {
            struct kv_request r;

            kv_begin(f.kv, &r, data, n);
            n = kv_handle(f.kv, &r, data, sizeof(data), front_now());
            if (n == 0)
                continue;
        }
        if (sendto(f.fd, data, n, 0, (struct sockaddr *)&peer, peer_len) < 0)
            f.unsent++;
        else
            f.sent++;
    }
}
