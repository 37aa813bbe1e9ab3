/* Who is told of a task's panic, and what. */
#include <gopool/gopool.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report.h"
#include "support.h"
#include "task_queue.h"

TestSuite(report, .timeout = 60);

/* What a handler was told last. Written by the only worker, read once the pool has been drained. */
struct told {
    int count;
    struct gopool_panic panic;
    char pool[32]; /* the panic's points into the pool */
};

static void keep(const struct gopool_panic *panic, void *arg)
{
    struct told *told = arg;

    told->count++;
    told->panic = *panic;
    strncpy(told->pool, panic->pool, sizeof told->pool - 1);
}

static void raise_panic(void *arg)
{
    gopool_panic("%s", (const char *)arg);
}

static char text[] = "as submitted";

static void drain(struct gopool *pool)
{
    cr_assert_eq(gopool_drain(pool, DEADLINE_MS), 0);
}

static struct gopool *pool_that_tells(struct told *told)
{
    return pool_with(&(struct gopool_options){
        .name = "billing", .cap = 1, .panic_handler = keep, .panic_handler_arg = told});
}

static void expect_task(const struct told *told, gopool_fn *fn, const void *arg)
{
    cr_assert_eq(told->count, 1);
    cr_assert_str_eq(told->pool, "billing");
    cr_assert_str_eq(told->panic.message, text);
    cr_assert_eq(told->panic.task_fn, fn);
    cr_assert_eq(told->panic.task_arg, arg);
}

Test(report, tells_the_function_and_the_pool_of_a_task_of_gopool_go)
{
    struct told told = {0};
    struct gopool *pool = pool_that_tells(&told);

    cr_assert_eq(gopool_go(pool, raise_panic, text), 0);
    gopool_destroy(pool);
    expect_task(&told, raise_panic, text);
}

static void free_and_panic(void *arg)
{
    free(arg);
    raise_panic(text);
}

Test(report, tells_the_function_of_a_task_that_has_freed_itself)
{
    struct told told = {0};
    struct gopool *pool = pool_that_tells(&told);
    struct gopool_task *task = malloc(sizeof *task);

    cr_assert_not_null(task);
    *task = (struct gopool_task){.fn = free_and_panic, .arg = task};
    cr_assert_eq(gopool_submit(pool, task), 0);
    gopool_destroy(pool);
    expect_task(&told, free_and_panic, task);
}

Test(report, tells_the_function_of_a_call_and_not_its_wrapper)
{
    struct told told = {0};
    struct gopool *pool = pool_that_tells(&told);
    struct gopool_future future;

    cr_assert_eq(gopool_call(pool, &future, raise_panic, text, 0), 0);
    cr_assert_eq(gopool_wait(&future, DEADLINE_MS), -ECANCELED);
    gopool_destroy(pool);
    expect_task(&told, raise_panic, text);
}

Test(report, a_task_that_no_pool_has_run_is_nobodys)
{
    struct gopool_panic panic;

    cr_assert_eq(gopool_try(raise_panic, text, &panic), -ECANCELED);
    cr_assert_null(panic.pool);
    cr_assert(panic.task_fn == NULL);
    cr_assert_null(panic.task_arg);
}

Test(report, the_handler_can_be_changed_while_the_pool_runs)
{
    struct told first = {0};
    struct told second = {0};
    struct gopool *pool = pool_that_tells(&first);

    cr_assert_eq(gopool_go(pool, raise_panic, text), 0);
    drain(pool);
    gopool_set_panic_handler(pool, keep, &second);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(gopool_go(pool, raise_panic, text), 0);
    drain(pool);
    cr_assert_eq(first.count, 1);
    cr_assert_eq(second.count, 2);
    gopool_destroy(pool);
}

static void end_thread(const struct gopool_panic *panic, void *arg)
{
    (void)panic;
    (void)arg;
    pthread_exit(NULL);
}

Test(report, a_handler_may_end_the_thread)
{
    struct told told = {0};
    struct gopool *pool =
        pool_with(&(struct gopool_options){.cap = 1, .panic_handler = end_thread});

    cr_assert_eq(gopool_go(pool, raise_panic, text), 0);
    drain(pool);
    gopool_set_panic_handler(pool, keep, &told);
    cr_assert_eq(gopool_go(pool, raise_panic, text), 0);
    drain(pool);
    cr_assert_eq(told.count, 1);
    cr_assert_eq(stats_of(pool).panic_count, 2);
    cr_assert_eq(stats_of(pool).finished_count, 2);
    gopool_destroy(pool);
}

static void exit_task_in_handler(const struct gopool_panic *panic, void *arg)
{
    keep(panic, arg);
    gopool_exit_task();
}

Test(report, gopool_exit_task_in_a_handler_ends_the_handler)
{
    struct told told = {0};
    struct gopool *pool = pool_that_tells(&told);

    gopool_set_panic_handler(pool, exit_task_in_handler, &told);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(gopool_go(pool, raise_panic, text), 0);
    drain(pool);
    cr_assert_eq(told.count, 3);
    cr_assert_eq(stats_of(pool).panic_count, 3);
    gopool_destroy(pool);
}

Test(report, the_mark_of_gopools_own_tasks_is_refused)
{
    struct gopool *pool = pool_with(NULL);
    struct gopool_task task = {.fn = raise_panic, .arg = text, .flags = GP_TASK_OWNED};

    cr_assert_eq(gopool_submit(pool, &task), -EINVAL);
    cr_assert_eq(gopool_submit_batch(pool, &task), -EINVAL);
    gopool_destroy(pool);
}

Test(report, ten_a_second_are_printed_and_the_next_one_says_how_many_were_not)
{
    struct gp_report_limit limit = {0};
    uint32_t hidden = 99;

    for (int i = 0; i < GP_REPORTS_PER_SECOND; i++) {
        cr_assert(gp_report_admit(&limit, 7, &hidden));
        cr_assert_eq(hidden, 0);
    }
    for (int i = 0; i < 5; i++)
        cr_assert_not(gp_report_admit(&limit, 7, &hidden));
    /* A thread that read the clock before the others. */
    cr_assert_not(gp_report_admit(&limit, 6, &hidden));
    cr_assert(gp_report_admit(&limit, 8, &hidden));
    cr_assert_eq(hidden, 6);
    cr_assert(gp_report_admit(&limit, 8, &hidden));
    cr_assert_eq(hidden, 0);
}

Test(report, the_limit_survives_a_clock_that_wraps)
{
    struct gp_report_limit limit = {0};
    uint32_t hidden;

    for (int i = 0; i < GP_REPORTS_PER_SECOND; i++)
        cr_assert(gp_report_admit(&limit, UINT32_MAX / 2 - 1, &hidden));
    for (int i = 0; i < GP_REPORTS_PER_SECOND; i++)
        cr_assert(gp_report_admit(&limit, UINT32_MAX - 3, &hidden));
    cr_assert_not(gp_report_admit(&limit, UINT32_MAX - 3, &hidden));
    cr_assert(gp_report_admit(&limit, 3, &hidden));
    cr_assert_eq(hidden, 1);
}

#define PANICS 1000

static time_t second_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec;
}

/* Panics many times, and once more in a later second, so that none is left untold at the end. */
static void panic_often(void *arg)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct gopool *pool = pool_with(&(struct gopool_options){.name = "billing", .cap = 1});

    for (int i = 0; i < PANICS; i++) {
        time_t second = second_now();

        while (i == PANICS - 1 && second_now() == second)
            nanosleep(&pause, NULL);
        if (gopool_go(pool, raise_panic, arg) != 0 || gopool_drain(pool, DEADLINE_MS) != 0)
            abort();
    }
    gopool_destroy(pool);
}

Test(report, printed_and_hidden_panics_add_up)
{
    static char output[1 << 18];
    int shown = 0;
    int hidden = 0;

    cr_assert_eq(run_in_child(panic_often, text, output, sizeof output), 0);
    for (const char *line = output; line != NULL; line = strchr(line + 1, '\n')) {
        int count;

        shown += strncmp(line + (line != output), "gopool: billing: ", 17) == 0;
        if (sscanf(line + (line != output), "gopool: %d panics not shown", &count) == 1)
            hidden += count;
    }
    cr_assert_eq(shown + hidden, PANICS, "%d and %d: %s", shown, hidden, output);
    cr_assert_geq(shown, GP_REPORTS_PER_SECOND);
    cr_assert_gt(hidden, 0);
}
