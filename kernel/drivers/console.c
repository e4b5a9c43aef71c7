/*
 * Which console is in use, and what is written before there is one (console.h). Called by
 * kprintf, the tty and the console drivers, in any context; calls the driver. Never sleeps.
 */
#include "drivers/console.h"

#include "drivers/serial.h"
#include "lib/cmdline.h"

#include <asm/errno.h>

#define EARLY_SIZE       8192 /* a power of two; the newest is kept */
#define EARLY_INPUT_SIZE 64   /* the first that came are kept */
#define MAX_CHOSEN       4
#define NAME_MAX         16

static struct list consoles = LIST_INIT(consoles);
static struct console *active;
static void (*input_sink)(const char *s, size_t n);

static char early[EARLY_SIZE];
static size_t early_end;                   /* bytes ever written to it */
static char early_input[EARLY_INPUT_SIZE]; /* came before the tty */
static size_t early_input_len;

/* console= may repeat; as in Linux the last one that exists becomes /dev/console. */
static char chosen[MAX_CHOSEN][NAME_MAX];
static unsigned nr_chosen;
static bool settled;

/* console=NAME[,OPTIONS]: the options are a serial line's speed, which no virtual one has. */
static int console_word(const char *value)
{
    size_t n = 0;

    if (!value)
        return -EINVAL;
    while (value[n] && value[n] != ',')
        n++;
    if (n == 0 || n >= NAME_MAX)
        return -EINVAL;
    if (nr_chosen == MAX_CHOSEN) {
        memmove(chosen[0], chosen[1], sizeof(chosen) - NAME_MAX);
        nr_chosen--;
    }
    memcpy(chosen[nr_chosen], value, n);
    chosen[nr_chosen++][n] = '\0';
    return 0;
}
CMDLINE("console", console_word);

static void activate(struct console *c)
{
    size_t from = early_end > EARLY_SIZE ? early_end - EARLY_SIZE : 0;

    active = c;
    while (from < early_end) {
        size_t at = from % EARLY_SIZE, n = MIN(EARLY_SIZE - at, early_end - from);
        c->write(c, early + at, n);
        from += n;
    }
    early_end = 0;
}

/* How much c is wanted: its place among console= words from 1, 0 if none names it. */
static unsigned rank(const struct console *c)
{
    for (unsigned i = nr_chosen; i > 0; i--)
        if (!strcmp(c->name, chosen[i - 1]))
            return i;
    return 0;
}

void console_register(struct console *c)
{
    list_push_back(&consoles, &c->link);
    if (active ? rank(c) > rank(active) : (rank(c) == nr_chosen || settled))
        activate(c);
}

void console_settle(void)
{
    struct console *best = active;

    settled = true;
    if (!best)
        list_for_each (c, &consoles, struct console, link)
            if (!best || rank(c) > rank(best))
                best = c;
    if (best && !active)
        activate(best);
}

void console_write(const char *s, size_t n)
{
    if (likely(active != NULL)) {
        active->write(active, s, n);
        return;
    }
    if (n > EARLY_SIZE) {
        s += n - EARLY_SIZE;
        n = EARLY_SIZE;
    }
    while (n) {
        size_t at = early_end % EARLY_SIZE, part = MIN(EARLY_SIZE - at, n);
        memcpy(early + at, s, part);
        early_end += part;
        s += part;
        n -= part;
    }
}

void console_flush(void)
{
    if (!active) {
        /* The machine ends before its drivers ran: the UART needs none. */
        serial_early();
        console_settle();
    }
    if (active && active->flush)
        active->flush(active);
}

void console_input(const char *s, size_t n)
{
    size_t kept = MIN(n, sizeof(early_input) - early_input_len);

    if (likely(input_sink != NULL)) {
        input_sink(s, n);
        return;
    }
    memcpy(early_input + early_input_len, s, kept);
    early_input_len += kept;
}

void console_set_sink(void (*sink)(const char *s, size_t n))
{
    input_sink = sink;
    if (early_input_len)
        sink(early_input, early_input_len);
    early_input_len = 0;
}

const char *console_name(void)
{
    return active ? active->name : "";
}
