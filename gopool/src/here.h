/* Tasks that the thread which submits them runs itself, the queue being full. */
#ifndef GP_HERE_H
#define GP_HERE_H

#include "pool.h"

/*
 * Whether the calling thread may run tasks itself: it is not inside so many that it runs itself
 * already, each submitted by the one before, that its stack would not last.
 */
bool gp_here_is_allowed(void);

/* Runs tasks on the calling thread and counts them. They are in here_running. Under no lock. */
void gp_here_run(struct gopool *pool, struct gopool_task *first);

/* Whether the calling thread is in a task of the pool that it runs itself. */
bool gp_here_is_inside(const struct gopool *pool);

#endif
