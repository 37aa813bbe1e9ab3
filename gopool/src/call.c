/* Tasks that somebody waits for: a word that says how they ended, and a futex on it. Any thread. */
#include <gopool/gopool.h>

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "call_internal.h"
#include "deadline.h"
#include "fork.h"
#include "panic_internal.h"

enum state {
    STATE_PENDING,
    STATE_RETURNED,
    STATE_CANCELED,
};

_Static_assert(sizeof(_Atomic uint32_t) == sizeof(uint32_t), "the word is used as an atomic one");

/* The public struct can be included from C++, which has no _Atomic. */
static _Atomic uint32_t *state_of(struct gopool_future *future)
{
    return (_Atomic uint32_t *)&future->state;
}

static void end(struct gopool_future *future, enum state state)
{
    _Atomic uint32_t *word = state_of(future);

    /* Release: pairs with the loads of who waits. The last touch: the waiter may free it. */
    atomic_store_explicit(word, (uint32_t)state, memory_order_release);
    /* Only the address is used; a wake-up of whatever lies there by then is harmless. */
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* The call that the thread is in; where callers run tasks, it may be inside another one. */
static _Thread_local struct gopool_future *innermost;

static void cancel(struct gopool_future *future)
{
    innermost = future->outer;
    end(future, STATE_CANCELED);
}

void gp_call_thread_exits(void)
{
    while (innermost != NULL)
        cancel(innermost);
}

NETPOLL_DISPATCH void gp_call_run(void *arg)
{
    struct gopool_future *future = arg;

    future->outer = innermost;
    innermost = future;
    future->fn(future->arg);
    innermost = future->outer;
    end(future, STATE_RETURNED);
}

void gp_call_ended(struct gopool_future *future)
{
    /* Where it has returned, only the address is there. */
    if (innermost == future)
        cancel(future);
}

void gp_call_origin(const struct gopool_task *task, gopool_fn **fn, void **arg)
{
    const struct gopool_future *future = task->arg;

    *fn = future->fn;
    *arg = future->arg;
}

int gopool_call(struct gopool *pool, struct gopool_future *future, gopool_fn *fn, void *arg,
                uint32_t flags)
{
    *future = (struct gopool_future){
        .task = {.fn = gp_call_run, .arg = future, .flags = flags},
        .pool = pool,
        .fn = fn,
        .arg = arg,
        .state = STATE_PENDING,
    };
    int status = fn != NULL ? gopool_submit(pool, &future->task) : -EINVAL;
    /* For who waits for it all the same. */
    if (status != 0)
        future->state = STATE_CANCELED;
    return status;
}

static int result_of(uint32_t state)
{
    return state == STATE_RETURNED ? 0 : -ECANCELED;
}

/* Returns the state, STATE_PENDING when the time is over. */
static uint32_t sleep_while_pending(_Atomic uint32_t *word, int timeout_ms)
{
    const struct timespec deadline = gp_deadline_after((uint32_t)(timeout_ms > 0 ? timeout_ms : 0));
    uint32_t state = STATE_PENDING;
    int error = 0;

    while (state == STATE_PENDING && error != ETIMEDOUT) {
        long woken = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, STATE_PENDING,
                             timeout_ms < 0 ? NULL : &deadline, NULL, FUTEX_BITSET_MATCH_ANY);

        error = woken == 0 ? 0 : errno;
        /* Acquire: as in gopool_wait(). */
        state = atomic_load_explicit(word, memory_order_acquire);
    }
    return state;
}

int gopool_wait(struct gopool_future *future, int timeout_ms)
{
    _Atomic uint32_t *word = state_of(future);
    /* Acquire: what fn did is seen by who has waited for it. */
    uint32_t state = atomic_load_explicit(word, memory_order_acquire);

    if (state != STATE_PENDING)
        return result_of(state);
    if (gp_fork_is_foreign(future->pool))
        return -EPERM;
    if (gopool_is_worker(future->pool))
        return -EDEADLK;
    /* The thread may be a worker of another pool. */
    bool counts = timeout_ms != 0 && gopool_block_begin() == 0;
    state = sleep_while_pending(word, timeout_ms);
    if (counts)
        gopool_block_end();
    return state == STATE_PENDING ? -ETIMEDOUT : result_of(state);
}
