#include <mcache/mcache.h>

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"

static atomic_bool stop;
static atomic_uint started;
static atomic_uint busy_rounds;

/* Of every class, and now and then above. */
static size_t churned_size(size_t i)
{
    return i % 60 == 0 ? 2 * MCACHE_CLASS_MAX : (size_t)16 << (i % 17);
}

/* Keeps the locks of many classes and of the decay in use, so that forks fall into the middle. */
static void *churn(void *arg)
{
    size_t *returned = arg;
    void *blocks[300];

    atomic_fetch_add(&started, 1);
    while (!atomic_load(&stop)) {
        for (size_t i = 0; i < 300; i++) {
            blocks[i] = mcache_calloc(1, churned_size(i));
        }
        for (size_t i = 0; i < 300; i++) {
            mcache_free(mcache_realloc(blocks[i], churned_size(i + 5)));
        }
        mcache_flush();
        for (int i = 0; i < 20; i++) {
            configure(i % 2 == 0 ? (size_t)1 << 20 : 0, 1);
            (void)mcache_tick();
        }
        *returned += mcache_trim();
        atomic_fetch_add(&busy_rounds, 1);
    }
    return NULL;
}

/* The same with the lock of the large blocks. */
static void *churn_large(void *arg)
{
    (void)arg;
    atomic_fetch_add(&started, 1);
    while (!atomic_load(&stop)) {
        mcache_free(mcache_alloc(2 * MCACHE_CLASS_MAX));
    }
    return NULL;
}

static void *use_all_classes(void *arg)
{
    (void)arg;
    for (size_t size = 16; size <= 2 * MCACHE_CLASS_MAX; size *= 2) {
        void *blocks[20];

        for (int i = 0; i < 20; i++) {
            blocks[i] = mcache_alloc(size);
            if (blocks[i] == NULL) {
                _exit(3);
            }
            memset(blocks[i], i, 16);
        }
        for (int i = 0; i < 20; i++) {
            mcache_free(blocks[i]);
        }
    }
    return NULL;
}

/* Whoever was giving memory back at the fork is not there to go on. */
static void give_everything_back(void)
{
    size_t bytes = (size_t)16 << 20;
    void *small;
    void *large;

    configure(0, 1);
    free_chain(alloc_chain(4096, bytes / 4096));
    free_chain(alloc_chain(bytes / 4, 4));
    mcache_flush();
    if (mcache_tick() == 0 && stats_now().returned_bytes < bytes) {
        _exit(5);
    }
    /* Ended by the alarm if there is no end. */
    while (mcache_tick() != 0) {
        pass_ms(1);
    }
    if (stats_now().retained_bytes != 0) {
        _exit(6);
    }
    /* Allocations would give back what is free by then. */
    small = alloc_chain(4096, bytes / 4096);
    large = alloc_chain(bytes / 4, 4);
    free_chain(small);
    free_chain(large);
    if (mcache_trim() < 2 * bytes || stats_now().retained_bytes != 0) {
        _exit(7);
    }
}

static void be_child(void *inherited)
{
    pthread_t thread;

    /* A child that hangs on a lock of a thread it does not have is ended by this. */
    alarm(20);
    if (memcmp(inherited, "inherited", 10) != 0) {
        _exit(2);
    }
    mcache_free(inherited);
    use_all_classes(NULL);
    if (pthread_create(&thread, NULL, use_all_classes, NULL) != 0 ||
        pthread_join(thread, NULL) != 0) {
        _exit(4);
    }
    give_everything_back();
    _exit(0);
}

Test(fork, child_of_a_busy_process_may_make_any_call)
{
    pthread_t threads[3];
    size_t returned[2] = {0, 0};

    for (int i = 0; i < 2; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, churn, &returned[i]), 0);
    }
    cr_assert_eq(pthread_create(&threads[2], NULL, churn_large, NULL), 0);
    /* A thread that is only starting may hold locks of a sanitizer, which the child never gets. */
    while (atomic_load(&started) < 3) {
        sched_yield();
    }
    for (unsigned round = 0; round < 30; round++) {
        void *block = mcache_alloc(100);
        int status;
        pid_t pid;

        memcpy(block, "inherited", 10);
        pid = fork();
        cr_assert_geq(pid, 0);
        if (pid == 0) {
            be_child(block);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert_eq(status, 0, "round %u: wait status %x", round, (unsigned)status);
        cr_assert_eq(memcmp(block, "inherited", 10), 0);
        mcache_free(block);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    }
    cr_assert(atomic_load(&busy_rounds) > 0);
}

static void allocate_before_fork(void)
{
    use_all_classes(NULL);
}

static void allocate_in_child(void)
{
    use_all_classes(NULL);
}

/* Handlers of others may allocate, whenever they were registered. */
Test(fork, handlers_that_allocate_do_not_hang, .timeout = 60)
{
    int status;
    pid_t pid;

    cr_assert_eq(pthread_atfork(allocate_before_fork, allocate_before_fork, allocate_in_child), 0);
    mcache_free(mcache_alloc(16));
    pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        alarm(20);
        give_everything_back();
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0, "wait status %x", (unsigned)status);
}
