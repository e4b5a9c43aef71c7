/*
 * /proc/sys. What can be set here takes effect where the note says so; the rest reports how the
 * kernel behaves and cannot be changed (mode 0444), so that a program that tries is told.
 * Other modules register their own settings, and replace one of these by registering its path.
 */
#include "fs/file.h"
#include "fs/procfs_int.h"
#include "lib/init.h"
#include "lib/random.h"
#include "linux/uts.h"
#include "mm/frame.h"

#include <linux/capability.h>

/* ---- Names
 * ------------------------------------------------------------------------------------------- */

static void show_hostname(struct text_buf *out)
{
    text_printf(out, "%s\n", uts.nodename);
}

static int store_name(char *to, size_t size, const char *s)
{
    if (strlen(s) >= size)
        return -EINVAL;
    strlcpy(to, s, size);
    return 0;
}

static int store_hostname(const char *s)
{
    return store_name(uts.nodename, sizeof(uts.nodename), s);
}

static void show_domainname(struct text_buf *out)
{
    text_printf(out, "%s\n", uts.domainname);
}

static int store_domainname(const char *s)
{
    return store_name(uts.domainname, sizeof(uts.domainname), s);
}

static void show_osrelease(struct text_buf *out)
{
    text_printf(out, "%s\n", uts.release);
}

static void show_ostype(struct text_buf *out)
{
    text_printf(out, "%s\n", uts.sysname);
}

static void show_version(struct text_buf *out)
{
    text_printf(out, "%s\n", uts.version);
}

/* ---- Random
 * ------------------------------------------------------------------------------------------- */

/* RFC 9562 §5.4: 122 random bits. */
static void make_uuid(uint8_t u[16])
{
    random_bytes(u, 16);
    u[6] = (u[6] & 0x0f) | 0x40;
    u[8] = (u[8] & 0x3f) | 0x80;
}

static void put_uuid(struct text_buf *out, const uint8_t u[16])
{
    for (int k = 0; k < 16; k++)
        text_printf(out, "%s%02x", k == 4 || k == 6 || k == 8 || k == 10 ? "-" : "", u[k]);
    text_put(out, "\n", 1);
}

static void show_uuid(struct text_buf *out)
{
    uint8_t u[16];
    make_uuid(u);
    put_uuid(out, u);
}

static void show_boot_id(struct text_buf *out)
{
    static uint8_t boot_id[16];
    static bool made;
    if (!made)
        make_uuid(boot_id);
    made = true;
    put_uuid(out, boot_id);
}

/* ---- Files
 * -------------------------------------------------------------------------------------------- */

static void show_file_nr(struct text_buf *out)
{
    text_printf(out, "%lu\t0\t%ld\n", file_stats.opened - file_stats.released, INT64_MAX);
}

static void show_inode_nr(struct text_buf *out)
{
    text_printf(out, "%lu\t0\n", vfs_stats.inodes);
}

#define TEXT(path_, text_)                                                                         \
    {                                                                                              \
        .path = "/proc/sys/" path_, .mode = 0444, .text = text_ "\n"                               \
    }
#define SHOW(path_, show_)                                                                         \
    {                                                                                              \
        .path = "/proc/sys/" path_, .mode = 0444, .show = show_                                    \
    }

static struct proc_file files[] = {
    {.path = "/proc/sys/kernel/hostname",
     .mode = 0644,
     .show = show_hostname,
     .store = store_hostname},
    {.path = "/proc/sys/kernel/domainname",
     .mode = 0644,
     .show = show_domainname,
     .store = store_domainname},
    SHOW("kernel/osrelease", show_osrelease),
    SHOW("kernel/ostype", show_ostype),
    SHOW("kernel/version", show_version),
    SHOW("kernel/random/uuid", show_uuid),
    SHOW("kernel/random/boot_id", show_boot_id),
    TEXT("kernel/random/entropy_avail", "256"),
    TEXT("kernel/random/poolsize", "256"),
    TEXT("kernel/pid_max", "4194304"),
    TEXT("kernel/threads-max", "4194304"),
    TEXT("kernel/cap_last_cap", "40"),
    TEXT("kernel/ngroups_max", "64"),
    TEXT("kernel/randomize_va_space", "2"),
    TEXT("kernel/core_pattern", "core"),
    TEXT("kernel/core_uses_pid", "0"),
    TEXT("kernel/panic", "0"),
    TEXT("kernel/sched_autogroup_enabled", "0"),
    TEXT("kernel/numa_balancing", "0"),
    TEXT("kernel/perf_event_paranoid", "4"),
    TEXT("kernel/yama/ptrace_scope", "3"),
    TEXT("kernel/shmmax", "0"),
    TEXT("vm/overcommit_memory", "1"), /* memory is given out as it is touched */
    TEXT("vm/overcommit_ratio", "50"),
    TEXT("vm/overcommit_kbytes", "0"),
    TEXT("vm/max_map_count", "2147483647"),
    TEXT("vm/swappiness", "0"),
    TEXT("vm/mmap_min_addr", "65536"),
    TEXT("vm/nr_hugepages", "0"),
    TEXT("vm/legacy_va_layout", "0"),
    SHOW("fs/file-nr", show_file_nr),
    SHOW("fs/inode-nr", show_inode_nr),
    TEXT("fs/file-max", "9223372036854775807"),
    TEXT("fs/nr_open", "1048576"),
    TEXT("fs/pipe-max-size", "1048576"),
    TEXT("fs/lease-break-time", "45"),
    TEXT("fs/epoll/max_user_watches", "2147483647"),
};

static int proc_sysctl_init(void)
{
    _Static_assert(CAP_LAST_CAP == 40, "the text above");
    _Static_assert(FD_MAX == 1048576, "the text above");
    procfs_register_files(files, ARRAY_SIZE(files));
    return 0;
}
INIT(INIT_CORE, proc_sysctl_init);
