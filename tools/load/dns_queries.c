/* See dns_queries.h. */
#define _GNU_SOURCE
#include "dns_queries.h"

#include "rng.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    uint16_t type;
} types[] = {
    {"A", DNS_A}, {"NS", 2},    {"CNAME", 5},  {"SOA", 6},         {"PTR", 12}, {"MX", 15},
    {"TXT", 16},  {"SRV", 33},  {"NAPTR", 35}, {"AAAA", DNS_AAAA}, {"DS", 43},  {"DNSKEY", 48},
    {"CAA", 257}, {"ANY", 255}, {"HTTPS", 65}, {"SVCB", 64},
};

static uint16_t type_number(const char *s)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (strcasecmp(s, types[i].name) == 0)
            return types[i].type;
    if (strncasecmp(s, "TYPE", 4) == 0 && isdigit((unsigned char)s[4]))
        return strtoul(s + 4, NULL, 10);
    return 0;
}

/* RFC 1035 section 3.1. Returns the length, 0 if the name has no such form. */
static size_t name_to_wire(uint8_t out[DNS_NAME_MAX], const char *name)
{
    size_t n = 0;

    if (strcmp(name, ".") == 0)
        name = "";
    while (*name) {
        size_t len = strcspn(name, ".");

        if (len < 1 || len > 63 || n + 1 + len + 1 > DNS_NAME_MAX)
            return 0;
        out[n++] = len;
        memcpy(out + n, name, len);
        n += len;
        name += len + (name[len] == '.');
    }
    out[n++] = 0;
    return n;
}

static size_t put_tail(uint8_t *question, size_t n, uint16_t type)
{
    question[n++] = type >> 8;
    question[n++] = type;
    question[n++] = 0;
    question[n++] = DNS_IN;
    return n;
}

static bool parse_expectation(struct dns_query *q, const char *s)
{
    q->expect = DNS_ANY_RECORD;
    if (!s)
        return true;
    if (strcasecmp(s, "NXDOMAIN") == 0)
        q->expect = DNS_NO_NAME;
    else if (strcasecmp(s, "NODATA") == 0)
        q->expect = DNS_NO_DATA;
    else if ((q->type == DNS_A && inet_pton(AF_INET, s, q->address) == 1) ||
             (q->type == DNS_AAAA && inet_pton(AF_INET6, s, q->address) == 1))
        q->expect = DNS_ADDRESS;
    else
        return false;
    return true;
}

bool dns_query_parse(struct dns_query *q, const char *line, struct why *w)
{
    char name[1024], type[32], expect[64], rest;
    uint8_t question[DNS_NAME_MAX + 4];
    int words = sscanf(line, "%1023s %31s %63s %c", name, type, expect, &rest);
    size_t len;

    *q = (struct dns_query){0};
    if (words < 2 || words > 3)
        return because(w, "write NAME TYPE [EXPECTED]");
    len = name_to_wire(question, name);
    if (len == 0)
        return because(w, "%s is not a domain name", name);
    q->type = type_number(type);
    if (q->type == 0)
        return because(w, "%s is not a record type", type);
    if (!parse_expectation(q, words == 3 ? expect : NULL))
        return because(w, "%s: expected is an address (of an A or AAAA), NXDOMAIN or NODATA",
                       expect);
    q->len = put_tail(question, len, q->type);
    q->question = xmalloc(q->len);
    memcpy(q->question, question, q->len);
    return true;
}

void dns_queries_read(struct dns_queries *qs, const char *path)
{
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t cap = 0, room = 0;
    struct why w;

    *qs = (struct dns_queries){0};
    if (!f)
        die("--queries %s: %m", path);
    for (unsigned nr = 1; getline(&line, &cap, f) >= 0; nr++) {
        const char *s = line + strspn(line, " \t\r\n");

        if (*s == '\0' || *s == ';' || *s == '#')
            continue;
        if (qs->n == room) {
            room = room ? 2 * room : 256;
            qs->q = xrealloc(qs->q, room * sizeof(qs->q[0]));
        }
        if (!dns_query_parse(&qs->q[qs->n++], s, &w))
            die("%s:%u: %s", path, nr, w.text);
    }
    if (ferror(f))
        die("--queries %s: %m", path);
    fclose(f);
    free(line);
    if (qs->n == 0)
        die("--queries %s: there is no query in it", path);
}

uint32_t dns_address_of_key(uint64_t key)
{
    return htonl(10u << 24 | splitmix64(&key) >> 40);
}

void dns_query_of_key(struct dns_query *q, uint8_t question[DNS_NAME_MAX + 4], uint64_t key)
{
    uint32_t address = dns_address_of_key(key);
    char name[64];

    snprintf(name, sizeof(name), "w%llu.wherry.test", (unsigned long long)key);
    *q = (struct dns_query){.question = question, .type = DNS_A, .expect = DNS_ADDRESS};
    memcpy(q->address, &address, sizeof(address));
    q->len = put_tail(question, name_to_wire(question, name), DNS_A);
}

bool dns_key_of_question(const uint8_t *question, size_t n, uint64_t *key)
{
    static const char suffix[] = "\6wherry\4test"; /* with the root's empty label */

    *key = 0;
    if (n < 2 || question[0] < 2 || question[0] > 19 || n < 1 + question[0] + sizeof(suffix) ||
        question[1] != 'w')
        return false;
    for (unsigned i = 2; i <= question[0]; i++) {
        if (!isdigit(question[i]))
            return false;
        *key = *key * 10 + question[i] - '0';
    }
    return memcmp(question + 1 + question[0], suffix, sizeof(suffix)) == 0;
}

size_t dns_name_len(const uint8_t *p, size_t n, size_t at)
{
    size_t start = at;

    while (at < n && at - start <= DNS_NAME_MAX) {
        if (p[at] == 0)
            return at + 1 - start;
        if (p[at] >= 0xc0) /* a pointer ends it (RFC 1035 section 4.1.4) */
            return at + 2 <= n ? at + 2 - start : 0;
        if (p[at] > 63)
            return 0;
        at += 1 + p[at];
    }
    return 0;
}
