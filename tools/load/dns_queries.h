/*
 * The questions `wherry load dns` asks: a query file as queryperf and dnsperf read it, "name type"
 * a line, and as an extension of ours a third word, what the answer must hold: an address for A and
 * AAAA, NXDOMAIN, or NODATA. Also how an answer's content is judged. Pure but for reading the file.
 */
#pragma once

#include "../util.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DNS_HEADER = 12, DNS_NAME_MAX = 255, DNS_A = 1, DNS_AAAA = 28, DNS_IN = 1 };
enum { DNS_NOERROR = 0, DNS_NXDOMAIN = 3 };

enum dns_expect { DNS_ANY_RECORD, DNS_ADDRESS, DNS_NO_NAME, DNS_NO_DATA };

struct dns_query {
    uint8_t *question; /* name, type and class as they are sent */
    uint16_t len, type;
    uint8_t expect; /* enum dns_expect */
    uint8_t address[16];
};

struct dns_queries {
    struct dns_query *q;
    size_t n;
};

/* Dies if the file cannot be read or a line is wrong. */
void dns_queries_read(struct dns_queries *qs, const char *path);
bool dns_query_parse(struct dns_query *q, const char *line, struct why *w);
/* The question for a key where there is no file: wKEY.wherry.test A, answered by 10.x.y.z, which is
 * a function of the key. */
void dns_query_of_key(struct dns_query *q, uint8_t question[DNS_NAME_MAX + 4], uint64_t key);
uint32_t dns_address_of_key(uint64_t key); /* network byte order */
/* The key of such a question. */
bool dns_key_of_question(const uint8_t *question, size_t n, uint64_t *key);
/* The length of the name at p + at, or 0 if it is broken. */
size_t dns_name_len(const uint8_t *p, size_t n, size_t at);
