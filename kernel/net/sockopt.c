/*
 * The SOL_SOCKET options that mean the same to every family (socket(7)), and setsockopt and
 * getsockopt, which ask the family first. Options whose promise nobody here keeps (packet
 * filters, pacing, hardware time stamps, zero-copy completion) are refused, not swallowed.
 * Called by system calls only; may sleep while copying.
 */
#include "linux/cred.h"
#include "linux/syscall.h"
#include "mm/slab.h"
#include "net/socket_io.h"
#include "sched/clock.h"

#include <linux/time_types.h>

#define OPT_FAST     128       /* bytes of a value that need no allocation */
#define OPT_MAX      PAGE_SIZE /* more of a value than any option has is not copied */
#define BUF_MAX      212992u   /* Linux's net.core.[rw]mem_max */
#define SNDBUF_MIN   4608u     /* Linux's SOCK_MIN_SNDBUF and SOCK_MIN_RCVBUF */
#define RCVBUF_MIN   2304u
#define USEC_PER_SEC 1000000
#define NETNS_COOKIE 1ull /* the one network name space there is */
/* A timeout that was set to a negative time: over as soon as it begins, as in Linux. */
#define TIMEO_AT_ONCE 1

static uint32_t buf_size(int val, uint32_t min, bool force)
{
    uint64_t v =
        force ? (val < 0 ? 0 : (uint64_t)val) : MIN((uint64_t)(uint32_t)val, (uint64_t)BUF_MAX);
    v = MIN(v, (uint64_t)INT32_MAX / 2) * 2;
    return MAX((uint32_t)v, min);
}

static int set_timeo(uint64_t *timeo, const void *val, unsigned len)
{
    struct __kernel_sock_timeval tv;
    if (len < sizeof(tv))
        return -EINVAL;
    memcpy(&tv, val, sizeof(tv));
    if (tv.tv_usec < 0 || tv.tv_usec >= USEC_PER_SEC)
        return -EDOM;
    if (tv.tv_sec < 0)
        *timeo = TIMEO_AT_ONCE;
    else if ((uint64_t)tv.tv_sec >= INT64_MAX / NSEC_PER_SEC)
        *timeo = 0;
    else
        *timeo = (uint64_t)tv.tv_sec * NSEC_PER_SEC + (uint64_t)tv.tv_usec * NSEC_PER_USEC;
    return 0;
}

static int set_linger(struct socket *s, const void *val, unsigned len)
{
    struct linger l;
    if (len < sizeof(l))
        return -EINVAL;
    memcpy(&l, val, sizeof(l));
    s->linger.onoff = l.l_onoff != 0;
    if (l.l_onoff)
        s->linger.seconds = l.l_linger < 0 ? INT32_MAX : l.l_linger;
    return 0;
}

static void set_timestamp(struct socket *s, bool on, enum socket_timestamp kind)
{
    if (on)
        s->timestamp = kind;
    else if (s->timestamp != SOCKTS_NONE)
        s->timestamp = SOCKTS_NONE;
}

int socket_generic_setsockopt(struct socket *s, int name, const void *optval, unsigned len)
{
    /* Those that are no integer. */
    switch (name) {
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW:
        return set_timeo(&s->rcvtimeo, optval, len);
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW:
        return set_timeo(&s->sndtimeo, optval, len);
    case SO_LINGER:
        return set_linger(s, optval, len);
    default:
        break;
    }
    int val;
    if (len < sizeof(val))
        return -EINVAL;
    memcpy(&val, optval, sizeof(val));
    bool on = val != 0;
    switch (name) {
    case SO_DEBUG:
        s->debug = on;
        return 0;
    case SO_REUSEADDR:
        s->reuseaddr = on;
        return 0;
    case SO_REUSEPORT:
        s->reuseport = on;
        return 0;
    case SO_DONTROUTE:
        s->dontroute = on;
        return 0;
    case SO_BROADCAST:
        s->broadcast = on;
        return 0;
    case SO_SNDBUF:
    case SO_SNDBUFFORCE:
        s->sndbuf = buf_size(val, SNDBUF_MIN, name == SO_SNDBUFFORCE);
        s->buf_lock |= SOCK_SNDBUF_LOCK;
        /* Room may have come about for a waiting sender. */
        waitq_wake(&s->file.waitq, s->ops->poll(s));
        return 0;
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
        s->rcvbuf = buf_size(val, RCVBUF_MIN, name == SO_RCVBUFFORCE);
        s->buf_lock |= SOCK_RCVBUF_LOCK;
        return 0;
    case SO_BUF_LOCK:
        if (val & ~SOCK_BUF_LOCK_MASK)
            return -EINVAL;
        s->buf_lock = (uint8_t)val;
        return 0;
    case SO_KEEPALIVE:
        s->keepalive = on;
        return 0;
    case SO_OOBINLINE:
        s->oobinline = on;
        return 0;
    case SO_NO_CHECK:
        s->no_check = on;
        return 0;
    case SO_PRIORITY:
        s->priority = (uint32_t)val;
        return 0;
    case SO_MARK:
        s->mark = (uint32_t)val;
        return 0;
    case SO_BSDCOMPAT: /* no effect since Linux 2.4 */
        return 0;
    case SO_PASSCRED:
        s->passcred = on;
        return 0;
    case SO_TIMESTAMP_OLD:
        set_timestamp(s, on, SOCKTS_USEC);
        return 0;
    case SO_TIMESTAMP_NEW:
        set_timestamp(s, on, SOCKTS_USEC_NEW);
        return 0;
    case SO_TIMESTAMPNS_OLD:
        set_timestamp(s, on, SOCKTS_NSEC);
        return 0;
    case SO_TIMESTAMPNS_NEW:
        set_timestamp(s, on, SOCKTS_NSEC_NEW);
        return 0;
    case SO_RCVLOWAT:
        s->rcvlowat = val < 0 ? INT32_MAX : MAX(val, 1);
        waitq_wake(&s->file.waitq, s->ops->poll(s));
        return 0;
    case SO_BUSY_POLL:
        if (val < 0)
            return -EINVAL;
        s->busy_poll = (uint32_t)val;
        return 0;
    case SO_INCOMING_CPU:
        s->incoming_cpu = val;
        return 0;
    case SO_PEEK_OFF:
        if (!s->peek_off_ok)
            return -EOPNOTSUPP;
        s->peek_off = val;
        return 0;
    case SO_DETACH_FILTER: /* there never is one */
        return -ENOENT;
    case SO_ZEROCOPY:
        return on ? -EOPNOTSUPP : 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int get_timeo(uint64_t timeo, void *val, unsigned *len)
{
    struct __kernel_sock_timeval tv = {timeo / NSEC_PER_SEC, timeo % NSEC_PER_SEC / NSEC_PER_USEC};
    *len = MIN(*len, (unsigned)sizeof(tv));
    memcpy(val, &tv, *len);
    return 0;
}

static int get_u64(uint64_t v, void *val, unsigned *len)
{
    if (*len < sizeof(v))
        return -EINVAL;
    *len = sizeof(v);
    memcpy(val, &v, sizeof(v));
    return 0;
}

static int get_peer_name(struct socket *s, void *val, unsigned *len)
{
    struct sock_addr a;
    if (s->ops->getname(s, &a, true) < 0)
        return -ENOTCONN;
    if (a.len < *len)
        return -EINVAL;
    memcpy(val, a.bytes, *len);
    return 0;
}

/* Families without credentials of a peer say so in the values. */
static int get_no_cred(void *val, unsigned *len)
{
    struct ucred c = {.pid = 0, .uid = UINT32_MAX, .gid = UINT32_MAX};
    *len = MIN(*len, (unsigned)sizeof(c));
    memcpy(val, &c, *len);
    return 0;
}

/* Those that are an integer: 0 or -ENOPROTOOPT. */
static int get_int(struct socket *s, int name, int *val)
{
    switch (name) {
    case SO_DEBUG:
        *val = s->debug;
        return 0;
    case SO_REUSEADDR:
        *val = s->reuseaddr;
        return 0;
    case SO_REUSEPORT:
        *val = s->reuseport;
        return 0;
    case SO_TYPE:
        *val = s->type;
        return 0;
    case SO_DOMAIN:
        *val = s->family;
        return 0;
    case SO_PROTOCOL:
        *val = s->protocol;
        return 0;
    case SO_ERROR:
        *val = -socket_take_error(s);
        return 0;
    case SO_ACCEPTCONN:
        *val = s->listening;
        return 0;
    case SO_DONTROUTE:
        *val = s->dontroute;
        return 0;
    case SO_BROADCAST:
        *val = s->broadcast;
        return 0;
    case SO_SNDBUF:
        *val = (int)s->sndbuf;
        return 0;
    case SO_RCVBUF:
        *val = (int)s->rcvbuf;
        return 0;
    case SO_BUF_LOCK:
        *val = s->buf_lock;
        return 0;
    case SO_KEEPALIVE:
        *val = s->keepalive;
        return 0;
    case SO_OOBINLINE:
        *val = s->oobinline;
        return 0;
    case SO_NO_CHECK:
        *val = s->no_check;
        return 0;
    case SO_PRIORITY:
        *val = (int)s->priority;
        return 0;
    case SO_MARK:
        *val = (int)s->mark;
        return 0;
    case SO_PASSCRED:
        *val = s->passcred;
        return 0;
    case SO_TIMESTAMP_OLD:
        *val = s->timestamp == SOCKTS_USEC;
        return 0;
    case SO_TIMESTAMP_NEW:
        *val = s->timestamp == SOCKTS_USEC_NEW;
        return 0;
    case SO_TIMESTAMPNS_OLD:
        *val = s->timestamp == SOCKTS_NSEC;
        return 0;
    case SO_TIMESTAMPNS_NEW:
        *val = s->timestamp == SOCKTS_NSEC_NEW;
        return 0;
    case SO_RCVLOWAT:
        *val = s->rcvlowat;
        return 0;
    case SO_SNDLOWAT:
        *val = 1;
        return 0;
    case SO_BUSY_POLL:
        *val = (int)s->busy_poll;
        return 0;
    case SO_INCOMING_CPU:
        *val = s->incoming_cpu < 0 ? 0 : s->incoming_cpu;
        return 0;
    case SO_PEEK_OFF:
        *val = s->peek_off;
        return s->peek_off_ok ? 0 : -EOPNOTSUPP;
    case SO_BSDCOMPAT:
    case SO_ZEROCOPY:
    case SO_INCOMING_NAPI_ID:
        *val = 0;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

int socket_generic_getsockopt(struct socket *s, int name, void *optval, unsigned *len)
{
    switch (name) {
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW:
        return get_timeo(s->rcvtimeo, optval, len);
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW:
        return get_timeo(s->sndtimeo, optval, len);
    case SO_LINGER: {
        struct linger l = {s->linger.onoff, s->linger.seconds};
        *len = MIN(*len, (unsigned)sizeof(l));
        memcpy(optval, &l, *len);
        return 0;
    }
    case SO_COOKIE:
        return get_u64(s->id, optval, len);
    case SO_NETNS_COOKIE:
        return get_u64(NETNS_COOKIE, optval, len);
    case SO_PEERNAME:
        return get_peer_name(s, optval, len);
    case SO_PEERCRED:
        return get_no_cred(optval, len);
    case SO_PEERGROUPS:
        return -ENODATA;
    case SO_GET_FILTER:
        *len = 0;
        return 0;
    default:
        break;
    }
    int val = 0, r = get_int(s, name, &val);
    if (r < 0)
        return r;
    *len = MIN(*len, (unsigned)sizeof(val));
    memcpy(optval, &val, *len);
    return 0;
}

/* ---- The system calls -------------------------------------------------------------------- */

static int set_option(struct socket *s, int level, int name, const void *val, unsigned len)
{
    int r = -EOPNOTSUPP;
    if (s->ops->setsockopt)
        r = s->ops->setsockopt(s, level, name, val, len);
    else if (level == SOL_SOCKET)
        r = -ENOPROTOOPT;
    if (r == -ENOPROTOOPT && level == SOL_SOCKET)
        r = socket_generic_setsockopt(s, name, val, len);
    return r;
}

static long sys_setsockopt(int fd, int level, int name, const void *uval, int optlen)
{
    uint64_t fast[OPT_FAST / 8];
    void *val = fast;
    struct socket *s;
    long r = socket_get(fd, &s);
    if (r < 0)
        return r;
    size_t len = MIN((size_t)(unsigned)optlen, OPT_MAX);
    if (optlen < 0) {
        r = -EINVAL;
        goto out;
    }
    if (len > sizeof(fast)) {
        val = kmalloc(len);
        if (!val) {
            r = -ENOMEM;
            goto out;
        }
    }
    r = copy_from_user(val, uval, len);
    if (r == 0)
        r = set_option(s, level, name, val, (unsigned)len);
    if (val != fast)
        kfree(val);
out:
    file_put(&s->file);
    return r;
}
SYSCALL(setsockopt, COMPLETE, "diiBi", "");

static int get_option(struct socket *s, int level, int name, void *val, unsigned *len)
{
    int r = -EOPNOTSUPP;
    unsigned room = *len;
    if (s->ops->getsockopt)
        r = s->ops->getsockopt(s, level, name, val, len);
    else if (level == SOL_SOCKET)
        r = -ENOPROTOOPT;
    if (r == -ENOPROTOOPT && level == SOL_SOCKET) {
        *len = room;
        r = socket_generic_getsockopt(s, name, val, len);
    }
    return r;
}

static long sys_getsockopt(int fd, int level, int name, void *uval, int *ulen)
{
    uint64_t fast[OPT_FAST / 8] = {0};
    void *val = fast;
    struct socket *s;
    int optlen = 0;
    long r = socket_get(fd, &s);
    if (r < 0)
        return r;
    unsigned len = 0;
    if (get_user(optlen, ulen) < 0)
        r = -EFAULT;
    else if (optlen < 0)
        r = -EINVAL;
    if (r < 0)
        goto out;
    len = (unsigned)MIN((size_t)optlen, OPT_MAX);
    if (len > sizeof(fast)) {
        val = kzalloc(len);
        if (!val) {
            r = -ENOMEM;
            goto out;
        }
    }
    r = get_option(s, level, name, val, &len);
    if (r == 0 && (copy_to_user(uval, val, len) < 0 || put_user((int)len, ulen) < 0))
        r = -EFAULT;
    if (val != fast)
        kfree(val);
out:
    file_put(&s->file);
    return r;
}
SYSCALL(getsockopt, COMPLETE, "diipp", "");
