/*
 * Size and class arithmetic. Pure: no memory, no state, any thread.
 *
 * Class c holds blocks of MCACHE_CLASS_MIN << c bytes.
 */
#ifndef MC_SIZE_CLASS_H
#define MC_SIZE_CLASS_H

#include <mcache/mcache.h>
#include <stddef.h>

#define MC_CLASS_MIN_SHIFT 4

_Static_assert(sizeof(size_t) == 8, "the class of a size is taken from a 64-bit count of zeros");
_Static_assert(MCACHE_CLASS_MIN == (size_t)1 << MC_CLASS_MIN_SHIFT, "smallest class");
_Static_assert(MCACHE_CLASS_MAX == MCACHE_CLASS_MIN << (MCACHE_CLASS_COUNT - 1), "largest class");

/* log2 of the block size. */
static inline unsigned mc_class_shift(unsigned cls)
{
    return cls + MC_CLASS_MIN_SHIFT;
}

static inline size_t mc_class_size(unsigned cls)
{
    return (size_t)1 << mc_class_shift(cls);
}

/* The smallest class that holds size bytes: 1 to MCACHE_CLASS_MAX. */
static inline unsigned mc_class_of(size_t size)
{
    size_t last = (size - 1) | (MCACHE_CLASS_MIN - 1);

    return 64 - MC_CLASS_MIN_SHIFT - (unsigned)__builtin_clzll(last);
}

/*
 * Blocks that threads exchange with the shared pool at once: as many as 128 KiB hold. A cache keeps
 * up to two batches of a class; 256 blocks spread the cost of the pool's lock, and of its line
 * going from processor to processor, to well under a nanosecond each. Of blocks of 64 KiB and 128
 * KiB it is as many as 256 KiB hold, because single ones would cost a lock each; of larger ones it
 * is one.
 */
static inline unsigned mc_class_batch(unsigned cls)
{
    size_t bytes = mc_class_shift(cls) < 16 ? (size_t)128 << 10 : (size_t)256 << 10;
    size_t fit = bytes >> mc_class_shift(cls);

    return fit > 256 ? 256 : fit == 0 ? 1 : (unsigned)fit;
}

#endif
