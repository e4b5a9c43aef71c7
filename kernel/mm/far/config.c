/*
 * What the command line says of far memory, and its start: wherry.far=BACKEND, the limit
 * wherry.far.local=SIZE or N%, wherry.far.prefetch=NAME. The words are noted when they are parsed;
 * the backend is opened when memory and the network are there.
 */
#include "lib/cmdline.h"
#include "lib/init.h"
#include "mm/far/internal.h"

#include <asm/errno.h>

#define LATENCY_MAX_NSEC 1000000000u

static uint64_t ram_bytes, ram_latency;
static bool verify = true;

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

int far_parse_limit(const char *value)
{
    const char *end;
    uint64_t n;
    bool percent;

    if (value == NULL || (end = parse_size(value, &n)) == NULL)
        return -EINVAL;
    percent = *end == '%';
    if (end[percent] != '\0' || (percent ? n < 1 || n > 100 : n < PAGE_SIZE))
        return -EINVAL;
    far_set_limit(percent ? n : n / PAGE_SIZE, percent);
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

/* wherry.far.verify=on|off */
static int verify_option(const char *value)
{
    if (value == NULL || (strcmp(value, "on") != 0 && strcmp(value, "off") != 0))
        return -EINVAL;
    verify = strcmp(value, "on") == 0;
    return 0;
}
CMDLINE("wherry.far.verify", verify_option);

int far_use(const struct far_backend *b)
{
    return far_on ? -EBUSY : far_start(b, verify);
}

static int start(void)
{
    const struct far_backend *b;

    if (ram_bytes == 0)
        return 0;
    b = far_ram_open(ram_bytes, ram_latency);
    if (b == NULL || far_use(b) < 0) {
        kprintf("wherry: no memory for far memory of %lu MiB\n", ram_bytes / MiB);
        return -ENOMEM;
    }
    return 0;
}
INIT(INIT_LATE, start);
