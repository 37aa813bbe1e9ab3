/* gopool_exit_task(): from any depth, with what was deferred, without being a panic. */
#include <gopool/gopool.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>

#include "support.h"

TestSuite(exit_task, .timeout = 60);

/* What happened, a letter each, in order. */
static char trace[32];
static size_t trace_length;

static void note(void *arg)
{
    trace[trace_length++] = *(const char *)arg;
}

static void note_and_panic(void *arg)
{
    note(arg);
    gopool_panic("in a deferred call");
}

static void note_and_exit(void *arg)
{
    note(arg);
    gopool_exit_task();
}

static void exit_with_deferred(void *arg)
{
    struct gopool_defer first;
    struct gopool_defer second;

    gopool_defer_push(&first, note, "1");
    gopool_defer_push(&second, note, "2");
    note(arg);
    gopool_exit_task();
}

static void exit_below_two_tries(void *arg)
{
    struct gopool_defer outer;

    gopool_defer_push(&outer, note, "o");
    (void)!gopool_try(exit_with_deferred, arg, NULL);
    note("never");
    gopool_defer_pop(&outer, false);
}

static void exit_below_three_tries(void *arg)
{
    (void)!gopool_try(exit_below_two_tries, arg, NULL);
    note("never");
}

static void panic_and_exit_in_deferred(void *arg)
{
    struct gopool_defer exiting;

    gopool_defer_push(&exiting, note_and_exit, "e");
    gopool_panic("%s", (const char *)arg);
}

static void exit_and_panic_in_deferred(void *arg)
{
    struct gopool_defer last;
    struct gopool_defer panicking;

    gopool_defer_push(&last, note, "l");
    gopool_defer_push(&panicking, note_and_panic, "p");
    note(arg);
    gopool_exit_task();
}

static _Atomic uint32_t told_nested;
static _Atomic uint32_t told;

static void note_panic(const struct gopool_panic *panic, void *arg)
{
    (void)arg;
    atomic_store(&told_nested, panic->nested);
    atomic_fetch_add(&told, 1);
}

/* Runs fn("t") and then a task that notes "n" on the only worker; the end finds no boundary left.
 */
static void run_task(gopool_fn *fn, const char *expected, uint64_t panics)
{
    static char t[] = "t";
    static char n[] = "n";
    struct gopool *pool =
        pool_with(&(struct gopool_options){.cap = 1, .panic_handler = note_panic});

    cr_assert_eq(gopool_go(pool, fn, t), 0);
    cr_assert_eq(gopool_go(pool, note, n), 0);
    cr_assert_eq(gopool_stop(pool), 0);
    cr_assert_str_eq(trace, expected);
    cr_assert_eq(stats_of(pool).finished_count, 2);
    cr_assert_eq(stats_of(pool).panic_count, panics);
    cr_assert_eq(told, panics);
    gopool_destroy(pool);
}

Test(exit_task, runs_what_was_deferred_and_is_no_panic)
{
    run_task(exit_with_deferred, "t21n", 0);
}

Test(exit_task, is_not_contained_by_tries_in_between)
{
    run_task(exit_below_three_tries, "t21on", 0);
}

Test(exit_task, with_a_panic_in_a_deferred_call_is_one)
{
    run_task(exit_and_panic_in_deferred, "tpln", 1);
    cr_assert_eq(told_nested, 1);
}

Test(exit_task, does_not_hide_the_panic_it_is_deferred_for)
{
    run_task(panic_and_exit_in_deferred, "en", 1);
    cr_assert_eq(told_nested, 1);
}

static void exit_without_task(void *arg)
{
    (void)arg;
    gopool_exit_task();
}

Test(exit_task, outside_a_task_ends_the_process)
{
    char output[512];
    int status = run_in_child(exit_without_task, NULL, output, sizeof output);

    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %x", (unsigned)status);
    cr_assert_not_null(strstr(output, "the end of a task outside a task"), "%s", output);
}

static void exit_within_task_of_its_own(void *arg)
{
    struct gopool_defer outer;

    gopool_defer_push(&outer, note, "o");
    if (gopool_try_task(exit_below_two_tries, arg, NULL) == 0)
        note("r");
    gopool_defer_pop(&outer, false);
}

Test(exit_task, is_contained_by_a_task_in_between)
{
    run_task(exit_within_task_of_its_own, "t21orn", 0);
}

Test(exit_task, needs_no_pool_within_a_task_of_its_own)
{
    static char t[] = "t";
    struct gopool_panic panic = {.message = "as it was"};

    cr_assert_eq(gopool_try_task(exit_with_deferred, t, &panic), 0);
    cr_assert_str_eq(panic.message, "as it was");
    cr_assert_str_eq(trace, "t21");
    cr_assert_eq(gopool_try_task(exit_and_panic_in_deferred, t, &panic), -ECANCELED);
    cr_assert_str_eq(trace, "t21tpl");
    cr_assert_eq(panic.nested, 1);
}
