/* The monotonic clock. */
#include "clock.h"

#define NS_PER_S  1000000000
#define NS_PER_MS 1000000

uint64_t np_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t np_clock_ms(void)
{
    return np_clock_ns() / NS_PER_MS;
}

struct timespec np_clock_in(int64_t ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += (long)(ms % 1000) * NS_PER_MS;
    if (at.tv_nsec >= NS_PER_S) {
        at.tv_nsec -= NS_PER_S;
        at.tv_sec++;
    }
    return at;
}

int64_t np_clock_ms_until(const struct timespec *at)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ms =
        (at->tv_sec - now.tv_sec) * 1000 + (at->tv_nsec - now.tv_nsec + NS_PER_MS - 1) / NS_PER_MS;
    return ms > 0 ? ms : 0;
}

void np_clock_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}
