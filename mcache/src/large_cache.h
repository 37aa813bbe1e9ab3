/*
 * Mappings that large blocks have left, kept for the next ones: to map, fault in and unmap a block
 * of 1 MiB costs a hundred times what its use does. Any thread.
 */
#ifndef MC_LARGE_CACHE_H
#define MC_LARGE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mc_segment;

/*
 * Takes the smallest one of at least so many bytes, and at most a quarter more; NULL: there is
 * none. The caller owns it; the contents are what the last block left there.
 */
struct mc_segment *mc_large_cache_take(size_t bytes);

/* Takes over a mapping, whose payload_offset is 0 from there on; false: no room for it, nothing
 * taken. */
bool mc_large_cache_put(struct mc_segment *segment);

/* A round of the decay begins: what was there when the last one began is old now. */
void mc_large_cache_round(void);

/* Gives back old ones until that many bytes have gone. Returns whether none is left. */
bool mc_large_cache_decay(size_t bytes);

/* Gives back all. */
void mc_large_cache_empty(void);

/* Bytes there are; and bytes given back since the start. */
size_t mc_large_cache_bytes(void);
uint64_t mc_large_cache_returned(void);

/* Hold and free the lock around fork(). The last one taken. */
void mc_large_cache_lock(void);
void mc_large_cache_unlock(void);

#endif
