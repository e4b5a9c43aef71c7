// fuzz: kernel/drivers/acpi/tables.c kernel/drivers/acpi/aml.c
/*
 * Any bytes as the machine's ACPI tables: the parser must end, and read nothing but what it mapped.
 * Each mapping is a heap block of exactly its size, so that ASan sees a byte too far.
 *
 * Input: a mode byte, then for mode 0 memory from physical address 0 with the RSDP at 16, for mode
 * 2 the same with every checksum made right (or no fuzzer would get far), for others AML. The
 * corpus are QEMU's own tables, with the addresses made small.
 */
#include <stdlib.h>
#include <string.h>

#include "drivers/acpi/acpi.h"

#define RSDP_AT  16
#define MAX_MAPS 4096

static const uint8_t *memory;
static size_t memory_size;
static bool repair;
static void *maps[MAX_MAPS];
static unsigned nr_maps;

static void fix(uint8_t *p, size_t n, size_t at)
{
    uint8_t sum = 0;
    p[at] = 0;
    for (size_t i = 0; i < n; i++)
        sum = (uint8_t)(sum + p[i]);
    p[at] = (uint8_t)-sum;
}

static const void *map(phys_t p, size_t len)
{
    uint8_t *block;
    if (p > memory_size || len > memory_size - p || nr_maps == MAX_MAPS)
        return NULL;
    maps[nr_maps++] = block = malloc(len);
    memcpy(block, memory + p, len);
    if (repair) {
        if (len == 20 || (len == 36 && p == RSDP_AT))
            fix(block, 20, 8);
        if (len == 36 && p == RSDP_AT)
            fix(block, 36, 32);
        else if (len >= 36)
            fix(block, len, 9);
    }
    return block;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct acpi_info info;

    if (!size)
        return 0;
    memset(&info, 0, sizeof(info));
    memory = data + 1;
    memory_size = size - 1;
    if (data[0] == 0 || data[0] == 2) {
        repair = data[0] == 2;
        (void)acpi_parse(&info, map, RSDP_AT);
        (void)acpi_scan_rsdp(memory, memory_size);
    } else {
        acpi_parse_aml(&info, memory, memory_size);
    }
    while (nr_maps)
        free(maps[--nr_maps]);
    return 0;
}
