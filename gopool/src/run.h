/* Running one task: its panic is contained, counted and reported. */
#ifndef GP_RUN_H
#define GP_RUN_H

#include "pool.h"
#include "running.h"

/*
 * Runs a task. It is the caller's again as soon as its function runs. Under no lock.
 *
 * running is NULL where no watchdog looks. *panicked is counted up before the panic is reported,
 * for whoever is told may end the thread. In a child of fork(2), where a task has nowhere to return
 * to, it ends the process.
 */
void gp_run(struct gopool *pool, struct gopool_task *task, struct gp_running *running,
            uint32_t *panicked);

#endif
