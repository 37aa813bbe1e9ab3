#include <mcache/mcache.h>

#include <criterion/criterion.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>

static size_t segment_bytes(void)
{
    struct mcache_stats stats;

    mcache_stats_read(&stats);
    return stats.segment_bytes;
}

static void run_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, fn, arg), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

enum {
    HANDED = 5000
};

static void *free_array(void *arg)
{
    void **blocks = arg;

    for (int i = 0; i < HANDED; i++) {
        mcache_free(blocks[i]);
    }
    return NULL;
}

static void *touch_all_classes(void *arg)
{
    (void)arg;
    for (size_t size = 16; size <= MCACHE_CLASS_MAX; size *= 2) {
        void *blocks[3];

        for (int i = 0; i < 3; i++) {
            blocks[i] = mcache_alloc(size);
        }
        for (int i = 0; i < 3; i++) {
            mcache_free(blocks[i]);
        }
    }
    return NULL;
}

Test(thread_cache, another_thread_may_free)
{
    static void *blocks[HANDED];
    struct mcache_stats stats;
    size_t held = 0;

    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < HANDED; i++) {
            blocks[i] = mcache_alloc(16 + i % 4000);
            cr_assert_not_null(blocks[i]);
        }
        run_thread(free_array, blocks);
        if (round == 0) {
            held = segment_bytes();
        }
    }
    mcache_stats_read(&stats);
    cr_assert_eq(stats.live_bytes, 0);
    cr_assert_eq(stats.segment_bytes, held, "blocks freed elsewhere are not used again");
}

Test(thread_cache, end_of_a_thread_gives_its_cache_back)
{
    size_t held;

    run_thread(touch_all_classes, NULL);
    held = segment_bytes();
    for (int i = 0; i < 1000; i++) {
        run_thread(touch_all_classes, NULL);
    }
    cr_assert_eq(segment_bytes(), held);
    mcache_trim();
    cr_assert_eq(segment_bytes(), 0);
}

static void *alloc_some(void *arg)
{
    void **blocks = arg;

    for (int i = 0; i < 10; i++) {
        blocks[i] = mcache_alloc(200);
    }
    mcache_free(blocks[9]);
    return NULL;
}

Test(thread_cache, counters_of_ended_threads_stay)
{
    struct mcache_stats stats;
    void *blocks[10];

    for (int i = 1; i <= 20; i++) {
        run_thread(alloc_some, blocks);
        mcache_stats_read(&stats);
        cr_assert_eq(stats.classes[4].alloc_count, (uint64_t)i * 10);
        cr_assert_eq(stats.classes[4].free_count, (uint64_t)i);
        cr_assert_eq(stats.live_bytes, (size_t)i * 9 * 256);
    }
}

struct idler {
    sem_t ready;
    sem_t leave;
};

/* Frees far more than it may keep, then stays alive without a call. */
static void *free_much_and_wait(void *arg)
{
    struct idler *idler = arg;
    static void *blocks[4096];

    for (size_t size = 16; size <= MCACHE_CLASS_MAX; size *= 2) {
        size_t count = size <= 16384 ? 4096 : ((size_t)64 << 20) / size;

        for (size_t i = 0; i < count; i++) {
            blocks[i] = mcache_alloc(size);
        }
        for (size_t i = 0; i < count; i++) {
            mcache_free(blocks[i]);
        }
    }
    sem_post(&idler->ready);
    sem_wait(&idler->leave);
    return NULL;
}

Test(thread_cache, is_bounded)
{
    struct idler idler;
    pthread_t thread;

    sem_init(&idler.ready, 0, 0);
    sem_init(&idler.leave, 0, 0);
    cr_assert_eq(pthread_create(&thread, NULL, free_much_and_wait, &idler), 0);
    sem_wait(&idler.ready);
    mcache_trim();
    /* 4 MiB of blocks at most, each class in spans and segments of its own at worst. */
    cr_assert_gt(segment_bytes(), 0);
    cr_assert_leq(segment_bytes(), (size_t)(MCACHE_CLASS_COUNT + 4) * (4 << 20));
    sem_post(&idler.leave);
    pthread_join(thread, NULL);
    mcache_trim();
    cr_assert_eq(segment_bytes(), 0);
}

static pthread_key_t late_key;
static int late_rounds;

/* Runs in every round of destructors, so also after the last run of mcache's own. */
static void alloc_late(void *value)
{
    void *block = mcache_alloc(500);
    void *large = mcache_alloc(100000);

    memset(block, 1, 500);
    mcache_free(value);
    mcache_free(large);
    if (++late_rounds % PTHREAD_DESTRUCTOR_ITERATIONS != 0) {
        (void)pthread_setspecific(late_key, block);
    } else {
        mcache_free(block);
    }
}

static void *leave_a_value(void *arg)
{
    (void)arg;
    (void)pthread_setspecific(late_key, mcache_alloc(500));
    return NULL;
}

Test(thread_cache, later_destructors_may_allocate)
{
    struct mcache_stats stats;

    /* The key of mcache exists first, so its destructor runs first in each round. */
    mcache_free(mcache_alloc(1));
    cr_assert_eq(pthread_key_create(&late_key, alloc_late), 0);
    for (int i = 0; i < 50; i++) {
        run_thread(leave_a_value, NULL);
    }
    cr_assert_eq(late_rounds, 50 * PTHREAD_DESTRUCTOR_ITERATIONS);
    mcache_stats_read(&stats);
    cr_assert_eq(stats.classes[5].alloc_count, (size_t)50 * (PTHREAD_DESTRUCTOR_ITERATIONS + 1));
    cr_assert_eq(stats.classes[5].free_count, stats.classes[5].alloc_count);
    cr_assert_eq(stats.live_bytes, 0);
    mcache_trim();
    cr_assert_eq(segment_bytes(), 0);
}
