/*
 * A pool's watchdog: a thread that is there as long as workers are, where the options ask for it,
 * and tells of tasks that have been running for too long.
 */
#ifndef GP_WATCHDOG_H
#define GP_WATCHDOG_H

#include "pool.h"

/*
 * Makes sure that the thread exists, if the pool wants one and a thread is to be had; if not, the
 * next submit tries again. Under lock.
 */
void gp_watchdog_ensure(struct gopool *pool);

#endif
