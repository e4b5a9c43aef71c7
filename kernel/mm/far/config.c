/*
 * What the command line says of far memory, and its start: wherry.far=BACKEND, the limit
 * wherry.far.local=SIZE or N%, wherry.far.prefetch=NAME, wherry.far.verify=HOW, wherry.far.cipher=
 * NAME. The words are noted when they are parsed; the backend is opened when memory and the network
 * are there.
 */
#include "arch/x86_64/cpu.h"
#include "lib/cmdline.h"
#include "lib/init.h"
#include "lib/random.h"
#include "mm/far/internal.h"
#include "sched/clock.h"

#include <asm/errno.h>

#define LATENCY_MAX_NSEC 1000000000u
/* The entropy device, where the CPU has no generator, answers when its host gets to it. */
#define SEED_WAIT_NS NSEC_PER_SEC

static uint64_t ram_bytes, ram_latency;
static enum far_verify verify = FAR_VERIFY_CHECKSUM;
static const char *cipher_name; /* NULL: the fastest */

static const struct far_prefetcher *const prefetchers[] = {
    &far_prefetch_none, &far_prefetch_sequential, &far_prefetch_trend};

/* "ram:SIZE[,latency=NSEC]" */
static int backend_option(const char *value)
{
    if (value == NULL || strncmp(value, "ram:", 4) != 0)
        return -EINVAL;
    value = parse_size(value + 4, &ram_bytes);
    if (value == NULL || ram_bytes < PAGE_SIZE)
        return -EINVAL;
    if (strncmp(value, ",latency=", 9) == 0) {
        value = parse_u64(value + 9, &ram_latency);
        if (value == NULL || ram_latency > LATENCY_MAX_NSEC)
            return -EINVAL;
    }
    return *value == '\0' ? 0 : -EINVAL;
}
CMDLINE("wherry.far", backend_option);

/* "64M", "25%", "12.5%" */
int far_parse_limit(const char *value)
{
    const char *end;
    uint64_t n, tenth = 0;

    if (value == NULL || (end = parse_size(value, &n)) == NULL)
        return -EINVAL;
    if (*end == '\0') {
        if (n < PAGE_SIZE)
            return -EINVAL;
        far_set_limit(n / PAGE_SIZE, false);
        return 0;
    }
    if (end[0] == '.' && end[1] >= '0' && end[1] <= '9') {
        tenth = (uint64_t)(end[1] - '0');
        end += 2;
    }
    if (strcmp(end, "%") != 0 || n > 100 || 10 * n + tenth < 1 || 10 * n + tenth > 1000)
        return -EINVAL;
    far_set_limit(10 * n + tenth, true);
    return 0;
}
CMDLINE("wherry.far.local", far_parse_limit);

static int prefetch_option(const char *value)
{
    for (unsigned i = 0; value && i < ARRAY_SIZE(prefetchers); i++)
        if (strcmp(prefetchers[i]->name, value) == 0) {
            far_prefetcher = prefetchers[i];
            return 0;
        }
    return -EINVAL;
}
CMDLINE("wherry.far.prefetch", prefetch_option);

/* wherry.far.verify=off|checksum|encrypt */
static int verify_option(const char *value)
{
    static const char *const names[] = {[FAR_VERIFY_OFF] = "off",
                                        [FAR_VERIFY_CHECKSUM] = "checksum",
                                        [FAR_VERIFY_ENCRYPT] = "encrypt"};

    for (unsigned i = 0; value && i < ARRAY_SIZE(names); i++)
        if (strcmp(names[i], value) == 0) {
            verify = (enum far_verify)i;
            return 0;
        }
    return -EINVAL;
}
CMDLINE("wherry.far.verify", verify_option);

/* wherry.far.cipher=NAME: not the fastest, but this one. */
static int cipher_option(const char *value)
{
    for (unsigned i = 0; value && i < far_nciphers; i++)
        if (strcmp(far_ciphers[i]->name, value) == 0) {
            cipher_name = far_ciphers[i]->name;
            return 0;
        }
    return -EINVAL;
}
CMDLINE("wherry.far.cipher", cipher_option);

/* Is there something to make a key of? */
static bool have_secret(void)
{
    uint64_t end = clock_mono_ns() + SEED_WAIT_NS;

    while (!random_is_seeded() && clock_mono_ns() < end) {
        irq_window();
        cpu_relax();
    }
    return random_is_seeded();
}

int far_use(const struct far_backend *b)
{
    const struct far_cipher *cipher = NULL;
    int r;

    if (far_on)
        return -EBUSY;
    if (verify == FAR_VERIFY_ENCRYPT) {
        if (!have_secret()) {
            kprintf("wherry: no key for far memory: no random numbers come from the CPU, nor from "
                    "a virtio-rng\n");
            return -ENXIO;
        }
        cipher = far_cipher_choose(cipher_name, clock_mono_ns);
        if (cipher == NULL) {
            kprintf("wherry: this CPU has no instructions for wherry.far.cipher=%s\n", cipher_name);
            return -ENXIO;
        }
    }
    r = far_start(b, verify, cipher);
    if (r < 0)
        kprintf("wherry: no memory for the tables of far memory of %lu MiB\n",
                b->slots / (MiB / PAGE_SIZE));
    return r;
}

static int start(void)
{
    const struct far_backend *b;

    if (ram_bytes == 0)
        return 0;
    b = far_ram_open(ram_bytes, ram_latency);
    if (b == NULL) {
        kprintf("wherry: no memory for far memory of %lu MiB\n", ram_bytes / MiB);
        return -ENOMEM;
    }
    return far_use(b);
}
INIT(INIT_LATE, start);
