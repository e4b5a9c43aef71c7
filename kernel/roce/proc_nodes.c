/*
 * /proc/wherry/nodes: what the connections to memory nodes (node.h) are like and what the backend
 * (remote.h) did about lost ones, in Prometheus' text format. Empty without nodes. What is written
 * there is a command: "add ADDRESS[:PORT]", "remove ADDRESS".
 */
#include "fs/metrics.h"
#include "fs/procfs.h"
#include "lib/init.h"
#include "roce/remote.h"

#define LABELS_MAX 64u

/* enum node_state; and one whose pages go to others. */
#define DRAINING (NODE_IS_LEAVING + 1u)
static const char *const states[] = {[NODE_IS_OPENING] = "opening",
                                     [NODE_IS_UP] = "up",
                                     [NODE_IS_DEAD] = "dead",
                                     [NODE_IS_LEAVING] = "leaving",
                                     [DRAINING] = "draining"};
/* The links of a node: enum far_class. */
static const char *const links[] = {
    [FAR_DEMAND] = "demand", [FAR_PREFETCH] = "prefetch", [FAR_EVICT] = "evict"};

static size_t label_node(char labels[LABELS_MAX], unsigned i)
{
    uint32_t ip = remote_mirrors[i]->node.ip;

    return (size_t)ksnprintf(labels, LABELS_MAX, "node=\"%u.%u.%u.%u\"", ip >> 24, ip >> 16 & 255,
                             ip >> 8 & 255, ip & 255);
}

static unsigned state_of(const struct mirror *m)
{
    return m->leaving && m->node.state == NODE_IS_UP ? DRAINING : m->node.state;
}

static const struct roce_qp *qp_of(unsigned i, unsigned link)
{
    return &remote_mirrors[i]->node.link[link].qp;
}

/* ---- One value a node ---- */

static uint64_t lost(const struct mirror *m)
{
    return m->node.losses;
}

static uint64_t stale(const struct mirror *m)
{
    return m->nr_stale;
}

static uint64_t pages(const struct mirror *m)
{
    return m->places.used;
}

static uint64_t hedged(const struct mirror *m)
{
    return m->hedged;
}

static uint64_t memory(const struct mirror *m)
{
    return m->node.session.length;
}

static const struct {
    const char *name, *type, *help;
    uint64_t (*value)(const struct mirror *m);
} of_nodes[] = {
    {"wherry_node_lost_total", "counter", "times it did not answer any more", lost},
    {"wherry_node_stale_pages", "gauge", "pages that it should have and has not yet", stale},
    {"wherry_node_pages", "gauge", "pages that lie on it, and places for such", pages},
    {"wherry_node_hedged_total", "counter", "reads of it that were asked of another as well",
     hedged},
    {"wherry_node_bytes", "gauge", "memory that it lends", memory},
};

static void show_nodes(struct text_buf *out)
{
    char labels[LABELS_MAX];

    metric_begin(out, "wherry_node_state", "gauge", "1 for the state that it is in");
    for (unsigned i = 0; i < remote_nr; i++)
        for (unsigned s = 0; s < ARRAY_SIZE(states); s++) {
            size_t n = label_node(labels, i);

            ksnprintf(labels + n, sizeof(labels) - n, ",state=\"%s\"", states[s]);
            metric_value(out, "wherry_node_state", labels, state_of(remote_mirrors[i]) == s);
        }
    for (unsigned k = 0; k < ARRAY_SIZE(of_nodes); k++) {
        metric_begin(out, of_nodes[k].name, of_nodes[k].type, of_nodes[k].help);
        for (unsigned i = 0; i < remote_nr; i++) {
            label_node(labels, i);
            metric_value(out, of_nodes[k].name, labels, of_nodes[k].value(remote_mirrors[i]));
        }
    }
}

/* ---- For each of its connections ---- */

static void label_link(char labels[LABELS_MAX], unsigned i, unsigned link)
{
    size_t n = label_node(labels, i);

    ksnprintf(labels + n, LABELS_MAX - n, ",link=\"%s\"", links[link]);
}

#define FOR_EACH_LINK(i, link)                                                                     \
    for (unsigned i = 0; i < remote_nr; i++)                                                       \
        for (unsigned link = 0; link < SESSION_QPS; link++)

static void show_times(struct text_buf *out)
{
    static const char now[] = "wherry_roce_srtt_nanoseconds", all[] = "wherry_roce_rtt_nanoseconds";
    char labels[LABELS_MAX];

    _Static_assert(ROCE_RTT_BUCKETS == HISTOGRAM_BUCKETS, "the buckets are the same");
    metric_begin(out, now, "gauge", "round trip, smoothed as in RFC 6298; 0: none yet");
    FOR_EACH_LINK(i, link)
    {
        label_link(labels, i, link);
        metric_value(out, now, labels,
                     qp_of(i, link)->rtt.measured ? roce_rtt_srtt(&qp_of(i, link)->rtt) : 0);
    }
    metric_begin(out, all, "histogram", "measured round trips");
    FOR_EACH_LINK(i, link)
    {
        label_link(labels, i, link);
        metric_buckets(out, all, labels, qp_of(i, link)->stats.rtt_log2, NULL);
    }
}

static void show_counters(struct text_buf *out)
{
    char name[64], labels[LABELS_MAX];

    for (unsigned k = 0; k < roce_nstats; k++) {
        ksnprintf(name, sizeof(name), "wherry_roce_%s_total", roce_stat_names[k]);
        metric_begin(out, name, "counter", roce_stat_helps[k]);
        FOR_EACH_LINK(i, link)
        {
            label_link(labels, i, link);
            metric_value(out, name, labels, ((const uint64_t *)&qp_of(i, link)->stats)[k]);
        }
    }
}

static void show(struct text_buf *out)
{
    const struct {
        const char *name, *help;
        uint64_t value;
    } all[] = {
        {"wherry_nodes_lost_total", "nodes that were lost, each time", remote_stats.lost},
        {"wherry_nodes_replicated_total", "pages copied to a node that lacked them",
         remote_stats.replicated},
        {"wherry_nodes_failovers_total", "reads that were asked for again, mostly of another node",
         remote_stats.failovers},
        {"wherry_nodes_hedged_total", "reads that were asked of a second node, as one was slow",
         remote_stats.hedged},
        {"wherry_nodes_hedges_won_total", "of these those that the second answered first",
         remote_stats.hedges_won},
        {"wherry_nodes_moved_total", "pages that left a node for another", remote_stats.moved},
        {"wherry_nodes_pages_lost_total", "pages that no node has any more",
         remote_stats.pages_lost},
    };

    if (remote_nr == 0)
        return;
    for (unsigned k = 0; k < ARRAY_SIZE(all); k++) {
        metric_begin(out, all[k].name, "counter", all[k].help);
        metric_value(out, all[k].name, "", all[k].value);
    }
    show_nodes(out);
    show_times(out);
    show_counters(out);
}

static struct proc_file files[] = {{.path = "/proc/wherry/nodes",
                                    .mode = 0644,
                                    .show = show,
                                    .store = members_command,
                                    .metrics = true,
                                    .control = true}};

static int register_files(void)
{
    procfs_register_files(files, ARRAY_SIZE(files));
    return 0;
}
INIT(INIT_FS, register_files);
