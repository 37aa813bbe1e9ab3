/* Points in time for waits. */
#ifndef GP_DEADLINE_H
#define GP_DEADLINE_H

#include <stdint.h>
#include <time.h>

/* So many milliseconds from now, on CLOCK_MONOTONIC. */
static inline struct timespec gp_deadline_after(uint32_t timeout_ms)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += timeout_ms / 1000;
    at.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

#endif
