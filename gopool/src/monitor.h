/*
 * The pool's monitor: a thread that is there as long as workers are.
 *
 * All workers there are may be blocked in their tasks, and then nobody of the pool runs to see how
 * long the next one has waited; nor does a submitter or a worker ever read a clock.
 */
#ifndef GP_MONITOR_H
#define GP_MONITOR_H

#include "pool.h"

/*
 * Makes sure that the thread exists, before tasks are accepted that may depend on it. Under lock.
 * Returns 0 or -EAGAIN.
 */
int gp_monitor_ensure(struct gopool *pool);

/* Tells it that tasks wait with nobody to be summoned. Under lock. */
void gp_monitor_watch(struct gopool *pool);

#endif
