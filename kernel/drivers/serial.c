/*
 * The 8250/16550 UART of a PC (National Semiconductor PC16550D datasheet) at 0x3f8, IRQ 4: console
 * ttyS0. Output is polled, input comes by interrupt. Called through struct console in any context
 * and by its interrupt; calls the console. Never sleeps.
 *
 * Every port access is an exit to the monitor, so output goes in batches of the FIFO's 16 bytes
 * with one look at the line status each. A monitor's UART never takes real time; waiting means that
 * the host does not read, and ends after WAIT_NS, once: until the host reads again output is lost
 * rather than the server stopped.
 */
#include "drivers/serial.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/irq.h"
#include "drivers/console.h"
#include "sched/clock.h"

#define PORT    0x3f8
#define ISA_IRQ 4

#define THR 0 /* transmit holding, write */
#define RBR 0 /* receive buffer, read */
#define IER 1 /* interrupt enable */
#define FCR 2 /* FIFO control, write */
#define IIR 2 /* interrupt identification, read */
#define LCR 3 /* line control */
#define MCR 4 /* modem control */
#define LSR 5 /* line status */
#define SCR 7 /* scratch */

#define IER_RECEIVED 0x01
#define FCR_ENABLE   0x01 /* FIFOs on; that empties them if they were off */
#define IIR_FIFO     0xc0 /* both set: the FIFOs work */
#define LCR_8N1      0x03
#define MCR_RUNNING  0x0b /* DTR, RTS, OUT2 (which connects the interrupt on a PC) */
#define MCR_LOOPBACK 0x10
#define LSR_DATA     0x01
#define LSR_THRE     0x20

#define FIFO_SIZE  16
#define WAIT_NS    (500 * NSEC_PER_MSEC)
#define WAIT_TRIES 2000000 /* the clock may not run yet */
#define INPUT_MAX  4096    /* bytes a single interrupt takes in */

static struct {
    uint64_t dropped; /* bytes lost because the host did not read */
    uint64_t received;
    uint64_t waits;
} stats;

static bool present, probed, stuck;
static unsigned batch = 1;

static bool room(void)
{
    uint64_t end;

    if (likely(inb(PORT + LSR) & LSR_THRE)) {
        stuck = false;
        return true;
    }
    if (stuck)
        return false;
    stats.waits++;
    end = clock_mono_ns() + WAIT_NS;
    for (unsigned i = 0; i < WAIT_TRIES && clock_mono_ns() < end; i++) {
        if (inb(PORT + LSR) & LSR_THRE)
            return true;
        cpu_relax();
    }
    stuck = true;
    return false;
}

static void serial_write(struct console *c, const char *s, size_t n)
{
    while (n) {
        size_t part = MIN(n, (size_t)batch);

        if (!room()) {
            stats.dropped += n;
            return;
        }
        n -= part;
        __asm__ volatile("rep outsb"
                         : "+S"(s), "+c"(part)
                         : "d"((uint16_t)(PORT + THR))
                         : "memory");
    }
}

static void serial_flush(struct console *c)
{
    (void)room();
}

static struct console console = {
    .name = "ttyS0",
    .write = serial_write,
    .flush = serial_flush,
};

/* Input may be there before us. The one byte that a UART without FIFOs holds would go when they are
 * switched on, and so would the next, which follows as soon as the first is read, unless loopback
 * takes the receiver off the line. */
static void enable_fifos(void)
{
    bool held = inb(PORT + LSR) & LSR_DATA && (inb(PORT + IIR) & IIR_FIFO) != IIR_FIFO;
    char c = 0;

    outb(PORT + MCR, MCR_LOOPBACK);
    if (held)
        c = (char)inb(PORT + RBR);
    outb(PORT + FCR, FCR_ENABLE);
    outb(PORT + MCR, MCR_RUNNING);
    if (held) {
        stats.received++;
        console_input(&c, 1);
    }
}

void serial_early(void)
{
    if (probed)
        return;
    probed = true;
    /* A scratch register keeps what is written; a missing UART reads as all ones. */
    outb(PORT + SCR, 0x5a);
    if (inb(PORT + SCR) != 0x5a)
        return;
    present = true;
    outb(PORT + IER, 0);
    outb(PORT + LCR, LCR_8N1);
    enable_fifos();
    /* An 8250 without FIFOs, as Firecracker's, takes one byte at a time. */
    if ((inb(PORT + IIR) & IIR_FIFO) == IIR_FIFO)
        batch = FIFO_SIZE;
    console_register(&console);
}

static void serial_interrupt(void *arg)
{
    char buf[64];
    size_t n = 0;

    for (unsigned i = 0; i < INPUT_MAX && inb(PORT + LSR) & LSR_DATA; i++) {
        buf[n++] = (char)inb(PORT + RBR);
        stats.received++;
        if (n == sizeof(buf)) {
            console_input(buf, n);
            n = 0;
        }
    }
    if (n)
        console_input(buf, n);
}

void serial_init(void)
{
    bool level, low;
    unsigned gsi;

    serial_early();
    if (!present)
        return;
    gsi = isa_irq_gsi(ISA_IRQ, &level, &low);
    if (irq_route_gsi(gsi, level, low, serial_interrupt, NULL) < 0) {
        kprintf("ttyS0: interrupt %u cannot be routed, no input\n", gsi);
        return;
    }
    outb(PORT + IER, IER_RECEIVED);
}
