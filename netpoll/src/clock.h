/* CLOCK_MONOTONIC, by which every limit and deadline goes. Any thread. */
#ifndef NP_CLOCK_H
#define NP_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

uint64_t np_clock_ns(void);
/* Milliseconds that have begun, as the wheels of the pollers count them. */
uint64_t np_clock_ms(void);
/* The time so many milliseconds from now. */
struct timespec np_clock_in(int64_t ms);
/* Milliseconds until then, rounded up so that nobody is early; 0: it has passed. */
int64_t np_clock_ms_until(const struct timespec *at);
/* A condition whose timed waits go by this clock. */
void np_clock_cond_init(pthread_cond_t *cond);

#endif
