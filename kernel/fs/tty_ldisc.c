/*
 * The line discipline (tty_ldisc.h), as Linux's N_TTY behaves for a program that reads its
 * standard input and a person who types.
 */
#include "fs/tty_ldisc.h"

#include <asm/ioctls.h>
#include <asm/signal.h>

#define TAB_WIDTH 8u

static const struct ktermios defaults = {
    .c_iflag = ICRNL | IXON,
    .c_oflag = OPOST | ONLCR,
    .c_cflag = B38400 | CS8 | CREAD | HUPCL,
    .c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    .c_cc = {[VINTR] = 'C' - 64,
             [VQUIT] = '\\' - 64,
             [VERASE] = 127,
             [VKILL] = 'U' - 64,
             [VEOF] = 'D' - 64,
             [VMIN] = 1,
             [VSTART] = 'Q' - 64,
             [VSTOP] = 'S' - 64,
             [VSUSP] = 'Z' - 64,
             [VREPRINT] = 'R' - 64,
             [VDISCARD] = 'O' - 64,
             [VWERASE] = 'W' - 64,
             [VLNEXT] = 'V' - 64},
    .c_ispeed = 38400,
    .c_ospeed = 38400,
};

void ldisc_init(struct ldisc *l)
{
    memset(l, 0, sizeof(*l));
    l->t = defaults;
}

static inline bool local(const struct ldisc *l, tcflag_t bit)
{
    return l->t.c_lflag & bit;
}

/* Is c this special character? NUL means that there is none (_POSIX_VDISABLE). */
static inline bool is_special(const struct ldisc *l, unsigned which, unsigned char c)
{
    return c != 0 && l->t.c_cc[which] == c;
}

static bool end_at(const struct ldisc *l, uint32_t pos)
{
    pos %= LDISC_BUFFER;
    return l->ends[pos / 64] >> (pos % 64) & 1;
}

static void set_end(struct ldisc *l, uint32_t pos, bool end)
{
    pos %= LDISC_BUFFER;
    l->ends[pos / 64] &= ~(1ull << pos % 64);
    l->ends[pos / 64] |= (uint64_t)end << pos % 64;
}

/* ---- Output --------------------------------------------------------------------------------- */

/* One character as the terminal is to get it; returns up to TAB_WIDTH bytes in out. */
static size_t output_char(struct ldisc *l, char c, char *out)
{
    tcflag_t o = l->t.c_oflag;
    if (!(o & OPOST)) {
        out[0] = c;
        return 1;
    }
    switch (c) {
    case '\n':
        if (o & ONLRET)
            l->column = 0;
        if (o & ONLCR) {
            l->column = 0;
            out[0] = '\r';
            out[1] = '\n';
            return 2;
        }
        break;
    case '\r':
        if ((o & ONOCR) && l->column == 0)
            return 0;
        if (o & OCRNL) {
            if (o & ONLRET)
                l->column = 0;
            out[0] = '\n';
            return 1;
        }
        l->column = 0;
        break;
    case '\t': {
        unsigned spaces = TAB_WIDTH - l->column % TAB_WIDTH;
        l->column += spaces;
        if ((o & TABDLY) == XTABS) {
            memset(out, ' ', spaces);
            return spaces;
        }
        break;
    }
    case '\b':
        if (l->column > 0)
            l->column--;
        break;
    default:
        if ((o & OLCUC) && c >= 'a' && c <= 'z')
            c -= 'a' - 'A';
        /* Control characters and the later bytes of a UTF-8 sequence take no room. */
        if ((unsigned char)c >= ' ' && ((unsigned char)c & 0xc0) != 0x80)
            l->column++;
    }
    out[0] = c;
    return 1;
}

size_t ldisc_output(struct ldisc *l, const char *s, size_t n, char *out, size_t size, size_t *used)
{
    size_t len = 0, i = 0;
    for (; i < n && size - len >= TAB_WIDTH; i++)
        len += output_char(l, s[i], out + len);
    *used = i;
    return len;
}

static void echo_raw(struct ldisc *l, char c)
{
    char out[TAB_WIDTH];
    size_t n = output_char(l, c, out);
    l->echo(l, out, n);
}

static bool shown_as_caret(const struct ldisc *l, unsigned char c)
{
    return local(l, ECHOCTL) && (c < ' ' || c == 127) && c != '\t' && c != '\n';
}

static void echo_char(struct ldisc *l, unsigned char c)
{
    if (!local(l, ECHO) && !(c == '\n' && local(l, ECHONL) && local(l, ICANON)))
        return;
    if (shown_as_caret(l, c)) {
        echo_raw(l, '^');
        echo_raw(l, (char)(c ^ 0x40));
    } else {
        echo_raw(l, (char)c);
    }
}

/* ---- Editing a line -------------------------------------------------------------------------- */

static void echo_backspaces(struct ldisc *l, unsigned n)
{
    while (n-- > 0) {
        echo_raw(l, '\b');
        echo_raw(l, ' ');
        echo_raw(l, '\b');
    }
}

/* Removes the last character of the unfinished line (a whole UTF-8 sequence with IUTF8). */
static void erase_char(struct ldisc *l)
{
    unsigned char c;
    do {
        l->head--;
        c = (unsigned char)l->buf[l->head % LDISC_BUFFER];
    } while ((l->t.c_iflag & IUTF8) && (c & 0xc0) == 0x80 && l->head != l->done);
    if (!local(l, ECHO))
        return;
    if (!local(l, ECHOE)) {
        echo_char(l, l->t.c_cc[VERASE]);
        return;
    }
    if (c == '\t') {
        /* Where the tab began: the width of what stands before it on the line. */
        unsigned column = 0;
        for (uint32_t p = l->done; p != l->head; p++) {
            unsigned char b = (unsigned char)l->buf[p % LDISC_BUFFER];
            column += b == '\t' ? TAB_WIDTH - column % TAB_WIDTH : shown_as_caret(l, b) ? 2 : 1;
        }
        unsigned width = TAB_WIDTH - column % TAB_WIDTH;
        while (width-- > 0)
            echo_raw(l, '\b');
        return;
    }
    echo_backspaces(l, shown_as_caret(l, c) ? 2 : 1);
}

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           ((unsigned char)c & 0x80);
}

static void erase_word(struct ldisc *l)
{
    bool seen = false;
    while (l->head != l->done) {
        bool word = is_word_char(l->buf[(l->head - 1) % LDISC_BUFFER]);
        if (seen && !word)
            break;
        seen |= word;
        erase_char(l);
    }
}

static void kill_line(struct ldisc *l)
{
    if (local(l, ECHO) && !(local(l, ECHOK) && local(l, ECHOKE) && local(l, ECHOE))) {
        l->head = l->done;
        echo_char(l, l->t.c_cc[VKILL]);
        if (local(l, ECHOK))
            echo_raw(l, '\n');
        return;
    }
    while (l->head != l->done)
        erase_char(l);
}

static void reprint_line(struct ldisc *l)
{
    echo_char(l, l->t.c_cc[VREPRINT]);
    echo_raw(l, '\n');
    for (uint32_t p = l->done; p != l->head; p++)
        echo_char(l, (unsigned char)l->buf[p % LDISC_BUFFER]);
}

static void put(struct ldisc *l, char c, bool end)
{
    l->buf[l->head % LDISC_BUFFER] = c;
    set_end(l, l->head, end);
    l->head++;
    if (end)
        l->done = l->head;
}

static bool has_room(struct ldisc *l)
{
    /* One byte is kept free for the character that ends the line. */
    if (l->head - l->tail < LDISC_BUFFER - 1)
        return true;
    l->dropped++;
    if (l->t.c_iflag & IMAXBEL)
        echo_raw(l, '\a');
    return false;
}

/* ---- Input ----------------------------------------------------------------------------------- */

static bool signal_char(struct ldisc *l, unsigned char c)
{
    int sig = is_special(l, VINTR, c)   ? SIGINT
              : is_special(l, VQUIT, c) ? SIGQUIT
              : is_special(l, VSUSP, c) ? SIGTSTP
                                        : 0;
    if (sig == 0)
        return false;
    if (!local(l, NOFLSH))
        ldisc_flush(l);
    l->stopped = false;
    echo_char(l, c);
    l->signal(l, sig);
    return true;
}

/* Characters with a meaning in canonical mode; false: c is an ordinary one. */
static bool canonical_char(struct ldisc *l, unsigned char c)
{
    bool extended = local(l, IEXTEN);
    if (is_special(l, VERASE, c)) {
        if (l->head != l->done)
            erase_char(l);
    } else if (extended && is_special(l, VWERASE, c)) {
        erase_word(l);
    } else if (is_special(l, VKILL, c)) {
        kill_line(l);
    } else if (extended && is_special(l, VREPRINT, c) && local(l, ECHO)) {
        reprint_line(l);
    } else if (extended && is_special(l, VLNEXT, c)) {
        l->literal = true;
        if (local(l, ECHO) && local(l, ECHOCTL)) {
            echo_raw(l, '^');
            echo_raw(l, '\b');
        }
    } else if (is_special(l, VEOF, c)) {
        if (l->head - l->tail < LDISC_BUFFER)
            put(l, '\0', true);
    } else if (c == '\n' || is_special(l, VEOL, c) || (extended && is_special(l, VEOL2, c))) {
        if (l->head - l->tail < LDISC_BUFFER) {
            echo_char(l, c);
            put(l, (char)c, true);
        }
    } else {
        return false;
    }
    return true;
}

static void input_char(struct ldisc *l, unsigned char c)
{
    tcflag_t i = l->t.c_iflag;
    if (i & ISTRIP)
        c &= 0x7f;
    if (!l->literal) {
        if (i & IXON) {
            if (is_special(l, VSTART, c) || is_special(l, VSTOP, c)) {
                l->stopped = is_special(l, VSTOP, c);
                return;
            }
            if (i & IXANY)
                l->stopped = false;
        }
        if (local(l, ISIG) && signal_char(l, c))
            return;
        if (c == '\r') {
            if (i & IGNCR)
                return;
            if (i & ICRNL)
                c = '\n';
        } else if (c == '\n' && (i & INLCR)) {
            c = '\r';
        }
        if ((i & IUCLC) && c >= 'A' && c <= 'Z')
            c += 'a' - 'A';
        if (local(l, ICANON) && canonical_char(l, c))
            return;
    }
    l->literal = false;
    if (!has_room(l))
        return;
    echo_char(l, c);
    put(l, (char)c, false);
}

void ldisc_input(struct ldisc *l, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        input_char(l, (unsigned char)s[i]);
}

/* ---- Reading ----------------------------------------------------------------------------------
 */

size_t ldisc_available(const struct ldisc *l)
{
    return (local(l, ICANON) ? l->done : l->head) - l->tail;
}

bool ldisc_readable(const struct ldisc *l, size_t min)
{
    return ldisc_available(l) >= (local(l, ICANON) ? 1 : min);
}

size_t ldisc_read(struct ldisc *l, char *to, size_t n, bool *eof)
{
    bool canonical = local(l, ICANON);
    size_t avail = ldisc_available(l), got = 0;
    *eof = false;
    while (got < n && avail > 0) {
        char c = l->buf[l->tail % LDISC_BUFFER];
        bool end = end_at(l, l->tail);
        l->tail++;
        avail--;
        if (end && c == '\0') {
            /* An EOF mark is not data: it ends what came before, or is the end of the file. In
             * raw mode, marks left over from canonical mode are skipped. */
            if (!canonical)
                continue;
            *eof = got == 0;
            return got;
        }
        to[got++] = c;
        if (end && canonical)
            return got;
    }
    /* A line that exactly filled the buffer: its EOF mark does not make the next read end. */
    if (canonical && got == n && avail > 0 && end_at(l, l->tail) &&
        l->buf[l->tail % LDISC_BUFFER] == '\0')
        l->tail++;
    if (!canonical && (int32_t)(l->tail - l->done) > 0)
        l->done = l->tail;
    return got;
}

void ldisc_flush(struct ldisc *l)
{
    l->tail = l->done = l->head;
    l->literal = false;
}

void ldisc_set_termios(struct ldisc *l, const struct ktermios *t)
{
    bool was_canonical = local(l, ICANON);
    l->t = *t;
    if (!was_canonical && local(l, ICANON)) {
        /* What was received raw counts as one line. */
        l->done = l->head;
        if (l->head != l->tail)
            set_end(l, l->head - 1, true);
    }
    if (!(l->t.c_iflag & IXON))
        l->stopped = false;
}
