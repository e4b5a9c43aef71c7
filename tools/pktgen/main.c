/*
 * wherry-pktgen, which `wherry pktgen` starts: see gen.h. Runs what its words ask for, and with
 * --lines whatever a program on its standard input asks for after that, over one connection of
 * the guest's device.
 */
#define _GNU_SOURCE
#include "gen.h"

#include "../load/result.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* With less of its CPU than this a generator that polls has measured the host's scheduler. */
#define CPU_SHARE 0.9

static void on_signal(int number)
{
    (void)number;
    gen_stop = true;
}

static void members(struct strbuf *b, const struct gen *g)
{
    const struct gen_counts *c = &g->counts;
    const struct pktgen_options *o = g->o;

    sb_addf(b,
            ",\"pktgen\":{\"window\":%u,\"burst\":%u,\"queue\":%u,\"ports\":%u,\"sources\":%u,"
            "\"bad_share\":%g,\"frames_out\":%" PRIu64 ",\"frames_in\":%" PRIu64 ",\"in\":{",
            o->window, o->burst, o->queue, o->nr_ports, o->nr_sources, o->bad, c->frames_out,
            c->frames_in);
    for (int i = 0; i < NR_FRAME_KINDS; i++)
        sb_addf(b, "%s\"%s\":%" PRIu64, i ? "," : "", frame_kind_names[i], c->in_kind[i]);
    sb_addf(b,
            "},\"not_ours\":%" PRIu64 ",\"arp_asked\":%" PRIu64 ",\"late\":%" PRIu64
            ",\"duplicate\":%" PRIu64 ",\"unknown\":%" PRIu64 ",\"device_full\":%" PRIu64
            ",\"bad\":{\"sent\":%" PRIu64 ",\"answered\":%" PRIu64 ",\"wrong\":%" PRIu64 "}",
            c->not_ours, c->arp_asked, c->late, c->duplicate, c->unknown, c->device_full,
            c->bad_sent, c->bad_answered, c->bad_wrong);
    sb_addf(b,
            ",\"polls\":%" PRIu64 ",\"busy_polls\":%" PRIu64
            ",\"busy\":%.6f,\"cpu\":%.6f,\"wall\":%.6f,\"switched_away\":%" PRIu64
            ",\"first_wrong\":",
            c->polls, c->busy_polls, c->busy, c->cpu, c->wall, c->switched_away);
    if (g->wrong.text[0]) /* our own words: nothing to escape in them */
        sb_addf(b, "\"%s\"}", g->wrong.text);
    else
        sb_addf(b, "null}");
}

static void lines(struct strbuf *b, const struct gen *g)
{
    const struct gen_counts *c = &g->counts;
    uint64_t damaged =
        c->in_kind[FRAME_SHORT] + c->in_kind[FRAME_IP_SUM] + c->in_kind[FRAME_UDP_SUM];

    sb_addf(b, "polls that found work took %.0f %% of the time\n",
            c->wall > 0 ? 100 * c->busy / c->wall : 0);
    if (c->late || c->duplicate || c->unknown)
        sb_addf(b, "answers: %" PRIu64 " late, %" PRIu64 " twice, %" PRIu64 " to nothing asked\n",
                c->late, c->duplicate, c->unknown);
    if (damaged)
        sb_addf(b, "damaged frames came: %" PRIu64 "\n", damaged);
    if (c->bad_sent)
        sb_addf(
            b, "bad frames: %" PRIu64 " sent, %" PRIu64 " answered, %" PRIu64 " of these wrongly\n",
            c->bad_sent, c->bad_answered, c->bad_wrong);
    if (g->wrong.text[0])
        sb_addf(b, "the first wrong answer: %s\n", g->wrong.text);
}

static void run(struct gen *g, const struct pktgen_options *o)
{
    struct strbuf more = {0}, text = {0};
    struct words why = {0};
    struct result r;
    double seconds;

    g->o = o;
    gen_meet(g);
    if (o->load.load)
        gen_fill(g);
    seconds = gen_run(g, o);
    if (g->counts.wall > 0 && g->counts.cpu < CPU_SHARE * g->counts.wall)
        words_addf(&why, "the generator had its CPU for only %.0f %% of the time",
                   100 * g->counts.cpu / g->counts.wall);
    members(&more, g);
    lines(&text, g);
    r = (struct result){&o->load, &g->tally, seconds, g->window, &why, more.s, text.s, .polls = true};
    result_write(&r);
    gen_reset(g);
    words_free(&why);
    free(more.s);
    free(text.s);
}

/* The next line of standard input, without buffering ahead of what poll() sees; NULL at its end. */
static char *next_line(void)
{
    struct strbuf b = {0};
    char c;
    ssize_t n;

    while ((n = read(STDIN_FILENO, &c, 1)) == 1 && c != '\n')
        sb_add(&b, &c, 1);
    if (n < 0 && errno != EINTR)
        die("standard input: %s", strerror(errno));
    if (n == 1 && !b.s)
        sb_add(&b, "", 0);
    return n == 1 || b.len ? b.s : NULL;
}

int main(int argc, char **argv)
{
    struct pktgen_options first, next;
    struct sigaction stop = {.sa_handler = on_signal}; /* without SA_RESTART: ends a read */
    struct gen g;
    char *line;

    if (!pktgen_options_parse(&first, argc - 1, argv + 1))
        return 0;
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    gen_open(&g, &first);
    run(&g, &first);
    while (first.lines && !gen_stop) {
        gen_serve(&g, STDIN_FILENO);
        line = gen_stop ? NULL : next_line();
        if (!line)
            break;
        if (line[strspn(line, " \t\r")]) {
            pktgen_options_line(&next, &first, line);
            run(&g, &next);
        }
        free(line);
    }
    gen_close(&g);
    return 0;
}
