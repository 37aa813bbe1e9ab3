/* Blocks above the largest class, or aligned to more: a mapping each, its header in front. Any
 * thread. */
#ifndef MC_LARGE_H
#define MC_LARGE_H

#include <mcache/mcache.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Maps a zeroed block of at least size bytes at a multiple of alignment (a power of two up to
 * MCACHE_ALIGNMENT_MAX; 4 KiB at least); NULL when the system has no memory. The caller owns it.
 */
void *mc_large_alloc(size_t size, size_t alignment);

/* Tells whether a pointer of class MC_SLICE_LARGE is the start of a block. */
bool mc_large_is_live(const void *block);

/* Gives a block back. */
void mc_large_free(void *block);

/* Lets a block hold at least size bytes where it lies; false when it cannot. */
bool mc_large_expand(void *block, size_t size);

/* Bytes that the block can hold. */
size_t mc_large_capacity(const void *block);

/* Adds the figures of these blocks to out. */
void mc_large_stats_add(struct mcache_stats *out);

#endif
