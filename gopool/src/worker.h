/* What the public calls ask of the workers. */
#ifndef GP_WORKER_H
#define GP_WORKER_H

#include "pool.h"

/* What has to be done once the lock is released. */
struct gp_summons {
    struct gp_spot *wake; /* a parked worker to ring, or NULL */
    bool start;           /* a slot was counted that needs a thread */
};

/* Decides who looks at the queue next. Under the lock, after tasks were added or left behind. */
struct gp_summons gp_worker_summon(struct gopool *pool);

/* Carries the decision out. Not under the lock. */
void gp_worker_answer(struct gopool *pool, struct gp_summons summons);

/* Runs tasks as a worker would, on the calling thread. Not under the lock. Returns the panics. */
uint32_t gp_worker_run_here(const struct gopool *pool, struct gopool_task *first);

/* Starts the first worker, as a searcher. Under the lock. Returns 0 or -EAGAIN. */
int gp_worker_start_first(struct gopool *pool);

/* Wakes so many parked workers as are to leave, the cap having been lowered. Under the lock. */
void gp_worker_wake_surplus(struct gopool *pool);

/* Wakes every parked worker. Under the lock. */
void gp_worker_wake_all(struct gopool *pool);

/* Joins a worker that has left, and with it all that left before; frees it. NULL does nothing. */
void gp_worker_reap(struct gp_worker *worker);

/* Whether the calling thread is a worker of the pool. */
bool gp_worker_is_current(const struct gopool *pool);

#endif
