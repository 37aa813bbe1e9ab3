/* A queue that is full: what a submit does then, and that nothing accepted is lost. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include <gopool/gopool.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

#include "support.h"

#define LIMIT 8

TestSuite(full, .timeout = 60);

static _Atomic size_t runs;
static sem_t gate;

static void count_run(void *arg)
{
    (void)arg;
    atomic_fetch_add(&runs, 1);
}

static void wait_at_gate(void *arg)
{
    (void)arg;
    while (sem_wait(&gate) != 0)
        continue;
    atomic_fetch_add(&runs, 1);
}

/* A pool of one worker, which waits at the gate, with LIMIT tasks behind it. */
static struct gopool *full_pool(enum gopool_when_full when_full)
{
    struct gopool *pool =
        pool_with(&(struct gopool_options){.cap = 1, .queue_limit = LIMIT, .when_full = when_full});

    sem_init(&gate, 0, 0);
    cr_assert_eq(gopool_go(pool, wait_at_gate, NULL), 0);
    WAIT_UNTIL(stats_of(pool).queued == 0);
    for (int i = 0; i < LIMIT; i++)
        cr_assert_eq(gopool_go(pool, count_run, NULL), 0);
    cr_assert_eq(stats_of(pool).queued, LIMIT);
    return pool;
}

static void finish(struct gopool *pool, size_t expected_runs)
{
    cr_assert_eq(gopool_stop(pool), 0);
    cr_assert_eq(runs, expected_runs);
    cr_assert_eq(stats_of(pool).submitted_count, expected_runs);
    cr_assert_eq(stats_of(pool).finished_count, expected_runs);
    gopool_destroy(pool);
}

Test(full, by_default_a_submit_is_refused)
{
    struct gopool *pool = full_pool(GOPOOL_WHEN_FULL_REJECT);
    struct gopool_task task = {.fn = count_run};

    cr_assert_eq(gopool_go(pool, count_run, NULL), -EAGAIN);
    cr_assert_eq(gopool_submit(pool, &task), -EAGAIN);
    cr_assert_eq(gopool_submit_batch(pool, &task), -EAGAIN);
    cr_assert_eq(stats_of(pool).full_count, 3);
    sem_post(&gate);
    WAIT_UNTIL(stats_of(pool).queued < LIMIT);
    cr_assert_eq(gopool_submit(pool, &task), 0);
    finish(pool, LIMIT + 2);
}

Test(full, a_batch_is_accepted_whole_or_not_at_all)
{
    struct gopool *pool = full_pool(GOPOOL_WHEN_FULL_REJECT);
    struct gopool_task tasks[3 * LIMIT];

    for (size_t i = 0; i < 3 * LIMIT; i++)
        tasks[i] =
            (struct gopool_task){.next = i + 1 < 3 * LIMIT ? &tasks[i + 1] : NULL, .fn = count_run};
    cr_assert_eq(gopool_submit_batch(pool, tasks), -EAGAIN);
    cr_assert_eq(stats_of(pool).queued, LIMIT);
    sem_post(&gate);
    WAIT_UNTIL(stats_of(pool).queued < LIMIT);
    cr_assert_eq(gopool_submit_batch(pool, tasks), 0);
    finish(pool, 4 * LIMIT + 1);
}

static void *submit_one(void *arg)
{
    return (void *)(intptr_t)gopool_go(arg, count_run, NULL);
}

static void start_submitters(struct gopool *pool, pthread_t *threads, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, submit_one, pool), 0);
    WAIT_UNTIL(stats_of(pool).full_count == count);
}

static void expect_results(const pthread_t *threads, size_t count, int expected)
{
    for (size_t i = 0; i < count; i++) {
        void *result;

        cr_assert_eq(pthread_join(threads[i], &result), 0);
        cr_assert_eq((intptr_t)result, expected);
    }
}

Test(full, blocked_submits_go_on_when_there_is_room)
{
    struct gopool *pool = full_pool(GOPOOL_WHEN_FULL_BLOCK);
    pthread_t threads[4];

    start_submitters(pool, threads, 4);
    cr_assert_eq(stats_of(pool).submitted_count, LIMIT + 1);
    sem_post(&gate);
    expect_results(threads, 4, 0);
    finish(pool, LIMIT + 5);
}

static void *stop(void *arg)
{
    return (void *)(intptr_t)gopool_stop(arg);
}

Test(full, blocked_submits_are_refused_when_the_pool_stops)
{
    struct gopool *pool = full_pool(GOPOOL_WHEN_FULL_BLOCK);
    pthread_t threads[4];
    pthread_t stopper;

    start_submitters(pool, threads, 4);
    cr_assert_eq(pthread_create(&stopper, NULL, stop, pool), 0);
    expect_results(threads, 4, -ESHUTDOWN);
    sem_post(&gate);
    cr_assert_eq(pthread_join(stopper, NULL), 0);
    finish(pool, LIMIT + 1);
}

static void submit_from_inside(void *arg)
{
    struct gopool *pool = arg;

    while (sem_wait(&gate) != 0)
        continue;
    if (gopool_go(pool, count_run, NULL) == -EDEADLK)
        atomic_fetch_add(&runs, 1);
}

Test(full, a_worker_does_not_wait_for_its_own_pool)
{
    struct gopool *pool = pool_with(
        &(struct gopool_options){.cap = 1, .queue_limit = 1, .when_full = GOPOOL_WHEN_FULL_BLOCK});

    sem_init(&gate, 0, 0);
    cr_assert_eq(gopool_go(pool, submit_from_inside, pool), 0);
    WAIT_UNTIL(stats_of(pool).queued == 0);
    cr_assert_eq(gopool_go(pool, count_run, NULL), 0);
    sem_post(&gate);
    WAIT_UNTIL(stats_of(pool).full_count == 1);
    finish(pool, 2);
}

static pthread_t ran_on;

static void note_thread_and_panic(void *arg)
{
    ran_on = pthread_self();
    atomic_fetch_add(&runs, 1);
    gopool_panic("%s", (const char *)arg);
}

static void ignore_panic(const struct gopool_panic *panic, void *arg)
{
    (void)panic;
    (void)arg;
}

Test(full, the_caller_runs_what_does_not_fit_and_survives_its_panic)
{
    static char message[] = "as told";
    struct gopool_task tasks[2];
    struct gopool *pool =
        pool_with(&(struct gopool_options){.cap = 1,
                                           .queue_limit = 1,
                                           .when_full = GOPOOL_WHEN_FULL_CALLER_RUNS,
                                           .panic_handler = ignore_panic});

    sem_init(&gate, 0, 0);
    cr_assert_eq(gopool_go(pool, wait_at_gate, NULL), 0);
    WAIT_UNTIL(stats_of(pool).queued == 0);
    cr_assert_eq(gopool_go(pool, count_run, NULL), 0);
    tasks[0] = (struct gopool_task){.next = &tasks[1], .fn = note_thread_and_panic, .arg = message};
    tasks[1] = (struct gopool_task){.fn = count_run};
    cr_assert_eq(gopool_submit_batch(pool, tasks), 0);
    cr_assert_eq(runs, 2);
    cr_assert(pthread_equal(ran_on, pthread_self()));
    cr_assert_eq(stats_of(pool).panic_count, 1);
    sem_post(&gate);
    finish(pool, 4);
}

static void exit_thread(void *arg)
{
    count_run(arg);
    pthread_exit(NULL);
}

static struct gopool_task ending_batch[5];

static void *submit_ending_batch(void *arg)
{
    (void)!gopool_submit_batch(arg, ending_batch);
    /* Not reached: two tasks of the batch end the thread. */
    return arg;
}

Test(full, a_batch_that_the_caller_runs_is_run_to_its_end_though_tasks_end_the_thread)
{
    struct gopool *pool = pool_with(&(struct gopool_options){
        .cap = 1, .queue_limit = 1, .when_full = GOPOOL_WHEN_FULL_CALLER_RUNS});
    pthread_t thread;
    void *result;

    sem_init(&gate, 0, 0);
    cr_assert_eq(gopool_go(pool, wait_at_gate, NULL), 0);
    WAIT_UNTIL(stats_of(pool).queued == 0);
    cr_assert_eq(gopool_go(pool, count_run, NULL), 0);
    for (size_t i = 0; i < 5; i++)
        ending_batch[i] = (struct gopool_task){.next = i < 4 ? &ending_batch[i + 1] : NULL,
                                               .fn = i == 1 || i == 3 ? exit_thread : count_run};
    cr_assert_eq(pthread_create(&thread, NULL, submit_ending_batch, pool), 0);
    cr_assert_eq(pthread_join(thread, &result), 0);
    cr_assert_null(result);
    cr_assert_eq(runs, 5);
    sem_post(&gate);
    finish(pool, 7);
}

/* A pool whose one worker waits at the gate and whose queue is full; callers run their tasks. */
static struct gopool *callers_run_pool(void)
{
    struct gopool *pool = pool_with(&(struct gopool_options){
        .cap = 1, .queue_limit = 1, .when_full = GOPOOL_WHEN_FULL_CALLER_RUNS});

    sem_init(&gate, 0, 0);
    cr_assert_eq(gopool_go(pool, wait_at_gate, NULL), 0);
    WAIT_UNTIL(stats_of(pool).queued == 0);
    cr_assert_eq(gopool_go(pool, count_run, NULL), 0);
    return pool;
}

static struct {
    _Atomic int started;
    sem_t end;
} caller_task;

static void be_run_by_caller(void *arg)
{
    (void)arg;
    atomic_store(&caller_task.started, 1);
    while (sem_wait(&caller_task.end) != 0)
        continue;
    count_run(NULL);
}

static void *submit_for_caller(void *arg)
{
    (void)!gopool_go(arg, be_run_by_caller, NULL);
    return NULL;
}

static void *stop_pool(void *arg)
{
    (void)!gopool_stop(arg);
    atomic_fetch_add(&runs, 100);
    return NULL;
}

Test(full, a_drain_and_a_stop_wait_for_what_a_caller_runs)
{
    struct gopool *pool = callers_run_pool();
    pthread_t caller;
    pthread_t stopper;

    sem_init(&caller_task.end, 0, 0);
    cr_assert_eq(pthread_create(&caller, NULL, submit_for_caller, pool), 0);
    WAIT_UNTIL(caller_task.started);
    sem_post(&gate);
    WAIT_UNTIL(stats_of(pool).idle_workers == 1);
    cr_assert_eq(gopool_drain(pool, 1), -ETIMEDOUT);
    cr_assert_eq(pthread_create(&stopper, NULL, stop_pool, pool), 0);
    WAIT_UNTIL(stats_of(pool).workers == 0);
    cr_assert_lt(runs, 100);
    sem_post(&caller_task.end);
    pthread_join(caller, NULL);
    pthread_join(stopper, NULL);
    cr_assert_eq(runs, 103);
    cr_assert_eq(gopool_drain(pool, 0), 0);
    gopool_destroy(pool);
}

static void wait_for_own_pool(void *arg)
{
    struct gopool_future future = {.pool = arg};

    cr_assert_eq(gopool_drain(arg, -1), -EDEADLK);
    cr_assert_eq(gopool_stop(arg), -EDEADLK);
    cr_assert_eq(gopool_wait(&future, -1), -EDEADLK);
    cr_assert(gopool_is_worker(arg));
    cr_assert_eq(gopool_block_begin(), -EPERM);
    count_run(NULL);
}

Test(full, a_task_that_a_caller_runs_cannot_wait_for_its_pool)
{
    struct gopool *pool = callers_run_pool();

    cr_assert_eq(gopool_go(pool, wait_for_own_pool, pool), 0);
    cr_assert_eq(runs, 1);
    cr_assert_not(gopool_is_worker(pool));
    sem_post(&gate);
    finish(pool, 3);
}

static size_t refused;

static void submit_one_more(void *arg)
{
    count_run(NULL);
    int status = gopool_go(arg, submit_one_more, arg);
    if (status == -EAGAIN)
        refused++;
}

Test(full, tasks_that_submit_tasks_do_not_exhaust_the_callers_stack)
{
    struct gopool *pool = callers_run_pool();

    cr_assert_eq(gopool_go(pool, submit_one_more, pool), 0);
    cr_assert_eq(runs, 16);
    cr_assert_eq(refused, 1);
    sem_post(&gate);
    finish(pool, 18);
}

Test(full, a_task_that_is_to_be_rejected_is_whatever_the_policy)
{
    for (enum gopool_when_full policy = GOPOOL_WHEN_FULL_REJECT;
         policy <= GOPOOL_WHEN_FULL_CALLER_RUNS; policy++) {
        struct gopool *pool = full_pool(policy);
        struct gopool_task task = {.fn = count_run, .flags = GOPOOL_TASK_REJECT_WHEN_FULL};
        struct gopool_task first = {.next = &task, .fn = count_run};

        cr_assert_eq(gopool_submit(pool, &task), -EAGAIN);
        cr_assert_eq(gopool_submit_batch(pool, &first), -EAGAIN);
        sem_post(&gate);
        finish(pool, LIMIT + 1);
        runs = 0;
    }
}

static struct gopool_future caller_future;

static void *call_on_full_pool(void *arg)
{
    (void)!gopool_call(arg, &caller_future, exit_thread, NULL, 0);
    return NULL;
}

Test(full, a_call_whose_task_ends_the_callers_thread_is_cancelled)
{
    struct gopool *pool = callers_run_pool();
    pthread_t caller;

    cr_assert_eq(pthread_create(&caller, NULL, call_on_full_pool, pool), 0);
    pthread_join(caller, NULL);
    cr_assert_eq(gopool_wait(&caller_future, DEADLINE_MS), -ECANCELED);
    sem_post(&gate);
    finish(pool, 3);
}

static _Atomic int submitter;

static void *submit_blocking(void *arg)
{
    atomic_store(&submitter, gettid());
    cr_assert_eq(gopool_go(arg, count_run, NULL), 0);
    return NULL;
}

/* While other tasks keep the workers coming for more. */
Test(full, a_waiting_submit_goes_on_as_soon_as_there_is_room)
{
    struct gopool *pool = full_pool(GOPOOL_WHEN_FULL_BLOCK);
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, submit_blocking, pool), 0);
    WAIT_UNTIL(stats_of(pool).full_count == 1);
    WAIT_UNTIL(thread_sleeps(submitter));
    sem_post(&gate);
    pthread_join(thread, NULL);
    finish(pool, LIMIT + 2);
}
