/* Who is told of a panic that has ended a task. Any thread, not under the pool's lock. */
#include "report.h"

#include "fork.h"
#include "panic_internal.h"

struct handler_call {
    gopool_panic_fn *handler;
    void *arg;
    const struct gopool_panic *panic;
};

static void call_handler(void *arg)
{
    const struct handler_call *call = arg;

    call->handler(call->panic, call->arg);
}

void gp_report(struct gopool *pool, struct gopool_panic *panic)
{
    struct handler_call call = {.panic = panic};
    struct gopool_panic second;

    panic->pool = pool->config.name;
    if (!gp_fork_is_foreign(pool)) {
        pthread_mutex_lock(&pool->lock);
        call.handler = pool->panic_handler;
        call.arg = pool->panic_handler_arg;
        pthread_mutex_unlock(&pool->lock);
    }
    if (call.handler == NULL)
        gp_panic_print(panic->pool, panic);
    else if (gopool_try(call_handler, &call, &second) != 0)
        gp_panic_print("panic in the panic handler", &second);
}
