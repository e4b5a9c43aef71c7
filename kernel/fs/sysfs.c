/*
 * The parts of /sys that programs look at to find out about processors and memory: one CPU, one
 * NUMA node. Drivers and the network register the rest.
 */
#include "fs/procfs_int.h"
#include "lib/init.h"
#include "mm/frame.h"
#include "mm/vma.h"

#define CPU  "/sys/devices/system/cpu/"
#define NODE "/sys/devices/system/node/"
#define THP  "/sys/kernel/mm/transparent_hugepage/"

static void show_node_meminfo(struct text_buf *out)
{
    struct frame_stats m = frame_stats();
    const uint64_t per = PAGE_SIZE / KiB;
    text_printf(out, "Node 0 MemTotal:       %8lu kB\nNode 0 MemFree:        %8lu kB\n",
                m.total * per, m.free * per);
    text_printf(out, "Node 0 MemUsed:        %8lu kB\nNode 0 AnonPages:      %8lu kB\n",
                (m.total - m.free) * per, mm_stats.rss_anon * per);
    text_printf(out, "Node 0 AnonHugePages:  %8lu kB\nNode 0 HugePages_Total: 0\n",
                mm_stats.huge * per);
}

static void show_numastat(struct text_buf *out)
{
    uint64_t n = mm_stats.faults_zero + mm_stats.faults_cow;
    text_printf(out,
                "numa_hit %lu\nnuma_miss 0\nnuma_foreign 0\ninterleave_hit 0\nlocal_node %lu\n"
                "other_node 0\n",
                n, n);
}

#define TEXT(path_, text_)                                                                         \
    {                                                                                              \
        .path = path_, .mode = 0444, .text = text_ "\n"                                            \
    }
#define DIR(path_)                                                                                 \
    {                                                                                              \
        .path = path_, .mode = S_IFDIR | 0555                                                      \
    }

static struct proc_file files[] = {
    TEXT(CPU "online", "0"),
    TEXT(CPU "possible", "0"),
    TEXT(CPU "present", "0"),
    TEXT(CPU "offline", ""),
    TEXT(CPU "kernel_max", "0"),
    TEXT(CPU "cpu0/topology/core_id", "0"),
    TEXT(CPU "cpu0/topology/physical_package_id", "0"),
    TEXT(CPU "cpu0/topology/thread_siblings_list", "0"),
    TEXT(CPU "cpu0/topology/core_siblings_list", "0"),
    TEXT(NODE "online", "0"),
    TEXT(NODE "possible", "0"),
    TEXT(NODE "has_cpu", "0"),
    TEXT(NODE "has_memory", "0"),
    TEXT(NODE "has_normal_memory", "0"),
    TEXT(NODE "node0/cpumap", "1"),
    TEXT(NODE "node0/cpulist", "0"),
    TEXT(NODE "node0/distance", "10"),
    {.path = NODE "node0/meminfo", .mode = 0444, .show = show_node_meminfo},
    {.path = NODE "node0/numastat", .mode = 0444, .show = show_numastat},
    /* 2 MiB pages come by themselves where they fit, and cost nothing when memory is short: what
     * "always" warns servers of (latency at fork, waste) does not happen. */
    TEXT(THP "enabled", "always [madvise] never"),
    TEXT(THP "defrag", "always defer defer+madvise madvise [never]"),
    TEXT(THP "shmem_enabled", "always within_size advise [never] deny force"),
    TEXT(THP "hpage_pmd_size", "2097152"),
    TEXT(THP "use_zero_page", "0"),
    TEXT("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0"),
    TEXT("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "0"),
    DIR("/sys/class/net"),
    DIR("/sys/block"),
    DIR("/sys/class/block"),
    DIR("/sys/fs/cgroup"),
};

static int sysfs_init(void)
{
    procfs_register_files(files, ARRAY_SIZE(files));
    return 0;
}
INIT(INIT_CORE, sysfs_init);
