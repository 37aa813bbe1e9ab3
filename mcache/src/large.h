/* Blocks above the largest class, or aligned to more: a mapping each, its header in front. Any
 * thread. */
#ifndef MC_LARGE_H
#define MC_LARGE_H

#include <mcache/mcache.h>
#include <stdbool.h>
#include <stddef.h>

struct mc_segment;

/*
 * A block of at least size bytes at a multiple of alignment (a power of two up to
 * MCACHE_ALIGNMENT_MAX; 4 KiB at least); NULL when the system has no memory. The caller owns it.
 */
void *mc_large_alloc(size_t size, size_t alignment);

/* A zeroed one of the usual alignment. */
void *mc_large_calloc(size_t size);

/* Tells whether a pointer of class MC_SLICE_LARGE is the start of a block; and whether it was one
 * whose mapping is kept. */
bool mc_large_is_live(const void *block);
bool mc_large_is_kept(const void *block);

/* Gives a block back. */
void mc_large_free(void *block);

/* Gives the mapping of a block that is free back to the system. */
void mc_large_unmap(struct mc_segment *segment);

/* Lets a block hold at least size bytes where it lies; false when it cannot. */
bool mc_large_expand(void *block, size_t size);

/* Bytes that the block can hold. */
size_t mc_large_capacity(const void *block);

/* Adds the figures of these blocks to out. */
void mc_large_stats_add(struct mcache_stats *out);

#endif
