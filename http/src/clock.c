/* The time, cheaply. Any thread. */
#include "request.h"

#include <nhttp/date.h>

#include <string.h>
#include <time.h>

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

const char *hs_date_line(void)
{
    static _Thread_local char line[HS_DATE_BYTES + 1];
    static _Thread_local time_t of;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec == of && line[0] != '\0')
        return line;
    of = now.tv_sec;
    memcpy(line, "Date: ", 6);
    nhttp_date_format(of, line + 6);
    memcpy(line + 6 + NHTTP_DATE_BYTES, "\r\n", 2);
    return line;
}
