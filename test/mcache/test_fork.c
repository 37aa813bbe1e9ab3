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

static atomic_bool stop;
static atomic_uint started;
static atomic_uint busy_rounds;

/* Keeps the locks of many classes in use, so that forks fall into the middle. */
static void *churn(void *arg)
{
    void *blocks[300];

    (void)arg;
    atomic_fetch_add(&started, 1);
    while (!atomic_load(&stop)) {
        for (size_t i = 0; i < 300; i++) {
            blocks[i] = mcache_alloc((size_t)16 << (i % 17));
        }
        for (size_t i = 0; i < 300; i++) {
            mcache_free(blocks[i]);
        }
        mcache_trim();
        atomic_fetch_add(&busy_rounds, 1);
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

static void be_child(void *inherited)
{
    pthread_t thread;
    struct mcache_stats stats;

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
    mcache_trim();
    mcache_stats_read(&stats);
    _exit(0);
}

Test(fork, child_of_a_busy_process_can_allocate_and_free)
{
    pthread_t threads[2];

    for (int i = 0; i < 2; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, churn, NULL), 0);
    }
    /* A thread that is only starting may hold locks of a sanitizer, which the child never gets. */
    while (atomic_load(&started) < 2) {
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
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    }
    cr_assert(atomic_load(&busy_rounds) > 0);
}
