/*
 * UDP echo on the raw network interface: sends every datagram to port 7777 back as it came.
 */
#include <wherry/app.h>
#include <wherry/inet.h>

#define PORT  7777
#define BURST 32

int main(int argc, char **argv)
{
    struct wherry_packet p[BURST];
    struct wherry_netq q;
    int r = wherry_netq_open(&q, 0);

    if (r == 0)
        r = wherry_netq_steer(&q, PORT);
    if (r < 0) {
        wherry_print("udpecho: no network device with an address (error %d)\n", -r);
        return 1;
    }
    for (;;) {
        unsigned n = wherry_netq_rx(&q, p, BURST), sent;

        if (n == 0) {
            wherry_netq_wait(&q, WHERRY_FOREVER);
            continue;
        }
        for (unsigned i = 0; i < n; i++)
            wherry_udp_turn(&p[i]);
        sent = wherry_netq_tx(&q, p, n);
        wherry_netq_free(&q, p + sent, n - sent);
    }
}
