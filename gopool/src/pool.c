/* What is worked out from the pool's state. */
#include "pool.h"

void gp_pool_update_attention(struct gopool *pool)
{
    uint32_t attention = 0;

    if (gp_pool_at_work(pool) > pool->cap || pool->workers > pool->workers_max)
        attention |= GP_ATTENTION_OVER;
    if (pool->room.waiters > 0)
        attention |= GP_ATTENTION_ROOM;
    /* Relaxed, here and in the store: see struct gopool. */
    if (atomic_load_explicit(&pool->attention, memory_order_relaxed) != attention)
        atomic_store_explicit(&pool->attention, attention, memory_order_relaxed);
}

void gp_pool_tell_idle(struct gopool *pool)
{
    if (pool->drain.waiters == 0 || !gp_pool_is_idle(pool))
        return;
    pool->drain.times++;
    pthread_cond_broadcast(&pool->drain.seen);
}
