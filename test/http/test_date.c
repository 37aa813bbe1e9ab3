#include <nhttp/date.h>

#include "words.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SAMPLE 784111777 /* 1994-11-06 08:49:37 */
#define LAST   INT64_C(253402300799)
#define FIRST  INT64_C(-62135596800)

/* The library's own words for a time, which are the C locale's here. */
static void say(time_t time, const char *format, char *out, size_t size)
{
    struct tm parts;
    cr_assert_not_null(gmtime_r(&time, &parts));
    cr_assert_gt(strftime(out, size, format, &parts), 0);
}

static time_t parsed(const char *text, time_t now)
{
    time_t time = -1;
    cr_assert_eq(nhttp_date_parse(nhttp_text_of(text), now, &time), 0, "%s", text);
    return time;
}

Test(date, formats)
{
    char have[NHTTP_DATE_BYTES + 1] = "";
    char want[64];
    nhttp_date_format(SAMPLE, have);
    cr_assert_str_eq(have, "Sun, 06 Nov 1994 08:49:37 GMT");
    /* Every day of five centuries, at changing times. */
    for (int64_t day = -100000; day < 100000; day++) {
        time_t time = (time_t)(day * 86400 + (day * 7919 % 86400 + 86400) % 86400);
        say(time, "%a, %d %b %Y %H:%M:%S GMT", want, sizeof want);
        nhttp_date_format(time, have);
        cr_assert_str_eq(have, want);
        cr_assert_eq(parsed(have, 0), time);
    }
    nhttp_date_format((time_t)INT64_MAX, have);
    cr_assert_str_eq(have, "Fri, 31 Dec 9999 23:59:59 GMT");
    nhttp_date_format((time_t)INT64_MIN, have);
    cr_assert_str_eq(have, "Mon, 01 Jan 0001 00:00:00 GMT");
}

Test(date, what_is_formatted_is_parsed)
{
    struct random random = {5};
    char text[NHTTP_DATE_BYTES + 1] = "";
    for (int round = 0; round < 300000; round++) {
        uint64_t bits = (uint64_t)below(&random, 1U << 30) << 30 | below(&random, 1U << 30);
        time_t time = (time_t)(FIRST + (int64_t)(bits % (uint64_t)(LAST - FIRST + 1)));
        nhttp_date_format(time, text);
        cr_assert_eq(parsed(text, 0), time, "%s", text);
    }
    nhttp_date_format(FIRST, text);
    cr_assert_eq(parsed(text, 0), FIRST);
    nhttp_date_format(LAST, text);
    cr_assert_eq(parsed(text, 0), LAST);
}

Test(date, three_forms)
{
    cr_assert_eq(parsed("Sun, 06 Nov 1994 08:49:37 GMT", SAMPLE), SAMPLE);
    cr_assert_eq(parsed("Sunday, 06-Nov-94 08:49:37 GMT", SAMPLE), SAMPLE);
    cr_assert_eq(parsed("Sun Nov  6 08:49:37 1994", SAMPLE), SAMPLE);
    cr_assert_eq(parsed("Sun Nov 06 08:49:37 1994", SAMPLE), SAMPLE);
    cr_assert_eq(parsed("Wed, 29 Feb 2012 23:59:60 GMT", 0), 1330560000);
    cr_assert_eq(parsed("Tue, 29 Feb 2000 00:00:00 GMT", 0), 951782400);
    /* Every day of two centuries, long before and after which the other two cannot be told. */
    char text[64];
    for (int64_t day = -25567; day < 47482; day++) {
        time_t time = (time_t)(day * 86400 + (day * 7919 % 86400 + 86400) % 86400);
        say(time, "%a %b %e %H:%M:%S %Y", text, sizeof text);
        cr_assert_eq(parsed(text, 0), time);
        say(time, "%A, %d-%b-%y %H:%M:%S GMT", text, sizeof text);
        cr_assert_eq(parsed(text, time), time);
        cr_assert_eq(parsed(text, time + INT64_C(49) * 365 * 86400), time);
        cr_assert_eq(parsed(text, time - INT64_C(50) * 365 * 86400), time);
    }
}

Test(date, a_year_of_two_digits_is_at_most_50_years_ahead)
{
    time_t now = parsed("Mon, 23 Nov 2026 12:00:00 GMT", 0);
    cr_assert_eq(parsed("Monday, 23-Nov-76 12:00:00 GMT", now),
                 parsed("Mon, 23 Nov 2076 12:00:00 GMT", 0));
    cr_assert_eq(parsed("Monday, 23-Nov-76 12:00:01 GMT", now),
                 parsed("Tue, 23 Nov 1976 12:00:01 GMT", 0));
    cr_assert_eq(parsed("Monday, 01-Jan-77 00:00:00 GMT", now),
                 parsed("Sat, 01 Jan 1977 00:00:00 GMT", 0));
    cr_assert_eq(parsed("Monday, 01-Jan-27 00:00:00 GMT", now),
                 parsed("Fri, 01 Jan 2027 00:00:00 GMT", 0));
    cr_assert_eq(parsed("Saturday, 01-Jan-00 00:00:00 GMT", now),
                 parsed("Sat, 01 Jan 2000 00:00:00 GMT", 0));
    /* Over the turn of a century. */
    now = parsed("Fri, 31 Dec 1999 23:59:59 GMT", 0);
    cr_assert_eq(parsed("Saturday, 01-Jan-00 00:00:00 GMT", now), 946684800);
    cr_assert_eq(parsed("Friday, 31-Dec-49 23:59:59 GMT", now),
                 parsed("Fri, 31 Dec 2049 23:59:59 GMT", 0));
    cr_assert_eq(parsed("Saturday, 01-Jan-50 00:00:00 GMT", now),
                 parsed("Sun, 01 Jan 1950 00:00:00 GMT", 0));
}

Test(date, what_is_no_date)
{
    static const char *const bad[] = {
        "",
        "Sun",
        "0",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 gmt",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun,  6 Nov 1994 08:49:37 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 01994 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday 06-Nov-94 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov   6 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sun Nov 006 08:49:37 1994",
        "Sun Nov  6 08:49:37 94",
        "Xyz, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Xyz 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 32 Dec 1994 08:49:37 GMT",
        "Sun, 29 Feb 1994 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08.49.37 GMT",
        "Fri, 31 Dec 9999 23:59:60 GMT",
    };
    time_t time = 42;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(nhttp_date_parse(nhttp_text_of(bad[i]), SAMPLE, &time), -EBADMSG, "%s",
                     bad[i]);
    cr_assert_eq(nhttp_date_parse(NHTTP_TEXT("Sun, 06 Nov 1994 08:49:37 GMT\0"), 0, &time),
                 -EBADMSG);
    cr_assert_eq(time, 42);
}

/* Every part of a date that is good. */
Test(date, every_prefix_is_no_date)
{
    static const char *const forms[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
                                        "Sunday, 06-Nov-94 08:49:37 GMT",
                                        "Sun Nov  6 08:49:37 1994"};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        for (size_t n = 0; n < strlen(forms[i]); n++) {
            time_t time;
            char *text = exact(n);
            memcpy(text, forms[i], n);
            cr_assert_eq(nhttp_date_parse((struct nhttp_text){text, n}, SAMPLE, &time), -EBADMSG);
            free(text);
        }
    }
}
