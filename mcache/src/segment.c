/* Segments: aligned mappings, the registry of them, spans cut from them. Any thread. */
#include "segment.h"

#include <assert.h>
#include <pthread.h>
#include <sys/mman.h>

#include "poison.h"

#define HEADER_BITS (((uint64_t)1 << MC_HEADER_SLICES) - 1)

_Atomic uint64_t mc_registry[1 << (MC_ADDRESS_BITS - MC_SEGMENT_SHIFT - 6)];

/* Guards the lists and the free slices. Taken last: a class's lock may be held. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Segments with a free slice. The others are found through their blocks only. */
static struct mc_segment *open_segments;
static size_t segment_count;

/* Relaxed, see mc_is_ours(); atomic because neighbours in a word belong to different mappings. */
static void registry_set(const struct mc_segment *segment)
{
    uintptr_t number = (uintptr_t)segment >> MC_SEGMENT_SHIFT;

    atomic_fetch_or_explicit(&mc_registry[number >> 6], (uint64_t)1 << (number & 63),
                             memory_order_relaxed);
}

/* As registry_set(). */
static void registry_clear(const struct mc_segment *segment)
{
    uintptr_t number = (uintptr_t)segment >> MC_SEGMENT_SHIFT;

    atomic_fetch_and_explicit(&mc_registry[number >> 6], ~((uint64_t)1 << (number & 63)),
                              memory_order_relaxed);
}

static void *map_pages(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

/* Maps more than needed and cuts off what lies outside of the aligned part. */
static void *map_aligned_by_cutting(size_t bytes)
{
    char *start = map_pages(bytes + MC_SEGMENT_SIZE);
    size_t before;

    if (start == NULL) {
        return NULL;
    }
    before = -(uintptr_t)start & (MC_SEGMENT_SIZE - 1);
    if (before != 0) {
        (void)munmap(start, before);
    }
    (void)munmap(start + before + bytes, MC_SEGMENT_SIZE - before);
    return start + before;
}

struct mc_segment *mc_segment_map(size_t bytes)
{
    /* The kernel places mappings side by side, so what follows an aligned one is often aligned. */
    struct mc_segment *segment = map_pages(bytes);

    if (segment != NULL && mc_segment_of(segment) != segment) {
        (void)munmap(segment, bytes);
        segment = map_aligned_by_cutting(bytes);
    }
    if (segment == NULL) {
        return NULL;
    }
    if ((uintptr_t)segment >> MC_ADDRESS_BITS != 0) {
        (void)munmap(segment, bytes);
        return NULL;
    }
    for (size_t i = 0; i < MC_SLICE_COUNT; i++) {
        atomic_store_explicit(&segment->slice_class[i], MC_SLICE_NONE, memory_order_relaxed);
    }
    mc_leak_root_add(segment, bytes);
    registry_set(segment);
    return segment;
}

bool mc_segment_unmap(struct mc_segment *segment, size_t bytes)
{
    registry_clear(segment);
    mc_leak_root_remove(segment, bytes);
    mc_unpoison(segment, bytes);
    if (munmap(segment, bytes) == 0) {
        return true;
    }
    /* Cutting a mapping in two can exceed the number of mappings that a process may have. */
    mc_leak_root_add(segment, bytes);
    registry_set(segment);
    return false;
}

static void open_list_add(struct mc_segment *segment)
{
    segment->prev = NULL;
    segment->next = open_segments;
    if (open_segments != NULL) {
        open_segments->prev = segment;
    }
    open_segments = segment;
}

static void open_list_remove(struct mc_segment *segment)
{
    if (segment->prev != NULL) {
        segment->prev->next = segment->next;
    } else {
        open_segments = segment->next;
    }
    if (segment->next != NULL) {
        segment->next->prev = segment->prev;
    }
}

/* Slices that a span of the class needs: a power of two up to 16. */
static unsigned span_slices(unsigned cls)
{
    size_t slices = mc_class_size(cls) >> MC_SLICE_SHIFT;

    return slices == 0 ? 1 : (unsigned)slices;
}

static uint64_t span_bits(size_t slice, unsigned slices)
{
    return (((uint64_t)1 << slices) - 1) << slice;
}

/* Bits that start a free run of so many slices at a multiple of their number. */
static uint64_t run_starts(uint64_t free_slices, unsigned slices)
{
    uint64_t starts = free_slices;

    for (unsigned n = 1; n < slices; n *= 2) {
        starts &= starts >> n;
    }
    /* Every slices-th bit: all bits divided by the bits of one run. */
    return starts & (UINT64_MAX / (((uint64_t)1 << slices) - 1));
}

static struct mc_segment *open_segment_with(unsigned slices)
{
    struct mc_segment *segment = open_segments;

    while (segment != NULL && run_starts(segment->free_slices, slices) == 0) {
        segment = segment->next;
    }
    if (segment != NULL) {
        return segment;
    }
    segment = mc_segment_map(MC_SEGMENT_SIZE);
    if (segment != NULL) {
        segment->free_slices = ~HEADER_BITS;
        mc_poison((char *)segment + MC_HEADER_SLICES * MC_SLICE_SIZE,
                  MC_SEGMENT_SIZE - MC_HEADER_SLICES * MC_SLICE_SIZE);
        open_list_add(segment);
        segment_count++;
    }
    return segment;
}

struct mc_span *mc_span_take(unsigned cls)
{
    unsigned slices = span_slices(cls);
    struct mc_segment *segment;
    struct mc_span *span = NULL;

    pthread_mutex_lock(&lock);
    segment = open_segment_with(slices);
    if (segment != NULL) {
        size_t first = (size_t)__builtin_ctzll(run_starts(segment->free_slices, slices));

        segment->free_slices &= ~span_bits(first, slices);
        if (segment->free_slices == 0) {
            open_list_remove(segment);
        }
        /* Only the first slice: a pointer into the others is never the start of a block. */
        atomic_store_explicit(&segment->slice_class[first], (uint8_t)cls, memory_order_relaxed);
        span = &segment->spans[first];
        span->free = NULL;
        span->fresh_count = mc_span_capacity(cls);
        span->out_count = 0;
    }
    pthread_mutex_unlock(&lock);
    return span;
}

void mc_span_give(struct mc_span *span, unsigned cls)
{
    struct mc_segment *segment = mc_segment_of(span);
    size_t first = (size_t)(span - segment->spans);

    assert(span->out_count == 0);
    pthread_mutex_lock(&lock);
    atomic_store_explicit(&segment->slice_class[first], MC_SLICE_NONE, memory_order_relaxed);
    if (segment->free_slices == 0) {
        open_list_add(segment);
    }
    segment->free_slices |= span_bits(first, span_slices(cls));
    pthread_mutex_unlock(&lock);
}

size_t mc_segments_trim(void)
{
    size_t bytes = 0;
    struct mc_segment *next;

    pthread_mutex_lock(&lock);
    for (struct mc_segment *segment = open_segments; segment != NULL; segment = next) {
        next = segment->next;
        if (segment->free_slices != ~HEADER_BITS) {
            continue;
        }
        open_list_remove(segment);
        if (mc_segment_unmap(segment, MC_SEGMENT_SIZE)) {
            segment_count--;
            bytes += MC_SEGMENT_SIZE;
        } else {
            open_list_add(segment);
        }
    }
    pthread_mutex_unlock(&lock);
    return bytes;
}

size_t mc_segments_bytes(void)
{
    size_t bytes;

    pthread_mutex_lock(&lock);
    bytes = segment_count * MC_SEGMENT_SIZE;
    pthread_mutex_unlock(&lock);
    return bytes;
}

void mc_segments_lock(void)
{
    pthread_mutex_lock(&lock);
}

void mc_segments_unlock(void)
{
    pthread_mutex_unlock(&lock);
}
