/*
 * The blocks between the threads' caches, one pool and one lock per class.
 *
 * In front stand whole batches, moved in constant time: what a poller allocates and a worker frees
 * goes round here. Behind them are spans with exact counts, so that free spans and segments are
 * known. Lists end with NULL. Any thread.
 */
#ifndef MC_SHARED_POOL_H
#define MC_SHARED_POOL_H

#include <stddef.h>

/*
 * Takes up to mc_class_batch(class) free blocks.
 *
 * Returns how many there are in *list; 0 when the system has no memory. The caller owns the blocks.
 */
unsigned mc_pool_take(unsigned cls, void **list);

/* Takes over a list of exactly mc_class_batch(class) free blocks. */
void mc_pool_give_batch(unsigned cls, void *batch);

/* Takes over a list of any length. */
void mc_pool_give_list(unsigned cls, void *list);

/* Gives to the segments what no thread has taken since the last call. */
void mc_pool_decay(void);

/* Gives to the segments whatever they can have. */
void mc_pool_empty(void);

/* Bytes that mc_pool_empty() would give to the segments at least. */
size_t mc_pool_retained(void);

/* Hold and free all locks around fork(), those of the segments among them. */
void mc_pool_lock(void);
void mc_pool_unlock(void);

#endif
