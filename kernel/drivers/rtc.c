/*
 * The MC146818-compatible clock behind ports 0x70/0x71 (its datasheet; ACPI 6.4 §5.2.9 for the
 * century). Read once at boot by the clock code; also callable later, any context, never sleeps.
 */
#include "drivers/rtc.h"

#include "arch/x86_64/io.h"

#define INDEX 0x70
#define DATA  0x71

#define REG_SEC      0x00
#define REG_MIN      0x02
#define REG_HOUR     0x04
#define REG_DAY      0x07
#define REG_MONTH    0x08
#define REG_YEAR     0x09
#define REG_STATUS_A 0x0a
#define REG_STATUS_B 0x0b

#define A_UPDATING 0x80 /* the registers are about to change, for up to 2 ms */
#define B_24_HOURS 0x02
#define B_BINARY   0x04
#define HOUR_PM    0x80

/* An access takes a microsecond or more: this outlasts an update. */
#define UPDATE_TRIES 10000
#define READ_TRIES   4

static uint8_t century_reg;

void rtc_set_century_register(uint8_t reg)
{
    century_reg = reg < 0x80 ? reg : 0;
}

static uint8_t cmos(uint8_t reg)
{
    outb(INDEX, reg);
    return inb(DATA);
}

static bool from_bcd(uint8_t *v)
{
    if ((*v & 0x0f) > 9 || *v >> 4 > 9)
        return false;
    *v = (uint8_t)((*v >> 4) * 10 + (*v & 0x0f));
    return true;
}

uint64_t rtc_to_epoch(const struct rtc_regs *in)
{
    static const uint16_t days_before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    struct rtc_regs r = *in;
    bool pm = !(r.status_b & B_24_HOURS) && r.hour & HOUR_PM;
    uint64_t year, days;

    if (!(r.status_b & B_24_HOURS))
        r.hour &= (uint8_t)~HOUR_PM;
    if (!(r.status_b & B_BINARY) &&
        !(from_bcd(&r.sec) && from_bcd(&r.min) && from_bcd(&r.hour) && from_bcd(&r.day) &&
          from_bcd(&r.month) && from_bcd(&r.year) && (!r.has_century || from_bcd(&r.century))))
        return 0;
    if (!(r.status_b & B_24_HOURS)) {
        if (r.hour < 1 || r.hour > 12)
            return 0;
        r.hour = (uint8_t)(r.hour % 12 + (pm ? 12 : 0));
    }
    if (r.sec > 59 || r.min > 59 || r.hour > 23 || r.day < 1 || r.day > 31 || r.month < 1 ||
        r.month > 12 || r.year > 99)
        return 0;
    if (r.has_century && r.century >= 19 && r.century <= 29)
        year = r.century * 100u + r.year;
    else
        year = r.year + (r.year < 70 ? 2000u : 1900u);
    if (year < 1970)
        return 0;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    days = (year - 1970) * 365 + (year - 1969) / 4 - (year - 1901) / 100 + (year - 1601) / 400;
    days += days_before[r.month - 1] + r.day - 1u + (leap && r.month > 2);
    return ((days * 24 + r.hour) * 60 + r.min) * 60 + r.sec;
}

static bool wait_update(void)
{
    for (unsigned i = 0; i < UPDATE_TRIES; i++)
        if (!(cmos(REG_STATUS_A) & A_UPDATING))
            return true;
    return false;
}

uint64_t rtc_read_epoch(void)
{
    struct rtc_regs r = {0};

    for (unsigned i = 0; i < READ_TRIES; i++) {
        /* A missing clock reads as all ones: it is updating for ever, and has no status B. */
        r.status_b = cmos(REG_STATUS_B);
        if (r.status_b == 0xff || !wait_update())
            return 0;
        r.sec = cmos(REG_SEC);
        r.min = cmos(REG_MIN);
        r.hour = cmos(REG_HOUR);
        r.day = cmos(REG_DAY);
        r.month = cmos(REG_MONTH);
        r.year = cmos(REG_YEAR);
        r.has_century = century_reg != 0;
        r.century = century_reg ? cmos(century_reg) : 0;
        /* The same second before and after: no update came between. */
        if (cmos(REG_SEC) == r.sec)
            return rtc_to_epoch(&r);
    }
    return 0;
}
