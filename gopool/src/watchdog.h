/*
 * A pool's watchdog: a thread that is there as long as workers are, where the options ask for it,
 * and tells of tasks that have been running for too long.
 */
#ifndef GP_WATCHDOG_H
#define GP_WATCHDOG_H

#include "pool.h"

/*
 * Says that there is a worker. Under lock. Returns whether gp_watchdog_start() has to be called
 * once it is released.
 */
bool gp_watchdog_want(struct gopool *pool);

/* Starts the thread. Under no lock. Where none is to be had, the next submit tries again. */
void gp_watchdog_start(struct gopool *pool);

#endif
