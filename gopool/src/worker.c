/* One worker's life: take, run, park, leave. */
#include "worker.h"

#include <stddef.h>

#include "block.h"
#include "call_internal.h"
#include "fault.h"
#include "fork.h"
#include "panic_internal.h"
#include "run.h"
#include "summon.h"

/* Most tasks that a worker takes at once. */
#define TAKE_MAX 64

struct gp_worker *gp_worker_of(struct gp_spot *spot)
{
    return (struct gp_worker *)(void *)((char *)spot - offsetof(struct gp_worker, spot));
}

struct gp_worker *gp_worker_current(void)
{
    struct gp_thread *thread = gp_thread_current();

    /* The first member of the worker. */
    return thread != NULL && thread->main == gp_worker_main && !thread->has_left
               ? (struct gp_worker *)thread
               : NULL;
}

/* Whether it goes on: its state is not to be relied on after a fault. */
static bool run_taken(struct gp_worker *worker)
{
    struct gopool *pool = worker->thread.pool;
    struct gp_running *running = pool->config.stuck_after_ms != 0 ? &worker->running : NULL;

    if (gp_fault_is_enabled() && worker->thread.fault == NULL)
        worker->thread.fault = gp_fault_arm(worker);
    while (worker->taken != NULL && worker->fault_count == 0) {
        struct gopool_task *task = worker->taken;

        worker->taken = task->next;
        gp_run(pool, task, running, &worker->panicked);
        worker->finished++;
        if (worker->block_depth > 0)
            gp_block_restore(0);
    }
    return worker->fault_count == 0;
}

/* What a worker does when it has looked at the queue. */
enum next {
    NEXT_RUN,   /* it has taken tasks */
    NEXT_PARK,  /* it is on the parking */
    NEXT_LEAVE, /* it is to end */
};

/* So many that the other workers find their share. */
static size_t share_of(const struct gopool *pool)
{
    size_t share = pool->outbox.count / pool->workers + 1;

    return share < TAKE_MAX ? share : TAKE_MAX;
}

/* Under take_lock. The outbox must not be empty. */
static void take(struct gp_worker *worker)
{
    struct gopool *pool = worker->thread.pool;
    size_t before = pool->outbox.count;

    worker->taken = gp_task_queue_take(&pool->outbox, pool->share);
    /* Relaxed: see struct gopool. */
    atomic_store_explicit(&pool->taken_count, gp_pool_taken(pool) + before - pool->outbox.count,
                          memory_order_relaxed);
}

/* Under take_lock. */
static void count_finished(struct gp_worker *worker)
{
    gp_pool_count_finished(worker->thread.pool, worker->finished, worker->panicked);
    worker->thread.pool->fault_count += worker->fault_count;
    worker->finished = 0;
    worker->panicked = 0;
}

/* Under both locks. */
static enum next choose(struct gp_worker *worker)
{
    struct gopool *pool = worker->thread.pool;
    bool is_over = gp_pool_at_work(pool) > pool->cap;

    if (pool->workers - pool->leaving > pool->workers_max)
        return NEXT_LEAVE;
    if (pool->outbox.head != NULL && !is_over) {
        take(worker);
        return NEXT_RUN;
    }
    if (pool->phase != GP_PHASE_RUNNING)
        return NEXT_LEAVE;
    gp_parking_push(&pool->parking, &worker->spot);
    return NEXT_PARK;
}

/* Under both locks, which it keeps where the worker is to leave. */
static enum next look_closely(struct gp_worker *worker)
{
    struct gopool *pool = worker->thread.pool;
    struct gp_summons summons = {0};

    if (worker->searcher) {
        worker->searcher = false;
        pool->searching = false;
    }
    gp_pool_tell_idle(pool);
    if (pool->outbox.head == NULL) {
        gp_task_queue_move(&pool->inbox, &pool->outbox);
        pool->share = share_of(pool);
    }
    enum next next = choose(worker);
    gp_pool_update_attention(pool);
    if (next == NEXT_LEAVE)
        return next;
    if (pool->room.waiters > 0 && gp_pool_queued(pool) < pool->config.queue_limit)
        pthread_cond_broadcast(&pool->room.made);
    summons = gp_summon(pool);
    gp_pool_unlock_both(pool);
    gp_summon_answer(pool, summons);
    return next;
}

/* Whether the worker has to look at more than the outbox. Under take_lock. */
static bool is_called(const struct gp_worker *worker)
{
    const struct gopool *pool = worker->thread.pool;

    /* Relaxed: see struct gopool. */
    return worker->searcher || pool->outbox.head == NULL ||
           atomic_load_explicit(&pool->attention, memory_order_relaxed) != 0;
}

/* Takes the oldest tasks, or finds a place in the parking. It returns with both locks held where
 * the worker is to leave, otherwise with none. */
static enum next look(struct gp_worker *worker)
{
    struct gopool *pool = worker->thread.pool;

    pthread_mutex_lock(&pool->take_lock);
    count_finished(worker);
    if (is_called(worker)) {
        pthread_mutex_lock(&pool->lock);
        return look_closely(worker);
    }
    take(worker);
    pthread_mutex_unlock(&pool->take_lock);
    return NEXT_RUN;
}

/*
 * Sleeps until it is summoned or the pool stops, or until tasks wait that nobody summoned it for.
 * Returns false, with both locks held, when it has been idle for too long.
 */
static bool sleep_parked(struct gp_worker *worker)
{
    struct gopool *pool = worker->thread.pool;

    if (gp_parking_sleep(&worker->spot, pool->config.idle_timeout_ms))
        return true;
    gp_pool_lock_both(pool);
    /* Relaxed: under lock, as every store of the state. */
    if (atomic_load_explicit(&worker->spot.state, memory_order_relaxed) == GP_SPOT_AWAKE) {
        gp_pool_unlock_both(pool);
        return true;
    }
    gp_parking_leave(&pool->parking);
    if (gp_pool_queued(pool) == 0)
        return false;
    gp_pool_unlock_both(pool);
    return true;
}

static void put_back_taken(struct gp_worker *worker)
{
    struct gopool *pool = worker->thread.pool;
    size_t before = pool->outbox.count;

    gp_task_queue_put_back(&pool->outbox, worker->taken);
    /* Relaxed: see struct gopool. */
    atomic_store_explicit(&pool->taken_count, gp_pool_taken(pool) - (pool->outbox.count - before),
                          memory_order_relaxed);
}

/* Accounts for a worker that leaves although tasks may be left to it. It returns with both locks
 * held. */
static void give_up(struct gp_worker *worker)
{
    gp_pool_lock_both(worker->thread.pool);
    count_finished(worker);
    put_back_taken(worker);
    gp_pool_tell_idle(worker->thread.pool);
}

/* Returns with both locks held. */
static void work(struct gp_worker *worker)
{
    for (;;) {
        enum next next = look(worker);

        if (next == NEXT_RUN && !run_taken(worker)) {
            give_up(worker);
            return;
        }
        if (next == NEXT_LEAVE || (next == NEXT_PARK && !sleep_parked(worker)))
            return;
    }
}

static void enter(struct gp_worker *worker)
{
    struct gopool *pool = worker->thread.pool;

    pthread_mutex_lock(&pool->lock);
    worker->next = pool->all;
    worker->link = &pool->all;
    if (worker->next != NULL)
        worker->next->link = &worker->next;
    pool->all = worker;
    pthread_mutex_unlock(&pool->lock);
}

static void take_off_list(struct gp_worker *worker)
{
    *worker->link = worker->next;
    if (worker->next != NULL)
        worker->next->link = worker->link;
}

/* Waits until the one that left before is gone. Under both locks, which it leaves meanwhile. */
static void wait_for_leaver(struct gp_worker *worker)
{
    struct gopool *pool = worker->thread.pool;
    struct gp_thread *before = gp_thread_leave(&worker->thread);
    /* For tasks that it leaves. */
    struct gp_summons summons = gp_summon(pool);

    pool->leaving++;
    gp_pool_unlock_both(pool);
    gp_summon_answer(pool, summons);
    gp_thread_reap(before);
    gp_pool_lock_both(pool);
    pool->leaving--;
}

/* Ends a worker's part in the pool. Under both locks, which it releases. */
static void leave(struct gp_worker *worker)
{
    struct gopool *pool = worker->thread.pool;
    struct gp_summons summons = {0};

    /* Before the slot is another one's: so there is at most one thread more than there are slots,
     * however fast workers come and go. */
    wait_for_leaver(worker);
    /* Tasks are left by pthread_exit() and by a fault; then the slot passes on to a successor. */
    bool successor = pool->workers <= pool->workers_max && gp_pool_queued(pool) != 0 &&
                     !pool->searching && gp_pool_at_work(pool) <= pool->cap;

    take_off_list(worker);
    if (successor) {
        pool->searching = true;
    } else {
        gp_pool_drop_slot(pool);
        if (pool->monitor.wanted > pool->workers)
            pool->monitor.wanted = pool->workers;
        gp_pool_update_attention(pool);
        /* Or because the cap was lowered; then those who stay see to them. */
        summons = gp_summon(pool);
    }
    gp_pool_unlock_both(pool);
    if (successor)
        gp_summon_fill_slot(pool);
    gp_summon_answer(pool, summons);
}

/* The task has ended its thread by pthread_exit(). */
static void leave_by_exit(void *arg)
{
    struct gp_worker *worker = arg;

    gp_call_thread_exits();
    gp_panic_forget();
    if (gp_fork_is_foreign(worker->thread.pool))
        return;
    gp_block_restore(0);
    worker->finished++;
    give_up(worker);
    leave(worker);
}

void gp_worker_main(struct gp_thread *thread)
{
    /* The first member of the worker. */
    struct gp_worker *worker = (struct gp_worker *)thread;

    enter(worker);
    pthread_cleanup_push(leave_by_exit, worker);
    work(worker);
    pthread_cleanup_pop(0);
    leave(worker);
}
