/* Who looks at the queue next: a parked worker is woken, a new one started, or the monitor told. */
#ifndef GP_SUMMON_H
#define GP_SUMMON_H

#include "pool.h"

/* What has to be done once the locks are released. */
struct gp_summons {
    struct gp_spot *wake; /* a parked worker to ring, or NULL */
    bool start_worker;    /* a slot was counted that needs a thread */
};

/* Decides. Under lock, after tasks were added or left behind, or more workers may be at work. */
struct gp_summons gp_summon(struct gopool *pool);

/* Carries the decision out. Under no lock. */
void gp_summon_answer(struct gopool *pool, struct gp_summons summons);

/* Starts the first worker, as a searcher. Under lock. Returns 0 or -EAGAIN. */
int gp_summon_first(struct gopool *pool);

/*
 * Fills a counted slot with a thread; its worker-to-be is the searcher. Under no lock.
 *
 * Where no thread is to be had, the tasks stay with the workers there are. Accepted tasks whose
 * workers have all left are the one case in which it has to wait until the system has a thread.
 */
void gp_summon_fill_slot(struct gopool *pool);

/* Wakes so many parked workers as are to leave, the cap having been lowered. Under lock. */
void gp_summon_surplus(struct gopool *pool);

/* Wakes every parked worker. Under lock. */
void gp_summon_all(struct gopool *pool);

#endif
