/*
 * The PC's real-time clock.
 */
#pragma once

#include "lib/base.h"

/* Seconds since 1970 by the CMOS clock (taken as UTC); 0 if there is none. Any context. */
uint64_t rtc_read_epoch(void);
/* Where the CMOS keeps the century, as the FADT says (0: nowhere). */
void rtc_set_century_register(uint8_t reg);

/* What the registers say, for rtc_read_epoch() and its tests. */
struct rtc_regs {
    uint8_t sec, min, hour, day, month, year, century;
    bool has_century;
    uint8_t status_b;
};
/* Seconds since 1970, 0 if the registers hold no time. Pure. */
uint64_t rtc_to_epoch(const struct rtc_regs *r);
