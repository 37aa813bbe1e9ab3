/* Segments: spans cut from them, and what becomes of the slices between the spans. Any thread. */
#include "segment.h"

#include <assert.h>
#include <pthread.h>
#include <sys/mman.h>

#include "poison.h"

#define ALL_SLICES (~(((uint64_t)1 << MC_HEADER_SLICES) - 1))

#define GRAIN(state_base, shift)                                                       \
    {                                                                                  \
        .base = (state_base), .grain_mask = (1 << (shift)) - 1, .grain_shift = (shift) \
    }

const struct mc_state_place mc_state_places[MCACHE_CLASS_COUNT] = {
    [0 ... MC_CLASS_COARSE - 1] = GRAIN(-MC_FINE_STATE_BACK, MC_FINE_STATE_SHIFT),
    [MC_CLASS_COARSE... MCACHE_CLASS_COUNT - 1] =
        GRAIN(offsetof(struct mc_segment, coarse_states), MC_COARSE_STATE_SHIFT),
};

/* Guards the lists and the slices. Taken last: a class's lock may be held. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Segments with a free slice. The others are found through their blocks only. */
static struct mc_segment *open_segments;
/* Where the round of the decay goes on, and a call of mc_segments_shrink(); NULL: they are over. */
static struct mc_segment *round_next;
static struct mc_segment *shrink_next;

/* Relaxed: figures. Written with the lock held, read by anybody. */
static _Atomic size_t segment_count;
static _Atomic size_t dirty_count; /* slices */
static _Atomic uint64_t returned_bytes;

struct mc_segment *mc_segment_map(size_t bytes)
{
    struct mc_segment *segment = mc_map(bytes);

    if (segment == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < MC_SLICE_COUNT; i++) {
        atomic_store_explicit(&segment->slice_class[i], MC_SLICE_NONE, memory_order_relaxed);
    }
    return segment;
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
    if (round_next == segment) {
        round_next = segment->next;
    }
    if (shrink_next == segment) {
        shrink_next = segment->next;
    }
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

/* With the lock held; so are all below that are not public. */
static void dirty_add(struct mc_segment *segment, uint64_t slices)
{
    size_t count = atomic_load_explicit(&dirty_count, memory_order_relaxed);

    segment->dirty_slices |= slices;
    count += (size_t)__builtin_popcountll(slices);
    atomic_store_explicit(&dirty_count, count, memory_order_relaxed);
}

static void dirty_remove(struct mc_segment *segment, uint64_t slices)
{
    size_t count = atomic_load_explicit(&dirty_count, memory_order_relaxed);

    slices &= segment->dirty_slices;
    segment->dirty_slices &= ~slices;
    count -= (size_t)__builtin_popcountll(slices);
    atomic_store_explicit(&dirty_count, count, memory_order_relaxed);
}

static void segment_count_add(size_t change)
{
    size_t count = atomic_load_explicit(&segment_count, memory_order_relaxed);

    atomic_store_explicit(&segment_count, count + change, memory_order_relaxed);
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
        segment->free_slices = ALL_SLICES;
        mc_poison((char *)segment + MC_HEADER_SLICES * MC_SLICE_SIZE,
                  MC_SEGMENT_SIZE - MC_HEADER_SLICES * MC_SLICE_SIZE);
        open_list_add(segment);
        segment_count_add(1);
    }
    return segment;
}

/* Takes free slices out of everybody's reach. */
static void slices_take(struct mc_segment *segment, uint64_t slices)
{
    segment->free_slices &= ~slices;
    segment->idle_slices &= ~slices;
    if (segment->free_slices == 0) {
        open_list_remove(segment);
    }
}

static void slices_give(struct mc_segment *segment, uint64_t slices)
{
    if (segment->free_slices == 0) {
        open_list_add(segment);
    }
    segment->free_slices |= slices;
}

/* Where a span of so many slices is to begin: in memory that is there already, if it can. */
static size_t first_slice(const struct mc_segment *segment, unsigned slices)
{
    uint64_t starts = run_starts(segment->dirty_slices, slices);

    if (starts == 0) {
        starts = run_starts(segment->free_slices, slices);
    }
    return (size_t)__builtin_ctzll(starts);
}

struct mc_span *mc_span_take(unsigned cls)
{
    unsigned slices = span_slices(cls);
    struct mc_segment *segment;
    struct mc_span *span = NULL;

    pthread_mutex_lock(&lock);
    segment = open_segment_with(slices);
    if (segment != NULL) {
        size_t first = first_slice(segment, slices);

        dirty_remove(segment, span_bits(first, slices));
        slices_take(segment, span_bits(first, slices));
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
    uint64_t slices = span_bits(first, span_slices(cls));

    assert(span->out_count == 0);
    pthread_mutex_lock(&lock);
    atomic_store_explicit(&segment->slice_class[first], MC_SLICE_NONE, memory_order_relaxed);
    slices_give(segment, slices);
    dirty_add(segment, slices);
    pthread_mutex_unlock(&lock);
}

static void count_returned(size_t bytes)
{
    uint64_t total = atomic_load_explicit(&returned_bytes, memory_order_relaxed);

    atomic_store_explicit(&returned_bytes, total + bytes, memory_order_relaxed);
}

static void discard(struct mc_segment *segment, uint64_t slices)
{
    while (slices != 0) {
        size_t first = (size_t)__builtin_ctzll(slices);
        unsigned count = (unsigned)__builtin_ctzll(~(slices >> first)); /* of this run */

        (void)madvise((char *)segment + (first << MC_SLICE_SHIFT), (size_t)count << MC_SLICE_SHIFT,
                      MADV_DONTNEED);
        slices &= ~span_bits(first, count);
    }
}

/*
 * Gives free slices of an open segment back to the system, the segment itself when they are all it
 * has. The lock is left meanwhile: the slices are in nobody's reach, and a segment of which only
 * they are free is in no list. Returns the bytes that went.
 */
static size_t slices_return(struct mc_segment *segment, uint64_t slices)
{
    size_t bytes = (size_t)__builtin_popcountll(slices & segment->dirty_slices) << MC_SLICE_SHIFT;
    bool whole = slices == ALL_SLICES;

    dirty_remove(segment, slices);
    if (whole) {
        segment_count_add((size_t)-1);
    }
    slices_take(segment, slices);
    pthread_mutex_unlock(&lock);
    if (whole && mc_unmap(segment, MC_SEGMENT_SIZE)) {
        pthread_mutex_lock(&lock);
        count_returned(MC_SEGMENT_SIZE);
        return MC_SEGMENT_SIZE;
    }
    discard(segment, slices);
    pthread_mutex_lock(&lock);
    if (whole) {
        segment_count_add(1);
    }
    slices_give(segment, slices);
    segment->idle_slices |= slices;
    count_returned(bytes);
    return bytes;
}

/* Of the slices, those whose return brings anything: all of a segment, or those with memory. */
static uint64_t worth_returning(const struct mc_segment *segment, uint64_t slices)
{
    return slices == ALL_SLICES ? slices : slices & segment->dirty_slices;
}

void mc_segments_round(void)
{
    pthread_mutex_lock(&lock);
    round_next = open_segments;
    pthread_mutex_unlock(&lock);
}

bool mc_segments_decay(size_t bytes)
{
    size_t returned = 0;
    bool over;

    pthread_mutex_lock(&lock);
    while (round_next != NULL && returned < bytes) {
        struct mc_segment *segment = round_next;
        uint64_t old = worth_returning(segment, segment->free_slices & segment->idle_slices);

        round_next = segment->next;
        segment->idle_slices = segment->free_slices;
        if (old != 0) {
            returned += slices_return(segment, old);
        }
    }
    over = round_next == NULL;
    pthread_mutex_unlock(&lock);
    return over;
}

void mc_segments_shrink(size_t bytes)
{
    pthread_mutex_lock(&lock);
    shrink_next = open_segments;
    while (shrink_next != NULL && (bytes == 0 || mc_segments_dirty() > bytes)) {
        struct mc_segment *segment = shrink_next;
        uint64_t slices = worth_returning(segment, segment->free_slices);

        shrink_next = segment->next;
        if (slices != 0) {
            (void)slices_return(segment, slices);
        }
    }
    pthread_mutex_unlock(&lock);
}

size_t mc_segments_bytes(void)
{
    return atomic_load_explicit(&segment_count, memory_order_relaxed) * MC_SEGMENT_SIZE;
}

size_t mc_segments_dirty(void)
{
    return atomic_load_explicit(&dirty_count, memory_order_relaxed) << MC_SLICE_SHIFT;
}

uint64_t mc_segments_returned(void)
{
    return atomic_load_explicit(&returned_bytes, memory_order_relaxed);
}

void mc_segments_lock(void)
{
    pthread_mutex_lock(&lock);
}

void mc_segments_unlock(void)
{
    pthread_mutex_unlock(&lock);
}
