/*
 * A QEMU TCG plugin that counts the guest's instructions into a shared file (sim/icount.h), for
 * QEMU's plugin interface of version 7.2 (qemu-plugin.h):
 *
 *     qemu-system-x86_64 -plugin ./icount.so,counts=PATH[,profile=on][,vcpus=on] ...
 *
 * Counting is inline: an addition to a counter for each block, no call. A block's instructions are
 * added when it starts; one that faults in the middle is counted again when it is resumed, which
 * is some per million of a server's instructions. A block ends after an instruction with a REP
 * prefix, and each iteration is a block of its own (target/i386/tcg/translate.c, gen_repz), so that
 * iterations are told from other instructions exactly.
 *
 * With profile=on each block also adds to an entry for its start address.
 *
 * With vcpus=on each virtual CPU has counts of its own, which takes a call for each block: an
 * addition in line knows nothing of the CPU, and two of them would lose each other's counts.
 */
#include "icount.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

#define FULL (ICOUNT_SLOTS / 8 * 7) /* beyond this, probing would be slow */

static struct icount_file *counts;
static bool by_vcpu;
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;

/* The slot of the block that starts at addr; ICOUNT_SLOTS: there is none. Translation is rare: a
 * lock is good enough. */
static uint32_t block_slot(uint64_t addr)
{
    pthread_mutex_lock(&table_lock);
    uint32_t i = icount_slot(addr);
    while (counts->block[i].addr != 0 && counts->block[i].addr != addr)
        i = (i + 1) % ICOUNT_SLOTS;
    if (counts->block[i].addr == 0 && addr != 0 && counts->used < FULL) {
        counts->block[i].addr = addr;
        counts->used++;
    }
    if (counts->block[i].addr != addr || addr == 0)
        i = ICOUNT_SLOTS;
    pthread_mutex_unlock(&table_lock);
    return i;
}

static uint64_t *block_counter(uint32_t slot)
{
    return slot < ICOUNT_SLOTS ? &counts->block[slot].insns : &counts->overflow;
}

/* Is it a string instruction with a REP prefix? (SDM vol. 2 §2.1.1, opcodes A4-A7, AA-AF, 6C-6F) */
static bool is_rep(const struct qemu_plugin_insn *insn)
{
    const uint8_t *b = qemu_plugin_insn_data(insn);
    size_t n = qemu_plugin_insn_size(insn);
    bool rep = false;

    for (size_t i = 0; i < n; i++) {
        switch (b[i]) {
        case 0xf2:
        case 0xf3:
            rep = true;
            continue;
        case 0x26: /* segment, operand and address size, LOCK */
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x64 ... 0x67:
        case 0xf0:
            continue;
        case 0x40 ... 0x4f: /* REX in 64-bit code; in 32-bit code no REP precedes INC or DEC */
            continue;
        case 0xa4 ... 0xa7:
        case 0xaa ... 0xaf:
        case 0x6c ... 0x6f:
            return rep;
        default:
            return false;
        }
    }
    return false;
}

/* What a block adds and where, in the one word that a callback gets: from bit 0 on the half, from
 * these on the number of instructions, whether a repeated one follows, and the slot of the profile.
 */
#define BLOCK_PLAIN 1
#define BLOCK_REP   31
#define BLOCK_SLOT  32
#define PLAIN_MASK  ((1u << (BLOCK_REP - BLOCK_PLAIN)) - 1)

static void count_block(unsigned vcpu, void *data)
{
    uintptr_t w = (uintptr_t)data;
    struct icount_counts *c = &counts->vcpu[vcpu < ICOUNT_VCPUS ? vcpu : ICOUNT_VCPUS - 1];

    uint64_t plain = w >> BLOCK_PLAIN & PLAIN_MASK;

    c->insns[w & 1] += plain;
    c->reps[w & 1] += w >> BLOCK_REP & 1;
    if (counts->slots > 0) /* other CPUs may execute the same block */
        __atomic_fetch_add(block_counter(w >> BLOCK_SLOT), plain, __ATOMIC_RELAXED);
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    size_t n = qemu_plugin_tb_n_insns(tb);
    uint64_t addr = qemu_plugin_tb_vaddr(tb);
    enum icount_half half = addr >> 63 ? ICOUNT_UPPER : ICOUNT_LOWER;
    uint64_t rep = n > 0 && is_rep(qemu_plugin_tb_get_insn(tb, n - 1));
    uint64_t plain = n - rep;

    if (by_vcpu) {
        uint64_t slot = counts->slots > 0 ? block_slot(addr) : 0;
        qemu_plugin_register_vcpu_tb_exec_cb(tb, count_block, QEMU_PLUGIN_CB_NO_REGS,
                                             (void *)(uintptr_t)(slot << BLOCK_SLOT |
                                                                 rep << BLOCK_REP |
                                                                 plain << BLOCK_PLAIN | half));
        return;
    }
    if (plain > 0)
        qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64,
                                                 &counts->all.insns[half], plain);
    if (rep > 0)
        qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64,
                                                 &counts->all.reps[half], rep);
    if (counts->slots > 0 && plain > 0)
        qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64,
                                                 block_counter(block_slot(addr)), plain);
}

static bool map_file(const char *path, bool profile)
{
    size_t size = sizeof(*counts) + (profile ? ICOUNT_SLOTS * sizeof(counts->block[0]) : 0);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
        fprintf(stderr, "icount: %s: %s\n", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    counts = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (counts == MAP_FAILED) {
        fprintf(stderr, "icount: %s: %s\n", path, strerror(errno));
        return false;
    }
    counts->version = ICOUNT_VERSION;
    counts->vcpus = by_vcpu ? ICOUNT_VCPUS : 0;
    counts->slots = profile ? ICOUNT_SLOTS : 0;
    counts->magic = ICOUNT_MAGIC;
    return true;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                           char **argv)
{
    const char *path = NULL;
    bool profile = false;

    for (int i = 0; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        size_t name = value != NULL ? (size_t)(value - argv[i]) : strlen(argv[i]);
        if (value != NULL && name == 6 && strncmp(argv[i], "counts", name) == 0) {
            path = value + 1;
        } else if (value != NULL && name == 7 && strncmp(argv[i], "profile", name) == 0 &&
                   qemu_plugin_bool_parse("profile", value + 1, &profile)) {
            continue;
        } else if (value != NULL && name == 5 && strncmp(argv[i], "vcpus", name) == 0 &&
                   qemu_plugin_bool_parse("vcpus", value + 1, &by_vcpu)) {
            continue;
        } else {
            fprintf(stderr, "icount: unknown option \"%s\" (counts=PATH, profile=on, vcpus=on)\n",
                    argv[i]);
            return -1;
        }
    }
    if (path == NULL || strcmp(info->target_name, "x86_64") != 0) {
        fprintf(stderr, "icount: needs counts=PATH, and an x86_64 guest\n");
        return -1;
    }
    if (!map_file(path, profile))
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    return 0;
}
