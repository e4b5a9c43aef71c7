/*
 * Far memory in /proc: its counters in Prometheus' text format (/proc/wherry/far), and the local
 * share, which can be written (/proc/sys/wherry/far_local: "64M", "25%").
 */
#include "fs/metrics.h"
#include "fs/procfs.h"
#include "lib/init.h"
#include "mm/far/far.h"
#include "mm/far/seal.h"

#include <asm/errno.h>

static void counter(struct text_buf *out, const char *name, uint64_t value)
{
    metric_begin(out, name, "counter", NULL);
    metric_value(out, name, "", value);
}

static void gauge(struct text_buf *out, const char *name, uint64_t value)
{
    metric_begin(out, name, "gauge", NULL);
    metric_value(out, name, "", value);
}

static void buckets(struct text_buf *out, const char *name, const char *labels,
                    const struct histogram *h)
{
    metric_buckets(out, name, labels, h->bucket, &h->sum);
}

static void show_times(struct text_buf *out)
{
    static const char fault[] = "wherry_far_fault_duration_nanoseconds",
                      write[] = "wherry_far_write_duration_nanoseconds";

    metric_begin(out, fault, "histogram", "faults on pages that are away (late: under way)");
    buckets(out, fault, "cause=\"demand\"", &far_stats.demand_ns);
    buckets(out, fault, "cause=\"late\"", &far_stats.late_ns);
    metric_begin(out, write, "histogram", "from a copy's start to its acknowledgement");
    buckets(out, write, "", &far_stats.write_ns);
}

static void show_cipher(struct text_buf *out)
{
    static const char name[] = "wherry_far_cipher_info";

    if (far_cipher == NULL)
        return;
    metric_begin(out, name, "gauge", "what pages that are away are encrypted with");
    text_printf(out, "%s{name=\"%s\"} 1\n", name, far_cipher->name);
}

static void show(struct text_buf *out)
{
    const struct far_stats *s = &far_stats;

    if (!far_on)
        return;
    gauge(out, "wherry_far_local_pages", mm_stats.rss_anon);
    gauge(out, "wherry_far_remote_pages", s->remote);
    gauge(out, "wherry_far_limit_pages", far_limit());
    gauge(out, "wherry_far_slots", far_space().slots);
    gauge(out, "wherry_far_slots_used", far_space().used);
    counter(out, "wherry_far_faults_total", s->faults);
    counter(out, "wherry_far_faults_late_total", s->late);
    counter(out, "wherry_far_fault_nanoseconds_total", s->wait_ns);
    counter(out, "wherry_far_prefetched_total", s->prefetched);
    counter(out, "wherry_far_prefetch_hits_total", s->hits);
    counter(out, "wherry_far_prefetch_wasted_total", s->wasted);
    counter(out, "wherry_far_evicted_total", s->evicted);
    counter(out, "wherry_far_written_total", s->written);
    counter(out, "wherry_far_zero_total", s->zero);
    counter(out, "wherry_far_errors_total", s->errors);
    counter(out, "wherry_far_forged_total", s->forged);
    counter(out, "wherry_far_retried_total", s->retried);
    counter(out, "wherry_far_throttled_total", s->throttled);
    counter(out, "wherry_far_brought_total", s->brought);
    counter(out, "wherry_far_joined_total", s->joined);
    show_times(out);
    show_cipher(out);
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
    {.path = "/proc/sys/wherry/far_local",
     .mode = 0644,
     .show = show_limit,
     .store = store_limit,
     .control = true},
};

static int register_files(void)
{
    procfs_register_files(files, ARRAY_SIZE(files));
    return 0;
}
INIT(INIT_FS, register_files);
