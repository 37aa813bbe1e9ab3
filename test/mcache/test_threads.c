/* Threads that come and go by the thousand. */
#include <mcache/mcache.h>

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "load.h"
#include "poison.h"
#include "refusal.h"

enum {
    THREADS = 10000,
    WAVE = 8,      /* threads at a time */
    WARM_UP = 400, /* threads before the first look */
    BLOCKS = 40,
#ifdef MC_ASAN
    RESIDENT_MORE = 200 << 20 /* AddressSanitizer keeps something of every thread */
#else
    RESIDENT_MORE = 16 << 20
#endif
};

/* One thread's, freed half by itself and half by the one that has its place in the next wave. */
struct place {
    void *left[BLOCKS / 2];
    unsigned wave;
};

static size_t block_size(unsigned wave, size_t i)
{
    return (size_t)16 << (wave + i) % 13;
}

static void *live_and_die(void *arg)
{
    struct place *place = arg;
    void *own[BLOCKS / 2];

    for (size_t i = 0; i < BLOCKS / 2; i++) {
        mcache_free(place->left[i]);
        own[i] = mcache_alloc(block_size(place->wave, i));
        place->left[i] = mcache_alloc(block_size(place->wave, i + 1));
        memset(own[i], 1, 16);
        memset(place->left[i], 1, 16);
    }
    for (size_t i = 0; i < BLOCKS / 2; i++) {
        mcache_free(own[i]);
    }
    return NULL;
}

static void run_wave(struct place *places)
{
    pthread_t threads[WAVE];

    for (size_t i = 0; i < WAVE; i++) {
        places[i].wave++;
        cr_assert_eq(pthread_create(&threads[i], NULL, live_and_die, &places[i]), 0);
    }
    for (size_t i = 0; i < WAVE; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    }
}

Test(threads, ten_thousand_leave_nothing_behind, .timeout = 100)
{
    static struct place places[WAVE];
    struct mcache_stats stats;
    size_t mapped;
    size_t segments;
    size_t resident;

    /* Segments that went back to the system would be mapped anew, and counted. */
    configure(0, 3600u * 1000);
    for (size_t i = 0; i < WARM_UP; i += WAVE) {
        run_wave(places);
    }
    mapped = mmap_count();
    segments = stats_now().segment_bytes;
    resident = resident_bytes();
    for (size_t i = WARM_UP; i < THREADS; i += WAVE) {
        run_wave(places);
    }
    stats = stats_now();
    /* How the threads of a wave overlap is chance: a few more segments may be touched. */
    cr_assert_leq(stats.segment_bytes, segments + (16 << 20));
    cr_assert_leq(mmap_count(), mapped + 10, "%zu mappings more", mmap_count() - mapped);
    cr_assert_leq(resident_bytes(), resident + RESIDENT_MORE, "%zu bytes more",
                  resident_bytes() - resident);
    for (size_t i = 0; i < WAVE; i++) {
        for (size_t k = 0; k < BLOCKS / 2; k++) {
            mcache_free(places[i].left[k]);
        }
    }
    cr_assert_eq(stats_now().live_bytes, 0);
    mcache_trim();
    cr_assert_eq(stats_now().segment_bytes, 0);
}
