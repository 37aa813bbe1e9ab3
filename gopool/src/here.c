/* Tasks run by their submitter: counted, and run to the last one though one ends the thread. */
#include "here.h"

#include "block.h"
#include "call_internal.h"
#include "panic_internal.h"
#include "run.h"

/* A task costs the stack some hundred bytes and what it takes itself. */
#define DEPTH_MAX 16

struct here {
    struct here *outer;
    struct gopool *pool;
    struct gopool_task *next;
    uint32_t depth;
    uint32_t finished;
    uint32_t panicked;
    bool is_counted;
};

static _Thread_local struct here *innermost;

static void count(struct here *here)
{
    struct gopool *pool = here->pool;

    gp_pool_lock_both(pool);
    gp_pool_count_finished(pool, here->finished, here->panicked);
    gp_pool_tell_idle(pool);
    if (--pool->here_running == 0)
        pthread_cond_broadcast(&pool->ended);
    gp_pool_unlock_both(pool);
    here->is_counted = true;
}

static void run_rest(struct here *here);

/* A task has ended the thread by pthread_exit(). */
static void go_on(void *arg)
{
    struct here *here = arg;

    gp_call_thread_exits();
    gp_panic_forget();
    /* A thread that ends in a clean-up handler runs that handler again. */
    if (!here->is_counted)
        run_rest(here);
}

static void run_rest(struct here *here)
{
    pthread_cleanup_push(go_on, here);
    while (here->next != NULL) {
        struct gopool_task *task = here->next;
        /* The thread may be a worker of another pool. */
        uint32_t block_depth = gp_block_depth();

        here->next = task->next;
        here->finished++;
        gp_run(here->pool, task, NULL, &here->panicked);
        gp_block_restore(block_depth);
    }
    pthread_cleanup_pop(0);
    count(here);
}

bool gp_here_is_allowed(void)
{
    return innermost == NULL || innermost->depth < DEPTH_MAX;
}

void gp_here_run(struct gopool *pool, struct gopool_task *first)
{
    struct here here = {
        .outer = innermost,
        .pool = pool,
        .next = first,
        .depth = innermost != NULL ? innermost->depth + 1 : 1,
    };

    innermost = &here;
    run_rest(&here);
    innermost = here.outer;
}

bool gp_here_is_inside(const struct gopool *pool)
{
    const struct here *here = innermost;

    while (here != NULL && here->pool != pool)
        here = here->outer;
    return here != NULL;
}
