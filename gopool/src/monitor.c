/* The monitor's life: started by the first tasks that wait, watching, idle, gone. */
#include "monitor.h"

#include "deadline.h"
#include "summon.h"
#include "thread.h"

/* How long a task waits before it is worth another thread, at most twice that. */
#define TICK_MS 1

/* Waking the monitor costs as much as some of its ticks. */
#define QUIET_TICKS_MAX 8

bool gp_monitor_watch(struct gopool *pool)
{
    enum gp_monitor_state state = pool->monitor;

    pool->monitor = GP_MONITOR_WATCHING;
    if (state == GP_MONITOR_IDLE)
        pthread_cond_signal(&pool->monitor_wake);
    return state == GP_MONITOR_NONE;
}

/* Under lock, which it releases in between, as every function below does. */
static void sleep_for(struct gopool *pool, uint32_t timeout_ms)
{
    const struct timespec deadline = gp_deadline_after(timeout_ms);

    while (pthread_cond_timedwait(&pool->monitor_wake, &pool->lock, &deadline) == 0)
        continue;
}

static void sleep_while_idle(struct gopool *pool)
{
    const struct timespec deadline = gp_deadline_after(pool->config.idle_timeout_ms);
    int error = 0;

    while (pool->monitor == GP_MONITOR_IDLE && pool->phase == GP_PHASE_RUNNING && error == 0)
        error = pthread_cond_timedwait(&pool->monitor_wake, &pool->lock, &deadline);
}

static void tick(struct gopool *pool, uint64_t *accepted_before)
{
    sleep_for(pool, TICK_MS);
    pool->aged_count = *accepted_before;
    *accepted_before = pool->accepted_count;
    struct gp_summons summons = gp_summon(pool);
    pthread_mutex_unlock(&pool->lock);
    gp_summon_answer(pool, summons);
    pthread_mutex_lock(&pool->lock);
}

/* Also while the pool stops: tasks that it has accepted may be waiting for each other. */
static void watch(struct gopool *pool)
{
    uint64_t accepted_before = pool->accepted_count;

    for (uint32_t quiet_ticks = 0; quiet_ticks < QUIET_TICKS_MAX; quiet_ticks++) {
        tick(pool, &accepted_before);
        if (gp_pool_queued(pool) != 0)
            quiet_ticks = 0;
        else if (pool->phase != GP_PHASE_RUNNING)
            break;
    }
    pool->monitor = GP_MONITOR_IDLE;
}

static void monitor_main(struct gp_thread *thread)
{
    struct gopool *pool = thread->pool;

    pthread_mutex_lock(&pool->lock);
    while (pool->monitor == GP_MONITOR_WATCHING) {
        watch(pool);
        sleep_while_idle(pool);
    }
    pool->monitor = GP_MONITOR_NONE;
    pthread_cond_broadcast(&pool->ended);
    struct gp_thread *before = gp_thread_leave(thread);
    pthread_mutex_unlock(&pool->lock);
    gp_thread_reap(before);
}

void gp_monitor_start(struct gopool *pool)
{
    if (gp_thread_start_helper(pool, monitor_main) == 0)
        return;
    /* The next submit, or worker that leaves tasks, asks for it again. */
    pthread_mutex_lock(&pool->lock);
    pool->monitor = GP_MONITOR_NONE;
    pthread_cond_broadcast(&pool->ended);
    pthread_mutex_unlock(&pool->lock);
}
