/* Blocks above the largest class: a mapping each, its header page in front. Any thread. */
#include "large.h"

#include <stdint.h>
#include <sys/mman.h>

#include "segment.h"

/* The payload begins one page into the mapping, where masking still finds the header. */
#define HEADER_BYTES ((size_t)4096)
/* Pages of the system are at most this; a mapping is a multiple of it. */
#define MAP_UNIT ((size_t)64 << 10)

_Static_assert(offsetof(struct mc_segment, spans) <= HEADER_BYTES, "header fields in use");

/* Relaxed: they count, and order nothing. Paired with mc_large_stats_add(). */
static _Atomic uint64_t alloc_count;
static _Atomic uint64_t free_count;
static _Atomic size_t live_bytes;

void *mc_large_alloc(size_t size)
{
    struct mc_segment *segment;
    size_t bytes;

    if (size > PTRDIFF_MAX - HEADER_BYTES - MAP_UNIT - MC_SEGMENT_SIZE) {
        return NULL;
    }
    bytes = (size + HEADER_BYTES + MAP_UNIT - 1) & ~(MAP_UNIT - 1);
    segment = mc_segment_map(bytes);
    if (segment == NULL) {
        return NULL;
    }
    segment->mapped_bytes = bytes;
    atomic_store_explicit(&segment->slice_class[0], MC_SLICE_LARGE, memory_order_relaxed);
    atomic_fetch_add_explicit(&alloc_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&live_bytes, bytes - HEADER_BYTES, memory_order_relaxed);
    return (char *)segment + HEADER_BYTES;
}

bool mc_large_free(void *block)
{
    struct mc_segment *segment = mc_segment_of(block);
    size_t bytes = segment->mapped_bytes;

    if ((char *)block != (char *)segment + HEADER_BYTES) {
        return false;
    }
    atomic_fetch_add_explicit(&free_count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&live_bytes, bytes - HEADER_BYTES, memory_order_relaxed);
    if (!mc_segment_unmap(segment, bytes)) {
        /* The addresses stay taken, as no block's start; the memory goes back all the same. */
        atomic_store_explicit(&segment->slice_class[0], MC_SLICE_NONE, memory_order_relaxed);
        (void)madvise((char *)segment + HEADER_BYTES, bytes - HEADER_BYTES, MADV_DONTNEED);
    }
    return true;
}

size_t mc_large_capacity(const void *block)
{
    return mc_segment_of(block)->mapped_bytes - HEADER_BYTES;
}

void mc_large_stats_add(struct mcache_stats *out)
{
    out->system_alloc_count += atomic_load_explicit(&alloc_count, memory_order_relaxed);
    out->system_free_count += atomic_load_explicit(&free_count, memory_order_relaxed);
    out->system_bytes += atomic_load_explicit(&live_bytes, memory_order_relaxed);
}
