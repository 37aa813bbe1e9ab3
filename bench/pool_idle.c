/* What a pool costs that has nothing to do. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "pool_case.h"

#include <gopool/gopool.h>

#include <dirent.h>
#include <pthread.h>
#include <sys/resource.h>
#include <time.h>

#define WORKERS     4
#define STAY_MS     3600000
#define IDLE_OUT_MS 100
#define NS_PER_MS   1000000

static void sleep_ms(uint32_t ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * NS_PER_MS};
    nanosleep(&pause, NULL);
}

/* Context switches of every thread but this one, those that have ended among them. */
static uint64_t switches_of_others(void)
{
    struct rusage all;
    struct rusage own;
    getrusage(RUSAGE_SELF, &all);
    getrusage(RUSAGE_THREAD, &own);
    return (uint64_t)(all.ru_nvcsw + all.ru_nivcsw - own.ru_nvcsw - own.ru_nivcsw);
}

static uint32_t count_threads(void)
{
    uint32_t count = 0;
    const struct dirent *entry;
    DIR *folder = opendir("/proc/self/task");
    if (folder == NULL)
        pool_fail("cannot read /proc/self/task");
    while ((entry = readdir(folder)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static void meet(void *barrier)
{
    pthread_barrier_wait(barrier);
}

/* A pool all of whose workers have worked. */
static struct gopool *create(uint32_t idle_timeout_ms)
{
    const struct gopool_options options = {.cap = WORKERS, .idle_timeout_ms = idle_timeout_ms};
    pthread_barrier_t barrier;
    struct gopool *pool;
    pool_must("gopool_create", gopool_create(&options, &pool));
    pool_must("pthread_barrier_init", pthread_barrier_init(&barrier, NULL, WORKERS + 1));
    for (int i = 0; i < WORKERS; i++)
        pool_must("gopool_go", gopool_go(pool, meet, &barrier));
    pthread_barrier_wait(&barrier);
    pthread_barrier_destroy(&barrier);
    return pool;
}

static void await_idle(struct gopool *pool, uint32_t workers)
{
    struct gopool_stats stats;
    gopool_stats_read(pool, &stats);
    while (stats.workers != workers || stats.idle_workers != workers) {
        sleep_ms(10);
        gopool_stats_read(pool, &stats);
    }
    sleep_ms(100); /* from the pool's word to the thread's sleep or end */
}

static uint64_t count_switches(uint32_t seconds)
{
    uint64_t before = switches_of_others();
    sleep_ms(seconds * 1000);
    return switches_of_others() - before;
}

struct pool_idle pool_idle_measure(uint32_t seconds)
{
    struct pool_idle idle;
    struct gopool *pool = create(STAY_MS);
    await_idle(pool, WORKERS);
    idle.parked_switches = count_switches(seconds);
    gopool_destroy(pool);
    pool = create(IDLE_OUT_MS);
    await_idle(pool, 0);
    idle.reaped_switches = count_switches(seconds);
    idle.reaped_threads = count_threads() - 1;
    gopool_destroy(pool);
    return idle;
}
