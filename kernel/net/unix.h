/*
 * AF_UNIX, private to net/unix*.c (and /proc/net/unix, which calls unix_proc_text()).
 *
 * A socket outlives its file while others point to it: its peer, and messages it sent that nobody
 * has received. So struct unix_sock has a count of its own; the file holds one reference until
 * it is released, which makes the socket "dead". Message data is copied from the application
 * before, and to it after, the state of sockets is looked at; no pointer to another socket is
 * kept across a sleep without a reference.
 */
#pragma once

#include "net/socket.h"

#include <linux/un.h>

struct path_node;

/* A path of 108 bytes may lack its terminator: getsockname() then reports one more. */
#define UNIX_ADDR_ROOM   (sizeof(struct sockaddr_un) + 2)
#define UNIX_NAME_OFFSET offsetof(struct sockaddr_un, sun_path)
/* Linux's net.unix.max_dgram_qlen as Debian's systemd sets it: datagrams queued at a receiver. */
#define UNIX_DGRAM_QUEUE 512u
#define UNIX_SHUT_RCV    1u
#define UNIX_SHUT_SND    2u
#define UNIX_SHUT_BOTH   3u

enum unix_state { UNIX_UNCONNECTED, UNIX_CONNECTED, UNIX_LISTENING };

/* A name. Shared by a listener and the sockets it accepts, which all report it. */
struct unix_addr {
    uint32_t refs;
    uint32_t len; /* of sa, as getsockname() reports it */
    union {
        struct sockaddr_un un;
        uint8_t bytes[UNIX_ADDR_ROOM];
    } sa;
};

struct unix_sock {
    struct socket s;
    uint32_t refs;
    enum unix_state state;
    uint8_t shut;   /* UNIX_SHUT_* */
    bool dead;      /* the file is gone */
    bool embryo;    /* connected, not yet accepted */
    bool owns_name; /* the name leads to this socket, not to the listener it came from */
    bool receiving; /* a thread is inside a stream receive (it may sleep in a copy) */
    struct unix_addr *addr;
    struct path_node *node; /* of a path name, referenced */
    struct list name_link;  /* abstract names: in their hash chain */
    struct unix_sock *peer; /* referenced */
    struct list clients;    /* datagram sockets connected to this one, by client_link */
    struct list client_link;
    struct list queue; /* unix_msg.link, oldest first */
    unsigned queue_len;
    size_t sent;         /* charged for messages sent that are not yet received */
    struct list pending; /* a listener's connections to accept, by pending_link */
    struct list pending_link;
    unsigned pending_len, backlog;
    struct waitq space;        /* connectors that wait for backlog, senders for queue_len */
    struct waitq receive_wait; /* for receiving to become false */
    struct ucred peer_cred;    /* SO_PEERCRED; what a listener's clients are told of it */
    struct list all_link;
    /* Garbage collection (net/unix_gc.c) */
    unsigned inflight; /* references to the file held by messages */
    unsigned gc_refs;
    uint8_t gc_state;
    struct list inflight_link;
};

/* Descriptors that travel in a message. Each file is referenced. */
struct unix_fds {
    unsigned n;
    struct file *files[];
};

struct unix_msg {
    struct list link;
    uint32_t refs;
    uint32_t len, off;      /* bytes; of a stream's, how many were received */
    uint32_t charge;        /* against from->sent */
    struct unix_sock *from; /* referenced */
    struct unix_fds *fds;   /* NULL: none */
    struct ucred cred;
    uint64_t stamp; /* when it was queued, CLOCK_REALTIME; 0 if nobody asked */
    bool vmalloced; /* data is not part of this block */
    char *data;
};

struct unix_stats {
    uint64_t sockets, messages; /* live */
    uint64_t inflight;          /* unix sockets' references in messages */
    uint64_t fds_inflight;      /* descriptors of any kind in messages */
    uint64_t collected;         /* messages dropped by the garbage collector */
};
extern struct unix_stats unix_stats;
extern struct list unix_all; /* every socket, by all_link */

static inline struct unix_sock *unix_of(struct socket *s)
{
    return container_of(s, struct unix_sock, s);
}
static inline void unix_get(struct unix_sock *u)
{
    u->refs++;
}
void unix_put(struct unix_sock *u);

static inline bool unix_is_dgram(const struct unix_sock *u)
{
    return u->s.type == SOCK_DGRAM;
}
/* May more be sent? As Linux: poll says so only when three quarters of the buffer are free. */
static inline bool unix_writable(const struct unix_sock *u)
{
    return u->state != UNIX_LISTENING && u->sent * 4 <= u->s.sndbuf;
}
static inline bool unix_queue_full(const struct unix_sock *u)
{
    return u->queue_len > UNIX_DGRAM_QUEUE;
}
/* Tells those who sleep on or poll the socket. all: every sleeper, not one. */
void unix_notify(struct unix_sock *u, uint32_t events, bool all);
/* Sleeps once: 0, -EAGAIN at the deadline (0: at once), -ERESTARTSYS. */
int unix_wait(struct waitq *q, uint32_t events, uint64_t deadline);
/* Room came about in u's queue. */
void unix_queue_drained(struct unix_sock *u);
/* A datagram socket forgets its peer, and what is queued. May sleep (closes descriptors). */
void unix_disconnect(struct unix_sock *u);

/* net/unix_addr.c */
/* Checks an address and finds its socket, referenced: 0, -EINVAL, -ECONNREFUSED, -EPROTOTYPE, and
 * the path walk's errors. */
int unix_find(const struct sock_addr *a, int type, struct unix_sock **out);
int unix_bind(struct socket *s, const struct sock_addr *a);
/* A name of the kernel's choice, if it has none: 0, -ENOMEM, -ENOSPC. */
int unix_autobind(struct unix_sock *u);
void unix_unbind(struct unix_sock *u); /* takes the name out of use; the socket still reports it */
void unix_addr_put(struct unix_addr *a);
void unix_name(const struct unix_sock *u, struct sock_addr *out);
/* /proc/net/unix: as snprintf, returns the length of the whole. */
size_t unix_proc_text(char *buf, size_t size);

/* net/unix_msg.c */
ssize_t unix_sendmsg(struct socket *s, struct sock_msg *m);
ssize_t unix_recvmsg(struct socket *s, struct sock_msg *m);
/* Drops a message: descriptors are closed and the sender gets its room back. May sleep. */
void unix_msg_put(struct unix_msg *msg);
void unix_flush(struct unix_sock *u); /* drops all of the queue */
size_t unix_queued_bytes(const struct unix_sock *u);

/* net/unix_scm.c */
struct unix_scm {
    struct unix_fds *fds;
    struct ucred cred;
};
/* Reads the control data of a send: 0 or -errno. */
int unix_scm_parse(const struct sock_msg *m, struct unix_scm *scm);
void unix_fds_free(struct unix_fds *fds);
/* Another set of references to the same files; NULL when out of memory. */
struct unix_fds *unix_fds_dup(const struct unix_fds *fds);
/* Installs the descriptors and credentials at the receiver. fds is used up. */
void unix_scm_deliver(struct unix_sock *u, struct sock_msg *m, struct unix_fds *fds,
                      const struct ucred *cred);
struct ucred unix_own_cred(bool effective);

/* net/unix_gc.c: descriptors enter and leave messages. */
void unix_inflight_add(const struct unix_fds *fds);
void unix_inflight_remove(const struct unix_fds *fds);
/* Frees sockets that only messages in each other's queues refer to. */
void unix_gc(void);
