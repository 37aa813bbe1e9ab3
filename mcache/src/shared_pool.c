/* The blocks between the threads' caches: batches in front, spans behind. Any thread. */
#include "shared_pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>

#include "decay.h"
#include "poison.h"
#include "segment.h"

/* Bounds of what a class keeps in batches: bytes, and batches whatever their bytes. */
#define BATCHES_MAX_BYTES ((size_t)4 << 20)
#define BATCHES_MAX_COUNT 64

_Static_assert(MC_LIMIT_SHARES > MCACHE_CLASS_COUNT, "every class has one, large blocks the rest");

struct class_pool {
    pthread_mutex_t lock;
    void *batches; /* stack of full batches, linked through the second word of their first blocks */
    unsigned batch_count;
    unsigned batch_low;    /* fewest since the last round of the decay */
    unsigned whole_count;  /* spans in the list with every block in */
    bool whole_used;       /* one of them was taken from since the last round */
    struct mc_span *spans; /* spans with a block in */
    /* Bytes in batches and whole spans. Relaxed: a figure, stored whenever the lock is left. */
    _Atomic size_t retained;
} __attribute__((aligned(64)));

static struct class_pool pools[MCACHE_CLASS_COUNT] = {
    [0 ... MCACHE_CLASS_COUNT - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER},
};

static size_t batch_bytes(unsigned cls)
{
    return mc_class_batch(cls) * mc_class_size(cls);
}

static size_t span_bytes(unsigned cls)
{
    return mc_span_capacity(cls) * mc_class_size(cls);
}

static size_t share_max(void)
{
    return mc_retain_limit() / 2 / MC_LIMIT_SHARES;
}

static unsigned batches_max(unsigned cls)
{
    size_t bytes = BATCHES_MAX_BYTES < share_max() ? BATCHES_MAX_BYTES : share_max();
    size_t fit = bytes / batch_bytes(cls);

    return fit > BATCHES_MAX_COUNT ? BATCHES_MAX_COUNT : (unsigned)fit;
}

static struct class_pool *pool_lock(unsigned cls)
{
    pthread_mutex_lock(&pools[cls].lock);
    return &pools[cls];
}

static void pool_unlock(struct class_pool *pool, unsigned cls)
{
    atomic_store_explicit(
        &pool->retained, pool->batch_count * batch_bytes(cls) + pool->whole_count * span_bytes(cls),
        memory_order_relaxed);
    pthread_mutex_unlock(&pool->lock);
}

static void span_list_add(struct class_pool *pool, struct mc_span *span)
{
    span->prev = NULL;
    span->next = pool->spans;
    if (pool->spans != NULL) {
        pool->spans->prev = span;
    }
    pool->spans = span;
}

static void span_list_remove(struct class_pool *pool, struct mc_span *span)
{
    if (span->prev != NULL) {
        span->prev->next = span->next;
    } else {
        pool->spans = span->next;
    }
    if (span->next != NULL) {
        span->next->prev = span->prev;
    }
}

static bool span_is_empty(const struct mc_span *span)
{
    return span->free == NULL && span->fresh_count == 0;
}

static void *span_start(struct mc_span *span)
{
    struct mc_segment *segment = mc_segment_of(span);

    return (char *)segment + ((size_t)(span - segment->spans) << MC_SLICE_SHIFT);
}

/* The span has a block in. */
static void *span_pop(struct class_pool *pool, struct mc_span *span, unsigned cls)
{
    void *block = span->free;

    if (span->out_count == 0) {
        pool->whole_count--;
        pool->whole_used = true;
    }
    if (block != NULL) {
        span->free = mc_next_block(block);
    } else {
        uint32_t index = mc_span_capacity(cls) - span->fresh_count;

        block = (char *)span_start(span) + ((size_t)index << mc_class_shift(cls));
        span->fresh_count--;
    }
    span->out_count++;
    if (span_is_empty(span)) {
        span_list_remove(pool, span);
    }
    return block;
}

/*
 * Of the spans whose blocks are all in, one stays for the next taker if it may; more go to the
 * segment, where any class can have them.
 */
static void span_push(struct class_pool *pool, void *block, unsigned cls)
{
    struct mc_span *span = mc_span_of(block);

    assert(span->out_count > 0);
    if (span_is_empty(span)) {
        span_list_add(pool, span);
    }
    mc_set_next_block(block, span->free);
    span->free = block;
    span->out_count--;
    if (span->out_count > 0) {
        return;
    }
    if (pool->whole_count > 0 || span_bytes(cls) > share_max()) {
        span_list_remove(pool, span);
        mc_span_give(span, cls);
    } else {
        pool->whole_count++;
    }
}

static void push_all(struct class_pool *pool, void *list, unsigned cls)
{
    while (list != NULL) {
        void *block = list;

        list = mc_next_block(block);
        span_push(pool, block, cls);
    }
}

static void *batch_pop(struct class_pool *pool)
{
    void *batch = pool->batches;

    if (batch != NULL) {
        pool->batches = mc_next_batch(batch);
        pool->batch_count--;
        if (pool->batch_count < pool->batch_low) {
            pool->batch_low = pool->batch_count;
        }
    }
    return batch;
}

/* Makes sure that there is a span with a block in; false when the system has no memory. */
static bool span_ready(struct class_pool *pool, unsigned cls)
{
    struct mc_span *span = pool->spans == NULL ? mc_span_take(cls) : NULL;

    if (span != NULL) {
        span_list_add(pool, span);
        pool->whole_count++;
    }
    return pool->spans != NULL;
}

/*
 * Takes from the spans there are; from new ones only to get any block at all, and, where a span
 * holds less than a batch, to get them all with the lock taken once.
 */
static unsigned pop_some(struct class_pool *pool, unsigned cls, void **list)
{
    unsigned want = mc_class_batch(cls);
    bool fill = mc_span_capacity(cls) < want;
    unsigned count = 0;
    void *last = NULL;

    while (count < want && (pool->spans != NULL || count == 0 || fill)) {
        void *block;

        if (!span_ready(pool, cls)) {
            break;
        }
        block = span_pop(pool, pool->spans, cls);
        /* Rising addresses, which the processor fetches ahead. */
        if (last == NULL) {
            *list = block;
        } else {
            mc_set_next_block(last, block);
        }
        last = block;
        count++;
    }
    if (last != NULL) {
        mc_set_next_block(last, NULL);
    }
    return count;
}

unsigned mc_pool_take(unsigned cls, void **list)
{
    struct class_pool *pool = pool_lock(cls);
    unsigned count = mc_class_batch(cls);

    *list = batch_pop(pool);
    if (*list == NULL) {
        count = pop_some(pool, cls, list);
    }
    pool_unlock(pool, cls);
    return count;
}

void mc_pool_give_batch(unsigned cls, void *batch)
{
    struct class_pool *pool = pool_lock(cls);

    if (pool->batch_count < batches_max(cls)) {
        mc_set_next_batch(batch, pool->batches);
        pool->batches = batch;
        pool->batch_count++;
    } else {
        push_all(pool, batch, cls);
    }
    pool_unlock(pool, cls);
    mc_decay_enforce_limit();
}

void mc_pool_give_list(unsigned cls, void *list)
{
    struct class_pool *pool = pool_lock(cls);

    push_all(pool, list, cls);
    pool_unlock(pool, cls);
    mc_decay_enforce_limit();
}

static void whole_spans_give(struct class_pool *pool, unsigned cls)
{
    struct mc_span *next;

    for (struct mc_span *span = pool->spans; span != NULL && pool->whole_count > 0; span = next) {
        next = span->next;
        if (span->out_count == 0) {
            span_list_remove(pool, span);
            pool->whole_count--;
            mc_span_give(span, cls);
        }
    }
}

void mc_pool_decay(void)
{
    for (unsigned cls = 0; cls < MCACHE_CLASS_COUNT; cls++) {
        struct class_pool *pool;

        if (atomic_load_explicit(&pools[cls].retained, memory_order_relaxed) == 0) {
            continue;
        }
        pool = pool_lock(cls);
        for (unsigned i = pool->batch_low; i > 0; i--) {
            push_all(pool, batch_pop(pool), cls);
        }
        if (!pool->whole_used) {
            whole_spans_give(pool, cls);
        }
        pool->whole_used = false;
        pool->batch_low = pool->batch_count;
        pool_unlock(pool, cls);
    }
}

void mc_pool_empty(void)
{
    for (unsigned cls = 0; cls < MCACHE_CLASS_COUNT; cls++) {
        struct class_pool *pool = pool_lock(cls);

        while (pool->batches != NULL) {
            push_all(pool, batch_pop(pool), cls);
        }
        whole_spans_give(pool, cls);
        pool_unlock(pool, cls);
    }
}

size_t mc_pool_retained(void)
{
    size_t bytes = 0;

    for (unsigned cls = 0; cls < MCACHE_CLASS_COUNT; cls++) {
        bytes += atomic_load_explicit(&pools[cls].retained, memory_order_relaxed);
    }
    return bytes;
}

void mc_pool_lock(void)
{
    for (unsigned cls = 0; cls < MCACHE_CLASS_COUNT; cls++) {
        pthread_mutex_lock(&pools[cls].lock);
    }
    mc_segments_lock();
}

void mc_pool_unlock(void)
{
    mc_segments_unlock();
    for (unsigned cls = MCACHE_CLASS_COUNT; cls > 0; cls--) {
        pthread_mutex_unlock(&pools[cls - 1].lock);
    }
}
