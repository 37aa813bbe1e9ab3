#include <mcache/mcache.h>

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "load.h"

enum {
    SEGMENT = 4 << 20
};

static size_t segment_bytes(void)
{
    return stats_now().segment_bytes;
}

Test(shared_pool, trim_gives_every_segment_back_when_nothing_is_live)
{
    for (size_t size = 16; size <= MCACHE_CLASS_MAX; size *= 2) {
        void *chain = alloc_chain(size, ((size_t)16 << 20) / size);
        size_t held = segment_bytes();

        cr_assert_geq(held, (size_t)16 << 20);
        free_chain(chain);
        size_t returned = mcache_trim();
        cr_assert(returned >= (size_t)16 << 20 && returned <= held, "size %zu", size);
        cr_assert_eq(segment_bytes(), 0, "size %zu", size);
    }
}

Test(shared_pool, trim_gives_back_all_classes_at_once)
{
    void *chains[MCACHE_CLASS_COUNT];

    for (unsigned i = 0; i < MCACHE_CLASS_COUNT; i++) {
        chains[i] = alloc_chain((size_t)16 << i, 200);
    }
    for (unsigned i = 0; i < MCACHE_CLASS_COUNT; i++) {
        free_chain(chains[i]);
    }
    cr_assert_gt(mcache_trim(), 0);
    cr_assert_eq(segment_bytes(), 0);
}

Test(shared_pool, trim_keeps_the_segment_of_a_live_block)
{
    void *chain = alloc_chain(256, 100000);
    char *live = mcache_alloc(256);
    void *more = alloc_chain(256, 100000);

    memset(live, 0x5a, 256);
    free_chain(chain);
    free_chain(more);
    mcache_trim();
    cr_assert_eq(segment_bytes(), SEGMENT);
    for (size_t i = 0; i < 256; i++) {
        cr_assert_eq(live[i], 0x5a);
    }
    mcache_free(live);
    cr_assert_gt(mcache_trim(), 0);
    cr_assert_eq(segment_bytes(), 0);
}

Test(shared_pool, second_trim_has_nothing_to_give)
{
    free_chain(alloc_chain(1024, 5000));
    cr_assert_gt(mcache_trim(), 0);
    cr_assert_eq(mcache_trim(), 0);
}

Test(shared_pool, memory_of_one_class_serves_another_without_a_trim)
{
    size_t bytes = (size_t)64 << 20;
    size_t held;

    free_chain(alloc_chain(64, bytes / 64));
    held = segment_bytes();
    for (size_t size = 128; size <= (size_t)64 << 10; size *= 2) {
        /* Each class may keep its batches: 4 MiB, and what threads cache. */
        free_chain(alloc_chain(size, bytes / size));
    }
    cr_assert_leq(segment_bytes(), held + 10 * (size_t)(6 << 20));
    cr_assert_lt(segment_bytes(), 2 * bytes);
}

Test(shared_pool, repeated_load_does_not_grow)
{
    size_t held = 0;

    for (int round = 0; round < 20; round++) {
        void *small = alloc_chain(48, 20000);
        void *big = alloc_chain(100000, 100);

        free_chain(small);
        free_chain(big);
        if (round == 0) {
            held = segment_bytes();
        }
    }
    cr_assert_eq(segment_bytes(), held);
}

static void *trim_in_thread(void *arg)
{
    *(size_t *)arg = mcache_trim();
    return NULL;
}

static size_t trim_elsewhere(void)
{
    pthread_t thread;
    size_t bytes = 0;

    cr_assert_eq(pthread_create(&thread, NULL, trim_in_thread, &bytes), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    return bytes;
}

Test(shared_pool, flush_hands_blocks_to_the_pool)
{
    mcache_free(mcache_alloc(16384));
    cr_assert_eq(trim_elsewhere(), 0, "another thread emptied this one's cache");
    mcache_flush();
    cr_assert_eq(trim_elsewhere(), (size_t)128 << 10, "the slices of a batch");
    cr_assert_eq(segment_bytes(), 0);
}
