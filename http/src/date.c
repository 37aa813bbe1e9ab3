/* The proleptic Gregorian calendar by integers: neither locale nor time zone. */
#include <nhttp/date.h>

#include <stdint.h>
#include <string.h>

#define DAY_S     INT64_C(86400)
#define FIRST     INT64_C(-62135596800) /* 0001-01-01 */
#define LAST      INT64_C(253402300799) /* 9999-12-31 23:59:59 */
#define ERA_DAYS  INT64_C(146097)       /* 400 years */
#define ERA_SHIFT INT64_C(719468)       /* from 0000-03-01 to 1970-01-01 */

static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static char *put(char *at, int64_t number, unsigned digits)
{
    for (unsigned i = digits; i-- > 0; number /= 10)
        at[i] = (char)('0' + number % 10);
    return at + digits;
}

static char *put_text(char *at, const char *text, size_t n)
{
    memcpy(at, text, n);
    return at + n;
}

void nhttp_date_format(time_t time, char *out)
{
    int64_t at = time < FIRST ? FIRST : time > LAST ? LAST : (int64_t)time;
    int64_t day = (at - FIRST) / DAY_S + FIRST / DAY_S;
    int64_t second = at - day * DAY_S;
    int64_t since_march = day + ERA_SHIFT;
    int64_t era = since_march / ERA_DAYS;
    int64_t of_era = since_march % ERA_DAYS;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153; /* from March */
    int64_t of_month = of_year - (153 * month + 2) / 5 + 1;
    int64_t calendar_month = month < 10 ? month + 2 : month - 10;
    int64_t calendar_year = year + era * 400 + (month >= 10 ? 1 : 0);
    char *to = put_text(out, days[(day + 4 + 7 * ERA_DAYS) % 7], 3);
    to = put(put_text(to, ", ", 2), of_month, 2);
    to = put_text(put_text(to, " ", 1), months[calendar_month], 3);
    to = put(put_text(to, " ", 1), calendar_year, 4);
    to = put(put_text(to, " ", 1), second / 3600, 2);
    to = put(put_text(to, ":", 1), second / 60 % 60, 2);
    to = put(put_text(to, ":", 1), second % 60, 2);
    put_text(to, " GMT", 4);
}
