/* See metrics.h. */
#include "fs/metrics.h"

/* The same ones always, as who reads them expects. */
#define FIRST 9u
#define LAST  33u

void metric_begin(struct text_buf *out, const char *name, const char *type, const char *help)
{
    if (help != NULL)
        text_printf(out, "# HELP %s %s\n", name, help);
    text_printf(out, "# TYPE %s %s\n", name, type);
}

void metric_value(struct text_buf *out, const char *name, const char *labels, uint64_t value)
{
    if (*labels != '\0')
        text_printf(out, "%s{%s} %lu\n", name, labels, value);
    else
        text_printf(out, "%s %lu\n", name, value);
}

static void with_suffix(struct text_buf *out, const char *name, const char *suffix,
                        const char *labels, uint64_t value)
{
    text_puts(out, name);
    metric_value(out, suffix, labels, value);
}

void metric_buckets(struct text_buf *out, const char *name, const char *labels,
                    const uint64_t bucket[HISTOGRAM_BUCKETS], const uint64_t *sum)
{
    const char *comma = *labels != '\0' ? "," : "";
    uint64_t count = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        count += bucket[i];
        if (i >= FIRST && i <= LAST)
            text_printf(out, "%s_bucket{%s%sle=\"%lu\"} %lu\n", name, labels, comma, (2ul << i) - 1,
                        count);
    }
    text_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %lu\n", name, labels, comma, count);
    if (sum != NULL)
        with_suffix(out, name, "_sum", labels, *sum);
    with_suffix(out, name, "_count", labels, count);
}
