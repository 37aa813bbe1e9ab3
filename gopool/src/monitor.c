/* The monitor's life: it sleeps, and watches while tasks wait for busy workers. */
#include "monitor.h"

#include <errno.h>

#include "deadline.h"
#include "summon.h"
#include "thread.h"

/* How long a task waits before it is worth another thread, at most twice that. */
#define TICK_MS 1

/* Waking the monitor costs as much as some of its ticks. */
#define QUIET_TICKS_MAX 8

void gp_monitor_watch(struct gopool *pool)
{
    if (!pool->monitor.is_watching)
        pthread_cond_signal(&pool->monitor.wake);
    pool->monitor.is_watching = true;
}

/* Under lock, which it releases in between, as the functions below do. */
static void sleep_for(struct gopool *pool, uint32_t timeout_ms)
{
    const struct timespec deadline = gp_deadline_after(timeout_ms);

    while (pthread_cond_timedwait(&pool->monitor.wake, &pool->lock, &deadline) == 0)
        continue;
}

/*
 * Where tasks have aged, twice as many workers may come without waiting: were it one more each
 * time, a pool whose tasks often block would stand still for a millisecond as often as it has
 * workers.
 */
static void want_more(struct gopool *pool)
{
    if (gp_pool_taken(pool) < pool->monitor.aged_count)
        pool->monitor.wanted = 2 * pool->workers;
}

static void tick(struct gopool *pool, uint64_t *accepted_before)
{
    sleep_for(pool, TICK_MS);
    pool->monitor.aged_count = *accepted_before;
    *accepted_before = pool->accepted_count;
    want_more(pool);
    struct gp_summons summons = gp_summon(pool);
    pthread_mutex_unlock(&pool->lock);
    gp_summon_answer(pool, summons);
    pthread_mutex_lock(&pool->lock);
}

/* Whether tasks wait that another worker could take. */
static bool is_needed(const struct gopool *pool)
{
    return gp_pool_queued(pool) != 0 && gp_pool_at_work(pool) < pool->cap;
}

static void watch(struct gopool *pool)
{
    uint64_t accepted_before = pool->accepted_count;
    uint32_t quiet_ticks = 0;

    while (quiet_ticks < QUIET_TICKS_MAX && pool->workers > 0) {
        tick(pool, &accepted_before);
        quiet_ticks = is_needed(pool) ? 0 : quiet_ticks + 1;
    }
    pool->monitor.is_watching = false;
}

static void monitor_main(struct gp_thread *thread)
{
    struct gopool *pool = thread->pool;

    pthread_mutex_lock(&pool->lock);
    while (pool->workers > 0) {
        if (pool->monitor.is_watching)
            watch(pool);
        else
            pthread_cond_wait(&pool->monitor.wake, &pool->lock);
    }
    gp_thread_end_helper(thread, &pool->monitor.exists, false);
}

int gp_monitor_ensure(struct gopool *pool)
{
    if (!pool->monitor.exists && gp_thread_start_helper(pool, monitor_main) != 0)
        return -EAGAIN;
    pool->monitor.exists = true;
    return 0;
}
