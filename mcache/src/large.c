/* Blocks above the largest class: a mapping each, its header in front. Any thread. */
#include "large.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "decay.h"
#include "large_cache.h"
#include "poison.h"
#include "segment.h"

/* The least that stands before a payload. */
#define HEADER_BYTES ((size_t)4096)
/* Pages of the system are at most this; a mapping is a multiple of it. */
#define MAP_UNIT ((size_t)64 << 10)

_Static_assert(offsetof(struct mc_segment, open) <= HEADER_BYTES, "header fields in use");
_Static_assert(MCACHE_ALIGNMENT_MAX < MC_SEGMENT_SIZE,
               "masking a payload's address finds the header");

/* Figures. Paired with mc_large_stats_add(). */
static _Atomic uint64_t alloc_count;
static _Atomic uint64_t free_count;
static _Atomic size_t live_bytes;

/* Bytes to map for a payload of size bytes, at least one, at the offset; 0: absurd. */
static size_t mapping_bytes(size_t size, size_t offset)
{
    size += size == 0;
    if (size > PTRDIFF_MAX - offset - MAP_UNIT - MC_SEGMENT_SIZE) {
        return 0;
    }
    return (size + offset + MAP_UNIT - 1) & ~(MAP_UNIT - 1);
}

/* The block of a mapping whose fields are set. */
static void *begin(struct mc_segment *segment, bool zeroed)
{
    void *block = (char *)segment + segment->payload_offset;
    size_t capacity = mc_large_capacity(block);

    atomic_store_explicit(&segment->slice_class[mc_slice_of(block)], MC_SLICE_LARGE,
                          memory_order_relaxed);
    atomic_fetch_add_explicit(&alloc_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&live_bytes, capacity, memory_order_relaxed);
    mc_mark_live(block, capacity, zeroed);
    return block;
}

static void *map(size_t size, size_t offset)
{
    size_t bytes = mapping_bytes(size, offset);
    struct mc_segment *segment = bytes == 0 ? NULL : mc_segment_map(bytes);

    if (segment == NULL) {
        return NULL;
    }
    segment->mapped_bytes = bytes;
    segment->payload_offset = offset;
    return begin(segment, true);
}

/* A block in a mapping that another one has left; NULL: there is none that fits. */
static void *reuse(size_t size)
{
    size_t bytes = mapping_bytes(size, HEADER_BYTES);
    struct mc_segment *segment = bytes == 0 ? NULL : mc_large_cache_take(bytes);

    if (segment == NULL) {
        return NULL;
    }
    segment->payload_offset = HEADER_BYTES;
    return begin(segment, false);
}

void *mc_large_alloc(size_t size, size_t alignment)
{
    void *block = alignment > HEADER_BYTES ? NULL : reuse(size);

    return block != NULL ? block : map(size, alignment > HEADER_BYTES ? alignment : HEADER_BYTES);
}

void *mc_large_calloc(size_t size)
{
    void *block = reuse(size);

    if (block == NULL) {
        return map(size, HEADER_BYTES);
    }
    memset(block, 0, size);
    return block;
}

bool mc_large_is_live(const void *block)
{
    const struct mc_segment *segment = mc_segment_of(block);

    return (const char *)block == (const char *)segment + segment->payload_offset;
}

bool mc_large_is_kept(const void *block)
{
    const struct mc_segment *segment = mc_segment_of(block);

    return segment->payload_offset == 0 &&
           (const char *)block == (const char *)segment + HEADER_BYTES;
}

void mc_large_free(void *block)
{
    struct mc_segment *segment = mc_segment_of(block);
    size_t capacity = mc_large_capacity(block);

    atomic_fetch_add_explicit(&free_count, 1, memory_order_release);
    atomic_fetch_sub_explicit(&live_bytes, capacity, memory_order_relaxed);
    mc_mark_free(block, capacity);
    if (segment->payload_offset == HEADER_BYTES && mc_large_cache_put(segment)) {
        mc_decay_enforce_limit();
        (void)mc_decay_tick();
    } else {
        mc_large_unmap(segment);
    }
}

void mc_large_unmap(struct mc_segment *segment)
{
    size_t bytes = segment->mapped_bytes;

    if (!mc_unmap(segment, bytes)) {
        /* The addresses stay taken, as no block's start; the memory goes back all the same. */
        segment->payload_offset = 0;
        (void)madvise((char *)segment + HEADER_BYTES, bytes - HEADER_BYTES, MADV_DONTNEED);
    }
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
    out->system_bytes += atomic_load_explicit(&live_bytes, memory_order_relaxed);
}
