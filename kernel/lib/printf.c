/*
 * The kernel's printf: C's integer and string conversions. Pure; kprintf() itself is in
 * drivers/console.c or, early, wherever the console driver keeps its buffer.
 */
#include "lib/base.h"

struct out {
    char *buf;
    size_t size, len;
};

static void put(struct out *o, char c)
{
    if (o->len + 1 < o->size)
        o->buf[o->len] = c;
    o->len++;
}

static void pad(struct out *o, char c, int n)
{
    while (n-- > 0)
        put(o, c);
}

struct spec {
    bool left, zero, alt, plus;
    int width, precision; /* precision < 0: none */
};

static void put_text(struct out *o, const struct spec *sp, const char *s, size_t n)
{
    if (!sp->left)
        pad(o, ' ', sp->width - (int)n);
    for (size_t i = 0; i < n; i++)
        put(o, s[i]);
    if (sp->left)
        pad(o, ' ', sp->width - (int)n);
}

static void put_number(struct out *o, const struct spec *sp, uint64_t v, unsigned base,
                       const char *prefix, bool upper)
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    int len = 0, zeros, prefix_len = strlen(prefix), blanks;
    char tmp[24];

    for (; v; v /= base)
        tmp[len++] = digits[v % base];
    zeros = sp->precision >= 0 ? sp->precision - len : len ? 0 : 1;
    zeros = MAX(zeros, 0);
    blanks = MAX(sp->width - prefix_len - zeros - len, 0);
    if (sp->zero && !sp->left && sp->precision < 0) {
        zeros += blanks;
        blanks = 0;
    }
    if (!sp->left)
        pad(o, ' ', blanks);
    for (; *prefix; prefix++)
        put(o, *prefix);
    pad(o, '0', zeros);
    while (len)
        put(o, tmp[--len]);
    if (sp->left)
        pad(o, ' ', blanks);
}

static int parse_int(const char **f, va_list *ap)
{
    int v = 0;

    if (**f == '*') {
        (*f)++;
        return va_arg(*ap, int);
    }
    while (**f >= '0' && **f <= '9')
        v = v * 10 + *(*f)++ - '0';
    return v;
}

int kvsnprintf(char *buf, size_t size, const char *f, va_list args)
{
    struct out o = {buf, size, 0};
    va_list ap;

    va_copy(ap, args);
    for (; *f; f++) {
        struct spec sp = {.precision = -1};
        int length = 0;
        uint64_t v;

        if (*f != '%') {
            put(&o, *f);
            continue;
        }
        for (f++;; f++) {
            if (*f == '-')
                sp.left = true;
            else if (*f == '0')
                sp.zero = true;
            else if (*f == '#')
                sp.alt = true;
            else if (*f == '+')
                sp.plus = true;
            else
                break;
        }
        sp.width = parse_int(&f, &ap);
        if (sp.width < 0) {
            sp.left = true;
            sp.width = -sp.width;
        }
        if (*f == '.') {
            f++;
            sp.precision = parse_int(&f, &ap);
        }
        for (;; f++) {
            if (*f == 'l' || *f == 'z' || *f == 'j' || *f == 't')
                length = 2;
            else if (*f == 'h')
                length--;
            else
                break;
        }
        switch (*f) {
        case 'd':
        case 'i': {
            int64_t s = length == 2    ? va_arg(ap, int64_t)
                        : length == -1 ? (short)va_arg(ap, int)
                        : length == -2 ? (signed char)va_arg(ap, int)
                                       : va_arg(ap, int);
            put_number(&o, &sp, s < 0 ? -(uint64_t)s : (uint64_t)s, 10,
                       s < 0     ? "-"
                       : sp.plus ? "+"
                                 : "",
                       false);
            break;
        }
        case 'u':
        case 'x':
        case 'X':
        case 'o':
            v = length == 2    ? va_arg(ap, uint64_t)
                : length == -1 ? (unsigned short)va_arg(ap, unsigned)
                : length == -2 ? (unsigned char)va_arg(ap, unsigned)
                               : va_arg(ap, unsigned);
            put_number(&o, &sp, v, *f == 'u' ? 10 : *f == 'o' ? 8 : 16,
                       !sp.alt || !v ? ""
                       : *f == 'x'   ? "0x"
                       : *f == 'X'   ? "0X"
                       : *f == 'o'   ? "0"
                                     : "",
                       *f == 'X');
            break;
        case 'p':
            put_number(&o, &sp, (uint64_t)va_arg(ap, void *), 16, "0x", false);
            break;
        case 'c': {
            char c = va_arg(ap, int);
            put_text(&o, &sp, &c, 1);
            break;
        }
        case 's': {
            const char *s = va_arg(ap, const char *);
            s = s ? s : "(null)";
            put_text(&o, &sp, s, sp.precision >= 0 ? strnlen(s, sp.precision) : strlen(s));
            break;
        }
        case '%':
            put(&o, '%');
            break;
        default: /* not a conversion of ours: show it */
            put(&o, '%');
            if (!*f) {
                f--;
                break;
            }
            put(&o, *f);
        }
    }
    va_end(ap);
    if (size)
        buf[MIN(o.len, size - 1)] = '\0';
    return o.len;
}

int ksnprintf(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = kvsnprintf(buf, size, fmt, ap);
    va_end(ap);
    return n;
}
