/*
 * Answers as they lie in memory, ready to be sent: a head for each fate of the connection, and the
 * body behind the first. Pure but for the memory they are given.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_DATE_LEN  29u /* "Sun, 06 Nov 1994 08:49:37 GMT" */
#define HTTP_HEAD_ROOM 288u

enum http_connection {
    HTTP_STAYS, /* as HTTP/1.1 has it */
    HTTP_CLOSES,
    HTTP_KEEPS, /* HTTP/1.0's peer is told */
    HTTP_CONNECTIONS
};

struct http_object {
    const void *body;
    size_t body_len;
    uint16_t status;
    bool changes;    /* the body is made anew for each request */
    bool follows;    /* the body lies behind head[HTTP_STAYS] */
    uint64_t second; /* of the heads' dates, since 1970 */
    uint16_t head_len[HTTP_CONNECTIONS];
    char *head[HTTP_CONNECTIONS];
};

/* Bytes of memory for an object whose body is to lie behind its head, or elsewhere (0). */
size_t http_object_bytes(size_t body_len);
/* Makes one in that memory; status and type are as the heads name them. A body that is to follow is
 * copied. */
void http_object_make(struct http_object *o, void *memory, unsigned status, const char *type,
                      const void *body, size_t body_len, bool follows);
/* The heads get this second's date. */
void http_object_date(struct http_object *o, uint64_t second);

void http_date(char to[HTTP_DATE_LEN], uint64_t second);
const char *http_reason(unsigned status);
/* By the end of a file's name. */
const char *http_type(const char *name, size_t len);
