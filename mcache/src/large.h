/* Blocks above the largest class, or aligned to more: a mapping each, its header in front. Any
 * thread. */
#ifndef MC_LARGE_H
#define MC_LARGE_H

#include <mcache/mcache.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * A block of at least size bytes at a multiple of alignment (a power of two up to
 * MCACHE_ALIGNMENT_MAX; 4 KiB at least), from a mapping that was freed or a new one; *is_zero tells
 * whether all of it is 0. NULL when the system has no memory. The caller owns it. Gives back what
 * is free for long enough before, if it is time to look.
 */
void *mc_large_alloc(size_t size, size_t alignment, bool *is_zero);

/* Tells whether a pointer of class MC_SLICE_LARGE or MC_SLICE_LARGE_FREE is where a block starts.
 */
bool mc_large_is_start(const void *block);

/* Takes a live block back, or returns false when it is free already. */
bool mc_large_free(void *block);

/* Lets a block hold at least size bytes where it lies; false when it cannot. */
bool mc_large_expand(void *block, size_t size);

/* Bytes that the block can hold. */
size_t mc_large_capacity(const void *block);

/* Adds the figures of these blocks to out. */
void mc_large_stats_add(struct mcache_stats *out);

#endif
