/*
 * Identity: user and group ids, capabilities. There is one process and no other user to
 * protect from; the ids are kept exactly, since servers check that dropping them worked.
 */
#include "arch/x86_64/uaccess.h"
#include "linux/cred.h"
#include "linux/process.h"
#include "linux/syscall.h"

#include <linux/capability.h>

#define KEEP ((uint32_t)-1)

struct cred cred;

static bool privileged(void)
{
    return cred.euid == 0;
}

#define GET_ID(name_, field_)                                                                      \
    static long sys_##name_(void)                                                                  \
    {                                                                                              \
        return cred.field_;                                                                        \
    }                                                                                              \
    SYSCALL(name_, COMPLETE, "", "")
GET_ID(getuid, uid);
GET_ID(geteuid, euid);
GET_ID(getgid, gid);
GET_ID(getegid, egid);

struct ids {
    uint32_t *real, *effective, *saved, *fs;
};

static const struct ids uids = {&cred.uid, &cred.euid, &cred.suid, &cred.fsuid};
static const struct ids gids = {&cred.gid, &cred.egid, &cred.sgid, &cred.fsgid};

static bool is_one_of(const struct ids *i, uint32_t v)
{
    return v == *i->real || v == *i->effective || v == *i->saved;
}

static long set_res(const struct ids *i, uint32_t r, uint32_t e, uint32_t s)
{
    if (!privileged() && ((r != KEEP && !is_one_of(i, r)) || (e != KEEP && !is_one_of(i, e)) ||
                          (s != KEEP && !is_one_of(i, s))))
        return -EPERM;
    if (r != KEEP)
        *i->real = r;
    if (e != KEEP)
        *i->effective = e;
    if (s != KEEP)
        *i->saved = s;
    *i->fs = *i->effective;
    return 0;
}

static long set_re(const struct ids *i, uint32_t r, uint32_t e)
{
    uint32_t old = *i->real;

    if (!privileged() && ((r != KEEP && r != *i->real && r != *i->effective) ||
                          (e != KEEP && !is_one_of(i, e))))
        return -EPERM;
    if (r != KEEP)
        *i->real = r;
    if (e != KEEP)
        *i->effective = e;
    if (r != KEEP || (e != KEEP && e != old))
        *i->saved = *i->effective;
    *i->fs = *i->effective;
    return 0;
}

static long set_one(const struct ids *i, uint32_t id)
{
    if (id == KEEP)
        return -EINVAL;
    if (privileged()) {
        *i->real = *i->effective = *i->saved = *i->fs = id;
        return 0;
    }
    if (id != *i->real && id != *i->saved)
        return -EPERM;
    *i->effective = *i->fs = id;
    return 0;
}

static long sys_setuid(uint32_t id)
{
    return set_one(&uids, id);
}
SYSCALL(setuid, COMPLETE, "u", "");

static long sys_setgid(uint32_t id)
{
    return set_one(&gids, id);
}
SYSCALL(setgid, COMPLETE, "u", "");

static long sys_setreuid(uint32_t r, uint32_t e)
{
    return set_re(&uids, r, e);
}
SYSCALL(setreuid, COMPLETE, "uu", "");

static long sys_setregid(uint32_t r, uint32_t e)
{
    return set_re(&gids, r, e);
}
SYSCALL(setregid, COMPLETE, "uu", "");

static long sys_setresuid(uint32_t r, uint32_t e, uint32_t s)
{
    return set_res(&uids, r, e, s);
}
SYSCALL(setresuid, COMPLETE, "uuu", "");

static long sys_setresgid(uint32_t r, uint32_t e, uint32_t s)
{
    return set_res(&gids, r, e, s);
}
SYSCALL(setresgid, COMPLETE, "uuu", "");

static long get_res(const struct ids *i, uint32_t *r, uint32_t *e, uint32_t *s)
{
    return put_user(*i->real, r) < 0 || put_user(*i->effective, e) < 0 || put_user(*i->saved, s) < 0
               ? -EFAULT
               : 0;
}

static long sys_getresuid(uint32_t *r, uint32_t *e, uint32_t *s)
{
    return get_res(&uids, r, e, s);
}
SYSCALL(getresuid, COMPLETE, "ppp", "");

static long sys_getresgid(uint32_t *r, uint32_t *e, uint32_t *s)
{
    return get_res(&gids, r, e, s);
}
SYSCALL(getresgid, COMPLETE, "ppp", "");

static long set_fs(const struct ids *i, uint32_t id)
{
    uint32_t old = *i->fs;

    if (id != KEEP && (privileged() || is_one_of(i, id) || id == old))
        *i->fs = id;
    return old;
}

static long sys_setfsuid(uint32_t id)
{
    return set_fs(&uids, id);
}
SYSCALL(setfsuid, COMPLETE, "u", "");

static long sys_setfsgid(uint32_t id)
{
    return set_fs(&gids, id);
}
SYSCALL(setfsgid, COMPLETE, "u", "");

static long sys_getgroups(int n, uint32_t *list)
{
    if (n < 0 || (n && (uint32_t)n < cred.nr_groups))
        return -EINVAL;
    if (n && copy_to_user(list, cred.groups, cred.nr_groups * sizeof(*list)) < 0)
        return -EFAULT;
    return cred.nr_groups;
}
SYSCALL(getgroups, COMPLETE, "ip", "");

static long sys_setgroups(size_t n, const uint32_t *list)
{
    uint32_t groups[CRED_MAX_GROUPS];

    if (!privileged())
        return -EPERM;
    if (n > CRED_MAX_GROUPS)
        return -EINVAL;
    if (copy_from_user(groups, list, n * sizeof(*list)) < 0)
        return -EFAULT;
    memcpy(cred.groups, groups, n * sizeof(*list));
    cred.nr_groups = n;
    return 0;
}
SYSCALL(setgroups, PARTIAL, "zp", "at most 64 groups");

#define ALL_CAPS ((1ull << (CAP_LAST_CAP + 1)) - 1)

/* As Linux keeps them over set*uid: root has all, others none; capset may only take away. */
static uint64_t cap_effective = ALL_CAPS, cap_permitted = ALL_CAPS, cap_inheritable;

static int cap_version(struct __user_cap_header_struct *uh, unsigned *words)
{
    struct __user_cap_header_struct h;

    if (copy_from_user(&h, uh, sizeof(h)) < 0)
        return -EFAULT;
    if (h.version == _LINUX_CAPABILITY_VERSION_1) {
        *words = 1;
    } else if (h.version == _LINUX_CAPABILITY_VERSION_2 ||
               h.version == _LINUX_CAPABILITY_VERSION_3) {
        *words = 2;
    } else {
        put_user((uint32_t)_LINUX_CAPABILITY_VERSION_3, &uh->version);
        return -EINVAL;
    }
    return h.pid == 0 || h.pid == PROCESS_PID ? 0 : h.pid < 0 ? -EINVAL : -ESRCH;
}

static long sys_capget(struct __user_cap_header_struct *uh, struct __user_cap_data_struct *ud)
{
    struct __user_cap_data_struct d[2];
    uint64_t have = privileged() ? ~0ull : 0;
    unsigned words = 0;
    int r = cap_version(uh, &words);

    if (!ud && r == -EINVAL && !words)
        return 0;
    if (r < 0)
        return r;
    for (unsigned i = 0; i < words; i++) {
        d[i].effective = (cap_effective & have) >> 32 * i;
        d[i].permitted = (cap_permitted & have) >> 32 * i;
        d[i].inheritable = cap_inheritable >> 32 * i;
    }
    return ud ? copy_to_user(ud, d, words * sizeof(d[0])) : 0;
}
SYSCALL(capget, COMPLETE, "pp", "");

static long sys_capset(struct __user_cap_header_struct *uh,
                       const struct __user_cap_data_struct *ud)
{
    struct __user_cap_data_struct d[2] = {0};
    uint64_t eff = 0, perm = 0, inh = 0;
    unsigned words = 0;
    int r = cap_version(uh, &words);

    if (r < 0)
        return r;
    if (copy_from_user(d, ud, words * sizeof(d[0])) < 0)
        return -EFAULT;
    for (unsigned i = 0; i < words; i++) {
        eff |= (uint64_t)d[i].effective << 32 * i;
        perm |= (uint64_t)d[i].permitted << 32 * i;
        inh |= (uint64_t)d[i].inheritable << 32 * i;
    }
    eff &= ALL_CAPS, perm &= ALL_CAPS, inh &= ALL_CAPS;
    if (perm & ~cap_permitted || eff & ~perm)
        return -EPERM;
    cap_effective = eff;
    cap_permitted = perm;
    cap_inheritable = inh;
    return 0;
}
SYSCALL(capset, PARTIAL, "pp", "kept and reported; checks look at the effective user id");
