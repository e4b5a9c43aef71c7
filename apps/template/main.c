/*
 * A service to begin with. It answers UDP datagrams, on port 7777 or the one its argument names:
 * "time" asks for the seconds since 1970, "quote" for a line of wisdom.
 */
#include <wherry/app.h>
#include <wherry/inet.h>

#include <string.h>

#define PORT  7777
#define BURST 32

static const char *const quotes[] = {
    "Row, row, row your boat, gently down the stream.",
    "There is nothing half so much worth doing as simply messing about in boats.",
    "Take nothing but what you need.",
};

/* The answer to len bytes at text takes their place; there is room for a whole frame. */
static unsigned answer(char *text, unsigned len, unsigned room)
{
    static unsigned next;

    if (len == 4 && memcmp(text, "time", 4) == 0)
        return wherry_format(text, room, "%lu", wherry_wall_clock() / 1000000000);
    if (len == 5 && memcmp(text, "quote", 5) == 0)
        return wherry_format(text, room, "%s", quotes[next++ % 3]);
    return wherry_format(text, room, "what?");
}

static unsigned number(const char *s)
{
    unsigned n = 0;

    while (*s >= '0' && *s <= '9' && n < 65536)
        n = n * 10 + (unsigned)(*s++ - '0');
    return *s == '\0' && n < 65536 ? n : 0; /* 0 is no port: steering to it fails */
}

int main(int argc, char **argv)
{
    unsigned port = argc > 1 ? number(argv[1]) : PORT;
    struct wherry_packet p[BURST];
    struct wherry_netq q;

    if (wherry_netq_open(&q, 0) < 0 || wherry_netq_steer(&q, (uint16_t)port) < 0) {
        wherry_print("no network, or no such port\n");
        return 1;
    }
    wherry_print("port %u\n", port);
    for (;;) {
        unsigned n = wherry_netq_rx(&q, p, BURST), sent;

        if (n == 0)
            wherry_netq_wait(&q, WHERRY_FOREVER); /* without this line it polls */
        for (unsigned i = 0; i < n; i++) {
            char *text = (char *)wherry_udp_data(&p[i]);

            wherry_udp_answer(&q, &p[i], answer(text, wherry_udp_len(&p[i]), 512));
        }
        sent = wherry_netq_tx(&q, p, n);
        wherry_netq_free(&q, p + sent, n - sent); /* the ring was full: these are lost */
    }
}
