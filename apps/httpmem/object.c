/*
 * Answers in memory: see object.h. Each head has its date at the same place, so that a new second
 * costs a copy of 29 bytes a head, and only for objects that are asked for.
 */
#include "object.h"

#include <string.h>

/* The head up to the date; the date's place is told by its length. */
#define HTTP_VERSION "HTTP/1.1 "

struct text {
    char *at;
};

static void put(struct text *t, const char *s)
{
    while (*s)
        *t->at++ = *s++;
}

static void put_number(struct text *t, uint64_t v)
{
    char digits[20];
    unsigned n = 0;

    do
        digits[n++] = (char)('0' + v % 10);
    while ((v /= 10) != 0);
    while (n > 0)
        *t->at++ = digits[--n];
}

const char *http_reason(unsigned status)
{
    static const struct {
        unsigned status;
        const char *reason;
    } reasons[] = {{200, "OK"},
                   {400, "Bad Request"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {413, "Content Too Large"},
                   {414, "URI Too Long"},
                   {431, "Request Header Fields Too Large"},
                   {501, "Not Implemented"},
                   {505, "HTTP Version Not Supported"}};

    for (unsigned i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].status == status)
            return reasons[i].reason;
    }
    return "Unknown";
}

const char *http_type(const char *name, size_t len)
{
    static const struct {
        const char *end, *type;
    } types[] = {{".html", "text/html"},        {".txt", "text/plain"},
                 {".css", "text/css"},          {".js", "text/javascript"},
                 {".json", "application/json"}, {".svg", "image/svg+xml"},
                 {".png", "image/png"},         {".jpg", "image/jpeg"}};

    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        size_t n = strlen(types[i].end);

        if (len > n && memcmp(name + len - n, types[i].end, n) == 0)
            return types[i].type;
    }
    return "application/octet-stream";
}

/* Days since 1970 to year, month and day: years begin in March, so that leap days come last. */
static void civil(uint64_t days, unsigned *year, unsigned *month, unsigned *day)
{
    uint64_t d = days + 719468, era = d / 146097; /* days of 400 years */
    unsigned doe = (unsigned)(d % 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), m = (5 * doy + 2) / 153;

    *day = doy - (153 * m + 2) / 5 + 1;
    *month = m < 10 ? m + 3 : m - 9;
    *year = (unsigned)(era * 400) + yoe + (*month <= 2);
}

static void two(char *to, unsigned v)
{
    to[0] = (char)('0' + v / 10 % 10);
    to[1] = (char)('0' + v % 10);
}

/* RFC 9110 §5.6.7 */
void http_date(char to[HTTP_DATE_LEN], uint64_t second)
{
    static const char days[] = "ThuFriSatSunMonTueWed";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    unsigned year, month, day, t = (unsigned)(second % 86400);

    civil(second / 86400, &year, &month, &day);
    memcpy(to, "Ddd, 00 Mmm 0000 00:00:00 GMT", HTTP_DATE_LEN);
    memcpy(to, days + second / 86400 % 7 * 3, 3);
    two(to + 5, day);
    memcpy(to + 8, months + (month - 1) * 3, 3);
    two(to + 12, year / 100);
    two(to + 14, year % 100);
    two(to + 17, t / 3600);
    two(to + 20, t / 60 % 60);
    two(to + 23, t % 60);
}

static const char *connection_line(unsigned c)
{
    return c == HTTP_CLOSES  ? "Connection: close\r\n"
           : c == HTTP_KEEPS ? "Connection: keep-alive\r\n"
                             : "";
}

/* Date comes last, at a fixed distance from the end. */
#define DATE_FROM_END (HTTP_DATE_LEN + 4u)

static size_t make_head(char *to, unsigned status, const char *type, size_t body_len, unsigned c)
{
    struct text t = {to};

    put(&t, HTTP_VERSION);
    put_number(&t, status);
    put(&t, " ");
    put(&t, http_reason(status));
    put(&t, "\r\nServer: wherry\r\nContent-Type: ");
    put(&t, type);
    put(&t, "\r\nContent-Length: ");
    put_number(&t, body_len);
    put(&t, status == 405 ? "\r\nAllow: GET, HEAD\r\n" : "\r\n");
    put(&t, connection_line(c));
    put(&t, "Date: ");
    http_date(t.at, 0);
    t.at += HTTP_DATE_LEN;
    put(&t, "\r\n\r\n");
    return (size_t)(t.at - to);
}

size_t http_object_bytes(size_t body_len)
{
    return HTTP_CONNECTIONS * HTTP_HEAD_ROOM + body_len;
}

void http_object_make(struct http_object *o, void *memory, unsigned status, const char *type,
                      const void *body, size_t body_len, bool follows)
{
    char *at = memory;

    *o = (struct http_object){
        .body = body, .body_len = body_len, .status = (uint16_t)status, .follows = follows};
    for (unsigned c = HTTP_CONNECTIONS; c-- > 0; at += HTTP_HEAD_ROOM) {
        o->head[c] = at;
        o->head_len[c] = (uint16_t)make_head(at, status, type, body_len, c);
    }
    if (follows)
        o->body = memcpy(o->head[HTTP_STAYS] + o->head_len[HTTP_STAYS], body, body_len);
}

void http_object_date(struct http_object *o, uint64_t second)
{
    char date[HTTP_DATE_LEN];

    o->second = second;
    http_date(date, second);
    for (unsigned c = 0; c < HTTP_CONNECTIONS; c++)
        memcpy(o->head[c] + o->head_len[c] - DATE_FROM_END, date, HTTP_DATE_LEN);
}
