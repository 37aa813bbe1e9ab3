/*
 * Children of fork(2): what they may do with the parent's pools, and what they may not. A program
 * of its own, because a child that ends by exit(3) would end its parent's test framework, too.
 */
#include <gopool/gopool.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/check.h"
#include "../support/process.h"
#include "interrogation.h"

#define DEADLINE_MS 20000

static void nothing(void *arg)
{
    (void)arg;
}

static void add(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, 1);
}

/* The parent's pools, made before the fork. */
struct parent {
    struct gopool *pool;
    struct gopool_future pending;
    sem_t hold;
};

/* In the child, where an assertion of the framework would not be heard. */
#define MUST(condition)                                            \
    do {                                                           \
        if (!(condition)) {                                        \
            fprintf(stderr, "not in the child: %s\n", #condition); \
            _exit(1);                                              \
        }                                                          \
    } while (0)

static void make_every_call(void *arg)
{
    struct parent *parent = arg;
    struct gopool *pool = parent->pool;
    struct gopool_task task = {.fn = nothing};
    struct gopool_future future;
    struct gopool_stats stats;

    alarm(30);
    MUST(gopool_go(pool, nothing, NULL) == -EPERM);
    MUST(gopool_submit(pool, &task) == -EPERM);
    MUST(gopool_submit_batch(pool, &task) == -EPERM);
    MUST(gopool_call(pool, &future, nothing, NULL, 0) == -EPERM);
    MUST(gopool_wait(&parent->pending, -1) == -EPERM);
    MUST(gopool_drain(pool, -1) == -EPERM);
    MUST(gopool_stop(pool) == -EPERM);
    MUST(gopool_register(pool) == -EPERM);
    MUST(gopool_find("parent") == NULL);
    MUST(!gopool_is_worker(pool));
    MUST(gopool_block_begin() == -EPERM);
    MUST(gopool_set_cap(pool, 3) == -EPERM);
    gopool_set_panic_handler(pool, NULL, NULL);
    gopool_stats_read(pool, &stats);
    MUST(stats.workers == 0);
    gopool_destroy(pool);
}

static void use_own_pool(void *arg)
{
    struct gopool *pool;
    _Atomic int ran = 0;

    make_every_call(arg);
    MUST(gopool_create(&(struct gopool_options){.name = "parent"}, &pool) == 0);
    MUST(gopool_register(pool) == 0);
    for (int i = 0; i < 100; i++)
        MUST(gopool_go(pool, add, &ran) == 0);
    MUST(gopool_drain(pool, DEADLINE_MS) == 0);
    MUST(ran == 100);
    gopool_destroy(pool);
}

static void wait_for_hold(void *arg)
{
    while (sem_wait(&((struct parent *)arg)->hold) != 0)
        continue;
}

static struct gopool *pool_with(const struct gopool_options *options)
{
    struct gopool *pool;

    CHECK(gopool_create(options, &pool) == 0);
    return pool;
}

static void start_parent(struct parent *parent)
{
    parent->pool = pool_with(&(struct gopool_options){.name = "parent"});
    sem_init(&parent->hold, 0, 0);
    CHECK(gopool_register(parent->pool) == 0);
    CHECK(gopool_call(parent->pool, &parent->pending, wait_for_hold, parent, 0) == 0);
}

static void end_parent(struct parent *parent)
{
    sem_post(&parent->hold);
    CHECK(gopool_wait(&parent->pending, DEADLINE_MS) == 0);
    gopool_destroy(parent->pool);
}

static void check_child(void (*fn)(void *arg), void *arg)
{
    char output[256];
    int status = run_in_child(fn, arg, output, sizeof output);

    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_child_cannot_use_the_parents_pool_but_pools_of_its_own(void)
{
    struct parent parent;

    start_parent(&parent);
    check_child(use_own_pool, &parent);
    end_parent(&parent);
}

static atomic_bool stop_submitting;

static void *submit_all_the_time(void *arg)
{
    while (!atomic_load(&stop_submitting))
        (void)!gopool_go(arg, nothing, NULL);
    return NULL;
}

static void a_child_does_not_hang_on_locks_of_the_parents_threads(void)
{
    struct parent parent;
    pthread_t threads[2];

    start_parent(&parent);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, submit_all_the_time, parent.pool) == 0);
    for (int round = 0; round < 50; round++)
        check_child(use_own_pool, &parent);
    atomic_store(&stop_submitting, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    end_parent(&parent);
}

/* A task that forks, with what it does in the child, and how the child has ended. */
struct forking {
    struct gopool *pool;
    gopool_fn *in_child;
    int status;
    char output[256];
};

static void fork_in_task(void *arg)
{
    struct forking *forking = arg;
    int fds[2];
    size_t length = 0;
    ssize_t got;

    if (pipe(fds) != 0)
        return;
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        dup2(fds[1], STDERR_FILENO);
        forking->in_child(arg);
        return;
    }
    close(fds[1]);
    while ((got = read(fds[0], forking->output + length, sizeof forking->output - 1 - length)) > 0)
        length += (size_t)got;
    close(fds[0]);
    waitpid(child, &forking->status, 0);
}

static struct forking run_forking(gopool_fn *in_child)
{
    struct forking forking = {.pool = pool_with(NULL), .in_child = in_child};
    struct gopool_future future;

    CHECK(gopool_call(forking.pool, &future, fork_in_task, &forking, 0) == 0);
    CHECK(gopool_wait(&future, DEADLINE_MS) == 0);
    gopool_destroy(forking.pool);
    return forking;
}

static void a_task_that_returns_in_the_child_ends_the_child(void)
{
    struct forking forking = run_forking(nothing);

    CHECK(WIFEXITED(forking.status) && WEXITSTATUS(forking.status) == EXIT_FAILURE);
    CHECK(strstr(forking.output, "a task has returned in a child") != NULL);
}

static void use_pool_and_exit(void *arg)
{
    struct forking *forking = arg;

    MUST(!gopool_is_worker(forking->pool));
    MUST(gopool_block_begin() == -EPERM);
    MUST(gopool_go(forking->pool, nothing, NULL) == -EPERM);
    _exit(7);
}

static void a_task_may_end_the_child_itself(void)
{
    struct forking forking = run_forking(use_pool_and_exit);

    CHECK(WIFEXITED(forking.status) && WEXITSTATUS(forking.status) == 7);
}

static void panic_in_child(void *arg)
{
    (void)arg;
    gopool_panic("in the child");
}

static void a_panic_in_the_child_ends_the_child(void)
{
    struct forking forking = run_forking(panic_in_child);

    CHECK(WIFEXITED(forking.status) && WEXITSTATUS(forking.status) == EXIT_FAILURE);
    CHECK(strstr(forking.output, "in the child") != NULL);
}

static void exit_thread_in_child(void *arg)
{
    (void)arg;
    pthread_exit(NULL);
}

static void a_thread_that_ends_in_the_child_ends_the_child(void)
{
    struct forking forking = run_forking(exit_thread_in_child);

    CHECK(WIFEXITED(forking.status));
}

static void use_default_pool(void *arg)
{
    _Atomic int ran = 0;

    alarm(30);
    MUST(gopool_default() != arg);
    MUST(gopool_go(gopool_default(), add, &ran) == 0);
    MUST(gopool_drain(gopool_default(), DEADLINE_MS) == 0);
    MUST(ran == 1);
}

static void a_child_has_a_default_pool_of_its_own(void)
{
    CHECK(gopool_go(gopool_default(), nothing, NULL) == 0);
    check_child(use_default_pool, gopool_default());
}

static sem_t stuck_told;

static void note_stuck(const struct gopool_stuck *stuck, void *arg)
{
    (void)stuck;
    (void)arg;
    sem_post(&stuck_told);
}

static void watch_stuck_task(void *arg)
{
    struct parent *parent = arg;
    struct gopool *pool;

    alarm(30);
    MUST(gopool_create(&(struct gopool_options){.stuck_after_ms = 10, .stuck_handler = note_stuck},
                       &pool) == 0);
    sem_init(&stuck_told, 0, 0);
    sem_init(&parent->hold, 0, 0);
    MUST(gopool_go(pool, wait_for_hold, parent) == 0);
    while (sem_wait(&stuck_told) != 0)
        continue;
    sem_post(&parent->hold);
    gopool_destroy(pool);
}

static void a_child_has_a_watchdog_though_the_parents_was_asking(void)
{
    struct parent parent;

    start_parent(&parent);
    gp_interrogation_prepare();
    gp_interrogation_begin();
    check_child(watch_stuck_task, &parent);
    gp_interrogation_end();
    end_parent(&parent);
}

int main(void)
{
    a_child_has_a_default_pool_of_its_own();
    a_child_has_a_watchdog_though_the_parents_was_asking();
    a_child_cannot_use_the_parents_pool_but_pools_of_its_own();
    a_child_does_not_hang_on_locks_of_the_parents_threads();
    a_task_that_returns_in_the_child_ends_the_child();
    a_task_may_end_the_child_itself();
    a_panic_in_the_child_ends_the_child();
    a_thread_that_ends_in_the_child_ends_the_child();
    return 0;
}
