/*
 * /proc/wherry/guides: what guides do, in Prometheus' text format.
 */
#include "fs/procfs.h"
#include "guide/internal.h"
#include "lib/init.h"

static void value(struct text_buf *out, const struct guest_guide *g, const char *name, uint64_t n)
{
    text_printf(out, "wherry_guide_%s{guide=\"%s\"} %lu\n", name, g->name, n);
}

static void show(struct text_buf *out)
{
    char name[48];

    for (unsigned i = 0; i < nr_guides; i++) {
        const struct guest_guide *g = &guides[i];

        value(out, g, "on", !g->off);
        value(out, g, "calls_total", g->calls);
        value(out, g, "faults_total", g->faults);
        value(out, g, "pages_asked_total", g->asked);
        value(out, g, "waits_total", g->waits);
        value(out, g, "wait_nanoseconds_total", g->wait_ns);
        for (unsigned k = 0; k < GUIDE_COUNTERS && g->counter_name[k]; k++)
            if (guide_string(g, g->counter_name[k], name, sizeof(name)))
                text_printf(out, "wherry_guide_own_total{guide=\"%s\",counter=\"%s\"} %lu\n",
                            g->name, name, g->counter[k]);
    }
}

static struct proc_file files[] = {
    {.path = "/proc/wherry/guides", .mode = 0444, .show = show, .metrics = true}};

static int register_files(void)
{
    procfs_register_files(files, ARRAY_SIZE(files));
    return 0;
}
INIT(INIT_FS, register_files);
