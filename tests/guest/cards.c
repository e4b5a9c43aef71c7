/*
 * For cards.t: a service on each of two network cards, in capitals on the first, backwards on the
 * second. With words on the command line ("before" or "after", an address and a mask as hexadecimal
 * numbers in network order) the second gets that address before or after it is steered. With TCP
 * linked in (CARDS_TCP), the first card is the stack's, which serves lines in capitals there, and
 * the raw service has the second alone.
 */
#include <string.h>
#include <wherry/app.h>
#include <wherry/inet.h>
#include <wherry/netdev.h>
#ifdef CARDS_TCP
#include <wherry/tcp.h>
#endif

#define BURST 32

static void capitals(uint8_t *text, unsigned len)
{
    for (unsigned i = 0; i < len; i++)
        if (text[i] >= 'a' && text[i] <= 'z')
            text[i] -= 'a' - 'A';
}

/* "nap" asks for a time in which nobody takes packets, and then a wait on the other queue. */
#define NAP_NS 300000000
static bool nap;

static void backwards(uint8_t *text, unsigned len)
{
    nap = len == 3 && memcmp(text, "nap", 3) == 0;
    for (unsigned i = 0; i < len / 2; i++) {
        uint8_t t = text[i];

        text[i] = text[len - 1 - i];
        text[len - 1 - i] = t;
    }
}

static unsigned serve(struct wherry_netq *q, void (*change)(uint8_t *text, unsigned len))
{
    struct wherry_packet p[BURST];
    unsigned n = wherry_netq_rx(q, p, BURST), sent;

    for (unsigned i = 0; i < n; i++) {
        change(wherry_udp_data(&p[i]), wherry_udp_len(&p[i]));
        wherry_udp_answer(q, &p[i], wherry_udp_len(&p[i]));
    }
    sent = wherry_netq_tx(q, p, n);
    wherry_netq_free(q, p + sent, n - sent);
    return n;
}

static uint32_t hex(const char *s)
{
    uint32_t v = 0;

    for (; *s; s++)
        v = v << 4 | (uint32_t)(*s <= '9' ? *s - '0' : *s - 'a' + 10);
    return v;
}

#ifdef CARDS_TCP
static size_t received(struct wherry_tcp *c, const uint8_t *data, size_t len)
{
    uint8_t answer[512];
    size_t n = len < sizeof(answer) ? len : sizeof(answer);

    if (!wherry_tcp_has_room(c, n))
        return 0;
    memcpy(answer, data, n);
    capitals(answer, (unsigned)n);
    wherry_tcp_send(c, &(struct wherry_tcp_span){.data = answer, .len = n}, 1);
    return n;
}

static const struct wherry_tcp_service service = {
    .port = 7777, .max = 10, .received = received, .writable = wherry_tcp_resume};
#endif

int main(int argc, char **argv)
{
    struct wherry_netq first, second, third;
    unsigned n;

    if (wherry_netq_open(&third, 2) >= 0)
        return 2;
    if (wherry_netq_open(&second, 1) < 0)
        return 3;
    if (wherry_netq_open(&third, 1) >= 0)
        return 4;
    if (argc > 3 && strcmp(argv[1], "before") == 0 &&
        wherry_netq_address(&second, hex(argv[2]), hex(argv[3]), 0) < 0)
        return 5;
    if (wherry_netq_steer(&second, 8888) < 0)
        return 6;
    if (argc > 3 && strcmp(argv[1], "after") == 0 &&
        wherry_netq_address(&second, hex(argv[2]), hex(argv[3]), 0) < 0)
        return 5;
#ifdef CARDS_TCP
    (void)first;
    if (wherry_tcp_listen(&service) < 0)
        return 7;
#else
    if (wherry_netq_open(&first, 0) < 0 || wherry_netq_steer(&first, 7777) < 0)
        return 7;
#endif
    wherry_print("cards: both serve\n");
    for (;;) {
        n = serve(&second, backwards);
#ifdef CARDS_TCP
        n += wherry_tcp_run();
#else
        n += serve(&first, capitals);
#endif
        if (nap) {
            nap = false;
            wherry_sleep(NAP_NS);
#ifndef CARDS_TCP
            wherry_netq_wait(&first, WHERRY_FOREVER);
#endif
        } else if (n == 0)
            wherry_netq_wait(&second, WHERRY_FOREVER);
    }
}
