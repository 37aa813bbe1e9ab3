/*
 * A storm of panics: 8 workers, each panic below frames that hold blocks and a lock, some inside
 * gopool_try(), some from deferred calls, some with the end of their task. Nothing may be left
 * behind and no count may be off by one. A plain program, for the sanitizers and for valgrind.
 *
 * usage: panic_storm [PANICS [no-rss]]    default 100,000, with FULL in the environment 1,000,000
 * Prints lines of NAME VALUE UNIT. Under a sanitizer, and with no-rss, memory is not checked: there
 * it is not the program's alone.
 */
#include <gopool/gopool.h>

#include <dirent.h>
#include <errno.h>
#include <mcache/mcache.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WORKERS        8
#define LOCKS          4
#define LEVELS         5 /* frames with a deferred call each */
#define LOCK_LEVEL     2
#define TENTHS         10
#define WARM_UP_PANICS 24 /* of every worker */

#ifdef __has_feature
#    define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#    define SANITIZED true
#else
#    define SANITIZED false
#endif

enum kind {
    KIND_PANIC,
    KIND_PANIC_IN_DEFERRED, /* a deferred call panics on the way of a panic */
    KIND_TRY_THEN_PANIC,    /* two boundaries contain one each, then the task panics */
    KIND_TRY_THEN_RETURN,   /* the same without the last */
    KIND_EXIT,              /* the end of the task, below a boundary */
    KIND_RETURN,            /* no panic: every frame makes its deferred call itself */
    KIND_COUNT,
};

/* What a task of each kind comes to. */
static const struct expected {
    uint64_t told;     /* panics the hook is told of */
    uint64_t tasks;    /* panics that end the task */
    uint64_t nested;   /* panics of deferred calls that the handler is told of */
    uint64_t descents; /* times that LEVELS deferred calls are registered */
} expected_of[KIND_COUNT] = {
    [KIND_PANIC] = {1, 1, 0, 1},          [KIND_PANIC_IN_DEFERRED] = {2, 1, 1, 1},
    [KIND_TRY_THEN_PANIC] = {3, 1, 0, 3}, [KIND_TRY_THEN_RETURN] = {2, 0, 0, 2},
    [KIND_EXIT] = {0, 0, 0, 1},           [KIND_RETURN] = {0, 0, 0, 1},
};

/* Guarded by the lock of the same number: lost additions would show a lock that was not held. */
static struct guarded {
    pthread_mutex_t lock;
    uint64_t count;
} guarded[LOCKS];

/* Relaxed, all of them: read when the pool has been drained, whose lock orders it after them. */
static _Atomic uint64_t told;
static _Atomic uint64_t handled;
static _Atomic uint64_t nested;
static _Atomic uint64_t released;
static _Atomic uint64_t wrong;

static void add(_Atomic uint64_t *counter, uint64_t count)
{
    atomic_fetch_add_explicit(counter, count, memory_order_relaxed);
}

static void count_told(const struct gopool_panic *panic)
{
    add(panic->frame_count > 0 ? &told : &wrong, 1);
}

static void count_handled(const struct gopool_panic *panic, void *arg)
{
    (void)arg;
    add(panic->task_fn != NULL ? &handled : &wrong, 1);
    add(&nested, panic->nested);
}

static void release_block(void *block)
{
    mcache_free(block);
    add(&released, 1);
}

static void release_lock(void *arg)
{
    struct guarded *held = arg;

    held->count++;
    if (pthread_mutex_unlock(&held->lock) != 0)
        add(&wrong, 1);
    add(&released, 1);
}

static void release_block_and_panic(void *block)
{
    release_block(block);
    gopool_panic("from a deferred call");
}

struct descent {
    uintptr_t number; /* of the task */
    enum kind kind;   /* how it ends, at the bottom */
};

static void descend(const struct descent *descent, int level)
{
    bool is_bottom = level == LEVELS - 1;
    struct gopool_defer defer;

    if (level == LOCK_LEVEL) {
        struct guarded *lock = &guarded[descent->number % LOCKS];

        pthread_mutex_lock(&lock->lock);
        gopool_defer_push(&defer, release_lock, lock);
    } else {
        /* Of many sizes. */
        void *block = mcache_alloc((size_t)16 << ((descent->number + (unsigned)level) % 12));

        gopool_must(block != NULL);
        gopool_defer_push(&defer,
                          is_bottom && descent->kind == KIND_PANIC_IN_DEFERRED
                              ? release_block_and_panic
                              : release_block,
                          block);
    }
    if (!is_bottom)
        descend(descent, level + 1);
    else if (descent->kind == KIND_EXIT)
        gopool_exit_task();
    else if (descent->kind != KIND_RETURN)
        gopool_panic("task %ju", (uintmax_t)descent->number);
    gopool_defer_pop(&defer, true);
}

static void descend_all(void *arg)
{
    descend(arg, 0);
}

/* Contains a panic and raises another one. */
static void try_and_panic(void *arg)
{
    const struct descent *descent = arg;
    struct gopool_panic panic;
    char message[GOPOOL_PANIC_MESSAGE_BYTES];

    snprintf(message, sizeof message, "task %ju", (uintmax_t)descent->number);
    if (gopool_try(descend_all, arg, &panic) != -ECANCELED || strcmp(panic.message, message) != 0)
        add(&wrong, 1);
    descend(descent, 0);
}

/*
 * Every worker at once, so that all of them exist and have what they keep for later before memory
 * is looked at.
 */
static void warm_up(void *barrier)
{
    pthread_barrier_wait(barrier);
    for (uintptr_t i = 0; i < WARM_UP_PANICS; i++) {
        struct descent descent = {.number = i, .kind = KIND_PANIC};

        if (gopool_try(descend_all, &descent, NULL) != -ECANCELED)
            add(&wrong, 1);
    }
}

static void run(void *arg)
{
    struct descent descent = {.number = (uintptr_t)arg};
    enum kind kind = (enum kind)(descent.number % KIND_COUNT);

    switch (kind) {
    case KIND_TRY_THEN_PANIC:
    case KIND_TRY_THEN_RETURN:
        if (gopool_try(try_and_panic, &descent, NULL) != -ECANCELED)
            add(&wrong, 1);
        if (kind == KIND_TRY_THEN_PANIC)
            descend(&descent, 0);
        break;
    case KIND_EXIT:
        descent.kind = kind;
        (void)!gopool_try(descend_all, &descent, NULL);
        add(&wrong, 1);
        break;
    default:
        descent.kind = kind;
        descend(&descent, 0);
    }
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static size_t entries_of(const char *folder)
{
    DIR *entries = opendir(folder);
    size_t count = 0;

    if (entries == NULL)
        return 0;
    for (const struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries))
        count += entry->d_name[0] != '.';
    closedir(entries);
    return count;
}

/* The kernel takes a thread off a moment after it has been joined. */
static size_t threads_left(size_t expected)
{
    double give_up = now_s() + 20;
    size_t count = entries_of("/proc/self/task");

    for (; count > expected && now_s() < give_up; count = entries_of("/proc/self/task"))
        sched_yield();
    return count;
}

static long resident_kib(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    long kib = -1;

    while (status != NULL && kib < 0 && fgets(line, sizeof line, status) != NULL)
        (void)!sscanf(line, "VmRSS: %ld kB", &kib);
    if (status != NULL)
        fclose(status);
    return kib;
}

static bool agree(const char *name, uint64_t found, uint64_t expected, const char *unit)
{
    printf("panic_storm_%s %ju %s\n", name, (uintmax_t)found, unit);
    if (found == expected)
        return true;
    fprintf(stderr, "panic_storm_%s: %ju expected\n", name, (uintmax_t)expected);
    return false;
}

/* Submits tasks until they make so many panics in all. Returns the number of the next task. */
static uintptr_t submit(struct gopool *pool, uintptr_t number, uint64_t panics,
                        struct expected *sum)
{
    for (; sum->told < panics; number++) {
        const struct expected *one = &expected_of[number % KIND_COUNT];

        /* NOLINTNEXTLINE(performance-no-int-to-ptr): a number is all a task is told */
        if (gopool_go(pool, run, (void *)number) != 0)
            abort();
        sum->told += one->told;
        sum->tasks += one->tasks;
        sum->nested += one->nested;
        sum->descents += one->descents;
    }
    if (gopool_drain(pool, -1) != 0)
        abort();
    return number;
}

/* Returns the tasks it took. */
static uintptr_t warm_workers_up(struct gopool *pool, struct expected *sum)
{
    pthread_barrier_t barrier;

    pthread_barrier_init(&barrier, NULL, WORKERS);
    for (int i = 0; i < WORKERS; i++) {
        if (gopool_go(pool, warm_up, &barrier) != 0)
            abort();
    }
    if (gopool_drain(pool, -1) != 0)
        abort();
    pthread_barrier_destroy(&barrier);
    sum->told += WORKERS * WARM_UP_PANICS;
    sum->descents += WORKERS * WARM_UP_PANICS;
    return WORKERS;
}

static bool counts_agree(struct gopool *pool, uintptr_t tasks, const struct expected *sum)
{
    struct gopool_stats stats;
    uint64_t lock_count = 0;
    uint64_t locks_held = 0;

    gopool_stats_read(pool, &stats);
    for (int i = 0; i < LOCKS; i++) {
        if (pthread_mutex_trylock(&guarded[i].lock) != 0) {
            locks_held++;
            continue;
        }
        lock_count += guarded[i].count;
        pthread_mutex_unlock(&guarded[i].lock);
    }
    const struct {
        const char *name;
        uint64_t found;
        uint64_t expected;
    } counts[] = {
        {"panics", told, sum->told},
        {"tasks", stats.finished_count, tasks},
        {"tasks_panicked", stats.panic_count, sum->tasks},
        {"handled", handled, sum->tasks},
        {"nested", nested, sum->nested},
        {"deferred_calls", released, sum->descents * LEVELS},
        {"locks_taken", lock_count, sum->descents},
        {"locks_held", locks_held, 0},
        {"surprises", wrong, 0},
    };
    bool passed = true;

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        passed &= agree(counts[i].name, counts[i].found, counts[i].expected, "count");
    return passed;
}

/* Makes so many panics and checks that they add up. */
static bool storm_passes(uint64_t panics, bool check_memory)
{
    const struct gopool_options options = {.cap = WORKERS,
                                           .panic_handler = count_handled,
                                           .queue_limit = 256,
                                           .when_full = GOPOOL_WHEN_FULL_BLOCK};
    struct expected sum = {0};
    struct gopool *pool;
    long first_kib = 0;

    if (gopool_create(&options, &pool) != 0)
        return false;
    double begin = now_s();
    uintptr_t tasks = warm_workers_up(pool, &sum);
    for (uint64_t tenth = 1; tenth <= TENTHS; tenth++) {
        tasks = submit(pool, tasks, panics * tenth / TENTHS, &sum);
        if (tenth == 1)
            first_kib = resident_kib();
    }
    double seconds = now_s() - begin;
    long growth_kib = resident_kib() - first_kib;
    bool passed = counts_agree(pool, tasks, &sum);
    gopool_destroy(pool);

    printf("panic_storm_time %.2f s\n", seconds);
    printf("panic_storm_per_panic %.0f ns\n", seconds * 1e9 / (double)sum.told);
    if (!check_memory) {
        printf("panic_storm_resident_growth not checked: sanitizer, valgrind or no-rss\n");
        return passed;
    }
    printf("panic_storm_resident_growth %ld KiB\n", growth_kib);
    return passed && growth_kib <= 1024;
}

static void *do_nothing(void *arg)
{
    return arg;
}

/* ThreadSanitizer starts a thread of its own along with the first one. */
static void start_a_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, do_nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
        abort();
}

int main(int argc, char **argv)
{
    uint64_t panics = getenv("FULL") != NULL ? 1000000 : 100000;
    bool check_memory = !SANITIZED && (argc < 3 || strcmp(argv[2], "no-rss") != 0);
    struct mcache_stats before;
    struct mcache_stats after;

    if (argc > 1)
        panics = strtoull(argv[1], NULL, 10);
    if (panics < WORKERS * WARM_UP_PANICS) {
        fprintf(stderr, "usage: panic_storm [PANICS [no-rss]], at least %d\n",
                WORKERS * WARM_UP_PANICS);
        return 2;
    }
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_init(&guarded[i].lock, NULL);
    gopool_set_panic_hook(count_told);
    mcache_stats_read(&before);
    start_a_thread();
    size_t threads = entries_of("/proc/self/task");
    size_t descriptors = entries_of("/proc/self/fd");
    bool passed = storm_passes(panics, check_memory);
    mcache_stats_read(&after);

    passed &= agree("live_bytes", after.live_bytes + after.system_bytes,
                    before.live_bytes + before.system_bytes, "bytes");
    passed &= agree("threads", threads_left(threads), threads, "count");
    passed &= agree("descriptors", entries_of("/proc/self/fd"), descriptors, "count");
    return passed ? 0 : 1;
}
