/*
 * A storm of faults, all kinds that are recovered from, on eight workers, below frames that hold a
 * block, a lock and a descriptor. Nothing may be left behind, and no count may be off by one.
 *
 * usage: fault_storm [FAULTS]    default 10,000, with FULL in the environment 100,000
 * Prints lines of NAME VALUE UNIT.
 */
#include "fault_kinds.h"

#include <gopool/fault.h>
#include <gopool/gopool.h>
#include <mcache/mcache.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../support/process.h"

#define WORKERS     8
#define LOCKS       4
#define BLOCK_BYTES 4096
#define WARM_UP     200
/* Of so many faults one uses up a stack, which takes a thousand times as long as another one. */
#define OVERFLOW_SHARE 50
/* What the heaps of the C library and of mcache may still grow by. */
#define GROWTH_KIB 8192

#define MUST(condition) ((condition) ? (void)0 : fail(#condition, __LINE__))

static pthread_mutex_t locks[LOCKS] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
                                       PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};
/* Guarded by the lock of the same number. */
static uint64_t held[LOCKS];

/* Relaxed, all of them: read when the pool has been drained. */
static _Atomic uint64_t next_number;
static _Atomic uint64_t told;
static _Atomic uint64_t wrong;

static void fail(const char *condition, int line)
{
    printf("fault_storm: does not hold: %s, line %d\n", condition, line);
    exit(1);
}

static void on_panic(const struct gopool_panic *panic, void *arg)
{
    (void)arg;
    atomic_fetch_add_explicit(panic->signal != 0 && panic->nested == 0 ? &told : &wrong, 1,
                              memory_order_relaxed);
}

static void unlock(void *arg)
{
    pthread_mutex_unlock(arg);
}

static void close_descriptor(void *arg)
{
    (void)close(*(const int *)arg);
}

/* The n-th of the kinds that are recovered from. */
static const struct fault_kind *kind_of(uint64_t number)
{
    uint64_t kinds = 0;
    while (!fault_kinds[kinds].is_deadly)
        kinds++;
    const struct fault_kind *kind = &fault_kinds[number % kinds];
    bool is_slow = strcmp(kind->name, "stack overflow") == 0;
    return is_slow && number / kinds % (OVERFLOW_SHARE / kinds) != 0 ? &fault_kinds[0] : kind;
}

static void hold_and_fault(void *arg)
{
    struct gopool_defer defers[3];
    uint64_t number = atomic_fetch_add_explicit(&next_number, 1, memory_order_relaxed);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)arg;
    MUST(fd >= 0);
    gopool_defer_push(&defers[0], close_descriptor, &fd);
    gopool_defer_push(&defers[1], mcache_free, mcache_alloc(BLOCK_BYTES));
    pthread_mutex_lock(&locks[number % LOCKS]);
    gopool_defer_push(&defers[2], unlock, &locks[number % LOCKS]);
    held[number % LOCKS]++;
    fault_behind_frames(kind_of(number)->fault, NULL);
    atomic_fetch_add_explicit(&wrong, 1, memory_order_relaxed);
    gopool_defer_pop(&defers[2], true);
    gopool_defer_pop(&defers[1], true);
    gopool_defer_pop(&defers[0], true);
}

static long resident_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    MUST(file != NULL && fscanf(file, "%*d %ld", &pages) == 1);
    (void)fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void count_thread(pid_t thread, void *arg)
{
    (void)thread;
    ++*(size_t *)arg;
}

static size_t thread_count(void)
{
    size_t count = 0;
    for_each_thread(count_thread, &count);
    return count;
}

struct state {
    size_t live_bytes;
    size_t descriptors;
    size_t threads;
    long resident_kib;
};

static struct state state_now(void)
{
    struct mcache_stats stats;
    mcache_stats_read(&stats);
    return (struct state){.live_bytes = stats.live_bytes,
                          .descriptors = descriptor_count(),
                          .threads = thread_count(),
                          .resident_kib = resident_kib()};
}

/* A pool of its own each time, so that its threads are over afterwards. */
static void storm(uint64_t faults)
{
    const struct gopool_options options = {.cap = WORKERS,
                                           .panic_handler = on_panic,
                                           .queue_limit = 2 * WORKERS,
                                           .when_full = GOPOOL_WHEN_FULL_BLOCK};
    struct gopool_stats stats;
    struct gopool *pool;
    MUST(gopool_create(&options, &pool) == 0);
    for (uint64_t i = 0; i < faults; i++)
        MUST(gopool_go(pool, hold_and_fault, NULL) == 0);
    MUST(gopool_drain(pool, -1) == 0);
    gopool_stats_read(pool, &stats);
    MUST(stats.fault_count == faults && stats.panic_count == faults);
    MUST(stats.finished_count == faults && stats.workers <= WORKERS);
    gopool_destroy(pool);
}

static double seconds_since(const struct timespec *start)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static void compare(const struct state *before, const struct state *after)
{
    printf("live_after_storm %zu bytes\n", after->live_bytes - before->live_bytes);
    printf("descriptors_after_storm %zu\n", after->descriptors - before->descriptors);
    printf("threads_after_storm %zu\n", after->threads - before->threads);
    printf("resident_growth %ld KiB\n", after->resident_kib - before->resident_kib);
    MUST(after->live_bytes == before->live_bytes);
    MUST(after->descriptors == before->descriptors);
    MUST(after->threads == before->threads);
    MUST(after->resident_kib - before->resident_kib < GROWTH_KIB);
}

int main(int argc, char **argv)
{
    const struct gopool_fault_options options = {.budget = GOPOOL_FAULT_BUDGET_UNLIMITED};
    const char *refusal = gopool_fault_recovery_refusal();
    uint64_t faults = getenv("FULL") != NULL ? 100000 : 10000;
    uint64_t sum = 0;
    struct timespec start;
    if (refusal != NULL) {
        printf("faults cannot be recovered from here: %s\n", refusal);
        return 77;
    }
    if (argc > 1)
        faults = strtoull(argv[1], NULL, 10);
    /* What failed assertions say. */
    int silence = open("/dev/null", O_WRONLY | O_CLOEXEC);
    MUST(silence >= 0 && dup2(silence, STDERR_FILENO) >= 0);
    MUST(gopool_fault_recovery_enable(&options) == 0);
    storm(WARM_UP);
    struct state before = state_now();
    (void)clock_gettime(CLOCK_MONOTONIC, &start);
    storm(faults);
    printf("fault_cost %.1f us\n", seconds_since(&start) * 1e6 / (double)faults);
    struct state after = state_now();
    compare(&before, &after);
    for (size_t i = 0; i < LOCKS; i++) {
        MUST(pthread_mutex_trylock(&locks[i]) == 0);
        sum += held[i];
    }
    MUST(sum == WARM_UP + faults && told == sum && wrong == 0);
    MUST(gopool_fault_count() == sum);
    printf("faults %" PRIu64 "\n", sum);
    return 0;
}
