/*
 * Every scenario with its first, second, ... call to the system refused, alone or with all that
 * come later, each in a process of its own: ENOMEM or success, nothing lost, usable afterwards.
 */
#include <mcache/mcache.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "load.h"
#include "refusal.h"

#define MIB ((size_t)1 << 20)

enum {
    HELD_MAX = 4096,
    ENDED_UNREFUSED = 0,
    ENDED_REFUSED = 1,     /* no call of mcache failed */
    ENDED_WITH_ENOMEM = 2, /* at least one did */
    ENDED_WRONG = 3
};

/* Blocks of a scenario, each marked with a byte of its own. In the child. */
static struct {
    unsigned char *block;
    size_t size;
} held[HELD_MAX];
static size_t held_count;
static size_t failures;

#define EXPECT(condition)                                                 \
    do {                                                                  \
        if (!(condition)) {                                               \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
            _exit(ENDED_WRONG);                                           \
        }                                                                 \
    } while (0)

/* Ends of a block that are filled and checked: where links and headers would be. */
static size_t end_bytes(size_t size)
{
    return size < 64 ? size : 64;
}

/* Takes the result of an allocating call that started with errno 0. */
static void hold(void *block, size_t size)
{
    int fill = (int)(held_count % 255 + 1);

    if (block == NULL) {
        EXPECT(errno == ENOMEM);
        failures++;
        return;
    }
    EXPECT(errno == 0);
    EXPECT(mcache_capacity(block) >= size && held_count < HELD_MAX);
    memset(block, fill, end_bytes(size));
    memset((char *)block + size - end_bytes(size), fill, end_bytes(size));
    held[held_count].block = block;
    held[held_count++].size = size;
}

static void hold_new(size_t size)
{
    errno = 0;
    hold(mcache_alloc(size), size);
}

static void expect_fill(const unsigned char *bytes, size_t count, unsigned char fill)
{
    for (size_t i = 0; i < count; i++) {
        EXPECT(bytes[i] == fill);
    }
}

static void expect_contents(size_t i)
{
    size_t count = end_bytes(held[i].size);
    unsigned char fill = (unsigned char)(i % 255 + 1);

    expect_fill(held[i].block, count, fill);
    expect_fill(held[i].block + held[i].size - count, count, fill);
}

static void release_all(void)
{
    for (size_t i = 0; i < held_count; i++) {
        expect_contents(i);
        mcache_free(held[i].block);
    }
    held_count = 0;
}

static void every_class(void)
{
    for (size_t size = 16; size <= MCACHE_CLASS_MAX; size *= 2) {
        hold_new(size);
    }
}

static void burst(void)
{
    for (size_t i = 0; i < 12 * MIB / 32768; i++) {
        hold_new(32768);
    }
}

static void above_the_largest_class(void)
{
    hold_new(5 * MIB);
    hold_new(MCACHE_CLASS_MAX + 1);
    errno = 0;
    hold(mcache_aligned_alloc(MCACHE_ALIGNMENT_MAX, 100), 100);
    errno = 0;
    hold(mcache_aligned_alloc(65536, 3 * MIB), 3 * MIB);
}

static void zeroed(void)
{
    for (size_t size = 16; size <= 4 * MIB; size *= 4) {
        unsigned char *block;

        errno = 0;
        block = mcache_calloc(1, size);
        EXPECT(block == NULL || (block[0] == 0 && memcmp(block, block + 1, size - 1) == 0));
        hold(block, size);
    }
}

/* A step that fails leaves the block as it was, and the next one is tried. */
static void growth(void)
{
    hold_new(10);
    if (held_count == 0) {
        return;
    }
    for (size_t size = 100; size < 40 * MIB; size *= 3) {
        void *block;

        errno = 0;
        block = mcache_realloc(held[0].block, size);
        if (block != NULL) {
            expect_fill(block, end_bytes(held[0].size), 1);
            held_count = 0;
        }
        hold(block, size);
        expect_contents(0);
    }
}

static void expansion(void)
{
    hold_new(2 * MIB);
    for (size_t size = 3 * MIB; held_count == 1 && size < 6 * MIB; size += MIB) {
        bool fits = mcache_expand(held[0].block, size);

        EXPECT(fits == (mcache_capacity(held[0].block) >= size));
        expect_contents(0);
    }
}

static void *use_all_classes(void *arg)
{
    (void)arg;
    every_class();
    return NULL;
}

static void threads(void)
{
    for (int i = 0; i < 3; i++) {
        pthread_t thread;

        EXPECT(pthread_create(&thread, NULL, use_all_classes, NULL) == 0);
        EXPECT(pthread_join(thread, NULL) == 0);
    }
}

static void memory_that_comes_and_goes(void)
{
    configure(0, 1);
    burst();
    release_all();
    (void)mcache_trim();
    burst();
    release_all();
    mcache_flush();
    tick_to_the_end(10000);
    configure(MIB, 0);
    burst();
    release_all();
}

/* Of several sizes, one of them cut by the decay; what is retained is used and given back. */
static void large_that_comes_and_goes(void)
{
    configure(0, 1);
    above_the_largest_class();
    hold_new(50 * MIB);
    release_all();
    above_the_largest_class();
    release_all();
    for (int round = 0; round < 2; round++) {
        pass_ms(15);
        (void)mcache_tick();
    }
    tick_to_the_end(10000);
    above_the_largest_class();
    release_all();
    configure(8 * MIB, 0);
    above_the_largest_class();
    release_all();
}

static const struct scenario {
    const char *name;
    void (*run)(void);
    enum refused_call call;
    bool can_fail; /* calls of mcache can */
} scenarios[] = {
    {"every class", every_class, REFUSED_MMAP, true},
    {"burst", burst, REFUSED_MMAP, true},
    {"above the largest class", above_the_largest_class, REFUSED_MMAP, true},
    {"zeroed", zeroed, REFUSED_MMAP, true},
    {"growth", growth, REFUSED_MMAP, true},
    {"growth in place", growth, REFUSED_MREMAP, false},
    {"expansion", expansion, REFUSED_MREMAP, false},
    {"threads", threads, REFUSED_MMAP, true},
    {"coming and going", memory_that_comes_and_goes, REFUSED_MMAP, true},
    {"coming and going, unmapping", memory_that_comes_and_goes, REFUSED_MUNMAP, false},
    {"coming and going, discarding", memory_that_comes_and_goes, REFUSED_MADVISE, false},
    {"large, coming and going", large_that_comes_and_goes, REFUSED_MMAP, true},
    {"large, coming and going, unmapping", large_that_comes_and_goes, REFUSED_MUNMAP, false},
    {"above the largest class, unmapping", above_the_largest_class, REFUSED_MUNMAP, false},
};

/* What the next child does. */
static struct {
    const struct scenario *scenario;
    size_t nth;
    bool and_later;
} order;

static void expect_nothing_lost(void)
{
    struct mcache_stats stats = stats_now();

    EXPECT(stats.live_bytes == 0);
    EXPECT(stats.system_bytes == 0);
    EXPECT(stats.bad_free_count == 0);
    (void)mcache_trim();
    EXPECT(stats_now().segment_bytes == 0);
    EXPECT(stats_now().retained_bytes == 0);
}

static void run_order(void)
{
    size_t refused;
    size_t failed;

    refusal_start(order.scenario->call, order.nth, order.and_later);
    order.scenario->run();
    if (order.scenario->call == REFUSED_MUNMAP) {
        release_all();
    }
    refused = refusal_stop();
    failed = failures;
    release_all();
    expect_nothing_lost();
    failures = 0;
    every_class();
    above_the_largest_class();
    zeroed();
    threads();
    EXPECT(failures == 0);
    release_all();
    expect_nothing_lost();
    EXPECT(refused != 0 || failed == 0);
    _exit(failed != 0 ? ENDED_WITH_ENOMEM : refused != 0 ? ENDED_REFUSED : ENDED_UNREFUSED);
}

static void refuse_every_call(const struct scenario *scenario, bool and_later)
{
    int status = ENDED_WRONG;
    size_t refused = 0;
    size_t failed = 0;
    char text[4096];

    order.scenario = scenario;
    order.and_later = and_later;
    for (order.nth = 1; status != ENDED_UNREFUSED; order.nth++) {
        int ended = child_run(run_order, text, sizeof(text));

        cr_assert(WIFEXITED(ended), "%s, call %zu: wait status %x: %s", scenario->name, order.nth,
                  (unsigned)ended, text);
        status = WEXITSTATUS(ended);
        cr_assert_leq(status, ENDED_WITH_ENOMEM, "%s, call %zu: %s", scenario->name, order.nth,
                      text);
        refused += status != ENDED_UNREFUSED;
        failed += status == ENDED_WITH_ENOMEM;
    }
    cr_assert_gt(refused, 0, "%s: nothing was refused", scenario->name);
    cr_assert_eq(failed != 0, scenario->can_fail, "%s: %zu of %zu failed", scenario->name, failed,
                 refused);
}

Test(failure, every_single_call_refused, .timeout = 100)
{
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        refuse_every_call(&scenarios[i], false);
    }
}

Test(failure, every_call_refused_from_the_nth_on, .timeout = 100)
{
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        refuse_every_call(&scenarios[i], true);
    }
}
