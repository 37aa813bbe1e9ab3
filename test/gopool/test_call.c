/* Waiting: for one call and its result, and for a pool to have nothing to do. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include <gopool/gopool.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

TestSuite(call, .timeout = 60);

struct product {
    int left;
    int right;
    int result;
};

static void multiply(void *arg)
{
    struct product *product = arg;

    product->result = product->left * product->right;
}

static void wait_at_gate(void *arg)
{
    while (sem_wait(arg) != 0)
        continue;
}

static void panic_at_once(void *arg)
{
    gopool_panic("%s", (const char *)arg);
}

static void exit_thread(void *arg)
{
    (void)arg;
    pthread_exit(NULL);
}

static void ignore_panic(const struct gopool_panic *panic, void *arg)
{
    (void)panic;
    (void)arg;
}

Test(call, results_are_there_when_the_wait_is_over)
{
    enum {
        CALLS = 1000
    };
    static struct gopool_future calls[CALLS];
    static struct product products[CALLS];
    struct gopool *pool = pool_with(NULL);

    for (int i = 0; i < CALLS; i++) {
        uint32_t flags = i % 2 == 0 ? 0 : GOPOOL_TASK_NONBLOCKING;

        products[i] = (struct product){.left = i, .right = 3};
        cr_assert_eq(gopool_call(pool, &calls[i], multiply, &products[i], flags), 0);
    }
    for (int i = 0; i < CALLS; i++) {
        cr_assert_eq(gopool_wait(&calls[i], -1), 0);
        cr_assert_eq(products[i].result, 3 * i);
        cr_assert_eq(gopool_wait(&calls[i], 0), 0);
    }
    gopool_destroy(pool);
}

Test(call, a_wait_ends_at_its_time)
{
    struct gopool *pool = pool_with(NULL);
    struct gopool_future call;
    sem_t gate;

    sem_init(&gate, 0, 0);
    cr_assert_eq(gopool_call(pool, &call, wait_at_gate, &gate, 0), 0);
    cr_assert_eq(gopool_wait(&call, 0), -ETIMEDOUT);
    int64_t start = now_ms();
    cr_assert_eq(gopool_wait(&call, 20), -ETIMEDOUT);
    cr_assert_geq(now_ms() - start, 19);
    sem_post(&gate);
    cr_assert_eq(gopool_wait(&call, DEADLINE_MS), 0);
    gopool_destroy(pool);
}

Test(call, the_end_by_a_panic_or_by_the_end_of_the_thread_is_told)
{
    static char message[] = "as told";
    struct gopool *pool = pool_with(&(struct gopool_options){.panic_handler = ignore_panic});
    struct gopool_future panicking;
    struct gopool_future exiting;

    cr_assert_eq(gopool_call(pool, &panicking, panic_at_once, message, 0), 0);
    cr_assert_eq(gopool_call(pool, &exiting, exit_thread, NULL, 0), 0);
    cr_assert_eq(gopool_wait(&panicking, DEADLINE_MS), -ECANCELED);
    cr_assert_eq(gopool_wait(&exiting, DEADLINE_MS), -ECANCELED);
    cr_assert_eq(gopool_stop(pool), 0);
    cr_assert_eq(stats_of(pool).panic_count, 1);
    gopool_destroy(pool);
}

struct inside {
    struct gopool *pool;
    struct product product;
    int wait_status;
    int drain_status;
};

static void wait_inside(void *arg)
{
    struct inside *inside = arg;
    struct gopool_future call;

    gopool_must(gopool_call(inside->pool, &call, multiply, &inside->product, 0) == 0);
    while ((inside->wait_status = gopool_wait(&call, -1)) == 0)
        gopool_must(gopool_call(inside->pool, &call, multiply, &inside->product, 0) == 0);
    inside->drain_status = gopool_drain(inside->pool, -1);
    /* It lies in this frame. */
    while (gopool_wait(&call, -1) != 0)
        continue;
}

static atomic_bool is_told;

static void take_time_to_tell(const struct gopool_panic *panic, void *arg)
{
    (void)arg;
    usleep(20000);
    atomic_store(&is_told, strcmp(panic->task_arg, "of the caller's") == 0);
}

/* What the handler is shown may be on the stack of who waits. */
Test(call, the_wait_ends_when_the_panic_has_been_told)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.panic_handler = take_time_to_tell});
    char words[] = "of the caller's";
    struct gopool_future call;

    cr_assert_eq(gopool_call(pool, &call, panic_at_once, words, 0), 0);
    cr_assert_eq(gopool_wait(&call, DEADLINE_MS), -ECANCELED);
    cr_assert(atomic_load(&is_told));
    gopool_destroy(pool);
}

Test(call, a_worker_cannot_wait_for_its_own_pool)
{
    struct inside inside = {.pool = pool_with(NULL)};
    struct gopool_future call;

    cr_assert_eq(gopool_call(inside.pool, &call, wait_inside, &inside, 0), 0);
    cr_assert_eq(gopool_wait(&call, DEADLINE_MS), 0);
    cr_assert_eq(inside.wait_status, -EDEADLK);
    cr_assert_eq(inside.drain_status, -EDEADLK);
    gopool_destroy(inside.pool);
}

Test(call, a_refused_call_leaves_nothing_to_wait_for)
{
    struct gopool *pool = pool_with(NULL);
    struct gopool_future call;

    cr_assert_eq(gopool_call(pool, &call, NULL, NULL, 0), -EINVAL);
    cr_assert_eq(gopool_wait(&call, -1), -ECANCELED);
    cr_assert_eq(gopool_call(pool, &call, multiply, NULL, 4), -EINVAL);
    cr_assert_eq(gopool_wait(&call, -1), -ECANCELED);
    cr_assert_eq(gopool_stop(pool), 0);
    cr_assert_eq(gopool_call(pool, &call, multiply, NULL, 0), -ESHUTDOWN);
    cr_assert_eq(gopool_wait(&call, -1), -ECANCELED);
    gopool_destroy(pool);
}

static _Atomic int runs;

static void submit_another(void *arg)
{
    if (atomic_fetch_add(&runs, 1) < 100)
        gopool_must(gopool_go(arg, submit_another, arg) == 0);
}

Test(call, drain_waits_for_what_tasks_submit)
{
    struct gopool *pool = pool_with(NULL);
    sem_t gate;

    cr_assert_eq(gopool_drain(pool, 0), 0);
    sem_init(&gate, 0, 0);
    cr_assert_eq(gopool_go(pool, wait_at_gate, &gate), 0);
    cr_assert_eq(gopool_drain(pool, 0), -ETIMEDOUT);
    cr_assert_eq(gopool_drain(pool, 10), -ETIMEDOUT);
    cr_assert_eq(gopool_go(pool, submit_another, pool), 0);
    sem_post(&gate);
    cr_assert_eq(gopool_drain(pool, DEADLINE_MS), 0);
    cr_assert_eq(runs, 101);
    cr_assert_eq(stats_of(pool).finished_count, 102);
    gopool_destroy(pool);
}

static void count(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, 1);
}

static void return_with_deferred(void *arg)
{
    struct gopool_defer outer;
    struct gopool_defer inner;

    gopool_defer_push(&outer, count, arg);
    gopool_defer_push(&inner, count, arg);
}

Test(call, what_it_leaves_registered_is_dropped)
{
    struct gopool *pool = pool_with(NULL);
    struct gopool_future future;
    _Atomic int made = 0;

    cr_assert_eq(gopool_call(pool, &future, return_with_deferred, (void *)&made, 0), 0);
    cr_assert_eq(gopool_wait(&future, DEADLINE_MS), 0);
    gopool_destroy(pool);
    cr_assert_eq(made, 0);
}

static _Atomic int drainer;

static void *drain_for_ever(void *arg)
{
    atomic_store(&drainer, gettid());
    (void)!gopool_drain(arg, -1);
    pthread_testcancel();
    return NULL;
}

static void wait_for_post(void *arg)
{
    while (sem_wait(arg) != 0)
        continue;
}

Test(call, a_cancelled_thread_leaves_the_pool_as_it_is)
{
    struct gopool *pool = pool_with(NULL);
    pthread_t thread;
    sem_t gate;
    void *result;

    sem_init(&gate, 0, 0);
    cr_assert_eq(gopool_go(pool, wait_for_post, &gate), 0);
    cr_assert_eq(pthread_create(&thread, NULL, drain_for_ever, pool), 0);
    WAIT_UNTIL(drainer != 0 && thread_sleeps(drainer));
    cr_assert_eq(pthread_cancel(thread), 0);
    sem_post(&gate);
    cr_assert_eq(pthread_join(thread, &result), 0);
    cr_assert_eq(result, PTHREAD_CANCELED);
    cr_assert_eq(gopool_drain(pool, DEADLINE_MS), 0);
    gopool_destroy(pool);
}
