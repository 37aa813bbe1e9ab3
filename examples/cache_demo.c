/*
 * mcache by itself, one call after the other, each with the figures it really gives. Needs nothing
 * else of the toolkit. One thread, and one more where blocks change hands.
 */
#include <mcache/mcache.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STATUS_FAILED 1
#define STATUS_USAGE  2

#define BURST_BLOCKS 16384
#define BURST_SIZE   4096

static _Noreturn void fail(const char *what)
{
    (void)fprintf(stderr, "cache_demo: %s\n", what);
    exit(STATUS_FAILED);
}

/* What every user of an allocating call does: look whether there is a block. */
static void *must(void *block)
{
    if (block == NULL)
        fail(strerror(errno));
    return block;
}

static struct mcache_stats stats_now(void)
{
    struct mcache_stats stats;
    mcache_stats_read(&stats);
    return stats;
}

/* A block is of the power of two that holds it; above the largest class, whole pages. */
static void show_classes(void)
{
    static const size_t sizes[] = {0, 100, 128, 129, MCACHE_CLASS_MAX, MCACHE_CLASS_MAX + 1};
    printf("classes:  ");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *block = must(mcache_alloc(sizes[i]));
        printf(" %zu -> %zu,", sizes[i], mcache_capacity(block));
        mcache_free(block);
    }
    void *roomy = must(mcache_alloc_capacity(10, 5000));
    printf(" 10 with room for 5000 -> %zu\n", mcache_capacity(roomy));
    mcache_free(roomy);
}

static void show_zeroed(void)
{
    char *dirty = must(mcache_alloc(4000));
    memset(dirty, 'x', 4000);
    mcache_free(dirty);
    char *block = must(mcache_calloc(1000, 4));
    size_t zeroes = 0;
    for (size_t i = 0; i < 4000; i++)
        zeroes += block[i] == 0;
    printf("zeroed:    %zu of 4000 bytes are 0, in %s", zeroes,
           block == dirty ? "the very block that was full of 'x'" : "another block");
    mcache_free(block);
    if (mcache_calloc(SIZE_MAX / 2, 4) != NULL)
        fail("a product that wraps was not noticed");
    printf("; a product that wraps: %s\n", strerror(errno));
}

static void show_alignment(void)
{
    printf("aligned:  ");
    for (size_t alignment = 64; alignment <= MCACHE_ALIGNMENT_MAX; alignment *= 32) {
        char *block = must(mcache_aligned_alloc(alignment, 100));
        printf(" %zu: address mod %zu = %zu,", alignment, alignment,
               (size_t)((uintptr_t)block % alignment));
        mcache_free(block);
    }
    if (mcache_aligned_alloc(48, 100) != NULL)
        fail("48 was taken for an alignment");
    printf(" 48: %s\n", strerror(errno));
}

static void show_growth(void)
{
    char *text = must(mcache_alloc(70));
    memcpy(text, "kept", sizeof "kept");
    printf("growth:    70 bytes to 128 in place: %s;", mcache_expand(text, 128) ? "yes" : "no");
    const void *before = text;
    text = must(mcache_realloc(text, 110));
    printf(" realloc to 110 %s,", text == before ? "stayed" : "moved");
    before = text;
    text = must(mcache_realloc(text, 1000));
    printf(" to 1000 %s,", text == before ? "stayed" : "moved");
    text = must(mcache_realloc(text, 5));
    printf(" to 5 has %zu bytes; its content was %s\n", mcache_capacity(text),
           strcmp(text, "kept") == 0 ? "kept" : "lost");
    mcache_free(text);
}

#define HANDED 1000

static void *free_all(void *arg)
{
    void **blocks = arg;
    for (size_t i = 0; i < HANDED; i++)
        mcache_free(blocks[i]);
    return NULL; /* the end of a thread gives its cache to the others */
}

/* Blocks may be freed by any thread, and serve the first one again. */
static void show_threads(void)
{
    static void *blocks[HANDED];
    pthread_t thread;
    for (size_t i = 0; i < HANDED; i++)
        blocks[i] = must(mcache_alloc(1000));
    size_t live = stats_now().live_bytes;
    size_t segments = stats_now().segment_bytes;
    if (pthread_create(&thread, NULL, free_all, blocks) != 0)
        fail("no thread");
    pthread_join(thread, NULL);
    printf("threads:   %d blocks freed by another thread, live bytes %zu -> %zu;", HANDED, live,
           stats_now().live_bytes);
    for (size_t i = 0; i < HANDED; i++)
        blocks[i] = must(mcache_alloc(1000));
    printf(" as many again take %zu bytes more of the system\n",
           stats_now().segment_bytes - segments);
    free_all(blocks);
}

static void burst(void)
{
    static void *blocks[BURST_BLOCKS];
    for (size_t i = 0; i < BURST_BLOCKS; i++)
        blocks[i] = memset(must(mcache_alloc(BURST_SIZE)), 1, BURST_SIZE);
    for (size_t i = 0; i < BURST_BLOCKS; i++)
        mcache_free(blocks[i]);
    mcache_flush(); /* this thread's cache too: it is not going to allocate for a while */
}

static unsigned elapsed_ms(struct timespec start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned)((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000);
}

/* What nobody has asked for goes back: allocations see to it by themselves, and so does a timer. */
static void show_decay(void)
{
    const struct mcache_options options = {.retain_limit = (size_t)256 << 20, .decay_ms = 50};
    const struct timespec period = {.tv_nsec = 5000000};
    struct timespec start;
    mcache_configure(&options);
    (void)mcache_trim();
    uint64_t returned = stats_now().returned_bytes;
    clock_gettime(CLOCK_MONOTONIC, &start);
    burst();
    printf("decay:     %d MiB used and freed, %zu MiB retained (limit %zu),",
           BURST_BLOCKS * BURST_SIZE >> 20, stats_now().retained_bytes >> 20,
           stats_now().retain_limit >> 20);
    while (mcache_tick() != 0)
        nanosleep(&period, NULL);
    printf(" %" PRIu64 " MiB of segments gone by ticks after %u ms (age %u)\n",
           (stats_now().returned_bytes - returned) >> 20, elapsed_ms(start), options.decay_ms);
    burst();
    size_t trimmed = mcache_trim();
    printf("trim:      after another burst %zu MiB of segments gone at once, %zu bytes retained\n",
           trimmed >> 20, stats_now().retained_bytes);
    mcache_configure(NULL); /* the defaults again */
}

static void show_stats(void)
{
    struct mcache_stats stats = stats_now();
    printf("figures:   class allocated freed:");
    for (size_t i = 0; i < MCACHE_CLASS_COUNT; i++) {
        const struct mcache_class_stats *one = &stats.classes[i];
        if (one->alloc_count != 0)
            printf(" %zu: %" PRIu64 " %" PRIu64 ",", one->size, one->alloc_count, one->free_count);
    }
    printf(" larger: %" PRIu64 " %" PRIu64 "; %zu bytes live, %" PRIu64 " bad frees\n",
           stats.system_alloc_count, stats.system_free_count, stats.live_bytes,
           stats.bad_free_count);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        puts("usage: cache_demo [--help]\nShows what mcache does; takes no other flag.");
        return 0;
    }
    if (argc > 1) {
        (void)fprintf(stderr, "cache_demo: unknown flag \"%s\"; there is only --help\n", argv[1]);
        return STATUS_USAGE;
    }
    show_classes();
    show_zeroed();
    show_alignment();
    show_growth();
    show_threads();
    show_decay();
    show_stats();
    return 0;
}
