/* Blocks above the largest class: a mapping each, its header in front. Any thread. */
#include "large.h"

#include <stdint.h>

#include "decay.h"
#include "large_cache.h"
#include "poison.h"
#include "segment.h"

/* The least that stands before a payload. */
#define HEADER_BYTES ((size_t)4096)

_Static_assert(offsetof(struct mc_segment, dirty_slices) <= HEADER_BYTES, "header fields in use");
_Static_assert(MCACHE_ALIGNMENT_MAX < MC_SEGMENT_SIZE,
               "masking a payload's address finds the header");

/* Figures. Paired with mc_large_stats_add(). */
static _Atomic uint64_t alloc_count;
static _Atomic uint64_t free_count;
static _Atomic uint64_t reuse_count;
static _Atomic size_t live_bytes;

/* Bytes to map for a payload of size bytes, at least one, at the offset; 0: absurd. */
static size_t mapping_bytes(size_t size, size_t offset)
{
    size += size == 0;
    if (size > PTRDIFF_MAX - offset - MC_LARGE_UNIT - MC_SEGMENT_SIZE) {
        return 0;
    }
    return (size + offset + MC_LARGE_UNIT - 1) & ~(MC_LARGE_UNIT - 1);
}

/* The state of a free or live block: MC_SLICE_LARGE_FREE or MC_SLICE_LARGE. */
static _Atomic uint8_t *state_of(struct mc_segment *segment)
{
    return &segment->slice_class[segment->payload_offset >> MC_SLICE_SHIFT];
}

/* A mapping of so many bytes at least, whose payload is to begin at the offset. */
static struct mc_segment *mapping_take(size_t bytes, size_t offset, bool *is_zero)
{
    struct mc_segment *segment = mc_large_cache_take(bytes);

    *is_zero = segment == NULL;
    if (segment != NULL) {
        /* Where it began before stays MC_SLICE_LARGE_FREE, and is no start of a block now. */
        atomic_fetch_add_explicit(&reuse_count, 1, memory_order_relaxed);
    } else {
        segment = mc_segment_map(bytes);
        if (segment == NULL) {
            return NULL;
        }
        segment->mapped_bytes = bytes;
    }
    segment->payload_offset = offset;
    atomic_store_explicit(state_of(segment), MC_SLICE_LARGE, memory_order_relaxed);
    return segment;
}

void *mc_large_alloc(size_t size, size_t alignment, bool *is_zero)
{
    size_t offset = alignment > HEADER_BYTES ? alignment : HEADER_BYTES;
    size_t bytes = mapping_bytes(size, offset);
    struct mc_segment *segment;
    void *block;

    (void)mc_decay_tick();
    segment = bytes == 0 ? NULL : mapping_take(bytes, offset, is_zero);
    if (segment == NULL) {
        return NULL;
    }
    block = (char *)segment + offset;
    atomic_fetch_add_explicit(&alloc_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&live_bytes, mc_large_capacity(block), memory_order_relaxed);
    mc_mark_live(block, mc_large_capacity(block), *is_zero);
    return block;
}

bool mc_large_is_start(const void *block)
{
    const struct mc_segment *segment = mc_segment_of(block);

    return (const char *)block == (const char *)segment + segment->payload_offset;
}

bool mc_large_free(void *block)
{
    struct mc_segment *segment = mc_segment_of(block);
    size_t capacity = mc_large_capacity(block);
    uint8_t live = MC_SLICE_LARGE;

    /* Relaxed: of two frees one succeeds; the lock of the cache hands the memory over. */
    if (!atomic_compare_exchange_strong_explicit(state_of(segment), &live, MC_SLICE_LARGE_FREE,
                                                 memory_order_relaxed, memory_order_relaxed)) {
        return false;
    }
    atomic_fetch_add_explicit(&free_count, 1, memory_order_release);
    atomic_fetch_sub_explicit(&live_bytes, capacity, memory_order_relaxed);
    mc_mark_free(block, capacity);
    mc_large_cache_give(segment);
    return true;
}

bool mc_large_expand(void *block, size_t size)
{
    struct mc_segment *segment = mc_segment_of(block);
    size_t capacity = mc_large_capacity(block);
    size_t bytes = mapping_bytes(size, segment->payload_offset);

    if (size <= capacity) {
        return true;
    }
    if (bytes == 0 || !mc_map_grow(segment, segment->mapped_bytes, bytes)) {
        return false;
    }
    segment->mapped_bytes = bytes;
    mc_mark_grown(block, capacity, mc_large_capacity(block));
    atomic_fetch_add_explicit(&live_bytes, mc_large_capacity(block) - capacity,
                              memory_order_relaxed);
    return true;
}

size_t mc_large_capacity(const void *block)
{
    const struct mc_segment *segment = mc_segment_of(block);

    return segment->mapped_bytes - segment->payload_offset;
}

void mc_large_stats_add(struct mcache_stats *out)
{
    /* Frees first, with acquire: who counts a free also counts the allocation before it. */
    out->system_free_count += atomic_load_explicit(&free_count, memory_order_acquire);
    out->system_alloc_count += atomic_load_explicit(&alloc_count, memory_order_relaxed);
    out->system_reuse_count += atomic_load_explicit(&reuse_count, memory_order_relaxed);
    out->system_retained_bytes += mc_large_cache_retained();
    out->system_bytes += atomic_load_explicit(&live_bytes, memory_order_relaxed);
}
