/* Workers whose tasks say that they block. On the worker's own thread. */
#include <gopool/gopool.h>

#include <errno.h>

#include "fork.h"
#include "summon.h"
#include "worker.h"

static uint32_t max_blocked(const struct gopool *pool)
{
    if (pool->config.max_blocked != 0)
        return pool->config.max_blocked;
    return pool->cap > 1 ? pool->cap / 2 : 1;
}

int gopool_block_begin(void)
{
    struct gp_worker *worker = gp_worker_current();
    struct gp_summons summons = {0};

    if (worker == NULL || gp_fork_is_foreign(worker->thread.pool))
        return -EPERM;
    if (worker->block_depth > 0) {
        worker->block_depth++;
        return 0;
    }
    struct gopool *pool = worker->thread.pool;
    /* Both: a worker that leaves tasks from now on sees that another one may be at work. */
    gp_pool_lock_both(pool);
    bool is_allowed = pool->blocked < max_blocked(pool);
    if (is_allowed) {
        worker->block_depth = 1;
        pool->blocked++;
        worker->is_blocked = true;
        gp_pool_update_calls(pool);
        summons = gp_summon(pool);
    }
    gp_pool_unlock_both(pool);
    gp_summon_answer(pool, summons);
    return is_allowed ? 0 : -EAGAIN;
}

void gp_block_forget(struct gp_worker *worker)
{
    struct gopool *pool = worker->thread.pool;

    worker->block_depth = 0;
    pthread_mutex_lock(&pool->lock);
    pool->blocked--;
    worker->is_blocked = false;
    gp_pool_update_calls(pool);
    pthread_mutex_unlock(&pool->lock);
}

void gopool_block_end(void)
{
    struct gp_worker *worker = gp_worker_current();

    gopool_must(worker != NULL && worker->block_depth > 0);
    if (gp_fork_is_foreign(worker->thread.pool))
        return;
    if (worker->block_depth > 1)
        worker->block_depth--;
    else
        gp_block_forget(worker);
}
