/*
 * Arguments of system calls as text; see linux/strace.h. Reads the application's memory with the
 * ordinary accessors, so it may sleep; what cannot be read is printed as an address.
 */
#include "arch/x86_64/uaccess.h"
#include "lib/names.h"
#include "linux/signal.h"
#include "linux/strace.h"
#include "linux/syscall.h"
#include "net/sockdefs.h"

#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/netlink.h>
#include <linux/poll.h>
#include <linux/time_types.h>
#include <linux/un.h>

#define BYTES_MAX  32  /* of a buffer, as strace -s */
#define PATH_BYTES 256 /* of a string */
#define ITEMS_MAX  8   /* of an array */
#define SIGNALS    64

static bool user_read(void *dst, uint64_t addr, size_t n)
{
    return copy_from_user(dst, (const void *)addr, n) == 0;
}

/* C's notation, octal where there is no letter. */
static void put_quoted(struct strace_line *l, const uint8_t *s, size_t n)
{
    static const char letters[] = "a\ab\bf\fn\nr\rt\tv\v\"\"\\\\";
    strace_put(l, "\"");
    for (size_t i = 0; i < n; i++) {
        const char *escape = NULL;
        for (size_t j = 0; j + 1 < sizeof(letters); j += 2) {
            if (letters[j + 1] == (char)s[i])
                escape = &letters[j];
        }
        bool digit_next = i + 1 < n && s[i + 1] >= '0' && s[i + 1] <= '9';
        if (escape != NULL)
            strace_put(l, "\\%c", *escape);
        else if (s[i] >= ' ' && s[i] < 0x7f)
            strace_put(l, "%c", s[i]);
        else
            strace_put(l, digit_next ? "\\%03o" : "\\%o", s[i]);
    }
    strace_put(l, "\"");
}

static void put_pointer(struct strace_line *l, uint64_t p)
{
    if (p == 0)
        strace_put(l, "NULL");
    else
        strace_put(l, "0x%lx", p);
}

static void put_bytes(struct strace_line *l, uint64_t addr, uint64_t n)
{
    uint8_t buf[BYTES_MAX];
    size_t shown = MIN(n, (uint64_t)sizeof(buf));
    if (addr == 0 || !user_read(buf, addr, shown)) {
        put_pointer(l, addr);
        return;
    }
    put_quoted(l, buf, shown);
    if (n > shown)
        strace_put(l, "...");
}

static void put_string(struct strace_line *l, uint64_t addr)
{
    char buf[PATH_BYTES];
    ssize_t n = addr != 0 ? copy_string_from_user(buf, (const char *)addr, sizeof(buf)) : -EFAULT;
    if (n >= 0)
        put_quoted(l, (uint8_t *)buf, (size_t)n);
    else if (n == -ENAMETOOLONG)
        put_bytes(l, addr, PATH_BYTES);
    else
        put_pointer(l, addr);
}

static void put_inet6(struct strace_line *l, const struct in6_addr *a)
{
    /* The longest run of zero groups is cut out (RFC 5952 §4.2). */
    unsigned best = 8, best_len = 1;
    for (unsigned i = 0; i < 8; i++) {
        unsigned n = 0;
        while (i + n < 8 && a->s6_addr16[i + n] == 0)
            n++;
        if (n > best_len) {
            best = i;
            best_len = n;
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        if (i == best) {
            strace_put(l, "::");
            i += best_len - 1;
            continue;
        }
        strace_put(l, "%s%x", i > 0 && i != best + best_len ? ":" : "",
                   __builtin_bswap16(a->s6_addr16[i]));
    }
}

static void put_sockaddr(struct strace_line *l, uint64_t addr, uint64_t len)
{
    union {
        uint16_t family;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
        struct sockaddr_nl nl;
        uint8_t bytes[128];
    } a = {0};
    const uint8_t *ip = (const uint8_t *)&a.in.sin_addr;

    len = MIN(len, (uint64_t)sizeof(a));
    if (addr == 0 || len < sizeof(a.family) || !user_read(&a, addr, len)) {
        put_pointer(l, addr);
        return;
    }
    strace_put(l, "{sa_family=");
    strace_put_set(l, STRACE_AF, a.family);
    if (a.family == AF_INET && len >= sizeof(a.in)) {
        strace_put(l, ", sin_port=htons(%u), sin_addr=inet_addr(\"%u.%u.%u.%u\")",
                   __builtin_bswap16(a.in.sin_port), ip[0], ip[1], ip[2], ip[3]);
    } else if (a.family == AF_INET6 && len >= offsetof(struct sockaddr_in6, sin6_scope_id)) {
        strace_put(l, ", sin6_port=htons(%u), sin6_flowinfo=%u, inet_pton(AF_INET6, \"",
                   __builtin_bswap16(a.in6.sin6_port), __builtin_bswap32(a.in6.sin6_flowinfo));
        put_inet6(l, &a.in6.sin6_addr);
        strace_put(l, "\"), sin6_scope_id=%u", a.in6.sin6_scope_id);
    } else if (a.family == AF_UNIX) {
        size_t n = len - sizeof(a.family), named = strnlen(a.un.sun_path, n);
        bool is_abstract = n > 0 && a.un.sun_path[0] == '\0';
        strace_put(l, ", sun_path=%s", is_abstract ? "@" : "");
        put_quoted(l, (uint8_t *)a.un.sun_path + is_abstract, is_abstract ? n - 1 : named);
    } else if (a.family == AF_NETLINK && len >= sizeof(a.nl)) {
        strace_put(l, ", nl_pid=%u, nl_groups=%08x", a.nl.nl_pid, a.nl.nl_groups);
    } else {
        strace_put(l, ", sa_data=");
        put_quoted(l, a.bytes + sizeof(a.family), MIN(len - sizeof(a.family), 14ul));
    }
    strace_put(l, "}");
}

static void put_sockaddr_out(struct strace_line *l, uint64_t addr, uint64_t len_addr, long ret)
{
    uint32_t len;
    if (ret < 0 || addr == 0 || !user_read(&len, len_addr, sizeof(len)))
        put_pointer(l, addr);
    else
        put_sockaddr(l, addr, len);
}

static void put_timespec(struct strace_line *l, uint64_t addr)
{
    struct __kernel_timespec t;
    if (addr == 0 || !user_read(&t, addr, sizeof(t)))
        put_pointer(l, addr);
    else
        strace_put(l, "{tv_sec=%lld, tv_nsec=%lld}", t.tv_sec, t.tv_nsec);
}

static void put_epoll_events(struct strace_line *l, uint64_t addr, long n, bool array)
{
    struct epoll_event e;
    if (n < 0 || addr == 0) {
        put_pointer(l, addr);
        return;
    }
    strace_put(l, array ? "[" : "");
    for (long i = 0; i < n; i++) {
        strace_put(l, i > 0 ? ", " : "");
        if (i == ITEMS_MAX || !user_read(&e, addr + (uint64_t)i * sizeof(e), sizeof(e))) {
            strace_put(l, "...");
            break;
        }
        strace_put(l, "{events=");
        strace_put_set(l, STRACE_EPOLL, e.events);
        strace_put(l, ", data=0x%llx}", e.data);
    }
    strace_put(l, array ? "]" : "");
}

static void put_pollfds(struct strace_line *l, uint64_t addr, uint64_t n)
{
    struct pollfd p;
    if (addr == 0) {
        put_pointer(l, addr);
        return;
    }
    strace_put(l, "[");
    for (uint64_t i = 0; i < n; i++) {
        strace_put(l, i > 0 ? ", " : "");
        if (i == ITEMS_MAX || !user_read(&p, addr + i * sizeof(p), sizeof(p))) {
            strace_put(l, "...");
            break;
        }
        strace_put(l, "{fd=%d, events=", p.fd);
        strace_put_set(l, STRACE_POLL, (uint16_t)p.events);
        if (p.revents != 0) {
            strace_put(l, ", revents=");
            strace_put_set(l, STRACE_POLL, (uint16_t)p.revents);
        }
        strace_put(l, "}");
    }
    strace_put(l, "]");
}

/* left: bytes that were transferred, WRITTEN_ALL for a write. */
#define WRITTEN_ALL UINT64_MAX
static void put_iovecs(struct strace_line *l, uint64_t addr, uint64_t n, uint64_t left)
{
    struct iovec v;
    if (addr == 0) {
        put_pointer(l, addr);
        return;
    }
    strace_put(l, "[");
    for (uint64_t i = 0; i < n; i++) {
        strace_put(l, i > 0 ? ", " : "");
        if (i == ITEMS_MAX || !user_read(&v, addr + i * sizeof(v), sizeof(v))) {
            strace_put(l, "...");
            break;
        }
        uint64_t used = MIN((uint64_t)v.iov_len, left);
        strace_put(l, "{iov_base=");
        put_bytes(l, (uint64_t)v.iov_base, used);
        strace_put(l, ", iov_len=%lu}", (uint64_t)v.iov_len);
        if (left != WRITTEN_ALL)
            left -= used;
    }
    strace_put(l, "]");
}

static void put_msghdr(struct strace_line *l, uint64_t addr, bool received, long ret)
{
    struct msghdr m;
    if (addr == 0 || (received && ret < 0) || !user_read(&m, addr, sizeof(m))) {
        put_pointer(l, addr);
        return;
    }
    strace_put(l, "{msg_name=");
    put_sockaddr(l, (uint64_t)m.msg_name, m.msg_name != NULL ? (uint64_t)m.msg_namelen : 0);
    strace_put(l, ", msg_namelen=%d, msg_iov=", m.msg_namelen);
    put_iovecs(l, (uint64_t)m.msg_iov, m.msg_iovlen, received ? (uint64_t)ret : WRITTEN_ALL);
    strace_put(l, ", msg_iovlen=%lu, msg_controllen=%lu, msg_flags=", m.msg_iovlen,
               m.msg_controllen);
    strace_put_set(l, STRACE_MSG, m.msg_flags);
    strace_put(l, "}");
}

static void put_signal(struct strace_line *l, uint64_t sig)
{
    const char *name = signal_name((int)sig);
    if (name != NULL)
        strace_put(l, "%s", name);
    else if (sig >= 32 && sig <= SIGNALS)
        strace_put(l, "SIGRT_%lu", sig - 32);
    else
        strace_put(l, "%d", (int)sig);
}

/* [INT TERM], or ~[KILL] when most are in it. */
static void put_signal_set(struct strace_line *l, uint64_t addr)
{
    uint64_t set;
    if (addr == 0 || !user_read(&set, addr, sizeof(set))) {
        put_pointer(l, addr);
        return;
    }
    bool inverted = __builtin_popcountll(set) > SIGNALS / 2;
    const char *space = "";
    strace_put(l, inverted ? "~[" : "[");
    for (unsigned sig = 1; sig <= SIGNALS; sig++) {
        bool member = set >> (sig - 1) & 1;
        if (member == inverted)
            continue;
        const char *name = signal_name((int)sig);
        if (name != NULL)
            strace_put(l, "%s%s", space, name + 3);
        else
            strace_put(l, "%sRT_%u", space, sig - 32);
        space = " ";
    }
    strace_put(l, "]");
}

/* A socket option's value: nearly all are one int. */
static void put_option(struct strace_line *l, uint64_t addr, uint64_t len)
{
    int v;
    if (len == sizeof(v) && addr != 0 && user_read(&v, addr, sizeof(v)))
        strace_put(l, "[%d]", v);
    else
        put_bytes(l, addr, len);
}

static void put_two(struct strace_line *l, uint64_t addr, long ret)
{
    int fd[2];
    if (ret < 0 || addr == 0 || !user_read(fd, addr, sizeof(fd)))
        put_pointer(l, addr);
    else
        strace_put(l, "[%d, %d]", fd[0], fd[1]);
}

bool strace_is_output(char letter)
{
    return strchr("BaeftRvPHrK", letter) != NULL;
}

const char *strace_letters(uint64_t nr, const char *declared)
{
    static const struct {
        uint64_t nr;
        const char *letters;
    } better[] = {
        {__NR_accept, "dap"},
        {__NR_accept4, "dapx"},
        {__NR_getsockname, "dap"},
        {__NR_getpeername, "dap"},
        {__NR_recvfrom, "dBzxap"},
        {__NR_sendto, "dbzxSi"},
        {__NR_recvmsg, "drx"},
        {__NR_sendmsg, "dmx"},
        {__NR_pipe, "f"},
        {__NR_pipe2, "fO"},
        {__NR_socketpair, "iiif"},
        {__NR_epoll_wait, "deii"},
        {__NR_epoll_pwait, "deiiGz"},
        {__NR_epoll_pwait2, "deiTGz"},
        {__NR_poll, "Pui"},
        {__NR_ppoll, "PuTGz"},
        {__NR_clock_gettime, "it"},
        {__NR_clock_getres, "it"},
        {__NR_readv, "dvi"},
        {__NR_preadv, "dvil"},
        {__NR_preadv2, "dvillx"},
        {__NR_setsockopt, "diiki"},
        {__NR_getsockopt, "diiKp"},
        {__NR_rt_sigprocmask, "iGHz"},
        {__NR_rt_sigsuspend, "Gz"},
        {__NR_rt_sigtimedwait, "GpTz"},
        {__NR_signalfd4, "dGzx"},
        {__NR_rt_sigpending, "Hz"},
        {__NR_nanosleep, "TR"},
        {__NR_clock_nanosleep, "ixTR"},
        {__NR_epoll_create1, "x"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(better); i++) {
        if (better[i].nr == nr)
            return better[i].letters;
    }
    return declared;
}

void strace_arg(struct strace_line *l, char letter, uint64_t nr, unsigned index,
                const uint64_t args[6], long ret)
{
    uint64_t v = args[index], next = index < 5 ? args[index + 1] : 0;
    uint32_t len;

    switch (letter) {
    case 'd':
        strace_put(l, "%d", (int)v);
        return;
    case 'A':
        if ((int)v == AT_FDCWD)
            strace_put(l, "AT_FDCWD");
        else
            strace_put(l, "%d", (int)v);
        return;
    case 'g':
        put_signal(l, v);
        return;
    case 'o':
        strace_put(l, "0%02o", (unsigned)v);
        return;
    case 'O':
        strace_put_set(l, STRACE_OPEN, (uint32_t)v);
        return;
    case 'M':
        strace_put_set(l, STRACE_PROT, v);
        return;
    case 'p':
        put_pointer(l, v);
        return;
    case 's':
        put_string(l, v);
        return;
    case 'b':
        put_bytes(l, v, next);
        return;
    case 'B':
        if (ret < 0)
            put_pointer(l, v);
        else
            put_bytes(l, v, (uint64_t)ret);
        return;
    case 'S':
        put_sockaddr(l, v, next);
        return;
    case 'a':
        put_sockaddr_out(l, v, next, ret);
        return;
    case 'T':
        put_timespec(l, v);
        return;
    case 't':
        if (ret < 0)
            put_pointer(l, v);
        else
            put_timespec(l, v);
        return;
    case 'R':
        if (ret != -EINTR)
            put_pointer(l, v);
        else
            put_timespec(l, v);
        return;
    case 'E':
        put_epoll_events(l, v, 1, false);
        return;
    case 'e':
        put_epoll_events(l, v, ret, true);
        return;
    case 'P':
        put_pollfds(l, v, next);
        return;
    case 'V':
        put_iovecs(l, v, next, WRITTEN_ALL);
        return;
    case 'v':
        if (ret < 0)
            put_pointer(l, v);
        else
            put_iovecs(l, v, next, (uint64_t)ret);
        return;
    case 'f':
        put_two(l, v, ret);
        return;
    case 'm':
        put_msghdr(l, v, false, 0);
        return;
    case 'r':
        put_msghdr(l, v, true, ret);
        return;
    case 'G':
        put_signal_set(l, v);
        return;
    case 'H':
        if (ret < 0)
            put_pointer(l, v);
        else
            put_signal_set(l, v);
        return;
    case 'k':
        put_option(l, v, next);
        return;
    case 'K':
        if (ret < 0 || !user_read(&len, next, sizeof(len)))
            put_pointer(l, v);
        else
            put_option(l, v, len);
        return;
    }
    if (strace_symbolic(l, nr, index, args))
        return;
    if (letter == 'i')
        strace_put(l, "%d", (int)v);
    else if (letter == 'l')
        strace_put(l, "%ld", v);
    else if (letter == 'u')
        strace_put(l, "%u", (unsigned)v);
    else if (letter == 'z')
        strace_put(l, "%lu", v);
    else
        strace_put(l, v == 0 ? "0" : "0x%lx", v);
}
