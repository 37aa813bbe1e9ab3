/* The public calls: the order of the steps, and what becomes of bad pointers. Any thread. */
#include <mcache/mcache.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
static void bad_free(const void *pointer, const char *what)
{
    (void)pointer;
    (void)what;
    atomic_fetch_add_explicit(&bad_free_count, 1, memory_order_relaxed);
}
#else
/* Ends the program while the culprit is still on the stack. */
static _Noreturn void bad_free(const void *pointer, const char *what)
{
    char line[128];
    int length = snprintf(line, sizeof(line), "mcache: bad free of %p: %s\n", pointer, what);

    (void)!write(STDERR_FILENO, line, (size_t)length);
    abort();
}
#endif

/* Everything but a live block of a class: a large block, or nothing that may be freed. */
static __attribute__((noinline)) void free_other(void *pointer)
{
    int saved_errno = errno;
    unsigned cls;

    if (!mc_is_ours(pointer)) {
        bad_free(pointer, "not from mcache, or given back to the system");
        return;
    }
    cls = mc_pointer_class(pointer);
    if (cls < MCACHE_CLASS_COUNT && ((uintptr_t)pointer & (mc_class_size(cls) - 1)) == 0) {
        bad_free(pointer, "already free or never handed out");
    } else if (cls != MC_SLICE_LARGE || !mc_large_free(pointer)) {
        bad_free(pointer, "not the start of a block");
    }
    errno = saved_errno;
}

static __attribute__((noinline)) void *alloc_large(size_t size)
{
    int saved_errno = errno;
    void *block = mc_large_alloc(size);

    errno = block == NULL ? ENOMEM : saved_errno;
    return block;
}

static __attribute__((noinline)) void *pop_slow(unsigned cls)
{
    int saved_errno = errno;
    void *block = mc_cache_pop_slow(cls);

    errno = block == NULL ? ENOMEM : saved_errno;
    return block;
}

static inline void *alloc(size_t size)
{
    /* First of all, because in a shared library this is a call that spoils registers. */
    struct mc_cache *cache = mc_cache_mine;
    struct mc_list *list;
    unsigned cls;
    void *block;

    if (UNLIKELY(size > MCACHE_CLASS_MAX)) {
        return alloc_large(size);
    }
    cls = mc_class_of(size);
    list = &cache->lists[cls];
    if (LIKELY(list->head != NULL)) {
        block = mc_list_pop(list);
    } else {
        block = pop_slow(cls);
        if (block == NULL) {
            return NULL;
        }
    }
    atomic_store_explicit(mc_block_state(block, cls), STATE_LIVE, memory_order_relaxed);
    mc_unpoison(block, mc_class_size(cls));
    return block;
}

void *mcache_alloc(size_t size)
{
    return alloc(size);
}

void *mcache_alloc_capacity(size_t size, size_t capacity)
{
    return alloc(capacity < size ? size : capacity);
}

void mcache_free(void *block)
{
    struct mc_cache *cache = mc_cache_mine;
    _Atomic uint8_t *state;
    unsigned cls;

    if (UNLIKELY(!mc_is_ours(block))) {
        if (block != NULL) {
            free_other(block);
        }
        return;
    }
    cls = mc_pointer_class(block);
    if (UNLIKELY(cls >= MCACHE_CLASS_COUNT || !mc_has_own_state(block, cls))) {
        free_other(block);
        return;
    }
    state = mc_block_state(block, cls);
    if (UNLIKELY(atomic_load_explicit(state, memory_order_relaxed) != STATE_LIVE)) {
        free_other(block);
        return;
    }
    atomic_store_explicit(state, STATE_FREE, memory_order_relaxed);
    mc_poison(block, mc_class_size(cls));
    if (UNLIKELY(!mc_list_push(&cache->lists[cls], block))) {
        mc_cache_push_slow(cls, block);
    }
}

size_t mcache_capacity(const void *block)
{
    unsigned cls;

    if (block == NULL) {
        return 0;
    }
    cls = mc_pointer_class(block);
    return cls == MC_SLICE_LARGE ? mc_large_capacity(block) : mc_class_size(cls);
}

void mcache_flush(void)
{
    mc_cache_flush();
}

size_t mcache_trim(void)
{
    mc_cache_flush();
    return mc_pool_trim();
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
    out->bad_free_count = atomic_load_explicit(&bad_free_count, memory_order_relaxed);
}
