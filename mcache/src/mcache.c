/* The public calls: the order of the steps, and what becomes of bad pointers. Any thread. */
#include <mcache/mcache.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "decay.h"
#include "large.h"
#include "poison.h"
#include "segment.h"
#include "shared_pool.h"
#include "size_class.h"
#include "thread_cache.h"

#define LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

enum block_state {
    STATE_FREE = 0,
    STATE_LIVE = 1
};

/* Relaxed: it counts, and orders nothing. Paired with mcache_stats_read(). */
static _Atomic uint64_t bad_free_count;

#ifdef NDEBUG
static void bad_pointer(const void *pointer, const char *what)
{
    (void)pointer;
    (void)what;
    atomic_fetch_add_explicit(&bad_free_count, 1, memory_order_relaxed);
}
#else
/* Ends the program while the culprit is still on the stack. */
static _Noreturn void bad_pointer(const void *pointer, const char *what)
{
    char line[128];
    int length = snprintf(line, sizeof(line), "mcache: bad free of %p: %s\n", pointer, what);

    (void)!write(STDERR_FILENO, line, (size_t)length);
    abort();
}
#endif

/*
 * The class of a live block, or MC_SLICE_LARGE. MC_SLICE_NONE, after a complaint, when the pointer
 * is none; which complaint may be a guess then.
 */
static unsigned class_of_live(const void *pointer)
{
    unsigned cls;

    if (!mc_is_ours(pointer)) {
        bad_pointer(pointer, "not from mcache, or given back to the system");
        return MC_SLICE_NONE;
    }
    cls = mc_pointer_class(pointer);
    if (cls < MCACHE_CLASS_COUNT && mc_has_own_state(pointer, cls) &&
        atomic_load_explicit(mc_block_state(pointer, cls), memory_order_relaxed) == STATE_LIVE) {
        return cls;
    }
    if (cls == MC_SLICE_LARGE && mc_large_is_start(pointer)) {
        return cls;
    }
    if ((cls < MCACHE_CLASS_COUNT && ((uintptr_t)pointer & (mc_class_size(cls) - 1)) == 0) ||
        (cls == MC_SLICE_LARGE_FREE && mc_large_is_start(pointer))) {
        bad_pointer(pointer, "already free or never handed out");
    } else {
        bad_pointer(pointer, "not the start of a block");
    }
    return MC_SLICE_NONE;
}

/* Everything but a live block of a class: a large block, or nothing that may be freed. */
static __attribute__((noinline)) void free_other(void *pointer)
{
    int saved_errno = errno;

    if (class_of_live(pointer) == MC_SLICE_LARGE && !mc_large_free(pointer)) {
        bad_pointer(pointer, "already free");
    }
    errno = saved_errno;
}

static __attribute__((noinline)) void *alloc_large(size_t size, size_t alignment, bool zero)
{
    int saved_errno = errno;
    bool is_zero;
    void *block = mc_large_alloc(size, alignment, &is_zero);

    errno = block == NULL ? ENOMEM : saved_errno;
    if (block != NULL && zero && !is_zero) {
        memset(block, 0, size);
    }
    return block;
}

/* The block is a caller's from here on. */
static inline void block_begin(void *block, unsigned cls)
{
    atomic_store_explicit(mc_block_state(block, cls), STATE_LIVE, memory_order_relaxed);
    mc_mark_live(block, mc_class_size(cls), false);
}

static __attribute__((noinline)) void *alloc_slow(unsigned cls)
{
    int saved_errno = errno;
    void *block = mc_cache_pop_slow(cls);

    errno = block == NULL ? ENOMEM : saved_errno;
    if (block != NULL) {
        block_begin(block, cls);
    }
    return block;
}

/* A size that no class is computed for: 0, or above the largest class. */
static __attribute__((noinline)) void *alloc_other(size_t size, bool zero)
{
    return size == 0 ? mcache_alloc(1) : alloc_large(size, 1, zero);
}

/* The slow paths are called last, so that the fast one has nothing to keep across a call. */
static __attribute__((noinline)) void free_slow(unsigned cls, void *block)
{
    int saved_errno = errno;

    mc_cache_push_slow(cls, block);
    errno = saved_errno;
}

/* zero: what comes from above the largest class is to be 0. */
static inline void *alloc(size_t size, bool zero)
{
    struct mc_cache *cache = mc_cache_mine;
    unsigned cls;
    void *block;

    if (UNLIKELY(size - 1 >= MCACHE_CLASS_MAX)) {
        return alloc_other(size, zero);
    }
    cls = mc_class_of(size);
    block = mc_list_pop(&cache->lists[cls]);
    if (UNLIKELY(block == NULL)) {
        return alloc_slow(cls);
    }
    block_begin(block, cls);
    return block;
}

void *mcache_alloc(size_t size)
{
    return alloc(size, false);
}

void *mcache_alloc_capacity(size_t size, size_t capacity)
{
    return alloc(capacity < size ? size : capacity, false);
}

void *mcache_calloc(size_t count, size_t size)
{
    size_t bytes;
    void *block;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    block = alloc(bytes, true);
    if (block != NULL && bytes <= MCACHE_CLASS_MAX) {
        memset(block, 0, bytes);
    }
    return block;
}

void *mcache_aligned_alloc(size_t alignment, size_t size)
{
    if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > MCACHE_ALIGNMENT_MAX) {
        errno = EINVAL;
        return NULL;
    }
    if (size > MCACHE_CLASS_MAX || alignment > MCACHE_CLASS_MAX) {
        return alloc_large(size, alignment, false);
    }
    /* Blocks of a class are aligned to their size. */
    return alloc(size < alignment ? alignment : size, false);
}

/*
 * Makes a live block free; false when it is not live. Where assertions are on, two threads that
 * free it at the same instant are told apart; the instruction for that costs as much as a free.
 */
static inline bool block_end(const void *block, unsigned cls)
{
    _Atomic uint8_t *state = mc_block_state(block, cls);

#ifdef NDEBUG
    if (UNLIKELY(atomic_load_explicit(state, memory_order_relaxed) != STATE_LIVE)) {
        return false;
    }
    atomic_store_explicit(state, STATE_FREE, memory_order_relaxed);
    return true;
#else
    return atomic_exchange_explicit(state, STATE_FREE, memory_order_relaxed) == STATE_LIVE;
#endif
}

void mcache_free(void *block)
{
    struct mc_cache *cache = mc_cache_mine;
    unsigned cls;

    if (UNLIKELY(!mc_is_ours(block))) {
        if (block != NULL) {
            free_other(block);
        }
        return;
    }
    cls = mc_pointer_class(block);
    if (UNLIKELY(cls >= MCACHE_CLASS_COUNT || !mc_has_own_state(block, cls) ||
                 !block_end(block, cls))) {
        free_other(block);
        return;
    }
    mc_mark_free(block, mc_class_size(cls));
    if (UNLIKELY(!mc_list_push(&cache->lists[cls], block))) {
        free_slow(cls, block);
    }
}

static size_t capacity_of(const void *block, unsigned cls)
{
    return cls == MC_SLICE_LARGE ? mc_large_capacity(block) : mc_class_size(cls);
}

size_t mcache_capacity(const void *block)
{
    return block == NULL ? 0 : capacity_of(block, mc_pointer_class(block));
}

bool mcache_expand(void *block, size_t size)
{
    int saved_errno = errno;
    unsigned cls = block == NULL ? MC_SLICE_NONE : class_of_live(block);
    bool fits = false;

    if (cls == MC_SLICE_LARGE) {
        fits = mc_large_expand(block, size);
    } else if (cls != MC_SLICE_NONE) {
        fits = size <= mc_class_size(cls);
    }
    errno = saved_errno;
    return fits;
}

void *mcache_realloc(void *block, size_t size)
{
    size_t capacity;
    unsigned cls;
    void *other;

    if (block == NULL) {
        return alloc(size, false);
    }
    cls = class_of_live(block);
    if (cls == MC_SLICE_NONE) {
        errno = EINVAL;
        return NULL;
    }
    capacity = capacity_of(block, cls);
    if ((size >= capacity / 4 || capacity == MCACHE_CLASS_MIN) && mcache_expand(block, size)) {
        return block;
    }
    other = alloc(size, false);
    if (other != NULL) {
        memcpy(other, block, size < capacity ? size : capacity);
        mcache_free(block);
    }
    return other;
}

void mcache_flush(void)
{
    int saved_errno = errno;

    mc_cache_flush();
    errno = saved_errno;
}

size_t mcache_trim(void)
{
    int saved_errno = errno;
    uint64_t before = mc_returned();

    mc_cache_flush();
    mc_decay_empty();
    errno = saved_errno;
    return (size_t)(mc_returned() - before);
}

size_t mcache_tick(void)
{
    int saved_errno = errno;

    (void)mc_decay_tick();
    errno = saved_errno;
    return mc_retained();
}

int mcache_configure(const struct mcache_options *options)
{
    return mc_decay_configure(options);
}

void mcache_stats_read(struct mcache_stats *out)
{
    memset(out, 0, sizeof(*out));
    mc_cache_stats_add(out);
    mc_large_stats_add(out);
    for (unsigned cls = 0; cls < MCACHE_CLASS_COUNT; cls++) {
        struct mcache_class_stats *figures = &out->classes[cls];

        figures->size = mc_class_size(cls);
        out->live_bytes += (size_t)(figures->alloc_count - figures->free_count) * figures->size;
    }
    out->segment_bytes = mc_segments_bytes();
    out->retained_bytes = mc_retained();
    out->retain_limit = mc_retain_limit();
    out->returned_bytes = mc_returned();
    out->bad_free_count = atomic_load_explicit(&bad_free_count, memory_order_relaxed);
}
