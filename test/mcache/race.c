/*
 * Blocks that one thread allocates and another frees, with their content checked, while other
 * calls of mcache go on. For ThreadSanitizer, and useful without.
 */
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

enum {
    PAIRS = 2,
    DEPTH = 512,
    SECONDS = 2
};

struct message {
    size_t size;
    unsigned char fill;
};

struct channel {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct message *ring[DEPTH];
    size_t head;
    size_t tail;
    uint32_t seed;
};

static struct channel channels[PAIRS];
static atomic_bool stop;
static atomic_uint_fast64_t handed;

static void fail(const char *what)
{
    (void)fprintf(stderr, "%s\n", what);
    exit(1);
}

static void channel_send(struct channel *channel, struct message *message)
{
    pthread_mutex_lock(&channel->lock);
    while (channel->tail - channel->head == DEPTH) {
        pthread_cond_wait(&channel->changed, &channel->lock);
    }
    channel->ring[channel->tail++ % DEPTH] = message;
    pthread_cond_signal(&channel->changed);
    pthread_mutex_unlock(&channel->lock);
}

static struct message *channel_receive(struct channel *channel)
{
    struct message *message;

    pthread_mutex_lock(&channel->lock);
    while (channel->tail == channel->head) {
        pthread_cond_wait(&channel->changed, &channel->lock);
    }
    message = channel->ring[channel->head++ % DEPTH];
    pthread_cond_signal(&channel->changed);
    pthread_mutex_unlock(&channel->lock);
    return message;
}

static size_t random_size(uint32_t *seed)
{
    uint32_t bits;

    *seed = *seed * 1664525u + 1013904223u;
    bits = *seed >> 8;
    /* Mostly small; up to 256 KiB now and then. */
    return sizeof(struct message) + (bits >> 5) % ((size_t)32 << (bits % 8 == 0 ? 13 : bits % 8));
}

/* In one of the ways there are. */
static void *make_block(size_t size, uint32_t seed)
{
    void *block;

    switch (seed >> 16 & 7) {
    case 0:
        block = mcache_calloc(1, size);
        break;
    case 1:
        block = mcache_aligned_alloc(4096, size);
        break;
    case 2:
        block = mcache_realloc(mcache_alloc(size / 8), size);
        break;
    default:
        block = mcache_alloc(size);
    }
    if (block == NULL) {
        fail("no memory");
    }
    return block;
}

static void *produce(void *arg)
{
    struct channel *channel = arg;

    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        size_t size = random_size(&channel->seed);
        struct message *message = make_block(size, channel->seed);

        message->size = size;
        message->fill = (unsigned char)channel->seed;
        memset(message + 1, message->fill, size - sizeof(*message));
        channel_send(channel, message);
    }
    channel_send(channel, NULL);
    return NULL;
}

static void *consume(void *arg)
{
    struct channel *channel = arg;
    struct message *message;

    while ((message = channel_receive(channel)) != NULL) {
        const unsigned char *payload = (const unsigned char *)(message + 1);

        for (size_t i = 0; i < message->size - sizeof(*message); i++) {
            if (payload[i] != message->fill) {
                fail("a block was changed by someone else");
            }
        }
        mcache_free(message);
        atomic_fetch_add_explicit(&handed, 1, memory_order_relaxed);
    }
    return NULL;
}

static void *short_life(void *arg)
{
    (void)arg;
    for (size_t size = 16; size <= MCACHE_CLASS_MAX; size *= 2) {
        mcache_free(mcache_alloc(size));
    }
    return NULL;
}

/* Whatever else a process does at the same time. */
static void *disturb(void *arg)
{
    (void)arg;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        struct mcache_stats stats;
        pthread_t thread;

        if (pthread_create(&thread, NULL, short_life, NULL) == 0) {
            pthread_join(thread, NULL);
        }
        mcache_trim();
        mcache_stats_read(&stats);
        for (int i = 0; i < MCACHE_CLASS_COUNT; i++) {
            if (stats.classes[i].free_count > stats.classes[i].alloc_count) {
                fail("more frees than allocations");
            }
        }
    }
    return NULL;
}

/* Blocks above the largest class, whose mappings go from thread to thread. */
static void *use_large(void *arg)
{
    unsigned char mark = *(unsigned char *)arg;
    uint32_t bits = mark;

    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        size_t size;
        unsigned char *block;

        bits = bits * 1664525u + 1013904223u;
        size = MCACHE_CLASS_MAX + 1 + (bits >> 8) % (6 * MCACHE_CLASS_MAX);
        block = bits >> 31 == 0 ? mcache_alloc(size) : mcache_aligned_alloc(65536, size);
        if (block == NULL || mcache_capacity(block) < size) {
            fail("no memory");
        }
        memset(block, mark, 64);
        memset(block + size - 64, mark, 64);
        (void)sched_yield();
        if (memcmp(block, block + size - 64, 64) != 0 || block[0] != mark) {
            fail("a large block was changed by someone else");
        }
        mcache_free(block);
    }
    return NULL;
}

/* Free memory comes and goes by age and by the limit. */
static void *decay(void *arg)
{
    unsigned round = 0;

    (void)arg;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        struct mcache_options options = {.retain_limit = round % 3 == 0 ? 1 << 20 : 0,
                                         .decay_ms = 1 + round % 5};
        void *block = mcache_alloc(MCACHE_CLASS_MAX);

        if (round++ % 100 == 0) {
            mcache_configure(&options);
        }
        mcache_free(block);
        mcache_flush();
        (void)mcache_tick();
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[2 * PAIRS + 5];
    unsigned char marks[] = {1, 2};
    struct timespec length = {SECONDS, 0};
    struct mcache_stats stats;

    for (size_t i = 0; i < PAIRS; i++) {
        pthread_mutex_init(&channels[i].lock, NULL);
        pthread_cond_init(&channels[i].changed, NULL);
        channels[i].seed = (uint32_t)i + 1;
        pthread_create(&threads[2 * i], NULL, produce, &channels[i]);
        pthread_create(&threads[2 * i + 1], NULL, consume, &channels[i]);
    }
    pthread_create(&threads[(size_t)2 * PAIRS], NULL, disturb, NULL);
    pthread_create(&threads[(size_t)2 * PAIRS + 1], NULL, decay, NULL);
    pthread_create(&threads[(size_t)2 * PAIRS + 2], NULL, decay, NULL);
    pthread_create(&threads[(size_t)2 * PAIRS + 3], NULL, use_large, &marks[0]);
    pthread_create(&threads[(size_t)2 * PAIRS + 4], NULL, use_large, &marks[1]);
    /* The length of the run, not a wait for anything. */
    nanosleep(&length, NULL);
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
        pthread_join(threads[i], NULL);
    }
    mcache_trim();
    mcache_stats_read(&stats);
    (void)printf("%ju blocks handed over, %ju of %ju large ones used again\n",
                 (uintmax_t)atomic_load(&handed), (uintmax_t)stats.system_reuse_count,
                 (uintmax_t)stats.system_alloc_count);
    if (atomic_load(&handed) == 0 || stats.system_reuse_count == 0 || stats.live_bytes != 0 ||
        stats.segment_bytes != 0 || stats.system_bytes != 0 || stats.system_retained_bytes != 0) {
        fail("blocks are missing at the end");
    }
    return 0;
}
