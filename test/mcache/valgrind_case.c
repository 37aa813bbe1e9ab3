/*
 * valgrind_case NAME: a program with one mistake, or with none, for valgrind.sh to look at. The
 * mistakes are real: without valgrind only "annotated" is run, which tells by its status whether
 * mcache says anything to valgrind in this build.
 */
#include "poison.h"

#include <mcache/mcache.h>

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static volatile char sink;

static void use_after_free(void)
{
    volatile char *block = mcache_alloc(64);

    mcache_free((void *)block);
    sink = block[40];
}

/* After a free of the block behind it, so that this one's class is full and the next byte free. */
static void read_past_the_end(void)
{
    char *first = mcache_alloc(64);
    char *second = mcache_alloc(64);
    volatile char *lower = first < second ? first : second;
    char *upper = first < second ? second : first;

    memset((char *)lower, 1, 64);
    if (lower + 64 != upper) {
        (void)fputs("the blocks are no neighbours\n", stderr);
    }
    mcache_free(upper);
    sink = lower[64];
    mcache_free((void *)lower);
}

static void leak(void)
{
    static void *volatile block;

    block = mcache_alloc(1000);
    sink = block == NULL ? 0 : 1;
    block = NULL;
}

static void use_uninitialised(void)
{
    volatile char *block = mcache_alloc(64);

    block[7] = 1;
    mcache_free((void *)block);
    block = mcache_alloc(64);
    if (block[7] == 1) {
        sink = 1;
    }
    mcache_free((void *)block);
}

static int is_zero(const unsigned char *block, size_t size)
{
    return block[0] == 0 && memcmp(block, block + 1, size - 1) == 0;
}

static void *use_everything(void *arg)
{
    size_t *wrong = arg;

    for (size_t size = 16; size <= 2 * MCACHE_CLASS_MAX; size *= 2) {
        unsigned char *zeroed = mcache_calloc(1, size);
        char *aligned = mcache_aligned_alloc(4096, size);
        char *block = mcache_alloc(size);

        *wrong += !is_zero(zeroed, size);
        memset(aligned, 1, size);
        memset(block, 1, mcache_capacity(block));
        block = mcache_realloc(block, 5 * size);
        *wrong += block[size - 1] != 1;
        if (mcache_expand(block, 6 * size)) {
            memset(block, 1, 6 * size);
        }
        block = mcache_realloc(block, 1);
        *wrong += block[0] != 1;
        mcache_free(zeroed);
        mcache_free(aligned);
        mcache_free(block);
    }
    mcache_flush();
    return NULL;
}

static void nothing_wrong(void)
{
    struct mcache_options options = {.decay_ms = 1};
    pthread_t thread;
    size_t wrong[2] = {0, 0};

    mcache_configure(&options);
    for (int i = 0; i < 3; i++) {
        if (pthread_create(&thread, NULL, use_everything, &wrong[1]) == 0) {
            (void)pthread_join(thread, NULL);
        }
        use_everything(&wrong[0]);
        (void)mcache_tick();
    }
    (void)mcache_trim();
    if (wrong[0] != 0 || wrong[1] != 0) {
        (void)fputs("contents are wrong\n", stderr);
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"use-after-free", use_after_free},
    {"read-past-the-end", read_past_the_end},
    {"leak", leak},
    {"use-uninitialised", use_uninitialised},
    {"nothing-wrong", nothing_wrong},
};

int main(int argc, char **argv)
{
#ifdef MC_VALGRIND
    if (argc == 2 && strcmp(argv[1], "annotated") == 0) {
        return 0;
    }
#endif
    for (size_t i = 0; argc == 2 && i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    }
    return 2;
}
