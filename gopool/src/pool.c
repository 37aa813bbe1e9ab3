/* What is worked out from the pool's state. */
#include "pool.h"

static bool may_be_summoned(const struct gopool *pool)
{
    return gp_pool_at_work(pool) < pool->cap &&
           (pool->parking.count > 0 || pool->workers < pool->config.cpus);
}

void gp_pool_update_calls(struct gopool *pool)
{
    uint32_t calls = 0;

    if (may_be_summoned(pool))
        calls |= GP_CALL_SPARE;
    if (gp_pool_at_work(pool) > pool->cap || pool->workers > pool->workers_max)
        calls |= GP_CALL_OVER;
    if (pool->room_waiters > 0)
        calls |= GP_CALL_ROOM;
    /* Relaxed, here and in the store: see struct gopool. */
    if (atomic_load_explicit(&pool->calls, memory_order_relaxed) != calls)
        atomic_store_explicit(&pool->calls, calls, memory_order_relaxed);
}

void gp_pool_tell_idle(struct gopool *pool)
{
    if (pool->idle_waiters == 0 || !gp_pool_is_idle(pool))
        return;
    pool->idle_times++;
    pthread_cond_broadcast(&pool->idle);
}
