/* The time, cheaply. Any thread. */
#include "request.h"

#include <nhttp/date.h>

#include <time.h>

#define OK_BYTES (sizeof HS_OK_LINE - 1)

uint64_t hs_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t hs_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

const char *hs_first_lines(void)
{
    static _Thread_local char lines[OK_BYTES + HS_DATE_BYTES + 1] = HS_OK_LINE "Date: ";
    static _Thread_local time_t of = -1;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec != of) {
        char *date = lines + OK_BYTES + sizeof "Date: " - 1;
        of = now.tv_sec;
        nhttp_date_format(of, date);
        date[NHTTP_DATE_BYTES] = '\r';
        date[NHTTP_DATE_BYTES + 1] = '\n';
    }
    return lines;
}
