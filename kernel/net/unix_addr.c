/*
 * The names of AF_UNIX sockets (unix(7)): paths, which are nodes of the file system with
 * the socket in inode->object; abstract names, in a hash table here; and those the kernel chooses.
 * Called by net/unix*.c; calls the path walk. Never sleeps.
 */
#include "net/unix.h"

#include "fs/vfs.h"
#include "mm/slab.h"

#include <linux/stat.h>

#define NAME_CHAINS    64u
#define AUTOBIND_NAMES (1u << 20) /* five hexadecimal digits */
#define SOCKET_MODE    (S_IFSOCK | 0777)

#define PROC_ACCEPTCON   0x10000u /* Linux's __SO_ACCEPTCON */
#define PROC_UNCONNECTED 1        /* Linux's SS_UNCONNECTED, SS_CONNECTED */
#define PROC_CONNECTED   3

/* Heads are lists of unix_sock.name_link; set up when the first name comes. */
static struct list chains[NAME_CHAINS];
static uint32_t next_autobind;

void unix_addr_put(struct unix_addr *a)
{
    if (--a->refs == 0)
        kfree(a);
}

void unix_name(const struct unix_sock *u, struct sock_addr *out)
{
    out->len = sizeof(out->family);
    out->family = AF_UNIX;
    if (u->addr) {
        out->len = u->addr->len;
        memcpy(out->bytes, u->addr->sa.bytes, u->addr->len);
    }
}

static bool is_abstract(const struct unix_addr *a)
{
    return a->sa.un.sun_path[0] == '\0';
}

/* Brings an address of the application into the one form it is compared and reported in. */
static int normalise(const struct sock_addr *in, struct unix_addr *out)
{
    if (in->len <= UNIX_NAME_OFFSET || in->len > sizeof(struct sockaddr_un) ||
        in->family != AF_UNIX)
        return -EINVAL;
    memset(out, 0, sizeof(*out));
    out->refs = 1;
    out->len = in->len;
    memcpy(out->sa.bytes, in->bytes, in->len);
    /* A path ends at its terminator, or at the end if it has none; an abstract name is all there
     * is. */
    if (!is_abstract(out))
        out->len =
            (uint32_t)(UNIX_NAME_OFFSET + strlen((char *)out->sa.bytes + UNIX_NAME_OFFSET) + 1);
    return 0;
}

static struct list *chain_of(const struct unix_addr *a)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (uint32_t i = UNIX_NAME_OFFSET; i < a->len; i++)
        h = (h ^ a->sa.bytes[i]) * 16777619u;
    struct list *head = &chains[(h ^ h >> 16) % NAME_CHAINS];
    if (!head->next)
        list_init(head);
    return head;
}

/* Sockets of different types may share an abstract name, as in Linux. */
static struct unix_sock *find_abstract(const struct unix_addr *a, int type)
{
    struct list *head = chain_of(a);
    list_for_each (u, head, struct unix_sock, name_link) {
        if (u->s.type == type && u->addr->len == a->len &&
            memcmp(u->addr->sa.bytes, a->sa.bytes, a->len) == 0)
            return u;
    }
    return NULL;
}

static int find_path(const struct unix_addr *a, struct unix_sock **out)
{
    struct path_node *node;
    int r =
        vfs_lookup(AT_FDCWD, (const char *)a->sa.bytes + UNIX_NAME_OFFSET, LOOKUP_FOLLOW, &node);
    if (r < 0)
        return r;
    struct inode *inode = node->inode;
    r = inode_permission(inode, MAY_WRITE);
    if (r == 0 && ((inode->mode & S_IFMT) != S_IFSOCK || !inode->object))
        r = -ECONNREFUSED;
    if (r == 0)
        *out = inode->object;
    path_put(node);
    return r;
}

int unix_find(const struct sock_addr *a, int type, struct unix_sock **out)
{
    struct unix_addr name;
    struct unix_sock *u = NULL;
    int r = normalise(a, &name);
    if (r < 0)
        return r;
    if (is_abstract(&name)) {
        u = find_abstract(&name, type);
        if (!u)
            return -ECONNREFUSED;
    } else {
        r = find_path(&name, &u);
        if (r < 0)
            return r;
        if (u->s.type != type)
            return -EPROTOTYPE;
    }
    unix_get(u);
    *out = u;
    return 0;
}

static void take_abstract(struct unix_sock *u, struct unix_addr *a)
{
    u->addr = a;
    u->owns_name = true;
    list_push_back(chain_of(a), &u->name_link);
}

static int bind_path(struct unix_sock *u, struct unix_addr *a)
{
    struct path_node *node;
    int r =
        vfs_mknod(AT_FDCWD, (const char *)a->sa.bytes + UNIX_NAME_OFFSET, SOCKET_MODE, 0, &node);
    if (r < 0)
        return r == -EEXIST ? -EADDRINUSE : r;
    if (u->addr) {
        /* Linux looks at this after making the name, and takes it back. */
        path_put(node);
        (void)vfs_unlink(AT_FDCWD, (const char *)a->sa.bytes + UNIX_NAME_OFFSET, false);
        return -EINVAL;
    }
    node->inode->object = u;
    u->node = node;
    u->addr = a;
    u->owns_name = true;
    return 0;
}

int unix_bind(struct socket *s, const struct sock_addr *in)
{
    struct unix_sock *u = unix_of(s);
    if (in->len == sizeof(in->family) && in->family == AF_UNIX)
        return u->addr ? -EINVAL : unix_autobind(u);
    struct unix_addr *a = kmalloc(sizeof(*a));
    if (!a)
        return -ENOMEM;
    int r = normalise(in, a);
    if (r == 0 && !is_abstract(a)) {
        r = bind_path(u, a);
    } else if (r == 0) {
        if (u->addr)
            r = -EINVAL;
        else if (find_abstract(a, s->type))
            r = -EADDRINUSE;
        else
            take_abstract(u, a);
    }
    if (r < 0)
        kfree(a);
    return r;
}

int unix_autobind(struct unix_sock *u)
{
    if (u->addr)
        return 0;
    struct unix_addr *a = kzalloc(sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->refs = 1;
    a->sa.un.sun_family = AF_UNIX;
    for (uint32_t tries = 0; tries < AUTOBIND_NAMES; tries++) {
        uint32_t n = next_autobind++ % AUTOBIND_NAMES;
        /* sun_path[0] stays NUL: abstract. */
        int digits = ksnprintf(a->sa.un.sun_path + 1, UNIX_PATH_MAX - 1, "%05x", n);
        a->len = (uint32_t)(UNIX_NAME_OFFSET + 1) + (uint32_t)digits;
        if (!find_abstract(a, u->s.type)) {
            take_abstract(u, a);
            return 0;
        }
    }
    kfree(a);
    return -ENOSPC;
}

void unix_unbind(struct unix_sock *u)
{
    list_remove(&u->name_link);
    u->owns_name = false;
    if (u->node) {
        u->node->inode->object = NULL;
        path_put(u->node);
        u->node = NULL;
    }
}

/* ---- /proc/net/unix ---------------------------------------------------------------------- */

static size_t append(char *buf, size_t size, size_t at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = kvsnprintf(at < size ? buf + at : NULL, at < size ? size - at : 0, fmt, ap);
    va_end(ap);
    return at + (size_t)n;
}

static size_t append_name(const struct unix_sock *u, char *buf, size_t size, size_t at)
{
    if (!u->addr)
        return at;
    const char *name = u->addr->sa.un.sun_path;
    bool abstract = is_abstract(u->addr);
    size_t len = u->addr->len - UNIX_NAME_OFFSET - (abstract ? 0 : 1);
    at = append(buf, size, at, " ");
    for (size_t i = 0; i < len; i++)
        at = append(buf, size, at, "%c", name[i] ? name[i] : '@');
    return at;
}

size_t unix_proc_text(char *buf, size_t size)
{
    size_t at = append(buf, size, 0, "Num       RefCount Protocol Flags    Type St Inode Path\n");
    list_for_each (u, &unix_all, struct unix_sock, all_link) {
        bool connected = u->state == UNIX_CONNECTED || u->peer;
        at = append(buf, size, at, "%016lx: %08X %08X %08X %04X %02X %5lu", (unsigned long)u->s.id,
                    u->refs, 0u, u->state == UNIX_LISTENING ? PROC_ACCEPTCON : 0u,
                    (unsigned)u->s.type, connected ? PROC_CONNECTED : PROC_UNCONNECTED,
                    (unsigned long)u->s.id);
        at = append_name(u, buf, size, at);
        at = append(buf, size, at, "\n");
    }
    return at;
}
