/*
 * Mappings of freed blocks above the largest class, kept for the next ones.
 *
 * They stand in bins by size, an eighth of an octave each, and in one list by age. Both lists go
 * through the headers of the mappings; every operation on them takes constant time under one lock,
 * which is left before anything goes back to the system. Any thread.
 */
#ifndef MC_LARGE_CACHE_H
#define MC_LARGE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "segment.h"

/* Sizes of these mappings are multiples of it. Pages of the system are at most this. */
#define MC_LARGE_UNIT ((size_t)64 << 10)

/*
 * Takes a mapping of bytes (a multiple of the unit, above the largest class) or up to a quarter
 * more, with contents of before; NULL when none of a few that come into question fits. The caller
 * owns it.
 */
struct mc_segment *mc_large_cache_take(size_t bytes);

/* Takes over a mapping. What the limit has no room for goes back to the system, the oldest first.
 */
void mc_large_cache_give(struct mc_segment *segment);

/* Begins a round of the decay. One thread at a time in this and the next. */
void mc_large_cache_round(void);

/*
 * Gives back what was not taken during the round before, until *bytes are gone; takes what went
 * off *bytes. It ends with less than a segment's size more. Returns whether the round is over.
 */
bool mc_large_cache_decay(size_t *bytes);

/* Gives back what there is, however young. Returns how many bytes. Any lock may be held. */
size_t mc_large_cache_empty(void);

/* Figures, for any thread at any time. */
size_t mc_large_cache_retained(void);
uint64_t mc_large_cache_returned(void); /* given back since the start */

/* Hold and free the lock around fork(). Taken last. */
void mc_large_cache_lock(void);
void mc_large_cache_unlock(void);

#endif
