/*
 * Contents of the files below /proc/PID (proc(5)). Nothing here sleeps.
 */
#include "fs/procfs_int.h"

#include "linux/limits_table.h"
#include "linux/process.h"
#include "linux/sigstate.h"
#include "mm/far/far.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/slab.h"
#include "mm/vma.h"
#include "sched/clock.h"
#include "sched/thread.h"

#include <linux/capability.h>

#define TICK_NS     (10ul * 1000 * 1000) /* USER_HZ is 100 */
#define PATH_COLUMN 73                   /* where maps puts the name */

struct totals {
    uint64_t size, rss, data, stack, exec, lib; /* bytes */
};

/* Sums over the mappings. */
static struct totals count_totals(void)
{
    struct totals t = {.rss = (mm_stats.rss_anon + mm_stats.rss_file) * PAGE_SIZE};
    for (struct vma *v = vma_find_above(0); v != NULL; v = vma_next(v)) {
        uint64_t n = v->end - v->start;
        t.size += n;
        if (v->flags & VMA_STACK)
            t.stack += n;
        else if ((v->prot & PROT_EXEC) && v->file != NULL) {
            if (v->start >= mm_layout.code_start && v->start < mm_layout.code_end)
                t.exec += n;
            else
                t.lib += n;
        } else if ((v->prot & PROT_WRITE) && !(v->flags & MAP_SHARED))
            t.data += n;
    }
    return t;
}

static uint64_t peak_rss, peak_size; /* as seen whenever somebody asks */

static char state_of(const struct thread *t)
{
    return t->state == THREAD_RUNNABLE || t == current() ? 'R'
           : t->state == THREAD_BLOCKED                  ? t->interruptible ? 'S' : 'D'
                                                         : 'Z';
}

/* Processor time of the process, or of one thread. */
static uint64_t cpu_time(const struct thread *t, bool task)
{
    if (task)
        return thread_cpu_ns(t);
    uint64_t sum = 0;
    list_for_each (each, &thread_list, struct thread, all_link) {
        sum += thread_cpu_ns(each);
    }
    return sum;
}

struct signal_sets {
    uint64_t pending, shared, blocked, ignored, caught;
};

static struct signal_sets signal_sets_of(const struct thread *t)
{
    struct signal_sets s = {.shared = process_pending.set};
    if (t->sig != NULL) {
        s.pending = t->sig->pending.set;
        s.blocked = t->sig->mask;
    }
    for (int sig = 1; sig <= SIG_COUNT; sig++) {
        uint64_t h = sig_actions[sig].handler;
        if (h == (uint64_t)SIG_IGN)
            s.ignored |= SIGMASK(sig);
        else if (h != (uint64_t)SIG_DFL)
            s.caught |= SIGMASK(sig);
    }
    return s;
}

void proc_show_stat(struct text_buf *out, struct thread *t, bool task)
{
    struct totals m = count_totals();
    struct signal_sets s = signal_sets_of(t);
    int pid = task ? t->tid : PROCESS_PID;
    const char *name = task ? t->name : process.comm;
    text_printf(out, "%d (%s) %c 0 %d %d 1281 %d 4194560 ", pid, name, state_of(t), PROCESS_PID,
                PROCESS_PID, PROCESS_PID);
    /* minflt cminflt majflt cmajflt utime stime cutime cstime priority nice threads itrealvalue */
    text_printf(out, "%lu 0 0 0 %lu 0 0 0 20 0 %u 0 ", mm_stats.faults_minor,
                cpu_time(t, task) / TICK_NS, thread_count);
    text_printf(out, "%lu %lu %lu %lu ", process.start_ns / TICK_NS, m.size, m.rss / PAGE_SIZE,
                (uint64_t)rlimits[RLIMIT_RSS].rlim_cur);
    text_printf(out, "%lu %lu %lu 0 0 ", mm_layout.code_start, mm_layout.code_end,
                mm_layout.stack_top);
    /* The old signal fields hold 31 bits. wchan nswap cnswap exit_signal processor */
    text_printf(out, "%lu %lu %lu %lu 0 0 0 17 0 0 0 0 0 0 ", s.pending & INT32_MAX,
                s.blocked & INT32_MAX, s.ignored & INT32_MAX, s.caught & INT32_MAX);
    text_printf(out, "%lu %lu %lu %lu %lu %lu %lu %d\n", mm_layout.data_start, mm_layout.data_end,
                mm_layout.brk_start, mm_layout.arg_start, mm_layout.arg_end, mm_layout.env_start,
                mm_layout.env_end, process.exit_status);
}

static void kib(struct text_buf *out, const char *name, uint64_t bytes)
{
    text_printf(out, "%s:\t%8lu kB\n", name, bytes / KiB);
}

void proc_show_status(struct text_buf *out, struct thread *t, bool task)
{
    struct totals m = count_totals();
    struct signal_sets s = signal_sets_of(t);
    int pid = task ? t->tid : PROCESS_PID;
    char state = state_of(t);
    peak_rss = MAX(peak_rss, m.rss);
    peak_size = MAX(peak_size, m.size);
    text_printf(out, "Name:\t%s\nUmask:\t%04o\nState:\t%c (%s)\n", task ? t->name : process.comm,
                fs_context.umask, state,
                state == 'R'   ? "running"
                : state == 'S' ? "sleeping"
                : state == 'D' ? "disk sleep"
                               : "zombie");
    text_printf(out, "Tgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t0\nTracerPid:\t0\n", PROCESS_PID, pid);
    text_printf(out, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n", cred.uid, cred.euid, cred.suid,
                cred.fsuid, cred.gid, cred.egid, cred.sgid, cred.fsgid);
    text_printf(out, "FDSize:\t%u\nGroups:\t", fd_limit);
    for (uint32_t k = 0; k < cred.nr_groups; k++)
        text_printf(out, "%u ", cred.groups[k]);
    text_printf(out, "\nNStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", PROCESS_PID, pid,
                PROCESS_PID, PROCESS_PID);
    kib(out, "VmPeak", peak_size);
    kib(out, "VmSize", m.size);
    kib(out, "VmLck", 0);
    kib(out, "VmPin", 0);
    kib(out, "VmHWM", peak_rss);
    kib(out, "VmRSS", m.rss);
    kib(out, "RssAnon", mm_stats.rss_anon * PAGE_SIZE);
    kib(out, "RssFile", mm_stats.rss_file * PAGE_SIZE);
    kib(out, "RssShmem", 0);
    kib(out, "VmData", m.data);
    kib(out, "VmStk", m.stack);
    kib(out, "VmExe", m.exec);
    kib(out, "VmLib", m.lib);
    kib(out, "VmPTE", m.rss / 512);
    kib(out, "VmSwap", far_stats.remote * PAGE_SIZE);
    kib(out, "HugetlbPages", 0);
    text_printf(out, "CoreDumping:\t0\nTHP_enabled:\t%d\nThreads:\t%u\n", !mm_huge_disabled,
                thread_count);
    text_printf(out, "SigQ:\t%u/%lu\n", signal_queued(),
                (uint64_t)rlimits[RLIMIT_SIGPENDING].rlim_cur);
    text_printf(out, "SigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\n", s.pending, s.shared,
                s.blocked);
    text_printf(out, "SigIgn:\t%016lx\nSigCgt:\t%016lx\n", s.ignored, s.caught);
    uint64_t caps = cred.euid == 0 ? (2ull << CAP_LAST_CAP) - 1 : 0;
    text_printf(out, "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\nCapBnd:\t%016lx\n", 0ul,
                caps, caps, (2ul << CAP_LAST_CAP) - 1);
    text_printf(out, "CapAmb:\t%016lx\nNoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\n", 0ul);
    text_puts(out, "Cpus_allowed:\t1\nCpus_allowed_list:\t0\nMems_allowed:\t1\n"
                   "Mems_allowed_list:\t0\n");
    text_printf(out, "voluntary_ctxt_switches:\t%lu\nnonvoluntary_ctxt_switches:\t0\n",
                t->switches);
}

void proc_show_statm(struct text_buf *out, struct thread *t, bool task)
{
    struct totals m = count_totals();
    text_printf(out, "%lu %lu %lu %lu 0 %lu 0\n", m.size / PAGE_SIZE, m.rss / PAGE_SIZE,
                mm_stats.rss_file, m.exec / PAGE_SIZE, (m.data + m.stack) / PAGE_SIZE);
}

/* ---- Mappings
 * ------------------------------------------------------------------------------------ */

void proc_put_escaped(struct text_buf *out, const char *s, const char *special)
{
    for (; *s != '\0'; s++) {
        if (strchr(special, *s) != NULL)
            text_printf(out, "\\%03o", (unsigned char)*s);
        else
            text_put(out, s, 1);
    }
}

static void show_mapping(struct text_buf *out, const struct vma *v)
{
    struct kstat st = {.ino = 0};
    if (v->file != NULL)
        vfs_stat_file(v->file, &st);
    size_t start = out->len;
    text_printf(out, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", v->start, v->end,
                v->prot & PROT_READ ? 'r' : '-', v->prot & PROT_WRITE ? 'w' : '-',
                v->prot & PROT_EXEC ? 'x' : '-', v->flags & MAP_SHARED ? 's' : 'p',
                v->file != NULL ? v->pgoff * PAGE_SIZE : 0ul, (unsigned)(st.dev >> 8 & 0xfff),
                (unsigned)(st.dev & 0xff), st.ino);
    if (v->file != NULL || v->name != NULL) {
        text_pad(out, start, PATH_COLUMN);
        if (v->file != NULL) {
            char *block = kmalloc(PATH_MAX);
            const char *path = block != NULL ? vfs_path_of(v->file, block, PATH_MAX) : NULL;
            if (path != NULL)
                proc_put_escaped(out, path, "\n");
            kfree(block);
        } else {
            text_puts(out, v->name);
        }
    }
    text_put(out, "\n", 1);
}

void proc_show_maps(struct text_buf *out, struct thread *t, bool task)
{
    for (struct vma *v = vma_find_above(0); v != NULL; v = vma_next(v))
        show_mapping(out, v);
}

struct smaps_sum {
    uint64_t size, rss, anon, file, swap;
};

static void show_smaps_fields(struct text_buf *out, const struct smaps_sum *s)
{
    const struct {
        const char *name;
        uint64_t bytes;
    } others[] = {{"AnonHugePages", 0},  {"ShmemPmdMapped", 0},  {"FilePmdMapped", 0},
                  {"Shared_Hugetlb", 0}, {"Private_Hugetlb", 0}, {"Swap", s->swap},
                  {"SwapPss", s->swap},  {"Locked", 0}};

    text_printf(out, "Rss:            %8lu kB\nPss:            %8lu kB\n", s->rss / KiB,
                s->rss / KiB);
    text_printf(out, "Pss_Dirty:      %8lu kB\n", s->anon / KiB);
    text_printf(out, "Shared_Clean:   %8lu kB\nShared_Dirty:   %8lu kB\n", 0ul, 0ul);
    text_printf(out, "Private_Clean:  %8lu kB\nPrivate_Dirty:  %8lu kB\n", s->file / KiB,
                s->anon / KiB);
    text_printf(out, "Referenced:     %8lu kB\nAnonymous:      %8lu kB\nLazyFree:       %8lu kB\n",
                s->rss / KiB, s->anon / KiB, 0ul);
    for (size_t k = 0; k < ARRAY_SIZE(others); k++) {
        size_t start = out->len;
        text_printf(out, "%s:", others[k].name);
        text_pad(out, start, 16);
        text_printf(out, "%8lu kB\n", others[k].bytes / KiB);
    }
}

static struct smaps_sum smaps_of(const struct vma *v)
{
    uint64_t away, here = vma_resident(v, &away);
    struct smaps_sum s = {
        .size = v->end - v->start, .rss = here * PAGE_SIZE, .swap = away * PAGE_SIZE};
    /* A writable private mapping's pages are counted as its own. */
    if (v->file == NULL || ((v->prot & PROT_WRITE) && !(v->flags & MAP_SHARED)))
        s.anon = s.rss;
    else
        s.file = s.rss;
    return s;
}

void proc_show_smaps(struct text_buf *out, struct thread *t, bool task)
{
    for (struct vma *v = vma_find_above(0); v != NULL; v = vma_next(v)) {
        struct smaps_sum s = smaps_of(v);
        show_mapping(out, v);
        text_printf(out,
                    "Size:           %8lu kB\nKernelPageSize: %8lu kB\nMMUPageSize:    %8lu kB\n",
                    s.size / KiB, PAGE_SIZE / KiB, PAGE_SIZE / KiB);
        show_smaps_fields(out, &s);
        text_printf(out, "THPeligible:    %d\nVmFlags:%s%s%s%s%s%s%s mr mw me\n",
                    v->file == NULL && !(v->flags & VMA_NOHUGE), v->prot & PROT_READ ? " rd" : "",
                    v->prot & PROT_WRITE ? " wr" : "", v->prot & PROT_EXEC ? " ex" : "",
                    v->flags & MAP_SHARED ? " sh" : "", v->flags & VMA_STACK ? " gd" : "",
                    v->flags & VMA_HUGE ? " hg" : "", v->flags & VMA_NOHUGE ? " nh" : "");
    }
}

void proc_show_smaps_rollup(struct text_buf *out, struct thread *t, bool task)
{
    struct smaps_sum sum = {.size = 0};
    virt_t first = 0, last = 0;
    for (struct vma *v = vma_find_above(0); v != NULL; v = vma_next(v)) {
        struct smaps_sum s = smaps_of(v);
        sum.rss += s.rss;
        sum.anon += s.anon;
        sum.file += s.file;
        sum.swap += s.swap;
        first = first != 0 ? first : v->start;
        last = v->end;
    }
    text_printf(out, "%08lx-%08lx ---p 00000000 00:00 0                          [rollup]\n", first,
                last);
    show_smaps_fields(out, &sum);
}

void proc_show_numa_maps(struct text_buf *out, struct thread *t, bool task)
{
    for (struct vma *v = vma_find_above(0); v != NULL; v = vma_next(v)) {
        uint64_t pages = vma_resident(v, NULL);
        text_printf(out, "%08lx default", v->start);
        if (v->file != NULL) {
            char *block = kmalloc(PATH_MAX);
            const char *path = block != NULL ? vfs_path_of(v->file, block, PATH_MAX) : NULL;
            if (path != NULL) {
                text_puts(out, " file=");
                proc_put_escaped(out, path, "\n\t= ");
            }
            kfree(block);
        } else if (v->flags & VMA_STACK) {
            text_puts(out, " stack");
        } else if (v->name != NULL && strcmp(v->name, "[heap]") == 0) {
            text_puts(out, " heap");
        }
        if (pages > 0)
            text_printf(out, " %s=%lu N0=%lu kernelpagesize_kB=4",
                        v->file != NULL ? "mapped" : "anon", pages, pages);
        text_put(out, "\n", 1);
    }
}

/* ---- Limits and mounts
 * ------------------------------------------------------------------------------- */

void proc_show_limits(struct text_buf *out, struct thread *t, bool task)
{
    static const struct {
        const char *name, *unit;
        int limit;
    } rows[] = {{"Max cpu time", "seconds", RLIMIT_CPU},
                {"Max file size", "bytes", RLIMIT_FSIZE},
                {"Max data size", "bytes", RLIMIT_DATA},
                {"Max stack size", "bytes", RLIMIT_STACK},
                {"Max core file size", "bytes", RLIMIT_CORE},
                {"Max resident set", "bytes", RLIMIT_RSS},
                {"Max processes", "processes", RLIMIT_NPROC},
                {"Max open files", "files", RLIMIT_NOFILE},
                {"Max locked memory", "bytes", RLIMIT_MEMLOCK},
                {"Max address space", "bytes", RLIMIT_AS},
                {"Max file locks", "locks", RLIMIT_LOCKS},
                {"Max pending signals", "signals", RLIMIT_SIGPENDING},
                {"Max msgqueue size", "bytes", RLIMIT_MSGQUEUE},
                {"Max nice priority", "", RLIMIT_NICE},
                {"Max realtime priority", "", RLIMIT_RTPRIO},
                {"Max realtime timeout", "us", RLIMIT_RTTIME}};
    text_printf(out, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
        uint64_t v[2] = {rlimits[rows[k].limit].rlim_cur, rlimits[rows[k].limit].rlim_max};
        text_printf(out, "%-25s ", rows[k].name);
        for (int side = 0; side < 2; side++) {
            if (v[side] == RLIM64_INFINITY)
                text_printf(out, "%-20s ", "unlimited");
            else
                text_printf(out, "%-20lu ", v[side]);
        }
        text_printf(out, "%-10s\n", rows[k].unit);
    }
}

static void mount_options(struct text_buf *out, uint32_t flags)
{
    text_printf(out, "%s%s%s%s,%s", flags & MS_RDONLY ? "ro" : "rw",
                flags & MS_NOSUID ? ",nosuid" : "", flags & MS_NODEV ? ",nodev" : "",
                flags & MS_NOEXEC ? ",noexec" : "", flags & MS_NOATIME ? "noatime" : "relatime");
}

/* Where m is mounted, in block; NULL if that cannot be said. */
static const char *mount_path(const struct mount *m, char *block)
{
    return m->point == NULL ? "/" : path_text(m->point, block, PATH_MAX, NULL);
}

void proc_show_mounts(struct text_buf *out)
{
    char *block = kmalloc(PATH_MAX);
    list_for_each (m, &mount_list, struct mount, link) {
        const char *path = block != NULL ? mount_path(m, block) : NULL;
        if (path == NULL)
            continue;
        proc_put_escaped(out, m->source, " \t\n\\");
        text_put(out, " ", 1);
        proc_put_escaped(out, path, " \t\n\\");
        text_printf(out, " %s ", m->fs->type);
        mount_options(out, m->flags);
        text_puts(out, " 0 0\n");
    }
    kfree(block);
}

void proc_show_mountinfo(struct text_buf *out)
{
    char *block = kmalloc(PATH_MAX);
    list_for_each (m, &mount_list, struct mount, link) {
        const char *path = block != NULL ? mount_path(m, block) : NULL;
        if (path == NULL)
            continue;
        uint32_t parent = m->point != NULL && m->point->inode->fs->mount != NULL
                              ? m->point->inode->fs->mount->id
                              : m->id;
        text_printf(out, "%u %u %u:%u / ", m->id, parent, m->fs->dev >> 8, m->fs->dev & 0xff);
        proc_put_escaped(out, path, " \t\n\\");
        text_put(out, " ", 1);
        mount_options(out, m->flags);
        text_printf(out, " - %s ", m->fs->type);
        proc_put_escaped(out, m->source, " \t\n\\");
        text_printf(out, " %s\n", m->flags & MS_RDONLY ? "ro" : "rw");
    }
    kfree(block);
}
