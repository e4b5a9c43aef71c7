/*
 * The machine's counters over HTTP, in Prometheus' text format: wherry.metrics=PORT. Every GET of
 * / or /metrics gets what all files of /proc that are metrics say (fs/procfs.h), and the connection
 * ends. On lwIP's raw API, beside the application's sockets; few connections at a time, a few KiB
 * each. Whoever reaches the port may read: no name or value is the application's own data.
 *
 * With wherry.control=KEY a POST to the path of a file that is meant for it writes the request's
 * body there, if it has the key ("Authorization: Bearer KEY", RFC 6750 §2.1): so the owner of a
 * machine without a shell changes what can be changed while it runs. Nothing is encrypted.
 */
#include "fs/procfs.h"
#include "lib/cmdline.h"
#include "lib/init.h"
#include "net/net.h"

#include <asm/errno.h>

#include "lwip/priv/tcp_priv.h"

#define CLIENTS     8u
#define REQUEST_MAX 1024u
#define PIECE_MAX   4096u
#define KEY_MIN     16u
#define KEY_MAX     128u
#define IDLE_TICKS  (10000u / TCP_SLOW_INTERVAL) /* without progress: others may have the place */

struct client {
    struct tcp_pcb *pcb; /* NULL: free. Its callback_arg stays NULL: that is the sockets' */
    char request[REQUEST_MAX];
    unsigned len;
    u32_t seen;             /* tcp_ticks */
    struct text_buf answer; /* with text: what is to be sent */
    size_t sent;
};

static uint64_t port;
static char key[KEY_MAX + 1]; /* "": nothing can be changed */
static struct client clients[CLIENTS];

static int port_option(const char *value)
{
    value = value ? parse_u64(value, &port) : NULL;
    return value && *value == '\0' && port >= 1 && port <= UINT16_MAX ? 0 : -EINVAL;
}
CMDLINE("wherry.metrics", port_option);

/* Printable, so that it can stand in a header's line. */
static int key_option(const char *value)
{
    size_t n = value ? strlen(value) : 0;

    for (size_t i = 0; i < n; i++)
        if (value[i] <= ' ' || value[i] > '~')
            return -EINVAL;
    return n >= KEY_MIN && n <= KEY_MAX && strlcpy(key, value, sizeof(key)) == n ? 0 : -EINVAL;
}
CMDLINE("wherry.control", key_option);

static struct client *client_of(const struct tcp_pcb *pcb)
{
    for (struct client *c = clients; c < clients + CLIENTS; c++)
        if (c->pcb == pcb)
            return c;
    return NULL;
}

static void release(struct client *c)
{
    text_free(&c->answer);
    *c = (struct client){0};
}

/* The connection is gone from here on: ERR_ABRT is what the callback is to return then. */
static err_t end(struct client *c)
{
    struct tcp_pcb *pcb = c->pcb;

    release(c);
    tcp_recv(pcb, NULL);
    tcp_sent(pcb, NULL);
    if (tcp_close(pcb) == ERR_OK)
        return ERR_OK;
    tcp_abort(pcb);
    return ERR_ABRT;
}

/* As much of the answer as the connection takes now. */
static void send_some(struct client *c)
{
    while (c->sent < c->answer.len) {
        size_t n = MIN(c->answer.len - c->sent, (size_t)tcp_sndbuf(c->pcb));
        struct pbuf *p;

        n = MIN(n, (size_t)MIN(tcp_seg_max(c->pcb), (unsigned)PIECE_MAX));
        p = n > 0 ? pbuf_alloc(PBUF_TRANSPORT, (u16_t)n, PBUF_RAM) : NULL;
        if (p == NULL)
            return;
        pbuf_take(p, c->answer.text + c->sent, (u16_t)n);
        if (tcp_write_pbuf(c->pcb, p, 0) != ERR_OK) {
            pbuf_free(p);
            return;
        }
        c->sent += n;
        c->seen = tcp_ticks;
    }
}

/* Sends on; at its end the connection is closed. */
static err_t go_on(struct client *c)
{
    send_some(c);
    tcp_output(c->pcb);
    return c->sent == c->answer.len ? end(c) : ERR_OK;
}

static bool begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

/* ---- Requests ---- */

/* Where the headers end; NULL: they have not all come. */
static const char *end_of_headers(const struct client *c)
{
    for (unsigned i = 4; i <= c->len; i++)
        if (memcmp(c->request + i - 4, "\r\n\r\n", 4) == 0)
            return c->request + i;
    return NULL;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* What a header says; name: in small letters, with the colon. NULL: it is not there. */
static const char *header(const struct client *c, const char *name)
{
    const char *end = end_of_headers(c), *line = c->request;

    while ((line = strchr(line, '\n')) != NULL && ++line < end) {
        size_t i = 0;

        while (name[i] != '\0' && lower(line[i]) == name[i])
            i++;
        if (name[i] != '\0')
            continue;
        for (line += i; *line == ' ' || *line == '\t';)
            line++;
        return line;
    }
    return NULL;
}

/* Bytes of the request's body. More than there can be, if what is said makes no sense. */
static uint64_t body_len(const struct client *c)
{
    const char *said = header(c, "content-length:"), *end;
    uint64_t n;

    if (said == NULL)
        return 0;
    end = parse_u64(said, &n);
    return end != NULL && *end == '\r' ? n : UINT64_MAX;
}

/* The body need not be waited for if there is no room for it. */
static bool complete(const struct client *c)
{
    const char *body = end_of_headers(c);
    uint64_t n = body ? body_len(c) : 0, there = body ? c->len - (uint64_t)(body - c->request) : 0;

    return body != NULL && (there >= n || n > REQUEST_MAX);
}

/* In a time that does not tell how much of it is right. */
static bool has_key(const struct client *c)
{
    static const char scheme[] = "Bearer ";
    const char *given = header(c, "authorization:");
    size_t n = strlen(key);
    unsigned bad = 0;

    if (given == NULL || !begins(given, scheme))
        return false;
    given += sizeof(scheme) - 1;
    for (size_t i = 0; i < n; i++) {
        bad |= (unsigned)(given[i] ^ key[i]);
        if (given[i] == '\r')
            return false;
    }
    return bad == 0 && given[n] == '\r';
}

static const char *refusal(int error)
{
    switch (error) {
    case 0:
        return "200 OK";
    case -ENOENT:
        return "404 Not Found";
    case -EINVAL:
        return "400 Bad Request";
    case -EEXIST:
    case -EBUSY:
        return "409 Conflict";
    case -EOPNOTSUPP:
        return "501 Not Implemented";
    default: /* -ENOSPC, -ENOMEM; RFC 4918 §11.5 */
        return "507 Insufficient Storage";
    }
}

/* POST PATH: the body, up to its end or a newline there, is what is written. */
static const char *control(struct client *c)
{
    char *path = c->request + 5, *body = (char *)end_of_headers(c), *blank = strchr(path, ' ');
    uint64_t n = body_len(c);

    if (key[0] == '\0')
        return "405 Method Not Allowed";
    if (!has_key(c))
        return "403 Forbidden";
    if (n > c->len - (uint64_t)(body - c->request))
        return "413 Content Too Large";
    while (n > 0 && (body[n - 1] == '\n' || body[n - 1] == '\r'))
        n--;
    body[n] = '\0';
    if (blank != NULL)
        *blank = '\0';
    return refusal(procfs_control(path, body));
}

static err_t answer(struct client *c)
{
    const char *status = "200 OK";
    struct text_buf body = {0};

    if (begins(c->request, "POST "))
        status = control(c);
    else if (!begins(c->request, "GET "))
        status = "405 Method Not Allowed";
    else if (begins(c->request, "GET / ") || begins(c->request, "GET /metrics "))
        procfs_metrics(&body);
    else
        status = "404 Not Found";
    text_printf(&c->answer,
                "HTTP/1.0 %s\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %lu\r\n"
                "Connection: close\r\n\r\n",
                status, body.len);
    if (body.len > 0)
        text_put(&c->answer, body.text, body.len);
    text_free(&body);
    if (c->answer.failed)
        return end(c);
    return go_on(c);
}

/* ---- Connections ---- */

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    struct client *c = client_of(pcb);
    unsigned n;

    if (p == NULL)
        return c->answer.text ? ERR_OK : end(c);
    tcp_recved(pcb, p->tot_len);
    n = MIN((unsigned)p->tot_len, REQUEST_MAX - 1 - c->len);
    pbuf_copy_partial(p, c->request + c->len, (u16_t)n, 0);
    pbuf_free(p);
    c->len += n;
    c->seen = tcp_ticks;
    if (c->answer.text)
        return ERR_OK; /* one request a connection */
    if (complete(c))
        return answer(c);
    return c->len == REQUEST_MAX - 1 ? end(c) : ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
    struct client *c = client_of(pcb);

    return c->answer.text ? go_on(c) : ERR_OK;
}

/* One that went wrong cannot say which it was, as all have the same argument: those whose PCB is in
 * no list any more are. */
static bool alive(const struct tcp_pcb *pcb)
{
    for (const struct tcp_pcb *p = tcp_active_pcbs; p != NULL; p = p->next)
        if (p == pcb)
            return true;
    return false;
}

static void sweep(void)
{
    for (struct client *c = clients; c < clients + CLIENTS; c++) {
        if (c->pcb != NULL && !alive(c->pcb))
            release(c);
        else if (c->pcb != NULL && tcp_ticks - c->seen > IDLE_TICKS)
            end(c);
    }
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct client *c;

    if (pcb == NULL)
        return ERR_VAL;
    sweep();
    c = client_of(NULL);
    if (c == NULL)
        return ERR_MEM; /* lwIP resets the connection */
    c->pcb = pcb;
    tcp_recv(pcb, on_recv);
    tcp_sent(pcb, on_sent);
    c->seen = tcp_ticks;
    return ERR_OK;
}

static int start(void)
{
    struct tcp_pcb *pcb, *listening = NULL;

    if (port == 0 && key[0] != '\0') {
        kprintf("wherry: wherry.control= needs wherry.metrics=PORT\n");
        return -EINVAL;
    }
    if (port == 0)
        return 0;
    pcb = tcp_new_ip_type(IPADDR_TYPE_ANY);
    if (pcb != NULL && tcp_bind(pcb, IP_ANY_TYPE, (u16_t)port) == ERR_OK)
        listening = tcp_listen_with_backlog(pcb, CLIENTS);
    if (listening == NULL) {
        kprintf("wherry: wherry.metrics=%lu: the port cannot be listened at\n", port);
        return -EADDRINUSE;
    }
    tcp_accept(listening, on_accept);
    return 0;
}
INIT(INIT_LATE, start);
