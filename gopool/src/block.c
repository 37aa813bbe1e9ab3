/* Workers whose tasks say that they block. On the worker's own thread. */
#include <gopool/gopool.h>

#include <errno.h>

#include "block.h"
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
    pthread_mutex_lock(&pool->lock);
    bool is_allowed = pool->blocked < max_blocked(pool);
    if (is_allowed) {
        worker->block_depth = 1;
        pool->blocked++;
        worker->is_blocked = true;
        summons = gp_summon(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    gp_summon_answer(pool, summons);
    return is_allowed ? 0 : -EAGAIN;
}

/* Under no lock. */
static void come_back(struct gp_worker *worker)
{
    struct gopool *pool = worker->thread.pool;

    pthread_mutex_lock(&pool->lock);
    pool->blocked--;
    worker->is_blocked = false;
    gp_pool_update_attention(pool);
    pthread_mutex_unlock(&pool->lock);
}

uint32_t gp_block_depth(void)
{
    const struct gp_worker *worker = gp_worker_current();

    return worker != NULL ? worker->block_depth : 0;
}

void gp_block_restore(uint32_t depth)
{
    struct gp_worker *worker = gp_worker_current();

    if (worker == NULL || worker->block_depth <= depth)
        return;
    worker->block_depth = depth;
    if (depth == 0 && !gp_fork_is_foreign(worker->thread.pool))
        come_back(worker);
}

void gopool_block_end(void)
{
    uint32_t depth = gp_block_depth();

    if (depth == 0)
        gopool_panic("gopool_block_end() without gopool_block_begin()");
    gp_block_restore(depth - 1);
}
