/* Segments: spans cut from them, and what becomes of the slices between the spans. Any thread. */
#include "segment.h"

#include <assert.h>
#include <pthread.h>
#include <sys/mman.h>

#include "large_cache.h"
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
static struct mc_link open_segments = {&open_segments, &open_segments};
/*
 * The same by the longest run that a span could take, so that none is looked at in vain. Those
 * whose memory has gone back to the system stand last.
 */
#define ORDER_COUNT 5
#define FIT_LIST(order)                            \
    {                                              \
        &fit_segments[order], &fit_segments[order] \
    }
static struct mc_link fit_segments[ORDER_COUNT] = {FIT_LIST(0), FIT_LIST(1), FIT_LIST(2),
                                                   FIT_LIST(3), FIT_LIST(4)};
/* Where a round of the decay and a call of mc_segments_shrink() go on; at the list: they are over.
 */
static struct mc_link *round_next = &open_segments;
static struct mc_link *shrink_next = &open_segments;

/* Relaxed: figures. Written with the lock held, read by anybody. */
static _Atomic size_t segment_count;
static _Atomic size_t dirty_count; /* slices */
static _Atomic uint64_t returned_bytes;

struct mc_segment *mc_segment_map(size_t bytes)
{
    struct mc_segment *segment = mc_map(bytes);

    if (segment == NULL && mc_large_cache_empty() != 0) {
        segment = mc_map(bytes);
    }
    if (segment == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < MC_SLICE_COUNT; i++) {
        atomic_store_explicit(&segment->slice_class[i], MC_SLICE_NONE, memory_order_relaxed);
    }
    return segment;
}

/* log2 of the slices that a span of the class needs. */
static unsigned span_order(unsigned cls)
{
    unsigned shift = mc_class_shift(cls);

    return shift > MC_SLICE_SHIFT ? shift - MC_SLICE_SHIFT : 0;
}

static uint64_t span_bits(size_t slice, unsigned slices)
{
    return (((uint64_t)1 << slices) - 1) << slice;
}

/* Bits that start a free run of 1 << order slices at a multiple of their number. */
static uint64_t run_starts(uint64_t free_slices, unsigned order)
{
    static const uint64_t multiples[ORDER_COUNT] = {
        UINT64_MAX, 0x5555555555555555, 0x1111111111111111, 0x0101010101010101, 0x0001000100010001,
    };
    uint64_t starts = free_slices;

    for (unsigned i = 0; i < order; i++) {
        starts &= starts >> (1U << i);
    }
    return starts & multiples[order];
}

/* How many slices; most often it is one, and counting the bits is a call on older processors. */
static size_t slice_count(uint64_t slices)
{
    return (slices & (slices - 1)) == 0 ? slices != 0 : (size_t)__builtin_popcountll(slices);
}

/* With the lock held; so are all below that are not public. */
static void dirty_add(struct mc_segment *segment, uint64_t slices)
{
    size_t count = atomic_load_explicit(&dirty_count, memory_order_relaxed);

    segment->dirty_slices |= slices;
    count += slice_count(slices);
    atomic_store_explicit(&dirty_count, count, memory_order_relaxed);
}

static void dirty_remove(struct mc_segment *segment, uint64_t slices)
{
    size_t count = atomic_load_explicit(&dirty_count, memory_order_relaxed);

    slices &= segment->dirty_slices;
    segment->dirty_slices &= ~slices;
    count -= slice_count(slices);
    atomic_store_explicit(&dirty_count, count, memory_order_relaxed);
}

static void segment_count_add(size_t change)
{
    size_t count = atomic_load_explicit(&segment_count, memory_order_relaxed);

    atomic_store_explicit(&segment_count, count + change, memory_order_relaxed);
}

/* The order of the longest run, which is close to what it was. */
static unsigned longest_run_order(uint64_t free_slices, unsigned order)
{
    while (order + 1 < ORDER_COUNT && run_starts(free_slices, order + 1) != 0) {
        order++;
    }
    while (order > 0 && run_starts(free_slices, order) == 0) {
        order--;
    }
    return order;
}

/*
 * Brings the lists up to date with the free slices, of which there were some or none before. Into
 * another list it goes as the first, or, where it is to be taken from late, as the last.
 */
static void segment_refile(struct mc_segment *segment, bool was_open, bool late)
{
    bool is_open = segment->free_slices != 0;
    unsigned order = longest_run_order(segment->free_slices, segment->fit_order);
    struct mc_link *fit = &fit_segments[order];

    if (was_open && is_open && order == segment->fit_order) {
        return;
    }
    if (was_open) {
        mc_link_remove(&segment->fit);
    }
    if (is_open) {
        mc_link_add_behind(late ? fit->prev : fit, &segment->fit);
        segment->fit_order = order;
    }
    if (is_open && !was_open) {
        mc_link_add_behind(&open_segments, &segment->open);
    } else if (was_open && !is_open) {
        round_next = round_next == &segment->open ? segment->open.next : round_next;
        shrink_next = shrink_next == &segment->open ? segment->open.next : shrink_next;
        mc_link_remove(&segment->open);
    }
}

static void slices_give(struct mc_segment *segment, uint64_t slices, bool late)
{
    bool was_open = segment->free_slices != 0;

    segment->free_slices |= slices;
    segment_refile(segment, was_open, late);
}

/* Takes free slices out of everybody's reach. */
static void slices_take(struct mc_segment *segment, uint64_t slices)
{
    segment->free_slices &= ~slices;
    segment->idle_slices &= ~slices;
    segment_refile(segment, true, false);
}

static struct mc_segment *open_segment_with(unsigned span_order)
{
    struct mc_segment *segment;

    for (unsigned order = span_order; order < ORDER_COUNT; order++) {
        if (fit_segments[order].next != &fit_segments[order]) {
            return mc_segment_of(fit_segments[order].next);
        }
    }
    segment = mc_segment_map(MC_SEGMENT_SIZE);
    if (segment != NULL) {
        mc_poison((char *)segment + MC_HEADER_SLICES * MC_SLICE_SIZE,
                  MC_SEGMENT_SIZE - MC_HEADER_SLICES * MC_SLICE_SIZE);
        slices_give(segment, ALL_SLICES, false);
        segment_count_add(1);
    }
    return segment;
}

/* Where a span is to begin: in memory that is there already, if it can. */
static size_t first_slice(const struct mc_segment *segment, unsigned order)
{
    uint64_t starts = run_starts(segment->dirty_slices, order);

    if (starts == 0) {
        starts = run_starts(segment->free_slices, order);
    }
    return (size_t)__builtin_ctzll(starts);
}

struct mc_span *mc_span_take(unsigned cls)
{
    unsigned order = span_order(cls);
    struct mc_segment *segment;
    struct mc_span *span = NULL;

    pthread_mutex_lock(&lock);
    segment = open_segment_with(order);
    if (segment != NULL) {
        size_t first = first_slice(segment, order);

        dirty_remove(segment, span_bits(first, 1U << order));
        slices_take(segment, span_bits(first, 1U << order));
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
    uint64_t slices = span_bits(first, 1U << span_order(cls));

    assert(span->out_count == 0);
    pthread_mutex_lock(&lock);
    atomic_store_explicit(&segment->slice_class[first], MC_SLICE_NONE, memory_order_relaxed);
    slices_give(segment, slices, false);
    dirty_add(segment, slices);
    pthread_mutex_unlock(&lock);
}

static void count_returned(size_t bytes)
{
    uint64_t total = atomic_load_explicit(&returned_bytes, memory_order_relaxed);

    atomic_store_explicit(&returned_bytes, total + bytes, memory_order_relaxed);
}

/* Returns the slices whose memory the system did not take. */
static uint64_t discard(struct mc_segment *segment, uint64_t slices)
{
    uint64_t kept = 0;

    while (slices != 0) {
        size_t first = (size_t)__builtin_ctzll(slices);
        unsigned count = (unsigned)__builtin_ctzll(~(slices >> first)); /* of this run */

        if (madvise((char *)segment + (first << MC_SLICE_SHIFT), (size_t)count << MC_SLICE_SHIFT,
                    MADV_DONTNEED) != 0) {
            kept |= span_bits(first, count);
        }
        slices &= ~span_bits(first, count);
    }
    return kept;
}

/*
 * Gives free slices of an open segment back to the system, the segment itself when they are all it
 * has. The lock is left meanwhile: the slices are in nobody's reach, and a segment of which only
 * they are free is in no list. Returns the bytes that went.
 */
static size_t slices_return(struct mc_segment *segment, uint64_t slices)
{
    uint64_t dirty = slices & segment->dirty_slices;
    bool whole = slices == ALL_SLICES;
    uint64_t kept;
    size_t bytes;

    dirty_remove(segment, dirty);
    if (whole) {
        segment_count_add((size_t)-1);
    }
    slices_take(segment, slices);
    pthread_mutex_unlock(&lock);
    if (whole && mc_unmap(segment, MC_SEGMENT_SIZE)) {
        pthread_mutex_lock(&lock);
        bytes = slice_count(dirty) << MC_SLICE_SHIFT;
        count_returned(bytes);
        return bytes;
    }
    kept = discard(segment, dirty);
    pthread_mutex_lock(&lock);
    if (whole) {
        segment_count_add(1);
    }
    slices_give(segment, slices, true);
    segment->idle_slices |= slices;
    dirty_add(segment, kept);
    bytes = slice_count(dirty & ~kept) << MC_SLICE_SHIFT;
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
    round_next = open_segments.next;
    pthread_mutex_unlock(&lock);
}

bool mc_segments_decay(size_t bytes)
{
    size_t returned = 0;
    bool over;

    pthread_mutex_lock(&lock);
    while (round_next != &open_segments && returned < bytes) {
        struct mc_segment *segment = mc_segment_of(round_next);
        uint64_t old = worth_returning(segment, segment->free_slices & segment->idle_slices);

        round_next = segment->open.next;
        segment->idle_slices = segment->free_slices;
        if (old != 0) {
            returned += slices_return(segment, old);
        }
    }
    over = round_next == &open_segments;
    pthread_mutex_unlock(&lock);
    return over;
}

void mc_segments_shrink(size_t bytes)
{
    pthread_mutex_lock(&lock);
    shrink_next = open_segments.next;
    while (shrink_next != &open_segments && (bytes == 0 || mc_segments_dirty() > bytes)) {
        struct mc_segment *segment = mc_segment_of(shrink_next);
        uint64_t slices = worth_returning(segment, segment->free_slices);

        shrink_next = segment->open.next;
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
