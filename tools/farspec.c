/* See farspec.h. */
#define _GNU_SOURCE
#include "farspec.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_NODE   "10.88.0.1" /* of wherry memnode --netdev */
#define KEY_MAX        64          /* bytes: kernel/roce/session.h */
#define GUIDE_NAME_MAX 31          /* kernel/guide/internal.h */
#define FAR_MTU        "9000"      /* a page in one frame: path MTU 4096 */

static bool copy(char *to, size_t room, const char *value)
{
    if (!*value || strlen(value) >= room)
        return false;
    strcpy(to, value);
    return true;
}

/* "64M"; with percent also "25%" and "12.5%". */
static bool is_size(const char *s, bool percent)
{
    size_t digits = strspn(s, "0123456789");
    const char *rest = s + digits;

    if (digits == 0 || digits > 18)
        return false;
    if (!*rest)
        return true;
    if (percent && *rest == '.' && isdigit((unsigned char)rest[1]))
        rest += 2;
    if (percent && strcmp(rest, "%") == 0)
        return atof(s) > 0 && atof(s) <= 100;
    return rest == s + digits && strchr("KMGT", toupper((unsigned char)*rest)) && !rest[1];
}

/* "ADDRESS" or "ADDRESS:PORT" */
static bool set_node(struct farspec *f, const char *value)
{
    const char *colon = strchr(value, ':');
    char *address = xstrndup(value, colon ? (size_t)(colon - value) : strlen(value)), *end;
    struct in_addr a;
    bool ok = inet_pton(AF_INET, address, &a) == 1 && copy(f->node, sizeof(f->node), address);
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;

    free(address);
    if (colon && (!colon[1] || *end || port < 1 || port > 65535))
        return false;
    f->port = port;
    return ok;
}

static bool is_prefetcher(const char *s)
{
    return !strcmp(s, "none") || !strcmp(s, "sequential") || !strcmp(s, "trend");
}

static bool word(struct farspec *f, const char *text, struct why *w)
{
    const char *value = strchr(text, '=') ? strchr(text, '=') + 1 : "";
    size_t n = (size_t)(value - text);
    bool ok;

    if (strncmp(text, "size=", n) == 0 && n == 5)
        ok = is_size(value, false) && copy(f->size, sizeof(f->size), value);
    else if (strncmp(text, "local=", n) == 0 && n == 6)
        ok = is_size(value, true) && copy(f->local, sizeof(f->local), value);
    else if (strncmp(text, "prefetch=guide:", 15) == 0)
        ok = text[15] && (f->guide = xstrdup(text + 15));
    else if (strncmp(text, "prefetch=", n) == 0 && n == 9)
        ok = is_prefetcher(value) && copy(f->prefetch, sizeof(f->prefetch), value);
    else if (strncmp(text, "verify=", n) == 0 && n == 7)
        ok = (!strcmp(value, "off") || !strcmp(value, "checksum") || !strcmp(value, "encrypt")) &&
             copy(f->verify, sizeof(f->verify), value);
    else if (strncmp(text, "copies=", n) == 0 && n == 7)
        ok = value[0] >= '1' && value[0] <= '0' + FARS_MAX && !value[1] &&
             copy(f->copies, sizeof(f->copies), value);
    else if (strncmp(text, "key=", n) == 0 && n == 4)
        ok = *value && (f->key_file = xstrdup(value));
    else if (strncmp(text, "ip=", n) == 0 && n == 3 && f->has_net)
        ok = set_node(f, value);
    else
        return because(
            w, "--far: unknown word %s (size=, copies=, local=, prefetch=, verify=, key=%s)", text,
            f->has_net ? ", ip=" : "");
    return ok || because(w,
                         "--far: %s: write size=1G, copies=1, local=64M or local=25%%, "
                         "prefetch=none|sequential|trend|guide:NAME, "
                         "verify=checksum|encrypt|off, key=FILE, ip=ADDRESS",
                         text);
}

/* The card that leads to a node behind a socket: a network of these two, the guest is .2. */
static bool make_net(struct farspec *f, const char *where, struct why *w)
{
    struct in_addr a;
    char *text;
    bool ok;

    inet_pton(AF_INET, f->node, &a);
    a.s_addr = (a.s_addr & htonl(0xffffff00)) | htonl(2);
    if (strcmp(inet_ntoa(a), f->node) == 0)
        return because(w, "--far: the node's address ends with .2, which is the guest's");
    text = xasprintf("%s,ip=%s/24,mtu=" FAR_MTU, where, inet_ntoa(a));
    ok = netspec_parse(text, &f->net, w);
    free(text);
    return ok;
}

bool farspec_parse(const char *text, struct farspec *f, struct why *w)
{
    char *s = xstrdup(text), *save = NULL, *where = strtok_r(s, ",", &save), *part;
    bool ok = true;

    *f = (struct farspec){0};
    f->has_net =
        where && (strncmp(where, "unix:", 5) == 0 || strncmp(where, "vhost-user:", 11) == 0);
    if (!where || !(f->has_net ? copy(f->node, sizeof(f->node), DEFAULT_NODE) : set_node(f, where)))
        ok = because(w,
                     "--far %s: name a memory node, as in --far unix:/tmp/far.sock,size=1G or "
                     "--far 10.0.0.9,size=1G,local=25%%",
                     text);
    while (ok && (part = strtok_r(NULL, ",", &save)))
        ok = word(f, part, w);
    if (ok && f->has_net)
        ok = make_net(f, where, w);
    free(s);
    return ok;
}

/* The last of several that says something. */
static const char *said(const struct farspec *f, size_t count, size_t offset)
{
    while (count-- > 0)
        if (*((const char *)&f[count] + offset))
            return (const char *)&f[count] + offset;
    return NULL;
}

char *farspec_guide_name(const char *guide, struct why *w)
{
    const char *base = strrchr(guide, '/') ? strrchr(guide, '/') + 1 : guide;
    size_t n = strlen(base);

    if (n > 3 && strcmp(base + n - 3, ".so") == 0)
        n -= 3;
    if (n == 0 || n > GUIDE_NAME_MAX ||
        strspn(base, "abcdefghijklmnopqrstuvwxyz0123456789-_") < n) {
        because(w, "--far prefetch=guide:%s: a guide's name has up to %d of a-z, 0-9, - and _",
                guide, GUIDE_NAME_MAX);
        return NULL;
    }
    return xstrndup(base, n);
}

static bool add_guide(const char *guide, struct words *out, struct why *w)
{
    char *name = farspec_guide_name(guide, w);

    if (name)
        words_addf(out, "wherry.far.guide=%s", name);
    free(name);
    return name != NULL;
}

static bool add_key(const char *path, struct words *out, struct why *w)
{
    char *text = read_text(path);
    struct strbuf b = {0};
    size_t n;

    if (!text)
        return because(w, "--far key=%s: %s", path, strerror(errno));
    n = strlen(text);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    sb_addf(&b, "wherry.far.key=");
    for (size_t i = 0; i < n && i <= KEY_MAX; i++)
        sb_addf(&b, "%02x", (unsigned char)text[i]);
    words_add(out, b.s);
    free(b.s);
    free(text);
    return (n > 0 && n <= KEY_MAX) ||
           because(w, "--far key=%s: a key has 1 to %d bytes", path, KEY_MAX);
}

bool farspec_words(const struct farspec *f, size_t count, struct words *out, struct why *w)
{
    static const struct {
        const char *name;
        size_t offset;
    } words[] = {{"size", offsetof(struct farspec, size)},
                 {"copies", offsetof(struct farspec, copies)},
                 {"local", offsetof(struct farspec, local)},
                 {"prefetch", offsetof(struct farspec, prefetch)},
                 {"verify", offsetof(struct farspec, verify)}};

    bool guided = false;

    if (count == 0)
        return true;
    if (!said(f, count, offsetof(struct farspec, size)))
        return because(w, "--far: say how much memory the node is to lend: size=1G");
    for (size_t i = 0; i < count; i++) {
        if (f[i].port)
            words_addf(out, "wherry.far.node=%s:%u", f[i].node, f[i].port);
        else
            words_addf(out, "wherry.far.node=%s", f[i].node);
        if (f[i].key_file && !add_key(f[i].key_file, out, w))
            return false;
        if (f[i].guide && !add_guide(f[i].guide, out, w))
            return false;
        guided |= f[i].guide != NULL;
    }
    if (guided && !said(f, count, offsetof(struct farspec, prefetch)))
        words_add(out, "wherry.far.prefetch=sequential"); /* where the guide knows nothing */
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        const char *value = said(f, count, words[i].offset);

        if (value)
            words_addf(out, "wherry.far.%s=%s", words[i].name, value);
    }
    return true;
}
