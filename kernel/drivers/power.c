/*
 * Ending the machine (power.h). Any context, on whatever stack a crash left; calls the console and
 * the registered methods, never sleeps, never returns and never hangs: the last resort on every
 * path is a triple fault, and behind it a halted CPU.
 *
 * Order: what tells the host the exit status comes first (wherry.statusport, isa-debug-exit), then
 * what ACPI or a driver registered, then ports known by machine. A write to a port that nothing
 * claims is ignored by every monitor.
 */
#include "drivers/power.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/io.h"
#include "drivers/console.h"
#include "lib/cmdline.h"

#include <asm/errno.h>

#define MAX_METHODS 8

#define QEMU_PM1A_CNT 0x604  /* pc and q35 with PM base 0x600 */
#define PM1_S5        0x2000 /* SLP_TYP 0, SLP_EN (ACPI 6.4 §4.8.3.2.1) */
#define I8042_COMMAND 0x64
#define I8042_RESET   0xfe
#define RESET_CONTROL 0xcf9 /* PCI chipsets */
#define RESET_FULL    0x0e

static uint16_t status_port, debug_exit_port;
static bool ending;

static void (*methods[MAX_METHODS])(void);
static void (*reset_methods[MAX_METHODS])(void);
static void (*farewells[MAX_METHODS])(void);
static unsigned nr_methods, nr_reset_methods, nr_farewells;

static int port_word(const char *value, uint16_t *port)
{
    const char *end;
    uint64_t v;

    if (!value || !(end = parse_u64(value, &v)) || *end || v == 0 || v > UINT16_MAX)
        return -EINVAL;
    *port = (uint16_t)v;
    return 0;
}

static int status_word(const char *value)
{
    return port_word(value, &status_port);
}
CMDLINE("wherry.statusport", status_word);

static int debug_exit_word(const char *value)
{
    return port_word(value, &debug_exit_port);
}
CMDLINE("wherry.debugexit", debug_exit_word);

void power_register(void (*fn)(void))
{
    if (nr_methods < MAX_METHODS)
        methods[nr_methods++] = fn;
}

void power_register_reset(void (*fn)(void))
{
    if (nr_reset_methods < MAX_METHODS)
        reset_methods[nr_reset_methods++] = fn;
}

void power_register_farewell(void (*fn)(void))
{
    if (nr_farewells < MAX_METHODS)
        farewells[nr_farewells++] = fn;
}

void power_farewell(void)
{
    while (nr_farewells > 0)
        farewells[--nr_farewells]();
}

/* An interrupt table without a single gate: the next exception cannot be delivered, nor the double
 * fault that follows, and the CPU shuts down, which monitors take for a reset (SDM vol. 3 §6.15).
 */
__noreturn static void triple_fault(void)
{
    static const struct {
        uint16_t limit;
        uint64_t base;
    } __packed empty = {0, 0};

    __asm__ volatile("lidt %0; int3" ::"m"(empty));
    for (;;)
        __asm__ volatile("cli; hlt");
}

static void tell_status(int status)
{
    char text[16];
    int n = ksnprintf(text, sizeof(text), "%d\n", status);

    for (int i = 0; status_port && i < n; i++)
        outb(status_port, (uint8_t)text[i]);
    /* The host's process exits with 2 * value + 1 at once. */
    if (debug_exit_port)
        outb(debug_exit_port, (uint8_t)status);
}

__noreturn void power_off(int status)
{
    irq_disable();
    /* A method that crashes comes back here: go on with what cannot. */
    if (!ending) {
        ending = true;
        console_flush();
        tell_status(status);
    }
    while (nr_methods > 0)
        methods[--nr_methods]();
    outw(QEMU_PM1A_CNT, PM1_S5);
    outb(I8042_COMMAND, I8042_RESET); /* Firecracker's way to end */
    triple_fault();
}

__noreturn void power_reset(void)
{
    irq_disable();
    if (!ending) {
        ending = true;
        console_flush();
    }
    while (nr_reset_methods > 0)
        reset_methods[--nr_reset_methods]();
    outb(I8042_COMMAND, I8042_RESET);
    outb(RESET_CONTROL, RESET_FULL);
    triple_fault();
}
