/*
 * Memory from the system in segments of 4 MiB, aligned to their size, so that masking a pointer
 * gives the segment that describes it.
 *
 *   0        4 slices: this header and the state of every block
 *   256 KiB  60 slices of 64 KiB; a span is one slice cut into blocks of a class up to 64 KiB,
 *            or the 2 to 16 slices of one larger block
 *
 * Spans start at a multiple of their size, so that every block is aligned to its own size.
 * A block above the largest class is a mapping of its own with the same header in front.
 * Any thread; the functions lock what they need unless they say otherwise.
 */
#ifndef MC_SEGMENT_H
#define MC_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapping.h"
#include "size_class.h"

#define MC_SLICE_SHIFT   16
#define MC_SLICE_SIZE    ((size_t)1 << MC_SLICE_SHIFT)
#define MC_SLICE_COUNT   64
#define MC_HEADER_SLICES 4

/* What slice_class says of a slice that is not cut into blocks. */
#define MC_SLICE_LARGE_FREE 0xfd
#define MC_SLICE_LARGE      0xfe
#define MC_SLICE_NONE       0xff

/*
 * Every block has a byte of state. One per 16 bytes of the segment serves any class; from 1 KiB on
 * the states stand in an area of their own with one per 1 KiB, so that the 64 of a slice share a
 * cache line. Two grains and not one per class, because finding a state is on every fast path.
 */
#define MC_CLASS_COARSE       6
#define MC_FINE_STATE_SHIFT   4
#define MC_COARSE_STATE_SHIFT 10

/* A span's blocks as the shared pool sees them; guarded by the lock of the span's class. */
struct mc_span {
    struct mc_span *next; /* spans of the class that have blocks to give */
    struct mc_span *prev;
    void *free;           /* blocks that came back */
    uint32_t fresh_count; /* blocks from the end of the span that were never handed out */
    uint32_t out_count;   /* blocks outside: in caches, in batches, with callers */
};

/* A place in a list of segments. It lies in the segment, so masking its address finds that. */
struct mc_link {
    struct mc_link *next;
    struct mc_link *prev;
};

static inline void mc_link_add_behind(struct mc_link *place, struct mc_link *link)
{
    link->prev = place;
    link->next = place->next;
    place->next->prev = link;
    place->next = link;
}

static inline void mc_link_remove(struct mc_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
}

struct mc_segment {
    /*
     * Relaxed. Written before the first block of the span is handed out and after the last is back;
     * whatever handed a pointer to its reader ordered that. Readers with a bad pointer may see any
     * value, and the state of the block then tells.
     */
    _Atomic uint8_t slice_class[MC_SLICE_COUNT];
    /* Of a block above the largest class: bytes in all, and where its payload begins. */
    size_t mapped_bytes;
    size_t payload_offset;
    /*
     * Guarded by the lock of the segments, as what follows. Of a mapping whose large block is free
     * the links are those of its lists by age and by size, under the lock of those.
     */
    struct mc_link open; /* among all segments with a free slice */
    struct mc_link fit;  /* among those with a free run of as many slices */
    unsigned fit_order;  /* log2 of that run, of those that a span may take */
    union {
        uint64_t free_slices; /* a bit per slice, here and below */
        uint64_t freed_round; /* of a free large block: the round of the decay */
    };
    uint64_t dirty_slices; /* of those, the ones that hold memory of the system */
    uint64_t idle_slices;  /* of those, the ones free since the last round of the decay */
    struct mc_span spans[MC_SLICE_COUNT];
    _Atomic uint8_t coarse_states[MC_SEGMENT_SIZE >> MC_COARSE_STATE_SHIFT];
};

/*
 * Fine states count from a little before the segment: those of the header itself would be where it
 * stands. Not from its start, so that no block shares the low 12 bits of its address with its
 * state: processors take such a pair of a store and a load for the same memory at first.
 */
#define MC_FINE_STATE_BACK 704

_Static_assert(sizeof(struct mc_segment) + MC_FINE_STATE_BACK <=
                   (MC_HEADER_SLICES * MC_SLICE_SIZE) >> MC_FINE_STATE_SHIFT,
               "the header ends where the states of the first block begin");
_Static_assert(MC_SEGMENT_SIZE >> MC_FINE_STATE_SHIFT <= MC_HEADER_SLICES * MC_SLICE_SIZE,
               "the states end where the first block begins");
_Static_assert(MC_CLASS_COARSE + MC_CLASS_MIN_SHIFT == MC_COARSE_STATE_SHIFT,
               "a coarse state for every block of the smallest class that has them");

static inline struct mc_segment *mc_segment_of(const void *pointer)
{
    return (struct mc_segment *)((uintptr_t)pointer & ~(uintptr_t)(MC_SEGMENT_SIZE - 1));
}

static inline size_t mc_slice_of(const void *pointer)
{
    return ((uintptr_t)pointer & (MC_SEGMENT_SIZE - 1)) >> MC_SLICE_SHIFT;
}

/* Class of a pointer into one of our segments, or one of MC_SLICE_. */
static inline unsigned mc_pointer_class(const void *pointer)
{
    return atomic_load_explicit(&mc_segment_of(pointer)->slice_class[mc_slice_of(pointer)],
                                memory_order_relaxed);
}

static inline struct mc_span *mc_span_of(const void *block)
{
    return &mc_segment_of(block)->spans[mc_slice_of(block)];
}

/* Where the states of a class are, from the segment's start, and the bytes that share one. */
struct mc_state_place {
    int32_t base;
    uint16_t grain_mask;
    uint16_t grain_shift;
};

extern const struct mc_state_place mc_state_places[MCACHE_CLASS_COUNT]
    __attribute__((visibility("hidden")));

/* Tells whether a state is the pointer's own: it may be that of a block that starts before it. */
static inline bool mc_has_own_state(const void *pointer, unsigned cls)
{
    return ((uintptr_t)pointer & mc_state_places[cls].grain_mask) == 0;
}

/*
 * The byte that is 1 while a caller owns the block. A byte and not a bit, so that threads that own
 * neighbours need no atomic read-modify-write. Relaxed: a block has one owner at a time, and its
 * hand-over orders the accesses; only a faulty second free can race.
 */
static inline _Atomic uint8_t *mc_block_state(const void *block, unsigned cls)
{
    const struct mc_state_place *place = &mc_state_places[cls];
    size_t offset = (uintptr_t)block & (MC_SEGMENT_SIZE - 1);

    return (_Atomic uint8_t *)mc_segment_of(block) + (offset >> place->grain_shift) + place->base;
}

/* Blocks that a span of the class holds. */
static inline uint32_t mc_span_capacity(unsigned cls)
{
    size_t fit = MC_SLICE_SIZE >> mc_class_shift(cls);

    return fit == 0 ? 1 : (uint32_t)fit;
}

/*
 * Maps a segment of so many bytes with no span in it, as mc_map(); where the system refuses that,
 * once more without what large blocks have left.
 */
struct mc_segment *mc_segment_map(size_t bytes);

/*
 * Takes a span for the class, all its blocks fresh, from a new segment if need be.
 *
 * Returns NULL when the system has no memory. May be called with the lock of a class held.
 */
struct mc_span *mc_span_take(unsigned cls);

/* Gives a span whose blocks are all back to its segment. As above. */
void mc_span_give(struct mc_span *span, unsigned cls);

/*
 * Begins a round of the decay: mc_segments_decay() visits every segment with a free slice once. One
 * thread at a time in these three.
 */
void mc_segments_round(void);

/*
 * Goes on with the round: gives back what has been free since the round before, until about so many
 * bytes are gone. Returns whether the round is over.
 */
bool mc_segments_decay(size_t bytes);

/*
 * Gives back what is free, however young, until at most so many bytes are left; 0: whatever there
 * is, empty segments too.
 */
void mc_segments_shrink(size_t bytes);

/* Figures, for any thread at any time. */
size_t mc_segments_bytes(void);      /* mapped, blocks above the largest class not among them */
size_t mc_segments_dirty(void);      /* free and not given back */
uint64_t mc_segments_returned(void); /* given back since the start */

/* Hold and free the lock around fork(). */
void mc_segments_lock(void);
void mc_segments_unlock(void);

#endif
