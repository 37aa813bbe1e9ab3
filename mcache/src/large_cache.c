/* Freed mappings of large blocks: in bins by size, in a list by age. Any thread. */
#include "large_cache.h"

#include <assert.h>
#include <pthread.h>
#include <sys/mman.h>

#include "decay.h"

/* Bins of an octave, and the octave of the smallest mapping: 16 units. */
#define BIN_SHIFT    3
#define OCTAVE_FIRST 4
#define OCTAVE_COUNT (MC_ADDRESS_BITS - 16 - OCTAVE_FIRST)
/* One more, so that every bin has a next one. */
#define BIN_COUNT ((OCTAVE_COUNT << BIN_SHIFT) + 1)
/* So many of a bin are looked at for one that is large enough; each is a line in a cold page. */
#define TRIES_MAX 8
/* Rounds that begin between a free and the return: the first may begin right after the free. */
#define ROUNDS_KEPT 2

_Static_assert(MC_LARGE_UNIT == (size_t)1 << 16, "octaves are counted in units");
_Static_assert(MCACHE_CLASS_MAX >= MC_LARGE_UNIT << OCTAVE_FIRST, "the smallest has a bin");
_Static_assert(MC_SEGMENT_SIZE - MC_LARGE_UNIT > MCACHE_CLASS_MAX + MCACHE_ALIGNMENT_MAX,
               "what is left of a mapping can be that of a block");

/* Guards the lists and what hangs on them. Taken last: any other lock may be held. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Linked by mc_segment.fit, the latest first; empty ones may still be all zero. */
static struct mc_link bins[BIN_COUNT];
/* All, linked by mc_segment.open, the latest first. */
static struct mc_link by_age = {&by_age, &by_age};
static uint64_t round_number;

/* Relaxed: figures. The first is written with the lock held. */
static _Atomic size_t retained;
static _Atomic uint64_t returned_bytes;

static size_t retained_max(void)
{
    return mc_retain_limit() / 2 / MC_LIMIT_SHARES * (MC_LIMIT_SHARES - MCACHE_CLASS_COUNT);
}

/* The bin of mappings of so many bytes. A mapping of the next bin is up to a quarter larger. */
static unsigned bin_of(size_t bytes)
{
    size_t units = bytes / MC_LARGE_UNIT;
    unsigned octave = 63 - (unsigned)__builtin_clzll(units);
    unsigned part = (unsigned)(units >> (octave - BIN_SHIFT)) & ((1U << BIN_SHIFT) - 1);

    return ((octave - OCTAVE_FIRST) << BIN_SHIFT) + part;
}

/* With the lock held; so are all below that are not public, but mapping_return(). */
static struct mc_link *bin_list(unsigned bin)
{
    struct mc_link *list = &bins[bin];

    if (list->next == NULL) {
        list->next = list;
        list->prev = list;
    }
    return list;
}

static void retained_add(size_t change)
{
    size_t bytes = atomic_load_explicit(&retained, memory_order_relaxed);

    atomic_store_explicit(&retained, bytes + change, memory_order_relaxed);
}

/* Behind that place in the list of ages; false, and nothing done, when the limit has no room. */
static bool mapping_add(struct mc_segment *segment, struct mc_link *place)
{
    size_t bytes = segment->mapped_bytes;
    size_t max = retained_max();

    if (bytes > max || mc_large_cache_retained() > max - bytes) {
        return false;
    }
    mc_link_add_behind(place, &segment->open);
    mc_link_add_behind(bin_list(bin_of(bytes)), &segment->fit);
    retained_add(bytes);
    return true;
}

static void mapping_remove(struct mc_segment *segment)
{
    mc_link_remove(&segment->open);
    mc_link_remove(&segment->fit);
    retained_add(-segment->mapped_bytes);
}

/* The tightest fit among the first of a bin; NULL when none is large enough. */
static struct mc_segment *bin_search(unsigned bin, size_t bytes)
{
    struct mc_link *list = bin_list(bin);
    struct mc_segment *best = NULL;
    unsigned tries = 0;

    for (struct mc_link *link = list->next; link != list && tries < TRIES_MAX; link = link->next) {
        struct mc_segment *segment = mc_segment_of(link);
        size_t found = segment->mapped_bytes;

        tries++;
        if (found >= bytes && (best == NULL || found < best->mapped_bytes)) {
            best = segment;
        }
        if (found == bytes) {
            break;
        }
    }
    return best;
}

struct mc_segment *mc_large_cache_take(size_t bytes)
{
    struct mc_segment *segment;
    unsigned bin;

    assert(bytes > MCACHE_CLASS_MAX);
    if (bytes > mc_large_cache_retained()) {
        return NULL;
    }
    bin = bin_of(bytes);
    pthread_mutex_lock(&lock);
    segment = bin_search(bin, bytes);
    if (segment == NULL) {
        segment = bin_search(bin + 1, bytes);
    }
    if (segment != NULL) {
        mapping_remove(segment);
    }
    pthread_mutex_unlock(&lock);
    return segment;
}

static void count_returned(size_t bytes)
{
    atomic_fetch_add_explicit(&returned_bytes, bytes, memory_order_relaxed);
}

/* Gives a mapping that is in no list back to the system. Returns its bytes. No lock. */
static size_t mapping_return(struct mc_segment *segment)
{
    size_t bytes = segment->mapped_bytes;
    char *block = (char *)segment + segment->payload_offset;

    if (!mc_unmap(segment, bytes)) {
        /* The addresses stay taken, as no block's start; the memory goes back all the same. */
        atomic_store_explicit(&segment->slice_class[mc_slice_of(block)], MC_SLICE_NONE,
                              memory_order_relaxed);
        (void)madvise(block, bytes - segment->payload_offset, MADV_DONTNEED);
    }
    count_returned(bytes);
    return bytes;
}

/* Takes the oldest mapping that was freed in the round or before; NULL when there is none. */
static struct mc_segment *oldest_take(uint64_t round)
{
    struct mc_segment *segment = NULL;

    if (by_age.prev != &by_age && mc_segment_of(by_age.prev)->freed_round <= round) {
        segment = mc_segment_of(by_age.prev);
        mapping_remove(segment);
    }
    return segment;
}

void mc_large_cache_give(struct mc_segment *segment)
{
    size_t bytes = segment->mapped_bytes;
    size_t gone = 0;
    bool added = false;

    while (!added) {
        struct mc_segment *oldest = NULL;

        pthread_mutex_lock(&lock);
        segment->freed_round = round_number;
        added = mapping_add(segment, &by_age);
        /* Not more than make room for this one, though a lowered limit may ask for it. */
        if (!added && bytes <= retained_max() && gone < bytes) {
            oldest = oldest_take(UINT64_MAX);
        }
        pthread_mutex_unlock(&lock);
        if (!added && oldest == NULL) {
            (void)mapping_return(segment);
            return;
        }
        gone += oldest == NULL ? 0 : mapping_return(oldest);
    }
}

void mc_large_cache_round(void)
{
    pthread_mutex_lock(&lock);
    round_number++;
    pthread_mutex_unlock(&lock);
}

/*
 * Gives about so many bytes of a mapping that is in no list back to the system: the end of it when
 * a good piece remains, which is then the oldest again. Returns how many.
 */
static size_t mapping_return_some(struct mc_segment *segment, size_t bytes)
{
    size_t size = segment->mapped_bytes;
    size_t cut = (bytes + MC_LARGE_UNIT - 1) & ~(MC_LARGE_UNIT - 1);
    bool added;

    if (size <= bytes || size - bytes <= MC_SEGMENT_SIZE ||
        !mc_map_cut(segment, size, size - cut)) {
        return mapping_return(segment);
    }
    segment->mapped_bytes = size - cut;
    count_returned(cut);
    pthread_mutex_lock(&lock);
    added = mapping_add(segment, by_age.prev);
    pthread_mutex_unlock(&lock);
    return added ? cut : cut + mapping_return(segment);
}

bool mc_large_cache_decay(size_t *bytes)
{
    while (*bytes > 0) {
        struct mc_segment *segment = NULL;
        size_t gone;

        pthread_mutex_lock(&lock);
        if (round_number >= ROUNDS_KEPT) {
            segment = oldest_take(round_number - ROUNDS_KEPT);
        }
        pthread_mutex_unlock(&lock);
        if (segment == NULL) {
            return true;
        }
        gone = mapping_return_some(segment, *bytes);
        *bytes -= gone < *bytes ? gone : *bytes;
    }
    return false;
}

size_t mc_large_cache_empty(void)
{
    /* Not what others free meanwhile, which might never end. */
    size_t bytes = mc_large_cache_retained();
    size_t gone = 0;

    while (gone < bytes) {
        struct mc_segment *segment;

        pthread_mutex_lock(&lock);
        segment = oldest_take(UINT64_MAX);
        pthread_mutex_unlock(&lock);
        if (segment == NULL) {
            break;
        }
        gone += mapping_return(segment);
    }
    return gone;
}

size_t mc_large_cache_retained(void)
{
    return atomic_load_explicit(&retained, memory_order_relaxed);
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
