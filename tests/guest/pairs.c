/*
 * For queues.t: sends back what comes to UDP port 7777, by both ways that <wherry/burst.h> and
 * <wherry/netdev.h> have, and tells how many packets each pair of queues has had: in answer to
 * "stats", and on the console now and then.
 */
#include <string.h>
#include <wherry/app.h>
#include <wherry/burst.h>
#include <wherry/inet.h>

#define BURST 32

static struct wherry_netq q;

static unsigned stats_text(char *to, size_t size)
{
    struct wherry_pair_stats s;
    struct wherry_netdev_info info;
    unsigned n;

    wherry_netq_info(&q, &info);
    n = (unsigned)wherry_format(to, size, "pairs=%u", info.pairs);
    for (unsigned i = 0; wherry_netq_pair(&q, i, &s) == 0; i++)
        n += (unsigned)wherry_format(to + n, size - n, " rx%u=%lu tx%u=%lu irq%u=%lu", i,
                                     s.rx_packets, i, s.tx_packets, i, s.interrupts);
    return n;
}

static bool answer(struct wherry_packet *p, void *arg)
{
    unsigned len = wherry_udp_len(p);

    if (len == 5 && memcmp(wherry_udp_data(p), "stats", 5) == 0)
        len = stats_text((char *)wherry_udp_data(p), 512);
    wherry_udp_answer(&q, p, len);
    return true;
}

int main(int argc, char **argv)
{
    struct wherry_packet p[BURST];
    uint64_t served = 0, shown = 0;
    char text[512];

    if (wherry_netq_open(&q, 0) < 0 || wherry_netq_steer(&q, 7777) < 0)
        return 1;
    for (uint64_t round = 0;; round++) {
        unsigned n, sent;

        if (round % 2) {
            n = wherry_netq_serve(&q, p, BURST, answer, NULL);
        } else {
            n = wherry_netq_rx(&q, p, BURST);
            for (unsigned i = 0; i < n; i++)
                answer(&p[i], NULL);
            sent = wherry_netq_tx(&q, p, n);
            wherry_netq_free(&q, p + sent, n - sent);
        }
        served += n;
        if (served >= shown) {
            stats_text(text, sizeof(text));
            wherry_print("%s\n", text);
            shown = served + 5000;
        }
        if (n == 0)
            wherry_netq_wait(&q, WHERRY_FOREVER);
    }
}
