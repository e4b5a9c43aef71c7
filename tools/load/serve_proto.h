/*
 * The null server's side of each protocol: bytes of a request in, bytes of its answer out. Values
 * are those of value.h, whatever was set before. Does no I/O.
 */
#pragma once

#include "dns_queries.h"
#include "value.h"

#include "../util.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct null_options {
    struct value_sizes sizes;
    unsigned list_length;
    uint64_t keys;
    struct blob body; /* http */
    struct dns_queries queries;
};

enum { NULL_BROKEN = -1 };

struct null_proto {
    const char *name;
    bool tcp, udp;
    /* Returns the request's length; 0: it is not complete; NULL_BROKEN. wrong: the answer is to
     * have its form and other content. *close: no more after this one. */
    ssize_t (*answer)(const struct null_options *o, bool udp, const uint8_t *p, size_t n,
                      bool wrong, struct strbuf *out, bool *close);
};

/* By name, or NULL. */
const struct null_proto *null_proto(const char *name);
