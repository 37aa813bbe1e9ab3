/*
 * Decay in rounds. A round first gives the segments what the classes did not use since the round
 * before, then, step by step, gives the system the large blocks and the slices that stayed free for
 * as long.
 */
#include "decay.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "large_cache.h"
#include "segment.h"
#include "shared_pool.h"

/*
 * Between the steps of a round; and what a step gives back for each millisecond since the last. It
 * ends with the segment that reaches that, so a step can give back 32 MiB.
 */
#define STEP_MS           10
#define STEP_BYTES_PER_MS ((size_t)1 << 20)
#define STEP_BYTES_MAX    (((size_t)32 << 20) - MC_SEGMENT_SIZE)
/* A limit is enforced down to this share of it, so that not every further free has to. */
#define SHRINK_NUMERATOR   7
#define SHRINK_DENOMINATOR 8

/* Relaxed: settings that may come into force a moment later. */
static _Atomic size_t retain_limit = MCACHE_RETAIN_LIMIT_DEFAULT;
static _Atomic unsigned decay_ms = MCACHE_DECAY_MS_DEFAULT;

/* Held by the thread that gives memory back. Taken before the locks of the classes. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Milliseconds. Relaxed: read without the lock only to see that there is nothing to do yet. */
static _Atomic uint64_t next_step;
static _Atomic bool in_round; /* as next_step */
static uint64_t last_step;
static uint64_t round_start;

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int mc_decay_configure(const struct mcache_options *options)
{
    size_t limit = options == NULL ? 0 : options->retain_limit;
    unsigned age = options == NULL ? 0 : options->decay_ms;

    for (size_t i = 0; options != NULL && i < sizeof(options->reserved) / sizeof(uint32_t); i++) {
        if (options->reserved[i] != 0) {
            return -EINVAL;
        }
    }
    /* Held, so that a step in progress does not put off the next one by what was set before. */
    pthread_mutex_lock(&lock);
    atomic_store_explicit(&retain_limit, limit == 0 ? MCACHE_RETAIN_LIMIT_DEFAULT : limit,
                          memory_order_relaxed);
    atomic_store_explicit(&decay_ms, age == 0 ? MCACHE_DECAY_MS_DEFAULT : age,
                          memory_order_relaxed);
    atomic_store_explicit(&next_step, 0, memory_order_relaxed);
    pthread_mutex_unlock(&lock);
    return 0;
}

size_t mc_retain_limit(void)
{
    return atomic_load_explicit(&retain_limit, memory_order_relaxed);
}

size_t mc_retained(void)
{
    return mc_pool_retained() + mc_segments_dirty() + mc_large_cache_retained();
}

uint64_t mc_returned(void)
{
    return mc_segments_returned() + mc_large_cache_returned();
}

static size_t step_bytes(uint64_t now)
{
    uint64_t elapsed = now - last_step;

    return elapsed > STEP_BYTES_MAX / STEP_BYTES_PER_MS ? STEP_BYTES_MAX
                                                        : (size_t)elapsed * STEP_BYTES_PER_MS;
}

static bool is_in_round(void)
{
    return atomic_load_explicit(&in_round, memory_order_relaxed);
}

/* With the lock held. */
static void step(uint64_t now)
{
    uint64_t age = atomic_load_explicit(&decay_ms, memory_order_relaxed);
    bool more = is_in_round();

    if (!more && now - round_start >= age) {
        round_start = now;
        last_step = now - STEP_MS;
        more = true;
        mc_pool_decay();
        mc_segments_round();
        mc_large_cache_round();
    }
    if (more) {
        size_t bytes = step_bytes(now);

        more = !mc_large_cache_decay(&bytes);
        /* Where nothing is left for it to give back, it still looks whether there is anything. */
        more = !mc_segments_decay(bytes) || more;
        last_step = now;
    }
    atomic_store_explicit(&in_round, more, memory_order_relaxed);
    atomic_store_explicit(&next_step, more ? now + STEP_MS : round_start + age,
                          memory_order_relaxed);
}

bool mc_decay_tick(void)
{
    uint64_t now = now_ms();

    if (now >= atomic_load_explicit(&next_step, memory_order_relaxed) &&
        pthread_mutex_trylock(&lock) == 0) {
        step(now);
        pthread_mutex_unlock(&lock);
    }
    return is_in_round();
}

void mc_decay_enforce_limit(void)
{
    size_t limit = mc_retain_limit() / 2;

    if (mc_segments_dirty() <= limit) {
        return;
    }
    pthread_mutex_lock(&lock);
    if (mc_segments_dirty() > limit) {
        mc_segments_shrink(limit / SHRINK_DENOMINATOR * SHRINK_NUMERATOR);
    }
    pthread_mutex_unlock(&lock);
}

void mc_decay_empty(void)
{
    pthread_mutex_lock(&lock);
    mc_pool_empty();
    mc_segments_shrink(0);
    (void)mc_large_cache_empty();
    pthread_mutex_unlock(&lock);
}

void mc_decay_lock(void)
{
    pthread_mutex_lock(&lock);
}

void mc_decay_unlock(void)
{
    pthread_mutex_unlock(&lock);
}
