/*
 * When free memory goes back to the system: by age, by the limit, or at once. Any thread.
 */
#ifndef MC_DECAY_H
#define MC_DECAY_H

#include <mcache/mcache.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the half of the limit that is not the segments' is cut into: a share for each class, the
 * rest for free blocks above the largest one. A power of two.
 */
#define MC_LIMIT_SHARES 32

/* Sets the options; NULL: the defaults. Returns 0, or -EINVAL for a reserved field that is set. */
int mc_decay_configure(const struct mcache_options *options);

/* Bytes of free memory that may stay. */
size_t mc_retain_limit(void);

/* Bytes of free memory that stay at present. */
size_t mc_retained(void);

/* Bytes of free memory given back since the start. */
uint64_t mc_returned(void);

/*
 * Gives back what is old enough, if it is time to look. Returns whether it should be called again
 * soon, because there is more.
 */
bool mc_decay_tick(void);

/* Gives back what the segments hold above their half of the limit. No lock of a class is held. */
void mc_decay_enforce_limit(void);

/* Gives back whatever can be. */
void mc_decay_empty(void);

/* Hold and free the lock around fork(). Taken before those of the classes. */
void mc_decay_lock(void);
void mc_decay_unlock(void);

#endif
