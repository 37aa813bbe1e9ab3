/* The public calls: options, submitting in each form, stopping, figures. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include <gopool/gopool.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <mcache/mcache.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

static _Atomic int runs;

static void count_run(void *arg)
{
    (void)arg;
    atomic_fetch_add(&runs, 1);
}

static sem_t gate;

static void pass_gate(void *arg)
{
    (void)arg;
    while (sem_wait(&gate) != 0)
        continue;
    atomic_fetch_add(&runs, 1);
}

Test(gopool, create_starts_no_thread)
{
    size_t threads = thread_count();
    struct gopool *pool = pool_with(NULL);

    cr_assert_eq(thread_count(), threads);
    cr_assert_eq(stats_of(pool).workers, 0);
    gopool_destroy(pool);
}

Test(gopool, a_reserved_field_must_be_zero)
{
    for (size_t i = 0; i < 4; i++) {
        struct gopool_options options = {0};
        struct gopool *pool = (struct gopool *)&options;

        options.reserved[i] = 1;
        cr_assert_eq(gopool_create(&options, &pool), -EINVAL);
        cr_assert_null(pool);
    }
}

Test(gopool, a_negative_cap_and_one_above_the_largest_are_refused)
{
    struct gopool *pool;

    cr_assert_eq(gopool_create(&(struct gopool_options){.cap = (uint32_t)-1}, &pool), -EINVAL);
    cr_assert_eq(gopool_create(&(struct gopool_options){.cap = GOPOOL_CAP_MAX + 1}, &pool),
                 -EINVAL);
    cr_assert_eq(gopool_create(&(struct gopool_options){.max_blocked = (uint32_t)-1}, &pool),
                 -EINVAL);
    cr_assert_null(pool);
}

Test(gopool, a_name_above_ten_bytes_is_refused)
{
    struct gopool *pool;

    cr_assert_eq(gopool_create(&(struct gopool_options){.name = "elevenbytes"}, &pool), -EINVAL);
    cr_assert_null(pool);
}

Test(gopool, a_task_without_function_is_refused)
{
    struct gopool *pool = pool_with(NULL);
    struct gopool_task bad = {0};
    struct gopool_task good = {.next = &bad, .fn = count_run};

    cr_assert_eq(gopool_go(pool, NULL, NULL), -EINVAL);
    cr_assert_eq(gopool_submit(pool, &bad), -EINVAL);
    cr_assert_eq(gopool_submit_batch(pool, &good), -EINVAL);
    cr_assert_eq(stats_of(pool).submitted_count, 0);
    gopool_destroy(pool);
    cr_assert_eq(runs, 0);
}

static void store_arg(void *arg)
{
    *(int *)arg = 42;
}

Test(gopool, go_hands_the_argument_through)
{
    struct gopool *pool = pool_with(NULL);
    int value = 0;

    cr_assert_eq(gopool_go(pool, store_arg, &value), 0);
    gopool_destroy(pool);
    cr_assert_eq(value, 42);
}

Test(gopool, go_keeps_no_memory)
{
    struct gopool *pool = pool_with(NULL);
    struct mcache_stats before;
    struct mcache_stats after;

    mcache_stats_read(&before);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(gopool_go(pool, count_run, NULL), 0);
    cr_assert_eq(gopool_stop(pool), 0);
    mcache_stats_read(&after);
    cr_assert_eq(after.live_bytes, before.live_bytes);
    gopool_destroy(pool);
}

struct again {
    struct gopool_task task;
    struct gopool *pool;
    int left;
};

static void submit_again(void *arg)
{
    struct again *again = arg;

    atomic_fetch_add(&runs, 1);
    if (--again->left > 0 && gopool_submit(again->pool, &again->task) != 0)
        again->left = -1;
}

Test(gopool, an_embedded_task_may_submit_itself_again)
{
    struct gopool *pool = pool_with(NULL);
    struct again again = {.task = {.fn = submit_again, .arg = &again}, .pool = pool, .left = 1000};

    cr_assert_eq(gopool_submit(pool, &again.task), 0);
    WAIT_UNTIL(stats_of(pool).finished_count == 1000);
    cr_assert_eq(again.left, 0);
    gopool_destroy(pool);
    cr_assert_eq(runs, 1000);
}

static void go_from_inside(void *arg)
{
    for (int i = 0; i < 10; i++) {
        if (gopool_go(arg, count_run, NULL) == 0)
            count_run(NULL);
    }
}

Test(gopool, a_task_may_submit_others_even_with_one_worker)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 1});

    cr_assert_eq(gopool_go(pool, go_from_inside, pool), 0);
    WAIT_UNTIL(stats_of(pool).finished_count == 11);
    cr_assert_eq(runs, 20);
    gopool_destroy(pool);
}

static int order[64];
static _Atomic int order_length;

static void note_order(void *arg)
{
    order[atomic_fetch_add(&order_length, 1)] = *(int *)arg;
}

Test(gopool, a_batch_runs_in_its_order)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 1});
    struct gopool_task tasks[64];
    int numbers[64];

    for (int i = 0; i < 64; i++) {
        numbers[i] = i;
        tasks[i] = (struct gopool_task){
            .next = i < 63 ? &tasks[i + 1] : NULL, .fn = note_order, .arg = &numbers[i]};
    }
    cr_assert_eq(gopool_submit_batch(pool, NULL), 0);
    cr_assert_eq(gopool_submit_batch(pool, tasks), 0);
    cr_assert_eq(stats_of(pool).submitted_count, 64);
    gopool_destroy(pool);
    cr_assert_eq(order_length, 64);
    for (int i = 0; i < 64; i++)
        cr_assert_eq(order[i], i);
}

Test(gopool, submit_ignores_what_next_held)
{
    struct gopool *pool = pool_with(NULL);
    struct gopool_task other = {.fn = count_run};
    struct gopool_task task = {.next = &other, .fn = count_run};

    cr_assert_eq(gopool_submit(pool, &task), 0);
    gopool_destroy(pool);
    cr_assert_eq(runs, 1);
}

static void *stop_pool(void *arg)
{
    return (void *)(intptr_t)gopool_stop(arg);
}

static void wait_until_refused(struct gopool *pool)
{
    int status;

    /* Tasks accepted before the other thread has got to stop the pool count too. */
    WAIT_UNTIL((status = gopool_go(pool, pass_gate, NULL)) != 0);
    cr_assert_eq(status, -ESHUTDOWN);
}

Test(gopool, stop_refuses_new_tasks_and_runs_the_accepted_ones)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 2});
    struct gopool_task task = {.fn = count_run};
    pthread_t stoppers[2];
    void *result;

    sem_init(&gate, 0, 0);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(gopool_go(pool, pass_gate, NULL), 0);
    for (size_t i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&stoppers[i], NULL, stop_pool, pool), 0);
    wait_until_refused(pool);
    cr_assert_eq(gopool_submit(pool, &task), -ESHUTDOWN);
    cr_assert_eq(gopool_submit_batch(pool, &task), -ESHUTDOWN);
    uint64_t accepted = stats_of(pool).submitted_count;
    for (uint64_t i = 0; i < accepted; i++)
        sem_post(&gate);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(stoppers[i], &result);
        cr_assert_null(result);
    }
    cr_assert_eq((uint64_t)runs, accepted);
    cr_assert_eq(stats_of(pool).finished_count, accepted);
    cr_assert_eq(stats_of(pool).workers, 0);
    cr_assert_eq(gopool_stop(pool), 0);
    cr_assert_eq(gopool_go(pool, count_run, NULL), -ESHUTDOWN);
    gopool_destroy(pool);
}

static void *open_gate_when_main_sleeps(void *arg)
{
    while (!thread_sleeps(*(const int *)arg))
        sched_yield();
    sem_post(&gate);
    return NULL;
}

Test(gopool, a_second_stop_waits_for_the_first)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 1});
    int main_thread = gettid();
    pthread_t stopper;
    pthread_t opener;

    sem_init(&gate, 0, 0);
    cr_assert_eq(gopool_go(pool, pass_gate, NULL), 0);
    cr_assert_eq(pthread_create(&stopper, NULL, stop_pool, pool), 0);
    WAIT_UNTIL(gopool_go(pool, count_run, NULL) == -ESHUTDOWN);
    cr_assert_eq(pthread_create(&opener, NULL, open_gate_when_main_sleeps, &main_thread), 0);
    cr_assert_eq(gopool_stop(pool), 0);
    cr_assert_eq(stats_of(pool).finished_count, stats_of(pool).submitted_count);
    pthread_join(opener, NULL);
    pthread_join(stopper, NULL);
    gopool_destroy(pool);
}

Test(gopool, stop_ends_idle_workers_without_waiting_for_their_timeout)
{
    size_t threads = thread_count();
    struct gopool *pool = pool_with(&(struct gopool_options){.idle_timeout_ms = UINT32_MAX});
    int64_t start = now_ms();

    cr_assert_eq(gopool_go(pool, count_run, NULL), 0);
    WAIT_UNTIL(stats_of(pool).idle_workers == 1);
    cr_assert_eq(gopool_stop(pool), 0);
    cr_assert_eq(thread_count(), threads);
    cr_assert_lt(now_ms() - start, DEADLINE_MS);
    gopool_destroy(pool);
}

Test(gopool, stop_of_an_unused_pool_returns)
{
    struct gopool *pool = pool_with(NULL);

    cr_assert_eq(gopool_stop(pool), 0);
    cr_assert_eq(gopool_stop(pool), 0);
    gopool_destroy(pool);
}

struct stop_from_inside {
    struct gopool *pool;
    int status;
};

static void stop_inside(void *arg)
{
    struct stop_from_inside *call = arg;

    call->status = gopool_stop(call->pool);
}

Test(gopool, stop_on_a_worker_of_the_pool_is_refused_on_another_ones_not)
{
    struct gopool *pool = pool_with(NULL);
    struct gopool *other = pool_with(NULL);
    struct stop_from_inside own = {pool, 1};
    struct stop_from_inside foreign = {other, 1};

    cr_assert_eq(gopool_go(pool, stop_inside, &own), 0);
    cr_assert_eq(gopool_go(pool, stop_inside, &foreign), 0);
    WAIT_UNTIL(stats_of(pool).finished_count == 2);
    cr_assert_eq(own.status, -EDEADLK);
    cr_assert_eq(foreign.status, 0);
    cr_assert_eq(gopool_go(pool, count_run, NULL), 0);
    gopool_destroy(pool);
    gopool_destroy(other);
    cr_assert_eq(runs, 1);
}

struct whose_worker {
    struct gopool *pool;
    bool answer;
};

static void ask_whose(void *arg)
{
    struct whose_worker *question = arg;

    question->answer = gopool_is_worker(question->pool);
}

Test(gopool, is_worker_is_true_on_workers_of_that_pool_only)
{
    struct gopool *pool = pool_with(NULL);
    struct gopool *other = pool_with(NULL);
    struct whose_worker own = {pool, false};
    struct whose_worker foreign = {other, true};

    cr_assert_eq(gopool_go(pool, ask_whose, &own), 0);
    cr_assert_eq(gopool_go(pool, ask_whose, &foreign), 0);
    WAIT_UNTIL(stats_of(pool).finished_count == 2);
    cr_assert(own.answer);
    cr_assert_not(foreign.answer);
    cr_assert_not(gopool_is_worker(pool));
    gopool_destroy(pool);
    gopool_destroy(other);
}

static void destroy_inside(void *arg)
{
    gopool_destroy(arg);
    count_run(NULL);
}

static void keep_message(const struct gopool_panic *panic, void *arg)
{
    memcpy(arg, panic->message, sizeof panic->message);
}

Test(gopool, destroy_on_a_worker_of_the_pool_panics)
{
    char message[GOPOOL_PANIC_MESSAGE_BYTES] = "";
    struct gopool *pool = pool_with(
        &(struct gopool_options){.panic_handler = keep_message, .panic_handler_arg = message});

    cr_assert_eq(gopool_go(pool, destroy_inside, pool), 0);
    gopool_destroy(pool);
    cr_assert_eq(runs, 0);
    cr_assert_neq(strlen(message), 0);
}

Test(gopool, destroy_runs_accepted_tasks_and_gives_everything_back)
{
    size_t threads = thread_count();
    struct mcache_stats before;
    struct mcache_stats after;

    gopool_destroy(NULL);
    mcache_stats_read(&before);
    struct gopool *pool = pool_with(NULL);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(gopool_go(pool, count_run, NULL), 0);
    gopool_destroy(pool);
    cr_assert_eq(runs, 1000);
    cr_assert_eq(thread_count(), threads);
    mcache_stats_read(&after);
    cr_assert_eq(after.live_bytes, before.live_bytes);
}

static void panic_now(void *arg)
{
    (void)arg;
    gopool_panic("counted");
}

Test(gopool, figures_fit_together)
{
    char message[GOPOOL_PANIC_MESSAGE_BYTES];
    struct gopool *pool = pool_with(&(struct gopool_options){
        .cap = 1, .panic_handler = keep_message, .panic_handler_arg = message});

    sem_init(&gate, 0, 0);
    cr_assert_eq(gopool_go(pool, pass_gate, NULL), 0);
    WAIT_UNTIL(stats_of(pool).queued == 0);
    cr_assert_eq(gopool_go(pool, panic_now, NULL), 0);
    cr_assert_eq(gopool_go(pool, count_run, NULL), 0);
    struct gopool_stats stats = stats_of(pool);
    cr_assert_eq(stats.workers, 1);
    cr_assert_eq(stats.idle_workers, 0);
    cr_assert_eq(stats.submitted_count, 3);
    cr_assert_eq(stats.finished_count, 0);
    cr_assert_eq(stats.panic_count, 0);
    cr_assert_eq(stats.queued, 2);
    sem_post(&gate);
    WAIT_UNTIL(stats_of(pool).idle_workers == 1);
    stats = stats_of(pool);
    cr_assert_eq(stats.submitted_count, 3);
    cr_assert_eq(stats.finished_count, 3);
    cr_assert_eq(stats.panic_count, 1);
    cr_assert_eq(stats.queued, 0);
    gopool_destroy(pool);
}
