/*
 * Far memory in /proc: its counters in Prometheus' text format (/proc/wherry/far), and the local
 * share, which can be written (/proc/sys/wherry/far_local: "64M", "25%").
 */
#include "fs/procfs.h"
#include "lib/init.h"
#include "mm/far/far.h"

#include <asm/errno.h>

static void counter(struct text_buf *out, const char *name, uint64_t value)
{
    text_printf(out, "# TYPE wherry_far_%s counter\nwherry_far_%s %lu\n", name, name, value);
}

static void gauge(struct text_buf *out, const char *name, uint64_t value)
{
    text_printf(out, "# TYPE wherry_far_%s gauge\nwherry_far_%s %lu\n", name, name, value);
}

static void show(struct text_buf *out)
{
    const struct far_stats *s = &far_stats;

    if (!far_on)
        return;
    gauge(out, "local_pages", mm_stats.rss_anon);
    gauge(out, "remote_pages", s->remote);
    gauge(out, "limit_pages", far_limit());
    counter(out, "faults_total", s->faults);
    counter(out, "faults_late_total", s->late);
    counter(out, "fault_nanoseconds_total", s->wait_ns);
    counter(out, "prefetched_total", s->prefetched);
    counter(out, "prefetch_hits_total", s->hits);
    counter(out, "prefetch_wasted_total", s->wasted);
    counter(out, "evicted_total", s->evicted);
    counter(out, "written_total", s->written);
    counter(out, "zero_total", s->zero);
    counter(out, "errors_total", s->errors);
    counter(out, "forged_total", s->forged);
    counter(out, "retried_total", s->retried);
    counter(out, "throttled_total", s->throttled);
    counter(out, "brought_total", s->brought);
}

static void show_limit(struct text_buf *out)
{
    text_printf(out, "%lu\n", far_on ? far_limit() * PAGE_SIZE : 0);
}

static int store_limit(const char *s)
{
    return far_on ? far_parse_limit(s) : -EOPNOTSUPP;
}

static struct proc_file files[] = {
    {.path = "/proc/wherry/far", .mode = 0444, .show = show, .metrics = true},
    {.path = "/proc/sys/wherry/far_local", .mode = 0644, .show = show_limit, .store = store_limit},
};

static int register_files(void)
{
    procfs_register_files(files, ARRAY_SIZE(files));
    return 0;
}
INIT(INIT_FS, register_files);
