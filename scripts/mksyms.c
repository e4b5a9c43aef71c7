/*
 * Turns `nm -n KERNEL.elf` into the kernel's symbol table (kernel/lib/ksyms.h has the format and
 * the reader). Runs on the host, once a link:
 *
 *     nm -n kernel.pass1.elf | mksyms > ksyms.bin
 *
 * Only functions are kept. Names are shortened by byte pair encoding: the most frequent pair of
 * codes in all names becomes a new code, up to 128 times, so that a code of 0x80 and above stands
 * for a frequent piece of text ("_init", "tcp_", ...). Reads are bounded by the input alone; a bad
 * input is an error message and status 1.
 */
#define _GNU_SOURCE
#include "lib/ksyms.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct symbol {
    uint64_t addr;
    uint8_t len;
    uint8_t code[KSYMS_NAME_MAX];
};

struct output {
    uint8_t *data;
    size_t len, room;
};

static struct symbol *symbols;
static size_t nr_symbols;
static uint8_t pair[KSYMS_CODES][2]; /* what each code from 0x80 on is made of */
static unsigned nr_codes;

static void die(const char *why)
{
    fprintf(stderr, "mksyms: %s\n", why);
    exit(1);
}

static void put(struct output *o, const void *p, size_t n)
{
    if (n == 0)
        return;
    if (o->len + n > o->room) {
        o->room = 2 * (o->len + n);
        o->data = realloc(o->data, o->room);
        if (o->data == NULL)
            die("out of memory");
    }
    memcpy(o->data + o->len, p, n);
    o->len += n;
}

static void put16(struct output *o, size_t v)
{
    if (v > UINT16_MAX)
        die("a field of the table overflows");
    put(o, &(uint16_t){(uint16_t)v}, 2);
}

static void put32(struct output *o, size_t v)
{
    if (v > UINT32_MAX)
        die("a field of the table overflows");
    put(o, &(uint32_t){(uint32_t)v}, 4);
}

static void add_symbol(uint64_t addr, const char *name)
{
    size_t len = strlen(name);
    if (nr_symbols > 0 && symbols[nr_symbols - 1].addr == addr)
        return; /* an alias: one name is enough */
    if (nr_symbols > 0 && symbols[nr_symbols - 1].addr > addr)
        die("the input is not sorted: use nm -n");
    symbols = realloc(symbols, (nr_symbols + 1) * sizeof(*symbols));
    if (symbols == NULL)
        die("out of memory");
    struct symbol *s = &symbols[nr_symbols++];
    s->addr = addr;
    s->len = (uint8_t)(len < KSYMS_NAME_MAX ? len : KSYMS_NAME_MAX);
    for (size_t i = 0; i < s->len; i++)
        s->code[i] = (uint8_t)name[i] & 0x7f;
}

static void read_symbols(FILE *in)
{
    char line[1024], type, name[512];
    uint64_t addr;
    while (fgets(line, sizeof(line), in) != NULL) {
        if (sscanf(line, "%" SCNx64 " %c %511s", &addr, &type, name) != 3)
            continue;
        /* The physical addresses of entry points are no functions of the running kernel. */
        if (addr >> 63 == 0)
            continue;
        if (type == 'T' || type == 't' || type == 'W' || type == 'w')
            add_symbol(addr, name);
    }
}

/* Replaces the most frequent pair everywhere; false when none is worth it. */
static bool compress_once(void)
{
    static uint32_t count[256][256];
    uint32_t best = 3; /* a pair costs two bytes in the table */
    unsigned a = 0, b = 0;

    memset(count, 0, sizeof(count));
    for (size_t i = 0; i < nr_symbols; i++) {
        const struct symbol *s = &symbols[i];
        for (unsigned j = 0; j + 1 < s->len; j++)
            count[s->code[j]][s->code[j + 1]]++;
    }
    for (unsigned i = 0; i < 256; i++) {
        for (unsigned j = 0; j < 256; j++) {
            if (count[i][j] > best) {
                best = count[i][j];
                a = i;
                b = j;
            }
        }
    }
    if (best == 3 || nr_codes == KSYMS_CODES)
        return false;
    uint8_t code = (uint8_t)(KSYMS_FIRST_CODE + nr_codes);
    pair[nr_codes][0] = (uint8_t)a;
    pair[nr_codes][1] = (uint8_t)b;
    nr_codes++;
    for (size_t i = 0; i < nr_symbols; i++) {
        struct symbol *s = &symbols[i];
        unsigned n = 0;
        for (unsigned j = 0; j < s->len; j++) {
            if (j + 1 < s->len && s->code[j] == a && s->code[j + 1] == b) {
                s->code[n++] = code;
                j++;
            } else {
                s->code[n++] = s->code[j];
            }
        }
        s->len = (uint8_t)n;
    }
    return true;
}

static void write_table(struct output *o)
{
    struct output groups = {0}, offsets = {0}, names = {0};
    uint64_t base = nr_symbols > 0 ? symbols[0].addr : 0;
    size_t nr_groups = 0, i = 0;

    while (i < nr_symbols) {
        uint64_t first = symbols[i].addr;
        put32(&groups, first - base);
        put32(&groups, i);
        put32(&groups, names.len);
        nr_groups++;
        for (unsigned n = 0; n < KSYMS_GROUP && i < nr_symbols; n++, i++) {
            if (symbols[i].addr - first > UINT16_MAX)
                break;
            put16(&offsets, symbols[i].addr - first);
            put(&names, &symbols[i].len, 1);
            put(&names, symbols[i].code, symbols[i].len);
        }
    }
    put32(o, KSYMS_MAGIC);
    put32(o, nr_groups);
    put32(o, nr_symbols);
    put32(o, names.len);
    put(o, &base, sizeof(base));
    put(o, pair, sizeof(pair));
    put(o, groups.data, groups.len);
    put(o, offsets.data, offsets.len);
    put(o, names.data, names.len);
    free(groups.data);
    free(offsets.data);
    free(names.data);
}

int main(void)
{
    struct output o = {0};
    read_symbols(stdin);
    if (nr_symbols == 0)
        die("no function in the input");
    while (compress_once())
        ;
    write_table(&o);
    if (fwrite(o.data, 1, o.len, stdout) != o.len || fflush(stdout) != 0)
        die(strerror(errno));
    free(o.data);
    free(symbols);
    return 0;
}
