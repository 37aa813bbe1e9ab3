/* Panics and boundaries, on threads that belong to no pool. */
#include <gopool/panic.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

/* What the deferred calls and functions of a test leave behind, in order. */
struct trace {
    char events[32];
    size_t length;
};

static struct trace trace;

static void note(void *event)
{
    cr_assert_lt(trace.length, sizeof trace.events - 1);
    trace.events[trace.length++] = *(const char *)event;
}

#define NOTE(letter) ((void *)(letter))

static void do_nothing(void *arg)
{
    (void)arg;
}

static int panic_line;

static void panic_with_number(void *arg)
{
    panic_line = __LINE__ + 1;
    gopool_panic("number %d", *(int *)arg);
}

Test(panic, try_returns_zero_when_the_function_returns)
{
    struct gopool_panic panic = {.line = -1};

    cr_assert_eq(gopool_try(note, NOTE("a"), &panic), 0);
    cr_assert_str_eq(trace.events, "a");
    cr_assert_eq(panic.line, -1);
}

Test(panic, tells_message_and_place)
{
    struct gopool_panic panic;
    int number = 7;

    cr_assert_eq(gopool_try(panic_with_number, &number, &panic), -ECANCELED);
    cr_assert_str_eq(panic.message, "number 7");
    cr_assert_str_eq(panic.file, __FILE__);
    cr_assert_str_eq(panic.function, "panic_with_number");
    cr_assert_eq(panic.line, panic_line);
    cr_assert_eq(panic.nested, 0);
}

Test(panic, the_description_may_be_left_out)
{
    int number = 7;

    cr_assert_eq(gopool_try(panic_with_number, &number, NULL), -ECANCELED);
}

static void panic_with_text(void *arg)
{
    gopool_panic("%s", (const char *)arg);
}

Test(panic, long_message_is_cut_and_empty_one_replaced)
{
    char text[2 * GOPOOL_PANIC_MESSAGE_BYTES];
    struct gopool_panic panic;

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    cr_assert_eq(gopool_try(panic_with_text, text, &panic), -ECANCELED);
    cr_assert_eq(strlen(panic.message), GOPOOL_PANIC_MESSAGE_BYTES - 1);
    text[0] = '\0';
    cr_assert_eq(gopool_try(panic_with_text, text, &panic), -ECANCELED);
    cr_assert_gt(strlen(panic.message), 0);
}

static void demand(void *arg)
{
    gopool_must(*(int *)arg == 1);
    note(NOTE("k"));
}

Test(panic, must_panics_only_when_the_condition_is_false)
{
    struct gopool_panic panic;
    int number = 1;

    cr_assert_eq(gopool_try(demand, &number, &panic), 0);
    number = 2;
    cr_assert_eq(gopool_try(demand, &number, &panic), -ECANCELED);
    cr_assert_str_eq(trace.events, "k");
    cr_assert_str_eq(panic.message, "must: *(int *)arg == 1");
}

static void defer_deeper(const char *letters)
{
    struct gopool_defer defer;

    gopool_defer_push(&defer, note, NOTE(letters));
    if (letters[1] != '\0')
        defer_deeper(letters + 1);
    else if (trace.length == 0)
        gopool_panic("at the bottom");
    gopool_defer_pop(&defer, false);
}

static void defer_three(void *arg)
{
    (void)arg;
    defer_deeper("abc");
}

Test(panic, deferred_calls_run_last_in_first_out_and_once)
{
    cr_assert_eq(gopool_try(defer_three, NULL, NULL), -ECANCELED);
    cr_assert_str_eq(trace.events, "cba");
    cr_assert_eq(gopool_try(do_nothing, NULL, NULL), 0);
    cr_assert_str_eq(trace.events, "cba");
}

static void pop_both_ways(void *arg)
{
    struct gopool_defer outer;
    struct gopool_defer inner;

    gopool_defer_push(&outer, note, NOTE("o"));
    gopool_defer_push(&inner, note, NOTE("i"));
    gopool_defer_pop(&inner, true);
    gopool_defer_push(&inner, note, NOTE("x"));
    gopool_defer_pop(&inner, false);
    if (arg != NULL)
        gopool_panic("after");
    gopool_defer_pop(&outer, true);
}

Test(panic, pop_takes_off_and_runs_on_demand)
{
    cr_assert_eq(gopool_try(pop_both_ways, NULL, NULL), 0);
    cr_assert_str_eq(trace.events, "io");
    cr_assert_eq(gopool_try(pop_both_ways, &trace, NULL), -ECANCELED);
    cr_assert_str_eq(trace.events, "ioio");
}

static void note_and_panic(void *arg)
{
    note(arg);
    gopool_panic("from %s", (const char *)arg);
}

static void panic_in_pop(void *arg)
{
    struct gopool_defer outer;
    struct gopool_defer inner;

    (void)arg;
    gopool_defer_push(&outer, note, NOTE("o"));
    gopool_defer_push(&inner, note_and_panic, NOTE("i"));
    gopool_defer_pop(&inner, true);
}

Test(panic, a_call_that_panics_in_pop_is_not_made_twice)
{
    struct gopool_panic panic;

    cr_assert_eq(gopool_try(panic_in_pop, NULL, &panic), -ECANCELED);
    cr_assert_str_eq(trace.events, "io");
    cr_assert_str_eq(panic.message, "from i");
}

static void panic_with_panicking_defers(void *arg)
{
    struct gopool_defer defers[4];

    (void)arg;
    gopool_defer_push(&defers[0], note, NOTE("a"));
    gopool_defer_push(&defers[1], note_and_panic, NOTE("b"));
    gopool_defer_push(&defers[2], note, NOTE("c"));
    gopool_defer_push(&defers[3], note_and_panic, NOTE("d"));
    gopool_panic("the first");
}

Test(panic, a_panic_in_a_deferred_call_is_counted_and_the_others_run)
{
    struct gopool_panic panic;

    cr_assert_eq(gopool_try(panic_with_panicking_defers, NULL, &panic), -ECANCELED);
    cr_assert_str_eq(trace.events, "dcba");
    cr_assert_str_eq(panic.message, "the first");
    cr_assert_eq(panic.nested, 2);
}

static void defer_panicking_defers(void *arg)
{
    struct gopool_defer defer;

    (void)arg;
    gopool_defer_push(&defer, panic_with_panicking_defers, NULL);
    gopool_panic("outermost");
}

Test(panic, panics_inside_deferred_calls_add_up)
{
    struct gopool_panic panic;

    cr_assert_eq(gopool_try(defer_panicking_defers, NULL, &panic), -ECANCELED);
    cr_assert_str_eq(trace.events, "dcba");
    cr_assert_str_eq(panic.message, "outermost");
    cr_assert_eq(panic.nested, 3);
}

static void store_then_panic(void *arg)
{
    struct gopool_defer defer;
    char letter = '?';

    (void)arg;
    gopool_defer_push(&defer, note, &letter);
    letter = 'v';
    gopool_panic("stored");
}

Test(panic, a_deferred_call_sees_what_its_frame_stored_last)
{
    cr_assert_eq(gopool_try(store_then_panic, NULL, NULL), -ECANCELED);
    cr_assert_str_eq(trace.events, "v");
}

static void contain_a_panic(void *arg)
{
    struct gopool_defer defer;
    struct gopool_panic panic;
    int number = 3;

    gopool_defer_push(&defer, note, NOTE("o"));
    cr_assert_eq(gopool_try(panic_with_number, &number, &panic), -ECANCELED);
    note(NOTE("c"));
    if (arg != NULL)
        gopool_panic("again: %s", panic.message);
    gopool_defer_pop(&defer, false);
}

Test(panic, an_inner_boundary_leaves_the_outer_one_alone)
{
    cr_assert_eq(gopool_try(contain_a_panic, NULL, NULL), 0);
    cr_assert_str_eq(trace.events, "c");
}

Test(panic, a_contained_panic_may_be_raised_again)
{
    struct gopool_panic panic;

    cr_assert_eq(gopool_try(contain_a_panic, &panic, &panic), -ECANCELED);
    cr_assert_str_eq(trace.events, "co");
    cr_assert_str_eq(panic.message, "again: number 3");
}

Test(panic, the_arguments_may_lie_in_the_description)
{
    struct gopool_panic panic = {.message = "old text"};

    cr_assert_eq(gopool_try(panic_with_text, panic.message, &panic), -ECANCELED);
    cr_assert_str_eq(panic.message, "old text");
}

static void pop_the_wrong_one(void *arg)
{
    struct gopool_defer outer;
    struct gopool_defer inner;

    (void)arg;
    gopool_defer_push(&outer, note, NOTE("o"));
    gopool_defer_push(&inner, note, NOTE("i"));
    gopool_defer_pop(&outer, false);
}

static void pop_one_of_further_out(void *arg)
{
    gopool_defer_pop(arg, false);
}

static void pop_across_a_boundary(void *arg)
{
    struct gopool_defer defer;

    (void)arg;
    gopool_defer_push(&defer, note, NOTE("d"));
    cr_assert_eq(gopool_try(pop_one_of_further_out, &defer, NULL), -ECANCELED);
    gopool_defer_pop(&defer, true);
}

Test(panic, pop_out_of_order_panics)
{
    cr_assert_eq(gopool_try(pop_the_wrong_one, NULL, NULL), -ECANCELED);
    cr_assert_str_eq(trace.events, "io");
    cr_assert_eq(gopool_try(pop_across_a_boundary, NULL, NULL), 0);
    cr_assert_str_eq(trace.events, "iod");
}

static void leave_registered(void *arg)
{
    gopool_defer_push(arg, note, NOTE("l"));
}

static void leave_registered_then_panic(void *arg)
{
    struct gopool_defer forgotten;

    (void)arg;
    cr_assert_eq(gopool_try(leave_registered, &forgotten, NULL), 0);
    gopool_panic("after");
}

Test(panic, what_a_returned_function_left_registered_is_dropped)
{
    cr_assert_eq(gopool_try(leave_registered_then_panic, NULL, NULL), -ECANCELED);
    cr_assert_str_eq(trace.events, "");
}

static void panic_alone(void *arg)
{
    int number = 9;

    (void)arg;
    panic_with_number(&number);
}

Test(panic, outside_a_boundary_ends_the_process_with_one_line)
{
    char output[512];
    int status = run_in_child(panic_alone, NULL, output, sizeof output);

    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %x", (unsigned)status);
    cr_assert_not_null(strstr(output, "number 9 (panic_with_number, "));
    cr_assert_eq(strchr(output, '\n'), output + strlen(output) - 1, "not one line: %s", output);
}

static void defer_itself_and_panic(void *arg)
{
    struct gopool_defer defer;

    gopool_defer_push(&defer, defer_itself_and_panic, arg);
    gopool_panic("without end");
}

static void try_the_endless_chain(void *arg)
{
    if (gopool_try(defer_itself_and_panic, arg, NULL) != 0)
        _exit(1);
}

Test(panic, an_endless_chain_of_panicking_defers_ends_the_process)
{
    char output[512];
    int status = run_in_child(try_the_endless_chain, NULL, output, sizeof output);

    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %x", (unsigned)status);
    cr_assert_not_null(strstr(output, "nested too deep"));
}

static void *try_on_a_thread(void *arg)
{
    int number = 1;

    for (int i = 0; i < 1000; i++) {
        if (gopool_try(panic_with_number, &number, NULL) != -ECANCELED)
            return NULL;
    }
    return arg;
}

Test(panic, boundaries_of_threads_are_their_own)
{
    pthread_t threads[4];
    void *result;

    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, try_on_a_thread, &trace), 0);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], &result);
        cr_assert_eq(result, &trace);
    }
}
