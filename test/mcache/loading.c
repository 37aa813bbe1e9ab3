#include "loading.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
    THREADS = 4,
    EACH = 50
};

#define EXPECT(condition)                                                         \
    do {                                                                          \
        if (!(condition)) {                                                       \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            return false;                                                         \
        }                                                                         \
    } while (0)

static bool works_with(const struct calls *calls, size_t size)
{
    unsigned char *blocks[EACH];
    unsigned char *zeroed = calls->zeroed(1, size);
    void *aligned = calls->aligned(4096, size);

    EXPECT(zeroed != NULL && zeroed[0] == 0 && memcmp(zeroed, zeroed + 1, size - 1) == 0);
    EXPECT(aligned != NULL && (uintptr_t)aligned % 4096 == 0);
    for (int i = 0; i < EACH; i++) {
        blocks[i] = calls->alloc(size);
        EXPECT(blocks[i] != NULL && calls->capacity(blocks[i]) >= size);
        memset(blocks[i], i, size);
        blocks[i] = calls->resize(blocks[i], 3 * size);
        EXPECT(blocks[i] != NULL && calls->capacity(blocks[i]) >= 3 * size);
    }
    for (int i = 0; i < EACH; i++) {
        EXPECT(blocks[i][0] == i && blocks[i][size - 1] == i);
        calls->give_back(blocks[i]);
    }
    calls->give_back(zeroed);
    calls->give_back(aligned);
    return true;
}

bool calls_work_here(const struct calls *calls)
{
    for (size_t size = 16; size <= 2 * MCACHE_CLASS_MAX; size *= 4) {
        EXPECT(works_with(calls, size));
    }
    return true;
}

static void *run_thread(void *arg)
{
    const struct calls *calls = arg;

    return calls_work_here(calls) ? arg : NULL;
}

bool calls_work(const struct calls *calls)
{
    static const struct mcache_options short_age = {.decay_ms = 1};
    pthread_t threads[THREADS];
    struct mcache_stats stats;
    bool works = true;

    calls->configure(&short_age);
    for (int i = 0; i < THREADS; i++) {
        EXPECT(pthread_create(&threads[i], NULL, run_thread, (void *)calls) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *result;

        (void)calls->tick();
        EXPECT(pthread_join(threads[i], &result) == 0);
        works = works && result != NULL;
    }
    EXPECT(works);
    (void)calls->trim();
    calls->stats_read(&stats);
    EXPECT(stats.classes[0].alloc_count > 0);
    EXPECT(stats.live_bytes == 0 && stats.system_bytes == 0);
    EXPECT(stats.segment_bytes == 0 && stats.retained_bytes == 0);
    return true;
}
