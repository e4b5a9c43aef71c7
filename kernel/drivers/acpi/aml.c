/*
 * A bounded walk over AML (ACPI 6.4 ch. 20), not an interpreter: it knows how definition blocks are
 * nested and reads constants, which is how monitors describe what is wanted here:
 *
 *     Name (\_S5, Package () {5, ...})                 the sleep type of power-off
 *     Device (V000) { Name (_HID, "LNRO0005")          a virtio-mmio device (the ID is Linux's)
 *                     Name (_CRS, ResourceTemplate () {Memory32Fixed ..., Interrupt ...}) }
 *     Device (PCI0) { Name (_HID, EisaId ("PNP0A08")) }       the PCI host bridge, and its
 *                     Method (_CBA) {Return (0xe0000000)}     its configuration space
 *     Scope (\_SB.PCI0) { Name (_CRS, ResourceTemplate () {DWordMemory ...}) }    windows
 *
 * Objects that are delimited by a package length (§20.2.4) are entered or skipped as a whole;
 * constants and names are stepped over; whatever else is met (expressions at block level, which are
 * rare) is passed byte by byte until an object starts again. A byte is looked at once per object
 * that is skipped past it at most, and nesting is limited, so the walk ends in linear time whatever
 * the input. Pure; see acpi.h.
 */
#include "drivers/acpi/acpi.h"

#define MAX_DEPTH 16

/* Opcodes (§20.3). */
#define OP_ZERO         0x00
#define OP_ONE          0x01
#define OP_ALIAS        0x06
#define OP_NAME         0x08
#define OP_BYTE         0x0a
#define OP_WORD         0x0b
#define OP_DWORD        0x0c
#define OP_STRING       0x0d
#define OP_QWORD        0x0e
#define OP_SCOPE        0x10
#define OP_BUFFER       0x11
#define OP_PACKAGE      0x12
#define OP_VAR_PACKAGE  0x13
#define OP_METHOD       0x14
#define OP_EXTERNAL     0x15
#define OP_EXT          0x5b
#define OP_IF           0xa0
#define OP_ELSE         0xa1
#define OP_WHILE        0xa2
#define OP_RETURN       0xa4
#define OP_ONES         0xff
#define EXT_MUTEX       0x01
#define EXT_EVENT       0x02
#define EXT_REGION      0x80
#define EXT_FIELD       0x81
#define EXT_DEVICE      0x82
#define EXT_PROCESSOR   0x83
#define EXT_POWER       0x84
#define EXT_THERMAL     0x85
#define EXT_INDEX_FIELD 0x86
#define EXT_BANK_FIELD  0x87

#define NAME_ROOT   '\\'
#define NAME_PARENT '^'
#define NAME_DUAL   0x2e
#define NAME_MULTI  0x2f

/* Resource descriptors (§6.4): small ones by their tag with the length, large ones by type. */
#define RES_LARGE        0x80
#define RES_IRQ          0x20 /* small item 4 */
#define RES_END          0x78
#define RES_MEMORY32     0x85
#define RES_MEMORY32_FIX 0x86
#define RES_DWORD_SPACE  0x87
#define RES_INTERRUPT    0x89
#define RES_QWORD_SPACE  0x8a
#define SPACE_MEMORY     0
#define IRQ_EDGE         0x01 /* small descriptor's flags */
#define IRQ_LOW          0x08
#define INTERRUPT_EDGE   0x02 /* extended descriptor's flags */
#define INTERRUPT_LOW    0x04

#define VIRTIO_HID "LNRO0005"
#define PCI_HID    "PNP0A03"
#define PCIE_HID   "PNP0A08"
#define EISA_PCI   0x030ad041 /* the same as compressed EISA IDs */
#define EISA_PCIE  0x080ad041

/* A stretch of AML: everything is read through take(), which cannot pass the end. */
struct span {
    const uint8_t *p;
    size_t n;
};

/* What was seen of the device whose body is being walked. */
struct device {
    bool is_virtio, is_pci_root, has_memory, has_irq;
    uint64_t base, size;
    uint64_t window, window_size; /* the largest below 4 GiB */
    uint64_t config_base;         /* _CBA (PCI Firmware Specification 3.3 §4.1.3) */
    uint32_t gsi;
    bool level, active_low;
};

struct walk {
    struct acpi_info *info;
    struct device *dev; /* NULL outside of devices and scopes */
    unsigned depth;
};

static bool skip(struct span *s, size_t n)
{
    if (n > s->n)
        return false;
    s->p += n;
    s->n -= n;
    return true;
}

static uint64_t little_endian(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

/* PkgLength (§20.2.4): the span of the package's contents; s goes on behind it. */
static bool take_package(struct span *s, struct span *body)
{
    size_t len;
    unsigned follow;

    if (!s->n)
        return false;
    follow = s->p[0] >> 6;
    if (s->n < 1 + follow)
        return false;
    len = follow ? (s->p[0] & 0x0f) | little_endian(s->p + 1, follow) << 4 : s->p[0];
    if (len < 1 + follow || len > s->n)
        return false;
    body->p = s->p + 1 + follow;
    body->n = len - 1 - follow;
    return skip(s, len);
}

static bool is_name_char(uint8_t c, bool first)
{
    return (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

/* NameString (§20.2.2); *last is its final segment, NULL for a null name. */
static bool take_name(struct span *s, const uint8_t **last)
{
    unsigned segs = 1;

    *last = NULL;
    if (s->n && s->p[0] == NAME_ROOT)
        (void)skip(s, 1);
    else
        while (s->n && s->p[0] == NAME_PARENT)
            (void)skip(s, 1);
    if (!s->n)
        return false;
    if (s->p[0] == 0)
        return skip(s, 1);
    if (s->p[0] == NAME_DUAL) {
        segs = 2;
        (void)skip(s, 1);
    } else if (s->p[0] == NAME_MULTI) {
        if (s->n < 2 || !s->p[1])
            return false;
        segs = s->p[1];
        (void)skip(s, 2);
    }
    if (s->n < 4 * segs)
        return false;
    for (unsigned i = 0; i < 4 * segs; i++)
        if (!is_name_char(s->p[i], i % 4 == 0))
            return false;
    *last = s->p + 4 * (segs - 1);
    return skip(s, 4 * segs);
}

/* An integer constant (§20.2.3). Leaves s alone if there is none. */
static bool take_integer(struct span *s, uint64_t *v)
{
    unsigned bytes;

    if (!s->n)
        return false;
    switch (s->p[0]) {
    case OP_ZERO:
    case OP_ONE:
        *v = s->p[0];
        return skip(s, 1);
    case OP_ONES:
        *v = UINT64_MAX;
        return skip(s, 1);
    case OP_BYTE:
        bytes = 1;
        break;
    case OP_WORD:
        bytes = 2;
        break;
    case OP_DWORD:
        bytes = 4;
        break;
    case OP_QWORD:
        bytes = 8;
        break;
    default:
        return false;
    }
    if (s->n < 1 + bytes)
        return false;
    *v = little_endian(s->p + 1, bytes);
    return skip(s, 1 + bytes);
}

/* A string constant's text, without its NUL. */
static bool take_string(struct span *s, struct span *text)
{
    const uint8_t *end;

    if (s->n < 2 || s->p[0] != OP_STRING || !(end = memchr(s->p + 1, 0, s->n - 1)))
        return false;
    text->p = s->p + 1;
    text->n = (size_t)(end - text->p);
    return skip(s, text->n + 2);
}

static bool is_text(struct span s, const char *text)
{
    return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

static void note_memory(struct device *d, uint64_t base, uint64_t size)
{
    if (d->has_memory || !size)
        return;
    d->has_memory = true;
    d->base = base;
    d->size = size;
}

/* An address space descriptor: registers of a device, or what a bridge forwards. */
static void note_space(struct device *d, uint64_t base, uint64_t size)
{
    note_memory(d, base, size);
    if (size > d->window_size && size <= 4 * GiB && base <= 4 * GiB - size) {
        d->window = base;
        d->window_size = size;
    }
}

static void note_irq(struct device *d, uint32_t gsi, bool level, bool low)
{
    if (d->has_irq)
        return;
    d->has_irq = true;
    d->gsi = gsi;
    d->level = level;
    d->active_low = low;
}

/* One descriptor's body. */
static void resource(struct device *d, uint8_t tag, const uint8_t *p, size_t n)
{
    switch (tag) {
    case RES_IRQ:
        if (n >= 2 && little_endian(p, 2)) {
            uint8_t flags = n >= 3 ? p[2] : IRQ_EDGE;
            note_irq(d, (uint32_t)__builtin_ctzll(little_endian(p, 2)), !(flags & IRQ_EDGE),
                     flags & IRQ_LOW);
        }
        break;
    case RES_INTERRUPT:
        if (n >= 6 && p[1] >= 1)
            note_irq(d, (uint32_t)little_endian(p + 2, 4), !(p[0] & INTERRUPT_EDGE),
                     p[0] & INTERRUPT_LOW);
        break;
    case RES_MEMORY32_FIX:
        if (n >= 9)
            note_memory(d, little_endian(p + 1, 4), little_endian(p + 5, 4));
        break;
    case RES_MEMORY32:
        if (n >= 17)
            note_memory(d, little_endian(p + 1, 4), little_endian(p + 13, 4));
        break;
    case RES_DWORD_SPACE:
        if (n >= 23 && p[0] == SPACE_MEMORY)
            note_space(d, little_endian(p + 7, 4), little_endian(p + 19, 4));
        break;
    case RES_QWORD_SPACE:
        if (n >= 43 && p[0] == SPACE_MEMORY)
            note_space(d, little_endian(p + 11, 8), little_endian(p + 35, 8));
        break;
    }
}

static void resources(struct device *d, struct span s)
{
    while (s.n) {
        uint8_t tag = s.p[0];
        size_t head = 1, len;

        if (tag & RES_LARGE) {
            if (s.n < 3)
                return;
            head = 3;
            len = little_endian(s.p + 1, 2);
        } else {
            len = tag & 7;
            tag &= 0x78;
            if (tag == RES_END)
                return;
        }
        if (len > s.n - head)
            return;
        resource(d, tag, s.p + head, len);
        (void)skip(&s, head + len);
    }
}

/* The value of a Name(): its data object. Steps over what it knows; else the walk goes on inside.
 */
static void name_value(struct walk *w, const uint8_t *name, struct span *s)
{
    struct span body, text;
    uint64_t v;

    if (take_integer(s, &v)) {
        if (w->dev && !memcmp(name, "_HID", 4) && (v == EISA_PCI || v == EISA_PCIE))
            w->dev->is_pci_root = true;
        else if (w->dev && !memcmp(name, "_CBA", 4))
            w->dev->config_base = v;
        return;
    }
    if (take_string(s, &text)) {
        if (w->dev && !memcmp(name, "_HID", 4)) {
            w->dev->is_virtio |= is_text(text, VIRTIO_HID);
            w->dev->is_pci_root |= is_text(text, PCI_HID) || is_text(text, PCIE_HID);
        }
        return;
    }
    if (!s->n || (s->p[0] != OP_BUFFER && s->p[0] != OP_PACKAGE && s->p[0] != OP_VAR_PACKAGE))
        return;
    uint8_t op = s->p[0];
    (void)skip(s, 1);
    if (!take_package(s, &body))
        return;
    if (op == OP_BUFFER && w->dev && !memcmp(name, "_CRS", 4) && take_integer(&body, &v)) {
        body.n = MIN(body.n, v);
        resources(w->dev, body);
    } else if (op == OP_PACKAGE && !memcmp(name, "_S5_", 4) && !w->info->s5) {
        uint64_t a, b = 0;
        /* NumElements, then SLP_TYPa and SLP_TYPb (§7.4.2). */
        if (skip(&body, 1) && take_integer(&body, &a) && a < 8) {
            (void)take_integer(&body, &b);
            w->info->s5 = true;
            w->info->s5_type_a = (uint8_t)a;
            w->info->s5_type_b = (uint8_t)(b & 7);
        }
    }
}

static void device_done(struct acpi_info *info, const struct device *d)
{
    unsigned i = info->nr_virtio;

    if (d->is_pci_root && !info->pci_root_ecam && d->config_base % PAGE_SIZE == 0)
        info->pci_root_ecam = d->config_base;
    if (d->is_pci_root && d->window_size > info->pci_window_size) {
        info->pci_window = d->window;
        info->pci_window_size = d->window_size;
    }
    if (!d->is_virtio || !d->has_memory || !d->has_irq || i == ACPI_MAX_VIRTIO)
        return;
    info->virtio[i].base = d->base;
    info->virtio[i].size = d->size;
    info->virtio[i].gsi = d->gsi;
    info->virtio[i].level = d->level;
    info->virtio[i].active_low = d->active_low;
    info->nr_virtio++;
}

/* A method's body behind its name. One that only returns a constant stands for its value. */
static void method(struct walk *w, const uint8_t *name, struct span body)
{
    uint64_t v;

    if (w->dev && !memcmp(name, "_CBA", 4) && skip(&body, 1) && body.n && *body.p == OP_RETURN &&
        skip(&body, 1) && take_integer(&body, &v))
        w->dev->config_base = v;
}

static void walk(struct walk w, struct span s);

static void enter(const struct walk *w, struct device *dev, struct span body)
{
    struct walk inner = {w->info, dev, w->depth + 1};
    if (inner.depth < MAX_DEPTH)
        walk(inner, body);
}

/* Objects behind the extension prefix. False if it is none that is known. */
static bool extended(struct walk *w, struct span *s)
{
    struct span at = *s, body;
    const uint8_t *name;
    uint8_t op;

    if (at.n < 2)
        return false;
    op = at.p[1];
    (void)skip(&at, 2);
    switch (op) {
    case EXT_DEVICE: {
        struct device dev = {0};
        if (!take_package(&at, &body) || !take_name(&body, &name) || !name)
            return false;
        enter(w, &dev, body);
        if (dev.is_pci_root && !w->info->pci_root[0])
            memcpy(w->info->pci_root, name, 4);
        device_done(w->info, &dev);
        break;
    }
    case EXT_PROCESSOR:
    case EXT_POWER:
    case EXT_THERMAL:
    case EXT_FIELD:
    case EXT_INDEX_FIELD:
    case EXT_BANK_FIELD:
        if (!take_package(&at, &body) || !take_name(&body, &name) || !name)
            return false;
        break;
    case EXT_EVENT:
        if (!take_name(&at, &name))
            return false;
        break;
    case EXT_MUTEX:
    case EXT_REGION: /* its two expressions follow, mostly constants */
        if (!take_name(&at, &name) || !skip(&at, 1))
            return false;
        break;
    default:
        return false;
    }
    *s = at;
    return true;
}

/* One object at the start of s. False if none is recognised there. */
static bool object(struct walk *w, struct span *s)
{
    struct span at = *s, body;
    const uint8_t *name, *name2;
    uint64_t v;
    uint8_t op = at.p[0];

    if (op == OP_EXT)
        return extended(w, s);
    if (take_integer(s, &v) || take_string(s, &body))
        return true;
    (void)skip(&at, 1);
    switch (op) {
    case OP_SCOPE: {
        struct device again = {0};
        if (!take_package(&at, &body) || !take_name(&body, &name))
            return false;
        again.is_pci_root = name && w->info->pci_root[0] && !memcmp(name, w->info->pci_root, 4);
        enter(w, &again, body);
        device_done(w->info, &again);
        break;
    }
    case OP_METHOD:
        if (!take_package(&at, &body) || !take_name(&body, &name) || !name)
            return false;
        method(w, name, body);
        break;
    case OP_IF:
    case OP_ELSE:
    case OP_WHILE:
        if (!take_package(&at, &body))
            return false;
        enter(w, w->dev, body);
        break;
    case OP_NAME:
        if (!take_name(&at, &name) || !name)
            return false;
        name_value(w, name, &at);
        break;
    case OP_ALIAS:
        if (!take_name(&at, &name) || !take_name(&at, &name2))
            return false;
        break;
    case OP_EXTERNAL:
        if (!take_name(&at, &name) || !skip(&at, 2))
            return false;
        break;
    case OP_BUFFER:
    case OP_PACKAGE:
    case OP_VAR_PACKAGE:
        if (!take_package(&at, &body))
            return false;
        break;
    default:
        return false;
    }
    *s = at;
    return true;
}

static void walk(struct walk w, struct span s)
{
    while (s.n)
        if (!object(&w, &s))
            (void)skip(&s, 1);
}

void acpi_parse_aml(struct acpi_info *info, const uint8_t *aml, size_t len)
{
    walk((struct walk){info, NULL, 0}, (struct span){aml, len});
}
