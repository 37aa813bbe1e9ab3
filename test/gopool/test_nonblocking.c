/* Tasks marked as non-blocking: taken several at a time, yet each as if it were alone. */
#include <gopool/gopool.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "support.h"

#define TASKS 1000

TestSuite(nonblocking, .timeout = 60);

static struct gopool_task tasks[TASKS];
static uintptr_t order[TASKS];
static _Atomic size_t order_length;

static void note_order(void *arg)
{
    order[atomic_fetch_add(&order_length, 1)] = (uintptr_t)arg;
}

static void note_and_panic(void *arg)
{
    note_order(arg);
    gopool_panic("as told");
}

static void note_and_exit(void *arg)
{
    note_order(arg);
    pthread_exit(NULL);
}

static void ignore_panic(const struct gopool_panic *panic, void *arg)
{
    (void)panic;
    atomic_fetch_add((_Atomic int *)arg, 1);
}

/* Every task notes its place; each `period`-th, if any, is another one. */
static void make_tasks(gopool_fn *other, size_t period)
{
    for (size_t i = 0; i < TASKS; i++) {
        tasks[i] = (struct gopool_task){.next = i + 1 < TASKS ? &tasks[i + 1] : NULL,
                                        .fn = period > 0 && i % period == 0 ? other : note_order,
                                        .arg = (void *)i,
                                        .flags = GOPOOL_TASK_NONBLOCKING};
    }
}

static void expect_all_in_order(void)
{
    cr_assert_eq(order_length, TASKS);
    for (size_t i = 0; i < TASKS; i++)
        cr_assert_eq(order[i], i);
}

Test(nonblocking, tasks_run_in_their_order_between_others)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 1});

    make_tasks(NULL, 0);
    for (size_t i = 0; i < TASKS; i += 7)
        tasks[i].flags = 0;
    cr_assert_eq(gopool_submit_batch(pool, tasks), 0);
    cr_assert_eq(gopool_stop(pool), 0);
    expect_all_in_order();
    cr_assert_eq(stats_of(pool).finished_count, TASKS);
    gopool_destroy(pool);
}

Test(nonblocking, a_panic_ends_its_task_and_no_other)
{
    _Atomic int panics = 0;
    struct gopool *pool = pool_with(&(struct gopool_options){
        .cap = 1, .panic_handler = ignore_panic, .panic_handler_arg = &panics});

    make_tasks(note_and_panic, 10);
    cr_assert_eq(gopool_submit_batch(pool, tasks), 0);
    cr_assert_eq(gopool_stop(pool), 0);
    expect_all_in_order();
    cr_assert_eq(panics, TASKS / 10);
    cr_assert_eq(stats_of(pool).panic_count, TASKS / 10);
    cr_assert_eq(stats_of(pool).finished_count, TASKS);
    gopool_destroy(pool);
}

Test(nonblocking, what_was_taken_with_a_task_that_ends_its_thread_runs_elsewhere)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 1});

    make_tasks(note_and_exit, 50);
    cr_assert_eq(gopool_submit_batch(pool, tasks), 0);
    cr_assert_eq(gopool_stop(pool), 0);
    expect_all_in_order();
    cr_assert_eq(stats_of(pool).finished_count, TASKS);
    gopool_destroy(pool);
}

Test(nonblocking, an_unknown_flag_is_refused)
{
    struct gopool *pool = pool_with(NULL);
    struct gopool_task second = {.fn = note_order, .flags = 4};
    struct gopool_task first = {.next = &second, .fn = note_order};

    cr_assert_eq(gopool_submit(pool, &second), -EINVAL);
    cr_assert_eq(gopool_submit_batch(pool, &first), -EINVAL);
    gopool_destroy(pool);
    cr_assert_eq(order_length, 0);
}
