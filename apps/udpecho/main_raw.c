/*
 * UDP echo on the raw network interface: sends every datagram to port 7777 back as it came.
 */
#include <wherry/app.h>
#include <wherry/burst.h>
#include <wherry/inet.h>

#define PORT  7777
#define BURST 32

static struct wherry_netq q; /* what the loop looks at has an address that it knows */

WHERRY_INLINE bool answer(struct wherry_packet *p, void *arg)
{
    wherry_udp_turn(&q, p);
    return true;
}

int main(int argc, char **argv)
{
    struct wherry_packet p[BURST];
    int r = wherry_netq_open(&q, 0);

    if (r == 0)
        r = wherry_netq_steer(&q, PORT);
    if (r < 0) {
        wherry_print("udpecho: no network device with an address (error %d)\n", -r);
        return 1;
    }
    for (;;) {
        if (wherry_netq_serve(&q, p, BURST, answer, NULL) == 0)
            wherry_netq_wait(&q, WHERRY_FOREVER);
    }
}
