/*
 * Lines of Prometheus' text exposition format (version 0.0.4), for files below /proc/wherry. Each
 * metric begins with its TYPE, and its samples follow, one for each set of labels.
 */
#pragma once

#include "fs/textbuf.h"
#include "lib/histogram.h"

/* type: "counter", "gauge", "histogram". help may be NULL. */
void metric_begin(struct text_buf *out, const char *name, const char *type, const char *help);
/* labels: as in `node="10.88.0.1"`; "": none. */
void metric_value(struct text_buf *out, const char *name, const char *labels, uint64_t value);
/* The buckets, which are cumulative here; those from 1 us to 17 s only. sum: NULL, it is unknown.
 */
void metric_buckets(struct text_buf *out, const char *name, const char *labels,
                    const uint64_t bucket[HISTOGRAM_BUCKETS], const uint64_t *sum);
