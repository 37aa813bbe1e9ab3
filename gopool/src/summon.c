/* Waking parked workers and starting new ones. Any thread. */
#include "summon.h"

#include <errno.h>
#include <mcache/mcache.h>
#include <time.h>

#include "cancel.h"
#include "monitor.h"
#include "worker.h"

/* Takes the warmest worker off the parking and makes it the searcher. Under lock. */
static struct gp_spot *wake_searcher(struct gopool *pool)
{
    struct gp_spot *spot = pool->parking.warmest;

    if (spot == NULL)
        return NULL;
    /* Before its state tells it to wake up: see struct gopool. */
    gp_worker_of(spot)->searcher = true;
    pool->searching = true;
    return gp_parking_pop(&pool->parking);
}

/* Counts a slot whose worker-to-be is the searcher. Under lock. */
static void count_slot(struct gopool *pool)
{
    pool->workers++;
    if (pool->workers_max < pool->workers)
        pool->workers_max = pool->workers;
    pool->searching = true;
}

/* Some at once; a further one only helps where those there are do not come round. */
static bool may_start(const struct gopool *pool)
{
    return pool->workers < pool->config.eager_workers || pool->workers < pool->monitor.wanted ||
           gp_pool_taken(pool) < pool->monitor.aged_count;
}

struct gp_summons gp_summon(struct gopool *pool)
{
    struct gp_summons summons = {0};

    if (pool->searching || gp_pool_queued(pool) == 0 || gp_pool_at_work(pool) >= pool->cap)
        return summons;
    summons.wake = wake_searcher(pool);
    if (summons.wake == NULL && may_start(pool)) {
        count_slot(pool);
        summons.start_worker = true;
    } else if (summons.wake == NULL) {
        gp_monitor_watch(pool);
    }
    return summons;
}

static int start(struct gopool *pool, uint32_t number)
{
    struct gp_worker *worker = mcache_alloc(sizeof *worker);

    if (worker == NULL)
        return -EAGAIN;
    *worker = (struct gp_worker){
        .thread = {.pool = pool, .number = number, .main = gp_worker_main},
        .searcher = true,
    };
    if (gp_thread_start(&worker->thread) != 0) {
        mcache_free(worker);
        return -EAGAIN;
    }
    return 0;
}

int gp_summon_first(struct gopool *pool)
{
    int status = start(pool, ++pool->started);

    if (status == 0)
        count_slot(pool);
    return status;
}

/*
 * Gives a slot back that could not be filled, and leaves the tasks to a parked worker, or to the
 * monitor, which tries again after a while. Returns false when they have nobody else to run them.
 */
static bool give_slot_back(struct gopool *pool)
{
    struct gp_spot *wake = NULL;

    pthread_mutex_lock(&pool->lock);
    bool give_back = pool->workers > 1 || gp_pool_queued(pool) == 0;
    if (give_back) {
        pool->searching = false;
        gp_pool_drop_slot(pool);
        if (gp_pool_queued(pool) != 0) {
            wake = wake_searcher(pool);
            if (wake == NULL)
                gp_monitor_watch(pool);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    if (wake != NULL)
        gp_parking_ring(wake);
    return give_back;
}

void gp_summon_fill_slot(struct gopool *pool)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int cancel_state = gp_cancel_disable();

    pthread_mutex_lock(&pool->lock);
    uint32_t number = ++pool->started;
    pthread_mutex_unlock(&pool->lock);
    while (start(pool, number) != 0 && !give_slot_back(pool))
        nanosleep(&pause, NULL);
    gp_cancel_restore(cancel_state);
}

void gp_summon_answer(struct gopool *pool, struct gp_summons summons)
{
    if (summons.wake != NULL)
        gp_parking_ring(summons.wake);
    if (summons.start_worker)
        gp_summon_fill_slot(pool);
}

void gp_summon_surplus(struct gopool *pool)
{
    uint32_t surplus = pool->workers > pool->workers_max ? pool->workers - pool->workers_max : 0;
    struct gp_spot *spot;

    for (; surplus > 0 && (spot = gp_parking_pop(&pool->parking)) != NULL; surplus--)
        gp_parking_ring(spot);
}

void gp_summon_all(struct gopool *pool)
{
    struct gp_spot *spot;

    while ((spot = gp_parking_pop(&pool->parking)) != NULL)
        gp_parking_ring(spot);
}
