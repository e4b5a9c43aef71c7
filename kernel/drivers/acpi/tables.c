/*
 * ACPI's static tables (specification 6.4 §5.2): from the RSDP over the root table to FADT, MADT,
 * MCFG and the definition blocks. Pure; see acpi.h.
 */
#include "drivers/acpi/acpi.h"

#include <asm/errno.h>

#define RSDP_SIGNATURE "RSD PTR "
#define RSDP_V1_SIZE   20
#define RSDP_V2_SIZE   36
#define RSDP_OEM_ID    9
#define RSDP_REVISION  15
#define RSDP_RSDT      16
#define RSDP_XSDT      24

#define HEADER_SIZE   36
#define HEADER_LENGTH 4
#define TABLE_MAX     (4 * MiB) /* no real table comes near */
#define MAX_TABLES    256

#define FADT_DSDT          40
#define FADT_PM1A_CNT      64
#define FADT_PM1B_CNT      68
#define FADT_CENTURY       108
#define FADT_FLAGS         112
#define FADT_RESET         116
#define FADT_RESET_VALUE   128
#define FADT_X_DSDT        140
#define FADT_X_PM1A_CNT    172
#define FADT_X_PM1B_CNT    184
#define FADT_SLEEP_CONTROL 244
#define FADT_SLEEP_STATUS  256
#define FADT_V1_SIZE       116
#define FLAG_RESET         (1u << 10)
#define FLAG_HW_REDUCED    (1u << 20)
#define GAS_SIZE           12

#define MADT_ENTRIES       44
#define MADT_IOAPIC        1
#define MADT_IOAPIC_SIZE   12
#define MADT_OVERRIDE      2
#define MADT_OVERRIDE_SIZE 10

#define MCFG_ENTRIES    44
#define MCFG_ENTRY_SIZE 16

/* A table that was mapped whole and has the right checksum. */
struct table {
    const uint8_t *p;
    size_t len;
};

/* Little-endian fields; 0 beyond the end, as an older revision means by leaving them out. */
static uint64_t field(const struct table *t, size_t off, unsigned bytes)
{
    uint64_t v = 0;

    if (off > t->len || bytes > t->len - off)
        return 0;
    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)t->p[off + i] << 8 * i;
    return v;
}

static struct acpi_gas gas_at(const struct table *t, size_t off)
{
    struct acpi_gas g = {
        .space = (uint8_t)field(t, off, 1),
        .width = (uint8_t)field(t, off + 1, 1),
        .address = field(t, off + 4, 8),
    };

    if (off + GAS_SIZE > t->len || (g.space != ACPI_SPACE_MEMORY && g.space != ACPI_SPACE_IO) ||
        (g.space == ACPI_SPACE_IO && g.address > UINT16_MAX))
        g.address = 0;
    return g;
}

static uint8_t sum(const uint8_t *p, size_t n)
{
    uint8_t s = 0;
    while (n--)
        s = (uint8_t)(s + *p++);
    return s;
}

static bool map_table(struct acpi_info *info, acpi_map map, phys_t p, struct table *t)
{
    const uint8_t *h = p ? map(p, HEADER_SIZE) : NULL;
    struct table header = {h, HEADER_SIZE};

    if (!h)
        return false;
    t->len = field(&header, HEADER_LENGTH, 4);
    if (t->len < HEADER_SIZE || t->len > TABLE_MAX || !(t->p = map(p, t->len)) ||
        sum(t->p, t->len) != 0) {
        info->bad_tables++;
        return false;
    }
    return true;
}

static bool is(const struct table *t, const char *signature)
{
    return !memcmp(t->p, signature, 4);
}

static void parse_dsdt(struct acpi_info *info, acpi_map map, phys_t p)
{
    struct table t;

    if (map_table(info, map, p, &t) && is(&t, "DSDT"))
        acpi_parse_aml(info, t.p + HEADER_SIZE, t.len - HEADER_SIZE);
}

static uint16_t pm1_port(const struct table *t, size_t extended, size_t old)
{
    struct acpi_gas g = gas_at(t, extended);
    uint64_t port = g.address && g.space == ACPI_SPACE_IO ? g.address : field(t, old, 4);

    return port <= UINT16_MAX ? (uint16_t)port : 0;
}

/* §5.2.9 */
static void parse_fadt(struct acpi_info *info, acpi_map map, const struct table *t)
{
    uint32_t flags = (uint32_t)field(t, FADT_FLAGS, 4);
    phys_t dsdt = field(t, FADT_X_DSDT, 8);

    if (t->len < FADT_V1_SIZE || info->fadt)
        return;
    info->fadt = true;
    info->hw_reduced = flags & FLAG_HW_REDUCED;
    info->century_register = (uint8_t)field(t, FADT_CENTURY, 1);
    if (!info->hw_reduced) {
        info->pm1a_cnt = pm1_port(t, FADT_X_PM1A_CNT, FADT_PM1A_CNT);
        info->pm1b_cnt = pm1_port(t, FADT_X_PM1B_CNT, FADT_PM1B_CNT);
    }
    if (flags & FLAG_RESET) {
        info->reset = gas_at(t, FADT_RESET);
        info->reset_value = (uint8_t)field(t, FADT_RESET_VALUE, 1);
    }
    info->sleep_control = gas_at(t, FADT_SLEEP_CONTROL);
    info->sleep_status = gas_at(t, FADT_SLEEP_STATUS);
    parse_dsdt(info, map, dsdt ? dsdt : field(t, FADT_DSDT, 4));
}

/* MPS INTI flags (§5.2.12.5), for an ISA source: what "conforms to the bus" means there is known.
 */
#define INTI_LOW(flags)   (((flags)&3) == 3)
#define INTI_LEVEL(flags) (((flags) >> 2 & 3) == 3)

/* §5.2.12 */
static void parse_madt(struct acpi_info *info, const struct table *t)
{
    for (size_t at = MADT_ENTRIES; at + 2 <= t->len;) {
        uint8_t type = t->p[at], len = t->p[at + 1];

        if (len < 2 || len > t->len - at) {
            info->bad_tables++;
            return;
        }
        if (type == MADT_IOAPIC && len >= MADT_IOAPIC_SIZE && info->nr_ioapics < ACPI_MAX_IOAPICS) {
            unsigned i = info->nr_ioapics++;
            info->ioapics[i].base = field(t, at + 4, 4);
            info->ioapics[i].first_gsi = (uint32_t)field(t, at + 8, 4);
        }
        if (type == MADT_OVERRIDE && len >= MADT_OVERRIDE_SIZE &&
            info->nr_overrides < ACPI_MAX_OVERRIDES) {
            uint16_t flags = (uint16_t)field(t, at + 8, 2);
            unsigned i = info->nr_overrides++;
            info->overrides[i].irq = t->p[at + 3];
            info->overrides[i].gsi = (uint32_t)field(t, at + 4, 4);
            info->overrides[i].level = INTI_LEVEL(flags);
            info->overrides[i].active_low = INTI_LOW(flags);
        }
        at += len;
    }
}

/* PCI Firmware Specification 3.3 §4.1.2 */
static void parse_mcfg(struct acpi_info *info, const struct table *t)
{
    for (size_t at = MCFG_ENTRIES; t->len >= MCFG_ENTRY_SIZE && at <= t->len - MCFG_ENTRY_SIZE;
         at += MCFG_ENTRY_SIZE) {
        uint64_t base = field(t, at, 8);
        uint8_t first = (uint8_t)field(t, at + 10, 1), last = (uint8_t)field(t, at + 11, 1);
        unsigned i = info->nr_ecam;

        if (!base || base % PAGE_SIZE || first > last || i == ACPI_MAX_ECAM)
            continue;
        info->ecam[i].base = base;
        info->ecam[i].segment = (uint16_t)field(t, at + 8, 2);
        info->ecam[i].first_bus = first;
        info->ecam[i].last_bus = last;
        info->nr_ecam++;
    }
}

static void parse_table(struct acpi_info *info, acpi_map map, phys_t p)
{
    struct table t;

    if (!map_table(info, map, p, &t))
        return;
    if (is(&t, "FACP"))
        parse_fadt(info, map, &t);
    else if (is(&t, "APIC"))
        parse_madt(info, &t);
    else if (is(&t, "MCFG"))
        parse_mcfg(info, &t);
    else if (is(&t, "SSDT"))
        acpi_parse_aml(info, t.p + HEADER_SIZE, t.len - HEADER_SIZE);
}

/* RSDT or XSDT: physical addresses of entry bytes each (§5.2.7, §5.2.8). */
static bool parse_root(struct acpi_info *info, acpi_map map, phys_t p, const char *signature,
                       unsigned entry)
{
    struct table t;
    unsigned n = 0;

    if (!map_table(info, map, p, &t) || !is(&t, signature))
        return false;
    for (size_t at = HEADER_SIZE; at + entry <= t.len && n < MAX_TABLES; at += entry, n++)
        parse_table(info, map, field(&t, at, entry));
    return true;
}

static bool rsdp_ok(const uint8_t *p)
{
    return !memcmp(p, RSDP_SIGNATURE, 8) && sum(p, RSDP_V1_SIZE) == 0;
}

long acpi_scan_rsdp(const void *mem, size_t n)
{
    const uint8_t *p = mem;

    for (size_t at = 0; at + RSDP_V1_SIZE <= n; at += 16)
        if (p[at] == 'R' && rsdp_ok(p + at))
            return (long)at;
    return -1;
}

int acpi_parse(struct acpi_info *info, acpi_map map, phys_t rsdp)
{
    const uint8_t *p = map(rsdp, RSDP_V1_SIZE);
    struct table t = {p, RSDP_V1_SIZE};

    if (!p || !rsdp_ok(p))
        return -EINVAL;
    memcpy(info->oem_id, p + RSDP_OEM_ID, 6);
    info->oem_id[6] = '\0';
    if (p[RSDP_REVISION] >= 2 && (p = map(rsdp, RSDP_V2_SIZE)) && sum(p, RSDP_V2_SIZE) == 0) {
        t = (struct table){p, RSDP_V2_SIZE};
        if (parse_root(info, map, field(&t, RSDP_XSDT, 8), "XSDT", 8))
            return 0;
    }
    return parse_root(info, map, field(&t, RSDP_RSDT, 4), "RSDT", 4) ? 0 : -EINVAL;
}
