/* Tasks that run for too long: who is told, what about, and who is not. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include <gopool/gopool.h>

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

TestSuite(watchdog, .timeout = 120);

/* What the handler was told last. */
static struct {
    _Atomic int count;
    struct gopool_stuck stuck;
    char pool[16];
    bool names_the_task;
} told;

static bool has_frame_in(const struct gopool_stuck *stuck, const char *function)
{
    Dl_info info;

    for (uint32_t i = 0; i < stuck->frame_count; i++) {
        if (dladdr((const char *)stuck->frames[i] - 1, &info) != 0 && info.dli_sname != NULL &&
            strcmp(info.dli_sname, function) == 0)
            return true;
    }
    return false;
}

static void note_stuck(const struct gopool_stuck *stuck, void *arg)
{
    told.stuck = *stuck;
    strcpy(told.pool, stuck->pool);
    told.names_the_task = has_frame_in(stuck, arg);
    atomic_fetch_add(&told.count, 1);
}

static struct gopool *watched_pool(const char *function)
{
    return pool_with(&(struct gopool_options){.name = "watched",
                                              .stuck_after_ms = 40,
                                              .stuck_handler = note_stuck,
                                              .stuck_handler_arg = (void *)(uintptr_t)function});
}

/* Not static, so that they have names. */
void stuck_in_the_kernel(void *arg);
void stuck_in_a_loop(void *arg);

void stuck_in_the_kernel(void *arg)
{
    while (sem_wait(arg) != 0)
        continue;
}

void stuck_in_a_loop(void *arg)
{
    while (!atomic_load((_Atomic int *)arg))
        continue;
}

Test(watchdog, a_task_that_sleeps_is_told_of_once_with_its_place)
{
    struct gopool *pool = watched_pool("stuck_in_the_kernel");
    sem_t go;

    sem_init(&go, 0, 0);
    cr_assert_eq(gopool_go(pool, stuck_in_the_kernel, &go), 0);
    WAIT_UNTIL(told.count == 1);
    cr_assert_str_eq(told.pool, "watched");
    cr_assert_eq(told.stuck.worker, 1);
    cr_assert_geq(told.stuck.running_ms, 40);
    cr_assert_eq(told.stuck.task_fn, stuck_in_the_kernel);
    cr_assert_eq(told.stuck.task_arg, &go);
    cr_assert(told.names_the_task);
    /* Several rounds more. */
    usleep(100000);
    sem_post(&go);
    gopool_destroy(pool);
    cr_assert_eq(told.count, 1);
}

Test(watchdog, a_task_that_spins_is_told_of_with_its_place)
{
    struct gopool *pool = watched_pool("stuck_in_a_loop");
    _Atomic int go = 0;

    for (int i = 1; i <= 2; i++) {
        atomic_store(&go, 0);
        cr_assert_eq(gopool_go(pool, stuck_in_a_loop, &go), 0);
        WAIT_UNTIL(told.count == i);
        cr_assert(told.names_the_task);
        cr_assert_eq(stats_of(pool).stuck_count, (uint64_t)i);
        atomic_store(&go, 1);
        WAIT_UNTIL(stats_of(pool).finished_count == (uint64_t)i);
    }
    gopool_destroy(pool);
}

Test(watchdog, the_function_of_a_call_is_named)
{
    struct gopool *pool = watched_pool("stuck_in_the_kernel");
    struct gopool_future future;
    sem_t go;

    sem_init(&go, 0, 0);
    cr_assert_eq(gopool_call(pool, &future, stuck_in_the_kernel, &go, 0), 0);
    WAIT_UNTIL(told.count == 1);
    cr_assert_eq(told.stuck.task_fn, stuck_in_the_kernel);
    cr_assert_eq(told.stuck.task_arg, &go);
    sem_post(&go);
    cr_assert_eq(gopool_wait(&future, -1), 0);
    gopool_destroy(pool);
}

static void block_for_long(void *arg)
{
    cr_assert_eq(gopool_block_begin(), 0);
    stuck_in_the_kernel(arg);
    gopool_block_end();
}

Test(watchdog, what_a_task_spends_blocked_does_not_count)
{
    struct gopool *pool = watched_pool("");
    sem_t go[2];

    sem_init(&go[0], 0, 0);
    sem_init(&go[1], 0, 0);
    cr_assert_eq(gopool_go(pool, block_for_long, &go[0]), 0);
    cr_assert_eq(gopool_go(pool, stuck_in_the_kernel, &go[1]), 0);
    WAIT_UNTIL(told.count == 1);
    /* Both have been running for as long. */
    usleep(100000);
    cr_assert_eq(told.count, 1);
    cr_assert_eq(told.stuck.task_fn, stuck_in_the_kernel);
    sem_post(&go[0]);
    sem_post(&go[1]);
    gopool_destroy(pool);
}

static void panic_about_stuck(const struct gopool_stuck *stuck, void *arg)
{
    (void)stuck;
    atomic_fetch_add((_Atomic int *)arg, 1);
    gopool_panic("in the handler");
}

Test(watchdog, a_panic_in_the_handler_is_contained)
{
    _Atomic int count = 0;
    struct gopool *pool = pool_with(&(struct gopool_options){
        .stuck_after_ms = 20, .stuck_handler = panic_about_stuck, .stuck_handler_arg = &count});
    sem_t go;

    sem_init(&go, 0, 0);
    for (int i = 1; i <= 2; i++) {
        cr_assert_eq(gopool_go(pool, stuck_in_the_kernel, &go), 0);
        WAIT_UNTIL(count == i);
        sem_post(&go);
        WAIT_UNTIL(stats_of(pool).finished_count == (uint64_t)i);
    }
    gopool_destroy(pool);
}

static void be_stuck_by_default(void *arg)
{
    struct gopool *pool;
    sem_t go;

    if (gopool_create(&(struct gopool_options){.name = "slow", .stuck_after_ms = 20}, &pool) != 0)
        _exit(1);
    sem_init(&go, 0, 0);
    (void)arg;
    alarm(60);
    if (gopool_go(pool, stuck_in_the_kernel, &go) != 0)
        _exit(2);
    while (stats_of(pool).stuck_count == 0)
        usleep(1000);
    /* The count comes before the line. */
    sem_post(&go);
    gopool_destroy(pool);
}

Test(watchdog, without_a_handler_a_line_and_the_place_are_printed)
{
    char output[4096];
    int status = run_in_child(be_stuck_by_default, NULL, output, sizeof output);

    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%d: %s", status, output);
    cr_assert_not_null(strstr(output, "gopool: slow-1: the task stuck_in_the_kernel"), "%s",
                       output);
    cr_assert_not_null(strstr(output, " ms\n  #0 "), "%s", output);
}

static volatile sig_atomic_t urgent;

static void note_urgent(int signal)
{
    (void)signal;
    urgent = 1;
}

static void be_stuck_with_a_handler_for_the_signal(void *arg)
{
    signal(SIGURG, note_urgent);
    be_stuck_by_default(arg);
    _exit(urgent ? 3 : 0);
}

Test(watchdog, the_signal_of_a_process_that_uses_it_is_left_alone)
{
    char output[4096];
    int status = run_in_child(be_stuck_with_a_handler_for_the_signal, NULL, output, sizeof output);

    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%d: %s", status, output);
    cr_assert_not_null(strstr(output, "gopool: slow-1: the task stuck_in_the_kernel"), "%s",
                       output);
    cr_assert_null(strstr(output, "#0"), "%s", output);
}

static void nothing(void *arg)
{
    (void)arg;
}

Test(watchdog, it_ends_with_the_last_worker_and_comes_again)
{
    size_t threads = thread_count();
    struct gopool *pool =
        pool_with(&(struct gopool_options){.stuck_after_ms = 3600000, .idle_timeout_ms = 1});

    for (int i = 0; i < 3; i++) {
        cr_assert_eq(gopool_go(pool, nothing, NULL), 0);
        WAIT_UNTIL(thread_count() == threads);
    }
    cr_assert_eq(gopool_go(pool, nothing, NULL), 0);
    gopool_destroy(pool);
    cr_assert_leq(thread_count(), threads);
}

static void end_task_about_stuck(const struct gopool_stuck *stuck, void *arg)
{
    (void)stuck;
    atomic_fetch_add((_Atomic int *)arg, 1);
    gopool_exit_task();
}

static void end_thread_about_stuck(const struct gopool_stuck *stuck, void *arg)
{
    (void)stuck;
    atomic_fetch_add((_Atomic int *)arg, 1);
    pthread_exit(NULL);
}

static void stop_about_stuck(const struct gopool_stuck *stuck, void *arg)
{
    (void)stuck;
    if (gopool_stop(gopool_find("doomed")) == -EDEADLK)
        atomic_fetch_add((_Atomic int *)arg, 1);
}

Test(watchdog, whatever_its_handler_does_the_pool_goes_on)
{
    gopool_stuck_fn *const handlers[] = {end_task_about_stuck, end_thread_about_stuck,
                                         stop_about_stuck};

    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++) {
        _Atomic int count = 0;
        struct gopool *pool = pool_with(&(struct gopool_options){.name = "doomed",
                                                                 .stuck_after_ms = 20,
                                                                 .stuck_handler = handlers[i],
                                                                 .stuck_handler_arg = &count});
        sem_t go;

        sem_init(&go, 0, 0);
        cr_assert_eq(gopool_register(pool), 0);
        for (int n = 1; n <= 2; n++) {
            cr_assert_eq(gopool_go(pool, stuck_in_the_kernel, &go), 0);
            WAIT_UNTIL(count == n);
            sem_post(&go);
            WAIT_UNTIL(stats_of(pool).finished_count == (uint64_t)n);
        }
        gopool_destroy(pool);
    }
}

static void block_and_be_stuck(void *arg)
{
    cr_assert_eq(gopool_block_begin(), 0);
    gopool_block_end();
    stuck_in_the_kernel(arg);
}

Test(watchdog, a_task_that_has_blocked_is_watched_again)
{
    struct gopool *pool = watched_pool("stuck_in_the_kernel");
    sem_t go;

    sem_init(&go, 0, 0);
    cr_assert_eq(gopool_go(pool, block_and_be_stuck, &go), 0);
    WAIT_UNTIL(told.count == 1);
    sem_post(&go);
    gopool_destroy(pool);
}

Test(watchdog, without_a_thread_for_it_tasks_run_all_the_same)
{
    struct gopool *pool = watched_pool("stuck_in_the_kernel");
    sem_t go;

    sem_init(&go, 0, 0);
    /* The monitor and the first worker are started before it. */
    fail_thread_creation_after(2, 1);
    cr_assert_eq(gopool_go(pool, nothing, NULL), 0);
    WAIT_UNTIL(stats_of(pool).finished_count == 1);
    cr_assert_eq(gopool_go(pool, stuck_in_the_kernel, &go), 0);
    WAIT_UNTIL(told.count == 1);
    sem_post(&go);
    gopool_destroy(pool);
}
