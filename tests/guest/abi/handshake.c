/* How TCP connections begin where it is not plain: to oneself, and again from the same port. */
#include "tap.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define MS 1000000ull

static char data[1 << 20], back[1 << 20];

static struct sockaddr_in local(unsigned port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int bound(unsigned port)
{
    int s = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in a = local(port);
    MUST(s >= 0);
    MUST(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
    MUST(bind(s, (struct sockaddr *)&a, sizeof(a)) == 0);
    return s;
}

static unsigned port_of(int s)
{
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    MUST(getsockname(s, (struct sockaddr *)&a, &len) == 0);
    return ntohs(a.sin_port);
}

static int connect_to(int s, unsigned port)
{
    struct sockaddr_in a = local(port);
    return connect(s, (struct sockaddr *)&a, sizeof(a));
}

static int tcp_state(int s)
{
    struct tcp_info i;
    socklen_t len = sizeof(i);
    MUST(getsockopt(s, IPPROTO_TCP, TCP_INFO, &i, &len) == 0);
    return i.tcpi_state;
}

/* RFC 9293 sec. 3.5: both SYNs cross, here on one socket. */
static void to_oneself(void)
{
    for (int i = 0; i < 3; i++) {
        int s = bound(0);
        unsigned port = port_of(s);
        struct sockaddr_in peer;
        socklen_t len = sizeof(peer);
        uint64_t start = now_ns();
        OK(connect_to(s, port) == 0);
        OK(now_ns() - start < 500 * MS);
        OK(getpeername(s, (struct sockaddr *)&peer, &len) == 0 && ntohs(peer.sin_port) == port);
        OK(tcp_state(s) == TCP_ESTABLISHED);
        for (unsigned n = 1; n <= 65536; n *= 16) {
            MUST(send(s, data, n, 0) == (ssize_t)n);
            MUST(recv(s, back, n, MSG_WAITALL) == (ssize_t)n);
            OK(memcmp(data, back, n) == 0);
        }
        OK(shutdown(s, SHUT_WR) == 0);
        OK(recv(s, back, 1, 0) == 0);
        OK(close(s) == 0);
    }
}

/* The other end, which closed first, still has the old connection in TIME-WAIT, with more bytes
 * than the clock of the initial sequence numbers has moved. */
static void same_port_again(void)
{
    int l = bound(0);
    unsigned from = 0;
    MUST(listen(l, 5) == 0);
    for (int i = 0; i < 4; i++) {
        int c = bound(from), s;
        uint64_t start = now_ns();
        OK(connect_to(c, port_of(l)) == 0);
        OK(now_ns() - start < 500 * MS);
        from = port_of(c);
        MUST((s = accept(l, NULL, NULL)) >= 0);
        for (size_t k = 0; k < sizeof(data); k += 65536) {
            MUST(send(c, data + k, 65536, 0) == 65536);
            MUST(recv(s, back + k, 65536, MSG_WAITALL) == 65536);
        }
        OK(memcmp(data, back, sizeof(data)) == 0);
        MUST(close(s) == 0);
        OK(recv(c, back, 1, 0) == 0);
        MUST(close(c) == 0);
    }
    MUST(close(l) == 0);
    int c = bound(from);
    FAILS(connect_to(c, port_of(c) ^ 1), ECONNREFUSED);
    close(c);
}

int main(void)
{
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)random64();
    to_oneself();
    same_port_again();
    return tap_done();
}
