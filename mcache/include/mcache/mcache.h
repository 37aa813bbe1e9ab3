/**
 * mcache: size-class memory pools with a cache per thread.
 *
 * Invariants
 * - A block belongs to the power-of-two class that holds its size; its class is found from the
 *   pointer alone, in constant time, and nothing is stored in front of the payload.
 * - Every payload is aligned to 16 bytes, one of 4 KiB or more to 64 bytes.
 * - errno changes only when an allocation fails.
 * - After fork() the child may make any call; what other threads had cached is lost to it.
 * - A request of exactly a power of two gets exactly that class.
 * - Any thread may free a block, whichever thread allocated it.
 * - Requests above the largest class go to the system one by one and return to it when freed.
 *
 * Threads: every call may be made on any thread at any time, unless it says otherwise. A thread's
 * cache is given back when the thread ends. None of the calls is async-signal-safe.
 * Memory: mcache owns what it hands out until mcache_alloc() returns it; the caller owns it from
 * there to mcache_free(). Memory is not initialised.
 */
#ifndef MCACHE_MCACHE_H
#define MCACHE_MCACHE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MCACHE_API        __attribute__((visibility("default")))
#define MCACHE_MUST_CHECK __attribute__((warn_unused_result))

/** Smallest class, in bytes. Smaller requests, 0 among them, get a block of this class. */
#define MCACHE_CLASS_MIN ((size_t)16)
/** Largest class, in bytes. Larger requests are served by the system. */
#define MCACHE_CLASS_MAX ((size_t)1 << 20)
/** Number of classes: 16 B, 32 B, ... 1 MiB. */
#define MCACHE_CLASS_COUNT 17

/**
 * Allocates a block of at least size bytes.
 *
 * @param size  bytes wanted; 0 gives a block of the smallest class
 * @return the block; NULL with errno ENOMEM when the system has no memory or size is absurd
 *
 * Memory: the caller owns the block and gives it back with mcache_free().
 */
MCACHE_API MCACHE_MUST_CHECK void *mcache_alloc(size_t size);

/**
 * Allocates a block for size bytes now that can hold up to capacity bytes.
 *
 * @param size      bytes wanted now
 * @param capacity  bytes the block must be able to hold; less than size counts as size
 * @return the block; NULL with errno ENOMEM
 *
 * Memory: as mcache_alloc().
 */
MCACHE_API MCACHE_MUST_CHECK void *mcache_alloc_capacity(size_t size, size_t capacity);

/**
 * Gives a block back.
 *
 * @param block  from an allocating call of mcache and not freed since; NULL does nothing
 *
 * A pointer that is not the start of a live block ends the program with one line on stderr when
 * assertions are on; otherwise it is counted (mcache_stats.bad_free_count) and ignored as far as
 * it can be told from a live block. Two frees of one block on two threads at the same instant may
 * go unnoticed.
 */
MCACHE_API void mcache_free(void *block);

/**
 * Tells how many bytes the block can hold: the size of its class.
 *
 * @param block  a live block; NULL gives 0
 */
MCACHE_API MCACHE_MUST_CHECK size_t mcache_capacity(const void *block);

/**
 * Moves everything in the calling thread's cache to the shared pool.
 *
 * For a thread that is about to sleep for long.
 */
MCACHE_API void mcache_flush(void);

/**
 * Gives every free segment of the shared pool back to the system.
 *
 * Flushes the calling thread's cache first; the caches of other threads are not touched.
 *
 * @return bytes given back
 */
MCACHE_API size_t mcache_trim(void);

/** Figures of one class. */
struct mcache_class_stats {
    size_t size;          /**< bytes of a block of this class */
    uint64_t alloc_count; /**< blocks handed out since the start */
    uint64_t free_count;  /**< blocks given back since the start */
};

/** Figures of the whole process. Counters of running threads may lag by the call in progress. */
struct mcache_stats {
    struct mcache_class_stats classes[MCACHE_CLASS_COUNT];
    uint64_t system_alloc_count; /**< requests above the largest class */
    uint64_t system_free_count;  /**< of those, given back */
    size_t system_bytes;         /**< bytes live above the largest class */
    size_t segment_bytes;        /**< bytes of address space held in segments for the classes */
    size_t live_bytes;           /**< bytes in blocks that callers own, by class size; those
                                      above the largest class are in system_bytes only */
    uint64_t bad_free_count;     /**< calls of mcache_free() that were ignored */
};

/**
 * Reads the figures of the whole process.
 *
 * @param out  borrowed; overwritten
 */
MCACHE_API void mcache_stats_read(struct mcache_stats *out);

#ifdef __cplusplus
}
#endif

#endif
