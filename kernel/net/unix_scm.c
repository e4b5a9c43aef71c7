/*
 * What travels beside the data of AF_UNIX messages: descriptors (SCM_RIGHTS) and
 * credentials (SCM_CREDENTIALS). Called by net/unix_msg.c; closing a descriptor may sleep.
 */
#include "net/unix.h"

#include "linux/cred.h"
#include "linux/process.h"
#include "mm/slab.h"
#include "sched/thread.h"

struct ucred unix_own_cred(bool effective)
{
    return (struct ucred){
        .pid = PROCESS_PID,
        .uid = effective ? cred.euid : cred.uid,
        .gid = effective ? cred.egid : cred.gid,
    };
}

static struct unix_fds *fds_alloc(unsigned n)
{
    struct unix_fds *fds = kmalloc(sizeof(*fds) + n * sizeof(fds->files[0]));
    if (fds)
        fds->n = 0;
    return fds;
}

void unix_fds_free(struct unix_fds *fds)
{
    if (!fds)
        return;
    for (unsigned i = 0; i < fds->n; i++)
        file_put(fds->files[i]);
    kfree(fds);
}

struct unix_fds *unix_fds_dup(const struct unix_fds *fds)
{
    struct unix_fds *copy = fds_alloc(fds->n);
    if (!copy)
        return NULL;
    for (; copy->n < fds->n; copy->n++) {
        copy->files[copy->n] = fds->files[copy->n];
        file_get(copy->files[copy->n]);
    }
    return copy;
}

/* Adds the descriptors of one SCM_RIGHTS: a send may carry several, all of them one set. */
static int parse_rights(const struct cmsghdr *c, struct unix_fds **fds)
{
    const int *fd = CMSG_DATA(c);
    size_t n = (c->cmsg_len - sizeof(*c)) / sizeof(*fd);
    if (n == 0)
        return 0;
    if (!*fds)
        *fds = fds_alloc(SCM_MAX_FD);
    if (!*fds)
        return -ENOMEM;
    if (n > SCM_MAX_FD - (*fds)->n)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        struct file *f = fd_get(fd[i]);
        if (!f)
            return -EBADF;
        (*fds)->files[(*fds)->n++] = f;
    }
    return 0;
}

/* Only a privileged sender may claim to be somebody else. */
static int parse_cred(const struct cmsghdr *c, struct ucred *out)
{
    struct ucred u;
    if (c->cmsg_len != CMSG_LEN(sizeof(u)))
        return -EINVAL;
    memcpy(&u, CMSG_DATA(c), sizeof(u));
    bool privileged = cred.euid == 0;
    bool own_uid = u.uid == cred.uid || u.uid == cred.euid || u.uid == cred.suid;
    bool own_gid = u.gid == cred.gid || u.gid == cred.egid || u.gid == cred.sgid;
    if (!privileged && (u.pid != PROCESS_PID || !own_uid || !own_gid))
        return -EPERM;
    if (u.pid != PROCESS_PID && !thread_find(u.pid))
        return -ESRCH;
    *out = u;
    return 0;
}

int unix_scm_parse(const struct sock_msg *m, struct unix_scm *scm)
{
    int r = 0;
    scm->fds = NULL;
    scm->cred = unix_own_cred(false);
    if (likely(m->control_len == 0))
        return 0;
    for (struct cmsghdr *c = socket_cmsg_next(m, NULL); c && r == 0; c = socket_cmsg_next(m, c)) {
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SCM_RIGHTS)
            r = parse_rights(c, &scm->fds);
        else if (c->cmsg_type == SCM_CREDENTIALS)
            r = parse_cred(c, &scm->cred);
        else
            r = -EINVAL;
    }
    /* Descriptors in messages are not bounded by the table they came from (unix(7)). */
    if (r == 0 && scm->fds && unix_stats.fds_inflight + scm->fds->n > fd_rlimit)
        r = -ETOOMANYREFS;
    if (r < 0) {
        unix_fds_free(scm->fds);
        scm->fds = NULL;
    }
    return r;
}

static void deliver_rights(struct sock_msg *m, struct unix_fds *fds)
{
    int installed[SCM_MAX_FD];
    size_t room = m->control_room - m->control_len;
    size_t fit = room < sizeof(struct cmsghdr) ? 0 : (room - sizeof(struct cmsghdr)) / sizeof(int);
    unsigned flags = m->flags & MSG_CMSG_CLOEXEC ? O_CLOEXEC : 0, n = 0;
    for (; n < fds->n && n < fit; n++) {
        int fd = fd_install(fds->files[n], 0, flags);
        if (fd < 0)
            break;
        file_get(fds->files[n]);
        installed[n] = fd;
    }
    if (n > 0)
        socket_put_cmsg(m, SOL_SOCKET, SCM_RIGHTS, installed, n * sizeof(int));
    if (n < fds->n)
        m->rflags |= MSG_CTRUNC;
}

void unix_scm_deliver(struct unix_sock *u, struct sock_msg *m, struct unix_fds *fds,
                      const struct ucred *from)
{
    if (u->s.passcred)
        socket_put_cmsg(m, SOL_SOCKET, SCM_CREDENTIALS, from, sizeof(*from));
    if (fds) {
        deliver_rights(m, fds);
        unix_fds_free(fds);
    }
}
