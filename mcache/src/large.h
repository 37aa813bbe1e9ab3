/* Blocks above the largest class: a mapping each, its header page in front. Any thread. */
#ifndef MC_LARGE_H
#define MC_LARGE_H

#include <mcache/mcache.h>
#include <stdbool.h>
#include <stddef.h>

/* Maps a block of at least size bytes; NULL when the system has no memory. The caller owns it. */
void *mc_large_alloc(size_t size);

/* Gives a block back; false, nothing done, when the pointer is not the start of one. */
bool mc_large_free(void *block);

/* Bytes that the block can hold. */
size_t mc_large_capacity(const void *block);

/* Adds the figures of these blocks to out. */
void mc_large_stats_add(struct mcache_stats *out);

#endif
