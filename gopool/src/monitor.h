/*
 * The pool's monitor: a thread that is there while workers may be too few.
 *
 * All workers there are may be blocked in their tasks, and then nobody of the pool runs to see how
 * long the next one has waited; nor does a submitter or a worker ever read a clock.
 */
#ifndef GP_MONITOR_H
#define GP_MONITOR_H

#include "pool.h"

/*
 * Tells the monitor that tasks wait with nobody to be summoned. Under lock. Returns whether
 * gp_monitor_start() has to be called once it is released.
 */
bool gp_monitor_watch(struct gopool *pool);

/* Starts the thread. Under no lock. */
void gp_monitor_start(struct gopool *pool);

#endif
