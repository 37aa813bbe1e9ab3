/* The hook of the process: what it is told, in which order, and what it cannot break. */
#include <gopool/gopool.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

TestSuite(panic_hook, .timeout = 60);

/* What happened, a letter each, in order: by one thread, or by workers that follow each other. */
static char trace[64];
static size_t trace_length;

static void note(void *letter)
{
    trace[trace_length++] = *(const char *)letter;
}

/* Notes the first letter of the message. */
static void note_panic(const struct gopool_panic *panic)
{
    note((void *)panic->message);
}

static void note_in_handler(const struct gopool_panic *panic, void *arg)
{
    (void)panic;
    note(arg);
}

static void raise_panic(void *arg)
{
    gopool_panic("%s", (const char *)arg);
}

static void defer_two(void *arg)
{
    struct gopool_defer first;
    struct gopool_defer second;

    gopool_defer_push(&first, note, "1");
    gopool_defer_push(&second, raise_panic, "2");
    gopool_panic("%s", (const char *)arg);
}

static void succeed(void *arg)
{
    (void)arg;
}

Test(panic_hook, is_told_after_the_deferred_calls_and_of_theirs)
{
    gopool_set_panic_hook(note_panic);
    cr_assert_eq(gopool_try(defer_two, "p", NULL), -ECANCELED);
    cr_assert_str_eq(trace, "21p");
    cr_assert_eq(gopool_try(succeed, NULL, NULL), 0);
    cr_assert_str_eq(trace, "21p");
}

Test(panic_hook, taken_away_is_told_no_more)
{
    gopool_set_panic_hook(note_panic);
    cr_assert_eq(gopool_try(raise_panic, "a", NULL), -ECANCELED);
    gopool_set_panic_hook(NULL);
    cr_assert_eq(gopool_try(raise_panic, "b", NULL), -ECANCELED);
    cr_assert_str_eq(trace, "a");
}

static char pool_name[16];

static void note_task(const struct gopool_panic *panic)
{
    note("t");
    strncpy(pool_name, panic->pool, sizeof pool_name - 1);
    if (panic->task_fn != raise_panic || strcmp(panic->task_arg, "m") != 0)
        note("!");
}

Test(panic_hook, is_told_of_tasks_and_which_before_the_handler)
{
    struct gopool *pool = pool_with(&(struct gopool_options){
        .name = "billing", .cap = 1, .panic_handler = note_in_handler, .panic_handler_arg = "h"});

    gopool_set_panic_hook(note_task);
    cr_assert_eq(gopool_go(pool, raise_panic, "m"), 0);
    cr_assert_eq(gopool_go(pool, note, "n"), 0);
    gopool_destroy(pool);
    cr_assert_str_eq(trace, "thn");
    cr_assert_str_eq(pool_name, "billing");
}

static void raise_in_handler(const struct gopool_panic *panic, void *arg)
{
    (void)panic;
    gopool_panic("%s", (const char *)arg);
}

Test(panic_hook, is_told_of_a_panic_in_a_panic_handler)
{
    struct gopool *pool = pool_with(&(struct gopool_options){
        .cap = 1, .panic_handler = raise_in_handler, .panic_handler_arg = "h"});

    gopool_set_panic_hook(note_panic);
    cr_assert_eq(gopool_go(pool, raise_panic, "m"), 0);
    gopool_destroy(pool);
    cr_assert_str_eq(trace, "mh");
}

static void panic_in_hook(const struct gopool_panic *panic)
{
    note("k");
    gopool_panic("after %s", panic->message);
}

static void try_twice(void *arg)
{
    gopool_set_panic_hook(panic_in_hook);
    for (int i = 0; i < 2; i++) {
        if (gopool_try(raise_panic, arg, NULL) != -ECANCELED)
            abort();
    }
    if (strcmp(trace, "kk") != 0)
        abort();
}

Test(panic_hook, a_panic_in_it_is_printed_and_not_told_to_it)
{
    char output[4096];
    const char *words = "gopool: panic in the panic hook: after m (panic_in_hook, ";

    cr_assert_eq(run_in_child(try_twice, "m", output, sizeof output), 0);
    const char *first = strstr(output, words);
    cr_assert_not_null(first);
    cr_assert_not_null(strstr(first + 1, words));
}

static void try_in_hook(const struct gopool_panic *panic)
{
    note_panic(panic);
    if (gopool_try(raise_panic, "i", NULL) != -ECANCELED)
        abort();
    note("e");
}

Test(panic_hook, is_not_told_of_what_it_contains_itself)
{
    gopool_set_panic_hook(try_in_hook);
    cr_assert_eq(gopool_try(raise_panic, "a", NULL), -ECANCELED);
    cr_assert_eq(gopool_try(raise_panic, "b", NULL), -ECANCELED);
    cr_assert_str_eq(trace, "aebe");
}

static void exit_task_in_hook(const struct gopool_panic *panic)
{
    note_panic(panic);
    gopool_exit_task();
}

static void contain_one(void *arg)
{
    if (gopool_try(raise_panic, arg, NULL) == -ECANCELED)
        note("c");
}

Test(panic_hook, gopool_exit_task_ends_the_hook_and_not_the_task_around_it)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 1});

    gopool_set_panic_hook(exit_task_in_hook);
    cr_assert_eq(gopool_go(pool, contain_one, "a"), 0);
    cr_assert_eq(gopool_go(pool, contain_one, "b"), 0);
    gopool_destroy(pool);
    cr_assert_str_eq(trace, "acbc");
}

static void end_thread_in_hook(const struct gopool_panic *panic)
{
    note_panic(panic);
    pthread_exit(NULL);
}

Test(panic_hook, pthread_exit_in_it_costs_no_task)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.cap = 1});

    gopool_set_panic_hook(end_thread_in_hook);
    cr_assert_eq(gopool_go(pool, contain_one, "a"), 0);
    cr_assert_eq(gopool_go(pool, raise_panic, "b"), 0);
    cr_assert_eq(gopool_go(pool, note, "n"), 0);
    cr_assert_eq(gopool_stop(pool), 0);
    cr_assert_str_eq(trace, "abn");
    cr_assert_eq(stats_of(pool).finished_count, 3);
    cr_assert_eq(stats_of(pool).panic_count, 1);
    gopool_destroy(pool);
}
