/* The proleptic Gregorian calendar by integers: neither locale nor time zone. */
#include <nhttp/date.h>

#include "octets.h"

#include <errno.h>

#define DAY_S     INT64_C(86400)
#define FIRST     INT64_C(-62135596800) /* 0001-01-01 */
#define LAST      INT64_C(253402300799) /* 9999-12-31 23:59:59 */
#define ERA_DAYS  INT64_C(146097)       /* 400 years */
#define ERA_SHIFT INT64_C(719468)       /* from 0000-03-01 to 1970-01-01 */

static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char long_days[7][10] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                      "Thursday", "Friday", "Saturday"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct moment {
    int64_t year;
    int64_t month; /* from 0 */
    int64_t day;   /* from 1 */
    int64_t hour, minute, second;
};

/* Of the years 0 to 9999. */
static struct moment split(int64_t at, int64_t day)
{
    int64_t second = at - day * DAY_S;
    int64_t since_march = day + ERA_SHIFT;
    int64_t era = since_march / ERA_DAYS;
    int64_t of_era = since_march % ERA_DAYS;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153; /* from March */
    return (struct moment){
        .year = year + era * 400 + (month >= 10 ? 1 : 0),
        .month = month < 10 ? month + 2 : month - 10,
        .day = of_year - (153 * month + 2) / 5 + 1,
        .hour = second / 3600,
        .minute = second / 60 % 60,
        .second = second % 60,
    };
}

/* Its inverse. */
static int64_t join(const struct moment *m)
{
    int64_t month = m->month >= 2 ? m->month - 2 : m->month + 10;
    int64_t year = m->year - (m->month >= 2 ? 0 : 1);
    int64_t era = year / 400;
    int64_t of_era = year % 400;
    int64_t of_year = (153 * month + 2) / 5 + m->day - 1;
    int64_t day = era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - ERA_SHIFT;
    return day * DAY_S + m->hour * 3600 + m->minute * 60 + m->second;
}

static int64_t clamp(time_t time)
{
    return time < FIRST ? FIRST : time > LAST ? LAST : (int64_t)time;
}

/* Rounded down. */
static int64_t day_of(int64_t at)
{
    return (at - FIRST) / DAY_S + FIRST / DAY_S;
}

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
    int64_t at = clamp(time);
    int64_t day = day_of(at);
    struct moment m = split(at, day);
    char *to = put_text(out, days[(day + 4 + 7 * ERA_DAYS) % 7], 3);
    to = put(put_text(to, ", ", 2), m.day, 2);
    to = put_text(put_text(to, " ", 1), months[m.month], 3);
    to = put(put_text(to, " ", 1), m.year, 4);
    to = put(put_text(to, " ", 1), m.hour, 2);
    to = put(put_text(to, ":", 1), m.minute, 2);
    to = put(put_text(to, ":", 1), m.second, 2);
    put_text(to, " GMT", 4);
}

static bool take_word(struct nhttp_text *text, const char *word)
{
    size_t n = strlen(word);
    if (text->len < n || memcmp(text->data, word, n) != 0)
        return false;
    (void)hs_take(text, n);
    return true;
}

static bool take_number(struct nhttp_text *text, unsigned digits, int64_t *out)
{
    int64_t number = 0;
    if (text->len < digits)
        return false;
    for (unsigned i = 0; i < digits; i++) {
        if (!hs_is_digit(text->data[i]))
            return false;
        number = number * 10 + (text->data[i] - '0');
    }
    (void)hs_take(text, digits);
    *out = number;
    return true;
}

static bool take_month(struct nhttp_text *text, struct moment *m)
{
    for (m->month = 0; m->month < 12; m->month++) {
        if (take_word(text, months[m->month]))
            return true;
    }
    return false;
}

static bool take_time(struct nhttp_text *text, struct moment *m)
{
    return take_number(text, 2, &m->hour) && take_word(text, ":") &&
           take_number(text, 2, &m->minute) && take_word(text, ":") &&
           take_number(text, 2, &m->second);
}

/* Behind the name of the day. */
static bool take_fixdate(struct nhttp_text text, struct moment *m)
{
    return take_word(&text, ", ") && take_number(&text, 2, &m->day) && take_word(&text, " ") &&
           take_month(&text, m) && take_word(&text, " ") && take_number(&text, 4, &m->year) &&
           take_word(&text, " ") && take_time(&text, m) && take_word(&text, " GMT") &&
           text.len == 0;
}

static bool take_rfc850(struct nhttp_text text, struct moment *m)
{
    return take_word(&text, ", ") && take_number(&text, 2, &m->day) && take_word(&text, "-") &&
           take_month(&text, m) && take_word(&text, "-") && take_number(&text, 2, &m->year) &&
           take_word(&text, " ") && take_time(&text, m) && take_word(&text, " GMT") &&
           text.len == 0;
}

static bool take_asctime(struct nhttp_text text, struct moment *m)
{
    return take_word(&text, " ") && take_month(&text, m) && take_word(&text, " ") &&
           take_number(&text, take_word(&text, " ") ? 1 : 2, &m->day) && take_word(&text, " ") &&
           take_time(&text, m) && take_word(&text, " ") && take_number(&text, 4, &m->year) &&
           text.len == 0;
}

/* Takes the name of a day off the front. */
static bool take_day(struct nhttp_text *text, const char *names, size_t name_bytes)
{
    for (size_t i = 0; i < 7; i++) {
        if (take_word(text, names + i * name_bytes))
            return true;
    }
    return false;
}

/* A year of two digits: the last one with them that is not more than 50 years ahead. */
static void choose_century(struct moment *m, time_t now)
{
    int64_t at = clamp(now);
    struct moment limit = split(at, day_of(at));
    limit.year += 50;
    m->year += limit.year / 100 * 100;
    if (join(m) > join(&limit))
        m->year -= 100;
}

static bool is_possible(const struct moment *m)
{
    static const int8_t month_days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = m->year % 4 == 0 && (m->year % 100 != 0 || m->year % 400 == 0);
    int64_t last = month_days[m->month] + (m->month == 1 && is_leap ? 1 : 0);
    return m->year > 0 && m->day >= 1 && m->day <= last && m->hour < 24 && m->minute < 60 &&
           m->second <= 60;
}

int nhttp_date_parse(struct nhttp_text text, time_t now, time_t *out)
{
    struct moment m = {0};
    if (take_day(&text, long_days[0], sizeof long_days[0])) {
        if (!take_rfc850(text, &m))
            return -EBADMSG;
        choose_century(&m, now);
    } else if (!take_day(&text, days[0], sizeof days[0]) ||
               (!take_fixdate(text, &m) && !take_asctime(text, &m))) {
        return -EBADMSG;
    }
    if (!is_possible(&m))
        return -EBADMSG;
    int64_t time = join(&m);
    if (time > LAST)
        return -EBADMSG;
    *out = (time_t)time;
    return 0;
}
