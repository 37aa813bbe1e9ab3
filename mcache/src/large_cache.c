/* A short table under a lock: few sizes are in use at a time, and each spares hundreds of faults.
 */
#include "large_cache.h"

#include <pthread.h>
#include <stdatomic.h>

#include "decay.h"
#include "large.h"
#include "segment.h"

#define PLACES 64
/* A larger one costs less to map than to fill, and would hold too much of the limit. */
#define MAPPING_MAX ((size_t)32 << 20)
/* Share of the retain limit. */
#define LIMIT_SHARE 4
/* What a mapping may have beyond what is asked for: this share of it. */
#define SPARE_SHARE 4

struct place {
    struct mc_segment *segment; /* NULL: none */
    size_t bytes;
    unsigned rounds; /* of the decay that it has seen begin */
};

/* Guarded by the lock; the sums are read without it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct place places[PLACES];
/* Relaxed: figures. */
static _Atomic size_t total_bytes;
static _Atomic uint64_t returned_bytes;

/* With the lock held. */
static struct mc_segment *leave(struct place *place)
{
    struct mc_segment *segment = place->segment;

    atomic_fetch_sub_explicit(&total_bytes, place->bytes, memory_order_relaxed);
    *place = (struct place){0};
    return segment;
}

struct mc_segment *mc_large_cache_take(size_t bytes)
{
    size_t most = bytes + bytes / SPARE_SHARE;
    struct mc_segment *segment = NULL;
    struct place *best = NULL;

    if (mc_large_cache_bytes() < bytes) {
        return NULL;
    }
    pthread_mutex_lock(&lock);
    for (struct place *place = places; place < places + PLACES; place++) {
        if (place->bytes >= bytes && place->bytes <= most) {
            best = place;
            most = place->bytes - 1;
        }
    }
    if (best != NULL) {
        segment = leave(best);
    }
    pthread_mutex_unlock(&lock);
    return segment;
}

bool mc_large_cache_put(struct mc_segment *segment)
{
    size_t bytes = segment->mapped_bytes;
    size_t limit = mc_retain_limit() / LIMIT_SHARE;
    bool taken = false;

    if (bytes > MAPPING_MAX) {
        return false;
    }
    pthread_mutex_lock(&lock);
    for (struct place *place = places; place < places + PLACES && !taken; place++) {
        if (place->segment == NULL && mc_large_cache_bytes() + bytes <= limit) {
            *place = (struct place){.segment = segment, .bytes = bytes};
            segment->payload_offset = 0; /* nobody's block */
            atomic_fetch_add_explicit(&total_bytes, bytes, memory_order_relaxed);
            taken = true;
        }
    }
    pthread_mutex_unlock(&lock);
    return taken;
}

void mc_large_cache_round(void)
{
    pthread_mutex_lock(&lock);
    for (struct place *place = places; place < places + PLACES; place++) {
        place->rounds++;
    }
    pthread_mutex_unlock(&lock);
}

/* One that has seen so many rounds, or NULL. */
static struct mc_segment *take_old(unsigned rounds)
{
    struct mc_segment *segment = NULL;

    pthread_mutex_lock(&lock);
    for (struct place *place = places; place < places + PLACES && segment == NULL; place++) {
        if (place->segment != NULL && place->rounds >= rounds) {
            segment = leave(place);
        }
    }
    pthread_mutex_unlock(&lock);
    return segment;
}

/* Gives back those that have seen so many rounds until that many bytes have gone. */
static bool give_back(unsigned rounds, size_t bytes)
{
    size_t gone = 0;

    while (gone < bytes) {
        struct mc_segment *segment = take_old(rounds);

        if (segment == NULL) {
            return true;
        }
        gone += segment->mapped_bytes;
        atomic_fetch_add_explicit(&returned_bytes, segment->mapped_bytes, memory_order_relaxed);
        mc_large_unmap(segment);
    }
    return false;
}

bool mc_large_cache_decay(size_t bytes)
{
    return give_back(2, bytes);
}

void mc_large_cache_empty(void)
{
    (void)give_back(0, SIZE_MAX);
}

size_t mc_large_cache_bytes(void)
{
    return atomic_load_explicit(&total_bytes, memory_order_relaxed);
}

uint64_t mc_large_cache_returned(void)
{
    return atomic_load_explicit(&returned_bytes, memory_order_relaxed);
}

void mc_large_cache_lock(void)
{
    pthread_mutex_lock(&lock);
}

void mc_large_cache_unlock(void)
{
    pthread_mutex_unlock(&lock);
}
