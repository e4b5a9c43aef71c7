// unit: kernel/drivers/rtc.c
/*
 * Proves that clock registers become the right second, in BCD and binary, 12 and 24 hours, with and
 * without a century, over leap years; and that nonsense gives 0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "drivers/rtc.h"

static uint8_t bcd(int v)
{
    return (uint8_t)(v / 10 << 4 | v % 10);
}

/* Every 25 hours 13 minutes 7 seconds from 1970 to 2099, against the C library. */
static void agrees_with_gmtime(void **s)
{
    (void)s;
    for (uint64_t t = 0; t < 4102444800; t += 25 * 3600 + 13 * 60 + 7) {
        time_t tt = (time_t)t;
        struct tm tm;
        gmtime_r(&tt, &tm);
        int year = tm.tm_year + 1900, hour12 = tm.tm_hour % 12 ? tm.tm_hour % 12 : 12;
        uint8_t pm = tm.tm_hour >= 12 ? 0x80 : 0;
        struct rtc_regs r = {bcd(tm.tm_sec),
                             bcd(tm.tm_min),
                             bcd(tm.tm_hour),
                             bcd(tm.tm_mday),
                             bcd(tm.tm_mon + 1),
                             bcd(year % 100),
                             bcd(year / 100),
                             true,
                             0x02};
        assert_int_equal(rtc_to_epoch(&r), t);
        r.status_b = 0;
        r.hour = (uint8_t)(bcd(hour12) | pm);
        assert_int_equal(rtc_to_epoch(&r), t);
        r = (struct rtc_regs){(uint8_t)tm.tm_sec,
                              (uint8_t)tm.tm_min,
                              (uint8_t)tm.tm_hour,
                              (uint8_t)tm.tm_mday,
                              (uint8_t)(tm.tm_mon + 1),
                              (uint8_t)(year % 100),
                              0,
                              false,
                              0x06};
        if (year < 2070)
            assert_int_equal(rtc_to_epoch(&r), t);
        r.status_b = 0x04;
        r.hour = (uint8_t)(hour12 | pm);
        if (year < 2070)
            assert_int_equal(rtc_to_epoch(&r), t);
    }
}

static void nonsense_is_no_time(void **s)
{
    struct rtc_regs good = {1, 2, 3, 4, 5, 0x24, 0x20, true, 0x02}, r;
    (void)s;
    assert_int_not_equal(rtc_to_epoch(&good), 0);
    r = (struct rtc_regs){0};
    assert_int_equal(rtc_to_epoch(&r), 0);
    r = good, r.month = 0x13;
    assert_int_equal(rtc_to_epoch(&r), 0);
    r = good, r.day = 0;
    assert_int_equal(rtc_to_epoch(&r), 0);
    r = good, r.sec = 0x5a;
    assert_int_equal(rtc_to_epoch(&r), 0);
    r = good, r.hour = 0x24;
    assert_int_equal(rtc_to_epoch(&r), 0);
    r = good, r.status_b = 0, r.hour = 0;
    assert_int_equal(rtc_to_epoch(&r), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_gmtime),
        cmocka_unit_test(nonsense_is_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
