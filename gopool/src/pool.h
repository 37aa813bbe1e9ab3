/* The pool's state, shared by its public calls and its workers. */
#ifndef GP_POOL_H
#define GP_POOL_H

#include <gopool/gopool.h>

#include <pthread.h>

#include "parking.h"
#include "task_queue.h"

/* Longest prefix of the threads' names: the kernel takes 15 bytes, "-9999" needs five. */
#define GP_NAME_MAX 10

struct gp_worker;

enum gp_phase {
    GP_PHASE_RUNNING,
    GP_PHASE_STOPPING, /* refuses tasks, runs those it has */
    GP_PHASE_STOPPED,  /* no worker is left, all are joined */
};

/* What the options said, defaults filled in. Never changes. */
struct gp_config {
    char name[GP_NAME_MAX + 1];
    bool batch_scheduling;
    uint32_t idle_timeout_ms;
    uint32_t queue_limit;
    enum gopool_when_full when_full;
    gopool_panic_fn *panic_handler;
    void *panic_handler_arg;
};

/*
 * Everything below the lock is guarded by it.
 *
 * Invariant that no wake-up is lost: while the queue holds a task, either `searching` is set, or
 * nobody is parked and every worker will look at the queue again when its task ends.
 */
struct gopool {
    struct gp_config config;
    struct gopool *next_registered; /* guarded by the registry's lock */
    pthread_mutex_t lock;
    pthread_cond_t ended; /* workers became 0, or phase became GP_PHASE_STOPPED */
    pthread_cond_t idle;  /* every task that was accepted has ended */
    uint32_t idle_waiters;
    pthread_cond_t room; /* fewer tasks wait than the limit, or the pool stops */
    uint32_t room_waiters;
    struct gp_task_queue queue;
    struct gp_parking parking;
    /*
     * One worker has been woken or is being started to look at the queue and has not looked yet.
     * Nobody needs to summon a second one: the first summons the next if it leaves tasks.
     */
    bool searching;
    enum gp_phase phase;
    uint32_t cap;             /* most workers */
    uint32_t workers;         /* slots in use: threads that work or are being started */
    uint32_t started;         /* threads ever started, numbers their names */
    struct gp_worker *leaver; /* the last one to leave; the next to leave joins and frees it */
    uint64_t submitted_count;
    uint64_t finished_count;
    uint64_t panic_count;
    uint64_t full_count;
};

static inline bool gp_pool_is_idle(const struct gopool *pool)
{
    return pool->finished_count == pool->submitted_count;
}

/* Under the lock, after tasks have ended. */
static inline void gp_pool_tell_idle(struct gopool *pool)
{
    if (pool->idle_waiters > 0 && gp_pool_is_idle(pool))
        pthread_cond_broadcast(&pool->idle);
}

#endif
